"""The sandboxes of chat groups, driven by somebody else's code: Apprise's own plugins for their robots.

Apprise knows the platforms by their public names only, so its addresses are replaced by a sandbox's, and its
names of robots, which may not have a hyphen, are set afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from apprise.common import NotifyFormat
from apprise.plugins.dingtalk import NotifyDingTalk
from apprise.plugins.feishu import NotifyFeishu
from apprise.plugins.wecombot import NotifyWeComBot

from tests.contract.bench import Server, server

TITLE, TEXT = "停水通知", "明日8时起停水"


@pytest.fixture
def sandbox(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    with server(f"channels.sandbox.{request.param}", tmp_path) as running:
        yield running


def at(sandbox: Server, address: str) -> str:
    """Apprise's address of a platform, there."""
    return re.sub(r"^https://[^/]+", sandbox.address, address)


def heard(sandbox: Server) -> list[tuple[str, str, str]]:
    """Group, type and text of each message."""
    lines = [line for line in sandbox.record() if line["effect"] == "message_said"]
    return [(line["account"], line["detail"]["form"], line["detail"]["text"]) for line in lines]


@pytest.mark.parametrize("sandbox", ["dingtalk"], indirect=True)
def test_dingtalk_takes_its_text_and_markdown(sandbox: Server) -> None:
    """Of a robot that is not set to signatures: this library encodes those twice, and is refused with them."""
    robot = NotifyDingTalk(token="town", secret="town")  # type: ignore[no-untyped-call]
    robot.notify_url, robot.request_rate_per_sec = at(sandbox, robot.notify_url), 0
    robot.token = "sandbox-town"
    robot.send(TEXT)  # a refusal comes with 200, and the library looks no further
    assert 310_000 == sandbox.record()[-1]["detail"]["refused"]
    sandbox.knob("unsigned", account="town")
    robot.secret = None
    assert robot.send(TEXT)
    assert robot.send(f"**{TEXT}**", TITLE, body_format=NotifyFormat.MARKDOWN)
    assert [
        ("town", "text", TEXT),
        ("town", "markdown", f"{TITLE}\n# {TITLE}\n**{TEXT}**"),
    ] == heard(sandbox)


@pytest.mark.parametrize("sandbox", ["feishu"], indirect=True)
def test_feishu_takes_its_text(sandbox: Server) -> None:
    """It signs nothing: refused, as it says itself, until the robot wants no signature."""
    robot = NotifyFeishu(token="sandbox-robot-of-the-town", image=False)  # type: ignore[no-untyped-call]
    robot.notify_url, robot.request_rate_per_sec = at(sandbox, robot.notify_url), 0
    assert not robot.send(TEXT)
    sandbox.knob("unsigned", account="town")
    assert robot.send(TEXT)
    assert [("town", "text", TEXT)] == heard(sandbox)


@pytest.mark.parametrize("sandbox", ["wecom"], indirect=True)
def test_wecom_takes_its_text(sandbox: Server) -> None:
    """By the key alone; a robot that was removed says nothing more."""
    robot = NotifyWeComBot(key="sandbox-town")  # type: ignore[no-untyped-call]
    robot.api_url, robot.request_rate_per_sec = at(sandbox, robot.api_url), 0
    assert robot.send(TEXT)  # type: ignore[no-untyped-call]
    sandbox.knob("revoke", account="town")
    robot.send(TEXT)  # type: ignore[no-untyped-call]
    assert [("town", "text", TEXT)] == heard(sandbox)
    assert 93_000 == sandbox.record()[-1]["detail"]["refused"]
