"""Several releases through one release process: each at its own instant, and none waits for another."""

from __future__ import annotations

from pathlib import Path

from sync.clock import MILLISECOND, SECOND, iso
from tests.acceptance.installation import (
    TICK,
    Installation,
    assert_done,
    eventually,
    micros,
    now,
    write_item,
)

OUTLETS = ("site", "wechat", "mastodon")
ON_TIME = 250 * MILLISECOND  # µs; even while the machine sets pages and reads back for other releases


def test_five_releases_at_one_instant_after_one_that_is_still_waiting(shared: Installation, tmp_path: Path) -> None:
    """Nothing early, every shot within 250 ms, though an earlier release still waits for an outlet's answer."""
    slow = {"method": "POST", "path": "/api/v1/statuses", "account": "mastodon"}
    shared.knob("mastodon", "delay", **slow, after_ms=20_000)
    waiting = plan(shared, tmp_path, "十秒前即时发布的通告", "now")
    eventually(lambda: shared.copies("十秒前即时发布的通告").get("mastodon"))
    at = now() + 16 * SECOND
    titles = [f"同一时刻发布的通告（{n}）" for n in range(5)]
    planned = {title: plan(shared, tmp_path, title, iso(at)) for title in titles}
    release_worker = shared.worker("release")
    assert now() < at - SECOND, "planned too late to prove anything"
    eventually(lambda: now() > at + SECOND)
    assert "releasing" in [one["state"] for one in shared.report(waiting)["deliveries"]], "the earlier one is over"
    late = {}
    for title, release in planned.items():
        told = shared.until(release, lambda report: {"verified"} == {one["state"] for one in report["deliveries"]})
        for one in told["deliveries"]:
            assert str(release_worker) == one["worker"].split(":")[1]
            late[title, one["outlet"]] = micros(one["sent_at"]) - micros(told["release_at"])
        for appeared in shared.copies(title).values():
            assert len(appeared) == 1
            assert appeared[0] >= micros(told["release_at"]) - TICK
    figures = sorted(round(one / MILLISECOND) for one in late.values())
    print(f"sent after the instant, ms: {figures}")
    assert 5 * len(OUTLETS) == len(late)
    assert min(late.values()) >= 0
    assert max(late.values()) <= ON_TIME, figures
    assert 0 == shared.run("release", "show", waiting, "--wait", "60", "--json").code


def plan(installed: Installation, folder: Path, title: str, at: str) -> str:
    """One release, not waited for. Returns its id."""
    item = write_item(folder / title, title)
    told = assert_done(installed.run("publish", item, "--outlets", ",".join(OUTLETS), "--at", at, "--json"))
    return str(told.json["release"])
