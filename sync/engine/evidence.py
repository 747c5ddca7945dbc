"""What the clocks said at the commit."""

from __future__ import annotations

import ctypes

from sync.clock import MILLISECOND
from sync.contract import TryLater
from sync.engine.context import Context

TIME_ERROR = 5  # adjtimex(2): the kernel's clock is not synchronised


def kernel_clock() -> str:
    """`synchronised`, `unsynchronised`, or `unknown` where the kernel does not tell (Linux adjtimex)."""
    buffer = ctypes.create_string_buffer(512)  # struct timex with room; modes = 0 only reads
    state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    if state < 0:
        return "unknown"
    return "unsynchronised" if state == TIME_ERROR else "synchronised"


def clock_evidence(ctx: Context, database_now: int, *, public: bool) -> dict[str, str | int]:
    """For the release's evidence. Raises TryLater when these clocks must not be trusted.

    `public`: a live outlet beyond the operator's own network takes part. For the others it is the
    operator's clock that counts, synchronised or not.
    """
    offset = database_now - ctx.clock.now()
    kernel = kernel_clock()
    if abs(offset) > ctx.settings.clock_offset_ms * MILLISECOND:
        raise TryLater(f"host and database clock differ by {abs(offset) // MILLISECOND} ms; mend the clock service")
    if public and kernel == "unsynchronised" and ctx.settings.clock_unsynchronised == "refuse":
        raise TryLater(
            "the kernel says its clock is not synchronised; start a time service, "
            "or accept it with TONGFA_CLOCK_UNSYNCHRONISED=accept"
        )
    return {"kernel": kernel, "offset_us": offset}
