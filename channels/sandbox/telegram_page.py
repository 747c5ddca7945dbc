"""What anybody sees of a public channel at t.me: its list, one post by itself, its pictures. HTML, as t.me writes it.

Nothing of a private channel is here. Of what there is not, t.me tells with status 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from starlette.responses import HTMLResponse, RedirectResponse, Response

from channels.sandbox.server import Call, now
from channels.sandbox.telegram_door import Door
from channels.sandbox.telegram_send import first_link
from channels.sandbox.telegram_text import page
from channels.sandbox.telegram_world import SECOND, Chat, Message, Version, on_page

LISTED = 20
NOT_FOUND = (
    '<div class="tgme_widget_message js-widget_message err_message"><div class="tgme_widget_message_bubble">'
    '<div class="tgme_widget_message_error">Post not found</div></div></div>'
)
STYLE = (
    "body{max-width:34rem;margin:1rem auto;font:16px/1.5 sans-serif}.tgme_widget_message{margin:1rem 0;padding:1rem;"
    "border:1px solid #ccc;border-radius:8px}.tgme_widget_message_photo_wrap{display:block;background-size:contain;"
    "background-repeat:no-repeat;padding-top:50%}"
)


class Pages:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.sandbox.on("GET", "/s/{name}", self.history)
        door.sandbox.on("GET", "/file/{name}.jpg", self.picture)
        door.sandbox.on("GET", "/{name}/{id}", self.post)
        door.sandbox.on("GET", "/{name}", self.landing)

    def _chat(self, call: Call) -> Chat | None:
        name = call.request.path_params["name"].lower()
        chat = next((one for one in self._world.chats.values() if one.username and one.username.lower() == name), None)
        call.account = chat.account if chat else ""
        return chat

    async def history(self, call: Call) -> Response:
        """Twenty posts, oldest first: the newest, or those before or after an id. An album is one post."""
        chat = self._chat(call)
        if chat is None or self._door.set("no_list", call):
            return RedirectResponse(f"/{call.request.path_params['name']}", 302)
        before, after = (_number(call.request.query_params.get(name)) for name in ("before", "after"))
        posts = [(ref, body) for ref, body in self._posts(chat) if (not before or ref < before) and ref > after]
        shown = posts[:LISTED] if after else posts[-LISTED:]
        links = ""
        if shown and posts[0][0] < shown[0][0]:
            links += f'<link rel="prev" href="/s/{chat.username}?before={shown[0][0]}">'
        wrapped = "".join(
            f'<div class="tgme_widget_message_wrap js-widget_message_wrap">{body}</div>' for _, body in shown
        )
        none = "" if shown else '<div class="tme_no_messages_found">No posts found</div>'
        header = (
            '<div class="tgme_channel_info"><div class="tgme_channel_info_header_title"><span dir="auto">'
            f"{escape(chat.title)}</span></div></div>"
        )
        history = f'<section class="tgme_channel_history js-message_history">{wrapped}{none}</section>'
        return self._page(call, chat.title, header + history, links)

    async def post(self, call: Call) -> Response:
        chat = self._chat(call)
        if chat is None:
            return self._page(call, "Telegram", '<div class="tgme_page_wrap"></div>')
        ref = _number(call.request.path_params["id"])
        message = self._world.messages.get((chat.id, ref))
        whole = self._album(message) if message else []
        body = self._body(chat, whole) if whole else ""
        return self._page(call, f"{chat.title} – {ref}", body or NOT_FOUND)

    async def landing(self, call: Call) -> Response:
        chat = self._chat(call)
        told = f'<div class="tgme_page_title">{escape(chat.title)}</div>' if chat else ""
        return self._page(call, "Telegram", f'<div class="tgme_page_wrap"><div class="tgme_page">{told}</div></div>')

    async def picture(self, call: Call) -> Response:
        photo = next((p for p in self._world.photos.values() if p.unique == call.request.path_params["name"]), None)
        if photo is None:
            return Response(status_code=404)
        swapped = bool(self._door.sandbox.knobs.standing("swap_picture", photo.bot))
        return Response(on_page(photo, swapped=swapped), media_type="image/jpeg")

    def _page(self, call: Call, title: str, body: str, head: str = "") -> Response:
        if self._door.set("changed_page", call):
            body = body.replace("tgme_widget_message", "tgx_post").replace("data-post", "data-item")
        return HTMLResponse(
            f'<!DOCTYPE html><html><head><meta charset="utf-8"><title>{escape(title)}</title>{head}'
            f'<style>{STYLE}</style></head><body class="widget_frame_base tgme_webpage">{body}</body></html>'
        )

    def _posts(self, chat: Chat) -> list[tuple[int, str]]:
        service = (
            f'<div class="tgme_widget_message service_message js-widget_message" data-post="{chat.username}/1">'
            '<div class="tgme_widget_message_bubble"><div class="tgme_widget_message_text js-message_text" dir="auto">'
            "Channel created</div></div></div>"
        )
        found = [(1, service)]
        for message in self._world.of(chat.id):
            whole = self._album(message)
            if whole and whole[0] is message and (body := self._body(chat, whole)):
                found.append((message.id, body))
        return found

    def _album(self, message: Message) -> list[Message]:
        """What is shown as one post with it, as readers find it now."""
        if not message.album:
            return [message]
        return [one for one in self._world.of(message.chat) if one.album == message.album and self._seen(one)]

    def _seen(self, message: Message) -> Version | None:
        account = self._world.chats[message.chat].account
        gone = self._door.time("vanish", account)
        if gone and message.at + gone <= now():
            return None
        return message.as_of(now() - self._door.time("page_lag", account))

    def _body(self, chat: Chat, whole: Sequence[Message]) -> str:
        """The block of one post; "" when readers do not find it."""
        versions = [(one, version) for one in whole if (version := self._seen(one))]
        if not versions:
            return ""
        first, said = versions[0][0], versions[0][1]
        text = page(said.text, said.entities)
        for knob in self._door.sandbox.knobs.standing("alter", chat.account):
            before, after = knob.parameters["replace"]
            text = text.replace(escape(before), escape(after))
        pictures = "".join(self._photo(chat, one, version, len(versions) > 1) for one, version in versions)
        if len(versions) > 1:
            for name in ("grouped_layer", "grouped", "grouped_wrap"):
                pictures = f'<div class="tgme_widget_message_{name} js-message_{name}">{pictures}</div>'
            # The text of an album stands in two such blocks, one inside the other.
            text = f'<div class="tgme_widget_message_text js-message_text" dir="auto">{text}</div>' if text else ""
        block = f'<div class="tgme_widget_message_text js-message_text" dir="auto">{text}</div>' if text else ""
        moment = datetime.fromtimestamp(first.at // SECOND, UTC)
        edited = "edited &nbsp;" if len(first.versions) > 1 else ""
        return (
            '<div class="tgme_widget_message text_not_supported_wrap js-widget_message" '
            f'data-post="{chat.username}/{first.id}"><div class="tgme_widget_message_bubble">'
            f'<div class="tgme_widget_message_author"><a class="tgme_widget_message_owner_name" href="https://t.me/'
            f'{chat.username}"><span dir="auto">{escape(chat.title)}</span></a></div>{pictures}{block}{_preview(said)}'
            '<div class="tgme_widget_message_footer"><span class="tgme_widget_message_views">12</span>'
            f'<span class="tgme_widget_message_meta">{edited}<a class="tgme_widget_message_date" href="https://t.me/'
            f'{chat.username}/{first.id}"><time datetime="{moment:%Y-%m-%dT%H:%M:%S}+00:00">{moment:%H:%M}</time></a>'
            "</span></div></div></div>"
        )

    def _photo(self, chat: Chat, message: Message, version: Version, grouped: bool) -> str:
        if not version.photo:
            return ""
        photo: Any = self._world.photos[version.photo]
        single, more = ("?single", " grouped_media_wrap") if grouped else ("", "")
        return (
            f'<a class="tgme_widget_message_photo_wrap{more}" href="https://t.me/{chat.username}/{message.id}{single}" '
            f"style=\"width:{photo.width}px;background-image:url('{self._door.sandbox.address}/file/{photo.unique}.jpg')\">"
            '<div class="tgme_widget_message_photo"></div></a>'
        )


def _preview(version: Version) -> str:
    """The card of the page that a text links to; what it shows, that page decides."""
    address = first_link(version) if version.preview and not version.photo else ""
    if not address:
        return ""
    return (
        f'<a class="tgme_widget_message_link_preview" href="{escape(address)}"><div class="link_preview_site_name">'
        f"{escape(address.split('/')[2] if '//' in address else address)}</div></a>"
    )


def _number(told: str | None) -> int:
    return int(told) if told and told.isdigit() and len(told) < 19 else 0
