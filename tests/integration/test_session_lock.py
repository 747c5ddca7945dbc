"""Ownership with real processes and a real server: it ends with its process or its session, and only then."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sync import session_lock
from sync.clock import SECOND, SetClock
from sync.model import BadInput
from sync.ownership import Ownership
from sync.session_lock import SessionLock
from sync.store.session import Store
from sync.store.tables import process
from tests.services.postgres import Postgres
from tests.services.program import running

# Prints its lock's name, then lives until its standard input ends.
OWNER = """
import sys; from sync.session_lock import SessionLock
lock = SessionLock(sys.argv[1], "release")
print(lock.name, flush=True)
sys.stdin.read()
"""

# The same, with a child that asks for its own name (argument "asks") or never does.
PARENT = """
import os, sys; from sync.session_lock import SessionLock
lock = SessionLock(sys.argv[1], "prepare")
print(lock.name, flush=True)
child = os.fork()
if child == 0:
    print(os.getpid(), lock.name if sys.argv[2] == "asks" else "none", flush=True)
sys.stdin.read()
"""


def soon(said: Callable[[], bool], within: float = 1.0) -> bool:
    """Asked until it says so, for at most a second."""
    ends, nap = time.monotonic() + within, threading.Event()
    while not (found := said()) and time.monotonic() < ends:
        nap.wait(0.005)
    return found


def cut(server: Postgres, name: str) -> None:
    """End the session that holds this name's lock, as an administrator would; returns once it is gone."""
    mine = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
    assert [(True,)] == server.execute(mine, name)


@pytest.fixture
def url(server_store: Store) -> str:
    return server_store.url


@pytest.fixture
def lock(url: str) -> Iterator[SessionLock]:
    """The looking process's own lock."""
    made = SessionLock(url, "verify", SetClock(5 * SECOND))
    yield made
    made.release()


def test_nothing_is_held_before_the_name_is_wanted(lock: SessionLock, server_store: Store) -> None:
    """A process that only looks is not among the living; one that has a name keeps it."""
    assert [] == lock.living()
    assert lock.name == lock.name
    with server_store.read() as connection:
        row = connection.execute(process.select()).one()
    assert (lock.name, "verify", os.getpid(), 5 * SECOND) == (row.name, row.lane, row.pid, row.started_at)
    assert lock.name.startswith("verify-")


def test_a_process_is_not_dead_to_itself(lock: SessionLock) -> None:
    """Its own look proves its own lock, and changes nothing."""
    name = lock.name
    assert not lock.is_dead(name)
    assert not lock.is_dead(name)
    assert name == lock.name


def test_a_killed_owner_is_dead_within_a_second_and_stays_dead(url: str, lock: SessionLock) -> None:
    """No lease has to run out: the server sees the end of the session."""
    with running(OWNER, url) as (owner, said):
        name = said.readline().strip()
        assert not lock.is_dead(name)
        owner.kill()
        owner.wait()
        assert soon(lambda: lock.is_dead(name))
        assert lock.is_dead(name)


def test_a_frozen_owner_is_not_dead(url: str, lock: SessionLock) -> None:
    """It may wake up and send; only its death frees its rows."""
    with running(OWNER, url) as (owner, said):
        name = said.readline().strip()
        owner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, owner.pid, os.WSTOPPED)
        assert not soon(lambda: lock.is_dead(name), 0.5)
        owner.kill()
        owner.wait()
        assert soon(lambda: lock.is_dead(name))


@pytest.mark.parametrize("child_asks", ["asks", "never"])
def test_a_forked_child_neither_shares_nor_prolongs_its_parents_lock(
    url: str, lock: SessionLock, child_asks: str
) -> None:
    """The parent is alive until it dies, though the child lives on; the child has a lock of its own."""
    with running(PARENT, url, child_asks) as (parent, said):
        parents = said.readline().strip()
        pid, childs = said.readline().split()
        try:
            assert parents != childs
            assert not lock.is_dead(parents)
            parent.kill()
            parent.wait()
            assert soon(lambda: lock.is_dead(parents))
            if child_asks == "asks":
                assert not lock.is_dead(childs)
        finally:
            os.kill(int(pid), signal.SIGKILL)


