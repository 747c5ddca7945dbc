"""A release as the command line and auditors read it: the JSON of `publish` and `release show`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from sync.clock import MILLISECOND, SECOND, iso
from sync.contract import Channel, Reveal
from sync.engine import notice, outcome, review
from sync.engine.approval import waits
from sync.engine.verify import counted
from sync.flow import MAYBE_PUBLIC, PUBLIC, D, R
from sync.model import Problem
from sync.store import deliveries, items, journal, outlets, readings, releases
from sync.store.tables import Record

DONE, HELD, PARTLY, WAITING = 0, 3, 4, 6
ENDED_WELL = frozenset({D.VERIFIED, D.CLOSED, D.CANCELLED, D.WITHDRAWN})
WAITS = "等待 {0} 回读核验后发出 · it goes out once {0} was read back and is as approved"
NOTHING_COMES = "它所指的内容没有公开 · what it tells of did not become public"
LATE = SECOND  # µs after the instant from which a release, or an outlet of it, is marked late


def release_report(connection: Connection, kind: Callable[[str], type[Channel]], release_id: str) -> dict[str, Any]:
    """Raises Unknown. Times are ISO 8601 UTC; `…_ms` are milliseconds, measured, never guessed."""
    row = releases.get(connection, release_id)
    rows = deliveries.of_release(connection, release_id)
    there = {one.name: one for one in outlets.every(connection, retired=True)}
    named = items.of_release(connection, release_id)
    seen = readings.newest(connection, [one.id for one in rows])
    going = [one for one in rows if one.state != D.CANCELLED]  # what a person gave up is waited for by nobody
    how = {one.outlet: kind(there[one.outlet].kind).can.reveal for one in rows}
    reading = [one for one in going if counted(how[one.outlet])]
    notices = [name for name, reveal in how.items() if reveal is Reveal.NOTIFY]
    late = [_lateness(row, one) for one in reading if one.visible_at is not None]
    return {
        "release": row.id,
        "item": named[0].item,
        "items": [one.item for one in named],
        "revision": named[0].revision,
        "action": row.action,
        "reason": row.reason,
        "reviewed": row.reviewed,
        "review": review.summary(connection, row),
        "state": row.state,
        "late": _is_late(row, reading),
        "why": row.why,
        "next": next_of_release(row),
        "policy": row.policy,
        "align": row.align,
        "release_at": _iso(row.release_at),
        **skew(reading),
        "lateness_ms": {"first": min(late), "last": max(late)} if late else None,
        "deliveries": [
            {
                **delivery_report(row, one, there[one.outlet].kind, how[one.outlet], _awaited(row, one, rows, notices)),
                "level": seen[one.id].level if one.id in seen else None,
                "corrects": kind(there[one.outlet].kind).can.correct.value,
                "attempt_log": attempt_log(connection, one.id),
            }
            for one in rows
        ],
        "problems": [outcome.shown(one) for one in _unrecalled(connection, kind, row, there, named)],
        "log": {"size": journal.size(connection), "root": None, "checkpoint": None},
    }


def _awaited(joined: Record, row: Record, rows: Sequence[Record], notices: Collection[str]) -> str | None:
    """What a notification waits for before it goes out, of a release that went out; "": nothing more will come of
    what it tells of; None: it does not wait."""
    if joined.state != R.COMMITTED or row.state not in (D.PLANNED, D.RENDERED, D.PREPARING, D.PREPARED):
        return None
    left = notice.awaited(joined, row, rows, notices)
    return None if left is None else ", ".join(sorted({one.outlet for one in left}))


def _unrecalled(
    connection: Connection,
    kind: Callable[[str], type[Channel]],
    row: Record,
    there: Mapping[str, Record],
    named: Sequence[Record],
) -> list[Problem]:
    """Of a withdrawal: where readers keep what they were sent."""
    if row.action != "withdraw":
        return []
    notices = [name for name, one in there.items() if kind(one.kind).can.reveal is Reveal.NOTIFY]
    return notice.unrecalled(connection, [one.item for one in named], notices)


def delivery_report(
    release: Record, row: Record, kind: str, reveal: Reveal = Reveal.CREATE, waits_for: str | None = None
) -> dict[str, Any]:
    """`waits_for`: what has to be seen before this notification goes out (see `_awaited`)."""
    receipt = row.receipt or {}
    waits = WAITS.format(waits_for) if waits_for else NOTHING_COMES
    waiting = [] if waits_for is None else [outcome.shown(Problem("public", waits, fatal=False))]
    return {
        "id": row.id,
        "outlet": row.outlet,
        "kind": kind,
        "item": row.item,
        "required": row.required,
        "replaces": row.replaces_copy,
        "state": row.state,
        "late": counted(reveal) and _is_late(release, [row]),
        "waits_for": waits_for,
        "task": _task(release, row, reveal),
        "starts_before_ms": _ms(row.ahead) if row.ahead else None,
        "live": release.live,
        "ref": receipt.get("ref"),
        "url": receipt.get("url"),
        "attempts": row.attempts,
        "worker": row.worker,
        "sent_at": _iso(row.sent_at),
        "released_at": _iso(row.released_at),
        "visible_at": _iso(row.visible_at),
        "visible_after": _iso(row.visible_after),
        "lateness_ms": _lateness(release, row) if row.visible_at is not None else None,
        "match": row.match,
        "problems": [*row.problems, *waiting],
        "next": next_of_delivery(release, row, reveal, waits_for),
    }


def told_of(connection: Connection, kind: Callable[[str], type[Channel]], row: Record) -> dict[str, Any]:
    """`delivery_report` of one delivery, by what the others of its release came to, as far as that matters."""
    joined, outlet = releases.get(connection, row.release), outlets.facts(connection, (row.outlet,))[row.outlet]
    reveal, waits_for = kind(outlet.kind).can.reveal, None
    if reveal is Reveal.NOTIFY:
        rows = deliveries.standing(connection, row.release)
        there = outlets.facts(connection, (one.outlet for one in rows))
        notices = [name for name, one in there.items() if kind(one.kind).can.reveal is Reveal.NOTIFY]
        waits_for = _awaited(joined, row, rows, notices)
    seen = [_reading(one) for one in readings.of(connection, row.id)]
    return {
        **delivery_report(joined, row, outlet.kind, reveal, waits_for),
        "level": seen[-1]["level"] if seen else None,
        "corrects": kind(outlet.kind).can.correct.value,
        "release": joined.id,
        "readings": seen,
    }


def _reading(row: Record) -> dict[str, Any]:
    """What an anonymous reader was given; bodies lie in the asset store under their digest."""
    return {
        "began_at": _iso(row.began_at),
        "ended_at": _iso(row.ended_at),
        "level": row.level,
        "captures": row.captures,
        "problems": row.problems,
        "reader": row.reader,
    }


def next_of_release(row: Record) -> str | None:
    """What a person has to do about a release; None: nothing."""
    if row.state in (R.OPEN, R.COMMITTED) and waits(row):
        return f"`tongfa review show {row.id}` shows it, `tongfa review approve {row.id} --as USER` approves it"
    if row.state != R.HELD:
        return None
    return f"`tongfa release resume {row.id}` lets it go on, `tongfa release cancel {row.id}` ends it"


def _task(release: Record, row: Record, reveal: Reveal) -> str | None:
    """What a person has in hand: to `publish`, `correct` or `withdraw` it."""
    return str(release.action) if reveal is Reveal.MANUAL and row.state == D.ACCEPTED else None


def _next_of_task(task: str, row: Record) -> str:
    settle = f"`tongfa delivery settle {row.id}"
    if task == "withdraw":
        return f"remove it at {row.outlet}: it ends once nobody finds it there, or by {settle} --found nothing`"
    if row.stopped:
        return f"do not publish it any more; {settle} --found nothing`, or `--found public --url …` if it is there"
    package = f"`tongfa delivery show {row.id} --out DIR` writes all that is needed"
    does = "publish it" if task == "publish" else "put the new text in the place of the old"
    return f"{does} by hand at {row.outlet}: {package}; then {settle} --found public --url …`"


def next_of_delivery(
    release: Record, row: Record, reveal: Reveal = Reveal.CREATE, waits_for: str | None = None
) -> str | None:
    """What a person has to do about a delivery; None: nothing."""
    if waits_for == "":
        return f"`tongfa delivery drop {row.id}` gives it up"
    if (task := _task(release, row, reveal)) is not None:
        return _next_of_task(task, row)
    match row.state:
        case D.UNRESOLVED if release.action == "withdraw":
            told = f"`tongfa delivery settle {row.id} --found nothing`, or `--found public` to have it tried again"
            return f"look at {row.outlet}: if a reader still finds it, remove it there by hand; then {told}"
        case D.UNRESOLVED:
            return f"look at {row.outlet}, then `tongfa delivery settle {row.id} --found public|hidden|nothing`"
        case D.RELEASED if row.match is False:
            return f"look at {row.outlet}; if it is well as it is, `tongfa delivery settle {row.id} --found public`"
        case D.RELEASING if row.quarantine_until is not None:
            return f"in doubt; the machine keeps looking at {row.outlet} and sends nothing again before it knows"
        case D.FAILED if release.state == R.HELD:
            check = f"`tongfa outlet set {row.outlet} …`, `tongfa outlet check {row.outlet}`"
            return f"mend the item, or the outlet: {check}"
        case D.FAILED:
            return f"mend {row.outlet}, then `tongfa delivery retry {row.id}`; or `tongfa delivery drop {row.id}`"
        case _:
            return None


def attempt_log(connection: Connection, delivery_id: str) -> list[dict[str, Any]]:
    """Every try of one delivery: what was tried, when, and by which worker process."""
    return [
        {"act": one.act, "at": iso(one.at), "worker": one.detail["worker"]}
        for one in journal.of(connection, "delivery", delivery_id)
        if one.act.endswith("_begun")
    ]


def skew(rows: Sequence[Record]) -> dict[str, float | None]:
    """Last minus first visible; its error is the widest interval in which one of them became visible.

    Nothing is visible before its shot's first byte, so an unknown `visible_after` is bounded by `sent_at`.
    """
    seen = [one for one in rows if one.visible_at is not None]
    sent = [one.sent_at for one in rows if one.sent_at is not None]
    known = len(seen) == len(rows) and bool(seen)
    widths = [
        one.visible_at - max(one.visible_after or 0, one.sent_at or 0)
        for one in seen
        if one.visible_after is not None or one.sent_at is not None
    ]
    return {
        "skew_ms": _ms(max(o.visible_at for o in seen) - min(o.visible_at for o in seen)) if known else None,
        "skew_error_ms": _ms(max(widths)) if known and len(widths) == len(seen) else None,
        "skew_sent_ms": _ms(max(sent) - min(sent)) if sent else None,
    }


def exit_code(report: dict[str, Any]) -> int:
    """0 verified everywhere · 3 held or cancelled · 4 public, not everywhere or not verified · 6 nothing public yet."""
    states = {D(one["state"]) for one in report["deliveries"]}
    if report["state"] in (R.HELD, R.CANCELLED):
        return PARTLY if states & PUBLIC else HELD  # a person found public what was only to be prepared
    if report["state"] == R.RELEASED and states <= ENDED_WELL:
        return DONE
    return PARTLY if states & MAYBE_PUBLIC or report["state"] == R.COMMITTED else WAITING


def finished(report: dict[str, Any]) -> bool:
    """Nothing more will come of waiting: all verified, or a person is needed for every open one."""
    if exit_code(report) == DONE or report["state"] in (R.HELD, R.CANCELLED):
        return True
    settled = ENDED_WELL | {D.UNRESOLVED, D.FAILED}
    return report["state"] in (R.COMMITTED, R.RELEASED) and all(
        one["state"] in settled or one["match"] is False or one.get("waits_for") is not None or one.get("task")
        for one in report["deliveries"]
    )


def _is_late(release: Record, rows: Sequence[Record]) -> bool:
    """Something was sent noticeably after its instant: it, or an outlet, was not ready."""
    sent = [one for one in rows if one.fire_at is not None]
    return release.action != "withdraw" and any(one.fire_at + one.ahead > release.release_at + LATE for one in sent)


def _lateness(release: Record, row: Record) -> float:
    return _ms(row.visible_at - release.release_at)


def _ms(micros: int) -> float:
    return round(micros / MILLISECOND, 3)


def _iso(instant: int | None) -> str | None:
    return None if instant is None else iso(instant)
