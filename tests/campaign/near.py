"""The fourteen behaviours once more, at the channel contract: outlets in this process, so many more of them.

What a sandbox does to a connection ends for the engine in one of four ways: it was refused, it was lost, it happened
unheard, or it happens late. Here those four are what is drawn, at forty outlets of a release; the engine and the
store are the real ones. `outlets` tries the same over HTTP, with the real channels.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

from sync.clock import SECOND
from sync.contract import Accepted, Ambiguous, Channel, Prepared, Receipt, TryLater
from sync.flow import D, E
from sync.model import Key, Rendition, Sighting
from sync.store import journal
from tests.campaign.behaviours import ZERO, Fate, Unsure, at_once
from tests.campaign.town import ENDED, settle
from tests.campaign.trial import Counts
from tests.integration.outside import BareChannel, Outside
from tests.integration.world import World

OUTLETS = 40  # of each case
KINDS: Mapping[str, tuple[str, ...]] = {"K": ("memory",), "N": ("site",), "S": ("memory", "queued"), "B": ("blind",)}
LOOK = SECOND  # µs from one look of the sweeper to the next
LANDS_WITHIN = 4.5  # seconds; the kinds declare five
PARKED_WITHIN = 60 * SECOND  # µs

# Behaviour → what the engine meets.
AT_THE_SHOT: Mapping[str, tuple[str, ...]] = {
    "refuse": ("refused", "lost"),  # a bare 500 is no certain word
    "apply_and_time_out": ("unheard",),
    "apply_and_5xx": ("unheard",),
    "late": ("late",),
    "error_body": ("unheard", "lost"),
    "login_page": ("lost",),
    "list_lag": ("unheard",),
    "key_expiry": ("unheard", "lost"),
    "slow_drip": ("unheard",),
    "reset_after_headers": ("unheard",),
    "lost": ("lost", "unheard"),
}
SHOWN = ("alters", "truncates", "doubles", "vanishes")


@dataclass
class Willful(Outside):
    """An outlet with a will of its own about what it shows, when, and how often."""

    spoils: bool = False
    doubles: bool = False
    vanishes: float | None = None  # seconds
    lag: float = 0.0  # seconds for which a look misses what has just become public
    remembers: float = 0.0  # seconds for which a repeated key makes no second copy

    def publish(self, token: str, content: str, ref: str = "") -> str:
        known = next((one for one in self.posts if one.token == token), None)
        if known is not None and self.now() < known.at + self.remembers * SECOND:
            return known.ref
        made = super().publish(token, f"altered: {content}" if self.spoils else content, ref)
        if self.doubles:
            super().publish(token, content)
        if self.vanishes is not None:
            self._pending.append((self.now() + round(self.vanishes * SECOND), partial(self._vanish, token)))
        return made

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        self._pending.append((self.now() + round(seconds * SECOND), act))

    def due_at(self) -> int | None:
        return min((at for at, _ in self._pending), default=None)

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """By somebody who is shown what it shows: with its lag. What is due by now happens before, not meanwhile."""
        self.land()
        young = [one for one in self.posts if one.at + self.lag * SECOND > self.now()]
        self.posts = [one for one in self.posts if one not in young]
        try:
            yield
        finally:
            self.posts = [*self.posts, *young]

    def _vanish(self, token: str) -> None:
        self.posts = [one for one in self.posts if one.token != token]


class Near(World):
    """Forty outlets of one class, each with a fate of its own. The sweeper looks once a second."""

    outside: dict[str, Willful]  # type: ignore[assignment]  # every outlet here is one

    def open(self, name: str, kind: str, fate: Fate, random: Random) -> None:
        self.add(name, kind, required=False)
        made = self.outside[name] = Willful(self.clock.now)
        acts = _planned(made, fate, random)
        unread = deque([True] * random.choice((0, 0, 1, 3)))
        later = partial(_within, made, random)
        self.mischief[name] = lambda channel: cast(
            BareChannel, _Hard(cast(Channel, channel), later, self.clock.now, fate, acts, made, unread)
        )

    def step(self) -> bool:
        for one in self.outside.values():
            one_due = one.due_at() if isinstance(one, Willful) else None
            if one_due is not None and one_due <= self.clock.now():
                one.land()
        return super().step()

    def check(self) -> None:
        """The trial looks at the end."""

    def _following(self) -> int | None:
        looked = super()._following()
        instants = [at for one in self.processes if (at := one.sender.due_at()) is not None]
        instants += [] if looked is None else [-(-looked // LOOK) * LOOK]
        for one in self.outside.values():
            if isinstance(one, Willful) and (at := one.due_at()) is not None:
                instants.append(at)
        return min((max(at, self.clock.now() + 1) for at in instants), default=None)


class _Hard(Unsure):
    """Also to look at, and to read."""

    def __init__(
        self,
        inner: Channel,
        later: Callable[[Callable[[], None]], None],
        now: Callable[[], int],
        fate: Fate,
        acts: deque[str],
        there: Willful,
        unread: deque[bool],
    ) -> None:
        super().__init__(inner, later, now, fate, acts)
        self._there, self._unread = there, unread

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        with self._there.looked_at():
            return self._inner.probe(rendition, key, hint, replaces)

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        if self._unread:
            self._unread.pop()
            raise TryLater("the page cannot be read just now")
        return self._inner.verify(receipt, rendition, before)


def _planned(made: Willful, fate: Fate, random: Random) -> deque[str]:
    """Draw what this outlet will do; the acts at its coming shots."""
    fate.named.append(random.choice(list(AT_THE_SHOT)))
    acts = deque(random.choice(AT_THE_SHOT[fate.named[0]]) for _ in range(random.choice((1, 3, 5, 8))))
    made.remembers = random.choice((0.0, 1.0, 30.0)) if fate.named[0] == "key_expiry" else 0.0
    made.lag = random.uniform(0.1, LANDS_WITHIN / 2) if fate.named[0] in ("list_lag", "late") else 0.0
    if random.random() < 0.3:
        made.scripts.append(random.choice((_lost, _unheard)))  # of the draft
    if random.random() < 0.3:
        fate.named.append(random.choice(SHOWN))
        fate.doubles = made.doubles = fate.named[-1] == "doubles"
        fate.spoiled = made.spoils = fate.named[-1] in ("alters", "truncates")
        if fate.named[-1] == "vanishes":
            # A job is asked about at its polls; what nobody was ever shown looks like one that goes on.
            soonest = (30.0,) if fate.kind == "queued" else (0.0, 1.0, 30.0)
            fate.vanishes = made.vanishes = random.choice((*soonest, 600.0))
    return acts


def _within(made: Willful, random: Random, act: Callable[[], None]) -> None:
    made.later(random.uniform(0.05, LANDS_WITHIN - made.lag), act)


def _lost(act: Callable[[], str]) -> str:
    raise Ambiguous("no answer")


def _unheard(act: Callable[[], str]) -> str:
    act()
    raise Ambiguous("no answer")


def judged(made: Near, release: str, fates: Mapping[str, Fate], blind: bool) -> Counter[str]:
    """As `outlets.judged`: by the outlets' records, what the client is told, and the log."""
    counts: Counter[str] = Counter(deliveries=len(fates))
    release_at = made.release(release).release_at
    for told in made.report(release)["deliveries"]:
        if (fate := fates.get(told["outlet"])) is None:
            continue
        state = D(told["state"])
        copies = [at for at, what, _ in made.outside[fate.name].record if what == "published"]
        with made.store.read() as connection:
            entries = journal.of(connection, "delivery", told["id"])
        unclear = [at for at, act in fate.shots if act in ("lost", "unheard", "late")]
        counts["ambiguous"] += len(unclear)
        counts["early"] += sum(at < release_at for at in copies)
        counts["duplicate"] += at_once(copies, fate) > (2 if fate.doubles else 1)
        counts["lost"] += _is_lost(state, copies, told)
        counts["false_failure"] += state in (D.FAILED, D.CANCELLED) and bool(copies)
        if state is D.VERIFIED:
            at = next(one.at for one in entries if one.act == E.VERIFIED)
            gone = fate.vanishes is not None and copies and at > copies[-1] + fate.vanishes * SECOND
            counts["false_verified"] += fate.spoiled or not copies or bool(gone)
        counts["parked"] += state is D.UNRESOLVED
        if blind and unclear:
            counts["blind_resend"] += sum(at > unclear[0] for at, _ in fate.shots)
            parked = [one.at for one in entries if one.state == D.UNRESOLVED]
            counts["parked_late"] += not parked or parked[0] - unclear[0] > PARKED_WITHIN
    return counts


