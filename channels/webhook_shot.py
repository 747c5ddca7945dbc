"""A shot whose bytes are signed for a moment, and must not leave long after it.

Receivers refuse what was signed more than five minutes before or after their clock's time. A refusal at
the instant would be a failed publication, so an old signature is made anew beforehand, or nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable

from sync.clock import SECOND
from sync.contract import Accepted, Receipt, Shot, TryLater, Window

OLDEST = 240 * SECOND  # µs; the rest of the five minutes is left to the receiver's clock
AT_ANY_TIME = Window(0.0, 1.0)


class SignedShot(Shot):
    """`sign` makes a signed, connected shot for an instant (µs UTC). Raises what making it raises."""

    def __init__(self, sign: Callable[[int], Shot], signed_for: int, now: Callable[[], int]) -> None:
        self._sign, self._now = sign, now
        self._signed_for = signed_for
        self._shot = sign(signed_for)

    def check(self) -> None:
        """Sign and connect anew when the signature is too old, otherwise look at the connection only."""
        if not self._is_old():
            self._shot.check()
            return
        signed_for = self._now()
        fresh = self._sign(signed_for)
        self._shot.close()
        self._shot, self._signed_for = fresh, signed_for

    def send(self, window: Window, boottime: Callable[[], float]) -> None:
        if self._is_old():
            raise TryLater("not sent: the signature is too old by now")
        super().send(window, boottime)

    def _fire(self) -> None:
        self._shot.send(AT_ANY_TIME, lambda: 0.0)  # the window was judged already

    def _is_old(self) -> bool:
        return self._now() - self._signed_for > OLDEST  # one signed ahead cannot leave ahead: its window is shut

    def settle(self) -> Receipt | Accepted:
        return self._shot.settle()

    def close(self) -> None:
        self._shot.close()
