"""What is asked of deliveries in the transaction that commits them, and once more just before the instant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sync.contract import TryLater
from sync.engine.claim import Claim
from sync.engine.fit import Changed, NotYet, Overtaken, armed_elsewhere, may_go
from sync.store import deliveries, outlets, releases
from tests.integration.world import World


def committed(world: World) -> tuple[Claim, Any]:
    """A release to one outlet, in flight by a process that has not sent it; and its delivery's row."""
    world.add("blog")
    worker = world.process("prepare")
    made = world.plan("blog")
    world.run(1)
    claim = Claim(worker.ctx, made)
    assert claim.take()
    claim.commit(list(claim.rows))
    return claim, world.rows(made)["blog"]


def like(row: Any, **other: Any) -> Any:
    """The row with other values, as a delivery of the same item would be."""
    return SimpleNamespace(**{**row._mapping, **other})


def asked(world: World, row: Any, ours: tuple[str, ...] = ()) -> None:
    with world.store.read() as connection:
        may_go(world.ctx, connection, releases.get(connection, row.release), [row], ours)


def test_a_later_revision_waits_for_an_earlier_one_on_its_way(world: World) -> None:
    """Sent at once it might land before it, and be overwritten. Elsewhere it need not wait."""
    _, row = committed(world)
    world.add("page")
    with pytest.raises(NotYet):
        asked(world, like(row, id="later", revision=2))
    asked(world, like(row, id="later", revision=2, outlet="page"))
    asked(world, row)
    with pytest.raises(Overtaken):
        asked(world, like(row, id="earlier", revision=0, outlet="page"))


def test_a_changed_outlet_is_found_by_who_armed_it(world: World) -> None:
    """Whoever armed it takes it back; the others wait until that has happened."""
    _, row = committed(world)
    with world.store.write() as connection:
        outlets.change(connection, outlets.get(connection, "blog"), "changed", at=1, actor="test", settings={"a": "b"})
    with pytest.raises(Changed):
        asked(world, row, (row.id,))
    with pytest.raises(NotYet):
        asked(world, row)


def test_nothing_is_committed_for_a_dead_process(world: World) -> None:
    """What it armed is gone with it: a required delivery is waited for, an optional one goes without."""
    _, row = committed(world)
    living, dead = world.process("release"), world.mortal("release")
    free = {"state": "prepared", "armed_at": 1}
    ours = like(row, **free, id="a", owner=living.ctx.owner)
    lost = like(row, **free, id="b", owner=dead.ctx.owner)
    assert [ours, lost] == armed_elsewhere(living.ctx, [ours, lost])
    world.kill(dead)
    with pytest.raises(NotYet):
        armed_elsewhere(living.ctx, [ours, lost])
    lost.required = False
    assert [ours] == armed_elsewhere(living.ctx, [ours, lost])
    ours.armed_at = None
    with pytest.raises(NotYet):
        armed_elsewhere(living.ctx, [ours, lost])


@pytest.mark.parametrize("newer", ["epoch", "owner", "state"])
def test_what_went_on_without_us_is_not_ours_at_the_last_look(world: World, newer: str) -> None:
    """Whoever has it now may send it: each of the three alone is enough."""
    claim, row = committed(world)
    assert {row.id} == claim.last_look()[0]
    if newer == "state":
        claim.store(row.id, TryLater("not sent"), None)
        claim.rows[row.id] = row
    else:
        with world.store.write() as connection:
            deliveries.note(connection, row, **({"epoch": row.epoch + 1} if newer == "epoch" else {"owner": "other-1"}))
    assert set() == claim.last_look()[0]


def test_the_last_look_says_how_far_the_clocks_are_apart(world: World) -> None:
    claim, row = committed(world)
    store = world.processes[0].store
    assert ({row.id}, 0) == claim.last_look()
    store.offset = 2 * world.settings.clock_offset_ms * 1_000
    ours, apart = claim.last_look()
    assert {row.id} == ours
    assert apart == pytest.approx(store.offset, abs=1_000)
    assert claim.clocks_differ() == pytest.approx(store.offset, abs=1_000)
