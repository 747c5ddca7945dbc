"""The way of `mode=mass`: the article goes into every follower's inbox, by "message/mass/sendall".

WeChat's idempotency key, `clientmsgid`, is the delivery's own: for 24 hours WeChat sends nothing twice under it and
answers 45065 with the number of the message there is. So a submission in doubt whose draft is still in the box is
simply made again; and one whose draft is gone is asked about by the same key with a draft that does not exist, which
can send nothing whatever WeChat looks at first. Longer ago than that, a person decides.

Public addresses: "message/mass/get" tells a status and no address, and "freepublish/batchget" is reported not to list
what was mass sent (unverified). Only the push MASSSENDJOBFINISH names it (ArticleUrlResult), so what a push told is
kept for all processes (`Told`). Without one the copy is public by WeChat's word, at no known address.

Unverified: whether WeChat looks at the key before it looks at the draft and at the quota (if not, a person is asked,
nothing is sent twice); whether 89503–89505 come with a msg_id; whether a send that waits for the account's
administrator is in the box and counts against the quota.

Facts: developers.weixin.qq.com, pages "sendAll", "massmsgget", "deleteMassMsg", "群发接口和原创校验", read 2026-11.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar
from urllib.parse import urlsplit

from channels.wechat_account import UPGRADED, Account, secure, whole
from channels.wechat_api import DEAD_TOKEN, GONE, MINUTE, Step, WechatApi, decoded, errcode, failure
from channels.wechat_probe import Lookup
from channels.wechat_push import Push
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Fresh,
    Misbehaved,
    Prepared,
    Receipt,
    Rejected,
    Response,
    Tokens,
    TryLater,
    Unsupported,
)
from sync.model import Key, Rendition

NO_QUOTA = 45028
EXISTS = 45065  # a message of this key is there; the answer names it
TOO_SOON = 45066  # the same key within a minute
WAITS = frozenset({89503, 89504, 89505})  # the account's administrator has to confirm

NO_DRAFT = "tongfa-asks-for-nothing-to-be-sent"  # no media_id: what is asked with it can send nothing
KEY_HOLDS = 23 * 3600  # seconds; of the 24 hours, with room for the time between a look and the submission after it
CONFIRMED_WITHIN = 35 * MINUTE  # after 30 minutes without the administrator's word it has failed
TOLD_WITHIN = 10 * MINUTE  # a push is sent three times within some 15 s of the end
KEPT = 50  # pushes

SENT = "SEND_SUCCESS"
DELETED = "DELETE"
STATUSES = frozenset({"SENDING", SENT, "SEND_FAIL", DELETED})
# Status of the push, where a send failed: what it says, for people.
REASONS = {
    "err(10001)": "涉嫌广告 / held to be advertising",
    "err(20001)": "涉嫌政治 / held to be political",
    "err(20004)": "涉嫌社会 / held to be against public order",
    "err(20002)": "涉嫌色情 / held to be indecent",
    "err(20006)": "涉嫌违法犯罪 / held to be unlawful",
    "err(20008)": "涉嫌欺诈 / held to be fraud",
    "err(20013)": "涉嫌版权 / held to infringe a copyright",
    "err(30001)": "原创校验出错 / the originality check broke down",
    "err(30002)": "原创校验不允许群发 / the originality check forbids it",
    "err(30003)": "被判定为转载 / held to be a reprint",
    "err(40001)": "管理员拒绝 / the account's administrator refused",
    "err(40002)": "管理员 30 分钟内未确认 / the account's administrator did not confirm within 30 minutes",
}
UNCONFIRMED = "等待管理员确认已超时，请在公众平台查看 / the administrator has not confirmed in time: see the console"
UNKNOWN = (
    "草稿已用掉，查不到群发记录，请在公众平台查看 / the draft is used up, and no message is found: see the console"
)
TOO_OLD = (
    "一天前提交过，草稿仍在，请在公众平台查看 / submitted a day ago, and the draft is still in the box: see the console"
)


class Told:
    """What pushes told of mass sends, for all processes: by msg_id the status and the article's address."""

    def __init__(self, tokens: Tokens, own_host: str) -> None:
        """`own_host`: of the API; beside WeChat's, the only one whose addresses are believed to be articles."""
        self._tokens, self._hosts = tokens, UPGRADED | {own_host}

    def keep(self, push: Push) -> None:
        """Raises HeldBack while another process does the same; WeChat then tells it again."""
        ref, url = push.fields.get("MsgID") or push.fields.get("MsgId") or "", push.fields.get("ArticleUrl", "")
        if not ref.isdecimal():
            return
        told = {ref: [push.fields.get("Status", ""), url if urlsplit(url).hostname in self._hosts else ""]}
        kept = self._tokens.get("mass", partial(_with, told))
        while json.loads(kept).get(ref) != told[ref]:
            kept = self._tokens.get("mass", partial(_with, told), refused=kept)

    def of(self, ref: str) -> tuple[str, str]:
        """Status and address, "" for what was not told."""
        status, url = json.loads(self._tokens.get("mass", partial(_with, {}))).get(ref, ("", ""))
        return str(status), str(url)


