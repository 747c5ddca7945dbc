"""A static website of our own templates: staged pages that appear by one rename each.

Promises: the article's page is the only thing that appears at the instant; home page, column page,
month page and feed follow it, and their number does not grow with the site. Knows the page norms of
government sites (meta tags, dates, breadcrumb); staging, reading back and listing are done elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlsplit

from channels import article
from channels.listing import NEWEST, Entry, Shelf
from channels.static import BASE_URL, DIRECTORY, StaticChannel, hidden_folder, hidden_name, marker_of
from sync.clock import instant
from sync.compare import differences
from sync.contract import Capabilities, Place, Probe, Reveal, Setting, Tools, Unsupported
from sync.model import Asset, AssetRole, BadInput, Edition, Key, MetaValue, Outlet, Rendition, canonical_bytes, sha256
from sync.render import CHINA

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


@dataclass(frozen=True, slots=True)
class FeedItem:
    entry: Entry
    when: int


class WebsiteChannel(StaticChannel):
    kind: ClassVar[str] = "website"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.FLIP,
        probe=Probe.NAME,
        lands_within=1.0,
        address=True,
        settings=(
            DIRECTORY,
            BASE_URL,
            Setting("site_name", "网站名称", "name of the site"),
            Setting("site_domain", "网站域名", "domain of the site"),
            Setting(
                "site_id_code", "政府网站标识码（由报送系统发放）", "government site code (issued, never invented)"
            ),
            Setting("theme", "主色调", "main colour", default="#17509e"),
        ),
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        super().__init__(outlet, tools)
        settings = outlet.settings
        theme, code = settings.get("theme") or "#17509e", settings.get("site_id_code", "")
        if not COLOUR.fullmatch(theme) or contrast_with_white(theme) < 4.5:
            mend = "give a colour such as #17509e, dark enough for white text on it (contrast 4.5)"
            raise BadInput("theme", f"{theme!r} cannot be the main colour", mend)
        if code and not SITE_ID.fullmatch(code):
            mend = (
                "copy it from the reporting system: ten digits, or bm and eight digits; leave it out if you have none"
            )
            raise BadInput("site_id_code", f"{code!r} is no site code", mend)
        self._css = tools.pages.render("website/site.css", theme=theme).encode()
        self._site = Site(
            name=settings.get("site_name") or outlet.name,
            domain=settings.get("site_domain") or urlsplit(self._base).netloc,
            id_code=code,
            style=f"{STYLE}?v={sha256(self._css)[:8]}",
        )

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        twin = super().twin(outlet, sandbox, folder)
        if "site_domain" not in outlet.settings:
            return twin
        settings = {**twin.settings, "site_domain": urlsplit(sandbox).netloc}
        return Outlet(twin.name, twin.unit, twin.kind, settings, {}, twin.required, private_network=True)

    # pure

    def address(self, edition: Edition, key: Key) -> str | None:
        return f"{self._base}/{_path(edition, key)}"

    def render(self, edition: Edition, place: Place) -> Rendition:
        """The whole page, with a mark where the time of publication will stand. Raises Unsupported."""
        key, path = place.key, _path(edition, place.key)
        _, usual, column_type = KINDS.get(edition.text("kind"), KINDS["news"])
        column = edition.text("column").strip() or usual
        source = edition.text("source").strip() or self._site.name
        mark = f"published-{sha256(f'mark {key.token}'.encode())[:16]}"  # no author can write it into a text
        paths = {
            a.digest: f"assets/{hidden_folder(key)}/{hidden_name(key, a.digest, a.media_type)}" for a in edition.assets
        }

        def beside(asset: Asset) -> str:
            return f"../{paths[asset.digest]}"

        told = article.facts(edition, source, column)
        enclosed = article.enclosures(edition, beside)
        shown = article.must_show(edition, told, beside, enclosed, article.ATTACHMENTS)
        page = self._tools.pages.render(
            "website/article.html",
            site=self._site,
            root="../",
            lang=edition.text("language") or "zh-CN",
            meta=self._meta(edition, key, paths, column, column_type, source, mark),
            canonical=place.canonical or f"{self._base}/{path}",
            column=column,
            slug=slug_of(column),
            title=edition.title,
            subtitle=edition.text("subtitle").strip(),
            facts=told,
            published=article.PUBLISHED,
            date=mark,
            body=article.dressed(edition, beside),
            enclosures=enclosed,
            attachments=article.ATTACHMENTS,
        )
        by_path = {f"../{path}": digest for digest, path in paths.items()}
        found = article.read(page.encode(), lambda source: by_path.get(source, source))
        apart = differences(shown, found.seen if found else ())
        if apart:
            raise Unsupported(f"页面与稿件不一致 · the page does not show the item: {apart[0].message}")
        entry = {
            "title": edition.title,
            "column": column,
            "slug": slug_of(column),
            "kind": edition.text("kind"),
            "summary": edition.text("summary"),
            "source": source,
            "number": edition.text("document_no"),
        }
        fields = {
            "path": path,
            "published_mark": mark,
            "assets": canonical_bytes(paths).decode(),
            "entry": canonical_bytes(entry).decode(),
        }
        return Rendition(edition.title, page, fields, edition.assets, shown)

    def _meta(
        self,
        edition: Edition,
        key: Key,
        paths: Mapping[str, str],
        column: str,
        column_type: str,
        source: str,
        mark: str,
    ) -> list[tuple[str, str]]:
        """The column and article groups of the norm's meta tags, and the mark by which a probe knows the page."""
        picture = next(
            (a for role in (AssetRole.IMAGE, AssetRole.COVER) for a in edition.assets if a.role is role), None
        )
        tags = [
            ("ColumnName", column),
            ("ColumnDescription", f"{self._site.name}发布的{column}"),
            ("ColumnKeywords", f"{column},{self._site.name}"),
            ("ColumnType", column_type),
            ("ArticleTitle", edition.title),
            ("PubDate", mark),
            ("ContentSource", source),
            ("Keywords", _commas(edition.metadata.get("keywords", ""))),
            ("Author", edition.text("author") or edition.text("editor")),
            ("Description", edition.text("summary")),
            ("Image", f"{self._base}/{paths[picture.digest]}" if picture else ""),
            ("Url", f"{self._base}/{_path(edition, key)}"),
            ("tongfa-delivery", marker_of(key)),
        ]
        return [(name, content) for name, content in tags if content]

    # what StaticChannel asks for

    def _shared(self) -> Mapping[str, bytes]:
        return {STYLE: self._css}

    def _lists(self, shelf: Shelf) -> Iterator[tuple[str, str]]:
        slug, month = shelf.column.slug, shelf.month[0].month
        column_type = KINDS.get(shelf.column.kind, KINDS["news"])[2]
        listing = {"site": self._site, "column": shelf.column, "columns": shelf.columns, "column_type": column_type}
        render = self._tools.pages.render
        yield (
            f"{slug}/index.html",
            render("website/column.html", root="../", entries=shelf.column.newest, month="", **listing),
        )
        yield (
            f"{slug}/{month}.html",
            render("website/column.html", root="../", entries=shelf.month, month=month, **listing),
        )
        yield (
            "index.html",
            render("website/home.html", site=self._site, root="", newest=shelf.newest[:LATEST], columns=shelf.columns),
        )
        items = [FeedItem(entry, _instant(entry.date)) for entry in shelf.newest[:NEWEST]]
        yield "feed.xml", render("website/feed.xml", site=self._site, base=self._base, items=items)


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


def _commas(value: MetaValue) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _instant(date: str) -> int:
    return instant(datetime.strptime(date, "%Y-%m-%d %H:%M").replace(tzinfo=CHINA))
