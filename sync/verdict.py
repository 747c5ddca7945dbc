"""What an answer, a silence or a look means for a delivery.

Pure: handed what happened and when, it says which event follows and when somebody looks again.
The rule it keeps: from an unclear answer nothing is sent again before a probe *after the
quarantine* found nothing. A find counts at once; an absence counts only when the request can no
longer land. The quarantine runs from the end of the attempt, or from the takeover of a dead owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from sync.clock import SECOND
from sync.contract import (
    Accepted,
    HeldBack,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Stale,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.flow import D, E

# Seconds until a try that certainly did nothing is repeated, by the number of tries made.
PREPARE_AGAIN = (1, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000)
# After the commit the public is waiting: hard at first, then as patient as above.
RELEASE_AGAIN = (0.2, 1, 5, 15, 30, 60, 120, 300, 600, 1_800, 7_200)
MOST_TRIES = 12
AT_ONCE = 3  # tries to prepare that nobody answered, as when their process died, until the next one waits
DOUBT_LIMIT = 6 * 3600 * SECOND  # what no look settled for so long needs a person; shown to one long before
LOOK_SOONEST, LOOK_LATEST = 5 * SECOND, 12 * 60 * SECOND  # between two looks that the outlet does not answer
POLL_LATEST = 1_800.0  # seconds between two polls of a job that has lasted for hours, unless its kind says longer
POLL_LIMIT = 72 * 3600 * SECOND  # a queued job nobody heard of for so long needs a person


@dataclass(frozen=True, slots=True)
class Facts:
    """What the verdict needs to know of the delivery; instants µs UTC, `lands_within` seconds.

    No `polls`: what was accepted is a person's task, and they will say what became of it."""

    now: int
    attempts: int
    lands_within: float
    probe: Probe
    quarantine_until: int | None = None
    since: int | None = None  # when the current state began
    polls: tuple[float, ...] = (5.0,)
    asked_at: int | None = None  # when a look began, unless it was now


@dataclass(frozen=True, slots=True)
class Verdict:
    """`event` None: stays as it is. `due` None: nobody has to look. `why`: for the person reading."""

    event: E | None
    due: int | None
    quarantine_until: int | None = None
    why: str = ""


def quarantine(facts: Facts) -> int:
    """The first instant at which an absence proves that the request did not and will not land."""
    return facts.now + round(facts.lands_within * SECOND)


def judge_answer(state: D, answer: object, facts: Facts) -> Verdict:
    """After an outlet call that was made in `state`: what its answer or exception means.

    An exception that is no OutletError is a bug of ours; the call may have happened all the same.
    """
    why = (str(answer) or type(answer).__name__) if isinstance(answer, BaseException) else ""
    match state, answer:
        case (D.PREPARING, Prepared()):
            return Verdict(E.PREPARED, None)
        case (D.RELEASING, Receipt()):
            return Verdict(E.RELEASED, facts.now)
        case (D.RELEASING, Accepted()):
            return Verdict(E.ACCEPTED, _first_poll(facts))
        case (D.DISCARDING, None):
            return Verdict(E.DISCARDED, None)
        case (D.DISCARDING, _) if facts.attempts >= MOST_TRIES:
            return Verdict(E.IN_DOUBT, None, why=why)
        case (D.DISCARDING, _):
            return Verdict(None, facts.now + _again(PREPARE_AGAIN, facts.attempts), why=why)
        case (D.PREPARING | D.RELEASING, TryLater()):
            return _certainly_not(state, answer, facts)
        case (D.PREPARING | D.RELEASING, Rejected() | Unsupported() | Unauthorised()):
            return Verdict(E.REFUSED, None, why=why)
        case (D.PREPARING, Stale()) if facts.attempts >= MOST_TRIES:
            return Verdict(E.REFUSED, None, why=f"given up after {facts.attempts} tries: {why}")
        case (D.PREPARING, Stale()):
            return Verdict(E.ABSENT, facts.now + _again(PREPARE_AGAIN, facts.attempts), why=why)
        case (D.RELEASING, _) if facts.probe is Probe.BLIND:
            return Verdict(E.IN_DOUBT, None, why=why)
        case _:
            until = quarantine(facts)
            return Verdict(None, min(until, facts.now + SECOND), until, why)


