"""What Weibo keeps: users, posts, pictures, counters. No HTTP here.

Users, posts and pictures outlive a restart, deleted posts as their notices; counters do not.
Ids are beyond what a double holds, and odd, so that a client which reads them as numbers gets another one.
"""

from __future__ import annotations

import io
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from PIL import Image, ImageOps

from channels.sandbox.shelf import Shelf, packed, unpacked
from channels.sandbox.weibo_text import short_code, short_id, shortened

SECOND = 1_000_000
EPOCH = 515_483_463  # seconds; Weibo's ids begin there, and count seconds in their upper bits
BEYOND = 2**53
CHINA = timezone(timedelta(hours=8))
DELETED = "此微博已被原作者删除。"
WIDEST = 2048  # pixels of the largest form that is kept
KINDS = {"JPEG": "jpg", "PNG": "png", "GIF": "gif"}


class Refused(Exception):
    """The bytes are no picture of a kind that is taken."""


@dataclass
class Post:
    mid: str
    user: str
    text: str
    at: int
    picture: str = ""  # name of its file
    deleted: bool = False
    shared: bool = True  # by the application, not by hand


class World:
    def __init__(self, address: str, shelf: Shelf) -> None:
        self.address, self._shelf = address, shelf
        self.users: dict[str, str] = dict(shelf.all("user"))
        self.posts = {mid: Post(**kept) for mid, kept in shelf.all("post").items()}
        self.pictures = {name: unpacked(kept) for name, kept in shelf.all("picture").items()}
        self.short_links: dict[str, str] = dict(shelf.all("link"))
        self._last = max((int(mid) for mid in self.posts), default=0)
        self._counters: dict[tuple[str, str], deque[int]] = {}

    def uid(self, user: str) -> str:
        if user not in self.users:
            self.users[user] = str(5_000_000_000 + len(self.users))
            self._shelf.put("user", user, self.users[user])
        return self.users[user]

    def new_id(self, at: int) -> str:
        now = BEYOND + ((at // SECOND - EPOCH) << 22) + at % SECOND
        self._last = max(now, self._last + 1) | 1
        return str(self._last)

    def keep(self, post: Post) -> None:
        """It is there, or was changed."""
        self.posts[post.mid] = post
        self._shelf.put("post", post.mid, asdict(post))

    def keep_picture(self, mid: str, original: bytes) -> str:
        """Stored as Weibo does, in other bytes; returns the name of its file. Raises Refused."""
        try:
            with Image.open(io.BytesIO(original)) as opened:
                kind = str(opened.format)
                if kind not in KINDS:
                    raise Refused(kind)
                stored = original if kind == "GIF" else _encoded(opened, kind)
        except (OSError, ValueError) as error:
            raise Refused(str(error)) from error
        name = f"{mid}.{KINDS[kind]}"
        self.pictures[name] = stored
        self._shelf.put("picture", name, packed(stored))
        return name

    def of(self, user: str) -> list[Post]:
        """A user's posts, newest first."""
        return sorted((post for post in self.posts.values() if post.user == user), key=lambda one: -int(one.mid))

    def short(self, link: str) -> str:
        code = short_code(link)
        if code not in self.short_links:
            self.short_links[code] = link
            self._shelf.put("link", code, link)
        return f"{self.address}/t.cn/{code}"

    def count(self, what: str, user: str, now: int, seconds: int) -> int:
        """Count one; how many these are within as many seconds."""
        seen = self._counters.setdefault((what, user), deque())
        while seen and seen[0] + seconds * SECOND <= now:
            seen.popleft()
        seen.append(now)
        return len(seen)

    def counted(self, what: str, user: str, now: int, seconds: int) -> list[int]:
        """When those were that count now."""
        return [at for at in self._counters.get((what, user), ()) if at + seconds * SECOND > now]

    def shown(self, post: Post) -> dict[str, Any]:
        """A post as the API gives it to its owner."""
        named = {"created_at": written(post.at), "id": int(float(post.mid)), "idstr": post.mid, "mid": post.mid}
        if post.deleted:
            return {**named, "text": DELETED, "deleted": "1"}
        picture = f"{self.address}/large/{post.picture}"
        pictures = {"original_pic": picture, "pic_urls": [{"thumbnail_pic": picture}]} if post.picture else {}
        return {
            **named,
            "text": shortened(post.text, self.short),
            "source": '<a href="http://app.weibo.com/t/feed/sandbox" rel="nofollow">沙箱</a>',
            "truncated": False,
            "user": {"id": int(self.uid(post.user)), "idstr": self.uid(post.user), "screen_name": post.user},
            "visible": {"type": 0, "list_id": 0},
            **pictures,
        }

    def by_short_id(self, bid: str) -> Post | None:
        return next((post for post in self.posts.values() if short_id(post.mid) == bid), None)


def written(at: int) -> str:
    """Microseconds UTC as Weibo writes times."""
    return datetime.fromtimestamp(at // SECOND, UTC).astimezone(CHINA).strftime("%a %b %d %H:%M:%S %z %Y")


def _encoded(opened: Image.Image, kind: str) -> bytes:
    picture = ImageOps.exif_transpose(opened).convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, picture.height * WIDEST // picture.width))
    stored = io.BytesIO()
    picture.save(stored, kind, **({"quality": 85} if kind == "JPEG" else {"compress_level": 8}))
    return stored.getvalue()


def inverted(stored: bytes) -> bytes:
    """Another picture of the same size and kind."""
    with Image.open(io.BytesIO(stored)) as picture:
        other = io.BytesIO()
        ImageOps.invert(picture.convert("RGB")).save(other, picture.format)
    return other.getvalue()
