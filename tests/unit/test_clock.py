"""Time: instants in microseconds, texts cut and never rounded up, waits by a clock that does not step."""

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sync
from sync.clock import MILLISECOND, SECOND, SetClock, SystemClock, instant, iso

BEIJING = timezone(timedelta(hours=8))
INSTANTS = st.integers(0, 4_000_000_000 * SECOND)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_395_600 * SECOND, "2026-11-23T01:00:00.000Z"),
        (1_795_395_600 * SECOND + 999, "2026-11-23T01:00:00.000Z"),
        (1_795_395_600 * SECOND + 999_999, "2026-11-23T01:00:00.999Z"),
    ],
)
def test_an_instant_as_text(at: int, text: str) -> None:
    """UTC with milliseconds; the rest is cut, so that nothing is told as later than it was."""
    assert text == iso(at)


@pytest.mark.parametrize(
    ("moment", "at"),
    [
        (datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING), 1_795_395_600 * SECOND),
        (datetime(2026, 11, 23, 1, 0, 0, 123_456, tzinfo=UTC), 1_795_395_600 * SECOND + 123_456),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
    ],
)
def test_a_moment_as_instant(moment: datetime, at: int) -> None:
    """To the microsecond, whatever its offset."""
    assert at == instant(moment)


def test_a_moment_without_offset_is_no_instant() -> None:
    """Its meaning would be a guess."""
    with pytest.raises(ValueError, match="names no instant"):
        instant(datetime(2026, 11, 23, 9, 0))


@given(INSTANTS)
def test_text_and_instant_agree(at: int) -> None:
    """Read back, a text is its instant with the microseconds cut; later instants never have earlier texts."""
    assert at // MILLISECOND * MILLISECOND == instant(datetime.fromisoformat(iso(at)))
    assert iso(at) <= iso(at + MILLISECOND)


@given(INSTANTS)
def test_no_microsecond_is_lost(at: int) -> None:
    """No float comes in between."""
    moment = datetime.fromtimestamp(at // SECOND, UTC) + timedelta(microseconds=at % SECOND)
    assert at == instant(moment)


def test_the_machines_clocks() -> None:
    """The wall clock is now, in microseconds; the other one goes forward."""
    clock = SystemClock()
    before, at, after = time.time_ns() // 1_000, clock.now(), time.time_ns() // 1_000
    assert before <= at <= after
    readings = [clock.boottime() for _ in range(1_000)]
    assert sorted(readings) == readings


def test_a_set_clock_stands_until_it_is_moved() -> None:
    """Both faces move together, and only forward."""
    clock = SetClock(1_000 * SECOND)
    assert (1_000 * SECOND, 1_000.0) == (clock.now(), clock.boottime())
    clock.advance(0.25)
    assert (1_000 * SECOND + 250_000, 1_000.25) == (clock.now(), clock.boottime())
    with pytest.raises(ValueError, match="only moved forward"):
        clock.advance(-0.1)
    assert 1_000 * SECOND + 250_000 == clock.now()


READING = re.compile(r"\btime\.(time|time_ns|monotonic|perf_counter|clock_gettime)\b|datetime\.(now|utcnow|today)\(")


@pytest.mark.parametrize("folder", ["sync/engine", "sync/content", "sync/store"])
def test_who_decides_is_handed_the_time(folder: str) -> None:
    """Engine and content read no clock of their own; the store is the database's, SQLite having none."""
    root = Path(sync.__file__).parents[1]
    paths = list((root / folder).rglob("*.py"))
    assert len(paths) > 3
    reading = [str(path.relative_to(root)) for path in paths if READING.search(path.read_text())]
    assert (["sync/store/sqlite.py"] if "store" in folder else []) == reading
