"""The manual channel against its sandbox: a platform, and a person who pastes what they were handed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from channels.manual import ManualChannel
from sync.contract import Accepted, Receipt, Tools
from sync.http import Http, Limits
from sync.model import Key, Outlet, Rendition, sha256
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server
from tests.contract.bench_webhook import EDITION, PICTURE

CONFIGURED = {"where": "今日头条·清溪发布", "steps": "勾选“原创”", "compares": "all"}


class ManualBench(SandboxBench):
    faults = frozenset()  # no call of ours, before or at the instant
    has_login = False
    edition = EDITION

    def __init__(self, sandbox: Server) -> None:
        self.sandbox = sandbox
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        self.blobs = {sha256(PICTURE): PICTURE}
        self.tools = Tools(self._http, self.blobs.__getitem__, Templates(), CLOCK.now)
        self.outlet = ManualChannel.twin(Outlet("town", "unit", "manual", CONFIGURED), sandbox.address, "")

    def channel(self, **secrets: str) -> ManualChannel:
        return ManualChannel(self.outlet, self.tools)

    def configured(self, **settings: str) -> ManualChannel:
        """The channel with other settings."""
        return ManualChannel(replace(self.outlet, settings={**self.outlet.settings, **settings}), self.tools)

    def wrong(self) -> Mapping[str, str]:
        raise AssertionError("there is nothing to prove")

    def public(
        self, rendition: Rendition, key: Key, outcome: Receipt | Accepted, replaces: Receipt | None = None
    ) -> Receipt:
        """The person pastes the text and its pictures, and says where."""
        assert isinstance(outcome, Accepted)
        return self.pasted(rendition, replaces)

    def pasted(self, rendition: Rendition, replaces: Receipt | None = None, **other: object) -> Receipt:
        """What was handed out, on a new page or in the place of the old; `other` is what the person did differently."""
        paths = json.loads(rendition.fields["files"])
        pictures = {path: base64.b64encode(self.blobs[digest]).decode() for digest, path in paths.items()}
        page = {"title": rendition.title, "html": rendition.content, "pictures": pictures, **other}
        where = "/town/pages" if replaces is None else replaces.url.removeprefix(self.sandbox.address)
        told = self.sandbox.ask("POST" if replaces is None else "PUT", where, page)
        return Receipt(told["url"], told["url"], CLOCK.now())

    def public_copies(self) -> int:
        effects = [line["effect"] for line in self.sandbox.record() if line["applied"]]
        return effects.count("published") - effects.count("withdrawn")

    def hidden_things(self) -> int:
        return 0

    def fault(self, name: str, phase: str) -> None:
        raise AssertionError("there is no call to fail")

    def close(self) -> None:
        self._http.close()


BENCH = ManualBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[ManualBench]:
    with server("channels.sandbox.manual", tmp_path / "sandbox") as sandbox:
        made = ManualBench(sandbox)
        try:
            yield made
        finally:
            made.close()
