"""The world outside: memory outlets that fail by script, and one channel for each way an outlet can be."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from channels.memory import MemoryChannel, MemoryOutlet
from sync.clock import SECOND
from sync.contract import Accepted, Capabilities, Prepared, Probe, Receipt, Reveal, Shot, Tools, Unsupported
from sync.model import Edition, Key, Outlet, Rendition, Sighting

Script = Callable[[Callable[[], str]], str]


@dataclass
class Outside(MemoryOutlet):
    """A memory outlet that also fails by script: a script is handed the act of one call, None lets it pass."""

    scripts: deque[Script | None] = field(default_factory=deque)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def call(self, act: Callable[[], str]) -> str:
        with self.turn:
            script = self.scripts.popleft() if self.scripts else None
            return super().call(act) if script is None else script(act)

    def enqueue(self, token: str, content: str) -> str:
        """A job of the outlet's own: it publishes in `late_by` seconds."""
        self._pending.append((self.now() + round(self.late_by * SECOND), lambda: self.publish(token, content)))
        return f"job-{token}"


class BareChannel(MemoryChannel):
    """A memory channel with what the tests need to look at."""

    kind: ClassVar[str] = "memory"

    def __init__(self, outlet: Outlet, tools: Tools, world: Outside) -> None:
        super().__init__(outlet, tools, world)
        self.outside = world


class Site(BareChannel):
    """Its addresses are known beforehand, so it can be canonical."""

    kind = "site"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, address=True, probe=Probe.NAME)

    def address(self, edition: Edition, key: Key) -> str | None:
        return f"https://county.example/{key.token}"

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        named = [one.ref for one in self.outside.posts if receipt.url.endswith(one.token)]
        return super().verify(replace(receipt, ref=named[0]) if named else receipt, rendition, before)


class Blind(BareChannel):
    """Cannot be looked up after doubt."""

    kind = "blind"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, probe=Probe.BLIND)

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        raise Unsupported("nothing can be looked up here")


class Queued(BareChannel):
    """The shot only starts a job of the outlet's."""

    kind = "queued"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, reveal=Reveal.QUEUED, polls=(1.0, 5.0))

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        super().arm(prepared, rendition, key)
        return _Job(self.outside, key.token, rendition.digest)

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        found = super().probe(rendition, key, hint, replaces)
        return hint if isinstance(hint, Accepted) and not isinstance(found, Receipt) else found


class Brief(BareChannel):
    """What it prepared keeps for a minute."""

    kind = "brief"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, fresh_for=60.0)


class _Job(Shot):
    def __init__(self, world: Outside, token: str, content: str) -> None:
        self._world, self._token, self._content = world, token, content
        self._job = ""

    def _fire(self) -> None:
        self._job = self._world.call(lambda: self._world.enqueue(self._token, self._content))

    def settle(self) -> Receipt | Accepted:
        return Accepted(self._job)


KINDS: dict[str, type[BareChannel]] = {one.kind: one for one in (BareChannel, Site, Blind, Queued, Brief)}
Made = Callable[[BareChannel], BareChannel]


def remade(kind: type[BareChannel]) -> Made:
    """The outlet's channel, as one of this class."""
    return lambda channel: kind(channel._outlet, channel._tools, channel.outside)
