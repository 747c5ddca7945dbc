"""What is asked of Telegram to make a message, or to change one. Pure.

A correction changes the very message: its text, its caption, or a photo with the caption. One shot is one call,
and one call changes one message; so what would take two is Unsupported, known before anything is sent.
Photos cannot be taken away from a message, nor a second one be added.

Link previews are off everywhere. Telegram asks for the page when it gets the message: when staging, before the
instant, it would learn an address that is not public; at the instant, the page may not be up yet, and what was
not found then is remembered for long. And what the card shows, nobody has approved (fact sheet, sections 4, 8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from channels.picture import Picture
from channels.telegram_api import Act
from sync.contract import Receipt, Unsupported
from sync.model import Rendition

NO_PREVIEW = {"link_preview_options": {"is_disabled": True}}
HTML = {"parse_mode": "HTML"}


@dataclass(frozen=True)
class Change:
    """Of a message that is there: "text", "caption" or "media", and in an album of which of its messages."""

    what: str
    at: int = 0

    def __str__(self) -> str:
        return f"{self.what} {self.at}"

    @classmethod
    def of(cls, told: str) -> Change:
        what, at = told.split()
        return cls(what, int(at))


def made(chat: str, rendition: Rendition, photos: Sequence[Picture]) -> Act:
    """A new message: text, a photo with its caption, or an album with the caption on its first photo."""
    if not photos:
        return Act("sendMessage", {"chat_id": chat, "text": rendition.content, **HTML, **NO_PREVIEW})
    if len(photos) == 1:
        fields = {"chat_id": chat, "caption": rendition.content, **HTML}
        return Act("sendPhoto", fields, {"photo": photos[0]})
    files = {f"photo{at}": photo for at, photo in enumerate(photos)}
    media = [_media(f"attach://{name}", rendition if at == 0 else None) for at, name in enumerate(files)]
    return Act("sendMediaGroup", {"chat_id": chat, "media": media}, files)


def copied(chat: str, staging: str, messages: Sequence[int]) -> Act:
    """The same content as a new message: it was parsed, measured and uploaded when it was staged."""
    where = {"chat_id": chat, "from_chat_id": staging}
    if len(messages) == 1:
        return Act("copyMessage", {**where, "message_id": messages[0]})
    return Act("copyMessages", {**where, "message_ids": list(messages)})


def changed(chat: str, message: int, change: Change, rendition: Rendition, photo: Picture | str) -> Act:
    """`photo`: of "media", by its file_id where it was staged."""
    where = {"chat_id": chat, "message_id": message}
    if change.what == "text":
        return Act("editMessageText", {**where, "text": rendition.content, **HTML, **NO_PREVIEW})
    if change.what == "caption":
        return Act("editMessageCaption", {**where, "caption": rendition.content, **HTML})
    captioned = rendition if change.at == 0 else None
    if isinstance(photo, str):
        return Act("editMessageMedia", {**where, "media": _media(photo, captioned)})
    return Act("editMessageMedia", {**where, "media": _media("attach://photo", captioned)}, {"photo": photo})


def change(rendition: Rendition, replaces: Receipt) -> Change:
    """What makes of the public message this rendition. Raises Unsupported where one call cannot."""
    new = [asset.digest for asset in rendition.files]
    if "photos" not in replaces.notes:  # a person told where it is, and nobody what it shows
        old, same_text = new if len(new) != 1 else ["?"], False
    else:
        old, same_text = replaces.notes["photos"].split(), replaces.notes["text"] == mark(rendition)
    if not old and len(new) == 1:
        return Change("media")
    if len(old) != len(new):
        raise Unsupported(
            "Telegram 不能就地增减图片，请撤回后重新发布 · "
            "pictures cannot be added or taken away in place: withdraw it and publish it anew"
        )
    others = [at for at, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
    if not others:
        return Change("caption" if new else "text")
    if len(others) > 1 or (others[0] > 0 and not same_text):
        raise Unsupported(
            "相册的几处改动不能一次完成，请撤回后重新发布 · "
            "this album cannot be changed in one act: withdraw it and publish it anew"
        )
    return Change("media", others[0])


def mark(rendition: Rendition) -> str:
    """Tells texts apart."""
    return sha256(rendition.content.encode()).hexdigest()[:16]


def notes(rendition: Rendition) -> Mapping[str, str]:
    """For the receipt: what a later correction has to know of what is there."""
    return {"photos": " ".join(asset.digest for asset in rendition.files), "text": mark(rendition)}


def _media(source: str, captioned: Rendition | None) -> dict[str, Any]:
    caption = {"caption": captioned.content, **HTML} if captioned else {}
    return {"type": "photo", "media": source, **caption}
