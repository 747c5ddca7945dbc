"""What an outlet may do to those who publish there: fourteen behaviours, by knobs of its sandbox.

A behaviour is aimed at one outlet and one phase; drawn with a case's own numbers, the same case is the same again.
Files give no unclear answers, but a file server may: `Unsure` stands between a static outlet and its folder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, cast

from sync.clock import SECOND
from sync.contract import Accepted, Ambiguous, Channel, Prepared, Receipt, Shot, TryLater
from sync.model import Key, Rendition
from tests.campaign.town import Town

# What must never be counted.
ZERO = ("lost", "duplicate", "early", "false_verified", "false_failure", "blind_resend", "parked_late")
# Faults after which nobody can know whether it happened.
UNCLEAR = frozenset(
    {
        "login_page",
        "error_body",
        "drop_request",
        "drop_answer",
        "answer_502",
        "reset_body",
        "cut_body",
        "late",
        "delay",
        "slow_drip",
    }
)
TITLE = "开通公交环线"
SHOTS: Mapping[str, Mapping[str, str]] = {
    "mastodon": {"method": "POST", "path": "/api/v1/statuses", "account": "{}"},
    "wechat": {"method": "POST", "path": "/cgi-bin/freepublish/submit", "account": "{}"},
    "webhook": {"account": "{} item.published"},
}
PREPARES: Mapping[str, Mapping[str, str]] = {
    "mastodon": {"method": "GET", "path": "/api/v1/accounts/*", "account": "{}"},
    "wechat": {"method": "POST", "path": "/cgi-bin/draft/add", "account": "{}"},
    "webhook": {"account": "{} outlet.check"},
}
READS: Mapping[str, Mapping[str, str]] = {
    "mastodon": {"method": "GET", "path": "/api/v1/statuses/*", "account": "{}"},
    "wechat": {"method": "GET", "path": "/s/*", "account": "{}"},
    "webhook": {"method": "GET", "path": "/*/items/*", "account": "{}"},
    "website": {"method": "GET", "path": "*.html", "account": "{}"},
    "gazette": {"method": "GET", "path": "*.html", "account": "{}"},
}


@dataclass
class Fate:
    """What was planned for one outlet: the truth that the engine has to find out."""

    name: str
    kind: str
    named: list[str] = field(default_factory=list)
    spoiled: bool = False  # the public never sees what was approved
    vanishes: float | None = None  # seconds after it appeared
    doubles: bool = False
    refusal: int = 0  # the status of its refusals
    turned_away: bool = False  # they say certainly that nothing happened
    unsure: int = 0  # unclear answers of one that is not served by a sandbox
    shots: list[tuple[int, str]] = field(default_factory=list)  # of such a one: when (µs UTC), and what became of it

    @property
    def stands_apart(self) -> bool:
        """The public never sees what was approved, for long."""
        unheard = self.kind == "webhook" and "error_body" in self.named  # 2xx, and perhaps nothing done
        return self.spoiled or self.vanishes is not None or unheard


def at_once(copies: list[int], fate: Fate) -> int:
    """How many copies there were at most at one moment: what vanished unheard of may be published again."""
    stands = None if fate.vanishes is None else round(fate.vanishes * SECOND)
    return max((sum(one <= at and (stands is None or at < one + stands) for one in copies) for at in copies), default=0)


@dataclass
class Aim:
    """Sets knobs for one outlet."""

    town: Town
    fate: Fate
    random: Random
    phase: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: SHOTS)

    def fault(self, name: str, times: int = 1, **given: Any) -> None:
        """One that happens to a request."""
        where = {key: text.format(self.fate.name) for key, text in self.phase[self.fate.kind].items()}
        self.town.server(self.fate.name).knob(name, **where, times=times, **given)

    def setting(self, name: str, **given: Any) -> None:
        """One that stands."""
        self.town.server(self.fate.name).knob(name, account=self.fate.name, **given)

    @property
    def often(self) -> int:
        return self.random.choice((1, 1, 1, 2, 3))


def refuse(aim: Aim) -> None:
    status, headers = aim.random.choice(
        ((503, {"Retry-After": "20"}), (429, {"Retry-After": "30"}), (500, {}), (503, {}), (422, {}), (403, {}))
    )
    aim.fate.refusal, aim.fate.turned_away = status, bool(headers) or status in (422, 403)
    if status == 503 and headers and aim.fate.kind != "webhook":
        aim.fate.turned_away = False
    aim.fault("refuse", aim.often, status=status, headers=headers, json={"error": "no"})


def apply_and_time_out(aim: Aim) -> None:
    aim.fault("delay", aim.often, after_ms=aim.random.randrange(5_000, 100_000))


def apply_and_5xx(aim: Aim) -> None:
    aim.fault("answer_502", aim.often)


def late(aim: Aim) -> None:
    aim.fault("late", aim.often, seconds=aim.random.uniform(0.5, 110), hold=aim.random.random() < 0.5)


def error_body(aim: Aim) -> None:
    told = {"errcode": -1, "errmsg": "system error"} if aim.fate.kind == "wechat" else {"error": "internal error"}
    aim.fault("error_body", aim.often, json=told, applied=aim.random.random() < 0.5)


def login_page(aim: Aim) -> None:
    aim.fault("login_page", aim.often)


def alters(aim: Aim) -> None:
    aim.fate.spoiled = True
    aim.setting("alter", replace=["公交", "公车"])


def truncates(aim: Aim) -> None:
    aim.fate.spoiled = True
    aim.setting("alter", replace=["环线", ""])


def list_lag(aim: Aim) -> None:
    seconds = aim.random.uniform(0.5, 100)
    aim.setting("lag" if aim.fate.kind == "webhook" else "list_lag", seconds=seconds)
    aim.fault(aim.random.choice(("drop_answer", "answer_502")))


def key_expiry(aim: Aim) -> None:
    """The key of a repetition is not known any more."""
    if aim.fate.kind == "wechat":
        aim.setting("token_life", seconds=aim.random.choice((20, 60, 200)))
    else:
        aim.setting("key_ttl", seconds=3_600 if aim.fate.kind == "webhook" else aim.random.choice((1, 30, 3_600)))
    aim.fault("drop_answer", aim.often)


def slow_drip(aim: Aim) -> None:
    aim.fault("slow_drip", aim.often)


def reset_after_headers(aim: Aim) -> None:
    aim.fault(aim.random.choice(("reset_body", "cut_body")), aim.often)


def lost(aim: Aim) -> None:
    aim.fault(aim.random.choice(("drop_request", "drop_answer")), aim.often, reset=aim.random.random() < 0.5)


def doubles(aim: Aim) -> None:
    aim.fate.doubles = True
    aim.setting("doubles")


def vanishes(aim: Aim) -> None:
    aim.fate.vanishes = aim.random.choice((0.0, 1.0, 30.0, 600.0))
    aim.setting("vanish", seconds=aim.fate.vanishes)


Behaviour = Callable[[Aim], None]
AT_THE_SHOT: tuple[Behaviour, ...] = (
    refuse,
    apply_and_time_out,
    apply_and_5xx,
    late,
    error_body,
    login_page,
    list_lag,
    key_expiry,
    slow_drip,
    reset_after_headers,
    lost,
)
SHOWN: tuple[Behaviour, ...] = (alters, truncates, doubles, vanishes)
ANYWHERE: tuple[Behaviour, ...] = (apply_and_5xx, login_page, slow_drip, reset_after_headers, lost)


def plan_fate(town: Town, name: str, kind: str, random: Random) -> Fate:
    """Draw what this outlet will do, and set its knobs."""
    fate = Fate(name, kind)
    for among, phase, how_often in ((AT_THE_SHOT, SHOTS, 1.0), (ANYWHERE, PREPARES, 0.3), (ANYWHERE, READS, 0.3)):
        if kind in phase and random.random() < how_often:
            _choose(Aim(town, fate, random, phase), among)
    if random.random() < 0.3:
        shown = [one for one in SHOWN if kind in ("mastodon", "wechat") or one is not doubles]
        _choose(Aim(town, fate, random), shown)
    if kind == "mastodon" and random.random() < 0.5:
        Aim(town, fate, random).setting("ignore_key")  # as some servers that speak the same language do
    if kind in ("website", "gazette"):
        flavours = [random.choice(FLAVOURS) for _ in range(random.choice((1, 1, 2, 3)))]
        fate.named += flavours
        acts = deque(flavours)
        later = partial(_soon, town, random)
        town.worse[name] = lambda channel: cast(Channel, Unsure(channel, later, town.clock.now, fate, acts))
    return fate


def _choose(aim: Aim, among: tuple[Behaviour, ...] | list[Behaviour]) -> None:
    chosen = aim.random.choice(among)
    aim.fate.named.append(chosen.__name__)
    chosen(aim)


FLAVOURS = ("refused", "lost", "unheard", "late")
LATEST = 0.9  # seconds: less than a static outlet's `lands_within`


def _soon(town: Town, random: Random, act: Callable[[], None]) -> None:
    town.tide.later(random.uniform(0.01, LATEST), act)


class Unsure:
    """An outlet that answers badly at the instant; `acts`: what becomes of its coming shots, "": they go well.

    refused  it says certainly that nothing happened      unheard  it happens, and the answer is lost
    lost     nothing happens, and there is no answer      late     it happens when `later` lets it, without an answer
    """

    def __init__(
        self,
        inner: Channel,
        later: Callable[[Callable[[], None]], None],
        now: Callable[[], int],
        fate: Fate,
        acts: deque[str],
    ) -> None:
        self._inner, self.later, self._now, self._fate, self._acts = inner, later, now, fate, acts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        return _UnsureShot(self._inner.arm(prepared, rendition, key), self)

    def next_act(self) -> str:
        act = self._acts.popleft() if self._acts else ""
        self._fate.unsure += act in ("lost", "unheard", "late")
        self._fate.shots.append((self._now(), act))
        return act


class _UnsureShot(Shot):
    def __init__(self, inner: Shot, server: Unsure) -> None:
        self._inner, self._server = inner, server
        self._act = ""

    def check(self) -> None:
        self._inner.check()

    def _fire(self) -> None:
        self._act = self._server.next_act()
        match self._act:
            case "late":
                self._server.later(self._inner._fire)
            case "" | "unheard":
                self._inner._fire()

    def settle(self) -> Receipt | Accepted:
        match self._act:
            case "refused":
                raise TryLater("the outlet refuses: nothing happened")
            case "lost" | "late":
                raise Ambiguous("the outlet did not answer")
            case "unheard":
                self._inner.settle()
                raise Ambiguous("the outlet's answer was lost")
        return self._inner.settle()

    def close(self) -> None:
        if self._act != "late":
            self._inner.close()
