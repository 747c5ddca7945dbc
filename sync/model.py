"""The nouns of the service, as values.

Nothing here does I/O, reads time or knows a channel, the store or the queue. All values are
immutable; an `Edition` can therefore be approved, hashed and compared, and never edited.
Instants are microseconds UTC (see `sync.clock`); sizes are bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

MetaValue: TypeAlias = str | int | bool | tuple[str, ...]


class BadInput(Exception):
    """What a person gave cannot be used: where it is, what is wrong, and how to mend it. Nothing was changed."""

    def __init__(self, where: str, message: str, mend: str) -> None:
        super().__init__(f"{where}: {message} — {mend}")
        self.where, self.message, self.mend = where, message, mend


def canonical_bytes(value: Any) -> bytes:
    """The one byte form that digests are taken over: UTF-8 JSON, sorted keys, no floats.

    Raises TypeError for a float: two writers may print the same number differently.
    """

    def refuse_floats(part: Any) -> Any:
        if isinstance(part, float):
            raise TypeError(f"no float has one canonical form: {part!r}")
        if isinstance(part, Mapping):
            return {str(key): refuse_floats(inner) for key, inner in part.items()}
        if isinstance(part, list | tuple):
            return [refuse_floats(inner) for inner in part]
        return part

    return json.dumps(refuse_floats(value), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def sha256(content: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return hashlib.sha256(content).hexdigest()


class AssetRole(StrEnum):
    IMAGE = "image"  # referred to by the body
    COVER = "cover"
    ATTACHMENT = "attachment"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of an edition. Its bytes live in the asset store under `digest` (SHA-256)."""

    digest: str
    media_type: str
    size: int
    name: str
    role: AssetRole
    alt: str = ""


@dataclass(frozen=True)
class Edition:
    """One immutable snapshot of an item.

    `body` is the cleaned HTML subset of `sync.content.markup`; a picture in it has the address
    `asset:<digest>`. `metadata` holds the front matter that is content (column, source, document
    number …), never routing (outlets, release_at).
    """

    item: str
    revision: int
    title: str
    body: str
    metadata: Mapping[str, MetaValue] = field(default_factory=dict)
    assets: tuple[Asset, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over title, body, metadata and assets: what was written, not who or when."""
        return sha256(
            canonical_bytes(
                {
                    "title": self.title,
                    "body": self.body,
                    "metadata": dict(self.metadata),
                    "assets": [[a.role, a.digest, a.media_type, a.name, a.alt] for a in self.assets],
                }
            )
        )

    def text(self, key: str, default: str = "") -> str:
        """A metadata value as text; lists are joined with the Chinese enumeration comma."""
        value = self.metadata.get(key, default)
        return "、".join(value) if isinstance(value, tuple) else str(value)

    def asset(self, digest: str) -> Asset:
        """The asset with this digest. Raises KeyError when the edition has none."""
        for candidate in self.assets:
            if candidate.digest == digest:
                return candidate
        raise KeyError(digest)


@dataclass(frozen=True, slots=True)
class Token:
    """One thing a reader can see: a `title`, a block of `text`, a table `cell`, a `link`, an `image`.

    `value` is normalised text, an address, or the SHA-256 of a picture's bytes.
    """

    kind: str
    value: str


@dataclass(frozen=True)
class Rendition:
    """An edition made ready for one outlet: exactly what will be handed over, and what must be seen.

    `content` is the outlet's main text (HTML or plain), `fields` its other parts by the outlet's
    names, `files` the assets it carries, in order; `shown` what an anonymous reader must find.
    """

    title: str
    content: str
    fields: Mapping[str, str]
    files: tuple[Asset, ...]
    shown: tuple[Token, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every part; equal digests are handed over byte for byte alike."""
        return sha256(
            canonical_bytes(
                [
                    self.title,
                    self.content,
                    dict(self.fields),
                    [[a.role, a.digest, a.name, a.alt] for a in self.files],
                    [[t.kind, t.value] for t in self.shown],
                ]
            )
        )


@dataclass(frozen=True)
class Outlet:
    """One configured account or site. `secrets` never reaches a log, an entry or a message."""

    name: str
    unit: str
    kind: str
    settings: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    required: bool = True
    live: bool = False
    private_network: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """Names one delivery to the outside, for ever: stored before the first call, so a restarted
    process uses the same one, and two outlets of one kind never share it."""

    installation: str
    delivery: str

    @property
    def token(self) -> str:
        """32 hexadecimal characters that cannot be guessed from anything public."""
        return sha256(f"{self.installation}\n{self.delivery}".encode())[:32]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something an editor or operator has to know. `fatal`: nothing goes out before it is mended."""

    where: str
    message: str
    fatal: bool = True


class Policy(StrEnum):
    """Which outlets must be prepared before any goes out. Frozen into `required` at plan."""

    ALL = "all"
    REQUIRED = "required"
    BEST_EFFORT = "best-effort"


class Align(StrEnum):
    NOT_BEFORE = "not-before"
    ALIGNED = "aligned"


class Level(StrEnum):
    """How far what a reader found is what was approved."""

    EXACT = "exact"  # byte for byte what was handed over
    EQUAL = "text-equal"  # text, cells, links and pictures are; markup and encoding are the outlet's
    ALTERED = "altered"
    MISSING = "missing"
    TAKEN_DOWN = "taken-down"  # the outlet itself says that it was removed


@dataclass(frozen=True, slots=True)
class Capture:
    """One answer that an anonymous reader was given."""

    url: str
    status: int
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Sighting:
    """One anonymous read of one outlet.

    `visible_at` may be claimed from `ended_at` of a read that showed it; `visible_after` from
    `began_at` of one that did not. `captures` are the answers that it is made of.
    """

    visible: bool
    began_at: int
    ended_at: int
    problems: tuple[Problem, ...] = ()
    exact: bool = False
    taken_down: bool = False
    captures: tuple[Capture, ...] = ()

    @property
    def level(self) -> Level:
        if not self.visible:
            return Level.TAKEN_DOWN if self.taken_down else Level.MISSING
        if self.problems:
            return Level.ALTERED
        return Level.EXACT if self.exact else Level.EQUAL
