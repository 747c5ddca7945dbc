"""Items as files in a folder, for the tests of `sync.content`."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from sync.content.source import BadItem, Draft, read
from sync.model import BadInput

NOW = 1_700_000_000_000_000


def picture(colour: str = "red") -> bytes:
    content = BytesIO()
    Image.new("RGB", (4, 3), colour).save(content, "PNG")
    return content.getvalue()


RED, BLUE = picture("red"), picture("blue")


def furnished(tmp_path: Path) -> Path:
    """A folder with pictures and attachments, and a secret outside it."""
    inside = tmp_path / "item"
    (inside / "images").mkdir(parents=True)
    (inside / "images" / "red.png").write_bytes(RED)
    (inside / "images" / "蓝 色.png").write_bytes(BLUE)
    (inside / "form.pdf").write_bytes(b"%PDF-1.7 form")
    (tmp_path / "secret.pdf").write_bytes(b"%PDF-1.7 secret")
    return inside


def written(beside: Path, front: str, body: str = "Text.", name: str = "item.md") -> Path:
    path = beside / name
    path.write_text(f"---\n{front}\n---\n{body}", encoding="utf-8")
    return path


def drafted(beside: Path, front: str = "title: T", body: str = "Text.", name: str = "item.md") -> Draft:
    return read(written(beside, front, body, name), NOW)


def refused(path: Path) -> tuple[BadInput, ...]:
    with pytest.raises(BadItem) as raised:
        read(path, NOW)
    return raised.value.each


def only_refusal(beside: Path, front: str = "title: T", body: str = "Text.") -> BadInput:
    refusals = refused(written(beside, front, body))
    assert len(refusals) == 1, [str(refusal) for refusal in refusals]
    return refusals[0]
