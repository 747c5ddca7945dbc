"""What `--request-id` stands for: the same command, given again, returns its first result and does nothing more.

A release has the id of the request that made it. A withdrawal may come to a release that is there already (it is
cancelled, or withdraws the same copies just now); then the log says so, in the transaction of the act: an entry whose
subject is the request.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from sync.engine.context import Context
from sync.model import BadInput
from sync.store import items, journal, releases

SUBJECT = "request"


def first_result(connection: Connection, request_id: str | None, action: str, named: Collection[str]) -> str | None:
    """The release that this request came to before; None: it is new.

    `named`: the items that the command names by their ids. Raises BadInput when the id was used for another action or
    item: its first result would be taken for what is asked for now, and nothing would be done.
    """
    known = _answered(connection, request_id) if request_id is not None else None
    if known is None:
        return None
    used, release_id, there = known
    if used != action or set(named) - set(there):
        message = f"{request_id!r} was used to {used} item {', '.join(there)} (release {release_id})"
        raise BadInput("--request-id", message, "use an id of its own for each thing that is to be done")
    return release_id


def remember(
    ctx: Context, connection: Connection, request_id: str, action: str, release_id: str, item: str, *, at: int
) -> None:
    """To be called by whoever asked `first_result` in the same writing transaction, and came to this release."""
    row = releases.get(connection, release_id)
    if row.request_id == request_id:
        return  # the release says so itself
    detail = {"action": action, "release": release_id}
    journal.write(
        connection,
        at=at,
        unit=row.unit,
        subject=SUBJECT,
        subject_id=request_id,
        act="answered",
        actor=ctx.actor,
        item=item,
        detail=detail,
    )


def _answered(connection: Connection, request_id: str) -> tuple[str, str, list[str]] | None:
    """Action, release and items of the request's first result."""
    made = releases.by_request(connection, request_id)
    if made is not None:
        return str(made.action), str(made.id), [one.item for one in items.of_release(connection, made.id)]
    told = next(iter(journal.of(connection, SUBJECT, request_id)), None)
    return None if told is None else (told.detail["action"], told.detail["release"], [told.item])
