"""What is peculiar to apprise: a stranger's library goes out by itself, so it is walled in and told little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from channels import apprise
from channels.apprise import CHILD, ENVIRONMENT, ROOT, AppriseChannel
from sync.contract import Ambiguous, Misbehaved, Place, Receipt, TryLater, Unauthorised, Unsupported
from sync.model import Key, Outlet
from tests.contract.bench import CLOCK, window
from tests.contract.bench_apprise import AppriseBench, bench
from tests.contract.bench_webhook import EDITION

KEY = Key("installation", "delivery-7")
ORIGINAL = "https://county.example/7.html"


@pytest.fixture
def push(tmp_path: Path) -> Iterator[AppriseBench]:
    with bench(tmp_path) as made:
        yield made


def said(channel: AppriseChannel, replaces: Receipt | None = None) -> Receipt:
    """The whole way of one message."""
    rendition = channel.render(EDITION, Place(KEY, ORIGINAL, replaces))
    shot = channel.arm(channel.prepare(rendition, KEY, replaces), rendition, KEY)
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    return receipt


def to(push: AppriseBench, url: str, *, private: bool = True) -> AppriseChannel:
    return AppriseChannel(replace(push.outlet, secrets={"url": url}, private_network=private), push.tools)


def address(push: AppriseBench) -> str:
    return str(push.outlet.secrets["url"])


def test_readers_get_title_summary_and_address(push: AppriseBench) -> None:
    """Once; and that is all that is ever known of it."""
    receipt = said(push.channel())
    (line,) = [line for line in push.sandbox.record() if line["applied"]]
    assert EDITION.title == line["detail"]["title"]
    assert f"{EDITION.title}\n\n12路自12月1日起试运行。\n\n{ORIGINAL}" == line["detail"]["message"].strip()
    assert ("", "1") == (receipt.url, receipt.notes["revision"])
    with pytest.raises(Unsupported, match="cannot be recalled"):
        push.channel().withdraw(receipt, KEY)


def test_a_correction_says_so(push: AppriseBench) -> None:
    said(push.channel(), Receipt("", "", 0, {"revision": "1"}))
    (line,) = [line for line in push.sandbox.record() if line["applied"]]
    assert line["detail"]["title"].startswith("更正：")
    assert line["detail"]["message"].startswith("【更正】")


def test_the_child_is_told_one_address_and_one_text(push: AppriseBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its standard input: neither its arguments nor an environment hold anything of the installation."""
    real: Any = subprocess.run
    started: list[tuple[list[str], dict[str, Any]]] = []

    def run(command: list[str], **how: Any) -> Any:
        started.append((command, how))
        return real(command, **how)

    monkeypatch.setenv("TONGFA_SECRET_KEY_FILE", "/secret")
    monkeypatch.setattr(subprocess, "run", run)
    said(push.channel())
    assert started
    for command, how in started:
        assert [sys.executable, "-I", str(CHILD), str(ROOT), str(os.getpid())] == command
        assert (ENVIRONMENT, "/") == (how["env"], how["cwd"])
        assert address(push) not in " ".join(command)
        assert {"url", "title", "body", "private"} >= set(json.loads(how["input"]))


def test_it_connects_to_no_address_that_the_egress_would_refuse(push: AppriseBench) -> None:
    """This machine is none for a public outlet: nothing is sent, by number or by name."""
    for url in (address(push), address(push).replace("127.0.0.1", "localhost")):
        with pytest.raises(TryLater, match="could not be reached"):
            said(to(push, url, private=False))
    assert [] == push.sandbox.record()


def test_a_redirect_leads_to_no_such_address_either(push: AppriseBench) -> None:
    """Not even on a private network to a metadata service: what was answered first is all that is known."""
    where = {"Location": "http://169.254.169.254/latest/meta-data/"}
    push.sandbox.knob("refuse", method="POST", status=307, headers=where)
    with pytest.raises(Ambiguous):
        said(push.channel())


@pytest.mark.parametrize("knob", [{"fault": "refuse", "status": 500}, {"fault": "refuse", "status": 403}])
def test_false_is_no_absence(push: AppriseBench, knob: dict[str, Any]) -> None:
    """Apprise says true or false; false may have been said to many already."""
    push.sandbox.knob(knob["fault"], method="POST", status=knob["status"])
    with pytest.raises(Ambiguous):
        said(push.channel())


