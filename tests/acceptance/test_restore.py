"""An older backup is restored while the outlets live on: nothing is published twice, and what is public is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sync.store import copies, outlets, recovery
from sync.store.session import Store
from tests.acceptance.installation import QUICK, Installation, assert_done, eventually, write_item
from tests.acceptance.mode import EMBEDDED, Mode
from tests.contract.bench import server

LIVE = {**QUICK, "TONGFA_CLOCK_UNSYNCHRONISED": "accept"}
SITES = ("site", "gazette")
ACCOUNTS = ("mastodon", "wechat")
KINDS = {"site": "website", "gazette": "gazette", "mastodon": "mastodon", "wechat": "wechat"}
SECRETS = {"mastodon": ("access_token", "sandbox-mastodon"), "wechat": ("app_secret", "sandbox-secret-wechat")}
EVERYWHERE = ",".join(KINDS)
FIRST, SECOND, THIRD = "第一则通告", "第二则通告", "第三则通告"


@pytest.fixture
def live(tmp_path: Path, mode: Mode) -> Iterator[Installation]:
    """An installation on live outlets, which are servers apart and outlive it."""
    installed = Installation(tmp_path / "home", LIVE, outlets=tmp_path / "outlets", mode=mode)
    with ExitStack() as stack:
        for name in ("pages", *ACCOUNTS):
            stack.enter_context(server(f"channels.sandbox.{name}", tmp_path / "outlets" / name))
        for outlet, kind in KINDS.items():
            options = [part for setting in _settings(installed, outlet) for part in ("--set", setting)]
            name, token = SECRETS.get(outlet, ("", ""))
            options += ["--secret", f"{name}=env:TOKEN"] if name else []
            named = ("outlet", "add", outlet, "--kind", kind, "--live", "--private-network")
            assert_done(installed.run(*named, *options, TOKEN=token))
        installed.up()
        stack.callback(installed.down)
        yield installed


def _settings(installed: Installation, outlet: str) -> list[str]:
    if outlet in SITES:
        installed.served(outlet).mkdir(parents=True)
        folder, base = installed.served(outlet), f"{installed.sandbox('pages')}/{outlet}"
        return [f"directory={folder}", f"base_url={base}", *(["site_name=清溪镇"] if outlet == "site" else [])]
    address = installed.sandbox(outlet)
    return [f"base_url={address}"] if outlet == "mastodon" else [f"api_base={address}", "app_id=sandbox-wechat"]


def public(installed: Installation) -> dict[str, Any]:
    """All that the outlets ever made public or changed, by their own records; pages by their files."""
    found: dict[str, Any] = {}
    for name in ACCOUNTS:
        found[name] = [
            (line["at"], line["effect"]) for line in installed.record(name) if line["applied"] and _publishes(line)
        ]
    for name in SITES:
        # lists and feeds are the site's own and may be completed; items are not to be written again
        pages = [
            one for one in installed.served(name).rglob("*") if one.is_file() and 'name="ArticleTitle"' in _text(one)
        ]
        found[name] = {str(one): one.read_bytes() for one in pages}
    return found


def _publishes(line: Mapping[str, Any]) -> bool:
    return any(
        word in str(line["effect"]) for word in ("created", "published", "submitted", "edited", "updated", "draft")
    )


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.suffix == ".html" else ""


def states(installed: Installation, release: str) -> dict[str, str]:
    return {one["outlet"]: one["state"] for one in installed.report(release)["deliveries"]}


def copies_of(installed: Installation, item: str) -> dict[str, set[str]]:
    """Outlet → the states of the item's copies there."""
    store = Store(installed.database)
    try:
        with store.read() as connection:
            there: dict[str, set[str]] = {one.name: set() for one in outlets.every(connection)}
            for one in copies.of_item(connection, item):
                there[one.outlet].add(one.state)
        return there
    finally:
        store.close()


