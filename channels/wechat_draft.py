"""An account's drafts: made and read back, looked at once more before they go out, removed."""

from __future__ import annotations

import json
from collections.abc import Callable

from channels.wechat_account import Account, same_picture, whole
from channels.wechat_api import GONE, Step, WechatApi, errcode
from channels.wechat_article import with_addresses
from channels.wechat_probe import in_place
from sync.clock import SECOND
from sync.contract import Ambiguous, Misbehaved, OutletError, Prepared, Rejected, Stale, TryLater
from sync.model import Key, Rendition

REPLICATES = 3 * SECOND  # a cover uploaded just now may be unknown for some seconds (reported by users)


class Drafts:
    def __init__(self, api: WechatApi, account: Account, now: Callable[[], int]) -> None:
        self._api, self._account, self._now = api, account, now

    def make(self, rendition: Rendition, key: Key) -> Prepared:
        """Upload, draft, read back. Raises Rejected when WeChat's filter changed what was sent; the
        draft is then removed again. A draft whose read-back failed is Ambiguous: `probe` finds it."""
        digests = dict.fromkeys(token.value for token in rendition.shown if token.kind == "image")
        try:
            cover = self._account.cover(rendition, key)
            addresses = {digest: self._account.body_picture(rendition, digest) for digest in digests}
        except Ambiguous as error:
            raise TryLater(f"no draft was made yet: {error}") from error
        article = {
            "article_type": "news",
            "title": rendition.title,
            "author": rendition.fields["author"],
            "digest": rendition.fields["digest"],
            "content": with_addresses(rendition.content, addresses),
            "content_source_url": rendition.fields["content_source_url"],
            "thumb_media_id": cover,
            "need_open_comment": 0,
        }
        answer = self._api.call("draft/add", {"articles": [article]}, Step.WRITE, expect=frozenset({GONE}))
        if errcode(answer) == GONE:
            # The cover is not known to all of WeChat's servers yet; the next try finds it by its name.
            known = self._now() + REPLICATES
            raise TryLater("wechat draft/add: errcode 40007: the cover is not known yet", known, of=None)
        ref = answer.get("media_id")
        if not isinstance(ref, str) or not ref:
            raise Misbehaved("wechat draft/add: no media_id in the answer")
        # From here on a draft exists: if we die or lose an answer, `probe` finds it by its marker.
        try:
            return self._read_back(ref, rendition, {same_picture(url): digest for digest, url in addresses.items()})
        except TryLater as error:
            raise Ambiguous(f"the draft was made but could not be read back: {error}") from error

    def _read_back(self, ref: str, rendition: Rendition, known: dict[str, str]) -> Prepared:
        article = self._account.draft(ref)
        updated = self._account.touched(ref)
        if article is None or not updated:
            raise Ambiguous("wechat: the draft that was just made is not in the draft box")
        changes = self._account.changes(article, rendition, known)
        if changes:
            told = "; ".join(f"{change.where}: {change.message}" for change in changes[:5])
            try:
                self._api.call("draft/delete", {"media_id": ref}, Step.WRITE, expect=frozenset({GONE}))
            except OutletError as error:
                told += f"; 草稿仍在草稿箱 / the draft is still in the box: {error}"
            raise Rejected(f"微信改动了正文 / WeChat altered what was sent: {told}")
        return in_place(ref, updated, article, known)

    def inspect(self, prepared: Prepared, rendition: Rendition) -> None:
        """Raises Stale for a draft that is gone, was touched in the console, or holds something else by now."""
        article = self._account.draft(prepared.ref)
        if article is None:
            raise Stale("草稿已不在草稿箱 / the draft is no longer in the draft box")
        since = whole(prepared.notes.get("since"))
        if self._account.touched(prepared.ref, since) != since:
            raise Stale("草稿在后台被改动过 / the draft was touched in the console")
        if self._account.changes(article, rendition, json.loads(prepared.notes.get("pictures", "{}"))):
            raise Stale("草稿内容已变 / the draft no longer holds what was approved")

    def discard(self, prepared: Prepared) -> None:
        """Remove the draft, surplus ones of the same delivery that a probe noted, and the cover."""
        for ref in (prepared.ref, *prepared.notes.get("surplus", "").split()):
            self._api.call("draft/delete", {"media_id": ref}, Step.WRITE, expect=frozenset({GONE}))
        if cover := prepared.notes.get("cover", ""):
            self._api.call("material/del_material", {"media_id": cover}, Step.WRITE, expect=frozenset({GONE}))
