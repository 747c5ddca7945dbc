"""The government gazette: each item as a page and as a PDF for keeping, listed by month.

Promises: page and PDF show the same text, checked before anything is public; the PDF a reader gets is
byte for byte the one that was prepared. Knows the norm's rule on who may publish a gazette
(国办发〔2018〕22号): townships, subdistricts and departments submit to their county or city instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from channels import article
from channels.addresses import ref_of
from channels.gazette import pdf, printed
from channels.listing import Shelf
from channels.names import hidden_folder, hidden_name
from channels.page import Column, asset_paths, rendition
from channels.served import BASE_URL, DIRECTORY
from channels.static import StaticChannel
from sync.contract import (
    Capabilities,
    Correct,
    Place,
    Probe,
    Receipt,
    Rejected,
    Reveal,
    Setting,
    Tools,
    Unsupported,
)
from sync.model import BadInput, Edition, Key, Outlet, Problem, Rendition, sha256

STYLE = "assets/gazette.css"
THEME = "#8f1d1d"
NAME = "政府公报"
SLUG = "gazette"
PUBLISHERS = ("state", "province", "city", "county")
SUBMITTERS = ("township", "subdistrict", "department")
FILES = ("文件", "Files")
PDF_SIZE = "PDF/A-2a · PDF/UA-1"


@dataclass(frozen=True, slots=True)
class Gazette:
    """What every page states of the gazette."""

    name: str
    domain: str
    style: str


class GazetteChannel(StaticChannel):
    kind: ClassVar[str] = "gazette"
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
            raise BadInput(
                "publisher_level",
                f"没有 {level!r} 这一层级 · {level!r} is not known",
                f"可用以下之一 · give one of {', '.join(PUBLISHERS)}",
            )
        formats = {part.strip() for part in (outlet.settings.get("formats") or "html,pdf").split(",")}
        if formats not in ({"html"}, {"html", "pdf"}):
            raise BadInput(
                "formats",
                f"{sorted(formats)} 不能生成 · {sorted(formats)} cannot be made",
                "写 html,pdf 或 html · give html,pdf or html",
            )
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
                printed.made(self._printed(edition, trial), self._tools.blob)
            except (Unsupported, Rejected) as error:
                found.append(Problem("body", str(error)))
        return found

    def render(self, edition: Edition, place: Place) -> Rendition:
        """The page, and the source of the PDF that it links. Raises Unsupported."""
        enclosed, fields = [], {}
        if self._prints:
            item, path = self._printed(edition, place.key), _pdf_path(place.key)
            enclosed.append(article.Enclosure(f"{edition.title}.pdf", "PDF", PDF_SIZE, f"../{path}"))
            fields = {"pdf": path, "pdf_source": item.source, "pdf_files": item.listed(), "pdf_text": item.text}
        name = self._gazette.name
        source = edition.text("source").strip() or edition.text("issuing_body").strip() or name
        return rendition(
            self._tools.pages,
            self._base,
            edition,
            place,
            template="gazette/item.html",
            path=ref_of(place.replaces, self._base) if place.replaces else _path(place.key),
            column=Column(name, SLUG, "政策文件", f"{name}刊登的文件"),
            source=source,
            heading=FILES,
            enclosed=enclosed,
            fields=fields,
            gazette=self._gazette,
        )

    def _printed(self, edition: Edition, key: Key) -> printed.Printed:
        paths = asset_paths(edition, key)
        return printed.item(
            edition, lambda asset: f"{self._base}/{paths[asset.digest]}", self._gazette.name, self._tools.pages
        )

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
        item = printed.Printed(fields["pdf_source"], json.loads(fields["pdf_files"]), fields["pdf_text"])
        return {fields["pdf"]: printed.made(item, self._tools.blob)}

    def _look_further(self, receipt: Receipt, rendition: Rendition) -> tuple[Problem, ...]:
        """The PDF as a reader gets it: the prepared bytes, and the item's text."""
        path = rendition.fields.get("pdf")
        if path is None:
            return ()
        answer = self._tools.http.read(f"{self._base}/{path}")
        if answer.status != 200:
            return (Problem("link", f"PDF: HTTP {answer.status}", fatal=False),)
        expected, found = receipt.notes.get(f"sha256 {path}", ""), sha256(answer.body)
        problems = []
        if expected != found:
            message = f"PDF 内容变了 / PDF altered: sha256 {expected[:16]}… → {found[:16]}…"
            problems.append(Problem("link", message, fatal=False))
        apart = printed.text_problem(rendition.fields["pdf_text"], pdf.text_of(answer.body))
        return tuple([*problems, apart] if apart else problems)

    def _lists(self, shelf: Shelf, unkept: Rendition | None = None) -> Iterator[tuple[str, str]]:
        render, month = self._tools.pages.render, shelf.name
        values = {"gazette": self._gazette, "root": "", "column": shelf.column}
        yield "index.html", render("gazette/index.html", entries=shelf.column.newest, month="", **values)
        if month:
            yield f"{month}.html", render("gazette/index.html", entries=shelf.month, month=month, **values)


def _path(key: Key) -> str:
    return f"items/{key.token[:12]}.html"


def _pdf_path(key: Key) -> str:
    return f"files/{hidden_folder(key)}/{hidden_name(key, 'pdf', 'application/pdf')}"
