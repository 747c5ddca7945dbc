"""A whole installation in a temporary home, used as a user uses it: commands, workers, sandbox outlets.

    with running(folder, mode=mode) as installed:                   # four outlets, workers of both lanes live
        item = write_item(folder / "item", "关于……的通告")
        told = installed.run("publish", item, "--outlets", "site,wechat", "--at", installed.soon(), "--wait", "--json")
        assert told.code == 0 and told.json["state"] == "released"
        assert installed.copies("关于……的通告").keys() == {"site", "wechat"}    # by the outlets' own records

What is asserted about outlets comes from the sandboxes' records and from files, never from our tables.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, ImageDraw

from sync.bootstrap import kind
from sync.clock import SECOND, SystemClock, instant, iso
from sync.engine.report import release_report
from sync.ownership import ProcessLock
from sync.session_lock import SessionLock
from sync.store.session import Store
from tests.acceptance.forks import Result, forks
from tests.acceptance.mode import EMBEDDED, TONGFA, Mode
from tests.contract.bench import Server

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
FOUR = {"site": "website", "wechat": "wechat", "mastodon": "mastodon", "gazette": "gazette"}
# So that what is in doubt is decided in seconds: the sandboxes do what they were asked at once, or in a second.
QUICK = {"TONGFA_LANDS_WITHIN_S": "4"}
PATIENCE = 180.0  # seconds; whatever is waited for and takes longer is broken
# File times are those of the kernel's coarse clock, which goes forward at a tick. The processor that has this
# duty may itself be held up; Linux lets another take over when five ticks in a row did not come.
LAG = round(6 * time.clock_getres(5) * SECOND)  # µs; 5: CLOCK_REALTIME_COARSE

BODY = """
各村（社区），广大居民：

自 **2026 年 12 月 1 日**起试运行，首班 06:30，票价 1 元。

![12 路示意图](route.png)

| 站点 | 第 1 班 | 第 2 班 |
|---|---|---|
| 镇政府 | 06:30 | 08:50 |
| 茶场 | 07:01 | 09:21 |

## 咨询

