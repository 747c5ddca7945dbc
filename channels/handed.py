"""A shot that sends nothing itself: from its instant on it is another's turn."""

from __future__ import annotations

from sync.contract import Accepted, Receipt, Shot, TryLater


class HandedOver(Shot):
    """A person's task, or a mailing that is carried on letter by letter."""

    def __init__(self) -> None:
        self._fired = False

    def _fire(self) -> None:
        self._fired = True

    def settle(self) -> Receipt | Accepted:
        if not self._fired:
            raise TryLater("its moment has not come")
        return Accepted("")
