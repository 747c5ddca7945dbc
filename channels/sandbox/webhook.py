"""A webhook receiver with a public page for each item. Facts: the fact sheet on webhooks; Standard Webhooks 1.0.0.

`POST /NAME/hook` takes the events of receiver NAME, which exists from its first use; its key is
`webhook_seal.own_key(NAME)`. `GET /NAME/items/ITEM` is the public page, `GET /files/X` shows `DIR/files/www/X`.
An event is taken once by its `webhook-id`; of one item the higher revision wins, of one revision the later
timestamp; what was withdrawn is not updated (409). Faults can be aimed at one kind of event: their
`account` is "NAME type", as in "town item.published"; settings go by NAME. Settings (knobs):

    keys          `accepted`: these keys instead of its own; with `until` (seconds since 1970) its own, too, till then
    skew          its clock is `seconds` ahead
    bad_request   what is not believed is answered with 400 instead of 401, as many do
    picky         event types that it does not know are answered with 422 instead of 204
    forgetful     a repeated `webhook-id` is taken again, as if it were new
    key_ttl       a `webhook-id` is known again for `seconds` only
    silent        2xx answers are empty: no `public_url`
    unmarked      the page has no microdata
    lag           what was taken is public `seconds` later
    vanish        what was taken is public for `seconds` only
    soft_404      the page of what is not public answers 200
    alter         the public sees `replace[1]` where the text has `replace[0]`
    drop_cell, swap_picture   the public sees one table cell less, other pictures
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from starlette.responses import HTMLResponse, JSONResponse, Response

from channels.sandbox.knobs import Knob
from channels.sandbox.pages import TYPES, another_picture, resolve
from channels.sandbox.server import Call, Sandbox, now, serve
from channels.sandbox.webhook_seal import Refused, believe, own_key
from channels.sandbox.webhook_view import altered, article, page

SECOND = 1_000_000
CONTENT = {"item.published": "published", "item.updated": "updated", "item.withdrawn": "withdrawn"}
BEFORE = {"item.staged": "staged", "item.unstaged": "unstaged"}
QUIET = ("outlet.check",)
NOWHERE = "<!DOCTYPE html><html><head><title>掌上通</title></head><body><main><h1>没有这一页</h1></main></body></html>"


@dataclass
class Item:
    """`told`: what the public sees from which instant on (µs UTC); None: nothing."""

    order: tuple[int, datetime] | None = None
    told: list[tuple[int, Mapping[str, Any] | None]] = field(default_factory=list)
    staged: Mapping[str, Any] | None = None

    def public(self, at: int) -> Mapping[str, Any] | None:
        return next((told for since, told in reversed(self.told) if since <= at), None)


@dataclass
class Receiver:
    name: str
    items: dict[str, Item] = field(default_factory=dict)
    taken: dict[str, tuple[Response, int]] = field(default_factory=dict)  # answers and when, by webhook-id


class Receivers:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._known: dict[str, Receiver] = {}
        for name, ref, kept in sandbox.shelf.all("item").values():
            self._receiver(name).items[ref] = _restored(kept)
        for name, identity, status, body, at in sandbox.shelf.all("taken").values():
            self._receiver(name).taken[identity] = Response(body, status, media_type="application/json"), at
        sandbox.account_of = _account
        sandbox.on("POST", "/{name}/hook", self.take)
        sandbox.on("GET", "/{name}/items/{item:path}", self.show)
        sandbox.on("GET", "/files/{name:path}", self.file)

    def _of(self, call: Call) -> Receiver:
        name = call.account = str(call.request.path_params["name"])
        return self._receiver(name)

    def _receiver(self, name: str) -> Receiver:
        return self._known.setdefault(name, Receiver(name))

    def _set(self, setting: str, receiver: Receiver) -> Knob | None:
        """The standing knob of that name; of several the last set."""
        return next(iter(reversed(self._sandbox.knobs.standing(setting, receiver.name))), None)

    def _seconds(self, setting: str, receiver: Receiver) -> float:
        knob = self._set(setting, receiver)
        return float(knob.parameters["seconds"]) if knob else 0.0

    def _keys(self, receiver: Receiver) -> list[str]:
        knob = self._set("keys", receiver)
        if knob is None:
            return [own_key(receiver.name)]
        own = [own_key(receiver.name)] if now() < float(knob.parameters.get("until", 0)) * SECOND else []
        return [*knob.parameters["accepted"], *own]

    async def take(self, call: Call) -> Response:
        receiver = self._of(call)
        headers = {name: call.request.headers.get(name, "") for name in ("webhook-id", "webhook-timestamp")}
        call.detail.update({"id": headers["webhook-id"], "signed_for": headers["webhook-timestamp"]})
        clock = now() / SECOND + self._seconds("skew", receiver)
        try:
            identity = believe(call.request.headers, call.body, self._keys(receiver), clock)
        except Refused as refused:
            status = 400 if self._set("bad_request", receiver) else 401
            return JSONResponse({"error": str(refused)}, status)
        event = _event(call.body)
        if event is None:
            return JSONResponse({"error": "not an event"}, 400)
        call.detail.update({"type": event["type"], "bytes": len(call.body)})
        known, since = receiver.taken.get(identity, (None, 0))
        life = self._set("key_ttl", receiver)
        expired = life is not None and since + life.parameters["seconds"] * SECOND <= now()
        if known is not None and not expired and not self._set("forgetful", receiver):
            call.detail["ignored"] = "id"
            return known
        answer, at = self._apply(call, receiver, event), now()
        receiver.taken[identity] = answer, at
        kept = [receiver.name, identity, answer.status_code, bytes(answer.body).decode(), at]
        self._sandbox.shelf.put("taken", f"{receiver.name} {identity}", kept)
        return answer

    def _apply(self, call: Call, receiver: Receiver, event: Mapping[str, Any]) -> Response:
        kind, told = event["type"], event["data"]
        if kind not in {*CONTENT, *BEFORE, *QUIET}:
            picky = self._set("picky", receiver)
            return JSONResponse({"error": "unknown event"}, 422) if picky else Response(status_code=204)
        if kind in QUIET:
            return Response(status_code=204)
        name, revision = told.get("item"), told.get("revision")
        if not isinstance(name, str) or not name or not isinstance(revision, int):
            return JSONResponse({"error": "item and revision are needed"}, 422)
        call.detail.update({"item": name, "revision": revision, "replaces": told.get("replaces")})
        item = receiver.items.setdefault(name, Item())
        if kind in BEFORE:
            item.staged = told if kind == "item.staged" else None
            self._keep(receiver, name)
            call.did(BEFORE[kind], name)
            return Response(status_code=204)
        order = (revision, _moment(event["timestamp"]))
        was = item.told[-1][1] if item.told else None
        if item.order is not None and order < item.order:
            call.detail["ignored"] = "order"
        elif kind == "item.updated" and item.told and was is None:
            return JSONResponse({"error": "the item was withdrawn"}, 409)
        else:
            item.order, item.staged = order, None
            public_at = now() + round(self._seconds("lag", receiver) * SECOND)
            item.told.append((public_at, None if kind == "item.withdrawn" else told))
            if (gone := self._set("vanish", receiver)) is not None:
                item.told.append((public_at + round(gone.parameters["seconds"] * SECOND), None))
            self._keep(receiver, name)
            if kind == "item.withdrawn" and was is None:
                call.detail["ignored"] = "absent"
            else:
                call.did(CONTENT[kind], name, title=told.get("title", ""), content=told.get("content", ""))
        if self._set("silent", receiver) or kind == "item.withdrawn":
            return Response(status_code=204)
        url = f"{self._sandbox.address}/{quote(receiver.name)}/items/{quote(name, safe='')}"
        return JSONResponse({"public_url": url})

    def _keep(self, receiver: Receiver, name: str) -> None:
        """On the shelf before anybody is answered."""
        item = receiver.items[name]
        order = None if item.order is None else [item.order[0], item.order[1].isoformat()]
        kept = {"order": order, "told": item.told, "staged": item.staged}
        self._sandbox.shelf.put("item", f"{receiver.name} {name}", [receiver.name, name, kept])

    async def show(self, call: Call) -> Response:
        receiver = self._of(call)
        item = receiver.items.get(call.request.path_params["item"])
        told = item.public(now()) if item else None
        if told is None:
            status = 200 if self._set("soft_404", receiver) else 404
            return HTMLResponse(NOWHERE, status)
        standing = [
            knob
            for fault in ("alter", "drop_cell", "swap_picture")
            for knob in self._sandbox.knobs.standing(fault, receiver.name)
        ]
        text, title = (
            altered(part, standing, "/files/another.png") for part in (article(told), str(told.get("title", "")))
        )
        return HTMLResponse(page(told, text, title, marked=not self._set("unmarked", receiver)))

    async def file(self, call: Call) -> Response:
        """What the sender keeps at its own address of files; another picture for `swap_picture`."""
        if call.request.path_params["name"] == "another.png":
            return Response(another_picture(), media_type="image/png")
        found = resolve(self._sandbox.home, call.path)
        if found is None:
            return Response(status_code=404)
        return Response(found.read_bytes(), media_type=TYPES.get(found.suffix, "application/octet-stream"))


def _restored(kept: Mapping[str, Any]) -> Item:
    order = None if kept["order"] is None else (kept["order"][0], datetime.fromisoformat(kept["order"][1]))
    return Item(order, [(since, told) for since, told in kept["told"]], kept["staged"])


def _account(call: Call) -> str:
    """For faults: the receiver, and of an event its type too."""
    name = call.request.url.path.split("/")[1]
    event = _event(call.body) if call.request.method == "POST" else None
    return f"{name} {event['type']}" if event else name


def _event(body: bytes) -> Mapping[str, Any] | None:
    """None for what has not the shape of an event."""
    try:
        found = json.loads(body)
        _moment(found["timestamp"])
    except (ValueError, KeyError, TypeError):
        return None
    sound = isinstance(found.get("type"), str) and isinstance(found.get("data"), dict)
    return found if sound else None


def _moment(text: str) -> datetime:
    """Raises ValueError, TypeError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def build(sandbox: Sandbox) -> None:
    Receivers(sandbox)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
