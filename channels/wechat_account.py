"""What one WeChat account holds — pictures, drafts, articles — and how it compares with a rendition.

Knows how to look and to upload; which look follows which doubt is the channel's business.
Every method raises as `channels.wechat_api.failure` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from channels.picture import Picture, Unusable
from channels.wechat_api import GONE, NO_SUCH_ARTICLE, NO_SUCH_JOB, Step, WechatApi, errcode
from channels.wechat_article import as_found, is_marked
from channels.wechat_picture import for_body, for_cover, plain_cover
from sync.clock import SECOND
from sync.compare import differences, recognise
from sync.contract import Misbehaved, Rejected, Tools, TryLater
from sync.model import Asset, Key, Problem, Rendition

PAGE = 20  # most that one list call gives
MOST_PAGES = 100
LOOK_BACK = 31 * 24 * 3600  # seconds; how far a search without a known beginning goes

# publish_status of freepublish/get; 0 can later turn into 5 or 6
DONE = 0
RUNNING = 1
REMOVED = 5
ENDED: Mapping[int, str] = {
    2: "原创声明未通过 / the original-content claim was refused",
    3: "发布失败，微信未说明原因 / publishing failed, WeChat gives no reason",
    4: "平台审核不通过 / refused by the platform's review",
    REMOVED: "发布后被删除 / removed: deleted after publication",
    6: "发布后被平台封禁 / removed: banned by the platform after publication",
}

# WeChat hands out http:// addresses of hosts that answer https:// as well.
UPGRADED = frozenset({"mp.weixin.qq.com", "mmbiz.qpic.cn", "mmbiz.qlogo.cn"})


@dataclass(frozen=True)
class Listed:
    """One article of a draft or publication, without its content. `updated`: seconds UTC, WeChat's clock."""

    ref: str
    updated: int
    source_url: str
    url: str
    removed: bool


@dataclass(frozen=True)
class Article:
    """One article as the API gives it back, after WeChat's filter."""

    title: str
    author: str
    content: str
    source_url: str
    cover: str


@dataclass(frozen=True)
class Job:
    """A publishing job. `article` and `url` are empty unless it is done."""

    status: int
    article: str
    url: str


