"""Several things wrong in one item, told at once, so that a person mends the file in one go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sync.model import BadInput, Problem


class BadItem(BadInput):
    """The item's file cannot be used. `each` holds every refusal, in the order of the file.

    `where`, `message` and `mend` are those of the first; as text it is one line for each.
    """

    def __init__(self, each: Sequence[BadInput]) -> None:
        first = each[0]
        super().__init__(first.where, first.message, first.mend)
        self.each = tuple(each)
        self.args = ("\n".join(str(refusal) for refusal in each),)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The same as problems; all of them fatal."""
        return tuple(Problem(refusal.where, f"{refusal.message} — {refusal.mend}") for refusal in self.each)


def each_of(refusal: BadInput) -> tuple[BadInput, ...]:
    """The single refusals that this one stands for."""
    return refusal.each if isinstance(refusal, BadItem) else (refusal,)


def raise_any(refusals: Iterable[BadInput]) -> None:
    """Raises BadItem when there is at least one refusal."""
    if each := [single for refusal in refusals for single in each_of(refusal)]:
        raise BadItem(each)
