"""An edition as a whole page of ours, ready but for its date, and what an editor should know before.

Promises: the same edition and place give the same page; a page that would not show the edition word for
word is refused here, before anything is sent. Pure but for the template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from channels import article
from channels.names import corrected_mark, hidden_folder, hidden_name, marker_of, published_mark
from sync.compare import differences
from sync.contract import Pages, Place, Unsupported
from sync.model import Asset, AssetRole, Edition, Key, Problem, Rendition, canonical_bytes
from sync.render import china_time

MOST_BYTES = 15 * 1024 * 1024  # an anonymous read takes no more than 16 MiB
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Column:
    """Where a page stands: `slug` the folder of the column's pages, `type` the ColumnType of the norm."""

    name: str
    slug: str
    type: str
    description: str


def problems(edition: Edition) -> list[Problem]:
    """Every problem of this edition on a page of ours, in the editor's words."""
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
        article.dressed(edition, lambda asset: asset.digest)
    except Unsupported as error:
        found.append(Problem("body", str(error)))
    if not edition.text("source").strip():
        message = "未填来源，将以本站名称为来源 · no source given: the site's name is used"
        found.append(Problem("source", message, fatal=False))
    for asset in edition.assets:
        if asset.size > MOST_BYTES:
            message = f"文件 {asset.name} 超过 15 MB，无法回读核验 · larger than 15 MB, it could not be read back"
            found.append(Problem("attachment", message))
        if asset.media_type.startswith("image/") and not asset.alt.strip():
            message = f"图片 {asset.name} 缺少替代文字 · the picture has no alternative text"
            found.append(Problem("image", message, fatal=False))
    return found


def asset_paths(edition: Edition, key: Key) -> dict[str, str]:
    """Where each asset lies in the site, by digest: under a name that nobody can guess."""
    folder = f"assets/{hidden_folder(key)}"
    return {a.digest: f"{folder}/{hidden_name(key, a.digest, a.media_type)}" for a in edition.assets}


def rendition(
    pages: Pages,
    base: str,
    edition: Edition,
    place: Place,
    *,
    template: str,
    path: str,
    column: Column,
    source: str,
    heading: tuple[str, str],
    enclosed: Sequence[article.Enclosure] = (),
    fields: Mapping[str, str] | None = None,
    **values: object,
) -> Rendition:
    """The whole page, with a mark where the time of publication will stand, checked against the edition.

    A correction keeps the time of its first publication (a changed one would be a forged date) and shows its
    own beside it, which has a mark of its own; the norm has no meta tag for it.

    `base`: address of the site. `path`: of the page, one folder below the top. `heading`: above the list of
    files; `enclosed` come first in it. `values`: for the template. The fields are path, published_mark,
    assets (digest → path, JSON), entry (for the lists, JSON), for a correction corrected_mark, and those given
    in `fields`.
    Raises Unsupported.
    """
    key, paths = place.key, asset_paths(edition, place.key)

    def beside(asset: Asset) -> str:
        return f"../{paths[asset.digest]}"

    told = article.facts(edition, source, column.name)
    files = (*enclosed, *article.enclosures(edition, beside))
    corrects = place.replaces is not None
    shown = article.must_show(edition, told, beside, files, heading, corrects)
    picture = lead_picture(edition)
    image = f"{base}/{paths[picture.digest]}" if picture else ""
    told_tags = tags(edition, column, source, published_mark(key), image, f"{base}/{path}")
    page = pages.render(
        template,
        root="../",
        lang=edition.text("language") or "zh-CN",
        meta=[*told_tags, ("tongfa-delivery", marker_of(key))],
        canonical=place.canonical or f"{base}/{path}",
        column=column,
        title=edition.title,
        subtitle=edition.text("subtitle").strip(),
        facts=told,
        published=article.PUBLISHED,
        date=published_mark(key),
        corrected=article.CORRECTED,
        corrected_on=corrected_mark(key) if corrects else "",
        body=article.dressed(edition, beside),
        enclosures=files,
        attachments=heading,
        **values,
    )
    by_path = {f"../{path}": digest for digest, path in paths.items()}
    found = article.read(page.encode(), lambda address: by_path.get(address, address))
    apart = differences(shown, found.seen if found else ())
    if apart:
        raise Unsupported(f"页面与稿件不一致 · the page does not show the item: {apart[0].message}")
    entry = {
        "title": edition.title,
        "column": column.name,
        "slug": column.slug,
        "kind": edition.text("kind"),
        "summary": edition.text("summary"),
        "source": source,
        "number": edition.text("document_no"),
    }
    own = {
        "path": path,
        "published_mark": published_mark(key),
        "assets": canonical_bytes(paths).decode(),
        "entry": canonical_bytes(entry).decode(),
    }
    if corrects:
        own["corrected_mark"] = corrected_mark(key)
    return Rendition(edition.title, page, {**own, **(fields or {})}, edition.assets, shown)


def dated(rendition: Rendition, published: str, at: int) -> bytes:
    """The page with its dates: `published` before, or else, like its correction, at `at`."""
    page = rendition.content.replace(rendition.fields["published_mark"], published or china_time(at))
    if "corrected_mark" in rendition.fields:
        page = page.replace(rendition.fields["corrected_mark"], china_time(at))
    return page.encode()


def lead_picture(edition: Edition) -> Asset | None:
    """The picture that stands for the item elsewhere: the first of the body, else the cover."""
    for role in (AssetRole.IMAGE, AssetRole.COVER):
        for asset in edition.assets:
            if asset.role is role:
                return asset
    return None


def tags(
    edition: Edition, column: Column, source: str, published: str, image: str, address: str
) -> list[tuple[str, str]]:
    """The column and article groups of the norm's meta tags, named exactly so; optional ones only with a value."""
    keywords = edition.metadata.get("keywords", "")
    told = [
        ("ColumnName", column.name),
        ("ColumnDescription", column.description),
        ("ColumnKeywords", ",".join(dict.fromkeys((column.name, column.type)))),
        ("ColumnType", column.type),
        ("ArticleTitle", edition.title),
        ("PubDate", published),
        ("ContentSource", source),
        ("Keywords", ",".join(keywords) if isinstance(keywords, tuple) else str(keywords)),
        ("Author", edition.text("author") or edition.text("editor")),
        ("Description", edition.text("summary")),
        ("Image", image),
        ("Url", address),
    ]
    return [(name, value) for name, value in told if value]
