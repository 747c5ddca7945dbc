"""How a delivery is found again on WeChat after doubt: by its job, its canonical address, its draft.

There is no idempotency key. What marks an article or a draft as ours is `content_source_url`; an
earlier edition can bear the same one, so age and content decide as well. Nothing here changes anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from channels.wechat_account import DONE, ENDED, REMOVED, RUNNING, Account, Article, Listed, secure, whole
from sync.contract import Accepted, Misbehaved, Prepared, Receipt, Rejected, Unsupported
from sync.model import Rendition


class Lookup:
    def __init__(self, account: Account, now: Callable[[], int]) -> None:
        self._account, self._now = account, now

    def find(self, rendition: Rendition, hint: Prepared | Accepted | None) -> Prepared | Accepted | Receipt | None:
        """By its job if that is known, else by its canonical address: articles first, then drafts.

        Raises Rejected for a job that failed and for an article that was removed, Unsupported without a
        canonical address (then nothing tells ours from others'), and as `channels.wechat_api.failure` says.
        """
        if isinstance(hint, Accepted) and hint.job:
            told = self._job(hint)
            if told is not None:
                return told
        marker = rendition.fields["content_source_url"]
        if not marker:
            raise Unsupported(
                "没有权威地址，无法在公众号上查找 / without a canonical address nothing can be found again"
            )
        since = whole(hint.notes.get("since")) if hint else 0
        ours = [
            listed
            for listed in self._account.articles(since)
            if listed.source_url == marker and self._is_ours(listed, since, rendition)
        ]
        public = [listed for listed in ours if not listed.removed]
        if public:
            return self._receipt(public[0].ref, public[0].url, {"copies": str(len(public))})
        if hint is None:
            return self._drafted(rendition, marker)
        if isinstance(hint, Prepared) and self._account.draft(hint.ref) is not None:
            return hint
        if ours:
            raise Rejected(f"wechat: {ENDED[REMOVED]}")
        return Accepted("", hint.notes)  # the draft was consumed: it went out, or is about to

    def _is_ours(self, listed: Listed, since: int, rendition: Rendition) -> bool:
        """An edition published earlier bears the same marker: newer than our draft, or the same content."""
        if since and listed.updated > since:
            return True
        return not self._account.changes(self._account.published(listed.ref), rendition, {})

    def _job(self, hint: Accepted) -> Accepted | Receipt | None:
        """What became of the job; None: WeChat does not know it."""
        job = self._account.job(hint.job)
        if job is None or job.status == RUNNING:
            return hint if job else None
        if job.status == DONE:
            return self._receipt(job.article, job.url, {"job": hint.job})
        raise Rejected(f"wechat: publish_status {job.status}: {ENDED[job.status]}")

    def _drafted(self, rendition: Rendition, marker: str) -> Prepared | None:
        """The newest draft that is ours by marker and content; others like it are noted as surplus."""
        fitting: list[tuple[Listed, Article, dict[str, str]]] = []
        for listed in self._account.drafts():
            if listed.source_url != marker:
                continue
            article, known = self._account.draft(listed.ref), dict[str, str]()
            if article is not None and not self._account.changes(article, rendition, known):
                fitting.append((listed, article, known))
        if not fitting:
            return None
        newest, article, known = fitting[0]
        surplus = " ".join(listed.ref for listed, _, _ in fitting[1:])
        return in_place(newest.ref, newest.updated, article, known, surplus)

    def _receipt(self, ref: str, url: str, notes: Mapping[str, str]) -> Receipt:
        if not ref or not url:
            raise Misbehaved("wechat: a published article without article_id or url")
        return Receipt(ref, secure(url), self._now(), notes)


def in_place(ref: str, updated: int, article: Article, known: Mapping[str, str], surplus: str = "") -> Prepared:
    """All that arming and discarding need. Drafts do not expire."""
    notes = {"since": str(updated), "pictures": json.dumps(known), "cover": article.cover, "surplus": surplus}
    return Prepared(ref, None, notes)
