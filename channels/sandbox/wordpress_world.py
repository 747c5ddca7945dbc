"""What a WordPress installation keeps: posts, files, categories, and the rules by which a post is stored. No HTTP here.

Every site of this server (`/NAME/`) has its own; ids count over all. All of it outlives a restart.
Source: wp_insert_post, wp_unique_post_slug, wp_trash_post (wp-includes/post.php, 6.x).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from PIL import Image, ImageOps

from channels.sandbox.shelf import Shelf, packed, unpacked
from channels.sandbox.wordpress_text import slug_of

SECOND = 1_000_000
SOON = 60 * SECOND  # a time so far ahead makes "publish" a plan
UNDATED = ("draft", "pending", "auto-draft")
STATUSES = ("publish", "future", "draft", "pending", "private", "trash")
LARGEST = 2560  # pixels of a side; of larger pictures a smaller copy is shown


def stamp(at: int) -> str:
    """Microseconds UTC as the API writes times: without a zone."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%S}"


def instant(text: str) -> int:
    """The same read; a zone that is given counts. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * SECOND)


@dataclass
class Post:
    """A post or an attachment. `dated`: it has a date of its own; until then each save sets it to now."""

    id: int
    site: str
    kind: str
    author: str
    status: str = "draft"
    slug: str = ""
    title: str = ""
    content: str = ""
    excerpt: str = ""
    date: int = 0
    dated: bool = False
    modified: int = 0
    parent: int = 0
    featured: int = 0
    terms: list[int] = field(default_factory=list)
    untrashed: list[str] = field(default_factory=list)  # status and slug before the trash
    revisions: list[dict[str, Any]] = field(default_factory=list)
    mime: str = ""
    file: str = ""  # below wp-content/uploads
    alt: str = ""


@dataclass
class Term:
    id: int
    site: str
    taxonomy: str
    name: str
    slug: str


class World:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.posts = {int(ref): Post(**kept) for ref, kept in shelf.all("post").items()}
        self.terms = {int(ref): Term(**kept) for ref, kept in shelf.all("term").items()}
        self.files = {path: unpacked(content) for path, content in shelf.all("file").items()}
        self._last = max([0, *self.posts, *self.terms])

    def new_id(self) -> int:
        self._last += 1
        return self._last

    def of(self, site: str, kind: str) -> Iterator[Post]:
        return (post for post in self.posts.values() if post.site == site and post.kind == kind)

    def keep(self, post: Post) -> None:
        self.posts[post.id] = post
        self._shelf.put("post", str(post.id), asdict(post))

    def keep_term(self, term: Term) -> None:
        self.terms[term.id] = term
        self._shelf.put("term", str(term.id), asdict(term))

    def keep_file(self, path: str, content: bytes) -> None:
        self.files[path] = content
        self._shelf.put("file", path, packed(content))

    def forget(self, post: Post) -> None:
        """For good. The files of a post belong to none afterwards; the file of an attachment goes with it."""
        for child in [one for one in self.posts.values() if one.parent == post.id]:
            child.parent = 0
            self.keep(child)
        if post.file:
            for path in {post.file, unscaled(post.file)} & self.files.keys():
                del self.files[path]
                self._shelf.drop("file", path)
        del self.posts[post.id]
        self._shelf.drop("post", str(post.id))

    # the rules

    def place(self, post: Post, status: str, at: int | None, now: int, *, reset: bool = False) -> None:
        """Status and date of a save. `at`: a date that was given; `reset`: it was given as null."""
        if reset:
            post.dated = False
        if at is not None:
            post.date, post.dated = at, True
        if not post.dated:
            post.date = now
        if status not in UNDATED:
            post.dated = True
        if status == "publish" and post.date - now >= SOON:
            status = "future"
        elif status == "future" and post.date - now < SOON:
            status = "publish"
        post.status, post.modified = status, now

    def name(self, post: Post, slug: str | None, *, draft_too: bool) -> None:
        """The slug of a save: unique, with a number at its end; of a draft only where the API sees to it."""
        if slug is not None:
            post.slug = slug_of(slug)
        if post.status in UNDATED and not (draft_too and slug):
            return
        wanted = post.slug or slug_of(post.title) or str(post.id)
        others = [one for one in self.posts.values() if one.site == post.site and one.id != post.id]
        taken = {one.slug for one in others if post.kind == "attachment" or one.kind == post.kind}
        number, post.slug = 2, wanted
        while post.slug in taken:
            post.slug, number = f"{wanted}-{number}", number + 1

    def trash(self, post: Post, now: int) -> None:
        post.untrashed = [post.status, post.slug]
        post.status, post.slug, post.modified = "trash", f"{post.slug}__trashed", now

    def untrash(self, post: Post) -> None:
        """Before a save that takes it out of the trash: its slug comes back."""
        if post.untrashed:
            post.slug, post.untrashed = post.untrashed[1], []

    def store(self, site: str, name: str, content: bytes, at: int) -> tuple[str, int, int]:
        """Where the file ends up, and its size as a picture; of a large one the smaller copy is what is shown."""
        folder = f"{site}/{datetime.fromtimestamp(at // SECOND, UTC):%Y/%m}"
        stem, _, ending = name.rpartition(".")
        path, number = f"{folder}/{name}", 1
        while path in self.files:
            path, number = f"{folder}/{stem}-{number}.{ending}", number + 1
        self.keep_file(path, content)
        try:
            with Image.open(io.BytesIO(content)) as opened:
                width, height = opened.size
                if max(width, height) <= LARGEST or opened.format == "GIF":
                    return path, width, height
                smaller = ImageOps.contain(ImageOps.exif_transpose(opened), (LARGEST, LARGEST))
                form = opened.format
        except OSError:
            return path, 0, 0
        out = io.BytesIO()
        smaller.save(out, form)
        scaled = f"{path.rpartition('.')[0]}-scaled.{ending}"
        self.keep_file(scaled, out.getvalue())
        return scaled, *smaller.size


def unscaled(path: str) -> str:
    """The original of a smaller copy."""
    return path.replace("-scaled.", ".")


def swapped(stored: bytes) -> bytes:
    """Another picture of the same size and kind."""
    with Image.open(io.BytesIO(stored)) as picture:
        other = io.BytesIO()
        ImageOps.invert(picture.convert("RGB")).save(other, picture.format)
    return other.getvalue()
