"""What changes and removes messages in the sandbox's Telegram."""

from __future__ import annotations

from typing import Any

from channels.sandbox.server import now
from channels.sandbox.telegram_door import Asked, Door, bad
from channels.sandbox.telegram_send import captioned, fetched, media_version, previewed, told, written
from channels.sandbox.telegram_text import TEXT_LIMIT, units
from channels.sandbox.telegram_world import SECOND, Chat, Message, Version

DELETABLE = 48 * 3600 * SECOND  # for a bot without can_delete_messages
SAME = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current "
    "content and reply markup of the message"
)


class EditCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("editMessageText", self.text)
        door.on("editMessageCaption", self.caption)
        door.on("editMessageMedia", self.media)
        door.on("editMessageReplyMarkup", self.markup)
        door.on("deleteMessage", self.delete)
        door.on("deleteMessages", self.delete_many)

    async def text(self, asked: Asked) -> dict[str, Any]:
        chat, message = self._editable(asked)
        if message.newest.photo:
            raise bad("there is no text in the message to edit")
        text, entities = written(
            self._door, asked, asked.text("text"), asked.text("parse_mode"), asked.value("entities")
        )
        if not text:
            raise bad("message text is empty")
        if units(text) > TEXT_LIMIT:
            raise bad("message is too long")
        return self._changed(asked, chat, message, Version(now(), text, entities, "", previewed(asked)))

    async def caption(self, asked: Asked) -> dict[str, Any]:
        chat, message = self._editable(asked)
        if not message.newest.photo:
            raise bad("there is no caption in the message to edit")
        told_ = (asked.text("caption"), asked.text("parse_mode"), asked.value("caption_entities"))
        version = captioned(self._door, asked, *told_)
        version.photo = message.newest.photo
        return self._changed(asked, chat, message, version)

    async def media(self, asked: Asked) -> dict[str, Any]:
        """Of a photo, or added to a text; never away from it."""
        chat, message = self._editable(asked)
        return self._changed(asked, chat, message, media_version(self._door, asked, asked.value("media")))

    async def markup(self, asked: Asked) -> dict[str, Any]:
        """There are no keyboards here, so nothing ever changes: it tells that the message exists."""
        self._editable(asked)
        raise bad(SAME)

    def _editable(self, asked: Asked) -> tuple[Chat, Message]:
        chat = self._door.chat(asked)
        message = self._world.there(chat.id, asked.number("message_id"))
        if message is None and asked.number("message_id") != 1:
            raise bad("message to edit not found")
        if message is None or (message.bot != asked.bot and "can_edit_messages" not in self._door.rights(asked.bot)):
            raise bad("message can't be edited")
        return chat, message

    def _changed(self, asked: Asked, chat: Chat, message: Message, version: Version) -> dict[str, Any]:
        old = message.newest
        if (version.text, version.entities, version.photo) == (old.text, old.entities, old.photo):
            raise bad(SAME)
        message.versions.append(version)
        self._world.keep(message)
        effect = "post_edited" if chat.username else "staged_edited"
        asked.call.did(effect, str(message.id), chat=chat.id, text=version.text, **fetched(version))
        return told(self._door, chat, message)

    async def delete(self, asked: Asked) -> bool:
        chat = self._door.chat(asked)
        message = self._world.there(chat.id, asked.number("message_id"))
        if message is None:
            raise bad("message to delete not found")
        if not self._deletable(asked, message):
            raise bad("message can't be deleted")
        self._remove(asked, chat, [message])
        return True

    async def delete_many(self, asked: Asked) -> bool:
        """What is not there, or may not be deleted, is left without a word."""
        chat, refs = self._door.chat(asked), asked.value("message_ids")
        if not isinstance(refs, list) or not 1 <= len(refs) <= 100:
            raise bad("message identifiers are not specified")
        found = [one for ref in refs if (one := self._world.there(chat.id, int(ref))) is not None]
        self._remove(asked, chat, [one for one in found if self._deletable(asked, one)])
        return True

    def _deletable(self, asked: Asked, message: Message) -> bool:
        held = self._door.rights(asked.bot)
        if "can_delete_messages" in held:
            return True
        aged = self._door.sandbox.knobs.standing("aged", asked.bot)
        age = now() - message.at + (round(aged[0].parameters["hours"] * 3600 * SECOND) if aged else 0)
        return message.bot == asked.bot and "can_post_messages" in held and age < DELETABLE

    def _remove(self, asked: Asked, chat: Chat, messages: list[Message]) -> None:
        for message in messages:
            message.deleted_at = now()
            self._world.keep(message)
        if messages:
            effect = "post_deleted" if chat.username else "staged_deleted"
            refs = [message.id for message in messages]
            asked.call.did(effect, str(refs[0]), chat=chat.id, messages=refs)
