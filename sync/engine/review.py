"""Three reviews by three people (三审): approve, reject, and what each of them is shown.

First 初审, second 复审, third 终审, the third by a publisher; nobody approves what they wrote. What is approved
is one digest over everything that will go out (`sync.engine.approval`). A withdrawal needs one publisher at
once, and a second person who looks at it afterwards.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from sync.clock import SECOND, iso
from sync.engine import approval, outcome
from sync.engine.approval import REJECTED, VOIDED, prepare_at
from sync.engine.context import Context, rendition
from sync.engine.people import known
from sync.flow import RE, D, R
from sync.model import BadInput
from sync.store import deliveries, items, outlets, people, releases, reviews
from sync.store.outlets import Unknown
from sync.store.people import THREE
from sync.store.tables import Record

STAGES = {1: "初审 first", 2: "复审 second", 3: "终审 third"}
AFTERWARDS = "事后复核 afterwards"
IDENTIFIED = "--as on the command line, not signed in"


def approve(ctx: Context, release_id: str, *, note: str = "", digest: str | None = None) -> None:
    """The next stage's approval of what is under review now; the third lets it be prepared.

    `digest`: the beginning of what was looked at; anything else under review by now is refused. Raises BadInput.
    """
    with ctx.store.write() as connection:
        row = _under_review(connection, release_id)
        renewed = row.action != "withdraw" and row.digest is not None and not approval.current(ctx, connection, row)
        if renewed:  # kept, although the approval is refused: it is rendered anew
            row = approval.void(ctx, connection, row, [{"part": "what would go out, since it was rendered"}])
            approval.ask(ctx, connection, row)
            outcome.settle(ctx, connection, release_id)
        else:
            _approve(ctx, connection, row, note, digest)
    ctx.ring("prepare")
    if renewed:
        mend = f"look at it again: `tongfa review show {release_id}`"
        raise BadInput(f"release {release_id}", "what would go out has changed; nothing was approved", mend)


def _approve(ctx: Context, connection: Connection, row: Record, note: str, digest: str | None) -> None:
    if row.digest is None:
        mend = f"look in a moment: `tongfa review show {row.id}`; a prepare worker must be running"
        raise BadInput(f"release {row.id}", "it is being rendered; there is nothing to approve yet", mend)
    if digest is not None and not (len(digest) >= 8 and row.digest.startswith(digest)):
        mend = f"look at it again: `tongfa review show {row.id}`"
        raise BadInput("--digest", f"under review is {row.digest}", mend)
    done = reviews.of(connection, row)
    stage, now = len(done) + 1, ctx.store.now(connection)
    person = _entitled(ctx, connection, row, stage, done)
    first = items.of_release(connection, row.id)[0].item
    identified = ctx.actor.removeprefix(f"{person.name} (").removesuffix(")") if "(" in ctx.actor else IDENTIFIED
    told = {"note": note.strip(), "identified": identified, "at": now, "actor": ctx.actor, "item_id": first}
    reviews.add(connection, row, stage, person.name, **told)
    if row.action == "withdraw" or stage < reviews.NEEDED:
        return
    late = round(ctx.settings.late_limit_s * SECOND)
    overdue = {"overdue_at": now + late} if row.release_at is None and row.committed_at is None else {}
    detail = {"round": row.round, "digest": row.digest, "approved by": [*(one.approver for one in done), person.name]}
    releases.tell(connection, row, approval.PASSED, at=now, actor=ctx.actor, detail=detail, reviewed=True, **overdue)
    for one in deliveries.of_release(connection, row.id):
        if one.state == D.RENDERED and one.owner is None:
            can = ctx.kind(outlets.get(connection, one.outlet).kind).can
            due_at = prepare_at(can, row.release_at, now)
            deliveries.note(connection, one, duty="prepare", due_at=due_at)
    outcome.settle(ctx, connection, row.id)
    ctx.ring("release")


def reject(ctx: Context, release_id: str, reason: str) -> None:
    """Hold it, with the reason; resumed, it needs all three approvals anew. Raises BadInput."""
    if not reason.strip():
        raise BadInput("--reason", "it is empty", "say why: whoever wrote it will ask")
    with ctx.store.write() as connection:
        row = _under_review(connection, release_id)
        if row.action == "withdraw" or row.committed_at is not None:
            mend = "approve it with a --note that says what you think; publish or withdraw to change what is public"
            raise BadInput(f"release {release_id}", "it went out: there is no way back", mend)
        done = reviews.of(connection, row)
        person = _entitled(ctx, connection, row, min(len(done) + 1, reviews.NEEDED), done)
        why = f"rejected by {person.name}: {reason.strip()}"
        now = ctx.store.now(connection)
        detail = {"round": row.round, "digest": row.digest, "stage": len(done) + 1, "reason": reason.strip()}
        told: dict[str, Any] = {"at": now, "actor": ctx.actor, "detail": detail}
        row = releases.move(connection, row, RE.HELD, why=why, **told)
        values: dict[str, Any] = {"round": row.round + 1, "reviewed": False}
        if row.release_at is None:
            values["overdue_at"] = None
        releases.tell(connection, row, REJECTED, **told, **values)
        outcome.settle(ctx, connection, release_id)


def _under_review(connection: Connection, release_id: str) -> Record:
    try:
        row = releases.get(connection, release_id)
    except Unknown:
        mend = "`tongfa review list` shows what waits"
        raise BadInput(f"release {release_id}", "there is no such release", mend) from None
    if row.review != THREE:
        raise BadInput(f"release {release_id}", f"the rule of unit {row.unit} was: no review", "it needs no approval")
    if row.action == "withdraw":
        if row.state == R.CANCELLED or reviews.of(connection, row):
            raise BadInput(f"release {release_id}", "its review is done", "`tongfa review list` shows what waits")
        return row
    if row.reviewed:
        mend = f"`tongfa release hold {release_id}` stops it before its commit"
        raise BadInput(f"release {release_id}", "it has its three approvals", mend)
    if row.state not in (R.OPEN, R.COMMITTED):
        mend = f"`tongfa release resume {release_id}` first" if row.state == R.HELD else "plan it anew"
        raise BadInput(f"release {release_id}", f"it is {row.state}", mend)
    return row


def _entitled(ctx: Context, connection: Connection, row: Record, stage: int, done: Any) -> Record:
    """The person of this command, if they may give this stage's word. Raises BadInput; the database asks again."""
    if ctx.named is None:
        raise BadInput("--as", "a review is somebody's", "add --as USER (`tongfa review list` says who)")
    person = known(connection, ctx.named, "--as")
    who = f"--as {person.name}"
    mend = f"somebody else has to: {', '.join(_who(connection, row, stage, done)) or 'add one with `tongfa user add`'}"
    if person.state != "active":
        raise BadInput(who, f"{person.name} is {person.state}", mend)
    if person.name in _own(connection, row):
        raise BadInput(who, "nobody reviews what is their own", mend)
    if any(one.approver == person.name for one in done):
        raise BadInput(who, f"{person.name} approved an earlier stage already: three people review", mend)
    if person.unit not in reviews.units_of(connection, row):
        raise BadInput(who, f"{person.name} belongs to unit {person.unit}", mend)
    if not _fits(person, stage):
        needed = "a publisher" if stage == reviews.NEEDED else "a reviewer or publisher"
        raise BadInput(who, f"the {STAGES[stage].split()[1]} stage is {needed}'s", mend)
    return person


