"""What a channel promises the engine, and what it may raise.

A channel is handed its outlet's settings and the tools it may use; it never sees the database or
the queue. No method sleeps, retries a create, opens a transaction or logs a secret.

    OutletError
    ├── TryLater       nothing happened                → attempt again at that time
    │   └── HeldBack   a limit of our own: not asked   → at that time, and it was no attempt
    ├── Ambiguous      it may have happened            → stay in flight; probe
    │   └── Misbehaved the outlet broke its protocol   → before the first byte left: a bug; after: as Ambiguous
    ├── Rejected       this content never will         → editor
    ├── Unauthorised   our credentials or rights       → operator
    ├── Unsupported    cannot be expressed here        → planner; known before sending
    └── Stale          what was prepared is gone       → prepare again

Any other exception is a bug; once a byte has left it is treated as Ambiguous.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol, runtime_checkable

from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting


class OutletError(Exception):
    """`message` is for the person who has to act; it names the outlet's code, never a secret."""


class TryLater(OutletError):
    """`not_before`: microseconds UTC; None: the engine's own schedule.

    `of`: which of the outlet's calls have to wait until then, whichever delivery they are for, as `Budget.of`
    names them; "": all. None: it concerns this one delivery only."""

    def __init__(self, message: str, not_before: int | None = None, *, of: str | None = "") -> None:
        super().__init__(message)
        self.not_before = not_before
        self.of = of


class HeldBack(TryLater):
    """Raised by the tools, not by channels: a budget is used up, the outlet has asked for patience, or another
    process is renewing a token. The outlet was not asked."""


class Ambiguous(OutletError): ...


class Misbehaved(Ambiguous): ...


class Rejected(OutletError): ...


class Unauthorised(OutletError): ...


class Unsupported(OutletError): ...


class Stale(OutletError): ...


class Reveal(StrEnum):
    """What becomes public how."""

    FLIP = "flip"  # stored already, one small synchronous act
    CREATE = "create"  # content crosses the wire at the instant
    QUEUED = "queued"  # the act only starts a job of the outlet's
    NOTIFY = "notify"  # irreversible and unreadable: after the canonical page is verified
    MANUAL = "manual"  # a person


class Probe(StrEnum):
    """How a delivery is found again after doubt."""

    KEY = "key"  # the outlet is known to honour our key
    NAME = "name"  # we chose its final name; repeating overwrites or is refused
    SEARCH = "search"  # recent posts can be listed and ours recognised by the canonical address
    BLIND = "blind"  # not at all: never resent by the machine


class Correct(StrEnum):
    """How a newer edition takes the place of the one that is public."""

    EDIT = "edit"  # in place, at the same address: the shot changes the very copy
    REPLACE = "replace"  # created anew, verified, then the old copy is withdrawn
    NONE = "none"  # not at all


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    help_zh: str
    help_en: str
    required: bool = False
    secret: bool = False
    default: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """What an outlet grants one account: at most `calls` in any `seconds`.

    `name`: for people; no two of a kind are alike. `china_day`: the count begins anew at midnight in China,
    whatever `seconds` says. `reserve`: of these calls, how many only a release or withdrawal may use, so that
    looking and reading never starves it.
    `of`: what counts, as a regular expression from the beginning of `METHOD /path`, like `POST /api/v2/media`;
    or a word that the channel hands to `Tools.spend`. "": every call. `reads`: anonymous reads count too.
    """

    name: str
    calls: int
    seconds: int
    china_day: bool = False
    reserve: int = 0
    of: str = ""
    reads: bool = False


