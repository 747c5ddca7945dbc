"""One Weibo account through the API: what it asks, and what an answer must hold.

An application may make a hundred calls a day for one account, all kinds together: each of these methods is
one call, told where it may be two. Ids are strings: as JSON numbers they are rounded (the vendor's own example
shows id 3504803600500000 beside idstr 3504803600502730).
Every method raises as `sync.http` and `channels.weibo_api.failure` say, and Misbehaved for an answer of another shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channels.weibo_api import EXPECTED, GONE, HOUR, LIMITED, Step, decoded, error_code, failure
from channels.weibo_form import form
from sync.clock import SECOND, instant
from sync.contract import Egress, Misbehaved, OutletError, Response, Unauthorised

PAGE = 100  # posts of one listing, the most that may be asked for


@dataclass(frozen=True, slots=True)
class Post:
    """One of the account's posts as its owner sees it. `at`: µs UTC, None when it cannot be read."""

    ref: str
    text: str
    at: int | None


class Account:
    def __init__(self, http: Egress, outlet: str, base: str, token: str, now: Callable[[], int]) -> None:
        self._http, self._outlet, self._token, self._now = http, outlet, token, now
        self._base = base
        self.share = f"{self._base}/2/statuses/share.json"

    def expires(self) -> int | None:
        """When the token ends, µs UTC; None when that is not told. Raises Unauthorised when it has ended."""
        answer = self._send("/oauth2/get_token_info", {})
        told = self.judged(answer, "get_token_info", Step.READ)
        left = told.get("expire_in", told.get("expires_in"))  # the page had the second name before
        if left is None or not str(left).lstrip("-").isdigit():
            return None
        if int(left) <= 0:
            raise Unauthorised(f"{self._outlet}: 授权已到期，请重新授权 · the token has expired: re-authorise")
        return self._now() + int(left) * SECOND

    def posts(self, page: int = 1) -> list[Post]:
        """What this application posted for the account, newest first; of a deleted one a notice may be listed."""
        query = f"count={PAGE}&page={page}&base_app=1&trim_user=1"
        answer = self._http.call(
            "GET",
            f"{self._base}/2/statuses/user_timeline.json?{query}",
            creates=False,
            headers=self._headers(),  # not in the query, which proxies keep
            expect=EXPECTED,
        )
        told = self.judged(answer, "user_timeline", Step.READ)
        listed = told.get("statuses")
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise Misbehaved("weibo user_timeline: no list of statuses")
        posts = [Post(ident(one), str(one.get("text") or ""), _at(one)) for one in listed]
        return sorted(posts, key=lambda post: int(post.ref), reverse=True)

    def destroy(self, ref: str) -> None:
        """Delete a post; of one that is gone this is a success."""
        answer = self._send("/2/statuses/destroy.json", {"id": ref})
        if error_code(told := decoded(answer)) != GONE:
            self._judge(told, "destroy", Step.DELETE)

    def judged(self, answer: Response, call: str, step: Step) -> dict[str, Any]:
        """The answer of a call that worked; after a limit a second call asks when it ends."""
        return self._judge(decoded(answer), call, step)

    def fields(self, **given: str) -> dict[str, str]:
        """The fields of a form, with the token."""
        return {"access_token": self._token, **given}

    def _judge(self, told: dict[str, Any], call: str, step: Step) -> dict[str, Any]:
        code = error_code(told)
        if not code:
            return told
        sentence = str(told.get("error") or "")[:200]
        if self._token:
            sentence = sentence.replace(self._token, "…")
        reset = self._reset() if code in LIMITED else None
        raise failure(code, f"{self._outlet}: weibo {call} ({sentence})", step, self._now(), reset)

    def _reset(self) -> int | None:
        """When the count begins anew, µs UTC; None when that cannot be learnt. This call itself is not counted."""
        url = f"{self._base}/2/account/rate_limit_status.json"
        try:
            told = decoded(self._http.call("GET", url, creates=False, headers=self._headers()))
        except OutletError:
            return None
        left = told.get("reset_time_in_seconds")
        if not isinstance(left, int) or left < 0:
            return None
        # Seconds from now; the older page has seconds since 1970.
        reset = left * SECOND if left > 1_000_000_000 else self._now() + left * SECOND
        return min(reset, self._now() + 24 * HOUR)

    def _send(self, path: str, given: Mapping[str, str]) -> Response:
        """A call that may be repeated."""
        media_type, body = form(self.fields(**given))
        return self._http.call(
            "POST",
            self._base + path,
            creates=False,
            headers={"Content-Type": media_type},
            body=body,
            expect=EXPECTED,
        )

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"OAuth2 {self._token}"}


def ident(status: Mapping[str, Any]) -> str:
    """The id of a status, as text. Raises Misbehaved without one."""
    for name in ("idstr", "mid"):
        value = status.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return value
    raise Misbehaved("weibo: a status without idstr")


def _at(status: Mapping[str, Any]) -> int | None:
    try:
        return instant(datetime.strptime(str(status.get("created_at")), "%a %b %d %H:%M:%S %z %Y"))
    except ValueError:
        return None
