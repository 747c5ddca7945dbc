"""The append-only record of what a sandbox received, and when: what tests and the demo believe.

A line is on disk before the answer it belongs to leaves, so whoever got an answer finds its cause here.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Record:
    """`record.jsonl`, one JSON object a line; lines of an earlier run of the same home are kept."""

    def __init__(self, path: Path) -> None:
        """Opens the file, creating it. Raises OSError."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.lines: list[Mapping[str, Any]] = []
        kept = path.read_bytes()
        for line in kept.splitlines():
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                continue  # the torn last line of a killed run: its answer never left
        if kept and not kept.endswith(b"\n"):
            os.write(self._file, b"\n")
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, line: Mapping[str, Any]) -> None:
        """Returns when the line is on disk. Raises OSError if it could not be written.

        Lines that arrive during one fsync share the next: the event loop is never blocked by the disk.
        """
        self.lines.append(line)
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((json.dumps(line, ensure_ascii=False).encode() + b"\n", written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._drain())
        await written

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            failure: OSError | None = None
            try:
                await asyncio.to_thread(self._append, b"".join(line for line, _ in batch))
            except OSError as error:
                failure = error
            for _, written in batch:
                if written.done():
                    continue
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)

    def _append(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.fdatasync(self._file)
