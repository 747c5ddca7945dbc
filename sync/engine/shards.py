"""Which process sends which part of a release: several share the lane, each takes whole shards.

A shard is a fixed part of a release's deliveries; it falls to one of the living release processes by
its number. Whoever it falls to takes it at once, any other after a moment, should nobody have come.
Ownership of the rows decides, not the count: two that take the same shard find out in the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sync.engine.claim import Claim
from sync.engine.context import Context
from sync.engine.release import Volley
from sync.engine.sender import Sender
from sync.flow import D
from sync.store import deliveries

OTHERS_FIRST = 0.4  # seconds in which the process to which a shard falls may take it


def release(ctx: Context, sender: Sender, ids: Sequence[str]) -> None:
    """Take the releases of these deliveries: what is prepared and due is armed and handed to the sender."""
    with ctx.store.read() as connection:
        rows = deliveries.some(connection, ids, light=True)
    wanted = dict.fromkeys(row.release for row in rows if row.state == D.PREPARED and row.owner is None)
    for release_id in wanted:
        shards = _shards(ctx, release_id)
        ours = _ours(ctx, release_id, len(shards))
        for place, shard in enumerate(shards):
            take = partial(_take, ctx, sender, release_id, shard if len(shards) > 1 else None)
            if place in ours:
                take()
            else:  # another process should; if it does not, we do
                sender.later(ctx.clock.boottime() + OTHERS_FIRST, take)


def _take(ctx: Context, sender: Sender, release_id: str, shard: Sequence[str] | None) -> None:
    claim = Claim(ctx, release_id, shard)
    if claim.take():
        volley = Volley(ctx, sender, claim)
        volley.or_let_go(volley.arm)


def _shards(ctx: Context, release_id: str) -> list[list[str]]:
    """The release's deliveries in parts that one process each sends."""
    with ctx.store.read() as connection:
        rows = list(deliveries.ids_of_release(connection, release_id))
    size = ctx.settings.release_shard
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def _ours(ctx: Context, release_id: str, shards: int) -> set[int]:
    """Which of so many shards fall to this process, by its place among the living ones of its lane."""
    names = [one.name for one in ctx.lock.living("release")]
    if ctx.owner not in names:
        return set(range(shards))
    first = int(release_id[:8], 16)  # releases begin with different processes
    return {place for place in range(shards) if (first + place) % len(names) == names.index(ctx.owner)}