def test_restored_at_five_points_nothing_is_published_twice(live: Installation, tmp_path: Path) -> None:
    """Prepared, committed, being corrected, being withdrawn, and before the last item: the outlets receive nothing.

    Each of the five backups is restored in one of the two modes; random moments are the campaign's."""
    backups, releases = [], {}

    def keep(name: str) -> None:
        path = tmp_path / f"{name}.tar"
        told = assert_done(live.run("backup", "--out", path, "--with-key", "--json")).json
        assert told["entries"] > 0 and told["with_key"]
        backups.append(path)

    def publish(title: str, *more: str) -> str:
        item = write_item(tmp_path / title, title)
        told = assert_done(live.run("publish", item, "--outlets", EVERYWHERE, "--json", *more)).json
        releases[title] = str(told["release"])
        return str(told["item"])

    first = publish(FIRST, "--at", "now", "--wait")
    second = publish(SECOND, "--at", live.soon(4))
    live.until(releases[SECOND], lambda report: report["state"] == "ready")
    keep("prepared")
    live.until(releases[SECOND], lambda report: report["state"] in ("committed", "released"))
    keep("committed")
    live.until(releases[SECOND], lambda report: all(one["state"] == "verified" for one in report["deliveries"]))
    corrected = write_item(tmp_path / "corrected", FIRST, summary="更正：首班 06:45，票价 1 元。")
    told = assert_done(live.run("correct", first, corrected, "--at", live.soon(2), "--json")).json
    correction = str(told["release"])
    keep("correcting")
    live.until(correction, lambda report: all(one["state"] == "verified" for one in report["deliveries"]))
    told = assert_done(live.run("withdraw", second, "--reason", "发布有误", "--json")).json
    withdrawal = str(told["release"])
    keep("withdrawing")
    live.until(withdrawal, lambda report: report["state"] == "released")
    keep("withdrawn")
    publish(THIRD, "--at", "now", "--wait")
    live.down()
    for name in backups:
        assert_done(live.run("backup", "--check", name))
    before = public(live)
    for path in backups[0 if live.mode is EMBEDDED else 1 :: 2]:
        again = _restored(live, tmp_path / f"again-{path.stem}", path)
        try:
            _wait_until_looked_up(again)
            told = assert_done(again.run("restore", "--status", "--json")).json
            assert {"recovery": None, "left": []} == told, path
            assert before == public(live), path
            _assert_known(again, path.stem, releases, correction, withdrawal, first, second)
        finally:
            again.down()
        assert before == public(live), path


def _restored(live: Installation, home: Path, path: Path) -> Installation:
    """A new installation made of the backup, adopted, and up."""
    again = Installation(home, LIVE, outlets=live.outlets, mode=live.mode)
    told = assert_done(again.run("restore", path, "--json")).json
    assert told["why"] == "restored" and told["recovery"]
    waits = again.run("adopt")
    assert (2, True) == (waits.code, "--yes" in waits.err)
    assert assert_done(again.run("adopt", "--yes", "--json")).json["adopted"]
    listed = assert_done(again.run("release", "list", "--json")).json
    assert "reconcile-only" in listed["stopped"]
    again.up()
    return again


def _wait_until_looked_up(again: Installation) -> None:
    """As `restore --status` says, without the second that a command takes."""

    def is_over() -> bool:
        store = Store(again.database)
        try:
            with store.read() as connection:
                return recovery.current(connection) is None
        finally:
            store.close()

    eventually(is_over, 120)


def _assert_known(
    again: Installation,
    point: str,
    releases: Mapping[str, str],
    correction: str,
    withdrawal: str,
    first: str,
    second: str,
) -> None:
    """What the database believes of each release at each point is what the outlets show."""
    everywhere = dict.fromkeys(KINDS)
    assert dict.fromkeys(everywhere, "verified") == states(again, releases[FIRST])
    if point == "prepared":  # published and withdrawn since: it looks as if it had never gone out
        report = again.report(releases[SECOND])
        assert ("held", set()) == (report["state"], {one["url"] for one in report["deliveries"]} - {None})
    elif point == "committed":
        assert {"unresolved"} >= set(states(again, releases[SECOND]).values()) - {"released", "verified"}
        assert not any("live" in one for one in copies_of(again, second).values())
    else:
        assert dict.fromkeys(everywhere, "verified") == states(again, releases[SECOND])
    if point in ("prepared", "committed"):  # corrected since, which this database does not know
        changed = {name: {"missing" if name == "wechat" else "altered"} for name in KINDS}  # which removes the old one
        assert changed == copies_of(again, first)
    else:
        eventually(lambda: set(states(again, correction).values()) == {"verified"})
    if point in ("withdrawing", "withdrawn"):
        eventually(lambda: set(states(again, withdrawal).values()) == {"withdrawn"})
        assert {"removed"} == set().union(*copies_of(again, second).values())
    elif point == "correcting":
        assert {"missing"} == set().union(*copies_of(again, second).values())
