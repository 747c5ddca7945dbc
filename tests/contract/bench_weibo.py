"""The Weibo channel against its sandbox, through an application with a safe domain."""

from __future__ import annotations

import io
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from channels.weibo import WeiboChannel
from sync.contract import Tools
from sync.http import Http, Limits
from sync.model import Asset, AssetRole, Edition, Outlet, sha256
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server

DOMAIN = "county.example"


def picture(text: str, size: tuple[int, int] = (320, 160), form: str = "PNG") -> bytes:
    """A picture with a text in it."""
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).text((20, 60), text, fill="black", font_size=40)
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


ROUTE, OTHER = picture("route 12"), picture("route 13")
BLOBS = {sha256(content): content for content in (ROUTE, OTHER)}
EDITION = Edition(
    item="item-1",
    revision=1,
    title="关于开通12路乡村公交环线的通告",
    body=f'<p>自12月1日起，12路试运行。</p><p><img src="asset:{sha256(ROUTE)}" alt="12路线路图"></p>',
    metadata={"summary": "自12月1日起，12路乡村公交环线试运行，首班06:30。", "topics": ("交通", "便民")},
    assets=(Asset(sha256(ROUTE), "image/png", len(ROUTE), "route.png", AssetRole.IMAGE, "12路线路图"),),
)
PATHS = {"release": "/2/statuses/share.json", "withdraw": "/2/statuses/destroy.json"}


class WeiboBench(SandboxBench):
    shows = frozenset({"digit", "picture"})
    # Preparing only reads: of a lost answer to that, nothing happened.
    faults = frozenset((name, phase) for name in ("drop_answer", "drop_request", "answer_502") for phase in PATHS)
    edition = EDITION

    def __init__(self, sandbox: Server, account: str = "town") -> None:
        self.sandbox, self.account = sandbox, account
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        self.blobs = dict(BLOBS)
        self.tools = Tools(self._http, lambda digest: self.blobs[digest], Templates(), CLOCK.now)
        twin = WeiboChannel.twin(Outlet(account, "unit", "weibo", {}), sandbox.address, "")
        self.token = f"sandbox-{account}@{DOMAIN}"
        settings = {**twin.settings, "safe_domain": DOMAIN}
        self.outlet = replace(twin, settings=settings, secrets={"access_token": self.token})

    def channel(self, **secrets: str) -> WeiboChannel:
        return WeiboChannel(replace(self.outlet, secrets={**self.outlet.secrets, **secrets}), self.tools)

    def wrong(self) -> Mapping[str, str]:
        return {"access_token": "guessed-token"}

    def lines(self, effect: str) -> list[dict[str, Any]]:
        """What took place, by the outlet's own record."""
        lines = [line for line in self.sandbox.record() if line["account"] == self.account]
        return [line for line in lines if line["applied"] and line["effect"] == effect]

    def public_copies(self) -> int:
        """As an anonymous reader finds them."""
        posts = {line["ref"] for line in self.lines("post_created")}
        return sum(self.sandbox.ask("GET", f"/statuses/show?id={ref}")["ok"] == 1 for ref in posts)

    def hidden_things(self) -> int:
        return 0  # nothing can be put in place on Weibo

    def fault(self, name: str, phase: str) -> None:
        self.sandbox.knob(name, method="POST", path=PATHS[phase])

    def api(self, path: str, **fields: str) -> dict[str, Any]:
        """A call as anybody could make it with this token, outside the code under test; a GET without fields.

        Raises urllib's HTTPError."""
        body = urllib.parse.urlencode(fields).encode() if fields else None
        headers = {"Authorization": f"OAuth2 {self.token}"}
        with urllib.request.urlopen(
            urllib.request.Request(self.sandbox.address + path, body, headers), timeout=10
        ) as answer:
            told = json.loads(answer.read())
        assert isinstance(told, dict)
        return told

    def close(self) -> None:
        self._http.close()


BENCH = WeiboBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[WeiboBench]:
    with server("channels.sandbox.weibo", tmp_path / "sandbox") as sandbox:
        made = WeiboBench(sandbox)
        try:
            yield made
        finally:
            made.close()
