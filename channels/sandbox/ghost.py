"""Ghost as far as a publisher meets it: the Admin API, and the pages. Facts: the fact sheet on Ghost (6.65).

`/NAME` is the site of account NAME (see `ghost_door`): `/NAME/ghost/api/admin/…`, `/NAME/SLUG/`. A taken slug
becomes `-2`; a save whose `updated_at` is not the stored one is refused if it changes anything; times are whole
seconds. `newsletter=weekly` with the change of status mails the post, once: then `email` is on the post, and
`mailed` in the record. Settings (knobs):

    skew            the server's clock is `seconds` ahead
    revoke          the key was made anew: nobody knows the old one
    moved           every call of the API answers 301 to `to`, as at a wrong domain or by http
    members         posts are for members unless they say otherwise
    no_source       `source=html` is ignored
    no_cards        HTML cards are unknown to the conversion
    doubles         a create is made twice, and the later one is the answer
    untagged        links are left as they are
    alter           the public sees `replace[1]` where the page has `replace[0]`
    drop_cell, swap_picture   the public sees one table cell less, other pictures
    lag, vanish     the page is not there before, or any more, `seconds` after it was published
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from PIL import Image
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from channels.sandbox.ghost_door import Door, Refusal, invalid, not_found
from channels.sandbox.ghost_html import converted, document
from channels.sandbox.ghost_site import GENERATOR, SiteCalls
from channels.sandbox.ghost_world import NEWSLETTERS, SECOND, Post, instant, publish, slug_of
from channels.sandbox.server import Call, Sandbox, serve

STATUSES = ("draft", "published", "scheduled", "sent")
SOONEST = 120 * SECOND  # until a date may be scheduled for
PLAIN = {"title", "custom_excerpt", "feature_image", "feature_image_alt", "canonical_url", "meta_title"}
PLAIN |= {"meta_description", "codeinjection_head", "codeinjection_foot"}
LENGTHS = {"title": 255, "slug": 191, "custom_excerpt": 300, "feature_image_alt": 191, "meta_title": 300}
IMAGES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
WIDEST = 2000  # pixels; wider ones are scaled when they are stored
CLAUSE = re.compile(r"(slug|tag|id):'?([\w-]+)'?")


class PostCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("GET", "site/", self.site, keyed=False)
        door.on("GET", "newsletters/", self.newsletters)
        door.on("POST", "images/upload/", self.upload)
        door.on("GET", "posts/", self.browse)
        door.on("POST", "posts/", self.create)
        door.on("GET", "posts/slug/{slug}/", self.read)
        door.on("GET", "posts/{id}/", self.read)
        door.on("PUT", "posts/{id}/", self.edit)
        door.on("DELETE", "posts/{id}/", self.delete)

    async def site(self, call: Call) -> Response:
        home = f"{self._world.home(call.account)}/"
        return JSONResponse({"site": {"title": call.account, "url": home, "version": GENERATOR.partition(" ")[2]}})

    async def newsletters(self, call: Call) -> Response:
        return JSONResponse({"newsletters": [{"slug": slug, "status": NEWSLETTERS[slug]} for slug in NEWSLETTERS]})

    async def browse(self, call: Call) -> Response:
        """Drafts too. Of the filters: `slug`, `tag` and `id`, one or several of which any may hold."""
        asked = call.request.query_params
        clauses = [CLAUSE.fullmatch(part) for part in asked.get("filter", "").split(",") if part]
        if None in clauses:
            raise Refusal(400, "BadRequestError", "Error parsing filter", None, asked.get("filter"))
        found = [
            post
            for post in reversed(self._world.of(call.account))
            if not clauses or any(_holds(post, match[1], match[2]) for match in clauses if match)
        ]
        limit = min(int(asked.get("limit") or 15), 100)
        pages = {"page": 1, "limit": limit, "total": len(found)}
        return JSONResponse({"posts": [self._shown(call, p) for p in found[:limit]], "meta": {"pagination": pages}})

    async def read(self, call: Call) -> Response:
        return self._answer(call, self._found(call))

    async def create(self, call: Call) -> Response:
        at = self._door.clock(call.account)
        post = self._world.new(call.account, at)
        post.visibility = "members" if self._door.set("members", call.account) else "public"
        given = _given(call)
        if not str(given.get("title") or "").strip():
            raise invalid("Validation (isEmpty) failed for title")
        made = self._changed(call, replace(post), given)
        if self._door.set("doubles", call.account):
            twin = replace(made, id=self._world.new(call.account, at - 1).id)
            self._world.keep(twin)
            made.slug = self._world.free_slug(made, made.slug)
            call.detail["double"] = twin.id
        self._settled(call, post, made, at)
        self._world.keep(made)
        call.did("post_published" if made.status in ("published", "sent") else "post_created", made.id, slug=made.slug)
        return self._answer(call, made, 201)

    async def edit(self, call: Call) -> Response:
        """What is left out stays. Refused when it changes anything, and was read before the last save."""
        before, given, at = self._found(call), _given(call), self._door.clock(call.account)
        if "updated_at" not in given:
            raise invalid("Validation (isEmpty) failed for updated_at")
        after = self._changed(call, replace(before), given)
        effect = self._settled(call, before, after, at)
        differs = after.differs(before)
        if differs and instant(given["updated_at"]) != before.updated_at:
            message = "Saving failed! Someone else is editing this post."
            raise Refusal(409, "UpdateCollisionError", message, "UPDATE_COLLISION")
        if differs:
            after.updated_at = at - at % SECOND
            self._world.keep(after)
            call.did(effect, after.id, changed=sorted(differs), slug=after.slug)
        return self._answer(call, after)

    async def delete(self, call: Call) -> Response:
        """For good."""
        post = self._found(call)
        self._world.drop(post)
        call.did("post_deleted", post.id)
        return Response(status_code=204)

    async def upload(self, call: Call) -> Response:
        async with call.request.form() as form:
            file, ref = form.get("file"), form.get("ref")
            if not isinstance(file, UploadFile):
                raise Refusal(422, "ValidationError", "Please select an image.")
            name, content = str(file.filename or ""), await file.read()
        ending = name.rpartition(".")[2].lower()
        if ending not in IMAGES or file.content_type not in IMAGES.values():
            raise Refusal(415, "UnsupportedMediaTypeError", "Please select a valid image.")
        stem = re.sub(r"[^\w-]", "-", name.rpartition(".")[0])
        month = f"{datetime.fromtimestamp(self._door.clock(call.account) // SECOND, UTC):%Y/%m}"
        url = self._world.keep_image(call.account, f"{month}/{stem}.{ending}", IMAGES[ending], _narrowed(content))
        call.did("image_uploaded", url, size=len(content))
        return JSONResponse({"images": [{"url": url, "ref": None if ref is None else str(ref)}]}, 201)

    def _found(self, call: Call) -> Post:
        asked = call.request.path_params
        for post in self._world.of(call.account):
            if asked.get("id") == post.id or asked.get("slug") == post.slug:
                return post
        raise not_found("read post")

    def _changed(self, call: Call, post: Post, given: Mapping[str, Any]) -> Post:
        """The post with what was given; nothing is kept yet. Raises Refusal."""
        for name, most in LENGTHS.items():
            if len(str(given.get(name) or "")) > most:
                raise invalid(f"Validation (isLength) failed for {name}")
        title = post.title
        for name in PLAIN & given.keys():
            setattr(post, name, given[name] or None)
        post.title = str(post.title or "(Untitled)").strip()
        post.visibility = str(given.get("visibility") or post.visibility)
        post.email_only = bool(given.get("email_only", post.email_only))
        if "tags" in given:  # all of them; unknown ones come into being
            post.tags = [
                str(tag.get("name") or tag.get("slug")) if isinstance(tag, dict) else str(tag) for tag in given["tags"]
            ]
        if given.get("slug"):
            post.slug = self._world.free_slug(post, str(given["slug"]))
        elif not post.slug or (title != post.title and post.status == "draft" and post.published_at is None):
            post.slug = self._world.free_slug(post, post.title)
        from_html = call.request.query_params.get("source") == "html" and not self._door.set("no_source", call.account)
        if from_html and given.get("html"):
            post.lexical = converted(str(given["html"]), cards=not self._door.set("no_cards", call.account))
        elif given.get("lexical"):
            try:
                post.lexical = document(str(given["lexical"]))
            except ValueError as error:
                raise invalid(str(error)) from None
        return post

    def _settled(self, call: Call, before: Post, after: Post, at: int) -> str:
        """The status machine, on what is about to be kept; returns what happened. Raises Refusal."""
        given = _given(call)
        status = str(given.get("status") or after.status)
        if status not in STATUSES:
            raise invalid("Validation (isIn) failed for status")
        if "published_at" in given:
            told = instant(given["published_at"])
            after.published_at = None if told is None else told - told % SECOND
        if before.status == "published" and status == "scheduled":
            raise invalid("Your post is already published, please reload your page.")
        if status == "scheduled":
            if after.published_at is None:
                raise invalid("Value in published_at cannot be blank.")
            if after.published_at != before.published_at and after.published_at < at + SOONEST:
                raise invalid("Date must be at least 2 minutes in the future.")
        was_public = before.status in ("published", "sent")
        is_public = status in ("published", "sent")
        if status != before.status:
            self._letter(call, before, after, status)
        after.status = before.status if was_public and is_public else status
        if is_public and not was_public:
            publish(after, at)
            if after.email != before.email and after.email:
                call.detail["mailed"] = after.email
            return "post_published"
        if status == "draft" != before.status and after.email is None:
            after.newsletter, after.email_segment = None, "all"
        if was_public and not is_public:
            return "post_unpublished"
        return "post_edited" if was_public else f"{status}_edited"

    def _letter(self, call: Call, before: Post, after: Post, status: str) -> None:
        """A newsletter counts only where it comes with the status that sends it, and once."""
        wanted = call.request.query_params.get("newsletter")
        if not wanted or before.newsletter or status == "draft":
            return
        if NEWSLETTERS.get(wanted) != "active":
            raise Refusal(400, "BadRequestError", "The newsletter parameter doesn't match any active newsletter.")
        after.newsletter = wanted
        after.email_segment = call.request.query_params.get("email_segment") or "all"

    def _shown(self, call: Call, post: Post) -> dict[str, Any]:
        asked = call.request.query_params
        shown = self._world.shown(post, asked.get("formats", "lexical"))
        names = [name for name in asked.get("fields", "").split(",") if name]
        return {name: shown.get(name) for name in names} if names else shown

    def _answer(self, call: Call, post: Post, status: int = 200) -> Response:
        return JSONResponse({"posts": [self._shown(call, post)]}, status)


def _given(call: Call) -> Mapping[str, Any]:
    try:
        posts = json.loads(call.body)["posts"]
        given = posts[0]
    except (ValueError, KeyError, IndexError, TypeError):
        raise Refusal(400, "BadRequestError", "No root key ('posts') provided.") from None
    return given if isinstance(given, dict) else {}


def _holds(post: Post, name: str, value: str) -> bool:
    """Whether a clause of a filter is true of the post."""
    return value in {"slug": [post.slug], "id": [post.id], "tag": [slug_of(tag) for tag in post.tags]}[name]


def _narrowed(content: bytes) -> bytes:
    """The picture as it is stored: not wider than a site needs. What is no picture stays what it is."""
    try:
        with Image.open(io.BytesIO(content)) as opened:
            if opened.width <= WIDEST or getattr(opened, "n_frames", 1) > 1:
                return content
            small = opened.resize((WIDEST, round(opened.height * WIDEST / opened.width)))
            file = io.BytesIO()
            small.save(file, opened.format)
            return file.getvalue()
    except OSError:
        return content


def build(sandbox: Sandbox) -> None:
    """Everything a Ghost server needs to be."""
    door = Door(sandbox)
    PostCalls(door)
    door.close()
    SiteCalls(door)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
