"""What the sandbox's Telegram keeps: channels, messages with their versions, uploaded photos, counters. No HTTP here.

Ids are counted per channel and never used again. Channels, messages and photos outlive a restart; counters do not.
"""

from __future__ import annotations

import io
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any
from zlib import crc32

from PIL import Image, ImageOps

from channels.sandbox.shelf import Shelf, packed, unpacked
from channels.sandbox.telegram_text import Entities

SECOND = 1_000_000
PHOTO_BYTES, PHOTO_SIDES, PHOTO_RATIO = 10 * 1024 * 1024, 10_000, 20
STORED, SHOWN = 1280, 800  # pixels of the longer side: as Telegram keeps it, and as t.me shows it


@dataclass
class Chat:
    id: int
    username: str  # "": private
    title: str
    account: str  # whose it is: the bot that came first
    last: int = 1  # id of its newest message; 1 is the service message of its creation


@dataclass
class Version:
    """What a message says from `at` on. `preview`: Telegram looks for a link to preview."""

    at: int
    text: str
    entities: Entities
    photo: str = ""
    preview: bool = True


@dataclass
class Message:
    chat: int
    id: int
    bot: str  # who sent it
    at: int
    versions: list[Version]
    album: str = ""
    deleted_at: int | None = None

    @property
    def newest(self) -> Version:
        return self.versions[-1]

    def as_of(self, when: int) -> Version | None:
        """What a reader sees who is behind: the version of `when`; None: nothing yet, or nothing any more."""
        if self.deleted_at is not None and self.deleted_at <= when:
            return None
        return next((one for one in reversed(self.versions) if one.at <= when), None)


@dataclass
class Photo:
    file_id: str
    unique: str
    bot: str
    content: bytes
    width: int
    height: int


class Unfit(Exception):
    """Why an upload is no photo, in the words of the server."""


@dataclass
class World:
    shelf: Shelf
    chats: dict[int, Chat] = field(default_factory=dict)
    messages: dict[tuple[int, int], Message] = field(default_factory=dict)
    photos: dict[str, Photo] = field(default_factory=dict)
    counters: dict[str, deque[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chats = {one["id"]: Chat(**one) for one in self.shelf.all("chat").values()}
        for one in self.shelf.all("message").values():
            message = Message(**{**one, "versions": [Version(**version) for version in one["versions"]]})
            self.messages[message.chat, message.id] = message
        for one in self.shelf.all("photo").values():
            self.photos[one["file_id"]] = Photo(**{**one, "content": unpacked(one["content"])})
        self._sequence = itertools.count(len(self.photos) + 1)

    def chat(self, named: str, account: str) -> Chat | None:
        """A channel by @name or id. It exists from its first use; the bot that comes first is its administrator."""
        if named.startswith("@"):
            known = next((one for one in self.chats.values() if one.username.lower() == named[1:].lower()), None)
            made = Chat(-1_000_000_000_000 - crc32(named.lower().encode()), named[1:], named[1:], account)
        elif named.startswith("-100") and named[1:].isdigit():
            known = self.chats.get(int(named))
            made = Chat(int(named), "", f"private {named}", account)
        else:
            return None
        if known is None:
            self.keep_chat(made)
        return known or made

    def keep_chat(self, chat: Chat) -> None:
        self.chats[chat.id] = chat
        self.shelf.put("chat", str(chat.id), asdict(chat))

    def add(self, chat: Chat, bot: str, version: Version, album: str = "") -> Message:
        """A new message, with the next id of its channel."""
        chat.last += 1
        self.keep_chat(chat)
        message = Message(chat.id, chat.last, bot, version.at, [version], album)
        self.keep(message)
        return message

    def keep(self, message: Message) -> None:
        self.messages[message.chat, message.id] = message
        self.shelf.put("message", f"{message.chat} {message.id}", asdict(message))

    def there(self, chat: int, ref: int) -> Message | None:
        """A message as its administrators see it: at once, and not once it is deleted."""
        message = self.messages.get((chat, ref))
        return message if message is not None and message.deleted_at is None else None

    def of(self, chat: int) -> Iterator[Message]:
        """All that were ever in it, oldest first."""
        return (one for (where, _), one in sorted(self.messages.items()) if where == chat)

    def upload(self, content: bytes, bot: str) -> Photo:
        """Keep it as Telegram does: re-encoded, smaller. Raises Unfit."""
        if len(content) > PHOTO_BYTES:
            raise Unfit(
                f"file of size {len(content)} bytes is too big for a photo; the maximum size is {PHOTO_BYTES} bytes"
            )
        try:
            with Image.open(io.BytesIO(content)) as opened:
                picture = ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, ValueError, SyntaxError):
            raise Unfit("IMAGE_PROCESS_FAILED") from None
        sides = picture.size
        if sum(sides) > PHOTO_SIDES or max(sides) > PHOTO_RATIO * min(sides):
            raise Unfit("PHOTO_INVALID_DIMENSIONS")
        picture.thumbnail((STORED, STORED))
        stored = _jpeg(picture)
        number = next(self._sequence)
        unique = f"AQAD{number:06d}{sha256(stored).hexdigest()[:12]}"
        photo = Photo(f"AgACAgUAAx{number:06d}-{crc32(bot.encode()):08x}", unique, bot, stored, *picture.size)
        self.photos[photo.file_id] = photo
        self.shelf.put("photo", photo.file_id, {**asdict(photo), "content": packed(photo.content)})
        return photo

    def waits(self, counter: str, now: int, calls: int, seconds: float) -> int:
        """Seconds until this counter has room for one more; 0: now."""
        seen = self.counters.setdefault(counter, deque())
        while seen and seen[0] + seconds * SECOND <= now:
            seen.popleft()
        return 0 if len(seen) < calls else max(1, round((seen[-calls] - now) / SECOND + seconds))

    def count(self, counter: str, now: int) -> None:
        self.counters.setdefault(counter, deque()).append(now)


def on_page(photo: Photo, *, swapped: bool) -> bytes:
    """The photo as t.me serves it, or with `swapped` another one of the same size."""
    with Image.open(io.BytesIO(photo.content)) as picture:
        picture.thumbnail((SHOWN, SHOWN))
        return _jpeg(ImageOps.invert(picture.convert("RGB")) if swapped else picture)


def sizes(photo: Photo) -> list[dict[str, Any]]:
    """PhotoSize objects, smallest first."""
    whole = {"file_id": photo.file_id, "file_unique_id": photo.unique, "file_size": len(photo.content)}
    small = min(1.0, 90 / max(photo.width, photo.height))
    least = {
        "file_id": f"{photo.file_id}-s",
        "file_unique_id": f"{photo.unique}s",
        "width": max(1, int(photo.width * small)),
        "height": max(1, int(photo.height * small)),
    }
    return [least, {**whole, "width": photo.width, "height": photo.height}]


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    return out.getvalue()
