"""What the public finds of a post: by the API, at its address, and at its address past every cache.

The page at the bare address is what readers get, and it decides. A page cache may serve an older one for hours,
so the same page is read once more with a query that no cache knows, and the API is asked: only when all of
them show what was approved is it a match. Sites that close the API to the public are judged by their pages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from channels import wordpress_page as pages
from channels.wordpress_page import Page
from channels.wordpress_site import PUBLIC, Site, said
from sync.answer import unread
from sync.compare import differences, recognise
from sync.contract import OutletError, Receipt, Response, Tools
from sync.model import Problem, Rendition, Sighting

HIDDEN = frozenset({"rest_forbidden", "rest_post_invalid_id"})  # of a post that is not public, or not there
CACHED = "缓存仍给出旧页面 · a cache still serves an older page"
ELSEWHERE = "接口显示已公开，但该地址没有这篇文章 · the API shows it as public, and its address does not"
UNLISTED = "页面可见，但接口显示未公开（可能是缓存） · the page shows it, the API does not: perhaps a cache"


class Reader:
    def __init__(self, tools: Tools, site: Site, outlet: str) -> None:
        self._tools, self._site, self._outlet = tools, site, outlet

    def sighting(self, receipt: Receipt, rendition: Rendition, before: Rendition | None) -> Sighting:
        """One anonymous look. While the page shows the text of `before`, a correction is not visible yet."""
        began = self._tools.now()
        answer = self._tools.http.read(receipt.url)
        ended = self._tools.now()
        bare = self._page(answer, receipt, rendition)
        if _is_of(bare, before):
            return Sighting(False, began, ended)
        there = bare is not None and _tells_of(bare, rendition)
        told = self._by_api(receipt, rendition)
        if not there and not isinstance(told, Page):
            return Sighting(False, began, self._tools.now())
        fresh = self._past_caches(receipt, rendition)
        if not there:
            cached = fresh is not None and _tells_of(fresh, rendition)
            problem = Problem("public", CACHED if cached else ELSEWHERE, fatal=False)
            return Sighting(not cached, began, self._tools.now(), (problem,))
        views = [("", bare), ("源站 origin", fresh)]
        problems = [] if told is not None else [Problem("public", UNLISTED, fatal=False)]
        views += [("API", told)] if isinstance(told, Page) else []
        files = _Files(self._tools, rendition, before)
        for label, page in views:
            problems += _apart(label, page, rendition, files, receipt.url)
        return Sighting(True, began, ended, tuple(problems))

    def _by_api(self, receipt: Receipt, rendition: Rendition) -> Page | str | None:
        """The post as the API shows it to anybody; None: as not public; a text: it does not say."""
        try:
            address = self._site.url(f"posts/{receipt.ref}", tongfa=str(self._tools.now()))
            answer = self._tools.http.read(address)
        except OutletError as error:
            return str(error)
        told = said(answer)
        if not self._site.open or told is None or (answer.status != 200 and told.get("code") not in HIDDEN):
            return f"status {answer.status}"
        if answer.status != 200 or told.get("status") != PUBLIC:
            return None
        title, content = (_rendered(told, name) for name in ("title", "content"))
        return pages.read(f"<h1>{title}</h1>{content}".encode("utf-8", "replace"), rendition.fields["mark"])

    def _past_caches(self, receipt: Receipt, rendition: Rendition) -> Page | None:
        address = f"{receipt.url}{'&' if '?' in receipt.url else '?'}tongfa={self._tools.now()}"
        return self._page(self._tools.http.read(address), receipt, rendition)

    def _page(self, answer: Response, receipt: Receipt, rendition: Rendition) -> Page | None:
        """The page that came; None: there is none. Raises TryLater for what is neither."""
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            message = f"{self._outlet}: {receipt.url} answers {answer.status} to an anonymous reader"
            raise unread(message, answer, self._tools.now())
        return pages.read(answer.body, rendition.fields["mark"])


class _Files:
    """What the pictures and attachments of a page are, each read once: the digest of ours, or of whatever is there."""

    def __init__(self, tools: Tools, rendition: Rendition, before: Rendition | None) -> None:
        self._tools, self._known = tools, dict[str, str]()
        # A file that stands there still, from before, has to be known as what it is.
        self._renditions = [rendition, *([before] if before is not None else [])]
        self._candidates: dict[str, bytes] = {}

    def value(self, address: str) -> str:
        if address not in self._known:
            self._known[address] = self._read(address)
        return self._known[address]

    def linked(self, address: str) -> str:
        """A link's value: of our own file its digest, any other as it is."""
        name = PurePosixPath(unquote(urlsplit(address).path)).name
        ours = any(
            name.startswith(one) for made in self._renditions for one in json.loads(made.fields["names"]).values()
        )
        return f"asset:{self.value(address)}" if ours else address

    def _read(self, address: str) -> str:
        try:
            answer = self._tools.http.read(address)
        except OutletError as error:
            return str(error)
        if answer.status != 200:
            return f"HTTP {answer.status}"
        if not self._candidates:
            digests = {asset.digest for made in self._renditions for asset in made.files}
            self._candidates = {digest: self._tools.blob(digest) for digest in digests}
        return recognise(answer.body, self._candidates)


def _apart(label: str, page: Page | None, rendition: Rendition, files: _Files, url: str) -> Sequence[Problem]:
    """How a view differs from what was approved."""
    if page is None:
        return [Problem("public", f"{label}：没有这篇文章 · the article is not there", fatal=False)]
    seen = page.seen(rendition.shown[0].value, lambda source: files.value(urljoin(url, source)), files.linked)
    found = differences(rendition.shown, seen)
    return found if not label else [replace(one, message=f"{label}：{one.message}") for one in found]


def _is_of(page: Page | None, rendition: Rendition | None) -> bool:
    """Whether it shows the text of this rendition's delivery."""
    return page is not None and rendition is not None and page.mark == rendition.fields["mark"]


def _tells_of(page: Page, rendition: Rendition) -> bool:
    """Whether it is the page of this post, whatever became of the text: WordPress leads an address that it does not
    know to a post of a similar name."""
    return _is_of(page, rendition) or rendition.shown[0].value in page.titles


def _rendered(told: Mapping[str, Any], name: str) -> str:
    part = told.get(name)
    value = part.get("rendered") if isinstance(part, dict) else None
    return value if isinstance(value, str) else ""
