"""One anonymous read of a page of ours, compared with what was approved.

Promises: the article, its pictures and attachments (byte for byte), its meta tags and its one date are
all compared; addresses that the page should not have are not followed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urljoin

from channels import article
from sync.compare import sighted
from sync.contract import Receipt, Tools, TryLater
from sync.model import Problem, Rendition, Sighting, Token, sha256


def sighting(
    tools: Tools, base: str, receipt: Receipt, rendition: Rendition, before: Rendition | None = None
) -> Sighting:
    """Read `receipt.url` as anybody would. `base`: address of the site, without a slash at its end.

    404 and 410 say that it is not public; so does, for a correction, the page that names the delivery
    `before`, whatever became of it. Raises TryLater for any other answer that is no page.
    """
    began = tools.now()
    answer = tools.http.read(receipt.url)
    ended = tools.now()
    if answer.status in (404, 410):
        return Sighting(False, began, ended, taken_down=answer.status == 410)
    if answer.status != 200:
        raise TryLater(f"{receipt.url} answers {answer.status}")
    if before is not None and _delivery(article.read_outside(answer.body, str)) == _delivery(_own(before)):
        return Sighting(False, began, ended)
    paths: Mapping[str, str] = json.loads(rendition.fields["assets"])
    files = {f"{base}/{path}": _read(tools, f"{base}/{path}") for path in paths.values()}

    def picture(source: str) -> str:
        address = urljoin(receipt.url, source)
        return files.get(address, address)

    found = article.read_outside(answer.body, picture)
    if found is None:
        problem = Problem("text", "该地址没有文章内容 · there is no article at this address", fatal=False)
        return Sighting(False, began, ended, (problem,))
    problems = _head(receipt, rendition, found)
    for digest, path in paths.items():
        if Token("image", digest) not in rendition.shown and files[f"{base}/{path}"] != digest:
            problems.append(Problem("link", f"文件不一致 / file differs: {path}", fatal=False))
    seen = sighted(found.seen, rendition, before, began, ended, problems)
    return replace(seen, exact=answer.body == _page(receipt, rendition, found))


def _page(receipt: Receipt, rendition: Rendition, found: article.Article) -> bytes:
    """The whole page as handed over. Its dates are those of the receipt; until the outlet has answered, its own."""
    published = receipt.notes.get("pub_date") or found.meta.get("PubDate", "")
    page = rendition.content.replace(rendition.fields["published_mark"], published)
    if "corrected_mark" in rendition.fields:
        corrected = receipt.notes.get("corrected") or "".join(found.corrected[:1])
        page = page.replace(rendition.fields["corrected_mark"], corrected)
    return page.encode()


def _own(rendition: Rendition) -> article.Article | None:
    """The article that was rendered."""
    return article.read(rendition.content.encode(), str)


def _delivery(found: article.Article | None) -> str | None:
    """The delivery that the page names; None when it names none."""
    return found.meta.get("tongfa-delivery", "") or None if found else None


def _read(tools: Tools, address: str) -> str:
    """The SHA-256 of what an anonymous reader gets there, or how it was refused."""
    answer = tools.http.read(address)
    return sha256(answer.body) if answer.status == 200 else f"HTTP {answer.status}"


def _head(receipt: Receipt, rendition: Rendition, found: article.Article) -> list[Problem]:
    """Meta tags as rendered, and one date everywhere: that of publication. A correction has its own beside it."""
    rendered = _own(rendition)
    expected = dict(rendered.meta) if rendered else {}
    date = receipt.notes.get("pub_date", found.meta.get("PubDate", ""))
    expected["PubDate"] = date
    problems = [
        Problem("title" if name == "ArticleTitle" else "text", f"<meta {name}>: {found.meta.get(name)!r}", fatal=False)
        for name, value in expected.items()
        if found.meta.get(name) != value
    ]
    corrections = (receipt.notes.get("corrected") or "".join(found.corrected[:1]),)
    for (zh, en), wanted, shown in (
        (article.PUBLISHED, (date,), found.dates),
        (article.CORRECTED, corrections if "corrected_mark" in rendition.fields else (), found.corrected),
    ):
        if shown != wanted:
            message = f"{zh} / {en.lower()}: 应为 expected 「{'、'.join(wanted)}」，实为 found 「{'、'.join(shown)}」"
            problems.append(Problem("text", message, fatal=False))
    return problems
