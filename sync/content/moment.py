"""A typed date and time → the one instant it names.

A time that names no instant (no offset, or skipped when clocks go forward) or two instants (clocks
go back) is refused, never guessed: an item must not come out an hour early. Zones are those of the
`tzdata` package, not of the machine, so two hosts never read one text differently.
"""

from __future__ import annotations

import difflib
import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from zoneinfo import ZoneInfo

from sync.clock import instant, iso
from sync.model import BadInput

ZONE_DATA = version("tzdata")  # to be stored beside an instant: rules of a future date may yet change

_EXAMPLE = "2026-11-23T09:00+08:00"
_FORMS = (
    f"写成 {_EXAMPLE} 或 2026-11-23 09:00 Asia/Shanghai · write it like {_EXAMPLE} or 2026-11-23 09:00 Asia/Shanghai"
)
_YEARS = range(2000, 2200)  # outside lies a slip of the pen
_LARGEST_OFFSET = timedelta(hours=14)  # Kiritimati; the other side ends at −12

_TEXT = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?)"
    r" ?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?"
    r"(?:\[!?(?P<tag>[A-Za-z0-9_+/-]+)\]|(?<=[0-9]) (?P<name>[A-Za-z][A-Za-z0-9_+/-]*))?)?",
    re.IGNORECASE,
)


def parse(typed: str | date, now: int, where: str, *, allow_past: bool = False) -> int:
    """The instant (µs UTC) that `typed` names, read at `now`; `where` is its place in messages.

    `typed` is ISO 8601 with an offset (`2026-11-23T09:00:00+08:00`; a space for the T, no seconds,
    `Z`), a zone's name after the time, or RFC 9557 (`2026-11-23T09:00[Asia/Shanghai]`); also a
    value that YAML has read already. Raises BadInput for anything else, for a time with no offset,
    for one that a zone skips or has twice, and, unless `allow_past`, for an instant before `now`.
    """
    if isinstance(typed, datetime) and typed.tzinfo is not None:
        at, text = instant(typed), typed.isoformat()
    else:
        text = typed.strip() if isinstance(typed, str) else typed.isoformat()
        at = instant(_aware(text, where))
    if at < now and not allow_past:
        raise BadInput(
            where,
            f'时刻“{text}”已过 · "{text}" is in the past: it was {iso(at)}, now it is {iso(now)}',
            "用 `now` 或更晚的时刻 · use `now` or a later time",
        )
    return at


def _aware(text: str, where: str) -> datetime:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise BadInput(where, f'看不懂时刻“{text}” · the time "{text}" cannot be read', _FORMS)
    if found["time"] is None:
        raise BadInput(
            where,
            f'“{text}”只有日期，没有时间 · "{text}" has a date but no time',
            f"补全为 {text}T09:00+08:00 这样 · add both, like {text}T09:00+08:00",
        )
    try:
        wall = datetime.fromisoformat(f"{found['date']}T{found['time'].replace(',', '.')}")
    except ValueError:
        raise BadInput(
            where, f'历法中没有“{text}”这个时刻 · "{text}" is not a date and time of the calendar', _FORMS
        ) from None
    if wall.year not in _YEARS:
        raise BadInput(where, f'“{text}”的年份不合常理 · the year of "{text}" cannot be meant', _FORMS)
    name = found["tag"] or found["name"]
    if found["offset"] is None and name is None:
        raise BadInput(
            where,
            f'“{text}”没有时区，定不出确切时刻 · "{text}" has no offset, so it names no instant',
            f"北京时间写成 {text}+08:00，或加时区名 · "
            f"write {text}+08:00 if Beijing time is meant, or add a zone's name: {text} Asia/Shanghai",
        )
    if name is None:
        return wall.replace(tzinfo=_offset(found["offset"], text, where))
    zone = _zone(name, where)
    if found["offset"] is None:
        return _only_meaning(wall, zone, where)
    fixed = wall.replace(tzinfo=_offset(found["offset"], text, where))
    # RFC 9557: Z says "offset unknown", so it never disagrees with a zone.
    if found["offset"].upper() != "Z" and fixed.astimezone(zone).utcoffset() != fixed.utcoffset():
        raise BadInput(
            where,
            f"“{text}”自相矛盾：{name} 当时不是这个时差 · "
            f'"{text}" contradicts itself: {name} does not have that offset at that time',
            f"去掉时区名，或改写时刻 · leave the zone out, or write {fixed.astimezone(zone).isoformat()}",
        )
    return fixed


def _offset(typed: str, text: str, where: str) -> timezone:
    if typed.upper() == "Z":
        return UTC
    hours, minutes = int(typed[1:3]), int(typed[-2:])
    size = timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or size > _LARGEST_OFFSET or (typed[0] == "-" and size > timedelta(hours=12)):
        raise BadInput(where, f'“{text}”的时差世上没有 · no place on earth has the offset of "{text}"', _FORMS)
    return timezone(-size if typed[0] == "-" else size)


@cache
def _names() -> frozenset[str]:
    listed = files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return frozenset(listed) - {"Factory"}  # a placeholder for "not set", not a place


@cache
def _load(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def _zone(name: str, where: str) -> ZoneInfo:
    if name in _names():
        return _load(name)
    by_lower = {known.lower(): known for known in _names()}
    # An abbreviation is not matched: CST is Chicago's, Shanghai's and Havana's.
    near = difflib.get_close_matches(name.lower(), by_lower, n=1) if "/" in name else []
    raise BadInput(
        where,
        f'没有时区“{name}” · there is no time zone "{name}"',
        f"是不是 {by_lower[near[0]]}？ · did you mean {by_lower[near[0]]}?"
        if near
        else "用 Asia/Shanghai 这样的名称，或 +08:00 这样的时差 · "
        "use a name like Asia/Shanghai, or an offset like +08:00",
    )


def _only_meaning(wall: datetime, zone: ZoneInfo, where: str) -> datetime:
    """The one instant at which the clocks of `zone` show `wall`. Raises BadInput for none or two."""
    first, second = wall.replace(tzinfo=zone), wall.replace(tzinfo=zone, fold=1)
    before, after = first.utcoffset(), second.utcoffset()
    if before is None or after is None or before == after:
        return first
    if before > after:
        raise BadInput(
            where,
            f"{zone.key} 的时钟回拨，{_local(wall)} 出现两次 · "
            f"clocks in {zone.key} go back, so {_local(wall)} comes twice",
            f"写明是哪一次 · write which one: {_local(first)} (the first) or {_local(second)} (the second)",
        )
    valid = _end_of_gap(second.astimezone(UTC), first.astimezone(UTC), zone)
    closes = valid.replace(tzinfo=None)
    opens = closes - (after - before)
    raise BadInput(
        where,
        f"{zone.key} 的时钟拨快，没有 {_local(wall)} 这一刻 · "
        f"clocks in {zone.key} go forward from {_local(opens)} to {_local(closes)}, so {_local(wall)} does not exist",
        f"下一个有效时刻是 {_local(valid)} · the next valid time is {_local(valid)}",
    )


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first local time after the change that lies between two instants, to the second."""
    old = before.astimezone(zone).utcoffset()
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, zone)


def _local(moment: datetime) -> str:
    return moment.isoformat(timespec="auto" if moment.second or moment.microsecond else "minutes")
