"""What makes messages in the sandbox's Telegram: sent, copied, forwarded. Twice is two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from channels.sandbox.server import now
from channels.sandbox.telegram_chat import shown
from channels.sandbox.telegram_door import Asked, Door, Refusal, bad
from channels.sandbox.telegram_text import CAPTION_LIMIT, TEXT_LIMIT, Entities, Unparsable, given, units
from channels.sandbox.telegram_world import SECOND, Chat, Message, Photo, Unfit, Version, sizes

ALBUM = range(2, 11)
COPIED_AT_ONCE = 100


class SendCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("sendMessage", self.text)
        door.on("sendPhoto", self.photo)
        door.on("sendMediaGroup", self.album)
        door.on("copyMessage", self.copy)
        door.on("copyMessages", self.copies)
        door.on("forwardMessage", self.forward)

    async def text(self, asked: Asked) -> dict[str, Any]:
        chat = self._target(asked, 1)
        text, entities = written(
            self._door, asked, asked.text("text"), asked.text("parse_mode"), asked.value("entities")
        )
        if not text:
            raise bad("message text is empty")
        if units(text) > TEXT_LIMIT:
            raise bad("message is too long")
        return told(
            self._door, chat, self._made(asked, chat, [Version(now(), text, entities, "", previewed(asked))])[0]
        )

    async def photo(self, asked: Asked) -> dict[str, Any]:
        chat = self._target(asked, 1)
        version = captioned(
            self._door, asked, asked.text("caption"), asked.text("parse_mode"), asked.value("caption_entities")
        )
        version.photo = pictured(self._door, asked, asked.text("photo") or "attach://photo").file_id
        return told(self._door, chat, self._made(asked, chat, [version])[0])

    async def album(self, asked: Asked) -> list[dict[str, Any]]:
        media = asked.value("media")
        if not isinstance(media, list) or len(media) not in ALBUM:
            raise bad("can't parse media: wrong number of items in an album")
        chat = self._target(asked, len(media))
        versions = [media_version(self._door, asked, one) for one in media]
        return [told(self._door, chat, one) for one in self._made(asked, chat, versions, album=True)]

    async def copy(self, asked: Asked) -> dict[str, Any]:
        chat, origin = self._target(asked, 1), self._door.chat(asked, "from_chat_id")
        source = self._world.there(origin.id, asked.number("message_id"))
        if source is None:
            raise bad("message to copy not found")
        if source.id == 1 or self._door.set("protected", asked.call):
            raise bad("message can't be copied")
        version = self._again(source)
        if source.newest.photo and asked.text("caption"):
            other = captioned(
                self._door, asked, asked.text("caption"), asked.text("parse_mode"), asked.value("caption_entities")
            )
            version.text, version.entities = other.text, other.entities
        return {"message_id": self._made(asked, chat, [version])[0].id}

    async def copies(self, asked: Asked) -> list[dict[str, Any]]:
        """What is not there is left out without a word; an album stays one."""
        refs = asked.value("message_ids")
        if not isinstance(refs, list) or not 1 <= len(refs) <= COPIED_AT_ONCE or refs != sorted(set(refs)):
            raise bad("message identifiers are not specified or not in a strictly increasing order")
        origin = self._door.chat(asked, "from_chat_id")
        sources = [one for ref in refs if (one := self._world.there(origin.id, int(ref))) is not None and one.id > 1]
        if not sources:
            raise bad("message to copy not found")
        if self._door.set("protected", asked.call):
            raise bad("message can't be copied")
        chat = self._target(asked, len(sources))
        one_album = bool(sources[0].album) and {one.album for one in sources} == {sources[0].album}
        made = self._made(asked, chat, [self._again(one) for one in sources], album=one_album)
        return [{"message_id": one.id} for one in made]

    async def forward(self, asked: Asked) -> dict[str, Any]:
        chat, origin = self._target(asked, 1), self._door.chat(asked, "from_chat_id")
        source = self._world.there(origin.id, asked.number("message_id"))
        if source is None and asked.number("message_id") != 1:
            raise bad("message to forward not found")
        if source is None or self._door.set("protected", asked.call):
            raise bad("message can't be forwarded")
        made = self._made(asked, chat, [self._again(source)])[0]
        where = {"type": "channel", "chat": shown(origin), "message_id": source.id, "date": source.at // SECOND}
        return told(self._door, chat, made) | {"forward_origin": where}

    def _target(self, asked: Asked, messages: int) -> Chat:
        chat = self._door.chat(asked)
        if "can_post_messages" not in self._door.rights(asked.bot):
            raise bad("need administrator rights in the channel chat")
        self._door.may_send(asked, chat, messages)
        return chat

    def _again(self, source: Message) -> Version:
        """A link is looked up anew for a preview, unless the source has none."""
        return Version(now(), source.newest.text, source.newest.entities, source.newest.photo, source.newest.preview)

    def _made(self, asked: Asked, chat: Chat, versions: Sequence[Version], album: bool = False) -> list[Message]:
        doubled = 2 if self._door.set("doubles", asked.call) else 1
        made: list[Message] = []
        for _ in range(doubled):
            name = f"album-{chat.id}-{chat.last + 1}" if album else ""
            made += [self._world.add(chat, asked.bot, version, name) for version in versions]
        for _ in made:
            self._door.sent(chat)
        said = {"chat": chat.id, "messages": [one.id for one in made], "text": versions[0].text}
        asked.call.did(
            "post_created" if chat.username else "message_staged", str(made[0].id), **said, **fetched(versions[0])
        )
        return made[: len(versions)]


def written(door: Door, asked: Asked, text: str, mode: str, entities: object) -> tuple[str, Entities]:
    """Raises Refusal."""
    for knob in door.sandbox.knobs.standing("rewrite", asked.bot):
        before, after = knob.parameters["replace"]
        text = text.replace(before, after)
    try:
        return given(text, mode, entities)
    except Unparsable as error:
        raise bad(f"can't parse entities: {error}") from None


def captioned(door: Door, asked: Asked, text: str, mode: str, entities: object) -> Version:
    text, found = written(door, asked, text, mode, entities)
    if units(text) > CAPTION_LIMIT:
        raise bad("message caption is too long")
    return Version(now(), text, found)


def pictured(door: Door, asked: Asked, source: str) -> Photo:
    """By upload, or by the file_id of one that this very bot has uploaded. Raises Refusal."""
    if source.startswith("attach://"):
        content = asked.files.get(source.removeprefix("attach://"))
        if content is None:
            raise bad("there is no photo in the request")
        try:
            return door.world.upload(content, asked.bot)
        except Unfit as error:
            raise bad(str(error)) from None
    if source.startswith(("http://", "https://")):
        raise bad("failed to get HTTP URL content")
    photo = door.world.photos.get(source)
    if photo is None or photo.bot != asked.bot:
        raise bad("wrong file identifier/HTTP URL specified")
    return photo


def media_version(door: Door, asked: Asked, media: object) -> Version:
    """What an InputMediaPhoto makes of a message. Raises Refusal."""
    if not isinstance(media, dict) or media.get("type") != "photo":
        raise bad("can't parse media: the sandbox knows photos only")
    caption, mode = str(media.get("caption") or ""), str(media.get("parse_mode") or "")
    version = captioned(door, asked, caption, mode, media.get("caption_entities"))
    version.photo = pictured(door, asked, str(media.get("media", ""))).file_id
    return version


def previewed(asked: Asked) -> bool:
    options = asked.value("link_preview_options")
    return not (isinstance(options, dict) and options.get("is_disabled"))


def fetched(version: Version) -> dict[str, str]:
    """For the record: the page that Telegram asks for at once, to preview it."""
    if version.photo or not version.preview:
        return {}
    return {"preview_fetched": address} if (address := first_link(version)) else {}


def first_link(version: Version) -> str:
    for one in version.entities:
        if one["type"] == "text_link":
            return str(one["url"])
        if one["type"] == "url":
            wide = version.text.encode("utf-16-le")
            return wide[one["offset"] * 2 : (one["offset"] + one["length"]) * 2].decode("utf-16-le")
    return ""


def told(door: Door, chat: Chat, message: Message) -> dict[str, Any]:
    """A Message object."""
    version = message.newest
    if version.photo and version.photo not in door.world.photos:
        raise Refusal(500, "Internal Server Error")
    found = {"message_id": message.id, "date": message.at // SECOND, "chat": shown(chat), "sender_chat": shown(chat)}
    if len(message.versions) > 1:
        found["edit_date"] = version.at // SECOND
    if message.album:
        found["media_group_id"] = message.album
    if version.photo:
        found["photo"] = sizes(door.world.photos[version.photo])
        return found | ({"caption": version.text, "caption_entities": version.entities} if version.text else {})
    if not version.preview:
        found["link_preview_options"] = {"is_disabled": True}
    return found | {"text": version.text, "entities": version.entities}
