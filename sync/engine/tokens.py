"""Tokens kept for all processes: sealed, renewed by one at a time, never overwritten with nothing.

Who renews owns the row, by the name of its process's lock, while no transaction is open. Its death frees
the row: the next one renews again, handed what was kept. A renewal that failed is not repeated for
`FAILED_FOR`, however many ask: an outlet may lock out who keeps coming with a dead key.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sync import contract
from sync.clock import SECOND, Clock
from sync.contract import Fresh, HeldBack, Misbehaved, OutletError, Tokens, TryLater, Unauthorised
from sync.model import BadInput
from sync.ownership import Ownership
from sync.store import tokens
from sync.store.session import Store
from sync.store.tables import Record
from sync.store.tokens import Place
from sync.vault import Vault

MARGIN = 300 * SECOND  # µs before its end at which a token is renewed; of a short life a fifth
PATIENCE = 10.0  # seconds that another's renewal is waited for
POLL = 0.05  # seconds
AGAIN = 2 * SECOND  # µs until what was waited for in vain is asked for again
FAILED_FOR = 20 * SECOND  # µs


@dataclass(frozen=True, slots=True)
class _Claimed:
    epoch: int
    kept: str
    lasts: bool  # what was kept could still be used for a while


class TokenKeeper:
    """One process's way to all kept tokens. Safe to share between threads."""

    def __init__(self, store: Store, vault: Callable[[], Vault], lock: Ownership, clock: Clock) -> None:
        """`vault` is asked for when a token is sealed or opened; it may raise BadInput."""
        self.store, self.vault, self.lock, self.clock = store, vault, lock, clock
        self._guard = threading.Lock()
        self._turns: defaultdict[Place, threading.Lock] = defaultdict(threading.Lock)

    def of(self, outlet: Record) -> Tokens:
        """Those of one outlet, as it is in this row: with other credentials they are others."""
        return KeptTokens(self, outlet.name, bool(outlet.live), int(outlet.generation))

    def turn(self, place: Place) -> threading.Lock:
        """Of this process's threads one at a time: only then is a row under our own name one that was dropped."""
        with self._guard:
            return self._turns[place]


