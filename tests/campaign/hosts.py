"""Hosts, not only processes: workers in networks of their own, that are cut off, and whose clocks are wrong.

hosts    two hosts with workers of both lanes; one loses its cable for a while, in the middle of it
clocks   the only release process has a clock that is off: it must not commit; nothing is early
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from sync.clock import MILLISECOND, SECOND
from sync.engine.report import finished
from sync.session_lock import SessionLock
from tests.acceptance.installation import (
    LAG,
    ROOT,
    Installation,
    assert_done,
    eventually,
    micros,
    soon,
    write_item,
)
from tests.acceptance.mode import TONGFA, Production, migrated
from tests.campaign.networks import ZERO, judged
from tests.campaign.trial import Counts, Run, Trial
from tests.services.network import Elsewhere, elsewhere
from tests.services.postgres import Postgres
from tests.services.proxy import Proxy
from tests.services.redis import running as running_redis

OUTLETS = {"wechat": "wechat", "mastodon": "mastodon", "hook": "webhook"}
HOOK = ("--set", "url=https://app.example/hook", "--set", "public_url_template=https://app.example/{item}")
HOSTS = 2
LANES = ("prepare", "release")
RELEASES = 3
HANG = 60.0
# Longer than a cable is out: what it held back arrives when it is in again.
LANDS = {"TONGFA_LANDS_WITHIN_S": "25", "TONGFA_BUDGETS": "live"}
ALLOWED = 50 * MILLISECOND  # µs by which host and database may differ: the setting's default
WRONG = Path(__file__).with_name("wrong_clock")
OFFSETS = (0.2, 1.0, 2.0, 60.0, 3_600.0, 86_400.0)  # seconds, either way


@dataclass(frozen=True)
class Hosts:
    installed: Installation
    there: tuple[Elsewhere, ...]


def run_partition(hosts: Hosts, case: int) -> Counts:
    """One host loses its cable, and gets it back. Raises AssertionError, naming the case."""
    random = Random(f"hosts {case}")
    installed = hosts.installed
    at = [soon(5.0 + RELEASES * installed.pace / 2 + random.uniform(0, 2.5)) for _ in range(RELEASES)]
    titles = [f"主机断网时的通告（{case}-{number}）" for number in range(RELEASES)]
    releases = [_publish(installed, title, one) for title, one in zip(titles, at, strict=True)]
    nap, cut_off = threading.Event(), random.choice(hosts.there)
    nap.wait(max(0.0, min(micros(one) for one in at) / SECOND + random.uniform(-4.0, 1.5) - time.time()))
    cut_off.unplug()
    nap.wait(random.choice((0.5, 2.0, 6.0, 20.0)))
    cut_off.plug()
    began = time.monotonic()
    patience = max(0.0, max(micros(one) for one in at) / SECOND - time.time()) + HANG
    counts: Counter[str] = Counter(partitions=1)
    for title, release in zip(titles, releases, strict=True):
        try:
            told = installed.until(release, finished, max(1.0, patience - (time.monotonic() - began)))
        except AssertionError:
            told = installed.report(release)
            counts["hang"] += 1
        counts.update(judged(installed, title, told))
    counts["mended_ms"] = round((time.monotonic() - began) * 1_000)
    wrong = [name for name in ZERO if counts[name]]
    told_all = [installed.report(release) for release in releases] if wrong else []
    assert not wrong, f"case {case}: {', '.join(wrong)}: {told_all}"
    return counts


def run_clock(hosts: Hosts, case: int) -> Counts:
    """The only release process there is has a wrong clock. Raises AssertionError, naming the case."""
    random = Random(f"clocks {case}")
    installed = hosts.installed
    offset = OFFSETS[case % len(OFFSETS)] * random.choice((-1, 1)) * random.uniform(0.6, 1.4)
    assert abs(offset) * SECOND > ALLOWED
    title = f"时钟不准时的通告（{case}）"
    environment = {**installed.environment(), "CAMPAIGN_CLOCK_OFFSET_US": str(round(offset * SECOND))}
    environment["PYTHONPATH"] = f"{WRONG}:{ROOT}"
    with ExitStack() as stack:
        stack.enter_context(worker("release", environment, installed.home.parent / "wrong.log"))
        locks = SessionLock(installed.database, "test")
        stack.callback(locks.release)
        eventually(lambda: locks.living("release"), HANG)
        at = soon(2.5 + installed.pace / 2)
        release = _publish(installed, title, at)
        threading.Event().wait(max(0.0, micros(at) / SECOND - time.time()) + 3.0)
    told = installed.report(release)
    appeared = [one for copies in installed.copies(title).values() for one in copies]
    counts = Counter(clocks=1, refused=not appeared, committed=told["state"] in ("committed", "released"))
    counts["early"] = sum(one < micros(told["release_at"]) - LAG for one in appeared)
    installed.run("release", "cancel", release)
    wrong = [name for name in ("early", "committed") if counts[name]]
    assert not wrong, f"case {case}: {', '.join(wrong)} with a clock that is {offset:+.3f} s off: {told}"
    return counts


def _publish(installed: Installation, title: str, at: str) -> str:
    item = write_item(installed.home.parent / "items" / title, title)
    named = ",".join({"site": "website"} | OUTLETS)
    return str(assert_done(installed.run("publish", item, "--outlets", named, "--at", at, "--json")).json["release"])


@contextmanager
def worker(lane: str, env: Mapping[str, str], log: Path, enter: tuple[str, ...] = ()) -> Iterator[None]:
    """One `tongfa worker`, kept running until the end of the block."""
    dies_with_us = [sys.executable, "-I", "-S", str(ROOT / "sync" / "child.py"), str(os.getpid())]
    over = threading.Event()
    with log.open("ab") as output:
        argv = [*dies_with_us, *enter, str(TONGFA), "worker", "--lane", lane]
        running = [subprocess.Popen(argv, cwd=log.parent, env=dict(env), stdout=output, stderr=output)]

        def keep() -> None:
            while not over.wait(0.5):
                if running[0].poll() is not None:
                    running[0] = subprocess.Popen(argv, cwd=log.parent, env=dict(env), stdout=output, stderr=output)

        keeping = threading.Thread(target=keep)
        keeping.start()
        try:
            yield
        finally:
            over.set()
            keeping.join()
            running[0].terminate()
            try:
                running[0].wait(30)
            except subprocess.TimeoutExpired:
                running[0].kill()
                running[0].wait()


@contextmanager
def _installed(folder: Path, stack: ExitStack, host: str = "127.0.0.1") -> Iterator[tuple[Installation, Postgres]]:
    """Database, broker and sandboxes here, the latter at this address; no workers yet."""
    postgres = migrated(stack.enter_context(Postgres()))
    redis = stack.enter_context(running_redis(folder / "redis"))
    made = Installation(folder / "home", LANDS, mode=Production(postgres, redis.fresh))
    for outlet, kind in ({"site": "website"} | OUTLETS).items():
        made.add({outlet: kind}, *(HOOK if kind == "webhook" else ()))
    for server in ("pages", *OUTLETS.values()):
        stack.enter_context(_sandbox(server, made.home / "sandbox", host))
    made.knob("mastodon", "unlimited")
    yield made, postgres


@contextmanager
def _sandbox(name: str, outlets: Path, host: str) -> Iterator[None]:
    home = outlets / name
    argv = [sys.executable, "-m", f"channels.sandbox.{name}", "--host", host, "--home", str(home)]
    process = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        eventually((home / "address").exists)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def two_hosts(folder: Path) -> Iterator[Hosts]:
    """Two hosts with workers of both lanes each; database, broker and outlets are here."""
    with ExitStack() as stack:
        there = [stack.enter_context(elsewhere()) for _ in range(HOSTS)]
        for one in there[1:]:
            one.reaches(there[0].here)
        installed, postgres = stack.enter_context(_installed(folder, stack, there[0].here))
        for number, host in enumerate(there):
            environment = _moved(installed, host, postgres, stack)
            for lane in LANES:
                log = folder / f"{lane}-{number}.log"
                stack.enter_context(worker(lane, environment, log, host.enter))
        locks = SessionLock(installed.database, "test")
        for lane in LANES:
            eventually(lambda lane=lane: len(locks.living(lane)) >= HOSTS, 120)  # type: ignore[misc]
        locks.release()
        yield Hosts(installed, tuple(there))


def _moved(installed: Installation, host: Elsewhere, postgres: Postgres, stack: ExitStack) -> dict[str, str]:
    """The settings of workers over there: all by the address of this end of their cable."""

    def reached(port: int) -> str:
        return f"{host.here}:{stack.enter_context(Proxy(lambda: port, host.here)).port}"

    name = installed.database.split("?")[0].rpartition("/")[2]
    broker = installed.env["TONGFA_BROKER_URL"]
    at = broker.split("//")[1].split("/")[0]
    sandboxes = [f"{kind}={installed.sandbox(kind)}" for kind in ("pages", *OUTLETS.values())]
    return {
        **installed.environment(),
        "TONGFA_DATABASE_URL": f"postgresql://{Postgres.user}@{reached(postgres.port)}/{name}",
        "TONGFA_BROKER_URL": broker.replace(at, reached(int(at.rpartition(":")[2]))),
        "TONGFA_SANDBOX_URLS": ",".join(sandboxes),
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def one_host(folder: Path) -> Iterator[Hosts]:
    """A host with a prepare worker; whoever tries brings the release worker."""
    with ExitStack() as stack:
        installed, _ = stack.enter_context(_installed(folder, stack))
        environment = {**installed.environment(), "PYTHONPATH": str(ROOT)}
        stack.enter_context(worker("prepare", environment, folder / "prepare.log"))
        locks = SessionLock(installed.database, "test")
        eventually(lambda: locks.living("prepare"), 120)
        locks.release()
        yield Hosts(installed, ())


@contextmanager
def opened(what: str) -> Iterator[Run]:
    """What runs one case of the trial of that name."""
    folder = Path(tempfile.mkdtemp(prefix="hosts-"))
    try:
        if what == "hosts":
            with two_hosts(folder) as made:
                yield partial(run_partition, made)
        else:
            with one_host(folder) as made:
                yield partial(run_clock, made)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


TRIALS = (
    Trial(
        name="hosts",
        what="T-10 a host with its workers loses its cable for up to 20 s in the middle of releases, another goes on",
        counted="partitions",
        target=100,
        open=partial(opened, "hosts"),
        zero=ZERO,
        worst=("mended_ms",),
    ),
    Trial(
        name="clocks",
        what="T-11 a release process whose host's clock is 0.1 s to 1.4 days off, either way: commits nothing",
        counted="clocks",
        target=100,
        open=partial(opened, "clocks"),
        zero=("early", "committed"),
    ),
)
