"""Ghost's settings and limits, and what it will not take, told to the editor before anything is sent.

Only what cannot be expressed is fatal. Limits: the fact sheet on Ghost (6.65), section 1; lengths are those
of version 5, which newer ones exceed.
"""

from __future__ import annotations

from collections.abc import Callable

from channels import ghost_article as post
from channels.picture import READABLE, Picture, Unusable, Wanted, fit, moves
from sync.contract import Pages, Place, Rejected, Setting, Unsupported
from sync.model import Asset, AssetRole, Edition, Key, Problem

SETTINGS = (
    Setting(
        "base_url",
        "Ghost 后台所在地址，如 https://site.example，不含 /ghost",
        "address of Ghost Admin, such as https://site.example, without /ghost",
        required=True,
    ),
    Setting(
        "admin_api_key",
        "Admin API 密钥（后台“集成”中的自定义集成，形如 id:密钥）",
        "Admin API key of a custom integration (id:secret)",
        required=True,
        secret=True,
    ),
)
TITLE_LIMIT = 255
PICTURE_LIMIT = 5_000_000  # bytes; hosts set their own limit, and an anonymous read takes 16 MiB
PICTURES = Wanted(frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"}), PICTURE_LIMIT)
LIMITS = {"title": TITLE_LIMIT, "excerpt": post.EXCERPT_LIMIT, "picture_bytes": PICTURE_LIMIT}
NOWHERE = Place(Key("", ""), "https://canonical.example/")


def problems(edition: Edition, pages: Pages, blob: Callable[[str], bytes]) -> list[Problem]:
    """Every problem of this edition on Ghost; the same edition gives the same list."""
    return [*_texts(edition, pages), *_files(edition, blob)]


def picture(asset: Asset, content: bytes) -> Picture:
    """As it is uploaded. Raises Rejected for what cannot be."""
    try:
        return fit(content, asset.media_type, PICTURES)
    except Unusable as error:
        raise Rejected(f"图片 {asset.name} 无法使用 · the picture cannot be used: {error}") from error


def _texts(edition: Edition, pages: Pages) -> list[Problem]:
    found = []
    if not edition.title.strip():
        found.append(Problem("title", "缺少标题 · the title is missing"))
    if len(edition.title) > TITLE_LIMIT:
        found.append(Problem("title", f"标题过长，最多 {TITLE_LIMIT} 字 · the title is longer than {TITLE_LIMIT}"))
    if len(edition.text("summary")) > post.EXCERPT_LIMIT:
        told = f"摘要超过 {post.EXCERPT_LIMIT} 字，将截短 · the summary is cut to {post.EXCERPT_LIMIT} characters"
        found.append(Problem("summary", told, fatal=False))
    if not edition.body.strip():
        return [*found, Problem("body", "正文为空 · the body is empty")]
    try:
        post.rendition(edition, pages, NOWHERE)
    except Unsupported as error:
        found.append(Problem("body", str(error)))
    return found


def _files(edition: Edition, blob: Callable[[str], bytes]) -> list[Problem]:
    found = []
    for asset in edition.assets:
        if asset.role is AssetRole.ATTACHMENT:
            continue
        if asset.media_type not in READABLE:
            found.append(
                Problem(asset.name, "图片格式不受支持，请用 PNG 或 JPEG · not a picture type: use PNG or JPEG")
            )
        elif asset.size >= PICTURE_LIMIT and moves(blob(asset.digest)):
            found.append(Problem(asset.name, "动图超过 5 MB · the animated picture is larger than 5 MB"))
        elif asset.size >= PICTURE_LIMIT:
            told = "图片超过 5 MB，将压缩 · the picture is larger than 5 MB and is reduced"
            found.append(Problem(asset.name, told, fatal=False))
        if not asset.alt:
            found.append(Problem(asset.name, "图片没有替代文字 · the picture has no description", fatal=False))
        elif asset.role is AssetRole.COVER and len(asset.alt) > post.COVER_ALT_LIMIT:
            told = f"封面的替代文字超过 {post.COVER_ALT_LIMIT} 字，将截短 · the cover's description is cut"
            found.append(Problem(asset.name, told, fatal=False))
    if any(asset.role is AssetRole.ATTACHMENT for asset in edition.assets):
        told = "Ghost 不能带附件，只列出名称并指向原文 · attachments are only named, with a link to the original"
        found.append(Problem("attachments", told, fatal=False))
    return found