1. 电话 0571-5550 0123。
2. 特此通告。
"""


@dataclass
class Installation:
    """One home, its environment, and the process that runs it, if it was started: `tongfa up`, or `host.py`.

    `outlets`: where the sandbox servers keep their folders, when it is not that process that runs them.
    """

    home: Path
    env: Mapping[str, str] = field(default_factory=dict)
    outlets: Path | None = None
    mode: Mode = EMBEDDED
    pace: float = 1.0  # seconds that a command of its own takes of late: other work on this machine makes it slower
    _up: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.env = {**self.mode.environment(self.home), **self.env}

    @property
    def database(self) -> str:
        """The address of its database."""
        return self.env.get("TONGFA_DATABASE_URL", f"sqlite:///{self.home / 'tongfa.sqlite3'}")

    # commands

    def run(self, *arguments: str | Path, timeout: float = 120, **env: str) -> Result:
        """`tongfa ARGUMENTS…` as a process of its own, in the folder above the home."""
        began = time.monotonic()
        asked = [str(one) for one in arguments]
        told = forks().run(asked, self.environment(**env), self.home.parent, timeout=timeout)
        if "--wait" not in arguments:
            self.pace = max(1.0, 4 * (time.monotonic() - began))
        return told

    def run_anew(self, *arguments: str | Path) -> Result:
        """As `run`, by a program that is started for it and imports everything itself."""
        process = self._spawn(*arguments)
        out, err = process.communicate(timeout=120)
        return Result(process.returncode, out, err, process.pid)

    def run_all(self, *commands: Sequence[str | Path]) -> list[Result]:
        """Several commands side by side, as several people would; all of them end with 0."""
        processes = [self._spawn(*command) for command in commands]
        told = [(process, *process.communicate(timeout=120)) for process in processes]
        return [assert_done(Result(process.returncode, out, err, process.pid)) for process, out, err in told]

    def add(self, outlets: Mapping[str, str], *options: str) -> None:
        """Sandbox outlets: name → kind, with the same options for all. Makes the home."""
        for name, kind_of_it in outlets.items():
            assert_done(self.run("outlet", "add", name, "--kind", kind_of_it, *options))

    def soon(self, commands: int = 1) -> str:
        """An instant that leaves time to plan so many releases and to prepare them, as fast as this machine is now."""
        return soon(4 + (2 + commands) * self.pace)

    def report(self, release: str) -> dict[str, Any]:
        """What `release show` prints, without the second that a new process takes."""
        store = Store(self.database)
        try:
            with store.read() as connection:
                return release_report(connection, kind, release)
        finally:
            store.close()

    def until(self, release: str, true: Callable[[dict[str, Any]], bool], seconds: float = PATIENCE) -> dict[str, Any]:
        """The report as soon as `true` of it."""
        return eventually(lambda: report if true(report := self.report(release)) else None, seconds)

    def _spawn(self, *arguments: str | Path, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [TONGFA, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home.parent,
            env=self.environment(**env),
        )

    def environment(self, **more: str) -> dict[str, str]:
        """What a command of this installation is started with."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TONGFA_")}
        return {**inherited, "TONGFA_LANG": "en", "TONGFA_HOME": str(self.home), **self.env, **more}

    # processes

    def up(self) -> None:
        """Start it in the background; returns when workers of both lanes live. It dies with this process."""
        assert self._up is None, "it is up already"
        argv = [sys.executable, "-I", "-S", str(ROOT / "sync" / "child.py"), str(os.getpid())]
        log = self.home / "up.log"
        before = log.read_bytes().count(b"is up") if log.exists() else 0
        with log.open("ab") as output:
            self._up = subprocess.Popen(
                [*argv, *self.mode.runs],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home.parent,
                env=self.environment(PYTHONPATH=str(ROOT)),
            )
        try:
            self._wait_until_up(log, before)
        except AssertionError:
            self.kill()
            raise

    def _wait_until_up(self, log: Path, before: int) -> None:
        def is_up() -> bool:
            assert self._up is not None
            assert self._up.poll() is None, f"it ended: {log.read_text()}"
            return log.read_bytes().count(b"is up") > before

        eventually(is_up)
        eventually(lambda: self.workers("prepare") and self.workers("release"))

    def down(self) -> int | None:
        """Stop it as Ctrl-C does, and return its exit code; None when it did not run."""
        if self._up is None:
            return None
        self._up.send_signal(signal.SIGTERM)
        try:
            return self._up.wait(30)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()
            raise AssertionError(f"{self.mode.runs} does not stop") from None
        finally:
            self._up = None

    def kill(self) -> None:
        """`kill -9` of what runs it; the kernel kills its workers and sandbox servers with it."""
        assert self._up is not None
        workers = [*self.workers("prepare"), *self.workers("release")]
        self._up.kill()
        self._up.wait()
        self._up = None
        eventually(lambda: not any(alive(pid) for pid in workers))

    def workers(self, lane: str) -> list[int]:
        """The living worker processes of a lane, by the locks they hold."""
        if "TONGFA_DATABASE_URL" not in self.env:
            return [holder.pid for holder in ProcessLock(self.home / "workers", "test").living(lane)]
        looking = SessionLock(self.database, "test")
        try:
            return [holder.pid for holder in looking.living(lane)]
        finally:
            looking.release()

    def kill_workers(self, lane: str) -> list[int]:
        """`kill -9` of every worker of a lane, once there is one; returns the processes that then no longer are."""
        pids = eventually(lambda: self.workers(lane))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in pids))
        return pids

    # outlets

    def server(self, name: str) -> Server:
        """A sandbox server: mastodon, wechat, or pages (website and gazette)."""
        home = self._outlets / name
        return Server(home, (home / "address").read_text().strip())

    def servers(self) -> list[str]:
        """The sandbox servers there are."""
        return sorted(path.parent.name for path in self._outlets.glob("*/address"))

    @property
    def _outlets(self) -> Path:
        return self.outlets or self.home / "sandbox"

    def sandbox(self, server: str) -> str:
        """The address of a sandbox server."""
        return self.server(server).address

    def record(self, server: str) -> list[dict[str, Any]]:
        """All that this sandbox server received and did, from its file."""
        return self.server(server).record()

    def knob(self, server: str, fault: str, **parameters: object) -> None:
        """Let a sandbox misbehave from now on: see `channels/sandbox/knobs.py` and each sandbox."""
        self.server(server).knob(fault, **parameters)

    def clear(self, *servers: str) -> None:
        """Every knob of these sandbox servers is taken back; without a name, of all."""
        for name in servers or self.servers():
            self.server(name).clear()

    def served(self, outlet: str) -> Path:
        """The folder that the web server shows of a website or gazette."""
        return self._outlets / "pages" / outlet / "www"

    def copies(self, title: str) -> dict[str, list[int]]:
        """Outlet → when each public copy of the item of this title appeared (µs UTC), by the outlets themselves.

        Records of the sandboxes for accounts, change times of the files for static sites.
        """
        found: dict[str, list[int]] = {}
        for server in self.servers():
            for line in self.record(server):
                shown = {"post_created": "text", "published": "title"}.get(line["effect"])
                if line["applied"] and shown and str(line["detail"].get(shown, "")).split("\n")[0] == title:
                    found.setdefault(line["account"], []).append(line["at"])
        for page in self._outlets.glob("pages/*/www/*/*.html"):
            if f'<meta name="ArticleTitle" content="{title}">' in page.read_text():
                found.setdefault(page.parts[-4], []).append(page.stat().st_ctime_ns // 1000)
        return found


@contextmanager
def running(
    folder: Path,
    *,
    mode: Mode,
    outlets: Mapping[str, str] = FOUR,
    env: Mapping[str, str] = QUICK,
    add: Callable[[Installation], None] | None = None,
) -> Iterator[Installation]:
    """An installation in `folder` with these outlets, or those that `add` adds; up for the time of the block."""
    installed = Installation(folder / "home", env, mode=mode)
    if add is None:
        installed.add(outlets)
    else:
        add(installed)
    installed.up()
    try:
        yield installed
    finally:
        code = installed.down()
    assert code in (0, None), f"it ended with {code}: {(installed.home / 'up.log').read_text()}"


def eventually(true: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """What `true` returns, as soon as it is something. Fails when that takes longer."""
    ends = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < ends, f"not within {seconds:g} s"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    """A zombie counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def now() -> int:
    """µs UTC."""
    return SystemClock().now()


def passed(instant: int) -> None:
    """Returns once it has (µs UTC), however far ahead it was."""
    while (ahead := instant - now()) >= 0:
        time.sleep(min(ahead / SECOND + 0.001, 1.0))


def soon(seconds: float) -> str:
    """The instant so many seconds ahead, as `--at` takes it."""
    return iso(now() + round(seconds * SECOND))


def micros(moment: str) -> int:
    """µs UTC of an instant as reports print it, cut to the millisecond."""
    return instant(datetime.fromisoformat(moment))


def armed(report: Mapping[str, Any]) -> bool:
    """Whether the release worker has everything of this release in hand, by its report."""
    return all((one["worker"] or "").startswith("release-") for one in report["deliveries"])


def assert_done(result: Result) -> Result:
    """The result of a command that ended with 0; fails with all it said otherwise."""
    assert result.code == 0, f"exit {result.code}\n{result.out}\n{result.err}"
    return result


def picture(text: str = "12", colour: str = "white") -> bytes:
    """A PNG with a text in it."""
    image = Image.new("RGB", (320, 160), colour)
    ImageDraw.Draw(image).text((20, 60), text, fill="black", font_size=40)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write_item(folder: Path, title: str, *, body: str = BODY, **front: str) -> Path:
    """A Markdown item with front matter, a picture, a table and an attachment. The title tells it from others."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "route.png").write_bytes(picture())
    (folder / "times.csv").write_bytes("站点,第 1 班\r\n镇政府,06:30\r\n".encode("utf-8-sig"))
    head = {
        "title": title,
        "summary": "环线试运行，首班 06:30，票价 1 元。",
        "kind": "notice",
        "column": "通知公告",
        "source": "清溪镇人民政府",
        "document_no": "清政通〔2026〕18号",
        **front,
    }
    lines = [f"{key}: {value}" for key, value in head.items()]
    path = folder / f"{re.sub(r'[^0-9a-z]+', '-', title.lower()).strip('-') or 'item'}.md"
    path.write_text("\n".join(["---", *lines, "attachments:", "  - times.csv", "---", body]))
    return path
