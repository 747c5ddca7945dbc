"""Seals the outlets' secrets with one master key that is kept apart from the database.

A sealed text is bound to its outlet and its name: moved to another row it does not open. Losing the
key loses the secrets and nothing else; they are then given anew. Nothing here logs, and neither the
key nor a secret appears in an error or a repr.

    sealed text = "v1." + base64(12 random bytes + AES-256-GCM(text) with its 16-byte tag)
    key file    = base64(32 random bytes) + line feed, mode 0600
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sync.model import BadInput, canonical_bytes

VERSION = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12


class Vault:
    """Seals and opens with one key. Safe to share between threads."""

    def __init__(self, key: bytes, where: str = "secret key") -> None:
        """`where` names the key's origin in errors. Raises ValueError unless the key has 32 bytes."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self._where = where

    @classmethod
    def at(cls, path: Path) -> Vault:
        """The vault of an existing key file. Raises BadInput when it is missing, damaged or readable by others."""
        return cls(read_key(path), str(path))

    def seal(self, name: str, field: str, text: str) -> str:
        """`text` sealed for the outlet `name` and its secret `field`; never the same twice."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), _bound_to(name, field))
        return f"{VERSION}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, name: str, field: str, sealed: str) -> str:
        """The text that was sealed for this outlet and secret.

        Raises BadInput when this key, outlet or secret is another one, or the sealed text was altered.
        """
        version, _, content = sealed.partition(".")
        try:
            if version != VERSION:
                raise ValueError(version)
            whole = base64.b64decode(content, validate=True)
            return self._cipher.decrypt(whole[:NONCE_BYTES], whole[NONCE_BYTES:], _bound_to(name, field)).decode()
        except (InvalidTag, ValueError) as error:  # binascii.Error and a nonce cut short are ValueErrors
            raise BadInput(
                f"secret {field} of outlet {name}",
                f"does not open with {self._where}: another key, or an altered row",
                f"put the key file back that it was sealed with, or give {field} anew with `tongfa outlet set {name}`",
            ) from error


def _bound_to(name: str, field: str) -> bytes:
    return canonical_bytes([VERSION, name, field])


def create_key(path: Path) -> None:
    """Make a new key file unless there is one already; never replaces a key.

    The whole file, mode 0600, takes its name in one step and is on disk before this returns: several
    processes may start at once and read the same key, and death half-way leaves no half a key, at most
    an unused file beside it. Raises OSError when the folder cannot be made or written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)  # unlike a rename, refuses to replace the key of a faster process
        except FileExistsError:
            return
        _sync_folder(path.parent)
    finally:
        draft.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key file. Raises BadInput when it is missing, damaged or readable by others."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise BadInput(str(path), "other users may read this key", f"chmod 600 {path}")
            key = base64.b64decode(file.read(4096).strip(), validate=True)
    except OSError as error:
        raise BadInput(
            str(path),
            f"the secret key cannot be read: {error.strerror}",
            "set TONGFA_SECRET_KEY_FILE to the key this installation was made with, or restore it from its backup",
        ) from error
    except binascii.Error as error:
        raise _damaged(path) from error
    if len(key) != KEY_BYTES:
        raise _damaged(path)
    return key


def _damaged(path: Path) -> BadInput:
    return BadInput(str(path), "this is not a whole secret key", "restore it from its backup")
