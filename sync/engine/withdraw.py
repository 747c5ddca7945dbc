"""A withdrawal is planned: what is public is to be removed everywhere, what is not public yet never will be.

It is a release of its own, without the joint rule: each outlet is cleared as soon as it can be reached
(see `sync.engine.removal`), and stays open until an anonymous reader finds nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from sync.clock import iso
from sync.content import moment
from sync.engine import notice, outcome
from sync.engine.approval import digest_of
from sync.engine.context import Context
from sync.engine.order import known_outlets, members
from sync.engine.people import acting
from sync.engine.request import first_result, remember
from sync.flow import ENDED, RE, D, R
from sync.model import Align, BadInput, Policy
from sync.store import copies, deliveries, items, outlets, releases, reviews
from sync.store.people import THREE
from sync.store.tables import Record

BEFORE_COMMIT = (R.OPEN, R.READY, R.HELD)


@dataclass(frozen=True)
class Withdrawal:
    """What a person asked for. No `outlets`, no `group`: everywhere. `at`: text, `now`, or None, which means now."""

    item: str
    reason: str
    outlets: tuple[str, ...] = ()
    at: str | None = None
    request_id: str | None = None
    group: str | None = None


def withdraw(ctx: Context, asked: Withdrawal) -> str:
    """Plan it and return its release; or, when nothing was committed yet, cancel the item's release and return that.

    Raises BadInput; then nothing was changed. A repeated `request_id` returns the first release.
    """
    if not asked.reason.strip():
        raise BadInput("--reason", "it is empty", "say why: readers of the log will ask")
    with ctx.store.write() as connection:
        release_id = _first(connection, asked) or _asked(ctx, connection, asked)
    ctx.ring("prepare")
    return release_id


def withdrawn_before(ctx: Context, asked: Withdrawal) -> str | None:
    """The release that this very request came to before. Raises BadInput when it was for something else."""
    with ctx.store.read() as connection:
        return _first(connection, asked)


def _first(connection: Connection, asked: Withdrawal) -> str | None:
    return first_result(connection, asked.request_id, "withdraw", [asked.item])


def _asked(ctx: Context, connection: Connection, asked: Withdrawal) -> str:
    release_id = _plan(ctx, connection, asked)
    if asked.request_id is not None:
        at = ctx.store.now(connection)
        remember(ctx, connection, asked.request_id, "withdraw", release_id, asked.item, at=at)
    return release_id


def _plan(ctx: Context, connection: Connection, asked: Withdrawal) -> str:
    now = ctx.store.now(connection)
    try:
        frozen, item = items.get(connection, asked.item)
    except outlets.Unknown:
        mend = "`tongfa item list` shows the items and their ids"
        raise BadInput(f"item {asked.item}", "there is no such item", mend) from None
    known = known_outlets(connection, asked.outlets)
    if asked.group is not None:
        asked = replace(asked, outlets=tuple(dict.fromkeys((*asked.outlets, *members(known, asked.group)))))
    _entitled(ctx, connection, item.unit, asked)
    release_at = moment.parse(asked.at, now, "--at") if asked.at not in (None, "now") else None
    every = deliveries.of_item(connection, asked.item)
    meant = [one for one in every if not asked.outlets or one.outlet in asked.outlets]
    there = sorted({one.outlet for one in copies.of_item(connection, asked.item) if one.state != copies.REMOVED})
    going = [one for one in meant if one.joined == R.COMMITTED and one.action != "withdraw" and one.state not in ENDED]
    notices = notice.among(ctx, connection, {*there, *(one.outlet for one in meant)})
    told = [name for name in there if name in notices and (not asked.outlets or name in asked.outlets)]
    unsent = [one for one in going if one.outlet in notices and one.state != D.RELEASED]
    there, going = [name for name in there if name not in notices], [one for one in going if one.outlet not in notices]
    wanted = [name for name in there if not asked.outlets or name in asked.outlets]
    if (twin := _planned_before([one for one in meant if one.outlet not in notices])) is not None:
        return twin
    wanted += sorted({one.outlet for one in going} - set(wanted))
    wanted = [name for name in wanted if copies.readable(connection, asked.item, name) or _going(going, name)]
    waiting = {one.release: one for one in every if one.joined in BEFORE_COMMIT and one.action != "withdraw"}
    if release_at is None:
        for one in waiting:
            _end(ctx, connection, one, asked, now)
    if not wanted and waiting and release_at is None:
        return str(next(iter(waiting)))
    if release_at is None and unsent:
        stop(ctx, connection, asked.item, {one.outlet for one in unsent})
    if not wanted and unsent and release_at is None:
        return str(unsent[-1].release)
    if not wanted and told:
        mend = f"tell its readers another way; `tongfa correct {asked.item} FILE` sends them another notification"
        raise BadInput(f"outlet {told[0]}", "what was sent there cannot be recalled", mend)
    if not wanted:
        mend = f"`tongfa item show {asked.item}` shows where it is"
        raise BadInput(f"item {asked.item}", "it is public nowhere that is meant here", mend)
    rows = [outlets.get(connection, name) for name in wanted]
    if len({row.live for row in rows}) > 1:
        names = ", ".join(row.name for row in rows if not row.live)
        raise BadInput(
            "--outlets", "live and sandbox outlets do not mix", f"withdraw from {names} apart from the others"
        )
    release_id = secrets.token_hex(8)
    unit, rule = reviews.ruling(connection, [frozen.item], rows)
    parts = {
        "action": "withdraw",
        "item": frozen.item,
        "revision": frozen.revision,
        "outlets": wanted,
        "reason": asked.reason.strip(),
        "release_at": iso(release_at or now),
    }
    reviewing = {"digest": digest_of(parts), "parts": parts} if rule == THREE else {}
    row = releases.add(
        connection,
        {
            "id": release_id,
            "unit": unit,
            "review": rule,
            "planner": ctx.named or "",
            **reviewing,
            "action": "withdraw",
            "policy": Policy.ALL.value,
            "align": Align.NOT_BEFORE.value,
            "release_at": release_at or now,
            "overdue_at": None,
            "canonical_outlet": None,
            "reviewed": False,
            "live": rows[0].live,
            "request_id": asked.request_id,
            "reason": asked.reason.strip(),
        },
        [(frozen.item, frozen.revision)],
        at=now,
        actor=ctx.actor,
        detail={
            "outlets": wanted,
            "release_at": iso(release_at or now),
            "reason": asked.reason.strip(),
            "note": "to be reviewed afterwards by a second person" if rule == THREE else "without review",
        },
    )
    for one in rows:
        deliveries.add(
            connection,
            id=secrets.token_hex(12),
            release=release_id,
            outlet=one.name,
            item=frozen.item,
            revision=frozen.revision,
            unit=one.unit,
            required=True,
            generation=one.generation,
            canonical_url=None,
            duty="withdraw",
            due_at=release_at or now,
            at=now,
            actor=ctx.actor,
        )
    if release_at is None:
        begin(ctx, connection, row)
    return release_id


def _entitled(ctx: Context, connection: Connection, unit: str, asked: Withdrawal) -> None:
    """Where reviews are asked for: one publisher at once, a second person afterwards. Raises BadInput."""
    there = {one.outlet for one in deliveries.of_item(connection, asked.item)}
    meant = there & set(asked.outlets) if asked.outlets else there
    acting(ctx, connection, {unit, *(outlets.get(connection, name).unit for name in meant)}, ("publisher",))


def begin(ctx: Context, connection: Connection, row: Record) -> Record:
    """The withdrawal's moment has come: nothing of the item that is still on its way goes out any more."""
    now = ctx.store.now(connection)
    row = releases.move(connection, row, RE.WITHDRAWAL_BEGUN, at=now, actor=ctx.actor, committed_at=now)
    cleared = {one.outlet for one in deliveries.of_release(connection, row.id)}
    for named in items.of_release(connection, row.id):
        stop(ctx, connection, named.item, cleared | notice.without_cause(ctx, connection, named.item, cleared))
    return row


