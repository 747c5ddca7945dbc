"""The way into the sandbox's Mastodon API: tokens, rate limits, refusals, settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from channels.sandbox.mastodon_world import ORPHAN_LIFE, SECOND, Account, World, iso
from channels.sandbox.server import Call, Handler, Sandbox, now

# Requests, and the seconds they are counted over.
PER_TOKEN, PER_IP = (300, 300), (300, 300)
NOT_FOUND = "Record not found"


class Refusal(Exception):
    """Becomes the answer of the call that raised it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def invalid(message: str) -> Refusal:
    return Refusal(422, f"Validation failed: {message}")


class Door:
    """What every call of the API goes through."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.world = World(sandbox.address, sandbox.shelf)
        sandbox.account_of = lambda call: _name(call) or ""

    def on(self, method: str, path: str, handler: Handler, limit: tuple[int, int] | None = None) -> None:
        """Handle a call of the API: counted, and the tightest counter told in the headers, as the server does."""

        async def counted(call: Call) -> Response:
            scopes = [("requests", PER_TOKEN if call.account else PER_IP), *([(path, limit)] if limit else [])]
            left, reset, most = min(
                (*self.world.count(scope, call.account or "anonymous", now(), *allowed), allowed[0])
                for scope, allowed in scopes
            )
            try:
                if left < 0 and not self.set("unlimited", call):
                    raise Refusal(429, "Too many requests")
                self.world.forget_orphans(now(), self.time("orphan_ttl", call, ORPHAN_LIFE))
                answer = await handler(call)
            except Refusal as refusal:
                answer = JSONResponse({"error": refusal.message}, refusal.status)
            answer.headers["X-RateLimit-Limit"] = str(most)
            answer.headers["X-RateLimit-Remaining"] = str(max(0, left))
            answer.headers["X-RateLimit-Reset"] = iso(reset)
            return answer

        self.sandbox.on(method, path, counted)

    def set(self, setting: str, call: Call) -> bool:
        return bool(self.sandbox.knobs.standing(setting, call.account))

    def time(self, setting: str, call: Call, usual: int) -> int:
        """Microseconds of a setting that is given in `seconds`."""
        knobs = self.sandbox.knobs.standing(setting, call.account)
        return round(float(knobs[0].parameters["seconds"]) * SECOND) if knobs else usual

    def reader(self, call: Call) -> Account | None:
        """Whose request it is; None: an anonymous one. A bad token is refused even where none is needed."""
        name = _name(call)
        if name is None:
            return None
        if not name or self.set("revoke", call):
            raise Refusal(401, "The access token is invalid")
        return self.world.account(name, now())

    def owner(self, call: Call) -> Account:
        reader = self.reader(call)
        if reader is None:
            raise Refusal(401, "This method requires an authenticated user")
        return reader

    async def given(self, call: Call) -> Mapping[str, Any]:
        """JSON or form fields, `media_ids[]` as a list."""
        if "json" in call.request.headers.get("Content-Type", ""):
            try:
                given = json.loads(call.body or b"{}")
            except ValueError:
                raise Refusal(400, "Error occurred while parsing request parameters") from None
            return given if isinstance(given, dict) else {}
        async with call.request.form() as form:
            fields: dict[str, Any] = {name: str(value) for name, value in form.items() if not name.endswith("[]")}
            fields["media_ids"] = [str(value) for value in form.getlist("media_ids[]")]
        return fields


def true(given: object) -> bool:
    """A boolean as JSON or a form gives it; what Rails casts to false (ActiveModel::Type::Boolean) is false."""
    return given not in (None, "", False, 0, "0", "f", "F", "false", "FALSE", "off", "OFF")


def _name(call: Call) -> str | None:
    """The account that the token names; "" for a bad token, None without one."""
    token = call.request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not token:
        return None
    return token.removeprefix("sandbox-") if token.startswith("sandbox-") else ""
