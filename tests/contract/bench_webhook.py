"""The webhook channel against its sandbox: a receiver with a public page, that ignores repeated ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from channels.webhook import WebhookChannel
from sync.contract import Tools
from sync.http import Http, Limits
from sync.model import Asset, AssetRole, Edition, Outlet, sha256
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server
from tests.contract.bench_mastodon import picture

PICTURE = picture("route 12")
EDITION = Edition(
    item="item-1",
    revision=1,
    title="关于开通12路乡村公交环线的通告",
    body=f"""<p>自12月1日起，12路试运行，首班 06:30，见<a href="https://bus.example/12?a=1&amp;b=2">线路图</a>。</p>
<figure><img src="asset:{sha256(PICTURE)}" alt="12路线路图"></figure>
<table><tr><th>站点</th><th>首班</th></tr><tr><td>镇政府</td><td>06:30</td></tr></table>""",
    metadata={"summary": "12路自12月1日起试运行。", "topics": ("交通", "便民"), "source": "县交通局"},
    assets=(Asset(sha256(PICTURE), "image/png", len(PICTURE), "route.png", AssetRole.IMAGE, "12路线路图"),),
)
CONFIGURED = {
    "url": "https://app.example/hook",
    "public_url_template": "https://app.example/news/{item}",
    "receiver_dedupes": "yes",
    "staged": "yes",
}
EVENTS = {"release": "item.published", "correct": "item.updated", "withdraw": "item.withdrawn"}
WRONG = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class WebhookBench(SandboxBench):
    # Preparing announces or asks, and both may be repeated: no doubt comes of it.
    faults = frozenset(
        (name, phase)
        for name in ("drop_answer", "drop_request", "answer_502")
        for phase in ("release", "correct", "withdraw")
    )
    edition = EDITION

    def __init__(self, sandbox: Server) -> None:
        self.sandbox = sandbox
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        self.tools = Tools(self._http, {sha256(PICTURE): PICTURE}.__getitem__, Templates(), CLOCK.now)
        twin = WebhookChannel.twin(Outlet("town", "unit", "webhook", CONFIGURED), sandbox.address, "")
        # The sender's own address of files, which no twin has; here the sandbox's server shows them.
        files = sandbox.home / "files" / "www"
        files.mkdir(parents=True)
        (files / sha256(PICTURE)).write_bytes(PICTURE)
        settings = {**twin.settings, "asset_url_template": f"{sandbox.address}/files/{{digest}}"}
        self.outlet = replace(twin, settings=settings)

    def channel(self, **secrets: str) -> WebhookChannel:
        return WebhookChannel(replace(self.outlet, secrets={**self.outlet.secrets, **secrets}), self.tools)

    def configured(self, **settings: str) -> WebhookChannel:
        """The channel with other settings."""
        return WebhookChannel(replace(self.outlet, settings={**self.outlet.settings, **settings}), self.tools)

    def wrong(self) -> Mapping[str, str]:
        return {"secret": WRONG}

    def public_copies(self) -> int:
        """By the record: publishing twice makes two, a correction none where one is."""
        copies: dict[str, int] = {}
        for line in self.sandbox.record():
            was = copies.get(line["ref"], 0)
            if line["applied"] and line["effect"] in ("published", "updated", "withdrawn"):
                copies[line["ref"]] = {"published": was + 1, "updated": max(was, 1), "withdrawn": 0}[line["effect"]]
        return sum(copies.values())

    def hidden_things(self) -> int:
        """Announced items: announcing one again makes no second."""
        staged: set[str] = set()
        for line in self.sandbox.record():
            if line["applied"]:
                (staged.add if line["effect"] == "staged" else staged.discard)(line["ref"])
        return len(staged)

    def fault(self, name: str, phase: str) -> None:
        self.sandbox.knob(name, account=f"town {EVENTS[phase]}")

    def close(self) -> None:
        self._http.close()


BENCH = WebhookBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[WebhookBench]:
    with server("channels.sandbox.webhook", tmp_path / "sandbox") as sandbox:
        made = WebhookBench(sandbox)
        try:
            yield made
        finally:
            made.close()
