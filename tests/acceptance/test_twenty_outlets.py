"""Twenty outlets: published, corrected, withdrawn, each to proof by what a reader sees; one of them dies on the way.

A reader here is anybody with a web address: no account, no table of ours.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.forks import Result
from tests.acceptance.installation import BODY, Installation, running, write_item
from tests.acceptance.mode import Mode

TITLE = "关于二十个发布端的通告"
DEAD = "mastodon-6"
KINDS = {"website": 5, "gazette": 2, "mastodon": 6, "wechat": 4, "webhook": 3}
OUTLETS = {f"{kind}-{number}": kind for kind, many in KINDS.items() for number in range(1, many + 1)}
PRICE, CORRECTED = "票价 1 元", "票价 2 元"


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[Installation]:
    required = {name: kind for name, kind in OUTLETS.items() if name != DEAD}
    with running(tmp_path_factory.mktemp("twenty"), mode=mode, outlets=required) as installed:
        installed.add({DEAD: OUTLETS[DEAD]}, "--optional")
        yield installed


def seen(address: str) -> str | None:
    """The page's text as anybody gets it; None when there is none."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        assert error.code in (404, 410), f"{address} answers {error.code}"
        return None


def shows(address: str, text: str) -> bool:
    page = seen(address)
    return page is not None and text in page


def addresses(told: dict[str, Any]) -> dict[str, str]:
    return {one["outlet"]: one["url"] for one in told["deliveries"] if one["url"]}


def by_state(told: dict[str, Any]) -> dict[str, str]:
    return {one["outlet"]: one["state"] for one in told["deliveries"]}


def dead(installed: Installation) -> None:
    installed.knob("mastodon", "drop_request", account=DEAD, times=0)


def said(result: Result) -> str:
    return f"exit {result.code}\n{result.err}\n{result.out[:600]}"


def test_published_corrected_withdrawn(twenty: Installation, tmp_path: Path) -> None:
    """Each act reaches every living outlet at once; what the dead one still shows stays open until it returns."""
    item = write_item(tmp_path, TITLE)
    names = ",".join(OUTLETS)
    first = twenty.run("publish", item, "--outlets", names, "--at", twenty.soon(3), "--wait", "120", "--json")
    assert 0 == first.code, said(first)
    published = addresses(first.json)
    readable = {name for name in OUTLETS if OUTLETS[name] != "webhook"}
    assert readable <= set(published)
    assert [] == [name for name in readable if not shows(published[name], PRICE)]
    assert 0 <= first.json["skew_ms"] < 60_000

    dead(twenty)
    corrected = write_item(
        tmp_path / "corrected",
        TITLE,
        body=BODY.replace(PRICE, CORRECTED),
        summary=f"环线试运行，首班 06:30，{CORRECTED}。",
    )
    second = twenty.run(
        "correct", first.json["item"], corrected, "--at", twenty.soon(3), "--wait", "25", "--json", timeout=180
    )
    assert 4 == second.code, said(second)
    states = by_state(second.json)
    living = set(OUTLETS) - {DEAD}
    assert {"verified", "closed"} >= {states[name] for name in living}, said(second)
    now_at = addresses(second.json)
    for name in readable & living:
        assert shows(now_at[name], CORRECTED), name
        assert now_at[name] == published[name] or not shows(published[name], PRICE), name
    assert shows(published[DEAD], PRICE)

    third = twenty.run("withdraw", first.json["item"], "--reason", "有误", "--wait", "12", "--json")
    assert 4 == third.code, said(third)
    states = by_state(third.json)
    assert {"withdrawn"} == {states[name] for name in living}, said(third)
    assert states[DEAD] in ("planned", "withdrawing", "unresolved")
    assert "committed" == third.json["state"]
    for name in readable & living:
        for address in {published[name], now_at[name]}:
            assert not shows(address, CORRECTED), name
            assert not shows(address, PRICE), name
    assert shows(published[DEAD], PRICE)
    waiting = twenty.run("release", "show", third.json["release"], "--json").json
    problem = next(one for one in waiting["deliveries"] if one["outlet"] == DEAD)["problems"]
    assert problem

    twenty.clear("mastodon")
    ended = twenty.until(third.json["release"], lambda told: bool(told["state"] == "released"), 180)
    assert {"withdrawn"} == set(by_state(ended).values())
    assert not shows(published[DEAD], PRICE)
    late = twenty.report(second.json["release"])
    assert "cancelled" == by_state(late)[DEAD]
    created = [
        line for line in twenty.record("mastodon") if line["effect"] == "post_created" and line["account"] == DEAD
    ]
    assert 1 == len(created)
