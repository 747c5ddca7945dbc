"""A webhook (Standard Webhooks 1.0.0): one signed event at the instant to a receiver that does the rest.

The receiver answers that it took the event, not that the public sees it. What the public sees is read
where the receiver names its page (`public_url` in the answer) or the setting `public_url_template` does;
without either the receiver's word is all there is, and `verify` is Unsupported.

After doubt the page is looked at. Without one nothing can be asked, and repeating the event with its
`webhook-id` is the only way: the standard obliges receivers to know it again, but only an operator knows
whether theirs does. `receiver_dedupes=yes` says so; otherwise a person decides.

Beyond the standard: `item.staged` and `item.unstaged` for receivers that want to prepare
(`staged=yes`), and `outlet.check`, which carries nothing and asks whether our signature is good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from channels import webhook_event as event
from channels.webhook_answer import HANDED_BACK, accepted, page_named
from channels.webhook_page import Page, read
from channels.webhook_settings import SETTINGS, chosen, twin
from channels.webhook_shot import SignedShot
from channels.webhook_signature import headers
from sync import compare
from sync.answer import unread
from sync.clock import MILLISECOND, SECOND
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
    Shot,
    Tools,
    Unsupported,
)
from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting

UNKNOWN_EVENT = (400, 422)  # how receivers refuse an event they do not know


class WebhookChannel:
    kind: ClassVar[str] = "webhook"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.CREATE,
        probe=Probe.KEY,
        lands_within=120.0,
        correct=Correct.EDIT,
        withdraw=True,
        settings=SETTINGS,
        limits={"bytes": event.MOST_BYTES},
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        """Raises BadInput for settings that cannot be meant."""
        self._name, self._tools = outlet.name, tools
        self._set = chosen(outlet)

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        return twin(outlet, sandbox)

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        problems = []
        if not edition.title.strip():
            problems.append(Problem("title", "缺少标题 · the title is missing"))
        if not edition.body.strip():
            problems.append(Problem("body", "正文为空 · the body is empty"))
        if problems:
            return problems
        try:
            made = event.rendition(edition, Place(Key("", ""), "https://canonical.example"), self._set.assets)
        except Unsupported as error:
            return [Problem("body", str(error))]
        if made.fields["content"] == "summary":
            message = "正文超过 20 kB，只发送摘要和原文地址 · larger than 20 kB: only its summary and address are sent"
            problems.append(Problem("body", message, fatal=False))
        for asset in event.left_out(edition, self._set.assets):
            message = f"图片 {asset.name} 没有可引用的地址，不会显示 · the picture has no address and is left out"
            problems.append(Problem("image", message, fatal=False))
        return problems

    def address(self, edition: Edition, key: Key) -> str | None:
        return self._set.page(edition.item) or None

    def render(self, edition: Edition, place: Place) -> Rendition:
        return event.rendition(edition, place, self._set.assets)

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The event as it would be sent now; its signature and id belong to the delivery."""
        return {"event.json": event.body(event.PUBLISHED, self._tools.now(), event.data(rendition))}

    # network; nothing becomes public

    def login(self) -> None:
        """Raises Rejected also where the receiver answers 400 to what it does not know."""
        self._check()

    def _check(self, expect: tuple[int, ...] = ()) -> None:
        identity = event.identity(self._name, event.CHECK, self._tools.now())
        self._tell(event.CHECK, identity, {}, expect)

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        """Nothing is kept there but, for those who want it, the announcement: repeated, it says the same."""
        if self._set.staged:
            self._announce(rendition, key, None)
        else:
            self._check(UNKNOWN_EVENT)
        notes = {name: rendition.fields[name] for name in ("item", "revision", "digest")}
        notes["staged"] = "yes" if self._set.staged else ""
        notes["type"] = event.UPDATED if replaces else event.PUBLISHED
        notes["replaces"] = replaces.notes.get("revision", "") if replaces else ""
        notes["url"] = (replaces.url if replaces else "") or self._set.page(notes["item"])
        return Prepared(notes["item"], None, notes)

    def _announce(self, rendition: Rendition, key: Key, release_at: int | None) -> None:
        told = event.staged(rendition, release_at)
        self._tell(event.STAGED, event.identity(key.token, event.STAGED, told), told)

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        """Signed for the second of the instant. The planned instant is only now told to those who prepare."""
        now = self._tools.now()
        release_at = int(prepared.notes.get("release_at", now))
        if self._set.staged and release_at > now + SECOND:
            self._announce(rendition, key, release_at)
        kind = prepared.notes["type"]
        body = event.body(kind, release_at, event.data(rendition, prepared.notes["replaces"]))
        identity = event.identity(key.token, kind)

        def settled(answer: Response) -> Receipt:
            accepted(self._name, answer, self._tools.now(), creates=True)
            url = page_named(answer) or prepared.notes["url"]
            return self._receipt(rendition, url, {"webhook-id": identity, "told_at": str(release_at)})

        def signed(at: int) -> Shot:
            sent = self._headers(identity, at, body)
            return self._tools.http.shot(
                "POST", self._set.url, headers=sent, body=body, settle=settled, expect=HANDED_BACK
            )

        return SignedShot(signed, max(release_at, now), self._tools.now)

    # read-only

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """By the public page; without one only a receiver that ignores repeated ids may be told again.

        Raises Unsupported where neither holds, and for a page that cannot be told to be this delivery's."""
        url = (replaces.url if replaces else "") or self._set.page(rendition.fields["item"])
        page = self._look(url, rendition)[0] if url else None
        if page is not None and _is_ours(page, rendition, replaces):
            return self._receipt(rendition, url, {})
        if self._set.dedupes:
            return hint
        if not url:
            raise Unsupported(f"{self._name}: whether the receiver took it cannot be asked; ask its operator")
        if page is not None and replaces is None and page.tells_of(rendition):
            raise Unsupported(f"{self._name}: {url} shows the item, but perhaps not of this release")
        return hint

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        if not receipt.url:
            raise Unsupported(f"{self._name}: the receiver names no public page")
        page, began, ended = self._look(receipt.url, rendition)
        if page is None or not page.tells_of(rendition):
            # Some sites answer 200 for pages they do not have: nothing of the item is there. A page that
            # still tells of the earlier edition only is no sight of this one either.
            return Sighting(False, began, ended)
        if before is not None and page.shows(before) and not page.shows(rendition):
            return Sighting(False, began, ended)
        missing = []
        if rendition.fields["content"] == "summary" and not page.names(rendition):
            message = f"缺少原文链接 / the link to the original is missing: {rendition.fields['canonical']}"
            missing.append(Problem("link", message, fatal=False))
        return compare.sighted(page.seen(rendition.shown), rendition, None, began, ended, missing)

    def _look(self, url: str, rendition: Rendition) -> tuple[Page | None, int, int]:
        """The page, None when there is none, and when it was read. Raises TryLater when that is not said."""
        began = self._tools.now()
        answer = self._tools.http.read(url)
        ended = self._tools.now()
        if answer.status in (404, 410):
            return None, began, ended
        if answer.status != 200:
            raise unread(f"{self._name}: its public page answers {answer.status}", answer, ended)
        pictures = {asset.digest: asset for asset in rendition.files if asset.media_type.startswith("image/")}

        def picture(source: str) -> str:
            try:
                found = self._tools.http.read(source)
            except (Rejected, Misbehaved):
                return source
            candidates = {digest: self._tools.blob(digest) for digest in pictures}
            return compare.recognise(found.body, candidates) if found.status == 200 else source

        return read(answer.body, answer.headers, url, picture if self._set.assets else None), began, ended

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        """Takes an announcement back. Without one nothing is there."""
        if prepared.notes.get("staged"):
            told = {"item": prepared.ref, "revision": int(prepared.notes["revision"])}
            self._tell(event.UNSTAGED, event.identity(key.token, event.UNSTAGED), told)

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        if not receipt.ref or "revision" not in receipt.notes:
            raise Unsupported(f"{self._name}: of a copy that a person found, the receiver's item is not known")
        told = {"item": receipt.ref, "revision": int(receipt.notes["revision"])}
        # Later than what it takes back, even where the clock of the instant was a little ahead of ours.
        at = max(self._tools.now(), int(receipt.notes.get("told_at", 0)) + MILLISECOND)
        self._tell(event.WITHDRAWN, event.identity(key.token, event.WITHDRAWN, told), told, at=at)

    def _tell(
        self, kind: str, identity: str, data: Mapping[str, Any], expect: tuple[int, ...] = (), at: int | None = None
    ) -> None:
        """One event that makes nothing public and does no harm repeated. `at`: its time, else now (µs UTC).

        Raises an OutletError."""
        now = self._tools.now()
        body = event.body(kind, now if at is None else at, data)
        answer = self._tools.http.call(
            "POST",
            self._set.url,
            creates=False,
            headers=self._headers(identity, now, body),
            body=body,
            expect=(*HANDED_BACK, *expect),
        )
        if answer.status not in expect:
            accepted(self._name, answer, self._tools.now(), creates=False)

    def _headers(self, identity: str, at: int, body: bytes) -> dict[str, str]:
        return {"Content-Type": "application/json", **headers(self._set.keys, identity, at // SECOND, body)}

    def _receipt(self, rendition: Rendition, url: str, notes: Mapping[str, str]) -> Receipt:
        revision = {"revision": rendition.fields["revision"]}
        return Receipt(rendition.fields["item"], url, self._tools.now(), {**revision, **notes})


def _is_ours(page: Page, rendition: Rendition, replaces: Receipt | None) -> bool:
    """A corrected copy shows this very rendition; a new one carries this release's canonical address, or the
    rendition word for word and no other address."""
    if replaces is not None:
        return page.shows(rendition)
    return page.names(rendition) or (not page.elsewhere and page.shows(rendition))