def _is_lost(state: D, copies: list[int], told: Mapping[str, Any]) -> bool:
    if state in (D.VERIFIED, D.CLOSED):
        return not copies
    if state is D.RELEASED:
        return not told["problems"]
    return state not in ENDED


def run_case(database: Path, kind_class: str, case: int) -> Counts:
    """One release to outlets of this class. Raises AssertionError."""
    random = Random(f"T-06 near {kind_class} {case}")
    folder = Path(tempfile.mkdtemp(prefix="near-", dir=database.parent))
    made = Near(folder / "home", database)
    try:
        made.add("front", "site")
        fates = {name: Fate(name, random.choice(KINDS[kind_class])) for name in (f"o{one}" for one in range(OUTLETS))}
        for fate in fates.values():
            made.open(fate.name, fate.kind, fate, random)
        made.process()
        release = made.plan(",".join(["front", *fates]), at=60)
        settle(made, release, standing=[one.name for one in fates.values() if one.stands_apart])
        counts = judged(made, release, fates, blind=kind_class == "B")
        wrong = [name for name in ZERO if counts[name]]
        told = {name: (state, fates[name].named) for name, state in made.states(release).items() if name in fates}
        assert not wrong, f"case {case} of {kind_class}: {', '.join(wrong)}: {dict(counts)} {told}"
        assert [] == made.failures, f"case {case} of {kind_class}: {made.failures}"
        return counts
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
