"""The AppView beside the sandbox's PDS: what readers see, from an index of its own; its CDN; a page of a post.

A post that it does not have is left out of the answer without a word.
"""

from __future__ import annotations

from html import escape
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from channels.sandbox.bluesky_door import Door, Refusal, invalid
from channels.sandbox.bluesky_lexicon import CARD, FACET, IMAGES
from channels.sandbox.bluesky_record import altered
from channels.sandbox.bluesky_world import Account, Indexed, iso
from channels.sandbox.server import Call, Handler, now

MOST_POSTS, PAGE = 25, 50
MODERATION = "did:plc:ar7c4by46qjdydhdevvrndac"  # the network's own labeller


class ViewCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        self._on("app.bsky.feed.getPosts", self.posts)
        self._on("app.bsky.feed.getPostThread", self.thread)
        self._on("app.bsky.feed.getAuthorFeed", self.feed)
        self._on("app.bsky.actor.getProfile", self.profile)
        door.sandbox.on("GET", "/profile/{actor}/post/{rkey}", self.page)

    def _on(self, nsid: str, handler: Handler) -> None:
        async def served(call: Call) -> Response:
            if self._door.holds("no_appview", ""):
                raise invalid(f"No service configured for {nsid}")
            return await handler(call)

        self._door.on("GET", nsid, served)

    def _seen(self, uri: str) -> tuple[Account, Indexed] | None:
        """A post as the index has it now, unless it is not there yet, not any more, or taken down."""
        post = self._world.index.get(uri)
        account = self._world.accounts.get(post.did) if post else None
        if post is None or account is None or self._door.holds("takedown", account.name):
            return None
        lag = self._door.seconds("lag", account.name, 0)
        if post.at + lag > now() or (post.gone_at is not None and post.gone_at + lag <= now()):
            return None
        return account, post

    async def posts(self, call: Call) -> Response:
        uris = call.request.query_params.getlist("uris")
        if not 1 <= len(uris) <= MOST_POSTS:
            raise invalid(f"uris must not have more than {MOST_POSTS} elements")
        if any(not uri.startswith("at://") for uri in uris):
            raise invalid("uris must be a valid at-uri")
        found = [seen for uri in uris if (seen := self._seen(uri)) is not None]
        return JSONResponse({"posts": [self._shown(*seen) for seen in found]})

    async def thread(self, call: Call) -> Response:
        uri = call.request.query_params.get("uri", "")
        seen = self._seen(uri)
        if seen is None:
            raise Refusal(400, "NotFound", f"Post not found: {uri}")
        thread = {"$type": "app.bsky.feed.defs#threadViewPost", "post": self._shown(*seen), "replies": []}
        return JSONResponse({"thread": thread})

    async def feed(self, call: Call) -> Response:
        """Newest first by the earlier of the author's time and the index's own."""
        account = self._actor(call.request.query_params.get("actor", ""))
        mine = [seen for uri in self._world.index if (seen := self._seen(uri)) is not None and seen[0] is account]
        mine.sort(key=lambda seen: min(str(seen[1].value["createdAt"]), iso(seen[1].at)), reverse=True)
        return JSONResponse({"feed": [{"post": self._shown(*seen)} for seen in mine[:PAGE]]})

    async def profile(self, call: Call) -> Response:
        account = self._actor(call.request.query_params.get("actor", ""))
        count = sum(post.did == account.did and post.gone_at is None for post in self._world.index.values())
        return JSONResponse({**self._author(account), "postsCount": count, "followersCount": 0, "followsCount": 0})

    def _actor(self, actor: str) -> Account:
        account = self._world.known(actor)
        if account is None:
            raise invalid("Profile not found")
        return account

    def _author(self, account: Account) -> dict[str, Any]:
        values = ["!no-unauthenticated"] if self._door.holds("members_only", account.name) else []
        labels = [self._label(account.did, f"at://{account.did}/app.bsky.actor.profile/self", val) for val in values]
        return {"did": account.did, "handle": account.handle, "displayName": account.name, "labels": labels}

    def _label(self, source: str, uri: str, value: str) -> dict[str, str]:
        return {"src": source, "uri": uri, "val": value, "cts": iso(now())}

    def _shown(self, account: Account, post: Indexed) -> dict[str, Any]:
        value = altered(self._door, account.name, post.value)
        labels = [str(knob.parameters["val"]) for knob in self._door.sandbox.knobs.standing("label", account.name)]
        embed = self._embed(account, value.get("embed"))
        return {
            "uri": post.uri,
            "cid": post.cid,
            "author": self._author(account),
            "record": value,
            **({"embed": embed} if embed else {}),
            "replyCount": 0,
            "repostCount": 0,
            "likeCount": 0,
            "quoteCount": 0,
            "indexedAt": iso(post.at),
            "labels": [self._label(MODERATION, post.uri, label) for label in labels],
        }

    def _embed(self, account: Account, embed: Any) -> dict[str, Any] | None:
        """The view of an embed: addresses of the CDN in place of blobs."""
        kind = embed.get("$type") if isinstance(embed, dict) else None
        if kind == IMAGES:
            images = [
                {
                    "thumb": self._address("feed_thumbnail", account, image["image"]),
                    "fullsize": self._address("feed_fullsize", account, image["image"]),
                    "alt": image["alt"],
                    **({"aspectRatio": image["aspectRatio"]} if "aspectRatio" in image else {}),
                }
                for image in embed["images"]
            ]
            return {"$type": f"{IMAGES}#view", "images": images}
        if kind == CARD:
            card = {name: part for name, part in embed["external"].items() if name != "thumb"}
            if thumb := embed["external"].get("thumb"):
                card["thumb"] = self._address("feed_thumbnail", account, thumb)
            return {"$type": f"{CARD}#view", "external": card}
        return None

    def _address(self, size: str, account: Account, blob: dict[str, Any]) -> str:
        return f"{self._door.sandbox.address}/img/{size}/plain/{account.did}/{blob['ref']['$link']}@jpeg"

    async def page(self, call: Call) -> Response:
        """The public page of a post; the real one is built by a script out of the same calls."""
        asked = call.request.path_params
        account = self._world.known(asked["actor"])
        seen = self._seen(f"at://{account.did}/app.bsky.feed.post/{asked['rkey']}") if account else None
        if seen is None:
            return HTMLResponse("<h1>Post not found</h1>", 404)
        shown = self._shown(*seen)
        record, embed = shown["record"], shown.get("embed", {})
        parts = [f"<p>{_rich(record['text'], record.get('facets') or [])}</p>"]
        parts += [
            f'<img src="{escape(image["fullsize"])}" alt="{escape(image["alt"])}">' for image in embed.get("images", ())
        ]
        if card := embed.get("external"):
            thumb = f'<img src="{escape(card["thumb"])}" alt="">' if "thumb" in card else ""
            words = f"<b>{escape(card['title'])}</b><br>{escape(card['description'])}"
            parts.append(f'<a class="card" href="{escape(card["uri"])}">{thumb}{words}</a>')
        title = escape(f"{shown['author']['displayName']}: {record['text'][:40]}")
        style = (
            "body{max-width:40rem;margin:2rem auto;font-family:sans-serif}p{white-space:pre-wrap}img{max-width:100%}"
            ".card{display:block;border:1px solid;padding:1rem}"
        )
        return HTMLResponse(
            f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>'
            f"<body><article>{''.join(parts)}</article></body></html>"
        )


def _rich(text: str, facets: list[dict[str, Any]]) -> str:
    """The text with its links, as a client shows it: facets beside the text, or one in another, are dropped."""
    raw, made, position = text.encode(), [], 0
    for facet in sorted(facets, key=lambda facet: facet["index"]["byteStart"]):
        begin, end = facet["index"]["byteStart"], facet["index"]["byteEnd"]
        if not position <= begin < end <= len(raw):
            continue
        made.append(escape(raw[position:begin].decode(errors="replace")))
        words = escape(raw[begin:end].decode(errors="replace"))
        links = [part["uri"] for part in facet["features"] if part["$type"] == f"{FACET}#link"]
        made.append(f'<a href="{escape(links[0])}">{words}</a>' if links else f"<span>{words}</span>")
        position = end
    return "".join(made) + escape(raw[position:].decode(errors="replace"))
