"""Telegram: one message of a channel, posted by a bot that is its administrator.

With a private channel to stage in, `prepare` posts the finished message there, where Telegram parses, measures and
uploads it, and the shot is one small call that copies it: the nearest thing to a flip. Without one, nothing is sent
before the instant, and text and photos cross the wire with the shot. A kind says one thing for all its outlets, so
this one is CREATE: even the copy is a new message, which Telegram makes, numbers and spreads after the call.

There is no idempotency, and no method that reads a message: doubt is settled by `channels.telegram_probe`, at the
public page and, for private channels, as far as forwards tell. What the public sees of a private channel nobody can
read, so its deliveries end on Telegram's word.

A staged message stays in the private channel once it was copied: whoever is a member finds there what went out.
When an answer to staging is lost, it stays there too, seen by no reader, and the next try stages anew.
Facts: the fact sheet on Telegram (2026-07), sections in brackets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from channels import telegram_act as act
from channels import telegram_text as texts
from channels.picture import Picture, Unusable, fit
from channels.telegram_api import Act, Bot, Word, whole
from channels.telegram_page import Reader
from channels.telegram_probe import Lookup
from channels.telegram_settings import BUDGETS, SETTINGS, chosen, twin
from sync import compare
from sync.contract import (
    Accepted,
    Capabilities,
    Correct,
    Misbehaved,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Reveal,
    Shot,
    Stale,
    Tools,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting, Token

RIGHTS = ("can_post_messages", "can_edit_messages", "can_delete_messages")
ADDRESS = "https://canonical.example/" + "x" * 174  # stands for one that is not known yet


class TelegramChannel:
    kind: ClassVar[str] = "telegram"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.CREATE,
        probe=Probe.SEARCH,
        lands_within=120.0,
        correct=Correct.EDIT,
        withdraw=True,
        settings=SETTINGS,
        limits={"characters": texts.TEXT_LIMIT, "caption": texts.CAPTION_LIMIT, "images": texts.MEDIA_LIMIT},
        budgets=BUDGETS,
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        """Raises BadInput for settings that cannot be meant."""
        self._outlet, self._tools = outlet.name, tools
        self._set = chosen(outlet)
        self._bot = Bot(tools.http, outlet.name, self._set.api, self._set.token, tools.now)
        self._reader = Reader(tools, outlet.name, self._set.page)

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        return twin(outlet, sandbox)

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        files = texts.pictures(edition)
        problems = []
        try:
            texts.compose(self._tools.pages, edition, ADDRESS, len(files))
        except Unsupported as error:
            problems.append(Problem("title", str(error)))
        if not edition.title.strip():
            problems.append(Problem("title", "缺少标题 · a title is needed"))
        for asset in edition.assets:
            if asset.media_type == "image/gif":
                message = f"动图 {asset.name} 不随消息发出 · a GIF is not posted with the message"
                problems.append(Problem("images", message, fatal=False))
        return problems

    def address(self, edition: Edition, key: Key) -> str | None:
        return None

    def render(self, edition: Edition, place: Place) -> Rendition:
        """Raises Unsupported also for a correction that one call cannot make."""
        files = texts.pictures(edition)
        content = texts.compose(self._tools.pages, edition, place.canonical, len(files))
        fields = {"canonical": place.canonical or ""}
        made = Rendition(edition.title, content, fields, files, texts.shown(content, files))
        if place.canonical and Token("link", place.canonical) not in made.shown:
            # By it alone a message is found again: without it, doubt would end in a second one.
            raise Unsupported(f"模板 {texts.TEMPLATE} 没有原文链接 · the template leaves out the canonical link")
        if place.replaces:
            act.change(made, place.replaces)
        return made

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The message as its readers see it, with its photos as they would be uploaded. Raises Rejected."""
        photos = {f"photo-{at}.{one.ending}": one for at, one in enumerate(self._photos(rendition), 1)}
        pictures = [(name, asset.alt) for name, asset in zip(photos, rendition.files, strict=True)]
        page = self._tools.pages.render(
            "telegram/preview.html", title=rendition.title, content=rendition.content, pictures=pictures
        )
        return {"message.html": page.encode(), **{name: photo.content for name, photo in photos.items()}}

    def _photos(self, rendition: Rendition) -> list[Picture]:
        """As they are uploaded. Raises Rejected for an unusable one."""
        found = []
        for asset in rendition.files:
            try:
                limits = texts.wanted(len(rendition.files))
                found.append(fit(self._tools.blob(asset.digest), asset.media_type, limits))
            except Unusable as error:
                raise Rejected(f"图片 {asset.name} 不能使用 · the picture cannot be used: {error}") from error
        return found

    # network; nothing becomes public

    def login(self) -> None:
        """The bot, both channels, and its rights in each. Raises Unauthorised naming what is missing."""
        me = whole(self._bot.do(Act("getMe", {})).result, "id")
        self._channel(self._set.chat)
        self._has_rights(me, self._set.chat)
        if self._set.staging:
            self._staging()
            self._has_rights(me, self._set.staging)

    def _has_rights(self, me: int, chat: str) -> None:
        said = self._bot.do(Act("getChatMember", {"chat_id": chat, "user_id": me})).result
        held = said if isinstance(said, dict) and said.get("status") == "administrator" else {}
        if missing := [right for right in RIGHTS if held.get(right) is not True]:
            message = f"机器人在 {chat} 缺少权限 · in {chat} the bot lacks the rights"
            raise Unauthorised(f"{self._outlet}: {message}: {', '.join(missing)}")

    def _channel(self, chat: str) -> tuple[str, int]:
        """The channel's public name, "" if it has none, and its number. Raises Unsupported for a group."""
        said = self._bot.do(Act("getChat", {"chat_id": chat})).result
        number = whole(said, "id")
        if said.get("type") != "channel":
            raise Unsupported(f"{self._outlet}: {chat} 不是频道 · it is no channel but a {said.get('type')}")
        return str(said.get("username") or ""), number

    def _staging(self) -> None:
        """Raises Unauthorised unless what is staged is seen by members only, and there only."""
        said = self._bot.do(Act("getChat", {"chat_id": self._set.staging})).result
        if not isinstance(said, dict) or said.get("type") != "channel":
            raise Unauthorised(f"{self._outlet}: staging_chat_id 不是频道 · it is no channel")
        if said.get("username") or said.get("active_usernames"):
            raise Unauthorised(f"{self._outlet}: 预置频道是公开的 · the channel to stage in is public: make it private")
        if said.get("linked_chat_id"):  # into which Telegram forwards every post, and which may be public
            raise Unauthorised(f"{self._outlet}: 预置频道有讨论组 · the channel to stage in has a discussion group")

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        """Raises Rejected when the message to be corrected is gone, and when Telegram altered what was staged."""
        name, number = self._channel(self._set.chat)
        notes = {"name": name, "chat": str(number), "since": "", "ids": "", "change": ""}
        if replaces:
            change, ids = act.change(rendition, replaces), _ids(replaces)
            if not self._bot.exists(self._set.chat, ids[change.at]):
                raise Rejected(f"{self._outlet}: 要更正的消息已不存在 · the message to be corrected is gone")
            notes |= {"ids": " ".join(map(str, ids)), "change": str(change)}
        elif name and (last := self._reader.last(name)) is not None:
            # Whatever a later probe has to find is newer than the last message of now; no clock is compared.
            notes["since"] = str(last)
        photos = self._photos(rendition)
        if self._set.staging:
            self._staging()
            notes |= self._staged(rendition, photos)
        return Prepared(notes.get("staged") or "local", None, notes)

    def _staged(self, rendition: Rendition, photos: list[Picture]) -> dict[str, str]:
        """Posted to the private channel, and read back from the answer."""
        result = self._bot.do(act.made(self._set.staging, rendition, photos)).result
        messages = result if isinstance(result, list) else [result]
        ids = [whole(one, "message_id") for one in messages]
        first = messages[0]
        said = texts.seen(str(first.get("caption" if photos else "text") or ""), ())
        if said != tuple(token for token in rendition.shown if token.kind == "text"):
            for ref in ids:
                self._bot.delete(self._set.staging, ref)
            raise Rejected(f"{self._outlet}: Telegram 改动了文字 · Telegram altered the text that was staged")
        largest = [one["photo"][-1] for one in messages if one.get("photo")]
        return {
            "staged": " ".join(map(str, ids)),
            "date": str(whole(first, "date")),
            "files": " ".join(str(one["file_id"]) for one in largest),
            "unique": " ".join(str(one["file_unique_id"]) for one in largest),
        }

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        """Raises Stale when the staged message, or the one to be corrected, is gone: of an album, any of them.
        Telegram would leave a missing one out without a word."""
        chat, staged = self._set.chat, _numbers(prepared, "staged")
        if prepared.notes["change"]:
            change, ids = act.Change.of(prepared.notes["change"]), _numbers(prepared, "ids")
            if not self._bot.exists(chat, ids[change.at]):
                raise Stale(f"{self._outlet}: the message to be corrected is gone")
            photo: Picture | str = ""
            if change.what == "media":
                kept = prepared.notes.get("files", "").split()
                photo = kept[change.at] if kept else self._photos(rendition)[change.at]
            edit = act.changed(chat, ids[change.at], change, rendition, photo)
            return self._bot.shot(edit, lambda _: self._receipt(prepared, rendition, ids), Word.SAME)
        if not staged:
            new = act.made(chat, rendition, self._photos(rendition))
            return self._bot.shot(new, lambda told: self._receipt(prepared, rendition, _made(told)))
        if not all(self._bot.exists(self._set.staging, ref) for ref in staged):
            raise Stale(f"{self._outlet}: 预置的消息已被删除 · what was staged is gone")

        def settled(told: Any) -> Receipt:
            if told is None:
                raise TryLater(f"{self._outlet}: what was staged was deleted after arming; nothing was sent")
            return self._receipt(prepared, rendition, _made(told))

        return self._bot.shot(act.copied(chat, self._set.staging, staged), settled, Word.GONE)

    def _receipt(self, prepared: Prepared, rendition: Rendition, ids: list[int]) -> Receipt:
        where = prepared.notes["name"] or f"c/{prepared.notes['chat'][4:]}"  # without -100: for members only
        told = {**act.notes(rendition), "ids": " ".join(map(str, ids))}
        return Receipt(str(ids[0]), f"{self._set.page}/{where}/{ids[0]}", self._tools.now(), told)

    # read-only

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """See `channels.telegram_probe`."""
        known = hint if isinstance(hint, Prepared) else None
        name = known.notes["name"] if known else self._channel(self._set.chat)[0]
        lookup = Lookup(self._outlet, self._set, self._bot, self._reader, self._tools, name)
        return lookup.changed(rendition, known, replaces) if replaces else lookup.find(rendition, known)

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        if urlsplit(receipt.url).path.startswith("/c/"):
            raise Unsupported(f"{self._outlet}: 私有频道没有公开页面 · a private channel has no public page")
        look = self._reader.look(receipt.url, (*rendition.files, *(before.files if before else ())))
        if look.post is None:
            return Sighting(False, look.began_at, look.ended_at)
        return compare.sighted(look.seen, rendition, before, look.began_at, look.ended_at, look.problems)

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        for ref in _numbers(prepared, "staged"):
            self._bot.delete(self._set.staging, ref)

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """Every message of it. Older than 48 hours only with can_delete_messages, which `login` asks for [4]."""
        for ref in _ids(receipt):
            self._bot.delete(self._set.chat, ref)


def _numbers(prepared: Prepared, name: str) -> list[int]:
    return [int(one) for one in prepared.notes.get(name, "").split()]


def _ids(receipt: Receipt) -> list[int]:
    """The messages of a receipt; of one that a person made, the one that its address names."""
    told = receipt.notes.get("ids") or receipt.ref or receipt.url.rstrip("/").rpartition("/")[2].partition("?")[0]
    if not all(one.isdigit() for one in told.split()) or not told:
        raise Rejected(f"{receipt.url} 不是消息的地址 · it is no address of a message")
    return [int(one) for one in told.split()]


def _made(told: object) -> list[int]:
    """The ids of what was made: of one message or of an album, told in full or by number."""
    messages = told if isinstance(told, list) else [told]
    if not messages:
        raise Misbehaved("no message is named in the answer")
    return [whole(one, "message_id") for one in messages]
