"""One Ghost site through its Admin API: what is asked of it, and what an answer must hold.

Every method raises as `sync.http` says; beyond that Unauthorised, naming `base_url`, for a redirect (it
would turn a PUT into a GET, so none is followed) and where no Ghost answers, Unauthorised for a key that is
refused, in whatever status, and Misbehaved for an answer of another shape. A page in HTML is no answer.
Facts: the fact sheet on Ghost (6.65), sections in brackets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from channels.ghost_key import token
from sync.contract import Egress, Misbehaved, Rejected, Response, TryLater, Unauthorised, Unsupported
from sync.model import sha256

VERSION = "v5.0"
REDIRECTS = (301, 302, 303, 307, 308)
JUDGED = (*REDIRECTS, 400, 404, 406)
# 401 says so by itself; of a malformed key Ghost says 400 [observed].
KEY_REFUSED = frozenset({"INVALID_JWT", "MISSING_ADMIN_API_KID", "INVALID_AUTH_HEADER", "UNKNOWN_ADMIN_API_KEY"})
COLLISION = 409
PAGE = 50  # posts of one listing
# What a person could change of a post in the editor, and a reader would see.
FIELDS = (
    *("title", "slug", "html", "visibility", "custom_excerpt", "feature_image", "feature_image_alt"),
    *("feature_image_caption", "canonical_url", "email_only", "codeinjection_head", "codeinjection_foot"),
    *("custom_template", "meta_title", "meta_description", "og_image", "og_title", "og_description"),
)


@dataclass(frozen=True)
class Post:
    """`status`: draft, scheduled, published or sent. `updated_at` as the server writes it, whole seconds. `told`: each
    of FIELDS as text, "" for none."""

    ref: str
    status: str
    slug: str
    url: str
    updated_at: str
    told: Mapping[str, str]

    @property
    def public(self) -> bool:
        """Or it was, and cannot be taken back: a post that was only mailed."""
        return self.status in ("published", "sent")

    @property
    def digests(self) -> Mapping[str, str]:
        """Of each of FIELDS: by them a change is noticed, and named."""
        return {name: sha256(value.encode("utf-8", "replace"))[:16] for name, value in self.told.items()}


class Site:
    def __init__(self, http: Egress, outlet: str, base_url: str, key: str, now: Callable[[], int]) -> None:
        self._http, self._outlet, self._key, self._now = http, outlet, key, now
        # Its own address bar shows /ghost, and people copy that.
        self.base = base_url.rstrip("/").removesuffix("/ghost")
        self.api = f"{self.base}/ghost/api/admin/"

    def version(self) -> str:
        """Of the server; asked without credentials."""
        site = _object(self._call("GET", "site/", keyed=False)).get("site")
        return str(site.get("version", "")) if isinstance(site, dict) else ""

    def recent(self) -> None:
        """Ask for a post: proves the key."""
        _posts(self._call("GET", "posts/?limit=1&fields=id"))

    def get(self, ref: str) -> Post | None:
        """None: there is no such post."""
        answer = self._call("GET", f"posts/{quote(ref, safe='')}/?formats=html", expect=(404,))
        return None if self.gone(answer) else post_of(answer)

    def of(self, slug: str, tag: str) -> list[Post]:
        """Whatever bears this slug or this internal tag, drafts too, the oldest first.

        A tag can be taken off in the editor, and a lost create that was repeated has another slug [7]."""
        where = quote(f"slug:'{slug}',tag:'hash-{tag.removeprefix('#')}'", safe="")
        answer = self._call("GET", f"posts/?filter={where}&limit={PAGE}&formats=html")
        return sorted((_post(told) for told in _posts(answer)), key=lambda post: post.ref)

    def create(self, fields: Mapping[str, object]) -> Post:
        """Without `source=html` Ghost would take it with 201 and keep an empty body [observed]."""
        answer = self._call("POST", "posts/?source=html&formats=html", creates=True, body=_body(fields))
        return post_of(answer)

    def change(self, ref: str, fields: Mapping[str, object], updated_at: str) -> Post | None:
        """The post as it is now; None: it is gone. Raises TryLater when somebody changed it meanwhile."""
        path = f"posts/{quote(ref, safe='')}/?source=html&formats=html"
        body = _body({**fields, "updated_at": updated_at})
        answer = self._call("PUT", path, body=body, expect=(404, COLLISION))
        if answer.status == COLLISION:
            raise TryLater(f"{self._outlet}: 有人正在编辑该文章 · somebody is editing the post: {_said(answer)}")
        return None if self.gone(answer) else post_of(answer)

    def delete(self, ref: str) -> None:
        """For good. Of what is gone already this is success."""
        self.gone(self._call("DELETE", f"posts/{quote(ref, safe='')}/", expect=(404,)))

    def upload(self, name: str, content: bytes, media_type: str) -> str:
        """The address of a picture. A lost answer leaves a file that nothing refers to: nothing happened."""
        files = {"file": (name, content, media_type)}
        answer = self._call("POST", "images/upload/", files=files, form={"purpose": "image", "ref": name})
        images = _object(answer).get("images")
        url = images[0].get("url") if isinstance(images, list) and images and isinstance(images[0], dict) else None
        if not isinstance(url, str) or not url:
            raise Misbehaved(f"{self._outlet}: images/upload: no url in the answer")
        return url

    def headers(self, at: int) -> dict[str, str]:
        """With a token of its own for each request: there is nothing to keep, and nothing to renew [1]."""
        return {"Authorization": f"Ghost {token(self._key, at)}", "Accept-Version": VERSION}

    def judged(self, answer: Response, expect: tuple[int, ...] = ()) -> Response:
        """An answer whose status the egress let pass, with Ghost's own codes considered."""
        if answer.status in REDIRECTS:
            to = urlsplit(answer.headers.get("Location", ""))
            goal = f"{to.scheme}://{to.netloc}" if to.netloc else "another address"
            raise Unauthorised(
                f"{self._outlet}: base_url 不是后台的最终地址（跳转到 {goal}） · base_url is not the final address of "
                f"Ghost Admin: {answer.status}, it redirects to {goal}"
            )
        if 200 <= answer.status < 300 or answer.status in expect:
            return answer
        kind, code = error_of(answer)
        said = f"{self._outlet}: {answer.status} {kind} {code}".strip()
        if code in KEY_REFUSED:
            raise Unauthorised(f"{said}: admin_api_key 被拒绝 · the key is refused")
        if not kind and answer.status == 404:
            raise self._nowhere()
        if answer.status == 406:
            raise Unsupported(f"{said}: 版本过旧，需要 5.0 以上 · the server is older than 5.0")
        raise Rejected(said)

    def gone(self, answer: Response) -> bool:
        """Whether Ghost itself says that there is no such post; a 404 of anybody else says nothing of it."""
        if answer.status != 404:
            return False
        if error_of(answer)[0] != "NotFoundError":
            raise self._nowhere()
        return True

    def _nowhere(self) -> Unauthorised:
        return Unauthorised(f"{self._outlet}: base_url 处没有 Ghost · no Ghost answers at base_url")

    def _call(
        self,
        method: str,
        path: str,
        *,
        creates: bool = False,
        keyed: bool = True,
        body: bytes | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        form: Mapping[str, str] | None = None,
        expect: tuple[int, ...] = (),
    ) -> Response:
        headers = self.headers(self._now()) if keyed else {"Accept-Version": VERSION}
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = self._http.call(
            method,
            self.api + path,
            creates=creates,
            headers=headers,
            body=body,
            files=files,
            form=form,
            expect=(*JUDGED, *expect),
        )
        return self.judged(answer, expect)


