"""Everything killed at once and started again. The outlets live on, as they do in reality: they are servers apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sync.clock import SECOND, iso
from sync.flow import R
from tests.acceptance.installation import (
    FOUR,
    LAG,
    QUICK,
    Installation,
    armed,
    assert_done,
    micros,
    now,
    write_item,
)
from tests.acceptance.mode import Mode
from tests.contract.bench import server

# The machine that tests run on need not have a time service.
LIVE = {**QUICK, "TONGFA_CLOCK_UNSYNCHRONISED": "accept"}


@pytest.fixture
def live(tmp_path: Path, mode: Mode) -> Iterator[Installation]:
    """An installation whose four outlets are marked live, at addresses of this machine."""
    installed = Installation(tmp_path / "home", LIVE, outlets=tmp_path / "outlets", mode=mode)
    with ExitStack() as stack:
        for name in ("pages", "mastodon", "wechat"):
            stack.enter_context(server(f"channels.sandbox.{name}", tmp_path / "outlets" / name))
        for outlet, settings in _settings(installed).items():
            options = [part for setting in settings for part in ("--set", setting)]
            secret = {"mastodon": "access_token=env:TOKEN", "wechat": "app_secret=env:TOKEN"}.get(outlet)
            options += ["--secret", secret] if secret else []
            token = {"mastodon": "sandbox-mastodon", "wechat": "sandbox-secret-wechat"}.get(outlet, "")
            named = ("outlet", "add", outlet, "--kind", FOUR[outlet], "--live", "--private-network")
            assert_done(installed.run(*named, *options, TOKEN=token))
        installed.up()
        stack.callback(installed.down)
        yield installed


def _settings(installed: Installation) -> dict[str, list[str]]:
    pages = installed.sandbox("pages")
    for outlet in ("site", "gazette"):
        installed.served(outlet).mkdir(parents=True)
    return {
        "site": [f"directory={installed.served('site')}", f"base_url={pages}/site", "site_name=清溪镇"],
        "gazette": [f"directory={installed.served('gazette')}", f"base_url={pages}/gazette"],
        "mastodon": [f"base_url={installed.sandbox('mastodon')}"],
        "wechat": [f"api_base={installed.sandbox('wechat')}", "app_id=sandbox-wechat"],
    }


def test_everything_killed_while_one_release_is_committed_and_another_armed(live: Installation, tmp_path: Path) -> None:
    """Started again, the first goes out late and the second on time: both once, everywhere, verified."""
    first, second = "全部进程被终止时已提交的通告", "全部进程被终止时已装填的通告"
    at = micros(live.soon(3))
    instants = {first: at, second: at + 14 * SECOND}
    releases = {}
    for title, instant in instants.items():
        item = write_item(tmp_path / title, title)
        command = ("publish", item, "--outlets", ",".join(FOUR), "--at", iso(instant), "--json")
        releases[title] = str(assert_done(live.run(*command)).json["release"])
    live.until(releases[second], armed)
    live.until(releases[first], lambda report: report["state"] == R.COMMITTED)
    live.kill()
    assert now() < at, "killed too late to prove anything"
    assert not live.copies(first)
    live.up()
    told = {
        title: live.run("release", "show", release, "--wait", "180", "--json") for title, release in releases.items()
    }
    for title, shown in told.items():
        assert (0, "released") == (shown.code, shown.json["state"]), shown.out
        copies = live.copies(title)
        assert dict.fromkeys(FOUR, 1) == {outlet: len(appeared) for outlet, appeared in copies.items()}
        assert all(appeared[0] >= instants[title] - LAG for appeared in copies.values())
        assert all(one["live"] for one in shown.json["deliveries"])
    sent = [micros(one["sent_at"]) for one in told[second].json["deliveries"]]
    assert max(sent) < instants[second] + 2 * SECOND, "what was armed when all died was not armed again in time"
