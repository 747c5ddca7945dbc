"""Files and categories of the sandbox's WordPress, its users and types."""

from __future__ import annotations

import mimetypes
import re
from html import escape
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from channels.sandbox.wordpress_door import Asked, Door, Refusal
from channels.sandbox.wordpress_post import INVALID_ID, PostCalls
from channels.sandbox.wordpress_text import TITLE_TAGS, kses, shown_title, slug_of
from channels.sandbox.wordpress_world import Post, Term, stamp

# What core lets everybody upload, as far as it matters here; by the ending, whatever the type that was told.
_ENDINGS = "jpg jpeg png gif webp pdf doc docx xls xlsx ppt pptx odt ods csv txt zip mp3 mp4 rar 7z"
ENDINGS = frozenset(_ENDINGS.split())


class MediaCalls:
    def __init__(self, door: Door, posts: PostCalls) -> None:
        self._door, self._world, self._posts = door, door.world, posts
        door.on("GET", "media", self.list)
        door.on("POST", "media", self.upload)
        door.on("GET", r"media/(\d+)", self.show)
        door.on("POST", r"media/(\d+)", self.update)
        door.on("DELETE", r"media/(\d+)", self.delete)
        door.on("POST", r"media/(\d+)/post-process", self.show)

    async def list(self, asked: Asked) -> Response:
        """In everybody's list is a file of a public post, and one that belongs to none."""
        given = asked.given
        if asked.edits() and "edit_posts" not in asked.user.can:
            raise asked.user.refuse("rest_forbidden_context")
        found = [file for file in self._world.of(asked.site, "attachment") if self._readable(asked, file)]
        if slugs := str(given.get("slug") or ""):
            found = [file for file in found if file.slug in slugs.split(",")]
        if "parent" in given:
            found = [file for file in found if file.parent == int(given["parent"])]
        page = sorted(found, key=lambda file: file.id, reverse=True)[: int(given.get("per_page") or 10)]
        return JSONResponse([self._shown(asked, file) for file in page])

    async def show(self, asked: Asked) -> Response:
        file = self._found(asked)
        if not self._readable(asked, file):
            raise asked.user.refuse("rest_forbidden")
        return JSONResponse(self._shown(asked, file))

    def _found(self, asked: Asked) -> Post:
        file = self._world.posts.get(int(asked.parts[0]))
        if file is None or file.site != asked.site or file.kind != "attachment":
            raise INVALID_ID
        return file

    def _readable(self, asked: Asked, file: Post) -> bool:
        parent = self._world.posts.get(file.parent)
        known = "edit_others_posts" in asked.user.can or file.author == asked.user.name
        return parent is None or parent.status == "publish" or known

    def _may(self, asked: Asked, file: Post) -> None:
        if file.author != asked.user.name and "edit_others_posts" not in asked.user.can:
            raise asked.user.refuse("rest_cannot_edit")

    async def upload(self, asked: Asked) -> Response:
        if not asked.user.can & {"edit_posts"}:
            raise asked.user.refuse("rest_cannot_create", "Sorry, you are not allowed to create posts as this user.")
        if "upload_files" not in asked.user.can:
            raise Refusal(400, "rest_cannot_create", "Sorry, you are not allowed to upload media on this site.")
        if asked.file is None:
            raise Refusal(400, "rest_upload_no_data", "No data supplied.")
        name, content = asked.file
        limits = self._door.sandbox.knobs.standing("largest_upload", asked.site)
        if limits and len(content) > int(limits[0].parameters["bytes"]):
            raise Refusal(
                400, "rest_upload_file_too_big", "The uploaded file exceeds the upload_max_filesize directive."
            )
        name = re.sub(r"[^\w.-]", "-", name)
        if name.rpartition(".")[2].lower() not in ENDINGS:
            raise Refusal(500, "rest_upload_unknown_error", "Sorry, you are not allowed to upload this file type.")
        at = self._door.now(asked.site)
        path, width, height = self._world.store(asked.site, name, content, at)
        file = Post(self._world.new_id(), asked.site, "attachment", asked.user.name, "inherit", date=at, modified=at)
        file.file, file.mime = path, mimetypes.guess_type(path)[0] or "application/octet-stream"
        file.title = str(asked.given.get("title") or name.rpartition(".")[0])
        self._describe(asked, file)
        self._world.name(file, asked.given.get("slug") or file.title, draft_too=True)
        self._world.keep(file)
        asked.call.did("media_uploaded", str(file.id), size=len(content), alt=file.alt, width=width, height=height)
        if self._door.sandbox.knobs.take("POST", asked.call.path, asked.site, "fatal_after_upload"):
            # The file is there; making smaller copies of it was too much for PHP.
            page = HTMLResponse("<h1>There has been a critical error on this website.</h1>", 500)
            page.headers["X-WP-Upload-Attachment-ID"] = str(file.id)
            return page
        answer = JSONResponse(self._shown(asked, file, edits=True), 201)
        answer.headers["Location"] = f"{self._door.api(asked.site)}wp/v2/media/{file.id}"
        return answer

    async def update(self, asked: Asked) -> Response:
        file = self._found(asked)
        self._may(asked, file)
        self._describe(asked, file)
        file.modified = self._door.now(asked.site)
        self._world.keep(file)
        asked.call.did("media_updated", str(file.id), alt=file.alt, parent=file.parent)
        return JSONResponse(self._shown(asked, file, edits=True))

    def _describe(self, asked: Asked, file: Post) -> None:
        given = asked.given
        if "alt_text" in given:
            file.alt = " ".join(re.sub(r"<[^>]*>", "", str(given["alt_text"])).split())
        if "title" in given:
            free = "unfiltered_html" in asked.user.can
            file.title = str(given["title"]) if free else kses(str(given["title"]), TITLE_TAGS)
        if "post" in given:
            parent = self._world.posts.get(int(given["post"]))
            if parent is None or parent.kind != "post":
                raise Refusal(400, "rest_invalid_param", "Invalid parent type.")
            file.parent = parent.id

    async def delete(self, asked: Asked) -> Response:
        """There is no trash for files."""
        file = self._found(asked)
        self._may(asked, file)
        if str(asked.given.get("force", "")).lower() not in ("true", "1"):
            raise Refusal(501, "rest_trash_not_supported", "The post does not support trashing. Set 'force=true'.")
        previous = self._shown(asked, file, edits=True)
        self._world.forget(file)
        asked.call.did("media_deleted", str(file.id))
        return JSONResponse({"deleted": True, "previous": previous})

    def _shown(self, asked: Asked, file: Post, *, edits: bool = False) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": file.id,
            "date_gmt": stamp(file.date),
            "modified_gmt": stamp(file.modified),
            "slug": file.slug,
            "status": "inherit",
            "type": "attachment",
            "title": {"rendered": shown_title(file.title)},
            "alt_text": file.alt,
            "mime_type": file.mime,
            "media_type": "image" if file.mime.startswith("image/") else "file",
            "post": file.parent or None,
            "source_url": f"{self._door.home(asked.site)}/wp-content/uploads/{file.file.partition('/')[2]}",
            "media_details": {},
        }
        if edits or asked.edits():
            told["title"]["raw"] = file.title
        return told


