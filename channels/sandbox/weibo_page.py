"""What the public finds of the sandbox's Weibo: the mobile page and what its script reads, short links, pictures."""

from __future__ import annotations

from html import escape
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from channels.sandbox.server import Call, now
from channels.sandbox.weibo_door import Door
from channels.sandbox.weibo_text import page_html, short_id
from channels.sandbox.weibo_world import DELETED, Post, inverted, written

GONE, FORBIDDEN = ("20101", "该微博不存在"), ("20112", "暂无查看权限")


class Page:
    """Nothing here is counted, and no credentials are looked at."""

    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.sandbox.on("GET", "/statuses/show", self.show)
        door.sandbox.on("GET", "/status/{mid}", self.mobile)
        door.sandbox.on("GET", "/{uid:int}/{bid}", self.desktop)
        door.sandbox.on("GET", "/t.cn/{code}", self.short)
        door.sandbox.on("GET", "/sinaurl", self.leave)
        door.sandbox.on("GET", "/large/{file}", self.picture)

    async def show(self, call: Call) -> Response:
        post = self._world.posts.get(call.request.query_params.get("id", ""))
        user = post.user if post else ""
        for knob in self._door.sandbox.knobs.standing("wall", user):
            if knob.parameters.get("status", 200) != 200:
                return HTMLResponse("<title>Sina Visitor System</title>", int(knob.parameters["status"]))
            return JSONResponse({"ok": -100, "url": "https://passport.weibo.com/visitor/visitor"})
        if post and post.deleted and self._door.set("notices", call, user):
            return JSONResponse({"ok": 1, "data": self._world.shown(post)})
        if refused := self._unseen(post, call):
            return JSONResponse({"ok": 0, "errno": refused[0], "msg": refused[1]})
        assert post is not None
        return JSONResponse({"ok": 1, "data": self._data(post, call)})

    def _unseen(self, post: Post | None, call: Call) -> tuple[str, str] | None:
        """Why a stranger does not see it; None when it is to be seen."""
        if post is None or post.deleted or post.at + self._door.time("lag", post.user, 0) > now():
            return GONE
        return FORBIDDEN if self._door.set("hide", call, post.user) else None

    def _data(self, post: Post, call: Call) -> dict[str, Any]:
        address = self._world.address
        wrapper = f"{address}/sinaurl" if self._door.set("sinaurl", call, post.user) else ""
        pictures = [{"pid": post.mid, "url": f"{address}/large/{post.picture}"}] if post.picture else []
        return {
            "created_at": written(post.at),
            "id": post.mid,
            "mid": post.mid,
            "bid": short_id(post.mid),
            "text": page_html(self._public_text(post), self._world.short, wrapper),
            "pic_ids": [post.mid for _ in pictures],
            "pics": [{**one, "large": {"size": "large", "url": one["url"]}} for one in pictures],
            "user": {"id": int(self._world.uid(post.user)), "screen_name": post.user},
        }

    def _public_text(self, post: Post) -> str:
        text = post.text
        for knob in self._door.sandbox.knobs.standing("alter", post.user):
            before, after = knob.parameters["replace"]
            text = text.replace(before, after)
        return text

    async def mobile(self, call: Call) -> Response:
        return self._html(self._world.posts.get(call.request.path_params["mid"]), call)

    async def desktop(self, call: Call) -> Response:
        return self._html(self._world.by_short_id(call.request.path_params["bid"]), call)

    def _html(self, post: Post | None, call: Call) -> Response:
        """For the eye; Weibo's own page is built by a script out of `show`."""
        if self._unseen(post, call):
            return HTMLResponse(f"<h1>{DELETED}</h1>", 404)
        assert post is not None
        shown = self._data(post, call)
        pictures = "".join(f'<img src="{one["large"]["url"]}" alt="">' for one in shown["pics"])
        return HTMLResponse(
            f'<!doctype html><html lang="zh"><head><meta charset="utf-8"><title>{escape(post.user)}的微博</title>'
            "<style>body{max-width:40rem;margin:2rem auto;font-family:sans-serif}img{max-width:100%}</style></head>"
            f"<body><article>{shown['text']}<div>{pictures}</div></article></body></html>"
        )

    async def short(self, call: Call) -> Response:
        link = self._world.short_links.get(call.request.path_params["code"])
        if link is None:
            return HTMLResponse("<h1>404</h1>", 404)
        if self._door.sandbox.knobs.standing("warn"):
            return HTMLResponse(f"<p>将要访问 {escape(link)}</p>")
        return RedirectResponse(link, 302)

    async def leave(self, call: Call) -> Response:
        return RedirectResponse(call.request.query_params.get("u", "/"), 302)

    async def picture(self, call: Call) -> Response:
        name = call.request.path_params["file"]
        content = self._world.pictures.get(name)
        if content is None:
            return Response(status_code=404)
        post = self._world.posts.get(name.partition(".")[0])
        if post and self._door.set("swap_picture", call, post.user):
            content = inverted(content)
        kind = name.rpartition(".")[2]
        return Response(content, media_type=f"image/{'jpeg' if kind == 'jpg' else kind}")
