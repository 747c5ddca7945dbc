"""The government gazette: each item as a page and as a PDF for keeping, listed by month.

Promises: page and PDF show the same text, checked before anything is public; the PDF a reader gets is
byte for byte the one that was prepared. Knows the norm's rule on who may publish a gazette
(国办发〔2018〕22号): townships, subdistricts and departments submit to their county or city instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from channels import article
from channels.gazette import pdf
from channels.gazette.markup import Picture, Writer, expected_text, literal, squeezed, words
from channels.listing import Shelf
from channels.static import BASE_URL, DIRECTORY, StaticChannel, hidden_folder, hidden_name, marker_of
from sync.compare import differences
from sync.contract import Capabilities, Place, Probe, Receipt, Rejected, Reveal, Setting, Tools, Unsupported
from sync.model import Asset, BadInput, Edition, Key, Outlet, Problem, Rendition, Token, canonical_bytes, sha256

STYLE = "assets/gazette.css"
THEME = "#8f1d1d"
NAME = "政府公报"
SLUG = "gazette"
PUBLISHERS = ("state", "province", "city", "county")
SUBMITTERS = ("township", "subdistrict", "department")
FILES = ("文件", "Files")
PDF_KIND = "PDF"
PDF_SIZE = "PDF/A-2a · PDF/UA-1"
DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
PICTURES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class Gazette:
    """What every page states of the gazette."""

    name: str
    domain: str
    style: str


@dataclass(frozen=True, slots=True)
class Printed:
    """An item ready for the typesetter: the source, its files by name, and the text that must come out."""

    source: str
    files: Mapping[str, str]  # name → digest
    text: str


class GazetteChannel(StaticChannel):
    kind: ClassVar[str] = "gazette"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.FLIP,
        probe=Probe.NAME,
        lands_within=1.0,
        address=True,
        settings=(
            DIRECTORY,
            BASE_URL,
            Setting("publisher_level", "发布机关层级", "level of the publisher", default="county"),
            Setting("formats", "格式：html 或 html,pdf", "formats: html or html,pdf", default="html,pdf"),
            Setting("site_name", "公报名称", "name of the gazette", default=NAME),
        ),
    )
    folders: ClassVar[tuple[str, ...]] = ("assets", "files")

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        super().__init__(outlet, tools)
        level = outlet.settings.get("publisher_level") or "county"
        if level in SUBMITTERS:
            raise BadInput(
                "publisher_level",
                f"{level}：乡镇、街道和部门不办政府公报（国办发〔2018〕22号） · does not publish a gazette of its own",
                "向县（市）政府公报报送 · submit the document to the county's or city's gazette",
            )
        if level not in PUBLISHERS:
            raise BadInput("publisher_level", f"{level!r} is not known", f"give one of {', '.join(PUBLISHERS)}")
        formats = {part.strip() for part in (outlet.settings.get("formats") or "html,pdf").split(",")}
        if formats not in ({"html"}, {"html", "pdf"}):
            raise BadInput("formats", f"{sorted(formats)} cannot be made", "give html,pdf or html")
        self._prints = "pdf" in formats
        self._css = tools.pages.render("website/site.css", theme=THEME).encode()
        name = outlet.settings.get("site_name") or NAME
        self._gazette = Gazette(name, urlsplit(self._base).netloc, f"{STYLE}?v={sha256(self._css)[:8]}")

    # pure

    def address(self, edition: Edition, key: Key) -> str | None:
        return f"{self._base}/{_path(key)}"

    def check(self, edition: Edition) -> list[Problem]:
        """As for a website; and it sets the PDF once, because only that shows a character the fonts lack."""
        found = super().check(edition)
        if self._prints and not any(problem.fatal for problem in found):
            trial = Key("check", "check")
            try:
                self._pdf(self._printed(edition, trial))
            except (Unsupported, Rejected) as error:
                found.append(Problem("body", str(error)))
        return found

    def render(self, edition: Edition, place: Place) -> Rendition:
        """The page, with a mark for the date, and the source of the PDF. Raises Unsupported."""
        key, path = place.key, _path(place.key)
        source = edition.text("source").strip() or edition.text("issuing_body").strip() or self._gazette.name
        column = edition.text("column").strip() or self._gazette.name
        mark = f"published-{sha256(f'mark {key.token}'.encode())[:16]}"
        paths = self._paths(edition, key)

        def beside(asset: Asset) -> str:
            return f"../{paths[asset.digest]}"

        told = article.facts(edition, source, column)
        enclosed = article.enclosures(edition, beside)
        fields = {
            "path": path,
            "published_mark": mark,
            "assets": canonical_bytes(paths).decode(),
            "entry": canonical_bytes(
                {
                    "title": edition.title,
                    "column": self._gazette.name,
                    "slug": SLUG,
                    "kind": edition.text("kind"),
                    "summary": edition.text("summary"),
                    "source": source,
                    "number": edition.text("document_no"),
                }
            ).decode(),
        }
        if self._prints:
            printed = self._printed(edition, key)
            own = article.Enclosure(f"{edition.title}.pdf", PDF_KIND, PDF_SIZE, f"../{_pdf_path(key)}")
            enclosed = (own, *enclosed)
            fields |= {
                "pdf": _pdf_path(key),
                "pdf_source": printed.source,
                "pdf_files": canonical_bytes(printed.files).decode(),
                "pdf_text": printed.text,
            }
        shown = article.must_show(edition, told, beside, enclosed, FILES)
        page = self._tools.pages.render(
            "gazette/item.html",
            gazette=self._gazette,
            root="../",
            lang=edition.text("language") or "zh-CN",
            meta=self._meta(edition, key, source, mark),
            canonical=place.canonical or f"{self._base}/{path}",
            title=edition.title,
            subtitle=edition.text("subtitle").strip(),
            facts=told,
            published=article.PUBLISHED,
            date=mark,
            body=article.dressed(edition, beside),
            enclosures=enclosed,
            attachments=FILES,
        )
        by_path = {f"../{path}": digest for digest, path in paths.items()}
        found = article.read(page.encode(), lambda address: by_path.get(address, address))
        apart = differences(shown, found.seen if found else ())
        if apart:
            raise Unsupported(f"页面与稿件不一致 · the page does not show the item: {apart[0].message}")
        return Rendition(edition.title, page, fields, edition.assets, shown)

    def _paths(self, edition: Edition, key: Key) -> dict[str, str]:
        folder = f"assets/{hidden_folder(key)}"
        return {a.digest: f"{folder}/{hidden_name(key, a.digest, a.media_type)}" for a in edition.assets}

    def _meta(self, edition: Edition, key: Key, source: str, mark: str) -> list[tuple[str, str]]:
        keywords = edition.metadata.get("keywords", "")
        tags = [
            ("ColumnName", self._gazette.name),
            ("ColumnDescription", f"{self._gazette.name}刊登的文件"),
            ("ColumnKeywords", f"{self._gazette.name},公报"),
            ("ColumnType", "政策文件"),
            ("ArticleTitle", edition.title),
            ("PubDate", mark),
            ("ContentSource", source),
            ("Keywords", ",".join(keywords) if isinstance(keywords, tuple) else str(keywords)),
            ("Author", edition.text("author") or edition.text("editor")),
            ("Description", edition.text("summary")),
            ("Url", f"{self._base}/{_path(key)}"),
            ("tongfa-delivery", marker_of(key)),
        ]
        return [(name, content) for name, content in tags if content]

    # the printed item

    def _printed(self, edition: Edition, key: Key) -> Printed:
        """The source of the PDF and the text it must show. Raises Unsupported."""
        root = article.parsed(edition.body)
        paths = self._paths(edition, key)
        files: dict[str, str] = {}

        def picture(address: str) -> Picture:
            asset = article.asset_of(edition, address)
            if asset.media_type not in PICTURES:
                raise Unsupported(f"公报不支持这种图片 · a picture of this kind cannot be printed: {asset.name}")
            name = f"{asset.digest[:24]}.{PICTURES[asset.media_type]}"
            files[name] = asset.digest
            return Picture(name, asset.alt or asset.name)

        def link(address: str) -> str:
            if not address.startswith("asset:"):
                return address
            return f"{self._base}/{paths[article.asset_of(edition, address).digest]}"

        under_title = [part for name in ("subtitle", "document_no") if (part := edition.text(name).strip())]
        enclosed = article.enclosures(edition, lambda asset: f"{self._base}/{paths[asset.digest]}")
        attached = [f"{'附件：' if n == 1 else ''}{n}. " for n in range(1, len(enclosed) + 1)]
        signed = [
            part for part in (edition.text("issuing_body").strip(), _in_words(edition.text("written_on"))) if part
        ]
        keywords = edition.metadata.get("keywords", ())
        body = expected_text(root)
        if signed and body.endswith(squeezed("".join(signed))):
            signed = []  # the text carries its own signature
        day = DAY.fullmatch(edition.text("written_on"))
        language, _, region = (edition.text("language") or "zh-CN").partition("-")
        source = self._tools.pages.render(
            "gazette/item.typ",
            title=literal(edition.title),
            author=literal(edition.text("issuing_body") or edition.text("source") or self._gazette.name),
            keywords=f"({''.join(literal(k) + ',' for k in keywords)})" if isinstance(keywords, tuple) else "()",
            date=[int(part) for part in day.groups()] if day else [1970, 1, 1],
            lang=literal(language),
            region=literal(region) if region else "none",
            under_title=[literal(part) for part in under_title],
            body=Writer(picture, link).body(root),
            attached=[
                f"{words(mark)}#link({literal(one.path)})[{words(one.name)}]"
                for mark, one in zip(attached, enclosed, strict=True)
            ],
            signed=[literal(part) for part in signed],
        )
        listed = "".join(mark + one.name for mark, one in zip(attached, enclosed, strict=True))
        text = squeezed("".join([edition.title, *under_title])) + body + squeezed(listed + "".join(signed))
        return Printed(source, files, text)

    def _pdf(self, printed: Printed) -> bytes:
        """The PDF, once its text was read back. Raises Unsupported; Rejected when it does not say the same."""
        made = pdf.compiled(printed.source, {name: self._tools.blob(d) for name, d in printed.files.items()})
        apart = _text_problem(printed.text, pdf.text_of(made))
        if apart:
            raise Rejected(f"PDF 与稿件不一致 · the PDF does not show the item: {apart.message}")
        return made

    # what StaticChannel asks for

    def login(self) -> None:
        if self._prints:
            pdf.ready()
        super().login()

    def _shared(self) -> Mapping[str, bytes]:
        return {STYLE: self._css}

    def _companions(self, rendition: Rendition, key: Key) -> Mapping[str, bytes]:
        fields = rendition.fields
        if "pdf" not in fields:
            return {}
        printed = Printed(fields["pdf_source"], json.loads(fields["pdf_files"]), fields["pdf_text"])
        return {fields["pdf"]: self._pdf(printed)}

    def _look_further(self, receipt: Receipt, rendition: Rendition) -> tuple[Problem, ...]:
        """The PDF as a reader gets it: the prepared bytes, and the item's text."""
        path = rendition.fields.get("pdf")
        if path is None:
            return ()
        answer = self._tools.http.read(f"{self._base}/{path}")
        if answer.status != 200:
            return (Problem("link", f"PDF: HTTP {answer.status}", fatal=False),)
        prepared, found = receipt.notes.get(f"sha256 {path}", ""), sha256(answer.body)
        problems = []
        if prepared != found:
            message = f"PDF 内容变了 / PDF altered: sha256 {prepared[:16]}… → {found[:16]}…"
            problems.append(Problem("link", message, fatal=False))
        apart = _text_problem(rendition.fields["pdf_text"], pdf.text_of(answer.body))
        return tuple([*problems, apart] if apart else problems)

    def _lists(self, shelf: Shelf) -> Iterator[tuple[str, str]]:
        render, month = self._tools.pages.render, shelf.month[0].month
        values = {"gazette": self._gazette, "root": "", "column": shelf.column}
        yield "index.html", render("gazette/index.html", entries=shelf.column.newest, month="", **values)
        yield f"{month}.html", render("gazette/index.html", entries=shelf.month, month=month, **values)


def _path(key: Key) -> str:
    return f"items/{key.token[:12]}.html"


def _pdf_path(key: Key) -> str:
    return f"files/{hidden_folder(key)}/{hidden_name(key, 'pdf', 'application/pdf')}"


def _in_words(day: str) -> str:
    """`2026-11-20` → `2026年11月20日`, without leading zeros; any other text as it is."""
    found = DAY.fullmatch(day.strip())
    return f"{int(found[1])}年{int(found[2])}月{int(found[3])}日" if found else day.strip()


def _text_problem(expected: str, seen: str) -> Problem | None:
    apart = differences((Token("text", expected),), (Token("text", seen),))
    return Problem("text", f"PDF {apart[0].message}", fatal=False) if apart else None
