"""The calls of the sandbox's WeChat, one function each: what they check, keep, and answer.

A function raises Refused for a business error; whatever it changed it says with `call.did`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from channels.sandbox import wechat_page as pages
from channels.sandbox.wechat_books import DAILY, DAILY_ELSE, Article, Draft, Refused, unknown_media
from channels.sandbox.wechat_world import MEGABYTE, Asked, World

OK: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
TITLE_LIMIT = 64


async def uploadimg(world: World, asked: Asked) -> dict[str, Any]:
    name, content, media_type = await asked.media()
    if media_type not in ("image/png", "image/jpeg"):
        raise Refused(40005, "invalid file type")
    if len(content) >= MEGABYTE:
        raise Refused(40009, "invalid image size")
    picture = world.keep(asked.account, content, media_type, name, asked.now)
    asked.call.did("uploaded", picture.url)
    return {"url": picture.url}


async def add_material(world: World, asked: Asked) -> dict[str, Any]:
    kind = asked.call.request.query_params.get("type")
    name, content, media_type = await asked.media()
    if kind not in ("image", "thumb"):
        raise Refused(40004, "invalid media type")
    if not media_type or (kind == "thumb" and media_type != "image/jpeg"):
        raise Refused(40005, "invalid file type")
    if len(content) > (10 * MEGABYTE if kind == "image" else 64 * 1024):
        raise Refused(40009, "invalid image size")
    media_id = secrets.token_urlsafe(48)
    asked.account.materials[media_id] = world.keep(asked.account, content, media_type, name, asked.now)
    world.kept.material(asked.account, media_id)
    asked.call.did("added_material", media_id, name=name)
    url = {"url": asked.account.materials[media_id].url} if kind == "image" else {}
    return {"media_id": media_id, **url}


async def batchget_material(world: World, asked: Asked) -> dict[str, Any]:
    newest = list(reversed(asked.account.materials.items()))
    offset, count = _range(asked.body())
    item = [
        {"media_id": ref, "name": picture.name, "update_time": int(picture.added), "url": picture.url}
        for ref, picture in newest[offset : offset + count]
    ]
    return {"total_count": len(newest), "item_count": len(item), "item": item}


async def del_material(world: World, asked: Asked) -> dict[str, Any]:
    media_id = str(asked.body().get("media_id"))
    if asked.account.materials.pop(media_id, None) is None:
        raise unknown_media()
    world.kept.material(asked.account, media_id)
    asked.call.did("deleted_material", media_id)
    return OK


def _article(world: World, asked: Asked, given: object) -> dict[str, Any]:
    """An article as the draft box keeps it. Raises Refused for what the box does not take."""
    if not isinstance(given, dict) or given.get("article_type", "news") != "news":
        raise Refused(40215, "invalid article")
    text = {name: str(given.get(name, "")) for name in ("title", "author", "digest", "content", "content_source_url")}
    if not 0 < len(text["title"]) <= world.setting("title_limit", asked.account, "length", TITLE_LIMIT):
        raise Refused(45003, "title size out of limit")
    if len(text["author"]) > 16:
        raise Refused(45110, "author size out of limit")
    if len(text["digest"]) > 128:
        raise Refused(45004, "description size out of limit")
    if len(text["content"]) >= 20_000 or len(text["content"].encode()) >= MEGABYTE:
        raise Refused(45002, "content size out of limit")
    source = text["content_source_url"]
    if len(source) > 1024 or (source and not source.startswith(("http://", "https://"))):
        raise Refused(41039, "invalid content_source_url")
    if given.get("need_open_comment"):
        raise Refused(88000, "without comment privilege")
    cover = asked.account.materials.get(str(given.get("thumb_media_id", "")))
    if cover is None or asked.now < cover.added + world.setting("replication", asked.account, "seconds", 0):
        raise unknown_media()
    try:
        text["content"] = pages.filtered(text["content"], f"{world.sandbox.address}/mmbiz/")
    except pages.OutsideLink:
        raise Refused(45166, 'content not allowed: no hyperlink tags "<a>"') from None
    for knob in world.sandbox.knobs.standing("censor", asked.account.name):
        old, new = knob.parameters["replace"]
        text["content"] = text["content"].replace(old, new)
    digest = text["digest"] or pages.first_words(text["content"])
    return {
        **text,
        "digest": digest,
        "article_type": "news",
        "thumb_media_id": str(given["thumb_media_id"]),
        "thumb_url": cover.url,
        "show_cover_pic": 0,
        "need_open_comment": 0,
        "only_fans_can_comment": 0,
    }


async def draft_add(world: World, asked: Asked) -> dict[str, Any]:
    given = asked.body().get("articles")
    if not isinstance(given, list) or not 1 <= len(given) <= 8:
        raise Refused(40002, "invalid articles")
    articles = [_article(world, asked, article) for article in given]
    media_id = secrets.token_urlsafe(48)
    asked.account.drafts[media_id] = Draft(articles, int(asked.now))
    world.kept.draft(asked.account, media_id)
    asked.call.did("drafted", media_id, content_source_url=articles[0]["content_source_url"])
    return {"media_id": media_id, "item": []}


async def draft_get(world: World, asked: Asked) -> dict[str, Any]:
    media_id = asked.body().get("media_id")
    draft = asked.account.draft(media_id)
    preview = f"{world.sandbox.address}/s?tempkey={secrets.token_urlsafe(16)}"
    return {"news_item": [{**article, "url": preview} for article in draft.articles]}


async def draft_update(world: World, asked: Asked) -> dict[str, Any]:
    body = asked.body()
    draft, index = asked.account.draft(body.get("media_id")), body.get("index", 0)
    if not isinstance(index, int) or not 0 <= index < len(draft.articles):
        raise Refused(40114, "invalid index value")
    draft.articles[index] = _article(world, asked, body.get("articles"))
    draft.updated = max(int(asked.now), draft.updated)
    world.kept.draft(asked.account, str(body.get("media_id")))
    asked.call.did("updated", str(body.get("media_id")))
    return OK


async def draft_delete(world: World, asked: Asked) -> dict[str, Any]:
    media_id = str(asked.body().get("media_id"))
    asked.account.draft(media_id)
    del asked.account.drafts[media_id]
    world.kept.draft(asked.account, media_id)
    asked.call.did("deleted_draft", media_id)
    return OK


async def draft_batchget(world: World, asked: Asked) -> dict[str, Any]:
    body = asked.body()
    offset, count = _range(body)
    every = list(asked.account.newest_drafts())
    item = [
        {"media_id": ref, "content": {"news_item": _news(draft.articles, body)}, "update_time": draft.updated}
        for ref, draft in every[offset : offset + count]
    ]
    return {"total_count": len(every), "item_count": len(item), "item": item}


async def draft_count(world: World, asked: Asked) -> dict[str, Any]:
    return {"total_count": len(asked.account.drafts)}


async def submit(world: World, asked: Asked) -> dict[str, Any]:
    """Queued, nothing more; the same draft submitted twice is published twice."""
    account, call, knobs = asked.account, asked.call, world.sandbox.knobs
    ref, job = account.submit(asked.body().get("media_id"), asked.now)
    world.kept.job(account, ref)
    knob = knobs.take("POST", call.request.url.path, account.name, "outcome")
    outcome = int(knob.parameters.get("status", 3)) if knob else 0
    world.begin(account, ref, job, outcome)
    call.did("submitted", ref, media_id=job.media_id, content_source_url=job.articles[0]["content_source_url"])
    number = bool(knobs.standing("publish_id_int", account.name))
    return {**OK, "publish_id": int(ref) if number else ref, "msg_data_id": str(int(ref) + 2_147_483_648)}


async def job_status(world: World, asked: Asked) -> dict[str, Any]:
    ref = str(asked.body().get("publish_id"))
    job = asked.account.jobs.get(ref)
    if job is None:
        raise Refused(53502, "invalid publish_id")
    status = asked.account.job_status(job)
    answer: dict[str, Any] = {"publish_id": ref, "publish_status": status, "fail_idx": []}
    if job.article_id:
        article = asked.account.articles[job.article_id]
        await article.recorded.wait()
        answer["article_id"] = job.article_id
        urls = [{"idx": place + 1, "article_url": article.url} for place in range(len(article.articles))]
        answer["article_detail"] = {"count": len(urls), "item": urls}
    elif status != 1:
        answer["fail_idx"] = [1]
    return answer


async def getarticle(world: World, asked: Asked) -> dict[str, Any]:
    return {"news_item": _published(_article_of(world, asked), {})}


async def batchget(world: World, asked: Asked) -> dict[str, Any]:
    body = asked.body()
    offset, count = _range(body)
    listed_until = asked.call.at - round(world.setting("list_lag", asked.account, "seconds", 0) * 1_000_000)
    every = [
        (ref, article)
        for ref, article in asked.account.newest_articles()
        if article.recorded.is_set() and article.at <= listed_until
    ]
    item = [
        {"article_id": ref, "content": {"news_item": _published(article, body)}, "update_time": article.at // 1_000_000}
        for ref, article in every[offset : offset + count]
    ]
    return {"total_count": len(every), "item_count": len(item), "item": item}


async def delete(world: World, asked: Asked) -> dict[str, Any]:
    """`index` counts from 1; 0 or none deletes all. Repeating is harmless."""
    body = asked.body()
    article, index = _article_of(world, asked), body.get("index", 0)
    gone = set(range(1, len(article.articles) + 1)) if not index else {int(index)}
    article.gone |= gone
    if len(article.gone) == len(article.articles):
        article.status = 5
    world.kept.article(asked.account, str(body.get("article_id")))
    asked.call.did("deleted", str(body.get("article_id")), index=index, url=article.url)
    return OK


def _article_of(world: World, asked: Asked) -> Article:
    """The article that is asked about. Raises Refused."""
    article = asked.account.article(asked.body().get("article_id"))
    if article.status and world.sandbox.knobs.standing("forgets_deleted", asked.account.name):
        raise Refused(53600, "invalid article_id")
    return article


async def quota(world: World, asked: Asked) -> dict[str, Any]:
    path = str(asked.body().get("cgi_path", "")).removeprefix("/cgi-bin/")
    daily = DAILY.get(path, DAILY_ELSE)
    used = asked.account.used_today(path, asked.now)
    if world.sandbox.knobs.standing("uncounted", asked.account.name):
        return dict(OK)
    return {**OK, "quota": {"daily_limit": daily, "used": used, "remain": daily - used}}


def _range(body: dict[str, Any]) -> tuple[int, int]:
    offset, count = body.get("offset", 0), body.get("count", 0)
    if not isinstance(offset, int) or not isinstance(count, int) or offset < 0 or not 1 <= count <= 20:
        raise Refused(40002, "invalid offset or count")
    return offset, count


def _news(articles: list[dict[str, Any]], body: dict[str, Any]) -> list[dict[str, Any]]:
    hidden = {"content"} if body.get("no_content") == 1 else set()
    return [{name: value for name, value in article.items() if name not in hidden} for article in articles]


def _published(article: Article, body: dict[str, Any]) -> list[dict[str, Any]]:
    removed = article.status != 0
    return [
        {
            **entry,
            **({"content": pages.published(str(entry["content"]))} if "content" in entry else {}),
            "url": article.url,
            "is_deleted": removed or place + 1 in article.gone,
        }
        for place, entry in enumerate(_news(article.articles, body))
    ]


Work = Callable[[World, Asked], Awaitable[dict[str, Any]]]
CALLS: dict[str, Work] = {
    "media/uploadimg": uploadimg,
    "material/add_material": add_material,
    "material/batchget_material": batchget_material,
    "material/del_material": del_material,
    "draft/add": draft_add,
    "draft/get": draft_get,
    "draft/update": draft_update,
    "draft/delete": draft_delete,
    "draft/batchget": draft_batchget,
    "draft/count": draft_count,
    "freepublish/submit": submit,
    "freepublish/get": job_status,
    "freepublish/getarticle": getarticle,
    "freepublish/batchget": batchget,
    "freepublish/delete": delete,
    "openapi/quota/get": quota,
}
