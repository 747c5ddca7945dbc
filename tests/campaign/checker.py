"""The judge of every campaign: was anything early, twice, or lost, and does the log explain all of it?

It believes the outlets' own records (what appeared where, when), what the client was told (the JSON documents
of commands), and the log as anybody may export it (`tongfa log list --format jsonl`). It never looks into our
tables, and never at our code's word for what happened outside.

    early        public before the instant that was asked for
    duplicate    one item public twice at one outlet
    lost         promised to the client, and neither public nor shown to a person; or called public, and not there
    unexplained  public although nobody was told of such a release, or the log does not say that it was sent
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync.clock import instant, iso

KINDS = ("early", "duplicate", "lost", "unexplained")
# States and acts as the log names them; written down here again, so that a wrong table of ours is noticed.
PUBLIC = {"released", "verified", "closed"}
FOR_A_PERSON = {"unresolved", "failed"}
DROPPED = {"cancelled", "withdrawn"}
SENT = "release_begun"


@dataclass(frozen=True)
class Copy:
    """One public copy, by the outlet itself. `at`: µs UTC when it appeared; `text`: what it shows, where it tells."""

    outlet: str
    title: str
    at: int
    text: str = ""


@dataclass(frozen=True)
class Promise:
    """What a client was told: this release of these titles will be public at these outlets, not before `at`."""

    release: str
    titles: tuple[str, ...]
    outlets: tuple[str, ...]
    at: int | None  # µs UTC; None: `now`, so any time after it was asked for
    asked: int = 0
    text: str = ""  # what every copy must show, where it is known


@dataclass(frozen=True)
class Finding:
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass
class History:
    """All that is judged. `tick`: µs by which an outlet's own clock may lag behind ours (the kernel's for files)."""

    promises: list[Promise] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    log: Sequence[Mapping[str, Any]] = ()
    items: Mapping[str, str] = field(default_factory=dict)  # item → title
    tick: int = 0


def check(history: History, *, ended: bool = True) -> list[Finding]:
    """Everything wrong with this history. `ended`: time enough has passed for all that was promised; otherwise
    what is missing may still come, and is not looked for."""
    asked = {(title, outlet): one for one in history.promises for title in one.titles for outlet in one.outlets}
    there: dict[tuple[str, str], list[Copy]] = defaultdict(list)
    for copy in history.copies:
        there[copy.title, copy.outlet].append(copy)
    told = _told(history)
    found = [one for place, copies in there.items() for one in _of_place(place, copies, asked, told, history.tick)]
    if ended:
        held = _held(history)
        found += [
            one
            for place, promise in asked.items()
            for one in _kept(place, promise, there, told, for_a_person=promise.release in held)
        ]
    return found


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How often each kind was found; each is named, also with 0."""
    seen = Counter(one.kind for one in findings)
    return {kind: seen[kind] for kind in KINDS}


def _of_place(
    place: tuple[str, str],
    copies: Sequence[Copy],
    asked: Mapping[tuple[str, str], Promise],
    told: Mapping[tuple[str, str], list[Mapping[str, Any]]],
    tick: int,
) -> Iterable[Finding]:
    title, outlet = place
    named = f"{title} at {outlet}"
    if len(copies) > 1:
        yield Finding("duplicate", f"{named}: {', '.join(iso(copy.at) for copy in copies)}")
    promise = asked.get(place)
    if promise is None:
        yield Finding("unexplained", f"{named} is public, and no client was told of it")
        return
    not_before = promise.asked if promise.at is None else promise.at
    for copy in copies:
        if copy.at < not_before - tick:
            yield Finding("early", f"{named}: {iso(copy.at)}, {(not_before - copy.at) / 1000:.3f} ms early")
        if promise.text and copy.text and promise.text not in copy.text:
            yield Finding("unexplained", f"{named} does not show what was approved: {copy.text[:80]!r}")
    sent = [entry for entry in told.get(place, ()) if entry["act"] == SENT]
    if not sent:
        yield Finding("unexplained", f"{named} is public, and the log does not say that it was sent")
    elif min(_at(entry) for entry in sent) > min(copy.at for copy in copies) + 1000 + tick:
        yield Finding("unexplained", f"{named} was public before the log says that it was sent")


def _kept(
    place: tuple[str, str],
    promise: Promise,
    there: Mapping[tuple[str, str], Sequence[Copy]],
    told: Mapping[tuple[str, str], list[Mapping[str, Any]]],
    *,
    for_a_person: bool,
) -> Iterable[Finding]:
    title, outlet = place
    named = f"{title} at {outlet} (release {promise.release})"
    entries = told.get(place, [])
    states = [str(entry["state"]) for entry in entries]
    public = bool(there.get(place))
    if not entries:
        yield Finding("lost", f"{named}: promised, and the log knows nothing of it")
    elif states[-1] in PUBLIC and not public:
        yield Finding("lost", f"{named}: the log calls it {states[-1]}, and nothing is there")
    elif not public and states[-1] not in FOR_A_PERSON | DROPPED and not for_a_person:
        yield Finding("lost", f"{named}: not public, and left {states[-1]}")
    elif public and states[-1] not in PUBLIC | FOR_A_PERSON:
        yield Finding("unexplained", f"{named}: public, and the log calls it {states[-1]}")


def _held(history: History) -> set[str]:
    """Releases that the log last calls held: shown to a person, with the reason."""
    last = {entry["id"]: entry["state"] for entry in history.log if entry["subject"] == "release" and entry["state"]}
    return {release for release, state in last.items() if state == "held"}


def _told(history: History) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Title and outlet → the entries of its delivery, oldest first."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for entry in history.log:
        if entry["subject"] == "delivery" and entry["outlet"] and entry["state"]:
            found[history.items.get(entry["item"], entry["item"]), entry["outlet"]].append(entry)
    return found


def _at(entry: Mapping[str, Any]) -> int:
    """µs UTC of an entry; it is cut to the millisecond."""
    return instant(datetime.fromisoformat(entry["at"]))
