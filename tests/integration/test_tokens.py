"""Kept tokens: one renews for all, whoever dies, and nothing takes the place of what is kept but something better."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from channels.wechat_api import BUDGETS, WechatApi
from sync.clock import SECOND, SystemClock
from sync.contract import Fresh, HeldBack, Misbehaved, OutletError, Tokens, TryLater, Unauthorised
from sync.engine import tokens as engine
from sync.engine.pace import Pace
from sync.engine.paced import PacedEgress
from sync.engine.purse import Purse
from sync.engine.tokens import FAILED_FOR, MARGIN, TokenKeeper
from sync.http import Http, Limits
from sync.ownership import Ownership, ProcessLock
from sync.session_lock import SessionLock
from sync.store import journal, outlets
from sync.store.session import Store
from sync.store.tables import entry, outlet_token
from sync.vault import Vault
from tests.contract.bench import Server, server
from tests.integration.rows import AT, end, line, spawn

KEY = bytes(32)
SECRET = "t0ken-that-nobody-may-see"
HOUR = 3_600 * SECOND

# Asks for the token of "blog" once there is a file `go`; each renewal is a line in another file.
RENEWER = """
import sys, time
from pathlib import Path
from sync.clock import SystemClock
from sync.contract import Fresh
from sync.engine.tokens import TokenKeeper
from sync.ownership import ProcessLock
from sync.session_lock import SessionLock
from sync.store import outlets
from sync.store.session import Store
from sync.vault import Vault

url, folder, refused, how = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:5]
store = Store(url)
lock = SessionLock(url, "test") if url.startswith("postgres") else ProcessLock(folder, "test")
keeper = TokenKeeper(store, lambda: Vault(bytes(32)), lock, SystemClock())
with store.read() as connection:
    row = outlets.get(connection, "blog")

def renew(kept):
    with (folder / "renewed").open("a") as file:
        file.write(f"{kept}\\n")
    if how == "hang":
        print("renewing", flush=True)
        time.sleep(600)
    time.sleep(0.05 if how == "slow" else 0)
    return Fresh("alive")

print("ready", flush=True)
while not (folder / "go").exists():
    time.sleep(0.002)
