"""A Mastodon server as far as a publisher meets it. Facts: the fact sheet on Mastodon, sections 2 to 9.

`Bearer sandbox-NAME` is a valid token of account NAME, which exists from its first use. Settings (knobs):

    revoke            the account's token is no longer valid
    ignore_key        Idempotency-Key is ignored, as Takahē does
    key_ttl, orphan_ttl   `seconds`: lives of keys and of unattached media
    key_race          `seconds` between looking the key up and storing it, as older versions do
    slow_media        the next upload answers 202 and is processed after `seconds`
    lenient_media     unknown media ids are dropped in silence, as older versions do
    ignore_edit       an edit is answered with 200 and changes nothing
    ignore_edited_media   an edit changes the text only
    no_edit           there is no such call, as before 3.5
    old_scheduler     a time less than 5 minutes ahead posts at once, as older versions do
    silenced          public becomes unlisted without a word
    alter             the public sees `replace[1]` where the text has `replace[0]`
    swap_picture      the public sees other pictures
    list_lag          a new status appears in the account's list after `seconds`
    doubles           a new status is made twice, without a word
    vanish            a status is gone `seconds` after it was made
    unlimited         no rate limits (they are counted all the same)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from channels.sandbox.mastodon_account import MEDIA_LIMIT, TEXT_LIMIT, AccountCalls
from channels.sandbox.mastodon_door import NOT_FOUND, Door, Refusal, invalid, true
from channels.sandbox.mastodon_media import MediaCalls
from channels.sandbox.mastodon_text import length
from channels.sandbox.mastodon_world import KEY_LIFE, PUBLIC, SECOND, Account, Status, iso
from channels.sandbox.server import Call, Sandbox, now, serve

SOONEST = 300 * SECOND
DELETES, POSTS = (30, 1800), (300, 10_800)  # requests, and the seconds they are counted over


class StatusCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        self._timers: set[asyncio.Task[None]] = set()
        door.on("POST", "/api/v1/statuses", self.create, POSTS)
        door.on("GET", "/api/v1/statuses/{id}", self.show)
        door.on("PUT", "/api/v1/statuses/{id}", self.edit)
        door.on("DELETE", "/api/v1/statuses/{id}", self.delete, DELETES)
        door.on("GET", "/api/v1/statuses/{id}/source", self.source)
        door.on("GET", "/api/v1/statuses/{id}/history", self.history)
        door.on("GET", "/api/v1/accounts/{id}/statuses", self.statuses)
        door.on("GET", "/api/v1/scheduled_statuses", self.scheduled)
        door.on("DELETE", "/api/v1/scheduled_statuses/{id}", self.unschedule)
        door.sandbox.on("GET", "/@{account}/{id}", self.page)

    async def create(self, call: Call) -> Response:
        owner = self._door.owner(call)
        given = await self._door.given(call)
        key = call.request.headers.get("Idempotency-Key", "")
        call.detail.update(key=key, text=str(given.get("status", "")))
        if key and not self._door.set("ignore_key", call):
            made = self._world.status_of_key(owner.name, key, now(), self._door.time("key_ttl", call, KEY_LIFE))
            if made is not None:
                if made not in self._world.statuses:
                    raise Refusal(404, NOT_FOUND)  # deleted since, or the key of a scheduled one
                call.detail["replayed"] = True
                return JSONResponse(self._world.shown(self._world.statuses[made], now()))
        race = self._door.time("key_race", call, 0)
        if race:
            await asyncio.sleep(race / SECOND)
        status = self._checked(call, owner, given)
        at = _when(given.get("scheduled_at"))
        if at is not None and at > now():
            if at - now() >= SOONEST:
                return self._schedule(call, status, at, key)
            if not self._door.set("old_scheduler", call):
                raise invalid("The scheduled date must be at least 5 minutes in the future")
        self._post(status)
        if key:
            self._world.keep_key(owner.name, key, status.id, now())
        call.did("post_created", status.id, visibility=status.visibility, media=status.media)
        if self._door.set("doubles", call):
            twin = replace(status, id=self._world.new_id(now()), media=[])
            self._post(twin)
            call.detail["double"] = twin.id
        return JSONResponse(self._world.shown(status, now()))

    def _checked(self, call: Call, owner: Account, given: Mapping[str, Any]) -> Status:
        """The status that would be made. Raises Refusal."""
        text, spoiler = str(given.get("status") or "").strip(), str(given.get("spoiler_text") or "")
        ids = self._attachable(call, owner, given, "")
        self._check_text(text, spoiler, ids)
        visibility = str(given.get("visibility") or "public")
        if visibility == "public" and self._door.set("silenced", call):
            visibility = "unlisted"
        language, sensitive = str(given.get("language") or ""), true(given.get("sensitive"))
        return Status(self._world.new_id(now()), owner, text, spoiler, visibility, language, sensitive, ids, now())

    def _attachable(self, call: Call, owner: Account, given: Mapping[str, Any], own: str) -> list[str]:
        """The media named: loose ones, and those of the status `own` that is edited. Raises Refusal."""
        ids = [str(media) for media in given.get("media_ids") or []]
        if len(ids) > MEDIA_LIMIT:
            raise invalid("Cannot attach more than 4 files")
        loose = {m.id: m for m in self._world.media.values() if m.account == owner.name and m.status in ("", own)}
        missing = [media for media in ids if media not in loose]
        if missing and not self._door.set("lenient_media", call):
            raise invalid(f"Media {', '.join(missing)} not found or already attached to another post")
        ids = [media for media in ids if media in loose]
        if any(loose[media].ready_at > now() for media in ids):
            raise invalid("Cannot attach files that have not finished processing. Try again in a moment!")
        return ids

    def _check_text(self, text: str, spoiler: str, media: list[str]) -> None:
        if not text and not media:
            raise invalid("Text can't be blank")
        if length(spoiler + text) > TEXT_LIMIT:
            raise invalid(f"Text character limit of {TEXT_LIMIT} exceeded")

    def _post(self, status: Status) -> None:
        for media in status.media:
            self._world.attach(media, status.id)
        self._world.keep_status(status)

    def _schedule(self, call: Call, status: Status, at: int, key: str) -> Response:
        """Posted by a timer. The key is stored with an id that is no status, hence the replay's 404."""
        shown = {"id": status.id, "scheduled_at": iso(at), "params": {"text": status.text}, "media_attachments": []}
        self._world.scheduled[status.id] = shown
        if key:
            self._world.keep_key(status.account.name, key, f"scheduled {status.id}", now())
        timer = asyncio.create_task(self._post_later(call, status, at))
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)
        call.did("post_scheduled", status.id, scheduled_at=iso(at))
        return JSONResponse(shown)

    async def _post_later(self, call: Call, status: Status, at: int) -> None:
        await asyncio.sleep((at - now()) / SECOND)
        if self._world.scheduled.pop(status.id, None) is None:
            return
        status.id, status.at = self._world.new_id(now()), now()
        self._post(status)
        call.at = now()
        call.did("post_created", status.id, visibility=status.visibility)
        await self._door.sandbox.record.add(call.line())

    def _found(self, call: Call, *, own: bool) -> Status:
        owner = self._door.owner(call) if own else self._door.reader(call)
        status = self._there(call.request.path_params["id"])
        mine = status is not None and owner is not None and status.account is owner
        if status is None or not (mine or (not own and status.visibility in PUBLIC)):
            raise Refusal(404, NOT_FOUND)
        return status

    def _there(self, ref: str) -> Status | None:
        """The status, unless it has vanished."""
        status = self._world.statuses.get(ref)
        standing = self._door.sandbox.knobs.standing("vanish", status.account.name) if status else []
        if status is None or any(status.at + knob.parameters["seconds"] * SECOND <= now() for knob in standing):
            return None
        return status

    def _public_text(self, status: Status) -> str:
        text = status.text
        for knob in self._door.sandbox.knobs.standing("alter", status.account.name):
            before, after = knob.parameters["replace"]
            text = text.replace(before, after)
        return text

    async def show(self, call: Call) -> Response:
        status = self._found(call, own=False)
        text = None if call.account else self._public_text(status)
        return JSONResponse(self._world.shown(status, now(), text))

    async def edit(self, call: Call) -> Response:
        """The whole of the new version: what is left out is gone. Visibility stays; nothing new, no new version."""
        if self._door.set("no_edit", call):
            raise Refusal(404, NOT_FOUND)
        status = self._found(call, own=True)
        given = await self._door.given(call)
        if self._door.set("ignore_edit", call):
            return JSONResponse(self._world.shown(status, now()))
        text, spoiler = str(given.get("status") or "").strip(), str(given.get("spoiler_text") or "")
        language, sensitive = str(given.get("language") or ""), true(given.get("sensitive"))
        fixed = self._door.set("ignore_edited_media", call)
        ids = status.media if fixed else self._attachable(call, status.account, given, status.id)
        self._check_text(text, spoiler, ids)
        described = {} if fixed else _descriptions(given, ids)
        new = (text, spoiler, language, sensitive, ids)
        if described or new != (status.text, status.spoiler, status.language, status.sensitive, status.media):
            status.history.append(self._version(status))
            for media in {*status.media} - {*ids}:
                # An earlier version shows it still, so it is not an orphan that is forgotten.
                self._world.attach(media, f"earlier {status.id}")
            for media, description in described.items():
                self._world.media[media].description = description
            status.text, status.spoiler, status.language, status.sensitive, status.media = new
            status.edited_at = now()
            self._post(status)
        call.did("post_edited", status.id, text=text, media=ids)
        return JSONResponse(self._world.shown(status, now()))

    def _version(self, status: Status) -> dict[str, Any]:
        shown = self._world.shown(status, now())
        return {**shown, "created_at": iso(status.edited_at or status.at)}

    async def delete(self, call: Call) -> Response:
        status = self._found(call, own=True)
        given = {**call.request.query_params, **await self._door.given(call)}
        with_media = true(given.get("delete_media"))
        shown = {**self._world.shown(status, now()), "text": status.text}
        self._world.drop_status(status.id)
        for media in [m for m in self._world.media.values() if m.status in (status.id, f"earlier {status.id}")]:
            media.at = now()
            self._world.attach(media.id, "")
            if with_media:
                self._world.drop_media(media.id)
        call.did("post_deleted", status.id)
        return JSONResponse(shown)

    async def source(self, call: Call) -> Response:
        status = self._found(call, own=True)
        return JSONResponse({"id": status.id, "text": status.text, "spoiler_text": status.spoiler})

    async def history(self, call: Call) -> Response:
        status = self._found(call, own=False)
        return JSONResponse([*status.history, self._version(status)])

    async def statuses(self, call: Call) -> Response:
        """Newest first; `max_id` and `since_id` exclude themselves."""
        reader, asked = self._door.reader(call), call.request.query_params
        lag = self._door.time("list_lag", call, 0)
        found = [
            status
            for status in reversed(self._world.statuses.values())
            if status.account.id == call.request.path_params["id"]
            and (status.visibility in PUBLIC or status.account is reader)
            and int(asked.get("since_id") or 0) < int(status.id) < int(asked.get("max_id") or 2**63)
            and status.at + lag <= now()
            and self._there(status.id) is not None
        ]
        page = found[: min(int(asked.get("limit") or 20), 40)]
        return JSONResponse([self._world.shown(status, now()) for status in page])

    async def scheduled(self, call: Call) -> Response:
        self._door.owner(call)
        return JSONResponse(list(self._world.scheduled.values()))

    async def unschedule(self, call: Call) -> Response:
        self._door.owner(call)
        if self._world.scheduled.pop(call.request.path_params["id"], None) is None:
            raise Refusal(404, NOT_FOUND)
        call.did("post_unscheduled", call.request.path_params["id"])
        return JSONResponse({})

    async def page(self, call: Call) -> Response:
        """The public page of a status; Mastodon's own is built by a script out of the same API."""
        status = self._there(call.request.path_params["id"])
        if status is None or status.visibility not in PUBLIC:
            return HTMLResponse("<h1>404</h1>", 404)
        shown = self._world.shown(status, now(), self._public_text(status))
        pictures = "".join(
            f'<img src="{media["url"]}" alt="{escape(media["description"] or "")}">'
            for media in shown["media_attachments"]
        )
        title = escape(f"{status.account.name}: {status.text[:40]}")
        return HTMLResponse(
            f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title>'
            "<style>body{max-width:40rem;margin:2rem auto;font-family:sans-serif}img{max-width:100%}</style></head>"
            "<body>"
            f'<article lang="{escape(status.language)}">{shown["content"]}{pictures}</article></body></html>'
        )


def _descriptions(given: Mapping[str, Any], ids: list[str]) -> dict[str, str]:
    """New descriptions of media that stay, out of `media_attributes`."""
    told = given.get("media_attributes") or []
    return {
        str(one["id"]): str(one["description"])
        for one in told
        if isinstance(one, dict) and "description" in one and str(one.get("id")) in ids
    }


def _when(given: object) -> int | None:
    """`scheduled_at` in microseconds UTC; what cannot be read counts as not given."""
    try:
        moment = datetime.fromisoformat(str(given))
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * SECOND)


def build(sandbox: Sandbox) -> None:
    """Everything a Mastodon server needs to be."""
    door = Door(sandbox)
    AccountCalls(door)
    MediaCalls(door)
    StatusCalls(door)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
