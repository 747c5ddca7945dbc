"""What all kinds have in common that only notify: a group's robot, a mailing list, a push service.

What was said there is said: it has no address, cannot be read as an anonymous reader would, cannot be found
again, changed or recalled. The engine sends it once, after the page it leads to was read back, and never
again while its fate is unknown. Pure.
"""

from __future__ import annotations

from sync.contract import Accepted, Place, Prepared, Receipt, Unsupported
from sync.model import Edition, Key, Rendition, Sighting


class Notice:
    """To be inherited by a channel that says `reveal=NOTIFY`, `probe=BLIND`. `_name`: the outlet's, for people.

    Nothing of it is put in place beforehand; a kind whose `prepare` asks the outlet anything overrides it.
    """

    _name: str

    def address(self, edition: Edition, key: Key) -> str | None:
        return None

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        return Prepared("")

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """Without a hint it was being prepared at most, and there is nothing of it outside."""
        if hint is None:
            return None
        raise Unsupported(
            f"{self._name}: 无法查询是否已送达，请向收件一方核实 · it cannot be looked up: ask its readers"
        )

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        raise Unsupported(f"{self._name}: 通知没有公开页面，以对方收下为准 · there is no public page: it was taken")

    def discard(self, prepared: Prepared, key: Key) -> None:
        """Nothing was put in place."""

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        raise Unsupported(f"{self._name}: 已发出的通知无法收回 · what was sent cannot be recalled")


def corrects(place: Place) -> bool:
    """Whether this notification corrects an earlier one, and has to say so."""
    return place.replaces is not None
