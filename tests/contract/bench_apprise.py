"""The apprise channel against its sandbox: apprise's own JSON plugin, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from channels.apprise import AppriseChannel
from sync.contract import Tools
from sync.engine.preview import Nowhere
from sync.model import Outlet
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server
from tests.contract.bench_webhook import EDITION


class AppriseBench(SandboxBench):
    shows = frozenset()
    faults = frozenset((name, "release") for name in ("drop_answer", "drop_request", "answer_502"))
    reads = False
    edition = EDITION

    def __init__(self, sandbox: Server) -> None:
        self.sandbox = sandbox
        self.tools = Tools(Nowhere(), lambda digest: b"", Templates(), CLOCK.now)
        self.outlet = AppriseChannel.twin(Outlet("town", "unit", "apprise", {}), sandbox.address, "")

    def channel(self, **secrets: str) -> AppriseChannel:
        return AppriseChannel(replace(self.outlet, secrets={**self.outlet.secrets, **secrets}), self.tools)

    def wrong(self) -> Mapping[str, str]:
        return {"url": "nonsense://somewhere"}

    def public_copies(self) -> int:
        return sum(line["applied"] for line in self.sandbox.record())

    def hidden_things(self) -> int:
        return 0

    def fault(self, name: str, phase: str) -> None:
        self.sandbox.knob(name, method="POST", path="/town")


BENCH = AppriseBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[AppriseBench]:
    with server("channels.sandbox.apprise", tmp_path / "sandbox") as sandbox:
        yield AppriseBench(sandbox)
