"""One Mastodon account through the API: what it asks, and what an answer must hold.

Every method raises as `sync.http` says, and Misbehaved for an answer of another shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from sync.contract import Egress, Misbehaved, Response, Stale, TryLater, Unauthorised

PAGE = 40  # statuses of one listing, the most the server gives


class Account:
    def __init__(self, http: Egress, outlet: str, base: str, token: str) -> None:
        self._http, self._outlet, self._token = http, outlet, token
        self.base = base

    def id(self) -> str:
        """Of the account that the token belongs to. Raises Unauthorised."""
        answer = self.get("/api/v1/accounts/verify_credentials", expect=(400, 422))
        if answer.status != 200:  # Takahē and some others answer a bad token so
            raise Unauthorised(f"{self._outlet}: the token was refused with status {answer.status}")
        return text(found(answer), "id")

    def status(self, ref: str) -> Mapping[str, Any] | None:
        """A status as the account's owner sees it; None: it is gone."""
        answer = self.get(f"/api/v1/statuses/{quote(ref)}", expect=(404, 410))
        return None if answer.status != 200 else found(answer)

    def newest(self, account: str) -> str:
        """The id of the newest status; "0" without any."""
        newest = listed(self.get(f"/api/v1/accounts/{quote(account)}/statuses?limit=1"))
        return str(newest[0]["id"]) if newest else "0"

    def since(self, account: str, since: str, most_pages: int) -> list[dict[str, Any]]:
        """Every own status newer than `since`, newest first. Raises TryLater when there are more pages."""
        statuses: list[dict[str, Any]] = []
        older = ""
        for _ in range(most_pages):
            query = f"limit={PAGE}&exclude_reblogs=true&since_id={quote(since)}{older}"
            page = listed(self.get(f"/api/v1/accounts/{quote(account)}/statuses?{query}"))
            if not page:
                return statuses
            statuses.extend(page)
            older = f"&max_id={quote(str(page[-1]['id']))}"
        raise TryLater(f"{self._outlet}: more than {PAGE * most_pages} statuses since it was prepared")

    def newest_page(self, account: str) -> list[dict[str, Any]]:
        query = f"limit={PAGE}&exclude_reblogs=true"
        return listed(self.get(f"/api/v1/accounts/{quote(account)}/statuses?{query}"))

    def upload(self, name: str, content: bytes, media_type: str, description: str) -> str:
        """The id of a picture. The server may still process it (202): `processed` tells.

        A lost answer leaves an orphan that the server forgets within a day: nothing happened."""
        answer = self._http.call(
            "POST",
            f"{self.base}/api/v2/media",
            creates=False,
            headers=self.headers(),
            files={"file": (name, content, media_type)},
            form={"description": description},
        )
        return text(found(answer), "id")

    def processed(self, media: str) -> None:
        """Raises TryLater while the server works on it, Stale when it is gone."""
        answer = self.get(f"/api/v1/media/{quote(media)}", expect=(404,))
        if answer.status == 404:
            raise Stale(f"{self._outlet}: an uploaded picture is gone")
        if answer.status == 206:
            raise TryLater(f"{self._outlet}: the server still processes a picture")

    def delete(self, path: str, expect: tuple[int, ...]) -> None:
        self._http.call("DELETE", self.base + path, creates=False, headers=self.headers(), expect=expect)

    def get(self, path: str, expect: tuple[int, ...] = ()) -> Response:
        return self._http.call("GET", self.base + path, creates=False, headers=self.headers(), expect=expect)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}


def attached(status: Mapping[str, Any]) -> list[str]:
    """The ids of its pictures."""
    return [str(media.get("id")) for media in status.get("media_attachments") or () if isinstance(media, dict)]


def found(answer: Response) -> dict[str, Any]:
    value = answer.json()
    if not isinstance(value, dict):
        raise Misbehaved("an object was expected in the answer")
    return value


def listed(answer: Response) -> list[dict[str, Any]]:
    value = answer.json()
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise Misbehaved("a list was expected in the answer")
    return value


def text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not value:
        raise Misbehaved(f"{name} is missing from the answer")
    return value
