"""The one request that makes a post public, or changes a public one, and what its answer means.

It names the `updated_at` that it was armed with; Ghost refuses it with 409 when the post was saved since, and
then a look decides. It never carries a `newsletter`, so nothing is ever mailed [5].
"""

from __future__ import annotations

import json
from urllib.parse import quote

from channels import ghost_page as page
from channels.ghost_api import COLLISION, JUDGED, Post, Site, post_of
from channels.ghost_draft import changed, content
from channels.names import marker_of
from channels.webhook_shot import SignedShot
from sync.clock import iso
from sync.contract import Misbehaved, Prepared, Receipt, Rejected, Response, Shot, Tools, TryLater
from sync.model import Key, Rendition

GONE = "要更正的文章已撤回或删除 · the post to be corrected is withdrawn or gone"
LOST = "草稿已不在，未发布 · the draft is gone; nothing was published"


class Flip:
    """Of one post, as it was when it was armed."""

    def __init__(self, site: Site, tools: Tools, outlet: str, prepared: Prepared, key: Key) -> None:
        self._site, self._tools, self._name = site, tools, outlet
        self._prepared, self._key = prepared, key
        self._edits = "replaces" in prepared.notes

    def shot(self, post: Post, rendition: Rendition) -> Shot:
        """Its token is signed anew when arming was long ago."""
        given = {**(self._edited(post, rendition) if self._edits else self._published()), "updated_at": post.updated_at}
        query = "source=html&formats=html&save_revision=true" if self._edits else "formats=html"
        body = json.dumps({"posts": [given]}, ensure_ascii=False).encode("utf-8", "replace")

        def signed(at: int) -> Shot:
            return self._tools.http.shot(
                "PUT",
                f"{self._site.api}posts/{quote(post.ref, safe='')}/?{query}",
                headers={**self._site.headers(at), "Content-Type": "application/json"},
                body=body,
                settle=self._settled,
                expect=(*JUDGED, COLLISION),
            )

        now = self._tools.now()
        return SignedShot(signed, now, self._tools.now)

    def _published(self) -> dict[str, object]:
        """The date is that of the instant: one in the past would sort the post down the list [9]."""
        now = self._tools.now()
        return {"status": "published", "published_at": iso(max(now, int(self._prepared.notes.get("release_at", now))))}

    def _edited(self, post: Post, rendition: Rendition) -> dict[str, object]:
        """Without the status: a post that is withdrawn meanwhile stays so."""
        return content(rendition, json.loads(self._prepared.notes["pictures"]), post.slug)

    def _settled(self, answer: Response) -> Receipt:
        if self._site.gone(self._site.judged(answer, (404, COLLISION))):
            raise self._gone()
        if answer.status == COLLISION:
            return self._collided()
        post = post_of(answer)
        if post.status != "published":
            # Of a correction: what it changed is a draft again, which nobody sees.
            raise self._gone() if self._edits else Misbehaved(f"{self._name}: published, and it is {post.status}")
        return receipt(post, self._tools.now())

    def _collided(self) -> Receipt:
        """It was certainly not done by this request; what the post is now decides [6]."""
        post = self._site.get(self._prepared.ref)
        if post is None or (self._edits and post.status != "published"):
            raise self._gone()
        if post.status == "published" and (not self._edits or is_of(post, self._key)):
            return receipt(post, self._tools.now())
        if names := changed(post, self._prepared):
            raise Rejected(f"{self._name}: 到点前被改动，未发布 · changed just before the instant, not sent: {names}")
        raise TryLater(f"{self._name}: 409: 被人保存而内容未变 · somebody saved it unchanged; nothing was published")

    def _gone(self) -> TryLater | Rejected:
        """Of a draft arming notices it, and it is made anew; a correction has nothing to change any more."""
        return Rejected(f"{self._name}: {GONE}") if self._edits else TryLater(f"{self._name}: {LOST}")


def is_of(post: Post, key: Key) -> bool:
    """Whether what the post holds is this delivery's article."""
    return page.marker_in(post.told["html"]) == marker_of(key)


def receipt(post: Post, now: int) -> Receipt:
    """Raises Misbehaved for a published post without an address."""
    if not post.url:
        raise Misbehaved("a published post has no url")
    return Receipt(post.ref, post.url, now, {"slug": post.slug})
