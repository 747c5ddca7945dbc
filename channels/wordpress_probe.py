"""Looking a delivery up at a WordPress site after doubt: by its id, by its slug and the twins of that, in the trash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from channels.wordpress_correction import Corrections, files_of
from channels.wordpress_draft import Draft, Drafts
from channels.wordpress_post import slugs
from channels.wordpress_site import PUBLIC, TRASH, Site, kept, number, raw
from sync.contract import Misbehaved, Prepared, Receipt, Rejected
from sync.model import Rendition

TRASHED = "文章在网站的回收站里：是否恢复或删除，由人决定 · the post is in the site's trash: a person has to decide"


class Lookup:
    def __init__(self, site: Site, drafts: Drafts, corrections: Corrections, outlet: str, now: int) -> None:
        """`now`: the time, µs UTC."""
        self._site, self._drafts, self._corrections = site, drafts, corrections
        self._outlet, self._now = outlet, now

    def find(self, rendition: Rendition, known: Prepared | None) -> Prepared | Receipt | None:
        """A post of ours that is public, else what is hidden. Raises Rejected for one that somebody threw away."""
        posts = self._site.posts(slugs(rendition.fields["slug"]), "any")
        if known is not None and known.ref not in [number(post) for post in posts]:
            post = self._site.post(known.ref)  # renamed, or in the trash
            posts += [] if post is None else [post]
        public = [post for post in posts if post.get("status") == PUBLIC]
        if public:
            notes = known.notes if known is not None else {"media": self._drafts.media(rendition)}
            found = receipt(public[0], notes, self._now)
            return found if len(public) == 1 else replace(found, notes={**found.notes, "copies": str(len(public))})
        if known is None:
            draft = self._drafts.found(rendition)
            return None if draft is None else prepared(draft, {})
        if any(post.get("status") == TRASH for post in posts):
            raise Rejected(f"{self._outlet}: {TRASHED}")
        return known if posts else None

    def find_correction(
        self, rendition: Rendition, known: Prepared | None, replaces: Receipt
    ) -> Prepared | Receipt | None:
        """In the very post that it changes, by the mark of its delivery: else what is staged for it."""
        post = self._site.post(replaces.ref)
        if post is not None and post.get("status") == PUBLIC and rendition.fields["mark"] in raw(post, "content"):
            own = known.notes if known is not None else {"media": self._drafts.media(rendition)}
            return receipt(post, {**own, "left": files_of(replaces)}, self._now)
        if known is not None:
            return known
        draft = self._drafts.found(rendition)
        return None if draft is None else prepared(draft, self._corrections.aim(replaces))


def prepared(draft: Draft, notes: Mapping[str, str]) -> Prepared:
    told = {"kept": draft.kept, "behind": str(draft.behind), "media": " ".join(draft.media)}
    return Prepared(draft.ref, notes={**told, **notes})


def receipt(post: Mapping[str, Any], notes: Mapping[str, str], now: int) -> Receipt:
    """`notes`: of the preparation. A receipt keeps what a later correction or withdrawal has to know."""
    link = post.get("link")
    if not isinstance(link, str) or not link:
        raise Misbehaved("link is missing from the answer")
    told = {name: notes[name] for name in ("media", "left") if notes.get(name)}
    told |= {"modified": str(post.get("modified_gmt")), "kept": kept(post)}
    return Receipt(number(post), link, now, told)
