"""The drafts of a delivery on Ghost: made, found again by slug and internal tag, read back, compared.

Promises: when `made` returns there is one draft of the delivery, with the slug that its key gives, and it holds
what was sent. Whoever dies on the way leaves drafts that the next try, or `all_of`, finds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from channels import ghost_article as article
from channels import ghost_page as page
from channels.ghost_api import Post, Site
from channels.names import marker_of
from sync import compare
from sync.contract import Ambiguous, OutletError, Prepared, Rejected, Tools, TryLater
from sync.model import Asset, Key, Problem, Rendition


class Drafts:
    def __init__(self, site: Site, tools: Tools, outlet: str) -> None:
        self._site, self._tools, self._name = site, tools, outlet

    def all_of(self, key: Key, ref: str = "") -> list[Post]:
        """Every post of this delivery, whatever its status, the oldest first; with `ref` also that one, from which a
        person may have taken slug and tag."""
        found = self._site.of(slug_of(key), tag_of(key))
        if ref and ref not in {post.ref for post in found} and (post := self._site.get(ref)):
            found.append(post)
        return found

    def made(self, rendition: Rendition, key: Key, addresses: Mapping[str, str]) -> Post:
        """The one draft, as Ghost reads it back. Raises Ambiguous when a person has published it, and Rejected when
        Ghost altered what was sent; then the draft is removed again."""
        sent = {**content(rendition, addresses, slug_of(key)), "status": "draft"}
        left = self._hidden(key)
        for twin in left[1:]:
            self._site.delete(twin.ref)
        post = self._site.change(left[0].ref, sent, left[0].updated_at) if left else None
        if post is None:
            # From here on there may be a draft: if we die or lose the answer, it is found by its slug or tag.
            post = self._site.create({**sent, "tags": [{"name": tag_of(key)}]})
        if post.slug != slug_of(key):
            self._rename(post, key)
        there = self._site.get(post.ref)
        if there is None:
            raise TryLater(f"{self._name}: the draft that was just made is not there")
        if changes := self.changes(there, rendition, addresses):
            self._site.delete(there.ref)
            told = "; ".join(f"{change.where}: {change.message}" for change in changes[:5])
            raise Rejected(f"{self._name}: Ghost 改动了内容 · Ghost altered what was sent: {told}")
        return there

    def _hidden(self, key: Key) -> list[Post]:
        found = self.all_of(key)
        if public := [post.url for post in found if post.public]:
            raise Ambiguous(f"{self._name}: 已经公开 · it is public already: {public[0]}")
        return found

    def _rename(self, post: Post, key: Key) -> None:
        """The slug was taken: a create that was given up for lost has arrived after all. Its draft goes."""
        for twin in self._hidden(key):
            if twin.ref != post.ref:
                self._site.delete(twin.ref)
        self._site.change(post.ref, {"slug": slug_of(key)}, post.updated_at)

    def changes(
        self, post: Post, rendition: Rendition, addresses: Mapping[str, str] | None = None
    ) -> tuple[Problem, ...]:
        """How what Ghost holds differs from the rendition. Without `addresses` the pictures are read as a reader
        would. Raises TryLater when one cannot be read now."""
        known = {url: digest for digest, url in (addresses or {}).items()}

        def image(source: str) -> str:
            return known.get(source) or self.recognised(source, rendition.files) or source

        cover = post.told["feature_image"]
        seen = (
            *article.head(post.told["title"], post.told["custom_excerpt"], image(cover) if cover else ""),
            *page.fragment(post.told["html"], image),
        )
        wanted = {"visibility": "public", "feature_image_alt": rendition.fields["cover_alt"]}
        return compare.differences(rendition.shown, seen) + tuple(
            Problem(name, f"不一致 / differs: {post.told[name] or '（空 empty）'}", fatal=False)
            for name, value in wanted.items()
            if post.told[name] != value
        )

    def recognised(self, address: str, files: tuple[Asset, ...], problems: list[Problem] | None = None) -> str:
        """The digest of the picture at this address, read anonymously; "" where there is none. A host that does not
        answer is told in `problems`; without them TryLater is raised, because then it says nothing."""
        try:
            answer = self._tools.http.read(address)
        except OutletError as error:
            if problems is not None:
                problems.append(Problem("image", f"图片读不到 · it cannot be read: {error}", fatal=False))
            elif not isinstance(error, Rejected):
                raise
            return ""
        if answer.status != 200:
            if problems is None and answer.status not in (404, 410):
                raise TryLater(f"{self._name}: a picture answers {answer.status}")
            return ""
        return compare.recognise(answer.body, {asset.digest: self._tools.blob(asset.digest) for asset in files})


def slug_of(key: Key) -> str:
    """Of the post; it becomes public with it, and leads to nothing of the key."""
    return f"tf-{marker_of(key)[:16]}"


def tag_of(key: Key) -> str:
    """The internal tag, which no reader sees."""
    return f"#pub-{marker_of(key)[:16]}"


def content(rendition: Rendition, addresses: Mapping[str, str], slug: str) -> dict[str, object]:
    """What is sent of a rendition. The slug goes with the title, which would change it [7]; visibility is named,
    because the site's default may be members only [9]."""
    return {
        "title": rendition.title,
        "slug": slug,
        "html": article.card(article.with_addresses(rendition.content, addresses)),
        "custom_excerpt": rendition.fields["excerpt"] or None,
        "feature_image": addresses.get(rendition.fields["cover"]),
        "feature_image_alt": rendition.fields["cover_alt"] or None,
        "visibility": "public",
    }


def in_place(post: Post, addresses: Mapping[str, str] | None = None, **notes: str) -> Prepared:
    """All that arming needs; drafts do not expire. `fields`: what was there when it was read back."""
    own = {"fields": json.dumps(dict(post.digests)), "pictures": json.dumps(dict(addresses or {}))}
    return Prepared(post.ref, None, {**own, **notes})


def changed(post: Post, prepared: Prepared) -> str:
    """Which fields are not what they were when it was prepared, for a person; "" for none."""
    before: Mapping[str, str] = json.loads(prepared.notes["fields"])
    return ", ".join(name for name, digest in before.items() if post.digests.get(name) != digest)
