"""Signed notes, checkpoints and cosignatures, as C2SP signed-note, tlog-checkpoint and tlog-cosignature say. Pure.

    note       = text, which ends in a line feed · an empty line · one line for each signature
    signature  = "— " + name + " " + base64(key id, 4 bytes + what was signed)
    key id     = first 4 bytes of SHA-256(name + line feed + algorithm, 1 byte + public key)
    vkey       = name + "+" + key id in hexadecimal + "+" + base64(algorithm + public key)
    checkpoint = a note whose text is three lines: origin, size in decimal, base64 of the root

Two algorithms: 1 is Ed25519 over the text; 4 is a witness's, Ed25519 over "cosignature/v1", the time and the text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519, COSIGNATURE = 1, 4
MOST = 64  # signatures looked at; C2SP asks for at least 16
DASH = "— "
_NAME = re.compile(r"[^\s+]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class BadNote(Exception):
    """This is no note of the form above, or nobody whose key is known has signed it."""


@dataclass(frozen=True, slots=True)
class Key:
    """Whose signatures are believed. `algorithm` is `ED25519` or `COSIGNATURE`."""

    name: str
    algorithm: int
    public: bytes

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """As text, for configurations and people."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.algorithm]) + self.public).decode()}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One line below a note; nothing is known of it yet. `signed` comes after the key id."""

    name: str
    id: bytes
    signed: bytes

    @property
    def line(self) -> str:
        return f"{DASH}{self.name} {base64.b64encode(self.id + self.signed).decode()}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log was at some moment. `root` has 32 bytes; further lines of the text are not kept here."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_of(vkey: str) -> Key:
    """The key that this text tells of. Raises BadNote."""
    name, _, rest = vkey.strip().partition("+")
    told, _, encoded = rest.partition("+")
    content = _decoded(encoded)
    if not _NAME.fullmatch(name) or len(content) != 33 or content[0] not in (ED25519, COSIGNATURE):
        raise BadNote(f"this is not the key of a log or a witness: {vkey!r}")
    key = Key(name, content[0], content[1:])
    if told != key.id.hex():
        raise BadNote(f"the id of this key is {key.id.hex()}, not {told}")
    return key


def public_key(name: str, private: Ed25519PrivateKey) -> Key:
    """What verifies the signatures of a log of this name. Raises BadNote for a name that none may have."""
    if not _NAME.fullmatch(name):
        raise BadNote(f"no log can have this name: {name!r}")
    return Key(name, ED25519, private.public_key().public_bytes_raw())


def sign(text: str, name: str, private: Ed25519PrivateKey) -> str:
    """The whole note. The same text and key give the same note every time. Raises BadNote."""
    _refuse_odd(text)
    key = public_key(name, private)
    return f"{text}\n{Signature(name, key.id, private.sign(text.encode())).line}"


def opened(note: bytes) -> tuple[str, list[Signature]]:
    """Text and signatures, none of them verified. Raises BadNote."""
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise BadNote("this is not UTF-8") from error
    body, gap, below = whole.rpartition("\n\n")
    _refuse_odd(whole)
    lines = below.removesuffix("\n").split("\n")
    if not gap or not body or not below.endswith("\n") or len(lines) > MOST:
        raise BadNote("this is not a text, an empty line and signatures")
    return body + "\n", [_signature(line) for line in lines]


def verified(note: bytes, keys: Iterable[Key]) -> tuple[str, dict[str, int | None]]:
    """The text, and who signed it: name → time (POSIX seconds) of a cosignature, None of a log's signature.

    Signatures of unknown keys are nothing. Raises BadNote when a known key's is false, or none is a known key's.
    """
    text, signatures = opened(note)
    known, signers = {(one.name, one.id): one for one in keys}, dict[str, int | None]()
    for one in signatures:
        if (key := known.get((one.name, one.id))) is not None:
            signers[one.name] = _time(text, key, one.signed)
    if not signers:
        raise BadNote("nobody whose key is known has signed this")
    return text, signers


def checkpoint_of(text: str) -> Checkpoint:
    """What the text of a note says of a log. Raises BadNote."""
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0] or not _SIZE.fullmatch(lines[1]) or lines[-1] or "" in lines[:-1]:
        raise BadNote("this is not a checkpoint: origin, size and root, each on a line")
    root = _decoded(lines[2])
    if len(root) != 32:
        raise BadNote("the root of this checkpoint has not 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


def signed_checkpoint(note: bytes, log: Key) -> Checkpoint:
    """What the log that has this key has signed, under its own name. Raises BadNote."""
    made = checkpoint_of(verified(note, [log])[0])
    if made.origin != log.name:
        raise BadNote(f"this is a checkpoint of {made.origin}, not of {log.name}")
    return made


def _time(text: str, key: Key, signed: bytes) -> int | None:
    """Raises BadNote unless this key made this signature."""
    message, at = text, None
    if key.algorithm == COSIGNATURE:
        at, signed = int.from_bytes(signed[:8], "big"), signed[8:]
        message = f"cosignature/v1\ntime {at}\n{text}"
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signed, message.encode())
    except InvalidSignature as error:
        raise BadNote(f"this is not what {key.name} signed") from error
    if at is not None and at >= 1 << 63:
        raise BadNote(f"{key.name} tells of a time that there is not")
    return at


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(DASH).partition(" ")
    content = _decoded(encoded)
    if not line.startswith(DASH) or not space or not _NAME.fullmatch(name) or len(content) < 5:
        raise BadNote(f"this is not a signature: {line!r}")
    return Signature(name, content[:4], content[4:])


def _refuse_odd(text: str) -> None:
    if not text.endswith("\n") or any(one < " " and one != "\n" for one in text):
        raise BadNote("a note ends in a line feed and has no other control characters")


def _decoded(encoded: str) -> bytes:
    """Base64, only in its one canonical form."""
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadNote(f"this is not base64: {encoded!r}") from error
    if base64.b64encode(content).decode() != encoded:
        raise BadNote(f"this is not the one way to write these bytes: {encoded!r}")
    return content
