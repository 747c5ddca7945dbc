"""An outlet that tells by itself is looked at then, not at the next poll; whoever else calls is refused alike."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sync.clock import SECOND
from tests.acceptance.installation import Installation, eventually, micros, running, write_item
from tests.acceptance.mode import TONGFA, Mode

SLOW = 14_000  # milliseconds of a job: polls come after 0.3, 1, 3, 6, 12 and 24 seconds


@pytest.fixture
def installed(tmp_path: Path, mode: Mode) -> Iterator[Installation]:
    with running(tmp_path, mode=mode, outlets={"wechat": "wechat"}) as started:
        yield started


@contextmanager
def web(installed: Installation) -> Iterator[str]:
    """`tongfa web` on a free port; its address."""
    process = subprocess.Popen(
        [TONGFA, "web", "--port", "0", "--json"],
        env=installed.environment(),
        cwd=installed.home.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
        eventually(lambda: status(f"{told['web']}/health") == 200 or None)
        yield told["web"]
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def status(url: str, body: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        return 0


def test_a_push_is_heard(installed: Installation, tmp_path: Path) -> None:
    """The article is read back as soon as WeChat says that its job ended, ten seconds before the next poll."""
    with web(installed) as address:
        sandbox = installed.server("wechat")
        sandbox.knob("latency", ms=SLOW, account="wechat")
        sandbox.knob("push", url=f"{address}/callback/wechat", copies=2, account="wechat")
        item = write_item(tmp_path / "item", "关于召开村民会议的通知")
        told = installed.run("publish", item, "--outlets", "wechat", "--at", "now", "--wait", "60", "--json")
        assert 0 == told.code, told.err
        (delivery,) = told.json["deliveries"]
        record = [one for one in sandbox.record() if one["account"] == "wechat"]
        (ended,) = [one["at"] for one in record if one["effect"] == "published"]
        assert [200, 200] == [one["detail"]["status"] for one in record if one["effect"] == "pushed"]
        assert micros(delivery["visible_at"]) - ended < 6 * SECOND


def test_whoever_else_calls_is_refused_alike(installed: Installation) -> None:
    """Unknown outlets, outlets that do not listen, unsigned and forged calls: 403; too large: 413."""
    with web(installed) as address:
        assert 403 == status(f"{address}/callback/nobody", b"<xml/>")
        assert 403 == status(f"{address}/callback/wechat", b"<xml/>")
        assert 403 == status(f"{address}/callback/wechat?signature=0&timestamp=0&nonce=0&echostr=1")
        assert 403 == status(f"{address}/callback/wechat?signature=&timestamp=0&nonce=0&encrypt_type=aes", b"no xml")
        assert 413 == status(f"{address}/callback/wechat", b"x" * 100_000)
        assert 404 == status(f"{address}/")
