"""The sender loop against the machine's own clock: never early, in order, undisturbed, and how it stops."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from sync.clock import SystemClock
from sync.engine.sender import Sender

CLOCK = SystemClock()
PATIENCE = 20.0  # seconds; whatever takes longer does not come
THREADS = 2


@pytest.fixture
def sender() -> Iterator[Sender]:
    made = Sender(CLOCK, THREADS)
    yield made
    made.stop()


def come(event: threading.Event) -> None:
    assert event.wait(PATIENCE)


def test_no_act_runs_before_its_instant_and_all_run_in_order(sender: Sender) -> None:
    """Whatever the order and the thread they are handed in by."""
    ran: list[tuple[float, float]] = []
    done = threading.Event()
    begin = CLOCK.boottime() + 0.1
    instants = [begin + number / 200 for number in range(60)]

    def act(instant: float) -> None:
        ran.append((instant, CLOCK.boottime()))

    def hand_in(share: list[float]) -> None:
        for instant in share:
            sender.at(instant, partial(act, instant))

    random.Random(17).shuffle(instants)
    threads = [threading.Thread(target=hand_in, args=(instants[part::3],)) for part in range(3)]
    for thread in threads:
        thread.start()
    sender.at(max(instants) + 0.01, done.set)
    come(done)
    assert sorted(instants) == [instant for instant, _ in ran]
    assert [] == [(instant, at) for instant, at in ran if at < instant]


def test_acts_of_one_instant_run_in_order_of_coming(sender: Sender) -> None:
    """The slowest outlets are handed in first, and leave first."""
    ran: list[int] = []
    done = threading.Event()
    instant = CLOCK.boottime() + 0.1
    for number in range(20):
        sender.at(instant, partial(ran.append, number))
    sender.at(instant, done.set)
    come(done)
    assert list(range(20)) == ran


def test_an_earlier_act_overtakes_the_one_that_is_waited_for(sender: Sender) -> None:
    """The loop wakes up for it."""
    late, early = threading.Event(), threading.Event()
    sender.at(CLOCK.boottime() + 300, late.set)
    sender.at(CLOCK.boottime() + 0.05, early.set)
    come(early)
    assert not late.is_set()


def test_an_instant_that_has_passed_is_now(sender: Sender) -> None:
    """What comes late is run at once."""
    ran = threading.Event()
    sender.at(CLOCK.boottime() - 5, ran.set)
    come(ran)


def test_slow_work_delays_neither_act_nor_commit(sender: Sender) -> None:
    """While every thread that settles waits for an outlet, the loop and the pool for commits go on."""
    free, acted, committed = threading.Event(), threading.Event(), threading.Event()
    busy = threading.Semaphore(0)

    def settle() -> None:
        busy.release()
        come(free)

    for _ in range(4 * THREADS + 5):
        sender.soon(settle)
    for _ in range(4 * THREADS):
        assert busy.acquire(timeout=PATIENCE)
    sender.at(CLOCK.boottime() + 0.01, acted.set)
    sender.later(CLOCK.boottime() + 0.01, committed.set)
    come(acted)
    come(committed)
    free.set()


def test_slow_commits_do_not_delay_an_act(sender: Sender) -> None:
    """While every thread that arms or commits waits for the database, the shots that are due leave."""
    free, acted = threading.Event(), threading.Event()
    for _ in range(THREADS + 3):
        sender.later(CLOCK.boottime(), partial(come, free))
    sender.at(CLOCK.boottime() + 0.05, acted.set)
    come(acted)
    free.set()


@pytest.mark.parametrize("lane", ["later", "soon"])
def test_what_a_pool_thread_raises_is_told(sender: Sender, lane: str) -> None:
    """With its trace, in the log; and the sender goes on."""
    told: list[logging.LogRecord] = []
    heard, ran = threading.Event(), threading.Event()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record)
            heard.set()

    def fail() -> None:
        raise RuntimeError("a bug")

    logger = logging.getLogger("sync.engine.sender")
    ear = Ear()
    logger.addHandler(ear)
    try:
        if lane == "later":
            sender.later(CLOCK.boottime(), fail)
        else:
            sender.soon(fail)
        come(heard)
    finally:
        logger.removeHandler(ear)
    assert "a bug" in told[0].getMessage()
    assert told[0].exc_info
    sender.at(CLOCK.boottime(), ran.set)
    come(ran)


def test_stopping_commits_nothing_more() -> None:
    """What is not final is dropped, wherever it stands, and nothing runs after the stop."""
    sender, ran = Sender(CLOCK, THREADS), threading.Event()
    sender.at(CLOCK.boottime() + 0.2, ran.set)
    sender.later(CLOCK.boottime() + 0.2, ran.set)
    sender.stop()
    sender.at(CLOCK.boottime(), ran.set)
    assert not ran.wait(0.5)


def test_stopping_sends_what_was_committed() -> None:
    """A final act is still run, at its instant and not before; the stop waits for it and for its answer."""
    sender, ran = Sender(CLOCK, THREADS), []
    instant = CLOCK.boottime() + 0.4

    def fire() -> None:
        ran.append(("sent", CLOCK.boottime() >= instant))
        sender.soon(ran.append, ("settled", True))

    def look() -> None:
        sender.at(instant, fire, final=True)

    sender.later(instant - 0.2, look, final=True)
    sender.stop()
    assert [("sent", True), ("settled", True)] == ran


def test_a_commit_in_progress_is_sent_after_the_stop() -> None:
    """It may be past its point of no return already: what it hands in is run, though stopping began before."""
    sender, ran = Sender(CLOCK, THREADS), threading.Event()
    begun, go_on = threading.Event(), threading.Event()

    def commit() -> None:
        begun.set()
        come(go_on)
        sender.at(CLOCK.boottime() + 0.05, ran.set, final=True)

    sender.later(CLOCK.boottime(), commit)
    come(begun)
    stopping = threading.Thread(target=sender.stop)
    stopping.start()
    while not sender._halted:
        threading.Event().wait(0.001)
    go_on.set()
    stopping.join(PATIENCE)
    assert ran.is_set()


def test_after_the_stop_nothing_is_sent() -> None:
    """A final act beyond the time that stopping has is left to the next process, which may own its row by then."""
    sender, ran = Sender(CLOCK, THREADS), threading.Event()
    sender.at(CLOCK.boottime() + 0.5, ran.set, final=True)
    sender.stop(within=0.05)
    assert not ran.wait(1.0)
