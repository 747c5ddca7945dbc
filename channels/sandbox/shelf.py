"""What a sandbox outlet still has after a restart: one JSON value per kind and id, in a journal of its own.

A change is handed to the operating system before `put` or `drop` returns: it outlives the death of the
process at any moment, not that of the machine. Beside the record, because the record tells what
happened, with no pictures and no way back.

    shelf = Shelf(home / "world.jsonl", address)
    for ref, value in shelf.all("post").items(): …     at start
    shelf.put("post", ref, {…})                        after each change
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

# Stands in the journal for the sandbox's own address, which may be another one after a restart.
HERE = "http://this-sandbox.invalid"


class Shelf:
    def __init__(self, path: Path, address: str) -> None:
        """Reads what is there and writes it anew without what was dropped. Raises OSError."""
        self._address = address
        self._kept: dict[str, dict[str, Any]] = {}
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                kind, ref, value = json.loads(line.replace(HERE.encode(), address.encode()))
            except ValueError:
                continue  # the torn last line of a killed run: its answer never left
            self._kept.setdefault(kind, {}).pop(ref, None)
            if value is not None:
                self._kept[kind][ref] = value
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_bytes(b"".join(self._line(k, ref, v) for k, kept in self._kept.items() for ref, v in kept.items()))
        fresh.replace(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def all(self, kind: str) -> dict[str, Any]:
        """Everything of a kind by id, in the order of the last change."""
        return dict(self._kept.get(kind, {}))

    def put(self, kind: str, ref: str, value: Any) -> None:
        """Keep a JSON value, in place of the one before. Raises OSError."""
        self._kept.setdefault(kind, {})[ref] = value
        self._append(self._line(kind, ref, value))

    def drop(self, kind: str, ref: str) -> None:
        """Forget it. Raises OSError."""
        if self._kept.get(kind, {}).pop(ref, None) is not None:
            self._append(self._line(kind, ref, None))

    def _line(self, kind: str, ref: str, value: Any) -> bytes:
        line = json.dumps([kind, ref, value], ensure_ascii=False).replace(self._address, HERE)
        return line.encode("utf-8", "surrogatepass") + b"\n"

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._file, rest) :]


def packed(content: bytes) -> str:
    """Bytes as a JSON value."""
    return base64.b64encode(content).decode()


def unpacked(value: str) -> bytes:
    return base64.b64decode(value)
