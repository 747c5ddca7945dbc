"""The one loop of a release process that sends every shot, in order of their instants.

It does nothing else: whatever could take longer than microseconds is handed to the pool. Waits are
CLOCK_BOOTTIME; the last stretch is spun, because the kernel wakes a sleeper up to a millisecond late.
"""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from sync.clock import Clock

# Seconds. A longer spin uses up the thread's slice of the processor (about 1.5 ms on two cores), and the kernel takes
# the core away among the shots: on a busy machine nine of ten releases were within 2 ms with 1.5, within 0.3 with this.
SPIN = 0.0005
LONGEST_NAP = 0.5  # seconds; CLOCK_BOOTTIME goes on while the machine sleeps, a condition's clock does not


class Sender:
    """Acts by instant. Any thread may hand one in; acts due at one instant run in order of coming.

    Two pools, so that outlets that are slow to answer never keep the next release from its commit.
    """

    def __init__(self, clock: Clock, threads: int) -> None:
        self.clock = clock
        self._acting = ThreadPoolExecutor(threads, thread_name_prefix="act")
        self._settling = ThreadPoolExecutor(4 * threads, thread_name_prefix="settle")
        self._heap: list[tuple[float, int, bool, Callable[[], None]]] = []
        self._changed = threading.Condition()
        self._counted = 0
        self._leading = 0  # acts in the pool that may hand in a final one: a commit, a last look
        self._halted = False  # only final acts are still run
        self._ended = False  # nothing is run any more
        self._sent: list[tuple[Callable[..., None], tuple[object, ...]]] = []  # to settle; the loop's own
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()

    def at(self, instant: float, act: Callable[[], None], *, final: bool = False) -> None:
        """Run `act` in the loop at `instant` (seconds of CLOCK_BOOTTIME), never before. It must not raise.

        A `final` act belongs to a release that is committed: it is still run while stopping.
        """
        with self._changed:
            self._counted += 1
            heapq.heappush(self._heap, (instant, self._counted, final, act))
            self._changed.notify()

    def later(self, instant: float, act: Callable[[], None], *, final: bool = False) -> None:
        """Run `act` in a pool at `instant`: for anything that waits for a disk or a network."""
        self.at(instant, lambda: self._hand_over(act), final=final)

    def soon(self, act: Callable[..., None], *given: object) -> None:
        """Settle in a pool. What it raises is logged; the rows it left are probed later.

        From the loop: once no other act is due, or settling would take the interpreter from the next shots.
        """
        if threading.current_thread() is self._thread:
            self._sent.append((act, given))
        else:
            self._settling.submit(act, *given).add_done_callback(_report)

    def stop(self, within: float = 5.0) -> None:
        """Commit nothing more, send what was committed, let what is settling end.

        What is not sent within that many seconds stays in flight, and is probed by the next process."""
        with self._changed:
            self._halted = True
            self._changed.notify()
        self._thread.join(timeout=within)
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()
        self._acting.shutdown(wait=True)
        self._settling.shutdown(wait=True)

    def _hand_over(self, act: Callable[[], None]) -> None:
        with self._changed:
            self._leading += 1
        handed = self._acting.submit(act)
        handed.add_done_callback(_report)
        handed.add_done_callback(self._led)

    def _led(self, done: Future[None]) -> None:
        with self._changed:
            self._leading -= 1
            self._changed.notify()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            instant, act = due
            while self.clock.boottime() < instant:
                pass
            try:
                act()
            except Exception:
                # Of one release: the others keep their instants, and its rows are probed.
                logging.getLogger(__name__).exception("an act of the sender loop failed")
            if self._sent and not self._another_is_due():
                self._settle_sent()
        self._settle_sent()

    def _another_is_due(self) -> bool:
        with self._changed:
            return bool(self._heap) and self._heap[0][0] - self.clock.boottime() <= SPIN

    def _settle_sent(self) -> None:
        for act, given in self._sent:
            self._settling.submit(act, *given).add_done_callback(_report)
        self._sent.clear()

    def _next(self) -> tuple[float, Callable[[], None]] | None:
        """The next act, once only the last stretch of its waiting is left; None when stopped."""
        with self._changed:
            while not self._ended:
                if self._halted:
                    self._heap = [entry for entry in self._heap if entry[2]]
                    heapq.heapify(self._heap)
                    if not self._heap and not self._leading:
                        return None
                nap = self._heap[0][0] - self.clock.boottime() - SPIN if self._heap else LONGEST_NAP
                if self._heap and nap <= 0:
                    instant, _, _, act = heapq.heappop(self._heap)
                    return instant, act
                self._changed.wait(min(nap, LONGEST_NAP))
            return None


def _report(done: Future[None]) -> None:
    error = done.exception()
    if error is not None:
        logging.getLogger(__name__).error("a release thread failed: %s", error, exc_info=error)
