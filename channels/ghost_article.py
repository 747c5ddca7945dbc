"""An edition as the article of a Ghost post, and what a reader of the post must see. Pure but for the template.

`?source=html` turns markup into the editor's cards and loses what it has no card for. What stands between
the marks of an HTML card is kept as it is, but of elements only: hence one element around everything.
Pictures are named by `asset:<digest>` until `with_addresses` gives them their uploaded ones. A Ghost
integration uploads pictures only: attachments, and what in the text leads to a file, lead to the canonical page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lxml import etree

from channels import article
from channels.ghost_page import fragment
from channels.names import marker_of
from sync.compare import differences, normal
from sync.contract import Pages, Place, Unsupported
from sync.model import Asset, AssetRole, Edition, Rendition, Token
from sync.render import size_text

ASSET = "asset:"
EXCERPT_LIMIT = 300
COVER_ALT_LIMIT = 191  # 2,000 in newer versions
WORDS = {
    "zh": {"attachments": "附件", "source": "来源：", "editor": "责任编辑：", "original": "查看原文"},
    "en": {
        "attachments": "Attachments",
        "source": "Source: ",
        "editor": "Editor: ",
        "original": "Read the original",
    },
}


def rendition(edition: Edition, pages: Pages, place: Place) -> Rendition:
    """The whole post, checked against the edition. The same edition and place give the same rendition.

    The fields: `excerpt`, `cover` (digest, "" without one), `cover_alt`, `language`.
    Raises Unsupported for what the article cannot hold, and for files without a page to lead to.
    """
    words = _words(edition)
    attached = [asset for asset in edition.assets if asset.role is AssetRole.ATTACHMENT]
    content = pages.render(
        "ghost/article.html",
        language=_language(edition),
        marker=marker_of(place.key),
        subtitle=edition.text("subtitle").strip(),
        document_no=edition.text("document_no").strip(),
        body=_body(edition, place.canonical),
        attachments=[(asset.name, size_text(asset.size)) for asset in attached],
        source=edition.text("source").strip(),
        editor=edition.text("editor").strip(),
        canonical=place.canonical or "",
        words=words,
    ).strip()
    inside = _must_show(edition, place.canonical, words, attached)
    apart = differences(inside, fragment(content, lambda source: source.removeprefix(ASSET)))
    if apart:
        raise Unsupported(f"文章与稿件不一致 · the post does not show the item: {apart[0].message}")
    cover = next((asset for asset in edition.assets if asset.role is AssetRole.COVER), None)
    fields = {
        "excerpt": excerpt(edition.text("summary")),
        "cover": cover.digest if cover else "",
        "cover_alt": _cut(cover.alt, COVER_ALT_LIMIT) if cover else "",
        "language": _language(edition),
    }
    shown = (*head(edition.title, fields["excerpt"], fields["cover"]), *inside)
    digests = dict.fromkeys(token.value for token in shown if token.kind == "image")
    return Rendition(edition.title, content, fields, tuple(edition.asset(one) for one in digests), shown)


def head(title: str, summary: str, cover: str) -> tuple[Token, ...]:
    """What is seen of a post before its article; a part that is "" is not there."""
    told = [Token("title", normal(title))]
    told += [Token("text", normal(summary))] if summary else []
    return (*told, Token("image", cover)) if cover else tuple(told)


def excerpt(summary: str) -> str:
    """The summary as it stands under the title: cut with an ellipsis where it is too long."""
    return _cut(normal(summary), EXCERPT_LIMIT)


def card(content: str) -> str:
    """As it is sent: an HTML card, of which Ghost keeps every sign."""
    return f"<!--kg-card-begin: html-->\n{content}\n<!--kg-card-end: html-->"


def with_addresses(content: str, address: Mapping[str, str]) -> str:
    """The article with each picture's digest replaced by its address. Raises KeyError."""
    return _rewritten(content, "img", "src", lambda digest: address[digest])


def _body(edition: Edition, canonical: str | None) -> str:
    def leads(digest: str) -> str:
        if not canonical:
            raise Unsupported(
                "没有权威地址，文中的文件无处可指 · without a canonical address files cannot be linked to"
            )
        return canonical

    return _rewritten(article.dressed(edition, lambda asset: ASSET + asset.digest), "a", "href", leads)


def _rewritten(content: str, tag: str, name: str, address: Callable[[str], str]) -> str:
    """The addresses `asset:<digest>` in this attribute replaced; whatever else there is stays."""
    parser = etree.HTMLParser(encoding="utf-8", no_network=True)
    root = etree.fromstring(f"<html><body><div>{content}</div></body></html>".encode("utf-8", "replace"), parser)[0][0]
    for element in root.iterdescendants(tag):
        if (value := element.get(name, "")).startswith(ASSET):
            element.set(name, address(value.removeprefix(ASSET)))
    whole = etree.tostring(root, encoding="unicode", method="html", with_tail=False)
    return whole.removeprefix("<div>").removesuffix("</div>")


def _must_show(
    edition: Edition, canonical: str | None, words: Mapping[str, str], attached: list[Asset]
) -> tuple[Token, ...]:
    """What a reader must see of the article, from the edition and not from the template."""
    link = [Token("link", canonical)] if canonical else []
    shown = [Token("text", normal(edition.text(name))) for name in ("subtitle", "document_no") if _has(edition, name)]
    for token in fragment(edition.body, lambda source: source.removeprefix(ASSET)):
        to_file = token.kind == "link" and token.value.startswith(ASSET)
        shown.append(Token("link", canonical or "") if to_file else token)
    if attached:
        shown.append(Token("text", words["attachments"]))
    for asset in attached:
        shown += [Token("text", normal(f"{asset.name} ({size_text(asset.size)})")), *link]
    shown += [
        Token("text", normal(words[name] + edition.text(name))) for name in ("source", "editor") if _has(edition, name)
    ]
    return (*shown, Token("text", words["original"]), *link) if link else tuple(shown)


def _has(edition: Edition, name: str) -> bool:
    return bool(edition.text(name).strip())


def _language(edition: Edition) -> str:
    return edition.text("language") or "zh-CN"


def _words(edition: Edition) -> Mapping[str, str]:
    return WORDS["en" if _language(edition).startswith("en") else "zh"]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
