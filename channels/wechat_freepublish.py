"""The way of "freepublish": an article with an address, of which no follower is told.

The instant only submits a job, which WeChat works off in its own time and may still refuse (original
check, platform review). There is no idempotency: how a delivery is found again after doubt is told
in `channels.wechat_probe`.
Facts: developers.weixin.qq.com, pages "freepublish", read 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from channels.wechat_account import Account
from channels.wechat_api import DEAD_TOKEN, GONE, Step, WechatApi, decoded, errcode, failure
from channels.wechat_probe import Lookup
from sync.contract import Accepted, Ambiguous, Prepared, Receipt, Rejected, Response, TryLater
from sync.model import Key, Rendition


class Freepublish:
    path: ClassVar[str] = "freepublish/submit"

    def __init__(self, api: WechatApi, account: Account, now: Callable[[], int]) -> None:
        self._api, self._account, self._now = api, account, now

    def login(self) -> None:
        """The right to publish, which unverified accounts lack (48001)."""
        self._api.call("freepublish/batchget", {"offset": 0, "count": 1, "no_content": 1}, Step.READ)

    def payload(self, ref: str, key: Key) -> dict[str, object]:
        """What the instant sends."""
        return {"media_id": ref}

    def settled(self, response: Response, prepared: Prepared) -> Accepted:
        """errcode 0 only means queued. Whatever does not certainly mean "not published" is Ambiguous."""
        answer = decoded(response)
        code = errcode(answer)
        if code in DEAD_TOKEN:
            raise TryLater(f"wechat freepublish/submit: errcode {code}: the token died after arming; not published")
        if code == GONE:
            raise Ambiguous(
                "wechat freepublish/submit: errcode 40007: the draft is gone: published already, or deleted"
            )
        refused = failure(answer, "freepublish/submit", Step.SUBMIT, self._now())
        if refused is not None:
            raise refused
        return Accepted(str(answer.get("publish_id") or ""), {**prepared.notes, "sent": str(self._now())})

    def find(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None
    ) -> Prepared | Accepted | Receipt | None:
        """See `channels.wechat_probe`."""
        return Lookup(self._account, self._now).find(rendition, hint)

    def withdraw(self, receipt: Receipt) -> None:
        """Delete the article; irreversible. Its page then holds a notice, which `verify` calls not visible.

        `index` counts from 1; left out it would mean every article of the publication."""
        given = {"article_id": receipt.ref, "index": 1}
        try:
            self._api.call("freepublish/delete", given, Step.WRITE)
        except Rejected:
            # What it answers for an article that is deleted already is not documented; this is what it means.
            if not self._account.is_deleted(receipt.ref):
                raise
