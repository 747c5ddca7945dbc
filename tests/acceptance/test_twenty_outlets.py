"""One release to every kind of outlet, twenty of them: published, corrected, withdrawn, each to proof by what a reader
sees, is sent or does; one outlet dies on the way.

A reader here is anybody with a web address: no account, no table of ours. What was said is in the sandboxes' own
records; what a person has to do goes through commands.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels import KINDS as EVERY_KIND
from sync.engine.report import exit_code
from tests.acceptance.forks import Result
from tests.acceptance.installation import BODY, LAG, Installation, assert_done, micros, running, write_item
from tests.acceptance.mode import Mode

TITLE = "关于二十个发布端的通告"
DEAD, TASK = "mastodon-2", "manual-1"
DOUBLED = ("website", "wechat", "mastodon", "telegram")
OUTLETS = {f"{kind}-{number}": kind for kind in EVERY_KIND for number in range(1, 3 if kind in DOUBLED else 2)}
SAYS = {
    "email": "taken",
    "apprise": "said",
    "dingtalk": "message_said",
    "feishu": "message_said",
    "wecom": "message_said",
}
TELL = {name for name, kind in OUTLETS.items() if kind in SAYS}
SHOW = set(OUTLETS) - TELL  # where a reader finds it
LIVING = SHOW - {DEAD, TASK}
OPTIONS = {
    # A receiver of webhooks may have a public page of its own, where it is read back.
    "webhook": ("--set", "public_url_template=https://receiver.example/{item}"),
    "email": ("--set", "host=mail.example.gov.cn", "--set", "from=news@qingxi.example"),
    "manual": ("--set", "where=今日头条", "--set", "compares=all"),
    "apprise": ("--optional",),
}
PUBLIC = {"ghost": ("post_published",), "wordpress": ("published",)}  # elsewhere what is created is public
PAGES = ("website", "gazette")
READERS = 3  # of the mailing list
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
    """Outlets that showed or said anything before the instant, by their own records; pages by the times of files."""
    found = []
    for server in installed.servers():
        effects = PUBLIC.get(server, ("post_created", "published", SAYS.get(server)))
        for line in installed.record(server):
            if line["applied"] and line["effect"] in effects and line["at"] < release_at:
                found.append(line["account"])
    titled = installed.copies(TITLE)
    return found + [name for name, at in titled.items() if OUTLETS[name] in PAGES and min(at) < release_at - LAG]


def by_outlet(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["outlet"]: one for one in told["deliveries"]}


def by_state(told: dict[str, Any]) -> dict[str, str]:
    return {name: one["state"] for name, one in by_outlet(told).items()}


def addresses(told: dict[str, Any]) -> dict[str, str]:
    return {name: one["url"] for name, one in by_outlet(told).items() if one["url"]}


def said_by(result: Result) -> str:
    return f"exit {result.code}\n{result.err}\n{result.out[:600]}"


def in_states(told: dict[str, Any], names: set[str], state: str) -> bool:
    return {state} == {by_state(told)[name] for name in names}


# what readers are told


def said(installed: Installation, name: str, after: int) -> list[dict[str, Any]]:
    """Letters or messages that left after that instant, by the outlet's record."""
    kind = OUTLETS[name]
    lines = installed.record(kind)
    return [one for one in lines if one["applied"] and one["effect"] == SAYS[kind] and one["at"] > after]


def assert_told(installed: Installation, told: dict[str, Any], page: str, *, corrects: bool) -> None:
    """Everybody once, after the page that it leads to was there; a correction says that it is one."""
    there = by_outlet(told)[page]
    for name in TELL:
        lines = said(installed, name, micros(told["release_at"]))
        assert (READERS if OUTLETS[name] == "email" else 1) == len(lines), name
        assert min(line["at"] for line in lines) > micros(there["visible_at"]), name
        words = {str(line["detail"]) for line in lines}
        assert all(("更正" in one) is corrects and TITLE in one for one in words), (name, words)
        assert OUTLETS[name] == "email" or all(there["url"] in one for one in words), (name, words)
    if not corrects:
        readers = {line["detail"]["recipient"] for line in said(installed, "email-1", 0)}
        assert {f"reader-{number}@sandbox.example" for number in range(1, READERS + 1)} == readers


# what a person does


def handed(installed: Installation, told: dict[str, Any], folder: Path, action: str) -> str:
    """The person's open task, its package written to the folder; its delivery."""
    open_ = assert_done(installed.run("delivery", "list", "--state", "accepted", "--json")).json
    task = by_outlet(open_)[TASK]
    assert (by_outlet(told)[TASK]["id"], action) == (task["id"], task["task"])
    shown = assert_done(installed.run("delivery", "show", task["id"], "--out", folder, "--json")).json
    assert str(folder / "index.html") == shown["files"][0]
    assert task["id"] in (folder / "index.html").read_text()
    return str(task["id"])


def pasted(installed: Installation, folder: Path, there: str | None = None) -> str:
    """What they do with it: title, text and pictures, into the platform or the page that is there; its address."""
    html = (folder / "body.html").read_text()
    pictures = {
        name: base64.b64encode((folder / name).read_bytes()).decode() for name in re.findall(r'src="([^"]+)"', html)
    }
    page = {"title": (folder / "title.txt").read_text(), "html": html, "pictures": pictures}
    request = urllib.request.Request(
        there or f"{installed.sandbox('manual')}/{TASK}/pages",
        json.dumps(page).encode(),
        {"Content-Type": "application/json"},
        method="PUT" if there else "POST",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.loads(answer.read())["url"])


