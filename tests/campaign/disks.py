"""T-18 and T-20: a disk that is full, has no room for another file, or may only be read; and an older backup.

Disks: one installation without a broker, its home on a small disk in memory, its outlets elsewhere. At random moments
of a publication the disk gives out for a while. Restores: outlets that outlive their installation; a backup of some
moment of its history is restored, and whatever it believes, nothing goes out that was out already.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.acceptance import test_restore as past
from tests.acceptance.installation import Installation, assert_done, eventually, now, write_item
from tests.acceptance.mode import EMBEDDED
from tests.campaign import kills
from tests.campaign.checker import Promise
from tests.campaign.kills import Rig, rig
from tests.campaign.trial import Counts, Run, Trial
from tests.contract.bench import server

TWO = {"site": "website", "mastodon-1": "mastodon"}
SIZE = 32 * 1024 * 1024
FILES = 2_000
REFUSED = 2  # the exit code of a command that says what is wrong
PATIENCE = 60.0


# T-18


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """`folder` on a disk of its own. Needs the right to mount."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={SIZE},nr_inodes={FILES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def disk_and_rig(folder: Path) -> Iterator[Rig]:
    """The home is on the small disk; what the sandboxes keep is not."""
    home, beside = folder / "home", folder / "sandbox"
    beside.mkdir()
    with small_disk(home):
        (home / "sandbox").mkdir()
        subprocess.run(["mount", "--bind", beside, home / "sandbox"], check=True)
        try:
            with rig(folder, "sqlite", TWO, prepare=1, release=1) as made:
                yield made
        finally:
            subprocess.run(["umount", "--lazy", home / "sandbox"], check=True)


def _home(made: Rig) -> Path:
    return made.installed.home


@contextmanager
def _full(made: Rig, chance: random.Random) -> Iterator[None]:
    """Not a byte to spare, or a few."""
    path = _home(made) / "fill"
    with path.open("wb", buffering=0) as file:
        _fill(file.write, bytes(65_536))
        _fill(file.write, bytes(512))
        if spare := chance.choice((0, 0, 4_096, 16_384)):
            os.ftruncate(file.fileno(), max(0, file.tell() - spare))
    try:
        yield
    finally:
        path.unlink()


@contextmanager
def _no_files(made: Rig, chance: random.Random) -> Iterator[None]:
    """Room, but not for another file."""
    folder = _home(made) / "files"
    folder.mkdir()
    with suppress(OSError):
        for number in range(2 * FILES):
            (folder / str(number)).touch()
    try:
        yield
    finally:
        shutil.rmtree(folder)


@contextmanager
def _share_used_up(made: Rig, chance: random.Random) -> Iterator[None]:
    """No file of the workers may grow."""
    pids = [*made.living().values()]
    for pid in pids:
        _limit(pid, 0)
    try:
        yield
    finally:
        for pid in pids:
            _limit(pid, resource.RLIM_INFINITY)


def _limit(pid: int, most: int) -> None:
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@contextmanager
def _read_only(made: Rig, chance: random.Random) -> Iterator[None]:
    """After an error of the disk the system lets nobody write. Who had files open is gone; who starts meets it."""
    made.keep(prepare=0, release=0)
    for pid in made.living().values():
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
    try:
        made.store.close()  # it is opened anew when it is asked again
        eventually(lambda: _remounted(made, "ro"), PATIENCE)
        made.keep(**made.wanted)
        yield
    finally:
        eventually(lambda: _remounted(made, "rw"), PATIENCE)
        made.keep(**made.wanted)


def _remounted(made: Rig, how: str) -> bool:
    asked = ["mount", "-o", f"remount,{how}", str(_home(made))]
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0


def _fill(write: Callable[[bytes], int], what: bytes) -> None:
    with suppress(OSError):
        while write(what) == len(what):
            pass


HOWS = (_full, _full, _no_files, _share_used_up, _full, _read_only)


def disk(made: Rig, case: int) -> Counts:
    """The disk gives out around a publication; a command asks meanwhile. Raises AssertionError."""
    chance = random.Random(f"T-18 {case}")
    how = HOWS[case % len(HOWS)]
    named = f"case {case} ({how.__name__.strip('_')})"
    made.up()
    began = len(made.promises)
    made.publish(chance.choice((None, chance.uniform(1.0, 4.0))))
    time.sleep(chance.uniform(0.0, 4.0))
    with how(made, chance):
        time.sleep(chance.uniform(0.0, 2.0))
        refused = _asked(made, named)
        time.sleep(chance.uniform(0.0, 2.0))
    made.up()
    made.publish(None)
    counts = kills._judged(made, made.promises[began:], named)
    for title in refused:
        assert not made.installed.copies(title), f"{named}: it was refused, and went out all the same"
    kills._sound(made, case)
    left = [one.name for one in _home(made).rglob("*.tmp") if one.stat().st_mtime < time.time() - 60]
    assert not left, f"{named}: left {left}"
    return {"points": 1, "refused": len(refused), **counts}


