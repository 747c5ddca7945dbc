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

SPIN = 0.0015  # seconds; longer would take the interpreter from the threads that settle other releases
LONGEST_NAP = 0.5  # seconds; CLOCK_BOOTTIME goes on while the machine sleeps, a condition's clock does not


class Sender:
    """Acts by instant. `at` may be called from any thread; acts due at one instant run in order of calling."""

    def __init__(self, clock: Clock, threads: int) -> None:
        self.clock = clock
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="settle")
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._changed = threading.Condition()
        self._counted = 0
        self._halted = False
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()

    def at(self, instant: float, act: Callable[[], None]) -> None:
        """Run `act` in the loop at `instant` (seconds of CLOCK_BOOTTIME), never before. It must not raise."""
        with self._changed:
            self._counted += 1
            heapq.heappush(self._heap, (instant, self._counted, act))
            self._changed.notify()

    def later(self, instant: float, act: Callable[[], None]) -> None:
        """Run `act` in the pool at `instant`: for anything that waits for a disk or a network."""
        self.at(instant, lambda: self._hand_over(act))

    def soon(self, act: Callable[..., None], *given: object) -> None:
        """Run `act` in the pool now. What it raises is logged; the rows it left are probed later."""
        self.pool.submit(act, *given).add_done_callback(_report)

    def stop(self) -> None:
        """Send nothing more; let what is settling end. Armed shots that were not sent stay unsent."""
        with self._changed:
            self._halted = True
            self._changed.notify()
        self._thread.join(timeout=5)
        self.pool.shutdown(wait=True)

    def _hand_over(self, act: Callable[[], None]) -> None:
        if not self._halted:
            self.soon(act)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._halted:
                    if not self._heap:
                        self._changed.wait(LONGEST_NAP)
                        continue
                    nap = self._heap[0][0] - self.clock.boottime() - SPIN
                    if nap <= 0:
                        break
                    self._changed.wait(min(nap, LONGEST_NAP))
                if self._halted:
                    return
                instant, _, act = heapq.heappop(self._heap)
            while self.clock.boottime() < instant:
                pass
            act()


def _report(done: Future[None]) -> None:
    error = done.exception()
    if error is not None:
        logging.getLogger(__name__).error("a release thread failed: %s", error, exc_info=error)
