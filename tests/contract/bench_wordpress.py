"""The WordPress channel against its sandbox."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from channels.wordpress import WordpressChannel
from sync.contract import Accepted, Place, Prepared, Receipt, Tools
from sync.http import Http, Limits
from sync.model import Edition, Outlet, Rendition, Sighting
from sync.render import Templates
from tests.contract import sites
from tests.contract.bench import CLOCK, SandboxBench, Server, server, window

CANONICAL = "https://county.example/2026/11/12.html"
POSTS = "/town/wp-json/wp/v2/posts"
CALLS = {"prepare": POSTS, "release": f"{POSTS}/*", "correct": f"{POSTS}/*", "withdraw": f"{POSTS}/*"}
# Filling the draft is a change of a post, too, and goes first: a knob that does nothing takes it.
FILLS = ("release", "correct")


class WordpressBench(SandboxBench):
    faults = frozenset((name, phase) for name in ("drop_answer", "drop_request", "answer_502") for phase in CALLS)
    edition = sites.edition()

    def __init__(self, sandbox: Server, **settings: str) -> None:
        self.sandbox = sandbox
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        self.tools = Tools(self._http, sites.BLOBS.__getitem__, Templates(), CLOCK.now)
        self.outlet = WordpressChannel.twin(Outlet("town", "unit", "wordpress", settings), sandbox.address, "")

    @property
    def corrected(self) -> Edition:
        return sites.corrected(self.edition)

    def channel(self, **secrets: str) -> WordpressChannel:
        return WordpressChannel(replace(self.outlet, secrets={**self.outlet.secrets, **secrets}), self.tools)

    def user(self, name: str) -> None:
        """From now on the channel acts for another user of the site."""
        self.outlet = replace(self.outlet, settings={**self.outlet.settings, "username": name})

    def wrong(self) -> Mapping[str, str]:
        return {"application_password": "abcd efgh"}

    def public_copies(self) -> int:
        return len(self.sandbox.ask("GET", f"{POSTS}?per_page=100"))

    def hidden_things(self) -> int:
        """Hidden posts and files that the site still has."""
        made: set[str] = set()
        for line in self.sandbox.record():
            if line["effect"] in ("draft_created", "media_uploaded", "unpublished"):
                made.add(line["ref"])
            elif line["effect"] in ("post_deleted", "media_deleted", "published"):
                made.discard(line["ref"])
        return len(made)

    def fault(self, name: str, phase: str) -> None:
        if phase in FILLS:
            self.sandbox.knob("delay", method="POST", path=CALLS[phase], before_ms=0)
        self.sandbox.knob(name, method="POST", path=CALLS[phase])

    def colleague(self, method: str, route: str, given: object = None, user: str = "administrator") -> Any:
        """A call of somebody who works at the site."""
        told = base64.b64encode(f"{user}:sandbox town".encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {told}"}
        body = None if given is None else json.dumps(given).encode()
        address = f"{self.sandbox.address}/town/wp-json/wp/v2/{route}"
        request = urllib.request.Request(address, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def files(self) -> list[dict[str, Any]]:
        """What anybody finds in the site's list of files."""
        told: list[dict[str, Any]] = self.sandbox.ask("GET", "/town/wp-json/wp/v2/media")
        return told

    def effects(self, *names: str) -> list[dict[str, Any]]:
        """What happened at the site, of these kinds."""
        return [line for line in self.sandbox.record() if line["effect"] in names]

    def close(self) -> None:
        self._http.close()


BENCH = WordpressBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[WordpressBench]:
    with server("channels.sandbox.wordpress", tmp_path / "sandbox") as sandbox:
        made = WordpressBench(sandbox)
        try:
            yield made
        finally:
            made.close()


class Way:
    """One delivery on its way; `to`: what is published."""

    def __init__(self, site: WordpressBench, to: Edition | None = None, replaces: Receipt | None = None) -> None:
        self.site, self.key, self.replaces = site, site.key(), replaces
        self.rendition = site.channel().render(to or site.edition, Place(self.key, CANONICAL, replaces))

    def prepare(self) -> Prepared:
        return self.site.channel().prepare(self.rendition, self.key, self.replaces)

    def send(self, prepared: Prepared, at: int | None = None) -> Receipt | Accepted:
        """Armed and sent, by a channel built anew. `at`: the release's instant."""
        notes = {**prepared.notes, **({} if at is None else {"release_at": str(at)})}
        shot = self.site.channel().arm(replace(prepared, notes=notes), self.rendition, self.key)
        shot.send(window(), CLOCK.boottime)
        return shot.settle()

    def publish(self) -> Receipt:
        receipt = self.send(self.prepare())
        assert isinstance(receipt, Receipt)
        return receipt

    def probe(self, hint: Prepared | None) -> object:
        return self.site.channel().probe(self.rendition, self.key, hint, self.replaces)

    def verify(self, receipt: Receipt, before: Rendition | None = None) -> Sighting:
        return self.site.channel().verify(receipt, self.rendition, before)


class Correction(Way):
    """The bench's edition is public; the corrected one is to take its place."""

    def __init__(self, site: WordpressBench) -> None:
        self.first = Way(site)
        self.public = self.first.publish()
        super().__init__(site, site.corrected, self.public)

    def colleague(self, **given: object) -> Any:
        return self.site.colleague("POST", f"posts/{self.public.ref}", given)
