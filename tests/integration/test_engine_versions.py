"""What a newer program planned is left to it: an older one neither works on it nor lets a person change it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from sync.engine import control
from sync.store import deliveries, releases
from sync.store.deliveries import TooNew
from sync.store.tables import FORM, delivery, release
from tests.integration.world import World


def planned_by(world: World, made: str, form: int) -> None:
    """As if a program of that form had planned it."""
    with world.store.write() as connection:
        connection.execute(update(release).where(release.c.id == made).values(form=form))
        connection.execute(update(delivery).where(delivery.c.release == made).values(form=form))


@pytest.mark.parametrize("begun", [0.0, 5.0], ids=["planned", "prepared"])
def test_it_is_left_alone(world: World, begun: float) -> None:
    """Whatever falls due of it; one of our own beside it goes out; and it goes out once its program is there."""
    outside = world.add("blog")
    world.process()
    theirs = world.plan("blog", at=120)
    if begun:
        world.run(begun)
    state = world.states(theirs)["blog"]
    planned_by(world, theirs, FORM + 1)
    ours = world.plan("blog", world.file(body="票价 1 元。"), at=60)
    world.run(180)
    assert (state, "verified") == (world.states(theirs)["blog"], world.states(ours)["blog"])
    assert 1 == len(outside.posts)
    planned_by(world, theirs, FORM)
    world.run(30)
    assert "verified" == world.states(theirs)["blog"]


def test_what_it_left_half_is_not_taken_over(world: World) -> None:
    """Its process has died; only another of its version knows what that was."""
    world.add("blog")
    victim = world.mortal()
    theirs = world.plan("blog", at=30)
    world.run(29.5)
    planned_by(world, theirs, FORM + 1)
    owner = world.rows(theirs)["blog"].owner
    world.kill(victim)
    world.process()
    world.run(60)
    assert owner is not None
    assert owner == world.rows(theirs)["blog"].owner
    planned_by(world, theirs, FORM)
    world.run(60)
    assert "verified" == world.states(theirs)["blog"]


@pytest.mark.parametrize("decide", [control.hold, control.cancel], ids=["hold", "cancel"])
def test_a_person_is_told_to_use_the_newer_program(world: World, decide: Callable[..., Any]) -> None:
    world.add("blog")
    world.process()
    theirs = world.plan("blog", at=60)
    world.run(5)
    planned_by(world, theirs, FORM + 1)
    with pytest.raises(TooNew, match="newer version"):
        decide(world.ctx, theirs)
    planned_by(world, theirs, FORM)
    decide(world.ctx, theirs)


def test_no_writer_changes_it(world: World) -> None:
    world.add("blog")
    theirs = world.plan("blog", at=60)
    planned_by(world, theirs, FORM + 1)
    row = world.rows(theirs)["blog"]
    with world.store.write() as connection:
        for write in (
            partial(deliveries.note, connection, row, attempts=3),
            partial(
                deliveries.change_all, connection, [deliveries.Change(row, values={"attempts": 3})], at=1, actor="x"
            ),
            partial(releases.tell, connection, releases.get(connection, theirs), "told", at=1, actor="x", detail={}),
        ):
            with pytest.raises(TooNew):
                write()
    assert 0 == world.rows(theirs)["blog"].attempts
