"""The public side of the sandbox's Ghost sites: pages after the usual theme, previews of drafts, pictures.

Planted changes (`alter`, `drop_cell`, `swap_picture`) and what a cache does (`lag`, `vanish`) show here only.
"""

from __future__ import annotations

import re
from html import escape

from starlette.responses import HTMLResponse, RedirectResponse, Response

from channels.sandbox.ghost_door import Door
from channels.sandbox.ghost_html import tagged
from channels.sandbox.ghost_world import SECOND, Post
from channels.sandbox.pages import another_picture
from channels.sandbox.server import Call, now

GENERATOR = "Ghost 6.65"


class SiteCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        on = door.sandbox.on
        on("GET", "/{site}/", self.home)
        on("GET", "/{site}/content/images/{path:path}", self.image)
        on("GET", "/{site}/p/{uuid}/", self.preview)
        on("GET", "/{site}/{slug}/", self.page)
        on("GET", "/{site}/{rest:path}", self.other)

    async def home(self, call: Call) -> Response:
        """The newest by their date, whatever was published last."""
        await self._door.land(call)
        public = [post for post in self._world.of(call.account) if self._is_seen(post)]
        public.sort(key=lambda post: post.published_at or 0, reverse=True)
        cards = "".join(
            f'<article class="gh-card"><h3><a href="{self._world.url(p)}">{escape(p.title)}</a></h3></article>'
            for p in public
        )
        return HTMLResponse(_framed(call.account, call.account, "", f'<main class="gh-main">{cards}</main>'))

    async def page(self, call: Call) -> Response:
        await self._door.land(call)
        slug = call.request.path_params["slug"]
        post = next((p for p in self._world.of(call.account) if p.slug == slug and self._is_seen(p)), None)
        return self._nothing(call) if post is None else HTMLResponse(self._altered(post, self._shown(post)))

    async def preview(self, call: Call) -> Response:
        """Of what is not public, for whoever knows its address; of what is public it leads there."""
        post = next((p for p in self._world.of(call.account) if p.uuid == call.request.path_params["uuid"]), None)
        if post is None or post.status == "sent":
            return self._nothing(call)
        if post.status == "published":
            return RedirectResponse(self._world.url(post), 301)
        return HTMLResponse(self._shown(post))

    async def image(self, call: Call) -> Response:
        found = self._world.images.get(f"{call.account}/{call.request.path_params['path']}")
        if found is None:
            return self._nothing(call)
        kind, content = found
        if self._door.set("swap_picture", call.account):
            return Response(another_picture(), media_type="image/png")
        return Response(content, media_type=kind)

    async def other(self, call: Call) -> Response:
        path = call.request.url.path
        if path.endswith("/") or "." in path.rpartition("/")[2]:
            return self._nothing(call)
        return RedirectResponse(str(call.request.url.replace(path=f"{path}/")), 301)

    def _is_seen(self, post: Post) -> bool:
        """Published, and not hidden by a cache that is behind or by a purge that went too far."""
        age = now() - post.live_since
        lags = [k.parameters["seconds"] * SECOND for k in self._door.sandbox.knobs.standing("lag", post.site)]
        ends = [k.parameters["seconds"] * SECOND for k in self._door.sandbox.knobs.standing("vanish", post.site)]
        return post.status == "published" and all(age >= one for one in lags) and all(age < one for one in ends)

    def _shown(self, post: Post) -> str:
        html = post.html
        if not self._door.set("untagged", post.site):
            html = tagged(html, self._world.home(post.site))
        if post.visibility != "public" and post.status == "published":
            whom = "paying subscribers" if post.visibility == "paid" else "subscribers"
            html = f'<aside class="gh-post-upgrade-cta"><h2>This post is for {whom} only</h2></aside>'
        excerpt = escape(post.custom_excerpt or "")
        image, alt = escape(post.feature_image or ""), escape(post.feature_image_alt or "")
        meta = f'<meta property="og:title" content="{escape(post.meta_title or post.title)}">'
        if post.meta_description or excerpt:
            meta += f'<meta name="description" content="{escape(post.meta_description or "") or excerpt}">'
        if image:
            meta += f'<meta property="og:image" content="{image}">'
        lead = f'<p class="gh-article-excerpt is-body">{excerpt}</p>' if excerpt else ""
        lead += f'<figure class="gh-article-image"><img src="{image}" alt="{alt}"></figure>' if image else ""
        return _framed(
            post.site,
            post.meta_title or post.title,
            meta + (post.codeinjection_head or ""),
            '<main id="site-main" class="gh-main"><article class="gh-article post">'
            '<header class="gh-article-header gh-canvas">'
            f'<h1 class="gh-article-title is-title">{escape(post.title)}</h1>'
            f'{lead}</header><section class="gh-content gh-canvas is-body">{html}</section></article></main>',
        )

    def _altered(self, post: Post, page: str) -> str:
        for knob in self._door.sandbox.knobs.standing("alter", post.site):
            page = page.replace(*knob.parameters["replace"])
        if self._door.set("drop_cell", post.site):
            page = re.sub(r"<td\b.*?</td>", "", page, count=1, flags=re.DOTALL)
        return page

    def _nothing(self, call: Call) -> Response:
        main = '<main class="gh-main"><h1 class="error-code">404</h1><p>Page not found</p></main>'
        return HTMLResponse(_framed(call.account, "404", "", main), 404)


def _framed(site: str, title: str, meta: str, main: str) -> str:
    return (
        f'<!DOCTYPE html><html lang="zh"><head><meta charset="utf-8"><title>{escape(title)}</title>{meta}'
        f'<meta name="generator" content="{GENERATOR}"></head><body class="post-template">'
        f'<header class="gh-navigation"><a href="/{escape(site)}/">{escape(site)}</a></header>'
        f'{main}<footer class="gh-footer"><a href="https://ghost.org/">Powered by Ghost</a></footer></body></html>'
    )
