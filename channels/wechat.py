"""WeChat Official Account (微信公众号).

Prepare puts a draft into the account's draft box and reads back what survived WeChat's filter; the
instant hands the draft over, one of two ways: `channels.wechat_freepublish` or `channels.wechat_mass`.
Which one is part of the rendition, so it is approved with it, and a draft never goes out both ways.
A published article cannot be edited: a correction is a new one at a new address, and the old one is
withdrawn after it was seen. For a while both are public.
Facts: developers.weixin.qq.com, pages "draft", "freepublish", "stable_token", read 2026-11.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlsplit

from channels.wechat_account import Account, whole
from channels.wechat_api import (
    BUDGETS,
    JSON,
    WechatApi,
    encoded,
)
from channels.wechat_article import ASSET, as_found, as_seen, marked, pictures, read_outside, with_addresses, written
from channels.wechat_draft import Drafts
from channels.wechat_freepublish import Freepublish
from channels.wechat_mass import Mass, Told
from channels.wechat_picture import plain_cover
from channels.wechat_push import Ear
from channels.wechat_rules import (
    API,
    FREEPUBLISH,
    LIMITS,
    MASS,
    SETTINGS,
    cut_digest,
    mode_problems,
    mode_refused,
    problems,
)
from sync.clock import SECOND
from sync.compare import sighted
from sync.contract import (
    Accepted,
    Ambiguous,
    Capabilities,
    Correct,
    Heard,
    Place,
    Prepared,
    Probe,
    Receipt,
    Reveal,
    Shot,
    Tools,
    TryLater,
    Unsupported,
)
from sync.model import AssetRole, BadInput, Edition, Key, Outlet, Problem, Rendition, Sighting, sha256

FIRST_POLL = 3 * SECOND  # after which a live account is asked about a job; status calls are few (reported by users)


class WechatChannel:
    kind: ClassVar[str] = "wechat"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.QUEUED,
        probe=Probe.SEARCH,
        lands_within=120,
        correct=Correct.REPLACE,
        withdraw=True,
        # The first two are for sandboxes, whose jobs are fast: `probe` asks a live account after FIRST_POLL at the
        # earliest. A push brings the answer forward (`hear`).
        polls=(0.3, 1, 3, 6, 12, 24, 48, 96, 192, 300),
        limits=LIMITS,
        settings=SETTINGS,
        budgets=BUDGETS,
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        self._outlet, self._tools = outlet, tools
        self._api = WechatApi(
            tools.http,
            outlet.settings.get("api_base") or API,
            outlet.settings.get("app_id", ""),
            outlet.secrets.get("app_secret", ""),
            tools.now,
            tools.tokens,
            tools.spend,
        )
        self._account = Account(self._api, tools)
        self._drafts = Drafts(self._api, self._account, tools.now)
        self._ear = _ear(outlet)
        self._mode = outlet.settings.get("mode") or FREEPUBLISH
        self._told = Told(tools.tokens, urlsplit(outlet.settings.get("api_base") or API).hostname or "")

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        settings = {"api_base": sandbox, "app_id": f"sandbox-{outlet.name}"}
        if "mode" in outlet.settings:
            settings["mode"] = outlet.settings["mode"]
        return Outlet(
            outlet.name,
            outlet.unit,
            outlet.kind,
            settings,
            {
                "app_secret": f"sandbox-secret-{outlet.name}",
                "callback_token": f"sandbox-token-{outlet.name}",
                # 32 bytes in base64, without the padding, as the sandbox derives it too
                "callback_aes_key": b64encode(bytes.fromhex(sha256(outlet.name.encode()))).decode().rstrip("="),
            },
            required=outlet.required,
            private_network=True,
        )

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        found = problems(edition, self._tools.pages, self._tools.blob)
        return [*mode_problems(self._mode, hears=self._ear is not None), *found]

    def address(self, edition: Edition, key: Key) -> str | None:
        """WeChat chooses the address when it publishes."""
        return None

    def render(self, edition: Edition, place: Place) -> Rendition:
        """Raises Unsupported for an unknown mode and for a picture that is no file of the item."""
        if refused := mode_refused(self._mode):
            raise Unsupported(refused)
        content = written(edition, self._tools.pages, place.canonical)
        try:
            shown = [edition.asset(source.removeprefix(ASSET)) for source in pictures(content)]
        except KeyError as error:
            raise Unsupported(f"图片不是稿件的文件 / a picture is no file of the item: {error}") from error
        cover = next((a for a in edition.assets if a.role is AssetRole.COVER), shown[0] if shown else None)
        return Rendition(
            title=edition.title,
            content=content,
            fields={
                "author": edition.text("author"),
                "digest": cut_digest(edition.text("summary")),
                "content_source_url": marked(place.canonical, place.key) if place.canonical else "",
                "cover": cover.digest if cover else "",
                **({"mode": MASS} if self._mode == MASS else {}),
            },
            files=tuple(dict.fromkeys([*shown, cover] if cover else shown)),
            shown=as_seen(edition.title, content, lambda source: source.removeprefix(ASSET)),
        )

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The article as its readers see it, with its pictures as they would be uploaded. Raises Rejected."""
        files: dict[str, bytes] = {}
        addresses: dict[str, str] = {}
        for digest in dict.fromkeys(token.value for token in rendition.shown if token.kind == "image"):
            picture = self._account.ready(rendition, digest, cover=False)
            addresses[digest] = f"picture-{len(addresses) + 1}.{picture.ending}"
            files[addresses[digest]] = picture.content
        digest = rendition.fields["cover"]
        cover = self._account.ready(rendition, digest, cover=True) if digest else plain_cover(rendition.title)
        page = self._tools.pages.render(
            "wechat/preview.html",
            title=rendition.title,
            author=rendition.fields["author"],
            digest=rendition.fields["digest"],
            cover=f"cover.{cover.ending}",
            content=with_addresses(rendition.content, addresses),
        )
        return {"article.html": page.encode(), f"cover.{cover.ending}": cover.content, **files}

    def _way(self, mode: str) -> Freepublish | Mass:
        if mode == MASS:
            hears = self._ear is not None
            return Mass(self._api, self._account, self._tools.now, self._told, hears=hears)
        return Freepublish(self._api, self._account, self._tools.now)

    # network; nothing becomes public

    def login(self) -> None:
        """Token, draft box, and the right to publish, or to send to followers."""
        if refused := mode_refused(self._mode):
            raise Unsupported(refused)
        self._api.fetch("draft/count")
        self._way(self._mode).login()

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        """See `channels.wechat_draft`. Raises Unsupported for `replaces`: nothing can be changed in place here."""
        if replaces is not None:
            raise Unsupported("公众号文章不能就地修改 / a published article cannot be changed in place")
        return self._drafts.make(rendition, key)

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        """Raises Stale when the draft is gone, was touched in the console (it would be refused with
        53505 or 48021 at the instant), or no longer holds what was approved."""
        way = self._way(rendition.fields.get("mode", FREEPUBLISH))
        try:
            self._drafts.inspect(prepared, rendition)
            url = self._api.url(way.path)
        except Ambiguous as error:
            raise TryLater(f"not armed: {error}") from error
        return self._tools.http.shot(
            "POST",
            url,
            headers=JSON,
            body=encoded(way.payload(prepared.ref, key)),
            settle=lambda response: way.settled(response, prepared),
        )

    # read-only

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """As its way looks. A job that a live account took a moment ago is not asked about yet."""
        if isinstance(hint, Accepted) and self._outlet.live:
            soonest = whole(hint.notes.get("sent")) + FIRST_POLL
            if self._tools.now() < soonest:
                return hint
        return self._way(rendition.fields.get("mode", FREEPUBLISH)).find(rendition, key, hint)

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        """Deleted and blocked articles answer 200 with a notice page: not visible, the notice told.

        Raises Unsupported for a mass send of which no push told the address."""
        if not receipt.url:
            raise Unsupported("群发文章的地址未知，请在公众平台查看 / the address of what was mass sent is not known")
        began = self._tools.now()
        response = self._tools.http.read(receipt.url)
        ended = self._tools.now()
        page = read_outside(response.body)
        content = page.content if response.status == 200 else None
        if content is None:
            notice = Problem("page", f"HTTP {response.status}: {page.notice}", fatal=False)
            return Sighting(False, began, ended, (notice,), taken_down=response.status == 200)
        known: dict[str, str] = {}
        seen = as_found(page.title, content, lambda src: self._account.recognised(src, receipt.url, rendition, known))
        return sighted(seen, rendition, before, began, ended)

    def hear(self, method: str, query: Mapping[str, str], body: bytes) -> Heard:
        """WeChat's message push: its question whether the address is ours, and the end of a publishing job.

        Of a mass send the push alone names the article's address, so that is kept."""
        ear = self._ear
        if ear is None:
            raise Unsupported(f"{self._outlet.name}: 未设置 callback_token · no callback_token is set")
        now_s = self._tools.now() // SECOND
        if method == "GET":
            return Heard(ear.greeted(query, now_s))
        push = ear.heard(query, body, now_s)
        if push.tells_of_a_mass_send:
            self._told.keep(push)
        return Heard("success", hint=push.tells_of_a_job)

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        """Remove the draft, surplus ones of the same delivery that a probe noted, and the cover."""
        self._drafts.discard(prepared)

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """Delete the article; irreversible. Its page then holds a notice, which `verify` calls not visible."""
        self._way(receipt.notes.get("mode", FREEPUBLISH)).withdraw(receipt)


def _ear(outlet: Outlet) -> Ear | None:
    """What hears the account's pushes; None where none are set up. Raises BadInput for a key that can be none."""
    token, key = outlet.secrets.get("callback_token", ""), outlet.secrets.get("callback_aes_key", "")
    if not token:
        return None
    try:
        return Ear(token, key, outlet.settings.get("app_id", ""))
    except ValueError as error:
        raise BadInput(
            "callback_aes_key", str(error), "从公众平台重新复制 · copy it anew from the account's console"
        ) from error
