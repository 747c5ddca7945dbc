"""WeChat's settings and limits, and what it will not take, told to the editor before anything is sent.

Only what cannot be expressed, or would be lost silently, is fatal; what the outlet's policy may
change is a warning, and WeChat's own refusal decides.
Limits: developers.weixin.qq.com, "draft/add", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable

from channels.picture import READABLE, moves
from channels.wechat_article import ASSET, pictures, written
from channels.wechat_picture import BODY_LIMIT, BODY_TYPES
from sync.contract import Pages, Setting
from sync.model import AssetRole, Edition, Problem

API = "https://api.weixin.qq.com"
SETTINGS = (
    Setting("app_id", "开发者 AppID", "developer AppID", required=True),
    Setting("app_secret", "开发者 AppSecret", "developer AppSecret", required=True, secret=True),
    Setting("api_base", "接口地址", "address of the API", default=API),
    Setting("callback_token", "消息推送的 Token", "token of the message push", secret=True),
    Setting("callback_aes_key", "消息推送的 EncodingAESKey", "EncodingAESKey of the message push", secret=True),
    Setting(
        "mode",
        "发布方式：freepublish（只发布，不通知粉丝）或 mass（群发给全部粉丝）",
        "freepublish (followers are not told) or mass (sent to every follower)",
        default="freepublish",
    ),
)
FREEPUBLISH, MASS = "freepublish", "mass"

TITLE_LIMIT = 64  # what older accounts take
TITLE_DOCUMENTED = 32
AUTHOR_LIMIT = 16
DIGEST_LIMIT = 128
CONTENT_LIMIT = 20_000  # characters, markup included; exclusive
CONTENT_BYTES = 1_000_000
PICTURE_ADDRESS = 160  # characters reserved for an uploaded picture's address

LIMITS = {
    "title": TITLE_LIMIT,
    "author": AUTHOR_LIMIT,
    "digest": DIGEST_LIMIT,
    "content": CONTENT_LIMIT,
    "picture_bytes": BODY_LIMIT,
}


def cut_digest(summary: str) -> str:
    """The summary as the card under the title shows it: cut with an ellipsis where it is too long."""
    return summary if len(summary) <= DIGEST_LIMIT else summary[: DIGEST_LIMIT - 1] + "…"


def mode_refused(mode: str) -> str:
    """Why this cannot be the mode; "" where it can."""
    if mode in (FREEPUBLISH, MASS):
        return ""
    return f"发布方式 mode={mode} 不存在，请用 freepublish 或 mass / mode is freepublish or mass, not {mode}"


def mode_problems(mode: str, *, hears: bool) -> list[Problem]:
    """What has to be known of the way it goes out. `hears`: the message push is set up."""
    if refused := mode_refused(mode):
        return [Problem("mode", refused)]
    if mode == FREEPUBLISH:
        return []
    found = [
        Problem(
            "mode",
            "群发：撤回只删文章内容，粉丝收到的通知仍在；更正会再群发一次；次数有限 / mass send: a withdrawal removes"
            " the article, not the notification; a correction is sent to all once more; the number of sends is limited",
            fatal=False,
        )
    ]
    if not hears:
        found.append(
            Problem(
                "mode",
                "未设置消息推送（callback_token），群发后无法得知文章地址，不能回读核对 / no message push is set up:"
                " the article's address stays unknown after a mass send, and nothing can be read back",
                fatal=False,
            )
        )
    return found


def problems(edition: Edition, pages: Pages, blob: Callable[[str], bytes]) -> list[Problem]:
    """Every problem of this edition on WeChat; the same edition gives the same list."""
    return [*_texts(edition), *_pictures(edition, blob), *_content(edition, pages)]


def _texts(edition: Edition) -> list[Problem]:
    found = []
    title, author, summary = edition.title, edition.text("author"), edition.text("summary")
    if not title.strip():
        found.append(Problem("title", "缺少标题 / a title is needed"))
    if len(title) > TITLE_LIMIT:
        found.append(
            Problem(
                "title", f"标题 {len(title)} 字，公众号最多 {TITLE_LIMIT} 字 / title too long: at most {TITLE_LIMIT}"
            )
        )
    elif len(title) > TITLE_DOCUMENTED:
        found.append(
            Problem(
                "title",
                f"标题 {len(title)} 字，新账号最多 {TITLE_DOCUMENTED} 字 / newer accounts: at most {TITLE_DOCUMENTED}",
                fatal=False,
            )
        )
    if len(author) > AUTHOR_LIMIT:
        found.append(Problem("author", f"作者最多 {AUTHOR_LIMIT} 字 / author: at most {AUTHOR_LIMIT} characters"))
    if len(summary) > DIGEST_LIMIT:
        found.append(
            Problem(
                "summary",
                f"摘要超过 {DIGEST_LIMIT} 字，将截短 / the summary is cut to {DIGEST_LIMIT} characters",
                fatal=False,
            )
        )
    return found


def _pictures(edition: Edition, blob: Callable[[str], bytes]) -> list[Problem]:
    found = []
    for asset in edition.assets:
        if asset.role is AssetRole.ATTACHMENT:
            continue
        named = f"图片 / picture {asset.name}"
        if asset.media_type not in READABLE:
            found.append(
                Problem("images", f"{named}: 公众号不接受 {asset.media_type} / type not accepted: use PNG or JPEG")
            )
        elif asset.role is AssetRole.COVER:
            continue
        elif asset.media_type not in BODY_TYPES and moves(blob(asset.digest)):
            found.append(Problem("images", f"{named}: 动图无法发布，请换静态图 / animated: use a still picture"))
        elif asset.size >= BODY_LIMIT:
            found.append(Problem("images", f"{named}: 超过 1 MB，将压缩 / above 1 MB, will be reduced", fatal=False))
    if any(asset.role is AssetRole.ATTACHMENT for asset in edition.assets):
        found.append(
            Problem(
                "attachments",
                "公众号不能带附件，只列出名称并指向原文 / attachments are only named, with a link to the original",
                fatal=False,
            )
        )
    return found


def _content(edition: Edition, pages: Pages) -> list[Problem]:
    content = written(edition, pages, "https://example.org/")
    sources = pictures(content)
    carried = {ASSET + asset.digest for asset in edition.assets}
    found = [
        Problem(
            "body",
            f"图片不是稿件的文件，公众号会悄悄删去 / not a file of the item, WeChat would drop it: {source[:80]}",
        )
        for source in sources
        if source not in carried
    ]
    length = len(content) + PICTURE_ADDRESS * len(sources)
    if length >= CONTENT_LIMIT or len(content.encode()) >= CONTENT_BYTES:
        found.append(
            Problem(
                "body",
                f"正文约 {length} 字符（含标记），须少于 {CONTENT_LIMIT} / body too long: fewer than {CONTENT_LIMIT}",
            )
        )
    return found
