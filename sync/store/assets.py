"""The bytes of every picture and attachment, named by their SHA-256: files of the home, or with PostgreSQL rows.

A file appears whole or not at all (temporary file, fsync, rename, fsync of the folder), and is never
changed afterwards, unless it was damaged: then it is replaced when its bytes are put again. A file nobody
refers to, left by a death before the database commit, is harmless; so is such a row.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Protocol

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from sync.model import BadInput, sha256
from sync.store.session import Store
from sync.store.tables import asset_content


class Missing(Exception):
    """The store has no file of this digest, or its bytes no longer have it."""


class AssetStore(Protocol):
    def put(self, content: bytes) -> str:
        """Keep `content`; returns its digest. Raises OSError or BadInput (disk full …), having kept nothing."""

    def get(self, digest: str) -> bytes:
        """The bytes, hashed again on the way out. Raises Missing."""


class Assets:
    """Files, for an installation whose processes share one folder."""

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


class AssetRows:
    """Rows of the database, so that a worker on another host needs the settings only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, content: bytes) -> str:
        """In a transaction of its own that does not queue with the writers: a long file keeps nobody waiting.

        Raises BadInput when the disk is full, or when the row is there and was damaged.
        """
        digest = sha256(content)
        if self._holds(digest):
            return digest
        try:
            with self._store.beside() as connection:
                connection.execute(insert(asset_content).values(digest=digest, content=content))
        except IntegrityError:  # somebody was faster
            if not self._holds(digest):
                raise
        return digest

    def get(self, digest: str) -> bytes:
        with self._store.read() as connection:
            wanted = select(asset_content.c.content).where(asset_content.c.digest == digest)
            content: bytes | None = connection.execute(wanted).scalar()
        if content is None:
            raise Missing(f"asset {digest} is not in the store")
        if sha256(content) != digest:
            raise Missing(f"asset {digest} was changed in the database; restore it from a backup")
        return content

    def _holds(self, digest: str) -> bool:
        """Hashed by the server, so that the bytes stay there."""
        hashed = func.encode(func.sha256(asset_content.c.content), "hex")
        with self._store.read() as connection:
            found = connection.execute(select(hashed).where(asset_content.c.digest == digest)).scalar()
        if found not in (None, digest):
            message = f"asset {digest} was changed in the database"
            raise BadInput(self._store.shown, message, "restore it from a backup")
        return found is not None


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
