"""The way into the sandbox's Ghost: the Admin API's tokens, redirects and refusals, and settings.

`/NAME` is the site of account NAME, which exists from its first use; its Admin API key is `own_key(NAME)`.
After `server/services/auth/api-key/admin.js` and `connect-slashes`, as far as the fact sheet goes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.responses import JSONResponse, RedirectResponse, Response

from channels.sandbox.ghost_world import SECOND, World
from channels.sandbox.server import Call, Handler, Sandbox, now

API = "/{site}/ghost/api/admin/"
LIFE = 300  # seconds; "maxAge" of the server
METHODS = ("GET", "POST", "PUT", "DELETE")


def own_key(name: str) -> str:
    """The key of the one integration of this site: id and secret, both hexadecimal."""
    return f"{name.encode().hex()}:{hashlib.sha256(f'sandbox {name}'.encode()).hexdigest()}"


class Refusal(Exception):
    """Becomes the answer of the call that raised it."""

    def __init__(self, status: int, kind: str, message: str, code: str | None = None, context: str | None = None):
        super().__init__(message)
        self.status, self.kind, self.message, self.code, self.context = status, kind, message, code, context

    def answer(self) -> Response:
        error = {
            "message": self.message,
            "context": self.context,
            "type": self.kind,
            "details": None,
            "property": None,
            "help": None,
            "code": self.code,
            "id": str(uuid4()),
            "ghostErrorCode": None,
        }
        return JSONResponse({"errors": [error]}, self.status)


def not_found(what: str) -> Refusal:
    return Refusal(404, "NotFoundError", f"Resource not found error, cannot {what}.", None, f"{what} not found.")


def invalid(context: str) -> Refusal:
    return Refusal(422, "ValidationError", "Validation error, cannot edit post.", None, context)


class Door:
    """What every call of the API goes through."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.world = World(sandbox.address, sandbox.shelf)
        sandbox.account_of = lambda call: call.request.url.path.split("/")[1]

    def on(self, method: str, path: str, handler: Handler, *, keyed: bool = True) -> None:
        """Handle a call of the API. Its path ends with a slash."""

        async def called(call: Call) -> Response:
            call.detail["query"] = str(call.request.url.query)
            if moved := self.sandbox.knobs.standing("moved", call.account):
                rest = call.request.url.path.removeprefix(f"/{call.account}")
                return RedirectResponse(f"{moved[0].parameters['to']}{rest}", 301)
            try:
                if keyed:
                    self._let_in(call)
                await self.land(call)
                return await handler(call)
            except Refusal as refusal:
                call.detail["refused"] = f"{refusal.kind} {refusal.code or refusal.context or ''}".strip()
                return refusal.answer()

        self.sandbox.on(method, API + path, called)

    def close(self) -> None:
        """After the last `on`: whatever else is asked of the API."""

        async def other(call: Call) -> Response:
            path = call.request.url.path
            if path.endswith("/"):
                return not_found("find the endpoint").answer()
            # Middleware before the routes: whatever was sent is lost, and clients make a GET of a PUT.
            return RedirectResponse(str(call.request.url.replace(path=f"{path}/")), 301)

        for method in METHODS:
            self.sandbox.on(method, API + "{rest:path}", other)

    async def land(self, call: Call) -> None:
        """Scheduled posts whose time has come are public. The record names the moment that they were meant for."""
        for post, mail in self.world.due(call.account, self.clock(call.account)):
            line = call.line() | {"at": post.published_at, "applied": True, "effect": "post_published", "ref": post.id}
            detail = {"scheduled": True, **({"mailed": mail} if mail else {})}
            await self.sandbox.record.add(line | {"method": "", "path": "", "fault": "", "detail": detail})

    def clock(self, account: str) -> int:
        """The server's time, microseconds UTC."""
        ahead = sum(float(knob.parameters["seconds"]) for knob in self.sandbox.knobs.standing("skew", account))
        return now() + round(ahead * SECOND)

    def set(self, setting: str, account: str) -> bool:
        return bool(self.sandbox.knobs.standing(setting, account))

    def _let_in(self, call: Call) -> None:
        """As the server does it: the key is looked up by the id in the token, before anything is verified."""
        header = call.request.headers.get("Authorization")
        if header is None:
            message = "Unable to determine the authenticated user or integration. Check that cookies are being passed"
            raise Refusal(403, "NoPermissionError", "Authorization failed", None, message)
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "ghost" or not token:
            message = 'Authorization header format is "Authorization: Ghost [token]"'
            raise Refusal(401, "UnauthorizedError", message, "INVALID_AUTH_HEADER")
        parts = token.split(".")
        head, claims = (_decoded(part) for part in parts[:2]) if len(parts) == 3 else (None, None)
        if head is None or claims is None:
            raise Refusal(400, "BadRequestError", "Invalid token", "INVALID_JWT")
        if not head.get("kid"):
            raise Refusal(400, "BadRequestError", "Admin API kid missing.", "MISSING_ADMIN_API_KID")
        name, _, secret = own_key(call.account).partition(":")
        if head["kid"] != name or self.set("revoke", call.account):
            raise Refusal(401, "UnauthorizedError", "Unknown Admin API Key", "UNKNOWN_ADMIN_API_KEY")
        if wrong := _wrong(parts, head, claims, bytes.fromhex(secret), self.clock(call.account) // SECOND):
            raise Refusal(401, "UnauthorizedError", f"Invalid token: {wrong}", "INVALID_JWT")


def _wrong(parts: list[str], head: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes, at: int) -> str:
    """What the server has against a token; "" for nothing. `at`: seconds UTC. A time to come is not looked at."""
    if head.get("alg") != "HS256":
        return "invalid algorithm"
    seal = base64.urlsafe_b64encode(hmac.new(secret, ".".join(parts[:2]).encode(), hashlib.sha256).digest())
    if not hmac.compare_digest(seal.rstrip(b"="), parts[2].encode()):
        return "invalid signature"
    if not re.fullmatch(r"/?admin/?", str(claims.get("aud", ""))):
        return "jwt audience invalid. expected: /\\/?admin\\/?$/"
    if int(claims.get("exp", at + 1)) <= at:
        return "jwt expired"
    if "iat" not in claims:
        return "iat required when maxAge is specified"
    return "maxAge exceeded" if int(claims["iat"]) + LIFE <= at else ""


def _decoded(part: str) -> Mapping[str, Any] | None:
    try:
        told = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
