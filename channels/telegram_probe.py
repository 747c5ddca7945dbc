"""How a post is found again on Telegram after doubt. Nothing here changes what the public sees.

There is no idempotency key and no method that reads. Of a public channel the list at t.me is searched: ids count up,
so whatever carries our canonical address and is newer than the last post of before is ours. What several posts
carry is counted, and the oldest of them is the receipt's.

A private channel has no list. Where there is a channel to stage in, its messages are looked at by forwarding them
there (a forward's answer shows the message; a copy's shows only a number), and the forward is deleted again. Ids
have gaps, where something was deleted, so the end of the channel is found by trying; a find counts. An absence
cannot be shown like that, and then a person has to look.

BUG: two deliveries of the same item to the same channel, both prepared before either is public, are not told
apart: the post of one would be taken for the other's when that one is in doubt. Telegram has no place for a mark
that readers do not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from channels import telegram_text as texts
from channels.telegram_act import notes
from channels.telegram_api import Act, Bot, Word, whole
from channels.telegram_page import Post, Reader
from channels.telegram_settings import Chosen
from sync.contract import Prepared, Receipt, Tools, Unsupported
from sync.model import Rendition

GAP = 3  # ids in a row that must be missing to be taken for the end
LOOKED_AT = 5  # messages of a private channel, from its end


class Lookup:
    """One outlet, for one question. `name`: of the channel in public; "" for a private one."""

    def __init__(self, outlet: str, chosen: Chosen, bot: Bot, reader: Reader, tools: Tools, name: str) -> None:
        self._outlet, self._set, self._bot, self._reader, self._tools = outlet, chosen, bot, reader, tools
        self._name = name
        self._looked: dict[int, Mapping[str, Any] | None] = {}

    def find(self, rendition: Rendition, known: Prepared | None) -> Prepared | Receipt | None:
        """Raises Unsupported where it cannot be learnt."""
        canonical = rendition.fields["canonical"]
        if not canonical:
            raise Unsupported(f"{self._outlet}: without a canonical address nothing marks the message as ours")
        if known is not None and known.notes["since"]:
            found = [
                post for post in self._reader.since(self._name, int(known.notes["since"])) if post.links_to(canonical)
            ]
            return self._receipt(rendition, found) if found else known
        listed = self._reader.newest(self._name) if known is None and self._name else None
        if listed is None:
            return self._by_forwards(rendition, known)
        # Only being prepared: an earlier edition at the same address is not this delivery.
        ours = texts.shown(rendition.content, ())
        found = [post for post in listed if post.links_to(canonical) and post.text == ours]
        return self._receipt(rendition, found) if found else None

    def changed(self, rendition: Rendition, known: Prepared | None, replaces: Receipt) -> Prepared | Receipt | None:
        """Of a correction: whether that very message shows it by now."""
        if self._name:
            look = self._reader.look(replaces.url, rendition.files)
            shows = look.post is not None and look.seen == rendition.shown and not look.problems
        else:
            shows = self._is_forwarded_as(rendition, known, replaces)
        ids = {"ids": replaces.notes.get("ids") or replaces.ref}
        return replace(replaces, at=self._tools.now(), notes={**notes(rendition), **ids}) if shows else known

    def _receipt(self, rendition: Rendition, found: list[Post]) -> Receipt:
        first = found[0]
        told = {**notes(rendition), "ids": " ".join(map(str, first.ids))}
        if len(found) > 1:
            told["copies"] = str(len(found))
        return Receipt(str(first.id), f"{self._set.page}/{self._name}/{first.id}", self._tools.now(), told)

    def _by_forwards(self, rendition: Rendition, known: Prepared | None) -> Receipt:
        canonical, newest = rendition.fields["canonical"], self._end() if self._set.staging else 0
        for ref in range(newest, max(1, newest - LOOKED_AT), -1):
            message = self._forwarded(ref)
            if message and _is_ours(message, rendition, known):
                chat = str(whole(message["forward_origin"]["chat"], "id"))
                url = f"{self._set.page}/{self._name or f'c/{chat[4:]}'}/{ref}"
                return Receipt(str(ref), url, self._tools.now(), {**notes(rendition), "ids": str(ref)})
        raise Unsupported(
            f"{self._outlet}: 频道没有可查的公开列表，请人工查看 · the channel shows no list of its posts: "
            f"look whether there is one with {canonical}"
        )

    def _end(self) -> int:
        """An id that is hardly below the newest message's, found by trying."""
        low, high = 1, 4
        while any(self._forwarded(ref) is not None for ref in range(high, high + GAP)):
            low, high = high, high * 4
        while high - low > 1:
            middle = (low + high) // 2
            if any(self._forwarded(ref) is not None for ref in range(middle, middle + GAP)):
                low = middle
            else:
                high = middle
        return low + GAP - 1

    def _forwarded(self, ref: int) -> Mapping[str, Any] | None:
        """What a message holds; {} when it is there and may not be forwarded, None when it is not there."""
        if ref not in self._looked:
            self._looked[ref] = self._forward(ref)
        return self._looked[ref]

    def _forward(self, ref: int) -> Mapping[str, Any] | None:
        fields = {"chat_id": self._set.staging, "from_chat_id": self._set.chat, "message_id": ref}
        fields["disable_notification"] = True
        said = self._bot.do(Act("forwardMessage", fields), Word.GONE, Word.LOCKED)
        if said.word is not None:
            return None if said.word is Word.GONE else {}
        self._bot.delete(self._set.staging, whole(said.result, "message_id"))
        return dict(said.result) if "forward_origin" in said.result else {}

    def _is_forwarded_as(self, rendition: Rendition, known: Prepared | None, replaces: Receipt) -> bool:
        """Raises Unsupported when nobody but a member can tell."""
        message = self._forwarded(int(replaces.ref)) if self._set.staging else {}
        unique = known.notes.get("unique", "").split() if known else []
        if message is None:
            return False
        if not message or (rendition.files and not unique):
            raise Unsupported(
                f"{self._outlet}: 私有频道，请人工查看 · a private channel: look what {replaces.url} shows"
            )
        photo = message.get("photo") or [{}]
        return _text(message) == texts.parsed(rendition.content).text.strip() and (
            not rendition.files or photo[-1].get("file_unique_id") == unique[0]
        )


def _is_ours(message: Mapping[str, Any], rendition: Rendition, known: Prepared | None) -> bool:
    """The same text, and not older than what was staged, both by Telegram's clock."""
    date = message["forward_origin"].get("date")
    since = int(known.notes.get("date") or 0) if known else 0
    return isinstance(date, int) and date >= since and _text(message) == texts.parsed(rendition.content).text.strip()


def _text(message: Mapping[str, Any]) -> str:
    return str(message.get("text") or message.get("caption") or "")
