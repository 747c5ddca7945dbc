"""FORMAT.md is true: a log made of its vectors by hand verifies, and is what the writer makes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from sync.log import seal, verifier
from sync.log.entry import FIELDS
from sync.log.tiles import Folder
from sync.log.verifier import LEAF, Mismatch, verify
from tests.unit.test_log_seal import KEY, Rows, bring

PAGE = (Path(seal.__file__).parent / "FORMAT.md").read_text()


def block(name: str) -> str:
    found = re.search(rf"```{name}\n(.*?)```\n", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


def by_hand(folder: Path) -> Path:
    """The folder as the page says, from its blocks."""
    leaves = block("leaves").splitlines()
    for name, content in (
        ("tile/entries/000.p/3", b"".join(len(one).to_bytes(2, "big") + one.encode() for one in leaves)),
        ("tile/0/000.p/3", bytes.fromhex(block("tile"))),
        ("checkpoint", block("checkpoint").encode()),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_the_vectors_verify(tmp_path: Path) -> None:
    """With their texts; and not with one letter changed anywhere in a text."""
    folder, shown = by_hand(tmp_path), block("jsonl").encode().splitlines()
    assert (3, 3) == ((found := verify(folder, block("key"), entries=shown)).size, found.opened)
    with pytest.raises(Mismatch) as told:
        verify(folder, block("key"), entries=[shown[0], shown[1].replace("开通".encode(), "停运".encode())])
    assert 1 == told.value.index


def test_the_writer_makes_the_vectors(tmp_path: Path) -> None:
    """Byte for byte, from the rows: leaves, tile, checkpoint and key."""
    (tmp_path / "hand").mkdir()
    folder, hand = Folder(tmp_path / "log"), by_hand(tmp_path / "hand")
    bring(folder, Rows(3))
    for name in ("tile/entries/000.p/3", "tile/0/000.p/3", "checkpoint"):
        assert (hand / name).read_bytes() == (folder.path / name).read_bytes()
    assert KEY.vkey == block("key").strip()


def test_the_vectors_follow_from_the_page() -> None:
    """Digests and leaf hashes, computed here with nothing of the project."""
    for line, leaf, told in zip(*(block(name).splitlines() for name in ("jsonl", "leaves", "tile")), strict=True):
        given, public = json.loads(line), json.loads(leaf)
        assert public["digest"] == hashlib.sha256(bytes.fromhex(given["salt"]) + given["text"].encode()).hexdigest()
        assert told == hashlib.sha256(b"\0" + leaf.encode()).hexdigest()


def test_every_member_is_on_the_page() -> None:
    """Of texts and of leaves, and every exit code."""
    for name in (*FIELDS, *LEAF):
        assert f"`{name}`" in PAGE, name
    assert {0, 2, 5} == {verifier.OK, verifier.USAGE, verifier.FAILED}
