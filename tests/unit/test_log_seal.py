"""A checkpoint is signed only over what was looked at once more, and never over less than was signed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.log import note, tree
from sync.log.entry import BadLeaf
from sync.log.seal import Refused, Sealed, bring_up, checked, last_signed, sealed
from sync.log.tiles import Folder

NAME = "county.example/log"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
KEY = note.public_key(NAME, PRIVATE)


def row_of(n: int) -> dict[str, Any]:
    return {
        "id": n, "at": n * 1_000, "unit": "local", "subject": "release", "subject_id": f"r{n}", "act": "planned",
        "state": "open", "actor": "me", "item": None, "outlet": None, "detail": {"title": f"开通公交环线 {n}"},
    }  # fmt: skip


class Rows:
    """A table of sealed entries; their ids are not their places."""

    def __init__(self, size: int) -> None:
        self.rows: list[Sealed] = []
        self.grow(size)

    def grow(self, size: int) -> None:
        for index in range(len(self.rows), size):
            row = row_of(index ^ 1)  # a lower id may be sealed after a higher one
            self.rows.append((sealed(row, index, index.to_bytes(32, "big")), row))

    def fetch(self, begin: int, end: int) -> Sequence[Sealed]:
        return self.rows[begin:end]

    def read(self, height: int, n: int) -> bytes:
        part = self.rows[n << height : (n + 1) << height]
        return tree.complete([bytes.fromhex(seal.leaf_hash) for seal, _ in part])


def bring(folder: Folder, rows: Rows) -> note.Checkpoint | None:
    return bring_up(folder, NAME, PRIVATE, len(rows.rows), rows.fetch)


def files(folder: Folder) -> dict[str, bytes]:
    return {str(one.relative_to(folder.path)): one.read_bytes() for one in folder.path.rglob("*") if one.is_file()}


def test_a_log_grows_and_every_checkpoint_extends_the_last(tmp_path: Path) -> None:
    """Signed by the log's key; roots are those of the leaves; a call without news changes nothing."""
    folder, rows, known = Folder(tmp_path), Rows(0), (0, tree.EMPTY)
    assert bring(folder, rows) is None
    assert last_signed(folder, KEY) is None
    for size in (1, 3, 256, 257, 1_300):
        rows.grow(size)
        made = bring(folder, rows)
        assert made is not None
        assert made == last_signed(folder, KEY)
        assert made.root == tree.root(size, rows.read)
        proof = tree.consistency(known[0], size, folder.reader(size))
        assert tree.extends(*(known[0], size), known[1], made.root, proof)
        known, before = (size, made.root), files(folder)
        assert made == bring(folder, rows)
        assert before == files(folder)


def test_no_leaf_on_disk_tells_what_was_done(tmp_path: Path) -> None:
    """No title and no id of what it tells of is in any file."""
    folder, rows = Folder(tmp_path), Rows(300)
    bring(folder, rows)
    for name, content in files(folder).items():
        assert "公交".encode() not in content, name
        assert b"r12" not in content or name.startswith("tile/0"), name  # hashes may hold any three bytes


