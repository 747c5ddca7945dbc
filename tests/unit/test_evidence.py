"""Which clocks a commit trusts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sync.clock import MILLISECOND, SetClock
from sync.contract import TryLater
from sync.engine import evidence

NO_CONNECTION: Any = None  # the database's clock is in the test's hand


def context(policy: str = "refuse", offset_ms: int = 0, pause_s: float = 0.0) -> Any:
    """`pause_s`: how long the machine is busy with other things while it looks at the database's clock."""
    settings = SimpleNamespace(clock_offset_ms=50, clock_unsynchronised=policy)
    clock = SetClock()

    def now(connection: Any) -> int:
        clock.advance(pause_s)
        return clock.now() + offset_ms * MILLISECOND

    return SimpleNamespace(clock=clock, settings=settings, store=SimpleNamespace(now=now))


def test_an_unsynchronised_clock_refuses_what_goes_beyond_the_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Public live outlets are refused, unless the operator accepts it; sandboxes and the own network are not."""
    monkeypatch.setattr(evidence, "kernel_clock", lambda: "unsynchronised")
    ctx = context()
    with pytest.raises(TryLater, match="TONGFA_CLOCK_UNSYNCHRONISED"):
        evidence.clock_evidence(ctx, NO_CONNECTION, public=True)
    assert "unsynchronised" == evidence.clock_evidence(ctx, NO_CONNECTION, public=False)["kernel"]
    accepting = context("accept")
    assert "unsynchronised" == evidence.clock_evidence(accepting, NO_CONNECTION, public=True)["kernel"]


@pytest.mark.parametrize("offset_ms", [-51, 51])
def test_clocks_that_disagree_refuse_every_commit(offset_ms: int) -> None:
    """Host and database more than the allowed offset apart: neither sandbox nor live goes out."""
    with pytest.raises(TryLater, match="differ by 51 ms"):
        evidence.clock_evidence(context(offset_ms=offset_ms), NO_CONNECTION, public=False)
    kept = evidence.clock_evidence(context(offset_ms=50), NO_CONNECTION, public=False)
    assert 50 * MILLISECOND == kept["offset_us"]


def test_a_busy_machine_is_no_wrong_clock() -> None:
    """Time that passes between two looks is the measurement's error, told beside it, and refuses nothing."""
    kept = evidence.clock_evidence(context(pause_s=0.2), NO_CONNECTION, public=False)
    assert abs(int(kept["offset_us"])) <= 100 * MILLISECOND == kept["offset_error_us"]
    with pytest.raises(TryLater, match="differ"):
        evidence.clock_evidence(context(pause_s=0.2, offset_ms=300), NO_CONNECTION, public=False)


def test_the_kernel_is_asked() -> None:
    """The answer is one of three words, on this very machine."""
    assert evidence.kernel_clock() in {"synchronised", "unsynchronised", "unknown"}
