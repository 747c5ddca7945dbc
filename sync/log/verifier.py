"""Checks a sync log without trusting who wrote it: this one file, Python's standard library and `cryptography`.

    python verifier.py FOLDER --key VKEY [--checkpoint FILE] [--entries FILE]

FOLDER holds the log's files, VKEY is the log's public key (text, or the path of a file with it) as it was received once
by a way one trusts. `--checkpoint` is one kept from an earlier visit: the log must still begin with what it speaks of.
`--entries` holds texts with their salts, one JSON object a line: each must be what its leaf has the digest of.

Every leaf is hashed, and every tile and the root are computed anew from the leaves. What is printed last is `ok`, or
what is wrong, with the first entry it is wrong of. Exit code 0: all holds; 5: something does not; 2: wrong usage.
The format, with test vectors: `FORMAT.md`. This file shares no code with what writes the log.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

OK, USAGE, FAILED = 0, 2, 5
FULL = 256
SIGNATURE = rb"\xe2\x80\x94 [^ \n]+ [A-Za-z0-9+/]+=*"
ACT, DIGEST = re.compile(r"[a-z][a-z0-9_-]{0,40}/[a-z][a-z0-9_-]{0,40}"), re.compile("[0-9a-f]{64}")
LEAF = {"act", "at", "digest", "index"}


class Mismatch(Exception):
    """The log is not what it must be. `index`: of the first entry of which that is known; None: of no single one."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message if index is None else f"entry {index} of the log: {message}")
        self.index = index


@dataclass(frozen=True)
class Verified:
    """What was found to hold. `opened`: entries whose text was shown and is what the log has the digest of."""

    origin: str
    size: int
    root: str  # base64
    kept: int | None
    opened: int