class KeptTokens(Tokens):
    def __init__(self, keeper: TokenKeeper, outlet: str, live: bool, generation: int) -> None:
        self._keeper, self._outlet, self._live, self._generation = keeper, outlet, live, generation

    def get(self, name: str, renew: Callable[[str], Fresh], *, refused: str = "") -> str:
        place, keeper = Place(self._outlet, self._live, name), self._keeper
        with keeper.store.read() as connection:
            row, now = tokens.get(connection, place), keeper.store.now(connection)
        if (good := self._good(place, row, now, refused)) is not None:
            return good
        turn = keeper.turn(place)
        if not turn.acquire(timeout=PATIENCE):
            raise self._waited(place, now)
        try:
            claimed = self._claim(place, refused)
            return claimed if isinstance(claimed, str) else self._renew(place, claimed, renew, refused)
        finally:
            turn.release()

    def _claim(self, place: Place, refused: str) -> str | _Claimed:
        """The right to renew, or what another gained meanwhile. Raises HeldBack, and what a renewal just now raised."""
        keeper, nap = self._keeper, threading.Event()
        ends = keeper.clock.boottime() + PATIENCE
        while True:
            with keeper.store.read() as connection:
                row, now = tokens.get(connection, place), keeper.store.now(connection)
            if (good := self._good(place, row, now, refused)) is not None:
                return good
            if row is None or self._is_free(row):
                with keeper.store.write() as connection:
                    found, now = tokens.get(connection, place), keeper.store.now(connection)
                    same = (None if found is None else found.epoch) == (None if row is None else row.epoch)
                    if same and self._good(place, found, now, refused) is None:
                        owner = keeper.lock.name
                        begun = tokens.begin(connection, place, found, generation=self._generation, owner=owner)
                        kept = self._opened(place, found)
                        return _Claimed(begun, kept, _lasts(found, now) and kept not in ("", refused))
                continue  # somebody was faster
            if keeper.clock.boottime() >= ends:
                raise self._waited(place, now)
            nap.wait(POLL)

    def _renew(self, place: Place, claimed: _Claimed, renew: Callable[[str], Fresh], refused: str) -> str:
        """The network call, outside of any transaction. Dying in it leaves the row to a dead owner, to be renewed
        again with what was kept; dying before what was gained is stored, the same."""
        failure: Mapping[str, Any] | None = None
        fresh: Fresh | None = None
        try:
            fresh = renew(claimed.kept)
            if not fresh.value:
                fresh = None
                raise Misbehaved(f"{self._outlet}: an empty {place.name} was handed out")
        except OutletError as error:
            named = error.not_before if isinstance(error, TryLater) else None
            failure = {"error": type(error).__name__, "message": str(error), "not_before": named}
            if claimed.lasts:
                return claimed.kept
            raise
        finally:
            if fresh is None:
                self._end_failed(place, claimed.epoch, failure)
        return self._keep(place, claimed.epoch, fresh, refused)

    def _end_failed(self, place: Place, epoch: int, failure: Mapping[str, Any] | None) -> None:
        keeper = self._keeper
        with keeper.store.write() as connection:
            told = None
            if failure is not None:
                told = {**failure, "at": keeper.store.now(connection), "generation": self._generation}
            tokens.failed(connection, place, epoch, told)

    def _keep(self, place: Place, epoch: int, fresh: Fresh, refused: str) -> str:
        keeper = self._keeper
        try:
            sealed = keeper.vault().seal(place.outlet, _field(place), fresh.value)
        except BadInput:  # without the key nothing can be kept; whoever examines uses it once
            self._end_failed(place, epoch, None)
            return fresh.value
        with keeper.store.write() as connection:
            now = keeper.store.now(connection)
            values = {"generation": self._generation, "sealed": sealed, "gained_at": now}
            if tokens.gained(connection, place, epoch, values | {"expires_at": fresh.expires_at}):
                return fresh.value
            row = tokens.get(connection, place)  # we were taken for dead, and another has renewed it since
        return self._good(place, row, now, refused) or fresh.value

    def _good(self, place: Place, row: Record | None, now: int, refused: str) -> str | None:
        """What is kept, if it may be used; None: it has to be renewed. Raises what a renewal just now raised."""
        if row is None:
            return None
        if row.generation > self._generation:
            raise HeldBack(f"{self._outlet}: its credentials were changed meanwhile", now)
        kept = self._opened(place, row)
        usable = kept not in ("", refused)
        if usable and not _ends_soon(row, now):
            return kept
        failure = row.failure
        if failure and row.owner is None and failure["generation"] == self._generation:
            again = failure["at"] + FAILED_FOR
            if failure["at"] <= now < again:
                if usable and _lasts(row, now):
                    return kept
                raise _as_it_failed(failure, again)
        return None

    def _opened(self, place: Place, row: Record | None) -> str:
        """What was kept under these credentials; "" for nothing, and for what another key has sealed."""
        if row is None or row.sealed is None or row.generation != self._generation:
            return ""
        try:
            return self._keeper.vault().open(place.outlet, _field(place), row.sealed)
        except BadInput:
            return ""

    def _is_free(self, row: Record) -> bool:
        """Nobody living renews it. Under our own name nobody does: it is this thread's turn."""
        lock = self._keeper.lock
        return row.owner is None or row.owner == lock.name or lock.is_dead(row.owner)

    def _waited(self, place: Place, now: int) -> HeldBack:
        message = f"{self._outlet}: another process has been renewing the {place.name} for more than {PATIENCE:g} s"
        return HeldBack(message, now + AGAIN)


def _field(place: Place) -> str:
    """Under which it is sealed: moved to another row it does not open."""
    return f"token {place.name} {'live' if place.live else 'sandbox'}"


def _lasts(row: Record | None, now: int) -> bool:
    return row is not None and (row.expires_at is None or now < row.expires_at)


def _ends_soon(row: Record, now: int) -> bool:
    if row.expires_at is None:
        return False
    return bool(row.expires_at - min(MARGIN, (row.expires_at - row.gained_at) // 5) <= now)


def _as_it_failed(failure: Mapping[str, Any], again: int) -> OutletError:
    message = f"{failure['message']} · 刚刚问过，稍后再问 (asked just now, and not again for a moment)"
    kind = getattr(contract, failure["error"], Unauthorised)
    if issubclass(kind, TryLater):
        return HeldBack(message, max(again, failure["not_before"] or 0))
    error: OutletError = kind(message)
    return error
