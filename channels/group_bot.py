"""What the robots of chat groups have in common: DingTalk, Feishu and WeCom.

One message of a robot that a group's administrator added: title, whole sentences, the canonical address, and the
first characters of the delivery's mark, so that people see it when a message was said twice. A robot's message
can be neither looked up nor changed nor recalled (`channels.notice`), so it is said once: an answer that does not
come leaves it in doubt. All three answer 200 with a code of their own; only code 0 is success, and what a code
means stands in one table per kind. Facts: the fact sheet "others", section 2.

Tokens and keys are in the address. Errors name the robot and the code, never an address or the robot's own sentence.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from channels import brief
from channels.names import marker_of
from channels.notice import Notice, corrects
from channels.webhook_shot import SignedShot
from sync.answer import Answer, Asked, judge
from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    Misbehaved,
    OutletError,
    Pages,
    Place,
    Prepared,
    Receipt,
    Rejected,
    Response,
    Shot,
    Tools,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import BadInput, Edition, Key, Outlet, Problem, Rendition

LONGEST = 2_048  # bytes of a text: WeCom's limit, kept at all three, so that every group reads the same
LARGEST = 19_500  # bytes of a body, of the 20,000 that DingTalk and Feishu take; the rest is for the signature
MARK = 8  # characters of the delivery's mark
CORRECTION = "【更正】"
ADDRESS = "https://canonical.example/" + "x" * 174  # stands for one that is not known yet
JSON = {"Content-Type": "application/json; charset=utf-8"}
FORM = 400  # the one status that may come with a code: of a message that is none
# A gateway's page may repeat the address in any shape, and the secret in it: none of it goes into an error.
JUDGED_HERE = tuple(range(300, 600))
BUSY = -1  # "system busy", at DingTalk and WeCom: not said whether before or after


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means: the error to raise, and its words. Of TryLater: wait `wait_s` seconds, and up to `spread_s`
    more, so that many do not come back at once."""

    raises: type[OutletError]
    words: str
    wait_s: int = 0
    spread_s: int = 0


