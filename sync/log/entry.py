"""What of an entry goes into the tree, and what stays beside it. Pure.

    text   = the entry whole: JSON, keys sorted, no white space, UTF-8; who it tells of and what was said
    salt   = 32 random bytes of its own
    digest = SHA-256(salt + text)
    leaf   = JSON of the same form: place in the log, time, kind of act, digest

Leaves are for everybody: they tell that something of a kind was done at a time, never what, where or for when. Whoever
is handed text and salt can recompute the digest. Both can be erased: the leaf stays, all proofs hold, and nobody can
find the text by guessing, because the salt is gone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SALT = 32  # bytes
FIELDS = ("id", "at", "unit", "subject", "subject_id", "act", "state", "actor", "item", "outlet", "detail")
KIND = re.compile(r"[a-z][a-z0-9_-]{0,40}/[a-z][a-z0-9_-]{0,40}")


class BadLeaf(ValueError):
    """These bytes are no leaf, or nothing that may become one."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What everybody sees. `index` counts from 0; `at` is µs UTC; `act` is like `delivery/released`."""

    index: int
    at: int
    act: str
    digest: str  # hexadecimal

    @property
    def content(self) -> bytes:
        """As it is in the tree. Raises BadLeaf when the kind of act might be more than a kind."""
        if not KIND.fullmatch(self.act):
            raise BadLeaf(f"this is no kind of act: {self.act!r}")
        return _json({"act": self.act, "at": self.at, "digest": self.digest, "index": self.index})


def text_of(row: Mapping[str, Any]) -> bytes:
    """An entry's text, from its row by column. Raises BadLeaf for what JSON cannot say."""
    try:
        return _json({name: row[name] for name in FIELDS})
    except (ValueError, TypeError, UnicodeEncodeError) as error:
        raise BadLeaf(f"entry {row['id']} has no text: {error}") from error


def digest_of(salt: bytes, text: bytes) -> str:
    """Raises BadLeaf unless the salt has its length: else some of it could pass for text."""
    if len(salt) != SALT:
        raise BadLeaf(f"a salt has {SALT} bytes, not {len(salt)}")
    return hashlib.sha256(salt + text).hexdigest()


def kind_of(row: Mapping[str, Any]) -> str:
    return f"{row['subject']}/{row['act']}"


def leaf_of(row: Mapping[str, Any], index: int, digest: str) -> Leaf:
    """The leaf of an entry; its text may be erased already."""
    return Leaf(index, row["at"], kind_of(row), digest)


def _json(value: Mapping[str, Any]) -> bytes:
    """Numbers as Python writes them: whole ones in decimal, others in the fewest digits that read back the same."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
