"""The Bluesky channel against its sandbox, a PDS with an AppView."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

from channels.bluesky import BlueskyChannel
from sync.contract import LocalTokens, Tools
from sync.http import Http, Limits
from sync.model import Asset, AssetRole, Edition, Outlet, sha256
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server
from tests.contract.bench_mastodon import picture

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
# Nothing but a cover: a link card.
NOTICE = replace(EDITION, body="<p>停水。</p>", assets=(replace(EDITION.assets[0], role=AssetRole.COVER),))
XRPC = "/xrpc/com.atproto.repo."
CALLS = {"release": f"{XRPC}putRecord", "withdraw": f"{XRPC}deleteRecord"}


class BlueskyBench(SandboxBench):
    shows = frozenset({"digit", "picture"})
    # Preparing only uploads pictures; a lost answer to that is "nothing happened".
    faults = frozenset((name, phase) for name in ("drop_answer", "drop_request", "answer_502") for phase in CALLS)
    edition = EDITION

    def __init__(self, sandbox: Server, appview: str = "") -> None:
        self.sandbox = sandbox
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        # Time can be set forward, as for whoever prepares days before the release.
        self.ahead = 0
        self.tokens = LocalTokens()
        self.blobs = dict(BLOBS)
        self.tools = Tools(self._http, self.blobs.__getitem__, Templates(), self._now, self.tokens)
        configured = {"handle": "county.example", "appview": appview}
        self.outlet = BlueskyChannel.twin(Outlet("town", "unit", "bluesky", configured), sandbox.address, "")

    def _now(self) -> int:
        return CLOCK.now() + self.ahead

    def channel(self, **secrets: str) -> BlueskyChannel:
        return BlueskyChannel(replace(self.outlet, secrets={**self.outlet.secrets, **secrets}), self.tools)

    def wrong(self) -> Mapping[str, str]:
        return {"app_password": "guessed-password"}

    def public_copies(self) -> int:
        return len(self.posts())

    def posts(self) -> list[dict[str, Any]]:
        """What the repository has, as anybody may read it."""
        query = "repo=town.test&collection=app.bsky.feed.post&limit=100"
        try:
            found: list[dict[str, Any]] = self.sandbox.ask("GET", f"{XRPC}listRecords?{query}")["records"]
        except HTTPError as error:  # nobody logged in so far: there is no such account
            assert "Could not find repo" in json.loads(error.read())["message"]
            return []
        return found

    def hidden_things(self) -> int:
        """Uploaded pictures that anybody can read though no post shows them."""
        shown = json.dumps(self.posts())
        uploads = {line["ref"] for line in self.sandbox.record() if line["effect"] == "blob_uploaded"}
        return sum(self._readable(cid) for cid in uploads if cid not in shown)

    def _readable(self, cid: str) -> bool:
        did = quote(self.did())
        return (
            self.tools.http.read(f"{self.sandbox.address}/xrpc/com.atproto.sync.getBlob?did={did}&cid={cid}").status
            == 200
        )

    def did(self) -> str:
        told: str = self.sandbox.ask("GET", "/xrpc/com.atproto.identity.resolveHandle?handle=town.test")["did"]
        return told

    def fault(self, name: str, phase: str) -> None:
        self.sandbox.knob(name, method="POST", path=CALLS[phase])

    def effects(self, effect: str) -> int:
        """How often the sandbox did this."""
        return sum(line["effect"] == effect for line in self.sandbox.record())

    def close(self) -> None:
        self._http.close()


BENCH = BlueskyBench


@contextmanager
def bench(tmp_path: Path, appview: str = "") -> Iterator[BlueskyBench]:
    with server("channels.sandbox.bluesky", tmp_path / "sandbox") as sandbox:
        made = BlueskyBench(sandbox, appview)
        try:
            yield made
        finally:
            made.close()
