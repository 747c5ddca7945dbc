"""Workers killed and answers lost at the worst moments: in the end everything is public, verified, and once.

Copies are counted in the outlets' own records and files. The kills are `kill -9` of every worker of a lane;
whoever has to start them again is `tongfa up`, or what keeps containers running.
"""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from sync.clock import SECOND, iso
from sync.flow import R
from tests.acceptance.installation import (
    FOUR,
    LAG,
    Installation,
    armed,
    assert_done,
    eventually,
    micros,
    now,
    passed,
    running,
    write_item,
)
from tests.acceptance.mode import EMBEDDED, Mode

SUBMIT = {"method": "POST", "path": "/cgi-bin/freepublish/submit", "account": "wechat"}
POST = {"method": "POST", "path": "/api/v1/statuses", "account": "mastodon"}
DRAFT = {"method": "POST", "path": "/cgi-bin/draft/add", "account": "wechat"}
ITEMS = 2  # of each release: what one kill hits is then twice as much
FULL = """
CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON entry FOR EACH STATEMENT EXECUTE FUNCTION no_space();
CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON delivery FOR EACH STATEMENT EXECUTE FUNCTION no_space();
"""
LANES = ("release", "release", "prepare")  # to choose from


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[Installation]:
    """An installation whose workers are killed by every test here."""
    with running(tmp_path_factory.mktemp("victim"), mode=mode) as installed:
        yield installed


@pytest.fixture(autouse=True)
def no_knob_stays(victim: Installation) -> Iterator[None]:
    """Each test begins with outlets that behave and two workers that live."""
    eventually(lambda: victim.workers("prepare") and victim.workers("release"))
    yield
    victim.clear()


def publish(installed: Installation, folder: Path, *titles: str, at: str) -> str:
    """One release of these items on all four outlets; nobody waits for it. Returns its id."""
    items = [write_item(folder / str(number), title) for number, title in enumerate(titles)]
    told = assert_done(installed.run("publish", *items, "--outlets", ",".join(FOUR), "--at", at, "--json"))
    return str(told.json["release"])


def assert_once_everywhere(installed: Installation, release: str, *titles: str) -> None:
    """In the end: exit 0, every delivery verified, one copy of each item at each outlet, none early."""
    shown = installed.run("release", "show", release, "--wait", "180", "--json")
    states = {(one["outlet"], one["item"]): one["state"] for one in shown.json["deliveries"]}
    assert (0, "released") == (shown.code, shown.json["state"]), states
    assert {"verified"} == set(states.values())
    assert len(FOUR) * len(titles) == len(states)
    for title in titles:
        copies = installed.copies(title)
        assert dict.fromkeys(FOUR, 1) == {outlet: len(appeared) for outlet, appeared in copies.items()}
        assert all(appeared[0] >= micros(shown.json["release_at"]) - LAG for appeared in copies.values())


def arrived(installed: Installation, server: str, effect: str, title: str) -> bool:
    """Whether this outlet did that for the item, by its record."""
    lines = (line for line in installed.record(server) if line["effect"] == effect)
    return any(title in str(line["detail"]) for line in lines)


def test_a_release_worker_killed_between_commit_and_instant(victim: Installation, tmp_path: Path) -> None:
    """Nothing was sent, but nobody knows that: after the quarantine the next worker sends it, late and once."""
    titles = [f"提交之后发布进程被终止的通告（{n}）" for n in range(ITEMS)]
    release = publish(victim, tmp_path, *titles, at=victim.soon(2))
    told = victim.until(release, lambda report: report["state"] == R.COMMITTED)
    killed = victim.kill_workers("release")
    assert now() < micros(told["release_at"]), "killed too late to prove anything"
    assert not any(victim.copies(title) for title in titles)
    assert_once_everywhere(victim, release, *titles)
    shown = victim.report(release)["deliveries"]
    assert not {str(pid) for pid in killed} & {one["worker"].split(":")[1] for one in shown}, "the dead released it"
    assert {2} == {one["attempts"] for one in shown}


def test_a_release_worker_killed_between_request_and_answer(victim: Installation, tmp_path: Path) -> None:
    """The outlets did it and the worker never heard so: a probe finds the copies, nothing is sent again."""
    titles = [f"应答之前发布进程被终止的通告（{n}）" for n in range(ITEMS)]
    victim.knob("mastodon", "delay", **POST, after_ms=15_000, times=ITEMS)
    victim.knob("wechat", "delay", **SUBMIT, after_ms=15_000, times=ITEMS)
    release = publish(victim, tmp_path, *titles, at="now")
    for title in titles:
        eventually(lambda title=title: arrived(victim, "mastodon", "post_created", title))  # type: ignore[misc]
        eventually(lambda title=title: arrived(victim, "wechat", "published", title))  # type: ignore[misc]
    victim.kill_workers("release")
    victim.clear()
    assert_once_everywhere(victim, release, *titles)