def removed(address: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=10) as answer:
        assert 204 == answer.status


def settled(installed: Installation, told: dict[str, Any], task: str, address: str) -> dict[str, Any]:
    """They say where it is, and it is read there as anywhere."""
    assert_done(installed.run("delivery", "settle", task, "--found", "public", "--url", address, "--json"))
    ended = installed.until(told["release"], lambda told: in_states(told, {TASK}, "verified"))
    assert by_outlet(ended)[TASK]["match"] is True
    return ended


def assert_together(told: dict[str, Any], names: set[str]) -> None:
    """None early, and the skew is what the outlets' own instants say. A person's and a notice's do not count."""
    late = {name: by_outlet(told)[name]["lateness_ms"] for name in names}
    print("\n".join(f"{name:14} {late[name]:8.1f} ms" for name in sorted(late, key=late.__getitem__)))
    assert 0 <= min(late.values())
    if names == SHOW - {TASK}:
        assert abs(max(late.values()) - min(late.values()) - told["skew_ms"]) < 0.01
        assert told["skew_ms"] < 60_000


def test_published_corrected_withdrawn(twenty: Installation, tmp_path: Path) -> None:
    """Each act reaches every living outlet at once; what the dead one still shows stays open until it returns."""
    assert (20, set(EVERY_KIND)) == (len(OUTLETS), set(OUTLETS.values()))
    names, item = ",".join(OUTLETS), write_item(tmp_path, TITLE)
    asked = twenty.run("publish", item, "--outlets", names, "--at", twenty.soon(3), "--wait", "120", "--json")
    assert 4 == asked.code, said_by(asked)  # the machine has done what it can: a person has to publish, too
    first = twenty.until(
        asked.json["release"],
        lambda told: in_states(told, SHOW - {TASK}, "verified") and in_states(told, TELL, "closed"),
    )
    assert (4, "accepted") == (exit_code(first), by_state(first)[TASK])
    assert [] == early(twenty, micros(first["release_at"]))
    assert_together(first, SHOW - {TASK})
    assert_told(twenty, first, "website-1", corrects=False)
    task = handed(twenty, first, tmp_path / "handed", "publish")
    first = settled(twenty, first, task, pasted(twenty, tmp_path / "handed"))
    published = addresses(first)
    assert ("released", 0, SHOW) == (first["state"], exit_code(first), set(published))
    assert [] == [name for name in SHOW if not shows(published[name], PRICE)]

    twenty.knob("mastodon", "drop_request", account=DEAD, times=0)
    corrected = write_item(
        tmp_path / "corrected",
        TITLE,
        body=BODY.replace(PRICE, CORRECTED),
        summary=f"环线试运行，首班 06:30，{CORRECTED}。",
    )
    asked = assert_done(twenty.run("correct", first["item"], corrected, "--at", twenty.soon(3), "--json"))
    second = twenty.until(
        asked.json["release"], lambda told: in_states(told, LIVING, "verified") and in_states(told, TELL, "closed")
    )
    assert_together(second, LIVING)
    assert_told(twenty, second, "website-1", corrects=True)
    task = handed(twenty, second, tmp_path / "again", "correct")
    assert published[TASK] in (tmp_path / "again" / "index.html").read_text()
    pasted(twenty, tmp_path / "again", published[TASK])
    second = settled(twenty, second, task, published[TASK])
    assert 4 == exit_code(second)
    now_at = addresses(second)
    for name in LIVING | {TASK}:
        assert shows(now_at[name], CORRECTED), name
        assert now_at[name] == published[name] or not shows(published[name], PRICE), name
    assert shows(published[DEAD], PRICE)

    asked = twenty.run("withdraw", first["item"], "--reason", "有误", "--wait", "1", "--json")
    assert 4 == asked.code, said_by(asked)
    third = twenty.until(asked.json["release"], lambda told: in_states(told, LIVING, "withdrawn"))
    assert (SHOW, "accepted", "withdraw") == (
        set(by_state(third)),
        by_state(third)[TASK],
        by_outlet(third)[TASK]["task"],
    )
    assert TELL == {one["where"] for one in third["problems"]}
    assert all("cannot be recalled" in one["message"] for one in third["problems"])
    removed(published[TASK])
    third = twenty.until(
        asked.json["release"], lambda told: in_states(told, {TASK}, "withdrawn") and by_outlet(told)[DEAD]["problems"]
    )
    assert (4, "committed") == (exit_code(third), third["state"])
    assert by_state(third)[DEAD] in ("planned", "withdrawing", "unresolved")
    for name in LIVING | {TASK}:
        for address in {published[name], now_at[name]}:
            assert not shows(address, CORRECTED), name
            assert not shows(address, PRICE), name
    assert shows(published[DEAD], PRICE)

    twenty.clear("mastodon")
    third = twenty.until(asked.json["release"], lambda told: bool(told["state"] == "released"))
    assert {"withdrawn"} == set(by_state(third).values())
    assert not shows(published[DEAD], PRICE)
    assert "cancelled" == by_state(twenty.report(second["release"]))[DEAD]
    created = [
        line for line in twenty.record("mastodon") if line["effect"] == "post_created" and line["account"] == DEAD
    ]
    assert 1 == len(created)
    assert 2 * (READERS + len(TELL) - 1) == sum(len(said(twenty, name, 0)) for name in TELL)  # nothing was said since
