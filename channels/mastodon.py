"""Mastodon: one status, created at the instant, with pictures uploaded beforehand.

There is no hidden draft (a private status cannot be made public), so the text crosses the wire at the
release. The Idempotency-Key is sent, and not relied on: it lasts an hour, ignores the body, and
compatible servers ignore it altogether; doubt is settled by looking for the canonical address among
the account's statuses. Facts: the fact sheet on Mastodon (2026-07), sections in brackets.

A correction edits the very status: id and address stay, and readers of its history still find what
stood there before. Every picture is uploaded anew and named in `media_ids`, which replaces them all;
`media_attributes` would spare uploads, but some servers ignore it without a word.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from channels import brief
from channels import mastodon_account as api
from channels import mastodon_post as post
from channels.picture import Picture, Unusable, fit
from sync import compare
from sync.answer import unread
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Budget,
    Capabilities,
    Correct,
    OutletError,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Reveal,
    Setting,
    Shot,
    Stale,
    Tools,
    Unauthorised,
    Unsupported,
)
from sync.model import Asset, Edition, Key, Outlet, Problem, Rendition, Sighting, Token

FRESH_FOR = 20 * 3600.0  # unattached media are deleted after a day [5]
MOST_PAGES = 25  # of one probe
VISIBILITIES = ("public", "unlisted")


class MastodonChannel:
    kind: ClassVar[str] = "mastodon"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.CREATE,
        probe=Probe.SEARCH,
        lands_within=120.0,
        correct=Correct.EDIT,
        withdraw=True,
        settings=(
            Setting("base_url", "实例地址，如 https://mastodon.example", "address of the instance", required=True),
            Setting("access_token", "访问令牌（write:statuses write:media read）", "access token", True, True),
            Setting("visibility", "可见性：public 或 unlisted", "public or unlisted", default="public"),
            Setting("language", "语言代码，默认取稿件的语言", "language code; the item's by default"),
        ),
        fresh_for=FRESH_FOR,
        limits={"characters": post.TEXT_LIMIT, "images": post.MEDIA_LIMIT, "alt": post.ALT_LIMIT},
        budgets=(  # [6]; 300 statuses in three hours are left to the instance, which says when to come again
            Budget("上传图片 · uploads", 30, 1_800, of="POST .*/api/v2/media$"),
            Budget("删除嘟文 · deletions", 30, 1_800, of="DELETE .*/api/v1/statuses/"),
            Budget("全部调用 · calls", 300, 300, reserve=60),
        ),
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        self._outlet, self._tools = outlet, tools
        self._base = outlet.settings["base_url"].rstrip("/")
        token = outlet.secrets.get("access_token", "")
        self._account = api.Account(tools.http, outlet.name, self._base, token)
        self._visibility = outlet.settings.get("visibility") or "public"

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        kept = {name: outlet.settings[name] for name in ("visibility", "language") if name in outlet.settings}
        return replace(
            outlet,
            settings={"base_url": sandbox, **kept},
            secrets={"access_token": f"sandbox-{outlet.name}"},
            live=False,
            private_network=True,
        )

    def check(self, edition: Edition) -> list[Problem]:
        problems = []
        if self._visibility not in VISIBILITIES:
            problems.append(
                Problem("visibility", "可见性只能是 public 或 unlisted · only public or unlisted is public")
            )
        if post.length(edition.title) + 2 + post.URL_LENGTH > post.TEXT_LIMIT:
            problems.append(Problem("title", f"标题过长，最多 {post.TEXT_LIMIT} 字含链接 · the title is too long"))
        for asset in post.pictures(edition):
            if asset.size >= post.SIZE_LIMIT:
                message = "图片超过 16 MB，将压缩 · larger than 16 MB, will be reduced"
                problems.append(Problem(asset.name, message, fatal=False))
            if len(asset.alt) > post.ALT_LIMIT:
                problems.append(Problem(asset.name, "替代文字超过 1500 字 · the description is longer than 1,500"))
            if not asset.alt:
                problems.append(Problem(asset.name, "图片没有替代文字 · the picture has no description", fatal=False))
        return problems

    def address(self, edition: Edition, key: Key) -> str | None:
        return None

    def render(self, edition: Edition, place: Place) -> Rendition:
        text, files = post.compose(self._tools.pages, edition, place.canonical), post.pictures(edition)
        language = self._outlet.settings.get("language") or edition.text("language", "zh")
        fields = {"canonical": place.canonical or "", "visibility": self._visibility, "language": language}
        return Rendition(edition.title, text, fields, files, brief.shown(text, files))

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The status's text, and its pictures in their order."""
        files = {f"{at}-{asset.name}": self._tools.blob(asset.digest) for at, asset in enumerate(rendition.files, 1)}
        return {"status.txt": rendition.content.encode(), **files}

    def login(self) -> None:
        self._account.id()
        application = self._account.get("/api/v1/apps/verify_credentials", expect=(400, 404, 422))
        scopes = api.found(application).get("scopes") if application.status == 200 else None
        # Told since 4.3; elsewhere the first upload shows it.
        if isinstance(scopes, list) and "write" not in scopes and not {"write:statuses", "write:media"} <= {*scopes}:
            raise Unauthorised(f"{self._outlet.name}: the token lacks write:statuses and write:media")
        configuration = api.found(self._account.get("/api/v2/instance")).get("configuration")
        statuses = configuration.get("statuses") if isinstance(configuration, dict) else None
        most = statuses.get("max_characters") if isinstance(statuses, dict) else None
        if isinstance(most, int) and most < post.TEXT_LIMIT:
            raise Unsupported(f"{self._outlet.name}: the instance takes only {most} characters")

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        """Raises Rejected when the status to be corrected is gone.

        A server that still processes a picture is not waited for: `arm` asks again. Uploading anew instead
        would begin its work anew, and leave an orphan each time."""
        account = self._account.id()
        if replaces and self._account.status(replaces.ref) is None:
            raise Rejected(f"{self._outlet.name}: 要更正的嘟文已不存在 · the status to be corrected is gone")
        # Whatever a later probe has to find is newer than the newest status of now; no clock is compared.
        since = self._account.newest(account)
        media = [
            self._account.upload(asset.name, made.content, made.media_type, asset.alt)
            for asset, made in zip(rendition.files, self._fitting(rendition.files), strict=True)
        ]
        notes = {"media": ",".join(media), "account": account, "since": since}
        if replaces:
            notes["replaces"] = replaces.ref
        return Prepared(notes["media"] or "text", self._tools.now() + round(FRESH_FOR * SECOND), notes)

    def _fitting(self, files: tuple[Asset, ...]) -> list[Picture]:
        """Within what an instance takes. Raises Rejected for what is no picture."""
        try:
            return [fit(self._tools.blob(one.digest), one.media_type, post.PICTURE) for one in files]
        except Unusable as error:
            raise Rejected(f"{self._outlet.name}: 图片不能用 · a picture cannot be used: {error}") from error

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        media, edited = _media(prepared), prepared.notes.get("replaces", "")
        if edited and self._account.status(edited) is None:
            raise Stale(f"{self._outlet.name}: the status to be corrected is gone")
        for picture in media:
            self._account.processed(picture)
        status = {
            "status": rendition.content,
            "spoiler_text": "",  # an edit that leaves it out may keep the one that is there
            "media_ids": media,
            "visibility": rendition.fields["visibility"],  # an edit cannot change it, and ignores it
            "language": rendition.fields["language"],
            "sensitive": False,
        }
        headers = {**self._account.headers(), "Content-Type": "application/json"}
        return self._tools.http.shot(
            "PUT" if edited else "POST",
            f"{self._base}/api/v1/statuses/{quote(edited)}" if edited else f"{self._base}/api/v1/statuses",
            headers=headers if edited else {**headers, "Idempotency-Key": key.token},
            body=json.dumps(status, ensure_ascii=False).encode(),
            settle=lambda answer: self._receipt(api.found(answer)),
        )

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """A correction is looked for in the very status that it changes, whatever else bears its address."""
        known = hint if isinstance(hint, Prepared) else None
        if replaces:
            status = self._account.status(replaces.ref)
            done = status is not None and self._is_edited(status, rendition, known, replaces)
            return self._receipt(status) if status is not None and done else known
        canonical = rendition.fields["canonical"]
        if not canonical:
            raise Unsupported(f"{self._outlet.name}: without a canonical address nothing marks the status as ours")
        if known is not None:
            listed = self._account.since(known.notes["account"], known.notes["since"], MOST_PAGES)
        else:
            listed = self._account.newest_page(self._account.id())
        # Most have not even the letters of the address; only what has them is read.
        listed = [status for status in listed if canonical in html.unescape(api.text(status, "content"))]
        read = post.read(*(api.text(status, "content") for status in listed))
        found = [status for status, seen in zip(listed, read, strict=True) if Token("link", canonical) in seen]
        if known is not None:
            found = [status for status in found if not _of_another(status, _media(known))]
        else:
            # Only being prepared: an earlier edition at the same address is not this delivery.
            ours = brief.shown(rendition.content, ())
            found = [status for status in found if post.read(api.text(status, "content"))[0] == ours]
        if not found:
            return known
        receipt = self._receipt(found[-1])
        return replace(receipt, notes={**receipt.notes, "copies": str(len(found))}) if len(found) > 1 else receipt

    def _is_edited(
        self, status: Mapping[str, Any], rendition: Rendition, known: Prepared | None, replaces: Receipt
    ) -> bool:
        """Whether our edit arrived: our text, and our pictures.

        The ids of the pictures tell exactly, as they were uploaded for this edit. Without the preparation
        they are compared as a reader sees them, once the status was edited since `replaces`.
        """
        ours = brief.shown(rendition.content, ())
        if post.read(api.text(status, "content"))[0] != ours:
            return False
        if known is not None:
            return sorted(api.attached(status)) == sorted(_media(known))
        if str(status.get("edited_at") or "") == replaces.notes.get("edited", ""):
            return False
        pictures, _ = self._pictures(status, rendition.files)
        return ours + pictures == rendition.shown

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        began = self._tools.now()
        answer = self._tools.http.read(f"{self._base}/api/v1/statuses/{quote(receipt.ref)}")
        ended = self._tools.now()
        if answer.status in (404, 410):
            return Sighting(False, began, ended, taken_down=answer.status == 410)
        if answer.status in (401, 403):
            raise Unauthorised(f"{self._outlet.name}: the instance shows statuses only to those who log in")
        if answer.status != 200:
            raise unread(f"{self._outlet.name}: status {answer.status} to an anonymous reader", answer, ended)
        status = api.found(answer)
        # A picture that stands there still, from before, has to be known as what it is.
        seen, problems = self._pictures(status, (*rendition.files, *(before.files if before else ())))
        shown = post.read(api.text(status, "content"))[0] + seen
        return compare.sighted(shown, rendition, before, began, ended, problems)

    def _pictures(
        self, status: Mapping[str, Any], files: tuple[Asset, ...]
    ) -> tuple[tuple[Token, ...], tuple[Problem, ...]]:
        candidates = {asset.digest: self._tools.blob(asset.digest) for asset in files}
        seen: list[Token] = []
        problems: list[Problem] = []
        for media in status.get("media_attachments") or ():
            try:
                answer = self._tools.http.read(api.text(media, "url"))
            except OutletError as error:
                problems.append(Problem("image", f"图片读不到 · the picture cannot be read: {error}", fatal=False))
                continue
            content = answer.body if answer.status == 200 else b""
            seen.append(Token("image", compare.recognise(content, candidates)))
            if media.get("description"):
                seen.append(Token("text", compare.normal(str(media["description"]))))
        return tuple(seen), tuple(problems)

    def discard(self, prepared: Prepared, key: Key) -> None:
        for media in _media(prepared):
            # 404: gone already, or a server before 4.4, which forgets it within a day.
            self._account.delete(f"/api/v1/media/{quote(media)}", expect=(404, 405))

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """With its pictures, which would stay readable for a day otherwise (4.4+; elsewhere ignored)."""
        path = f"/api/v1/statuses/{quote(receipt.ref)}?delete_media=true"
        self._account.delete(path, expect=(404, 410))  # gone already

    def _receipt(self, status: Mapping[str, Any]) -> Receipt:
        # Silenced accounts get "unlisted" for "public" without an error [8]: kept, so that it can be seen.
        # When it was edited last, by the server's word: a later look knows another edit by it.
        notes = {"visibility": str(status.get("visibility", "")), "edited": str(status.get("edited_at") or "")}
        return Receipt(api.text(status, "id"), api.text(status, "url"), self._tools.now(), notes)


def _media(prepared: Prepared) -> list[str]:
    return [media for media in prepared.notes["media"].split(",") if media]


def _of_another(status: Mapping[str, Any], media: list[str]) -> bool:
    """Whether its pictures show it to be another delivery's: there are some, and none is of `media`.

    The same address may be published twice on purpose, and both be prepared before either is public.
    """
    attached = api.attached(status)
    return bool(media and attached) and not {*attached} & {*media}
