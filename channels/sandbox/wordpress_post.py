"""Posts of the sandbox's WordPress: written, listed, trashed, deleted, with the rights and filters of who asks."""

from __future__ import annotations

from html import unescape
from typing import Any

from starlette.responses import JSONResponse, Response

from channels.sandbox.wordpress_door import Asked, Door, Refusal
from channels.sandbox.wordpress_text import POST_TAGS, TITLE_TAGS, kses, shown_content, shown_title, without
from channels.sandbox.wordpress_world import STATUSES, Post, instant, stamp

INVALID_ID = Refusal(404, "rest_post_invalid_id", "Invalid post ID.")


class PostCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("GET", "posts", self.list)
        door.on("POST", "posts", self.create)
        door.on("GET", r"posts/(\d+)", self.show)
        door.on("POST", r"posts/(\d+)", self.update)
        door.on("DELETE", r"posts/(\d+)", self.delete)
        door.on("GET", r"posts/(\d+)/revisions", self.revisions)

    # reading

    async def list(self, asked: Asked) -> Response:
        given, user = asked.given, asked.user
        wanted = str(given.get("status") or "publish").split(",")
        if wanted != ["publish"] and "edit_posts" not in user.can:
            # The parameter is refused before anybody asks for rights: 400, not 401.
            told = {
                "params": {"status": "Status is forbidden."},
                "details": {"status": {"code": "rest_forbidden_status"}},
            }
            raise Refusal(400, "rest_invalid_param", "Invalid parameter(s): status", **told)
        if asked.edits() and "edit_posts" not in user.can:
            raise user.refuse("rest_forbidden_context", "Sorry, you are not allowed to edit posts in this post type.")
        found = [post for post in self._world.of(asked.site, "post") if self._readable(asked, post)]
        found = [post for post in found if post.status in wanted or ("any" in wanted and post.status != "trash")]
        if slugs := str(given.get("slug") or ""):
            found = [post for post in found if post.slug in slugs.split(",")]
        found.sort(key=lambda post: (post.date, post.id), reverse=True)
        page = found[: int(given.get("per_page") or 10)]
        answer = JSONResponse([self.shown(asked, post) for post in page])
        answer.headers["X-WP-Total"] = str(len(found))
        return answer

    async def show(self, asked: Asked) -> Response:
        post = self._found(asked)
        if asked.edits():
            self._may(asked, post, "edit", "rest_forbidden_context")
        if not self._readable(asked, post):
            raise asked.user.refuse("rest_forbidden", "Sorry, you are not allowed to do that.")
        return JSONResponse(self.shown(asked, post))

    async def revisions(self, asked: Asked) -> Response:
        post = self._found(asked)
        self._may(asked, post, "edit", "rest_cannot_read")
        return JSONResponse(post.revisions)

    def _found(self, asked: Asked) -> Post:
        post = self._world.posts.get(int(asked.parts[0]))
        if post is None or post.site != asked.site or post.kind != "post":
            raise INVALID_ID
        return post

    def _readable(self, asked: Asked, post: Post) -> bool:
        mine = post.author == asked.user.name
        return post.status == "publish" or mine or "edit_others_posts" in asked.user.can

    def _may(self, asked: Asked, post: Post, act: str, code: str) -> None:
        """Raises Refusal unless the user may `edit` or `delete` this post."""
        others = "" if post.author == asked.user.name else "others_"
        public = "published_" if post.status in ("publish", "future") else ""
        if any(f"{act}_{kind}posts" not in asked.user.can for kind in {others, public}):
            raise asked.user.refuse(code, f"Sorry, you are not allowed to {act} this post.")

    # writing

    async def create(self, asked: Asked) -> Response:
        if asked.given.get("id"):
            raise Refusal(400, "rest_post_exists", "Cannot create existing post.")
        if "edit_posts" not in asked.user.can:
            raise asked.user.refuse("rest_cannot_create", "Sorry, you are not allowed to create posts as this user.")
        if not any(asked.given.get(name) for name in ("title", "content", "excerpt")):
            raise Refusal(400, "empty_content", "Content, title, and excerpt are empty.")
        post = Post(self._world.new_id(), asked.site, "post", asked.user.name)
        await self._write(asked, post, "draft", new=True)
        answer = JSONResponse(self.shown(asked, post, edits=True), 201)
        answer.headers["Location"] = f"{self._door.api(asked.site)}wp/v2/posts/{post.id}"
        return answer

    async def update(self, asked: Asked) -> Response:
        post = self._found(asked)
        self._may(asked, post, "edit", "rest_cannot_edit")
        await self._write(asked, post, post.status, new=False)
        return JSONResponse(self.shown(asked, post, edits=True))

    async def _write(self, asked: Asked, post: Post, before: str, *, new: bool) -> None:
        """The rules of a save. Unknown statuses become drafts and unknown meta keys are dropped, without a word."""
        given, door = asked.given, self._door
        status = str(given.get("status", before))
        if status in ("publish", "future", "private") and status != before and "publish_posts" not in asked.user.can:
            raise asked.user.refuse("rest_cannot_publish", "Sorry, you are not allowed to publish posts.")
        status = status if status in STATUSES else "draft"
        if door.set("moderates", asked.site) and status == "publish" and before != "publish":
            status = "pending"
        at = _date(given)
        texts = {name: self._filtered(asked, name) for name in ("title", "content", "excerpt") if name in given}
        if not new and {**_texts(post), **texts} != _texts(post):
            post.revisions.insert(0, {"id": len(post.revisions) + 1, "date_gmt": stamp(post.modified), **_texts(post)})
        for name, text in texts.items():
            setattr(post, name, text)
        if "categories" in given:
            post.terms = [int(term) for term in given["categories"]]
        if "featured_media" in given:
            post.featured = int(given["featured_media"] or 0)
        if before == "trash" and status != "trash":
            self._world.untrash(post)
        reset = "date_gmt" in given and given["date_gmt"] is None
        self._world.place(post, status, at, door.now(asked.site), reset=reset)
        self._world.name(post, given.get("slug"), draft_too=not door.set("old_drafts", asked.site))
        self._world.keep(post)
        await self._tell(asked, post, before, new)

    async def _tell(self, asked: Asked, post: Post, before: str, new: bool) -> None:
        """What it was, for the record; of what became public the plug-ins hear before the answer leaves."""
        ref, call = str(post.id), asked.call
        if post.status == "publish" and before != "publish":
            call.did("published", ref, title=plain(post.title), link=self.link(post), date=stamp(post.date))
            await self._door.hooks(call)
        elif before == "publish" and post.status != "publish":
            call.did("unpublished", ref, status=post.status)
        elif post.status == "future" and before != "future":
            call.did("scheduled", ref, date=stamp(post.date))
        elif new:
            call.did("draft_created", ref, slug=post.slug)
        else:
            call.did("post_edited" if post.status == "publish" else "post_updated", ref, title=plain(post.title))

    def _filtered(self, asked: Asked, name: str) -> str:
        """A text as it is stored for this user."""
        value = asked.given[name]
        text = str(value.get("raw", "") if isinstance(value, dict) else value).strip()
        for knob in self._door.sandbox.knobs.standing("strip", asked.site):
            text = without(text, list(knob.parameters["tags"]))
        if "unfiltered_html" in asked.user.can:
            return text
        return kses(text, TITLE_TAGS if name == "title" else POST_TAGS)

    async def delete(self, asked: Asked) -> Response:
        post = self._found(asked)
        self._may(asked, post, "delete", "rest_cannot_delete")
        if str(asked.given.get("force", "")).lower() in ("true", "1"):
            previous = self.shown(asked, post, edits=True)
            self._world.forget(post)
            asked.call.did("post_deleted", str(post.id), status=post.status)
            return JSONResponse({"deleted": True, "previous": previous})
        if self._door.set("no_trash", asked.site):
            raise Refusal(501, "rest_trash_not_supported", "The post does not support trashing. Set 'force=true'.")
        if post.status == "trash":
            raise Refusal(410, "rest_already_trashed", "The post has already been deleted.")
        self._world.trash(post, self._door.now(asked.site))
        self._world.keep(post)
        asked.call.did("post_trashed", str(post.id))
        return JSONResponse(self.shown(asked, post, edits=True))

    # as it is told

    def link(self, post: Post) -> str:
        """Its permalink; of what is not public the plain one."""
        home = self._door.home(post.site)
        if self._door.set("plain_permalinks", post.site) or post.status not in ("publish", "private"):
            return f"{home}/?p={post.id}"
        dated = f"{stamp(post.date)[:10].replace('-', '/')}/" if self._door.set("dated_permalinks", post.site) else ""
        return f"{home}/{dated}{post.slug}/"

    def shown(self, asked: Asked, post: Post, *, edits: bool = False) -> dict[str, Any]:
        edits = edits or asked.edits()
        told: dict[str, Any] = {
            "id": post.id,
            "date": stamp(post.date),
            "date_gmt": stamp(post.date),
            "guid": {"rendered": f"{self._door.home(post.site)}/?p={post.id}"},
            "modified": stamp(post.modified),
            "modified_gmt": stamp(post.modified),
            "slug": post.slug,
            "status": post.status,
            "type": "post",
            "link": self.link(post),
            "title": {"rendered": shown_title(post.title)},
            "content": {"rendered": shown_content(post.content), "protected": False},
            "excerpt": {"rendered": f"<p>{shown_title(post.excerpt)}</p>\n", "protected": False},
            "author": 1,
            "featured_media": post.featured,
            "categories": post.terms,
            "meta": [],
        }
        if not edits:
            return self.altered(post.site, told) if asked.user.name == "" else told
        for name, text in _texts(post).items():
            told[name]["raw"] = text
        slug = "%postname%"
        told |= {
            "password": "",
            "permalink_template": f"{self._door.home(post.site)}/{slug}/",
            "generated_slug": post.slug,
        }
        return told

    def altered(self, site: str, told: dict[str, Any]) -> dict[str, Any]:
        """As the public sees it when a change is planted."""
        for name in ("title", "content"):
            told[name]["rendered"] = self.public(site, told[name]["rendered"], "api")
        return told

    def public(self, site: str, html: str, where: str) -> str:
        for knob in self._door.sandbox.knobs.standing("alter", site):
            if knob.parameters.get("only", where) == where:
                html = html.replace(*knob.parameters["replace"])
        if self._door.set("drop_cell", site):
            begins, ends = html.find("<td>"), html.find("</td>")
            html = html if begins < 0 else html[:begins] + html[ends + len("</td>") :]
        return html


def plain(title: str) -> str:
    """A title as a reader sees it."""
    return unescape(title)


def _texts(post: Post) -> dict[str, str]:
    return {"title": post.title, "content": post.content, "excerpt": post.excerpt}


def _date(given: Any) -> int | None:
    """`date_gmt`, or `date`, this site's zone being UTC. Raises Refusal."""
    value = given.get("date") or given.get("date_gmt")
    if not value:
        return None
    try:
        return instant(str(value))
    except ValueError:
        raise Refusal(
            400, "rest_invalid_param", "Invalid parameter(s): date", params={"date": "Invalid date."}
        ) from None
