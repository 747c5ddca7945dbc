"""Chat groups, whatever the platform: what robots said in them, how often they were called, and what members see.

A message is there as soon as the platform takes it, and twice when it was sent twice: there is no idempotency.
`GET /` shows every group, `GET /groups/NAME` one. For faults `account` is "NAME type", as in "town markdown";
settings go by NAME. Settings (knobs) of every platform:

    revoke       the robot was removed from its group
    keyword      a message must have the `word`
    ip           the caller's address is not on the robot's list
    limit        at most `messages` in `seconds`, instead of the platform's own figures
    unlimited    no limits (calls are counted all the same)
    doubles      a message is shown twice, without a word
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from starlette.responses import HTMLResponse, Response

from channels.sandbox.server import Call, Sandbox, now

SECOND = 1_000_000
STYLE = (
    "body{max-width:44rem;margin:2rem auto;font-family:sans-serif;background:#eef0f3}"
    "article{background:#fff;border-radius:.6rem;padding:.6rem 1rem;margin:1rem 0;overflow-wrap:anywhere}"
    "article p,article h3{margin:.4rem 0}time{color:#888;font-size:.8rem}.text{white-space:pre-wrap}"
)


class Refusal(Exception):
    """Becomes the answer of the call that raised it: status 200, and a code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Limit:
    """At most `calls` in any `seconds`; beyond it every call is refused for `shut_s` seconds more."""

    calls: int
    seconds: float
    shut_s: float = 0


class Groups:
    """One group and one robot for each account name, from their first use."""

    def __init__(
        self, sandbox: Sandbox, platform: str, limits: Sequence[Limit], named: Callable[[Call], str], form: str
    ) -> None:
        """`named`: the group whose robot is called, "" for none; `form`: the field of a message that says its type."""
        self._sandbox, self._platform, self._limits = sandbox, platform, limits
        self._messages: dict[str, dict[str, Any]] = sandbox.shelf.all("message")
        self._calls: dict[str, list[int]] = sandbox.shelf.all("calls")
        self._shut: dict[str, int] = sandbox.shelf.all("shut")
        sandbox.account_of = lambda call: f"{named(call)} {(message(call) or {}).get(form, '')}"
        sandbox.on("GET", "/", self.all)
        sandbox.on("GET", "/groups/{name}", self.one)

    def set(self, setting: str, account: str) -> bool:
        return bool(self._sandbox.knobs.standing(setting, account))

    def within_limits(self, account: str) -> bool:
        """Counts this call, a refused one too."""
        at = now()
        limits = self._limits
        for knob in self._sandbox.knobs.standing("limit", account):
            shut = max(one.shut_s for one in limits)
            limits = (Limit(int(knob.parameters["messages"]), float(knob.parameters["seconds"]), shut),)
        longest = max(one.seconds for one in limits)
        calls = [one for one in self._calls.get(account, []) if one > at - longest * SECOND]
        self._calls[account] = [*calls, at]
        self._sandbox.shelf.put("calls", account, self._calls[account])
        over = [one for one in limits if sum(call > at - one.seconds * SECOND for call in calls) >= one.calls]
        if shut_s := max((one.shut_s for one in over), default=0):
            self._shut[account] = round(at + shut_s * SECOND)
            self._sandbox.shelf.put("shut", account, self._shut[account])
        return self.set("unlimited", account) or not (over or self._shut.get(account, 0) > at)

    def lacks_keyword(self, account: str, text: str) -> bool:
        return any(knob.parameters["word"] not in text for knob in self._sandbox.knobs.standing("keyword", account))

    def say(self, call: Call, form: str, text: str, html: str) -> None:
        """The group sees it."""
        for _ in range(2 if self.set("doubles", call.account) else 1):
            ref = str(len(self._messages) + 1)
            self._messages[ref] = {"account": call.account, "at": now(), "html": html}
            self._sandbox.shelf.put("message", ref, self._messages[ref])
        call.did("message_said", ref, form=form, text=text, size=len(call.body))

    async def all(self, call: Call) -> Response:
        names = dict.fromkeys(one["account"] for one in self._messages.values())
        return self._page("".join(self._group(name) for name in names))

    async def one(self, call: Call) -> Response:
        return self._page(self._group(call.request.path_params["name"]))

    def _group(self, name: str) -> str:
        said = [one for one in self._messages.values() if one["account"] == name]
        shown = "".join(f"<article>{one['html']}<time>{one['at'] / SECOND:.3f}</time></article>" for one in said)
        return f"<section><h2>{escape(name)}</h2>{shown or '<p>还没有消息</p>'}</section>"

    def _page(self, content: str) -> Response:
        head = f'<meta charset="utf-8"><title>{escape(self._platform)}</title><style>{STYLE}</style>'
        return HTMLResponse(f"<!doctype html><html><head>{head}</head><body>{content}</body></html>")


def robot(word: str, begins: str = "sandbox-") -> str:
    """The account that a token names; "" for what is no token of this sandbox."""
    return word.removeprefix(begins) if word.startswith(begins) else ""


def message(call: Call) -> dict[str, Any] | None:
    """The body as an object; None for anything else."""
    try:
        found = json.loads(call.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def texts(given: object, *names: str) -> list[str] | None:
    """The fields of these names, each of them text and not empty; None when one is not."""
    found = [given.get(name) for name in names] if isinstance(given, dict) else [None]
    return [str(one) for one in found] if all(isinstance(one, str) and one.strip() for one in found) else None


def plain(text: str) -> str:
    return f'<p class="text">{escape(text)}</p>'


def link(url: str, text: str) -> str:
    return f'<a href="{escape(url)}">{escape(text)}</a>'