def _with(told: dict[str, list[str]], kept: str) -> Fresh:
    """The newest last; handed what is kept, by whoever alone may change it."""
    every = {**json.loads(kept or "{}")}
    for ref in told:
        every.pop(ref, None)
    return Fresh(json.dumps(dict([*every.items(), *told.items()][-KEPT:])))


class Mass:
    path: ClassVar[str] = "message/mass/sendall"

    def __init__(self, api: WechatApi, account: Account, now: Callable[[], int], told: Told, *, hears: bool) -> None:
        """`hears`: pushes are set up, so an address can be waited for."""
        self._api, self._account, self._now = api, account, now
        self._told, self._hears = told, hears

    def login(self) -> None:
        """The right to send to followers (48001 without)."""
        self._api.call("message/mass/speed/get", {}, Step.READ)

    def payload(self, ref: str, key: Key) -> dict[str, object]:
        """What the instant sends. The key is as long as WeChat takes for certain: 32 bytes."""
        return {
            "filter": {"is_to_all": True},
            "mpnews": {"media_id": ref},
            "msgtype": "mpnews",
            "send_ignore_reprint": 0,  # what is held to be a reprint is not sent
            "clientmsgid": key.token,
        }

    def settled(self, response: Response, prepared: Prepared) -> Accepted:
        """errcode 0 only means queued; so does 45065, for a message that an earlier submission of ours made.

        45066 stays Ambiguous: it says that an earlier one has arrived, not what became of it."""
        answer = decoded(response)
        code = errcode(answer)
        taken = Accepted(_number(answer), {**self._notes(prepared), "sent": str(self._now())})
        if code in DEAD_TOKEN:
            raise TryLater(f"wechat {self.path}: errcode {code}: the token died after arming; not sent")
        if code == GONE:
            raise Ambiguous(f"wechat {self.path}: errcode 40007: the draft is gone: sent already, or deleted")
        if code == EXISTS:
            return taken
        if code in WAITS or (code == NO_QUOTA and "tried" in prepared.notes):
            # In doubt once, so our own message, waiting for its confirmation, may have taken the last of the quota.
            return replace(taken, notes={**taken.notes, "waits": "yes"})
        refused = failure(answer, self.path, Step.SUBMIT, self._now())
        if refused is not None:
            raise refused
        return taken

    def find(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None
    ) -> Prepared | Accepted | Receipt | None:
        """By its number if that is known, else by its draft and its key. Sends nothing.

        Raises Rejected for a message that failed or was deleted, Unsupported where only a person can tell,
        and as `channels.wechat_api.failure` says."""
        if hint is None:
            return self._unhinted(rendition, key)
        if isinstance(hint, Accepted) and hint.job:
            return self._became(hint)
        draft = hint.ref if isinstance(hint, Prepared) else hint.notes.get("draft", "")
        if draft and self._account.draft(draft) is not None:
            return self._still_there(hint)
        if isinstance(hint, Prepared):
            hint = Accepted("", {**self._notes(hint), "sent": str(self._now())})
        found = self._by_key(hint, key)
        if found is None:
            raise Unsupported(f"wechat: {UNKNOWN}")
        return found

    def withdraw(self, receipt: Receipt) -> None:
        """Delete the article; irreversible. What lies in the followers' inboxes stays, and leads to a notice.

        `article_idx` counts from 1; left out it would mean every article of the message."""
        try:
            self._api.call("message/mass/delete", {"msg_id": whole(receipt.ref), "article_idx": 1}, Step.WRITE)
        except Rejected:
            # What it answers for one that is deleted already is not documented; this is what it means.
            if self._status(receipt.ref) != DELETED:
                raise

    def _notes(self, prepared: Prepared) -> dict[str, str]:
        return {**prepared.notes, "draft": prepared.ref}

    def _unhinted(self, rendition: Rendition, key: Key) -> Prepared | Accepted | Receipt | None:
        """Whatever became of an earlier life of it: a message of its key, else its draft, else nothing."""
        try:
            found = self._by_key(Accepted(""), key)
        except Rejected:
            found = None  # there is no copy of it; what is sent under the same key will be told the same
        if isinstance(found, Accepted) and not found.job:
            raise TryLater(f"wechat {self.path}: errcode {TOO_SOON}", self._now() + MINUTE, of=None)
        return found or Lookup(self._account, self._now).drafted(rendition)

    def _still_there(self, hint: Prepared | Accepted) -> Prepared | Accepted:
        """The draft is in the box: not sent, or being sent, or waiting for the administrator."""
        now = self._now()
        if isinstance(hint, Accepted):
            if now > whole(hint.notes.get("sent")) + CONFIRMED_WITHIN:
                raise Unsupported(f"wechat: {UNCONFIRMED}")
            return hint
        # Should the process have died then, it is the engine that knows when it was submitted.
        tried = whole(hint.notes.get("tried")) or whole(hint.notes.get("fire_at")) // SECOND or now // SECOND
        if now // SECOND - tried > KEY_HOLDS:
            raise Unsupported(f"wechat: {TOO_OLD}")
        return replace(hint, notes={**hint.notes, "tried": str(tried)})

    def _by_key(self, hint: Accepted, key: Key) -> Accepted | Receipt | None:
        """The message that WeChat has under this key; None: of none is known. `hint` itself: asked too soon."""
        answer = self._api.call(
            self.path, self.payload(NO_DRAFT, key), Step.READ, expect=frozenset({EXISTS, TOO_SOON, GONE, NO_QUOTA})
        )
        match errcode(answer):
            case 45065:
                return self._became(replace(hint, job=_number(answer)))
            case 45066:
                return hint
            case 40007 | 45028:
                return None
            case _:
                raise Misbehaved(f"wechat {self.path}: took a draft that does not exist")

    def _became(self, hint: Accepted) -> Accepted | Receipt:
        """What became of a message of known number."""
        status, now = self._status(hint.job), self._now()
        why, url = self._told.of(hint.job)
        sent = whole(hint.notes.get("sent"))
        if status == "SENDING":
            if "waits" in hint.notes and now > sent + CONFIRMED_WITHIN:
                raise Unsupported(f"wechat: {UNCONFIRMED}")
            return hint
        if status == DELETED:
            raise Rejected(f"wechat: msg_id {hint.job}: 群发后被删除 / removed: deleted after it was sent")
        if status != SENT:
            raise Rejected(f"wechat: msg_id {hint.job}: 群发失败 / sending failed: {REASONS.get(why, why)}")
        if not url and self._hears and now < sent + TOLD_WITHIN:
            return hint  # its push is on the way
        return Receipt(hint.job, secure(url), now, {"mode": "mass"})

    def _status(self, ref: str) -> str:
        """Raises Misbehaved for one that is not documented."""
        status = self._api.call("message/mass/get", {"msg_id": ref}, Step.READ).get("msg_status")
        if not isinstance(status, str) or status not in STATUSES:
            raise Misbehaved(f"wechat message/mass/get: unknown msg_status {status!r}")
        return status


def _number(answer: dict[str, object]) -> str:
    """Of the message, as text; "" when the answer names none."""
    return str(answer.get("msg_id") or "")
