"""Every state and every move of a delivery and of a release.

What must never leave this file: a second way to move a state. `step` and `step_release` are the
only functions that do; the table in sync/README.md is generated from the data below.

A state *at rest* means we know what the outlet holds. *In flight* means it may have happened: such
a state is written before the call, and only the outlet's answer or a probe moves it on. A crash and
an unclear answer are the same case and take the same path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class IllegalMove(Exception):
    """The table has no such move, or the release does not allow it now. Nothing was changed."""


class D(StrEnum):
    """States of a delivery; `NEXT_MOVE` says who moves each on."""

    PLANNED = "planned"
    RENDERED = "rendered"
    PREPARING = "preparing"
    PREPARED = "prepared"
    DISCARDING = "discarding"
    RELEASING = "releasing"
    ACCEPTED = "accepted"
    RELEASED = "released"
    VERIFIED = "verified"
    CLOSED = "closed"
    WITHDRAWING = "withdrawing"
    WITHDRAWN = "withdrawn"
    UNRESOLVED = "unresolved"
    FAILED = "failed"
    CANCELLED = "cancelled"


NEXT_MOVE: dict[D, str] = {  # who moves a delivery on, also if the first one dies
    D.PLANNED: "a prepare worker; the due row stays until someone does",
    D.RENDERED: "the same worker, next; otherwise whoever finds the due row",
    D.PREPARING: "its worker's answer; after its death a probe",
    D.PREPARED: "the release process, at the commit of the release",
    D.DISCARDING: "its worker's answer; discarding is repeated, it is harmless",
    D.RELEASING: "the settled answer; after death or doubt a probe",
    D.ACCEPTED: "polls of the outlet's job; a person's task: that person, by what they did",
    D.RELEASED: "anonymous reads until one shows it as approved, and of a correction the old copy is gone",
    D.VERIFIED: "nobody: the end",
    D.CLOSED: "nobody: ended on the word of a person, or of a receiver without a public page",
    D.WITHDRAWING: "an anonymous read that finds nothing; removing is repeated, it is harmless",
    D.WITHDRAWN: "nobody: the end",
    D.UNRESOLVED: "a person, by what they found at the outlet",
    D.FAILED: "a person: retry or drop",
    D.CANCELLED: "nobody: the end",
}


class E(StrEnum):
    """What can happen to a delivery."""

    RENDERED = "rendered"
    WITHDRAW_BEGUN = "withdraw_begun"
    PREPARE_BEGUN = "prepare_begun"
    PREPARED = "prepared"
    ABSENT = "absent"  # certainly not there: it was not sent, or a probe after the quarantine found nothing
    REFUSED = "refused"
    IN_DOUBT = "in_doubt"  # the machine cannot find out
    STALE = "stale"
    RELEASE_BEGUN = "release_begun"
    DISCARD_BEGUN = "discard_begun"
    DISCARDED = "discarded"
    RELEASED = "released"
    ACCEPTED = "accepted"
    VERIFIED = "verified"
    WITHDRAWN = "withdrawn"
    STILL_PUBLIC = "still_public"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    CLOSED = "closed"
    SETTLED_PUBLIC = "settled_public"
    SETTLED_HIDDEN = "settled_hidden"
    SETTLED_NOTHING = "settled_nothing"
    SETTLED_GONE = "settled_gone"
    FOUND_PUBLIC = "found_public"  # after a restore: the outlet holds what this database does not know of


TABLE: dict[D, dict[E, D]] = {
    D.PLANNED: {
        E.RENDERED: D.RENDERED,
        E.WITHDRAW_BEGUN: D.WITHDRAWING,
        E.REFUSED: D.FAILED,
        E.CANCELLED: D.CANCELLED,
        E.WITHDRAWN: D.WITHDRAWN,
        E.FOUND_PUBLIC: D.RELEASED,
        E.IN_DOUBT: D.UNRESOLVED,
    },
    D.RENDERED: {
        E.PREPARE_BEGUN: D.PREPARING,
        E.RENDERED: D.RENDERED,
        E.REFUSED: D.FAILED,
        E.CANCELLED: D.CANCELLED,
        E.FOUND_PUBLIC: D.RELEASED,
        E.IN_DOUBT: D.UNRESOLVED,
    },
    D.PREPARING: {
        E.PREPARED: D.PREPARED,
        E.ABSENT: D.RENDERED,
        E.REFUSED: D.FAILED,
        E.IN_DOUBT: D.UNRESOLVED,
        E.FOUND_PUBLIC: D.RELEASED,
    },
    D.PREPARED: {
        E.RELEASE_BEGUN: D.RELEASING,
        E.STALE: D.RENDERED,
        E.DISCARD_BEGUN: D.DISCARDING,
        E.FOUND_PUBLIC: D.RELEASED,
        E.IN_DOUBT: D.UNRESOLVED,
    },
    D.DISCARDING: {E.DISCARDED: D.CANCELLED, E.IN_DOUBT: D.UNRESOLVED, E.FOUND_PUBLIC: D.RELEASED},
    D.RELEASING: {
        E.RELEASED: D.RELEASED,
        E.ACCEPTED: D.ACCEPTED,
        E.ABSENT: D.PREPARED,
        E.REFUSED: D.FAILED,
        E.IN_DOUBT: D.UNRESOLVED,
    },
    D.ACCEPTED: {
        E.RELEASED: D.RELEASED,
        E.SETTLED_PUBLIC: D.RELEASED,
        E.REFUSED: D.FAILED,
        E.IN_DOUBT: D.UNRESOLVED,
        E.WITHDRAWN: D.WITHDRAWN,
        E.SETTLED_GONE: D.WITHDRAWN,
    },
    D.RELEASED: {E.VERIFIED: D.VERIFIED, E.CLOSED: D.CLOSED, E.SETTLED_PUBLIC: D.RELEASED},
    D.VERIFIED: {},
    D.CLOSED: {},
    D.WITHDRAWING: {
        E.WITHDRAWN: D.WITHDRAWN,
        E.STILL_PUBLIC: D.PLANNED,
        E.ACCEPTED: D.ACCEPTED,
        E.IN_DOUBT: D.UNRESOLVED,
    },
    D.WITHDRAWN: {},
    D.UNRESOLVED: {
        E.SETTLED_PUBLIC: D.RELEASED,
        E.SETTLED_HIDDEN: D.PREPARED,
        E.SETTLED_NOTHING: D.RENDERED,
        E.SETTLED_GONE: D.WITHDRAWN,
        E.STILL_PUBLIC: D.PLANNED,
        E.ACCEPTED: D.ACCEPTED,
        E.FOUND_PUBLIC: D.RELEASED,
    },
    D.FAILED: {
        E.RETRIED: D.PLANNED,
        E.CANCELLED: D.CANCELLED,
        E.FOUND_PUBLIC: D.RELEASED,
        E.IN_DOUBT: D.UNRESOLVED,
    },
    D.CANCELLED: {},
}

IN_FLIGHT = frozenset({D.PREPARING, D.DISCARDING, D.RELEASING, D.WITHDRAWING})
PUBLIC = frozenset({D.RELEASED, D.VERIFIED, D.CLOSED})
COMPLETE = PUBLIC | {D.WITHDRAWN, D.CANCELLED}
MAYBE_PUBLIC = PUBLIC | {D.RELEASING, D.ACCEPTED, D.UNRESOLVED}
ENDED = frozenset(state for state, moves in TABLE.items() if not moves)


class R(StrEnum):
    """States of a release."""

    OPEN = "open"
    READY = "ready"
    COMMITTED = "committed"
    RELEASED = "released"
    HELD = "held"
    CANCELLED = "cancelled"


RELEASE_NEXT_MOVE: dict[R, str] = {
    R.OPEN: "prepare workers make its deliveries ready",
    R.READY: "the release process commits it at the instant",
    R.COMMITTED: "point of no return: only forward from here",
    R.RELEASED: "nobody: every delivery is public, withdrawn, or closed",
    R.HELD: "a person: resume or cancel",
    R.CANCELLED: "nobody: the end; hidden drafts are removed",
}


class RE(StrEnum):
    """What can happen to a release."""

    WITHDRAWAL_BEGUN = "withdrawal_begun"
    READIED = "readied"
    UNREADIED = "unreadied"
    COMMITTED = "committed"
    COMPLETED = "completed"
    HELD = "held"
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    FOUND_PUBLIC = "found_public"  # after a restore: it had been committed, and this database does not know


RELEASE_TABLE: dict[R, dict[RE, R]] = {
    R.OPEN: {
        RE.READIED: R.READY,
        RE.WITHDRAWAL_BEGUN: R.COMMITTED,
        RE.HELD: R.HELD,
        RE.CANCELLED: R.CANCELLED,
        RE.FOUND_PUBLIC: R.COMMITTED,
    },
    R.READY: {
        RE.COMMITTED: R.COMMITTED,
        RE.UNREADIED: R.OPEN,
        RE.HELD: R.HELD,
        RE.CANCELLED: R.CANCELLED,
        RE.FOUND_PUBLIC: R.COMMITTED,
    },
    R.COMMITTED: {RE.COMPLETED: R.RELEASED},
    R.RELEASED: {},
    R.HELD: {RE.RESUMED: R.OPEN, RE.CANCELLED: R.CANCELLED, RE.FOUND_PUBLIC: R.COMMITTED},
    R.CANCELLED: {},
}

ALLOWED: dict[E, frozenset[R]] = {  # what a delivery may do only while its release is in one of these states
    E.PREPARE_BEGUN: frozenset({R.OPEN, R.READY, R.COMMITTED}),
    E.RELEASE_BEGUN: frozenset({R.COMMITTED}),
    E.WITHDRAW_BEGUN: frozenset({R.COMMITTED}),
    E.DISCARD_BEGUN: frozenset({R.CANCELLED, R.COMMITTED}),  # committed: withdrawn or overtaken before it went out
    E.RETRIED: frozenset({R.OPEN, R.READY, R.COMMITTED}),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What the joint rules need of one delivery."""

    state: D
    required: bool


