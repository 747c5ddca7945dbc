"""The way into the sandbox's Bot API: token, parameters, channels and rights, rates, refusals.

`DIGITS:sandbox-bot-NAME` is a valid token of bot NAME; the fact sheet's section 7 has the words of refusals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from zlib import crc32

from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from channels.sandbox.server import Call, Sandbox, now
from channels.sandbox.telegram_world import SECOND, Chat, World

PER_CHAT, PER_BOT = (20, 60), (30, 1)  # messages to one channel and calls of one bot, and the seconds they count over
REQUEST_BYTES = 50 * 1024 * 1024
RIGHTS = ("can_post_messages", "can_edit_messages", "can_delete_messages")
_PATH = re.compile(r"/bot([^/]*)/(\w*)")
_TOKEN = re.compile(r"\d+:sandbox-bot-([a-zA-Z0-9_-]+)")


class Refusal(Exception):
    """Becomes the answer of the call that raised it. `code` is HTTP status and error_code alike."""

    def __init__(self, code: int, words: str, **parameters: int) -> None:
        super().__init__(words)
        self.code, self.words, self.parameters = code, words, parameters

    def answer(self) -> Response:
        told: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.words}
        if self.parameters:
            told["parameters"] = self.parameters
        return JSONResponse(told, self.code)


def bad(words: str) -> Refusal:
    return Refusal(400, f"Bad Request: {words}")


class Asked:
    """One call of a method: who, and with which parameters and files."""

    def __init__(self, call: Call, bot: str, given: dict[str, Any], files: dict[str, bytes]) -> None:
        self.call, self.bot, self._given, self.files = call, bot, given, files

    def text(self, name: str) -> str:
        value = self._given.get(name, "")
        return value if isinstance(value, str) else json.dumps(value)

    def value(self, name: str) -> Any:
        """A parameter that is an object, a list, a number or a truth value, as JSON or as the text of it."""
        value = self._given.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise bad(f"can't parse {name} JSON object") from None

    def number(self, name: str) -> int:
        value = self._given.get(name)
        if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"-?\d{1,18}", str(value)):
            raise bad("message identifier is not specified")
        return int(value)


Method = Callable[[Asked], Awaitable[object]]


class Door:
    """What every call of the Bot API goes through."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.world = sandbox, World(sandbox.shelf)
        self._methods: dict[str, Method] = {}
        sandbox.account_of = _account
        for verb in ("GET", "POST"):
            sandbox.on(verb, "/bot{token}/{method}", self._call)

    def on(self, name: str, method: Method) -> None:
        self._methods[name.lower()] = method

    async def _call(self, call: Call) -> Response:
        try:
            return JSONResponse({"ok": True, "result": await self._result(call)})
        except Refusal as refusal:
            call.detail["refused"] = refusal.words
            return refusal.answer()

    async def _result(self, call: Call) -> object:
        found = _TOKEN.fullmatch(call.request.path_params["token"])
        if found is None and re.fullmatch(r"\d+:[\w-]+", call.request.path_params["token"]) is None:
            raise Refusal(404, "Not Found")
        if found is None or self.set("revoke", call):
            raise Refusal(401, "Unauthorized")
        method = self._methods.get(call.request.path_params["method"].lower())
        if method is None:
            raise Refusal(404, "Not Found")
        if len(call.body) > REQUEST_BYTES:
            raise Refusal(413, "Request Entity Too Large")
        self._hold(call, f"bot {found[1]}", *self._limit(found[1], "calls", PER_BOT))
        self.world.count(f"bot {found[1]}", now())
        given, files = await _parameters(call)
        return await method(Asked(call, found[1], given, files))

    def may_send(self, asked: Asked, chat: Chat, messages: int) -> None:
        """Whether the channel takes so many now. Raises Refusal with the seconds to wait."""
        if flood := self.sandbox.knobs.standing("flood", asked.bot):
            raise _too_many(round(float(flood[0].parameters.get("seconds", 30))))
        most, seconds = self._limit(asked.bot, "messages", PER_CHAT)
        self._hold(asked.call, f"chat {chat.id}", most - messages + 1, seconds)

    def _limit(self, bot: str, of: str, usual: tuple[int, float]) -> tuple[int, float]:
        limited = [knob.parameters for knob in self.sandbox.knobs.standing("limit", bot) if of in knob.parameters]
        return (int(limited[0][of]), float(limited[0]["seconds"])) if limited else usual

    def sent(self, chat: Chat) -> None:
        self.world.count(f"chat {chat.id}", now())

    def _hold(self, call: Call, counter: str, most: int, seconds: float) -> None:
        wait = self.world.waits(counter, now(), most, seconds) if most > 0 else round(seconds)
        if wait and not self.set("unlimited", call):
            raise _too_many(wait)

    def chat(self, asked: Asked, name: str = "chat_id") -> Chat:
        """The channel that a parameter names. Raises Refusal where there is none, or the bot is not in it."""
        told = asked.text(name)
        if not told:
            raise bad("chat_id is empty")
        chat = None if self.set("no_chat", asked.call) else self.world.chat(told, asked.bot)
        if chat is None:
            raise bad("chat not found")
        if chat.account != asked.bot or self.set("kicked", asked.call):
            raise Refusal(403, "Forbidden: bot is not a member of the channel chat")
        return chat

    def rights(self, bot: str) -> frozenset[str]:
        missing = {knob.parameters["right"] for knob in self.sandbox.knobs.standing("missing_right", bot)}
        return frozenset(RIGHTS) - missing

    def set(self, setting: str, call: Call) -> bool:
        return bool(self.sandbox.knobs.standing(setting, call.account))

    def time(self, setting: str, account: str) -> int:
        """Microseconds of a setting that is given in `seconds`; 0 when it is not set."""
        knobs = self.sandbox.knobs.standing(setting, account)
        return round(float(knobs[0].parameters["seconds"]) * SECOND) if knobs else 0


def bot_id(bot: str) -> int:
    return 100_000_000 + crc32(bot.encode()) % 900_000_000


def _too_many(seconds: int) -> Refusal:
    return Refusal(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)


def _account(call: Call) -> str:
    """The bot that the token in the path names; asked before anything is recorded, so the token never is."""
    found = _PATH.fullmatch(call.path)
    if found is None:
        return ""
    call.path = f"/bot…/{found[2]}"
    token = _TOKEN.fullmatch(found[1])
    return token[1] if token else ""


async def _parameters(call: Call) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Of the query and of a body that is JSON, a form, or a form with files."""
    given: dict[str, Any] = dict(call.request.query_params)
    kind = call.request.headers.get("Content-Type", "")
    if "json" in kind:
        try:
            told = json.loads(call.body or b"{}")
        except ValueError:
            raise bad("can't parse JSON object") from None
        return given | (told if isinstance(told, dict) else {}), {}
    files = {}
    if "form" in kind:
        async with call.request.form() as form:
            for name, value in form.items():
                if isinstance(value, UploadFile):
                    files[name] = await value.read()
                else:
                    given[name] = value
    return given, files
