"""An outlet that a person serves: everything ready to paste, a task at the instant, and what readers find afterwards.

For platforms without an interface for publishers (Toutiao, WeChat Channels, Xiaohongshu, Bilibili columns: fact
sheet "others", section 1). The machine sends nothing there, before or at the instant. The person pastes
the page's address (`tongfa delivery settle`), and from then on it is read like any other outlet's page, as far
as anybody can read it: title, text and table cells word for word; pictures and links where `compares=all`.
A correction and a withdrawal are tasks, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar
from urllib.parse import quote

from channels.handed import HandedOver
from channels.manual_package import body_html, package, plain_text
from channels.webhook_page import Page, read
from sync import compare
from sync.answer import unread
from sync.contract import (
    Accepted,
    Capabilities,
    Correct,
    Misbehaved,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Reveal,
    Setting,
    Shot,
    Tools,
    Unsupported,
)
from sync.model import BadInput, Edition, Key, Outlet, Problem, Rendition, Sighting, Token

WORDS = frozenset({"title", "text", "cell"})
ALL = WORDS | {"link", "image"}


class ManualChannel:
    kind: ClassVar[str] = "manual"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.MANUAL,
        probe=Probe.BLIND,
        lands_within=0.0,
        correct=Correct.EDIT,
        withdraw=True,
        settings=(
            Setting(
                "where", "由人发布到哪里（平台、账号）", "where a person publishes it: platform, account", required=True
            ),
            Setting("steps", "给办理人的提醒", "what that person has to mind"),
            Setting("address_prefix", "公开地址的开头，如 https://www.toutiao.com/", "how addresses there begin"),
            Setting(
                "readable", "公开页面任何人可读：yes 或 no", "no: its pages cannot be read by anybody", default="yes"
            ),
            Setting(
                "compares", "回读比对：text 或 all（含图片、链接）", "all: pictures and links, too", default="text"
            ),
        ),
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        """Raises BadInput for settings that cannot be meant."""
        self._name, self._tools = outlet.name, tools
        self._where, self._steps = outlet.settings.get("where", ""), outlet.settings.get("steps", "")
        self._prefix = outlet.settings.get("address_prefix", "")
        self._readable = _one_of(outlet, "readable", "yes", "no") == "yes"
        self._compared = ALL if _one_of(outlet, "compares", "text", "all") == "all" else WORDS

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        own = {"address_prefix": f"{sandbox}/{quote(outlet.name)}/"}
        return replace(outlet, settings={**outlet.settings, **own}, secrets={}, live=False, private_network=True)

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        problems = []
        if not edition.title.strip():
            problems.append(Problem("title", "缺少标题 · the title is missing"))
        if not edition.body.strip():
            problems.append(Problem("body", "正文为空 · the body is empty"))
        try:
            body_html(edition)
        except Unsupported as error:
            problems.append(Problem("body", str(error)))
        return problems

    def address(self, edition: Edition, key: Key) -> str | None:
        return None

    def render(self, edition: Edition, place: Place) -> Rendition:
        html, files = body_html(edition)
        digests = {quote(path): digest for digest, path in files.items()}  # as they stand in the HTML
        shown = [Token("title", compare.normal(edition.title))]
        shown += compare.tokens(html, lambda source: digests.get(source, source))
        fields = {
            "where": self._where,
            "steps": self._steps,
            "summary": edition.text("summary"),
            "text": plain_text(edition),
            "canonical": place.canonical or "",
            "replaces": place.replaces.url if place.replaces is not None else "",
            "delivery": place.key.delivery,
            "files": json.dumps(files, sort_keys=True),
        }
        return Rendition(edition.title, html, fields, edition.assets, self._kept(shown, own=digests))

    def _kept(self, tokens: list[Token], own: Mapping[str, str]) -> tuple[Token, ...]:
        """What is compared; a link to a file of the item leads to another place on each platform."""
        return tuple(one for one in tokens if one.kind in self._compared and one.value not in own)

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        return package(self._tools.pages, rendition, self._tools.blob)

    # no network

    def login(self) -> None:
        """There is nothing to prove: a person has the account."""

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        return Prepared("")

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        return HandedOver()

    # read-only

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """Once its moment has come it is a task, whoever was to say so."""
        return None if hint is None else Accepted("")

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        if not self._readable:
            raise Unsupported(f"{self._name}: 页面须登录才能看 · its pages cannot be read by anybody")
        if not receipt.url.startswith(self._prefix):
            raise Rejected(f"{self._name}: 地址不以 {self._prefix} 开头 · the address does not begin so: {receipt.url}")
        page, began, ended = self._look(receipt.url, rendition)
        if page is None or not page.tells_of(rendition):
            return Sighting(False, began, ended)  # many platforms answer 200 for what is not there
        if before is not None and page.shows(before) and not page.shows(rendition):
            return Sighting(False, began, ended)
        return compare.sighted(page.seen(rendition.shown), rendition, None, began, ended)

    def _look(self, url: str, rendition: Rendition) -> tuple[Page | None, int, int]:
        """What of the page is compared, None when there is none, and when it was read. Raises TryLater."""
        began = self._tools.now()
        answer = self._tools.http.read(url)
        ended = self._tools.now()
        if answer.status in (404, 410):
            return None, began, ended
        if answer.status != 200:
            raise unread(f"{self._name}: {url} answers {answer.status}", answer, ended)
        pictures = [one.digest for one in rendition.files if one.media_type.startswith("image/")]

        def picture(source: str) -> str:
            try:
                found = self._tools.http.read(source)
            except (Rejected, Misbehaved):
                return source
            candidates = {digest: self._tools.blob(digest) for digest in pictures}
            return compare.recognise(found.body, candidates) if found.status == 200 else source

        page = read(answer.body, answer.headers, url, picture if "image" in self._compared else None)
        if page is None:
            return None, began, ended
        return replace(page, text=tuple(one for one in page.text if one.kind in self._compared)), began, ended

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        """Nothing was put in place."""

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        raise Unsupported(f"{self._name}: 须由人删除 · a person has to remove it")


def _one_of(outlet: Outlet, name: str, usual: str, other: str) -> str:
    given = outlet.settings.get(name) or usual
    if given not in (usual, other):
        raise BadInput(
            name,
            f"{given!r} 既不是 {usual} 也不是 {other} · {given!r} is neither {usual} nor {other}",
            f"写 {name}={other}，或不设 · write {name}={other}, or leave it out",
        )
    return given
