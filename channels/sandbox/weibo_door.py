"""The way into the sandbox's Weibo API: tokens, counters, refusals, settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from channels.sandbox.server import Call, Handler, Sandbox, now
from channels.sandbox.weibo_world import SECOND, World

CALLS, DAY = 100, 24 * 3600  # of one user through one application
POSTS, HOUR = 30, 3600
LIFE = 30 * 24 * 3600  # seconds that a token has left
TOKEN = re.compile(r"sandbox-([\w.-]+)(?:@([\w.-]+))?")
FIELD = re.compile(rb'name="access_token"\r\n\r\n([^\r]*)\r\n')


class Refusal(Exception):
    """Becomes the answer of the call that raised it."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class Given:
    """What a request holds: its fields, and the bytes of its files."""

    fields: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    multipart: bool = False


class Door:
    """What every call of the API goes through."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.world = World(sandbox.address, sandbox.shelf)
        sandbox.account_of = lambda call: _named(call)[0]

    def on(self, method: str, path: str, handler: Handler, *, counted: bool = True) -> None:
        """Handle a call of the API; `counted`: it is one of the hundred of a day, whatever comes of it."""

        async def judged(call: Call) -> Response:
            try:
                self._enter(call, counted)
                return await handler(call)
            except Refusal as refusal:
                code: int | str = str(refusal.code) if self.set("string_codes", call) else refusal.code
                call.detail["error_code"] = refusal.code
                told = {"request": call.request.url.path, "error_code": code, "error": refusal.message}
                return JSONResponse(told, refusal.status)

        self.sandbox.on(method, path, judged)

    def _enter(self, call: Call, counted: bool) -> None:
        if not call.account or self.set("revoke", call):
            raise Refusal(21332, "invalid_access_token")
        if self.left(call) <= 0:
            raise Refusal(21327, "expired_token")
        if counted:
            seen = self.world.count("calls", call.account, now(), DAY)
            if seen > CALLS and not self.set("unlimited", call):
                raise Refusal(10023, "User requests out of rate limit!", 403)

    def left(self, call: Call) -> int:
        """Seconds that the token has left."""
        knobs = self.sandbox.knobs.standing("expires_in", call.account)
        return int(knobs[0].parameters["seconds"]) if knobs else LIFE

    def domain(self, call: Call) -> str:
        """The safe domain of the application that the token is of."""
        return _named(call)[1]

    def set(self, setting: str, call: Call, account: str = "") -> bool:
        return bool(self.sandbox.knobs.standing(setting, account or call.account))

    def time(self, setting: str, account: str, usual: int) -> int:
        """Microseconds of a setting that is given in `seconds`."""
        knobs = self.sandbox.knobs.standing(setting, account)
        return round(float(knobs[0].parameters["seconds"]) * SECOND) if knobs else usual

    async def given(self, call: Call) -> Given:
        if "multipart" not in call.request.headers.get("Content-Type", ""):
            return Given(_form(call.body))
        async with call.request.form() as form:
            files = {name: await value.read() for name, value in form.items() if isinstance(value, UploadFile)}
            return Given({name: str(v) for name, v in form.items() if name not in files}, files, multipart=True)


def _form(body: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _named(call: Call) -> tuple[str, str]:
    """User and safe domain that the token tells, from header, query or body; "" for no token, or a bad one."""
    token = call.request.headers.get("Authorization", "").removeprefix("OAuth2 ")
    token = token or call.request.query_params.get("access_token", "")
    if not token and (part := FIELD.search(call.body)):
        token = part[1].decode("ascii", "replace")
    if not token and "urlencoded" in call.request.headers.get("Content-Type", ""):
        token = _form(call.body).get("access_token", "")
    found = TOKEN.fullmatch(token)
    return (found[1], found[2] or "") if found else ("", "")
