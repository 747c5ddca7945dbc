"""WeChat's call conventions: the token, JSON in and out, and what each errcode means for us.

Promises: every answer is either a dictionary without an error, or an OutletError named for the next
move. Business errors come inside HTTP 200 as `errcode`; the sentence beside it ends with a request id
and is shown to people, never compared. Knows nothing of drafts and articles.
Facts: developers.weixin.qq.com, "getStableAccessToken" and the "draft", "freepublish" and return-code
pages, read 2026-11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from urllib.parse import urlencode

from sync.budget import DAY, china_midnight
from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    Budget,
    Egress,
    Fresh,
    HeldBack,
    LocalTokens,
    Misbehaved,
    OutletError,
    Rejected,
    Response,
    Tokens,
    TryLater,
    Unauthorised,
    freely,
)

JSON = {"content-type": "application/json; charset=utf-8"}
MINUTE = 60 * SECOND

# "force_refresh": 20 a day, and a second one within 30 s does nothing (page "getStableAccessToken").
FORCED = "force_refresh"
BUDGETS = (
    Budget("强制更换令牌 · forced token renewals", 20, 86_400, of=FORCED),
    Budget("两次强制更换令牌的间隔 · between two forced token renewals", 1, 31, of=FORCED),
)


DEAD_TOKEN = frozenset({40001, 40014, 42001})
GONE = 40007  # media_id: never existed, deleted, published already, or not replicated yet
NO_SUCH_JOB = 53502
NO_SUCH_ARTICLE = 53600


class Step(Enum):
    """What a refused or unexplained call may have done."""

    READ = auto()  # nothing; a refusal says nothing about our content
    WRITE = auto()  # something hidden at most
    SUBMIT = auto()  # something public


class Move(Enum):
    """Whose turn it is after an errcode."""

    SOON = auto()
    NEXT_MINUTE = auto()
    NEXT_DAY = auto()
    CALM_DOWN = auto()
    EDITOR = auto()
    PERSON = auto()  # somebody has to do something in WeChat's own console
    OPERATOR = auto()


# errcode → whose turn, and what to do. Anything not listed is unknown, never a guess.
CODES: Mapping[int, tuple[Move, str]] = {
    -1: (Move.SOON, "微信系统繁忙 / WeChat is busy"),
    40001: (Move.OPERATOR, "AppSecret 或令牌无效：核对 app_secret / app_secret or token refused: check app_secret"),
    40002: (Move.OPERATOR, "参数无效：核对 app_id / argument refused: check app_id"),
    40005: (Move.EDITOR, "图片类型不允许 / picture type not allowed"),
    40006: (Move.EDITOR, "文件大小不允许 / file size not allowed"),
    40007: (Move.EDITOR, "草稿或封面不存在 / the draft or its cover does not exist"),
    40009: (Move.EDITOR, "图片过大 / picture too large"),
    40013: (Move.OPERATOR, "AppID 无效：核对 app_id / AppID refused: check app_id"),
    40014: (Move.OPERATOR, "令牌无效：核对 app_secret / token refused: check app_secret"),
    40114: (Move.EDITOR, "草稿序号无效 / no article of this number in the draft"),
    40125: (Move.OPERATOR, "AppSecret 无效：核对 app_secret / AppSecret refused: check app_secret"),
    40164: (
        Move.OPERATOR,
        "本机 IP 不在公众号的 IP 白名单：在公众平台“基本配置”加入 / add this host's address to the account's IP list",
    ),
    40215: (Move.EDITOR, "图片消息内容不允许 / content of a picture message not allowed"),
    40243: (Move.OPERATOR, "AppSecret 已冻结：在公众平台解冻 / AppSecret is frozen: unfreeze it in the console"),
    41002: (Move.OPERATOR, "缺少 AppID / AppID is missing"),
    41004: (Move.OPERATOR, "缺少 AppSecret / AppSecret is missing"),
    41039: (Move.EDITOR, "原文链接无效 / the original's address is not accepted"),
    42001: (Move.OPERATOR, "令牌已过期 / the token has expired"),
    43002: (Move.EDITOR, "请求方式不对（程序缺陷） / wrong method: a defect of this program"),
    44002: (Move.EDITOR, "请求为空（程序缺陷） / empty request: a defect of this program"),
    45001: (Move.EDITOR, "素材过大或素材库已满 / file too large, or the asset library is full"),
    45002: (Move.EDITOR, "正文过长：少于 2 万字符 / body too long: fewer than 20,000 characters"),
    45003: (Move.EDITOR, "标题过长 / title too long"),
    45004: (Move.EDITOR, "摘要过长 / summary too long"),
    45009: (Move.NEXT_DAY, "今日调用次数已用完 / today's calls are used up"),
    45011: (Move.NEXT_MINUTE, "每分钟调用次数已用完 / this minute's calls are used up"),
    45028: (
        Move.OPERATOR,
        "群发次数已用完：订阅号次日、服务号次月恢复 / no mass sends left today, or this month",
    ),
    45066: (Move.SOON, "同一次群发提交过快 / the same mass send was submitted a moment ago"),
    45067: (Move.EDITOR, "群发编号过长（程序缺陷） / clientmsgid too long: a defect of this program"),
    45110: (Move.EDITOR, "作者名过长：不超过 16 字 / author too long: at most 16 characters"),
    45166: (Move.EDITOR, "正文含不允许的内容（如站外链接） / body holds what is not allowed (such as outside links)"),
    47001: (Move.EDITOR, "请求不是 JSON（程序缺陷） / not JSON: a defect of this program"),
    48001: (
        Move.OPERATOR,
        "公众号无此接口权限：发布接口需企业认证 / the account may not call this: publishing needs verification",
    ),
    48004: (Move.OPERATOR, "接口因违规被封禁 / the API is banned for violations"),
    48021: (
        Move.PERSON,
        "草稿由后台自动保存：在后台手动保存后重试 / save the draft by hand in the console, then retry",
    ),
    50004: (Move.OPERATOR, "令牌使用被禁止 / use of the token is forbidden"),
    50007: (Move.OPERATOR, "公众号已冻结 / the account is frozen"),
    53404: (Move.EDITOR, "商品卡片有误 / commerce card refused"),
    53405: (Move.EDITOR, "商品卡片有误 / commerce card refused"),
    53406: (Move.EDITOR, "商品卡片有误 / commerce card refused"),
    53500: (Move.OPERATOR, "发布能力被封禁 / publishing is blocked for this account"),
    53501: (Move.CALM_DOWN, "发布过于频繁 / publishing too often"),
    53502: (Move.EDITOR, "发布任务编号无效 / no such publishing job"),
    53503: (Move.EDITOR, "草稿未通过发布检查 / the draft failed the pre-publish check"),
    53504: (Move.PERSON, "此草稿只能在公众平台发布 / this draft can be published in the console only"),
    53505: (
        Move.PERSON,
        "草稿被人在后台打开过：先在后台手动保存 / somebody opened the draft in the console: save it there by hand",
    ),
    53600: (Move.EDITOR, "文章编号无效 / no such article"),
    88000: (Move.EDITOR, "没有留言权限 / the account may not open comments"),
    89503: (Move.OPERATOR, "等待管理员确认 IP / waiting for the account's administrator to confirm this address"),
    89504: (Move.OPERATOR, "等待管理员确认 / waiting for the account's administrator to confirm"),
    89505: (Move.OPERATOR, "等待管理员确认 / waiting for the account's administrator to confirm"),
    89506: (Move.OPERATOR, "管理员拒绝了本机 IP（24 小时） / the administrator refused this address for 24 hours"),
    89507: (Move.OPERATOR, "管理员拒绝了本机 IP（1 小时） / the administrator refused this address for an hour"),
}


def next_china_midnight(now: int) -> int:
    """When a daily quota begins anew. Both instants µs UTC."""
    return china_midnight(now) + DAY


def decoded(response: Response) -> dict[str, object]:
    """The answer's object. Raises Misbehaved when there is none: a proxy's page, or half an answer."""
    answer = response.json()
    if not isinstance(answer, dict) or not isinstance(answer.get("errcode", 0), int):
        raise Misbehaved(f"wechat answered HTTP {response.status} with JSON of another shape")
    return answer


def errcode(answer: Mapping[str, object]) -> int:
    """0 also when it is left out, as many successful calls do."""
    code = answer.get("errcode", 0)
    return code if isinstance(code, int) else 0


def failure(answer: Mapping[str, object], path: str, step: Step, now: int) -> OutletError | None:
    """What an answer means; None: it worked. `now` in µs UTC, for when a quota begins anew.

    Quotas are counted by path: other calls of the account go on."""
    code = errcode(answer)
    if code == 0:
        return None
    calls = rf"(GET|POST) .*/cgi-bin/{re.escape(path)}$"
    move, mend = CODES.get(code, (None, "未知错误码 / unknown code"))
    said = f"wechat {path}: errcode {code}: {mend} ({str(answer.get('errmsg', ''))[:200]})"
    match move:
        case Move.SOON:
            # "System busy" may follow a publish that was taken all the same.
            return Ambiguous(said) if step is Step.SUBMIT else TryLater(said)
        case Move.NEXT_MINUTE:
            return TryLater(said, (now // MINUTE + 1) * MINUTE, of=calls)
        case Move.NEXT_DAY:
            return TryLater(said, next_china_midnight(now), of=calls)
        case Move.CALM_DOWN:
            # Minutes, spread by the moment of asking so that several deliveries do not come back as one.
            return TryLater(said, now + 2 * MINUTE + now % MINUTE, of=calls)
        case Move.OPERATOR:
            return Unauthorised(said)
        case Move.EDITOR | Move.PERSON if step is not Step.READ:
            return Rejected(said)
        case None if step is Step.WRITE:
            return Rejected(said)
        case None if step is Step.SUBMIT:
            return Ambiguous(said)
        case _:
            return Misbehaved(said)


class WechatApi:
    """Calls with the account's token. One object per task; not shared by threads.

    `spend` is asked before a new token is forced; it raises HeldBack when that was done too often.
    """

    def __init__(
        self,
        http: Egress,
        base: str,
        app_id: str,
        app_secret: str,
        now: Callable[[], int],
        tokens: Tokens | None = None,
        spend: Callable[[str], None] = freely,
    ) -> None:
        self._http, self._base, self._now = http, base.rstrip("/"), now
        self._app_id, self._secret = app_id, app_secret
        self._tokens, self._spend = tokens or LocalTokens(), spend
        self._token = ""
        self._forced = False

    def token(self) -> str:
        """The account's token, the same for all. Raises Unauthorised, TryLater or Misbehaved."""
        if not self._token:
            self._token = self._tokens.get("access_token", partial(self._fresh, ""))
        return self._token

    def url(self, path: str, **query: str) -> str:
        """The address of a call, with the token in it: never to be logged."""
        return f"{self._base}/cgi-bin/{path}?{urlencode({'access_token': self.token(), **query})}"

    def call(
        self, path: str, payload: Mapping[str, object], step: Step, *, expect: frozenset[int] = frozenset()
    ) -> dict[str, object]:
        """One JSON call. An errcode in `expect` comes back in the answer; others raise as `failure` says."""
        body = encoded(payload)
        return self._with_token(
            path,
            step,
            expect,
            lambda: self._http.call("POST", self.url(path), creates=step is not Step.READ, headers=JSON, body=body),
        )

    def fetch(self, path: str) -> dict[str, object]:
        """One reading call without a body. Raises as `failure` says."""
        return self._with_token(
            path, Step.READ, frozenset(), lambda: self._http.call("GET", self.url(path), creates=False)
        )

    def upload(self, path: str, file: tuple[str, bytes, str], **query: str) -> dict[str, object]:
        """Hand over a file (name, bytes, type) in the field `media`. Repeating costs an orphan at most,
        so a lost answer is TryLater here, never Ambiguous."""
        return self._with_token(
            path,
            Step.WRITE,
            frozenset(),
            lambda: self._http.call("POST", self.url(path, **query), creates=False, files={"media": file}),
        )

    def _with_token(
        self, path: str, step: Step, expect: frozenset[int], ask: Callable[[], Response]
    ) -> dict[str, object]:
        try:
            answer = decoded(ask())
            if errcode(answer) in DEAD_TOKEN:
                # Refused before anything was done, so asking once more is safe, whatever the step.
                self._renew()
                answer = decoded(ask())
        except Rejected as error:
            if step is not Step.READ:
                raise
            # A gateway's HTTP 4xx to a question says nothing about our content.
            raise Misbehaved(f"wechat {path}: {error}") from error
        refused = None if errcode(answer) in expect else failure(answer, path, step, self._now())
        if refused is not None:
            raise refused
        return answer

    def _renew(self) -> None:
        """A token that works, or the same one again."""
        refused = self._token
        self._token = self._tokens.get("access_token", partial(self._fresh, refused), refused=refused)

    def _fresh(self, refused: str, kept: str) -> Fresh:
        """Asking in normal mode disturbs nobody: all get the same one, and in its last five minutes the next.

        Forcing kills the token of everybody else: only when the outlet itself still hands out the string it
        refuses, once in this object's life, and within the account's limits; else the same one again.
        """
        fresh = self._ask_token(force=False)
        if fresh.value != refused or self._forced:
            return fresh
        try:
            self._spend(FORCED)
        except HeldBack:
            return fresh  # it was forced a moment ago, or too often today: another one would be refused as well
        self._forced = True
        return self._ask_token(force=True)

    def _ask_token(self, *, force: bool) -> Fresh:
        body = encoded(
            {
                "grant_type": "client_credential",
                "appid": self._app_id,
                "secret": self._secret,
                "force_refresh": force,
            }
        )
        try:
            response = self._http.call(
                "POST", f"{self._base}/cgi-bin/stable_token", creates=False, headers=JSON, body=body
            )
        except Rejected as error:
            raise Unauthorised(f"wechat stable_token: {error}: check api_base") from error
        answer = decoded(response)
        refused = failure(answer, "stable_token", Step.READ, self._now())
        if refused is not None:
            raise refused
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise Misbehaved("wechat stable_token: no access_token in the answer")
        lasts = answer.get("expires_in")  # seconds; of a token that was handed out before, what is left
        return Fresh(token, self._now() + lasts * SECOND if isinstance(lasts, int) else None)


def encoded(payload: Mapping[str, object]) -> bytes:
    """JSON as raw UTF-8: WeChat stores \\u escapes literally in some fields (documented for title and author)."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
