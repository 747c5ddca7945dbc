"""Several releases at one instant: each at its own instant, and none waits for another."""

from __future__ import annotations

from pathlib import Path

from sync.clock import MILLISECOND, SECOND
from sync.flow import R
from tests.acceptance.installation import (
    LAG,
    Installation,
    micros,
    now,
    passed,
    write_item,
)

OUTLETS = ("site", "wechat", "mastodon")
ON_TIME = 250 * MILLISECOND  # µs; even while the machine sets pages and reads back for other releases


def test_five_releases_at_one_instant_after_one_that_is_still_waiting(shared: Installation, tmp_path: Path) -> None:
    """Nothing early, every shot within 250 ms, though an earlier release still waits for an outlet's answer."""
    before, titles = "十秒前即时发布的通告", [f"同一时刻发布的通告（{n}）" for n in range(5)]
    slow = {"method": "POST", "path": "/api/v1/statuses", "account": "mastodon"}
    shared.knob("mastodon", "delay", **slow, after_ms=12_000)
    at = shared.soon(8)
    releases = plan(shared, tmp_path, titles, at)
    assert now() < micros(at) - 5 * SECOND, "planned too late to prove anything"
    passed(micros(at) - 10 * SECOND)
    (waiting,) = plan(shared, tmp_path, [before], "now")
    passed(micros(at) + SECOND // 2)
    assert shared.copies(before)["mastodon"][0] < micros(at), "the earlier one was not sent before"
    assert R.COMMITTED == shared.report(waiting)["state"], "the earlier one waits for nothing"
    late = []
    for title, release in zip(titles, releases, strict=True):
        told = shared.until(release, lambda report: {"verified"} == {one["state"] for one in report["deliveries"]})
        release_at = micros(told["release_at"])
        workers = {str(pid) for pid in shared.workers("release")}
        assert all(one["worker"].split(":")[1] in workers for one in told["deliveries"])
        late += [micros(one["sent_at"]) - release_at for one in told["deliveries"]]
        copies = shared.copies(title)
        assert dict.fromkeys(OUTLETS, 1) == {outlet: len(appeared) for outlet, appeared in copies.items()}
        assert {} == {
            outlet: appeared[0] - release_at for outlet, appeared in copies.items() if appeared[0] < release_at - LAG
        }
    figures = sorted(round(one / MILLISECOND) for one in late)
    print(f"sent after the instant, ms: {figures}")
    assert 5 * len(OUTLETS) == len(late)
    assert min(late) >= 0
    assert max(late) <= ON_TIME, figures
    assert 0 == shared.run("release", "show", waiting, "--wait", "60", "--json").code


def plan(installed: Installation, folder: Path, titles: list[str], at: str) -> list[str]:
    """A release of each item, not waited for. Returns their ids."""
    commands = [
        ("publish", write_item(folder / title, title), "--outlets", ",".join(OUTLETS), "--at", at, "--json")
        for title in titles
    ]
    return [str(result.json["release"]) for result in installed.run_all(*commands)]
