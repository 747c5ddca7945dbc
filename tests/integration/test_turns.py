"""One dead outlet delays no other: of a process's threads only so many wait for it, and no release does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sync.bootstrap import context, create_home
from sync.clock import SECOND, SystemClock, iso
from sync.contract import Accepted, Channel, HeldBack, MailServer, Prepared, Receipt, Shot, Tools
from sync.engine.carry import carry
from sync.engine.context import Context
from sync.engine.pace import Pace
from sync.engine.paced import Arming, PacedEgress, paced
from sync.engine.plan import Order, plan
from sync.engine.prepare import prepare
from sync.engine.purse import Purse
from sync.engine.sender import Sender
from sync.engine.shards import release
from sync.engine.turns import HANDED_ON, STUCK, Turns, interleaved
from sync.engine.verify import verify
from sync.http import Http, Limits
from sync.model import Key, Outlet, Rendition
from sync.render import Templates
from sync.settings import read_settings
from sync.smtp import Smtp
from sync.store import deliveries, outlets, pace
from sync.store.tables import Record
from tests.integration.outside import KINDS, BareChannel, Outside


def test_of_one_outlet_only_so_many_wait() -> None:
    """What finds no place is left to those who have one, and they go on with a few at a time."""
    turns = Turns()
    ids = [f"d{number}" for number in range(20)]
    assert {"dead": 0.0, "other": 0.0} == turns.enter("prepare", {"dead": ["a"], "other": ["b"]}, 2, 0.0)
    assert {"dead": 1.0} == turns.enter("prepare", {"dead": ["c"]}, 2, 1.0)
    assert {"other": 2.0} == turns.enter("prepare", {"dead": ids, "other": ["d"]}, 2, 2.0)
    assert [] == turns.take_on("verify", ["dead"])
    turns.leave("dead", 0.0)
    assert ids[:HANDED_ON] == turns.take_on("prepare", ["other", "dead"])
    assert {"dead": 3.0} == turns.enter("prepare", {"dead": ids[:9]}, 2, 3.0)  # which were left: not any more
    assert ids[9 : 9 + HANDED_ON] == turns.take_on("prepare", ["dead"])


def test_who_measures_finds_a_place_unless_somebody_waits_in_vain() -> None:
    turns = Turns()
    for number in range(3):
        assert {"blog": float(number)} == turns.enter("verify", {"blog": ["a"]}, 1, float(number), urgent={"blog"})
    assert {} == turns.enter("verify", {"blog": ["b"]}, 1, 2.0)
    assert {} == turns.enter("verify", {"blog": ["b"]}, 1, STUCK + 0.1, urgent={"blog"})


def test_outlets_come_in_turn() -> None:
    """However many of one outlet there are, of each other one as many were begun before it took up all threads."""
    assert ["p1", "o1", "d1", "o2", "d2", "d3"] == interleaved(
        {"d": ["d1", "d2", "d3"], "o": ["o1", "o2"], "p": ["p1"]}
    )
    assert [] == interleaved({})


class Hanging:
    """A server that accepts, and never answers, until it is told to hang up."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self._accepted: list[socket.socket] = []
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        try:
            while True:
                self._accepted.append(self._socket.accept()[0])
        except OSError:
            return

    @property
    def calls(self) -> int:
        return len(self._accepted)

    def hang_up(self) -> None:
        """From now on nothing is accepted, and whoever waits is cut off. Repeatable."""
        if self._socket.fileno() < 0:
            return
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        for one in self._accepted:
            one.close()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    made = Hanging()
    yield made
    made.hang_up()


class Taken(Shot):
    """Of a mailing: nothing leaves with it."""

    def _fire(self) -> None: ...

    def settle(self) -> Receipt | Accepted:
        return Accepted("")


