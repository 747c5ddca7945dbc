"""A request id: the same command, given again, returns its first result; another command of that id is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sync.engine.plan import Order, plan
from sync.engine.submit import submit
from sync.engine.withdraw import Withdrawal, withdraw
from sync.model import BadInput
from tests.integration.test_engine_plan import counted
from tests.integration.test_engine_withdraw import published
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
