"""The store on a server that can be elsewhere, restarted, frozen, or not let us in."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from sync import postgres as server_address
from sync.bootstrap import context, create_home
from sync.clock import SystemClock
from sync.engine.claim import Claim
from sync.flow import RE, E
from sync.model import BadInput
from sync.session_lock import SessionLock
from sync.settings import read_settings
from sync.store import deliveries, outlets, releases
from sync.store.assets import AssetRows
from sync.store.postgres import FROZEN_MS
from sync.store.session import Store
from sync.store.tables import Record
from sync.vault import create_key
from tests.integration.rows import AT, OUTLET, add_delivery, end, entries, everything, line, spawn, tell, the_delivery
from tests.services.postgres import Postgres

SECRET = "s3cr3t-of-the-database"

# Takes every row that nobody has, each in its own transaction, and says which it got.
CLAIMER = """
import sys
from sync.store import deliveries
from sync.store.session import Store

store, me = Store(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
for one in sys.argv[3].split(","):
    with store.write() as connection:
        row = deliveries.get(connection, one)
        if row.owner is None:
            deliveries.note(connection, row, owner=me, epoch=row.epoch + 1)
            print(one, flush=True)
"""

# Opens a transaction, changes a row, and stands still.
FREEZER = """
import os, signal, sys
from sync.store import deliveries
from sync.store.session import Store

with Store(sys.argv[1]).write() as connection:
    deliveries.note(connection, deliveries.get(connection, "delivery-1"), owner="frozen")
    print("here", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
print("committed", flush=True)
"""


@pytest.fixture
def store(server_store: Store) -> Store:
    return server_store


@pytest.fixture(scope="module")
def guarded() -> Iterator[Postgres]:
    """A server that asks for a password."""
    with Postgres(password=SECRET) as server:
        yield server


# ---- one writer at a time


def test_two_processes_claim_each_row_once(store: Store) -> None:
    """Both look at every row at the same moment; each is taken by one of them."""
    rows = [f"row-{number}" for number in range(40)]
    with store.write() as connection:
        for one in rows:
            outlets.add(connection, {**OUTLET, "name": one}, at=AT, actor="test")
            add_delivery(connection, one, outlet=one)
    claimers = [spawn(CLAIMER, store.url, name, ",".join(rows)) for name in ("one", "other")]
    taken: list[str] = []
    for each in claimers:
        assert "ready" == line(each)
        taken += iter(lambda: line(each), "")  # noqa: B023 - used up at once
    assert [0, 0] == [end(each) for each in claimers]
    assert rows == sorted(taken, key=rows.index)
    with store.read() as connection:
        assert {2} == {deliveries.get(connection, one).epoch for one in rows}


def test_entries_are_committed_in_the_order_of_their_ids(store: Store) -> None:
    """Who reads while others write never finds a later entry without all earlier ones."""
    done, gaps = threading.Event(), list[tuple[int, int]]()

    def look() -> None:
        while not done.is_set():
            with store.read() as connection:
                counted, last = connection.execute(text("SELECT count(*), max(id) FROM entry")).one()
            if counted != last:
                gaps.append((counted, last))

    def write() -> None:
        for number in range(40):
            with store.write() as connection:
                tell(connection, "item", "item-1", f"told {number}")

    before, watcher = entries(store), threading.Thread(target=look)
    writers = [threading.Thread(target=write) for _ in range(4)]
    watcher.start()
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    done.set()
    watcher.join()
    assert [] == gaps
    assert before + 160 == entries(store)


def test_a_frozen_writer_is_rolled_back(store: Store) -> None:
    """It keeps the others waiting for a few seconds at most; when it wakes it is told, and has written nothing."""
    with spawn(FREEZER, store.url) as frozen:
        assert "here" == line(frozen)
        os.waitid(os.P_PID, frozen.pid, os.WSTOPPED)
        began = time.monotonic()
        with store.write() as connection:
            assert deliveries.get(connection, "delivery-1").owner is None
        assert time.monotonic() - began < FROZEN_MS / 1_000 + 3
        frozen.send_signal(signal.SIGCONT)
        assert "" == line(frozen)
        assert 0 != end(frozen)
    assert the_delivery(store).owner is None


def test_a_writer_that_waits_too_long_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for ever: what keeps the database busy has a name, and nothing was stored."""
    monkeypatch.setattr("sync.store.postgres.GATE_WAIT_MS", 200)
    impatient = Store(store.url)
    with store.write(), pytest.raises(BadInput, match="busy for too long"), impatient.write():
        pass
    with impatient.write() as connection:
        deliveries.note(connection, deliveries.get(connection, "delivery-1"), due_at=AT + 1)
    impatient.close()
    assert AT + 1 == the_delivery(store).due_at


# ---- a server that goes away


def sessions(postgres: Postgres, store: Store) -> None:
    """End all sessions of this store's database; returns once they are gone."""
    name = store.shown.rpartition("/")[2]
    postgres.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", name)


def test_sessions_that_were_cut_are_not_used_again(store: Store, postgres: Postgres) -> None:
    """Parked ones are noticed before anything is sent on them: the next transactions just work."""
    store.version()
    with store.read(), store.read():
        pass  # two are parked now
    sessions(postgres, store)
    with store.write() as connection:
        deliveries.note(connection, deliveries.get(connection, "delivery-1"), due_at=AT + 1)
    assert AT + 1 == the_delivery(store).due_at
    with pytest.raises(BadInput, match="connection to the database server was lost"):
        store.version()
    assert store.version() == store.version()


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_restart_is_survived(store: Store, postgres: Postgres, how: str) -> None:
    """Stopped cleanly or crashed, then started: what was committed is there, and the next transaction works."""
    before = everything(store)
    postgres.restart(how)
    assert before == everything(store)
    with store.write() as connection:
        tell(connection, "item", "item-1", "told")


def test_a_transaction_that_is_cut_writes_nothing(store: Store, postgres: Postgres) -> None:
    """Whoever is in the middle is told so by a person's words; the next one works."""
    before = everything(store)
    with pytest.raises(BadInput, match="stored as a whole or not at all"), store.write() as connection:
        deliveries.note(connection, deliveries.get(connection, "delivery-1"), owner="me")
        sessions(postgres, store)
        deliveries.note(connection, deliveries.get(connection, "delivery-1"), due_at=AT + 1)
    assert before == everything(store)


def test_cut_right_before_the_commit_writes_nothing(store: Store, postgres: Postgres) -> None:
    """The commit itself finds nobody there."""
    before = everything(store)
    with pytest.raises(BadInput, match="was lost"), store.write() as connection:
        deliveries.note(connection, deliveries.get(connection, "delivery-1"), owner="me")
        sessions(postgres, store)
    assert before == everything(store)


def test_a_server_that_does_not_run_is_named(store: Store, postgres: Postgres) -> None:
    """Readers, writers and the sweeper's look are told where it should be; with the server back they go on."""
    store.version()
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(BadInput, match=r"does not answer|was lost"):
                the_delivery(store)
            with pytest.raises(BadInput, match=r"does not answer|was lost"):
                store.version()
    finally:
        postgres.start()
    assert "planned" == the_delivery(store).state
    assert store.version() > 0


# ---- a server that lets nobody in, or cannot be used


def test_a_missing_database_is_named(guarded: Postgres) -> None:
    """With the command that makes it; not mistaken for a wrong password."""
    with pytest.raises(BadInput, match="there is no database nowhere") as refused:
        Store(guarded.url("nowhere", tcp=True)).check_schema()
    assert "createdb" in refused.value.mend
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(("password", "told"), [("wrong-s3cr3t", "password was refused"), ("", "asks for a password")])
def test_a_refused_password_is_not_shown(guarded: Postgres, password: str, told: str) -> None:
    """Wrong or missing: said as such, and neither it nor the right one appears anywhere in the error."""
    address = guarded.url(tcp=True, password=password)
    with pytest.raises(BadInput, match=told) as refused:
        Store(address).check_schema()
    chain, error = "", refused.value
    at: BaseException | None = error
    while at is not None:
        chain, at = f"{chain} {at!r} {at}", at.__cause__ or at.__context__
    assert SECRET not in chain
    assert "wrong-s3cr3t" not in chain
    assert "tongfa@127.0.0.1" in error.where


def test_the_right_password_is_taken(guarded: Postgres) -> None:
    """Over TCP; the address that people are shown is without it."""
    made = Store(guarded.url(tcp=True))
    assert made.schema() is None
    assert SECRET not in made.shown
    assert SECRET not in repr(made)
    made.close()


@pytest.mark.parametrize(
    "address", ["postgresql://u:s3cr3t@h:notaport/d", "postgresql://u:s3cr3t@[h/d", "postgresql://?a=b"]
)
def test_an_address_that_is_none_is_not_repeated(address: str) -> None:
    """It may hold a password, so not even a part of it."""
    with pytest.raises(BadInput) as refused:
        Store(address).check_schema()
    assert "s3cr3t" not in f"{refused.value} {refused.value.__cause__}"


def test_a_database_that_cannot_hold_chinese_is_refused(postgres: Postgres) -> None:
    """Before anything is written to it."""
    url = postgres.database("template0", encoding="LATIN1")
    with pytest.raises(BadInput, match="stores text as LATIN1"):
        Store(url).migrate()
    postgres.drop(url)


def test_too_old_a_server_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the version that is needed."""
    monkeypatch.setattr(server_address, "OLDEST", 990_000)
    with pytest.raises(BadInput, match="99 or newer is needed"):
        Store(store.url).check_schema()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("53100", "disk of the database server is full"),
        ("25006", "standby"),
        ("42501", "may not"),
        ("57014", "too long"),
    ],
)
def test_what_the_server_cannot_do_is_told_in_words(store: Store, code: str, told: str) -> None:
    """By its code, whatever its language; nothing of the transaction is stored."""
    before = everything(store)
    with pytest.raises(BadInput, match=told), store.write() as connection:
        tell(connection, "item", "item-1", "told")
        connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'Ausnahme' USING ERRCODE = '{code}'; END $$"))
    assert before == everything(store)


def test_examining_tells_of_settings_that_lose_what_was_stored(store: Store) -> None:
    """A server without fsync, as this one, is no place for earnest."""
    assert "fsync is off, so a power cut loses what was stored" == store.examine()
    with Postgres(durable=True) as durable:
        sound = Store(durable.url())
        assert "ok" == sound.examine()
        sound.close()


def test_the_clock_is_the_servers(store: Store) -> None:
    """It goes on within a transaction, in µs."""
    with store.read() as connection:
        first, second = store.now(connection), store.now(connection)
    assert first < second
    assert abs(first - SystemClock().now()) < 5_000_000


def test_the_servers_list_says_who_is_connected(store: Store, postgres: Postgres) -> None:
    """By the process's role; a lock's session by its very name."""
    named, lock = Store(store.url, "release"), SessionLock(store.url, "release")
    with named.read():
        names = postgres.execute("SELECT application_name FROM pg_stat_activity WHERE backend_type = 'client backend'")
        assert ("tongfa release",) in names
        assert (lock.name,) in postgres.execute("SELECT application_name FROM pg_stat_activity")
    lock.release()
    named.close()


# ---- an installation on it


def settled(tmp_path: Path, url: str, host: str, key: str) -> str:
    """Set up from a host with this key file; the installation's identity."""
    settings = read_settings(home=tmp_path / host, database_url=url, secret_key_file=tmp_path / key)
    create_home(settings, SystemClock())
    ctx = context(settings, "prepare")
    with ctx.store.read() as connection:
        identity = outlets.identity(connection)
    assert isinstance(ctx.lock, SessionLock)
    assert isinstance(ctx.assets, AssetRows)
    assert b"png" == ctx.assets.get(ctx.assets.put(b"png"))
    assert ["prepare"] == [one.lane for one in ctx.lock.living()]
    ctx.lock.release()
    ctx.store.close()
    return identity


def test_an_installation_is_founded_once(tmp_path: Path, postgres: Postgres) -> None:
    """A second host with the key joins it; one without the key is told where to get it."""
    url = postgres.database()
    first = settled(tmp_path, url, "one", "key")
    assert first == settled(tmp_path, url, "other", "key")
    with pytest.raises(BadInput, match="does not have the key"):
        settled(tmp_path, url, "third", "another-key")
    assert not (tmp_path / "another-key").exists()
    postgres.drop(url)


SETTLER = """
import sys
from pathlib import Path
from sync.bootstrap import create_home
from sync.clock import SystemClock
from sync.engine.claim import Claim
from sync.flow import RE, E
from sync.settings import read_settings

home = Path(sys.argv[1])
print("ready", flush=True)
create_home(read_settings(home=home, database_url=sys.argv[2], secret_key_file=home.parent / "key"), SystemClock())
"""


def test_hosts_that_set_up_at_once_found_one_installation(tmp_path: Path, postgres: Postgres) -> None:
    """Both succeed; there is one identity and one entry that tells of it."""
    url = postgres.database()
    hosts = [spawn(SETTLER, tmp_path / name, url) for name in ("one", "other", "third")]
    assert ["ready"] * 3 == [line(each) for each in hosts]
    assert [0] * 3 == [end(each) for each in hosts]
    made = Store(url)
    with made.read() as connection:
        assert 1 == connection.execute(text("SELECT count(*) FROM installation")).scalar_one()
        assert 1 == connection.execute(text("SELECT count(*) FROM entry WHERE act = 'founded'")).scalar_one()
    made.close()
    postgres.drop(url)


# ---- the last look before an instant


def in_flight(store: Store, owner: str) -> Record:
    """The delivery, committed and about to be sent by this owner."""
    with store.write() as connection:
        row = deliveries.get(connection, "delivery-1")
        for event in (E.RENDERED, E.PREPARE_BEGUN, E.PREPARED):
            row = deliveries.move(connection, row, event, at=AT, actor="test")
        joined = releases.settle(connection, "release-1", at=AT, actor="test", arm_before=30, why=str)
        releases.move(connection, joined, RE.COMMITTED, at=AT, actor="test")
        row = deliveries.note(connection, deliveries.get(connection, row.id), owner=owner, epoch=row.epoch + 1)
        return deliveries.move(connection, row, E.RELEASE_BEGUN, at=AT, actor="test", fire_at=AT)


@pytest.mark.parametrize("fate", ["nothing", "session cut", "server restarted", "taken over"])
def test_what_is_not_proved_ours_is_not_sent(store: Store, postgres: Postgres, tmp_path: Path, fate: str) -> None:
    """Session, lock and row are looked at once more; when any of them is gone, nothing is sent, and never will be."""
    settings = read_settings(home=tmp_path, database_url=store.url, secret_key_file=tmp_path / "key")
    create_key(settings.secret_key_path)
    ctx = context(settings, "release")
    held, claim = ctx.owner, Claim(ctx, "release-1")
    claim.rows["delivery-1"] = in_flight(store, held)
    assert {"delivery-1"} == claim.last_look()[0]
    if fate == "session cut":
        postgres.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", held
        )
    if fate == "server restarted":
        postgres.restart("immediate")
    if fate == "taken over":
        with store.write() as connection:
            row = deliveries.get(connection, "delivery-1")
            deliveries.note(connection, row, owner=None, epoch=row.epoch + 1)
    ours = {"delivery-1"} if fate == "nothing" else set()
    assert [ours, ours] == [claim.last_look()[0], claim.last_look()[0]]
    assert (fate in ("nothing", "taken over")) == (held == ctx.owner)
    assert (held != ctx.owner) == ctx.lock.is_dead(held)
    ctx.lock.release()
    ctx.store.close()
