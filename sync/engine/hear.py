"""What an outlet tells us by itself: a reason to look at once, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from sync.contract import Heard, Listener, Unsupported
from sync.engine.context import Context
from sync.flow import D
from sync.model import BadInput
from sync.store import deliveries, outlets


def hear(ctx: Context, name: str, method: str, query: Mapping[str, str], body: bytes) -> Heard:
    """Hand a request to the outlet that it is for; what it hints at is looked at now, by the usual ways.

    Raises Unsupported when no such outlet listens, Unauthorised when it is not from there. Nothing is
    believed: a forged request could at worst make us look once more.
    """
    with ctx.store.read() as connection:
        row = next((one for one in outlets.every(connection) if one.name == name and one.state == "active"), None)
    if row is None:
        raise Unsupported(f"no outlet {name} listens")
    try:
        channel = ctx.channel(row)
    except BadInput as error:
        raise Unsupported(str(error)) from error
    if not isinstance(channel, Listener):
        raise Unsupported(f"no outlet {name} listens")
    heard = channel.hear(method, query, body)
    if heard.hint:
        with ctx.store.write() as connection:
            now = ctx.store.now(connection)
            for one in deliveries.of_outlet(connection, name, D.ACCEPTED):
                if one.duty == "verify" and one.due_at is not None and one.due_at > now:
                    deliveries.note(connection, one, due_at=now)
        ctx.ring("prepare")
    return heard