@pytest.mark.parametrize(("server", "call"), [("wechat", SUBMIT), ("mastodon", POST)])
def test_an_outlet_that_does_the_work_and_drops_its_answer(
    victim: Installation, tmp_path: Path, server: str, call: dict[str, str]
) -> None:
    """A lost answer is no failure: it is looked up, and not sent again."""
    titles = [f"{server} 丢失应答的通告（{n}）" for n in range(ITEMS)]
    victim.knob(server, "drop_answer", **call, times=ITEMS)
    release = publish(victim, tmp_path, *titles, at="now")
    assert_once_everywhere(victim, release, *titles)
    assert ITEMS == sum(line["fault"] == "drop_answer" for line in victim.record(server) if line["applied"])


def test_a_lost_answer_and_a_killed_worker_at_once(victim: Installation, tmp_path: Path) -> None:
    """WeChat drops its answers, and the release worker dies while Mastodon still owes its own."""
    titles = [f"应答丢失且进程被终止的通告（{n}）" for n in range(ITEMS)]
    victim.knob("wechat", "drop_answer", **SUBMIT, times=ITEMS)
    victim.knob("mastodon", "delay", **POST, after_ms=15_000, times=ITEMS)
    release = publish(victim, tmp_path, *titles, at="now")
    for title in titles:
        eventually(lambda title=title: arrived(victim, "mastodon", "post_created", title))  # type: ignore[misc]
        eventually(lambda title=title: arrived(victim, "wechat", "submitted", "") and title)  # type: ignore[misc]
    victim.kill_workers("release")
    victim.clear()
    assert_once_everywhere(victim, release, *titles)


def test_a_prepare_worker_killed_in_the_middle(victim: Installation, tmp_path: Path) -> None:
    """The draft it made is found and used by the next worker: one draft, one copy."""
    title = "预置过程中进程被终止的通告"
    victim.knob("wechat", "delay", **DRAFT, after_ms=15_000)
    drafts = drafted(victim)
    release = publish(victim, tmp_path, title, at="now")
    eventually(lambda: drafted(victim) > drafts)
    victim.kill_workers("prepare")
    victim.clear()
    assert_once_everywhere(victim, release, title)
    assert drafts + 1 == drafted(victim), "the draft of the dead worker was left and another one made"


def drafted(installed: Installation) -> int:
    return sum(line["effect"] == "drafted" for line in installed.record("wechat"))


def test_a_disk_that_is_full_at_the_commit(victim: Installation, tmp_path: Path) -> None:
    """Nothing is committed, nothing is public; once there is room again it goes out by itself, late and once."""
    title = "提交时磁盘已满的通告"
    release = publish(victim, tmp_path, title, at=victim.soon())
    victim.until(release, armed)
    workers = victim.workers("release")
    with full_disk(victim):
        release_at = micros(victim.report(release)["release_at"])
        assert now() < release_at - 2 * SECOND, "full too late to prove anything"
        passed(release_at + SECOND)
        assert {} == victim.copies(title)
        assert R.READY == victim.report(release)["state"]
    assert_once_everywhere(victim, release, title)
    assert workers == victim.workers("release"), "they were started anew"


@contextmanager
def full_disk(installed: Installation) -> Iterator[None]:
    """Nothing that a release process wants to store finds room: on its own disk, or on the database server's."""
    if installed.mode is EMBEDDED:
        pids, most = installed.workers("release"), resource.RLIM_INFINITY
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))  # whatever it writes is beyond the limit
        try:
            yield
        finally:
            for pid in pids:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
        return
    # The server is shared with other tests: of this one database it says what it says when its disk is full.
    with psycopg.connect(installed.database, autocommit=True) as server:
        server.execute(FULL)
        try:
            yield
        finally:
            server.execute("DROP FUNCTION no_space CASCADE")


def test_workers_killed_at_any_moment(victim: Installation, tmp_path: Path) -> None:
    """Three releases, four seconds apart; some moment around each instant somebody kills one worker, or the other."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    first = micros(victim.soon(5))
    instants = [first + n * 4 * SECOND for n in range(3)]
    kills = [(at + round(chance.uniform(-1.2, 0.8) * SECOND), chance.choice(LANES)) for at in instants]
    print(f"seed {seed}: " + ", ".join(f"{lane} at T{(at - first) / SECOND:+.3f} s" for at, lane in kills))
    titles = [f"任意时刻进程被终止的通告（{n}）" for n in range(3)]
    releases = [
        publish(victim, tmp_path / title, title, at=iso(at)) for title, at in zip(titles, instants, strict=True)
    ]
    for at, lane in kills:
        passed(at)
        victim.kill_workers(lane)
    for title, release in zip(titles, releases, strict=True):
        assert_once_everywhere(victim, release, title)
