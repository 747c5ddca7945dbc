"""One cable out, one clock wrong."""

from __future__ import annotations

import pytest

from tests.campaign import hosts


def test_a_host_that_is_cut_off_costs_nothing() -> None:
    with hosts.opened("hosts") as run:
        counts = run(2)
    assert (1, 12) == (counts["partitions"], counts["verified"]), counts


def test_a_wrong_clock_commits_nothing_and_a_right_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second half is there to show that a commit would be noticed."""
    with hosts.opened("clocks") as run:
        counts = run(1)
        assert counts["refused"], counts
        monkeypatch.setattr(hosts, "OFFSETS", (0.0,))
        monkeypatch.setattr(hosts, "ALLOWED", -1)
        with pytest.raises(AssertionError, match="committed"):
            run(0)