class Account:
    def __init__(self, api: WechatApi, tools: Tools) -> None:
        self._api, self._tools = api, tools

    # uploads

    def cover(self, rendition: Rendition, key: Key) -> str:
        """The cover's permanent media_id. One uploaded by an earlier try is found by its name, so that
        a retry does not wait anew for WeChat to make it known. Raises Rejected for an unusable picture."""
        digest = rendition.fields["cover"]
        stem = f"tongfa-{key.token[:16]}-{(digest or 'plain')[:16]}."
        newest = self._api.call("material/batchget_material", {"type": "image", "offset": 0, "count": PAGE}, Step.READ)
        for item in _objects(newest.get("item")):
            if str(item.get("name", "")).startswith(stem):
                return str(item.get("media_id", ""))
        picture = self.ready(rendition, digest, cover=True) if digest else plain_cover(rendition.title)
        file = (stem + picture.ending, picture.content, picture.media_type)
        media_id = self._api.upload("material/add_material", file, type="image").get("media_id")
        if not isinstance(media_id, str) or not media_id:
            raise Misbehaved("wechat material/add_material: no media_id in the answer")
        return media_id

    def body_picture(self, rendition: Rendition, digest: str) -> str:
        """The address WeChat gives a body picture. Raises Rejected for an unusable one."""
        picture = self.ready(rendition, digest, cover=False)
        file = (f"{digest[:16]}.{picture.ending}", picture.content, picture.media_type)
        url = self._api.upload("media/uploadimg", file).get("url")
        if not isinstance(url, str) or not url:
            raise Misbehaved("wechat media/uploadimg: no url in the answer")
        return url

    def ready(self, rendition: Rendition, digest: str, *, cover: bool) -> Picture:
        """A picture of the rendition as it is uploaded. Raises Rejected for an unusable one."""
        asset = _file(rendition, digest)
        content = self._tools.blob(digest)
        try:
            return for_cover(content, asset.media_type) if cover else for_body(content, asset.media_type)
        except Unusable as error:
            raise Rejected(f"图片 / picture {asset.name}: {error}") from error

    # looks

    def draft(self, ref: str) -> Article | None:
        """None: the draft box has no such draft: deleted, or published."""
        answer = self._api.call("draft/get", {"media_id": ref}, Step.READ, expect=frozenset({GONE}))
        return None if errcode(answer) == GONE else _article(answer, "draft/get")

    def published(self, ref: str) -> Article:
        """A published article by its article_id."""
        return _article(
            self._api.call("freepublish/getarticle", {"article_id": ref}, Step.READ), "freepublish/getarticle"
        )

    def is_deleted(self, ref: str) -> bool:
        """Whether nothing of this publication is public any more."""
        answer = self._api.call(
            "freepublish/getarticle", {"article_id": ref}, Step.READ, expect=frozenset({NO_SUCH_ARTICLE})
        )
        return all(news.get("is_deleted") is True for news in _objects(answer.get("news_item")))

    def job(self, ref: str) -> Job | None:
        """What became of a submitted job; None: WeChat does not know it. Raises Misbehaved for a status
        that is not documented."""
        answer = self._api.call("freepublish/get", {"publish_id": ref}, Step.READ, expect=frozenset({NO_SUCH_JOB}))
        if errcode(answer) == NO_SUCH_JOB:
            return None
        status, detail = answer.get("publish_status"), answer.get("article_detail")
        if not isinstance(status, int) or status not in (DONE, RUNNING, *ENDED):
            raise Misbehaved(f"wechat freepublish/get: unknown publish_status {status!r}")
        items = _objects(detail.get("item") if isinstance(detail, dict) else None)
        # The documented article_id even contains a line break.
        article = "".join(str(answer.get("article_id", "")).split())
        return Job(status, article, str(items[0].get("article_url", "")) if items else "")

    def drafts(self, since: int = 0) -> Iterator[Listed]:
        """Newest first, back to `since` (seconds UTC; 0: the last 31 days)."""
        return self._list("draft/batchget", "media_id", since)

    def articles(self, since: int = 0) -> Iterator[Listed]:
        """Published ones, newest first, back to `since` (seconds UTC; 0: the last 31 days)."""
        return self._list("freepublish/batchget", "article_id", since)

    def unexplained(self, midnight: int) -> bool:
        """Whether today (since `midnight`, seconds UTC, China's) something was submitted that is neither among the
        published articles nor certainly somebody else's: a job that runs, is reviewed, or failed.

        Our own articles are known by their mark; what was published by hand explains no submission.
        A server that does not count explains nothing.
        """
        answer = self._api.call("openapi/quota/get", {"cgi_path": "/cgi-bin/freepublish/submit"}, Step.READ)
        quota = answer.get("quota")
        used = quota.get("used") if isinstance(quota, dict) else None
        return used != len({listed.ref for listed in self.articles(midnight) if is_marked(listed.source_url)})

    def touched(self, ref: str, since: int = 0) -> int:
        """When a draft was last written, seconds UTC; 0: not in the list. draft/get does not tell."""
        return next((listed.updated for listed in self.drafts(since) if listed.ref == ref), 0)

    def _list(self, path: str, name: str, since: int) -> Iterator[Listed]:
        oldest = since or self._tools.now() // SECOND - LOOK_BACK
        met: set[str] = set()  # the list moves on while it is read, so an entry may come twice
        for page in range(MOST_PAGES):
            answer = self._api.call(path, {"offset": page * PAGE, "count": PAGE, "no_content": 1}, Step.READ)
            items = _objects(answer.get("item"))
            for item in items:
                ref, updated = str(item.get(name, "")), whole(item.get("update_time"))
                if updated < oldest:
                    return
                if ref in met:
                    continue
                met.add(ref)
                content = item.get("content")
                for news in _objects(content.get("news_item") if isinstance(content, dict) else None):
                    source_url, url = str(news.get("content_source_url", "")), str(news.get("url", ""))
                    yield Listed(ref, updated, source_url, url, bool(news.get("is_deleted")))
            if not items or (page + 1) * PAGE >= whole(answer.get("total_count")):
                return
        raise TryLater(f"wechat {path}: more than {MOST_PAGES * PAGE} newer entries; absence cannot be shown")

    # comparison

    def changes(self, article: Article, rendition: Rendition, known: dict[str, str]) -> tuple[Problem, ...]:
        """How what WeChat holds differs from the rendition. `known` maps pictures (`same_picture`) to
        digests; pictures met for the first time are read as a reader would, and added to it."""
        seen = as_found(article.title, article.content, lambda source: self.recognised(source, "", rendition, known))
        fields = {"author": article.author, "content_source_url": article.source_url}
        return differences(rendition.shown, seen) + tuple(
            Problem(name, f"不一致 / differs: {got or '（空 empty）'}", fatal=False)
            for name, got in fields.items()
            if got != rendition.fields[name]
        )

    def recognised(self, source: str, base: str, rendition: Rendition, known: dict[str, str]) -> str:
        """The digest of the picture at this address, read anonymously. One that cannot be had is
        named by its address, which equals no digest. Raises TryLater when the host does not answer."""
        name = same_picture(source)
        if name in known:
            return known[name]
        try:
            response = self._tools.http.read(secure(urljoin(base, source)))
        except Rejected:
            return source
        if response.status != 200:
            return source
        known[name] = recognise(response.body, {a.digest: self._tools.blob(a.digest) for a in rendition.files})
        return known[name]


def same_picture(address: str) -> str:
    """Host and path without the size at its end: WeChat serves one upload as /0, /640, ?wx_fmt=…"""
    parts = urlsplit(address)
    return f"{parts.netloc}{parts.path.rpartition('/')[0]}"


def secure(address: str) -> str:
    """https:// for WeChat's own hosts; any other address as it is."""
    parts = urlsplit(address)
    return parts._replace(scheme="https").geturl() if parts.hostname in UPGRADED else address


def whole(value: object) -> int:
    """A whole number, also from its decimal text; 0 for anything else."""
    try:
        return int(value) if isinstance(value, str | int) else 0
    except ValueError:
        return 0


def _file(rendition: Rendition, digest: str) -> Asset:
    return next(asset for asset in rendition.files if asset.digest == digest)


def _objects(value: object) -> list[dict[str, object]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _article(answer: dict[str, object], path: str) -> Article:
    news = _objects(answer.get("news_item"))
    if not news:
        raise Misbehaved(f"wechat {path}: no news_item in the answer")
    part = {name: str(news[0].get(name, "")) for name in ("title", "author", "content", "content_source_url")}
    return Article(
        part["title"],
        part["author"],
        part["content"],
        part["content_source_url"],
        str(news[0].get("thumb_media_id", "")),
    )