class GroupBot(Notice, ABC):
    """To be inherited by a kind, which says how its message is written, addressed and signed."""

    kind: ClassVar[str]
    template: ClassVar[str]
    code: ClassVar[str]  # the field of an answer that holds the code
    meanings: ClassVar[Mapping[int, Meaning]]
    _url: str  # without any secret
    no_message: ClassVar[Mapping[str, object]]  # of a type that there is not: it can never be said

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        self._name, self._tools = outlet.name, tools
        self._keyword = outlet.settings.get("keyword", "").strip()
        self._signs = bool(outlet.secrets.get("secret"))

    @classmethod
    @abstractmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet: ...

    @abstractmethod
    def _message(self, title: str, text: str) -> Mapping[str, object]:
        """The body, unsigned. Pure."""

    @abstractmethod
    def _request(self, message: Mapping[str, object], at: int) -> tuple[str, bytes]:
        """Address and body of a call, signed for an instant (µs UTC)."""

    def _written(self, text: str) -> str:
        """Title or sentences, so that they are shown as they are."""
        return text

    def _linked(self, url: str) -> str:
        """An address as it stands in the text."""
        return url

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        if not edition.title.strip():
            return [Problem("title", "缺少标题 · the title is missing")]
        try:
            self._composed(edition, edition.title, ADDRESS, "0" * MARK)
        except Unsupported as error:
            return [Problem("title", str(error))]
        return []

    def render(self, edition: Edition, place: Place) -> Rendition:
        """Raises Unsupported without a canonical address: there is nothing that the message could lead to."""
        if not place.canonical:
            raise Unsupported(f"{self._name}: 没有原文地址可通知 · there is no canonical page that it could lead to")
        mark = marker_of(place.key)[:MARK]
        title = f"{CORRECTION}{edition.title}" if corrects(place) else edition.title
        text = self._composed(edition, title, place.canonical, mark)
        return Rendition(title, text, {"canonical": place.canonical, "mark": mark}, (), brief.shown(text))

    def _composed(self, edition: Edition, title: str, canonical: str, mark: str) -> str:
        """The finished text. The robot's keyword is added only where the words do not hold it."""
        link = self._linked(canonical)
        pages = _Written(self._tools.pages, self)
        room = brief.Room(LONGEST, _bytes, (LARGEST, lambda text: len(dumped(self._message(title, text)))))

        def made(keyword: str) -> str:
            more = {"title": title, "mark": mark, "keyword": keyword}
            return brief.compose(pages, self.template, edition, link, room, "", **more)

        text = made("")
        if self._keyword not in text:
            text = made(self._keyword)
        if self._keyword not in text or link not in text:
            raise Unsupported(
                f"模板 {self.template} 没有原文链接或关键词 · the template leaves out the link or the keyword"
            )
        return text

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The message as it is handed over, without a signature, after its text."""
        body = json.dumps(self._message(rendition.title, rendition.content), ensure_ascii=False, indent=1)
        return {f"message.{self.template.rpartition('.')[2]}": rendition.content.encode(), "body.json": body.encode()}

    # network; nothing becomes public

    def login(self) -> None:
        """Asks for a message of no type, which is never said: a robot that knows us refuses the message, not us.

        In which order a platform looks at these is not documented. What it does not tell here, it tells at the
        instant. Raises Unauthorised, TryLater."""
        url, body = self._request(self.no_message, self._tools.now())
        answer = self._tools.http.call("POST", url, creates=False, headers=JSON, body=body, expect=JUDGED_HERE)
        code = self._code(answer, creates=False)
        if code == BUSY:
            raise TryLater(f"{self._name}: 平台繁忙 · the platform is busy ({code})")
        meaning = self.meanings.get(code)
        if meaning is not None and meaning.raises in (Unauthorised, TryLater) and not self._for_want_of_words(code):
            raise self._error(code, meaning)

    def _for_want_of_words(self, code: int) -> bool:
        """Whether the code may only say that a message of no type lacks the robot's keyword."""
        return False

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        self.login()
        return Prepared(rendition.fields["mark"])

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        """Signed for now: it is armed when the page that it leads to was seen. What waits longer is signed anew."""
        message, mark = self._message(rendition.title, rendition.content), rendition.fields["mark"]

        def signed(at: int) -> Shot:
            url, body = self._request(message, at)

            def settled(answer: Response) -> Receipt:
                return self._receipt(answer, mark)

            return self._tools.http.shot("POST", url, headers=JSON, body=body, settle=settled, expect=JUDGED_HERE)

        now = self._tools.now()
        return SignedShot(signed, now, self._tools.now) if self._signs else signed(now)

    def _receipt(self, answer: Response, mark: str) -> Receipt:
        """Raises what the code means. A code that is not in the table may have been said: it is left in doubt."""
        code = self._code(answer, creates=True)
        if code == 0 and answer.status != FORM:
            return Receipt(mark, "", self._tools.now())
        meaning = self.meanings.get(code)
        if meaning is None:
            raise Ambiguous(
                f"{self._name}: 平台答复 {code}，是否已发出不明 · the platform answers {code}: not known if it was said"
            )
        raise self._error(code, meaning)

    def _code(self, answer: Response, *, creates: bool) -> int:
        """Raises the error of a status that only a gateway gives, and Misbehaved for an answer without a code."""
        if answer.status != FORM and not 200 <= answer.status < 300:
            asked = Asked("POST", self._url, b"", creates)
            judge(Answer(answer.status, answer.headers, b""), asked, (), self._tools.now())
        found = answer.json()
        code = found.get(self.code) if isinstance(found, dict) else None
        if not isinstance(code, int) or isinstance(code, bool):
            raise Misbehaved(f"{self._name}: an answer with status {answer.status} came without a code")
        return code

    def _error(self, code: int, meaning: Meaning) -> OutletError:
        message = f"{self._name}: {meaning.words} ({code})"
        if meaning.raises is not TryLater:
            return meaning.raises(message)
        now = self._tools.now()
        spread = now % (meaning.spread_s * SECOND) if meaning.spread_s else 0
        return TryLater(message, now + meaning.wait_s * SECOND + spread)


class _Written:
    """Templates whose title and sentences stand in the text as the robot's format wants them."""

    def __init__(self, pages: Pages, bot: GroupBot) -> None:
        self._pages, self._bot = pages, bot

    def render(self, template: str, **values: object) -> str:
        written = {name: self._bot._written(str(values[name])) for name in ("title", "lead")}
        return self._pages.render(template, **{**values, **written})


def address(outlet: Outlet, name: str, usual: str) -> str:
    """A setting that is a web address without a query. Raises BadInput, whose text does not repeat it: people paste
    the whole address, and the secret with it."""
    given = (outlet.settings.get(name) or usual).rstrip("/")
    try:
        parts = urlsplit(given)
    except ValueError:  # such as an unfinished [
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise BadInput(
            name,
            "不是不带参数的网址 · it is no web address without a query",
            f"写 {usual}，或不设 · write {usual}, or leave it out",
        )
    return given


def secret(outlet: Outlet, name: str, mend: str, least: int = 1) -> str:
    """A word that goes into an address, of `least` characters; "" while it is not given. Raises BadInput, whose text
    does not repeat it."""
    given = outlet.secrets.get(name, "")
    if given and not (len(given) >= least and given.isascii() and given.replace("-", "").replace("_", "").isalnum()):
        raise BadInput(name, "格式不对 · it is no such word", mend)
    return given


def dumped(message: Mapping[str, object]) -> bytes:
    """A body as it crosses the wire."""
    return json.dumps(message, ensure_ascii=False).encode()


def _bytes(text: str) -> int:
    return len(text.encode())


REFUSED_FORM = Meaning(Rejected, "平台不收这条消息 · the platform refuses the message")
