"""Shots with something besides: a place in a budget that is given back, and an answer that is told on.

What is sent, when, and what `settle` returns or raises is the inner shot's own.
"""

from __future__ import annotations

from collections.abc import Callable

from sync.contract import Accepted, OutletError, Receipt, Shot, TryLater, Window


class _Around(Shot):
    """Another shot, and something besides."""

    def __init__(self, inner: Shot) -> None:
        self._inner = inner

    def send(self, window: Window, boottime: Callable[[], float]) -> None:
        self._inner.send(window, boottime)

    def _fire(self) -> None:
        self._inner._fire()

    def check(self) -> None:
        self._inner.check()

    def settle(self) -> Receipt | Accepted:
        return self._inner.settle()

    def close(self) -> None:
        self._inner.close()


class PlacedShot(_Around):
    """Gives its place back when it is let go without having been sent."""

    def __init__(self, inner: Shot, give_back: Callable[[], None]) -> None:
        super().__init__(inner)
        self._give_back, self._left = give_back, False

    def send(self, window: Window, boottime: Callable[[], float]) -> None:
        self._left = True
        try:
            self._inner.send(window, boottime)
        except TryLater:  # outside its window: certainly not
            self._left = False
            raise

    def _fire(self) -> None:
        self._left = True
        self._inner._fire()

    def close(self) -> None:
        self._inner.close()
        if not self._left:
            self._left = True
            self._give_back()


class HeardShot(_Around):
    """Tells what its answer was."""

    def __init__(self, inner: Shot, heard: Callable[[OutletError | None], None]) -> None:
        super().__init__(inner)
        self._heard = heard

    def settle(self) -> Receipt | Accepted:
        try:
            answer = self._inner.settle()
        except OutletError as error:
            self._heard(error)
            raise
        self._heard(None)
        return answer
