"""An outlet's answer, and what its status means for us. Pure: no network, no clock.

A status becomes an error here and nowhere else; a channel refines with the outlet's own codes:

    anything unclear, 5xx        → Ambiguous for a create, TryLater otherwise
    401, 403                     → Unauthorised
    429                          → TryLater, not before the time the outlet names
    other 4xx                    → Rejected
    a redirect                   → Misbehaved for a create, Rejected otherwise: the address set is not the final one
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, unquote_plus, urlsplit

from sync.clock import SECOND, instant
from sync.contract import Ambiguous, Misbehaved, OutletError, Rejected, Response, TryLater, Unauthorised

UNCLEAR = frozenset({408, 425})  # the outlet may or may not have read all of it
EXCERPT = 200  # characters of an answer that an error text may carry


@dataclass
class Answer:
    """What came back; `headers` are found whatever their case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> object:
        """The body as JSON. Raises Misbehaved for anything else: a log-in page, half a document."""
        if "html" in self.headers.get("Content-Type", ""):
            raise Misbehaved(f"an HTML page came with status {self.status} where JSON was expected")
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # a body of nothing but brackets is nested too deep
            raise Misbehaved(f"status {self.status} came with a body that is not JSON") from None


@dataclass(frozen=True)
class Asked:
    """What was asked, for error texts: never the query, never a long path segment (some are tokens).

    `sent` holds every byte that may contain a secret; whatever of it comes back in an answer is not repeated.
    Nor does a `repr` show it, or the address: Telegram's token stands in the path.
    """

    method: str
    url: str = field(repr=False)
    sent: bytes = field(repr=False)
    creates: bool

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{self.method} {parts.hostname}{re.sub(r'[^/]{20,}', '…', parts.path)}"

    def unclear(self, what: str) -> OutletError:
        """The error for a request that left and whose effect is not known."""
        return Ambiguous(f"{self}: {what}") if self.creates else TryLater(f"{self}: {what}")

    def said(self, answer: Answer) -> str:
        """An excerpt of the answer, without anything that we had sent."""
        if "html" in answer.headers.get("Content-Type", ""):
            return "an HTML page"
        text = unquote(" ".join(answer.body[: EXCERPT * 4].decode(errors="replace").split())[:EXCERPT])
        sent = self.sent.decode(errors="replace")
        sent += unquote_plus(sent)
        return re.sub(r"[\w+~-]{6,}", lambda word: "…" if word[0] in sent else word[0], text)


def judge(answer: Answer, asked: Asked, expect: tuple[int, ...], now: int) -> Answer:
    """The answer itself for 2xx and the statuses in `expect`; otherwise raises the error of its status.

    `now` (microseconds UTC) anchors waits that the outlet states as a number of seconds.
    """
    status = answer.status
    if 200 <= status < 300 or status in expect:
        return answer
    message = f"{asked}: {status} {asked.said(answer)}".strip()
    if status in (401, 403):
        raise Unauthorised(message)
    if status == 429:
        raise TryLater(message, not_before(answer.headers, now))
    if status in UNCLEAR or status >= 500:
        if asked.creates:
            raise Ambiguous(message)
        raise TryLater(message, not_before(answer.headers, now, limited=False))
    if status >= 400:
        raise Rejected(message)
    if asked.creates:
        raise Misbehaved(message)
    goal = urlsplit(answer.headers.get("Location", "")).hostname or "another address"
    raise Rejected(f"{message}: it redirects to {goal}; set the outlet's final address")


def unread(message: str, answer: Response, now: int) -> TryLater:
    """The error of an answer that is no page, to somebody who reads as the public does: look again.

    429 is about whoever asks, so every read of the outlet's waits; any other status is about this one page."""
    limited = answer.status == 429
    return TryLater(message, not_before(answer.headers, now, limited=limited), of="" if limited else None)


def not_before(headers: Mapping[str, str], now: int, *, limited: bool = True) -> int | None:
    """When the outlet wants to be asked again (microseconds UTC); None when it does not say.

    `limited`: the answer says that a limit was reached. Where it was not, when its count begins anew says nothing:
    Mastodon tells it with every answer.
    Retry-After is seconds or an HTTP date. The reset headers are not standardised: Mastodon writes an
    ISO time, Bluesky seconds since 1970, the IETF draft seconds from now.
    """
    for name in ("Retry-After", "X-RateLimit-Reset", "RateLimit-Reset") if limited else ("Retry-After",):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,10}", value):
            seconds = int(value)
            return seconds * SECOND if seconds > 1_000_000_000 else now + seconds * SECOND
        if value:
            moment = _moment(value)
            if moment is not None:
                return instant(moment)
    return None


def _moment(value: str) -> datetime | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(value)
        except ValueError:
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
