"""What follows the page: letters, messages and a person's task, seen by those who get them, over the command line.

No table of ours is asked: what was said is in the sandboxes' records, what a person does goes through commands.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.installation import BODY, Installation, assert_done, micros, running, write_item
from tests.acceptance.mode import Mode

TITLE = "关于告知读者的通告"
PRICE, CORRECTED = "票价 1 元", "票价 2 元"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("told"), mode=mode, outlets={"site": "website"}) as installed:
        installed.down()
        for name, kind, *more in (
            ("letters", "email", "--set", "host=mail.example.gov.cn", "--set", "from=news@qingxi.example"),
            ("toutiao", "manual", "--set", "where=今日头条", "--set", "compares=all"),
            ("push", "apprise", "--optional"),
        ):
            assert_done(installed.run("outlet", "add", name, "--kind", kind, *more))
        installed.up()
        yield installed


def said(installed: Installation, server: str, effect: str) -> list[dict[str, Any]]:
    return [line for line in installed.record(server) if line["applied"] and line["effect"] == effect]


def states(told: dict[str, Any]) -> dict[str, str]:
    return {one["outlet"]: one["state"] for one in told["deliveries"]}


def of(told: dict[str, Any], outlet: str) -> dict[str, Any]:
    return next(one for one in told["deliveries"] if one["outlet"] == outlet)


def pasted(installed: Installation, folder: Path, method: str = "POST", where: str = "/toutiao/pages") -> str:
    """What a person does with what they were handed: title, text and pictures, into the platform."""
    html = (folder / "body.html").read_text()
    pictures = {
        name: base64.b64encode((folder / name).read_bytes()).decode() for name in re.findall(r'src="([^"]+)"', html)
    }
    page = {"title": (folder / "title.txt").read_text(), "html": html, "pictures": pictures}
    request = urllib.request.Request(
        installed.sandbox("manual") + where,
        json.dumps(page).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.loads(answer.read())["url"])


def removed(address: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=10) as answer:
        assert 204 == answer.status


def test_published_told_corrected_withdrawn(desk: Installation, tmp_path: Path) -> None:
    """Readers are told once the page is there; a person publishes, corrects and removes what only they can."""
    item = write_item(tmp_path / "first", TITLE)
    names = "site,letters,toutiao,push"
    first = desk.run("publish", item, "--outlets", names, "--at", desk.soon(), "--wait", "120", "--json")
    assert 4 == first.code, first.err
    told = desk.until(
        first.json["release"], lambda told: {"closed"} >= {states(told)[one] for one in ("letters", "push")}
    )
    assert {"site": "verified", "letters": "closed", "toutiao": "accepted", "push": "closed"} == states(told)
    assert told["skew_ms"] is not None

    # letters and messages: each once, after the page
    letters, messages = said(desk, "email", "taken"), said(desk, "apprise", "said")
    assert ["reader-1@sandbox.example", "reader-2@sandbox.example", "reader-3@sandbox.example"] == [
        line["detail"]["recipient"] for line in letters
    ]
    assert [TITLE] == [line["detail"]["title"] for line in messages]
    page = of(told, "site")
    assert min(line["at"] for line in (*letters, *messages)) > micros(page["visible_at"])
    assert page["url"] in messages[0]["detail"]["message"]

    # the person's task
    open_ = assert_done(desk.run("delivery", "list", "--state", "accepted", "--json")).json["deliveries"]
    task = of({"deliveries": open_}, "toutiao")
    assert "publish" == task["task"]
    handed = tmp_path / "handed"
    shown = assert_done(desk.run("delivery", "show", task["id"], "--out", handed, "--json")).json
    assert str(handed / "index.html") == shown["files"][0]
    assert task["id"] in (handed / "index.html").read_text()
    address = pasted(desk, handed)
    assert_done(desk.run("delivery", "settle", task["id"], "--found", "public", "--url", address, "--json"))
    ended = desk.until(first.json["release"], lambda told: of(told, "toutiao")["state"] not in ("accepted", "released"))
    assert ("released", "verified", True) == (
        ended["state"],
        of(ended, "toutiao")["state"],
        of(ended, "toutiao")["match"],
    )

    # corrected: another letter that says so, and another task
    newer = write_item(
        tmp_path / "newer", TITLE, body=BODY.replace(PRICE, CORRECTED), summary=f"首班 06:30，{CORRECTED}。"
    )
    second = desk.run("correct", first.json["item"], newer, "--at", desk.soon(), "--wait", "120", "--json")
    assert 4 == second.code, second.err
    told = desk.until(
        second.json["release"], lambda told: {"closed"} >= {states(told)[one] for one in ("letters", "push")}
    )
    assert ("verified", "accepted") == (states(told)["site"], states(told)["toutiao"])
    later = said(desk, "email", "taken")[3:]
    assert [f"更正：{TITLE}"] * 3 == [line["detail"]["Subject"] for line in later]
    assert said(desk, "apprise", "said")[1]["detail"]["message"].startswith("【更正】")
    task = of(told, "toutiao")
    again = tmp_path / "again"
    assert_done(desk.run("delivery", "show", task["id"], "--out", again))
    assert address in (again / "index.html").read_text()
    pasted(desk, again, "PUT", address.removeprefix(desk.sandbox("manual")))
    assert_done(desk.run("delivery", "settle", task["id"], "--found", "public", "--url", address))
    desk.until(second.json["release"], lambda told: bool(told["state"] == "released"))

    # withdrawn: what was said stays said, and the report says so
    third = desk.run("withdraw", first.json["item"], "--reason", "有误", "--wait", "30")
    assert 4 == third.code, third.err
    lines = [line for line in third.out.splitlines() if "已发出的通知无法收回" in line and "cannot be recalled" in line]
    assert {"letters", "push"} == {name for name in ("letters", "push") for line in lines if name in line}
    (release,) = {*re.findall(r"\b[0-9a-f]{16}\b", third.out.splitlines()[0])}
    told = assert_done(desk.run("release", "show", release, "--json")).json
    assert {"site": "withdrawn", "toutiao": "accepted"} == states(told)
    assert {"letters", "push"} == {one["where"] for one in told["problems"]}
    assert all("cannot be recalled" in one["message"] for one in told["problems"])
    removed(address)
    desk.until(release, lambda told: bool(told["state"] == "released"))
    assert (6, 2) == (len(said(desk, "email", "taken")), len(said(desk, "apprise", "said")))
