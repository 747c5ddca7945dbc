"""What approvers approve: one digest over all that will go out; and what becomes of it when anything changes.

Everything is rendered before it is reviewed, and rendered again before it is prepared. If the second
rendering is not the first, nothing of the release is sent: its approvals are void, the difference stands in the
log, and another round of review begins. What changes by itself (time of publication, tokens, an outlet's media
ids) is no part of a rendition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from sync.clock import MILLISECOND, SECOND, iso
from sync.contract import Capabilities
from sync.engine import outcome
from sync.engine.context import Context, dump, rendition
from sync.flow import RE, D, E, R
from sync.model import Rendition, canonical_bytes, sha256
from sync.store import deliveries, items, outlets, releases, reviews
from sync.store.people import THREE
from sync.store.tables import Record

ASKED, VOIDED, PASSED, REJECTED = "review_asked", "review_voided", "review_passed", "review_rejected"
SHOWN = 60  # characters of a difference, on either side of where it begins
UNSENT = (D.PLANNED, D.RENDERED, D.PREPARED)


def waits(row: Record) -> bool:
    """The release may not be prepared: its approvals are not there."""
    return bool(row.review == THREE and not row.reviewed and row.action != "withdraw")


def prepare_at(can: Capabilities, release_at: int | None, now: int) -> int:
    """When a delivery is to be prepared, µs UTC: now, or late enough for what it makes to last until the instant."""
    if can.fresh_for is None or release_at is None:
        return now
    return max(now, release_at - round(can.fresh_for * SECOND / 2))


def beside(connection: Connection, due: Sequence[Record]) -> list[Record]:
    """What else of the same reviewed releases is not prepared yet: all of it is rendered again, or none is sent."""
    known = {row.id for row in due}
    found = []
    for release_id in dict.fromkeys(row.release for row in due):
        if releases.get(connection, release_id).review == THREE:
            rows = deliveries.of_release(connection, release_id)
            found += [row for row in rows if row.state == D.RENDERED and row.owner is None and row.id not in known]
    return found


def take_in(ctx: Context, connection: Connection, made: Mapping[str, Rendition]) -> None:
    """Renditions of releases under review, in the transaction in which they would be prepared.

    Those that are approved as they are stay due; everything else waits for approvals.
    """
    rows = [row for row in deliveries.some(connection, list(made)) if row.owner is None]
    rows = [row for row in rows if row.state in (D.PLANNED, D.RENDERED)]
    for release_id in dict.fromkeys(row.release for row in rows):
        joined = releases.get(connection, release_id)
        if joined.review == THREE:
            _take_in(ctx, connection, joined, {row.id: row for row in rows if row.release == release_id}, made)


def _take_in(
    ctx: Context, connection: Connection, joined: Record, rows: dict[str, Record], made: Mapping[str, Rendition]
) -> None:
    now = ctx.store.now(connection)
    generations = {row.outlet: outlets.get(connection, row.outlet).generation for row in rows.values()}
    changed = {one: _differences(row, made[one], generations[row.outlet]) for one, row in rows.items()}
    if joined.digest is not None and any(changed.values()):
        joined = void(ctx, connection, joined, [part for parts in changed.values() for part in parts])
    for one, row in rows.items():
        stored = {"rendition": dump(made[one]), "generation": generations[row.outlet]} if changed[one] else {}
        if not joined.reviewed:
            stored |= {"duty": None, "due_at": None, "problems": []}
        if row.state == D.PLANNED:
            detail = {"rendition": made[one].digest}
            deliveries.move(connection, row, E.RENDERED, at=now, actor=ctx.actor, detail=detail, **stored)
        elif stored:
            deliveries.note(connection, row, **stored)
    ask(ctx, connection, joined)


def ask(ctx: Context, connection: Connection, joined: Record) -> None:
    """Once everything is rendered: what is to be approved, as one digest, with an entry."""
    if joined.digest is not None:
        return
    rows = _going(deliveries.of_release(connection, joined.id))
    now, stale = ctx.store.now(connection), False
    for row in rows:
        if row.state == D.PREPARED and row.owner is None and _is_changed(connection, row):
            again: dict[str, Any] = {"duty": "prepare", "due_at": now, "epoch": row.epoch + 1, "problems": []}
            detail = {"why": f"{row.outlet} was changed after it was prepared"}
            deliveries.move(connection, row, E.STALE, at=now, actor=ctx.actor, detail=detail, **again)
            stale = True
        elif row.state == D.RENDERED and _is_changed(connection, row):
            if row.duty is None:
                deliveries.note(connection, row, duty="prepare", due_at=now, problems=[])
            stale = True
    if stale or any(row.rendition is None for row in rows):
        return  # whoever renders that asks
    parts = parts_of(connection, joined, rows)
    digest = digest_of(parts)
    asked: dict[str, Any] = {"round": joined.round, "digest": digest, "parts": parts}
    releases.tell(connection, joined, ASKED, at=now, actor=ctx.actor, detail=asked, digest=digest, parts=parts)


def parts_of(connection: Connection, joined: Record, rows: Sequence[Record]) -> dict[str, Any]:
    """Everything that approvers answer for, in clear."""
    editions = {
        one.item: [one.revision, items.get(connection, one.item, one.revision)[0].digest]
        for one in items.of_release(connection, joined.id)
    }
    earliest = max((row.ahead for row in rows), default=0)
    starts = iso(joined.release_at - earliest) if joined.release_at is not None else "when approved"
    return {
        "action": joined.action,
        "unit": joined.unit,
        "editions": editions,
        "release_at": iso(joined.release_at) if joined.release_at is not None else "when approved",
        "starts_at": starts,
        "policy": joined.policy,
        "align": joined.align,
        "canonical_outlet": joined.canonical_outlet,
        "live": joined.live,
        "deliveries": [
            {
                "outlet": row.outlet,
                "item": row.item,
                "required": row.required,
                "generation": row.generation,
                "ahead_ms": row.ahead // MILLISECOND,
                "replaces": row.replaces_copy,
                "rendition": rendition(row).digest,
            }
            for row in rows
        ],
    }


def digest_of(parts: Mapping[str, Any]) -> str:
    return sha256(canonical_bytes(parts))


def current(ctx: Context, connection: Connection, joined: Record) -> bool:
    """The digest is over what the rows and outlets say at this moment."""
    rows = _going(deliveries.of_release(connection, joined.id))
    if any(row.rendition is None for row in rows) or digest_of(joined.parts or {}) != joined.digest:
        return False
    if any(row.state in UNSENT and _is_changed(connection, row) for row in rows):
        return False
    now = parts_of(connection, joined, rows)
    left = {(row.outlet, row.item) for row in rows}  # what was given up since is no other place than was approved
    then = {**(joined.parts or {})}
    then["deliveries"] = [one for one in then["deliveries"] if (one["outlet"], one["item"]) in left]
    return now == then


def void(ctx: Context, connection: Connection, joined: Record, changed: Sequence[Mapping[str, Any]]) -> Record:
    """Another round begins: the approvals so far count no more, and what is different stands in the log."""
    counted = len(reviews.of(connection, joined))
    detail = {"round": joined.round, "digest": joined.digest, "approvals": counted, "changed": list(changed)}
    values: dict[str, Any] = {"round": joined.round + 1, "digest": None, "parts": None, "reviewed": False}
    if joined.release_at is None:
        values["overdue_at"] = None
    told: dict[str, Any] = {"at": ctx.store.now(connection), "actor": ctx.actor, "detail": detail}
    if joined.state == R.READY:  # in one step: what is ready is approved
        detail["event"] = VOIDED
        joined = releases.move(connection, joined, RE.UNREADIED, **told, **values)
        values = {}
    return releases.tell(connection, joined, VOIDED, **told, **values)


def outlet_changed(ctx: Context, connection: Connection, name: str) -> None:
    """Where or as whom an outlet publishes is not what was approved: void, and rendered anew.

    In the transaction of that change, so that nothing is sent meanwhile.
    """
    for joined in reviews.bound_to(connection, name):
        rows = [row for row in deliveries.of_release(connection, joined.id) if row.outlet == name]
        stale = [row for row in rows if row.state in UNSENT and _is_changed(connection, row)]
        if not stale:
            continue
        changed = [{"outlet": name, "item": row.item, "part": "settings, account or live mark"} for row in stale]
        void(ctx, connection, joined, changed)
        ask(ctx, connection, releases.get(connection, joined.id))
        outcome.settle(ctx, connection, joined.id)


def _going(rows: Sequence[Record]) -> list[Record]:
    """Without what was given up, and without what cannot even be rendered and is waited for by nobody."""
    return [
        row
        for row in rows
        if row.state != D.CANCELLED and not row.stopped and not (row.state == D.FAILED and row.rendition is None)
    ]


def _is_changed(connection: Connection, row: Record) -> bool:
    return bool(outlets.get(connection, row.outlet).generation != row.generation)


def _differences(row: Record, made: Rendition, generation: int) -> list[dict[str, Any]]:
    """What of a delivery is not as it was rendered before; all of it, the first time."""
    where: dict[str, Any] = {"outlet": row.outlet, "item": row.item}
    if row.rendition is None:
        return [{**where, "part": "outlet set"}]
    before = rendition(row)
    found = []
    texts = {"title": (before.title, made.title), "content": (before.content, made.content)}
    names = sorted({*before.fields, *made.fields})
    texts |= {f"field {name}": (before.fields.get(name, ""), made.fields.get(name, "")) for name in names}
    for part, (old, new) in texts.items():
        if old != new:
            found.append({**where, "part": part, **_excerpts(old, new)})
    if before.digest != made.digest and not found:
        found.append({**where, "part": "files" if before.files != made.files else "what a reader sees"})
    if generation != row.generation:
        found.append({**where, "part": "settings, account or live mark"})
    return found


def _excerpts(old: str, new: str) -> dict[str, str]:
    """Both texts around the first place in which they differ."""
    at = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    begin = max(0, at - SHOWN)
    return {"before": old[begin : at + SHOWN], "after": new[begin : at + SHOWN]}
