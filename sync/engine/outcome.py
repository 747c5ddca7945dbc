"""A verdict becomes rows: the move, its entry, what was learnt, and the next due row, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from sync.contract import Accepted, Capabilities, Carrier, Channel, HeldBack, Prepared, Receipt, Reveal
from sync.engine import notice
from sync.engine.context import Context, dump
from sync.flow import D, E
from sync.model import Problem
from sync.store import copies, deliveries, outlets, releases
from sync.store.deliveries import Change
from sync.store.tables import Record
from sync.verdict import Facts, Verdict, judge_answer, judge_probe

# Who looks next, by the event that was (None: by the state that stays).
DUTY: dict[tuple[D, E | None], str] = {
    (D.PREPARING, E.ABSENT): "prepare",
    (D.PREPARING, None): "reconcile",
    (D.RELEASING, E.ABSENT): "release",
    (D.RELEASING, E.RELEASED): "verify",
    (D.RELEASING, E.ACCEPTED): "verify",
    (D.RELEASING, None): "reconcile",
    (D.ACCEPTED, E.RELEASED): "verify",
    (D.ACCEPTED, None): "verify",
    (D.DISCARDING, None): "reconcile",
}


@dataclass(frozen=True)
class Answer:
    """What a call at an outlet came to, for the row as it was when the call was made; `learnt`: columns beside it."""

    row: Record
    answer: object
    learnt: Mapping[str, Any] = field(default_factory=dict)


def facts(ctx: Context, row: Record, can: Capabilities, now: int) -> Facts:
    lands = can.lands_within if ctx.settings.lands_within_s is None else ctx.settings.lands_within_s
    polls = () if can.reveal is Reveal.MANUAL else can.polls or (5.0,)
    return Facts(now, row.attempts, lands, can.probe, row.quarantine_until, row.since, polls)


def kind_of(ctx: Context, row: Record) -> type[Channel]:
    """The delivery's kind of outlet."""
    if row.outlet not in ctx.kinds:
        with ctx.store.read() as connection:
            ctx.kinds[row.outlet] = outlets.get(connection, row.outlet).kind
    return ctx.kind(ctx.kinds[row.outlet])


def can_of(ctx: Context, row: Record) -> Capabilities:
    """What the delivery's kind of outlet can do."""
    return kind_of(ctx, row).can


def is_carried(ctx: Context, row: Record) -> bool:
    """Whether what was accepted there is handed over part by part, by us (`sync.engine.carry`)."""
    return issubclass(kind_of(ctx, row), Carrier)


def answered(ctx: Context, row: Record, answer: object, **learnt: Any) -> None:
    """Store what an outlet call in the row's in-flight state came to; one transaction of its own.

    Dying before it commits leaves the row in flight under a dead owner: a probe finds out."""
    all_answered(ctx, [Answer(row, answer, learnt)])


def all_answered(ctx: Context, answers: Sequence[Answer]) -> None:
    """As `answered`, of several calls that ended together: one transaction for all."""
    keep(ctx, answers)
    ctx.ring("prepare")
    ctx.ring("release")


def keep(ctx: Context, answers: Sequence[Answer]) -> None:
    """As `all_answered`, and nobody is called.

    Of a row that somebody newer has nothing is written; the others' answers are kept."""
    cans = [can_of(ctx, one.row) for one in answers]
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        judged = [
            (one, judge_answer(D(one.row.state), one.answer, facts(ctx, one.row, can, now)))
            for one, can in zip(answers, cans, strict=True)
        ]
        _apply(ctx, connection, judged, now)
        for release_id in dict.fromkeys(one.row.release for one in answers):
            settle(ctx, connection, release_id, now)


def probed(ctx: Context, row: Record, found: object, asked_at: int | None = None) -> None:
    """Store what a look at the outlet came to; one transaction of its own.

    `asked_at`: the database's time before the look; None when an absence says nothing."""
    can = can_of(ctx, row)
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        known = replace(facts(ctx, row, can, now), asked_at=asked_at)
        verdict = judge_probe(D(row.state), found, known)
        _apply(ctx, connection, [(Answer(row, found), verdict)], now)
        settle(ctx, connection, row.release, now)
    ctx.ring("prepare")
    ctx.ring("release")


def _apply(ctx: Context, connection: Connection, judged: Sequence[tuple[Answer, Verdict]], now: int) -> None:
    """The verdicts' changes, for as many of the rows as are still what was judged: nobody else writes meanwhile."""
    found = deliveries.some(connection, [one.row.id for one, _ in judged], light=True)
    ours = {(row.id, row.epoch, row.state) for row in found}
    judged = [(one, verdict) for one, verdict in judged if (one.row.id, one.row.epoch, one.row.state) in ours]
    changes = [_change(ctx, one, verdict, now) for one, verdict in judged]
    deliveries.change_all(connection, changes, at=now, actor=ctx.actor)
    public = [(one.row, one.values["receipt"]) for one in changes if one.event is E.RELEASED]
    copies.appear_all(connection, public, at=now, actor=ctx.actor)


def _change(ctx: Context, given: Answer, verdict: Verdict, now: int) -> Change:
    row, answer = given.row, given.answer
    carried = False
    values: dict[str, Any] = {"owner": None, "quarantine_until": verdict.quarantine_until, **given.learnt}
    match answer:
        case Prepared():
            values["prepared"] = dump(answer)
            if row.state == D.PREPARING:
                values["attempts"] = 0  # from here on it is the tries to release that count
        case Accepted() if not (carried := is_carried(ctx, row)):
            values["accepted"] = dump(answer)  # of what is carried, the ledger of an earlier try goes on
        case Receipt():
            values |= {"receipt": dump(answer), "released_at": answer.at}
        case HeldBack():
            values["attempts"] = max(0, row.attempts - 1)  # it was none
    values["problems"] = [shown(Problem("outlet", verdict.why))] if verdict.why else []
    values["duty"] = DUTY.get((D(row.state), verdict.event)) if verdict.due is not None else None
    values["due_at"] = verdict.due if values["duty"] else None
    if carried:
        values |= {"duty": "carry", "due_at": now}
    detail = {"worker": ctx.actor, "attempt": row.attempts, **({"why": verdict.why} if verdict.why else {})}
    return Change(row, verdict.event, detail, values)


def settle(ctx: Context, connection: Connection, release_id: str, now: int | None = None) -> None:
    """The joint rules, in the transaction of the moves they follow from. `now`: its time, where it was asked for."""
    releases.settle(
        connection,
        release_id,
        at=ctx.store.now(connection) if now is None else now,
        actor=ctx.actor,
        arm_before=ctx.settings.arm_before_s,
        why=partial(why_held, connection, release_id),
        waiting=partial(notice.waiting, ctx, connection),
    )


def why_held(connection: Connection, release_id: str) -> str:
    """In one line, which required outlet stops the release, and what it said."""
    stopping = [
        f"{one.outlet}: {one.problems[0]['message'] if one.problems else one.state}"
        for one in deliveries.of_release(connection, release_id)
        if one.required and one.state in (D.FAILED, D.UNRESOLVED)
    ]
    return "; ".join(stopping)


def shown(problem: Problem) -> dict[str, Any]:
    return {"where": problem.where, "message": problem.message, "fatal": problem.fatal}
