"""The sweeper of a worker process: what is due is worked on, whatever the broker does, and not by two at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from sync import bell
from sync.bootstrap import context, create_home
from sync.clock import SECOND, SystemClock
from sync.engine.context import Context
from sync.settings import read_settings
from sync.store import deliveries
from tasks import TASKS, base, sweep
from tasks.direct import Direct
from tasks.look import look
from tasks.rung import LEFT_TO_OTHERS, REMEMBERED, Ring, Rung, taker
from tasks.sweep import BATCH
from tests.services.redis import free_port, running

SOON = 20.0  # seconds until what must happen counts as broken
NOBODY = f"redis://127.0.0.1:{free_port()}/0"


class Lane:
    """One sweeper on rows that are given; `worked`: what its own threads did, `sent`: what the app was told."""

    def __init__(self, ctx: Context, lane: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ctx = ctx
        self.rows: list[Any] = []
        self.worked: list[tuple[str, list[str]]] = []
        self.sent: list[tuple[str, list[str]]] = []
        self.broker_down = False
        self.looks = 0
        monkeypatch.setattr(base, "ctx", lambda: ctx)
        monkeypatch.setattr(base, "lane", lambda: lane)
        monkeypatch.setattr(deliveries, "due", self._look)
        monkeypatch.setattr(deliveries, "next_due", self._next)
        for duty in TASKS:
            monkeypatch.setitem(TASKS, duty, self._work(duty))
        self.sweeper = sweep.Sweeper(None)

    def start(self) -> None:
        self.sweeper.start(SimpleNamespace(app=SimpleNamespace(send_task=self._send)))

    def add(self, one: str, duty: str = "prepare", release: str = "r", due_at: int = 1) -> None:
        self.rows = [*self.rows, SimpleNamespace(id=one, duty=duty, release=release, due_at=due_at)]

    def _look(self, connection: object, now: int, duties: Sequence[str]) -> list[Any]:
        self.looks += 1
        return [row for row in self.rows if row.due_at <= now]

    def _next(self, connection: object, now: int, duties: Sequence[str]) -> int | None:
        return min((row.due_at for row in self.rows if row.due_at > now), default=None)

    def _work(self, duty: str) -> Callable[[list[str]], None]:
        return lambda ids: self.worked.append((duty, ids))

    def _send(self, duty: str, args: list[list[str]], **how: object) -> None:
        if self.broker_down:
            raise OperationalError("down")
        self.sent.append((duty, args[0]))


@pytest.fixture
def lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lane]]:
    """Makes a sweeper: its lane, and settings."""
    made: list[Lane] = []

    def make(name: str = "prepare", **settings: object) -> Lane:
        read = read_settings(home=tmp_path / "home", **settings)
        create_home(read, SystemClock())
        made.append(Lane(context(read, name), name, monkeypatch))
        return made[-1]

    yield make
    for one in made:
        one.sweeper.stop(None)


def test_without_a_broker_the_process_itself_is_told(lane: Callable[..., Lane]) -> None:
    """Through the transport inside the process, once, and again only when nobody took it for three seconds."""
    embedded = lane()
    embedded.add("one")
    embedded.start()
    eventually(lambda: embedded.sent)
    assert [("prepare", ["one"])] == embedded.sent
    eventually(lambda: len(embedded.sent) > 1)
    assert not embedded.worked


def test_what_of_a_release_falls_due_together_is_one_message(lane: Callable[..., Lane]) -> None:
    """One ring for all of one duty, as long as they fit into a batch; each release, and each duty, its own."""
    busy = lane(sweep_ms=60_000)
    many, most = [f"a{number}" for number in range(BATCH)], [f"b{number}" for number in range(BATCH + 1)]
    for release, ids in {"r1": many, "r2": most}.items():
        for one in ids:
            busy.add(one, release=release)
    busy.add("c", duty="verify", release="r1")
    busy.start()
    eventually(lambda: len(busy.sent) >= 4)
    expected = [("prepare", many), ("prepare", most[:BATCH]), ("prepare", most[BATCH:]), ("verify", ["c"])]
    assert sorted(expected) == sorted(busy.sent)


def test_so_it_is_with_a_broker(lane: Callable[..., Lane], tmp_path: Path) -> None:
    """Its queue then holds one message for them all."""
    with running(tmp_path / "redis") as redis:
        url = redis.fresh()
        busy = lane(broker_url=url)
        _reached(url)
        for number in range(BATCH):
            busy.add(f"a{number}", release="r1")
        busy.start()
        eventually(lambda: redis.length("prepare", url))
        assert (1, []) == (redis.length("prepare", url), busy.worked)


def test_a_broker_that_is_down_does_not_stop_the_work(lane: Callable[..., Lane]) -> None:
    """What cannot be told is done by the sweeper's own threads."""
    down = lane(broker_url=NOBODY)
    down.add("one")
    down.start()
    eventually(lambda: down.worked)
    assert [("prepare", ["one"])] == down.worked


