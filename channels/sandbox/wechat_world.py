"""What the calls of the sandbox's WeChat share: what is stored where, running jobs, and one call's input."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from channels.sandbox.server import Call, Sandbox, now
from channels.sandbox.wechat_books import Account, Job, Picture, Refused
from channels.sandbox.wechat_push import Event, MassEvent, push
from channels.sandbox.wechat_shelf import Keeper

MEGABYTE = 1024 * 1024
MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}


class World:
    """What the calls share: accounts, pictures and articles by the id in their address, running jobs, knobs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.kept = Keeper(sandbox.shelf)
        self.accounts, self.pictures, self.public = self.kept.accounts, self.kept.pictures, self.kept.public
        self._interrupted = [
            (account, ref, job)
            for account in self.accounts.values()
            for ref, job in account.jobs.items()
            if job.status == 1
        ]
        self.unsent = [
            (account, ref)
            for account in self.accounts.values()
            for ref, message in account.messages.items()
            if message.status == "SENDING"
        ]
        self.running: set[asyncio.Task[None]] = set()

    def setting(self, knob: str, account: Account, name: str, usual: float) -> float:
        """A standing knob's number; of several the last set."""
        standing = self.sandbox.knobs.standing(knob, account.name)
        return float(standing[-1].parameters.get(name, usual)) if standing else usual

    def keep(self, account: Account, content: bytes, media_type: str, name: str, at: float) -> Picture:
        """Store a picture where anybody who knows its address can read it."""
        ref = secrets.token_urlsafe(24)
        picture = Picture(content, media_type, name, at, f"{self.sandbox.address}/mmbiz/{ref}/0")
        self.kept.picture(account, picture)
        return picture

    def new_page(self) -> str:
        """The address of an article to come."""
        return f"{self.sandbox.address}/s/{secrets.token_urlsafe(16)}"

    def let_vanish(self, account: Account) -> None:
        """What has stood for as long as the knob says is deleted from now on."""
        for knob in self.sandbox.knobs.standing("vanish", account.name):
            for ref, article in account.articles.items():
                if article.status == 0 and article.at + knob.parameters["seconds"] * 1_000_000 <= now():
                    article.status = 5
                    self.kept.article(account, ref)

    def begin(self, account: Account, ref: str, job: Job, outcome: int) -> None:
        """Work it off while others are served."""
        seconds = self.setting("latency", account, "ms", 150) / 1000
        task = asyncio.create_task(self.work_off(account, ref, job, seconds, outcome))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    def resume(self) -> None:
        """Take up the jobs that a restart interrupted. Any number of times."""
        while self._interrupted:
            account, ref, job = self._interrupted.pop()
            self.begin(account, ref, job, 0)

    async def work_off(self, account: Account, ref: str, job: Job, seconds: float, outcome: int) -> None:
        """One publishing job. Its own line in the record tells when its article became public."""
        await asyncio.sleep(seconds)
        at = now()
        article = None
        if outcome == 0:
            if self.sandbox.knobs.standing("doubles", account.name):
                await self._publish_double(account, ref, job, at)
            article = account.publish(job, at, self.sandbox.address)
        else:
            job.status = outcome
        told = {
            "publish_id": ref,
            "media_id": job.media_id,
            "publish_status": outcome,
            "title": job.articles[0]["title"],
            "content_source_url": job.articles[0]["content_source_url"],
            "url": article.url if article else "",
        }
        await self.sandbox.record.add(
            {
                "at": at,
                "method": "",
                "path": "job",
                "account": account.name,
                "applied": article is not None,
                "effect": "published" if article else "refused_later",
                "ref": job.article_id,
                "fault": "",
                "detail": told,
            }
        )
        # After the record: a restart in between works the job off once more, and tells of it twice, not never.
        self.kept.job(account, ref)
        url = article.url if article else ""
        self.tell(account, Event(account.name, ref, job.status, job.article_id, url))
        if article:
            article.recorded.set()  # readers wait for it: who sees the article finds it in the record

    def tell(self, account: Account, event: Event | MassEvent) -> None:
        """Push it to whom the knob `push` names; nobody waits for it."""
        for knob in self.sandbox.knobs.standing("push", account.name):
            task = asyncio.create_task(push(self.sandbox, event, knob.parameters))
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    async def _publish_double(self, account: Account, ref: str, job: Job, at: int) -> None:
        """One more article of the job, of which its answer says nothing."""
        surplus = account.publish(job, at, self.sandbox.address)
        self.kept.job(account, ref)
        surplus.recorded.set()
        detail = {"publish_id": ref, "content_source_url": job.articles[0]["content_source_url"], "url": surplus.url}
        line = {"at": at, "method": "", "path": "job", "account": account.name, "applied": True, "effect": "doubled"}
        await self.sandbox.record.add({**line, "ref": job.article_id, "fault": "", "detail": detail})


class Asked:
    """One call that got past token and quota."""

    def __init__(self, call: Call, account: Account) -> None:
        self.call, self.account = call, account
        self.now = call.at / 1_000_000  # seconds UTC

    def body(self) -> dict[str, Any]:
        """The JSON object. Raises Refused. `\\u` escapes stay as they are written: WeChat stores them so."""
        if not self.call.body:
            raise Refused(44002, "empty post data")
        try:
            given = json.loads(self.call.body.replace(b"\\u", b"\\\\u"))
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise Refused(47001, "data format error")
        return given

    async def media(self) -> tuple[str, bytes, str]:
        """The file in the field `media`: name, content, type by its first bytes. Raises Refused."""

        async def stream() -> AsyncGenerator[bytes]:
            yield self.call.body

        try:
            form = await MultiPartParser(self.call.request.headers, stream()).parse()
        except (MultiPartException, KeyError) as error:
            raise Refused(41005, "media data missing") from error
        file = form.get("media")
        if not isinstance(file, UploadFile) or not file.filename:
            raise Refused(41005, "media data missing")
        content = await file.read()
        await form.close()
        known = next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), "")
        return file.filename, content, known
