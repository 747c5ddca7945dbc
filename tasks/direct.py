"""A sweeper's own threads: work goes on when no message leads to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger(__name__)


class Direct:
    """Runs acts in a few threads, and keeps only as many waiting as there are threads."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="direct")
        self._free = threading.BoundedSemaphore(2 * threads)

    def run(self, act: Callable[[list[str]], None], ids: list[str]) -> bool:
        """Run it soon. False when too much waits already: then offer it again at a later look."""
        if not self._free.acquire(blocking=False):
            return False
        self._pool.submit(act, ids).add_done_callback(self._ended)
        return True

    def stop(self) -> None:
        """Begin nothing more. What runs is let end; what it leaves is found by its rows."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self, done: Future[None]) -> None:
        self._free.release()
        error = None if done.cancelled() else done.exception()
        if error is not None:  # a bug: shown, and its rows are due again or found without a thread
            log.error("a task failed: %s", error, exc_info=error)
