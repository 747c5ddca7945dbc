"""DingTalk as far as a group's custom robot meets it. Facts: the fact sheet "others", section 2.

`access_token=sandbox-NAME` is the robot of group NAME, set to be signed for with `SEC-sandbox-NAME`. More than 20
calls in a minute shut it up for ten minutes. Settings (knobs): those of `channels.sandbox.group`, and

    unsigned     the robot is not set to signatures
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
from html import escape

from markdown_it import MarkdownIt
from starlette.responses import JSONResponse, Response

from channels.sandbox.group import Groups, Limit, Refusal, link, message, plain, robot, texts
from channels.sandbox.server import Call, Sandbox, now, serve

HOUR_MS = 3_600_000
LARGEST = 20_000  # bytes of a body
MORE = "more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]"


class Robot:
    def __init__(self, sandbox: Sandbox) -> None:
        self._groups = Groups(sandbox, "钉钉群", (Limit(20, 60, shut_s=600),), _name, "msgtype")
        self._markdown = MarkdownIt("commonmark", {"html": False})
        sandbox.on("POST", "/robot/send", self.send)

    async def send(self, call: Call) -> Response:
        call.account = _name(call)
        try:
            self._take(call)
        except Refusal as refusal:
            call.detail["refused"] = refusal.code
            return JSONResponse({"errcode": refusal.code, "errmsg": refusal.message})
        return JSONResponse({"errcode": 0, "errmsg": "ok"})

    def _take(self, call: Call) -> None:
        name = call.account
        if not name or self._groups.set("revoke", name):
            raise Refusal(300_001, "token is not exist")
        if not self._groups.within_limits(name):
            raise Refusal(130_101, "send too fast, exceed 20 times per minute")
        if self._groups.set("ip", name):
            raise Refusal(310_000, f"ip 127.0.0.1 not in whitelist, {MORE}")
        if not self._groups.set("unsigned", name):
            self._check_signature(call)
        if "json" not in call.request.headers.get("Content-Type", ""):
            raise Refusal(43_004, "无效的HTTP HEADER Content-Type")
        if len(call.body) > LARGEST:
            raise Refusal(460_101, "message too long, exceed 20000 bytes")
        form, text, html = self._shown(message(call))
        if self._groups.lacks_keyword(name, text):
            raise Refusal(310_000, f"keywords not in content, {MORE}")
        if not form:
            raise Refusal(40_035, "缺少参数 json")
        self._groups.say(call, form, text, html)

    def _check_signature(self, call: Call) -> None:
        stamp, sign = (call.request.query_params.get(name, "") for name in ("timestamp", "sign"))
        if not stamp.isdigit() or abs(now() // 1_000 - int(stamp)) > HOUR_MS:
            raise Refusal(310_000, f"invalid timestamp, {MORE}")
        key = f"SEC-sandbox-{call.account}"
        wanted = hmac.digest(key.encode(), f"{stamp}\n{key}".encode(), hashlib.sha256)
        if not hmac.compare_digest(base64.b64encode(wanted), sign.encode()):
            raise Refusal(310_000, f"sign not match, {MORE}")

    def _shown(self, given: dict[str, object] | None) -> tuple[str, str, str]:
        """Type, text and HTML; without a type when it is no message."""
        form = str((given or {}).get("msgtype", ""))
        content = (given or {}).get(form)
        if form == "text" and (found := texts(content, "content")):
            return form, found[0], plain(found[0])
        if form == "markdown" and (found := texts(content, "title", "text")):
            return form, "\n".join(found), self._markdown.render(found[1])
        if form == "link" and (found := texts(content, "title", "text", "messageUrl")):
            return form, "\n".join(found), f"<h3>{link(found[2], found[0])}</h3><p>{escape(found[1])}</p>"
        return "", "", ""


def _name(call: Call) -> str:
    return robot(call.request.query_params.get("access_token", ""))


def build(sandbox: Sandbox) -> None:
    """The robots of all groups."""
    Robot(sandbox)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
