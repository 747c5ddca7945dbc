"""Many worker processes on one database: they share the work, outlive each other, and join from anywhere."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sync.clock import MILLISECOND, SECOND, iso
from sync.flow import R
from sync.session_lock import SessionLock
from tests.acceptance.host import WORKERS
from tests.acceptance.installation import (
    LAG,
    QUICK,
    ROOT,
    Installation,
    alive,
    armed,
    assert_done,
    eventually,
    micros,
    now,
    running,
    write_item,
)
from tests.acceptance.mode import TONGFA, Production
from tests.services.network import Elsewhere, elsewhere, forwarded
from tests.services.postgres import Postgres
from tests.services.redis import Redis
from tests.services.redis import running as running_redis

OUTLETS = {"site": "website", "wechat": "wechat", "mastodon": "mastodon"}
ELSEWHERE = {"wechat": "wechat", "mastodon": "mastodon"}  # outlets that need no folder of this machine
ON_TIME = 500 * MILLISECOND  # µs


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, production: Production) -> Iterator[Installation]:
    """Two workers of each lane."""
    with running(tmp_path_factory.mktemp("many"), mode=production, outlets=OUTLETS) as installed:
        yield installed


def publish(installed: Installation, folder: Path, title: str, at: str, outlets: dict[str, str] = OUTLETS) -> str:
    """One item to all outlets; nobody waits for it. Returns the release."""
    item = write_item(folder / title, title)
    told = assert_done(installed.run("publish", item, "--outlets", ",".join(outlets), "--at", at, "--json"))
    return str(told.json["release"])


def assert_once(installed: Installation, release: str, title: str, outlets: dict[str, str] = OUTLETS) -> Any:
    """In the end all verified, one copy at each outlet, none early. Returns the report."""
    shown = installed.run("release", "show", release, "--wait", "180", "--json")
    assert (0, "released") == (shown.code, shown.json["state"]), shown.out
    assert {"verified"} == {one["state"] for one in shown.json["deliveries"]}
    copies = installed.copies(title)
    assert dict.fromkeys(outlets, 1) == {outlet: len(appeared) for outlet, appeared in copies.items()}
    assert all(appeared[0] >= micros(shown.json["release_at"]) - LAG for appeared in copies.values())
    return shown.json


def test_all_of_them_work(many: Installation, tmp_path: Path) -> None:
    """Eight releases at a time: each process of both lanes gets some in the end, and nothing is done twice."""
    worked: dict[str, set[int]] = {lane: set() for lane in WORKERS}
    everyone = {lane: set(many.workers(lane)) for lane in WORKERS}
    assert {lane: len(pids) for lane, pids in everyone.items()} == WORKERS
    for turn in range(5):
        for name, pid in _share(many, tmp_path, [f"多进程分担的通告（{turn}-{number}）" for number in range(8)]):
            worked[name.split("-")[0]].add(pid)
        if worked == everyone:
            return
    pytest.fail(f"{worked} of {everyone}")


def _share(many: Installation, folder: Path, titles: list[str]) -> Iterator[tuple[str, int]]:
    """Each was published once, by whom: lane's name and process of every attempt."""
    at = many.soon(8)
    commands = [
        ("publish", write_item(folder / title, title), "--outlets", ",".join(OUTLETS), "--at", at, "--json")
        for title in titles
    ]
    releases = [str(told.json["release"]) for told in many.run_all(*commands)]
    for title, release in zip(titles, releases, strict=True):
        for one in assert_once(many, release, title)["deliveries"]:
            assert [1] == [one["attempts"]], "tried twice"
            for attempt in one["attempt_log"]:
                name, pid = attempt["worker"].split(":")
                yield name, int(pid)


def test_one_release_process_is_enough(many: Installation, tmp_path: Path) -> None:
    """The one that has armed a release dies before its commit: the other sends it, on time."""
    eventually(lambda: all(len(many.workers(lane)) == count for lane, count in WORKERS.items()))
    title = "装填之后一个发布进程被终止的通告"
    at = micros(many.soon(1)) + 10 * SECOND
    release = publish(many, tmp_path, title, iso(at))
    told = many.until(release, armed)
    pids = {int(one["worker"].split(":")[1]) for one in told["deliveries"]}
    assert R.READY == told["state"], "committed already"
    for pid in pids & set(many.workers("release")):
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: not alive(pid))  # type: ignore[misc]
    assert now() < at - 3 * SECOND, "killed too late to prove anything"
    told = assert_once(many, release, title)
    late = [micros(one["sent_at"]) - at for one in told["deliveries"]]
    assert all(0 <= one <= ON_TIME for one in late), late
    assert not pids & {int(one["worker"].split(":")[1]) for one in told["deliveries"]}


