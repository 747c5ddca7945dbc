"""When an outlet counts as dead."""

from __future__ import annotations

import pytest

from sync.breaker import IN_A_ROW, LEAST, MOST, SPREAD, WAITS, WITHIN, Health, failed, half_open_in
from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    HeldBack,
    Misbehaved,
    OutletError,
    Rejected,
    Stale,
    TryLater,
    Unauthorised,
    Unsupported,
)

NOW = 1_800_000_000 * SECOND


def lived(outcomes: str, every: int = SECOND) -> Health:
    """`+` worked, `-` failed, so many µs apart."""
    health = Health()
    for number, one in enumerate(outcomes):
        health = health.after(one == "+", NOW + number * every)
    return health


@pytest.mark.parametrize(
    ("outcomes", "dead"),
    [
        ("-" * (IN_A_ROW - 1), False),
        ("-" * IN_A_ROW, True),
        ("----+----", False),
        ("---+--+--+", True),  # seven of ten
        ("---+--+-+", False),  # nine are too few
        ("--+--+--+--+", False),  # two of three
        ("+" * 50 + "---+--+--+", True),  # what was before the first failure is not remembered
    ],
)
def test_it_opens_after_five_in_a_row_or_seven_of_ten(outcomes: str, dead: bool) -> None:
    assert dead == lived(outcomes).dead


def test_what_is_older_than_ten_minutes_counts_no_more() -> None:
    """Seven of ten failures spread over more than that are no reason."""
    assert not lived("---+--+--+", every=WITHIN // 5).dead
    assert lived("-----", every=2 * WITHIN).dead  # in a row is in a row


def test_of_an_outlet_that_works_nothing_is_remembered() -> None:
    """Nor of one that failed once, long ago: then nobody has to write that it works."""
    assert Health() == lived("+" * 20)
    assert not lived("+" * 20).remembers(NOW)
    assert lived("-+").remembers(NOW + WITHIN)
    assert not lived("-+").remembers(NOW + 2 * SECOND + WITHIN)
    assert Health() == lived("-+").after(True, NOW + 2 * SECOND + WITHIN)


def test_it_is_kept_as_json_and_stays_short() -> None:
    health = lived("-+" * MOST)
    assert len(health.recent) == MOST
    assert health == Health.read(health.failures, health.shown())


@pytest.mark.parametrize(
    ("error", "is_failure"),
    [
        (None, False),
        (TryLater("no connection"), True),
        (TryLater("come again", NOW), False),
        (HeldBack("our own limit"), None),
        (Ambiguous("no answer"), True),
        (Misbehaved("half an answer"), True),
        (Rejected("no"), False),
        (Unauthorised("who?"), False),
        (Stale("gone"), False),
        (Unsupported("not here"), None),
        (KeyError("a bug"), None),
    ],
)
def test_only_what_got_no_answer_failed(error: OutletError | None, is_failure: bool | None) -> None:
    """A refusal is an answer; our own limits and bugs say nothing of the outlet."""
    assert is_failure == failed(error)


def test_looks_become_rarer_and_never_rarer_than_every_twelve_minutes() -> None:
    """So that all is delivered within a quarter of an hour after the outlet is back."""
    waits = [half_open_in(looks, 0.5) // SECOND for looks in range(8)]
    assert [*WAITS, 600, 600, 600] == waits
    assert round(600 * (1 + SPREAD)) == half_open_in(99, 1.0) // SECOND <= 720
    assert round(30 * (1 - SPREAD)) == half_open_in(0, 0.0) // SECOND
    assert LEAST > IN_A_ROW
