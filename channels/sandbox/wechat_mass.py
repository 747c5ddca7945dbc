"""Mass sends of the sandbox's WeChat: the calls, and what the account's administrator says.

A send under a `clientmsgid` of the last 24 hours is not made again: 45065 with the number of the one there is, or 45066
within a minute. Under another one the same draft goes out once more, to the same link. What was sent is in no list of
published articles; its address is told by the push alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from channels.sandbox.server import now
from channels.sandbox.wechat_books import Account, Article, Message, Refused, china_day
from channels.sandbox.wechat_push import MassEvent
from channels.sandbox.wechat_world import Asked, World

OK: dict[str, Any] = {"errcode": 0, "errmsg": "ok"}
MOST_KEY = 32  # bytes; one copy of the documentation says 64
KEY_HOLDS = 24 * 3600  # seconds
GAP = 60.0  # seconds between two requests of one clientmsgid
UNCONFIRMED = 1800.0  # seconds after which a send that waits for the administrator has failed


async def sendall(world: World, asked: Asked) -> dict[str, Any]:
    """Queued, nothing more."""
    body, account, knobs = asked.body(), asked.account, world.sandbox.knobs
    whom = body.get("filter")
    if body.get("msgtype") != "mpnews" or not isinstance(whom, dict) or whom.get("is_to_all") is not True:
        raise Refused(40008, "invalid message type")
    named = body.get("mpnews")
    media_id = str(named.get("media_id")) if isinstance(named, dict) else ""
    key = str(body.get("clientmsgid") or hashlib.md5(media_id.encode()).hexdigest())  # noqa: S324 - stands for a digest
    if len(key.encode()) > MOST_KEY:
        raise Refused(45067, "clientmsgid size out of limit")
    if knobs.standing("media_first", account.name):
        account.draft(media_id)
    if (known := _of_key(account, key, asked.now)) is not None:
        ref, message = known
        soon = asked.now - message.asked < world.setting("mass_gap", account, "seconds", GAP)
        message.asked = asked.now
        if soon:
            raise Refused(45066, "clientmsgid retry too fast")
        asked.call.detail["errcode"] = 45065
        return {"errcode": 45065, "errmsg": "clientmsgid exist", "msg_id": int(ref)}
    draft = account.draft(media_id)
    if draft.touched:
        raise Refused(48021, "draft is autosaved, please save it in mp.weixin.qq.com first")
    today = sum(china_day(one.at) == china_day(asked.now) for one in account.messages.values())
    if today >= world.setting("mass_quota", account, "daily", float("inf")):
        raise Refused(45028, "has no masssend quota")
    ref = str(3_147_483_650 + len(account.messages))
    article = next((one.article for one in account.messages.values() if one.media_id == media_id), None)
    if article is None:
        article = Article([dict(one) for one in draft.articles], world.new_page(), 0)
    message = account.messages[ref] = Message(media_id, key, asked.now, asked.now, article)
    gates = knobs.standing("admin", account.name)
    message.waits = bool(gates)
    world.kept.message(account, ref)
    asked.call.did("mass_submitted", ref, media_id=media_id, content_source_url=_source(message))
    knob = knobs.take("POST", asked.call.request.url.path, account.name, "mass_outcome")
    start(world, account, ref, str(knob.parameters.get("status", "err(30003)")) if knob else "")
    if gates and gates[-1].parameters.get("code"):
        given = {"msg_id": int(ref)} if gates[-1].parameters.get("with_id") else {}
        return {"errcode": gates[-1].parameters["code"], "errmsg": "waiting for the administrator", **given}
    return {**OK, "errmsg": "send job submission success", "msg_id": int(ref), "msg_data_id": int(ref) + 7}


async def status(world: World, asked: Asked) -> dict[str, Any]:
    ref = str(asked.body().get("msg_id"))
    message = _message(asked, ref)
    if message.status == "SEND_SUCCESS":
        await message.article.recorded.wait()
    return {"msg_id": int(ref), "msg_status": message.status}


async def delete(world: World, asked: Asked) -> dict[str, Any]:
    """`article_idx` counts from 1; 0 or none deletes all. Every message of the same article loses it."""
    body, account, call = asked.body(), asked.account, asked.call
    message = _message(asked, ref := str(body.get("msg_id")))
    if message.status != "SEND_SUCCESS":
        raise Refused(40059, "invalid msg id")
    index = body.get("article_idx", 0)
    article = message.article
    article.gone |= {int(index)} if index else set(range(1, len(article.articles) + 1))
    if len(article.gone) == len(article.articles):
        article.status = 5
        for also, one in account.messages.items():
            if one.article is article:
                one.status = "DELETE"
                world.kept.message(account, also)
            if one.article is article and also != ref:
                line = {"at": call.at, "method": "", "path": "job", "account": account.name, "applied": True}
                detail = {"with": ref}
                await world.sandbox.record.add(
                    {**line, "effect": "deleted", "ref": also, "fault": "", "detail": detail}
                )
        call.did("deleted", ref, index=index, url=article.url)
    return OK


async def speed(world: World, asked: Asked) -> dict[str, Any]:
    return {"speed": 3, "realspeed": 15}


def start(world: World, account: Account, ref: str, failure: str) -> None:
    """Work it off while others are served. `failure`: how it ends, "" for a success."""
    task = asyncio.create_task(work_off(world, account, ref, failure))
    world.running.add(task)
    task.add_done_callback(world.running.discard)


def resume(world: World) -> None:
    """Take up the sends that a restart interrupted. Any number of times."""
    while world.unsent:
        account, ref = world.unsent.pop()
        start(world, account, ref, "")


def confirmed(account: Account, *, yes: bool) -> None:
    """The administrator's word on all that waits for it."""
    for message in account.messages.values():
        if message.waits:
            message.waits, message.refused = False, not yes


