"""What keeps a release from going out, and how it goes on: nothing is public until everything required is ready."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sync.clock import SECOND
from sync.engine.report import LATE
from sync.flow import R
from tests.acceptance.forks import Result
from tests.acceptance.installation import (
    FOUR,
    Installation,
    armed,
    assert_done,
    micros,
    now,
    passed,
    soon,
    write_item,
)
from tests.acceptance.reader import prepared_address, read

ALL = ",".join(FOUR)


@pytest.fixture(scope="module")
def outlets(shared: Installation) -> Installation:
    """The four outlets, and two optional accounts."""
    shared.add({"spare-post": "mastodon", "spare-article": "wechat"}, "--optional")
    return shared


@pytest.fixture(autouse=True)
def no_knob_stays(shared: Installation) -> Iterator[None]:
    yield
    shared.clear()


def publish(installed: Installation, folder: Path, title: str, *options: str, outlets: str = ALL) -> Result:
    return installed.run("publish", write_item(folder, title), "--outlets", outlets, *options, "--json")


def assert_nothing_public(installed: Installation, title: str) -> None:
    """Not by the outlets' records and files, not to a reader who knows the address, not in any list."""
    assert {} == installed.copies(title)
    for outlet in ("site", "gazette"):
        address = prepared_address(installed, outlet, title)
        assert not address or 404 == read(address).status, outlet
        for page in ("index.html", "feed.xml"):
            if (installed.served(outlet) / page).exists():
                with urllib.request.urlopen(f"{installed.sandbox('pages')}/{outlet}/{page}") as answer:
                    assert title not in answer.read().decode()


def assert_once(installed: Installation, result: Result, title: str, outlets: str = ALL) -> None:
    """Exit 0, all verified, one copy at each outlet."""
    assert 0 == result.code, result.out + result.err
    assert "released" == result.json["state"]
    assert {"verified"} == {one["state"] for one in result.json["deliveries"]}
    copies = installed.copies(title)
    assert dict.fromkeys(outlets.split(","), 1) == {outlet: len(appeared) for outlet, appeared in copies.items()}


@pytest.mark.parametrize(
    ("server", "knob", "said"),
    [
        (
            "mastodon",
            {"fault": "refuse", "path": "/api/v2/media", "status": 422, "json": {"error": "File is not an image"}},
            "422",
        ),
        ("wechat", {"fault": "errcode", "path": "/cgi-bin/draft/add", "code": 45003}, "45003"),
    ],
)
def test_a_required_outlet_that_refuses_holds_everything(
    shared: Installation, tmp_path: Path, server: str, knob: dict[str, Any], said: str
) -> None:
    """Exit 3 and nothing public anywhere; mended and resumed it goes out everywhere, exit 0."""
    title = f"{server} 拒绝预置的通告"
    shared.knob(server, account=server, times=0, **knob)
    # WeChat takes so long that all others have been ready for seconds.
    shared.knob("wechat", "delay", path="/cgi-bin/draft/add", account="wechat", before_ms=3_000)
    held = publish(shared, tmp_path, title, "--at", "now", "--wait")
    assert (3, "held") == (held.code, held.json["state"])
    assert server in held.json["why"]
    assert said in held.json["why"]
    (failed,) = (one for one in held.json["deliveries"] if one["state"] == "failed")
    assert server == failed["outlet"]
    assert failed["problems"][0]["message"]
    assert_nothing_public(shared, title)
    shared.clear()
    assert_once(shared, shared.run("release", "resume", held.json["release"], "--wait", "--json"), title)


def test_refused_credentials_hold_the_release_and_name_the_mend(shared: Installation, tmp_path: Path) -> None:
    """The operator reads which outlet refused its credentials, and what to do about it."""
    title = "令牌失效的通告"
    shared.knob("mastodon", "revoke", account="mastodon")
    held = publish(shared, tmp_path, title, "--at", "now", "--wait")
    assert (3, "held") == (held.code, held.json["state"])
    assert "mastodon" in held.json["why"]
    assert "tongfa outlet set mastodon" in str(held.json), held.json["why"]
    assert_nothing_public(shared, title)
    shared.clear()
    assert_once(shared, shared.run("release", "resume", held.json["release"], "--wait", "--json"), title)


def test_an_optional_outlet_that_refuses_holds_nothing(outlets: Installation, tmp_path: Path) -> None:
    """The required ones go out on time; exit 4 says that one is missing, and a retry brings it."""
    title, names = "可选发布端拒绝的通告", "site,wechat,spare-post"
    outlets.knob("mastodon", "refuse", path="/api/v2/media", status=422, account="spare-post", times=0)
    partly = publish(outlets, tmp_path, title, "--at", "now", "--wait", outlets=names)
    assert (4, "committed") == (partly.code, partly.json["state"])
    states = {one["outlet"]: one["state"] for one in partly.json["deliveries"]}
    assert {"site": "verified", "wechat": "verified", "spare-post": "failed"} == states
    assert {"site", "wechat"} == set(outlets.copies(title))
    outlets.clear()
    (failed,) = (one["id"] for one in partly.json["deliveries"] if one["state"] == "failed")
    assert_done(outlets.run("delivery", "retry", failed))
    release = partly.json["release"]
    assert_once(outlets, outlets.run("release", "show", release, "--wait", "180", "--json"), title, names)


