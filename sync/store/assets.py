"""Content-addressed files: the bytes of every picture and attachment, named by their SHA-256.

A file appears whole or not at all (temporary file, fsync, rename, fsync of the folder), and is never
changed afterwards, unless it was damaged: then it is replaced when its bytes are put again. A file nobody
refers to, left by a death before the database commit, is harmless.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from sync.model import sha256


class Missing(Exception):
    """The store has no file of this digest, or its bytes no longer have it."""


class Assets:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes) -> str:
        """Keep `content`; returns its digest. Raises OSError (disk full …), leaving no half file."""
        digest = sha256(content)
        final = self._path(digest)
        if _holds(final, digest):
            return digest
        _make(final.parent)
        temporary = final.parent / f".{digest}.{secrets.token_hex(4)}"
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(final)
        finally:
            temporary.unlink(missing_ok=True)
        _sync(final.parent)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes, hashed again on the way out. Raises Missing."""
        try:
            content = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise Missing(f"asset {digest} is not in the store") from None
        if sha256(content) != digest:
            raise Missing(f"asset {digest} was changed on disk; restore it from a backup, or add its file again")
        return content

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


def _holds(path: Path, digest: str) -> bool:
    return path.exists() and sha256(path.read_bytes()) == digest


def _make(folder: Path) -> None:
    """Make the folder and those above it, each safe on disk under its name."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
