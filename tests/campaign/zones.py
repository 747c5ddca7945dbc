"""Every change of the clocks in twelve zones, 2024 to 2030, typed in front of and behind it, to the second.

What is asked is the real parser of `--at`. What is right is known from the rules alone: an instant on each side of
a change, found by halving, and the standard library's arithmetic on whole seconds; never by the parser's own way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from random import Random
from zoneinfo import ZoneInfo

from sync.clock import SECOND
from sync.content.moment import parse
from sync.model import BadInput
from tests.campaign.trial import Counts, Run, Trial

ZONES = (
    "Asia/Shanghai",  # none: it must stay so
    "Asia/Urumqi",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Europe/London",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Africa/Casablanca",  # twice a year around Ramadan
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Chatham",
)
BEGIN, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
STEP = timedelta(hours=6)
EACH = 50  # times typed around a change, or in a zone that has none


@dataclass(frozen=True)
class Change:
    """At `at` (seconds of Unix time) the zone's clocks go from one offset to the other (seconds)."""

    zone: str
    at: int
    before: int
    after: int


@cache
def rules(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as opened:
        return ZoneInfo.from_file(opened, key=name)


def offset(zone: str, at: int) -> int:
    """Seconds by which the zone's clocks are ahead at an instant; a zone has one at each."""
    found = datetime.fromtimestamp(at, rules(zone)).utcoffset()
    assert found is not None
    return round(found.total_seconds())


@cache
def changes(zone: str) -> Sequence[Change]:
    """Each of them, to the second."""
    found = []
    here, step = int(BEGIN.timestamp()), round(STEP.total_seconds())
    while here < END.timestamp():
        if offset(zone, here) != offset(zone, here + step):
            low, high = here, here + step
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(zone, middle) == offset(zone, here) else (low, middle)
            found.append(Change(zone, high, offset(zone, low), offset(zone, high)))
        here += step
    return found


def meanings(zone: str, wall: int, near: Change | None) -> list[int]:
    """The instants at which the zone's clocks show `wall` (as seconds, as if it were UTC)."""
    offsets = {near.before, near.after} if near else {offset(zone, wall)}
    offsets |= {offset(zone, wall - one) for one in tuple(offsets)}
    return sorted({wall - one for one in offsets if offset(zone, wall - one) == one})


def typed(zone: str, wall: int, chance: Random) -> str:
    shown = datetime.fromtimestamp(wall, UTC)
    text = f"{shown:%Y-%m-%d}{chance.choice('T ')}{shown:%H:%M:%S}"
    return f"{text}[{zone}]" if chance.random() < 0.5 else f"{text} {zone}"


def ask(zone: str, wall: int, near: Change | None, chance: Random, counts: dict[str, int]) -> None:
    """Type it, and see that it is the one instant, or is refused for the right reason."""
    text, right = typed(zone, wall, chance), meanings(zone, wall, near)
    counts["times"] += 1
    try:
        got: int | None = parse(text, 0, "--at")
        said = ""
    except BadInput as refused:
        got, said = None, refused.message
    if len(right) == 1:
        assert got == right[0] * SECOND, f"{text}: {got} {said}, and it is {right[0]}"
        counts["right"] += 1
    elif not right:
        assert got is None and "does not exist" in said, f"{text} does not exist, and became {got} ({said})"
        counts["gaps refused"] += 1
    else:
        assert got is None and "comes twice" in said, f"{text} comes twice, and became {got} ({said})"
        for one in right:  # either of them, named by its offset, is taken
            plain = datetime.fromtimestamp(one, rules(zone)).isoformat()
            assert parse(f"{plain}[{zone}]", 0, "--at") == one * SECOND, f"{plain}[{zone}]"
        counts["overlaps asked"] += 1


def walls(near: Change, chance: Random) -> Iterator[int]:
    """Wall-clock times around a change: its edges to the second, the middle, the days about it, and chance."""
    first, last = sorted((near.at + near.before, near.at + near.after))
    yield from (first - 1, first, first + 1, last - 1, last, last + 1, (first + last) // 2)
    yield from (first - 86_400, last + 86_400, first - 3_600, last + 3_600)
    while True:
        yield chance.randint(first - 7_200, last + 7_200)


def _run(case: int) -> Counts:
    """Case 0 asks around every change of every zone; the others are the same with other times."""
    chance = Random(case)
    counts = dict.fromkeys(("times", "right", "gaps refused", "overlaps asked", "wrong"), 0)
    for zone in ZONES:
        for near in changes(zone):
            around = walls(near, chance)
            for _ in range(EACH):
                ask(zone, next(around), near, chance, counts)
        if not changes(zone):
            for _ in range(EACH):
                wall = chance.randrange(int(BEGIN.timestamp()), int(END.timestamp()))
                ask(zone, wall, None, chance, counts)
    return counts


@contextmanager
def _open() -> Iterator[Run]:
    yield _run


TRIALS = (
    Trial(
        "zones",
        "typed times around every change of the clocks in 12 zones, 2024–2030",
        "times",
        20_000,
        _open,
        zero=("wrong",),
    ),
)
