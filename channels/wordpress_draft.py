"""A post put in place at a WordPress site, hidden: its draft, the files that belong to it, and what was kept of it.

The draft comes first and the files are given to it, because a file without a post is in the public media list at
once, and one of a hidden post is not. WordPress has no keys: a draft is found again by its slug, and a repeated
create makes `K-2`. If the process dies half-way, the next preparation adopts what is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from channels import picture
from channels.names import ENDINGS
from channels.wordpress_post import slugs
from channels.wordpress_site import HIDDEN, PUBLIC, Site, kept, moment, number, raw
from channels.wordpress_text import inert, losses, with_addresses
from sync.clock import SECOND
from sync.contract import Ambiguous, Misbehaved, OutletError, Rejected, Tools, TryLater
from sync.model import Asset, AssetRole, Rendition

# Taken by every site: of larger ones WordPress shows a smaller copy, and PHP takes 2 MB unless told otherwise.
PICTURES = picture.Wanted(frozenset({"image/jpeg", "image/png", "image/gif"}), below=2 * 1024 * 1024, side=2560)
SLACK = 30  # seconds that a site's clock may be behind without harm; from 60 on "publish" becomes "future"


@dataclass(frozen=True)
class Draft:
    """`behind`: seconds that the site's own clock is behind ours; `media`: the ids of its files."""

    ref: str
    kept: str
    modified: str
    behind: int
    media: tuple[str, ...]