def test_a_child_that_ends_leaves_its_parents_lock_alone(url: str, lock: SessionLock) -> None:
    """Its copy of the socket is closed without a word; and even `release` in the child ends nothing."""
    code = (
        PARENT.replace("sys.stdin.read()", "")
        + "if child == 0: lock.release()\nelse: os.wait(); print(lock.name, flush=True); sys.stdin.read()"
    )
    with running(code, url, "never") as (_, said):
        parents = said.readline().strip()
        said.readline()
        assert parents == said.readline().strip()
        assert not lock.is_dead(parents)


def test_a_released_lock_is_dead(lock: SessionLock) -> None:
    """A clean end is known at once, and the next name is a new one."""
    before = lock.name
    lock.release()
    lock.release()
    assert lock.is_dead(before)
    assert before != lock.name


def test_the_living_are_listed_by_lane(url: str, lock: SessionLock) -> None:
    """Looking does not disturb: neither the living nor what they hold."""
    own = lock.name
    with running(OWNER, url) as (owner, said):
        name = said.readline().strip()
        assert [own, name] == [holder.name for holder in lock.living()]
        assert [(owner.pid, socket.gethostname())] == [(one.pid, one.host) for one in lock.living("release")]
        owner.kill()
        owner.wait()
        assert soon(lambda: [own] == [holder.name for holder in lock.living()])


def test_a_new_process_clears_the_dead_away(url: str, lock: SessionLock, server_store: Store) -> None:
    """Their rows do not pile up, even if they owned nothing; those of the living stay."""
    with running(OWNER, url) as (owner, said):
        dead = said.readline().strip()
        owner.kill()
        owner.wait()
        assert soon(lambda: lock.is_dead(dead))
    with running(OWNER, url) as (_, said):
        living = said.readline().strip()
        own = lock.name
        with server_store.read() as connection:
            assert {living, own} == {row.name for row in connection.execute(process.select())}


# ---- the session is lost


def test_a_session_that_was_cut_takes_its_name_with_it(lock: SessionLock, postgres: Postgres) -> None:
    """The next look at the name is a new one; the old one is dead to everybody, and to the process itself."""
    before = lock.name
    cut(postgres, before)
    assert before != lock.name
    assert lock.is_dead(before)
    assert not lock.is_dead(lock.name)


def test_a_process_that_lost_its_session_is_listed_again(lock: SessionLock, postgres: Postgres) -> None:
    """By merely looking at others it takes a new name; else nobody would give it work. One that ended does not."""
    before = lock.name
    cut(postgres, before)
    (again,) = [one.name for one in lock.living()]
    assert before != again
    assert again == lock.name
    lock.release()
    assert [] == lock.living()


def test_the_last_look_proves_the_session(lock: SessionLock, postgres: Postgres) -> None:
    """Asked of its own name before anything else noticed: dead, for good, and the next name is new."""
    before = lock.name
    cut(postgres, before)
    assert lock.is_dead(before)
    assert lock.is_dead(before)
    assert before != lock.name


def test_a_lock_that_was_taken_away_is_not_held(lock: SessionLock, postgres: Postgres, url: str) -> None:
    """The session lives on, but without its lock, as behind a pooler that cleans up: that counts as lost."""
    before = lock.name
    assert lock._session is not None
    lock._session.connection.execute("SELECT pg_advisory_unlock_all()")
    assert lock.is_dead(before)
    assert before != lock.name
    assert not lock.is_dead(lock.name)


def test_a_frozen_server_is_waited_for_but_briefly(lock: SessionLock, postgres: Postgres) -> None:
    """What cannot be proved within 150 ms is not held; once the server goes on, there is a new name."""
    before = lock.name
    postgres.freeze()
    try:
        began = time.monotonic()
        assert lock.is_dead(before)
        assert time.monotonic() - began < 2 * session_lock.PROOF
    finally:
        postgres.thaw()
    assert before != lock.name
    assert not lock.is_dead(lock.name)


