"""One Bluesky account through XRPC: its session, what it asks, and what an error of the protocol means.

Logging in is limited to 30 in five minutes and 300 a day, so the session is kept and refreshed in turn; only
when that fails is the password used again. Every method raises as `sync.http` says, refined by the
protocol's own names of errors, and Misbehaved for an answer of another shape.
Sources: lexicons com.atproto.server.* and com.atproto.repo.*, and the reference server, 2026.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from channels.bluesky_post import COLLECTION, Blob
from channels.bluesky_session import Session
from channels.picture import Picture
from sync.answer import not_before
from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    Budget,
    Fresh,
    Misbehaved,
    OutletError,
    Rejected,
    Response,
    Tools,
    TryLater,
    Unauthorised,
)

KEPT = "session"
LOGIN = r"POST /xrpc/com\.atproto\.server\.createSession"
UPLOAD = r"POST /xrpc/com\.atproto\.repo\.uploadBlob"
WRITE = r"POST /xrpc/com\.atproto\.repo\.(put|delete)Record"
APPVIEW = r"GET /xrpc/app\.bsky\."
# docs.bsky.app, "Rate Limits", 2026-08. A write costs two points of 5,000 an hour, a deletion one.
BUDGETS = (
    Budget("calls of one address in 5 min", 3000, 300, reserve=300, reads=True),
    Budget("logins in 5 min", 30, 300, of=LOGIN),
    Budget("logins in a day", 300, 86_400, of=LOGIN),
    Budget("pictures in a day", 1000, 86_400, of=UPLOAD),
    Budget("writes in an hour", 2500, 3600, of=WRITE),
)
PER_ADDRESS = "3000;"  # how the policy of that limit begins; it is met by whatever call comes next
MARGIN = 60 * SECOND  # µs before the end of an access token in which it is renewed already
PAGE = 100  # posts of one listing, the most the server gives
EXCERPT = 200  # characters of the server's words that an error carries
EXPIRED = frozenset({"ExpiredToken", "InvalidToken"})
ABSENT = frozenset({"RecordNotFound"})
# Servers before 2025 give only a sentence, "Could not locate record: …", with the general name.
ABSENT_WORDS = "could not locate record"
ERRORS: Mapping[str, type[OutletError]] = {
    "AccountDeactivated": Unauthorised,
    "AccountTakedown": Unauthorised,
    "AuthFactorTokenRequired": Unauthorised,
    "AuthMissing": Unauthorised,
    "AuthenticationRequired": Unauthorised,
    "BlobNotFound": TryLater,  # nothing was written, and whoever arms again uploads again
    "ExpiredToken": TryLater,  # the same: whoever arms again renews it first
    "InvalidSwap": Ambiguous,  # something stands at our key, perhaps by our own earlier request: look
    "InvalidToken": TryLater,
    "RepoDeactivated": Unauthorised,
    "RepoNotFound": Unauthorised,
    "RepoSuspended": Unauthorised,
    "RepoTakendown": Unauthorised,
}
WORDS: Mapping[str, str] = {
    "AuthFactorTokenRequired": "登录要求邮件验证码，请改用应用密码 · a code is asked for: use an app password",
    "AuthenticationRequired": "账号名或应用密码不对 · handle or app password is wrong",
}


class Account:
    def __init__(self, tools: Tools, outlet: str, service: str, handle: str, password: str) -> None:
        self._http, self._tokens, self._now = tools.http, tools.tokens, tools.now
        self._outlet, self._service = outlet, service
        self._handle, self._password = handle, password
        self._wanted = f"{handle} at {service}"
        self._secrets = {password} - {""}  # never repeated, whoever repeats them to us

    # the session

    def session(self, refused: str = "", until: int = 0) -> Session:
        """One that lasts until this instant (µs UTC) at least, and is not the one that was `refused`."""
        kept = self._tokens.get(KEPT, self._renewed, refused=refused)
        session = Session.read(kept)
        ends = session.expires_at if session else None
        passing = ends is not None and ends < max(until, self._now()) + MARGIN
        if session is None or session.wanted != self._wanted or passing:
            session = Session.read(self._tokens.get(KEPT, self._renewed, refused=kept))
        if session is None:
            raise Misbehaved(f"{self._outlet}: the session that was kept cannot be read")
        self._secrets |= {session.access, session.refresh}
        return session

    def log_in(self) -> Session:
        """Proves the password; what it gains is kept."""
        made: list[Session] = []

        def create(kept: str) -> Fresh:
            made.append(self._created())
            return made[-1].fresh

        kept = self._tokens.get(KEPT, create)
        if not made:
            self._tokens.get(KEPT, create, refused=kept)
        return made[-1] if made else self._created()  # another process renewed it meanwhile

    def _renewed(self, kept: str) -> Fresh:
        old = Session.read(kept)
        ours = old is not None and old.wanted == self._wanted
        return ((self._refreshed(old.refresh) if old is not None and ours else None) or self._created()).fresh

    def _refreshed(self, token: str) -> Session | None:
        """None: the refresh token is past its grace, or was taken back with its password."""
        headers = {"Authorization": f"Bearer {token}"}
        answer = self._server("refreshSession", headers, b"")
        if answer.status == 401 or name(answer) in EXPIRED:
            return None
        return self._opened(answer)

    def _created(self) -> Session:
        told = {"identifier": self._handle, "password": self._password}
        return self._opened(self._server("createSession", JSON, json.dumps(told).encode()))

    def _server(self, call: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Sessions are the business of the service one logs in at, not of the account's own server."""
        path = f"/xrpc/com.atproto.server.{call}"
        url = self._service + path
        answer = self._http.call("POST", url, creates=False, headers=headers, body=body, expect=REFUSALS)
        if answer.status == 429:
            raise self._limited(answer, f"POST {re.escape(path)}")
        return answer

    def _opened(self, answer: Response) -> Session:
        if answer.status != 200:
            raise self.refusal(answer, Unauthorised)
        told = found(answer)
        if told.get("active") is False:
            raise Unauthorised(f"{self._outlet}: 账号已停用 · the account is {told.get('status') or 'not active'}")
        return Session.told(told, self._wanted, self._service)

    # calls

    def _call(
        self, method: str, nsid: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """With the session; renewed once when it is refused, then the call is made again: nothing had happened."""
        session = self.session()
        answer = self._ask(session, method, nsid, body, headers)
        if answer.status in (401, 404) or name(answer) in EXPIRED:  # 404: the account moved to another server
            session = self.session(refused=session.kept)
            answer = self._ask(session, method, nsid, body, headers)
        if answer.status != 200:
            raise self.refusal(answer, of=UPLOAD if nsid.endswith("uploadBlob") else WRITE)
        return answer

    def _limited(self, answer: Response, of: str) -> TryLater:
        """A limit was reached: these calls have to wait, or, if it is the address's, all."""
        every = answer.headers.get("RateLimit-Policy", PER_ADDRESS).startswith(PER_ADDRESS)
        again = not_before(answer.headers, self._now())
        return TryLater(f"{self._outlet}: 429 {name(answer)}".strip(), again, of="" if every else of)

    def _ask(
        self, session: Session, method: str, nsid: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> Response:
        url, told = f"{session.pds}/xrpc/{nsid}", {**session.headers, **(headers or {})}
        return self._http.call(method, url, creates=False, headers=told, body=body, expect=REFUSALS)

    def prove(self) -> None:
        """The session is good at the account's server. Raises Unauthorised."""
        self._call("GET", "com.atproto.server.getSession")

    def upload(self, picture: Picture) -> Blob:
        """A picture that nobody can read yet. Its address is that of its bytes: uploading it again changes nothing
        but the time until the server forgets it."""
        headers = {"Content-Type": picture.media_type}
        told = found(self._call("POST", "com.atproto.repo.uploadBlob", picture.content, headers)).get("blob")
        match told:
            case {"ref": {"$link": str(cid)}, "mimeType": str(kind), "size": int(size)}:
                return Blob(cid, kind, size, picture.width, picture.height)
        raise Misbehaved(f"{self._outlet}: the answer to an upload names no blob")

    def delete(self, did: str, rkey: str) -> None:
        """200 as well for what is not there."""
        told = {"repo": did, "collection": COLLECTION, "rkey": rkey}
        self._call("POST", "com.atproto.repo.deleteRecord", json.dumps(told).encode(), JSON)

    # reading, as anybody may

    def record(self, pds: str, did: str, rkey: str) -> dict[str, Any] | None:
        """The post with this key in the account's repository; None: there is none."""
        query = f"repo={quote(did)}&collection={COLLECTION}&rkey={quote(rkey, safe='')}"
        answer = self._http.read(f"{pds}/xrpc/com.atproto.repo.getRecord?{query}")
        if answer.status == 400 and absent(answer):
            return None
        return found(self.read(answer, "getRecord"))

    def keys(self, pds: str, did: str, pages: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every post with its key, newest first. Raises TryLater when there are more pages than these."""
        cursor = ""
        for _ in range(pages):
            query = f"repo={quote(did)}&collection={COLLECTION}&limit={PAGE}{cursor}"
            answer = self._http.read(f"{pds}/xrpc/com.atproto.repo.listRecords?{query}")
            told = found(self.read(answer, "listRecords"))
            records = told.get("records")
            if not isinstance(records, list):
                raise Misbehaved(f"{self._outlet}: a list was expected in the answer")
            for one in records:
                if not isinstance(one, dict) or not isinstance(one.get("uri"), str):
                    raise Misbehaved(f"{self._outlet}: a post of the list has no address")
                yield one["uri"].rpartition("/")[2], one
            if not records or not told.get("cursor"):
                return
            cursor = f"&cursor={quote(str(told['cursor']), safe='')}"
        raise TryLater(f"{self._outlet}: more than {pages * PAGE} posts have to be looked through")

    def read(self, answer: Response, what: str, of: str = "") -> Response:
        """A reader's answer, if it is one. Raises TryLater, or Unauthorised for what only an operator can mend.

        `of`: which calls have to wait when there were too many."""
        if answer.status == 200:
            return answer
        message = f"{self._outlet}: {what} answered an anonymous reader {answer.status} {name(answer)}".strip()
        if answer.status == 429 or answer.status >= 500:
            raise TryLater(message, not_before(answer.headers, self._now()), of=of if answer.status == 429 else None)
        raise Unauthorised(message)

    def refusal(self, answer: Response, otherwise: type[OutletError] = Rejected, of: str = WRITE) -> OutletError:
        """What the protocol's error means: nothing was changed, except as the table says.

        `otherwise`: for a 400 whose name says nothing; `of`: which calls have to wait when there were too many."""
        if answer.status == 429:
            return self._limited(answer, of)
        told, words = name(answer), said(answer)
        for secret in self._secrets:
            words = words.replace(secret, "…")
        kind = ERRORS.get(told, otherwise if answer.status == 400 else Unauthorised)
        message = f"{self._outlet}: {answer.status} {told} {WORDS.get(told) or words[:EXCERPT]}".strip()
        return TryLater(message, of=None) if kind is TryLater else kind(message)


JSON: Mapping[str, str] = {"Content-Type": "application/json"}
REFUSALS = (400, 401, 403, 404, 429)


def name(answer: Response) -> str:
    """The protocol's name of an error; "" without one."""
    return _told(answer, "error")


def said(answer: Response) -> str:
    """The server's words, which name the part of the record that is wrong."""
    return _told(answer, "message")


def absent(answer: Response) -> bool:
    return name(answer) in ABSENT or said(answer).lower().startswith(ABSENT_WORDS)


def _told(answer: Response, part: str) -> str:
    try:
        told = json.loads(answer.body)
    except ValueError:
        return ""
    value = told.get(part) if isinstance(told, dict) else None
    return value if isinstance(value, str) else ""


def found(answer: Response) -> dict[str, Any]:
    value = answer.json()
    if not isinstance(value, dict):
        raise Misbehaved("an object was expected in the answer")
    return value
