"""A push service that takes apprise's `json://` messages. Facts: the plugin "JSON" of apprise's wiki.

`POST /NAME` with {"version", "title", "message", "type"} is a message to the readers of NAME, which exists from its
first use; `GET /NAME` shows them. There is no way to change, recall or look one up by machine: each post is
another message.
"""

from __future__ import annotations

import json
import sys
from html import escape

from starlette.responses import HTMLResponse, JSONResponse, Response

from channels.sandbox.server import Call, Sandbox, serve


class Service:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._said: dict[str, list[list[str]]] = dict(sandbox.shelf.all("said"))
        sandbox.account_of = lambda call: call.request.url.path.split("/")[1]
        sandbox.on("POST", "/{name}", self.say)
        sandbox.on("GET", "/{name}", self.show)

    async def say(self, call: Call) -> Response:
        name = call.request.path_params["name"]
        try:
            told = json.loads(call.body)
            title, message = str(told["title"]), str(told["message"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "title and message are needed"}, 400)
        said = self._said.setdefault(name, [])
        said.append([title, message])
        self._sandbox.shelf.put("said", name, said)
        call.did("said", str(len(said)), title=title, message=message)
        return JSONResponse({"ok": True})

    async def show(self, call: Call) -> Response:
        name = call.request.path_params["name"]
        said = "".join(
            f"<li><strong>{escape(title)}</strong><pre>{escape(message)}</pre></li>"
            for title, message in reversed(self._said.get(name, []))
        )
        return HTMLResponse(
            f'<!DOCTYPE html><html lang="zh"><head><meta charset="utf-8"><title>{escape(name)}</title></head>'
            f"<body><main><h1>{escape(name)}</h1><ol>{said}</ol></main></body></html>"
        )


def build(sandbox: Sandbox) -> None:
    Service(sandbox)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
