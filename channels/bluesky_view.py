"""What a reader sees of a post: by an AppView, which is what the public uses, or in the account's own repository. Pure.

Both say the same in two ways: the AppView has addresses of its CDN where the record has blobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from channels import bluesky_post as post
from sync import compare
from sync.contract import Misbehaved, Receipt, Unauthorised
from sync.model import Token

# The network's own labels that apps act on, whatever a reader has chosen (atproto.com, "Labels").
HIDING = frozenset({"!hide", "!takedown"})
MEMBERS_ONLY = "!no-unauthenticated"
# AppViews whose posts are seen in a web application of another name.
WEB = {"https://public.api.bsky.app": "https://bsky.app", "https://api.bsky.app": "https://bsky.app"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to be read at this address."""

    address: str


Part = Token | Picture


def page(appview: str, pds: str, did: str, rkey: str) -> str:
    """Where people find the post; without an AppView, where anybody reads its record."""
    if not appview:
        return f"{pds}/xrpc/com.atproto.repo.getRecord?repo={did}&collection={post.COLLECTION}&rkey={rkey}"
    return f"{WEB.get(appview, appview)}/profile/{did}/post/{rkey}"


def address(receipt: Receipt) -> tuple[str, str] | None:
    """Account and key of a post that was found: by its name in the repository, or the page that a person gave."""
    name = receipt.ref.removeprefix("at://").split("/")
    if receipt.ref.startswith("at://") and len(name) == 3:
        return name[0], name[2]
    path = urlsplit(receipt.url).path.strip("/").split("/")
    if len(path) == 4 and (path[0], path[2]) == ("profile", "post"):
        return path[1], path[3]
    return None


def of_appview(told: Mapping[str, Any], outlet: str) -> list[Part] | None:
    """The post in the answer to getPosts; None: the AppView has none, or hides it. Raises Misbehaved.

    Unauthorised: it is shown only to people who are logged in, as the account asked for."""
    posts = told.get("posts")
    if not isinstance(posts, list):
        raise Misbehaved(f"{outlet}: a list of posts was expected in the answer")
    if not posts:
        return None
    one = _object(posts[0])
    author = _object(one.get("author"))
    if HIDING & {*_labels(one), *_labels(author)}:
        return None
    if MEMBERS_ONLY in _labels(author):
        raise Unauthorised(f"{outlet}: 账号只对登录用户可见 · the account is shown only to people who are logged in")
    record = _object(one.get("record"))
    return [*_text(record), *_embed(_object(one.get("embed")), lambda picture: str(picture))]


def of_repository(record: Mapping[str, Any], pds: str, did: str) -> list[Part]:
    """The post as its record says, its pictures as the account's server gives them to anybody."""

    def blob(told: Any) -> str:
        cid = _object(_object(told).get("ref")).get("$link", "")
        return f"{pds}/xrpc/com.atproto.sync.getBlob?did={quote(did)}&cid={quote(str(cid))}"

    return [*_text(record), *_embed(_object(record.get("embed")), blob)]


def _text(record: Mapping[str, Any]) -> tuple[Token, ...]:
    facets = record.get("facets")
    return post.read(str(record.get("text", "")), facets if isinstance(facets, list) else [])


def _embed(embed: Mapping[str, Any], place: Callable[[Any], str]) -> Iterator[Part]:
    """`place`: where a picture is read that the embed speaks of."""
    match str(embed.get("$type", "")).removesuffix("#view"):
        case post.IMAGES:
            images = embed.get("images")
            for image in images if isinstance(images, list) else ():
                told = _object(image)
                yield Picture(place(told.get("fullsize") or told.get("image")))
                if alt := compare.normal(str(told.get("alt", ""))):
                    yield Token("text", alt)
        case post.CARD:
            told = _object(embed.get("external"))
            yield from post.card(*(str(told.get(name, "")) for name in ("uri", "title", "description")))
            if told.get("thumb"):
                yield Picture(place(told["thumb"]))
        case "":
            return
        case other:
            yield Token("text", other)


def _labels(told: Mapping[str, Any]) -> Iterator[str]:
    labels = told.get("labels")
    for label in labels if isinstance(labels, list) else ():
        if isinstance(label, dict) and not label.get("neg"):
            yield str(label.get("val"))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
