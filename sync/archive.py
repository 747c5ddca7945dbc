"""One file that holds a backup: a plain tar of parts, and last a manifest with the SHA-256 of each.

    database.sqlite3, or tables/NAME …   the database, as of one moment
    assets/DIGEST …                      pictures and attachments, where they are files
    secret.key                           only if it was asked for
    manifest.json                        what it is of, and every part's size and digest; sealed by its own

It appears under its name whole or not at all, and never in the place of another file.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

from sync.model import BadInput, canonical_bytes, sha256

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK = 1 << 20
MEND = "take another backup, or name another file"


class Writer:
    """Takes the parts in. Made by `writing`."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._parts: dict[str, list[Any]] = {}

    def add(self, name: str, source: Path | bytes) -> str:
        """One part; returns its digest. Raises OSError."""
        if isinstance(source, bytes):
            return self._add(name, io.BytesIO(source), len(source))
        with source.open("rb") as file:
            return self._add(name, file, os.fstat(file.fileno()).st_size)

    def seal(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """The last part: the manifest. Returns it."""
        told = {"format": FORMAT, **about, "parts": self._parts}
        sealed = json.dumps({"manifest": told, "sha256": sha256(canonical_bytes(told))}, ensure_ascii=False, indent=1)
        content = sealed.encode()
        self._tar.addfile(_header(MANIFEST, len(content)), io.BytesIO(content))
        return told

    def _add(self, name: str, file: IO[bytes], size: int) -> str:
        hashed = _Hashed(file)
        self._tar.addfile(_header(name, size), hashed)
        self._parts[name] = [size, hashed.digest()]
        return hashed.digest()


@contextmanager
def writing(out: Path) -> Iterator[Writer]:
    """A new file of mode 0600, under its name and on disk once the block has ended well.

    Raises BadInput when there is one of that name already.
    """
    refuse_existing(out)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                yield Writer(tar)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, out)  # unlike a rename it takes nobody's place
        except FileExistsError:
            refuse_existing(out)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(out.parent)


def refuse_existing(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise BadInput(str(out), "there is a file of this name", "name a new one: no backup is overwritten")


def check(path: Path) -> dict[str, Any]:
    """The manifest of a whole and unchanged backup. Raises BadInput otherwise; reads all of it."""
    with _opened(path) as tar:
        found, told = {}, None
        for member in tar:
            if told is not None or not member.isreg():
                raise ValueError(f"{member.name} does not belong there")
            file = _Hashed(_file(tar, member))
            if member.name == MANIFEST:
                told = _manifest(file.read())
                continue
            while file.read(CHUNK):
                pass
            found[member.name] = [file.size, file.digest()]
        if told is None:
            raise ValueError("it ends before its manifest")
        for name in found.keys() ^ told["parts"].keys():
            raise ValueError(f"{name} is {'missing' if name not in found else 'not in its manifest'}")
        for name, is_now in found.items():
            if is_now != told["parts"][name]:
                raise ValueError(f"{name} was changed")
        return told


def parts(path: Path, told: Mapping[str, Any]) -> Iterator[tuple[str, IO[bytes]]]:
    """Each part of a checked backup, to be read at once. Raises BadInput if it is not what was checked."""
    with _opened(path) as tar:
        for member in tar:
            if member.name == MANIFEST:
                return
            file = _Hashed(_file(tar, member))
            yield member.name, file  # type: ignore[misc]  # it is only read from
            while file.read(CHUNK):
                pass
            if told["parts"].get(member.name) != [file.size, file.digest()]:
                raise ValueError(f"{member.name} was changed meanwhile")


def write_part(file: IO[bytes], path: Path, mode: int = 0o600) -> None:
    """A part as a file, on disk when this returns; what was there is replaced."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as written:
        while chunk := file.read(CHUNK):
            written.write(chunk)
        written.flush()
        os.fsync(written.fileno())


def sync_folder(folder: Path) -> None:
    """Names that were made or changed in it are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Hashed:
    """Reads a file, and knows the digest of what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash, self.size = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._hash.update(content)
        self.size += len(content)
        return content

    def digest(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with closing(tarfile.open(path, "r:")) as tar:
            yield tar
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError) as error:
        raise BadInput(str(path), f"this is no whole backup: {error}", MEND) from error
    except OSError as error:
        raise BadInput(str(path), f"it cannot be read: {error.strerror or error}", MEND) from error


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is no file")
    return file


def _manifest(content: bytes) -> dict[str, Any]:
    sealed = json.loads(content)
    told: dict[str, Any] = sealed["manifest"]
    if sha256(canonical_bytes(told)) != sealed["sha256"]:
        raise ValueError("its manifest was changed")
    if told["format"] != FORMAT:
        raise ValueError(f"it has format {told['format']}, and this version reads format {FORMAT}")
    return told


def _header(name: str, size: int) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.mode = size, 0o600
    return made
