"""What of an edition goes into one WordPress post: its blocks, its names, and what a reader must then see. Pure.

Files are named by `asset:<digest>` in the content until they were uploaded.
"""

from __future__ import annotations

from lxml import etree

from channels import article
from channels.names import hidden_name, marker_of
from channels.page import CONTROL
from channels.picture import READABLE
from channels.wordpress_text import inert, protected
from sync.compare import differences, normal, tokens
from sync.contract import Pages, Unsupported
from sync.model import Asset, AssetRole, Edition, Key, Problem, Token

PREFIX = "tongfa-"
TWINS = 3  # slugs that lost answers may have left: K, K-2, K-3


def mark(key: Key) -> str:
    """The class that names the delivery in its post: one-way, so it leads to nothing hidden."""
    return f"{PREFIX}{marker_of(key)}"


def slug(key: Key) -> str:
    """The post's name, ours alone: ASCII, because WordPress cuts a Chinese one after 22 characters."""
    return f"{PREFIX}{marker_of(key)[:20]}"


def slugs(name: str) -> tuple[str, ...]:
    """The names under which copies of this post may stand."""
    return (name, *(f"{name}-{number}" for number in range(2, TWINS + 1)))


def names(edition: Edition, key: Key) -> dict[str, str]:
    """What each file is called at the site, by digest, without its ending. An uploaded file can be read by anybody
    who knows its address, before the release too: nobody may guess it."""
    return {
        asset.digest: PREFIX + hidden_name(key, asset.digest, asset.media_type).partition(".")[0]
        for asset in edition.assets
    }


def problems(edition: Edition) -> list[Problem]:
    """What an editor should know before anything is sent."""
    found: list[Problem] = []
    if not edition.title.strip():
        found.append(Problem("title", "缺少标题 · the title is missing"))
    if not edition.body.strip():
        found.append(Problem("body", "正文为空 · the body is empty"))
    values = {"title": edition.title, **{name: edition.text(name) for name in edition.metadata}}
    found += [
        Problem(name, "含有控制字符，请删除 · contains control characters, remove them")
        for name, value in values.items()
        if CONTROL.search(value)
    ]
    try:
        blocks(edition)
    except Unsupported as error:
        found.append(Problem("body", str(error)))
    for asset in edition.assets:
        if asset.role is AssetRole.ATTACHMENT:
            continue
        if asset.media_type not in READABLE:
            message = f"图片 {asset.name} 的格式不能上传 · this kind of picture cannot be uploaded: {asset.media_type}"
            found.append(Problem("image", message))
        if not asset.alt.strip():
            message = f"图片 {asset.name} 缺少替代文字 · the picture has no alternative text"
            found.append(Problem("image", message, fatal=False))
    return found


def written(edition: Edition, pages: Pages, canonical: str | None, key: Key) -> str:
    """The post's content. The same edition, address and key give the same text. Raises Unsupported."""
    html = pages.render(
        "wordpress/content.html",
        mark=mark(key),
        body=blocks(edition),
        language=edition.text("language", "zh-CN"),
        subtitle=edition.text("subtitle").strip(),
        document_no=edition.text("document_no").strip(),
        source=edition.text("source").strip(),
        editor=edition.text("editor").strip(),
        attachments=[asset for asset in edition.assets if asset.role is AssetRole.ATTACHMENT],
        canonical=canonical,
    )
    return protected(html.strip())


def must_show(edition: Edition, content: str) -> tuple[Token, ...]:
    """What a reader must find: the title, then the content. A file stands as its digest.

    Raises Unsupported when a template does not show the whole body, in order.
    """
    shown = tokens(content, _digest)
    body = tokens(edition.body, _digest)
    starts = range(len(shown) - len(body) + 1)
    if not any(shown[start : start + len(body)] == body for start in starts):
        lost = differences(body, [token for token in shown if token in body])
        told = lost[0].message if lost else "its order"
        raise Unsupported(f"文章模板没有完整显示正文 · the template does not show the body: {told}")
    return (Token("title", normal(edition.title)), *shown)


def _digest(source: str) -> str:
    return source.removeprefix("asset:")


def blocks(edition: Edition) -> str:
    """The body as block markup. Raises Unsupported for markup outside the edition's HTML or a file it does not have."""
    root = article.parsed(edition.body)
    for element in root.iterdescendants("a", "img"):
        address = element.get("href" if element.tag == "a" else "src", "")
        if address.startswith("asset:"):
            article.asset_of(edition, address)
    found = [_paragraph(root.text)]
    for child in root:
        found += [_block(child), _paragraph(child.tail)]
    return "\n".join(one for one in found if one)


def cover(edition: Edition) -> Asset | None:
    """What themes show above the article and in lists. Without one none is set: they would show a picture twice."""
    return next((asset for asset in edition.assets if asset.role is AssetRole.COVER), None)


def _paragraph(text: str | None) -> str:
    return (
        f"<!-- wp:paragraph -->\n<p>{inert(text.strip())}</p>\n<!-- /wp:paragraph -->" if text and text.strip() else ""
    )


def _block(element: etree._Element) -> str:
    """One block. What the block editor would write differently (lists, cells with spans) is a block of HTML to it."""
    html = etree.tostring(element, encoding="unicode", method="html", with_tail=False)
    match element.tag:
        case "p":
            return f"<!-- wp:paragraph -->\n{html}\n<!-- /wp:paragraph -->"
        case "h2":
            return f"<!-- wp:heading -->\n{html}\n<!-- /wp:heading -->"
        case "h3" | "h4":
            return f'<!-- wp:heading {{"level":{element.tag[1]}}} -->\n{html}\n<!-- /wp:heading -->'
        case "hr":
            return '<!-- wp:separator -->\n<hr class="wp-block-separator">\n<!-- /wp:separator -->'
        case "figure" if _is_picture(element):
            html = html.replace("<figure>", '<figure class="wp-block-image">', 1)
            return f"<!-- wp:image -->\n{html}\n<!-- /wp:image -->"
        case "table":
            return f'<!-- wp:html -->\n<figure class="wp-block-table">{html}</figure>\n<!-- /wp:html -->'
        case _:
            return f"<!-- wp:html -->\n{html}\n<!-- /wp:html -->"


def _is_picture(figure: etree._Element) -> bool:
    """Whether it is one picture, perhaps with a caption below."""
    parts = [str(child.tag) for child in figure]
    loose = [figure.text, *(child.tail for child in figure)]
    return parts in (["img"], ["img", "figcaption"]) and not any(text and text.strip() for text in loose)
