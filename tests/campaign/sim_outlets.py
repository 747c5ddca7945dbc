"""Outlets of every class, failing by chance in every flavour, and what they did: the record that the judge trusts.

An outlet shows no kindness: creating twice makes two posts, whatever its class. `honest` effects land
within the declared time; those that do not (`late beyond`, `twice`) are marked, because no sender can
keep them from being there twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

from channels.memory import LANDS_WITHIN, MemoryChannel, Post
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Capabilities,
    Correct,
    OutletError,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Reveal,
    Shot,
    Stale,
    Tools,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting
from tests.integration.outside import Outside

if TYPE_CHECKING:
    from tests.campaign.sim_hosts import Host, Universe

MARGIN = 0.2  # seconds that an honest effect keeps from the end of its time
ALTERED = "altered: "
# What may become of a call that creates or removes, with its weight.
FATES = {"busy": 3, "wait": 3, "lost": 4, "unheard": 5, "late": 4, "refused": 1, "login": 1}
SHOTS = FATES | {"altered": 3, "hollow": 2, "twice": 0.3, "beyond": 0.3, "gone soon": 1}
REMOVALS = {"busy": 3, "wait": 3, "lost": 4, "unheard": 4, "late": 3, "ignored": 3, "never": 0.3}


class Watcher(Protocol):
    """The judge, as an outlet knows it."""

    def broken(self, rule: str, what: str) -> None: ...
    def shot(self, outlet: SimOutlet, token: str, ref: str) -> None: ...
    def public(self, outlet: SimOutlet, token: str, content: str, *, honest: bool) -> None: ...
    def removed(self, outlet: SimOutlet, token: str) -> None: ...


@dataclass(frozen=True)
class Coming:
    """An effect that has not landed yet."""

    token: str
    what: str
    honest: bool
    host: Host  # who asked for it
    lands_at: int


@dataclass
class SimOutlet(Outside):
    """See the module's first lines. `posts` is what a reader sees."""

    name: str = ""
    kind: str = "memory"
    universe: Universe = None  # type: ignore[assignment]
    judge: Watcher = None  # type: ignore[assignment]
    down_until: int = 0
    sick: tuple[str, ...] = ()  # the fates of all calls, as long as there are any
    lands_within: float = LANDS_WITHIN
    lag: int = 0  # µs for which a look misses what has just become public
    coming: list[Coming] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)  # by token: from when on it may be asked again
    told_to_wait: dict[str, int] = field(default_factory=dict)  # the same, of what the log says was heard
    rendered: dict[str, tuple[str, int, str]] = field(default_factory=dict)  # digest → item, revision, text
    read_as_approved: set[str] = field(default_factory=set)  # tokens: a reader was shown just this
    template: str = ""  # what its pages have at their end
    hollow: set[str] = field(default_factory=set)  # tokens that it called public, and are not
    dishonest: set[str] = field(default_factory=set)
    spoilt: set[str] = field(default_factory=set)  # tokens whose posts it altered or deleted by itself
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def latest(self) -> float:
        """Seconds after a call in which an honest effect has landed, and can be seen."""
        return self.lands_within - MARGIN - self.lag / SECOND

    def effect(self, what: str, token: str, content: str, ref: str, *, honest: bool = True) -> str:
        """It happens now. Raises Rejected when the post to be changed is not there."""
        if what == "draft":
            return self.add_draft(token, content)
        if what == "discard":
            self.drafts.pop(ref, None)
            return ref
        if what == "remove":
            self.remove(ref, token)
            self.judge.removed(self, token)
            return ref
        made = self.publish(token, content, ref)
        self.judge.public(self, token, content, honest=honest)
        return made

    def later(
        self, seconds: float, host: Host, what: str, token: str, content: str, ref: str, *, honest: bool = True
    ) -> None:
        """It will happen in so many seconds; of a caller who is gone, not much later than that."""
        one = Coming(token, what, honest, host, self.universe.time + round(seconds * SECOND))
        self.coming.append(one)

        def land() -> None:
            self.coming.remove(one)
            if not self._lands(one):
                return
            if what == "change" and not any(post.ref == ref for post in self.posts):
                return
            self.effect(what, token, content, ref, honest=honest)

        self.universe.at(one.lands_at, f"{self.name}: {what} lands", land)

    def _lands(self, one: Coming) -> bool:
        """Not if its caller is gone for longer than an honest effect takes."""
        gone = one.host.lost_at
        return not one.honest or gone is None or one.lands_at <= gone + self.latest * SECOND

    def fate(self, host: Host, weights: Mapping[str, float], token: str) -> str:
        """What becomes of this call."""
        universe = self.universe
        self.calls[token] = self.calls.get(token, 0) + 1
        chance = universe.chance
        if universe.time < self.down_until:
            return chance.choice(("busy", "lost"))
        if self.sick:
            return chance.choice([one for one in self.sick if one in weights] or ["busy"])
        if chance.random() >= universe.weather.call:
            return "well"
        fate = chance.choices(list(weights), list(weights.values()))[0]
        return fate if universe.strikes(f"{self.name}: {fate}") else "well"

    def act(
        self, host: Host, fate: str, waits: float, what: str, token: str, content: str = "", ref: str = ""
    ) -> tuple[str, OutletError | None]:
        """One call with this fate: the ref it made, and what is raised to the caller. `waits`: seconds until then."""
        universe, chance = self.universe, self.universe.chance
        within = chance.uniform(0.05, self.latest)
        waits_until = 0 if what == "discard" else self.told_to_wait.get(token, 0)
        if waits_until > universe.time and universe.trusted:
            self.judge.broken("wait", f"{self.name} was asked again before the time that it had named")
        match fate:
            case "busy":
                return "", TryLater("the outlet is busy")
            case "wait":
                until = universe.time + round(chance.choice((5, 30, 600)) * chance.random() * SECOND)
                self.named[token] = until
                return "", TryLater("too many requests", host.clock.now() + until - universe.time)
            case "refused":
                return "", Rejected("the outlet does not take this")
            case "login":
                return "", Unauthorised("the password has run out")
            case "lost":
                return "", Ambiguous("no answer")
            case "late":
                self.later(waits + within, host, what, token, content, ref)
                return "", Ambiguous("no answer")
            case "beyond":
                self.dishonest.add(token)
                self.later(
                    waits + self.lands_within + 40 * chance.random(), host, what, token, content, ref, honest=False
                )
                return "", Ambiguous("no answer")
            case "hollow":
                self.hollow.add(token)
                return f"hollow-{token[:6]}", None
            case "ignored":
                return ref, None
            case "never":
                return "", Rejected("the outlet does not remove this")
            case "twice":
                self.dishonest.add(token)
                self.effect(what, token, content, ref, honest=False)
            case "altered":
                self.spoilt.add(token)
                content = ALTERED + content
            case "gone soon":
                self.spoilt.add(token)
                universe.at(universe.time + round(10 * chance.random() * SECOND), "", lambda: self._vanish(token))
        try:
            made = self.effect(what, token, content, ref)
        except Rejected as error:
            return "", error
        return (made, Ambiguous("no answer")) if fate == "unheard" else (made, None)

    def ask(
        self, host: Host, weights: Mapping[str, float], what: str, token: str, content: str = "", ref: str = ""
    ) -> str:
        """A call that a thread makes and waits for."""
        self.universe.point(host, f"before {what} at {self.name}")
        made, error = self.act(host, self.fate(host, weights, token), 0.0, what, token, content, ref)
        self.universe.time += self.universe.chance.randrange(1_000, 200_000)
        self.universe.point(host, f"after {what} at {self.name}")
        if error is not None:
            raise error
        return made

    def look(self, host: Host, what: str) -> None:
        """A call that only reads. Raises TryLater when the outlet does not answer."""
        self.universe.point(host, f"before {what} at {self.name}")
        self.universe.time += self.universe.chance.randrange(1_000, 50_000)
        if self.universe.time < self.down_until:
            raise TryLater("the outlet is down")
        if self.universe.chance.random() < self.universe.weather.call / 2 and self.universe.strikes(
            f"{self.name}: unread"
        ):
            raise TryLater("the outlet is busy")

    def pending(self, token: str) -> bool:
        """An honest effect of this delivery may still come."""
        return any(
            one.token == token and one.honest and one.what != "draft" and self._lands(one) for one in self.coming
        )

    def shows(self, token: str) -> Post | None:
        return next((post for post in self.posts if post.token == token), None)

    def _vanish(self, token: str) -> None:
        self.posts = [post for post in self.posts if post.token != token]


