"""The tree is RFC 6962's: its published vectors, and a second implementation straight from its text."""

from __future__ import annotations

import hashlib
import random
from functools import cache

import pytest

from sync.log import tree

# The leaves and hashes of Certificate Transparency's own tests (google/certificate-transparency, merkle tree).
LEAVES = [
    bytes.fromhex(one)
    for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A, B = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
)
C, D = (
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
)
E = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
INCLUSION = {(0, 1): [], (0, 8): [A, B, C], (5, 8): [E, D, ROOTS[3]], (2, 3): [ROOTS[1]], (1, 5): [ROOTS[0], B, E]}
CONSISTENCY = {(1, 1): [], (1, 8): [A, B, C], (6, 8): [F, D, ROOTS[3]], (2, 5): [B, E]}
WIDEST = 256


def from_text(leaves: tuple[bytes, ...]) -> bytes:
    """MTH of section 2.1, over the leaves' contents."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = max(2**n for n in range(len(leaves).bit_length()) if 2**n < len(leaves))
    return hashlib.sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


mth = cache(from_text)


def path(m: int, leaves: tuple[bytes, ...]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = max(2**n for n in range(len(leaves).bit_length()) if 2**n < len(leaves))
    return [*path(m, leaves[:k]), mth(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: tuple[bytes, ...]) -> list[bytes]:
    """PROOF of section 2.1.2."""
    return subproof(m, leaves, True)


def subproof(m: int, leaves: tuple[bytes, ...], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = max(2**n for n in range(len(leaves).bit_length()) if 2**n < len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


@cache
def many() -> tuple[bytes, ...]:
    return tuple(n.to_bytes(2, "big") * (n % 3) for n in range(WIDEST))


@cache
def stored(height: int, n: int) -> bytes:
    """Complete subtrees of `many`."""
    return tree.complete([tree.leaf_hash(one) for one in many()[n << height : (n + 1) << height]])


def of(leaves: list[bytes]) -> tree.Read:
    return lambda height, n: tree.complete([tree.leaf_hash(one) for one in leaves[n << height : (n + 1) << height]])


def test_published_roots() -> None:
    """The empty tree and the eight of the published leaves."""
    read = of(LEAVES)
    assert "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" == tree.root(0, read).hex()
    assert ROOTS == [tree.root(size, read).hex() for size in range(1, 9)]


def test_published_proofs() -> None:
    """Of inclusion by (index, size), of consistency by (old, new)."""
    read = of(LEAVES)
    assert INCLUSION == {key: [one.hex() for one in tree.inclusion(*key, read)] for key in INCLUSION}
    assert CONSISTENCY == {key: [one.hex() for one in tree.consistency(*key, read)] for key in CONSISTENCY}


def test_every_root_and_inclusion_proof_of_every_size() -> None:
    """As the RFC's text makes them, and each proves its leaf: all 32,896 pairs up to 256."""
    for size in range(WIDEST + 1):
        leaves = many()[:size]
        against = tree.root(size, stored)
        assert mth(leaves) == against
        for index in range(size):
            made = tree.inclusion(index, size, stored)
            assert tree.includes(stored(0, index), index, size, made, against), (index, size)
            if size % 16 in (0, 7) or size < 20:  # the second way costs more
                assert path(index, leaves) == made


def test_every_pair_of_sizes_is_proved_consistent() -> None:
    """All pairs up to 256, and the roots of no other pair pass with the same proof."""
    roots = [tree.root(size, stored) for size in range(WIDEST + 1)]
    for new in range(WIDEST + 1):
        for old in range(new + 1):
            made = tree.consistency(old, new, stored)
            assert tree.extends(old, new, roots[old], roots[new], made), (old, new)
            if 0 < old and (new % 16 in (0, 7) or new < 20):
                assert proof(old, many()[:new]) == made
            if 0 < old < new:
                assert not tree.extends(old, new, roots[old - 1], roots[new], made)
                assert not tree.extends(old, new, roots[old], roots[new - 1], made)


def test_an_altered_proof_proves_nothing() -> None:
    """A flipped bit, a missing, a further or a swapped hash, another place, size or leaf."""
    chance = random.Random(6962)
    for _ in range(300):
        size = chance.randrange(2, WIDEST)
        index = chance.randrange(size)
        made, against, leaf = tree.inclusion(index, size, stored), tree.root(size, stored), stored(0, index)
        at, bit = chance.randrange(len(made)), 1 << chance.randrange(8)
        flipped = [*made[:at], bytes([made[at][0] ^ bit]) + made[at][1:], *made[at + 1 :]]
        for bad in (flipped, made[:-1], made[1:], [*made, leaf], [leaf, *made]):
            assert not tree.includes(leaf, index, size, bad, against)
        other = (index + 1 + chance.randrange(size - 1)) % size
        assert not tree.includes(leaf, other, size, made, against)
        assert not tree.includes(stored(0, other), index, size, made, against) or many()[other] == many()[index]
        old = chance.randrange(1, size)
        made, before = tree.consistency(old, size, stored), tree.root(old, stored)
        for bad in (made[:-1], made[1:], [*made, before], [before, *made], []):
            assert not tree.extends(old, size, before, against, bad)


def test_a_tree_far_wider_than_memory() -> None:
    """Only complete subtrees are read: 10⁹ leaves that are all the same, without one of them."""

    @cache
    def same(height: int, n: int) -> bytes:
        return tree.leaf_hash(b"x") if height == 0 else tree.node_hash(*[same(height - 1, 0)] * 2)

    size, old = 10**9 + 7, 123_456_789
    against, before = tree.root(size, same), tree.root(old, same)
    for index in (0, 1, old, size - 1):
        assert tree.includes(same(0, 0), index, size, tree.inclusion(index, size, same), against)
    assert tree.extends(old, size, before, against, tree.consistency(old, size, same))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 3), (7, 3)])
def test_no_such_leaf(index: int, size: int) -> None:
    """Neither proved nor believed."""
    with pytest.raises(ValueError, match="no leaf"):
        tree.inclusion(index, size, stored)
    assert not tree.includes(stored(0, 0), index, size, [], stored(0, 0))


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3)])
def test_no_such_beginning(old: int, new: int) -> None:
    """Neither proved nor believed; and only a part of complete subtrees is complete."""
    with pytest.raises(ValueError, match="no beginning"):
        tree.consistency(old, new, stored)
    assert not tree.extends(old, new, tree.EMPTY, tree.EMPTY, [])
    with pytest.raises(ValueError, match="no complete subtree"):
        tree.complete([tree.EMPTY] * 3)


def test_an_empty_beginning() -> None:
    """It says nothing about what follows, and only the empty root is one."""
    assert tree.extends(0, 8, tree.EMPTY, stored(3, 0), [])
    assert not tree.extends(0, 8, stored(0, 0), stored(3, 0), [])
    assert tree.extends(8, 8, stored(3, 0), stored(3, 0), [])
    assert not tree.extends(8, 8, stored(3, 0), stored(3, 1), [])