def test_nor_does_the_transport_inside_the_process(lane: Callable[..., Lane]) -> None:
    down = lane()
    down.broker_down = True
    down.add("one")
    down.start()
    eventually(lambda: down.worked)


def test_a_frozen_broker_does_not_hold_up_the_sweeper(
    lane: Callable[..., Lane], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten releases in a row, each begun within a fifth of a second of falling due."""
    with running(tmp_path / "redis") as redis:
        url = redis.fresh()
        frozen = lane(broker_url=url)
        frozen.start()
        _reached(url)
        redis.freeze()
        waits: list[float] = []
        for number in range(10):
            began = time.monotonic()
            frozen.add(f"d{number}", release=f"r{number}")
            look()
            eventually(lambda: len(frozen.worked) > len(waits))
            waits.append(time.monotonic() - began)
        assert max(waits) < bell.PATIENCE + 0.1, waits


def test_what_the_broker_took_and_nobody_does_is_done_here(lane: Callable[..., Lane], tmp_path: Path) -> None:
    """As after a flush: the message is gone, the row is still due."""
    with running(tmp_path / "redis") as redis:
        url = redis.fresh()
        flushed = lane(broker_url=url)
        _reached(url)
        flushed.add("one")
        flushed.start()
        eventually(lambda: redis.length("prepare", url))
        assert not flushed.worked
        redis.flush()
        eventually(lambda: flushed.worked)


def test_the_release_lane_asks_no_broker(lane: Callable[..., Lane], tmp_path: Path) -> None:
    """With a broker that answers, as with none: its own threads arm."""
    with running(tmp_path / "redis") as redis:
        url = redis.fresh()
        one = lane("release", broker_url=url)
        _reached(url)
        one.add("d", duty="release")
        one.start()
        eventually(lambda: one.worked)
        assert [("release", ["d"])] == one.worked
        assert 0 == redis.length("release", url)


def test_a_ring_is_a_look_at_once(lane: Callable[..., Lane]) -> None:
    """However seldom it looks by itself."""
    seldom = lane(sweep_ms=60_000)
    seldom.start()
    seldom.add("one")
    look()
    eventually(lambda: seldom.sent)


def test_what_falls_due_by_time_alone_is_met_at_its_time(lane: Callable[..., Lane]) -> None:
    """However seldom it looks: within a quarter of a second here, not at the next look, two seconds later."""
    seldom, due_at = lane(sweep_ms=3_000), SystemClock().now() + 4 * SECOND
    seldom.add("one", due_at=due_at)
    seldom.start()
    eventually(lambda: seldom.sent)
    assert 0 <= SystemClock().now() - due_at < SECOND / 4


def test_a_row_that_another_process_should_take_is_left_to_it_for_a_second() -> None:
    """Then it is taken: that process may be frozen, or gone."""
    row, rung = ("d", "prepare", 1), Rung()
    assert rung.ring(row, 100 * SECOND, ours=False) is None
    assert rung.ring(row, 100 * SECOND + LEFT_TO_OTHERS - 1, ours=False) is None
    assert rung.ring(row, 100 * SECOND + LEFT_TO_OTHERS, ours=False) is Ring.FIRST
    assert rung.ring(row, 101 * SECOND + LEFT_TO_OTHERS, ours=True) is None
    assert rung.ring(row, 100 * SECOND + LEFT_TO_OTHERS + REMEMBERED, ours=True) is Ring.AGAIN


def test_whoever_was_rung_takes_what_it_would_have_left() -> None:
    row, rung = ("d", "prepare", 1), Rung()
    assert rung.ring(row, 100 * SECOND, ours=False) is None
    assert rung.ring(row, 100 * SECOND + 1, ours=True) is Ring.FIRST


def test_who_dies_of_the_dead_is_followed_at_once(lane: Callable[..., Lane], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process took the row, and died as well: it is no row that was rung a moment ago."""
    monkeypatch.setattr("tasks.rung.REMEMBERED", 600 * SECOND)
    chain = lane()
    owned = [SimpleNamespace(id="d", owner="prepare-1", epoch=3, duty=None, state="preparing")]
    monkeypatch.setattr(deliveries, "owned", lambda connection: owned)
    monkeypatch.setattr(type(chain.ctx.lock), "is_dead", lambda self, owner: True)
    chain.start()
    eventually(lambda: chain.sent)
    owned[0] = SimpleNamespace(id="d", owner="prepare-2", epoch=5, duty=None, state="preparing")
    eventually(lambda: len(chain.sent) > 1)
    assert [("reconcile", ["d"])] * 2 == chain.sent


def test_a_clock_that_is_set_back_holds_nothing_up() -> None:
    row, rung = ("d", "prepare", 1), Rung()
    assert rung.ring(row, 1_000 * SECOND, ours=True) is Ring.FIRST
    assert rung.ring(row, 10 * SECOND, ours=True) is Ring.AGAIN


def test_processes_that_know_each_other_share_releases_alike() -> None:
    """Each release has one taker, whoever asks; who goes leaves only its own to the others."""
    four, releases = [f"prepare-{number}" for number in range(4)], [f"r{number}" for number in range(400)]
    before = {one: taker(four, one) for one in releases}
    after = {one: taker(reversed(four[1:]), one) for one in releases}  # type: ignore[arg-type]
    shares = [list(before.values()).count(name) for name in four]
    assert 400 == sum(shares) and min(shares) > 50, shares
    assert {one: name for one, name in before.items() if name != four[0]} == {
        one: after[one] for one, name in before.items() if name != four[0]
    }
    assert taker([], "r") is None


def test_its_own_threads_take_no_more_than_they_can_soon_do(caplog: pytest.LogCaptureFixture) -> None:
    """What is refused is offered again; a bug in one task is shown and ends no thread."""
    direct, gate, done = Direct(2), threading.Event(), []

    def wait(ids: list[str]) -> None:
        gate.wait(SOON)
        done.append(ids)
        raise ZeroDivisionError

    taken = [direct.run(wait, [str(number)]) for number in range(5)]
    assert [True, True, True, True, False] == taken
    gate.set()
    eventually(lambda: 4 == len(done))
    eventually(lambda: direct.run(wait, ["again"]))
    eventually(lambda: 5 == len(done))
    direct.stop()
    assert "ZeroDivisionError" in caplog.text


def _reached(url: str) -> None:
    """The bell has its connection: from now on what it is told goes to the broker."""
    eventually(lambda: bell.bell_at(url).tell("unheard", "look", []))


def eventually(true: Callable[[], object], seconds: float = SOON) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, f"not within {seconds:g} s"
        time.sleep(0.01)
