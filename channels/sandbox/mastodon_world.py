"""What a Mastodon server keeps: accounts, media, statuses, keys, counters. No HTTP here.

Accounts, media, statuses and keys outlive a restart; counters and scheduled statuses do not.
"""

from __future__ import annotations

import io
import itertools
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from PIL import Image, ImageOps

from channels.sandbox.mastodon_text import content
from channels.sandbox.shelf import Shelf, packed, unpacked

SECOND = 1_000_000
KEY_LIFE = 3600 * SECOND
ORPHAN_LIFE = 24 * 3600 * SECOND
MATRIX = 8_300_000  # pixels to which larger pictures are scaled
PUBLIC = ("public", "unlisted")


def iso(at: int) -> str:
    """Microseconds UTC as Mastodon writes times."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{at % SECOND // 1000:03d}Z"


@dataclass
class Account:
    id: str
    name: str

    def shown(self, address: str) -> dict[str, Any]:
        page = f"{address}/@{self.name}"
        return {"id": self.id, "username": self.name, "acct": self.name, "display_name": self.name, "url": page}


@dataclass
class Media:
    id: str
    account: str
    content: bytes
    media_type: str
    description: str
    at: int
    ready_at: int
    status: str = ""

    @property
    def file(self) -> str:
        return f"{self.id}.{'jpg' if self.media_type == 'image/jpeg' else 'png'}"

    def shown(self, address: str, now: int) -> dict[str, Any]:
        url = f"{address}/media/{self.file}" if self.ready_at <= now else None
        return {"id": self.id, "type": "image", "url": url, "preview_url": url, "description": self.description or None}


@dataclass
class Status:
    id: str
    account: Account
    text: str
    spoiler: str
    visibility: str
    language: str
    sensitive: bool
    media: list[str]
    at: int
    edited_at: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


class World:
    """Ids are snowflakes: the time in milliseconds, shifted, and a counter; as text, because they outgrow a double."""

    def __init__(self, address: str, shelf: Shelf) -> None:
        self.address, self._shelf = address, shelf
        self.accounts = {name: Account(**kept) for name, kept in shelf.all("account").items()}
        self.media = {
            ref: Media(**{**kept, "content": unpacked(kept["content"])}) for ref, kept in shelf.all("media").items()
        }
        statuses = [
            Status(**{**kept, "account": self.accounts[kept["account"]]}) for kept in shelf.all("status").values()
        ]
        self.statuses = {status.id: status for status in sorted(statuses, key=lambda status: int(status.id))}
        self.scheduled: dict[str, dict[str, Any]] = {}
        self.keys: dict[tuple[str, str], tuple[str, int]] = {
            (account, key): (ref, at) for account, key, ref, at in shelf.all("key").values()
        }
        self.counters: dict[tuple[str, str], deque[int]] = {}
        self._sequence = itertools.count(1)

    def new_id(self, at: int) -> str:
        return str((at // 1000 << 16) + next(self._sequence) % 65536)

    def account(self, name: str, at: int) -> Account:
        if name not in self.accounts:
            self.accounts[name] = Account(self.new_id(at), name)
            self._shelf.put("account", name, asdict(self.accounts[name]))
        return self.accounts[name]

    def keep_media(self, media: Media) -> None:
        """It is there, or was changed."""
        self.media[media.id] = media
        self._shelf.put("media", media.id, {**asdict(media), "content": packed(media.content)})

    def drop_media(self, ref: str) -> None:
        del self.media[ref]
        self._shelf.drop("media", ref)

    def attach(self, media: str, status: str) -> None:
        """To a status, or with "" to none."""
        self.media[media].status = status
        self.keep_media(self.media[media])

    def keep_status(self, status: Status) -> None:
        """It is there, or was changed."""
        self.statuses[status.id] = status
        plain = {name: value for name, value in vars(status).items() if name != "account"}
        self._shelf.put("status", status.id, {**plain, "account": status.account.name})

    def drop_status(self, ref: str) -> None:
        del self.statuses[ref]
        self._shelf.drop("status", ref)

    def keep_key(self, account: str, key: str, ref: str, at: int) -> None:
        self.keys[account, key] = (ref, at)
        self._shelf.put("key", f"{account} {key}", [account, key, ref, at])

    def forget_orphans(self, now: int, life: int) -> None:
        """Unattached media do not last: a day, unless a knob says otherwise."""
        for media in [m for m in self.media.values() if not m.status and m.at + life <= now]:
            self.drop_media(media.id)

    def status_of_key(self, account: str, key: str, now: int, life: int) -> str | None:
        """The id that this key made within its life. Body and everything else is not compared."""
        made = self.keys.get((account, key))
        return made[0] if made and made[1] + life > now else None

    def count(self, scope: str, who: str, now: int, limit: int, seconds: int) -> tuple[int, int]:
        """Count one request; what remains (below 0: over the limit) and when the window ends."""
        seen = self.counters.setdefault((scope, who), deque())
        while seen and seen[0] + seconds * SECOND <= now:
            seen.popleft()
        seen.append(now)
        return limit - len(seen), seen[0] + seconds * SECOND

    def shown(self, status: Status, now: int, text: str | None = None) -> dict[str, Any]:
        """The status as the API shows it; `text` in place of its own where the public sees another one."""
        name = status.account.name
        return {
            "id": status.id,
            "uri": f"{self.address}/users/{name}/statuses/{status.id}",
            "url": f"{self.address}/@{name}/{status.id}",
            "created_at": iso(status.at),
            "edited_at": iso(status.edited_at) if status.edited_at else None,
            "visibility": status.visibility,
            "language": status.language or None,
            "sensitive": status.sensitive,
            "spoiler_text": status.spoiler,
            "content": content(status.text if text is None else text, self.address),
            "account": status.account.shown(self.address),
            "media_attachments": [self.media[m].shown(self.address, now) for m in status.media if m in self.media],
            "card": None,
        }


def encoded(original: bytes) -> tuple[bytes, str]:
    """The picture as the server stores it: upright, without metadata, at most 8.3 megapixels. Raises OSError."""
    with Image.open(io.BytesIO(original)) as opened:
        kind = "JPEG" if opened.format == "JPEG" else "PNG"
        picture = ImageOps.exif_transpose(opened).convert("RGB" if kind == "JPEG" else "RGBA")
    if picture.width * picture.height > MATRIX:
        scale = (MATRIX / (picture.width * picture.height)) ** 0.5
        picture = picture.resize((int(picture.width * scale), int(picture.height * scale)))
    stored = io.BytesIO()
    picture.save(stored, kind, **({"quality": 85} if kind == "JPEG" else {"compress_level": 8}))
    return stored.getvalue(), f"image/{kind.lower()}"


def swapped(stored: bytes) -> bytes:
    """Another picture of the same size and kind."""
    with Image.open(io.BytesIO(stored)) as picture:
        other = io.BytesIO()
        ImageOps.invert(picture.convert("RGB")).save(other, picture.format)
    return other.getvalue()
