"""The store among threads and processes: nothing lost, nobody turned away, and death in the middle leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from sync.settings import read_settings
from sync.store import deliveries, outlets, releases
from sync.store.session import Store
from tests.integration.rows import AT, end, entries, everything, line, spawn, the_delivery

THREADS, PROCESSES, TIMES = 6, 3, 25

# Moves a delivery and stops after so many statements of that transaction, until it is killed.
MOVER = """
import signal, sys
from sqlalchemy import event
from sync.flow import E
from sync.store import deliveries, releases
from sync.store.session import Store

store, left = Store(sys.argv[1]), int(sys.argv[2])

@event.listens_for(store.engine, "after_cursor_execute")
def count(*given):
    global left
    left -= 1
    if left == 0:
        print("here", flush=True)
        signal.pause()

with store.write() as connection:
    row = deliveries.get(connection, "delivery-1")
    row = deliveries.move(connection, row, E.RENDERED, at=1, actor="victim", duty="prepare", due_at=1)
    row = deliveries.move(connection, row, E.PREPARE_BEGUN, at=1, actor="victim", owner="victim", epoch=2)
    deliveries.move(connection, row, E.PREPARED, at=1, actor="victim", owner=None, duty=None, due_at=None)
    releases.settle(connection, "release-1", at=1, actor="victim", arm_before=30, why=str)
    print("here", flush=True)
    signal.pause()
"""

# Reads a number, adds one, writes it back, so many times, each in a transaction with its entry.
COUNTER = """
import sys
from sync.store import outlets
from sync.store.session import Store

store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    with store.write() as connection:
        row = outlets.get(connection, "blog")
        count = {"count": str(int(row.settings.get("count", "0")) + 1)}
        outlets.change(connection, row, "counted", at=1, actor="counter", settings=count)
"""

SETTLER = """
import sys
from pathlib import Path
from sync.bootstrap import context, create_home
from sync.clock import SystemClock
from sync.settings import read_settings
from sync.store import outlets

settings = read_settings(home=Path(sys.argv[1]))
create_home(settings, SystemClock())
with context(settings, "prepare").store.read() as connection:
    print(outlets.identity(connection), flush=True)
"""


def counted(store: Store) -> int:
    with store.read() as connection:
        return int(outlets.get(connection, "blog").settings["count"])


def count_in_threads(store: Store, threads: int) -> None:
    start = threading.Barrier(threads)

    def count() -> None:
        start.wait()
        for _ in range(TIMES):
            with store.write() as connection:
                row = outlets.get(connection, "blog")
                more = {"count": str(int(row.settings.get("count", "0")) + 1)}
                outlets.change(connection, row, "counted", at=AT, actor="counter", settings=more)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(count) for _ in range(threads)]:
            done.result()


@pytest.mark.parametrize("statements", [2, 3, 9, 99], ids=["read", "entry written", "row moved", "before the commit"])
def test_killed_in_the_middle_leaves_nothing(store: Store, statements: int) -> None:
    """kill -9 between two statements: neither state, entry nor due row, and the next writer is not kept waiting."""
    before = everything(store)
    with spawn(MOVER, store.url, statements) as victim:
        assert "here" == line(victim)
        victim.send_signal(signal.SIGKILL)
        end(victim)
    assert before == everything(store)
    assert "planned" == the_delivery(store).state
    with store.write() as connection:
        deliveries.note(connection, deliveries.get(connection, "delivery-1"), due_at=AT + 1)
    assert AT + 1 == the_delivery(store).due_at


def test_what_was_committed_survives_the_kill(store: Store) -> None:
    """A process that is killed right after its commit has done it."""
    code = COUNTER + "print('done', flush=True); import signal; signal.pause()"
    with subprocess.Popen(
        spawn_arguments(code, store.url, 3), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as victim:
        assert "ready" == line(victim)
        assert victim.stdin is not None
        victim.stdin.write("go\n")
        victim.stdin.flush()
        assert "done" == line(victim)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
    assert 3 == counted(store)


def test_threads_lose_nothing(store: Store) -> None:
    """Six threads that read, add one and write: every one counts, and nobody meets a locked database."""
    before = entries(store)
    count_in_threads(store, THREADS)
    assert THREADS * TIMES == counted(store)
    assert before + THREADS * TIMES == entries(store)


def test_processes_lose_nothing(store: Store) -> None:
    """Three processes, and threads of this one beside them: the same."""
    children = [
        subprocess.Popen(
            spawn_arguments(COUNTER, store.url, TIMES), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(PROCESSES)
    ]
    for child in children:
        assert "ready" == line(child)
    for child in children:
        assert child.stdin is not None
        with child.stdin:
            child.stdin.write("go\n")
    count_in_threads(store, 2)
    assert [0] * PROCESSES == [end(child) for child in children]
    assert (PROCESSES + 2) * TIMES == counted(store)


def test_readers_do_not_wait_for_a_writer(store: Store) -> None:
    """While a transaction is open, and changed rows already, readers of this and of another process see the old."""
    with store.write() as writing:
        row = outlets.get(writing, "blog")
        outlets.change(writing, row, "counted", at=AT, actor="test", settings={"count": "1"})
        with store.read() as connection:
            assert {} == outlets.get(connection, "blog").settings
        with spawn(
            "import sys; from sync.store import outlets; from sync.store.session import Store\n"
            "with Store(sys.argv[1]).read() as c: print(outlets.get(c, 'blog').settings)",
            store.url,
        ) as reader:
            assert "{}" == line(reader)
            assert 0 == end(reader)
    assert 1 == counted(store)


def test_a_writer_does_not_wait_for_a_reader(store: Store) -> None:
    """A long read keeps its moment, and keeps nobody from writing."""
    with store.read() as reading:
        before = outlets.get(reading, "blog")
        count_in_threads(store, 2)
        assert before == outlets.get(reading, "blog")
    assert 2 * TIMES == counted(store)


def test_a_refused_writer_leaves_the_gate_open(store: Store) -> None:
    """Whatever a transaction failed of, the next one of any thread begins at once."""
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), store.write():
            raise ZeroDivisionError
    count_in_threads(store, 1)
    assert TIMES == counted(store)


def test_more_readers_than_connections(store: Store) -> None:
    """Many threads at once wait for a connection; none is turned away."""
    start = threading.Barrier(80)

    def read() -> str:
        start.wait()
        with store.read() as connection:
            return str(releases.get(connection, "release-1").state)

    with ThreadPoolExecutor(80) as pool:
        assert {"open"} == {done.result() for done in [pool.submit(read) for _ in range(80)]}


def test_processes_that_set_up_at_once_agree(tmp_path: Path) -> None:
    """Several first commands at the same moment make one installation, with one key and one identity."""
    home = tmp_path / "home"
    children = [spawn(SETTLER, home) for _ in range(2)]
    told = [line(child) for child in children]
    assert [0, 0] == [end(child) for child in children]
    assert 1 == len(set(told))
    store = Store(read_settings(home=home).database_url)
    with closing(store.engine.raw_connection()), store.read() as connection:
        assert told[0] == outlets.identity(connection)


def spawn_arguments(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]
