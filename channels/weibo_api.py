"""Weibo's call conventions: answers, and what each error code means for us. Pure.

An error has `error_code`, a number or a numeric string, mostly with HTTP 400, at times with 403, and a
sentence that is shown to people and never compared. What is refused by a limit or a rule certainly did
not happen; what is called busy or broken may have.
Facts: open.weibo.com, "Error code" and "Help/error", read 2026-11; the fact sheet on Weibo [7].
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from sync.clock import SECOND
from sync.contract import Ambiguous, Misbehaved, OutletError, Rejected, Response, TryLater, Unauthorised

HOUR = 3600 * SECOND
# What is counted, as `Budget.of` says it: all endpoints together but the one that tells the counts, and posts alone.
CALLS = r"\w+ /(?:2|oauth2)/(?!account/rate_limit_status)"
SHARE = "POST /2/statuses/share"
# Judged by their code here, before the status alone would say less: bad tokens come as 400, limits as 400 or 403.
EXPECTED = (400, 401, 403, 404)

GONE = 20101  # no such post
LAGGING = 20032  # posted; reads may lag behind by one or two minutes
REPEATED = frozenset({20017, 20019, 20111})  # similar, repeated, same text: probably there already
ONE_CALL = 10024  # only this one of the calls is used up
LIMITED = frozenset({10023, ONE_CALL})  # until the count begins anew


class Step(Enum):
    """What a refused or unexplained call may have done."""

    READ = auto()  # nothing; a refusal says nothing about our content
    POST = auto()  # something public
    DELETE = auto()  # what was asked for; asking again is harmless


class Move(Enum):
    """Whose turn it is after an error code."""

    UNCLEAR = auto()  # busy or broken: it may have been done
    NEXT_HOUR = auto()
    IN_AN_HOUR = auto()
    AT_RESET = auto()
    EDITOR = auto()
    DEFECT = auto()  # of this program
    OPERATOR = auto()
    PERSON = auto()  # somebody has to do something while logged in to Weibo


BUSY = (Move.UNCLEAR, "微博系统繁忙 · Weibo is busy or broken")
OUR_FAULT = (Move.DEFECT, "请求不合规（程序缺陷） · malformed request: a defect of this program")
DEAD = (
    Move.OPERATOR,
    "授权已失效：请由有权的人重新授权，再更新 access_token · re-authorise, then set the new access_token",
)
NO_RIGHT = (Move.OPERATOR, "应用没有此接口的权限 · the application may not call this: apply for it at open.weibo.com")
REPEAT = (Move.UNCLEAR, "内容与已发的相同或相似 · the same or a similar text was posted already")
PICTURE = (Move.EDITOR, "图片的类型或大小不被接受 · type or size of the picture is not accepted")
LENGTH = (Move.EDITOR, "正文为空或过长 · the text is empty or too long")
VISIBILITY = (Move.EDITOR, "该内容的可见范围不允许 · the visibility of this is not allowed")

# Whose turn, and what to do. Anything not listed is unknown, never a guess.
CODES: Mapping[int, tuple[Move, str]] = {
    **dict.fromkeys((10001, 10002, 10003, 10009, 10010, 10011, 20014), BUSY),
    **dict.fromkeys((10004, 10022), (Move.NEXT_HOUR, "本机 IP 本小时的调用已用完 · this address's calls are used up")),
    **dict.fromkeys((10005, 10014), NO_RIGHT),
    **dict.fromkeys((10006, 10007, 10008, 10012, 10016, 10020, 10021), OUR_FAULT),
    10013: (Move.OPERATOR, "不是合法的微博用户 · not a valid Weibo user"),
    10017: (
        Move.EDITOR,
        "参数不合法，如链接不在应用的安全域名下 · a value is refused, such as a link that is not on the safe domain",
    ),
    10018: (Move.EDITOR, "内容过大 · too large"),
    **dict.fromkeys(LIMITED, (Move.AT_RESET, "此账号的调用次数已用完 · this account's calls are used up")),
    20003: (Move.OPERATOR, "用户不存在 · the user does not exist"),
    **dict.fromkeys((20005, 20006, 20007), PICTURE),
    **dict.fromkeys((20008, 20012, 20013), LENGTH),
    20016: (Move.IN_AN_HOUR, "发布过于频繁 · posting too often"),
    **dict.fromkeys(REPEATED, REPEAT),
    20018: (Move.EDITOR, "含有被禁止的网址 · contains a forbidden address"),
    20020: (Move.EDITOR, "被判为广告 · taken for advertising"),
    20021: (Move.EDITOR, "含有违禁词 · contains forbidden words"),
    20023: (Move.OPERATOR, "此账号不能使用该功能 · the account may not use this"),
    20031: (Move.PERSON, "需要输入验证码：请登录微博处理 · a captcha is asked for: log in to Weibo and answer it"),
    LAGGING: (Move.UNCLEAR, "已发布，数据同步可能有一两分钟延迟 · posted, reads may lag by a minute or two"),
    20033: (Move.PERSON, "登录状态异常：请登录微博处理 · abnormal log-in state: log in to Weibo and settle it"),
    GONE: (Move.EDITOR, "微博不存在 · there is no such post"),
    20102: (Move.EDITOR, "不是本账号的微博 · the post is not this account's"),
    **dict.fromkeys((20112, 20121), VISIBILITY),
    **dict.fromkeys((*range(21301, 21306), *range(21314, 21318), 21319, *range(21322, 21326), 21327, 21332), DEAD),
    21321: (
        Move.OPERATOR,
        "应用未过审，只有测试账号可用 · the application is not reviewed: only test users may use it",
    ),
    21335: (Move.OPERATOR, "此账号不能使用该应用 · this user may not use the application"),
}


def decoded(answer: Response) -> dict[str, Any]:
    """The answer's object. Raises Misbehaved when there is none: a gateway's page, or half an answer."""
    told = answer.json()
    if not isinstance(told, dict):
        raise Misbehaved(f"weibo: status {answer.status} with JSON of another shape")
    if answer.status >= 400 and not error_code(told):
        raise Misbehaved(f"weibo: status {answer.status} without an error_code")
    return told


def error_code(told: Mapping[str, Any]) -> int:
    """0: no error. Raises Misbehaved for what is no number."""
    code = told.get("error_code", 0)
    if isinstance(code, bool) or not str(code).isascii() or not str(code).isdigit():
        raise Misbehaved("weibo: error_code is no number")
    return int(code)


def failure(code: int, said: str, step: Step, now: int, reset: int | None = None) -> OutletError:
    """What a code means. `said` names call and outlet; `now`, and `reset` of the counts, are µs UTC."""
    move, mend = CODES.get(code, (None, "未知错误码 · unknown code"))
    message = f"{said}: error_code {code}: {mend}"
    match move:
        case Move.UNCLEAR:
            return Ambiguous(message) if step is Step.POST else TryLater(message)
        case Move.NEXT_HOUR:
            return TryLater(message, (now // HOUR + 1) * HOUR, of=CALLS)
        case Move.IN_AN_HOUR:
            return TryLater(message, now + HOUR, of=SHARE)
        case Move.AT_RESET:
            alone = code == ONE_CALL and step is Step.POST
            return TryLater(message, reset if reset is not None else now + HOUR, of=SHARE if alone else CALLS)
        case Move.OPERATOR | Move.PERSON:
            return Unauthorised(message)
        case Move.EDITOR | Move.DEFECT if step is not Step.READ:
            return Rejected(message)
        case None if step is Step.POST:
            return Ambiguous(message)
        case _:
            return Misbehaved(message)
