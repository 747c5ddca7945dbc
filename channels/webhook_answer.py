"""What a webhook receiver's answer means. Pure.

2xx is "delivered", all else is not; the egress judges what is not listed here (`sync.answer`).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sync.answer import not_before
from sync.contract import Ambiguous, Misbehaved, OutletError, Rejected, Response, TryLater

GONE, UNAVAILABLE = 410, 503
HANDED_BACK = (*range(300, 400), GONE, UNAVAILABLE)  # statuses that are judged here
LONGEST = 2048  # characters of an address
WHOLE_PAGE = re.compile(rb"\s*(?:<!doctype html|<html)", re.IGNORECASE)


def accepted(outlet: str, answer: Response, now: int, *, creates: bool) -> None:
    """Returns for 2xx. Raises the error of any other status. `now`: microseconds UTC.

    A redirect is a failure by the standard, so nothing happened; it is never followed.
    """
    status = answer.status
    if 200 <= status < 300:
        if WHOLE_PAGE.match(answer.body):  # of a proxy or a log-in; short texts come as text/html too
            raise Misbehaved(f"{outlet}: a whole HTML page came with status {status} in place of an answer")
        return
    if status == GONE:
        raise Rejected(f"{outlet}: 接收方已不再需要推送 · the receiver no longer wants it (410); ask its operator")
    if status == UNAVAILABLE:
        raise _unavailable(outlet, not_before(answer.headers, now), creates)
    goal = urlsplit(answer.headers.get("Location", "")).hostname or "another address"
    raise Rejected(f"{outlet}: {status}, it redirects to {goal}; set the outlet's final url")


def _unavailable(outlet: str, again: int | None, creates: bool) -> OutletError:
    """With a time it was turned away; without one it may be the gateway of a receiver that got it."""
    message = f"{outlet}: the receiver is unavailable (503)"
    return TryLater(message, again) if again is not None or not creates else Ambiguous(message)


def page_named(answer: Response) -> str:
    """`public_url` of a JSON answer; "" when it has none that can be one."""
    try:
        found = answer.json()
    except Misbehaved:  # an empty body, "ok": the standard asks for no body at all
        return ""
    url = found.get("public_url") if isinstance(found, dict) else None
    if not isinstance(url, str) or len(url) > LONGEST:
        return ""
    parts = urlsplit(url)
    return url if parts.scheme in ("http", "https") and parts.hostname else ""
