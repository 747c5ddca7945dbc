"""A static website of our own templates: staged pages that appear by one rename each.

Promises: the article's page is the only thing that appears at the instant; home page, column page,
month page, feeds and sitemaps follow it, and their number does not grow with the site. Knows the page norms of
government sites (meta tags, dates, breadcrumb); staging, reading back and listing are done elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from channels import article, feeds, pings
from channels.addresses import ref_of
from channels.listing import NEWEST, Shelf
from channels.page import Column, asset_paths, lead_picture, rendition
from channels.served import BASE_URL, DIRECTORY
from channels.static import StaticChannel
from sync.contract import Capabilities, Correct, Place, Probe, Reveal, Setting, Tools
from sync.model import Asset, AssetRole, BadInput, Edition, Key, Outlet, Rendition, sha256

STYLE = "assets/site.css"
LATEST = 15  # on the home page
SITE_ID = re.compile(r"bm\d{8}|\d{10}")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

# kind of item → folder of its articles, column when none is named, ColumnType of the norm
KINDS = {
    "news": ("news", "工作动态", "工作动态"),
    "notice": ("notice", "通知公告", "通知公告"),
    "policy": ("policy", "政策文件", "政策文件"),
    "interpretation": ("interpretation", "政策解读", "政策解读"),
    "personnel": ("personnel", "人事信息", "人事信息"),
    "statistics": ("statistics", "数据发布", "数据发布"),
    "service_guide": ("guide", "办事服务", "办事服务"),
    "disclosure": ("disclosure", "政府信息公开", "信息公开目录"),
}
# Folders of usual columns, by the initials that such sites use; any other column gets a name from its digest.
SLUGS = {
    "工作动态": "gzdt",
    "新闻动态": "xwdt",
    "通知公告": "tzgg",
    "公示公告": "gsgg",
    "政策文件": "zcwj",
    "政策解读": "zcjd",
    "人事信息": "rsxx",
    "数据发布": "sjfb",
    "办事服务": "bsfw",
    "办事指南": "bszn",
    "政府信息公开": "zfxxgk",
}


@dataclass(frozen=True, slots=True)
class Site:
    """What every page states of the site. `style`: path of the style sheet, with its version."""

    name: str
    domain: str
    id_code: str
    style: str


class WebsiteChannel(StaticChannel):
    kind: ClassVar[str] = "website"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.FLIP,
        probe=Probe.NAME,
        lands_within=1.0,
        address=True,
        correct=Correct.EDIT,
        withdraw=True,
        settings=(
            DIRECTORY,
            BASE_URL,
            Setting("site_name", "网站名称", "name of the site"),
            Setting("site_domain", "网站域名", "domain of the site"),
            Setting(
                "site_id_code", "政府网站标识码（由报送系统发放）", "government site code (issued, never invented)"
            ),
            Setting("theme", "主色调", "main colour", default="#17509e"),
            *pings.SETTINGS,
        ),
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        super().__init__(outlet, tools)
        settings = outlet.settings
        theme, code = settings.get("theme") or "#17509e", settings.get("site_id_code", "")
        if not COLOUR.fullmatch(theme) or contrast_with_white(theme) < 4.5:
            mend = (
                "写成 #17509e 这样，须深到能衬白字（对比度 4.5） · "
                "give a colour such as #17509e, dark enough for white text on it (contrast 4.5)"
            )
            raise BadInput("theme", f"{theme!r} 不能作主色调 · {theme!r} cannot be the main colour", mend)
        if code and not SITE_ID.fullmatch(code):
            mend = (
                "从报送系统抄录：十位数字，或 bm 加八位数字；没有则不设 · "
                "copy it from the reporting system: ten digits, or bm and eight digits; leave it out if you have none"
            )
            raise BadInput("site_id_code", f"{code!r} 不是网站标识码 · {code!r} is no site code", mend)
        self._pings = pings.Pings(tools.http, outlet.name, self._base, settings, outlet.secrets)
        self._css = tools.pages.render("website/site.css", theme=theme).encode()
        self._site = Site(
            name=settings.get("site_name") or outlet.name,
            domain=settings.get("site_domain") or urlsplit(self._base).netloc,
            id_code=code,
            style=f"{STYLE}?v={sha256(self._css)[:8]}",
        )

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        """Whoever would be told of its pages is played by the same sandbox."""
        twin = super().twin(outlet, sandbox, folder)
        told = f"{sandbox.rstrip('/')}/_pings/"
        settings = {**twin.settings, "indexnow_base": f"{told}indexnow", "baidu_base": f"{told}baidu"}
        if "site_domain" in outlet.settings:
            settings["site_domain"] = urlsplit(sandbox).netloc
        if outlet.settings.get("websub_hub"):
            settings["websub_hub"] = f"{told}websub"
        secrets = {}
        if outlet.settings.get("baidu_site"):
            settings["baidu_site"], secrets["baidu_token"] = urlsplit(sandbox).netloc, f"sandbox-{outlet.name}"
        return Outlet(twin.name, twin.unit, twin.kind, settings, secrets, twin.required, private_network=True)

    # pure

    def address(self, edition: Edition, key: Key) -> str | None:
        return f"{self._base}/{_path(edition, key)}"

    def render(self, edition: Edition, place: Place) -> Rendition:
        _, usual, column_type = KINDS.get(edition.text("kind"), KINDS["news"])
        name = edition.text("column").strip() or usual
        return rendition(
            self._tools.pages,
            self._base,
            edition,
            place,
            template="website/article.html",
            path=ref_of(place.replaces, self._base) if place.replaces else _path(edition, place.key),
            column=Column(name, slug_of(name), column_type, f"{self._site.name}发布的{name}"),
            source=edition.text("source").strip() or self._site.name,
            heading=article.ATTACHMENTS,
            fields={"feed": feeds.packed(self._feed_text(edition, place.key)).decode()},
            site=self._site,
        )

    # what StaticChannel asks for

    def _shared(self) -> Mapping[str, bytes]:
        return {STYLE: self._css, **self._pings.files}

    def _lists(self, shelf: Shelf, unkept: Rendition | None = None) -> Iterator[tuple[str, str]]:
        slug, month = shelf.column.slug, shelf.name
        column_type = KINDS.get(shelf.column.kind, KINDS["news"])[2]
        listing = {"site": self._site, "column": shelf.column, "columns": shelf.columns, "column_type": column_type}
        render = self._tools.pages.render
        yield (
            f"{slug}/index.html",
            render("website/column.html", root="../", entries=shelf.column.newest, month="", **listing),
        )
        if month:
            yield (
                f"{slug}/{month}.html",
                render("website/column.html", root="../", entries=shelf.month, month=month, **listing),
            )
        yield (
            "index.html",
            render("website/home.html", site=self._site, root="", newest=shelf.newest[:LATEST], columns=shelf.columns),
        )
        texts = (
            {unkept.fields["path"]: feeds.unpacked(unkept.fields["feed"].encode())}
            if unkept and "feed" in unkept.fields
            else {}
        )
        items = [feeds.item(entry, texts.get(entry.path) or self._text(entry.path)) for entry in shelf.newest[:NEWEST]]
        yield from feeds.feeds(self._tools.pages, self._site, self._base, self._pings.hub, items)
        yield from feeds.sitemaps(self._tools.pages, self._base, shelf)

    def _noted(self, rendition: Rendition, ref: str) -> Mapping[Path, bytes]:
        return {self._kept(ref): rendition.fields["feed"].encode()} if "feed" in rendition.fields else {}

    def _forgotten(self, ref: str) -> Iterable[Path]:
        return [self._kept(ref)]

    # after it is live

    def pings(self) -> tuple[str, ...]:
        return self._pings.names

    def ping(self, name: str, url: str, *, gone: bool) -> None:
        self._pings.give(name, url, gone=gone)

    def _text(self, ref: str) -> feeds.Text | None:
        try:
            return feeds.unpacked(self._kept(ref).read_bytes())
        except FileNotFoundError:
            return None

    def _kept(self, ref: str) -> Path:
        return self._staging.hidden / "index" / "texts" / f"{sha256(ref.encode())[:32]}.json"

    def _feed_text(self, edition: Edition, key: Key) -> feeds.Text:
        paths = asset_paths(edition, key)

        def whole(asset: Asset) -> str:
            return f"{self._base}/{paths[asset.digest]}"

        files = [
            feeds.File(whole(one), one.media_type, one.size, one.name)
            for one in edition.assets
            if one.role is AssetRole.ATTACHMENT
        ]
        picture = lead_picture(edition)
        html = article.dressed(edition, whole)
        return feeds.Text(html, tuple(files), whole(picture) if picture else "", edition.text("language") or "zh-CN")


def slug_of(column: str) -> str:
    """The folder of a column's pages."""
    return SLUGS.get(column) or f"c-{sha256(column.encode())[:10]}"


def contrast_with_white(colour: str) -> float:
    """The WCAG contrast ratio of `#rrggbb` on white, 1 to 21."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def _path(edition: Edition, key: Key) -> str:
    return f"{KINDS.get(edition.text('kind'), KINDS['news'])[0]}/{key.token[:12]}.html"