print(keeper.of(row).get("access", renew, refused=refused), flush=True)
"""


class Ask:
    """What a channel hands in to renew: counts, and does as it is told."""

    def __init__(self, *answers: str | OutletError, lasts: int | None = None, slow: float = 0.0) -> None:
        self._answers, self._lasts, self._slow = list(answers), lasts, slow
        self.kept: list[str] = []

    def __call__(self, kept: str) -> Fresh:
        self.kept.append(kept)
        threading.Event().wait(self._slow)
        answer = self._answers.pop(0)
        if isinstance(answer, OutletError):
            raise answer
        return Fresh(answer, None if self._lasts is None else SystemClock().now() + self._lasts)


def never(kept: str) -> Fresh:
    raise AssertionError("nothing had to be renewed")


@pytest.fixture
def process(store: Store, tmp_path: Path) -> Iterator[Callable[..., TokenKeeper]]:
    """Makes what one process has: a store, a lock and a keeper of its own."""
    (tmp_path / "workers").mkdir()
    made: list[tuple[Store, Ownership]] = []

    def make(key: bytes = KEY) -> TokenKeeper:
        own = Store(store.url)
        lock: Ownership = ProcessLock(tmp_path / "workers", "test")
        if own.url.startswith("postgres"):
            lock = SessionLock(own.url, "test")
        made.append((own, lock))
        return TokenKeeper(own, lambda: Vault(key), lock, SystemClock())

    yield make
    for own, lock in made:
        lock.release()
        own.close()


def blog(keeper: TokenKeeper) -> Tokens:
    with keeper.store.read() as connection:
        return keeper.of(outlets.get(connection, "blog"))


def kept(store: Store) -> Any:
    with store.read() as connection:
        return connection.execute(select(outlet_token)).one_or_none()


def change(store: Store, **values: Any) -> None:
    with store.write() as connection:
        row = outlets.get(connection, "blog")
        outlets.change(connection, row, "changed", at=AT, actor="test", **values)


def test_all_processes_use_what_one_gained(process: Callable[..., TokenKeeper]) -> None:
    ask = Ask("first")
    assert "first" == blog(process()).get("access", ask)
    assert "first" == blog(process()).get("access", never)
    assert [""] == ask.kept
    assert "other" == blog(process()).get("refresh", Ask("other"))


def test_it_is_renewed_before_it_ends(process: Callable[..., TokenKeeper], store: Store) -> None:
    """Five minutes before; of one that lives for a minute, twelve seconds before."""
    tokens = blog(process())
    assert "one" == tokens.get("access", Ask("one", lasts=2 * HOUR))
    assert "one" == tokens.get("access", never)
    now = SystemClock().now()
    _ends(store, gained_at=now - HOUR, expires_at=now + MARGIN - SECOND)
    ask = Ask("two", lasts=60 * SECOND)
    assert ("two", ["one"]) == (tokens.get("access", ask), ask.kept)
    assert "two" == tokens.get("access", never)
    _ends(store, gained_at=now - 49 * SECOND, expires_at=now + 11 * SECOND)
    assert "three" == tokens.get("access", Ask("three"))


def _ends(store: Store, **values: int) -> None:
    with store.write() as connection:
        connection.execute(update(outlet_token).values(**values))


def test_twenty_that_find_it_dead_renew_it_once(process: Callable[..., TokenKeeper]) -> None:
    """In four processes at the same moment; all go on with what the one gained."""
    keepers = [process() for _ in range(4)]
    assert "dead" == blog(keepers[0]).get("access", Ask("dead"))
    ask, at_once = Ask("alive", slow=0.2), threading.Barrier(20)

    def find_out(number: int) -> str:
        tokens = blog(keepers[number % 4])
        at_once.wait(20)
        return tokens.get("access", ask, refused="dead")

    with ThreadPoolExecutor(20) as pool:
        assert ["alive"] * 20 == list(pool.map(find_out, range(20)))
    assert ["dead"] == ask.kept


def test_real_processes_renew_it_once(process: Callable[..., TokenKeeper], store: Store, tmp_path: Path) -> None:
    """Each in an interpreter of its own, let go together."""
    blog(process()).get("access", Ask("dead"))
    children = [spawn(RENEWER, store.url, tmp_path / "workers", "dead", "quick") for _ in range(3)]
    assert ["ready"] * 3 == [line(one) for one in children]
    (tmp_path / "workers" / "go").touch()
    assert ["alive"] * 3 == [line(one) for one in children]
    assert [0] * 3 == [end(one) for one in children]
    assert ["dead"] == renewals(tmp_path)


def renewals(tmp_path: Path) -> list[str]:
    """What each of the children's renewals was handed."""
    return (tmp_path / "workers" / "renewed").read_text().splitlines()


@contextmanager
def renewing(store: Store, tmp_path: Path) -> Iterator[Any]:
    """A process that has begun to renew the token and hears nothing from the outlet."""
    (tmp_path / "workers" / "go").touch()
    child = spawn(RENEWER, store.url, tmp_path / "workers", "dead", "hang")
    try:
        assert ["ready", "renewing"] == [line(child), line(child)]
        yield child
    finally:
        child.kill()
        end(child)


def test_a_death_while_renewing_frees_it(process: Callable[..., TokenKeeper], store: Store, tmp_path: Path) -> None:
    """Killed before the answer: the next one renews, at once, and is handed what was kept."""
    blog(process()).get("access", Ask("dead"))
    with renewing(store, tmp_path) as child:
        assert kept(store).owner is not None
        child.kill()
        child.wait()
        ask = Ask("alive")
        assert "alive" == blog(process()).get("access", ask, refused="dead")
        assert ["dead"] == ask.kept
    assert (None, 3) == (kept(store).owner, kept(store).epoch)