def test_a_service_that_does_not_answer_is_given_up(push: AppriseBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is killed after its time, and nothing of it is left; what it did is not known."""
    channel = push.channel()
    rendition = channel.render(EDITION, Place(KEY, ORIGINAL))
    shot = channel.arm(channel.prepare(rendition, KEY), rendition, KEY)
    shot.send(window(), CLOCK.boottime)
    push.sandbox.knob("delay", method="POST", before_ms=20_000)
    monkeypatch.setattr(apprise, "PATIENCE", 4.0)
    began = time.monotonic()
    with pytest.raises(Ambiguous, match="in time"):
        shot.settle()
    assert time.monotonic() - began < 10
    assert [] == _children(CHILD.name)


def test_nothing_listens_and_nothing_was_sent(push: AppriseBench) -> None:
    """Certainly not: it is tried later."""
    with pytest.raises(TryLater):
        said(to(push, "json://127.0.0.1:1/town"))


@pytest.mark.parametrize("url", ["", "nonsense://x", "https", "json://"])
def test_an_address_that_apprise_does_not_know_is_told_beforehand(push: AppriseBench, url: str) -> None:
    with pytest.raises(Unauthorised) as raised:
        to(push, url).login()
    assert not url or url not in str(raised.value)


@pytest.mark.parametrize("url", ["syslog://", "dbus://", "gnome://"])
def test_what_stays_on_this_machine_is_no_outlet(push: AppriseBench, url: str) -> None:
    """Plugins that would speak to programs here are not known."""
    with pytest.raises(Unauthorised):
        said(to(push, url))


def test_a_child_that_breaks_has_perhaps_sent(
    push: AppriseBench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    channel = push.channel()
    rendition = channel.render(EDITION, Place(KEY, ORIGINAL))
    shot = channel.arm(channel.prepare(rendition, KEY), rendition, KEY)
    shot.send(window(), CLOCK.boottime)
    monkeypatch.setattr(apprise, "CHILD", broken)
    with pytest.raises(Misbehaved):
        shot.settle()


def test_the_child_reads_no_files_but_its_own(tmp_path: Path) -> None:
    """Where the kernel can, what lies in a home is not there for it; the libraries are."""
    secret = tmp_path / "secret.key"
    secret.write_text("secret")
    code = (
        f"import sys, os; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from channels import apprise_child\n"
        f"walled = apprise_child.confine(Path({str(ROOT)!r}), os.getppid())\n"
        "def reads(path):\n"
        "    try:\n"
        "        Path(path).read_bytes()\n"
        "    except PermissionError:\n"
        "        return False\n"
        "    return True\n"
        f"import apprise\n"
        f"print(walled, reads({str(secret)!r}), reads({str(ROOT / 'README.md')!r}), reads(apprise.__file__))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True, timeout=60
    )
    walled, *seen = done.stdout.split()
    assert [str(walled != "True")] * 2 + ["True"] == seen


def test_a_title_that_leaves_no_room_is_told_beforehand(push: AppriseBench) -> None:
    problems = push.channel().check(replace(EDITION, title="长" * 1_001))
    assert [("title", True)] == [(one.where, one.fatal) for one in problems]


def test_nothing_ever_waits_for_it() -> None:
    """It is never a required outlet, and its twin is the sandbox's."""
    assert AppriseChannel.can.optional
    live = Outlet("town", "unit", "apprise", {}, {"url": "ntfy://real-topic"}, live=True)
    twin = AppriseChannel.twin(live, "http://127.0.0.1:9001", "")
    assert ({"url": "json://127.0.0.1:9001/town"}, False) == (dict(twin.secrets), twin.live)


def _children(name: str) -> list[int]:
    """Processes of this one whose command line has that name."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status, line = (path / "stat").read_text().rpartition(")")[2].split(), (path / "cmdline").read_bytes()
        except OSError:
            continue
        if int(status[1]) == os.getpid() and status[0] != "Z" and name.encode() in line:
            found.append(int(path.name))
    return found
