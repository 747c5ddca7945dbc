"""Feishu as far as a group's custom robot meets it. Facts: the fact sheet "others", section 2.

`/open-apis/bot/v2/hook/sandbox-robot-of-the-NAME` is the robot of group NAME, set to be signed for with `sandbox-NAME`.
Settings (knobs): those of `channels.sandbox.group`, and

    unsigned     the robot is not set to signatures
    busy         the platform is busy, as at the full and the half hour
    old_answer   success has no `code`, as that of the first version
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
from html import escape
from typing import Any

from starlette.responses import JSONResponse, Response

from channels.sandbox.group import Groups, Limit, Refusal, link, message, plain, robot, texts
from channels.sandbox.server import Call, Sandbox, now, serve

HOOK = "/open-apis/bot/v2/hook/"
HOUR_S, SECOND = 3_600, 1_000_000
LARGEST = 20_000  # bytes of a body
BAD_REQUEST = Refusal(9_499, "Bad Request")


class Robot:
    def __init__(self, sandbox: Sandbox) -> None:
        self._groups = Groups(sandbox, "飞书群", (Limit(100, 60), Limit(5, 1)), _name, "msg_type")
        sandbox.on("POST", f"{HOOK}{{hook}}", self.send)

    async def send(self, call: Call) -> Response:
        call.account, call.path = _name(call), f"{HOOK}…"
        try:
            self._take(call)
        except Refusal as refusal:
            call.detail["refused"] = refusal.code
            return JSONResponse({"code": refusal.code, "msg": refusal.message, "data": {}})
        if self._groups.set("old_answer", call.account):
            return JSONResponse({"Extra": None, "StatusCode": 0, "StatusMessage": "success"})
        return JSONResponse({"code": 0, "msg": "success", "data": {}, "StatusCode": 0, "StatusMessage": "success"})

    def _take(self, call: Call) -> None:
        name = call.account
        if not name or self._groups.set("revoke", name):
            raise Refusal(19_001, "param invalid: incoming webhook access token invalid")
        if not self._groups.within_limits(name) or self._groups.set("busy", name):
            raise Refusal(11_232, "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]")
        given = message(call)
        if given is None or "json" not in call.request.headers.get("Content-Type", "") or len(call.body) > LARGEST:
            raise BAD_REQUEST
        if self._groups.set("ip", name):
            raise Refusal(19_022, "Ip Not Allowed")
        if not self._groups.set("unsigned", name):
            self._check_signature(name, given)
        form, text, html = _shown(given)
        if self._groups.lacks_keyword(name, text):
            raise Refusal(19_024, "Key Words Not Found")
        if not form:
            raise BAD_REQUEST
        self._groups.say(call, form, text, html)

    def _check_signature(self, name: str, given: dict[str, Any]) -> None:
        stamp, sign = str(given.get("timestamp", "")), str(given.get("sign", ""))
        wanted = hmac.digest(f"{stamp}\nsandbox-{name}".encode(), b"", hashlib.sha256)
        fresh = stamp.isdigit() and abs(now() // SECOND - int(stamp)) <= HOUR_S
        if not fresh or not hmac.compare_digest(base64.b64encode(wanted), sign.encode()):
            raise Refusal(19_021, "sign match fail or timestamp is not within one hour from current time")


def _shown(given: dict[str, Any]) -> tuple[str, str, str]:
    """Type, text and HTML; without a type when it is no message."""
    form, content = given.get("msg_type"), given.get("content")
    if form == "text" and (found := texts(content, "text")):
        return form, found[0], plain(found[0])
    if form == "post" and isinstance(content, dict) and isinstance(content.get("post"), dict):
        for post in content["post"].values():
            title, lines = (post.get("title", ""), post.get("content")) if isinstance(post, dict) else ("", None)
            shown = _lines(lines) if isinstance(title, str) and isinstance(lines, list) and lines else None
            if shown is not None:
                return form, f"{title}\n{shown[0]}", f"<h3>{escape(title)}</h3>{shown[1]}"
    return "", "", ""


def _lines(lines: list[Any]) -> tuple[str, str] | None:
    """Text and HTML of a post's paragraphs; None when one of them is not as it has to be."""
    text, html = "", ""
    for line in lines:
        if not isinstance(line, list):
            return None
        shown = [_part(part) for part in line]
        if any(part is None for part in shown):
            return None
        text += "".join(part[0] for part in shown if part) + "\n"
        html += f"<p>{''.join(part[1] for part in shown if part)}</p>"
    return text, html


def _part(part: object) -> tuple[str, str] | None:
    tag = part.get("tag") if isinstance(part, dict) else None
    if tag == "text" and isinstance(part, dict) and isinstance(part.get("text"), str):
        return part["text"], escape(part["text"])
    if tag == "a" and (found := texts(part, "text", "href")):
        return found[0], link(found[1], found[0])
    return None


def _name(call: Call) -> str:
    return robot(call.request.url.path.removeprefix(HOOK), "sandbox-robot-of-the-")


def build(sandbox: Sandbox) -> None:
    """The robots of all groups."""
    Robot(sandbox)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