def test_the_last_look_does_not_wait_for_another_question(lock: SessionLock, postgres: Postgres) -> None:
    """Another thread's question hangs on the session: the name is told at once, its proof fails in time."""
    before = lock.name
    postgres.freeze()
    other = threading.Thread(target=lambda: lock.living())
    try:
        other.start()
        assert soon(lock._guard.locked)
        began = time.monotonic()
        assert before == lock.name
        assert lock.is_dead(before)
        assert time.monotonic() - began < 2 * session_lock.PROOF
    finally:
        postgres.thaw()
        other.join()
    assert before != lock.name


def test_a_server_that_was_restarted_is_asked_anew(url: str, lock: SessionLock, postgres: Postgres) -> None:
    """All names of before are dead, and everybody goes on under a new one."""
    before = lock.name
    with running(OWNER, url) as (_, said):
        other = said.readline().strip()
        postgres.restart("immediate")
        assert lock.is_dead(other)
        assert lock.is_dead(before)
        assert before != lock.name


def test_a_question_that_was_cut_off_is_asked_again(lock: SessionLock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, on a new session: looking may be repeated. The name that the old one held is gone."""
    before, ask, cut_off = lock.name, session_lock._ask, [session_lock.Lost("now")]

    def once(*given: Any) -> Any:
        if cut_off:
            raise cut_off.pop()
        return ask(*given)

    monkeypatch.setattr(session_lock, "_ask", once)
    assert lock.is_dead("release-0123456789abcdef")
    assert lock.is_dead(before)
    assert before != lock.name
    cut_off[:] = [session_lock.Lost("now"), session_lock.Lost("and again")]
    with pytest.raises(BadInput, match="does not answer"):
        lock.living()
    assert [lock.name] == [one.name for one in lock.living()]


def test_a_server_that_is_gone_is_told(url: str, lock: SessionLock, postgres: Postgres) -> None:
    """Neither alive nor dead can be said then; nothing is made up."""
    before, stranger = lock.name, "release-0123456789abcdef"
    postgres.stop()
    try:
        assert lock.is_dead(before)
        for ask in (lambda: lock.is_dead(stranger), lambda: lock.name, lock.living):
            with pytest.raises(BadInput, match="does not answer"):
                ask()
    finally:
        postgres.start()
    assert lock.is_dead(stranger)
    assert before != lock.name


# ---- never wrong


def test_no_living_process_is_ever_taken_for_dead(url: str, lock: SessionLock) -> None:
    """While others look at every process without pause, every lock that is handed out holds."""
    done, failed = threading.Event(), list[str]()

    def look() -> None:
        watcher = SessionLock(url, "verify")
        while not done.is_set():
            failed.extend(one.name for one in watcher.living() if watcher.is_dead(one.name))
        watcher.release()

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    locks = [SessionLock(url, "release") for _ in range(20)]
    names = [each.name for each in locks]
    done.set()
    for watcher in watchers:
        watcher.join()
    assert [] == failed
    assert [] == [name for name in names if lock.is_dead(name)]
    for each in locks:
        each.release()


def test_threads_share_one_name(lock: SessionLock) -> None:
    """Though several ask for it at the same moment."""
    start, names = threading.Barrier(8), set()

    def ask() -> None:
        start.wait()
        names.add(lock.name)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {lock.name} == names


def test_a_database_that_was_never_set_up_has_nobody(postgres: Postgres) -> None:
    """Who looks before the first `setup` is told that nobody lives, and who wants a name, what to do."""
    empty = SessionLock(postgres.database(), "supervisor")
    assert [] == empty.living()
    with pytest.raises(BadInput) as refused:
        assert empty.name
    assert "setup" in refused.value.mend
    empty.release()


@pytest.mark.parametrize("name", ["", "release", "../release-0123456789abcdef", "release-0123456789abcdef/x"])
def test_a_name_that_is_no_lock_is_refused(lock: SessionLock, name: str) -> None:
    """As with files: a damaged row is no question."""
    with pytest.raises(ValueError, match="not the name"):
        lock.is_dead(name)


def test_it_stands_in_for_the_locked_file(lock: SessionLock) -> None:
    """Whoever holds an `Ownership` cannot tell."""
    held: Ownership = lock
    assert held.name in [one.name for one in held.living("verify")]
