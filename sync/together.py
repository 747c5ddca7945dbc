"""Calls run side by side, on threads that are kept: making one takes longer than many a call.

There is no bound on the threads of a process, only on those of one batch of calls; so a call may itself
run others side by side. They are daemons: nothing of them keeps an interpreter from ending, and
whoever asked for calls waits for all of them.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

KEPT = 32  # threads that wait for the next call; what is beyond ends with its calls
log = logging.getLogger(__name__)


class _Threads:
    """Idle threads, each by the queue on which it waits. None is lent twice."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._idle: list[SimpleQueue[Callable[[], None]]] = []

    def run(self, work: Callable[[], None]) -> None:
        """In a thread of its own, at once. `work` must not raise."""
        with self._guard:
            waiting = self._idle.pop() if self._idle else None
        if waiting is not None:
            waiting.put(work)
        else:
            threading.Thread(target=self._serve, args=(work,), name="call", daemon=True).start()

    def _serve(self, work: Callable[[], None]) -> None:
        calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        while True:
            work()
            del work  # nothing of it is kept alive while the thread waits
            with self._guard:
                if len(self._idle) >= KEPT:
                    return
                self._idle.append(calls)
            work = calls.get()

    def forget(self) -> None:
        """In a forked child: the threads are the parent's, and the guard may have been held there."""
        self.__init__()  # type: ignore[misc]


_threads = _Threads()
os.register_at_fork(after_in_child=_threads.forget)


def together(calls: Mapping[str, Callable[[], T]], most: int = 16) -> Iterator[tuple[str, T | BaseException]]:
    """Run the calls side by side; yields each name with its result, or whatever it raised, as they end.

    An outlet's answer and an exception are both evidence here, so no exception escapes."""
    for batch in batches(calls, most):
        yield from batch


def batches(
    calls: Mapping[str, Callable[[], T]], most: int = 16, *, gather: float = 0.0
) -> Iterator[list[tuple[str, T | BaseException]]]:
    """As `together`, but all that have ended by now come at once: storing them costs one transaction.

    `gather`: seconds for which the first of them may wait for others that end with it.
    A single call runs in the caller's own thread. Whoever stops asking waits until all calls have ended."""
    if len(calls) < 2:
        yield from ([(name, _answer(call))] for name, call in calls.items())
        return
    left: SimpleQueue[tuple[str, Callable[[], T]]] = SimpleQueue()
    ended: SimpleQueue[tuple[str, T | BaseException]] = SimpleQueue()
    for call in calls.items():
        left.put(call)
    for _ in range(min(most, len(calls))):
        _threads.run(lambda: _work(left, ended))
    awaited = len(calls)
    try:
        while awaited:
            batch = [ended.get()]
            until = time.monotonic() + gather
            while len(batch) < awaited and (one := _following(ended, until)) is not None:
                batch.append(one)
            awaited -= len(batch)
            yield batch
    finally:
        for _ in range(awaited):
            ended.get()


def aside(act: Callable[[], object]) -> None:
    """Run it in a thread of its own, at once. Nobody waits for it; what it raises is logged."""

    def work() -> None:
        if isinstance(raised := _answer(act), BaseException):
            log.error("what was done aside failed: %s", raised, exc_info=raised)

    _threads.run(work)


class TooLate(Exception):
    """The call has not ended in time. It goes on by itself."""


def within(call: Callable[[], T], seconds: float, *, late: Callable[[T], None]) -> T:
    """What the call returns or raises, if it ends within so many seconds. Raises TooLate otherwise; what it returns
    after that is handed to `late`, which must not raise, and what it raises is lost."""
    guard, given_up = threading.Lock(), threading.Event()
    ended: SimpleQueue[T | BaseException] = SimpleQueue()

    def work() -> None:
        answer = _answer(call)
        with guard:
            if not given_up.is_set():
                return ended.put(answer)
        return None if isinstance(answer, BaseException) else late(answer)

    _threads.run(work)
    try:
        answer = ended.get(timeout=seconds)
    except Empty:
        with guard:
            if ended.empty():
                given_up.set()
                raise TooLate from None
        answer = ended.get()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _following(ended: SimpleQueue[U], until: float) -> U | None:
    """The next that ended, or ends by then; None: there is none."""
    left = until - time.monotonic()
    try:
        return ended.get(timeout=left) if left > 0 else ended.get_nowait()
    except Empty:
        return None


def _work(left: SimpleQueue[tuple[str, Callable[[], T]]], ended: SimpleQueue[tuple[str, T | BaseException]]) -> None:
    while not left.empty():
        try:
            name, call = left.get_nowait()
        except Empty:  # another thread of the batch took it
            return
        ended.put((name, _answer(call)))


def _answer(call: Callable[[], T]) -> T | BaseException:
    try:
        return call()
    except BaseException as error:
        if threading.current_thread() is threading.main_thread() and not isinstance(error, Exception):
            raise  # an interruption of the program, which has nothing to do with this call
        return error
