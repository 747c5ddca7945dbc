"""A verdict becomes rows: the move, its entry, what was learnt, and the next due row, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection

from sync.contract import Accepted, Capabilities, Prepared, Receipt
from sync.engine.context import Context, dump
from sync.flow import D, E
from sync.model import Problem
from sync.store import copies, deliveries, outlets, releases
from sync.store.deliveries import Superseded
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


def facts(ctx: Context, row: Record, can: Capabilities, now: int) -> Facts:
    lands = can.lands_within if ctx.settings.lands_within_s is None else ctx.settings.lands_within_s
    return Facts(now, row.attempts, lands, can.probe, row.quarantine_until, row.since, can.polls or (5.0,))


def can_of(ctx: Context, row: Record) -> Capabilities:
    """What the delivery's kind of outlet can do."""
    if row.outlet not in ctx.kinds:
        with ctx.store.read() as connection:
            ctx.kinds[row.outlet] = outlets.get(connection, row.outlet).kind
    return ctx.kind(ctx.kinds[row.outlet]).can


def answered(ctx: Context, row: Record, answer: object, **learnt: Any) -> None:
    """Store what an outlet call in the row's in-flight state came to; one transaction of its own.

    Dying before it commits leaves the row in flight under a dead owner: a probe finds out."""
    can = can_of(ctx, row)
    with suppress(Superseded), ctx.store.write() as connection:
        apply_answer(ctx, connection, row, can, answer, **learnt)
        settle(ctx, connection, row.release)
    ctx.ring("prepare")
    ctx.ring("release")


def all_answered(ctx: Context, answers: Sequence[tuple[Record, object]]) -> None:
    """As `answered`, of several calls that ended together: one transaction for all."""
    cans = [can_of(ctx, row) for row, _ in answers]
    with ctx.store.write() as connection:
        for (row, answer), can in zip(answers, cans, strict=True):
            # Somebody newer has the row: what was written for it is undone, the others' answers are kept.
            with suppress(Superseded), connection.begin_nested():
                apply_answer(ctx, connection, row, can, answer)
        for release_id in dict.fromkeys(row.release for row, _ in answers):
            settle(ctx, connection, release_id)
    ctx.ring("prepare")
    ctx.ring("release")


def apply_answer(
    ctx: Context, connection: Connection, row: Record, can: Capabilities, answer: object, **learnt: Any
) -> None:
    """As `answered`, inside the caller's transaction and without the joint rules."""
    known = facts(ctx, row, can, ctx.store.now(connection))
    apply(ctx, connection, row, judge_answer(D(row.state), answer, known), answer, **learnt)


def probed(ctx: Context, row: Record, found: object) -> None:
    """Store what a look at the outlet came to; one transaction of its own."""
    can = can_of(ctx, row)
    with suppress(Superseded), ctx.store.write() as connection:
        known = facts(ctx, row, can, ctx.store.now(connection))
        apply(ctx, connection, row, judge_probe(D(row.state), found, known), found)
        settle(ctx, connection, row.release)
    ctx.ring("prepare")
    ctx.ring("release")


def apply(ctx: Context, connection: Connection, row: Record, verdict: Verdict, answer: object, **learnt: Any) -> None:
    """The verdict's row changes. Raises Superseded when a newer epoch has the row: then nothing is written."""
    now = ctx.store.now(connection)
    values: dict[str, Any] = {"owner": None, "quarantine_until": verdict.quarantine_until, **learnt}
    match answer:
        case Prepared():
            values["prepared"] = dump(answer)
            if row.state == D.PREPARING:
                values["attempts"] = 0  # from here on it is the tries to release that count
        case Accepted():
            values["accepted"] = dump(answer)
        case Receipt():
            values |= {"receipt": dump(answer), "released_at": answer.at}
    values["problems"] = [shown(Problem("outlet", verdict.why))] if verdict.why else []
    values["duty"] = DUTY.get((D(row.state), verdict.event)) if verdict.due is not None else None
    values["due_at"] = verdict.due if values["duty"] else None
    detail = {"worker": ctx.actor, "attempt": row.attempts, **({"why": verdict.why} if verdict.why else {})}
    if verdict.event is None:
        deliveries.note(connection, row, **values)
    else:
        after = deliveries.move(connection, row, verdict.event, at=now, actor=ctx.actor, detail=detail, **values)
        if verdict.event is E.RELEASED:
            copies.appear(connection, after, at=now, actor=ctx.actor)


def settle(ctx: Context, connection: Connection, release_id: str) -> None:
    """The joint rules, in the transaction of the moves they follow from."""
    releases.settle(
        connection,
        release_id,
        at=ctx.store.now(connection),
        actor=ctx.actor,
        arm_before=ctx.settings.arm_before_s,
        why=partial(why_held, connection, release_id),
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