CREW, SHARD = 4, 5
# With the site's page to lead to, an account's post is found again after doubt.
ACCOUNTS = {f"{kind}-{number}": kind for kind, many in (("mastodon", 6), ("wechat", 5)) for number in range(many)}
TWELVE = {"site": "website", **ACCOUNTS}
# Shards of five; and committed three seconds before the instant, so that somebody can be killed in between.
SHARED = {
    **QUICK,
    "RELEASE_WORKERS": str(CREW),
    "TONGFA_RELEASE_SHARD": str(SHARD),
    "TONGFA_COMMIT_BEFORE_S": "3",
}


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory, production: Production) -> Iterator[Installation]:
    """Four release processes, which share a release to twelve outlets."""
    with running(tmp_path_factory.mktemp("crew"), mode=production, outlets=TWELVE, env=SHARED) as installed:
        yield installed


@pytest.fixture
def shared_out(crew: Installation, tmp_path: Path) -> tuple[str, str, int]:
    """Title, release and instant of an item whose shards several processes have armed, and nobody has committed."""
    eventually(lambda: len(crew.workers("release")) == CREW)
    title = f"由多个进程分片同发的通告 {tmp_path.name}"
    at = micros(crew.soon(3)) + 14 * SECOND
    release = publish(crew, tmp_path, title, iso(at), TWELVE)
    told = crew.until(release, armed)
    assert R.READY == told["state"] and now() < at - 4 * SECOND, "armed too late to prove anything"
    return title, release, at


def senders(told: Any) -> dict[int, list[int]]:
    """Process → when its shots left, after the instant (µs)."""
    found: dict[int, list[int]] = {}
    for one in told["deliveries"]:
        pid = int(one["worker"].split(":")[1])
        found.setdefault(pid, []).append(micros(one["sent_at"]) - micros(told["release_at"]))
    return found


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))


def holder(installed: Installation, release: str) -> int:
    """One of the processes that have armed a shard of the release."""
    return int(installed.report(release)["deliveries"][0]["worker"].split(":")[1])


def test_several_processes_send_one_release_at_one_instant(
    crew: Installation, shared_out: tuple[str, str, int]
) -> None:
    """Each its shards, none more than its share, every shot in the same half second, and every outlet once."""
    title, release, _ = shared_out
    told = assert_once(crew, release, title, TWELVE)
    sent = senders(told)
    print(f"shots by process, ms after the instant: {[[one // MILLISECOND for one in each] for each in sent.values()]}")
    assert len(sent) >= 2, sent
    assert max(len(each) for each in sent.values()) <= SHARD
    assert all(0 <= one <= ON_TIME for each in sent.values() for one in each), sent
    assert {1} == {one["attempts"] for one in told["deliveries"]}


def test_one_of_them_killed_before_the_commit_is_stood_in_for(
    crew: Installation, shared_out: tuple[str, str, int]
) -> None:
    """Its shards fall to the others, who send all of it on time; nobody sends anything twice."""
    title, release, at = shared_out
    end(dead := holder(crew, release))
    assert R.READY == crew.report(release)["state"] and now() < at - 3 * SECOND, "killed too late to prove anything"
    sent = senders(assert_once(crew, release, title, TWELVE))
    assert dead not in sent and len(sent) >= 2
    assert all(0 <= one <= ON_TIME for each in sent.values() for one in each), sent


def test_one_of_them_killed_after_the_commit_costs_only_its_own_shots(
    crew: Installation, shared_out: tuple[str, str, int]
) -> None:
    """The others' leave with the instant. Its own are looked up, found nowhere, and sent late by others, once."""
    title, release, at = shared_out
    dead = holder(crew, release)
    lost = {one["outlet"] for one in crew.report(release)["deliveries"] if one["worker"].endswith(f":{dead}")}
    crew.until(release, lambda report: report["state"] == R.COMMITTED)
    end(dead)
    assert now() < at, "killed too late to prove anything"
    told = assert_once(crew, release, title, TWELVE)
    after = {one["outlet"]: micros(one["sent_at"]) - at for one in told["deliveries"]}
    assert 0 < len(lost) <= SHARD
    assert all((0 <= one <= ON_TIME) == (outlet not in lost) for outlet, one in after.items()), (lost, after)
    assert told["late"] and lost == {one["outlet"] for one in told["deliveries"] if one["late"]}
    assert dead not in senders(told)


