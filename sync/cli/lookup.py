"""What a person named, looked up; a name that is not there is refused with the nearest that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import TypeVar

from sqlalchemy import Connection

from sync.model import BadInput
from sync.store import outlets
from sync.store.outlets import Unknown
from sync.store.tables import Record

T = TypeVar("T")


def found(get: Callable[[], T], what: str, one: str) -> T:
    """What `get` returns. Raises BadInput where it raises Unknown; `what` is item, release or delivery."""
    try:
        return get()
    except Unknown:
        mend = f"`tongfa {what} list` shows what there is"
        raise BadInput(f"{what} {one}", f"there is no such {what}", mend) from None


def named_outlet(connection: Connection, name: str, *, retired: bool = False) -> Record:
    """An outlet's row; a retired one only when asked for. Raises BadInput."""
    every = {row.name: row for row in outlets.every(connection, retired=True)}
    known = [one for one, row in every.items() if retired or row.state != "retired"]
    if name in known:
        return every[name]
    if name in every:
        raise BadInput(f"outlet {name}", "it is retired", f"add another one; outlets: {listed(known)}")
    raise BadInput(f"outlet {name}", "there is no such outlet", nearest(name, known, "outlets"))


def nearest(given: str, known: Iterable[str], what: str = "known") -> str:
    """The mend for a name that is not known."""
    known = list(known)
    near = get_close_matches(given, known, n=1)
    return f"did you mean {near[0]}? {what}: {listed(known)}" if near else f"{what}: {listed(known)}"


def listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none yet"
