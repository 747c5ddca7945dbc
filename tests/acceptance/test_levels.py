"""How far what a reader found is what was approved; and what the reader was given is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sync.store.assets import AssetRows, Assets
from sync.store.session import Store
from tests.acceptance.installation import FOUR, Installation, assert_done, write_item

EQUAL = {"site": "exact", "gazette": "exact", "wechat": "text-equal", "mastodon": "text-equal"}
GONE = {"site": "missing", "gazette": "missing", "wechat": "taken-down", "mastodon": "missing"}


def levels(told: dict[str, Any]) -> dict[str, str]:
    return {one["outlet"]: one["level"] for one in told["deliveries"]}


def readings(installed: Installation, delivery: str) -> list[dict[str, Any]]:
    return list(assert_done(installed.run("delivery", "show", delivery, "--json")).json["readings"])


def kept(installed: Installation, digest: str) -> bytes:
    """By the store of the installation's own files, or its database."""
    store = Store(installed.database)
    try:
        files = installed.home / "assets"
        return (AssetRows(store) if installed.database.startswith("postgresql") else Assets(files)).get(digest)
    finally:
        store.close()


def test_what_a_reader_was_given_is_kept(shared: Installation, tmp_path: Path) -> None:
    """Own pages byte for byte, accounts by their text; after the withdrawal nothing, or the outlet's own notice."""
    title = "关于回读层级的通告"
    item = write_item(tmp_path / "item", title)
    told = shared.run("publish", item, "--outlets", ",".join(FOUR), "--at", "now", "--wait", "90", "--json")
    assert_done(told)
    assert EQUAL == levels(told.json)
    for one in told.json["deliveries"]:
        (seen,) = readings(shared, one["id"])
        page = next(it for it in seen["captures"] if it["kept"])
        assert (200, True) == (page["status"], title.encode() in kept(shared, page["digest"]) or one["kind"] != "site")
        assert one["visible_after"] is None or one["visible_after"] <= seen["ended_at"]
    withdrawn = shared.run("withdraw", told.json["item"], "--reason", "有误", "--wait", "90", "--json")
    assert_done(withdrawn)
    assert GONE == {one["outlet"]: readings(shared, one["id"])[-1]["level"] for one in told.json["deliveries"]}


def test_a_changed_digit_is_kept_as_it_was_seen(shared: Installation, tmp_path: Path) -> None:
    """Altered, with the page that the reader was given."""
    shared.knob("mastodon", "alter", replace=["06:30", "06:31"], account="mastodon")
    try:
        item = write_item(tmp_path / "item", "关于一处改动的通告", summary="首班 06:30。")
        told = shared.run("publish", item, "--outlets", "mastodon,site", "--at", "now", "--wait", "30", "--json")
        assert 4 == told.code
        one = next(it for it in told.json["deliveries"] if it["outlet"] == "mastodon")
        last = readings(shared, one["id"])[-1]
        assert ("altered", "altered") == (one["level"], last["level"])
        assert last["problems"]
        assert b"06:31" in kept(shared, next(it for it in last["captures"] if it["kept"])["digest"])
    finally:
        shared.clear("mastodon")
