"""What the benches of group robots have in common."""

from __future__ import annotations

import html
import re
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from channels.group_bot import GroupBot
from sync.contract import Tools
from sync.http import Http, Limits
from sync.model import Edition, Outlet
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server

EDITION = Edition(
    item="item-1",
    revision=1,
    title="关于开通12路乡村公交环线的通告",
    body="<p>自12月1日起，12路试运行。</p>",
    metadata={"summary": "自12月1日起，12路乡村公交环线试运行，首班06:30。", "topics": ("交通", "便民")},
)


class GroupBench(SandboxBench):
    shows = frozenset[str]()
    reads = False
    # Preparing asks for what is never said: of a lost answer to that, nothing happened.
    faults = frozenset((name, "release") for name in ("drop_answer", "drop_request", "answer_502"))
    edition = EDITION
    made: ClassVar[type[GroupBot]]
    token: ClassVar[str]  # the secret that names the robot
    guessed: ClassVar[str]
    form: ClassVar[str]  # the type of its messages

    def __init__(self, sandbox: Server) -> None:
        self.sandbox = sandbox
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        self.tools = Tools(self._http, lambda digest: b"", Templates(), CLOCK.now)
        self.outlet: Outlet = self.made.twin(Outlet("town", "unit", self.made.kind, {}), sandbox.address, "")

    def channel(self, **secrets: str) -> Any:
        return self.set({}, **secrets)

    def set(self, settings: Mapping[str, str], **secrets: str) -> Any:
        """The channel with some other settings and secrets."""
        outlet = replace(
            self.outlet,
            settings={**self.outlet.settings, **settings},
            secrets={**self.outlet.secrets, **secrets},
        )
        return self.made(outlet, self.tools)

    def wrong(self) -> Mapping[str, str]:
        return {self.token: self.guessed}

    def public_copies(self) -> int:
        return len(self.seen())

    def seen(self) -> list[str]:
        """The messages as the group's page shows them: text, each block on a line, and the goals of links behind it."""
        with urllib.request.urlopen(f"{self.sandbox.address}/groups/town", timeout=10) as answer:
            page = answer.read().decode()
        found = re.findall(r"<article>(.*?)<time>", page, re.DOTALL)
        return [_text(one) for one in found]

    def said(self) -> list[dict[str, Any]]:
        return [line for line in self.sandbox.record() if line["effect"] == "message_said"]

    def hidden_things(self) -> int:
        return 0  # nothing is put in place

    def fault(self, name: str, phase: str) -> None:
        self.sandbox.knob(name, account=f"town {self.form}")

    def close(self) -> None:
        self._http.close()


def _text(page: str) -> str:
    page = re.sub(r'<a href="([^"]*)">(.*?)</a>', r"\2 \1", page)
    return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"</(p|h3|li)>", "\n", page))).strip()


Made = TypeVar("Made", bound=GroupBench)


@contextmanager
def opened(kind: type[Made], tmp_path: Path) -> Iterator[Made]:
    with server(f"channels.sandbox.{kind.made.kind}", tmp_path / "sandbox") as sandbox:
        made = kind(sandbox)
        try:
            yield made
        finally:
            made.close()