def test_an_optional_outlet_does_not_run_ahead_of_a_required_one(outlets: Installation, tmp_path: Path) -> None:
    """Ready, it waits all the same while a required outlet cannot be armed; then all is held; resumed, all go out."""
    title, names = "可选发布端先就绪的通告", "site,mastodon,spare-article"
    outlets.knob("mastodon", "refuse", method="GET", path="/api/v1/media/*", account="mastodon", times=0)
    outlets.knob("wechat", "delay", path="/cgi-bin/draft/add", account="spare-article", before_ms=3_000)
    held = publish(outlets, tmp_path, title, "--at", "now", "--wait", "40", outlets=names)
    assert_nothing_public(outlets, title)
    assert (3, "held") == (held.code, held.json["state"])
    assert "mastodon" in held.json["why"]
    outlets.clear()
    assert_once(outlets, outlets.run("release", "resume", held.json["release"], "--wait", "--json"), title, names)


@dataclass(frozen=True)
class Planned:
    """A release on its way: its item's title and its instant (µs UTC)."""

    release: str
    title: str
    at: int


@pytest.fixture(scope="module")
def held_by_a_person(shared: Installation, tmp_path_factory: pytest.TempPathFactory) -> list[Planned]:
    """Two releases, armed already when somebody held them. Their instant has passed since, by a second."""
    held = []
    at = shared.soon(6)
    for title in ("人工暂停后取消的通告", "人工暂停后恢复的通告"):
        told = assert_done(publish(shared, tmp_path_factory.mktemp("item"), title, "--at", at)).json
        held.append(Planned(told["release"], title, micros(told["release_at"])))
    for one in held:
        shared.until(one.release, armed)
        answer = assert_done(shared.run("release", "hold", one.release, "--json"))
        assert "held" == answer.json["state"]
        assert now() < one.at - SECOND, "held too late to prove anything"
    passed(held[0].at + SECOND)
    return held


def test_what_was_held_before_its_commit_stays_hidden(shared: Installation, held_by_a_person: list[Planned]) -> None:
    """Its instant passes and nothing becomes public, although everything was armed."""
    for one in held_by_a_person:
        assert_nothing_public(shared, one.title)
        assert R.HELD == shared.report(one.release)["state"]


def test_a_cancelled_release_leaves_nothing_behind(shared: Installation, held_by_a_person: list[Planned]) -> None:
    """Exit 0; the drafts, pictures and pages that were in place are removed from the outlets."""
    cancelled, kept = held_by_a_person
    before = hidden(shared)
    answer = assert_done(shared.run("release", "cancel", cancelled.release, "--json"))
    assert "cancelled" == answer.json["state"]
    shared.until(cancelled.release, lambda report: {"cancelled"} == {one["state"] for one in report["deliveries"]})
    assert {outlet: things - 1 for outlet, things in before.items()} == hidden(shared)
    assert_nothing_public(shared, cancelled.title)
    assert_nothing_public(shared, kept.title)


def test_a_release_resumed_after_its_instant_goes_out_late(
    shared: Installation, held_by_a_person: list[Planned]
) -> None:
    """As soon as it can, everywhere, and the report tells how late."""
    _, late = held_by_a_person
    began = now()
    result = shared.run("release", "resume", late.release, "--wait", "--json")
    assert_once(shared, result, late.title)
    assert late.at == micros(result.json["release_at"])
    assert result.json["lateness_ms"]["first"] >= (began - late.at) / 1000
    assert all(micros(one["sent_at"]) > began for one in result.json["deliveries"])
    assert result.json["late"] and all(one["late"] for one in result.json["deliveries"])
    for language, told in {"en": "late", "zh-CN": "迟到"}.items():
        lines = shared.run("release", "show", late.release, TONGFA_LANG=language).out.splitlines()
        (line,) = (line for line in lines if line.startswith(f"{told} "))
        assert set(FOUR) == set(line.removeprefix(told).strip().split(", "))


