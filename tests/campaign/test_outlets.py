"""Some cases of each class; and that planted bugs are found by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sync import verdict
from sync.contract import Ambiguous
from sync.flow import D, E
from sync.verdict import Facts, Verdict
from tests.campaign import near, outlets
from tests.campaign.town import databases
from tests.campaign.trial import Run

FEW = {"K": range(2), "N": range(2), "S": range(1), "B": range(2)}


@pytest.fixture(scope="module")
def database() -> Iterator[Path]:
    with databases() as made:
        yield made


@pytest.mark.parametrize("kind_class", FEW)
def test_whatever_an_outlet_does_it_ends_with_one_copy_or_with_a_person(database: Path, kind_class: str) -> None:
    counts: Counter[str] = Counter()
    for case in FEW[kind_class]:
        counts.update(outlets.run_case(database, kind_class, case))
    assert counts["ambiguous"] >= 5 * len(FEW[kind_class]), counts


@pytest.mark.parametrize("kind_class", near.KINDS)
def test_the_same_at_the_channel_contract(database: Path, kind_class: str) -> None:
    assert near.run_case(database, kind_class, 0)["ambiguous"] >= 20


def _found(run: Run, what: str, cases: Iterable[int]) -> bool:
    """Whether one of these cases sees it."""
    for case in cases:
        try:
            run(case)
        except AssertionError as broken:
            if what in str(broken).split(":")[1]:
                return True
    return False


def test_a_missing_quarantine_is_found(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "quarantine", lambda facts: facts.now)
    assert _found(partial(near.run_case, database, "K"), "duplicate", [0])
    assert _found(partial(outlets.run_case, database, "K"), "duplicate", [4, 6])


def test_a_blind_outlet_that_is_sent_to_again_is_found(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = verdict.judge_answer

    def careless(state: D, answer: object, facts: Facts) -> Verdict:
        if state is D.RELEASING and isinstance(answer, Ambiguous):
            return Verdict(E.ABSENT, facts.now)
        return first(state, answer, facts)

    monkeypatch.setattr("sync.engine.outcome.judge_answer", careless)
    assert _found(partial(near.run_case, database, "B"), "blind_resend", [0])
    assert _found(partial(outlets.run_case, database, "B"), "blind_resend", [0, 1])


def test_believing_what_is_only_visible_is_found(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who does not compare calls verified what the outlet altered."""
    monkeypatch.setattr("sync.compare.differences", lambda *given: ())
    assert _found(partial(outlets.run_case, database, "K"), "false_verified", range(6))