def stop(ctx: Context, connection: Connection, item: str, outlets_: set[str], below: int | None = None) -> None:
    """Committed deliveries of the item that have not gone out are given up, their hidden drafts removed.

    `below`: only of earlier revisions than this one."""
    touched = set()
    for one in deliveries.of_item(connection, item):
        # Also what is in doubt: found hidden, or not there at all, it must not go out after this.
        unsent = one.state not in ENDED and one.state != D.RELEASED
        meant = one.outlet in outlets_ and (below is None or one.revision < below)
        if meant and unsent and one.joined == R.COMMITTED and one.action != "withdraw" and not one.stopped:
            at_once = {"due_at": ctx.store.now(connection)} if one.duty == "carry" else {}
            deliveries.note(connection, one, stopped=True, **at_once)
            touched.add(one.release)
    for release_id in sorted(touched):
        outcome.settle(ctx, connection, release_id)


def _planned_before(meant: Sequence[Record]) -> str | None:
    """An open withdrawal of the same copies goes on; a second one would only wait beside it."""
    open_ = [one for one in meant if one.action == "withdraw" and one.joined == R.COMMITTED and one.state not in ENDED]
    covered = {one.outlet for one in open_}
    everything = {one.outlet for one in meant if one.action != "withdraw" and one.state not in ENDED | {D.FAILED}}
    if open_ and everything <= covered | {one.outlet for one in meant if one.state == D.WITHDRAWN}:
        return str(open_[-1].release)
    return None


def _going(going: Sequence[Record], name: str) -> bool:
    return any(one.outlet == name and one.state in (D.RELEASING, D.ACCEPTED, D.UNRESOLVED) for one in going)


def _end(ctx: Context, connection: Connection, release_id: str, asked: Withdrawal, now: int) -> None:
    """Cancel a release that is not committed, unless it would take something else with it."""
    others = [one.item for one in items.of_release(connection, release_id) if one.item != asked.item]
    left = [
        one.outlet
        for one in deliveries.of_release(connection, release_id)
        if asked.outlets and one.outlet not in asked.outlets
    ]
    if others or left:
        also = f"item {others[0]}" if others else f"outlet {left[0]}"
        mend = f"`tongfa release cancel {release_id}` first, then plan the rest anew"
        raise BadInput(f"item {asked.item}", f"release {release_id}, not out yet, also holds {also}", mend)
    row = releases.get(connection, release_id)
    detail = {"reason": asked.reason.strip()}
    releases.move(connection, row, RE.CANCELLED, at=now, actor=ctx.actor, detail=detail, overdue_at=None)
    outcome.settle(ctx, connection, release_id)
