"""One WordPress site through its REST API: where it is, who asks, and what its answers mean.

Every method raises as `sync.http` says, refined by WordPress's own codes. An answer counts as WordPress's word
only when it is JSON: databases, proxies and firewalls speak in pages of HTML, whatever the status. What cannot
be understood is TryLater for a question and for what may be repeated, and Ambiguous for a create.
Sources: core REST controllers (6.x); the fact sheet on WordPress, sections in brackets.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from channels.wordpress_post import PREFIX
from sync.answer import not_before
from sync.clock import instant
from sync.contract import Ambiguous, Egress, Misbehaved, OutletError, Rejected, Response, TryLater, Unauthorised
from sync.model import canonical_bytes, sha256

SPOKEN = (400, 401, 403, 404, 410, 500, 501)  # statuses whose meaning lies in the code that comes with them
GONE = (404, 410)
PUBLIC, TRASH = "publish", "trash"
HIDDEN = ("draft", "pending", "private", "future")
NEEDED = ("edit_posts", "edit_published_posts", "publish_posts", "delete_posts", "upload_files")
PAGE = 100  # entries of one listing, the most there are
SLUGS = 40  # names in one question, so that its address stays short
FORBIDS = ("rest_cannot_", "rest_forbidden", "rest_not_logged_in", "rest_no_route", "application_passwords_disabled")
REFUSED_FILES = frozenset({"rest_upload_sideload_error", "rest_upload_unknown_error"})  # a plain no, told with 500

UNKNOWN = (
    "请检查用户名和应用程序密码；若都正确，则是服务器丢弃了 Authorization 请求头（Apache 需 CGIPassAuth On） · "
    "check user name and application password; if both are right, the server drops the Authorization header "
    "(Apache: CGIPassAuth On)"
)
LACKS = "该用户没有此权限 · the user lacks this right"
NO_API = (
    "该地址没有 WordPress REST API，请检查 base_url，以及是否被安全插件关闭 · there is no WordPress REST API at this "
    "address: check base_url, and whether a security plug-in switched it off"
)


class Site:
    def __init__(
        self, http: Egress, outlet: str, base: str, username: str, password: str, now: Callable[[], int]
    ) -> None:
        """`base`: address of the site's home page. `now`: the time, µs UTC."""
        self._http, self._outlet, self._now = http, outlet, now
        self.base = base.rstrip("/")
        self._basic = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._root = ""
        self.open = True  # the API answers everybody; known once its address is

    # where it is

    def url(self, route: str, **query: str) -> str:
        """The address of a route such as `posts/12`, in the form that this site understands."""
        root = self._root = self._root or self._found()
        told = urlencode(query, safe=",")
        return f"{root}wp/v2/{quote(route)}" + (f"{'&' if '?' in root else '?'}{told}" if told else "")

    def _found(self) -> str:
        """The API's address: with pretty permalinks, else the form that works with any, told apart by trying.

        Not `/?rest_route=`, where nginx answers DELETE with 405. Raises TryLater when the API may be there and cannot
        speak now, else Unauthorised."""
        trouble = ""
        for root in (f"{self.base}/wp-json/", f"{self.base}/index.php?rest_route=/"):
            answer = self._http.read(f"{root}wp/v2/types/post")
            if "json" in answer.headers.get("Content-Type", ""):
                self.open = answer.status == 200
                return root
            if answer.status >= 500 or answer.status in (403, 429):
                trouble = f"{self._outlet}: {urlsplit(root).path} answers {answer.status} with a page of HTML"
        if trouble:
            raise TryLater(trouble)
        raise Unauthorised(f"{self._outlet}: {NO_API}")

    # asking

    def call(
        self,
        method: str,
        route: str,
        given: Mapping[str, object] | None = None,
        *,
        creates: bool = False,
        expect: tuple[int, ...] = (),
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        form: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """One request. `expect`: statuses to hand back, when they are WordPress's own.

        Deletions go as POST with their true method in a header, as the site's own editor sends them: hosts refuse
        the rarer methods."""
        headers = self.headers() if given is None else {**self.headers(), "Content-Type": "application/json"}
        if method not in ("GET", "POST"):
            headers["X-HTTP-Method-Override"] = method
        answer = self._http.call(
            "GET" if method == "GET" else "POST",
            self.url(route, **(query or {})),
            creates=creates,
            headers=headers,
            body=None if given is None else body(given),
            files=files,
            form=form,
            expect=SPOKEN,
        )
        if answer.status in SPOKEN and not (answer.status in expect and said(answer) is not None):
            raise self.refusal(answer, f"{method} {route}", creates)
        return answer

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self._basic}"}

    def refusal(self, answer: Response, what: str, creates: bool) -> OutletError:
        """What an answer with one of the `SPOKEN` statuses means."""
        told = said(answer) or {}
        code, status = str(told.get("code") or ""), answer.status
        message = f"{self._outlet}: {what}: {status} {code or 'a page of HTML'}"
        if not code:
            if status == 401:
                return Unauthorised(f"{message}: 站点前面还有一道登录 · another log-in stands before the site")
            # Of a firewall, a proxy, or a program that broke: before or after the act, nobody knows.
            return Ambiguous(message) if creates else TryLater(message, not_before(answer.headers, self._now()))
        if status == 401:
            return Unauthorised(f"{message}: {UNKNOWN}")
        if status == 403 or code.startswith(FORBIDS):
            return Unauthorised(f"{message}: {NO_API if code == 'rest_no_route' else LACKS}")
        if code == "rest_invalid_param" and "status" in (_part(_part(told, "data"), "params")) and what[:3] == "GET":
            return Unauthorised(f"{message} (status): {UNKNOWN}")  # so an anonymous question for drafts is refused
        if status == 500 and code not in REFUSED_FILES:
            return Ambiguous(message) if creates else TryLater(message)
        words = " ".join(unescape(str(told.get("message") or "")).split())[:160]
        return Rejected(f"{message}: {words}".replace(self._basic, "…"))

    # who asks

    def me(self) -> Mapping[str, Any]:
        """The user's rights. Raises Unauthorised when the user is not known, or could not publish."""
        can = _part(one(self.call("GET", "users/me", query={"context": "edit"})), "capabilities")
        if lacking := [right for right in NEEDED if not can.get(right)]:
            raise Unauthorised(f"{self._outlet}: {LACKS}: {', '.join(lacking)}")
        return can

    # posts

    def post(self, ref: str) -> dict[str, Any] | None:
        """As its editor sees it, the trash included; None: it is gone."""
        answer = self.call("GET", f"posts/{ref}", expect=GONE, query={"context": "edit"})
        return None if answer.status in GONE else one(answer)

    def posts(self, names: Sequence[str], status: str) -> list[dict[str, Any]]:
        """Those of these slugs, oldest first. `any` leaves the trash out."""
        told = {"slug": ",".join(names), "status": status, "context": "edit", "per_page": str(PAGE)}
        return sorted(many(self.call("GET", "posts", query=told)), key=lambda post: int(number(post)))

    def create(self, given: Mapping[str, object]) -> dict[str, Any]:
        return one(self.call("POST", "posts", given, creates=True), creates=True)

    def update(self, ref: str, given: Mapping[str, object]) -> dict[str, Any]:
        return one(self.call("POST", f"posts/{ref}", given))

    def remove(self, kind: str, ref: str) -> None:
        """A post or a file, for good; of what is gone it is a success."""
        self.call("DELETE", f"{kind}/{ref}", expect=GONE, query={"force": "true"})

    def category(self, name: str) -> int | None:
        """The id of the category of this name."""
        there = many(self.call("GET", "categories", query={"search": name, "per_page": str(PAGE)}))
        return next((int(number(term)) for term in there if unescape(str(term.get("name"))) == name), None)

    def make_category(self, name: str) -> int:
        """The same, made; or adopted, when somebody was faster or the search did not find it."""
        answer = self.call("POST", "categories", {"name": name}, expect=(400,))
        told = one(answer)
        if answer.status != 400:
            return int(number(told))
        adopted = _part(told, "data").get("term_id")
        if told.get("code") != "term_exists" or not isinstance(adopted, int):
            raise self.refusal(answer, "POST categories", creates=False)
        return adopted

    # files

    def media(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The uploaded files of these slugs, by slug."""
        found: dict[str, dict[str, Any]] = {}
        for at in range(0, len(names), SLUGS):
            told = {"slug": ",".join(names[at : at + SLUGS]), "context": "edit", "per_page": str(PAGE)}
            found |= {str(file.get("slug")): file for file in many(self.call("GET", "media", query=told))}
        return found

    def media_of(self, post: str) -> list[str]:
        """The ids of our files that belong to a post; a colleague's are left alone."""
        query = {"parent": post, "context": "edit", "per_page": str(PAGE)}
        told = many(self.call("GET", "media", query=query))
        return [number(file) for file in told if str(file.get("slug")).startswith(PREFIX)]

    def upload(self, name: str, file: tuple[str, bytes, str], title: str, alt: str, post: str) -> dict[str, Any]:
        """`name`: its slug; `file`: name with ending, content, type. It belongs to `post`: the file of a hidden post is
        in no public list; without one it would be at once."""
        form = {"slug": name, "title": title, "alt_text": alt, "post": post}
        return one(self.call("POST", "media", creates=True, files={"file": file}, form=form), creates=True)

    def give(self, file: str, post: str) -> None:
        """Let an uploaded file belong to `post`."""
        self.call("POST", f"media/{file}", {"post": int(post)})


def body(given: Mapping[str, object]) -> bytes:
    return json.dumps(given, ensure_ascii=False).encode("utf-8", "replace")


def said(answer: Response) -> dict[str, Any] | None:
    """The JSON object that WordPress answered; None when somebody else spoke."""
    try:
        told = answer.json()
    except Misbehaved:
        return None
    return told if isinstance(told, dict) else None


def one(answer: Response, creates: bool = False) -> dict[str, Any]:
    """The object of an answer. Raises Misbehaved after a create, else TryLater."""
    told = said(answer)
    if told is None:
        message = f"status {answer.status} came without the JSON object that was expected"
        raise Misbehaved(message) if creates else TryLater(message)
    return told


def many(answer: Response) -> list[dict[str, Any]]:
    """The list of an answer. Raises TryLater."""
    try:
        told = answer.json()
    except Misbehaved as error:
        raise TryLater(str(error)) from None
    if not isinstance(told, list) or not all(isinstance(entry, dict) for entry in told):
        raise TryLater("a list was expected in the answer")
    return told


def number(told: Mapping[str, Any]) -> str:
    """The id of what was answered."""
    if not isinstance(told.get("id"), int):
        raise Misbehaved("id is missing from the answer")
    return str(told["id"])


def raw(post: Mapping[str, Any], name: str) -> str:
    """A text as it is stored; shown to editors only."""
    value = _part(post, name).get("raw")
    if not isinstance(value, str):
        raise Misbehaved(f"{name}.raw is missing from the answer")
    return value


def kept(post: Mapping[str, Any]) -> str:
    """A digest over the texts that the site stores of a post: whoever edits it changes it."""
    return sha256(canonical_bytes([raw(post, name) for name in ("title", "content", "excerpt")]))


def moment(post: Mapping[str, Any], name: str) -> int:
    """One of its times, which are UTC and do not say so: µs UTC."""
    try:
        return instant(datetime.fromisoformat(str(post.get(name))).replace(tzinfo=UTC))
    except ValueError:
        raise Misbehaved(f"{name} is missing from the answer") from None


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    return value if isinstance(value, dict) else {}