class Town:
    """Nine outlets that live and one that hangs, in a real installation with real threads and a real clock."""

    HEALTHY: ClassVar[tuple[str, ...]] = tuple(f"o{number}" for number in range(1, 10))

    def __init__(self, home: Path, hanging: Hanging, how: str) -> None:
        clock = SystemClock()
        settings = read_settings(home=home, arm_before_s=3, commit_before_s=0.5)
        create_home(settings, clock)
        self.settings, self.clock = settings, clock
        self.http = Http(private_network=True, now=clock.now, limits=Limits(read=600.0, total=600.0))
        self.outside = {name: Outside(clock.now) for name in (*self.HEALTHY, "dead")}
        town = self

        class Dead(BareChannel):
            def call(self) -> None:
                town.http.call("GET", hanging.address, creates=False)

            def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
                if how == "prepare":
                    self.call()
                return super().prepare(rendition, key, replaces)

            def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
                if how == "arm":
                    self.call()
                return super().arm(prepared, rendition, key)

        class Mail(Dead):
            def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
                return Taken()

            def carry(
                self,
                accepted: Accepted,
                rendition: Rendition,
                key: Key,
                keep: Callable[[Mapping[str, str]], bool],
                *,
                stop: bool,
            ) -> Accepted | Receipt:
                port = int(hanging.address.rpartition(":")[2])
                Smtp(town.http, private_network=True).submission(MailServer("127.0.0.1", port, "none", "", "", "here"))
                raise AssertionError("it never says a word")

        kinds = {**KINDS, "mail": Mail}
        kind_of_dead = "mail" if how == "carry" else "memory"
        wired = context(settings, "prepare")
        view, purse, arming = Pace.of(wired), Purse(wired.store, clock), Arming(8)

        def channel(row: Record) -> Channel:
            egress = PacedEgress(self.http, row, (), view, purse, clock)
            made = KINDS["memory"] if row.name != "dead" else Mail if how == "carry" else Dead
            outlet = Outlet(row.name, row.unit, row.kind, {}, {"password": "open"}, row.required, row.live)
            tools = Tools(self.http, lambda digest: b"", Templates(), clock.now)
            return paced(made(outlet, tools, self.outside[row.name]), egress, row, view, arming, clock)

        self.ctx: Context = replace(wired, kind=kinds.__getitem__, channel=channel)
        with self.ctx.store.write() as connection:
            for name in (*self.HEALTHY, "dead"):
                values: dict[str, Any] = {
                    "name": name,
                    "unit": outlets.LOCAL_UNIT,
                    "kind": "memory" if name != "dead" else kind_of_dead,
                    "settings": {},
                    "secrets": {},
                }
                values |= {"groups": [], "required": name != "dead", "live": False, "private_network": True}
                outlets.add(connection, values, at=clock.now(), actor="test")

    def item(self, number: int) -> str:
        path = self.settings.home / f"item-{number}.md"
        path.write_text(f"---\ntitle: 第{number}号通告\n---\n\n自12月1日起试运行。\n")
        return str(path)

    def plan(self, number: int, at: str) -> str:
        return plan(self.ctx, Order((self.item(number),), (*self.HEALTHY, "dead"), at=at))

    def released(self, items: range, names: tuple[str, ...], sender: Sender) -> list[Record]:
        """The deliveries of one release of these items, once all have left."""
        at = self.clock.now() + 5 * SECOND
        order = Order(tuple(map(self.item, items)), names, at=iso(at))
        made = plan(self.ctx, order)
        prepare(self.ctx, self.ids(made))
        with self.ctx.store.read() as connection:
            due_at = min(row.due_at for row in deliveries.of_release(connection, made) if row.due_at)
        eventually(lambda: self.clock.now() >= due_at)
        release(self.ctx, sender, self.ids(made))
        eventually(lambda: {"released", "accepted"} == {*chain(*self.states([made]).values())}, 30)
        with self.ctx.store.read() as connection:
            return list(deliveries.of_release(connection, made))

    def states(self, releases_: list[str]) -> dict[str, list[str]]:
        """By outlet, of all its deliveries."""
        found: dict[str, list[str]] = {}
        with self.ctx.store.read() as connection:
            for one in releases_:
                for row in deliveries.of_release(connection, one):
                    found.setdefault(row.outlet, []).append(row.state)
        return found

    def ids(self, release_id: str) -> list[str]:
        with self.ctx.store.read() as connection:
            return list(deliveries.ids_of_release(connection, release_id))

    def close(self) -> None:
        self.ctx.lock.release()
        self.ctx.store.close()
        self.http.close()


def eventually(said: Callable[[], bool], within: float = 90.0) -> None:
    ends = time.monotonic() + within
    while not said():
        assert time.monotonic() < ends, "it never came to pass"
        time.sleep(0.02)


def test_fifty_items_at_an_outlet_that_hangs_delay_none_elsewhere(tmp_path: Path, hanging: Hanging) -> None:
    """Eight threads, fifty releases to ten outlets, one of which takes connections and says nothing: all that is for
    the nine is in place while the first call to the tenth still waits. Half of the threads wait there, and no more."""
    town = Town(tmp_path / "home", hanging, "prepare")
    threads = town.settings.workers_prepare_threads
    made = [town.plan(number, "2090-01-02T09:00Z") for number in range(50)]
    with ThreadPoolExecutor(threads) as pool:
        try:
            for one in made:
                pool.submit(prepare, town.ctx, town.ids(one))
            eventually(lambda: all(set(town.states(made)[name]) == {"prepared"} for name in Town.HEALTHY))
            assert threads // 2 == hanging.calls == town.states(made)["dead"].count("preparing")
        finally:
            hanging.hang_up()
        eventually(lambda: _open(town))
    states = town.states(made)["dead"]
    assert 50 == len(states) and {"rendered", "planned"} == set(states)
    asked = hanging.calls
    eventually(lambda: _left_alone(town, made))
    assert asked == hanging.calls
    town.close()


