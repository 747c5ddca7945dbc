"""Bluesky: one post in the account's repository, written at the instant under a key chosen beforehand.

There is no hidden draft, so the text crosses the wire at the release. But its key is ours: the write says that
nothing may be there (`"swapRecord": null`), so a second one changes nothing, whatever became of the first, and
doubt is settled by reading that key. Facts: the fact sheet on Bluesky (2026-08), sections in brackets.

Pictures are uploaded by `prepare`, which shows what is wrong with them, and again by `arm`: the server forgets
within minutes what no post names [5], and their addresses are those of their bytes. So what was prepared stays
usable. The time in the post is the instant of the release, as far as whoever arms it tells it: apps sort by
the earlier of that and their own [3], and one prepared days before would appear days down.

An app does not show the new text of an edited post reliably [5]: a correction is a new post, and the old one is
removed. Readers use an AppView, whose copy is later than the repository and may hide what stands there; only
where there is none is the repository itself read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

from channels import bluesky_post as post
from channels import bluesky_tid as tid
from channels import bluesky_view as view
from channels.bluesky_account import BUDGETS, JSON, MARGIN, REFUSALS, Account, found
from channels.bluesky_reader import Reader
from channels.picture import Unusable, fit, moves
from sync import compare
from sync.clock import SECOND, iso
from sync.contract import (
    Accepted,
    Capabilities,
    Correct,
    Misbehaved,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Response,
    Reveal,
    Setting,
    Shot,
    Stale,
    Tools,
    Unauthorised,
)
from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting, sha256

SERVICE, APPVIEW = "https://bsky.social", "https://public.api.bsky.app"
NONE = "none"
LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # what a handle may begin with
LOOK_BACK = 400 * 86_400 * SECOND  # µs: of older posts none is a delivery whose preparation nobody remembers
MOST_PAGES = 200  # of one probe


class BlueskyChannel:
    kind: ClassVar[str] = "bluesky"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.CREATE,
        probe=Probe.NAME,
        lands_within=120.0,
        correct=Correct.REPLACE,
        withdraw=True,
        settings=(
            Setting("service", f"登录的服务，默认 {SERVICE}", "the service to log in at", default=SERVICE),
            Setting("handle", "账号名，如 county.bsky.social", "handle of the account", required=True),
            Setting("app_password", "应用密码", "app password", required=True, secret=True),
            Setting(
                "appview",
                f"公众所用的 AppView，默认 {APPVIEW}；没有时填 none，改为直接核验账号所在服务器",
                "the AppView that readers use; none: there is none, the account's server is read",
                default=APPVIEW,
            ),
        ),
        limits={
            "characters": post.TEXT_LIMIT,
            "bytes": post.BYTE_LIMIT,
            "images": post.IMAGE_LIMIT,
            "image_bytes": post.SIZE_LIMIT,
        },
        budgets=BUDGETS,
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        self._outlet, self._tools = outlet, tools
        service = (outlet.settings.get("service") or SERVICE).rstrip("/")
        appview = (outlet.settings.get("appview") or APPVIEW).rstrip("/")
        self._appview = "" if appview == NONE else appview
        password = outlet.secrets.get("app_password", "")
        self._account = Account(tools, outlet.name, service, outlet.settings.get("handle", ""), password)
        self._reader = Reader(tools, self._account, outlet.name, service, self._appview)

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        """Its account has the outlet's name where that can be part of a handle."""
        name = outlet.name if LABEL.fullmatch(outlet.name) else f"x{sha256(outlet.name.encode())[:16]}"
        appview = NONE if outlet.settings.get("appview") == NONE else sandbox
        return replace(
            outlet,
            settings={"service": sandbox, "handle": f"{name}.test", "appview": appview},
            secrets={"app_password": f"sandbox-{name}"},
            live=False,
            private_network=True,
        )

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        problems = []
        if post.length(edition.title) > post.TEXT_LIMIT:
            problems.append(Problem("title", f"标题过长，连同链接最多 {post.TEXT_LIMIT} 字 · the title is too long"))
        if not post.LANGUAGE.fullmatch(edition.text("language", "zh")):
            problems.append(Problem("language", "语言代码无法识别 · not a language code, as zh or zh-CN"))
        embed, files = post.embedded(edition, "https://canonical.example/")
        for asset in files:
            if asset.media_type != "image/jpeg" and moves(self._tools.blob(asset.digest)):
                problems.append(
                    Problem(asset.name, "动图不会动，请换静态图 · an animated picture stands still: use another")
                )
            if embed == post.IMAGES and not asset.alt:
                problems.append(Problem(asset.name, "图片没有替代文字 · the picture has no description", fatal=False))
        return problems

    def address(self, edition: Edition, key: Key) -> str | None:
        return None

    def render(self, edition: Edition, place: Place) -> Rendition:
        canonical = place.canonical or ""
        text = post.compose(self._tools.pages, edition, place.canonical)
        embed, files = post.embedded(edition, place.canonical)
        description = " ".join(edition.text("summary").split()) if embed == post.CARD else ""
        fields = {
            "canonical": canonical,
            "language": edition.text("language", "zh"),
            "tags": "\n".join(post.further_tags(edition.metadata.get("topics", ()), text)),
            "embed": embed,
            "description": description,
        }
        shown = post.shown(text, embed, files, canonical, edition.title, description)
        return Rendition(edition.title, text, fields, files, shown)

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The post's text, its card if it has one, and its pictures in their order."""
        made = {"post.txt": rendition.content.encode()}
        if rendition.fields["embed"] == post.CARD:
            card = (rendition.title, rendition.fields["description"], rendition.fields["canonical"])
            made["card.txt"] = "\n\n".join(part for part in card if part).encode()
        files = {f"{at}-{asset.name}": self._tools.blob(asset.digest) for at, asset in enumerate(rendition.files, 1)}
        return {**made, **files}

    # nothing becomes public

    def login(self) -> None:
        session = self._account.log_in()
        self._account.prove()
        self._reader.ready(session.did)

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        """Dying half-way leaves blobs that nobody can read and the server forgets."""
        at = self._tools.now()
        self._account.prove()
        blobs = self._uploaded(rendition)
        session, rkey = self._account.session(), tid.chosen(key.token, at)
        notes = {
            "did": session.did,
            "pds": session.pds,
            "at": str(at),
            "blobs": json.dumps([asdict(blob) for blob in blobs]),
        }
        return Prepared(f"at://{session.did}/{post.COLLECTION}/{rkey}", notes=notes)

    def _uploaded(self, rendition: Rendition) -> list[post.Blob]:
        """Raises Rejected for what is no picture."""
        blobs = []
        for asset in rendition.files:
            try:
                picture = fit(self._tools.blob(asset.digest), asset.media_type, post.WANTED)
            except Unusable as error:
                raise Rejected(f"{self._outlet.name}: 图片无法使用 · {asset.name} cannot be used: {error}") from error
            blobs.append(self._account.upload(picture))
        return blobs

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        instant = int(prepared.notes.get("release_at") or prepared.notes["at"])
        self._account.prove()
        blobs = self._uploaded(rendition)
        if [asdict(blob) for blob in blobs] != json.loads(prepared.notes["blobs"]):
            raise Stale(f"{self._outlet.name}: the pictures are not what was prepared")
        session = self._account.session(until=instant + MARGIN)
        if session.did != prepared.notes["did"]:
            raise Stale(f"{self._outlet.name}: it was prepared for another account")
        rkey = _key(prepared.ref)
        asked: dict[str, Any] = {
            "repo": session.did,
            "collection": post.COLLECTION,
            "rkey": rkey,
            "record": post.record(rendition, iso(instant), blobs),
            "swapRecord": None,  # nothing may be there: a second write, of whatever, makes no second post
        }
        return self._tools.http.shot(
            "POST",
            f"{session.pds}/xrpc/com.atproto.repo.putRecord",
            headers={**session.headers, **JSON},
            body=json.dumps(asked, ensure_ascii=False).encode(),
            settle=lambda answer: self._settled(answer, session.pds, prepared.ref),
            expect=REFUSALS,
        )

    def _settled(self, answer: Response, pds: str, uri: str) -> Receipt:
        if answer.status in REFUSALS:
            raise self._account.refusal(answer)
        told = found(answer)
        if told.get("uri") != uri:
            raise Misbehaved(f"{self._outlet.name}: another post was answered than was written")
        return self._receipt(pds, uri, told)

    def _receipt(self, pds: str, uri: str, told: Mapping[str, Any]) -> Receipt:
        did = uri.split("/")[2]
        notes = {"did": did, "pds": pds, "cid": str(told.get("cid", ""))}
        return Receipt(uri, view.page(self._appview, pds, did, _key(uri)), self._tools.now(), notes)

    # read-only

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """Whatever stands at our key is this delivery's, also when somebody changed it since: `verify` shows that.

        Without the preparation, posts are looked through for a key that bears the delivery's mark."""
        if isinstance(hint, Prepared):
            did, pds = hint.notes["did"], hint.notes["pds"]
            there = self._account.record(pds, did, _key(hint.ref))
            return hint if there is None else self._receipt(pds, hint.ref, there)
        session = self._account.session()
        for rkey, told in self._account.keys(session.pds, session.did, MOST_PAGES):
            if tid.bears(rkey, key.token):
                return self._receipt(session.pds, f"at://{session.did}/{post.COLLECTION}/{rkey}", told)
            made_at = tid.made_at(rkey)
            if made_at is not None and made_at < self._tools.now() - LOOK_BACK:
                break
        return None

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        began = self._tools.now()
        parts = self._reader.post(receipt)
        ended = self._tools.now()
        if parts is None:
            return Sighting(False, began, ended)
        files = (*rendition.files, *(before.files if before else ()))
        seen, problems = self._reader.tokens(parts, files)
        return compare.sighted(seen, rendition, before, began, ended, problems)

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        """Nothing is to be removed: a blob that no post names cannot be read by anybody, and is forgotten [5]."""

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """Out of the repository, with its pictures; the AppView follows. Of what is gone it is a success."""
        owner, rkey = self._reader.address(receipt)
        did = self._account.session().did
        if owner.startswith("did:") and owner != did:
            raise Unauthorised(f"{self._outlet.name}: the post is another account's, {owner}")
        self._account.delete(did, rkey)


def _key(uri: str) -> str:
    return uri.rpartition("/")[2]
