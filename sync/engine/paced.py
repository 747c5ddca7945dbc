"""A channel and its egress as the engine is given them: in step with what the outlet grants and asks for.

Every call is counted, waits that the outlet asked for are kept by all processes, and a dead outlet is not
called. What a channel raises, returns or sends is handed on unchanged, after it was told to `sync.engine.pace`.
Nothing of this stops a shot that is armed.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from sync.clock import SECOND, Clock, iso
from sync.contract import (
    Accepted,
    Ambiguous,
    Budget,
    Carrier,
    Channel,
    Egress,
    HeldBack,
    OutletError,
    Prepared,
    Receipt,
    Response,
    Shot,
    TryLater,
)
from sync.engine.pace import GRACE, READS, Pace
from sync.engine.purse import Paid, Purse
from sync.engine.shots import HeardShot, PlacedShot
from sync.model import Capture, Key, Rendition, Sighting
from sync.store.budgets import Account
from sync.store.tables import Record
from sync.together import TooLate, within

T = TypeVar("T")

ARMED_BY = 1.9  # seconds before the instant by which an outlet has armed, or goes without: the others leave
LEAST, PATIENCE = 0.5, 4.0  # seconds that it has in any case; and where no instant lies ahead
SOON = SECOND // 2  # µs until arming is tried again while others try


class PacedEgress:
    """The egress of one channel object: `releasing` while it arms or withdraws, for an instant at `release_at`."""

    def __init__(
        self, http: Egress, outlet: Record, granted: Sequence[Budget], pace: Pace, purse: Purse, clock: Clock
    ) -> None:
        self._http, self._outlet, self._granted = http, outlet, granted
        self._pace, self._purse, self._clock = pace, purse, clock
        self._account = Account(outlet.name, bool(outlet.live))
        self._taken: defaultdict[str, int] = defaultdict(int)
        self.captures: list[Capture] = []  # of one `verify`
        self.releasing = False
        self.release_at = 0

    def call(
        self,
        method: str,
        url: str,
        *,
        creates: bool,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        form: Mapping[str, str] | None = None,
        expect: tuple[int, ...] = (),
    ) -> Response:
        self._admit(_what(method, url), until=0)
        more = {"headers": headers, "body": body, "files": files, "form": form, "expect": expect}
        return self._http.call(method, url, creates=creates, **more)  # type: ignore[arg-type]  # as they came

    def read(self, url: str) -> Response:
        self._wait(_what(READS, url), until=0)
        what = _what("GET", url)
        self._pay([one for one in self._granted if one.reads and _counts(one, what)])
        answer = self._http.read(url)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.captures.append(Capture(url, answer.status, media_type, answer.body))
        return answer

    def shot(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        settle: Callable[[Response], Receipt | Accepted],
        expect: tuple[int, ...] = (),
    ) -> Shot:
        """Its place is taken now, and given back if it is never sent. A wait that ends before the instant is none."""
        paid = self._admit(_what(method, url), until=self.release_at)
        shot: Shot | None = None
        try:
            shot = self._http.shot(method, url, headers=headers, body=body, settle=settle, expect=expect)
        finally:
            if shot is None:
                self._purse.give_back(self._account, paid)
        return PlacedShot(shot, partial(self._purse.give_back, self._account, paid)) if paid else shot

    def spend(self, what: str) -> None:
        """One of every budget that is of this very word."""
        self._pay([one for one in self._granted if one.of == what])

    def _admit(self, what: str, until: int) -> list[Paid]:
        self._wait(what, until)
        return self._pay([one for one in self._granted if _counts(one, what)])

    def _wait(self, what: str, until: int) -> None:
        """Raises HeldBack while the outlet has asked for patience, beyond `until`."""
        held = self._pace.known().held(self._outlet, what, self._clock.now())
        if held is not None and held.until > until:
            name = self._outlet.name
            raise HeldBack(
                f"{name}: 平台要求稍后再来 · asked for patience until {iso(held.until)}: {held.why}", held.until
            )

    def _pay(self, wanted: Sequence[Budget]) -> list[Paid]:
        paid = self._purse.spend(self._account, wanted, releasing=self.releasing, taken=self._taken)
        for one in wanted:
            self._taken[one.name] += 1
        return paid


class Arming:
    """How many releases of this process are arming at one outlet: of a dead one, one at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._now: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def place(self, outlet: str, *, dead: bool, now: int) -> Iterator[None]:
        with self._guard:
            if self._now[outlet] >= (1 if dead else self._most):
                raise HeldBack(f"{outlet}: 平台尚无应答 · others wait for its answer already", now + SOON)
            self._now[outlet] += 1
        try:
            yield
        finally:
            with self._guard:
                self._now[outlet] -= 1


