"""One item as the gazette prints it: the typesetter's source, and the proof that the PDF says what the item says.

Promises: the source is a function of the edition alone; no PDF leaves here whose text, read back, differs
from the edition's by one character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from channels import article
from channels.gazette import pdf
from channels.gazette.markup import Picture, Writer, expected_text, literal, squeezed, words
from sync.compare import differences
from sync.contract import Pages, Rejected, Unsupported
from sync.model import Asset, Edition, Problem, Token, canonical_bytes

DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
UNDATED = (1970, 1, 1)  # PDF/A demands a date; that of an undated item says that it is none
PICTURES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class Printed:
    """Ready for the typesetter: the source, its files (name → digest), and the text that must come out."""

    source: str
    files: Mapping[str, str]
    text: str

    def listed(self) -> str:
        """The files as one text, for a rendition."""
        return canonical_bytes(self.files).decode()


def item(edition: Edition, address: Callable[[Asset], str], publisher: str, pages: Pages) -> Printed:
    """Title, subtitle, document number, body, list of attachments, signature and date of the edition.

    `address`: where an asset will be public; `publisher`: the author, when the edition names none.
    Raises Unsupported for what cannot be printed.
    """
    root = article.parsed(edition.body)
    files: dict[str, str] = {}

    def picture(source: str) -> Picture:
        asset = article.asset_of(edition, source)
        if asset.media_type not in PICTURES:
            raise Unsupported(f"公报不支持这种图片 · a picture of this kind cannot be printed: {asset.name}")
        name = f"{asset.digest[:24]}.{PICTURES[asset.media_type]}"
        files[name] = asset.digest
        return Picture(name, asset.alt or asset.name)

    def link(target: str) -> str:
        return address(article.asset_of(edition, target)) if target.startswith("asset:") else target

    under_title = [part for name in ("subtitle", "document_no") if (part := edition.text(name).strip())]
    enclosed = article.enclosures(edition, address)
    marks = [f"{'附件：' if number == 1 else ''}{number}. " for number in range(1, len(enclosed) + 1)]
    attached = list(zip(marks, enclosed, strict=True))
    signed = [part for part in (edition.text("issuing_body").strip(), _in_words(edition.text("written_on"))) if part]
    body = expected_text(root)
    if signed and body.endswith(squeezed("".join(signed))):
        signed = []  # the text carries its own signature
    day = DAY.fullmatch(edition.text("written_on").strip())
    keywords = edition.metadata.get("keywords", ())
    language, _, region = (edition.text("language") or "zh-CN").partition("-")
    source = pages.render(
        "gazette/item.typ",
        title=literal(edition.title),
        author=literal(edition.text("issuing_body") or edition.text("source") or publisher),
        keywords=f"({''.join(literal(k) + ',' for k in keywords)})" if isinstance(keywords, tuple) else "()",
        date=[int(part) for part in day.groups()] if day else UNDATED,
        lang=literal(language),
        region=literal(region) if region else "none",
        under_title=[literal(part) for part in under_title],
        body=Writer(picture, link).body(root),
        attached=[f"{words(mark)}#link({literal(one.path)})[{words(one.name)}]" for mark, one in attached],
        signed=[literal(part) for part in signed],
    )
    listed = "".join(mark + one.name for mark, one in attached)
    text = squeezed("".join([edition.title, *under_title])) + body + squeezed(listed + "".join(signed))
    return Printed(source, files, text)


def made(printed: Printed, blob: Callable[[str], bytes]) -> bytes:
    """The PDF, once its text was read back. Raises Unsupported; Rejected when it does not say the same."""
    content = pdf.compiled(printed.source, {name: blob(digest) for name, digest in printed.files.items()})
    apart = text_problem(printed.text, pdf.text_of(content))
    if apart:
        raise Rejected(f"PDF 与稿件不一致 · the PDF does not show the item: {apart.message}")
    return content


def text_problem(expected: str, seen: str) -> Problem | None:
    """The first place where a PDF's text differs."""
    apart = differences((Token("text", expected),), (Token("text", seen),))
    return Problem("text", f"PDF {apart[0].message}", fatal=False) if apart else None


def _in_words(day: str) -> str:
    """`2026-11-20` → `2026年11月20日`, without leading zeros; any other text as it is."""
    found = DAY.fullmatch(day.strip())
    return f"{int(found[1])}年{int(found[2])}月{int(found[3])}日" if found else day.strip()
