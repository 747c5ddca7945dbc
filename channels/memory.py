"""The reference channel, and the fake that passes the same contract as every real one.

`MemoryOutlet` is the world outside: it keeps drafts and posts, forgets nothing in `record`, and
fails on order in every flavour. `MemoryChannel` speaks to it as a channel speaks to an outlet.
Creating twice makes two posts: there is no kindness here that a real outlet would not show.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Capabilities,
    Correct,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Reveal,
    Setting,
    Shot,
    Stale,
    Tools,
    TryLater,
    Unauthorised,
)
from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting, Token

LANDS_WITHIN = 5.0

Fault = Literal["refuse", "reject", "lose", "unheard", "late"]


@dataclass
class Post:
    ref: str
    token: str
    content: str
    at: int


@dataclass
class MemoryOutlet:
    """What the outlet holds. `faults` are used up one per call, None meaning "works"."""

    now: Callable[[], int]
    password: str = "open"  # noqa: S105 - the fake's own
    faults: deque[Fault | None] = field(default_factory=deque)
    late_by: float = 1.0  # seconds until a "late" call takes effect; at most LANDS_WITHIN
    drafts: dict[str, tuple[str, str]] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    record: list[tuple[int, str, str]] = field(default_factory=list)
    _pending: list[tuple[int, Callable[[], object]]] = field(default_factory=list)
    _made: int = 0

    def land(self) -> None:
        """Let every late call whose time has come take effect."""
        due = [act for at, act in self._pending if at <= self.now()]
        self._pending = [(at, act) for at, act in self._pending if at > self.now()]
        for act in due:
            act()

    def call(self, act: Callable[[], str]) -> str:
        """One request: done, or failed in one of the flavours."""
        self.land()
        fault = self.faults.popleft() if self.faults else None
        match fault:
            case "refuse":
                raise TryLater("the outlet is busy")
            case "reject":
                raise Rejected("the outlet does not take this")
            case "lose":
                raise Ambiguous("no answer")
            case "unheard":
                act()
                raise Ambiguous("no answer")
            case "late":
                self._pending.append((self.now() + round(self.late_by * SECOND), act))
                raise Ambiguous("no answer")
            case None:
                return act()

    def add_draft(self, token: str, content: str) -> str:
        self._made += 1
        ref = f"draft-{self._made}"
        self.drafts[ref] = (token, content)
        self.record.append((self.now(), "drafted", token))
        return ref

    def publish(self, token: str, content: str, ref: str = "") -> str:
        """A new post, or with `ref` the text of one that is there changed. Raises Rejected when it is not."""
        if ref:
            post = next((one for one in self.posts if one.ref == ref), None)
            if post is None:
                raise Rejected("there is no such post")
            post.token, post.content = token, content
            self.record.append((self.now(), "changed", token))
            return ref
        self._made += 1
        post = Post(f"post-{self._made}", token, content, self.now())
        self.posts.append(post)
        self.record.append((self.now(), "published", token))
        return post.ref

    def remove(self, ref: str, token: str) -> str:
        self.posts = [post for post in self.posts if post.ref != ref]
        self.record.append((self.now(), "removed", token))
        return ref


class MemoryShot(Shot):
    def __init__(self, world: MemoryOutlet, token: str, content: str, ref: str) -> None:
        self._world, self._token, self._content, self._ref = world, token, content, ref
        self._answer: Receipt | Exception = TryLater("the shot was never sent")

    def _fire(self) -> None:
        try:
            ref = self._world.call(lambda: self._world.publish(self._token, self._content, self._ref))
            self._answer = Receipt(ref, f"memory:{ref}", self._world.now())
        except (TryLater, Rejected, Ambiguous) as error:
            self._answer = error

    def settle(self) -> Receipt | Accepted:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class MemoryChannel:
    kind: ClassVar[str] = "memory"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.CREATE,
        probe=Probe.SEARCH,
        lands_within=LANDS_WITHIN,
        correct=Correct.EDIT,
        withdraw=True,
        settings=(Setting("password", "口令", "password", required=True, secret=True),),
    )

    def __init__(self, outlet: Outlet, tools: Tools, world: MemoryOutlet) -> None:
        self._outlet, self._tools, self._world = outlet, tools, world

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        return Outlet(outlet.name, outlet.unit, outlet.kind, {}, {"password": "open"}, outlet.required)

    def check(self, edition: Edition) -> list[Problem]:
        return [] if edition.title else [Problem("title", "缺少标题 · a title is needed")]

    def address(self, edition: Edition, key: Key) -> str | None:
        return None

    def render(self, edition: Edition, place: Place) -> Rendition:
        shown = (Token("title", edition.title), *(Token("image", a.digest) for a in edition.assets))
        body = tuple(Token("text", block) for block in re.findall(r">([^<]+)<", edition.body))
        return Rendition(
            edition.title, edition.body, {"canonical": place.canonical or ""}, edition.assets, shown + body
        )

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        return {"post.html": rendition.content.encode()}

    def login(self) -> None:
        if self._outlet.secrets.get("password") != self._world.password:
            raise Unauthorised(f"{self._outlet.name}: wrong password")

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        self.login()
        ref = self._world.call(lambda: self._world.add_draft(key.token, rendition.digest))
        return Prepared(ref, notes={"replaces": replaces.ref} if replaces else {})

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        if prepared.ref not in self._world.drafts:
            raise Stale("the draft is gone")
        return MemoryShot(self._world, key.token, rendition.digest, prepared.notes.get("replaces", ""))

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        self._world.land()
        for post in self._world.posts:
            if post.token == key.token:
                return Receipt(post.ref, f"memory:{post.ref}", post.at)
        for ref, (token, content) in self._world.drafts.items():
            if token == key.token and content == rendition.digest:
                return Prepared(ref, notes={"replaces": replaces.ref} if replaces else {})
        return None

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        began = self._world.now()
        post = next((p for p in self._world.posts if p.ref == receipt.ref), None)
        if post is not None and before is not None and post.content == before.digest != rendition.digest:
            return Sighting(False, began, self._world.now())
        problems = (
            () if post is None or post.content == rendition.digest else (Problem("text", "altered", fatal=False),)
        )
        return Sighting(post is not None, began, self._world.now(), problems)

    def discard(self, prepared: Prepared, key: Key) -> None:
        self._world.drafts.pop(prepared.ref, None)

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        self.login()
        self._world.call(lambda: self._world.remove(receipt.ref, key.token))