def _fits(person: Record, stage: int) -> bool:
    return bool(person.publisher or (person.reviewer and stage < reviews.NEEDED))


def _own(connection: Connection, row: Record) -> set[str]:
    """Whose work it is: the authors; and whoever planned it, where nobody knows the author or it was withdrawn."""
    if row.action == "withdraw":
        return {row.planner}
    authors = set(reviews.authors(connection, row.id))
    everybody = {one.name for one in people.every(connection)}
    return authors | ({row.planner} if authors - everybody else set())


def _who(connection: Connection, row: Record, stage: int, done: Any) -> list[str]:
    """Everybody who may give this stage's word."""
    units, own = reviews.units_of(connection, row), _own(connection, row) | {one.approver for one in done}
    return [
        one.name
        for one in people.every(connection)
        if one.state == "active" and one.unit in units and one.name not in own and _fits(one, stage)
    ]


# what is shown


def summary(connection: Connection, row: Record) -> dict[str, Any]:
    """How far the review of a release is, as JSON."""
    done = reviews.of(connection, row)
    withdrawal = row.action == "withdraw"
    waits = row.review == THREE and not row.reviewed and not (withdrawal and done) and row.state != R.CANCELLED
    stage = min(len(done) + 1, reviews.NEEDED)
    return {
        "rule": row.review,
        "round": row.round,
        "digest": row.digest,
        "state": "none" if row.review != THREE else _state(row, done, waits=waits),
        "stage": stage if waits and not withdrawal else None,
        "stage_name": None if not waits else AFTERWARDS if withdrawal else STAGES[stage],
        "waits_for": _who(connection, row, stage, done) if waits else [],
        "approvals": [
            {
                "stage": one.stage,
                "approver": one.approver,
                "at": iso(one.at),
                "note": one.note,
                "digest": one.digest,
                "identified": one.identified,
            }
            for one in done
        ],
    }


