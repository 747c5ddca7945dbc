"""A platform without an interface for publishers, and the person who serves it there.

What anybody may read: `GET /NAME/pages/N`, and `GET /NAME`, the account's list. What the person does by hand,
with nothing asked of them but the account's name:

    POST   /NAME/pages      {"title", "html", "pictures": {address in the html: base64}} → {"url"}
    PUT    /NAME/pages/N    the same, in the place of what is there
    DELETE /NAME/pages/N
    POST   /NAME/paste      the same as a form with the fields title and html, for people with a browser

Each post makes another page. Settings (knobs): `unmarked` no microdata · `soft_404` what is gone answers 200 ·
`walled` everything sends to a log-in page · `alter`, `drop_cell`, `swap_picture` as elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from html import escape
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from channels.sandbox.pages import another_picture
from channels.sandbox.server import Call, Sandbox, serve
from channels.sandbox.webhook_view import altered, page

NOWHERE = "<!DOCTYPE html><html><head><title>资讯号</title></head><body><main><h1>内容不存在</h1></main></body></html>"
LOGIN = "<!DOCTYPE html><html><head><title>登录</title></head><body><main><h1>请登录后查看</h1></main></body></html>"
FORM = """<form method="post" action="/{name}/paste"><p><label>标题 <input name="title" required></label></p>
<p><label>正文 HTML <textarea name="html" rows="12" cols="60" required></textarea></label></p>
<p><button>发布</button></p></form>"""


class Platform:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._pages: dict[tuple[str, str], dict[str, Any] | None] = {}
        for name, ref, kept in sandbox.shelf.all("page").values():
            self._pages[name, ref] = kept
        sandbox.account_of = lambda call: call.request.url.path.split("/")[1]
        sandbox.on("GET", "/{name}", self.account)
        sandbox.on("POST", "/{name}/paste", self.paste)
        sandbox.on("POST", "/{name}/pages", self.write)
        sandbox.on("PUT", "/{name}/pages/{ref}", self.write)
        sandbox.on("DELETE", "/{name}/pages/{ref}", self.remove)
        sandbox.on("GET", "/{name}/pages/{ref}", self.show)
        sandbox.on("GET", "/{name}/pages/{ref}/{picture:path}", self.picture)

    def _set(self, setting: str, name: str) -> bool:
        return bool(self._sandbox.knobs.standing(setting, name))

    def _keep(self, name: str, ref: str, kept: dict[str, Any] | None) -> str:
        self._pages[name, ref] = kept
        self._sandbox.shelf.put("page", f"{name} {ref}", [name, ref, kept])
        return f"{self._sandbox.address}/{name}/pages/{ref}"

    async def write(self, call: Call) -> Response:
        name, ref = call.request.path_params["name"], call.request.path_params.get("ref")
        if ref is not None and self._pages.get((name, ref)) is None:
            return JSONResponse({"error": "no such page"}, 404)
        try:
            given = json.loads(call.body)
            pictures = {str(at): str(content) for at, content in given.get("pictures", {}).items()}
            for content in pictures.values():
                base64.b64decode(content, validate=True)
            kept = {"title": str(given["title"]), "html": str(given["html"]), "pictures": pictures}
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            return JSONResponse({"error": "title, html, and pictures in base64 are needed"}, 422)
        effect = "published" if ref is None else "updated"
        ref = ref or str(len(self._pages) + 1)
        url = self._keep(name, ref, kept)
        call.did(effect, ref, title=kept["title"])
        return JSONResponse({"url": url})

    async def paste(self, call: Call) -> Response:
        name, form = call.request.path_params["name"], await call.request.form()
        ref = str(len(self._pages) + 1)
        kept = {"title": str(form.get("title", "")), "html": str(form.get("html", "")), "pictures": {}}
        url = self._keep(name, ref, kept)
        call.did("published", ref, title=kept["title"])
        return RedirectResponse(url, 303)

    async def remove(self, call: Call) -> Response:
        name, ref = call.request.path_params["name"], call.request.path_params["ref"]
        if self._pages.get((name, ref)) is None:
            return JSONResponse({"error": "no such page"}, 404)
        self._keep(name, ref, None)
        call.did("withdrawn", ref)
        return Response(status_code=204)

    async def account(self, call: Call) -> Response:
        name = call.request.path_params["name"]
        there = [(ref, kept) for (whose, ref), kept in self._pages.items() if whose == name and kept is not None]
        listed = "".join(f'<li><a href="/{name}/pages/{ref}">{escape(kept["title"])}</a></li>' for ref, kept in there)
        return HTMLResponse(
            f'<!DOCTYPE html><html lang="zh"><head><meta charset="utf-8"><title>{escape(name)}</title></head>'
            f"<body><main><h1>{escape(name)}</h1><ul>{listed}</ul>{FORM.format(name=escape(name))}</main></body></html>"
        )

    async def show(self, call: Call) -> Response:
        name, ref = call.request.path_params["name"], call.request.path_params["ref"]
        if self._set("walled", name):
            return HTMLResponse(LOGIN)
        kept = self._pages.get((name, ref))
        if kept is None:
            return HTMLResponse(NOWHERE, 200 if self._set("soft_404", name) else 404)
        html = kept["html"]
        for address in kept["pictures"]:
            html = html.replace(f'src="{escape(address)}"', f'src="/{name}/pages/{ref}/{escape(address)}"')
        planted = [knob for fault in ("alter", "drop_cell", "swap_picture") for knob in self._standing(fault, name)]
        text, title = (altered(part, planted, f"/{name}/pages/{ref}/another") for part in (html, kept["title"]))
        return HTMLResponse(page({}, text, title, marked=not self._set("unmarked", name)))

    def _standing(self, fault: str, name: str) -> list[Any]:
        return list(self._sandbox.knobs.standing(fault, name))

    async def picture(self, call: Call) -> Response:
        name, ref, wanted = (call.request.path_params[one] for one in ("name", "ref", "picture"))
        kept = self._pages.get((name, ref))
        if wanted == "another":
            return Response(another_picture(), media_type="image/png")
        if kept is None or wanted not in kept["pictures"]:
            return Response(status_code=404)
        return Response(base64.b64decode(kept["pictures"][wanted]), media_type="application/octet-stream")


def build(sandbox: Sandbox) -> None:
    Platform(sandbox)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
