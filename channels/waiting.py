"""What waits in the hidden folder for its release: the prepared page, and the record of all that belongs to it.

Promises: the record is written last, so while it is missing nothing counts as prepared; it outlives the
release, because it says which files are the delivery's. Everything is found by the delivery's marker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from channels.staging import Staging
from sync.model import Rendition, sha256


@dataclass(frozen=True)
class Record:
    """What `prepare` put in place: for which rendition (digest), what to hand on, and the files' digests by path."""

    rendition: str
    notes: dict[str, str]
    files: dict[str, str]


class Waiting:
    """The prepared deliveries of one site."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    def put(self, marker: str, rendition: Rendition, files: Mapping[str, bytes], notes: Mapping[str, str]) -> None:
        """Store files (by path in the site), page and record, in this order. Raises OSError."""
        self._staging.write({self._staging.served / path: content for path, content in files.items()})
        record = Record(rendition.digest, dict(notes), {path: sha256(content) for path, content in files.items()})
        self._staging.write({self._page(marker): rendition.content.encode()})
        self._staging.write({self._path(marker): json.dumps(asdict(record)).encode()})

    def record(self, marker: str) -> Record | None:
        path = self._path(marker)
        return Record(**json.loads(path.read_bytes())) if path.exists() else None

    def complete(self, marker: str, rendition: Rendition) -> Record | None:
        """The record, if all that it names is there and for this very rendition."""
        record, page = self.record(marker), self._page(marker)
        if record is None or record.rendition != rendition.digest or not page.exists():
            return None
        if page.read_bytes() != rendition.content.encode():
            return None
        for path, digest in record.files.items():
            file = self._staging.served / path
            if not file.exists() or sha256(file.read_bytes()) != digest:
                return None
        return record

    def released(self, marker: str) -> None:
        """The page went out: only the record is kept."""
        self._page(marker).unlink(missing_ok=True)

    def forget(self, marker: str) -> None:
        """Keep nothing. Of what is forgotten already this is success."""
        self._path(marker).unlink(missing_ok=True)
        self._page(marker).unlink(missing_ok=True)

    def _page(self, marker: str) -> Path:
        """The prepared page, still with the marks where its dates will be."""
        return self._staging.hidden / "pages" / f"{marker}.html"

    def _path(self, marker: str) -> Path:
        return self._staging.hidden / "records" / f"{marker}.json"
