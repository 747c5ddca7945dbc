"""T-02, T-02s, T-03, T-04, T-05, T-08, T-09, T-13: whole installations under fire.

Real Celery workers (`tests.campaign.victim`), real Redis and PostgreSQL or SQLite alone, sandbox outlets in processes
of their own. Items are planned all the time with the command line, while workers are killed, frozen, cut off or
rung too often; what is believed in the end is the outlets' records, what the command line told, and the log
(`tests.campaign.checker`). Windows are scaled: what an outlet was asked lands within seconds, as sandboxes do.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis as RedisClient
from sqlalchemy.exc import SQLAlchemyError

from sync.bell import bell_at
from sync.bootstrap import sandbox_of
from sync.clock import MILLISECOND, SECOND, iso
from sync.model import BadInput
from sync.ownership import Ownership, ProcessLock
from sync.session_lock import SessionLock
from sync.store import deliveries, releases
from sync.store.session import Store
from tests.acceptance.installation import LAG, ROOT, Installation, assert_done, eventually, micros, now
from tests.acceptance.mode import EMBEDDED, Production, migrated
from tests.benchmarks.rig import Tail
from tests.campaign.checker import Copy, Finding, History, Promise, check, counts
from tests.campaign.points import Act, Order, acted, give
from tests.campaign.trial import Counts, Run, Trial
from tests.contract.bench import server
from tests.services.cluster import Cluster
from tests.services.postgres import Postgres
from tests.services.redis import Redis

LANDS_WITHIN = 2.0  # seconds; the sandboxes do at once what they are asked
SCALED = {"TONGFA_LANDS_WITHIN_S": f"{LANDS_WITHIN:g}", "TONGFA_ARM_BEFORE_S": "4", "TONGFA_BUDGETS": "live"}
# One receiver is known to ignore what it was told before, the blind one is not, and has no pages that could be asked.
FEW = {"site": "website", "mastodon-1": "mastodon", "wechat-1": "wechat", "webhook-1": "webhook", "blind": "webhook"}
KINDS = {"website": 4, "mastodon": 8, "wechat": 4, "webhook": 3}
TWENTY = {f"{kind}-{number}": kind for kind, many in KINDS.items() for number in range(1, many + 1)}
TWENTY["blind"] = "webhook"
BLIND = {"blind"}  # what is in doubt there a person has to decide
SHOWN = {"post_created": "text", "published": "title"}  # what an outlet did → where its record has the title
TITLE = re.compile('<meta name="ArticleTitle" content="([^"]*)">')
ENDED = {"verified", "closed", "failed", "unresolved", "cancelled"}
STUCK = 120.0  # seconds after the last fault in which everything must have ended
RECLAIMED = 10.0  # seconds from a death until nobody owns anything in its name; of a hundred deaths one may take longer
RESUMED = 10.0  # seconds from the broker's return until what is planned then is public everywhere
ON_TIME = 2.0  # seconds after its instant in which a shot must have arrived
SEEN_BY = 30.0  # seconds
OBEYED = 8.0  # seconds in which workers may stand still for the first time
BETWEEN = (0.1, 0.6)  # seconds from one kill to the next


@dataclass
class Rig:
    """One installation, its outlets, its workers, and all that anybody was told."""

    installed: Installation
    outlets: Mapping[str, str]
    fleet: subprocess.Popen[bytes]
    points: Path
    redis: Redis | None
    postgres: Postgres | None
    cluster: Cluster | None
    wanted: Mapping[str, int]
    store: Store
    promises: list[Promise] = field(default_factory=list)
    items: dict[str, str] = field(default_factory=dict)
    told: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # release → its document
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _tails: dict[str, Tail] = field(default_factory=dict)

    @property
    def servers(self) -> list[str]:
        """The sandbox servers of its outlets."""
        return sorted({sandbox_of(kind) for kind in self.outlets.values()})

    def publish(self, ahead: float | None) -> Promise:
        """One item of its own to all outlets, so many seconds ahead; None: now."""
        number = next(self._numbers)
        title = f"第 {number} 号通告"
        item = self.installed.home.parent / f"{number}.md"
        item.write_text(f"---\ntitle: {title}\nkind: notice\n---\n\n自 12 月 {number} 日起试运行，票价 1 元。\n")
        while (planned := self._planned(item, ahead)) is None:  # all who could prepare it had just been killed
            self.up()
        told, at, asked = planned
        kept = Promise(told["release"], (title,), tuple(self.outlets), at, asked)
        self.told[kept.release] = told
        self.items[told["item"]] = title
        self.promises.append(kept)
        return kept

    def _planned(self, item: Path, ahead: float | None) -> tuple[dict[str, Any], int | None, int] | None:
        """What the command told, the instant, and when it was asked; None: refused, as no worker lives."""
        asked = now()
        # A command takes longer while other work is done here.
        at = None if ahead is None else asked + round((ahead + self.installed.pace) * SECOND)
        when = "now" if at is None else iso(at)
        command = ("publish", item, "--outlets", ",".join(self.outlets), "--at", when, "--json")
        told = self.installed.run(*command)
        if told.code == 2 and told.json["error"]["where"] == "workers":
            return None
        return assert_done(told).json, None if at is None else micros(when), asked

    def patience(self, promised: float) -> int:
        """µs: what is promised on a machine of its own, here and now, beside other work."""
        return round(promised * self.installed.pace * SECOND)

    def keep(self, **many: int) -> None:
        """How many workers of each lane there are from now on; none is ended by that."""
        assert self.fleet.stdin is not None
        self.fleet.stdin.write((" ".join(f"{lane}={n}" for lane, n in many.items()) + "\n").encode())
        self.fleet.stdin.flush()

    def up(self) -> None:
        """Returns when so many workers live as should."""
        for lane, many in self.wanted.items():
            eventually(lambda lane=lane, many=many: len(self.living(lane)) >= many)  # type: ignore[misc]

    def living(self, lane: str | None = None) -> dict[str, int]:
        """Lock → process of the workers."""
        with self.asking() as locks:
            return {one.name: one.pid for one in locks.living(lane) if one.lane in self.wanted}

    @contextmanager
    def asking(self) -> Iterator[Ownership]:
        url = self.installed.env.get("TONGFA_DATABASE_URL")
        folder = self.installed.home / "workers"
        locks: Ownership = SessionLock(url, "judge") if url else ProcessLock(folder, "judge")
        try:
            yield locks
        finally:
            locks.release()

    def settled(self, promises: Sequence[Promise], seconds: float = STUCK) -> dict[str, str]:
        """Waits until everything has ended. What has not, by delivery: its state."""
        ends = time.monotonic() + seconds
        waiting, left = list(promises), dict[str, str]()
        while waiting:
            left = self.open(waiting[:1])
            if not left:
                waiting.pop(0)
            elif time.monotonic() > ends:
                return self.open(waiting)
            else:
                time.sleep(0.1)
        return left

    def open(self, promises: Sequence[Promise]) -> dict[str, str]:
        """What has not ended, by delivery: its state. A release that is held waits for a person."""
        try:
            states = [self.states(one) for one in promises]
        except (BadInput, SQLAlchemyError) as error:
            return {"database": str(error)}
        left = [rows for release, rows in states if release != "held"]
        return {one: state for rows in left for one, state in rows.items() if state not in ENDED}

    def states(self, promise: Promise) -> tuple[str, dict[str, str]]:
        """Of its release, and of each delivery, by outlet and id: asked often, so no report is made."""
        with self.store.read() as connection:
            rows = deliveries.of_release(connection, promise.release)
            release = releases.get(connection, promise.release).state
        return release, {f"{row.outlet} {row.id}": row.state for row in rows}

    def judge(self, promises: Sequence[Promise]) -> list[Finding]:
        """Everything wrong with these, by the outlets and the log."""
        titles = {title for one in promises for title in one.titles}
        copies = [copy for copy in self.copies() if copy.title in titles]
        log = [json.loads(line) for line in self.log(promises)]
        named = {one.release for one in promises}
        here = [one for one in log if self.items.get(one["item"] or "") in titles or one["id"] in named]
        return check(History(list(promises), copies, here, self.items, LAG))

    def log(self, promises: Sequence[Promise]) -> list[str]:
        """What was written since the first of these was asked for: a line each."""
        since = iso(min(one.asked for one in promises) - SECOND)
        return assert_done(self.installed.run("log", "list", "--since", since, "--format", "jsonl")).out.splitlines()

    def copies(self) -> list[Copy]:
        """Every public copy there ever was, by the sandboxes' records and the files' own times."""
        found = []
        for name in self.servers:
            tail = self._tails.setdefault(name, Tail(self.installed.server(name).home / "record.jsonl"))
            for line in tail.lines():
                if line["applied"] and (shown := SHOWN.get(line["effect"])):
                    title = str(line["detail"][shown]).split("\n")[0]
                    found.append(Copy(line["account"], title, line["at"]))
        for page in (self.installed.home / "sandbox" / "pages").glob("*/www/notice/*.html"):
            for title in TITLE.findall(page.read_text()):
                found.append(Copy(page.parts[-4], title, page.stat().st_ctime_ns // 1000))
        return found

    def for_a_person(self, promises: Sequence[Promise]) -> list[str]:
        """Outlets with a delivery that a person has to decide, and "held" for each release that waits for one."""
        states = [self.states(one) for one in promises]
        held = ["held" for release, _ in states if release == "held"]
        every = [one for _, rows in states for one in rows.items()]
        return held + [name.split()[0] for name, state in every if state in ("unresolved", "failed")]


@contextmanager
def rig(
    folder: Path,
    database: str,
    outlets: Mapping[str, str] = FEW,
    prepare: int = 2,
    release: int = 2,
    *,
    standby: bool = False,
) -> Iterator[Rig]:
    """An installation that runs, in `folder`: on PostgreSQL with Redis, or on SQLite with neither."""
    with ExitStack() as stack:
        redis = postgres = cluster = None
        mode: Any = EMBEDDED
        if database == "postgresql":
            postgres = stack.enter_context(Postgres())
            redis = Redis(folder / "redis")
            redis.start()
            stack.callback(_stopped, redis)
            migrated(postgres)
            cluster = stack.enter_context(Cluster(postgres)) if standby else None
            mode = Production(cluster or postgres, redis.fresh)
        installed = Installation(folder / "home", SCALED, mode=mode)
        _add(installed, outlets)
        servers = sorted({sandbox_of(kind) for kind in outlets.values()})
        for name in servers:
            stack.enter_context(server(f"channels.sandbox.{name}", folder / "home" / "sandbox" / name))
        wanted = {"prepare": prepare, "release": release}
        many = [f"{lane}={n}" for lane, n in wanted.items()]
        fleet = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.victim", "--points", str(folder / "points"), *many],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            env=installed.environment(PYTHONPATH=str(ROOT)),
        )
        stack.callback(_ended, fleet)
        made = Rig(
            installed,
            outlets,
            fleet,
            folder / "points",
            redis,
            postgres,
            cluster,
            wanted,
            Store(installed.database, "judge"),
        )
        stack.callback(made.store.close)
        for name in {"mastodon", "wechat"} & {*servers}:
            installed.knob(name, "unlimited", times=0)
        made.up()
        yield made


def _add(installed: Installation, outlets: Mapping[str, str]) -> None:
    keyed = {name for name, kind in outlets.items() if kind == "webhook"} - BLIND
    for name, kind in outlets.items():
        # What a person has to decide at a blind one holds no release.
        options = ("--set", "receiver_dedupes=yes") if name in keyed else ("--optional",) if name in BLIND else ()
        installed.add({name: kind}, *options)


def _stopped(redis: Redis) -> None:
    if redis.runs:
        redis.thaw()
        redis.stop()


def _ended(fleet: subprocess.Popen[bytes]) -> None:
    assert fleet.stdin is not None
    fleet.stdin.close()
    fleet.wait(20)


# watching the dead


class Reclaim:
    """How long rows stay in a dead process's name: asked all the time, beside everything else."""

    def __init__(self, made: Rig) -> None:
        self._store = Store(made.installed.database, "watching")
        self._died: dict[str, float] = {}
        self._last: dict[str, float] = {}  # when its name was last seen in a row
        self.busy: set[str] = set()  # whose names are in rows now
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Reclaim:
        self._thread.start()
        return self

    def __exit__(self, *given: object) -> None:
        self._halt.set()
        self._thread.join()
        self._store.close()

    def died(self, owner: str) -> None:
        self._died[owner] = time.monotonic()

    def lasted(self) -> list[int]:
        """ms from each death to the last sight of its name in a row, of those that had any then."""
        return [round(1000 * (at - self._died[name])) for name, at in [*self._last.items()]]

    def _run(self) -> None:
        while not self._halt.wait(0.1):
            with suppress(BadInput, SQLAlchemyError), self._store.read() as connection:
                self.busy = {str(row.owner) for row in deliveries.owned(connection)}
                self._last |= dict.fromkeys(self.busy & self._died.keys(), time.monotonic())


