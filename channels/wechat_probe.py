"""How a delivery is found again on WeChat after doubt: by its job, by its mark, by its draft.

There is no idempotency key. Every draft and article carries the canonical address as
`content_source_url` ("阅读原文"), and behind it, as a fragment that no server sees, a mark of this very
delivery: so neither an earlier edition at the same address nor the same item published once more is
taken for it. Nothing here changes anything.

A submission whose answer was lost may be under review for longer than anybody waits, and its job
cannot be asked about. A draft that is gone was consumed: never sent again. A draft that is still
there proves nothing by itself: it counts as not submitted only where WeChat's own count of today's
submissions leaves none without its article (`Account.unexplained`). Until then the probe says that it
cannot be learnt now; and a person decides where that count says nothing, because the draft is older
than China's midnight, at which it began anew.

BUG: an article submitted before China's midnight and published after it is taken for one of today's
submissions. It can hide one lost submission of today whose own review outlasts the quarantine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from channels.wechat_account import DONE, ENDED, REMOVED, RUNNING, Account, Article, Listed, secure, whole
from channels.wechat_article import is_marked
from sync.budget import china_midnight
from sync.clock import SECOND
from sync.contract import Accepted, Misbehaved, Prepared, Receipt, Rejected, TryLater, Unsupported
from sync.model import Rendition

LOOK_AGAIN = 15 * SECOND  # four calls each time; an account has some ten thousand a day
UNDER_REVIEW = "有提交尚未见结果，可能仍在审核 / a submission has shown no result yet and may be under review"
NOT_COUNTED = (
    "草稿早于今日，无法确认当时是否已提交 / the draft is older than today: whether it was submitted cannot be shown"
)
LOOK = "草稿仍在草稿箱，请在公众平台查看 / the draft is still in the box: see the console"


class Lookup:
    def __init__(self, account: Account, now: Callable[[], int]) -> None:
        self._account, self._now = account, now

    def find(self, rendition: Rendition, hint: Prepared | Accepted | None) -> Prepared | Accepted | Receipt | None:
        """By its job if that is known, else by its mark: articles first, then drafts.

        Raises Rejected for a job that failed and for an article that was removed, Unsupported without a
        canonical address (then nothing tells ours from others'), TryLater while a submission may be under
        review, and as `channels.wechat_api.failure` says. Unsupported also where only a person can tell.
        """
        if isinstance(hint, Accepted) and hint.job:
            told = self._job(hint)
            if told is not None:
                return told
        marker = _marker(rendition)
        since = whole(hint.notes.get("since")) if hint else 0
        midnight = china_midnight(self._now()) // SECOND
        # Before the search: what is explained now was public before, so the search would find it.
        unexplained = isinstance(hint, Prepared) and self._account.unexplained(midnight)
        ours = [
            listed
            for listed in self._account.articles(since)
            if listed.source_url == marker and (is_marked(marker) or self._is_alike(listed, since, rendition))
        ]
        public = [listed for listed in ours if not listed.removed]
        if public:
            return self._receipt(public[0].ref, public[0].url, {"copies": str(len(public))})
        if hint is None:
            return self.drafted(rendition)
        if isinstance(hint, Prepared) and self._account.draft(hint.ref) is not None:
            if unexplained:
                raise TryLater(f"wechat: {UNDER_REVIEW}; {LOOK}", self._now() + LOOK_AGAIN, of=None)
            if since < midnight:
                raise Unsupported(f"wechat: {NOT_COUNTED}; {LOOK}")
            return hint
        if ours:
            raise Rejected(f"wechat: {ENDED[REMOVED]}")
        return Accepted("", hint.notes)  # the draft was consumed: it went out, or is about to

    def _is_alike(self, listed: Listed, since: int, rendition: Rendition) -> bool:
        """For a draft made before there were marks: newer than it, or the same content (nothing older is listed)."""
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

    def drafted(self, rendition: Rendition) -> Prepared | None:
        """The newest draft that is ours by mark and content; others like it are noted as surplus.

        Raises Unsupported without a canonical address."""
        marker = _marker(rendition)
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


def _marker(rendition: Rendition) -> str:
    marker = rendition.fields["content_source_url"]
    if not marker:
        raise Unsupported("没有权威地址，无法在公众号上查找 / without a canonical address nothing can be found again")
    return marker


def in_place(ref: str, updated: int, article: Article, known: Mapping[str, str], surplus: str = "") -> Prepared:
    """All that arming and discarding need. Drafts do not expire."""
    notes = {"since": str(updated), "pictures": json.dumps(known), "cover": article.cover, "surplus": surplus}
    return Prepared(ref, None, notes)
