"""A server of WordPress sites as far as a publisher meets them. Facts: the fact sheet on WordPress, all of it.

`/NAME/` is a site of its own, which exists from its first use. Its users are called by their roles (`administrator`,
`editor`, `author`, `contributor`, `subscriber`, or names that begin so); their application password is `sandbox NAME`.
Settings (knobs), for a site by `account`:

    html_page         the next matching call of the API is answered with `status` (500) and a page of HTML, not applied
    max_body          a call larger than `bytes` is 413, by the web server
    largest_upload    a file larger than `bytes` is refused, by WordPress
    notices           PHP warnings stand before every JSON answer
    strip_authorization   the server drops the header
    revoke            the application password is no longer valid; without `tells_password` the caller is nobody
    tells_password    wrong credentials are told as such
    closed_rest       the API is for users only, as a plug-in refuses it (`code`)
    no_api            a plug-in switched the API off: 404 and a page, at all of its addresses
    multisite         editors, too, are filtered
    strip             a plug-in removes `tags` from whatever anybody stores
    clock             the site's clock is `seconds` ahead (negative: behind)
    slow_hooks        plug-ins take `seconds` after something became public, before the answer
    moderates         a plug-in makes "publish" pending
    cron              planned posts appear with the next visit of a page: `seconds` late, or `never`
    page_cache        pages and anonymous answers of the API are served again as they were first read, for `seconds`
    plain_permalinks, dated_permalinks, no_link_header
    no_trash, old_drafts (drafts keep a slug that is taken, as older versions do), blind_search (of categories)
    fatal_after_upload   the next file is stored, and the answer is 500
    alter             the public sees `replace[1]` where the text has `replace[0]`; `only` on a "page" or by the "api"
    drop_cell, swap_picture   the public sees a table without its first cell, other pictures
    bare_theme        the theme shows the text without the elements around it
    vanish            a post is gone `seconds` after it was published
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
import sys
from html import escape

from starlette.responses import HTMLResponse, RedirectResponse, Response

from channels.sandbox.server import Call, Sandbox, serve
from channels.sandbox.wordpress_door import Door
from channels.sandbox.wordpress_media import MediaCalls, SiteCalls
from channels.sandbox.wordpress_post import PostCalls, plain
from channels.sandbox.wordpress_text import in_path, shown_content, shown_title
from channels.sandbox.wordpress_world import SECOND, Post, stamp, swapped

NOT_FOUND = "<h1>Page not found</h1><p>It looks like nothing was found here.</p>"


class PublicPages:
    """What anybody gets: pages of a theme, files, the feed. A visit is what makes planned posts appear."""

    def __init__(self, door: Door, posts: PostCalls) -> None:
        self._door, self._world, self._posts = door, door.world, posts
        door.sandbox.on("GET", "/{site}/wp-content/uploads/{path:path}", self.file)
        door.sandbox.on("GET", "/{site}/feed/", self.feed)
        door.sandbox.on("GET", "/{site}/", self.page)
        door.sandbox.on("GET", "/{site}/{path:path}", self.page)

    async def page(self, call: Call) -> Response:
        """A page, or the API by its plain form."""
        if "rest_route" in call.request.query_params:
            return await self._door.rest(call, call.request.query_params["rest_route"].lstrip("/"))
        self._cron(call)
        return await self._door.remembered(call, self._page)

    def _cron(self, call: Call) -> None:
        site, knobs = call.account, self._door.sandbox.knobs.standing("cron", call.account)
        late = round(float(knobs[0].parameters.get("seconds", 0)) * SECOND) if knobs else 0
        if knobs and knobs[0].parameters.get("never"):
            return
        for post in self._world.of(site, "post"):
            if post.status == "future" and post.date + late <= self._door.now(site):
                self._world.place(post, "publish", None, self._door.now(site))
                self._world.name(post, None, draft_too=False)
                self._world.keep(post)
                call.did("published", str(post.id), title=plain(post.title), link=self._posts.link(post), by="cron")

    async def _page(self, call: Call) -> Response:
        site, path = call.account, in_path(str(call.request.path_params.get("path", "")))
        public = {post.slug: post for post in self._public(site)}
        name = path.strip("/").rpartition("/")[2]
        if asked := call.request.query_params.get("p"):
            post = self._world.posts.get(int(asked)) if asked.isdigit() else None
            found = post if post is not None and public.get(post.slug) is post else None
        elif not path:
            return self._home(site)
        else:
            found = public.get(name)
        if found is not None and (asked or path.strip("/") == self._path(found)):
            return HTMLResponse(self._article(found))
        if found is not None:
            return RedirectResponse(self._posts.link(found), 301)
        guess = next((post for slug, post in public.items() if name and slug.startswith(name)), None)
        if guess is not None:  # an address that is nearly one leads there
            return RedirectResponse(self._posts.link(guess), 301)
        return HTMLResponse(self._theme(site, "Page not found", NOT_FOUND), 404)

    def _path(self, post: Post) -> str:
        return self._posts.link(post).removeprefix(f"{self._door.home(post.site)}/").strip("/")

    def _public(self, site: str) -> list[Post]:
        vanish = self._door.sandbox.knobs.standing("vanish", site)
        gone = min((round(float(knob.parameters["seconds"]) * SECOND) for knob in vanish), default=None)
        found = [post for post in self._world.of(site, "post") if post.status == "publish"]
        return [post for post in found if gone is None or post.modified + gone > self._door.now(site)]

    def _article(self, post: Post) -> str:
        """As a theme shows it: title as it is stored, the filtered text, and much around it."""
        content = shown_content(post.content)
        if self._door.set("bare_theme", post.site):
            content = re.sub(r"</?div\b[^>]*>", "", content)
        cover = self._world.posts.get(post.featured)
        picture = f'<img class="wp-post-image" src="{self._url(cover)}" alt="">' if cover else ""
        others = "".join(
            f'<li><a href="{self._posts.link(one)}">{shown_title(one.title)}</a></li>'
            for one in self._public(post.site)
            if one is not post
        )
        inner = (
            f'<article id="post-{post.id}" class="post type-post">{picture}<header class="entry-header">'
            f'<h1 class="entry-title">{shown_title(post.title)}</h1>'
            f'<time class="entry-date" datetime="{stamp(post.date)}">{stamp(post.date)[:10]}</time></header>'
            f'<div class="entry-content">{content}<div class="share"><a href="#">Share</a></div></div></article>'
            f"<aside><h2>Recent posts 06:30</h2><ul>{others}</ul></aside>"
        )
        head = f'<link rel="canonical" href="{self._posts.link(post)}">'
        return self._posts.public(post.site, self._theme(post.site, plain(post.title), inner, head), "page")

    def _home(self, site: str) -> Response:
        entries = "".join(
            f'<article><h2 class="entry-title"><a href="{self._posts.link(post)}">{shown_title(post.title)}</a></h2>'
            "</article>"
            for post in self._public(site)
        )
        answer = HTMLResponse(self._theme(site, site, entries))
        if not self._door.set("no_link_header", site):
            answer.headers["Link"] = f'<{self._door.api(site)}>; rel="https://api.w.org/"'
        return answer

    def _theme(self, site: str, title: str, inner: str, head: str = "") -> str:
        head = f'<meta charset="utf-8"><title>{escape(title)} – {site}</title>{head}'
        top = (
            f'<p class="site-title"><a href="{self._door.home(site)}/">{site}</a></p><nav><ul><li>Home</li></ul></nav>'
        )
        body = f"<header>{top}</header><main>{inner}</main><footer>Proudly powered by WordPress</footer>"
        return f'<!doctype html><html lang="zh-CN"><head>{head}</head><body>{body}</body></html>'

    def _url(self, file: Post) -> str:
        return f"{self._door.home(file.site)}/wp-content/uploads/{file.file.partition('/')[2]}"

    async def file(self, call: Call) -> Response:
        """Of a hidden post, too: whoever knows the address gets it."""
        content = self._world.files.get(f"{call.account}/{call.request.path_params['path']}")
        if content is None:
            return HTMLResponse(NOT_FOUND, 404)
        kind = mimetypes.guess_type(call.path)[0] or "application/octet-stream"
        if kind.startswith("image/") and self._door.set("swap_picture", call.account):
            content = swapped(content)
        return Response(content, media_type=kind)

    async def feed(self, call: Call) -> Response:
        """The guid of an entry is `?p=ID` and does not follow the slug."""
        self._cron(call)
        items = "".join(
            f"<item><title>{escape(plain(post.title))}</title><link>{self._posts.link(post)}</link>"
            f'<guid isPermaLink="false">{self._door.home(post.site)}/?p={post.id}</guid></item>'
            for post in sorted(self._public(call.account), key=lambda post: post.date, reverse=True)[:10]
        )
        channel = f"<channel><title>{call.account}</title>{items}</channel>"
        body = f'<?xml version="1.0" encoding="UTF-8"?><rss version="2.0">{channel}</rss>'
        tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'
        if call.request.headers.get("If-None-Match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(body, headers={"ETag": tag}, media_type="application/rss+xml")


def build(sandbox: Sandbox) -> None:
    """Everything a WordPress server needs to be."""
    door = Door(sandbox)
    posts = PostCalls(door)
    MediaCalls(door, posts)
    SiteCalls(door)
    PublicPages(door, posts)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