class SimShot(Shot):
    """The bytes leave in the sender loop; the answer is read later, and may take its time."""

    def __init__(self, channel: SimChannel, token: str, content: str, ref: str) -> None:
        self._channel, self._token, self._content, self._ref = channel, token, content, ref
        self._answer: Receipt | Accepted | OutletError = TryLater("the shot was never sent")
        self._waits = 0.0

    def _fire(self) -> None:
        channel, outlet = self._channel, self._channel.outlet
        universe = outlet.universe
        universe.point(channel.host, f"at the shot to {outlet.name}", loop=True)
        outlet.judge.shot(outlet, self._token, self._ref)
        what = "change" if self._ref else "publish"
        fate = outlet.fate(channel.host, SHOTS, self._token)
        if channel.can.reveal is Reveal.QUEUED and fate in ("well", "unheard"):
            heard = fate == "well"
            within = universe.chance.uniform(0.3, outlet.latest)
            outlet.later(within, channel.host, what, self._token, self._content, "")
            self._answer = Accepted(f"job-{self._token}") if heard else Ambiguous("no answer")
            return
        self._waits = universe.chance.uniform(0.3, 6.0) if fate in ("lost", "late", "unheard", "beyond") else 0.0
        ref, error = outlet.act(channel.host, fate, self._waits, what, self._token, self._content, self._ref)
        self._answer = (
            error if error is not None else Receipt(ref, f"https://{outlet.name}/{ref}", channel.host.clock.now())
        )

    def settle(self) -> Receipt | Accepted:
        universe = self._channel.outlet.universe
        universe.time += universe.chance.randrange(1_000, 300_000)
        if self._waits:  # until the caller gives up
            universe.stop(self._channel.host, round(self._waits * SECOND), all_of_it=False)
        universe.point(self._channel.host, f"at the answer of {self._channel.outlet.name}")
        if isinstance(self._answer, OutletError):
            raise self._answer
        return self._answer