async def work_off(world: World, account: Account, ref: str, failure: str) -> None:
    """One mass send. Its own line in the record tells when its article became public."""
    message = account.messages[ref]
    ends = message.at + world.setting("admin", account, "seconds", UNCONFIRMED)
    while message.waits:
        if now() / 1e6 >= ends:
            message.waits, failure = False, "err(40002)"
        await asyncio.sleep(0.01)
    if message.refused:
        failure = "err(40001)"
    await asyncio.sleep(world.setting("latency", account, "ms", 150) / 1000)
    at, article = now(), message.article
    told = {"media_id": message.media_id, "clientmsgid": message.key, "content_source_url": _source(message)}
    line = {"at": at, "method": "", "path": "job", "account": account.name, "applied": not failure, "fault": ""}
    effect = "refused_later" if failure else "published"
    if not failure:
        article.at = article.at or at
        account.drafts.pop(message.media_id, None)
    message.status = "SEND_FAIL" if failure else "SEND_SUCCESS"
    detail = {**told, "status": failure or "send success", "url": "" if failure else article.url}
    await world.sandbox.record.add({**line, "effect": effect, "ref": ref, "detail": detail})
    world.kept.message(account, ref)
    world.tell(account, MassEvent(account.name, ref, failure or "send success", "" if failure else article.url))
    if not failure:
        article.recorded.set()


def _of_key(account: Account, key: str, at: float) -> tuple[str, Message] | None:
    return next(
        ((ref, one) for ref, one in account.messages.items() if one.key == key and at - one.at < KEY_HOLDS), None
    )


def _message(asked: Asked, ref: str) -> Message:
    """Raises Refused."""
    message = asked.account.messages.get(ref)
    if message is None:
        raise Refused(40059, "invalid msg id")
    return message


def _source(message: Message) -> str:
    return str(message.article.articles[0]["content_source_url"])


CALLS: dict[str, Callable[[World, Asked], Awaitable[dict[str, Any]]]] = {
    "message/mass/sendall": sendall,
    "message/mass/get": status,
    "message/mass/delete": delete,
    "message/mass/speed/get": speed,
}
