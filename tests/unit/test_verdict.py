"""The decision table: every answer, silence and look, in every state, row by row."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    HeldBack,
    Misbehaved,
    OutletError,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Stale,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.flow import IN_FLIGHT, TABLE, D, E
from sync.verdict import (
    MOST_TRIES,
    POLL_LIMIT,
    PREPARE_AGAIN,
    RELEASE_AGAIN,
    Facts,
    Verdict,
    judge_answer,
    judge_probe,
    quarantine,
)

NOW = 1_700_000_000 * SECOND
LANDS = 120.0
UNTIL = NOW + 120 * SECOND
FACTS = Facts(NOW, 1, LANDS, Probe.SEARCH)
DONE = replace(FACTS, quarantine_until=NOW)  # the quarantine ends at this very microsecond
RUNS = replace(FACTS, quarantine_until=NOW + 30 * SECOND)
DRAFT, POST, JOB = Prepared("d"), Receipt("p", "https://a.example/p", NOW), Accepted("j")
DOUBT: list[object] = [Ambiguous("no answer"), Misbehaved("half"), RuntimeError("bug"), TimeoutError("late"), None]


def told(answer: object) -> str:
    return str(answer) if isinstance(answer, BaseException) else ""


# ---- answers


@pytest.mark.parametrize(
    ("state", "answer", "expected"),
    [
        (D.PREPARING, DRAFT, Verdict(E.PREPARED, None)),
        (D.RELEASING, POST, Verdict(E.RELEASED, NOW)),
        (D.RELEASING, JOB, Verdict(E.ACCEPTED, NOW + 5 * SECOND)),
        (D.DISCARDING, None, Verdict(E.DISCARDED, None)),
        (D.PREPARING, Stale("its media expired"), Verdict(E.ABSENT, NOW + SECOND, why="its media expired")),
        (D.PREPARING, TryLater("busy"), Verdict(E.ABSENT, NOW + SECOND, why="busy")),
        (D.RELEASING, TryLater("busy"), Verdict(E.ABSENT, NOW + SECOND // 5, why="busy")),
    ],
)
def test_a_clear_answer_moves_the_delivery(state: D, answer: object, expected: Verdict) -> None:
    """Done, accepted, gone, or certainly not done."""
    assert expected == judge_answer(state, answer, FACTS)


@pytest.mark.parametrize("error", [Rejected("no"), Unsupported("no table"), Unauthorised("401")])
@pytest.mark.parametrize("state", [D.PREPARING, D.RELEASING])
@pytest.mark.parametrize("probe", list(Probe))
def test_a_refusal_is_final(state: D, error: OutletError, probe: Probe) -> None:
    """Whoever has to act, nobody tries again by himself; blind outlets are no exception."""
    assert Verdict(E.REFUSED, None, why=str(error)) == judge_answer(state, error, replace(FACTS, probe=probe))


@pytest.mark.parametrize("answer", [*DOUBT, Stale("gone"), DRAFT])
@pytest.mark.parametrize("probe", [Probe.KEY, Probe.NAME, Probe.SEARCH])
def test_an_unclear_answer_to_a_shot_is_looked_up(answer: object, probe: Probe) -> None:
    """It stays in flight; the first look is in a second, the quarantine runs from the end of the attempt."""
    found = judge_answer(D.RELEASING, answer, replace(FACTS, probe=probe))
    assert (None, NOW + SECOND, UNTIL) == (found.event, found.due, found.quarantine_until)


@pytest.mark.parametrize("answer", [*DOUBT, POST, JOB])
@pytest.mark.parametrize("probe", list(Probe))
def test_an_unclear_answer_while_preparing_is_looked_up(answer: object, probe: Probe) -> None:
    """The same, for every kind of probe: a blind outlet's own word decides then."""
    found = judge_answer(D.PREPARING, answer, replace(FACTS, probe=probe))
    assert (None, NOW + SECOND, UNTIL) == (found.event, found.due, found.quarantine_until)