def judge_probe(state: D, found: object, facts: Facts) -> Verdict:
    """After a look at the outlet for a delivery in `state` (in flight, or ACCEPTED).

    `found` is what `Channel.probe` returned, or what it raised. An outlet that could not be asked, by its own
    fault or by a bug of ours, and one that is blind, prove no absence. Nor does a look that began within the
    quarantine, whenever its answer is stored.
    """
    asked_at = facts.now if facts.asked_at is None else facts.asked_at
    settled = facts.quarantine_until is not None and asked_at >= facts.quarantine_until
    why = (str(found) or type(found).__name__) if isinstance(found, BaseException) else ""
    match state, found:
        case (_, Unsupported()):
            return Verdict(E.IN_DOUBT, None, why=why)
        case (D.ACCEPTED, Rejected()):
            return Verdict(E.REFUSED, None, why=why)
        case (D.RELEASING, Rejected()):
            # Of what was sent the outlet has not spoken; it may be the question that it refuses. Called failed,
            # a person would retry it, and might publish it twice.
            return Verdict(E.IN_DOUBT, None, why=why)
        case (D.RELEASING, BaseException()) if facts.since is not None and facts.now - facts.since > DOUBT_LIMIT:
            return Verdict(E.IN_DOUBT, None, why=why)
        case (_, Unauthorised()):  # until a person mends it; an outlet may lock out who keeps coming with a dead key
            return Verdict(None, facts.now + 60 * SECOND, facts.quarantine_until, why)
        case (_, BaseException()):
            return Verdict(None, _not_before(found, facts.now + _patience(facts)), facts.quarantine_until, why)
        case (D.RELEASING | D.ACCEPTED, Receipt()):
            return Verdict(E.RELEASED, facts.now)
        case (D.RELEASING, Accepted()):
            return Verdict(E.ACCEPTED, _first_poll(facts))
        case (D.PREPARING, Prepared()):
            return Verdict(E.PREPARED, None)
        case (D.PREPARING, Receipt() | Accepted()):
            return Verdict(E.IN_DOUBT, None, why="the outlet already shows what was only being prepared")
        case (D.ACCEPTED, _):
            return _poll_again(facts)
        case (D.RELEASING, _) if facts.probe is Probe.BLIND:
            return Verdict(E.IN_DOUBT, None, why="the outlet cannot be looked up")
        case (D.PREPARING, _) if settled:
            return _unheard(facts)
        case (D.RELEASING, _) if settled:
            return Verdict(E.ABSENT, facts.now)
        case _:
            return _look_again(facts)


def _certainly_not(state: D, answer: TryLater, facts: Facts) -> Verdict:
    if isinstance(answer, HeldBack):  # nobody was asked: no attempt, and no more patience than what it names
        return Verdict(E.ABSENT, max(facts.now, answer.not_before or facts.now + SECOND), why=str(answer))
    if facts.attempts >= MOST_TRIES:
        return Verdict(E.REFUSED, None, why=f"given up after {facts.attempts} tries: {answer}")
    schedule = PREPARE_AGAIN if state is D.PREPARING else RELEASE_AGAIN
    return Verdict(E.ABSENT, _not_before(answer, facts.now + _again(schedule, facts.attempts)), why=str(answer))


def _unheard(facts: Facts) -> Verdict:
    """Nothing came of it, and nobody said why: it may be what is prepared that kills whoever prepares it."""
    if facts.attempts >= MOST_TRIES:
        return Verdict(E.REFUSED, None, why=f"given up after {facts.attempts} tries that nobody answered")
    wait = _again(PREPARE_AGAIN, facts.attempts - AT_ONCE + 1) if facts.attempts > AT_ONCE else 0
    return Verdict(E.ABSENT, facts.now + wait)


def _look_again(facts: Facts) -> Verdict:
    until = facts.quarantine_until if facts.quarantine_until is not None else quarantine(facts)
    gap = max(SECOND, (until - facts.now) // 3)
    return Verdict(None, min(until, facts.now + gap), until)


def _patience(facts: Facts) -> int:
    """An outlet that cannot be asked is asked ever more rarely: some fifty times in six hours."""
    waited = facts.now - (facts.since if facts.since is not None else facts.now)
    return min(LOOK_LATEST, max(LOOK_SOONEST, waited // 4))


def _first_poll(facts: Facts) -> int | None:
    return facts.now + round(facts.polls[0] * SECOND) if facts.polls else None


def _poll_again(facts: Facts) -> Verdict:
    if not facts.polls:
        return Verdict(None, None)
    waited = facts.now - (facts.since if facts.since is not None else facts.now)
    if waited > POLL_LIMIT:
        return Verdict(E.IN_DOUBT, None, why="the outlet never said how its job ended")
    passed = [poll for poll in facts.polls if round(poll * SECOND) <= waited]
    longest = max(facts.polls[-1], min(POLL_LATEST, waited / SECOND / 8))  # not every minute for days
    coming = facts.polls[len(passed)] if len(passed) < len(facts.polls) else waited / SECOND + longest
    return Verdict(None, facts.now + max(SECOND // 10, round(coming * SECOND) - waited))


def _again(schedule: tuple[float, ...], attempts: int) -> int:
    return round(schedule[min(max(attempts, 1), len(schedule)) - 1] * SECOND)


def _not_before(error: BaseException, due: int) -> int:
    named = error.not_before if isinstance(error, TryLater) else None
    return max(due, named) if named is not None else due