def test_death_at_any_write_loses_and_forks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last checkpoint stands and its files are there; the next call ends where an undisturbed one would have."""
    whole, rows = Folder(tmp_path / "whole"), Rows(250)
    bring(whole, rows)
    rows.grow(600)
    bring(whole, rows)
    real, left = Path.replace, [0]

    def dying(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise OSError("the process ends here")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    died = 0
    for writes in range(12):
        folder, early = Folder(tmp_path / str(writes)), Rows(250)
        left[0] = 99
        first = bring(folder, early)
        left[0] = writes
        try:
            bring(folder, rows)
        except OSError:
            died += 1
            assert first == last_signed(folder, KEY)
            assert first is not None
            assert first.root == tree.root(250, folder.reader(250))
        left[0] = 99
        bring(folder, rows)
        assert files(whole) == files(folder)
    assert 8 == died  # three bundles, three tiles of level 0, one of level 1, the checkpoint


def test_a_log_shorter_than_what_was_signed_is_refused(tmp_path: Path) -> None:
    """A database of yesterday: not signed, and the checkpoint stays."""
    folder = Folder(tmp_path)
    bring(folder, Rows(5))
    before = files(folder)
    with pytest.raises(Refused, match="only 4") as told:
        bring(folder, Rows(4))
    assert "backup" in told.value.mend
    assert before == files(folder)


@pytest.mark.parametrize("name", ["detail", "at", "act", "subject", "actor", "subject_id", "id"])
def test_an_entry_altered_after_it_was_sealed_is_not_signed(tmp_path: Path, name: str) -> None:
    """Whichever column; the entry is named and the last checkpoint stands."""
    folder, rows = Folder(tmp_path), Rows(3)
    first = bring(folder, rows)
    rows.grow(6)
    seal, row = rows.rows[4]
    rows.rows[4] = seal, {**row, name: 99 if name in ("at", "id") else "other"}
    with pytest.raises(Refused, match=f"entry {seal.entry}"):
        bring(folder, rows)
    assert first == last_signed(folder, KEY)


def test_an_altered_seal_is_not_signed(tmp_path: Path) -> None:
    """Digest, salt, leaf hash or place; or one is missing."""
    seal, row = Rows(3).rows[2]
    for other in (
        replace(seal, digest="0" * 64),
        replace(seal, salt=b"x" * 32),
        replace(seal, salt=b"x"),
        replace(seal, leaf_hash="0" * 64),
        replace(seal, index=1),
        replace(seal, salt=None, digest="0" * 64),
    ):
        with pytest.raises(Refused):
            checked(other, row, 2)
    rows = Rows(3)
    del rows.rows[1]
    with pytest.raises(Refused):
        bring_up(Folder(tmp_path), NAME, PRIVATE, 3, rows.fetch)


def test_an_erased_text_keeps_its_leaf() -> None:
    """Without salt and text the leaf is what it was."""
    seal, row = Rows(1).rows[0]
    erased = {**row, "actor": "", "subject_id": "", "detail": {}}
    assert checked(seal, row, 0) == checked(replace(seal, salt=None), erased, 0)


@pytest.mark.parametrize("name", ["tile/0/000.p/5", "checkpoint", "tile/entries/000.p/5"])
@pytest.mark.parametrize("gone", [True, False])
def test_damaged_files_are_never_signed_over(tmp_path: Path, name: str, gone: bool) -> None:
    """A flipped bit in what was there, or a file that is missing: refused, naming the file."""
    folder, rows = Folder(tmp_path), Rows(5)
    bring(folder, rows)
    rows.grow(7)
    path = tmp_path / name
    content = path.read_bytes()
    path.unlink()
    if not gone:
        path.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    elif name == "checkpoint":  # as on a new host: all is made anew from the rows, and is the same
        assert bring(folder, rows) == last_signed(folder, KEY)
        return
    with pytest.raises(Refused, match=str(tmp_path)):
        bring(folder, rows)


def test_another_history_in_the_place_of_the_signed_one(tmp_path: Path) -> None:
    """Files that are in order in themselves, and not what the checkpoint beside them speaks of."""
    folder, other, rows = Folder(tmp_path / "log"), Folder(tmp_path / "other"), Rows(5)
    bring(folder, rows)
    again = [(sealed(row, n, b"s" * 32), row) for n, (_, row) in enumerate(rows.rows)]
    bring_up(other, NAME, PRIVATE, 5, lambda begin, end: again)
    for name in ("tile/0/000.p/5", "tile/entries/000.p/5"):
        folder.write(name, (other.path / name).read_bytes())
    rows.grow(7)
    with pytest.raises(Refused, match="not make the root"):
        bring(folder, rows)


def test_another_key_does_not_go_on(tmp_path: Path) -> None:
    """What another signed is not built upon."""
    folder = Folder(tmp_path)
    bring(folder, Rows(2))
    other = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    with pytest.raises(Refused, match="nobody"):
        bring_up(folder, NAME, other, 2, Rows(2).fetch)


def test_what_has_no_leaf_is_not_sealed() -> None:
    """A kind of act that might be a title."""
    with pytest.raises(BadLeaf):
        sealed({**row_of(1), "act": "开通公交环线"}, 0, bytes(32))
