"""The doorbell, against a real Redis that is absent, stopped, frozen, flushed and back again."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import redis as client

from sync import bell
from sync.bell import LOOK, PATIENCE, Bell
from tests.services.redis import Redis, running

T = TypeVar("T")

AT_ONCE = 0.05  # seconds: nobody was waited for, on a busy machine
SLACK = 0.15  # seconds beyond what a caller waits at most
SOON = 30.0  # seconds until what must happen counts as broken


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture
def redis(server: Redis) -> Iterator[Redis]:
    """It runs when the test begins, and is made to for the next."""
    yield server
    if not server.runs:
        server.start()
    server.thaw()


@pytest.fixture
def url(redis: Redis) -> str:
    return redis.fresh()


def test_a_ring_is_one_message_to_look_and_nothing_else(redis: Redis, url: str) -> None:
    """In the lane's own queue, as Celery's protocol has it: task, id, no arguments."""
    started = _up(Bell(url))
    _drain(url)
    started.ring("release")
    (message,) = eventually(lambda: _messages(url, "release"))
    assert LOOK == message["headers"]["task"]
    assert [[], {}] == message["body"][:2]
    assert [] == _messages(url, "prepare")


def test_work_is_told_by_ids_and_the_caller_knows_that_it_was_taken(redis: Redis, url: str) -> None:
    started = _up(Bell(url))
    _drain(url)
    assert started.tell("prepare", "verify", ["one", "two"])
    (message,) = _messages(url, "prepare")
    assert "verify" == message["headers"]["task"]
    assert [[["one", "two"]], {}] == message["body"][:2]


def test_rings_that_nobody_could_send_yet_are_sent_once(url: str) -> None:
    """A burst before the first connection is one message a lane."""
    started = Bell(url)
    for _ in range(100):
        started.ring("prepare")
    started.ring("release")
    assert 1 == len(eventually(lambda: _messages(url, "release")))
    assert 1 == len(_messages(url, "prepare"))


def test_an_absent_broker_costs_nothing_and_is_told_once(
    redis: Redis, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the address nor its password is told."""
    redis.stop()
    secret = url.replace("redis://", "redis://:wDtpXq@")
    caplog.set_level(logging.WARNING, logger=bell.__name__)
    down = Bell(secret)
    for _ in range(50):
        assert AT_ONCE > seconds(lambda: down.ring("prepare"))
        assert AT_ONCE > seconds(lambda: down.tell("prepare", "prepare", ["one"]))
    eventually(lambda: caplog.messages)
    assert not down.tell("prepare", "prepare", ["one"])
    assert 1 == len(caplog.messages), caplog.messages
    assert "wDtpXq" not in caplog.text and str(redis.port) not in caplog.text


def test_it_comes_back_by_itself(redis: Redis, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """After a stop, as soon as the broker runs again; said once."""
    caplog.set_level(logging.WARNING, logger=bell.__name__)
    started = _up(Bell(url))
    redis.stop()
    assert not started.tell("prepare", "prepare", ["one"])
    redis.start()
    eventually(lambda: started.tell("prepare", "prepare", ["two"]))
    assert ["the broker is back"] == caplog.messages[1:]


def test_a_restart_in_a_quiet_hour_is_not_even_noticed(redis: Redis, url: str) -> None:
    """A connection of before is replaced, and the ring is not lost."""
    started = _up(Bell(url))
    redis.stop()
    redis.start()
    started.ring("release")
    assert eventually(lambda: _messages(url, "release"))


def test_a_flushed_broker_still_leads_to_the_queue(redis: Redis, url: str) -> None:
    started = _up(Bell(url))
    redis.flush()
    assert started.tell("prepare", "prepare", ["one"])
    assert 1 == len(_messages(url, "prepare"))


def test_a_frozen_broker_keeps_a_caller_once_and_for_a_tenth_of_a_second(redis: Redis, url: str) -> None:
    """Whoever tells after that is told at once that it is down; nobody who rings waits at all."""
    started = _up(Bell(url))
    redis.freeze()
    assert AT_ONCE > seconds(lambda: started.ring("prepare"))
    first = seconds(lambda: started.tell("prepare", "prepare", ["one"]))
    later = [seconds(lambda: started.tell("prepare", "prepare", ["one"])) for _ in range(100)]
    rings = [seconds(lambda: started.ring("prepare")) for _ in range(100)]
    assert PATIENCE + SLACK > first
    assert AT_ONCE > max(later)
    assert AT_ONCE > max(rings)
    redis.thaw()
    eventually(lambda: started.tell("prepare", "prepare", ["two"]))


def test_a_broker_that_stays_frozen_keeps_nobody_later_either(redis: Redis, url: str) -> None:
    """While the bell's own thread tries again and again, those who tell do not wait for it."""
    started = _up(Bell(url))
    redis.freeze()
    started.tell("prepare", "prepare", ["one"])
    ends = time.monotonic() + 2 * bell.AGAIN
    longest = 0.0
    while time.monotonic() < ends:
        longest = max(longest, seconds(lambda: started.tell("prepare", "prepare", ["one"])))
        time.sleep(0.02)
    assert AT_ONCE > longest


def test_a_command_that_ends_after_its_commit_is_still_heard(url: str) -> None:
    """The ring leaves before the process does."""
    _command(url)
    assert 1 == len(_messages(url, "prepare"))


@pytest.mark.parametrize("state", ["absent", "frozen"])
def test_a_command_does_not_wait_for_a_broker_that_is_down(redis: Redis, url: str, state: str) -> None:
    quick = min(_command(url) for _ in range(3))
    if state == "absent":
        redis.stop()
    else:
        redis.freeze()
    assert quick + PATIENCE + 4 * SLACK > min(_command(url) for _ in range(3))


def _command(url: str) -> float:
    """Seconds from the ring to the end of a process that rings and ends."""
    program = (
        "import sys, time; from sync.bell import bell_at; at = time.monotonic(); bell_at(sys.argv[1]).ring('prepare');"
        "print(at)"
    )
    done = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, timeout=60, check=True)
    return time.monotonic() - float(done.stdout)


def _up(started: Bell) -> Bell:
    """A bell that has reached its broker."""
    eventually(lambda: started.tell("unheard", LOOK, []))
    return started


def _drain(url: str) -> None:
    with client.Redis.from_url(url) as connection:
        connection.flushdb()


def _messages(url: str, lane: str) -> list[dict[str, Any]]:
    """What waits in the queue, with its body opened."""
    with client.Redis.from_url(url) as connection:
        found = [json.loads(one) for one in connection.lrange(lane, 0, -1)]
    return [{**one, "body": json.loads(b64decode(one["body"]))} for one in found]


def seconds(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def eventually(true: Callable[[], T]) -> T:
    ends = time.monotonic() + SOON
    while not (found := true()):
        assert time.monotonic() < ends, f"not within {SOON:g} s"
        time.sleep(0.02)
    return found