@contextmanager
def worker(lane: str, env: dict[str, str], log: Path, enter: tuple[str, ...] = ()) -> Iterator[None]:
    """One `tongfa worker`, told to end at the end of the block."""
    dies_with_us = [sys.executable, "-I", "-S", str(ROOT / "sync" / "child.py"), str(os.getpid())]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*dies_with_us, *enter, str(TONGFA), "worker", "--lane", lane],
            cwd=log.parent,
            env=env,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_workers_on_another_host_share_nothing_but_settings(tmp_path: Path, postgres: Postgres) -> None:
    """In a network of their own with an empty home: database, broker and outlets by address, the key as a file."""
    with (
        elsewhere() as there,
        running_redis(tmp_path / "redis") as redis,
        _sandbox("wechat", tmp_path / "outlets", there.here) as wechat,
        _sandbox("mastodon", tmp_path / "outlets", there.here) as mastodon,
        forwarded(there.here, postgres.port, redis.port) as at,
    ):
        told = {"TONGFA_SANDBOX_URLS": f"wechat={wechat},mastodon={mastodon}"}
        installed = Installation(
            tmp_path / "home", {**QUICK, **told}, outlets=tmp_path / "outlets", mode=Production(postgres, redis.fresh)
        )
        installed.add(ELSEWHERE)
        (tmp_path / "elsewhere").mkdir()
        environment = _moved(installed, there, at(postgres.port), at(redis.port), redis)
        with (
            worker("prepare", environment, tmp_path / "prepare.log", there.enter),
            worker("release", environment, tmp_path / "release.log", there.enter),
        ):
            locks = SessionLock(installed.database, "test")
            eventually(lambda: all(locks.living(lane) for lane in WORKERS), 120)
            names = {holder.name for lane in WORKERS for holder in locks.living(lane)}
            locks.release()
            _assert_only_there(there)
            title = "由另一台主机发布的通告"
            release = publish(installed, tmp_path, title, installed.soon(), ELSEWHERE)
            told_after = assert_once(installed, release, title, ELSEWHERE)
        assert all(one["worker"].split(":")[0] in names for one in told_after["deliveries"])
        assert not list((tmp_path / "home").glob("workers/*")), "somebody worked here after all"


def _moved(installed: Installation, there: Elsewhere, postgres: int, redis: int, broker: Redis) -> dict[str, str]:
    """The installation's settings as they are on the other host."""
    name = installed.database.split("?")[0].rpartition("/")[2]
    url = installed.env["TONGFA_BROKER_URL"].replace(f"{broker.host}:{broker.port}", f"{there.here}:{redis}")
    return {
        **installed.environment(),
        "TONGFA_HOME": str(installed.home.with_name("elsewhere")),
        "TONGFA_DATABASE_URL": f"postgresql://{Postgres.user}@{there.here}:{postgres}/{name}",
        "TONGFA_BROKER_URL": url,
        "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT)),
    }


def _assert_only_there(there: Elsewhere) -> None:
    """From there this machine's own loopback is not to be reached: what works, works by address."""
    look = "import socket, sys; sys.exit(socket.socket().connect_ex(('127.0.0.1', int(sys.argv[1]))) == 0)"
    with socket.create_server(("127.0.0.1", 0)) as here:
        port = str(here.getsockname()[1])
        subprocess.run([*there.enter, sys.executable, "-c", look, port], check=True)


@contextmanager
def _sandbox(name: str, outlets: Path, host: str) -> Iterator[str]:
    """A sandbox server that listens at `host`; its address. Pages that it publishes are there, too."""
    home = outlets / name
    argv = [sys.executable, "-m", f"channels.sandbox.{name}", "--host", host, "--home", str(home)]
    process = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        eventually((home / "address").exists)
        yield (home / "address").read_text().strip()
    finally:
        process.terminate()
        process.wait(30)
