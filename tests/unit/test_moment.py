"""A typed time names one instant, or is refused with the text that would name one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.clock import SECOND, instant
from sync.content.moment import parse
from sync.model import BadInput

NINE_IN_BEIJING = instant(datetime(2026, 11, 23, 1, 0, tzinfo=UTC))
ZONES = ["Asia/Shanghai", "Asia/Urumqi", "Asia/Kathmandu", "Europe/Berlin", "Europe/London", "America/New_York"]
ZONES += ["America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "Pacific/Chatham"]


def packaged(name: str) -> ZoneInfo:
    """The zone as the tzdata package has it, whatever the machine's own rules say."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def refused(typed: str | date, now: int = 0) -> BadInput:
    with pytest.raises(BadInput) as raised:
        parse(typed, now, "item.md:7")
    return raised.value


@pytest.mark.parametrize(
    "typed",
    [
        "2026-11-23T09:00:00+08:00",
        "2026-11-23T09:00:00.000+08:00",
        "2026-11-23 09:00+08:00",
        "2026-11-23 09:00 +08:00",
        "2026-11-23T09:00+0800",
        "2026-11-23T01:00:00Z",
        "2026-11-22T20:00-05:00",
        "2026-11-23 09:00 Asia/Shanghai",
        "2026-11-23T09:00[Asia/Shanghai]",
        "2026-11-23T09:00[!Asia/Shanghai]",
        "2026-11-23T09:00+08:00[Asia/Shanghai]",
        "2026-11-23T01:00Z[Asia/Shanghai]",
        "  2026-11-23T09:00+08:00 ",
    ],
)
def test_every_accepted_form_names_the_same_instant(typed: str) -> None:
    """Offsets, Z, zone names and RFC 9557 are ways to write one thing."""
    assert parse(typed, 0, "item.md:7") == NINE_IN_BEIJING


def test_fractions_of_a_second_are_kept() -> None:
    """An instant has microseconds, and so has what was typed."""
    assert parse("2026-11-23T09:00:00.250001+08:00", 0, "x") == NINE_IN_BEIJING + 250_001


def test_a_value_that_yaml_has_read_is_taken_as_it_is() -> None:
    """An aware datetime is an instant already."""
    beijing = timezone(timedelta(hours=8))
    assert parse(datetime(2026, 11, 23, 9, 0, tzinfo=beijing), 0, "x") == NINE_IN_BEIJING


@pytest.mark.parametrize("typed", ["2026-11-23T09:00", "2026-11-23 09:00:30", datetime(2026, 11, 23, 9, 0)])
def test_a_time_without_offset_is_refused_with_one_added(typed: str | datetime) -> None:
    """The mend is the very text with Beijing's offset, and that text is accepted."""
    refusal = refused(typed)
    text = typed if isinstance(typed, str) else typed.isoformat()
    assert f"{text}+08:00" in refusal.mend
    assert parse(f"{text}+08:00", 0, "x") > 0


@pytest.mark.parametrize("typed", ["2026-11-23", date(2026, 11, 23)])
def test_a_date_alone_is_refused(typed: str | date) -> None:
    """A day has no instant; the mend adds a time and an offset."""
    assert "2026-11-23T09:00+08:00" in refused(typed).mend


def test_a_time_in_a_gap_is_refused_with_the_next_valid_time() -> None:
    """Clocks in Berlin jump from 02:00 to 03:00 on 28 March 2027."""
    refusal = refused("2027-03-28 02:30 Europe/Berlin")
    assert "from 2027-03-28T02:00 to 2027-03-28T03:00" in refusal.message
    assert "2027-03-28T03:00+02:00" in refusal.mend


def test_a_gap_of_half_an_hour_ends_after_half_an_hour() -> None:
    """Lord Howe Island changes by 30 minutes; the next valid time is found, not assumed."""
    assert "2027-10-03T02:30+11:00" in refused("2027-10-03T02:10[Australia/Lord_Howe]").mend


def test_a_day_that_a_zone_skipped_is_a_gap_too() -> None:
    """Samoa had no 30 December 2011."""
    assert "2011-12-31T00:00+14:00" in refused("2011-12-30T10:00[Pacific/Apia]").mend


