"""A leaf tells when something of a kind was done; what it was can be shown, and erased, beside it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from sync.log.entry import BadLeaf, Leaf, digest_of, kind_of, leaf_of, text_of

ROW: dict[str, Any] = {
    "id": 7, "at": 1_764_550_000_123_456, "unit": "local", "subject": "release", "subject_id": "r1", "act": "planned",
    "state": "open", "actor": "cli:王芳", "item": "item-1", "outlet": None,
    "detail": {"title": "开通公交环线", "release_at": 1_764_560_000_000_000, "b": 1, "a": [0.1, True, None]},
}  # fmt: skip
SALT = bytes(range(32))
TEXT = (
    '{"act":"planned","actor":"cli:王芳","at":1764550000123456,"detail":{"a":[0.1,true,null],"b":1,'
    '"release_at":1764560000000000,"title":"开通公交环线"},"id":7,"item":"item-1","outlet":null,"state":"open",'
    '"subject":"release","subject_id":"r1","unit":"local"}'
)


def test_the_text_of_an_entry() -> None:
    """Sorted keys, no white space, Chinese as it is; the same however the row was put together."""
    assert TEXT == text_of(ROW).decode()
    assert text_of(ROW) == text_of(dict(reversed(ROW.items())))
    assert ROW == json.loads(text_of(ROW))
    for name in ROW:
        assert text_of(ROW) != text_of({**ROW, name: "another"})


def test_the_digest_is_over_salt_and_text() -> None:
    """Another salt, another digest; a salt of another length is none."""
    assert hashlib.sha256(SALT + TEXT.encode()).hexdigest() == digest_of(SALT, text_of(ROW))
    assert digest_of(SALT, text_of(ROW)) != digest_of(SALT[::-1], text_of(ROW))
    for salt in (b"", SALT[:-1], SALT + b"x"):
        with pytest.raises(BadLeaf, match="32 bytes"):
            digest_of(salt, b"")


def test_a_leaf_tells_nothing_of_what_was_done() -> None:
    """No title, outlet, person or planned instant: index, time, kind and digest, and nothing else."""
    digest = digest_of(SALT, text_of(ROW))
    content = leaf_of(ROW, 6, digest).content
    assert f'{{"act":"release/planned","at":1764550000123456,"digest":"{digest}","index":6}}' == content.decode()
    assert {"act", "at", "digest", "index"} == set(json.loads(content))


@pytest.mark.parametrize("act", ["开通公交环线", "planned for Monday", "", "a" * 42, "x\ny", "Planned"])
def test_a_kind_of_act_is_no_place_for_text(act: str) -> None:
    """What might be a title is refused."""
    with pytest.raises(BadLeaf, match="no kind"):
        _ = Leaf(0, 1, kind_of({**ROW, "act": act}), "0" * 64).content


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), b"bytes", {1, 2}, "\ud800"])
def test_what_json_cannot_say_has_no_text(odd: Any) -> None:
    """Nothing is written differently from what it is."""
    with pytest.raises(BadLeaf, match="entry 7"):
        text_of({**ROW, "detail": {"odd": odd}})
