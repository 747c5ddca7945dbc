"""How a post is found again on Weibo after doubt: by where its link leads, among what the application posted.

There is no idempotency key. The API gives texts back with short links in the place of addresses; where one
leads is asked of the short link itself, as a stranger, which counts against nothing. What was prepared knows
the newest post of then: only newer ones can be ours, so an older copy at the same address is never taken for it.
Nothing here changes anything. One or two calls of the hundred that a day has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from channels import brief
from channels.weibo_account import Account, Post
from channels.weibo_api import REPEATED
from channels.weibo_public import Public, without_links
from sync.clock import SECOND
from sync.contract import Accepted, Prepared, Receipt, Rejected, Unsupported
from sync.model import Rendition

WINDOW = 5  # the newest posts, all that some applications are shown (reported by users)
LAGS = 180 * SECOND  # µs after which what was posted is listed: "one or two minutes" [7], and one more
RECENT = 24 * 3600 * SECOND  # µs; how long Weibo remembers a text is not documented
LOOK = "请登录微博查看 · log in to Weibo and look"


class Lookup:
    def __init__(self, account: Account, public: Public, now: Callable[[], int]) -> None:
        self._account, self._public, self._now = account, public, now

    def find(self, rendition: Rendition, hint: Prepared | Accepted | None) -> Prepared | Accepted | Receipt | None:
        """The receipt; what is prepared or accepted still, when nothing is there; None without a hint.

        Raises Rejected where Weibo refused it for an older post of the same text, Unsupported where only a person can
        tell, TryLater while it cannot be learnt, and as `channels.weibo_account` says.
        """
        listed = self._account.posts()
        since = int(hint.notes["since"]) if hint else 0
        newer = [post for post in listed if int(post.ref) > since]
        ours = self._ours(newer, rendition, exact=hint is None)
        if not ours and hint is not None and not _is_whole(listed, since):
            more = self._account.posts(page=2)
            ours = self._ours([post for post in more if int(post.ref) > since], rendition, exact=False)
            if not ours and not any(int(post.ref) <= since for post in more):
                raise Unsupported(f"微博只列出最近 {len(listed)} 条，看不到更早的 · older posts are not listed; {LOOK}")
        if ours:
            return self._receipt(ours)
        return self._missing(hint, listed, rendition) if isinstance(hint, Accepted) else hint

    def repeats(self, listed: Sequence[Post], rendition: Rendition) -> Post | None:
        """A post of the last day that has this very text, which Weibo would refuse to post again."""
        recent = [post for post in listed if post.at is None or post.at > self._now() - RECENT]
        found = self._ours(recent, rendition, exact=True)
        return found[0] if found else None

    def _ours(self, posts: Sequence[Post], rendition: Rendition, *, exact: bool) -> list[Post]:
        """Those whose link leads to our address, newest first; those with our very text before all others."""
        text = without_links(rendition.content)
        same = [post for post in posts if without_links(post.text) == text and self._leads(post, rendition)]
        if same or exact:
            return same
        return [post for post in posts if self._leads(post, rendition)]

    def _leads(self, post: Post, rendition: Rendition) -> bool:
        canonical = rendition.fields["canonical"]
        return any(self._public.goal(link) == canonical for link in brief.LINK.findall(post.text))

    def _receipt(self, ours: Sequence[Post]) -> Receipt:
        oldest = ours[-1]
        notes = {"copies": str(len(ours))} if len(ours) > 1 else {}
        return Receipt(oldest.ref, self._public.address(oldest.ref), self._now(), notes)

    def _missing(self, hint: Accepted, listed: Sequence[Post], rendition: Rendition) -> Accepted:
        """Weibo said that it was posted, or that its text was there already, and it is not listed."""
        if self._now() < int(hint.notes["asked"]) + LAGS:
            return hint
        if int(hint.notes["code"]) in REPEATED and (older := self._ours(listed, rendition, exact=True)):
            page = self._public.address(older[0].ref)
            raise Rejected(f"同样的内容已在微博上，不能再发 · the same text stands there already: {page}")
        raise Unsupported(f"微博的答复是 {hint.notes['code']}，却找不到这条微博 · Weibo does not list it; {LOOK}")


def _is_whole(listed: Sequence[Post], since: int) -> bool:
    """Whether the list reaches back to the newest post of then: nothing newer is missing from it."""
    return len(listed) < WINDOW or any(int(post.ref) <= since for post in listed)
