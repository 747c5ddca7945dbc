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

from sync.engine.report import exit_code
from tests.acceptance.forks import Result
from tests.acceptance.installation import BODY, LAG, Installation, assert_done, micros, running, write_item
from tests.acceptance.mode import Mode

TITLE = "关于二十个发布端的通告"
DEAD = "mastodon-3"
KINDS = {
    "website": 2,
    "gazette": 1,
    "wordpress": 2,
    "ghost": 2,
    "wechat": 2,
    "weibo": 2,
    "mastodon": 3,
    "bluesky": 2,
    "telegram": 2,
    "webhook": 2,
}
# A receiver of webhooks may have a public page of its own, where it is read back.
OPTIONS = {"webhook": ("--set", "public_url_template=https://receiver.example/{item}")}
OUTLETS = {f"{kind}-{number}": kind for kind, many in KINDS.items() for number in range(1, many + 1)}
PUBLIC = {"ghost": ("post_published",), "wordpress": ("published",)}  # elsewhere what is created is public
PAGES = ("website", "gazette")
PRICE, CORRECTED = "票价 1 元", "票价 2 元"


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("twenty"), mode=mode, outlets={}, add=add_all) as installed:
        yield installed


def add_all(installed: Installation) -> None:
    for name, kind in OUTLETS.items():
        installed.add({name: kind}, *OPTIONS.get(kind, ()), *(["--optional"] if name == DEAD else []))


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


def early(installed: Installation, release_at: int) -> list[str]:
    """Outlets that showed anything before the instant, by their own records; pages by the times of their files."""
    found = []
    for server in installed.servers():
        effects = PUBLIC.get(server, ("post_created", "published"))
        for line in installed.record(server):
            if line["applied"] and line["effect"] in effects and line["at"] < release_at:
                found.append(line["account"])
    titled = installed.copies(TITLE)
    return found + [name for name, at in titled.items() if OUTLETS[name] in PAGES and min(at) < release_at - LAG]


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
    assert set(OUTLETS) == set(published)
    assert {"verified"} == set(by_state(first.json).values())
    assert [] == [name for name in OUTLETS if not shows(published[name], PRICE)]
    assert [] == early(twenty, micros(first.json["release_at"]))
    assert 0 <= first.json["skew_ms"] < 60_000

    dead(twenty)
    corrected = write_item(
        tmp_path / "corrected",
        TITLE,
        body=BODY.replace(PRICE, CORRECTED),
        summary=f"环线试运行，首班 06:30，{CORRECTED}。",
    )
    second = assert_done(twenty.run("correct", first.json["item"], corrected, "--at", twenty.soon(3), "--json"))
    living = set(OUTLETS) - {DEAD}
    done = twenty.until(
        second.json["release"],
        lambda told: bool({"verified"} == {state for name, state in by_state(told).items() if name in living}),
        120,
    )
    assert 4 == exit_code(done)
    now_at = addresses(done)
    for name in living:
        assert shows(now_at[name], CORRECTED), name
        assert now_at[name] == published[name] or not shows(published[name], PRICE), name
    assert shows(published[DEAD], PRICE)

    third = twenty.run("withdraw", first.json["item"], "--reason", "有误", "--wait", "12", "--json")
    assert 4 == third.code, said(third)
    states = by_state(third.json)
    assert {"withdrawn"} == {states[name] for name in living}, said(third)
    assert states[DEAD] in ("planned", "withdrawing", "unresolved")
    assert "committed" == third.json["state"]
    for name in living:
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