def _read(town: Town, pool: ThreadPoolExecutor, pages: list[str]) -> bool:
    """After one more look of a worker's: whether all these are verified. It is a free thread that looks."""
    pool.submit(verify, town.ctx, pages).result(10)
    with town.ctx.store.read() as connection:
        return {"verified"} == {row.state for row in deliveries.some(connection, pages, light=True)}


def _left_alone(town: Town, made: list[str]) -> bool:
    """After one more task for each release: whether all that is for the dead outlet waits for the look."""
    for one in made:
        prepare(town.ctx, town.ids(one))
    with town.ctx.store.read() as connection:
        waiting = [row for one in made for row in deliveries.of_release(connection, one) if row.outlet == "dead"]
        row = pace.breaker_of(connection, "dead", live=False)
    assert row is not None
    return all(one.due_at >= row.half_open_at for one in waiting)


def _open(town: Town) -> bool:
    with town.ctx.store.read() as connection:
        row = pace.breaker_of(connection, "dead", live=False)
    return row is not None and row.state == "open"


def test_a_mail_server_that_hangs_delays_no_other_outlet(tmp_path: Path, hanging: Hanging) -> None:
    """Twenty mailings are due at a server that takes connections and says nothing, and all threads come upon them
    first: a quarter waits there. Pages are read, and releases made ready, also what else is due at that outlet."""
    town = Town(tmp_path / "home", hanging, "carry")
    threads, sender = town.settings.workers_prepare_threads, Sender(town.clock, 4)
    try:
        rows = town.released(range(20), ("o1", "dead"), sender)
    finally:
        sender.stop()
    mailings = [row.id for row in rows if row.outlet == "dead"]
    pages = [row.id for row in rows if row.outlet == "o1"]
    made = [town.plan(number, "2090-01-02T09:00Z") for number in range(100, 105)]
    with ThreadPoolExecutor(threads) as pool:
        try:
            for one in mailings:
                pool.submit(carry, town.ctx, [one])
            for one in made:
                pool.submit(prepare, town.ctx, town.ids(one))
            eventually(lambda: all({"prepared"} == set(states) for states in town.states(made).values()))
            eventually(lambda: _read(town, pool, pages))
            assert threads // 4 == hanging.calls
        finally:
            hanging.hang_up()
        eventually(lambda: _open(town))
    assert {"accepted"} == set(town.states([rows[0].release])["dead"])
    town.close()


def test_an_optional_outlet_that_hangs_while_arming_delays_no_release(tmp_path: Path, hanging: Hanging) -> None:
    """It is waited for until the others have to be committed: they leave with their instant."""
    town = Town(tmp_path / "home", hanging, "arm")
    sender = Sender(town.clock, 4)
    at = town.clock.now() + 8 * SECOND
    made = town.plan(1, f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at // SECOND))}.000Z")
    prepare(town.ctx, town.ids(made))
    assert {"prepared"} == {state for states in town.states([made]).values() for state in states}
    try:
        with town.ctx.store.read() as connection:
            due_at = min(row.due_at for row in deliveries.of_release(connection, made) if row.due_at)
        eventually(lambda: town.clock.now() >= due_at)
        release(town.ctx, sender, town.ids(made))
        eventually(lambda: {"released"} == {one for name in Town.HEALTHY for one in town.states([made])[name]}, 30)
    finally:
        hanging.hang_up()
        sender.stop()
    with town.ctx.store.read() as connection:
        rows = {row.outlet: row for row in deliveries.of_release(connection, made)}
    at = at // SECOND * SECOND
    late = [(rows[name].sent_at - at) / SECOND for name in Town.HEALTHY]
    assert 0 <= min(late) and max(late) < 1.0
    assert rows["dead"].sent_at is None
    town.close()


def test_a_dead_outlet_is_armed_by_one_release_at_a_time() -> None:
    """And one that seems to live by half of the threads: the others are told at once, and try again."""
    arming = Arming(2)
    with arming.place("blog", dead=False, now=0), arming.place("blog", dead=False, now=0):
        with pytest.raises(HeldBack), arming.place("blog", dead=False, now=0):
            pass
        with arming.place("other", dead=True, now=0), pytest.raises(HeldBack), arming.place("other", dead=True, now=0):
            pass
    with arming.place("blog", dead=True, now=0):
        pass
