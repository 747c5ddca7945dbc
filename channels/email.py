"""A mailing list by SMTP submission: a letter to each recipient, once the page that it leads to was read back.

Sources: RFC 5321 (what an answer means, and when), RFC 8058 (leaving by one click), fact sheet "others", section 3.
The final 250 says that the relay has it, and is all that is ever known: nothing is read back or recalled.
Its shot sends nothing; the letters go out afterwards, some seconds' worth at a time, by the ledger
(`channels.mailing`). Addresses are secrets: a rendition holds their number and a digest, a message their lines.
The relay signs (DKIM), and has to cover List-Unsubscribe and List-Unsubscribe-Post.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from channels import webhook_event
from channels.email_letter import LEAVE, UNKNOWN, leaving, letter, part_of, subject
from channels.email_settings import SETTINGS, chosen, twin
from channels.handed import HandedOver
from channels.mailing import go_on, outcome
from channels.notice import Notice, corrects
from sync import compare
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Capabilities,
    OutletError,
    Place,
    Prepared,
    Probe,
    Receipt,
    Rejected,
    Reveal,
    Shot,
    Stale,
    Submission,
    Tools,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.ledger import Ledger
from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting, Token, canonical_bytes, sha256

ROUND = 15 * SECOND  # µs that one round may begin new letters in
MOST_CONNECTIONS = 3  # a round: a server that hangs up again and again wants to be left alone


class _NoServer(OutletError):
    """The server cannot be spoken to: no recipient has anything to do with it."""


class EmailChannel(Notice):
    kind: ClassVar[str] = "email"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.NOTIFY, probe=Probe.BLIND, lands_within=0.0, settings=SETTINGS
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
        return [] if subject(edition.title) else [Problem("title", "缺少标题 · the title is missing")]

    def render(self, edition: Edition, place: Place) -> Rendition:
        corrected = (place.replaces.notes.get("revision") or UNKNOWN) if place.replaces is not None else ""
        lead = edition.text("summary").strip() or webhook_event.lead(edition)
        told = {
            "title": edition.title,
            "lead": lead,
            "link": place.canonical or "",
            "corrects": corrects(place),
            "sender": self._set.sender_name,
            "leaves": bool(leaving(self._set, "")),
            "leave": LEAVE,
        }
        language = edition.text("language", "zh-CN")
        fields = {
            "item": edition.item,
            "revision": str(edition.revision),
            "corrects": corrected,
            "language": language,
            "text": self._tools.pages.render("email/message.txt", **told).strip() + "\n",
            "html": self._tools.pages.render("email/message.html", lang=language, **told),
            "list": self._list(),
            "count": str(len(self._set.recipients)),
        }
        shown = [Token("title", compare.normal(edition.title)), *compare.plain(lead)]
        shown += [Token("link", place.canonical)] if place.canonical else []
        title = f"更正：{edition.title}" if corrects(place) else edition.title
        return Rendition(title, fields["text"], fields, (), tuple(shown))

    def _list(self) -> str:
        """What approvers approve of the list: that it is this one."""
        return sha256(canonical_bytes(sorted(self._set.recipients))) if self._set.recipients else ""

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        shown = {
            name: rendition.fields[name].replace(LEAVE, "https://unsubscribe.invalid") for name in ("html", "text")
        }
        return {"letter.html": shown["html"].encode(), "letter.txt": shown["text"].encode()}

    # network; nothing goes out

    def login(self) -> None:
        self._open().close()

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        self.login()
        return Prepared("", notes={"revision": rendition.fields["revision"]})

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        if rendition.fields["list"] != self._list():
            raise Stale(f"{self._name}: 收件人名单已变 · the list of recipients was changed since")
        return HandedOver()

    def _open(self) -> Submission:
        """Raises TryLater, Unauthorised."""
        if not self._set.recipients:
            raise Unauthorised(f"{self._name}: 没有收件人 · there are no recipients; set recipients or list_address")
        try:
            return self._tools.mail(self._set.server)
        except Rejected as error:  # of an address or a port: of the settings, not of anybody's letter
            raise Unauthorised(str(error)) from error

    # letters

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """Nothing left with the shot; what did afterwards is in the ledger."""
        return None if hint is None else Accepted("")

    def carry(
        self,
        accepted: Accepted,
        rendition: Rendition,
        key: Key,
        keep: Callable[[Mapping[str, str]], bool],
        *,
        stop: bool,
    ) -> Accepted | Receipt:
        order = {part_of(key, one): one for one in self._set.recipients}
        line = {part: number for number, part in enumerate(order, start=1)}
        now, round_ = self._tools.now, _Round(self._open)

        def send(part: str) -> None:
            made = letter(self._set, rendition, key, order[part], now())
            round_.hand_over(self._set.sender, order[part], made)

        try:
            if not stop:
                round_.connection()
            until = now() + ROUND
            found = go_on(Ledger.read(accepted.notes), list(order), send, keep, now, stop=stop, until=until)
        except _NoServer as error:
            raise error.__cause__ or error from None
        finally:
            round_.close()
        if found.again_at is not None and not round_.silent:
            return Accepted("", found.ledger.notes(), found.again_at)
        keep(found.ledger.notes())
        if found.again_at is not None:  # else one recipient after the other would come into doubt, for nothing
            raise TryLater(f"{self._name}: 邮件服务器收信后不作答 · the mail server answered no letter")
        told = outcome(found.ledger, self._name, lambda part: line.get(part, 0))
        revision = rendition.fields["revision"]
        notes = {"revision": revision, "told": told}
        return Receipt(f"{rendition.fields['item']}/{revision}", "", now(), notes)

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        if "told" in receipt.notes:
            raise Unsupported(receipt.notes["told"])
        return super().verify(receipt, rendition, before)


class _Round:
    """The connections of one round; the server may hang up between two letters."""

    def __init__(self, open_: Callable[[], Submission]) -> None:
        self._open, self._made = open_, 0
        self._answered = self._unanswered = 0
        self._now: Submission | None = None

    def connection(self) -> Submission:
        """Raises _NoServer, for the reason of why there is none."""
        if self._now is None or not self._now.alive:
            if self._made >= MOST_CONNECTIONS:
                raise _NoServer from TryLater("邮件服务器一再断开 · the mail server hung up again and again")
            self._made += 1
            try:
                self._now = self._open()
            except OutletError as error:
                raise _NoServer from error
        return self._now

    def hand_over(self, sender: str, recipient: str, letter: bytes) -> None:
        """As `Submission.hand_over`; and as `connection`."""
        connection = self.connection()
        try:
            connection.hand_over(sender, recipient, letter)
        except Ambiguous:
            self._unanswered += 1
            raise
        except OutletError:
            self._answered += 1
            raise
        self._answered += 1

    @property
    def silent(self) -> bool:
        """Whether letters were sent whole, and to none of them the server said a word."""
        return self._unanswered > 0 and self._answered == 0

    def close(self) -> None:
        if self._now is not None:
            self._now.close()
