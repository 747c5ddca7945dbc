"""The Merkle tree of RFC 6962 (section 2.1, SHA-256): roots, proofs, and their verification. Pure.

Whoever asks for a root or a proof hands in `read`, which gives the hash of a *complete* subtree: `read(height, n)` is
the hash over the leaves `n · 2**height` up to `(n + 1) · 2**height`, so `read(0, n)` is the hash of leaf n. Any tree is
a row of complete subtrees, the largest first; nothing else is ever read, and `sync.log.tiles` finds them in files.

Verifying follows RFC 9162, sections 2.1.3.2 and 2.1.4.2, whose trees are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import TypeAlias

Read: TypeAlias = Callable[[int, int], bytes]

EMPTY = hashlib.sha256(b"").digest()  # the root of the tree without leaves


def leaf_hash(content: bytes) -> bytes:
    """A leaf is marked by a zero, a node by a one: neither can pass for the other."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def complete(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of neighbouring hashes. Raises ValueError for another number."""
    if not hashes or len(hashes) & (len(hashes) - 1):
        raise ValueError(f"{len(hashes)} hashes make no complete subtree")
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def span(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """(height, n) of the complete subtrees that make up the leaves `begin` to `end` (exclusive), from left to right.

    `begin` must be a place where RFC 6962 would cut a tree: a multiple of the largest power of two that fits.
    """
    while begin < end:
        height = (end - begin).bit_length() - 1
        yield height, begin >> height
        begin += 1 << height


def root(size: int, read: Read) -> bytes:
    """The root of the tree of the first `size` leaves."""
    return _over(0, size, read) if size else EMPTY


def _over(begin: int, end: int, read: Read) -> bytes:
    """The hash over the leaves `begin` to `end`: the smaller subtrees are on the right and join first."""
    hashes = [read(height, n) for height, n in span(begin, end)]
    return reduce(lambda right, left: node_hash(left, right), reversed(hashes[:-1]), hashes[-1])


def _cut(size: int) -> int:
    """Where RFC 6962 divides more than one leaf: the largest power of two smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion(index: int, size: int, read: Read) -> list[bytes]:
    """The proof that leaf `index` is in the tree of `size`: the hashes beside its path, from the leaf up.

    Raises ValueError when there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    begin, end, beside = 0, size, []
    while end - begin > 1:
        middle = begin + _cut(end - begin)
        if index < middle:
            beside.append(_over(middle, end, read))
            end = middle
        else:
            beside.append(_over(begin, middle, read))
            begin = middle
    return beside[::-1]


def consistency(old: int, new: int, read: Read) -> list[bytes]:
    """The proof that the tree of `old` leaves is the beginning of the tree of `new`; empty if either says nothing.

    Raises ValueError unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} is no beginning of one of {new}")
    if old in (0, new):
        return []
    begin, end, beside = 0, new, []
    while old != end:
        middle = begin + _cut(end - begin)
        if old <= middle:
            beside.append(_over(middle, end, read))
            end = middle
        else:
            beside.append(_over(begin, middle, read))
            begin = middle
    if begin:  # else what is left is the old tree itself, whose root the verifier has
        beside.append(_over(begin, end, read))
    return beside[::-1]


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], against: bytes) -> bool:
    """Whether `proof` shows that the leaf with this hash is at `index` in the tree of `size` with root `against`."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for beside in proof:
        if last == 0:
            return False  # longer than the tree is high
        if place & 1 or place == last:
            found = node_hash(beside, found)
            while not place & 1 and place:  # levels on which the path, at the right edge, has nothing beside it
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, beside)
        place, last = place >> 1, last >> 1
    return last == 0 and found == against


def extends(old: int, new: int, before: bytes, after: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `old` with root `before` begins the tree of `new` with root `after`."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and before == after
    if old == 0:
        return not proof and before == EMPTY
    given = [before, *proof] if old & (old - 1) == 0 else list(proof)
    if not given or not proof:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = given[0]
    for beside in given[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(beside, first), node_hash(beside, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, beside)
        place, last = place >> 1, last >> 1
    return last == 0 and first == before and second == after
