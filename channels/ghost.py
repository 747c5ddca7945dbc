"""Ghost (Admin API): a draft made beforehand, flipped to "published" by one small request at the instant.

There is no idempotency, and a taken slug is not refused but becomes `-2`: so slug and an internal tag are made
of the key, and every doubt is settled by looking for them. A correction changes the very post: id and address
stay; what Ghost makes of the new text is seen beforehand, on a draft that is removed again. A withdrawal makes
a draft of the post. Pictures cannot be removed: what was uploaded for a cancelled item stays, under a name
that nobody can guess.

BUG: changes within one second of each other are one to Ghost. What a person changes in the very second of the
last save goes out with the flip; the read-back afterwards shows it.
Facts: the fact sheet on Ghost (6.65), sections in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar
from urllib.parse import quote, urljoin

from channels import ghost_article as article
from channels import ghost_page as page
from channels import ghost_rules as rules
from channels.ghost_api import Post, Site
from channels.ghost_draft import Drafts, changed, in_place
from channels.ghost_flip import GONE, Flip, is_of, receipt
from channels.names import hidden_name
from sync import compare
from sync.answer import unread
from sync.contract import (
    Accepted,
    Capabilities,
    Correct,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Reveal,
    Shot,
    Stale,
    Tools,
    Unsupported,
)
from sync.model import Asset, Edition, Key, Outlet, Problem, Rendition, Sighting, Token, sha256

OLDEST = 5  # major version


class GhostChannel:
    kind: ClassVar[str] = "ghost"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.FLIP,
        probe=Probe.NAME,
        lands_within=120.0,
        correct=Correct.EDIT,
        withdraw=True,
        settings=rules.SETTINGS,
        limits=rules.LIMITS,
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        self._name, self._tools = outlet.name, tools
        key = outlet.secrets.get("admin_api_key", "")
        self._site = Site(tools.http, outlet.name, outlet.settings["base_url"], key, tools.now)
        self._drafts = Drafts(self._site, tools, outlet.name)

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        """A site of its own on the sandbox server, whose key is made of its name."""
        key = f"{outlet.name.encode().hex()}:{sha256(f'sandbox {outlet.name}'.encode())}"
        return replace(
            outlet,
            settings={"base_url": f"{sandbox}/{quote(outlet.name)}"},
            secrets={"admin_api_key": key},
            live=False,
            private_network=True,
        )

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        return rules.problems(edition, self._tools.pages, self._tools.blob)

    def address(self, edition: Edition, key: Key) -> str | None:
        """The site's routes decide it."""
        return None

    def render(self, edition: Edition, place: Place) -> Rendition:
        return article.rendition(edition, self._tools.pages, place)

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The post with its pictures as they would be uploaded. Raises Rejected."""
        files: dict[str, bytes] = {}
        addresses: dict[str, str] = {}
        for asset in rendition.files:
            made = rules.picture(asset, self._tools.blob(asset.digest))
            addresses[asset.digest] = f"picture-{len(addresses) + 1}.{made.ending}"
            files[addresses[asset.digest]] = made.content
        shown = self._tools.pages.render(
            "ghost/preview.html",
            title=rendition.title,
            excerpt=rendition.fields["excerpt"],
            cover=addresses.get(rendition.fields["cover"], ""),
            cover_alt=rendition.fields["cover_alt"],
            language=rendition.fields["language"],
            content=article.with_addresses(rendition.content, addresses),
        )
        return {"article.html": shown.encode(), **files}

    # network; nothing becomes public

    def login(self) -> None:
        version = self._site.version()
        major = re.match(r"\d+", version)
        if major is None or int(major[0]) < OLDEST:
            raise Unsupported(f"{self._name}: Ghost {version}: 需要 5.0 以上 · 5.0 or newer is needed")
        self._site.recent()

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        """Upload, draft, read back: see `ghost_draft`. Raises Rejected when the post to be corrected is not public."""
        public = self._to_correct(replaces.ref) if replaces else None
        if replaces and public is None:
            raise Rejected(f"{self._name}: {GONE}")
        addresses = {asset.digest: self._upload(asset, key) for asset in rendition.files}
        draft = self._drafts.made(rendition, key, addresses)
        if public is None:
            return in_place(draft, addresses)
        self._site.delete(draft.ref)  # if we die before it, the next try or `discard` finds it
        return in_place(public, addresses, replaces=public.ref)

    def _to_correct(self, ref: str) -> Post | None:
        """The public post; None: it is gone, or public no more."""
        post = self._site.get(ref)
        return post if post and post.status == "published" else None

    def _upload(self, asset: Asset, key: Key) -> str:
        made = rules.picture(asset, self._tools.blob(asset.digest))
        name = hidden_name(key, asset.digest, asset.media_type).partition(".")[0]
        return self._site.upload(f"{name}.{made.ending}", made.content, made.media_type)

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        """Raises Stale when the draft is gone or is none any more, when the post to be corrected is not public, and
        when either was changed in the editor."""
        if edits := prepared.notes.get("replaces", ""):
            post = self._to_correct(edits)
        else:
            post = self._site.get(prepared.ref)
        if post is None:
            raise Stale(f"{self._name}: 草稿或文章已不在 · the draft or post is gone")
        if not edits and post.status != "draft":
            raise Stale(f"{self._name}: 草稿已成为 {post.status} · the draft is {post.status} by now")
        if names := changed(post, prepared):
            raise Stale(f"{self._name}: 在后台被改动过 · changed in the editor: {names}")
        return Flip(self._site, self._tools, self._name, prepared, key).shot(post, rendition)

    # read-only

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """By slug and tag, also where the preparation is known; a correction in the very post that it changes."""
        known = hint if isinstance(hint, Prepared) else None
        if replaces:
            post = self._to_correct(replaces.ref)
            return receipt(post, self._tools.now()) if post and is_of(post, key) else known
        found = self._drafts.all_of(key, known.ref if known else "")
        public = [post for post in found if post.status == "published"]
        if public:
            told = receipt(public[0], self._tools.now())
            copies = {"copies": str(len(public))} if len(public) > 1 else {}
            return replace(told, notes={**told.notes, **copies})
        if known:
            return known if known.ref in {post.ref for post in found} else None
        drafts = [post for post in found if post.status == "draft"]
        return next((in_place(post) for post in drafts if not self._drafts.changes(post, rendition)), None)

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        """A page without the article is visible all the same if it bears the title: its body may be empty, or for
        members only."""
        began = self._tools.now()
        answer = self._tools.http.read(receipt.url)
        ended = self._tools.now()
        if answer.status in (404, 410):
            return Sighting(False, began, ended, taken_down=answer.status == 410)
        if answer.status != 200:
            raise unread(f"{receipt.url} answers {answer.status}", answer, ended)
        seen = page.read_outside(answer.body)
        if seen.content is None:
            missing = Problem("text", "页面上没有正文 · the page has no article (for members only?)", fatal=False)
            return Sighting(Token("title", seen.title) in rendition.shown, began, ended, (missing,))
        if before is not None and seen.marker == page.marker_in(before.content):
            return Sighting(False, began, ended)
        files = (*rendition.files, *(before.files if before else ()))
        problems: list[Problem] = []

        def image(source: str) -> str:
            return self._drafts.recognised(urljoin(receipt.url, source), files, problems) or source

        summary = seen.description if rendition.fields["excerpt"] else ""
        cover = image(seen.cover) if rendition.fields["cover"] and seen.cover else ""
        inside = page.as_written(page.fragment_outside(seen.content, image), rendition.shown, receipt.url)
        found = (*article.head(seen.title, summary, cover), *inside)
        return compare.sighted(found, rendition, before, began, ended, problems)

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        """Every draft of this delivery. Raises Rejected when one is public by now: that is no draft to remove."""
        found = self._drafts.all_of(key, "" if "replaces" in prepared.notes else prepared.ref)
        for post in found:
            if not post.public:
                self._site.delete(post.ref)
        if public := [post.url for post in found if post.public]:
            raise Rejected(f"{self._name}: 已经公开，请改用撤回 · it is public, withdraw it: {public[0]}")

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """Back to a draft, which can be published again; its page then answers 404."""
        post = self._site.get(receipt.ref)
        if post is None or post.status == "draft":
            return
        now = self._site.change(post.ref, {"status": "draft"}, post.updated_at)
        if now is not None and now.status != "draft":
            raise Rejected(f"{self._name}: 文章仍为 {now.status} · the post is still {now.status}")