# T-02, T-02s


def kill_at_random(made: Rig, number: int, kills: int = 10, items: int = 2) -> Counts:
    """Workers of either lane killed at random moments while releases are planned, prepared, sent and read back."""
    chance = random.Random(number)
    ahead = [chance.choice((None, chance.uniform(1.5, 5.0))) for _ in range(items)]
    made.up()
    began = len(made.promises)
    with Reclaim(made) as reclaim, ThreadPoolExecutor(1) as desk:
        planned: list[Future[Promise]] = []
        done = 0
        while done < kills:
            if len(planned) < items and done * items >= kills * len(planned):
                planned.append(desk.submit(made.publish, ahead[len(planned)]))
            time.sleep(chance.uniform(*BETWEEN))
            done += _kill_one(made, chance, reclaim)
        for one in planned:
            one.result()
        counted = _judged(made, made.promises[began:], f"case {number}")
        lasted = reclaim.lasted()
    late = [ms for ms in lasted if ms * MILLISECOND > made.patience(RECLAIMED)]
    assert len(late) <= max(1, kills // 100), f"case {number}: rows of the dead were theirs for {late} ms"
    if made.postgres is None:
        _sound(made, number)
    measured = {"owners": len(lasted), "late_reclaims": len(late), "reclaimed_ms": max(lasted, default=0)}
    return {"kills": done, **measured, **counted}


def _kill_one(made: Rig, chance: random.Random, reclaim: Reclaim) -> int:
    """Every other time one of those that have something in hand, if any has. How many were killed."""
    living = made.living()
    if not living:
        return 0
    busy = sorted(reclaim.busy & living.keys())
    owner = chance.choice(busy if busy and chance.random() < 0.5 else sorted(living))
    try:
        os.kill(living[owner], signal.SIGKILL)
    except ProcessLookupError:
        return 0
    reclaim.died(owner)
    return 1


def _judged(made: Rig, mine: Sequence[Promise], case: str) -> dict[str, int]:
    """Waits for the end of these releases and judges them. Raises AssertionError for whatever was broken."""
    stuck = made.settled(mine)
    findings, parked = made.judge(mine), made.for_a_person(mine)
    asked_in_vain = [one for one in parked if one not in BLIND]
    wrong = [
        *map(str, findings),
        *(f"stuck: {one}" for one in stuck.items()),
        *(f"for a person: {one}" for one in asked_in_vain),
    ]
    assert not wrong, f"{case}: {'; '.join(wrong)}"
    return {**counts(findings), "stuck": len(stuck), "parked": len(parked), "releases": len(mine)}


def _sound(made: Rig, number: int) -> None:
    store = Store(made.installed.database)
    try:
        with store.read() as connection:
            said = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
    finally:
        store.close()
    assert said == "ok", f"case {number}: integrity_check says {said}"


# T-03


TROUBLES = ("killed", "flushed", "restarted", "evicting")


def broker_dies(made: Rig, number: int, troubles: int = 4) -> Counts:
    """Redis is killed, flushed, restarted or made to evict while releases are on their way; after each, one goes out
    at once."""
    chance = random.Random(number)
    kinds = [TROUBLES[(number + n) % len(TROUBLES)] for n in range(troubles)]
    began, after = len(made.promises), list[tuple[str, int, Promise]]()
    made.publish(chance.uniform(1.0, 3.0))
    for kind in kinds:
        time.sleep(chance.uniform(0.0, 2.0))
        _trouble(made, kind, chance)
        returned = now()
        after.append((kind, returned, made.publish(None)))
    counted = _judged(made, made.promises[began:], f"case {number} ({', '.join(kinds)})")
    resumed = [(_last_arrival(made, one) - returned, kind) for kind, returned, one in after]
    worst, kind = max(resumed)
    assert worst <= made.patience(RESUMED), f"case {number} ({kind}): {worst / SECOND:.1f} s after its return"
    return {"troubles": troubles, "resumed_ms": worst // MILLISECOND, **counted}


def _trouble(made: Rig, kind: str, chance: random.Random) -> None:
    """Returns when Redis is as it was."""
    redis = made.redis
    assert redis is not None
    match kind:
        case "killed":
            redis.stop()
            time.sleep(chance.uniform(0.2, 3.0))
            redis.start()
        case "flushed":
            redis.flush()
        case "restarted":
            redis.stop(signal.SIGTERM)
            redis.start()
        case "evicting":
            with RedisClient(host=redis.host, port=redis.port) as client:
                client.config_set("maxmemory-policy", "allkeys-random")
                client.config_set("maxmemory", "100kb")  # less than it takes empty: whatever comes goes at once
                time.sleep(1.0)
                client.config_set("maxmemory", "0")


def _last_arrival(made: Rig, promise: Promise) -> int:
    """µs UTC at which its last copy appeared."""
    return max(copy.at for copy in made.copies() if copy.title in promise.titles)


# T-04


def without_a_broker(made: Rig, number: int, items: int = 5) -> Counts:
    """From before the instants until after them neither Redis nor any process but the release workers lives."""
    assert made.redis is not None
    began = len(made.promises)
    ahead = 8.0 + 2 * items * made.installed.pace
    asked = time.monotonic()
    mine = [made.publish(ahead - (time.monotonic() - asked) + 0.5 * n) for n in range(items)]
    eventually(lambda: all(_is_prepared(made, one) for one in mine), SEEN_BY)
    assert mine[0].at is not None and now() < mine[0].at, f"case {number}: this machine is too slow for it"
    made.keep(prepare=0)
    for pid in made.living("prepare").values():
        os.kill(pid, signal.SIGKILL)
    made.redis.stop()
    last = max(one.at or 0 for one in mine)
    while now() < last + 2 * SECOND:
        time.sleep(0.1)
    arrived = {one.release: _last_arrival(made, one) - (one.at or 0) for one in mine}
    made.redis.start()
    made.keep(**made.wanted)
    counted = _judged(made, made.promises[began:], f"case {number}")
    late = {release: at for release, at in arrived.items() if at > made.patience(ON_TIME)}
    assert not late, f"case {number}: late by {late} µs"
    return {"on_time": len(arrived), "late_ms": max(arrived.values()) // MILLISECOND, **counted}


def _is_prepared(made: Rig, promise: Promise) -> bool:
    return set(made.states(promise)[1].values()) <= {"prepared", "releasing", "released", "verified"}


# T-05


def database_dies(made: Rig, number: int, cuts: int = 4) -> Counts:
    """Workers' connections are cut exactly at a COMMIT, before or after the server has it; and every other time
    PostgreSQL is stopped at once and started again."""
    assert made.postgres is not None
    chance = random.Random(number)
    made.up()
    began, faults = len(made.promises), 0
    waiting = {f"cut-{os.getpid()}-{number}-{n}" for n in range(cuts)}
    hows: list[Act] = ["cut", "sever"]
    give(
        made.points,
        *(
            Order("sync.engine.*/commit/before", nth, chance.choice(hows), name)
            for nth, name in zip(chance.sample(range(1, 3 * cuts), cuts), sorted(waiting), strict=True)
        ),
    )
    made.publish(chance.uniform(1.0, 3.0))
    made.publish(None)
    if number % 2 == 0:
        time.sleep(chance.uniform(0.0, 3.0))
        made.postgres.restart("immediate")
        faults += 1
        eventually(lambda: _answers(made))
    made.settled(made.promises[began:], 20)
    give(made.points)
    faults += sum(acted(made.points, name) is not None for name in waiting)
    made.publish(None)
    return {"faults": faults, **_judged(made, made.promises[began:], f"case {number}")}


def database_fails_over(made: Rig, number: int) -> Counts:
    """PostgreSQL is gone at once, and its synchronous standby takes over, while releases are on their way."""
    assert made.cluster is not None
    chance = random.Random(number)
    made.up()
    began = len(made.promises)
    made.publish(chance.uniform(1.0, 3.0))
    made.publish(None)
    time.sleep(chance.uniform(0.0, 3.0))
    made.cluster.fail_over()
    eventually(lambda: _answers(made))
    made.publish(None)
    counted = _judged(made, made.promises[began:], f"case {number}")
    made.cluster.stand_by()
    return {"promotions": 1, **counted}


def _answers(made: Rig) -> bool:
    try:
        return bool(made.living("release"))
    except BadInput:
        return False


# T-08


class Thaws:
    """Whoever of these obeyed and stands still goes on in its time, or is killed; however late it obeyed."""

    def __init__(self, points: Path, names: Sequence[str], number: int) -> None:
        self.waiting = set(names)
        self._points, self._chance = points, random.Random(number)
        self._timers: list[threading.Timer] = []
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Thaws:
        self._thread.start()
        return self

    def __exit__(self, *given: object) -> None:
        self._halt.set()
        self._thread.join()
        for timer in self._timers:
            timer.join()

    def _run(self) -> None:
        while not self._halt.wait(0.05):
            for name in sorted(self.waiting):
                if (found := acted(self._points, name)) is not None:
                    self.waiting.discard(name)
                    lasts = self._chance.uniform(0.5, 5.0) * LANDS_WITHIN
                    what = signal.SIGKILL if self._chance.random() < 0.3 else signal.SIGCONT
                    self._timers.append(threading.Timer(lasts, _signal, (found[0], what)))
                    self._timers[-1].start()


def freeze(made: Rig, number: int, freezes: int = 4, items: int = 1) -> Counts:
    """Workers stand still around a send, for 0.5 to 5 times as long as a call may land; then go on, or are killed."""
    chance = random.Random(number)
    made.up()
    began = len(made.promises)
    names = [f"freeze-{os.getpid()}-{number}-{n}" for n in range(freezes)]
    when = ("channels.*/send/before", "channels.*/send/after", "shot of*/send/before", "shot of*/send/after")
    orders = [Order(chance.choice(when), chance.randint(1, 4), "freeze", name) for name in names]
    with Thaws(made.points, names, number) as thaws:
        give(made.points, *orders)
        for _ in range(items):
            made.publish(chance.uniform(2.0, 4.0))
        ends = time.monotonic() + OBEYED
        while thaws.waiting and time.monotonic() < ends:
            time.sleep(0.05)
        give(made.points)
        counted = _judged(made, made.promises[began:], f"case {number}")
    return {"freezes": freezes - len(thaws.waiting), **counted}


def _signal(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)


# T-09

RUNG = 20


def rung_often(made: Rig, number: int, items: int = 1) -> Counts:
    """Each delivery rung twenty times at once for every duty; each sweeper of the many workers finds it, too."""
    assert made.redis is not None
    chance = random.Random(number)
    mine = [made.publish(chance.choice((None, 2.0))) for _ in range(items)]
    ids = [one["id"] for promise in mine for one in made.told[promise.release]["deliveries"]]
    bell = bell_at(made.installed.env["TONGFA_BROKER_URL"])
    eventually(lambda: bell.tell("prepare", "verify", []))  # the first ring connects, which may take too long for it
    rings = 0
    for _ in range(RUNG):
        for duty in ("prepare", "reconcile", "verify"):
            rings += bell.tell("prepare", duty, ids)
    counted = _judged(made, mine, f"case {number}")
    for promise in mine:
        sent = _sends(made, promise)
        assert all(many == 1 for many in sent.values()), f"case {number}: sent {sent}"
    return {"rings": rings, "deliveries": len(ids), **counted}


def _sends(made: Rig, promise: Promise) -> dict[str, int]:
    """How often each outlet was asked to publish it, whether or not it did."""
    begun = [one for one in map(json.loads, made.log([promise])) if one["act"] == "release_begun"]
    item = made.told[promise.release]["item"]
    return {outlet: sum((one["item"], one["outlet"]) == (item, outlet) for one in begun) for outlet in made.outlets}


# T-13


def at_one_instant(made: Rig, number: int, items: int = 5) -> Counts:
    """Nothing happens to anybody: how far apart the copies appear, and how late, by the outlets' records."""
    began = len(made.promises)
    ahead = 6.0 + 2 * items * made.installed.pace
    asked = time.monotonic()
    mine = [made.publish(ahead - (time.monotonic() - asked) + 0.7 * n) for n in range(items)]
    counted = _judged(made, made.promises[began:], f"case {number}")
    copies = made.copies()
    apart, late = list[int](), list[int]()
    for one in mine:
        arrived = [copy.at for copy in copies if copy.title in one.titles]
        apart.append(max(arrived) - min(arrived))
        late.append(max(arrived) - (one.at or 0))
    worst = max(*apart, *late)
    assert worst <= made.patience(ON_TIME), f"case {number}: apart {apart}, late {late} µs"
    return {
        "at_one_instant": items,
        "apart_ms": max(apart) // MILLISECOND,
        "late_ms": max(late) // MILLISECOND,
        **counted,
    }


# the trials


def _trial(
    name: str,
    what: str,
    counted: str,
    target: int,
    run: Callable[[Rig, int], Counts],
    *,
    database: str = "postgresql",
    worst: tuple[str, ...] = (),
    **how: Any,
) -> Trial:
    @contextmanager
    def opened() -> Iterator[Run]:
        with TemporaryDirectory(prefix="kills-") as folder, rig(Path(folder), database, **how) as made:
            yield partial(run, made)

    return Trial(name, what, counted, target, opened, ("lost", "duplicate", "early", "unexplained", "stuck"), worst)


TRIALS = (
    _trial(
        "T-02",
        "kill -9 of random workers, Celery, Redis and PostgreSQL, 20 outlets",
        "kills",
        1_000,
        partial(kill_at_random, kills=100, items=10),
        outlets=TWENTY,
        prepare=3,
        release=3,
        worst=("reclaimed_ms",),
    ),
    _trial(
        "T-02s",
        "kill -9 of random workers, SQLite without a broker, 20 outlets",
        "kills",
        2_000,
        partial(kill_at_random, kills=100, items=10),
        database="sqlite",
        outlets=TWENTY,
        prepare=3,
        release=3,
        worst=("reclaimed_ms",),
    ),
    _trial(
        "T-03",
        "Redis killed, flushed, restarted, evicting",
        "troubles",
        200,
        broker_dies,
        worst=("resumed_ms",),
    ),
    _trial(
        "T-04",
        "neither Redis nor any process but the release workers around the instant",
        "on_time",
        100,
        without_a_broker,
        worst=("late_ms",),
    ),
    _trial("T-05", "PostgreSQL stopped at once; a connection cut at COMMIT", "faults", 200, database_dies),
    _trial("T-05s", "PostgreSQL's synchronous standby takes over", "promotions", 30, database_fails_over, standby=True),
    _trial(
        "T-08",
        "workers frozen around a send, then let go on or killed",
        "freezes",
        500,
        partial(freeze, freezes=12, items=2),
        outlets=TWENTY,
        prepare=4,
        release=3,
    ),
    _trial(
        "T-09",
        "every delivery rung 20 times at once on 8 workers",
        "deliveries",
        2_000,
        partial(rung_often, items=3),
        outlets=TWENTY,
        prepare=6,
        release=2,
    ),
    _trial(
        "T-13",
        "20 outlets at one instant",
        "at_one_instant",
        500,
        at_one_instant,
        outlets=TWENTY,
        worst=("apart_ms", "late_ms"),
    ),
)