class Drafts:
    def __init__(self, site: Site, tools: Tools, outlet: str, category: str) -> None:
        self._site, self._tools, self._outlet, self._category = site, tools, outlet, category

    def put(self, rendition: Rendition) -> Draft:
        """Everything of it in place, and read back.

        Raises Rejected when the site did not keep what was sent; the draft is then removed again. Whatever fails once
        a draft may be there is Ambiguous, so that it is looked for.
        """
        rights = self._site.me()
        files = {asset.digest: self._ready(rendition, asset) for asset in rendition.files}
        categories = [self._made_category(rights)] if self._category else []
        ref, *twins = self._shells(rendition)
        with _draft_is_there():
            try:
                media = self._uploaded(ref, rendition, files)
                for twin in twins:  # only now: a file that loses its hidden post would be in the public list
                    self.clear(twin)
                return self._filled(ref, rendition, media, categories)
            except Rejected:
                with suppress(OutletError):  # what stays is hidden, and the refusal is what a person has to hear
                    self.clear(ref)
                raise

    def clear(self, ref: str) -> None:
        """Remove a hidden post with its files. Raises Ambiguous when it is public by now."""
        post = self._site.post(ref)
        if post is not None and post.get("status") == PUBLIC:
            raise Ambiguous(f"{self._outlet}: 草稿 {ref} 已经公开 · the draft is public by now")
        for file in self._site.media_of(ref):
            self._site.remove("media", file)
        self._site.remove("posts", ref)

    def media(self, rendition: Rendition) -> str:
        """The ids of its files that are at the site."""
        return " ".join(number(file) for file in self._site.media(list(_names(rendition).values())).values())

    def found(self, rendition: Rendition) -> Draft | None:
        """The draft of this very rendition, whole, with all its files; otherwise None."""
        posts = [p for p in self._site.posts(slugs(rendition.fields["slug"]), "any") if p.get("status") in HIDDEN]
        media = self._site.media(list(_names(rendition).values())) if posts else {}
        by_digest = {digest: media[name] for digest, name in _names(rendition).items() if name in media}
        if len(by_digest) < len(_names(rendition)):
            return None
        content = with_addresses(rendition.content, _addresses(by_digest))
        for post in posts:
            if not losses(content, raw(post, "content")) and not losses(inert(rendition.title), raw(post, "title")):
                return self._draft(post, by_digest, behind=0)
        return None

    def _made_category(self, rights: Mapping[str, Any]) -> int:
        known = self._site.category(self._category)
        return self._site.make_category(self._category) if known is None else known

    def _shells(self, rendition: Rendition) -> list[str]:
        """The drafts of our slug, the oldest first: what earlier tries left, or a new one, still without its text."""
        name = rendition.fields["slug"]
        trashed = [f"{one}__trashed" for one in slugs(name)]
        found = self._site.posts(slugs(name), "any") or self._site.posts(trashed, "trash")
        if not found:
            # If we die on the next line, or its answer is lost, the draft is found by its slug.
            made = self._site.create({"title": inert(rendition.title), "slug": name, "status": "draft"})
            found = [made]
            if made.get("slug") != name:  # somebody has it: a lost answer's draft that appeared only now
                with _draft_is_there():
                    found = self._site.posts(slugs(name), "any") or [made]
        if public := [number(post) for post in found if post.get("status") == PUBLIC]:
            raise Ambiguous(f"{self._outlet}: 已经公开 · is public already: {', '.join(public)}")
        return [number(post) for post in found]

    def _filled(
        self, ref: str, rendition: Rendition, media: Mapping[str, Mapping[str, Any]], categories: list[int]
    ) -> Draft:
        cover = media.get(rendition.fields["cover"])
        sent = {
            "title": inert(rendition.title),
            "content": with_addresses(rendition.content, _addresses(media)),
            "excerpt": rendition.fields["excerpt"],
        }
        given: dict[str, object] = {**sent, "slug": rendition.fields["slug"], "status": "draft"}
        if categories:
            given["categories"] = categories
        given["featured_media"] = int(number(cover)) if cover else 0
        post = self._site.update(ref, given)
        if post.get("status") != "draft":
            raise Misbehaved(f"{self._outlet}: the draft has the status {post.get('status')}")
        changed = [f"{part}: {told}" for part, text in sent.items() for told in losses(text, raw(post, part))]
        if changed:
            told = "; ".join(changed[:5])
            raise Rejected(f"{self._outlet}: 网站改动了稿件 · the site did not keep what was sent: {told}")
        behind = (self._tools.now() - moment(post, "modified_gmt")) // SECOND
        return self._draft(post, media, behind if behind > SLACK else 0)

    def _draft(self, post: Mapping[str, Any], media: Mapping[str, Mapping[str, Any]], behind: int) -> Draft:
        ids = tuple(number(file) for file in media.values())
        return Draft(number(post), kept(post), str(post.get("modified_gmt")), behind, ids)

    def _uploaded(
        self, ref: str, rendition: Rendition, files: Mapping[str, tuple[str, bytes, str]]
    ) -> dict[str, dict[str, Any]]:
        """Every file at the site, by digest; those that an earlier try uploaded are adopted."""
        names = _names(rendition)
        media: dict[str, dict[str, Any]] = {}
        there = self._site.media(list(names.values()))
        for asset in rendition.files:
            name = names[asset.digest]
            if asset.digest in media:
                continue
            file = there.get(name)
            if file is None:
                file = self._upload(name, files[asset.digest], asset, ref)
            elif file.get("post") != int(ref):
                self._site.give(number(file), ref)
            media[asset.digest] = file
        return media

    def _upload(self, name: str, file: tuple[str, bytes, str], asset: Asset, ref: str) -> dict[str, Any]:
        """One file. Making smaller copies of a picture breaks weak servers, after it was stored: then it is there."""
        try:
            return self._site.upload(name, file, inert(asset.name), asset.alt, ref)
        except Rejected as error:
            raise Rejected(f"网站不接受文件 {asset.name} · the site does not take this file: {error}") from error
        except Ambiguous:
            there = self._site.media([name])
            if name not in there:
                raise
            return there[name]

    def _ready(self, rendition: Rendition, asset: Asset) -> tuple[str, bytes, str]:
        """Name, content and type as they are uploaded: pictures as every site takes them, attachments as they are.

        Raises Rejected for what is no still picture."""
        content, name = self._tools.blob(asset.digest), _names(rendition)[asset.digest]
        if asset.role is AssetRole.ATTACHMENT:
            ending = PurePosixPath(asset.name).suffix.lower()
            known = ENDINGS.get(asset.media_type, "bin")
            return f"{name}{ending if ending.isascii() and ending else f'.{known}'}", content, asset.media_type
        try:
            made = picture.fit(content, asset.media_type, PICTURES)
        except picture.Unusable as error:
            raise Rejected(f"图片 {asset.name} 不能上传 · the picture cannot be uploaded: {error}") from error
        return f"{name}.{made.ending}", made.content, made.media_type


@contextmanager
def _draft_is_there() -> Iterator[None]:
    """What failed may be tried again, but something was made: it has to be looked for."""
    try:
        yield
    except TryLater as error:
        raise Ambiguous(f"the draft was begun: {error}") from error


def _names(rendition: Rendition) -> dict[str, str]:
    names: dict[str, str] = json.loads(rendition.fields["names"])
    return names


def _addresses(media: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Where each file can be read, by digest. Raises Misbehaved."""
    found = {digest: file.get("source_url") for digest, file in media.items()}
    if not all(isinstance(url, str) and url for url in found.values()):
        raise Misbehaved("source_url is missing from the answer")
    return {digest: str(url) for digest, url in found.items()}
