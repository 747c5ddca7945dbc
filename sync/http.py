"""The one egress: every request of every channel, feed and checker leaves through here.

Promises: no connection to an address that `sync.address` refuses, whoever parsed it; no proxy or credential
out of the environment; no redirect that was not asked for; no answer without a bound in size and
time. What an answer's status means is in `sync.answer`. Before a connection stands, a failure is
TryLater: nothing was sent. HTTP client libraries are imported in this module only.
"""

from __future__ import annotations

import functools
import io
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin

import certifi
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from sync import address
from sync.answer import Answer, Asked, judge
from sync.clock import SystemClock
from sync.contract import Accepted, Misbehaved, Receipt, Response, Shot, TryLater

USER_AGENT = "Tongfa/0.1 (publishing service)"
HOPS = 3
MOST_ADDRESSES = 4  # of one host that are tried, so that a connect attempt stays bounded
PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect (per address), between two bytes, and for a whole answer; bytes of an answer."""

    connect: float = 5.0
    read: float = 15.0
    total: float = 30.0
    size: int = 16 * 1024 * 1024


@functools.cache
def trusted() -> ssl.SSLContext:
    """The authorities of the machine (an intranet may have its own) and certifi's. Shared: loading takes 10 ms."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


class Http:
    """The egress of one outlet. Safe to share between threads."""

    def __init__(
        self,
        *,
        private_network: bool,
        now: Callable[[], int],
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`private_network` allows http, loopback and private ranges; `now` is microseconds UTC."""
        self._private, self._now = private_network, now
        self._limits = limits or Limits()
        self._tls = tls or trusted()
        self._bounded = _bounded(self._limits)
        self._ours, self._anonymous = self._session(), self._session()

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Unpacking on the fly would make the size limit a limit on the packed size.
        session.headers = CaseInsensitiveDict(
            {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
        )
        adapter = _Guarded(self._dial, self._bounded, self._tls)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def close(self) -> None:
        """Close idle connections; the object may not be used afterwards."""
        self._ours.close()
        self._anonymous.close()

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
        """One request, sent at most once, no redirects followed.

        Args: `creates`: repeating it could make a second thing. `body`, or `form` and `files` (name,
        content, media type). `expect`: statuses to hand back instead of raising.
        Raises: every OutletError of `sync.answer`; TryLater when no connection could be had; Rejected
        for a refused address.
        """
        data = body if body is not None else dict(form or {})
        request = requests.Request(method, url, headers=dict(headers or {}), data=data, files=dict(files or {}))
        answer, asked = self._exchange(self._ours, request, creates)
        return judge(answer, asked, expect, self._now())

    def read(self, url: str, headers: Mapping[str, str] | None = None) -> Response:
        """Anonymous GET: no credentials, no cookies, up to 3 redirects, any status returned as it is.

        `headers`: conditions of the question, as `If-None-Match`.
        Raises TryLater when it cannot be learnt now, Rejected for a refused address, Misbehaved for an
        answer beyond the size limit.
        """
        for hop in range(HOPS + 1):
            request = requests.Request("GET", url, headers=dict(headers or {}))
            answer, _ = self._exchange(self._anonymous, request, creates=False)
            goal = answer.headers.get("Location")
            if answer.status not in (301, 302, 303, 307, 308) or not goal or hop == HOPS:
                break
            url = urljoin(url, goal)
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
        """An open, checked connection and the finished bytes of a create. Raises TryLater, Rejected.

        `settle` is given the judged answer and may raise an OutletError.
        """
        request = requests.Request(method, url, headers=dict(headers), data=body)
        goal, prepared = self._prepare(self._ours, request)
        host = f"[{goal.host}]" if ":" in goal.host else goal.host
        if goal.port != (443 if goal.scheme == "https" else 80):
            host = f"{host}:{goal.port}"
        lines = [f"{method} {prepared.path_url} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in prepared.headers.items() if name.lower() != "host"]
        asked = Asked(method, goal.url, "\r\n".join([*lines, "", ""]).encode("latin-1") + body, creates=True)

        def conclude(answer: Answer) -> Receipt | Accepted:
            return settle(judge(answer, asked, expect, self._now()))

        return HttpShot(lambda: self._open(goal), asked, self._limits, self._bounded, conclude)

    def _prepare(
        self, session: requests.Session, request: requests.Request
    ) -> tuple[address.Target, requests.PreparedRequest]:
        goal = address.target(request.url, self._private)
        request.url = goal.url
        return goal, session.prepare_request(request)

    def _exchange(self, session: requests.Session, request: requests.Request, creates: bool) -> tuple[Answer, Asked]:
        """Ask and read the whole answer, whatever its status."""
        goal, prepared = self._prepare(session, request)
        head = " ".join([prepared.path_url or "", *(_text(value) for value in prepared.headers.values())]).encode()
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        asked = Asked(prepared.method or "", goal.url, head + (body if isinstance(body, bytes) else b""), creates)
        limits = self._limits
        try:
            # A failure to connect comes out of `_dial` or `connect` as an OutletError and passes through requests
            # as it is; any other failure is after the first byte.
            with session.send(
                prepared, stream=True, timeout=(limits.connect, limits.read), allow_redirects=False
            ) as response:
                pieces: list[bytes] = []
                size = 0
                for piece in response.raw.stream(PIECE, decode_content=True):
                    size += len(piece)
                    if size > limits.size:
                        raise Misbehaved(f"{asked}: the answer is larger than {limits.size} bytes")
                    pieces.append(piece)
                return Answer(response.status_code, response.headers, b"".join(pieces)), asked
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            raise asked.unclear(f"no answer that can be read ({_reason(error)})") from error

    def _dial(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """A TCP connection to a judged address of the host. Raises TryLater, Rejected."""
        failure: OSError | None = None
        for found in address.resolve(host, port, self._private)[:MOST_ADDRESSES]:
            try:
                connection = socket.create_connection((found, port), timeout)
            except OSError as error:
                failure = error
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        raise TryLater(f"{host}: cannot be reached ({_reason(failure)})") from failure

    def dial(self, host: str, port: int) -> socket.socket:
        """A connection to a judged address, also for another protocol (`sync.smtp`). Raises TryLater, Rejected."""
        return self._dial(host, port, self._limits.connect)

    def secured(self, connection: socket.socket, host: str) -> ssl.SSLSocket:
        """The connection under TLS, verified against the name. Raises TryLater; then it is closed."""
        try:
            return self._tls.wrap_socket(connection, server_hostname=host)
        except OSError as error:
            connection.close()
            raise TryLater(f"{host}: no secure connection ({_reason(error)})") from error

    def _open(self, goal: address.Target) -> socket.socket:
        """A connection for a shot. Raises TryLater, Rejected."""
        connection = self.dial(goal.host, goal.port)
        return connection if goal.scheme == "http" else self.secured(connection, goal.host)


class HttpShot(Shot):
    """One armed request. `close` must be called unless it is settled."""

    def __init__(
        self,
        connect: Callable[[], socket.socket],
        asked: Asked,
        limits: Limits,
        answering: type[HTTPResponse],
        conclude: Callable[[Answer], Receipt | Accepted],
    ) -> None:
        self._connect, self._asked, self._limits = connect, asked, limits
        self._answering, self._conclude = answering, conclude
        self._left = memoryview(asked.sent)
        self._fired = False
        self._failure: OSError | None = None
        self._open()

    def _open(self) -> None:
        self._connection = self._connect()
        self._connection.settimeout(0)  # not in `_fire`, where every call of the kernel delays the shots after it

    def check(self) -> None:
        if self._fired or self._alive():
            return
        self._connection.close()
        self._open()

    def _alive(self) -> bool:
        """Readable means closed, or an answer to nothing; under TLS it may be only a session ticket."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        if not poll.poll(0):
            return True
        if not isinstance(self._connection, ssl.SSLSocket):
            return False
        try:
            self._connection.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False
        return False

    def _fire(self) -> None:
        # From the first send() on it may have happened. If we die on the next line, the delivery is in
        # flight and a probe after the quarantine tells. What the kernel does not take at once goes out in
        # `settle`: one slow outlet must not keep the others of the sender loop waiting.
        self._fired = True
        try:
            while self._left:
                self._left = self._left[self._connection.send(self._left) :]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return
        except OSError as error:
            self._failure = error

    def settle(self) -> Receipt | Accepted:
        try:
            return self._conclude(self._answer())
        finally:
            self.close()

    def _answer(self) -> Answer:
        if not self._fired:
            raise TryLater(f"{self._asked}: the shot was never sent")
        if self._failure is not None and self._left.nbytes == len(self._asked.sent):
            # The kernel took no byte (under TLS: no whole record, and half a one cannot be read by anybody).
            raise TryLater(f"{self._asked}: the connection was gone, nothing was sent ({_reason(self._failure)})")
        try:
            self._connection.settimeout(self._limits.read)
            if self._failure is None and self._left:
                self._connection.sendall(self._left)
        except OSError as error:
            self._failure = error
        # Sending to a closed peer may raise nothing, and an outlet may answer before it read all: only
        # the answer counts.
        try:
            return self._read()
        except (OSError, HTTPException) as error:
            raise self._asked.unclear(f"no answer that can be read ({_reason(self._failure or error)})") from error

    def _read(self) -> Answer:
        response = self._answering(self._connection, method=self._asked.method)
        with response:
            response.begin()
            headers = CaseInsensitiveDict(response.getheaders())
            body = b""
            while piece := response.read(PIECE):
                body += piece
                if len(body) > self._limits.size:
                    raise Misbehaved(f"{self._asked}: the answer is larger than {self._limits.size} bytes")
            if response.length:
                raise HTTPException("the answer was cut off")
            return Answer(response.status, headers, body)

    def close(self) -> None:
        self._connection.close()


def _bounded(limits: Limits) -> type[HTTPResponse]:
    """An answer that has to be complete `limits.total` seconds after it was first waited for.

    A socket's own time-out starts anew with every byte, so an outlet that drips would hold a worker for ever.
    """
    boottime = SystemClock().boottime

    class Timed(io.RawIOBase):
        def __init__(self, connection: socket.socket, raw: io.RawIOBase) -> None:
            self._connection, self._raw = connection, raw
            self._until = boottime() + limits.total

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int | None:
            left = self._until - boottime()
            if left <= 0:
                raise TimeoutError(f"not complete after {limits.total:g} s")
            self._connection.settimeout(min(limits.read, left))
            return self._raw.readinto(buffer)

        def close(self) -> None:
            self._raw.close()
            super().close()

    class Bounded(HTTPResponse):
        def __init__(
            self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
        ) -> None:
            super().__init__(sock, debuglevel, method, url)
            self.fp = io.BufferedReader(Timed(sock, self.fp.detach()))

    return Bounded


class _Guarded(HTTPAdapter):
    """Makes requests connect through `dial`, so that whatever host ends up being dialled was judged."""

    def __init__(
        self,
        dial: Callable[[str, int, float | None], socket.socket],
        answering: type[HTTPResponse],
        tls: ssl.SSLContext,
    ) -> None:
        class Plain(HTTPConnection):
            response_class = answering

            def _new_conn(self) -> socket.socket:
                return dial(self.host, self.port, _seconds(self.timeout))

        class Secure(HTTPSConnection):
            response_class = answering

            def _new_conn(self) -> socket.socket:
                return dial(self.host, self.port, _seconds(self.timeout))

            def connect(self) -> None:
                try:
                    super().connect()
                except (OSError, HTTPError) as error:
                    raise TryLater(f"{self.host}: no secure connection ({_reason(error)})") from error

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self._pools = {"http": PlainPool, "https": SecurePool}
        self._tls = tls
        super().__init__(pool_connections=8, pool_maxsize=8, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def cert_verify(self, *arguments: Any, **named: Any) -> None:
        """The context verifies and is complete; requests would load its authorities again for each connection."""


def _seconds(timeout: object) -> float | None:
    return float(timeout) if isinstance(timeout, int | float) else None


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _reason(error: BaseException | None) -> str:
    """What went wrong at the bottom, in words that hold no address: the libraries' own texts repeat the query."""
    while error is not None and (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(getattr(error, "strerror", None) or type(error).__name__)
