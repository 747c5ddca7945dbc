"""The log's files are where C2SP tlog-tiles puts them, whatever the way there, and each is whole or not there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sync.log import tree
from sync.log.tiles import ENTRIES, Damaged, Folder, bundle, shape, tile_path, unbundle

SIZE = 70_000  # the specification's own example


def leaves(begin: int, end: int) -> list[bytes]:
    return [f"leaf {n}".encode() for n in range(begin, end)]


def read_of(content: list[bytes]) -> tree.Read:
    return lambda height, n: tree.complete([tree.leaf_hash(one) for one in content[n << height : (n + 1) << height]])


def files(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ((0, 1_234_067), "tile/0/x001/x234/067"),
        ((0, 1234, 5), "tile/0/x001/234.p/5"),
        ((0, 0), "tile/0/000"),
        ((1, 999), "tile/1/999"),
        ((63, 1000), "tile/63/x001/000"),
        ((ENTRIES, 42, 255), "tile/entries/042.p/255"),
    ],
)
def test_paths(given: tuple[int, int], path: str) -> None:
    """Numbers in groups of three digits, all but the last behind an x; partial tiles by their width."""
    assert path == tile_path(*given)


def test_the_shape_of_the_specifications_example() -> None:
    """70,000 leaves: 273 full tiles and one of 112; one full and one of 17; one of 1. And 256: one full, one of 1."""
    found = list(shape(SIZE))
    assert [(0, 273, 112), (1, 0, 256), (1, 1, 17), (2, 0, 1)] == found[273:]
    assert {256} == {width for _, _, width in found[:273]}
    assert [(0, 0, 256), (1, 0, 1)] == list(shape(256))
    assert [] == list(shape(0))


def test_leaves_in_a_bundle() -> None:
    """Each behind its length, as two bytes, the greater first; a longer leaf is refused, and a cut file too."""
    assert bytes.fromhex("0001 61 0000 0102") + b"b" * 258 == bundle([b"a", b"", b"b" * 258])
    assert [b"a", b"", b"b" * 258] == unbundle(bundle([b"a", b"", b"b" * 258]))
    assert [b"x" * 65_535] == unbundle(bundle([b"x" * 65_535]))
    with pytest.raises(ValueError, match="65535 bytes at most"):
        bundle([b"x" * 65_536])
    for cut in (1, 2, 5, 7):
        with pytest.raises(ValueError, match="inside a leaf"):
            unbundle(bundle([b"abcd", b"efgh"])[:-cut])


def test_a_log_that_grows_by_steps(tmp_path: Path) -> None:
    """Root and proofs from the files are those of the leaves; files that it needs are as if made in one step."""
    chance, grown, once = random.Random(1), Folder(tmp_path / "grown"), Folder(tmp_path / "once")
    size, content, before = 0, leaves(0, 1_400), {0: tree.EMPTY}
    while size < len(content):
        step = chance.choice([1, 2, 3, 100, 255, 256, 257, 300])
        wanted, size = min(size + step, len(content)), grown.extend(size, content[size : size + step])
        assert wanted == size
        before[size] = tree.root(size, grown.reader(size))
    read = read_of(content)
    assert {size: tree.root(size, read) for size in before} == before
    for index in (0, 255, 256, 700, size - 1):
        proof = tree.inclusion(index, size, grown.reader(size))
        assert tree.includes(tree.leaf_hash(content[index]), index, size, proof, before[size])
    once.extend(0, content)
    made = files(once.path)
    assert {tile_path(*one) for one in shape(size)} | {
        tile_path(ENTRIES, *one[1:]) for one in list(shape(size))[:6]
    } == set(made)
    assert made == {name: files(grown.path)[name] for name in made}
    assert content[1_280:] == grown.leaves(5, 120)


def test_full_tiles_of_full_tiles(tmp_path: Path) -> None:
    """Where 256 tiles fill one above them, and it its own: the root is that of the leaves."""
    folder, size = Folder(tmp_path), 65_536 + 300
    content = [b""] * size
    folder.extend(folder.extend(0, content[:65_500]), content[65_500:])
    row, width = [tree.leaf_hash(b"")], 1
    while width < 65_536:
        row, width = [tree.node_hash(row[0], row[0])], width * 2
    right = tree.root(300, read_of(content[:300]))
    assert tree.node_hash(row[0], right) == tree.root(size, folder.reader(size))
    assert set(shape(size)) == {(0, n, 256) for n in range(257)} | {(0, 257, 44), (1, 0, 256), (1, 1, 1), (2, 0, 1)}


def test_death_at_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was written before it, what was there can be read, and the same step then makes the same files."""
    content = leaves(0, 520)
    whole = Folder(tmp_path / "whole")
    whole.extend(whole.extend(0, content[:250]), content[250:])
    real, left = Path.replace, [0]

    def dying(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("the process ends here")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    for writes in range(8):
        folder = Folder(tmp_path / str(writes))
        left[0] = 99
        folder.extend(0, content[:250])
        before, left[0] = tree.root(250, folder.reader(250)), writes
        if writes < 7:
            with pytest.raises(OSError, match="ends here"):
                folder.extend(250, content[250:])
        assert before == tree.root(250, folder.reader(250))
        left[0] = 99
        folder.extend(250, content[250:])
        assert files(whole.path) == files(folder.path)


def test_partial_tiles_go_once_they_are_full(tmp_path: Path) -> None:
    """Only after the checkpoint that needs the full one; what the last checkpoint needs is always there."""
    folder, size = Folder(tmp_path), 0
    for step in (100, 100, 100, 300):
        last, size = size, folder.extend(size, leaves(size, size + step))
        folder.publish(f"note {size}".encode(), last, size)
        assert f"note {size}".encode() == folder.checkpoint()
        assert {tile_path(*one) for one in shape(size)} <= set(files(tmp_path))
    assert not any(name.startswith(("tile/0/000.p", "tile/entries/000.p", "tile/0/001.p")) for name in files(tmp_path))
    assert "tile/0/002.p/88" in files(tmp_path)


def test_a_full_tile_in_the_place_of_a_partial(tmp_path: Path) -> None:
    """An older tree is read from it, as clients may."""
    folder = Folder(tmp_path)
    folder.extend(0, leaves(0, 256))
    assert tree.root(200, read_of(leaves(0, 200))) == tree.root(200, folder.reader(200))
    assert leaves(0, 200) == folder.leaves(0, 200)


@pytest.mark.parametrize("name", ["tile/0/000.p/3", "tile/entries/000.p/3"])
@pytest.mark.parametrize("damage", [None, b"", b"\0" * 31, b"\0\x20" + b"x" * 31])
def test_damaged_files_are_named(tmp_path: Path, name: str, damage: bytes | None) -> None:
    """Missing, empty or cut: never read as something else."""
    folder = Folder(tmp_path)
    folder.extend(0, leaves(0, 3))
    (tmp_path / name).unlink() if damage is None else (tmp_path / name).write_bytes(damage)
    with pytest.raises(Damaged) as told:
        folder.hashes(0, 0, 3)
        folder.leaves(0, 3)
    assert str(tmp_path / name) == str(told.value.path)
    assert None is Folder(tmp_path).checkpoint()