def step(state: D, event: E, release: R) -> D:
    """The state after `event`. Raises IllegalMove; then nothing has changed."""
    after = TABLE[state].get(event)
    if after is None:
        raise IllegalMove(f"a delivery that is {state} cannot become {event}")
    if release not in ALLOWED.get(event, frozenset(R)):
        raise IllegalMove(f"{event} is not allowed while the release is {release}")
    return after


def step_release(state: R, event: RE, deliveries: Sequence[Standing], *, approved: bool = True) -> R:
    """The release's state after `event`, with the joint rules. Raises IllegalMove.

    `approved`: it needs no review, or has its approvals."""
    after = RELEASE_TABLE[state].get(event)
    if after is None:
        raise IllegalMove(f"a release that is {state} cannot become {event}")
    if event in (RE.READIED, RE.COMMITTED) and not all_required_prepared(deliveries):
        raise IllegalMove(f"{event}: a required delivery is not prepared")
    if event in (RE.READIED, RE.COMMITTED) and not approved:
        raise IllegalMove(f"{event}: its approvals are not there")
    if event is RE.COMPLETED and not all(d.state in COMPLETE for d in deliveries):
        raise IllegalMove("completed: a delivery is neither public nor closed by a person")
    return after


def all_required_prepared(deliveries: Sequence[Standing]) -> bool:
    """The joint rule: every required delivery in place and invisible, at least one of all. One that a person
    dropped before the commit is not waited for any more."""
    going = [d for d in deliveries if d.state is not D.CANCELLED]
    anything = any(d.state is D.PREPARED for d in going)
    return anything and all(d.state is D.PREPARED for d in going if d.required)


def joint(state: R, deliveries: Sequence[Standing], *, approved: bool = True) -> RE | None:
    """What the deliveries' states ask of their release; None: nothing. Never COMMITTED: that needs the instant."""
    if state in (R.OPEN, R.READY) and any(d.required and d.state in (D.FAILED, D.UNRESOLVED) for d in deliveries):
        return RE.HELD
    if state is R.OPEN and approved and all_required_prepared(deliveries):
        return RE.READIED
    if state is R.READY and not (approved and all_required_prepared(deliveries)):
        return RE.UNREADIED
    if state is R.COMMITTED and all(d.state in COMPLETE for d in deliveries):
        return RE.COMPLETED
    return None
