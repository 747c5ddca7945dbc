"""Sina Weibo: one short post, created at the instant by a single call, which carries its picture along.

Nothing can be staged: text and picture cross the wire at the release. Preparing proves the token, makes the
picture small, and notes the newest post of the account, so that a later look knows what can be ours.
There is no idempotency; doubt is settled by looking where the links of recent posts lead
(`channels.weibo_probe`). That Weibo refuses a text which it just took protects a little, and is relied on nowhere.
A post cannot be edited: a correction is a new one, and the old one is deleted after it was seen.
Weibo may hide a post from everybody but its author, after success: only the public view counts.
Facts: the fact sheet on Weibo (2026-11), sections in brackets; open.weibo.com, "statuses/share".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import ClassVar

from channels import weibo_text as text
from channels.picture import READABLE, Picture, Unusable, Wanted, fit, moves
from channels.weibo_account import Account, ident
from channels.weibo_address import mid_of
from channels.weibo_api import CALLS, EXPECTED, LAGGING, REPEATED, SHARE, Step, decoded, error_code
from channels.weibo_form import form, multipart
from channels.weibo_probe import Lookup
from channels.weibo_public import Public
from channels.weibo_settings import SETTINGS, chosen, twin
from sync import compare
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
    Response,
    Reveal,
    Shot,
    Tools,
    Unauthorised,
    Unsupported,
)
from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting, Token, sha256

# Weibo takes 5 MB; what is uploaded within the instant has to be there soon.
PICTURE = Wanted(types=frozenset({"image/jpeg", "image/png", "image/gif"}), below=300_000)
OUTLIVES = 600 * SECOND  # µs by which a token has to outlive the instant


class WeiboChannel:
    kind: ClassVar[str] = "weibo"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.CREATE,
        probe=Probe.SEARCH,
        lands_within=180.0,  # reads lag behind by two minutes [7]
        correct=Correct.REPLACE,
        withdraw=True,
        settings=SETTINGS,
        # After "posted, not listed yet" and "there already": each look is one of the day's calls.
        polls=(5.0, 30.0, 90.0, 185.0, 600.0),
        limits={"half_width": text.LIMIT - text.MARGIN, "images": 1, "picture_bytes": PICTURE.below},
        # All endpoints together, per account and application [6]; anonymous reads do not count.
        budgets=(
            Budget("每日调用 · calls of a day", 100, 24 * 3600, reserve=30, of=CALLS),
            Budget("每小时发布 · posts of an hour", 30, 3600, of=SHARE),
        ),
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        """Raises BadInput for settings that cannot be meant."""
        self._name, self._tools = outlet.name, tools
        self._set = chosen(outlet)
        self._account = Account(tools.http, outlet.name, self._set.api, self._set.token, tools.now)
        self._public = Public(tools.http, outlet.name, self._set.page, tools.now)
        self._lookup = Lookup(self._account, self._public, tools.now)

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        return twin(outlet, sandbox)

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        problems = [*text.problems(self._tools.pages, edition, self._set.domains)]
        chosen = text.picture(edition)
        for asset in chosen:
            if asset.media_type != "image/jpeg" and moves(self._tools.blob(asset.digest)):
                problems.append(Problem(asset.name, "动图无法核对，请换静态图 · animated: use a still picture"))
        if others := len({asset.digest for asset in edition.assets if asset.media_type in READABLE}) - len(chosen):
            told = f"微博只带一张图片，其余 {others} 张不带 · a post takes one picture, {others} are left out"
            problems.append(Problem("images", told, fatal=False))
        return problems

    def address(self, edition: Edition, key: Key) -> str | None:
        """Weibo numbers its posts when it makes them."""
        return None

    def render(self, edition: Edition, place: Place) -> Rendition:
        """Raises Unsupported for what breaks a rule of Weibo's, such as an address that is not on the safe domain."""
        if not place.canonical:
            raise Unsupported("微博正文须带安全域名下的链接，而没有权威地址 · the text needs the canonical address")
        content, files = text.compose(self._tools.pages, edition, place.canonical), text.picture(edition)
        text.examine(content, place.canonical, self._set.domains)
        return Rendition(edition.title, content, {"canonical": place.canonical}, files, text.shown(content, files))

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The text, and the picture as it would be sent. Raises Rejected when that cannot be made."""
        picture = self._picture(rendition)
        files = {f"picture.{picture.ending}": picture.content} if picture else {}
        return {"status.txt": rendition.content.encode(), **files}

    # network; nothing becomes public

    def login(self) -> None:
        """One call. Raises Unauthorised when the token is dead, or about to end."""
        self._lasting(self.expires(), self._tools.now())

    def expires(self) -> int | None:
        """When the token ends, µs UTC; None when Weibo does not tell. A person has to renew it before. One call.

        Raises Unauthorised when it has ended, and what else keeps it from being learnt."""
        return self._account.expires()

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        """Two calls. Raises Rejected for a picture that cannot be made ready, and for a text that Weibo would refuse
        because it was posted a short time ago, such as that of a correction which changes nothing here."""
        if replaces is not None:
            raise Unsupported("微博不能就地修改 · a post cannot be changed in place")
        picture = self._picture(rendition)
        expires = self.expires()
        self._lasting(expires, self._tools.now())
        listed = self._account.posts()
        if same := self._lookup.repeats(listed, rendition):
            page = self._public.address(same.ref)
            raise Rejected(f"{self._name}: 刚发过同样的内容，微博会拒收 · the same text was just posted: {page}")
        notes = {"since": listed[0].ref if listed else "0", "expires": str(expires or "")}
        if picture:
            notes["picture_type"] = picture.media_type
            if sha256(picture.content) != rendition.files[0].digest:  # else it is among the item's files
                notes["picture"] = base64.b64encode(picture.content).decode()
        return Prepared(rendition.digest, None, notes)

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        """Raises Unauthorised when the token ends before the instant, or right after it."""
        expires = prepared.notes["expires"]
        self._lasting(int(expires) if expires else None, int(prepared.notes.get("release_at", self._tools.now())))
        fields = self._account.fields(status=rendition.content, rip=self._set.ip)
        if rendition.files:
            kept = prepared.notes.get("picture")
            content = base64.b64decode(kept) if kept else self._tools.blob(rendition.files[0].digest)
            media_type, body = multipart(fields, "pic", Picture(content, prepared.notes["picture_type"]))
        else:
            media_type, body = form(fields)
        return self._tools.http.shot(
            "POST",
            self._account.share,
            headers={"Content-Type": media_type},
            body=body,
            expect=EXPECTED,
            settle=lambda answer: self._settled(answer, prepared),
        )

    def _settled(self, answer: Response, prepared: Prepared) -> Receipt | Accepted:
        """ "Posted, not listed yet" and "there already" name no post: which one it is, is looked up by `probe`."""
        code = error_code(decoded(answer))
        if code == LAGGING or code in REPEATED:
            asked = {"asked": str(self._tools.now()), "code": str(code)}
            return Accepted("", {"since": prepared.notes["since"], **asked})
        ref = ident(self._account.judged(answer, "share", Step.POST))
        return Receipt(ref, self._public.address(ref), self._tools.now())

    # read-only

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """See `channels.weibo_probe`."""
        return self._lookup.find(rendition, hint)

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        """A post that its author alone can see, and the notice in the place of a deleted one, are not visible."""
        began = self._tools.now()
        seen = self._public.post(mid_of(receipt))
        ended = self._tools.now()
        if seen.text is None:
            notice = (Problem("page", seen.notice, fatal=False),)
            return Sighting(False, began, ended, notice, taken_down=seen.taken_down)
        found, problems = self._public.tokens(seen.text)
        candidates = {asset.digest: self._tools.blob(asset.digest) for asset in rendition.files}
        for address in seen.pictures:
            try:
                answer = self._tools.http.read(address)
            except OutletError as error:
                problems.append(Problem("image", f"图片读不到 · the picture cannot be read: {error}", fatal=False))
                continue
            content = answer.body if answer.status == 200 else b""
            found.append(Token("image", compare.recognise(content, candidates)))
        return compare.sighted(found, rendition, before, began, ended, problems)

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        """Nothing was put in place."""

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """Of one that is gone already this is a success."""
        self._account.destroy(mid_of(receipt))

    def _picture(self, rendition: Rendition) -> Picture | None:
        """The post's picture, small enough for the instant. Raises Rejected."""
        for asset in rendition.files:
            try:
                return fit(self._tools.blob(asset.digest), asset.media_type, PICTURE)
            except Unusable as error:
                raise Rejected(f"图片 {asset.name} 无法使用 · the picture cannot be used: {error}") from error
        return None

    def _lasting(self, expires: int | None, instant: int) -> None:
        """Raises Unauthorised unless the token lasts beyond an instant. All µs UTC."""
        if expires is not None and expires < instant + OUTLIVES:
            told = "授权在发布前后到期，请重新授权 · the token ends before the release or right after it: re-authorise"
            raise Unauthorised(f"{self._name}: {told}")