class PacedChannel:
    """In front of a channel: its own methods, but for those that go out."""

    def __init__(
        self, channel: Channel, egress: PacedEgress, outlet: Record, pace: Pace, arming: Arming, clock: Clock
    ) -> None:
        self._channel, self._egress, self._outlet = channel, egress, outlet
        self._pace, self._arming, self._clock = pace, arming, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def login(self) -> None:
        self._heard(self._channel.login, counts=False)  # a person's look, or the look: it says so itself

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        self._refuse_dead()
        return self._heard(lambda: self._channel.prepare(rendition, key, replaces))

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        self._refuse_dead()
        return self._heard(lambda: self._channel.probe(rendition, key, hint, replaces))

    def discard(self, prepared: Prepared, key: Key) -> None:
        self._refuse_dead()
        self._heard(lambda: self._channel.discard(prepared, key))

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """What has to go is tried as often as ever, however dead the outlet seems."""
        self._egress.releasing = True
        self._heard(lambda: self._channel.withdraw(receipt, key))

    def carry(
        self,
        accepted: Accepted,
        rendition: Rendition,
        key: Key,
        keep: Callable[[Mapping[str, str]], bool],
        *,
        stop: bool,
    ) -> Accepted | Receipt:
        """Where nothing may be begun any more nobody is called. What is in doubt at the end says nothing of the outlet:
        that may be of hours ago, or of a death of ours."""
        carrier = cast(Carrier, self._channel)
        if stop:
            return carrier.carry(accepted, rendition, key, keep, stop=True)
        self._refuse_dead()
        try:
            answer = carrier.carry(accepted, rendition, key, keep, stop=False)
        except OutletError as error:
            self._pace.heard(self._outlet, error, counts=not isinstance(error, Ambiguous))
            raise
        self._pace.heard(self._outlet, None)
        return answer

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        """With what was read, as evidence of what it says."""
        self._egress.captures = []
        try:
            sighting = self._channel.verify(receipt, rendition, before)
            return replace(sighting, captures=tuple(self._egress.captures))
        except OutletError as error:
            self._pace.heard(self._outlet, error, reading=True)
            raise

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        """Also where the outlet counts as dead, then by one release of this process at a time: it may be back.

        It is waited for as long as the others can wait. Raises TryLater when it has not armed by then."""
        now, egress = self._clock.now(), self._egress
        egress.releasing, egress.release_at = True, int(prepared.notes.get("release_at", "0"))
        ahead = (egress.release_at - now) / SECOND
        patience = max(LEAST, ahead - ARMED_BY) if ahead > ARMED_BY else PATIENCE
        dead = self._pace.known().open(self._outlet) is not None
        with self._arming.place(self._outlet.name, dead=dead, now=now):
            if isinstance(self._channel, Carrier):  # its shot goes to nobody: arming it says nothing of the outlet
                return self._armed(patience, prepared, rendition, key)
            shot = self._heard(lambda: self._armed(patience, prepared, rendition, key))
        return HeardShot(shot, partial(self._pace.heard, self._outlet))

    def _armed(self, patience: float, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        try:
            return within(lambda: self._channel.arm(prepared, rendition, key), patience, late=lambda shot: shot.close())
        except TooLate:
            raise TryLater(f"{self._outlet.name}: 未及时就绪 · did not answer in time to be armed") from None

    def _refuse_dead(self) -> None:
        breaker = self._pace.known().open(self._outlet)
        if breaker is not None:
            again = max(breaker.half_open_at or 0, self._clock.now()) + GRACE
            raise HeldBack(f"{self._outlet.name}: 平台无应答，暂停访问 · does not answer: {breaker.why}", again)

    def _heard(self, act: Callable[[], T], *, counts: bool = True) -> T:
        try:
            answer = act()
        except OutletError as error:
            self._pace.heard(self._outlet, error, counts=counts)
            raise
        self._pace.heard(self._outlet, None, counts=counts)
        return answer


def paced(channel: Channel, egress: PacedEgress, outlet: Record, pace: Pace, arming: Arming, clock: Clock) -> Channel:
    """The channel, in step."""
    return cast(Channel, PacedChannel(channel, egress, outlet, pace, arming, clock))


def _what(method: str, url: str) -> str:
    """How a call is named: by method and path, without host and query."""
    return f"{method.upper()} {urlsplit(url).path or '/'}"


def _counts(budget: Budget, what: str) -> bool:
    return not budget.of or re.match(budget.of, what) is not None
