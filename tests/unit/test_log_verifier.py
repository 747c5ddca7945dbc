"""The verifier finds whatever was done to a log, by itself: nothing of the project is beside it."""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.log import note, tree, verifier
from sync.log.entry import Leaf, text_of
from sync.log.seal import bring_up, sealed
from sync.log.tiles import Folder, bundle, unbundle
from sync.log.verifier import Mismatch, verify
from tests.unit.test_log_seal import KEY, PRIVATE, Rows, bring

SIZE, KEPT = 300, 259
VKEY = KEY.vkey


def opening(rows: Rows, index: int) -> dict[str, object]:
    seal, row = rows.rows[index]
    assert seal.salt is not None
    return {"index": index, "salt": seal.salt.hex(), "text": text_of(row).decode()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, Rows]:
    """A log's folder, a checkpoint kept from before, and its rows; to be copied."""
    folder, rows = Folder(tmp_path_factory.mktemp("log")), Rows(KEPT)
    bring(folder, rows)
    kept = folder.checkpoint()
    assert kept is not None
    rows.grow(SIZE)
    bring(folder, rows)
    return folder.path, kept, rows


@pytest.fixture
def log(made: tuple[Path, bytes, Rows], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "log"))


def test_an_honest_log(made: tuple[Path, bytes, Rows], log: Path) -> None:
    """By every leaf, against the kept checkpoint, with every text."""
    _, kept, rows = made
    shown = [json.dumps(opening(rows, n)).encode() for n in range(SIZE)]
    found = verify(log, VKEY, kept, [*shown, b""])
    assert (SIZE, KEPT, SIZE) == (found.size, found.kept, found.opened)
    assert (KEY.name, None) == (found.origin, verify(log, VKEY).kept)


def test_a_single_file_alone(made: tuple[Path, bytes, Rows], log: Path, tmp_path: Path) -> None:
    """Copied away and run without the project: 0, 5 with the entry, 2; it imports only what its first line says."""
    alone = Path(shutil.copy(verifier.__file__, tmp_path / "verifier.py"))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
        for node in ast.walk(ast.parse(alone.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert {"cryptography"} == {one.split(".")[0] for one in imported} - set(sys.stdlib_module_names)
    (tmp_path / "key").write_text(VKEY + "\n")
    (tmp_path / "kept").write_bytes(made[1])
    (tmp_path / "shown").write_text(json.dumps(opening(made[2], 7)) + "\n")

    def run(*arguments: str) -> tuple[int, str]:
        asked = [sys.executable, "-I", str(alone), str(log), *arguments]
        done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    code, out = run("--key", "key", "--checkpoint", "kept", "--entries", "shown")
    assert (0, "ok") == (code, out.splitlines()[-1])
    assert 2 == run("--key", "no+such+key")[0]
    path = log / "tile/entries/000"
    leaves = unbundle(path.read_bytes())
    path.write_bytes(bundle([*leaves[:40], leaves[40].replace(b"planned", b"revoked"), *leaves[41:]]))
    code, out = run("--key", VKEY)
    assert 5 == code
    assert "entry 40 " in out


def test_every_kind_of_tampering_is_found(made: tuple[Path, bytes, Rows], log: Path) -> None:
    """800 flips, cuts, additions, removals, swaps of leaves and of files: none passes, and a changed leaf is named."""
    chance = random.Random(33)
    needed = [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
    ]
    whole = {name: (log / name).read_bytes() for name in needed}

    def flip(content: bytes) -> bytes:
        at = chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]

    def cut(content: bytes) -> bytes:
        return content[: chance.randrange(len(content))]

    def longer(content: bytes) -> bytes:
        return content + content[-32:]

    for n in range(800):
        name = chance.choice(needed)
        do: Callable[[bytes], bytes] = chance.choice([flip, flip, cut, longer])
        altered = do(whole[name])
        (log / name).write_bytes(altered)
        if n % 50 == 0:
            (log / name).unlink()
        with pytest.raises(Mismatch):
            verify(log, VKEY)
        (log / name).write_bytes(whole[name])
    leaves = unbundle(whole["tile/entries/000"])
    for first, second in ((3, 9), (0, 255)):
        swapped = list(leaves)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        (log / "tile/entries/000").write_bytes(bundle(swapped))
        with pytest.raises(Mismatch) as told:
            verify(log, VKEY)
        assert first == told.value.index
    (log / "tile/entries/000").write_bytes(whole["tile/entries/000"])
    assert SIZE == verify(log, VKEY).size


def forged(tmp_path: Path, size: int, private: Ed25519PrivateKey = PRIVATE, *, other: int | None = None) -> Path:
    """Another history, in order in itself and signed; entry `other` of it is another."""
    folder, rows = Folder(tmp_path / "forged"), Rows(size)
    if other is not None:
        seal, row = rows.rows[other]
        row = {**row, "detail": {"title": "another"}}
        rows.rows[other] = (sealed(row, seal.index, b"s" * 32), row)
    bring_up(folder, KEY.name, private, size, rows.fetch)
    return folder.path


def test_a_rewritten_history_is_found_by_who_kept_a_checkpoint(made: tuple[Path, bytes, Rows], tmp_path: Path) -> None:
    """Signed with the true key and in order in itself; only what comes after the kept checkpoint could be rewritten."""
    path = forged(tmp_path, SIZE, other=100)
    assert SIZE == verify(path, VKEY).size
    with pytest.raises(Mismatch, match=f"first {KEPT} entries"):
        verify(path, VKEY, made[1])


def test_a_log_that_became_shorter(made: tuple[Path, bytes, Rows], tmp_path: Path) -> None:
    """An old checkpoint and its files in the place of new ones."""
    with pytest.raises(Mismatch, match="had 259 entries and now has 100"):
        verify(forged(tmp_path, 100), VKEY, made[1])


def test_another_key(made: tuple[Path, bytes, Rows], log: Path, tmp_path: Path) -> None:
    """Signed anew by somebody else, or under another name; a checkpoint that is not the log's is no yardstick."""
    strange = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)
    with pytest.raises(Mismatch, match="signed by the log"):
        verify(forged(tmp_path, 5, strange), VKEY)
    with pytest.raises(Mismatch):
        verify(log, VKEY, made[1].replace(b"\n259\n", b"\n258\n"))
    with pytest.raises(ValueError, match="not the public key"):
        verify(log, VKEY.replace(KEY.id.hex(), "00000000"))