def test_a_short_quarantine_is_looked_at_when_it_ends() -> None:
    """Never later than the quarantine's end."""
    found = judge_answer(D.RELEASING, Ambiguous("no answer"), replace(FACTS, lands_within=0.2))
    assert (NOW + SECOND // 5, NOW + SECOND // 5) == (found.due, found.quarantine_until)


@pytest.mark.parametrize("answer", DOUBT)
def test_doubt_at_a_blind_outlet_goes_to_a_person(answer: object) -> None:
    """With what was said, and never sent again."""
    found = judge_answer(D.RELEASING, answer, replace(FACTS, probe=Probe.BLIND))
    assert (E.IN_DOUBT, None, None) == (found.event, found.due, found.quarantine_until)
    assert told(answer) in found.why


@pytest.mark.parametrize("answer", [TryLater("busy"), Unauthorised("401"), *DOUBT[:-1]])
def test_discarding_is_repeated(answer: object) -> None:
    """Removing what is gone already is success, so any failure is simply tried again, slower and slower."""
    for tries, wait in ((1, 1), (2, 5), (5, 600)):
        found = judge_answer(D.DISCARDING, answer, replace(FACTS, attempts=tries))
        assert (None, NOW + wait * SECOND) == (found.event, found.due)
    assert E.IN_DOUBT is judge_answer(D.DISCARDING, answer, replace(FACTS, attempts=MOST_TRIES)).event


def test_a_limit_of_our_own_is_no_attempt() -> None:
    """It waits until the very instant that it names, and is never given up for it."""
    until = NOW + 7 * SECOND
    for tries in (1, 8, MOST_TRIES):
        found = judge_answer(D.PREPARING, HeldBack("the budget is used up", until), replace(FACTS, attempts=tries))
        assert Verdict(E.ABSENT, until, why="the budget is used up") == found
    assert NOW + SECOND == judge_answer(D.PREPARING, HeldBack("later"), FACTS).due
    assert NOW == judge_answer(D.PREPARING, HeldBack("it has passed", NOW - SECOND), FACTS).due


@pytest.mark.parametrize(("state", "schedule"), [(D.PREPARING, PREPARE_AGAIN), (D.RELEASING, RELEASE_AGAIN)])
def test_tries_slow_down_and_end(state: D, schedule: tuple[float, ...]) -> None:
    """By the number of tries made; the twelfth is the last, and the person reads why."""
    for tries in range(1, MOST_TRIES):
        found = judge_answer(state, TryLater("busy"), replace(FACTS, attempts=tries))
        assert (E.ABSENT, NOW + round(schedule[tries - 1] * SECOND)) == (found.event, found.due)
    assert Verdict(E.REFUSED, None, why="given up after 12 tries: busy") == judge_answer(
        state, TryLater("busy"), replace(FACTS, attempts=MOST_TRIES)
    )
    assert list(schedule) == sorted(schedule)
    assert MOST_TRIES - 1 == len(schedule)


@pytest.mark.parametrize("state", [D.PREPARING, D.RELEASING])
def test_the_outlets_own_time_counts_when_it_is_later(state: D) -> None:
    """Retry-After is kept; an earlier one does not hurry us."""
    named = NOW + 3_600 * SECOND
    assert named == judge_answer(state, TryLater("429", named), FACTS).due
    assert (
        judge_answer(state, TryLater("429", NOW - SECOND), FACTS).due == judge_answer(state, TryLater("429"), FACTS).due
    )


# ---- looks


@pytest.mark.parametrize("facts", [FACTS, RUNS, DONE])
@pytest.mark.parametrize(
    ("state", "found", "expected"),
    [
        (D.RELEASING, POST, Verdict(E.RELEASED, NOW)),
        (D.ACCEPTED, POST, Verdict(E.RELEASED, NOW)),
        (D.RELEASING, JOB, Verdict(E.ACCEPTED, NOW + 5 * SECOND)),
        (D.PREPARING, DRAFT, Verdict(E.PREPARED, None)),
        (D.RELEASING, Rejected("bad query"), Verdict(E.IN_DOUBT, None, why="bad query")),
        (D.ACCEPTED, Rejected("failed review"), Verdict(E.REFUSED, None, why="failed review")),
        (D.PREPARING, Unsupported("blind"), Verdict(E.IN_DOUBT, None, why="blind")),
        (D.RELEASING, Unsupported("blind"), Verdict(E.IN_DOUBT, None, why="blind")),
        (D.ACCEPTED, Unsupported("blind"), Verdict(E.IN_DOUBT, None, why="blind")),
    ],
)
def test_a_find_counts_at_once(state: D, found: object, expected: Verdict, facts: Facts) -> None:
    """Before, during and after the quarantine."""
    assert expected == judge_probe(state, found, facts)


@pytest.mark.parametrize("found", [POST, JOB])
def test_public_while_preparing_is_shown_to_a_person(found: object) -> None:
    """What was only being put in place must not be there for all to see."""
    verdict = judge_probe(D.PREPARING, found, DONE)
    assert (E.IN_DOUBT, None) == (verdict.event, verdict.due)
    assert "already shows" in verdict.why


@pytest.mark.parametrize(("state", "found"), [(D.PREPARING, None), (D.RELEASING, None), (D.RELEASING, DRAFT)])
def test_an_absence_counts_after_the_quarantine(state: D, found: object) -> None:
    """From its last microsecond on; the delivery may go again at once."""
    assert Verdict(E.ABSENT, NOW) == judge_probe(state, found, DONE)
    early = replace(FACTS, quarantine_until=NOW + 1)
    assert None is judge_probe(state, found, early).event


@pytest.mark.parametrize(("state", "found"), [(D.PREPARING, None), (D.RELEASING, None), (D.RELEASING, DRAFT)])
def test_an_absence_before_it_proves_nothing(state: D, found: object) -> None:
    """Looked at again, sooner at the end than in the middle, and never after it; its end does not move."""
    found_ = judge_probe(state, found, RUNS)
    assert (None, NOW + 10 * SECOND, RUNS.quarantine_until) == (found_.event, found_.due, found_.quarantine_until)
    late = replace(FACTS, quarantine_until=NOW + SECOND // 2)
    assert NOW + SECOND // 2 == judge_probe(state, found, late).due
    looks, now = 0, NOW
    while now < UNTIL:
        due = judge_probe(state, found, replace(FACTS, now=now, quarantine_until=UNTIL)).due
        assert due is not None
        assert due > now
        looks, now = looks + 1, due
    assert UNTIL == now
    assert looks < 20


@pytest.mark.parametrize("state", [D.PREPARING, D.RELEASING])
def test_a_look_without_a_quarantine_begins_one(state: D) -> None:
    """Nothing is known of when the attempt ended: it counts from now."""
    found = judge_probe(state, None, FACTS)
    assert (None, UNTIL) == (found.event, found.quarantine_until)


@pytest.mark.parametrize("facts", [RUNS, DONE])
@pytest.mark.parametrize("state", [D.PREPARING, D.RELEASING, D.ACCEPTED])
@pytest.mark.parametrize("error", [TryLater("down"), Ambiguous("cut"), Stale("?"), RuntimeError("bug"), KeyError("k")])
def test_an_outlet_that_cannot_be_asked_proves_nothing(state: D, error: Exception, facts: Facts) -> None:
    """Neither its failure nor a bug of ours is an absence, however long ago the quarantine ended."""
    found = judge_probe(state, error, facts)
    assert (None, NOW + 5 * SECOND, facts.quarantine_until) == (found.event, found.due, found.quarantine_until)
    assert str(error) == found.why


def test_a_rejection_while_preparing_is_no_absence() -> None:
    """A probe that is rejected says nothing of the draft."""
    assert None is judge_probe(D.PREPARING, Rejected("bad query"), DONE).event


def test_an_error_without_words_is_named() -> None:
    """The person who reads it sees at least its kind."""
    assert "RuntimeError" == judge_probe(D.RELEASING, RuntimeError(), DONE).why
    assert "TimeoutError" == judge_answer(D.RELEASING, TimeoutError(), FACTS).why


def test_the_outlet_says_when_it_may_be_asked_again() -> None:
    """A 429 at a probe is kept as well."""
    assert NOW + 60 * SECOND == judge_probe(D.RELEASING, TryLater("429", NOW + 60 * SECOND), DONE).due


@pytest.mark.parametrize("found", [None, DRAFT])
@pytest.mark.parametrize("facts", [FACTS, RUNS, DONE])
def test_nothing_found_at_a_blind_outlet_goes_to_a_person(found: object, facts: Facts) -> None:
    """That a blind outlet shows nothing never sends again."""
    assert E.IN_DOUBT is judge_probe(D.RELEASING, found, replace(facts, probe=Probe.BLIND)).event


# ---- queued jobs


@pytest.mark.parametrize(
    ("waited", "due_in"),
    [(0.0, 5.0), (4.0, 1.0), (5.0, 15.0), (19.9, 0.1), (20.0, 40.0), (60.0, 60.0), (121.0, 60.0)],
)
@pytest.mark.parametrize("found", [None, JOB, DRAFT])
def test_a_job_is_polled_at_its_own_times(waited: float, due_in: float, found: object) -> None:
    """Counted from the acceptance; after the last one, again and again at its distance."""
    facts = replace(FACTS, since=NOW - round(waited * SECOND), polls=(5.0, 20.0, 60.0))
    assert Verdict(None, NOW + round(due_in * SECOND)) == judge_probe(D.ACCEPTED, found, facts)


def test_a_job_is_never_sent_again() -> None:
    """Its absence, also after any quarantine, only means that it is asked about once more."""
    for facts in (FACTS, RUNS, DONE):
        assert None is judge_probe(D.ACCEPTED, None, replace(facts, since=NOW)).event


def test_a_job_nobody_hears_of_goes_to_a_person() -> None:
    """After three days."""
    assert None is judge_probe(D.ACCEPTED, JOB, replace(FACTS, since=NOW - POLL_LIMIT)).event
    found = judge_probe(D.ACCEPTED, JOB, replace(FACTS, since=NOW - POLL_LIMIT - 1))
    assert (E.IN_DOUBT, None) == (found.event, found.due)
    assert found.why


# ---- over all of it


@pytest.mark.parametrize(("attempts", "wait"), [(1, 0), (3, 0), (4, 5), (5, 30), (11, 36_000)])
def test_preparing_that_nobody_answers_is_repeated_ever_more_rarely(attempts: int, wait: int) -> None:
    """It may be what is prepared that kills its process."""
    verdict = judge_probe(D.PREPARING, None, replace(DONE, attempts=attempts))
    assert Verdict(E.ABSENT, NOW + wait * SECOND) == verdict
    assert E.REFUSED is judge_probe(D.PREPARING, None, replace(DONE, attempts=MOST_TRIES)).event


@pytest.mark.parametrize("state", [D.PREPARING, D.RELEASING, D.ACCEPTED])
def test_a_look_that_needs_another_key_waits_a_minute(state: D) -> None:
    verdict = judge_probe(state, Unauthorised("revoked"), DONE)
    assert (None, NOW + 60 * SECOND) == (verdict.event, verdict.due)


CALLED, LOOKED_UP = (D.PREPARING, D.RELEASING, D.DISCARDING), (D.PREPARING, D.RELEASING, D.ACCEPTED)
ANSWERS: list[object] = [*DOUBT, DRAFT, POST, JOB, Rejected("no"), Unauthorised("401"), TryLater("busy"), Stale("gone")]


@pytest.mark.parametrize(("state", "answer"), list(itertools.product(CALLED, ANSWERS)))
def test_every_verdict_on_an_answer_is_a_legal_move(state: D, answer: object) -> None:
    """Whatever is answered in whichever state, the table has that move; what stays in flight has a next look."""
    for tries, probe in itertools.product((1, MOST_TRIES), Probe):
        verdict = judge_answer(state, answer, replace(FACTS, attempts=tries, probe=probe))
        if verdict.event is None:
            assert verdict.due is not None
            assert verdict.due > NOW
        else:
            assert verdict.event in TABLE[state]


@pytest.mark.parametrize(("state", "found"), list(itertools.product(LOOKED_UP, ANSWERS)))
def test_every_verdict_on_a_look_is_a_legal_move(state: D, found: object) -> None:
    """The same for looks; and nothing but an absence after the quarantine ever sends again."""
    for facts, probe in itertools.product((FACTS, RUNS, DONE), Probe):
        verdict = judge_probe(state, found, replace(facts, probe=probe, since=NOW))
        if verdict.event is None:
            assert verdict.due is not None
            assert verdict.due > NOW
        else:
            assert verdict.event in TABLE[state]
        if verdict.event is E.ABSENT:
            assert facts is DONE
            assert found is None or isinstance(found, Prepared)


def test_every_state_in_flight_is_judged_or_read() -> None:
    """Preparing, releasing and discarding are judged here; withdrawing is read back by its own use-case."""
    assert {D.PREPARING, D.RELEASING, D.DISCARDING, D.WITHDRAWING} == IN_FLIGHT


def test_the_quarantine_is_the_outlets_own_bound() -> None:
    """From now, in whole microseconds."""
    assert NOW + 1_500_000 == quarantine(replace(FACTS, lands_within=1.5))


def test_what_cannot_be_asked_for_hours_goes_to_a_person() -> None:
    """Looking goes on for six hours; then somebody has to say what the outlet shows."""
    known = replace(FACTS, since=NOW - 6 * 3600 * SECOND)
    assert judge_probe(D.RELEASING, TryLater("busy"), known).event is None
    later = replace(FACTS, since=NOW - 6 * 3600 * SECOND - 1)
    assert E.IN_DOUBT is judge_probe(D.RELEASING, TryLater("busy"), later).event


@pytest.mark.parametrize("state", [D.PREPARING, D.RELEASING])
def test_an_outlet_that_cannot_be_asked_is_asked_ever_more_rarely(state: D) -> None:
    """Sixty looks last for six hours, none comes later than twelve minutes, and the first ones come soon."""
    began, at, looks = NOW, NOW, []
    while at < began + 6 * 3600 * SECOND:
        verdict = judge_probe(state, TryLater("down"), Facts(at, 1, 120.0, Probe.SEARCH, began, began))
        assert verdict.event is None and verdict.due is not None
        looks.append(verdict.due - at)
        at = verdict.due
    assert [5 * SECOND] * 4 == looks[:4]
    assert len(looks) <= 60 and max(looks) <= 12 * 60 * SECOND


def test_a_job_that_takes_days_is_asked_about_ever_more_rarely() -> None:
    """Fewer than two hundred polls in three days, half an hour apart at most; then a person is asked."""
    at, polls = NOW, 0
    while True:
        verdict = judge_probe(D.ACCEPTED, JOB, replace(FACTS, now=at, since=NOW, polls=(0.3, 1, 3, 10, 30)))
        if verdict.event is not None or verdict.due is None:
            break
        assert verdict.due - at <= 1_801 * SECOND
        at, polls = verdict.due, polls + 1
    assert E.IN_DOUBT is verdict.event and at - NOW > 72 * 3600 * SECOND
    assert polls < 200
