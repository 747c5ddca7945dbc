"""What the sandbox's Ghost sites keep: posts, pictures. No HTTP here; all of it outlives a restart.

After `server/models/post.js` and `plugins/collision.js`, as far as the fact sheet goes (sections 3, 4, 5, 7).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from channels.sandbox.ghost_html import Node, rendered
from channels.sandbox.shelf import Shelf, packed, unpacked

SECOND = 1_000_000
NEWSLETTERS = {"weekly": "active", "old-weekly": "archived"}
# Changes of these alone are no collision, nor do they make a new version.
UNWATCHED = frozenset({"id", "uuid", "created_at", "updated_at", "html"})


def iso(at: int | None) -> str | None:
    """Microseconds UTC as Ghost writes times; storage knows whole seconds."""
    return None if at is None else f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def instant(told: object) -> int | None:
    """Microseconds UTC; None for what is no time."""
    try:
        moment = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000) * 1000


@dataclass
class Post:
    """Times: microseconds UTC, whole seconds. `live_since`: to the microsecond, for what readers see when."""

    id: str
    uuid: str
    site: str
    title: str
    slug: str
    created_at: int
    updated_at: int
    status: str = "draft"
    visibility: str = "public"
    published_at: int | None = None
    live_since: int = 0
    lexical: list[Node] = field(default_factory=list)
    html: str = ""
    custom_excerpt: str | None = None
    feature_image: str | None = None
    feature_image_alt: str | None = None
    canonical_url: str | None = None
    meta_title: str | None = None
    meta_description: str | None = None
    codeinjection_head: str | None = None
    codeinjection_foot: str | None = None
    email_only: bool = False
    tags: list[str] = field(default_factory=list)
    newsletter: str | None = None
    email_segment: str = "all"
    email: dict[str, Any] | None = None

    def differs(self, other: Post) -> set[str]:
        """Which fields that count are not the same."""
        mine, theirs = vars(self), vars(other)
        return {name for name in mine if mine[name] != theirs[name]} - UNWATCHED - {"live_since"}


class World:
    def __init__(self, address: str, shelf: Shelf) -> None:
        self.address, self._shelf = address, shelf
        self._sequence = itertools.count()
        self.posts = {ref: Post(**kept) for ref, kept in sorted(shelf.all("post").items())}
        self.images: dict[str, tuple[str, bytes]] = {
            path: (kind, unpacked(content)) for path, (kind, content) in shelf.all("image").items()
        }

    def home(self, site: str) -> str:
        return f"{self.address}/{site}"

    def of(self, site: str) -> list[Post]:
        """The posts of a site, the oldest first."""
        return [post for post in self.posts.values() if post.site == site]

    def new(self, site: str, at: int) -> Post:
        """Ids begin with the time, as an ObjectId's do: the later one sorts behind."""
        ref = f"{at:016x}{next(self._sequence) % 65536:08x}"
        at -= at % SECOND
        return Post(ref, str(uuid4()), site, "", "", at, at)

    def keep(self, post: Post) -> None:
        """It is there, or was changed."""
        post.html = rendered(post.lexical)
        self.posts[post.id] = post
        self._shelf.put("post", post.id, asdict(post))

    def drop(self, post: Post) -> None:
        del self.posts[post.id]
        self._shelf.drop("post", post.id)

    def free_slug(self, post: Post, wanted: str) -> str:
        """Made safe; with the next free number where it is taken, never refused."""
        safe = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:185] or "post"
        taken = {other.slug for other in self.of(post.site) if other.id != post.id}
        return next(slug for slug in (safe, *(f"{safe}-{n}" for n in range(2, len(taken) + 3))) if slug not in taken)

    def due(self, site: str, at: int) -> Iterator[tuple[Post, dict[str, Any] | None]]:
        """Publish what was scheduled for now or earlier; each post, and its mail if it was mailed by that."""
        waiting = [post for post in self.of(site) if post.status == "scheduled" and (post.published_at or 0) <= at]
        for post in waiting:
            self.keep(publish(replace(post), at))
            yield self.posts[post.id], None if post.email else self.posts[post.id].email

    def keep_image(self, site: str, path: str, media_type: str, content: bytes) -> str:
        """Under that name, or with the next free number; returns the address."""
        stem, _, ending = path.rpartition(".")
        names = (f"{site}/{path}", *(f"{site}/{stem}-{n}.{ending}" for n in range(1, len(self.images) + 2)))
        name = next(one for one in names if one not in self.images)
        self.images[name] = (media_type, content)
        self._shelf.put("image", name, [media_type, packed(content)])
        return f"{self.home(site)}/content/images/{name.removeprefix(f'{site}/')}"

    def url(self, post: Post) -> str:
        """Public, or the preview of what is not."""
        return f"{self.home(post.site)}/{post.slug if post.status == 'published' else f'p/{post.uuid}'}/"

    def shown(self, post: Post, formats: str) -> dict[str, Any]:
        """As the Admin API shows it; without being asked for it says the source only."""
        told: Mapping[str, Any] = vars(post)
        kept = {
            name: told[name] for name in told if name not in ("site", "lexical", "html", "newsletter", "live_since")
        }
        times = {name: iso(told[name]) for name in ("created_at", "updated_at", "published_at")}
        tags = [{"name": name, "slug": slug_of(name), "visibility": _visibility(name)} for name in post.tags]
        letter = {"slug": post.newsletter} if post.newsletter else None
        source = {"lexical": json.dumps({"root": {"children": post.lexical, "type": "root"}}), "html": post.html}
        return {
            **kept,
            **times,
            "tags": tags,
            "newsletter": letter,
            "url": self.url(post),
            **{name: source[name] for name in formats.split(",") if name in source},
        }


def publish(post: Post, at: int) -> Post:
    """What becoming public does to a post: its date, its mail. A post that is mailed only is not on the site."""
    post.status = "sent" if post.email_only else "published"
    post.published_at = at - at % SECOND if post.published_at is None else post.published_at
    post.live_since = at
    post.updated_at = at - at % SECOND
    if post.newsletter and post.email is None:  # once and for all: going back to a draft recalls nothing
        sent = {"status": "submitted", "submitted_at": iso(at)}
        post.email = {**sent, "newsletter": post.newsletter, "segment": post.email_segment}
    return post


def slug_of(tag: str) -> str:
    """Of a tag; internal ones begin with "#"."""
    safe = re.sub(r"[^a-z0-9]+", "-", tag.lower()).strip("-")
    return f"hash-{safe}" if tag.startswith("#") else safe


def _visibility(tag: str) -> str:
    return "internal" if tag.startswith("#") else "public"
