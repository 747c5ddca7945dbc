"""`ring(lane)`: something is due. A port: nothing depends on its being heard, only how soon.

Embedded, nobody needs to be told: each worker's sweeper looks every few milliseconds. With a broker
(`TONGFA_BROKER_URL`) a message wakes one worker of the lane at once. Whatever the broker does — refuse,
hang, forget — the caller goes on: a thread of the bell's own speaks to it, nobody waits for that
thread longer than `PATIENCE`, and while the broker is down nothing is even tried in their name.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  # it cannot be imported any more once the process is ending
import logging
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, partial
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 0.1  # seconds that a caller waits at most
IMPORTING = 2.0  # seconds that the end of a command waits at most for our own code, not for the broker
AGAIN = 3.0  # seconds between two tries to reach a broker that is down
MOST = 256  # messages that wait; a ring beyond them is dropped
LOOK = "look"  # the task that makes a worker look for due rows
log = logging.getLogger(__name__)

# A publisher gives up quickly and does not retry by itself: without the last four, kombu blocks for six seconds.
_AT_ONCE = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
_REDIS = {"socket_timeout": 1, "socket_connect_timeout": 1, "socket_keepalive": True, **_AT_ONCE}
_AMQP = {"confirm_publish": True, "read_timeout": 1, "write_timeout": 1}


def silent(lane: str) -> None:
    """No bell: the sweepers find it."""


@cache
def bell_at(url: str) -> Bell:
    """The one bell of this process for the broker at `url`."""
    return Bell(url)


def reachable(url: str) -> str | None:
    """None when the broker at `url` takes a connection now, else what failed, by its type. Waits a second at most."""
    return _Broker(url).open()


class _State(Enum):
    NEW = auto()  # not tried yet: rings wait for the first try
    UP = auto()
    DOWN = auto()


@dataclass(eq=False)
class _Message:
    lane: str
    task: str
    arguments: Sequence[Any]
    came: bool | None = None  # None: not known yet


class Bell:
    """Messages to the workers of a lane. Safe to use from any thread; the thread starts with the first message."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._changed = threading.Condition()
        self._messages: deque[_Message] = deque()
        self._state = _State.NEW
        self._ready = threading.Event()  # the broker's client code is loaded
        self._closed = False
        self._thread: threading.Thread | None = None

    def ring(self, lane: str) -> None:
        """Wake a worker of this lane. Returns at once; while the broker is down nothing is sent."""
        with self._changed:
            self._begin()
            waits = any(one.task == LOOK and one.lane == lane for one in self._messages)
            if self._state is not _State.DOWN and not waits and len(self._messages) < MOST:
                self._messages.append(_Message(lane, LOOK, ()))
                self._changed.notify_all()

    def tell(self, lane: str, task: str, ids: Sequence[str]) -> bool:
        """Hand these ids to some worker of the lane: whether the broker has taken the message.

        False within `PATIENCE` seconds when it has not; it may still come, so what it asks for must bear repetition.
        """
        message = _Message(lane, task, (list(ids),))
        with self._changed:
            self._begin()
            if self._state is not _State.UP or len(self._messages) >= MOST:
                return False
            self._messages.append(message)
            self._changed.notify_all()
            self._changed.wait_for(lambda: message.came is not None, PATIENCE)
            if message.came is None:
                self._lost("does not answer")  # the thread still waits; the next callers do not
            return bool(message.came)

    def close(self) -> None:
        """What was rung is sent if the broker takes it within `PATIENCE`: a command ends soon after its commit."""
        with self._changed:
            begun, self._closed = self._thread is not None, True
            self._changed.notify_all()
        if begun and self._ready.wait(IMPORTING):
            with self._changed:
                self._changed.wait_for(lambda: not self._messages or self._state is _State.DOWN, PATIENCE)

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _lost(self, why: str) -> None:
        """The broker is down. Said once an outage; names no address, as it holds a password."""
        if self._state is not _State.DOWN:
            log.warning("the broker %s; until it is back workers look by themselves", why)
        self._state = _State.DOWN
        for message in self._messages:
            message.came = False
        self._messages.clear()
        self._changed.notify_all()

    def _run(self) -> None:
        broker = _Broker(self._url)
        self._ready.set()
        while True:
            error = broker.open()
            with self._changed:
                if error is not None:
                    self._lost(f"cannot be reached ({error})")
                    if self._changed.wait_for(lambda: self._closed, AGAIN):
                        return
                    continue
                if self._state is _State.DOWN:
                    log.warning("the broker is back")
                self._state = _State.UP
                if not self._changed.wait_for(lambda: self._messages or self._closed, None) or not self._messages:
                    return
                message = self._messages[0]  # stays in the row until its fate is known
            error = broker.publish(message)
            if error is not None and broker.open() is None:
                error = broker.publish(message)  # the connection was of before a restart
            with self._changed:
                if error is not None:
                    self._lost(f"does not take messages ({error})")
                    continue
                message.came = True
                if self._messages and self._messages[0] is message:
                    self._messages.popleft()
                self._changed.notify_all()


class _Broker:
    """A connection to publish on. Only the bell's thread touches it."""

    def __init__(self, url: str) -> None:
        kombu: Any = import_module("kombu")  # a third of a second, which commands without a broker need not wait
        options = _AMQP if urlsplit(url).scheme.startswith("amqp") else _REDIS
        self._connect = partial(kombu.Connection, url, connect_timeout=1, transport_options=options)
        self._producer_of = kombu.Producer
        self._connection: Any = self._connect()
        transport = self._connection.transport
        self._faults = (OSError, kombu.exceptions.KombuError, *transport.connection_errors, *transport.channel_errors)
        self._producer: Any = None

    def open(self) -> str | None:
        """Connect unless connected. Returns what failed, by its type."""
        if self._producer is not None:
            return None
        try:
            self._producer = self._producer_of(self._connection.channel())
        except self._faults as error:
            self._drop()
            return type(error).__name__
        return None

    def publish(self, message: _Message) -> str | None:
        """One try. Returns what failed; the connection is then dropped."""
        number = secrets.token_hex(16)
        head = {"lang": "py", "task": message.task, "id": number, "root_id": number, "ignore_result": True}
        body: tuple[Any, ...] = (message.arguments, {}, dict.fromkeys(("callbacks", "errbacks", "chain", "chord")))
        try:
            # The default exchange leads to the queue of that name, without a binding that a flush would forget.
            self._producer.publish(
                body, exchange="", routing_key=message.lane, headers=head, correlation_id=number, serializer="json"
            )
        except self._faults as error:
            self._drop()
            return type(error).__name__
        return None

    def _drop(self) -> None:
        broken, self._producer, self._connection = self._connection, None, self._connect()
        try:
            broken.close()
        except self._faults as error:
            log.debug("closing the broker's connection: %s", type(error).__name__)