@dataclass(frozen=True)
class Capabilities:
    """What a kind of outlet can do. Everything optional defaults to "cannot".

    `lands_within`: seconds after the end of an attempt in which its request may still take effect;
    an absence seen earlier proves nothing. `fresh_for`: seconds a prepared artefact stays usable,
    None for ever. `address`: the public address is known at plan, so it may be canonical.
    `polls`: seconds after acceptance at which a queued job may be asked about; the last repeats.
    `budgets`: calls count against each that names them, across all processes; what is beyond raises HeldBack.
    `optional`: it is never a required one; nothing may wait for it.
    """

    reveal: Reveal
    probe: Probe
    lands_within: float
    settings: tuple[Setting, ...]
    fresh_for: float | None = None
    address: bool = False
    correct: Correct = Correct.NONE
    withdraw: bool = False
    polls: tuple[float, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Prepared:
    """In place and invisible. `ref` and `notes` are all a later process needs to arm it."""

    ref: str
    fresh_until: int | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Accepted:
    """The outlet took it and works on it. `job` asks about it later; "" when it could not be learnt.

    `again_at`: of a `Carrier`, when it can go on, µs UTC; None: at once. It is not kept."""

    job: str
    notes: Mapping[str, str] = field(default_factory=dict)
    again_at: int | None = None


@dataclass(frozen=True)
class Receipt:
    """Public, by the outlet's own word at `at` (microseconds UTC of its answer)."""

    ref: str
    url: str
    at: int
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """When a shot may leave: seconds of CLOCK_BOOTTIME."""

    opens: float
    closes: float


class Shot(ABC):
    """One armed delivery: a warm connection and finished bytes, or a staged file and its final name.

    `send` is the only act that makes anything public; it runs once, in microseconds, in the sender
    loop. `settle` runs elsewhere and may take as long as the call's own time-out.
    """

    def send(self, window: Window, boottime: Callable[[], float]) -> None:
        """Make it public. Raises TryLater outside the window: then certainly nothing was sent.

        Once inside, whatever goes wrong is kept for `settle`; send does not raise.
        """
        at = boottime()
        if not window.opens <= at < window.closes:
            raise TryLater(f"not sent: the shot's window was missed by {at - window.closes:+.3f} s")
        self._fire()

    @abstractmethod
    def _fire(self) -> None:
        """Hand over the bytes or the file. May raise nothing; remember instead."""

    def check(self) -> None:  # noqa: B027 - nothing to check is the usual case
        """Just before the instant: replace a connection that the outlet closed. Nothing public.

        Raises TryLater when no connection can be had."""

    @abstractmethod
    def settle(self) -> Receipt | Accepted:
        """Read the answer. Raises an OutletError; TryLater only if certainly nothing was sent."""

    def close(self) -> None:  # noqa: B027 - nothing to close is the usual case
        """Let go of connections and files of a shot that will not be sent, or was settled."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an edition is rendered for: this delivery's key, the release's canonical address, and, for a
    correction in place, the copy that is public there now.

    A notification changes nothing that was sent before: its `replaces` is the notification that it corrects."""

    key: Key
    canonical: str | None
    replaces: Receipt | None = None


class Response(Protocol):
    """An answer whose status was already judged by the egress."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object: ...


class Egress(Protocol):
    """The one way out (`sync.http`). See there for what each call raises."""

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
    ) -> Response: ...

    def read(self, url: str) -> Response:
        """Anonymous GET: no credentials, no cookies, any status returned as it is."""
        ...

    def shot(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        settle: Callable[[Response], Receipt | Accepted],
        expect: tuple[int, ...] = (),
    ) -> Shot: ...


class Pages(Protocol):
    """Renders a template of `templates/` (`sync.render`)."""

    def render(self, template: str, **values: object) -> str: ...


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a renewal gained: `value` is never empty; `expires_at` in µs UTC, None when the outlet does not say."""

    value: str
    expires_at: int | None = None


class Tokens(Protocol):
    """What an outlet gave in exchange for its credentials: kept sealed, shared by all processes."""

    def get(self, name: str, renew: Callable[[str], Fresh], *, refused: str = "") -> str:
        """The token that is kept, unless it is missing, about to expire, or the one that was `refused`.

        Then one caller at a time, over all processes, runs `renew` (given the value that was kept, or "");
        the others wait for what it gains. `renew` may raise an OutletError: then what was kept stays kept, is
        used as long as it lasts, and nothing ever overwrites it with nothing. Raises what `renew` raises, for a
        few seconds also to those who come after it failed; and HeldBack when another process renews for too long.
        """
        ...


class LocalTokens(Tokens):
    """For one object's life, in one process: what channels get where nothing is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, str] = {}

    def get(self, name: str, renew: Callable[[str], Fresh], *, refused: str = "") -> str:
        with self._lock:
            kept = self._kept.get(name, "")
            if not kept or kept == refused:
                kept = self._kept[name] = renew(kept).value
            return kept


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where letters are handed over. `security`: starttls, tls or none; `name`: what we call ourselves there."""

    host: str
    port: int
    security: str
    username: str
    password: str = field(repr=False)
    name: str


class Submission(Protocol):
    """An open connection to a mail server (`sync.smtp`); what is raised is told there."""

    alive: bool

    def hand_over(self, sender: str, recipient: str, letter: bytes) -> None: ...

    def close(self) -> None: ...


def no_mail(server: MailServer) -> Submission:
    """Where no mail server can be spoken to, as in a preview: whoever asks made a mistake of ours."""
    raise AssertionError(f"no letters are handed over here: {server.host}")


def freely(what: str) -> None:
    """Where nothing is counted, everything is granted."""


@dataclass(frozen=True)
class Tools:
    """All a channel may reach: the egress, asset bytes by digest, templates, the time (µs UTC), and kept tokens.

    `spend` takes one from every budget of the kind whose `of` is this word, before the channel does what no
    address tells apart. Raises HeldBack. `mail`: a connection that hands letters over (`sync.smtp`)."""

    http: Egress
    blob: Callable[[str], bytes]
    pages: Pages
    now: Callable[[], int]
    tokens: Tokens = field(default_factory=LocalTokens)
    spend: Callable[[str], None] = freely
    mail: Callable[[MailServer], Submission] = no_mail


class Channel(Protocol):
    """One kind of outlet, bound to one outlet. Built anew for each task; holds no state that matters."""

    kind: ClassVar[str]
    can: ClassVar[Capabilities]

    def __init__(self, outlet: Outlet, tools: Tools) -> None: ...

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        """The outlet as its sandbox twin: address and secrets replaced, nothing of the configured
        host kept. `sandbox` is the sandbox server's address, `folder` a directory of this twin's own."""
        ...

    # pure
    def check(self, edition: Edition) -> list[Problem]:
        """Every problem of this edition here, in the editor's words, before anything is sent."""
        ...

    def address(self, edition: Edition, key: Key) -> str | None:
        """Where it will be public, if that is known beforehand."""
        ...

    def render(self, edition: Edition, place: Place) -> Rendition:
        """The same edition and place give the same digest for ever. Raises Unsupported."""
        ...

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """What a reader will find, as files by relative path, the one to open first; offline and for the eye.

        May raise what `prepare` raises for content that cannot be made ready. Asks `blob`, never the network."""
        ...

    # network; nothing becomes public
    def login(self) -> None:
        """Prove credentials and rights without publishing. Raises an OutletError."""
        ...

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        """Put everything in place, invisible. If the process dies half-way, `probe` finds what is
        there or the outlet forgets it; preparing again is safe after that.

        `replaces`: a correction in place; the shot will change this public copy. What `arm` needs of
        it belongs into the result's notes."""
        ...

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        """Make the instant cheap. Raises TryLater, Unauthorised, or Stale if `prepared` is gone."""
        ...

    # read-only
    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """Look after doubt: what does the outlet hold of this delivery? None: nothing.

        A Prepared that was to be sent has `fire_at` among its notes: the instant of the last try, µs UTC.

        Of a correction in place (`replaces`) a Receipt says that the copy shows this rendition by now.

        Raises an OutletError when it cannot be learnt now; that is not an absence."""
        ...

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        """Read as an anonymous reader and compare. Never through our credentials.

        `before`: what this place showed until a correction in place; while it still does, the Sighting
        is not visible. Raises Unsupported when there is nothing that the public could read."""
        ...

    # undo
    def discard(self, prepared: Prepared, key: Key) -> None:
        """Remove what `prepare` put in place. Removing what is gone already is success."""
        ...

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """Remove a public copy, or ask the outlet to. May be repeated: removing what is gone is success.

        `key` is that of the withdrawing delivery. Returning proves nothing: an anonymous read that finds
        nothing does. Raises an OutletError; Unsupported where the outlet has no such act."""
        ...


@runtime_checkable
class Expiring(Protocol):
    """What a channel has besides, if its outlet's credentials end at a known time: people are told days ahead."""

    def expires(self) -> int | None:
        """When they end, µs UTC; None: not for all that is known. May ask the outlet; raises an OutletError."""
        ...


@runtime_checkable
class Carrier(Protocol):
    """What a channel may be beside: one that hands a delivery over part by part, to many recipients.

    Its shot sends nothing and says Accepted. From then on the engine has it carried on, by one process at a time, until
    there is a Receipt. What it notes is in `sync.ledger`."""

    def carry(
        self,
        accepted: Accepted,
        rendition: Rendition,
        key: Key,
        keep: Callable[[Mapping[str, str]], bool],
        *,
        stop: bool,
    ) -> Accepted | Receipt:
        """Hand over some more of it, for some seconds.

        `keep` stores notes before it returns, for whoever goes on should we die; False: begin nothing more. It
        raises when the delivery is another process's by now: then nothing may follow. `stop`: it was withdrawn, or
        corrected: begin nothing more. Returns what to go on with, or the Receipt once nothing is left.

        Raises TryLater or Unauthorised (no more was begun; what was is kept), Rejected (nobody has it, and nobody
        will), Ambiguous (all is done but for those who may have it)."""
        ...


@runtime_checkable
class Announcer(Protocol):
    """What a channel may be beside: one that tells others (hubs, search engines) of what is live."""

    def pings(self) -> tuple[str, ...]:
        """The notices that this outlet's settings ask for, by name."""
        ...

    def ping(self, name: str, url: str, *, gone: bool) -> None:
        """Give one of them, of one public address; `gone`: it was withdrawn. Nothing becomes public by it, and it
        may be repeated. Raises an OutletError."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What to answer, as text; `hint`: something may have changed at the outlet, so look."""

    reply: str
    hint: bool = False


@runtime_checkable
class Listener(Protocol):
    """What a channel may be beside: one whose outlet sends requests of its own."""

    def hear(self, method: str, query: Mapping[str, str], body: bytes) -> Heard:
        """A request from outside, of GET or POST. Raises Unauthorised when the outlet did not send it, just now."""
        ...
