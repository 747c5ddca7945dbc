"""A request id: the same command, given again, returns its first result; another command of that id is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sync.engine.plan import Order, plan
from sync.engine.request import SUBJECT
from sync.engine.submit import submit
from sync.engine.withdraw import Withdrawal, withdraw
from sync.model import BadInput
from sync.store import journal
from tests.integration.test_engine_plan import counted
from tests.integration.test_engine_withdraw import item_of, published
from tests.integration.world import World

ID = "7"


def publish(world: World, source: object = None, request_id: str = ID) -> str:
    order = world.order("site", str(source or world.file("again.md", body="又一则。")), request_id=request_id)
    return plan(world.ctx, replace(order, again=True))


def correct(world: World, item: str, request_id: str = ID) -> str:
    file = str(world.file("new.md", body="更正。"))
    return plan(world.ctx, Order((file,), at="now", corrects=item, request_id=request_id))


def take_back(world: World, item: str, request_id: str = ID) -> str:
    return withdraw(world.ctx, Withdrawal(item, "发布有误", request_id=request_id))


Used = Callable[[World, str], str]

USED: dict[str, Used] = {
    "publish": lambda world, item: publish(world),
    "correct": correct,
    "withdraw": take_back,
}
ASKED: dict[str, Used] = {**USED, "publish": lambda world, item: publish(world, item)}


@pytest.mark.parametrize(("used", "asked"), [(one, two) for one in USED for two in USED if one != two])
def test_an_id_of_another_action_is_refused(world: World, used: str, asked: str) -> None:
    """Its first result would be taken for what is asked for now, and nothing would be done: exit 0 for nothing."""
    _, item = published(world, "site")
    made = USED[used](world, item)
    world.run(10)
    before = counted(world)
    with pytest.raises(BadInput, match=f"was used to {used} item .*{made}") as refused:
        ASKED[asked](world, item)
    assert "--request-id" == refused.value.where
    assert before == counted(world)


@pytest.mark.parametrize("action", USED)
def test_an_id_of_another_item_is_refused(world: World, action: str) -> None:
    """As far as a command names an item: what a file holds is not compared, since it may be gone by now."""
    _, first = published(world, "site")
    second = submit(world.ctx, world.file("second.md", body="第二则。")).item
    plan(world.ctx, world.order("site", second))
    world.run(5)
    ASKED[action](world, first)
    world.run(10)
    with pytest.raises(BadInput, match=f"was used to {action} item {first}"):
        ASKED[action](world, second)


@pytest.mark.parametrize("action", USED)
def test_a_repeated_request_returns_the_first_release(world: World, action: str) -> None:
    """And nothing is written the second time."""
    _, item = published(world, "site")
    made = ASKED[action](world, item)
    world.run(10)
    before = counted(world)
    assert made == ASKED[action](world, item)
    assert before == counted(world)


def test_a_cancellation_is_repeated(world: World) -> None:
    """Nothing was public yet: the item's release was cancelled, and that stays what the request came to."""
    world.add("site", "site")
    world.process()
    made = world.plan("site", at=600)
    world.run(2)
    item = item_of(world, made)
    assert made == take_back(world, item)
    world.run(2)
    before = counted(world)
    assert made == take_back(world, item)
    assert before == counted(world)
    with pytest.raises(BadInput, match="public nowhere"):
        take_back(world, item, "another")
    with pytest.raises(BadInput, match=f"was used to withdraw item {item}"):
        publish(world)


def test_a_withdrawal_under_way_is_joined_and_the_request_repeated(world: World) -> None:
    """The second request came to the first one's release, also when that has ended."""
    _, item = published(world, "site")
    world.outside["site"].faults.extend(["refuse"] * 3)
    made = take_back(world, item)
    assert made == take_back(world, item, "8")
    world.run(60)
    assert "released" == world.release(made).state
    before = counted(world)
    assert [made, made] == [take_back(world, item, one) for one in (ID, "8")]
    assert before == counted(world)


def test_the_log_tells_what_a_request_came_to(world: World) -> None:
    """Once, with the act, for a release that does not carry the request's id itself."""
    _, item = published(world, "site")
    world.outside["site"].faults.extend(["refuse"] * 3)
    made = take_back(world, item)
    for _ in range(2):
        take_back(world, item, "8")
    with world.store.read() as connection:
        assert [] == journal.of(connection, SUBJECT, ID)
        (told,) = journal.of(connection, SUBJECT, "8")
    assert ("answered", item, "desk") == (told.act, told.item, told.actor)
    assert {"action": "withdraw", "release": made} == told.detail


def test_a_refused_withdrawal_leaves_its_id_free(world: World) -> None:
    """It did nothing, and so the id is not used."""
    _, item = published(world, "site")
    with pytest.raises(BadInput, match="no such outlet"):
        withdraw(world.ctx, Withdrawal(item, "发布有误", outlets=("nowhere",), request_id=ID))
    world.run(5)
    assert {"site": "planned"} == world.states(take_back(world, item))
