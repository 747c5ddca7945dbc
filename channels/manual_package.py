"""What a person is handed to publish an item by hand: a page to open first, texts, files under plain names. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from lxml import etree

from channels import article
from sync.compare import normal
from sync.contract import Pages
from sync.model import Asset, AssetRole, Edition, Rendition

BLOCKS = frozenset({"p", "h2", "h3", "h4", "blockquote", "figcaption", "hr"})
FOLDERS = {AssetRole.IMAGE: "pictures", AssetRole.COVER: "pictures", AssetRole.ATTACHMENT: "attachments"}
UNFIT = re.compile(r"[^\w.-]+")


def files(edition: Edition) -> dict[str, str]:
    """Where each file lies in the package, by digest: numbered in their order, with the names they had."""
    found: dict[str, str] = {}
    for asset in edition.assets:
        if asset.digest not in found:
            name = UNFIT.sub("_", asset.name).strip("._") or "file"
            found[asset.digest] = f"{FOLDERS[asset.role]}/{len(found) + 1:02}-{name}"
    return found


def body_html(edition: Edition) -> tuple[str, dict[str, str]]:
    """The body with its files beside it, and where they are. Raises Unsupported for markup outside the subset."""
    root, paths = article.parsed(edition.body), files(edition)
    for element in root.iterdescendants("a", "img"):
        name = "href" if element.tag == "a" else "src"
        source = element.get(name, "")
        if source.startswith("asset:"):
            element.set(name, quote(paths[article.asset_of(edition, source).digest]))
    inner = (root.text or "").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return inner + "".join(etree.tostring(child, encoding="unicode", method="html") for child in root), paths


def plain_text(edition: Edition) -> str:
    """For fields that take no markup: a line for each block, list item and row of a table; pictures by their place."""
    lines: list[str] = []
    _lines(article.parsed(edition.body), lines, files(edition))
    return "\n".join(lines)


def _lines(element: etree._Element, lines: list[str], paths: Mapping[str, str]) -> None:
    if element.tag == "tr":
        lines.append("\t".join(normal("".join(map(str, cell.itertext()))) for cell in element))
    elif element.tag == "img":
        lines.append(f"［图片 {paths.get(element.get('src', '').removeprefix('asset:'), element.get('alt', ''))}］")
    elif element.tag in BLOCKS or (element.tag == "li" and not list(element.iterdescendants("ul", "ol", "p"))):
        mark = "· " if element.tag == "li" else ""
        lines += [mark + line for raw in _text(element).split("\n") if (line := normal(raw))]
        for picture in element.iterdescendants("img"):
            _lines(picture, lines, paths)
    else:
        for text, child in [(element.text, None), *((child.tail, child) for child in element)]:
            if child is not None:
                _lines(child, lines, paths)
            if text and normal(text):
                lines.append(normal(text))


def _text(element: etree._Element) -> str:
    parts = [element.text or ""]
    for child in element:
        parts += ["\n" if child.tag == "br" else _text(child), child.tail or ""]
    return "".join(parts)


def package(pages: Pages, rendition: Rendition, blob: Callable[[str], bytes]) -> dict[str, bytes]:
    """The files by relative path, the page to open first."""
    paths: Mapping[str, str] = json.loads(rendition.fields["files"])
    by_digest: dict[str, Asset] = {asset.digest: asset for asset in rendition.files}
    in_order = sorted(paths.items(), key=lambda one: one[1].rpartition("/")[2])
    listed = [(path, by_digest[digest].alt) for digest, path in in_order]
    page = pages.render(
        "manual/package.html",
        title=rendition.title,
        html=rendition.content,
        told=rendition.fields,
        files=listed,
    )
    return {
        "index.html": page.encode(),
        "title.txt": rendition.title.encode(),
        "text.txt": rendition.fields["text"].encode(),
        "body.html": rendition.content.encode(),
        **{path: blob(digest) for digest, path in in_order},
    }
