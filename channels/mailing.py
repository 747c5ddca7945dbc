"""One round of a mailing: recipient after recipient, each written into the ledger before and after.

Of a recipient the ledger says `begun` before the first byte, and what became of it after the last; the two
are kept in one write, so that a mailing of many costs one write each. What the server refused for now is
tried again for five days (fact sheet "others", section 3), what it refused for good is told, what may have
arrived is left to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sync.clock import SECOND
from sync.contract import Ambiguous, OutletError, Rejected, TryLater
from sync.ledger import Ledger, Line, Reached

# Seconds until a recipient is tried again, by the number of tries made; the last repeats. Greylisting asks for minutes.
AGAIN = (60, 300, 900, 1_800, 3_600, 7_200, 14_400)
GIVEN_UP = 5 * 24 * 3600 * SECOND  # µs
NOT_TAKEN = "4yz for five days"


@dataclass(frozen=True)
class Round:
    """Where a mailing stands. `again_at`: when there is more to do, µs UTC; None: nothing more will come of it."""

    ledger: Ledger
    again_at: int | None


def go_on(
    ledger: Ledger,
    order: Sequence[str],
    send: Callable[[str], None],
    keep: Callable[[Mapping[str, str]], bool],
    now: Callable[[], int],
    *,
    stop: bool,
    until: int,
) -> Round:
    """Send to one recipient after the other, in this order, until that instant (µs UTC), or nobody is left for now.

    `send` raises TryLater (certainly not taken), Rejected (never will be), Ambiguous (perhaps). Whatever else it
    raises ends the round: nothing was begun with that recipient. `keep` and `stop` as in `sync.contract.Carrier`.
    """
    ledger = ledger.opened(order).taken_up()
    while not stop and now() < until and (part := ledger.next(now(), order)) is not None:
        before = ledger.lines[part]
        begun = Line(Reached.BEGUN, before.tries + 1, since=before.since or now())
        ledger = ledger.with_line(part, begun)
        stop = not keep(ledger.notes())
        if stop:
            ledger = ledger.with_line(part, before)
            break
        # If we die between these lines, the recipient stays begun, and is in doubt for whoever goes on.
        try:
            send(part)
        except (TryLater, Rejected, Ambiguous) as error:
            ledger = ledger.with_line(part, _after(begun, error, now()))
        except OutletError:
            keep(ledger.with_line(part, before).notes())
            raise
        else:
            ledger = ledger.with_line(part, replace(begun, reached=Reached.TAKEN, since=0, tries=0))
    if stop:
        return Round(ledger, None)
    return Round(ledger, now() if ledger.next(now(), order) is not None else ledger.next_due(order))


def _after(begun: Line, error: OutletError, now: int) -> Line:
    why = code_of(error)
    match error:
        case Ambiguous():
            return replace(begun, reached=Reached.DOUBTFUL, why=why)
        case Rejected():
            return replace(begun, reached=Reached.REFUSED, why=why)
        case _ if now - begun.since > GIVEN_UP:
            return replace(begun, reached=Reached.REFUSED, why=f"{NOT_TAKEN}: {why}")
    wait = AGAIN[min(begun.tries, len(AGAIN)) - 1] * SECOND
    named = error.not_before if isinstance(error, TryLater) else None
    return replace(begun, reached=Reached.LATER, due=max(now + wait, named or 0), why=why)


def code_of(error: OutletError) -> str:
    """The server's code, as the error begins with it; never its text, which may repeat an address."""
    return str(error).partition(" ")[0][:16]


def outcome(ledger: Ledger, name: str, place: Callable[[str], int]) -> str:
    """In one line, how a mailing ended. `place`: which line of the list a recipient is; addresses are told to nobody.

    Raises Ambiguous while somebody may have it, Rejected when nobody has."""
    counted = ledger.count()
    taken, total = counted[Reached.TAKEN], counted.total()
    told = f"{name}: 已送达 {taken}／{total} · handed over to {taken} of {total}"
    refused = sorted(place(part) for part in ledger.of(Reached.REFUSED))
    if refused:
        codes = sorted({line.why for line in ledger.lines.values() if line.reached is Reached.REFUSED})
        told += f"; 被拒收的行 · refused for good, by line of the list: {_listed(refused)} ({', '.join(codes)})"
    doubtful = sorted(place(part) for part in (*ledger.of(Reached.DOUBTFUL), *ledger.of(Reached.BEGUN)))
    if doubtful:
        raise Ambiguous(f"{told}; 是否收到不明的行 · may have it or not, by line of the list: {_listed(doubtful)}")
    if not taken:
        raise Rejected(f"{told}; 无人收到 · nobody has it")
    return told


def _listed(places: Sequence[int], most: int = 20) -> str:
    """Numbers of lines; 0 is a recipient who left the list meanwhile."""
    shown = ", ".join(str(place) if place else "—" for place in places[:most])
    return f"{shown} …" if len(places) > most else shown
