"""What the tests of the Ghost channel and of its sandbox share: an ordinary client, and one edition on its way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import requests

from channels import ghost_draft
from sync.contract import Place, Prepared, Receipt, Shot
from sync.model import Edition, Rendition, Sighting, sha256
from tests.contract.bench import CLOCK, Server, window
from tests.contract.bench_ghost import EDITION, OTHER, ROUTE, GhostBench

CANONICAL = "https://county.example/2026/11/12.html"
CORRECTED = replace(
    EDITION,
    revision=2,
    title="关于开通13路乡村公交环线的通告（更正）",
    body=EDITION.body.replace("06:30", "06:40").replace(sha256(ROUTE), sha256(OTHER)),
    metadata={**EDITION.metadata, "summary": "环线试运行，首班 06:40。"},
    assets=(replace(EDITION.assets[0], digest=sha256(OTHER), size=len(OTHER)), *EDITION.assets[1:]),
)


class Client:
    """An integration of one site: an ordinary client, which knows nothing of the channel."""

    def __init__(self, sandbox: Server, site: str) -> None:
        self.sandbox, self.site = sandbox, site
        self.home = f"{sandbox.address}/{site}"
        self.kid, self.secret = site.encode().hex(), hashlib.sha256(f"sandbox {site}".encode()).digest()
        self._session = requests.Session()
        self._session.trust_env = False

    def token(self, *, secret: bytes | None = None, kid: str | None = None, alg: str = "HS256", **claims: Any) -> str:
        at = int(time.time())
        told = {"iat": at, "exp": at + 300, "aud": "/admin/", **claims}
        signed = f"{encoded({'alg': alg, 'kid': self.kid if kid is None else kid})}.{encoded(told)}"
        seal = hmac.new(secret or self.secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"

    def call(self, method: str, path: str, token: str | None = None, **given: Any) -> requests.Response:
        headers = {"Authorization": f"Ghost {token or self.token()}", "Accept-Version": "v5.0"}
        headers.update(given.pop("headers", {}))
        url = f"{self.home}/ghost/api/admin/{path}"
        return self._session.request(method, url, headers=headers, timeout=10, allow_redirects=False, **given)

    def create(self, query: str = "source=html", **fields: Any) -> dict[str, Any]:
        answer = self.call(
            "POST", f"posts/?{query}&formats=html,lexical", json={"posts": [{"title": "标题", **fields}]}
        )
        assert 201 == answer.status_code, answer.text
        post: dict[str, Any] = answer.json()["posts"][0]
        return post

    def save(self, post: Mapping[str, Any], query: str = "", **fields: Any) -> requests.Response:
        """As the editor does it: with the time at which the post was read, unless another is given."""
        given = {"updated_at": post["updated_at"], **fields}
        return self.call("PUT", f"posts/{post['id']}/?formats=html&{query}", json={"posts": [given]})

    def saved(self, post: Mapping[str, Any], query: str = "", **fields: Any) -> dict[str, Any]:
        answer = self.save(post, query, **fields)
        assert 200 == answer.status_code, answer.text
        changed: dict[str, Any] = answer.json()["posts"][0]
        return changed

    def read(self, ref: str) -> dict[str, Any]:
        post: dict[str, Any] = self.call("GET", f"posts/{ref}/?formats=html,lexical").json()["posts"][0]
        return post

    def posts(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"posts/?formats=html&limit=100&{query}").json()["posts"]
        return found

    def see(self, url: str, *, follow: bool = True) -> requests.Response:
        """As anybody would."""
        return self._session.get(url, timeout=10, allow_redirects=follow)

    def upload(self, name: str, content: bytes, kind: str = "image/png") -> requests.Response:
        return self.call("POST", "images/upload/", files={"file": (name, content, kind)}, data={"ref": "x"})

    def knob(self, fault: str, **given: Any) -> None:
        self.sandbox.knob(fault, account=self.site, **given)

    def later(self, seconds: float = 10) -> None:
        """The site's clock goes on."""
        self.knob("skew", seconds=seconds)

    def lines(self) -> list[dict[str, Any]]:
        return [line for line in self.sandbox.record() if line["account"] == self.site]

    def close(self) -> None:
        self._session.close()


def encoded(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class Delivery:
    """One edition on its way to the site."""

    def __init__(self, ghost: GhostBench, edition: Edition = EDITION, replaces: Receipt | None = None) -> None:
        self.ghost, self.key, self.replaces = ghost, ghost.key(), replaces
        self.rendition = ghost.channel().render(edition, Place(self.key, CANONICAL, replaces))

    @property
    def slug(self) -> str:
        return ghost_draft.slug_of(self.key)

    def prepare(self) -> Prepared:
        return self.ghost.channel().prepare(self.rendition, self.key, self.replaces)

    def arm(self, prepared: Prepared) -> Shot:
        return self.ghost.channel().arm(prepared, self.rendition, self.key)

    def publish(self) -> Receipt:
        return fired(self.arm(self.prepare()))

    def probe(self, hint: Prepared | None) -> object:
        return self.ghost.channel().probe(self.rendition, self.key, hint, self.replaces)

    def verify(self, receipt: Receipt, before: Rendition | None = None) -> Sighting:
        return self.ghost.channel().verify(receipt, self.rendition, before)


class Correction(Delivery):
    """EDITION is public; another edition is to take its place."""

    def __init__(self, ghost: GhostBench, to: Edition = CORRECTED) -> None:
        first = Delivery(ghost)
        self.first, self.public = first, first.publish()
        super().__init__(ghost, to, self.public)

    def look(self) -> Sighting:
        return self.verify(self.public, self.first.rendition)


def fired(shot: Shot) -> Receipt:
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    return receipt


def matches(sighting: Sighting) -> None:
    assert (True, ()) == (sighting.visible, sighting.problems)


def queries(ghost: GhostBench) -> list[str]:
    """Every query that the API was asked with."""
    return [line["detail"].get("query", "") for line in ghost.sandbox.record()]


def where(sighting: Sighting) -> set[str]:
    return {problem.where for problem in sighting.problems}
