"""An item leaves as ninjs over the command line, and comes back as the very same item."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.commands import Door, refused
from tests.acceptance.installation import Installation, write_item


def test_an_item_leaves_and_comes_back(tmp_path: Path) -> None:
    """Added again it is the same item; nothing is overwritten, and other forms are refused."""
    installed = Installation(tmp_path / "home")
    installed.add({"site": "website"})
    door = Door(installed)
    made = door.done("item", "add", write_item(tmp_path / "item", "关于外发的通告"))
    out = tmp_path / "news.json"
    told = door.done("item", "export", made["item"], "--out", out)
    assert (made["item"], made["digest"], 1) == (told["item"], told["digest"], told["revision"])
    assert {"route.png", "attachment.csv"} == {path.name for path in (tmp_path / "news-files").rglob("*.*")}
    back = door.done("item", "add", out)
    assert (made["item"], 1, []) == (back["item"], back["revision"], back["problems"])
    export = ("item", "export", made["item"])
    refused(door, *export, "--out", out, where="--out", says="exists", mend="another")
    refused(door, *export, "--out", tmp_path / "news.txt", where="--out", says="JSON", mend=".json")
    refused(door, *export, "--format", "x", "--out", out, where="--format", says="not written", mend="ninjs")
    refused(
        door, "item", "export", "none", "--out", tmp_path / "a.json", where="item", says="no such", mend="item list"
    )