def test_whenever_it_dies_a_token_is_kept(process: Callable[..., TokenKeeper], store: Store, tmp_path: Path) -> None:
    """Killed at random moments from before the claim to after the token was stored: one is there, old or new, and
    whoever asks next has one that works, without waiting for anybody."""
    random, tokens = Random("kept"), blog(process())
    tokens.get("access", Ask("dead"))
    (tmp_path / "workers" / "go").touch()
    for _ in range(6):
        child = spawn(RENEWER, store.url, tmp_path / "workers", "dead", "slow")
        assert "ready" == line(child)
        threading.Event().wait(random.uniform(0.0, 0.15))
        child.kill()
        end(child)
        assert "alive" == tokens.get("access", Ask("alive"), refused="dead")
        assert (None, True) == (kept(store).owner, kept(store).sealed is not None)
        assert "dead" == tokens.get("access", Ask("dead"), refused="alive")


def test_a_frozen_renewer_is_waited_for_and_never_overtaken(
    process: Callable[..., TokenKeeper], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be about to get a new one: there is no lease that runs out, and whoever asks is told to come later."""
    monkeypatch.setattr(engine, "PATIENCE", 0.3)
    blog(process()).get("access", Ask("dead"))
    with renewing(store, tmp_path) as child:
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(HeldBack, match="another process has been renewing") as told:
            blog(process()).get("access", never, refused="dead")
        assert told.value.not_before is not None


def test_one_that_was_overtaken_keeps_nothing(process: Callable[..., TokenKeeper], store: Store) -> None:
    """Taken for dead while it asked: what the other gained stays, and is what this one uses, too."""
    first, other = process(), process()

    def slowly(kept: str) -> Fresh:
        first.lock.release()  # as when its session with the database was cut
        assert "newer" == blog(other).get("access", Ask("newer"))
        return Fresh("older")

    assert "newer" == blog(first).get("access", slowly)
    assert "newer" == blog(other).get("access", never)


def test_a_failed_renewal_takes_nothing_away(process: Callable[..., TokenKeeper], store: Store) -> None:
    """What is kept is used as long as it lasts; then the failure is told."""
    tokens = blog(process())
    tokens.get("access", Ask("old", lasts=2 * HOUR))
    now = SystemClock().now()
    _ends(store, gained_at=now - HOUR, expires_at=now + 60 * SECOND)
    assert "old" == tokens.get("access", Ask(TryLater("no connection")))
    assert "old" == tokens.get("access", never)  # nor is the outlet asked again at once
    with pytest.raises(TryLater, match="no connection"):
        tokens.get("access", never, refused="old")


@pytest.mark.parametrize("nothing", ["", Unauthorised("the secret is frozen"), TryLater("busy")])
def test_nothing_never_takes_its_place(
    process: Callable[..., TokenKeeper], store: Store, nothing: str | OutletError
) -> None:
    """An empty answer is no token, and a refusal leaves what was there, though it was refused."""
    tokens = blog(process())
    tokens.get("access", Ask("old"))
    before = kept(store).sealed
    with pytest.raises(OutletError if isinstance(nothing, OutletError) else Misbehaved):
        tokens.get("access", Ask(nothing), refused="old")
    assert (before, None) == (kept(store).sealed, kept(store).owner)


def test_the_database_refuses_to_lose_one(process: Callable[..., TokenKeeper], store: Store) -> None:
    """Emptied, removed, moved to another outlet or set back: whoever writes past us is told."""
    blog(process()).get("access", Ask("first"))
    for statement in (
        "UPDATE outlet_token SET sealed = NULL",
        "UPDATE outlet_token SET sealed = ''",
        "UPDATE outlet_token SET name = 'other'",
        "UPDATE outlet_token SET epoch = 0",
        "DELETE FROM outlet_token",
    ):
        with pytest.raises(DBAPIError), store.write() as connection:
            connection.exec_driver_sql(statement)
    assert "first" == blog(process()).get("access", never)


@pytest.mark.parametrize("failure", [Unauthorised("the secret is frozen"), TryLater("busy"), Misbehaved("?")])
def test_a_dead_key_is_tried_three_times_a_minute_at_most(
    process: Callable[..., TokenKeeper], store: Store, failure: OutletError
) -> None:
    """However many ask: within twenty seconds they hear what the first one heard; after that one asks again."""
    keepers = [process() for _ in range(2)]
    ask = Ask(failure, "alive")
    with pytest.raises(type(failure)):
        blog(keepers[0]).get("access", ask)
    for number in range(6):
        with pytest.raises(HeldBack if isinstance(failure, TryLater) else type(failure), match="not again"):
            blog(keepers[number % 2]).get("access", ask)
    assert [""] == ask.kept
    with store.write() as connection:
        told = kept(store).failure
        told["at"] -= FAILED_FOR
        connection.execute(update(outlet_token).values(failure=told))
    assert "alive" == blog(keepers[1]).get("access", ask)


def test_who_waits_for_a_renewal_that_fails_does_not_try_it_too(process: Callable[..., TokenKeeper]) -> None:
    """Twelve at once: the outlet is asked once, and all hear it."""
    keepers = [process() for _ in range(3)]
    ask, at_once = Ask(*[Unauthorised("the secret is frozen")] * 12, slow=0.2), threading.Barrier(12)

    def refuse(number: int) -> bool:
        at_once.wait(20)
        with pytest.raises(Unauthorised, match="frozen"):
            blog(keepers[number % 3]).get("access", ask)
        return True

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(refuse, range(12)))
    assert [""] == ask.kept


def test_a_bug_while_renewing_leaves_it_free(process: Callable[..., TokenKeeper], store: Store) -> None:
    tokens = blog(process())
    with pytest.raises(ZeroDivisionError):
        tokens.get("access", lambda kept: Fresh(str(1 // 0)))
    assert kept(store).owner is None
    assert "first" == tokens.get("access", Ask("first"))


def test_other_credentials_make_it_void(process: Callable[..., TokenKeeper], store: Store) -> None:
    """A token of the old ones is never used with the new; and who still has the old ones comes back with the new."""
    keeper = process()
    old = blog(keeper)
    old.get("access", Ask("old"))
    change(store, secrets={"password": "v1.sealed"})
    ask = Ask("new")
    assert "new" == blog(keeper).get("access", ask)
    assert [""] == ask.kept
    with pytest.raises(HeldBack, match="changed"):
        old.get("access", never)
    change(store, groups=["all"])  # says nothing of where and as whom
    assert "new" == blog(keeper).get("access", never)


def test_a_failure_of_other_credentials_is_forgotten(process: Callable[..., TokenKeeper], store: Store) -> None:
    """Given anew, they are tried at once."""
    keeper = process()
    with pytest.raises(Unauthorised):
        blog(keeper).get("access", Ask(Unauthorised("the secret is wrong")))
    change(store, secrets={"password": "v1.other"})
    assert "alive" == blog(keeper).get("access", Ask("alive"))


def test_the_sandbox_twin_has_its_own(process: Callable[..., TokenKeeper], store: Store) -> None:
    """Going live and back again mixes nothing up."""
    keeper = process()
    blog(keeper).get("access", Ask("of the sandbox"))
    change(store, live=True)
    ask = Ask("of the outlet")
    assert "of the outlet" == blog(keeper).get("access", ask)
    assert [""] == ask.kept
    change(store, live=False)
    assert "again" == blog(keeper).get("access", Ask("again"))  # a new generation: gained anew
    with store.read() as connection:
        rows = connection.execute(select(outlet_token.c.live, outlet_token.c.sealed)).all()
    assert [False, True] == sorted(bool(row.live) for row in rows)


def test_nobody_sees_it(process: Callable[..., TokenKeeper], store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the row, nor an entry, nor a log line has it; in another row, or by another key, it does not open."""
    caplog.set_level("DEBUG")
    blog(process()).get("access", Ask(SECRET))
    with store.read() as connection:
        entries = [str(row) for row in connection.execute(select(entry))]
        assert journal.size(connection) == len(entries)
    assert not any(SECRET in one for one in [*entries, caplog.text, str(kept(store))])
    with store.write() as connection:
        fresh = kept(store)._asdict() | {"name": "refresh"}
        connection.execute(outlet_token.insert(), fresh)
    assert "other" == blog(process()).get("refresh", Ask("other"))
    change(store, live=True)
    with store.write() as connection:
        connection.execute(outlet_token.insert(), fresh | {"name": "access", "live": True, "generation": 2})
    assert "of the outlet" == blog(process()).get("access", Ask("of the outlet"))
    change(store, live=False)
    assert "anew" == blog(process(key=b"1" * 32)).get("access", Ask("anew"))


# ---- WeChat's token, for all processes


class Account:
    """A WeChat account of one process: its tokens are kept, its budgets counted."""

    def __init__(self, keeper: TokenKeeper, address: str) -> None:
        clock = SystemClock()
        with keeper.store.read() as connection:
            self._row = outlets.get(connection, "blog")
        self._keeper, self._address = keeper, address
        self._purse = Purse(keeper.store, clock)
        self._http = Http(private_network=True, now=clock.now, limits=Limits(read=10.0, total=20.0))

    def api(self) -> WechatApi:
        """As of one task."""
        egress = PacedEgress(self._http, self._row, BUDGETS, self._pace(), self._purse, SystemClock())
        who = ("sandbox-blog", "sandbox-secret-blog")
        return WechatApi(egress, self._address, *who, SystemClock().now, self._keeper.of(self._row), egress.spend)

    def _pace(self) -> Pace:
        return Pace(self._keeper.store, SystemClock(), lambda lane: None, "test")

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def wechat(tmp_path: Path) -> Iterator[Server]:
    with server("channels.sandbox.wechat", tmp_path / "sandbox") as running:
        yield running


def count(api: WechatApi) -> int | str:
    try:
        return len(api.fetch("draft/count"))
    except OutletError as error:
        return type(error).__name__


def effects(wechat: Server, name: str) -> int:
    return sum(line["effect"] == name for line in wechat.record())


def test_wechats_token_is_forced_once_for_all_processes(process: Callable[..., TokenKeeper], wechat: Server) -> None:
    """The outlet refuses what it hands out: twelve tasks in three processes find out at once, one forces a new one."""
    accounts = [Account(process(), wechat.address) for _ in range(3)]
    tasks = [accounts[number % 3].api() for number in range(12)]
    (token,) = {one.token() for one in tasks}
    assert 1 == effects(wechat, "asked_token")
    wechat.knob("bad_token", token=token)
    with ThreadPoolExecutor(12) as pool:
        assert [1] * 12 == list(pool.map(count, tasks))
    assert (1, 2) == (effects(wechat, "forced_token"), effects(wechat, "asked_token"))
    assert [1, 1, 1] == [count(one.api()) for one in accounts]
    assert 2 == effects(wechat, "asked_token")
    for one in accounts:
        one.close()


def test_wechats_token_is_not_forced_twice_in_half_a_minute(
    process: Callable[..., TokenKeeper], wechat: Server
) -> None:
    """However many tasks of however many processes are refused with the new one, too: a person is told."""
    accounts = [Account(process(), wechat.address) for _ in range(2)]
    wechat.knob("errcode", path="/cgi-bin/draft/count", times=0, code=40001)
    assert ["Unauthorised"] * 6 == [count(accounts[number % 2].api()) for number in range(6)]
    assert 1 == effects(wechat, "forced_token")
    for one in accounts:
        one.close()
