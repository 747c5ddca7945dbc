"""The settings of a Telegram outlet: read, checked, and replaced by those of its sandbox twin. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from zlib import crc32

from sync.contract import Budget, Setting
from sync.model import BadInput, Outlet

API, PAGE = "https://api.telegram.org", "https://t.me"
SETTINGS = (
    Setting("bot_token", "BotFather 给的口令", "token of the bot, as BotFather gave it", True, True),
    Setting("chat_id", "频道：@名称 或 -100 开头的编号", "the channel: @name, or its number -100…", required=True),
    Setting("staging_chat_id", "预置频道（私有，机器人是管理员）", "private channel of the same bot, to stage in"),
    Setting("api_base", "接口地址", "address of the Bot API", default=API),
    Setting("page_base", "公开页面的地址", "where the public reads channels", default=PAGE),
)
# What is tolerated is not contractual; these are the figures that users report (fact sheet, section 6). They count
# calls of any kind, so a look or a read waits rather than the two calls that a release makes.
BUDGETS = (
    Budget("每频道每分钟 · per channel and minute", calls=20, seconds=60, reserve=4),
    Budget("每个机器人每秒 · per bot and second", calls=30, seconds=1, reserve=4),
)
_CHAT = re.compile(r"@[A-Za-z]\w{3,}|-100\d{5,}", re.ASCII)
# The number of the bot, a colon, 35 characters. Shorter ones are refused: errors name the path without its long
# segments (`sync.answer`), and the token stands in the path.
_TOKEN = re.compile(r"\d{5,}:[\w-]{12,}", re.ASCII)


@dataclass(frozen=True)
class Chosen:
    """`staging` is "" without a channel to stage in."""

    token: str = field(repr=False)
    chat: str
    staging: str
    api: str
    page: str


def chosen(outlet: Outlet) -> Chosen:
    """Raises BadInput for what cannot be meant; no text of it holds the token."""
    token = outlet.secrets.get("bot_token", "")
    if token and not _TOKEN.fullmatch(token):
        raise BadInput(
            "bot_token",
            "不是机器人的令牌 · it is no token of a bot",
            "按 BotFather 所给：110201543:AAHdqT… · give it as BotFather did: 110201543:AAHdqT…",
        )
    chat, staging = outlet.settings.get("chat_id", ""), outlet.settings.get("staging_chat_id", "")
    for name, given in (("chat_id", chat), ("staging_chat_id", staging)):
        if given and not _CHAT.fullmatch(given):
            raise BadInput(
                name,
                f"{given!r} 不是频道 · {given!r} is no channel",
                "写 @名称，或频道编号 · write @name, or the channel's number, such as -1001234567890",
            )
    if staging.startswith("@"):
        raise BadInput(
            "staging_chat_id",
            "有名称的频道是公开的 · a channel with a name is public",
            "写私有频道的编号 · write the number of a private channel",
        )
    if staging and staging == chat:
        raise BadInput(
            "staging_chat_id",
            "就是发布频道本身 · it is the channel itself",
            "另设一个私有频道，或不设 · name another channel, a private one, or none",
        )
    api, page = (outlet.settings.get(name) or usual for name, usual in (("api_base", API), ("page_base", PAGE)))
    return Chosen(token, chat, staging, api.rstrip("/"), page.rstrip("/"))


def twin(outlet: Outlet, sandbox: str) -> Outlet:
    """It stages where the real one does, in a private channel of its own."""
    number = crc32(outlet.name.encode())
    settings = {"chat_id": f"@sandbox_{outlet.name.replace('-', '_')}", "api_base": sandbox, "page_base": sandbox}
    if outlet.settings.get("staging_chat_id"):
        settings["staging_chat_id"] = f"-100{number:010d}"
    secrets = {"bot_token": f"{100_000_000 + number % 900_000_000}:sandbox-bot-{outlet.name}"}
    return replace(outlet, settings=settings, secrets=secrets, live=False, private_network=True)
