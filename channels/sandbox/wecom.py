"""WeCom as far as a group's robot meets it. Facts: the fact sheet "others", section 2.

`key=sandbox-NAME` is the robot of group NAME. Settings (knobs): those of `channels.sandbox.group`, of which a robot
here has neither keyword nor list of addresses.
"""

from __future__ import annotations

import sys
from html import escape
from typing import Any

from starlette.responses import JSONResponse, Response

from channels.sandbox.group import Groups, Limit, Refusal, link, message, plain, robot, texts
from channels.sandbox.server import Call, Sandbox, serve

MOST = {"text": 2_048, "markdown": 4_096}  # bytes
NEWS, TITLE, DESCRIPTION = 8, 128, 512  # articles; bytes, cut without a word
PAGE = "more info at https://open.work.weixin.qq.com/devtool/query"


class Robot:
    def __init__(self, sandbox: Sandbox) -> None:
        self._groups = Groups(sandbox, "企业微信群", (Limit(20, 60),), _name, "msgtype")
        sandbox.on("POST", "/cgi-bin/webhook/send", self.send)

    async def send(self, call: Call) -> Response:
        call.account = _name(call)
        try:
            self._take(call)
        except Refusal as refusal:
            call.detail["refused"] = refusal.code
            told = f"{refusal.message}, hint: [1], from ip: 127.0.0.1, {PAGE}?e={refusal.code}"
            return JSONResponse({"errcode": refusal.code, "errmsg": told})
        return JSONResponse({"errcode": 0, "errmsg": "ok"})

    def _take(self, call: Call) -> None:
        if not call.account or self._groups.set("revoke", call.account):
            raise Refusal(93_000, "invalid webhook url")
        if not self._groups.within_limits(call.account):
            raise Refusal(45_009, "api freq out of limit")
        given = message(call)
        if given is None:
            raise Refusal(40_058, "wrong json format. invalid Request Parameter")
        form = given.get("msgtype")
        content = given.get(form) if isinstance(form, str) else None
        if form in MOST:
            self._groups.say(call, str(form), *_written(str(form), content))
        elif form == "news":
            self._groups.say(call, "news", *_news(content))
        else:
            raise Refusal(40_008, "invalid message type")


def _written(form: str, content: object) -> tuple[str, str]:
    """The text, and its HTML: the marks of its Markdown are left for the eye to read."""
    found = texts(content, "content")
    if found is None:
        raise Refusal(40_058, f"{form}.content is required. invalid Request Parameter")
    if len(found[0].encode()) > MOST[form]:
        raise Refusal(40_058, f"{form}.content exceed max length {MOST[form]}. invalid Request Parameter")
    return found[0], plain(found[0])


def _news(content: Any) -> tuple[str, str]:
    articles = content.get("articles") if isinstance(content, dict) else None
    if not isinstance(articles, list) or not 1 <= len(articles) <= NEWS:
        raise Refusal(40_058, "news.articles needs 1 to 8. invalid Request Parameter")
    text, html = "", ""
    for one in articles:
        found = texts(one, "title", "url")
        if found is None:
            raise Refusal(40_058, "news.articles.title or url is required. invalid Request Parameter")
        title, told = _cut(found[0], TITLE), _cut(str(one.get("description", "")), DESCRIPTION)
        text += f"{title}\n{told}\n{found[1]}\n"
        html += f"<h3>{link(found[1], title)}</h3><p>{escape(told)}</p>"
    return text, html


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")


def _name(call: Call) -> str:
    return robot(call.request.query_params.get("key", ""))


def build(sandbox: Sandbox) -> None:
    """The robots of all groups."""
    Robot(sandbox)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
