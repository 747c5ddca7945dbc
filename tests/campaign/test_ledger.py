"""What a campaign counts, keeps, goes on with and reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.campaign.ledger import Ledger, Line
from tests.campaign.report import defects, write
from tests.campaign.trial import Run, Trial

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def nothing() -> Iterator[Run]:
    yield lambda case: {"kills": 2, "lost": 0}


SUMMED = "ledger.json"
TRIAL = Trial("kills", "workers killed", "kills", 4, nothing, zero=("lost",), worst=("ms",))


def test_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Also after a line that was left half."""
    ledger = Ledger(tmp_path, tmp_path / SUMMED)
    ledger.add(Line("kills", 0, {"kills": 2, "lost": 0, "ms": 7}, 0.1, "abc"))
    with (tmp_path / "kills.jsonl").open("a") as file:
        file.write('{"trial": "ki')
    tally = ledger.tally(TRIAL)
    assert (1, 2, False, True) == (tally.cases, tally.counts["kills"], tally.done, tally.kept)
    ledger.add(Line("kills", 1, {"kills": 2, "lost": 0, "ms": 3}, 0.1, "abc"))
    tally = ledger.tally(TRIAL)
    assert (2, 4, True, 7) == (tally.cases, tally.counts["kills"], tally.done, tally.p99("ms"))


def test_what_was_broken_stays_broken(tmp_path: Path) -> None:
    """One that must be zero and is not, and one that ended its case."""
    ledger = Ledger(tmp_path, tmp_path / SUMMED)
    ledger.add(Line("kills", 0, {"kills": 4, "lost": 1}, 0.1, "abc"))
    assert not ledger.tally(TRIAL).kept
    other = Ledger(tmp_path / "other", tmp_path / SUMMED)
    other.add(Line("kills", 0, {}, 0.1, "abc", "site: published twice"))
    assert not other.tally(TRIAL).kept
    write(tmp_path / "REPORT.md", [other.tally(TRIAL)])
    told = (tmp_path / "REPORT.md").read_text()
    assert "0 kills of 4, **not reached**" in told and "- kills, case 0: site: published twice" in told


def test_goes_on_elsewhere_from_what_was_summed_up(tmp_path: Path) -> None:
    """Nothing is counted twice, should lines be left; what was broken is known, and counts as held once it holds."""
    here = Ledger(tmp_path / "here", tmp_path / SUMMED)
    lines = [
        Line("kills", 0, {"kills": 2, "lost": 0, "ms": 7}, 0.5, "abc"),
        Line("kills", 1, {}, 0.5, "abc", "site: published twice"),
    ]
    for line in lines:
        here.add(line)
    here.sum_up([here.tally(TRIAL)])
    elsewhere = Ledger(tmp_path / "elsewhere", tmp_path / SUMMED)
    elsewhere.add(lines[0])
    tally = elsewhere.tally(TRIAL)
    assert (2, 2, 2, 7, False) == (tally.cases, tally.following, tally.counts["kills"], tally.p99("ms"), tally.kept)
    elsewhere.add(Line("kills", 1, {"kills": 2, "lost": 0, "ms": 9}, 0.5, "def"))
    tally = elsewhere.tally(TRIAL)
    assert (2, 4, 9, True) == (tally.cases, tally.counts["kills"], tally.p99("ms"), tally.kept)
    elsewhere.sum_up([tally])
    assert tally == elsewhere.tally(TRIAL)
    elsewhere.forget()
    assert 0 == elsewhere.tally(TRIAL).cases


def test_every_defect_has_its_test() -> None:
    """A test of this name is in the file that is named."""
    for one in defects():
        path, _, name = one["test"].partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(), one["test"]
