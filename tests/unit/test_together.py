"""Calls side by side on kept threads: all of them are waited for, and none waits for a thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from sync.together import KEPT, batches, together

PATIENCE = 10.0  # seconds; for what never happens unless something hangs


def test_every_call_has_its_answer_also_what_it_raised() -> None:
    def answer(number: int) -> int:
        return 10 // number

    found = dict(together({str(number): partial(answer, number) for number in range(40)}, most=4))
    assert isinstance(found.pop("0"), ZeroDivisionError)
    assert {str(number): 10 // number for number in range(1, 40)} == found
    assert {} == dict(together({}))


def test_a_single_call_needs_no_thread() -> None:
    assert {"one": threading.get_ident()} == dict(together({"one": threading.get_ident}))
    [(_, fault)] = together({"one": partial(int, "x")})
    assert isinstance(fault, ValueError)


def test_an_interruption_is_no_answer_of_a_single_call() -> None:
    """Ctrl-C in the caller's own thread has nothing to do with the call that runs there."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(together({"one": interrupted}))
    assert all(isinstance(fault, KeyboardInterrupt) for _, fault in together({"a": interrupted, "b": interrupted}))


def test_calls_within_calls_never_wait_for_a_thread() -> None:
    """More of them than threads are kept, three deep: with a bounded pool this would stand still for ever."""

    def deep(level: int) -> int:
        if level == 0:
            return 1
        calls = {str(number): partial(deep, level - 1) for number in range(8)}
        return sum(found for _, found in together(calls) if isinstance(found, int))

    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(deep(3)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert [8**3] == found


def test_no_more_than_asked_run_at_once() -> None:
    guard, running, most = threading.Lock(), 0, 0

    def call() -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with guard:
            running -= 1

    list(together({str(number): call for number in range(30)}, most=3))
    assert 3 == most


def test_threads_are_kept_for_the_next_calls() -> None:
    gate = threading.Barrier(5)

    def meet() -> int:
        gate.wait(PATIENCE)
        return threading.get_ident()

    calls = {str(number): meet for number in range(5)}
    before = {found for _, found in together(calls)}
    time.sleep(0.05)  # the last of them is on its way back
    again = {found for _, found in together(calls)}
    assert len(before) == len(again) == 5
    assert before & again
    assert threading.active_count() < KEPT + 20


def test_who_stops_asking_waits_for_all() -> None:
    """What holds the rows must not let them go while a call is still on its way."""
    ended: list[str] = []

    def slow(name: str) -> None:
        time.sleep(0.05)
        ended.append(name)

    calls: dict[str, Callable[[], None]] = {name: partial(slow, name) for name in "abcdef"}
    asked = together(calls | {"quick": lambda: None}, most=3)
    next(asked)
    asked.close()  # type: ignore[attr-defined]  # a generator's, which an exception in the loop's body also calls
    assert sorted(calls) == sorted(ended)


def test_what_ends_within_a_moment_comes_at_once() -> None:
    def after(seconds: float) -> None:
        time.sleep(seconds)

    calls = {"a": partial(after, 0.0), "b": partial(after, 0.05), "c": partial(after, 1.0)}
    assert [["a", "b"], ["c"]] == [sorted(name for name, _ in batch) for batch in batches(calls, gather=0.5)]


def test_a_forked_child_has_threads_of_its_own() -> None:
    """Those that wait are its parent's: handing them a call would wait for ever."""
    list(together({str(number): partial(time.sleep, 0.01) for number in range(8)}))
    time.sleep(0.05)
    child = os.fork()
    if child == 0:
        found = dict(together({"a": lambda: 1, "b": lambda: 2}))
        os._exit(0 if found == {"a": 1, "b": 2} else 1)
    ends = time.monotonic() + PATIENCE
    while (told := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < ends:
        time.sleep(0.01)
    if told == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert (child, 0) == told