def test_a_text_that_is_another(made: tuple[Path, bytes, Rows], log: Path) -> None:
    """One changed character, another's salt or place, an index that there is not: the entry is named."""
    rows = made[2]
    honest = opening(rows, 7)
    for bad, index in (
        ({**honest, "text": str(honest["text"]).replace("公交", "公交车")}, 7),
        ({**honest, "salt": opening(rows, 8)["salt"]}, 7),
        ({**honest, "salt": ""}, 7),
        ({**honest, "index": 8}, 8),
        ({**honest, "index": SIZE}, SIZE),
        ({**honest, "index": -1}, -1),
        ({"index": 7}, None),
    ):
        with pytest.raises(Mismatch) as told:
            verify(log, VKEY, entries=[json.dumps(opening(rows, 6)).encode(), json.dumps(bad).encode()])
        assert index == told.value.index


def test_two_implementations_agree() -> None:
    """Roots and proofs of inclusion, up to 130 leaves: the verifier's and the tree's."""
    contents = [str(n).encode() for n in range(130)]

    def read(height: int, n: int) -> bytes:
        return tree.complete([tree.leaf_hash(one) for one in contents[n << height : (n + 1) << height]])

    for size in (0, 1, 2, 3, 7, 64, 65, 130):
        root = tree.root(size, read)
        assert root == verifier.over([tree.leaf_hash(one) for one in contents[:size]])
        for index in range(size):
            proof = tree.inclusion(index, size, read)
            assert root == verifier.included(contents[index], index, size, proof)
            for bad in (proof[:-1], [*proof, root], proof[1:]):
                if bad != proof:
                    with pytest.raises(Mismatch):
                        verifier.included(contents[index], index, size, bad)
    with pytest.raises(Mismatch, match="no entry 3"):
        verifier.included(b"", 3, 3, [])


def test_it_takes_a_checkpoint_that_witnesses_signed_too(log: Path) -> None:
    """Further lines of others are nothing to it."""
    path = log / "checkpoint"
    path.write_bytes(path.read_bytes() + note.Signature("witness.example", b"none", b"x" * 72).line.encode())
    assert SIZE == verify(log, VKEY).size


def signed_log(path: Path, leaves: list[bytes]) -> Path:
    """A log of any leaves, in order in itself and signed with the true key."""
    folder = Folder(path)
    size = folder.extend(0, leaves)
    head = note.Checkpoint(KEY.name, size, tree.root(size, folder.reader(size)))
    folder.publish(note.sign(head.text, KEY.name, PRIVATE).encode(), 0, size)
    return path


def test_files_that_are_not_what_was_signed(made: tuple[Path, bytes, Rows], log: Path, tmp_path: Path) -> None:
    """All tiles and bundles of another history, and the true checkpoint beside them."""
    path = forged(tmp_path, SIZE, other=100)
    shutil.copy(log / "checkpoint", path / "checkpoint")
    with pytest.raises(Mismatch, match="their root is another"):
        verify(path, VKEY)


ZEROS = "0" * 64
FIRST = Leaf(0, 1, "a/b", ZEROS).content
ODD = {
    "empty": b"",
    "a list": b"[]",
    "no members": b"{}",
    "no text": b"\xff",
    "another place": Leaf(7, 1, "a/b", ZEROS).content,
    "a space": b" " + Leaf(1, 1, "a/b", ZEROS).content,
    "a title": Leaf(1, 1, "a/b", ZEROS).content.replace(b"a/b", "开通/公交".encode()),
    "a short digest": Leaf(1, 1, "a/b", "0").content,
    "a time that is text": Leaf(1, 1, "a/b", ZEROS).content.replace(b'"at":1', b'"at":"monday"'),
    "a further member": Leaf(1, 1, "a/b", ZEROS).content.replace(b"}", b',"outlet":"blog"}'),
}


@pytest.mark.parametrize("bad", ODD.values(), ids=ODD)
def test_a_signed_leaf_that_is_none(tmp_path: Path, bad: bytes) -> None:
    """Of another place, written another way, telling more, or no leaf at all: whoever signed it."""
    with pytest.raises(Mismatch) as told:
        verify(signed_log(tmp_path, [FIRST, bad]), VKEY)
    assert 1 == told.value.index


def test_a_leaf_that_tells_another_time_or_act_than_its_text(tmp_path: Path) -> None:
    """Even where the digest is right."""
    seal, row = Rows(1).rows[0]
    for leaf in (Leaf(0, 5, "release/planned", seal.digest), Leaf(0, row["at"], "release/held", seal.digest)):
        path = signed_log(tmp_path / leaf.act, [leaf.content])
        with pytest.raises(Mismatch, match="another time or act"):
            verify(path, VKEY, entries=[json.dumps(opening(Rows(1), 0)).encode()])
