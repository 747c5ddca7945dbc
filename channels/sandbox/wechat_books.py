"""What the sandbox's WeChat knows of one account: tokens, quotas, pictures, drafts, jobs, articles.

No HTTP here. Times are seconds UTC as floats, from the caller. What of it outlives a restart is in
`channels.sandbox.wechat_shelf`.
"""

from __future__ import annotations

import asyncio
import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image, ImageOps

TOKEN_LIFE = 7200.0
ROLL_OVER = 300.0  # before its end a token is replaced; both are good until then
FORCE_GAP = 30.0
FORCES_A_DAY = 20
CLEARS_A_MONTH = 10
DAY = 86_400
CHINA = 8 * 3600

# Daily quotas; per minute every call has the same. Only orders of size are known.
DAILY = {"freepublish/submit": 1000, "freepublish/get": 5000, "draft/add": 1000, "stable_token": 500_000}
DAILY_ELSE = 10_000
A_MINUTE = 10_000


class Refused(Exception):
    """A business error: HTTP 200 with this errcode."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def unknown_media() -> Refused:
    """40007, whatever the cause."""
    return Refused(40007, "invalid media_id")


@dataclass
class Issued:
    value: str
    until: float


@dataclass
class TokenTable:
    """stable_token and the legacy token, which do not affect each other."""

    stable: list[Issued] = field(default_factory=list)
    legacy: list[Issued] = field(default_factory=list)
    forced_at: float = 0.0
    forces: dict[int, int] = field(default_factory=dict)

    def ask(self, now: float, life: float, *, force: bool) -> tuple[str, int]:
        """The token and the seconds left of it. Raises Refused when forced too often in a day."""
        current = next((issued for issued in reversed(self.stable) if issued.until > now), None)
        if force and now - self.forced_at >= FORCE_GAP:
            day = china_day(now)
            if self.forces.get(day, 0) >= FORCES_A_DAY:
                raise Refused(45009, "reach max api daily quota limit")
            self.forces[day] = self.forces.get(day, 0) + 1
            self.forced_at = now
            self.stable.clear()  # a forced refresh kills its predecessor at once
            current = None
        if current is None or current.until - now <= min(ROLL_OVER, life / 2):
            current = Issued(f"{len(self.stable)}_{secrets.token_urlsafe(100)}", now + life)
            self.stable = [issued for issued in self.stable if issued.until > now] + [current]
        return current.value, int(current.until - now)

    def ask_legacy(self, now: float) -> tuple[str, int]:
        """A new token each time; the one before has five minutes left."""
        for issued in self.legacy:
            issued.until = min(issued.until, now + ROLL_OVER)
        self.legacy.append(Issued(secrets.token_urlsafe(100), now + TOKEN_LIFE))
        return self.legacy[-1].value, int(TOKEN_LIFE)

    def judge(self, value: str, now: float) -> bool | None:
        """True: good; False: expired; None: never issued, or killed."""
        found = next((issued for issued in self.stable + self.legacy if issued.value == value), None)
        return None if found is None else found.until > now


@dataclass
class Picture:
    content: bytes
    media_type: str
    name: str
    added: float
    url: str


@dataclass
class Draft:
    articles: list[dict[str, Any]]
    updated: int
    touched: bool = False  # somebody opened it in the console


@dataclass
class Article:
    articles: list[dict[str, Any]]
    url: str
    at: int  # µs UTC of becoming public
    status: int = 0  # 0, later 5 or 6
    gone: set[int] = field(default_factory=set)
    recorded: asyncio.Event = field(default_factory=asyncio.Event)  # set once the record tells of it


@dataclass
class Job:
    media_id: str
    articles: list[dict[str, Any]]
    at: float  # of its submission; 0: in the console
    status: int = 1
    article_id: str = ""


@dataclass
class Message:
    """A mass send."""

    media_id: str
    key: str  # its clientmsgid
    at: float
    asked: float  # when somebody last came with this key
    article: Article
    status: str = "SENDING"
    waits: bool = False  # for the administrator's word
    refused: bool = False


@dataclass
class Account:
    name: str
    tokens: TokenTable = field(default_factory=TokenTable)
    materials: dict[str, Picture] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    articles: dict[str, Article] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    used: dict[tuple[str, str, int], int] = field(default_factory=dict)
    clears: dict[int, int] = field(default_factory=dict)

    def count(self, path: str, now: float, daily: int | None, minute: int | None) -> None:
        """One more call of `path`. Raises Refused beyond a quota; refused calls are not counted."""
        day, moment = ("day", path, china_day(now)), ("minute", path, int(now // 60))
        if self.used.get(day, 0) >= (DAILY.get(path, DAILY_ELSE) if daily is None else daily):
            raise Refused(45009, "reach max api daily quota limit")
        if self.used.get(moment, 0) >= (A_MINUTE if minute is None else minute):
            raise Refused(45011, "api minute-quota reach limit, must slower, retry next minute")
        self.used[day] = self.used.get(day, 0) + 1
        self.used[moment] = self.used.get(moment, 0) + 1

    def used_today(self, path: str, now: float) -> int:
        return self.used.get(("day", path, china_day(now)), 0)

    def clear_quota(self, now: float) -> None:
        """All daily counts to nought. Raises Refused the eleventh time in a month (here: 30 days)."""
        month = china_day(now) // 30
        if self.clears.get(month, 0) >= CLEARS_A_MONTH:
            raise Refused(48006, "forbid to clear quota because of reaching the limit")
        self.clears[month] = self.clears.get(month, 0) + 1
        self.used.clear()

    def draft(self, media_id: object) -> Draft:
        """Raises Refused with 40007."""
        draft = self.drafts.get(str(media_id))
        if draft is None:
            raise unknown_media()
        return draft

    def touch(self, media_id: str, now: float) -> Draft:
        """Somebody opens the draft in the console, which saves it by itself: its time moves."""
        draft = self.draft(media_id)
        draft.touched, draft.updated = True, max(int(now), draft.updated + 1)
        return draft

    def submit(self, media_id: object, now: float) -> tuple[str, Job]:
        """A job of its own for every submission, also of the same draft: there is no idempotency."""
        draft = self.draft(media_id)
        if draft.touched:
            raise Refused(53505, "please save the draft in mp.weixin.qq.com first")
        job_id = str(100_000_001 + len(self.jobs))
        job = Job(str(media_id), [dict(article) for article in draft.articles], now)
        self.jobs[job_id] = job
        return job_id, job

    def publish(self, job: Job, at: int, address: str) -> Article:
        """The job succeeds: one more public article, and its draft leaves the box."""
        job.article_id, job.status = secrets.token_urlsafe(48), 0
        article = Article(job.articles, f"{address}/s/{secrets.token_urlsafe(16)}", at)
        self.articles[job.article_id] = article
        self.drafts.pop(job.media_id, None)
        return article

    def article(self, article_id: object) -> Article:
        """Raises Refused with 53600."""
        article = self.articles.get(str(article_id))
        if article is None:
            raise Refused(53600, "invalid article_id")
        return article

    def job_status(self, job: Job) -> int:
        """A success can later turn into 5 or 6."""
        return self.articles[job.article_id].status if job.article_id else job.status

    def newest_drafts(self) -> Iterator[tuple[str, Draft]]:
        """Of several in one second the last one first."""
        order = sorted(enumerate(self.drafts.items()), key=lambda entry: (entry[1][1].updated, entry[0]), reverse=True)
        return (entry for _, entry in order)

    def newest_articles(self) -> Iterator[tuple[str, Article]]:
        return iter(sorted(self.articles.items(), key=lambda entry: entry[1].at, reverse=True))


def listed(entry: dict[str, Any], *, content: bool, **more: object) -> dict[str, Any]:
    """An article as a list or a read gives it."""
    shown = {**entry, **more}
    if not content:
        shown.pop("content", None)
    return shown


def china_day(now: float) -> int:
    """The number of the calendar day in China: daily quotas begin anew with it."""
    return int(now + CHINA) // DAY


def swapped(picture: Picture) -> Picture:
    """For a knob: another picture under the same address, a negative of the first."""
    with Image.open(io.BytesIO(picture.content)) as opened:
        negative = ImageOps.invert(opened.convert("RGB"))
    out = io.BytesIO()
    negative.save(out, "PNG")
    return replace(picture, content=out.getvalue(), media_type="image/png")
