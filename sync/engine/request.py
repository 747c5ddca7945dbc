"""What `--request-id` stands for: the same command, given again, returns its first result and does nothing more."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from sync.model import BadInput
from sync.store import items, releases


def first_result(connection: Connection, request_id: str | None, action: str, named: Collection[str]) -> str | None:
    """The release that this request came to before; None: it is new.

    `named`: the items that the command names by their ids. Raises BadInput when the id was used for another action or
    item: its first result would be taken for what is asked for now, and nothing would be done.
    """
    known = releases.by_request(connection, request_id) if request_id is not None else None
    if known is None:
        return None
    there = [one.item for one in items.of_release(connection, known.id)]
    if known.action != action or set(named) - set(there):
        message = f"{request_id!r} was used to {known.action} item {', '.join(there)} (release {known.id})"
        raise BadInput("--request-id", message, "use an id of its own for each thing that is to be done")
    return str(known.id)