def _asked(made: Rig, named: str) -> list[str]:
    """Somebody publishes while the disk is so: it is kept, or refused and nothing of it remains."""
    number = next(made._numbers)
    title = f"第 {number} 号通告"
    path = _home(made).parent / f"{number}.md"
    path.write_text(f"---\ntitle: {title}\nkind: notice\n---\n\n自 12 月 {number} 日起试运行，票价 1 元。\n")
    asked = now()
    told = made.installed.run("publish", path, "--outlets", ",".join(made.outlets), "--at", "now", "--json")
    if told.code == 0:
        made.told[told.json["release"]] = told.json
        made.items[told.json["item"]] = title
        made.promises.append(Promise(told.json["release"], (title,), tuple(made.outlets), None, asked))
        return []
    assert told.code == REFUSED, f"{named}: a command ended with {told.code}: {told.out}{told.err}"
    assert "Traceback" not in told.err, f"{named}: {told.err}"
    assert told.json["error"]["mend"], f"{named}: {told.out}"
    return [title]


# T-20


@contextmanager
def living(folder: Path) -> Iterator[Installation]:
    """An installation on live outlets, which are servers apart and outlive it."""
    installed = Installation(folder / "home", past.LIVE, outlets=folder / "outlets", mode=EMBEDDED)
    with ExitStack() as stack:
        for name in ("pages", *past.ACCOUNTS):
            stack.enter_context(server(f"channels.sandbox.{name}", folder / "outlets" / name))
        for outlet, kind in past.KINDS.items():
            options = [part for setting in past._settings(installed, outlet) for part in ("--set", setting)]
            name, token = past.SECRETS.get(outlet, ("", ""))
            options += ["--secret", f"{name}=env:TOKEN"] if name else []
            named = ("outlet", "add", outlet, "--kind", kind, "--live", "--private-network")
            assert_done(installed.run(*named, *options, TOKEN=token))
        installed.up()
        stack.callback(installed.down)
        yield installed


class _History:
    """What happens to an installation: publications, a correction, a withdrawal, one after the other."""

    def __init__(self, live: Installation, folder: Path) -> None:
        self._live, self._folder = live, folder
        self.items: list[str] = []
        self.releases: list[str] = []

    def publish(self, title: str, *, at: str) -> None:
        item = write_item(self._folder / title, title)
        named = ("publish", item, "--outlets", past.EVERYWHERE, "--at", at, "--json")
        told = assert_done(self._live.run(*named)).json
        self.items.append(str(told["item"]))
        self.releases.append(str(told["release"]))

    def correct(self) -> None:
        path = write_item(self._folder / "corrected", past.FIRST, summary="更正：首班 06:45，票价 1 元。")
        self._settled()
        told = assert_done(self._live.run("correct", self.items[0], path, "--at", "now", "--json")).json
        self.releases.append(str(told["release"]))

    def withdraw(self) -> None:
        self._settled()
        told = self._live.run("withdraw", self.items[1], "--reason", "发布有误", "--json")
        self.releases.append(str(assert_done(told).json["release"]))

    def end(self) -> None:
        self._settled()

    def _settled(self) -> None:
        done = {"verified", "withdrawn", "closed"}
        for one in self.releases:
            self._live.until(one, lambda told: {each["state"] for each in told["deliveries"]} <= done, PATIENCE)


def restores(folder: Path, case: int, *, points: int = 5, steps: int = 5) -> Counts:
    """A history of so many steps; backups of random moments of it are restored afterwards. Raises AssertionError."""
    chance = random.Random(f"T-20 {case}")
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as made, ExitStack() as stack:
        here = Path(made)
        live = stack.enter_context(living(here))
        history = _History(live, here)
        every: list[Callable[[], None]] = [
            lambda: history.publish(past.FIRST, at="now"),
            lambda: history.publish(past.SECOND, at=live.soon(2)),
            history.correct,
            history.withdraw,
            lambda: history.publish(past.THIRD, at="now"),
        ]
        moments = sorted(chance.randrange(steps) for _ in range(points))
        backups: list[tuple[Path, int]] = []
        for number, step in enumerate(every[:steps]):
            step()
            for _ in range(moments.count(number)):
                time.sleep(chance.uniform(0.0, 2.5))
                path = here / f"{len(backups)}.tar"
                assert_done(live.run("backup", "--out", path, "--with-key", "--json"))
                backups.append((path, number))
        history.end()
        live.down()
        before = past.public(live)
        for path, number in backups:
            named = f"case {case}, restored at {path.stem} (after step {number})"
            _restored(live, path, named)
            assert before == past.public(live), f"{named}: it published"
    return {"restores": points, "republished": 0}


def _restored(live: Installation, path: Path, named: str) -> None:
    """It lives until everything was looked up, and a little longer."""
    again = past._restored(live, path.with_suffix(""), path)
    try:
        past._wait_until_looked_up(again)
        told = assert_done(again.run("restore", "--status", "--json")).json
        assert told["recovery"] is None and not told["left"], f"{named}: {told}"
        time.sleep(1.0)
    finally:
        again.down()


@contextmanager
def _disks() -> Iterator[Run]:
    with (
        tempfile.TemporaryDirectory(prefix="disks-", ignore_cleanup_errors=True) as folder,
        disk_and_rig(Path(folder)) as made,
    ):
        yield partial(disk, made)


@contextmanager
def _restores() -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="restores-", ignore_cleanup_errors=True) as folder:
        yield partial(restores, Path(folder))


TRIALS = (
    Trial(
        "disks",
        "T-18 a small disk that is full, has no room for a file, or may only be read, at random moments",
        "points",
        100,
        _disks,
        ("lost", "duplicate", "early", "unexplained", "stuck"),
    ),
    Trial(
        "restores",
        "T-20 backups of random moments restored while the outlets live on",
        "restores",
        50,
        _restores,
        ("republished",),
    ),
)
