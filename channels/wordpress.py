"""WordPress, self-hosted, through its REST API: a hidden draft, published by one small change at the instant.

A site has no idempotency: the post's slug is made of our key, and whatever is in doubt is looked up by it, twins
(`K-2`) and the trash included. Publishing is a true flip, answered after every plug-in that listens has run; only
the literal status "publish" counts, because with a time a minute ahead of the site's own clock it becomes
"future", which is not public.

A correction is staged as a draft of its own, so that its files stay hidden and what the site's filter does is known
before the public sees it; at the instant its text takes the place of the old one in the very post, at the same
address. A withdrawal makes the post a draft again and deletes its files, whose addresses were public.
Facts: the fact sheet on WordPress (core 6.x).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from channels import wordpress_post as texts
from channels.wordpress_correction import GONE, Corrections, files_of
from channels.wordpress_draft import Drafts
from channels.wordpress_probe import Lookup, prepared, receipt
from channels.wordpress_reader import Reader
from channels.wordpress_site import PUBLIC, SPOKEN, TRASH, Site, body, kept, moment, one, said
from channels.wordpress_text import inert, with_addresses
from sync.clock import SECOND
from sync.compare import normal
from sync.contract import (
    Accepted,
    Ambiguous,
    Capabilities,
    Correct,
    Misbehaved,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Response,
    Reveal,
    Setting,
    Shot,
    Stale,
    Tools,
    Unauthorised,
)
from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting, canonical_bytes

FUTURE = (
    "网站时钟慢了一分钟以上，文章成了“定时发布”，尚未公开 · "
    "the site's clock is a minute or more behind: the post became scheduled and is not public"
)


class WordpressChannel:
    kind: ClassVar[str] = "wordpress"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.FLIP,
        probe=Probe.NAME,
        lands_within=120.0,  # what a host lets one request run at most, plug-ins included
        correct=Correct.EDIT,
        withdraw=True,
        settings=(
            Setting(
                "base_url", "网站首页地址，如 https://news.example.gov.cn", "address of the site's home page", True
            ),
            Setting("username", "用户名（编辑或作者角色）", "user name, an editor or author", True),
            Setting("application_password", "该用户的应用程序密码", "the user's application password", True, True),
            Setting(
                "category",
                "分类目录的名称，没有则新建；不填用网站的默认分类",
                "name of the category, made if missing; the site's default without it",
            ),
        ),
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        self._outlet, self._tools = outlet, tools
        self._site = Site(
            tools.http,
            outlet.name,
            outlet.settings.get("base_url", ""),
            outlet.settings.get("username", ""),
            outlet.secrets.get("application_password", ""),
            tools.now,
        )
        self._category = outlet.settings.get("category", "").strip()
        self._drafts = Drafts(self._site, tools, outlet.name, self._category)
        self._corrections = Corrections(self._site, outlet.name)

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        kept_settings = {name: outlet.settings[name] for name in ("category",) if name in outlet.settings}
        return replace(
            outlet,
            settings={"base_url": f"{sandbox.rstrip('/')}/{outlet.name}", "username": "editor", **kept_settings},
            secrets={"application_password": f"sandbox {outlet.name}"},
            live=False,
            private_network=True,
        )

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        return texts.problems(edition)

    def address(self, edition: Edition, key: Key) -> str | None:
        """The site makes it, by a rule of its own that may hold the date."""
        return None

    def render(self, edition: Edition, place: Place) -> Rendition:
        content = texts.written(edition, self._tools.pages, place.canonical, place.key)
        cover = texts.cover(edition)
        fields = {
            "canonical": place.canonical or "",
            "slug": texts.slug(place.key),
            "mark": texts.mark(place.key),
            "excerpt": inert(normal(edition.text("summary"))),
            "language": edition.text("language", "zh-CN"),
            "names": canonical_bytes(texts.names(edition, place.key)).decode(),
            "cover": cover.digest if cover else "",
        }
        return Rendition(edition.title, content, fields, edition.assets, texts.must_show(edition, content))

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The article without the theme's design, and its files."""
        files = {asset.digest: f"{at}-{asset.name}" for at, asset in enumerate(rendition.files, 1)}
        page = self._tools.pages.render(
            "wordpress/preview.html",
            title=rendition.title,
            language=rendition.fields["language"],
            excerpt=rendition.fields["excerpt"],
            content=with_addresses(rendition.content, files),
        )
        return {"article.html": page.encode(), **{path: self._tools.blob(digest) for digest, path in files.items()}}

    # network; nothing becomes public

    def login(self) -> None:
        """The user's rights, and the category or the right to make it."""
        rights = self._site.me()
        if self._category and self._site.category(self._category) is None and not rights.get("manage_categories"):
            message = "不存在，该用户也不能新建 · there is no such category, and the user may make none"
            raise Unauthorised(f"{self._outlet.name}: 分类目录“{self._category}”{message}")

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        """Raises Rejected when the site does not keep what is sent, and when the post to be corrected is not public
        or was edited at the site."""
        notes = self._corrections.aim(replaces) if replaces is not None else {}
        return prepared(self._drafts.put(rendition), notes)

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        """Raises Stale when the draft, or the post to be corrected, is not what it was at preparation."""
        draft = self._site.post(prepared.ref)
        if draft is None or draft.get("status") == TRASH:
            raise Stale(f"{self._outlet.name}: the draft is gone")
        if kept(draft) != prepared.notes["kept"]:
            raise Stale(f"{self._outlet.name}: 草稿在网站后台被改过 · the draft was edited at the site")
        changed = prepared.notes.get("replaces", "")
        given = self._corrections.change(draft, prepared) if changed else self._flip(draft, prepared)
        return self._tools.http.shot(
            "POST",
            self._site.url(f"posts/{changed or prepared.ref}"),
            headers={**self._site.headers(), "Content-Type": "application/json"},
            body=body(given),
            settle=lambda answer: self._settled(answer, prepared),
            expect=SPOKEN,
        )

    def _flip(self, draft: Mapping[str, Any], prepared: Prepared) -> dict[str, object]:
        """The change that publishes. Its time is the release's instant, which readers see as the date.

        Where the site's clock is too far behind for that, it is the same instant by the site's own clock; and
        after a try that became "future" all the same, the site's own time of that try."""
        now, status = self._tools.now(), draft.get("status")
        at = int(prepared.notes.get("release_at") or now)
        if status == PUBLIC and now < at:
            raise Stale(f"{self._outlet.name}: 草稿已被人提前公开 · somebody has published the draft already")
        if status == PUBLIC:  # by the site's own timer, after it had become "future": saying it again changes nothing
            return {"status": PUBLIC}
        at = moment(draft, "modified_gmt") if status == "future" else at - int(prepared.notes["behind"]) * SECOND
        return {"status": PUBLIC, "date_gmt": f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%S}"}

    def _settled(self, answer: Response, prepared: Prepared) -> Receipt:
        """HTTP 200 is not enough: the status that the post has now decides."""
        if answer.status in (404, 410) and said(answer) is not None:
            raise Stale(f"{self._outlet.name}: the post is gone")
        if answer.status in SPOKEN:
            raise self._site.refusal(answer, "POST posts", creates=True)
        post = one(answer, creates=True)
        status = post.get("status")
        if status == PUBLIC:
            made = receipt(post, prepared.notes, self._tools.now())
            return self._corrections.tidied(made, prepared) if "replaces" in prepared.notes else made
        if "replaces" in prepared.notes:
            raise Rejected(f"{self._outlet.name}: {GONE}")
        if status == "future":
            raise Ambiguous(f"{self._outlet.name}: {FUTURE}")
        held = f"网站没有公开文章，状态为 {status} · the site did not publish it, a plug-in or rule holds it back"
        raise Unauthorised(f"{self._outlet.name}: {held}")

    # read-only

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """See `channels.wordpress_probe`."""
        known = hint if isinstance(hint, Prepared) else None
        lookup = Lookup(self._site, self._drafts, self._corrections, self._outlet.name, self._tools.now())
        if replaces is not None:
            return lookup.find_correction(rendition, known, replaces)
        return lookup.find(rendition, known)

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        """See `channels.wordpress_reader`."""
        return Reader(self._tools, self._site, self._outlet.name).sighting(receipt, rendition, before)

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        """Raises Ambiguous when the draft is public by now."""
        self._drafts.clear(prepared.ref)

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """Back to a draft, which a person can still read at the site; of a post in the trash, or gone, a success.

        Then its files, which would stay readable at addresses that were public. Each step can be repeated."""
        post = self._site.post(receipt.ref)
        if post is not None and post.get("status") not in ("draft", TRASH):
            post = self._site.update(receipt.ref, {"status": "draft"})
            if post.get("status") in (PUBLIC, "future"):
                raise Misbehaved(f"{self._outlet.name}: the site keeps the post {post.get('status')}")
        files = [*files_of(receipt).split(), *(self._site.media_of(receipt.ref) if post is not None else [])]
        for file in dict.fromkeys(files):
            self._site.remove("media", file)
        for draft in receipt.notes.get("drafts", "").split():
            self._drafts.clear(draft)