def error_of(answer: Response) -> tuple[str, str]:
    """Type and code of the first error; "" for what the answer does not say, or what is no answer of Ghost's."""
    try:
        told = answer.json()
    except Misbehaved:
        return "", ""
    errors = told.get("errors") if isinstance(told, dict) else None
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return str(first.get("type") or ""), str(first.get("code") or "")


def post_of(answer: Response) -> Post:
    """The one post of an answer. Raises Misbehaved."""
    posts = _posts(answer)
    if len(posts) != 1:
        raise Misbehaved(f"one post was expected in the answer, not {len(posts)}")
    return _post(posts[0])


def _said(answer: Response) -> str:
    return " ".join(part for part in (str(answer.status), *error_of(answer)) if part)


def _body(fields: Mapping[str, object]) -> bytes:
    return json.dumps({"posts": [fields]}, ensure_ascii=False).encode("utf-8", "replace")


def _object(answer: Response) -> dict[str, Any]:
    told = answer.json()
    if not isinstance(told, dict):
        raise Misbehaved("an object was expected in the answer")
    return told


def _posts(answer: Response) -> list[dict[str, Any]]:
    posts = _object(answer).get("posts")
    if not isinstance(posts, list) or not all(isinstance(one, dict) for one in posts):
        raise Misbehaved("a list of posts was expected in the answer")
    return posts


def _post(told: Mapping[str, Any]) -> Post:
    needed = {name: told.get(name) for name in ("id", "status", "slug", "updated_at")}
    if missing := [name for name, value in needed.items() if not isinstance(value, str) or not value]:
        raise Misbehaved(f"{', '.join(missing)} is missing from a post in the answer")
    return Post(
        ref=str(told["id"]),
        status=str(told["status"]),
        slug=str(told["slug"]),
        url=str(told.get("url") or ""),
        updated_at=str(told["updated_at"]),
        told={name: str(told.get(name) or "") for name in FIELDS},
    )