class SiteCalls:
    """Users, types, categories and tags."""

    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("GET", "types/post", self.type)
        door.on("GET", "users/me", self.me)
        for taxonomy in ("categories", "tags"):
            door.on("GET", f"({taxonomy})", self.terms)
            door.on("POST", f"({taxonomy})", self.make_term)

    async def type(self, asked: Asked) -> Response:
        return JSONResponse({"name": "Posts", "slug": "post", "rest_base": "posts", "taxonomies": ["category"]})

    async def me(self, asked: Asked) -> Response:
        user = asked.user
        if not user.name:
            raise Refusal(401, "rest_not_logged_in", "You are not currently logged in.")
        told: dict[str, Any] = {"id": 1, "name": user.name, "slug": user.name}
        if asked.edits():
            told |= {"roles": [user.role], "capabilities": dict.fromkeys(sorted(user.can), True)}
        return JSONResponse(told)

    async def terms(self, asked: Asked) -> Response:
        """`search` finds parts of names and slugs; names are stored as HTML."""
        wanted = escape(str(asked.given.get("search") or ""), quote=False).lower()
        found = [term for term in self._of(asked) if wanted in term.name.lower()]
        if self._door.set("blind_search", asked.site):
            found = []
        return JSONResponse([self._told(term) for term in found[: int(asked.given.get("per_page") or 10)]])

    async def make_term(self, asked: Asked) -> Response:
        if "manage_categories" not in asked.user.can:
            raise asked.user.refuse(
                "rest_cannot_create", "Sorry, you are not allowed to create terms in this taxonomy."
            )
        name = escape(str(asked.given.get("name") or ""), quote=False)
        known = next((term for term in self._of(asked) if term.name == name), None)
        if known is not None:
            raise Refusal(400, "term_exists", "A term with the name provided already exists.", term_id=known.id)
        term = Term(self._world.new_id(), asked.site, asked.parts[0], name, slug_of(name))
        self._world.keep_term(term)
        asked.call.did("term_created", str(term.id), name=name)
        return JSONResponse(self._told(term), 201)

    def _of(self, asked: Asked) -> list[Term]:
        return [t for t in self._world.terms.values() if (t.site, t.taxonomy) == (asked.site, asked.parts[0])]

    def _told(self, term: Term) -> dict[str, Any]:
        count = sum(term.id in post.terms and post.status == "publish" for post in self._world.of(term.site, "post"))
        return {"id": term.id, "count": count, "name": term.name, "slug": term.slug, "taxonomy": term.taxonomy}
