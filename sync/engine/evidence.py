"""What is kept to show it later: what the clocks said at the commit, and what anonymous readers were given."""

from __future__ import annotations

import ctypes

from sqlalchemy import Connection

from sync.clock import MILLISECOND
from sync.contract import TryLater
from sync.engine.context import Context
from sync.model import Sighting, sha256
from sync.store.readings import Kept

MOST_KEPT = 2 * 1024 * 1024  # bytes of an answer that is kept whole; of a larger one its digest is
TEXTS = ("text/", "application/json", "application/xml", "application/xhtml")  # pictures are known by their digest
TRIES = 5
NARROW = MILLISECOND  # µs; a look that took no longer is good enough
TIME_ERROR = 5  # adjtimex(2): the kernel's clock is not synchronised


def kernel_clock() -> str:
    """`synchronised`, `unsynchronised`, or `unknown` where the kernel does not tell (Linux adjtimex)."""
    buffer = ctypes.create_string_buffer(512)  # struct timex with room; modes = 0 only reads
    state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    if state < 0:
        return "unknown"
    return "unsynchronised" if state == TIME_ERROR else "synchronised"


def clock_offset(ctx: Context, connection: Connection) -> tuple[int, int]:
    """Database clock minus host clock, µs, and by how much that may be wrong: a busy machine lets time pass between
    two looks. Of some tries the narrowest counts."""
    found: list[tuple[int, int]] = []
    for _ in range(TRIES):
        before = ctx.clock.now()
        there = ctx.store.now(connection)
        after = ctx.clock.now()
        found.append(((after - before + 1) // 2, there - (before + after) // 2))
        if found[-1][0] <= NARROW:
            break
    error, offset = min(found)
    return offset, error


def differ(ctx: Context, offset: int, error: int) -> bool:
    """Whether the clocks are certainly further apart than they may be."""
    return abs(offset) - error > ctx.settings.clock_offset_ms * MILLISECOND


def clock_evidence(ctx: Context, connection: Connection, *, public: bool) -> dict[str, str | int]:
    """For the release's evidence. Raises TryLater when these clocks must not be trusted.

    `public`: a live outlet beyond the operator's own network takes part. For the others it is the
    operator's clock that counts, synchronised or not.
    """
    offset, error = clock_offset(ctx, connection)
    kernel = kernel_clock()
    if differ(ctx, offset, error):
        raise TryLater(f"host and database clock differ by {abs(offset) // MILLISECOND} ms; mend the clock service")
    if public and kernel == "unsynchronised" and ctx.settings.clock_unsynchronised == "refuse":
        raise TryLater(
            "the kernel says its clock is not synchronised; start a time service, "
            "or accept it with TONGFA_CLOCK_UNSYNCHRONISED=accept"
        )
    return {"kernel": kernel, "offset_us": offset, "offset_error_us": error}


def reading(ctx: Context, delivery_id: str, sighting: Sighting) -> Kept:
    """What an anonymous reader was given, its bodies stored. Nothing refers to them yet, should we die now."""
    captures = []
    for one in sighting.captures:
        keep = len(one.body) <= MOST_KEPT and one.media_type.startswith(TEXTS)
        digest = ctx.assets.put(one.body) if keep else sha256(one.body)
        told = {"url": one.url, "status": one.status, "media_type": one.media_type}
        captures.append({**told, "size": len(one.body), "digest": digest, "kept": keep})
    problems = [{"where": one.where, "message": one.message, "fatal": one.fatal} for one in sighting.problems]
    return Kept(delivery_id, sighting.began_at, sighting.ended_at, sighting.level, captures, problems)
