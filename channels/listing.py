"""What a site of ours lists: columns, months, and the newest items.

Promises: entering an item twice changes nothing; the number of files touched by one entry does not
grow with the site; the month's file is the truth, the shorter lists are cut from it. An entry is known by
its path, and keeps its id and date through every correction. The state lies in
small JSON files in the hidden folder; callers hold `Staging.alone`. Knows nothing of pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from channels.staging import Staging

NEWEST = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One published page. `date` is its PubDate, `YYYY-MM-DD HH:MM` China time; `path` is within the site."""

    id: str
    date: str
    path: str
    title: str
    column: str
    slug: str
    kind: str
    summary: str
    source: str
    number: str
    corrected: str = ""  # when it was corrected last, in the form of `date`

    @property
    def month(self) -> str:
        return self.date[:7]


@dataclass(frozen=True)
class Column:
    """One column: its newest entries first, and how many each month has, newest month first."""

    slug: str
    name: str
    kind: str
    newest: tuple[Entry, ...]
    months: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Shelf:
    """All that the pages listing one column and one of its months are made of.

    `columns`: those that have something to show. `name` of the month; "" when the column never had it."""

    newest: tuple[Entry, ...]
    columns: tuple[Column, ...]
    column: Column
    month: tuple[Entry, ...]
    name: str


def only(entry: Entry) -> Shelf:
    """What lists it, were it the only one of its site."""
    column = Column(entry.slug, entry.column, entry.kind, (entry,), ((entry.month, 1),))
    return Shelf((entry,), (column,), column, (entry,), entry.month)


class Shelves:
    """The lists of one site."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._folder = staging.hidden / "index"

    def enter(self, entry: Entry) -> Shelf:
        """List a new entry. Raises OSError; then entering it again completes what is missing."""
        folder = self._folder / entry.slug
        month = _sorted([*_entries(folder / f"{entry.month}.json"), entry])
        newest_here = _sorted([*_entries(folder / "newest.json"), entry])[:NEWEST]
        newest = _sorted([*_entries(self._folder / "newest.json"), entry])[:NEWEST]
        months = {**_object(folder / "months.json"), entry.month: str(len(month))}
        columns = {**_object(self._folder / "columns.json")}
        columns.setdefault(entry.slug, f"{entry.kind} {entry.column}")
        self._staging.write(
            {
                folder / f"{entry.month}.json": _json([asdict(e) for e in month]),
                folder / "newest.json": _json([asdict(e) for e in newest_here]),
                folder / "months.json": _json(months),
                self._folder / "newest.json": _json([asdict(e) for e in newest]),
                self._folder / "columns.json": _json(columns),
            }
        )
        return self._shelves(entry.month, [entry.slug])[0]

    def correct(self, entry: Entry) -> tuple[Shelf, ...]:
        """Let the entry take the place of that of the same path, also of one in another column; its id stays.

        The shelves are those of all columns, because one that lost its last entry shows in all of them.
        Raises OSError; then correcting again completes it."""
        return self._arrange(entry.path, entry.month, entry)

    def leave(self, path: str, month: str) -> tuple[Shelf, ...]:
        """Take the entry of this path out of the lists; as `correct`. What is not listed is gone already."""
        return self._arrange(path, month, None)

    def _arrange(self, path: str, month: str, entry: Entry | None) -> tuple[Shelf, ...]:
        columns = {**_object(self._folder / "columns.json")}
        if entry is not None:
            columns.setdefault(entry.slug, f"{entry.kind} {entry.column}")
        found = {slug: _entries(self._folder / slug / f"{month}.json") for slug in columns}
        known = next((one for listed in found.values() for one in listed if one.path == path), None)
        if entry is not None and known is not None:
            entry = replace(entry, id=known.id)
        # The column that gains it comes first: after a death it is listed twice, never forgotten.
        for slug in sorted(columns, key=lambda slug: entry is None or slug != entry.slug):
            kept = [one for one in found[slug] if one.path != path]
            listed = _sorted([*kept, entry] if entry is not None and slug == entry.slug else kept)
            self._rewrite(slug, month, listed)
        newest = _sorted(one for slug in columns for one in _entries(self._folder / slug / "newest.json"))[:NEWEST]
        self._staging.write(
            {
                self._folder / "newest.json": _json([asdict(e) for e in newest]),
                self._folder / "columns.json": _json(columns),
            }
        )
        return self._shelves(month, columns)

    def _rewrite(self, slug: str, month: str, listed: list[Entry]) -> None:
        """One column's month as given, and its newest cut anew from the months."""
        folder = self._folder / slug
        months = _object(folder / "months.json")
        if listed or month in months:
            months[month] = str(len(listed))  # an emptied month keeps its page, because others link to it
            self._staging.write({folder / f"{month}.json": _json([asdict(e) for e in listed])})
        newest: list[Entry] = []
        for name in sorted(months, reverse=True):
            if len(newest) < NEWEST:
                newest += _entries(folder / f"{name}.json")
        newest_here = [asdict(e) for e in _sorted(newest)[:NEWEST]]
        self._staging.write({folder / "newest.json": _json(newest_here), folder / "months.json": _json(months)})

    def _shelves(self, month: str, slugs: Iterable[str]) -> tuple[Shelf, ...]:
        columns = _object(self._folder / "columns.json")
        all_columns = {slug: self._column(slug, said) for slug, said in columns.items()}
        newest = tuple(_entries(self._folder / "newest.json"))
        shown = tuple(column for column in all_columns.values() if column.newest)
        shelves = []
        for slug in slugs:
            path = self._folder / slug / f"{month}.json"
            name = month if path.exists() else ""
            shelves.append(Shelf(newest, shown, all_columns[slug], tuple(_entries(path)), name))
        return tuple(shelves)

    def _column(self, slug: str, said: str) -> Column:
        kind, _, name = said.partition(" ")
        months = sorted(_object(self._folder / slug / "months.json").items(), reverse=True)
        newest = _entries(self._folder / slug / "newest.json")
        return Column(
            slug, name, kind, tuple(newest), tuple((month, int(count)) for month, count in months if count != "0")
        )


def _sorted(entries: Iterable[Entry]) -> list[Entry]:
    """Newest first; of two with one id the first given stays."""
    once: dict[str, Entry] = {}
    for entry in entries:
        once.setdefault(entry.id, entry)
    return sorted(once.values(), key=lambda entry: (entry.date, entry.id), reverse=True)


def _entries(path: Path) -> list[Entry]:
    return [Entry(**fields) for fields in json.loads(path.read_bytes())] if path.exists() else []


def _object(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_bytes())) if path.exists() else {}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