def _state(row: Record, done: Any, *, waits: bool) -> str:
    if row.action == "withdraw":
        return "afterwards" if waits else "approved" if done else "none"
    if row.reviewed:
        return "approved"
    return "waiting" if row.digest is not None else "rendering"


def waiting(ctx: Context) -> list[dict[str, Any]]:
    """Every review that is open: what waits for whom. Oldest first."""
    with ctx.store.read() as connection:
        return [_listed(connection, row) for row in reviews.waiting(connection)]


def _listed(connection: Connection, row: Record) -> dict[str, Any]:
    first = items.of_release(connection, row.id)[0]
    frozen, _ = items.get(connection, first.item, first.revision)
    told = summary(connection, row)
    return {
        **told,
        "review": told["state"],
        "release": row.id,
        "item": frozen.item,
        "title": frozen.title,
        "action": row.action,
        "unit": row.unit,
        "state": row.state,
        "why": row.why,
        "release_at": iso(row.release_at) if row.release_at is not None else None,
        "created_at": iso(row.created_at),
    }


def shown(ctx: Context, release_id: str) -> dict[str, Any]:
    """Everything an approver answers for, and everything said so far. Raises BadInput."""
    with ctx.store.read() as connection:
        try:
            row = releases.get(connection, release_id)
        except Unknown:
            mend = "`tongfa review list` shows what waits"
            raise BadInput(f"release {release_id}", "there is no such release", mend) from None
        rows = deliveries.of_release(connection, release_id)
        editions = [items.get(connection, one.item, one.revision) for one in items.of_release(connection, release_id)]
        said = reviews.told(connection, release_id, (VOIDED, REJECTED))
        return {
            **_listed(connection, row),
            "reason": row.reason,
            "policy": row.policy,
            "align": row.align,
            "planner": row.planner or None,
            "parts": row.parts,
            "editions": [
                {
                    "item": frozen.item,
                    "revision": frozen.revision,
                    "title": frozen.title,
                    "author": one.author,
                    "digest": frozen.digest,
                    "metadata": {key: list(v) if isinstance(v, tuple) else v for key, v in frozen.metadata.items()},
                    "body": frozen.body,
                    "assets": [{"name": a.name, "digest": a.digest, "role": a.role.value} for a in frozen.assets],
                }
                for frozen, one in editions
            ],
            "outlets": [_rendered(connection, one) for one in rows],
            "said": [{"at": iso(one.at), "act": one.act, "actor": one.actor, "detail": one.detail} for one in said],
        }


def _rendered(connection: Connection, row: Record) -> dict[str, Any]:
    outlet = outlets.get(connection, row.outlet)
    told: dict[str, Any] = {
        "outlet": row.outlet,
        "kind": outlet.kind,
        "item": row.item,
        "required": row.required,
        "live": outlet.live,
        "state": row.state,
        "starts_before_ms": row.ahead // 1_000 if row.ahead else None,
        "replaces": row.replaces_copy,
        "problems": row.problems,
        "rendition": None,
    }
    if row.rendition is not None:
        made = rendition(row)
        told["rendition"] = {
            "digest": made.digest,
            "title": made.title,
            "content": made.content,
            "fields": dict(made.fields),
            "files": [{"name": one.name, "digest": one.digest} for one in made.files],
            "shown": [[one.kind, one.value] for one in made.shown],
        }
    return told