def test_an_optional_outlet_that_follows_is_marked_late(outlets: Installation, tmp_path: Path) -> None:
    """It alone, beside a required one that was on time; nothing is marked where nothing was late."""
    title, names = "可选发布端迟到的通告", "site,spare-post"
    outlets.knob("mastodon", "refuse", path="/api/v2/media", status=503, account="spare-post", times=0)
    release = publish(outlets, tmp_path, title, "--at", "now", outlets=names).json["release"]
    told = outlets.until(release, lambda report: report["deliveries"][0]["state"] == "verified")
    assert not told["late"]
    assert "late" not in [line.split()[0] for line in outlets.run("release", "show", release).out.splitlines()]
    passed(micros(told["release_at"]) + LATE)
    outlets.clear()
    told = assert_done(outlets.run("release", "show", release, "--wait", "180", "--json")).json
    assert told["late"]
    assert {"site": False, "spare-post": True} == {one["outlet"]: one["late"] for one in told["deliveries"]}
    assert "late spare-post" in outlets.run("release", "show", release).out.splitlines()


def test_a_report_says_that_nobody_reviewed_it(shared: Installation, tmp_path: Path) -> None:
    """Where one person publishes alone, every report says so, in the installation's language."""
    release = publish(shared, tmp_path, "无人审核的通告", "--at", "now", "--wait").json["release"]
    english = shared.run("release", "show", release, TONGFA_LANG="en").out.splitlines()
    chinese = shared.run("release", "show", release, TONGFA_LANG="zh-CN").out.splitlines()
    assert "published without review" in english
    assert "未经审核发布 · published without review" in chinese


def hidden(installed: Installation) -> dict[str, int]:
    """What each of the four outlets keeps that is neither public nor removed, by its record and its files."""
    done: dict[str, set[str]] = {}
    for server in ("wechat", "mastodon"):
        for line in installed.record(server):
            if line["applied"] and line["account"] == server:
                done.setdefault(line["effect"], set()).add(line["ref"])
                used = line["detail"].get("media", []) if line["effect"] == "post_created" else []
                used = [line["detail"]["media_id"]] if line["effect"] == "published" else used
                done.setdefault("used", set()).update(used)
    gone = {effect: done.get(effect, set()) | done.get("used", set()) for effect in ("deleted_draft", "media_deleted")}
    staged = {
        outlet: len(list((installed.served(outlet).parent / ".www.staged" / "pages").glob("*.html")))
        for outlet in ("site", "gazette")
    }
    return {
        "wechat": len(done["drafted"] - gone["deleted_draft"]),
        "mastodon": len(done["media_uploaded"] - gone["media_deleted"]),
        **staged,
    }


def test_after_the_commit_nobody_can_hold_or_cancel(shared: Installation, tmp_path: Path) -> None:
    """Exit 2 with a reason and a way on; the release goes its way."""
    title = "提交之后不能暂停的通告"
    shared.knob("mastodon", "delay", path="/api/v1/statuses", account="mastodon", method="POST", after_ms=7_000)
    release = publish(shared, tmp_path, title, "--at", "now").json["release"]
    shared.until(release, lambda report: report["state"] == R.COMMITTED)
    for verb in ("hold", "cancel"):
        refused = shared.run("release", verb, release, "--json")
        assert 2 == refused.code
        # On a busy machine the outlet's answer may come before the second command looks.
        assert any(state in refused.json["error"]["message"] for state in ("it is committed", "it is released"))
        assert refused.json["error"]["mend"]
    assert_once(shared, shared.run("release", "show", release, "--wait", "180", "--json"), title)


def test_an_outlet_changed_after_it_was_armed_is_prepared_anew(shared: Installation, tmp_path: Path) -> None:
    """What goes out is what the outlet is set to now, not what was ready before; everywhere, once."""
    title = "装填之后改了设置的通告"
    release = publish(shared, tmp_path, title, "--at", shared.soon(4), outlets="site,mastodon").json["release"]
    shared.until(release, armed)
    try:
        assert_done(shared.run("outlet", "set", "mastodon", "--set", "visibility=unlisted"))
        assert now() < micros(shared.report(release)["release_at"]) - SECOND, "changed too late to prove anything"
        assert_once(shared, shared.run("release", "show", release, "--wait", "180", "--json"), title, "site,mastodon")
        posted = [line["detail"] for line in shared.record("mastodon") if line["effect"] == "post_created"]
        assert ["unlisted"] == [one["visibility"] for one in posted if title in one["text"]]
    finally:
        assert_done(shared.run("outlet", "set", "mastodon", "--set", "visibility=public"))


def test_cancelled_while_it_is_prepared_it_leaves_nothing_behind(shared: Installation, tmp_path: Path) -> None:
    """A draft that the outlet makes after the cancellation is removed as well."""
    title = "预置过程中取消的通告"
    before = hidden(shared)
    shared.knob("wechat", "delay", path="/cgi-bin/draft/add", account="wechat", before_ms=4_000)
    release = publish(shared, tmp_path, title, "--at", soon(600)).json["release"]
    assert_done(shared.run("release", "cancel", release))
    shared.until(release, lambda report: {"cancelled"} == {one["state"] for one in report["deliveries"]})
    assert before == hidden(shared)
    assert_nothing_public(shared, title)
