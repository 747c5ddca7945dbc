"""T-02 to T-09 and T-13, quick form: a few cases of each, on one installation for each database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.campaign import kills
from tests.campaign.kills import Rig, rig
from tests.campaign.trial import Counts

NEVER = kills.TRIALS[0].zero


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("production"), "postgresql", standby=True) as made:
        yield made


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    two = {"site": "website", "mastodon-1": "mastodon"}
    with rig(tmp_path_factory.mktemp("embedded"), "sqlite", two) as made:
        yield made


def kept(run: Callable[[Rig, int], Counts], made: Rig, *numbers: int) -> Counter[str]:
    """So many cases, of which nothing that must not be was seen; all that was."""
    seen: Counter[str] = Counter()
    for number in numbers:
        seen.update(run(made, number))
    print(dict(seen))
    assert not any(seen[name] for name in NEVER)
    return seen


def test_workers_killed_beside_a_server(production: Rig) -> None:
    assert kept(partial(kills.kill_at_random, kills=12), production, 1)["kills"] == 12


def test_workers_killed_embedded(embedded: Rig) -> None:
    assert kept(partial(kills.kill_at_random, kills=12), embedded, 1)["kills"] == 12


def test_the_broker_dies(production: Rig) -> None:
    assert kept(kills.broker_dies, production, 0)["troubles"] == len(kills.TROUBLES)


def test_nothing_but_the_release_workers_lives(production: Rig) -> None:
    assert kept(partial(kills.without_a_broker, items=2), production, 0)["on_time"] == 2


def test_the_database_stops_or_is_cut_off_at_a_commit(production: Rig) -> None:
    assert kept(kills.database_dies, production, 0)["faults"] >= 1


def test_workers_stand_still_around_a_send(production: Rig) -> None:
    assert kept(kills.freeze, production, 3)["freezes"] >= 1


def test_rung_often(production: Rig) -> None:
    assert kept(kills.rung_often, production, 0)["rings"] >= 3


def test_copies_appear_at_one_instant(production: Rig) -> None:
    assert kept(partial(kills.at_one_instant, items=3), production, 0)["at_one_instant"] == 3


def test_the_database_fails_over(production: Rig) -> None:
    assert kept(kills.database_fails_over, production, 0)["promotions"] == 1