def test_a_time_that_comes_twice_is_refused_showing_both() -> None:
    """Both offsets are shown, and either of them names its own instant."""
    refusal = refused("2027-10-31T02:30[Europe/Berlin]")
    assert "2027-10-31T02:30+02:00" in refusal.mend
    assert "2027-10-31T02:30+01:00" in refusal.mend
    apart = parse("2027-10-31T02:30+01:00", 0, "x") - parse("2027-10-31T02:30+02:00", 0, "x")
    assert apart == 3600 * SECOND


def test_an_offset_settles_a_time_that_comes_twice() -> None:
    """With zone and offset there is nothing left to ask."""
    assert parse("2027-10-31T02:30+01:00[Europe/Berlin]", 0, "x") == instant(datetime(2027, 10, 31, 1, 30, tzinfo=UTC))


def test_an_offset_that_the_zone_does_not_have_is_refused() -> None:
    """One of the two is wrong, and guessing which would move the release."""
    assert "contradicts itself" in refused("2026-11-23T09:00+09:00[Asia/Shanghai]").message


def test_a_past_time_is_refused_unless_allowed() -> None:
    """One microsecond late is past; the instant itself is not."""
    assert parse("2026-11-23T09:00+08:00", NINE_IN_BEIJING, "x") == NINE_IN_BEIJING
    assert "use `now` or a later time" in refused("2026-11-23T09:00+08:00", NINE_IN_BEIJING + 1).mend
    assert parse("2026-11-23T09:00+08:00", NINE_IN_BEIJING + 1, "x", allow_past=True) == NINE_IN_BEIJING


UNREADABLE = ["", "now", "9:00", "23.11.2026 9:00", "2026-11-23T9:00Z", "2026-11-23T24:00Z", "2026-11-23T09:60Z"]
UNREADABLE += ["2026-02-30T09:00Z", "0202-11-23T09:00Z", "2026-11-23T09:00+15:00", "2026-11-23T09:00-13:00"]
UNREADABLE += [
    "2026-11-23T09:00+08:60",
    "２０２６-11-23T09:00Z",
    "2026-11-23T09:00Z Asia/Shanghai",
    "2026-11-23 09:00 CST",
]
UNREADABLE += ["2026-11-23T09:00[u-ca=chinese]", "2026-11-23 09:00 Asia", "2026-11-23 09:00 Factory"]
UNREADABLE += ["2026-11-23T09:00[../../etc/passwd]"]


@pytest.mark.parametrize("typed", UNREADABLE)
def test_whatever_cannot_be_read_is_refused_with_its_place(typed: str) -> None:
    """No form is guessed; the place leads the message."""
    assert str(refused(typed)).startswith("item.md:7: ")


def test_a_misspelt_zone_is_answered_with_the_nearest() -> None:
    """Names of zones are exact, and hard to remember."""
    assert "Asia/Shanghai" in refused("2026-11-23 09:00 asia/shangai").mend


@given(st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 31)), st.sampled_from(ZONES))
def test_a_wall_clock_time_is_read_back_from_its_instant(moment: datetime, name: str) -> None:
    """Where a zone's clock shows an instant unmistakably, typing what it shows gives that instant."""
    zone = packaged(name)
    at = moment.replace(microsecond=0, tzinfo=UTC)
    wall = at.astimezone(zone)
    typed = f"{wall:%Y-%m-%dT%H:%M:%S}[{name}]"
    if wall.utcoffset() == wall.replace(fold=1 - wall.fold).utcoffset():
        assert parse(typed, 0, "x") == instant(at)
    else:
        assert "comes twice" in refused(typed).message


@given(st.datetimes(datetime(2024, 1, 1), datetime(2030, 12, 31)), st.sampled_from(ZONES))
def test_no_wall_clock_time_is_moved(wall: datetime, name: str) -> None:
    """What is accepted shows the same digits on that zone's clock; what is skipped is refused."""
    zone, wall = packaged(name), wall.replace(microsecond=0)
    try:
        at = parse(f"{wall:%Y-%m-%d %H:%M:%S} {name}", 0, "x")
    except BadInput:
        assert wall.replace(tzinfo=zone).utcoffset() != wall.replace(tzinfo=zone, fold=1).utcoffset()
    else:
        assert datetime.fromtimestamp(at // SECOND, zone).replace(tzinfo=None) == wall
