"""The sender loop: in order, never early, and nothing between the shots."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sync.clock import SystemClock
from sync.engine.sender import Sender

CLOCK = SystemClock()
SHOT = 0.05  # seconds: many times as long as one thread keeps the interpreter from another


@pytest.fixture
def sender() -> Iterator[Sender]:
    made = Sender(CLOCK, 2)
    yield made
    made.stop()


def shooting(sender: Sender, told: list[str], name: str) -> Callable[[], None]:
    """An act that takes a while and leaves something to settle, as a volley does."""

    def act() -> None:
        ends = CLOCK.boottime() + SHOT
        while CLOCK.boottime() < ends:
            pass
        told.append(f"sent {name}")
        sender.soon(told.append, f"settled {name}")

    return act


def eventually(true: Callable[[], bool]) -> None:
    """Raises AssertionError when it is not true within ten seconds."""
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


def test_nothing_is_settled_between_acts_of_one_instant(sender: Sender) -> None:
    """Threads that settle the first release would delay the shots of the second."""
    told: list[str] = []
    instant = CLOCK.boottime() + 0.05
    for name in ("a", "b", "c"):
        sender.at(instant, shooting(sender, told, name))
    eventually(lambda: len(told) == 6)
    assert ["sent a", "sent b", "sent c"] == told[:3]
    assert {"settled a", "settled b", "settled c"} == set(told[3:])


def test_a_later_act_does_not_keep_answers_waiting(sender: Sender) -> None:
    """Only what is due at once goes before settling."""
    told: list[str] = []
    begin = CLOCK.boottime() + 0.05
    sender.at(begin, shooting(sender, told, "a"))
    sender.at(begin + 30, shooting(sender, told, "b"))
    eventually(lambda: told == ["sent a", "settled a"])


def test_acts_run_in_order_of_their_instants_and_never_before(sender: Sender) -> None:
    """Whatever the order in which they were handed in."""
    ran: list[tuple[int, float]] = []
    begin = CLOCK.boottime() + 0.05
    for place in (2, 0, 1):
        instant = begin + place * 0.01
        sender.at(instant, lambda place=place, instant=instant: ran.append((place, CLOCK.boottime() - instant)))  # type: ignore[misc]
    eventually(lambda: len(ran) == 3)
    assert [0, 1, 2] == [place for place, _ in ran]
    assert all(late >= 0 for _, late in ran)


def test_stopping_sends_what_is_committed_and_settles_it() -> None:
    """What is not committed is dropped, also when it is due at the same instant."""
    sender, told = Sender(CLOCK, 2), list[str]()
    instant = CLOCK.boottime() + 0.2
    sender.at(instant, shooting(sender, told, "committed"), final=True)
    sender.at(instant, shooting(sender, told, "open"))
    sender.stop()
    assert ["sent committed", "settled committed"] == told
    assert "sender" not in {thread.name for thread in threading.enumerate()}


def test_stopping_amid_the_shots_of_an_instant_settles_those_that_went() -> None:
    """The release that was to follow at once is not sent any more, and must not keep the first from settling."""
    sender, told, began = Sender(CLOCK, 2), list[str](), threading.Event()
    shoot = shooting(sender, told, "first")

    def first() -> None:
        began.set()
        shoot()

    instant = CLOCK.boottime() + 0.05
    sender.at(instant, first, final=True)
    sender.at(instant, shooting(sender, told, "second"))
    assert began.wait(10)
    sender.stop()
    assert ["sent first", "settled first"] == told