class SimChannel(MemoryChannel):
    """Found by search; corrected in place."""

    kind: ClassVar[str] = "memory"

    def __init__(self, made_for: Outlet, tools: Tools, outlet: SimOutlet, host: Host) -> None:
        super().__init__(made_for, tools, outlet)
        self.outlet, self.host = outlet, host

    def render(self, edition: Edition, place: Place) -> Rendition:
        made = super().render(edition, place)
        made = replace(made, content=made.content + self.outlet.template) if self.outlet.template else made
        self.outlet.rendered[made.digest] = (edition.item, edition.revision, edition.body)
        return made

    def login(self) -> None:
        return

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        ref = self.outlet.ask(self.host, FATES, "draft", key.token, rendition.digest)
        fresh = self.can.fresh_for
        until = None if fresh is None else self.host.clock.now() + round(fresh * SECOND)
        return Prepared(ref, until, self._notes(replaces))

    def _notes(self, replaces: Receipt | None) -> dict[str, str]:
        there = SimChannel._read(self, replaces) if replaces else None
        return {"replaces": there.ref if there else replaces.ref} if replaces else {}

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        self.outlet.look(self.host, "arming")
        if prepared.ref not in self.outlet.drafts:
            raise Stale("the draft is gone")
        return SimShot(self, key.token, rendition.digest, prepared.notes.get("replaces", ""))

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        self.outlet.look(self.host, "a probe")
        listed = self.outlet.universe.time - self.outlet.lag
        for post in self.outlet.posts:
            if post.token == key.token and post.at <= listed:
                return Receipt(post.ref, f"https://{self.outlet.name}/{post.ref}", post.at)
        if isinstance(hint, Accepted) and hint.job:
            return hint
        for ref, (token, content) in self.outlet.drafts.items():
            if token == key.token and content == rendition.digest:
                return Prepared(ref, notes=self._notes(replaces))
        return None

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        self.outlet.look(self.host, "a reading")
        began = self.host.clock.now()
        post = self._read(receipt)
        if post is None:
            return Sighting(False, began, self.host.clock.now())
        if before is not None and post.content == before.digest != rendition.digest:
            return Sighting(False, began, self.host.clock.now())
        same = post.content == rendition.digest
        if same:
            self.outlet.read_as_approved.add(post.token)
        problems = () if same else (Problem("text", "altered", fatal=False),)
        return Sighting(True, began, self.host.clock.now(), problems)

    def _read(self, receipt: Receipt) -> Post | None:
        """By its reference, or by its address, which is all that a person can name."""
        names = (receipt.ref, receipt.url.rpartition("/")[2])
        return next((one for one in self.outlet.posts if one.ref in names), None)

    def discard(self, prepared: Prepared, key: Key) -> None:
        self.outlet.ask(self.host, {"busy": 1, "lost": 1}, "discard", key.token, "", prepared.ref)

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        there = SimChannel._read(self, receipt)
        self.outlet.ask(self.host, REMOVALS, "remove", key.token, "", there.ref if there else receipt.ref)


class Keyed(SimChannel):
    kind = "key"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, probe=Probe.KEY)


class Site(SimChannel):
    """Its addresses are known beforehand, so it can be canonical."""

    kind = "site"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, address=True, probe=Probe.NAME)

    def address(self, edition: Edition, key: Key) -> str | None:
        return f"https://county.example/{key.token}"

    def _read(self, receipt: Receipt) -> Post | None:
        named = next((one for one in self.outlet.posts if receipt.url.endswith(one.token)), None)
        return named or super()._read(receipt)


class Blind(SimChannel):
    """Cannot be looked up after doubt."""

    kind = "blind"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, probe=Probe.BLIND)

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        raise Unsupported("nothing can be looked up here")


class Queued(SimChannel):
    """The shot only starts a job of the outlet's."""

    kind = "queued"
    can: ClassVar[Capabilities] = replace(
        MemoryChannel.can, reveal=Reveal.QUEUED, polls=(1.0, 5.0, 30.0), correct=Correct.REPLACE, lands_within=40.0
    )


class Brief(SimChannel):
    """What it prepared keeps for a minute."""

    kind = "brief"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, fresh_for=60.0)


class Replacing(SimChannel):
    """A correction is a new post; the old one is removed after it."""

    kind = "replace"
    can: ClassVar[Capabilities] = replace(MemoryChannel.can, correct=Correct.REPLACE)


KINDS: dict[str, type[SimChannel]] = {
    one.kind: one for one in (SimChannel, Keyed, Site, Blind, Queued, Brief, Replacing)
}
