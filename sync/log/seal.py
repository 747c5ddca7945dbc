"""Brings the files of a log up to what was sealed, and signs that: the one way a checkpoint comes to be.

An entry is sealed when it has its place, salt, digest and leaf hash, kept by the caller for good (a table). This writes
the files that follow from it, looks at everything once more, and signs last. It is the same after a death: whatever
files were written are written again, and are the same. The caller holds the log's lock; two that do not would write the
same files and sign the same text, as long as places are given once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.log import note, tree
from sync.log.entry import BadLeaf, digest_of, leaf_of, text_of
from sync.log.note import BadNote, Checkpoint, Key
from sync.log.tiles import WIDTH, Damaged, Folder

BATCH = 4 * WIDTH  # entries read and hashed at a time


class Refused(Exception):
    """Nothing was signed, nor will be before a person has looked: what is kept is not what was signed or sealed.

    `where` is a file or an entry; `mend` says what helps."""

    def __init__(self, where: str, message: str, mend: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where, self.message, self.mend = where, message, mend


@dataclass(frozen=True, slots=True)
class Seal:
    """What is kept of one sealed entry. `salt` is None once its text was erased."""

    entry: int
    index: int
    salt: bytes | None
    digest: str  # hexadecimal, as the next
    leaf_hash: str


Sealed: TypeAlias = tuple[Seal, Mapping[str, Any]]  # with the entry's row, by column
Fetch: TypeAlias = Callable[[int, int], Sequence[Sealed]]  # those of the indexes from … to, in order


def sealed(row: Mapping[str, Any], index: int, salt: bytes) -> Seal:
    """The seal of an entry at this place. `salt` is fresh and random. Raises BadLeaf."""
    digest = digest_of(salt, text_of(row))
    return Seal(row["id"], index, salt, digest, tree.leaf_hash(leaf_of(row, index, digest).content).hex())


def checked(seal: Seal, row: Mapping[str, Any], index: int) -> bytes:
    """The leaf of a sealed entry, hashed anew from its row. Raises Refused when that is not what was sealed."""
    where, mend = f"entry {seal.entry}", "restore the database from a backup; `tongfa log verify` names all that differ"
    if (seal.index, seal.entry) != (index, row["id"]):
        raise Refused(where, f"is sealed at {seal.index}, and found at {index}", mend)
    try:
        if seal.salt is not None and digest_of(seal.salt, text_of(row)) != seal.digest:
            raise Refused(where, "is not what was sealed", mend)
        content = leaf_of(row, index, seal.digest).content
    except BadLeaf as error:
        raise Refused(where, str(error), mend) from error
    if tree.leaf_hash(content).hex() != seal.leaf_hash:
        raise Refused(where, "has a leaf that is not what was sealed", mend)
    return content


def last_signed(folder: Folder, log: Key) -> Checkpoint | None:
    """The newest checkpoint in the folder; None: nothing was signed there yet. Raises Refused unless it is ours."""
    content = folder.checkpoint()
    if content is None:
        return None
    try:
        return note.signed_checkpoint(content, log)
    except BadNote as error:
        mend = "put back the folder that belongs to this installation, or its `checkpoint`"
        raise Refused(str(folder.path / "checkpoint"), str(error), mend) from error


def bring_up(folder: Folder, name: str, private: Ed25519PrivateKey, size: int, fetch: Fetch) -> Checkpoint | None:
    """Write and sign the log of the `size` entries that are sealed; returns its checkpoint, None of an empty log.

    Raises Refused, and then the last checkpoint stands; OSError when the disk is full, the next call goes on there.
    """
    log = note.public_key(name, private)
    last = last_signed(folder, log)
    begin = 0 if last is None else last.size
    if begin > size:
        mend = "restore a backup that is not older than the log, or keep this folder for the auditors and begin another"
        message = f"speaks of {begin} entries, and there are only {size}: the database is older than what was signed"
        raise Refused(str(folder.path / "checkpoint"), message, mend)
    try:
        if last is not None and tree.root(begin, folder.reader(begin)) != last.root:
            raise Damaged(folder.path, f"the files do not make the root that was signed for {begin} entries")
        if begin == size:
            return last
        for at in range(begin, size, BATCH):
            end = min(at + BATCH, size)
            found = fetch(at, end)
            if len(found) != end - at:
                raise Refused(f"entries {at} to {end}", f"only {len(found)} are sealed", "restore the database")
            folder.extend(at, [checked(seal, row, at + n) for n, (seal, row) in enumerate(found)])
        _look_again(folder, begin, size)
        root = tree.root(size, folder.reader(size))
    except Damaged as error:
        raise Refused(str(error.path), str(error), "put back this file from a copy of the folder") from error
    made = Checkpoint(name, size, root)
    folder.publish(note.sign(made.text, name, private).encode(), begin, size)  # the point of no return: all is on disk
    return made


def _look_again(folder: Folder, begin: int, size: int) -> None:
    """What is about to be signed, read back from the files: each new leaf is what its hash says. Raises Damaged."""
    for number in range(begin // WIDTH, -(-size // WIDTH)):
        width = min(WIDTH, size - number * WIDTH)
        hashes, leaves = folder.hashes(0, number, width), folder.leaves(number, width)
        if hashes != [tree.leaf_hash(one) for one in leaves]:
            raise Damaged(folder.path / "tile", f"bundle and tile {number} do not belong together")
