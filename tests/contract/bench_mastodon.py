"""The Mastodon channel against its sandbox."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw

from channels.mastodon import MastodonChannel
from sync.contract import Channel, Tools
from sync.http import Http, Limits
from sync.model import Asset, AssetRole, Edition, Outlet, sha256
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server


def picture(text: str) -> bytes:
    """A PNG with a text in it."""
    image = Image.new("RGB", (320, 160), "white")
    ImageDraw.Draw(image).text((20, 60), text, fill="black", font_size=40)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


PICTURE, OTHER_PICTURE = picture("route 12"), picture("route 13")
BLOBS = {sha256(content): content for content in (PICTURE, OTHER_PICTURE)}
EDITION = Edition(
    item="item-1",
    revision=1,
    title="关于开通12路乡村公交环线的通告",
    body=f'<p>自12月1日起，12路试运行。</p><p><img src="asset:{sha256(PICTURE)}" alt="12路线路图"></p>',
    metadata={"summary": "自12月1日起，12路乡村公交环线试运行，首班06:30。", "topics": ("交通", "便民")},
    assets=(Asset(sha256(PICTURE), "image/png", len(PICTURE), "route.png", AssetRole.IMAGE, "12路线路图"),),
)
CALLS = {
    "release": ("POST", "/api/v1/statuses"),
    "correct": ("PUT", "/api/v1/statuses/*"),
    "withdraw": ("DELETE", "/api/v1/statuses/*"),
}


class MastodonBench(SandboxBench):
    shows = frozenset({"digit", "picture"})
    # Preparing only uploads pictures; a lost answer to that is "nothing happened".
    faults = frozenset((name, phase) for name in ("drop_answer", "drop_request", "answer_502") for phase in CALLS)
    edition = EDITION

    def __init__(self, sandbox: Server) -> None:
        self.sandbox = sandbox
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        self.tools = Tools(self._http, BLOBS.__getitem__, Templates(), CLOCK.now)
        self.outlet = MastodonChannel.twin(Outlet("town", "unit", "mastodon", {}), sandbox.address, "")

    def channel(self, **secrets: str) -> Channel:
        outlet = self.outlet
        changed = Outlet(outlet.name, outlet.unit, outlet.kind, outlet.settings, {**outlet.secrets, **secrets})
        return MastodonChannel(changed, self.tools)

    def wrong(self) -> Mapping[str, str]:
        return {"access_token": "guessed-token"}

    def public_copies(self) -> int:
        account = self.sandbox.ask("GET", "/api/v1/accounts/verify_credentials", token="sandbox-town")["id"]
        statuses = self.sandbox.ask("GET", f"/api/v1/accounts/{account}/statuses?limit=40")
        return len(statuses)

    def hidden_things(self) -> int:
        effects = [line["effect"] for line in self.sandbox.record() if line["applied"]]
        return effects.count("media_uploaded") - effects.count("media_deleted")

    def fault(self, name: str, phase: str) -> None:
        method, path = CALLS[phase]
        self.sandbox.knob(name, method=method, path=path)

    def close(self) -> None:
        self._http.close()


BENCH = MastodonBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[MastodonBench]:
    with server("channels.sandbox.mastodon", tmp_path / "sandbox") as sandbox:
        made = MastodonBench(sandbox)
        try:
            yield made
        finally:
            made.close()
