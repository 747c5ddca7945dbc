"""What the sandbox's Telegram tells of a bot, of a channel, and of the bot's rights in it."""

from __future__ import annotations

from typing import Any

from channels.sandbox.telegram_door import RIGHTS, Asked, Door, bad, bot_id
from channels.sandbox.telegram_world import Chat


class ChatCalls:
    def __init__(self, door: Door) -> None:
        self._door = door
        door.on("getMe", self.whoami)
        door.on("getChat", self.chat)
        door.on("getChatMember", self.member)

    async def whoami(self, asked: Asked) -> dict[str, Any]:
        flags = ("can_join_groups", "can_read_all_group_messages", "supports_inline_queries")
        return {**user(asked.bot), **dict.fromkeys(flags, False)}

    async def chat(self, asked: Asked) -> dict[str, Any]:
        chat = self._door.chat(asked)
        told = shown(chat) | {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": GIFTS}
        if not chat.username and self._door.set("public_staging", asked.call):
            told["username"] = f"open{-chat.id}"
        if self._door.set("discussed", asked.call):
            told["linked_chat_id"] = chat.id - 1
        return told

    async def member(self, asked: Asked) -> dict[str, Any]:
        self._door.chat(asked)
        if asked.number("user_id") != bot_id(asked.bot):
            raise bad("user not found")
        held = self._door.rights(asked.bot)
        others = ("can_manage_chat", "can_manage_video_chats", "can_restrict_members", "can_promote_members")
        more = ("can_change_info", "can_invite_users", "can_post_stories", "can_edit_stories", "can_delete_stories")
        return {
            "status": "administrator",
            "user": user(asked.bot),
            "can_be_edited": False,
            "is_anonymous": False,
            **dict.fromkeys((*others, *more), False),
            **{right: right in held for right in RIGHTS},
        }


GIFTS = dict.fromkeys(
    ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"), False
)


def user(bot: str) -> dict[str, Any]:
    return {"id": bot_id(bot), "is_bot": True, "first_name": bot, "username": f"{bot.replace('-', '_')}_bot"}


def shown(chat: Chat) -> dict[str, Any]:
    named = {"username": chat.username} if chat.username else {}
    return {"id": chat.id, "type": "channel", "title": chat.title, **named}
