"""The log as plain files, laid out as C2SP tlog-tiles says: any web server can show them, any copy tool keep them.

    checkpoint                        what was signed last
    tile/<level>/<number>[.p/<width>] 256 neighbouring hashes, or fewer at the right edge
    tile/entries/<number>[.p/<width>] the leaves' own bytes, each after its length in two bytes

What a file holds follows from the leaves alone, so writing it once more changes nothing; each takes its name whole and
is on disk before the next one begins. A checkpoint is written last: what it speaks of is then there. Until a death is
mended there may be files of more leaves than any checkpoint speaks of, which nobody asks for.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from sync.log import tree

HEIGHT = 8  # levels of the tree in one tile
WIDTH = 1 << HEIGHT
HASH = 32  # bytes
LONGEST = 0xFFFF  # bytes of a leaf: its length is told in two
ENTRIES = "entries"

_Tail: TypeAlias = Callable[[int, int], list[bytes]]  # the first of a tile, by number and width


class Damaged(Exception):
    """A file of the log is missing or not what it must be; `path` says which. A copy of it mends that."""

    def __init__(self, path: Path | str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


def tile_path(level: int | str, number: int, width: int = WIDTH) -> str:
    """The path of a tile below the log's folder; `level` is `ENTRIES` for a bundle of leaves."""
    digits = f"{number:d}"
    digits = digits.rjust(-(-len(digits) // 3) * 3, "0")
    *upper, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
    ending = "" if width == WIDTH else f".p/{width}"
    return "/".join(["tile", str(level), *(f"x{one}" for one in upper), last]) + ending


def shape(size: int) -> Iterator[tuple[int, int, int]]:
    """(level, number, width) of every tile of a tree of this size; those of level 0 are also the bundles'."""
    level, count = 0, size
    while count:
        for number in range(-(-count // WIDTH)):
            yield level, number, min(WIDTH, count - number * WIDTH)
        level, count = level + 1, count // WIDTH


def bundle(leaves: Sequence[bytes]) -> bytes:
    """Leaves as one file. Raises ValueError for one that is too long."""
    for one in leaves:
        if len(one) > LONGEST:
            raise ValueError(f"a leaf has {LONGEST} bytes at most, not {len(one)}")
    return b"".join(len(one).to_bytes(2, "big") + one for one in leaves)


def unbundle(content: bytes) -> list[bytes]:
    """The leaves of such a file. Raises ValueError when it ends inside one."""
    leaves, at = [], 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        if at + 2 > len(content) or end > len(content):
            raise ValueError("ends inside a leaf")
        leaves.append(content[at + 2 : end])
        at = end
    return leaves


class Folder:
    """The files of one log. Whoever writes holds the log's lock; readers need none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def hashes(self, level: int, number: int, width: int) -> list[bytes]:
        """The first `width` hashes of a tile. Raises Damaged."""
        path, content = self._read(level, number, width)
        if len(content) % HASH or len(content) < width * HASH:
            raise Damaged(path, f"has {len(content)} bytes, which are not {width} hashes")
        return [content[at : at + HASH] for at in range(0, width * HASH, HASH)]

    def leaves(self, number: int, width: int) -> list[bytes]:
        """The first `width` leaves of a bundle. Raises Damaged."""
        path, content = self._read(ENTRIES, number, width)
        try:
            found = unbundle(content)
        except ValueError as error:
            raise Damaged(path, str(error)) from error
        if len(found) < width:
            raise Damaged(path, f"has {len(found)} leaves, not {width}")
        return found[:width]

    def reader(self, size: int) -> tree.Read:
        """What `sync.log.tree` reads a tree of this size by. Keeps the tiles it has read. Raises Damaged."""
        kept: dict[tuple[int, int], list[bytes]] = {}

        def read(height: int, n: int) -> bytes:
            level, inner = divmod(height, HEIGHT)
            number, at = divmod(n << inner, WIDTH)
            if (level, number) not in kept:
                count = size >> (level * HEIGHT)
                kept[level, number] = self.hashes(level, number, min(WIDTH, count - number * WIDTH))
            return tree.complete(kept[level, number][at : at + (1 << inner)])

        return read

    def extend(self, size: int, leaves: Sequence[bytes]) -> int:
        """Write what a tree of `size`, whose files are here, becomes with these leaves; returns the new size.

        The bundles come first, then the tiles from the lowest level up, so that no hash is there before what it is of.
        Killed anywhere, the same call writes the same files. Raises Damaged when the old tree's files are, and OSError.
        """
        if not leaves:
            return size
        grown = size + len(leaves)
        for number, width, part in _filled(size, leaves, self.leaves):
            self._write(tile_path(ENTRIES, number, width), bundle(part))
        level, before, row = 0, size, [tree.leaf_hash(one) for one in leaves]
        while row:
            above: list[bytes] = []
            for number, width, part in _filled(before, row, partial(self.hashes, level)):
                self._write(tile_path(level, number, width), b"".join(part))
                if width == WIDTH:
                    above.append(tree.complete(part))
            level, before, row = level + 1, before // WIDTH, above
        return grown

    def checkpoint(self) -> bytes | None:
        """What was signed last; None: nothing yet."""
        try:
            return (self.path / "checkpoint").read_bytes()
        except FileNotFoundError:
            return None

    def publish(self, note: bytes, last: int, size: int) -> None:
        """Put a checkpoint of a tree of `size`, whose files are here, in the place of that of `last`; then the partial
        tiles that were filled since may go."""
        self._write("checkpoint", note)
        level = 0
        while last >> (HEIGHT * level):
            number = (last >> (HEIGHT * level)) // WIDTH
            if (size >> (HEIGHT * level)) >= (number + 1) * WIDTH:
                for kind in (level, ENTRIES) if level == 0 else (level,):
                    shutil.rmtree(self.path / (tile_path(kind, number) + ".p"), ignore_errors=True)
            level += 1

    def write(self, name: str, content: bytes) -> None:
        """A file beside the tiles, such as the log's public key. Raises OSError."""
        self._write(name, content)

    def _read(self, level: int | str, number: int, width: int) -> tuple[Path, bytes]:
        """Of the partial tile, or of a full one that has taken its place."""
        for path in dict.fromkeys((tile_path(level, number, width), tile_path(level, number))):
            try:
                return self.path / path, (self.path / path).read_bytes()
            except FileNotFoundError:
                continue
        raise Damaged(self.path / tile_path(level, number, width), "is missing")

    def _write(self, name: str, content: bytes) -> None:
        path = self.path / name
        if _holds(path, content):
            return
        _make(path.parent)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        _sync(path.parent)


def _filled(size: int, more: Sequence[bytes], read: _Tail) -> Iterator[tuple[int, int, list[bytes]]]:
    """(number, width, content) of each tile of a row that changes when `more` follows the `size` that are there."""
    number, width = divmod(size, WIDTH)
    row = [*(read(number, width) if width else []), *more]
    for at in range(0, len(row), WIDTH):
        part = row[at : at + WIDTH]
        yield number + at // WIDTH, len(part), part


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _make(folder: Path) -> None:
    """Make a folder and what is above it, each name on disk before the next."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        _sync(one.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
