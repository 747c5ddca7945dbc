"""One bot through Telegram's Bot API: what it asks, and what an answer means.

A refusal (HTTP status and `error_code` alike, 4xx) certainly did nothing. Its reason is told by its code, and for
400 only by an English sentence: its documented beginnings are in `SENTENCES`, and nowhere else is a word matched.
The token is in the path of every request; whatever of it comes back in a description is not repeated.
Facts: the fact sheet on Telegram, sections 1, 5 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from json import dumps
from typing import Any

from channels.picture import Picture
from sync.answer import not_before
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Egress,
    Misbehaved,
    OutletError,
    Receipt,
    Rejected,
    Response,
    Shot,
    Stale,
    TryLater,
    Unauthorised,
)

REFUSALS = (400, 401, 403, 404, 409, 413, 429)


class Word(StrEnum):
    """What a refusal with code 400 says."""

    SAME = "same"  # an edit that would change nothing: it is as it should be
    GONE = "gone"  # there is no such message
    LOCKED = "locked"  # it is there, and this bot may not touch it
    SETUP = "setup"  # the channel, or the bot's place in it
    FILE = "file"  # a file_id that is not, or no longer, this bot's


# Beginnings, lower case, behind "Bad Request: ". No contract: whatever is not found here is the content's fault.
SENTENCES = (
    ("message is not modified", Word.SAME),
    ("message to edit not found", Word.GONE),
    ("message to delete not found", Word.GONE),
    ("message to copy not found", Word.GONE),
    ("message to forward not found", Word.GONE),
    ("message can't be edited", Word.LOCKED),
    ("message can't be deleted", Word.LOCKED),
    ("message can't be copied", Word.LOCKED),
    ("message can't be forwarded", Word.LOCKED),
    ("chat not found", Word.SETUP),
    ("need administrator rights", Word.SETUP),
    ("not enough rights", Word.SETUP),
    ("group chat was upgraded", Word.SETUP),
    ("wrong file identifier", Word.FILE),
    ("failed to get http url content", Word.FILE),
)

MENDS = {  # by the beginning of the method that was refused
    "dele": "给机器人权限 · give the bot the right can_delete_messages",
    "edit": "给机器人权限 · give the bot the right can_edit_messages",
    "copy": "频道禁止转发 · the channel restricts saving content: allow it",
}


@dataclass(frozen=True)
class Act:
    """One request: a method, its fields, and photos by the name under which fields refer to them."""

    method: str
    fields: Mapping[str, Any]
    files: Mapping[str, Picture] = field(default_factory=dict)

    def packed(self) -> tuple[str, bytes]:
        """Content type and body: JSON, or a form where there are files. The same act gives the same bytes."""
        if not self.files:
            return "application/json", dumps(self.fields, ensure_ascii=False).encode()
        parts = [
            (f'form-data; name="{name}"', b"", (value if isinstance(value, str) else dumps(value)).encode())
            for name, value in self.fields.items()
        ]
        parts += [
            (
                f'form-data; name="{name}"; filename="{name}.{file.ending}"',
                f"Content-Type: {file.media_type}\r\n".encode(),
                file.content,
            )
            for name, file in self.files.items()
        ]
        digest = sha256(b"".join(content for _, _, content in parts)).hexdigest()
        boundary = f"tongfa-{digest[:40]}"
        body = b"".join(
            f"--{boundary}\r\nContent-Disposition: {head}\r\n".encode() + more + b"\r\n" + content + b"\r\n"
            for head, more, content in parts
        )
        return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


@dataclass(frozen=True)
class Said:
    """The result; or none, and the word of a refusal that was expected."""

    result: Any = None
    word: Word | None = None


class Bot:
    def __init__(self, http: Egress, outlet: str, base: str, token: str, now: Callable[[], int]) -> None:
        self._http, self._outlet, self._base, self._token, self._now = http, outlet, base, token, now

    def do(self, act: Act, *expect: Word) -> Said:
        """One call that makes nothing public, so without an answer nothing happened: TryLater.

        Raises what the refusal means, unless its word is among `expect`."""
        kind, body = act.packed()
        headers = {"Content-Type": kind}
        answer = self._http.call(
            "POST", self._url(act.method), creates=False, headers=headers, body=body, expect=REFUSALS
        )
        return self._said(act.method, answer, expect)

    def shot(self, act: Act, settle: Callable[[Any], Receipt], *expect: Word) -> Shot:
        """The call as a shot. `settle` is handed the result, None for an expected refusal."""
        kind, body = act.packed()

        def settled(answer: Response) -> Receipt | Accepted:
            return settle(self._said(act.method, answer, expect).result)

        headers = {"Content-Type": kind}
        return self._http.shot(
            "POST", self._url(act.method), headers=headers, body=body, settle=settled, expect=REFUSALS
        )

    def exists(self, chat: str, message: int) -> bool:
        """Whether a message of ours is there: it is asked to keep the buttons that it does not have (section 4)."""
        act = Act("editMessageReplyMarkup", {"chat_id": chat, "message_id": message})
        return self.do(act, Word.SAME, Word.GONE).word is not Word.GONE

    def delete(self, chat: str, message: int) -> None:
        """Of what is gone it is a success. Raises Unauthorised without the right to."""
        self.do(Act("deleteMessage", {"chat_id": chat, "message_id": message}), Word.GONE)

    def _url(self, method: str) -> str:
        if not self._token:
            raise Unauthorised(f"{self._outlet}: 没有 bot_token · the outlet has no bot_token")
        return f"{self._base}/bot{self._token}/{method}"

    def _said(self, method: str, answer: Response, expect: tuple[Word, ...]) -> Said:
        if answer.status not in REFUSALS:
            told = answer.json()
            if not isinstance(told, dict) or told.get("ok") is not True or "result" not in told:
                raise Misbehaved(f"{self._outlet}: {method} was answered with status {answer.status} and no result")
            return Said(told["result"])
        told = _refusal(answer)
        word = _word(answer.status, told)
        if word is not None and word in expect:
            return Said(word=word)
        raise self._error(method, answer, told, word)

    def _error(self, method: str, answer: Response, told: Mapping[str, Any], word: Word | None) -> OutletError:
        said = str(told.get("description", ""))[:200]
        for secret in (self._token, self._token.partition(":")[2]):
            said = said.replace(secret, "…")
        message = f"{self._outlet}: {method}: {answer.status} {said}".rstrip()
        given = told.get("parameters")
        parameters: Mapping[str, Any] = given if isinstance(given, dict) else {}
        match answer.status, word:
            case 429, _:
                wait = parameters.get("retry_after")
                if isinstance(wait, int) and wait >= 0:
                    return TryLater(message, self._now() + wait * SECOND)
                return TryLater(message, not_before(answer.headers, self._now()))
            case 409, _:
                return TryLater(message)
            case 413, _:
                return Rejected(message)
            case (401, _) | (404, _):
                return Unauthorised(f"{message}: 口令或接口地址不对 · bot_token or api_base is wrong")
            case 403, _:
                return Unauthorised(f"{message}: 机器人不在频道里 · make the bot an administrator of the channel")
            case _, Word.SETUP:
                moved = parameters.get("migrate_to_chat_id")
                return Unauthorised(f"{message}{f': set chat_id={moved}' if moved else ''}")
            case _, Word.LOCKED:
                return Unauthorised(f"{message}: {MENDS.get(method[:4], MENDS['copy'])}")
            case _, Word.FILE:
                return Stale(message)
            case _:
                return Rejected(message)


def whole(told: object, name: str) -> int:
    """A whole number of an answer. Raises Misbehaved when there is none."""
    value = told.get(name) if isinstance(told, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise Misbehaved(f"{name} is missing from the answer")
    return value


def _refusal(answer: Response) -> Mapping[str, Any]:
    """What is said of it; nothing, where the answer is that of a server in between."""
    try:
        told = answer.json()
    except Misbehaved:
        return {}
    return told if isinstance(told, dict) else {}


def _word(status: int, told: Mapping[str, Any]) -> Word | None:
    said = str(told.get("description", "")).lower().removeprefix("bad request: ").removeprefix("the ")
    return next((word for start, word in SENTENCES if said.startswith(start)), None) if status == 400 else None
