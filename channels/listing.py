"""What a site of ours lists: columns, months, and the newest items.

Promises: entering an item twice changes nothing; the number of files touched by one entry does not
grow with the site; the month's file is the truth, the shorter lists are cut from it. The state lies in
small JSON files in the hidden folder; callers hold `Staging.alone`. Knows nothing of pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
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
    """All that the pages listing one new entry are made of."""

    newest: tuple[Entry, ...]
    columns: tuple[Column, ...]
    column: Column
    month: tuple[Entry, ...]


class Shelves:
    """The lists of one site."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._folder = staging.hidden / "index"

    def enter(self, entry: Entry) -> Shelf:
        """List the entry. Raises OSError; then entering it again completes what is missing."""
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
        listed = tuple(self._column(slug, said) for slug, said in columns.items())
        own = next(column for column in listed if column.slug == entry.slug)
        return Shelf(tuple(newest), listed, own, tuple(month))

    def _column(self, slug: str, said: str) -> Column:
        kind, _, name = said.partition(" ")
        months = sorted(_object(self._folder / slug / "months.json").items(), reverse=True)
        newest = _entries(self._folder / slug / "newest.json")
        return Column(slug, name, kind, tuple(newest), tuple((month, int(count)) for month, count in months))


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
