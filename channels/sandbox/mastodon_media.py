"""Media of the sandbox's Mastodon: uploaded, processed, described, attached or forgotten."""

from __future__ import annotations

from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from channels.sandbox.mastodon_door import NOT_FOUND, Door, Refusal, invalid
from channels.sandbox.mastodon_world import SECOND, Media, encoded, swapped
from channels.sandbox.server import Call, now

ALT_LIMIT, SIZE_LIMIT = 1500, 16_777_216
UPLOADS = (30, 1800)  # requests, and the seconds they are counted over


class MediaCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("POST", "/api/v2/media", self.upload, UPLOADS)
        door.on("GET", "/api/v1/media/{id}", self.media)
        door.on("PUT", "/api/v1/media/{id}", self.describe)
        door.on("DELETE", "/api/v1/media/{id}", self.delete_media)
        door.sandbox.on("GET", "/media/{file}", self.file)

    async def upload(self, call: Call) -> Response:
        self._door.owner(call)
        async with call.request.form() as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise invalid("File can't be blank")
            original, description = await file.read(), str(form.get("description", ""))
        if len(description) > ALT_LIMIT:
            raise invalid("Description is too long (maximum is 1500 characters)")
        if len(original) > SIZE_LIMIT:
            raise invalid("File file size must be less than 16 MB")
        try:
            stored, kind = encoded(original)
        except OSError:
            raise Refusal(500, "Error processing thumbnail for uploaded media") from None
        knob = self._door.sandbox.knobs.take("POST", call.path, call.account, "slow_media")
        wait = round(float(knob.parameters.get("seconds", 1)) * SECOND) if knob else 0
        media = Media(self._world.new_id(now()), call.account, stored, kind, description, now(), now() + wait)
        self._world.keep_media(media)
        call.did("media_uploaded", media.id, description=description, size=len(original))
        return JSONResponse(media.shown(self._world.address, now()), 202 if wait else 200)

    def _loose(self, call: Call) -> Media:
        """Own media not attached to anything; the server finds no others by id."""
        owner = self._door.owner(call)
        media = self._world.media.get(call.request.path_params["id"])
        if media is None or media.account != owner.name or media.status:
            raise Refusal(404, NOT_FOUND)
        return media

    async def media(self, call: Call) -> Response:
        media = self._loose(call)
        return JSONResponse(media.shown(self._world.address, now()), 200 if media.ready_at <= now() else 206)

    async def describe(self, call: Call) -> Response:
        media = self._loose(call)
        media.description = str((await self._door.given(call)).get("description", ""))
        self._world.keep_media(media)
        call.did("media_described", media.id, description=media.description)
        return JSONResponse(media.shown(self._world.address, now()))

    async def delete_media(self, call: Call) -> Response:
        media = self._loose(call)
        self._world.drop_media(media.id)
        call.did("media_deleted", media.id)
        return JSONResponse({})

    async def file(self, call: Call) -> Response:
        media = next((m for m in self._world.media.values() if m.file == call.request.path_params["file"]), None)
        if media is None:
            return Response(status_code=404)
        shown_by = self._world.statuses.get(media.status)
        owner = shown_by.account.name if shown_by else ""
        swap = self._door.sandbox.knobs.standing("swap_picture", owner)
        return Response(swapped(media.content) if swap else media.content, media_type=media.media_type)
