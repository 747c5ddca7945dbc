"""Which clocks a commit trusts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sync.clock import MILLISECOND, SetClock
from sync.contract import TryLater
from sync.engine import evidence


def context(policy: str = "refuse") -> Any:
    settings = SimpleNamespace(clock_offset_ms=50, clock_unsynchronised=policy)
    return SimpleNamespace(clock=SetClock(), settings=settings)


def test_an_unsynchronised_clock_refuses_what_goes_beyond_the_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Public live outlets are refused, unless the operator accepts it; sandboxes and the own network are not."""
    monkeypatch.setattr(evidence, "kernel_clock", lambda: "unsynchronised")
    ctx = context()
    with pytest.raises(TryLater, match="TONGFA_CLOCK_UNSYNCHRONISED"):
        evidence.clock_evidence(ctx, ctx.clock.now(), public=True)
    assert "unsynchronised" == evidence.clock_evidence(ctx, ctx.clock.now(), public=False)["kernel"]
    accepting = context("accept")
    assert "unsynchronised" == evidence.clock_evidence(accepting, accepting.clock.now(), public=True)["kernel"]


@pytest.mark.parametrize("offset_ms", [-51, 51])
def test_clocks_that_disagree_refuse_every_commit(offset_ms: int) -> None:
    """Host and database more than the allowed offset apart: neither sandbox nor live goes out."""
    ctx = context()
    with pytest.raises(TryLater, match="differ by 51 ms"):
        evidence.clock_evidence(ctx, ctx.clock.now() + offset_ms * MILLISECOND, public=False)
    kept = evidence.clock_evidence(ctx, ctx.clock.now() + 50 * MILLISECOND, public=False)
    assert 50 * MILLISECOND == kept["offset_us"]


def test_the_kernel_is_asked() -> None:
    """The answer is one of three words, on this very machine."""
    assert evidence.kernel_clock() in {"synchronised", "unsynchronised", "unknown"}