def sha(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def over(row: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of RFC 6962 over leaf hashes."""
    if not row:
        return sha(b"")
    level = list(row)
    while len(level) > 1:  # an odd one at the end goes up as it is, which is the same tree
        pairs = [sha(b"\1" + level[n] + level[n + 1]) for n in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof of inclusion leads to, for a leaf's bytes. Raises Mismatch when it cannot be one."""

    def climb(index: int, size: int, beside: Sequence[bytes]) -> bytes:
        if size == 1:
            if beside:
                raise Mismatch("the proof is too long")
            return sha(b"\0" + leaf)
        if not beside:
            raise Mismatch("the proof is too short")
        half = 1 << (size - 1).bit_length() - 1
        if index < half:
            return sha(b"\1" + climb(index, half, beside[:-1]) + beside[-1])
        return sha(b"\1" + beside[-1] + climb(index - half, size - half, beside[:-1]))

    if not 0 <= index < size:
        raise Mismatch(f"a log of {size} entries has no entry {index}")
    return climb(index, size, proof)


def signed(note: bytes, vkey: str) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint that the log with this key has signed. Raises Mismatch; ValueError for
    what is no key."""
    name, key_id, encoded = vkey.strip().split("+", 2)
    public = base64.b64decode(encoded, validate=True)
    if len(public) != 33 or public[0] != 1 or key_id != sha(name.encode() + b"\n" + public)[:4].hex():
        raise ValueError("this is not the public key of a log")
    text, _, below = note.rpartition(b"\n\n")
    text += b"\n"
    lines = below.removesuffix(b"\n").split(b"\n")
    if not below.endswith(b"\n") or not all(re.fullmatch(SIGNATURE, one) for one in lines):
        raise Mismatch("a checkpoint ends in lines that are no signatures")
    found = [line.split(b" ") for line in lines if line.split(b" ")[1] == name.encode()]
    try:
        signatures = [base64.b64decode(line[2], validate=True) for line in found]
        ours = [one[4:] for one in signatures if one[:4].hex() == key_id]
        for one in ours:
            Ed25519PublicKey.from_public_bytes(public[1:]).verify(one, text)
        told = text.decode().split("\n")
        origin, size, root = told[0], told[1], base64.b64decode(told[2], validate=True)
    except (ValueError, IndexError, InvalidSignature) as error:
        raise Mismatch("a checkpoint is not what the log signed") from error
    if not ours or origin != name or not re.fullmatch("0|[1-9][0-9]*", size, re.ASCII) or len(root) != 32:
        raise Mismatch("this is no checkpoint signed by the log that has this key")
    return origin, int(size), root


def path_of(level: int | str, number: int, width: int) -> str:
    digits = str(number).zfill(-(-len(str(number)) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([f"tile/{level}", *(f"x{one}" for one in groups[:-1]), groups[-1]])
    return name if width == FULL else f"{name}.p/{width}"


def tile(folder: Path, level: int | str, number: int, width: int) -> tuple[bytes, bool]:
    """A tile's bytes, and whether they are of this width; else those of the full one in its place. Raises Mismatch."""
    for own, name in ((True, path_of(level, number, width)), (False, path_of(level, number, FULL))):
        try:
            return (folder / name).read_bytes(), own
        except OSError:
            continue
    raise Mismatch(
        f"{path_of(level, number, width)} cannot be read", number * FULL if level in (0, "entries") else None
    )


def leaves_of(folder: Path, size: int) -> list[bytes]:
    """Every leaf, each of the form it must have and at its own place. Raises Mismatch."""
    leaves: list[bytes] = []
    for number in range(-(-size // FULL)):
        (content, own), at = tile(folder, "entries", number, min(FULL, size - number * FULL)), 0
        while at < len(content) and len(leaves) < min(size, (number + 1) * FULL):
            length = int.from_bytes(content[at : at + 2], "big")
            one = content[at + 2 : at + 2 + length]
            if at + 2 + length > len(content):
                raise Mismatch("its bundle ends inside it", len(leaves))
            _read(one, len(leaves))
            leaves.append(one)
            at += 2 + length
        if len(leaves) < min(size, (number + 1) * FULL):
            raise Mismatch("is not in its bundle", len(leaves))
        if own and at != len(content):
            raise Mismatch("its bundle holds more after it", len(leaves) - 1)
    return leaves


def _read(leaf: bytes, index: int) -> dict[str, Any]:
    """Raises Mismatch unless this is the one way to write a leaf of this place."""
    try:
        told = json.loads(leaf)
        again = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise Mismatch("is no leaf", index) from error
    if not isinstance(told, dict) or set(told) != LEAF or again != leaf or told["index"] != index:
        raise Mismatch("is not the leaf of this place", index)
    forms = (ACT, told["act"]), (DIGEST, told["digest"])
    if type(told["at"]) is not int or not all(isinstance(one, str) and form.fullmatch(one) for form, one in forms):
        raise Mismatch("tells more or less than a leaf may", index)
    return told


def compare_tiles(folder: Path, hashes: list[bytes]) -> None:
    """Every tile of every level against what follows from the leaves. Raises Mismatch."""
    level, row = 0, hashes
    while row:
        for number in range(-(-len(row) // FULL)):
            part = row[number * FULL : (number + 1) * FULL]
            content, own = tile(folder, level, number, len(part))
            if own and len(content) > len(part) * 32:
                raise Mismatch(f"{path_of(level, number, len(part))} is too long")
            for n, one in enumerate(part):
                if content[n * 32 : n * 32 + 32] != one:
                    raise Mismatch(
                        f"{path_of(level, number, len(part))} has another hash", (number * FULL + n) * FULL**level
                    )
        row = [over(row[at : at + FULL]) for at in range(0, len(row) - FULL + 1, FULL)]
        level += 1


def open_entries(lines: Iterable[bytes], leaves: Sequence[bytes]) -> int:
    """How many texts were shown; each is what its leaf tells of. Raises Mismatch."""
    count = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            given = json.loads(line)
            index, salt, text = int(given["index"]), bytes.fromhex(given["salt"]), str(given["text"]).encode()
            told = json.loads(text)
            shown = told["at"], f"{told['subject']}/{told['act']}"
        except (ValueError, KeyError, TypeError) as error:
            raise Mismatch(f"line {count + 1} of the entries is not a text with its salt and index") from error
        if not 0 <= index < len(leaves):
            raise Mismatch(f"was shown, and the log has only {len(leaves)}", index)
        leaf = _read(leaves[index], index)
        if len(salt) != 32 or sha(salt + text).hex() != leaf["digest"]:
            raise Mismatch("its text is not what the log has the digest of", index)
        if shown != (leaf["at"], leaf["act"]):
            raise Mismatch("its text tells of another time or act than the log", index)
        count += 1
    return count


def verify(folder: Path, vkey: str, kept: bytes | None = None, entries: Iterable[bytes] = ()) -> Verified:
    """Everything that the files can show. Raises Mismatch; ValueError when `vkey` is no key of a log."""
    try:
        note = (folder / "checkpoint").read_bytes()
    except OSError as error:
        raise Mismatch("there is no checkpoint") from error
    origin, size, root = signed(note, vkey)
    before = None if kept is None else signed(kept, vkey)
    if before is not None and before[1] > size:
        raise Mismatch(f"the log had {before[1]} entries and now has {size}", size)
    leaves = leaves_of(folder, size)
    hashes = [sha(b"\0" + one) for one in leaves]
    compare_tiles(folder, hashes)
    if over(hashes) != root:
        raise Mismatch("the files are not what was signed: their root is another")
    if before is not None and over(hashes[: before[1]]) != before[2]:
        raise Mismatch(f"the first {before[1]} entries are not those of the checkpoint that was kept")
    opened = open_entries(entries, leaves)
    return Verified(origin, size, base64.b64encode(root).decode(), None if before is None else before[1], opened)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", required=True, help="the log's public key, or a file that holds it")
    parser.add_argument("--checkpoint", type=Path, help="one kept from an earlier visit")
    parser.add_argument("--entries", type=Path, help="texts and salts, one JSON object a line")
    given = parser.parse_args(arguments)
    try:
        key = given.key if "+" in given.key else Path(given.key).read_text()
        kept = None if given.checkpoint is None else given.checkpoint.read_bytes()
        entries = [] if given.entries is None else given.entries.read_bytes().split(b"\n")
        found = verify(given.folder, key, kept, entries)
    except Mismatch as error:
        sys.stdout.write(f"FAILED: {error}\n")
        return FAILED
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    extends = "" if found.kept is None else f", extends the kept checkpoint of {found.kept}"
    sys.stdout.write(
        f"{found.origin}: {found.size} entries, root {found.root}{extends}, {found.opened} texts shown\nok\n"
    )
    return OK


if __name__ == "__main__":
    sys.exit(main())
