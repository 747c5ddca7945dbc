"""DingTalk: one message of a group's custom robot, as Markdown, signed for the instant of the call.

Markdown, because a group sees title and sentences at once; a link card cuts them, and an action card hides the
address. Title and sentences are written so that no character of theirs is taken for a mark. More than 20 messages
in a minute shut the robot up for ten minutes. Facts: the fact sheet "others", section 2; codes that are not there
have their source beside them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar
from urllib.parse import urlencode

from channels.group_bot import REFUSED_FORM, GroupBot, Meaning, address, dumped, secret
from sync.clock import MILLISECOND
from sync.contract import Budget, Capabilities, Probe, Reveal, Setting, Tools, TryLater, Unauthorised
from sync.model import Outlet

SEND = "https://oapi.dingtalk.com/robot/send"
SHUT_UP_S = 600
UNSAFE = 310_000
NO_ROBOT = Meaning(Unauthorised, "机器人不存在或口令有误 · there is no robot of this access_token")
# What begins or ends something in a line, and what does so at its beginning. A parenthesis only follows a bracket.
_INLINE = re.compile(r"[\\`*_\[\]<>~&|]|#(?=\s*$)", re.MULTILINE)
_AT_FIRST = re.compile(r"^(\s*)([#+=-]|\d{1,9}(?=[.)]\s))", re.MULTILINE)


class DingtalkChannel(GroupBot):
    kind: ClassVar[str] = "dingtalk"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.NOTIFY,
        probe=Probe.BLIND,
        lands_within=120.0,
        settings=(
            Setting("access_token", "机器人地址中 access_token= 之后的口令", "what follows access_token=", True, True),
            Setting("secret", "加签的密钥 SEC…", "key of the signature, SEC…", secret=True),
            Setting("keyword", "机器人的自定义关键词之一", "one of the robot's keywords"),
            Setting("webhook_url", "机器人的地址，不含口令", "address of robots, without a token", default=SEND),
        ),
        budgets=(Budget("每分钟消息 · messages a minute", calls=20, seconds=60, reserve=5),),
    )
    template: ClassVar[str] = "dingtalk/message.md"
    code: ClassVar[str] = "errcode"
    no_message: ClassVar[Mapping[str, object]] = {"msgtype": "none"}
    meanings: ClassVar[Mapping[int, Meaning]] = {
        UNSAFE: Meaning(
            Unauthorised,
            "机器人的安全设置不放行：加签、关键词或 IP · its security settings refuse us: signature, keyword or IP",
        ),
        130_101: Meaning(TryLater, "发送过快，机器人被限十分钟 · too fast: it is shut up for ten minutes", SHUT_UP_S),
        300_001: NO_ROBOT,  # "token is not exist": github.com/timonwong/prometheus-webhook-dingtalk/issues/91
        300_005: NO_ROBOT,  # the same, of a group with outsiders: issues/226 there
        40_035: REFUSED_FORM,
        460_101: REFUSED_FORM,  # "exceed 20000 bytes": issues/30 there
    }

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        """Raises BadInput for settings that cannot be meant."""
        super().__init__(outlet, tools)
        self._url = address(outlet, "webhook_url", SEND)
        self._token = secret(
            outlet,
            "access_token",
            "只给机器人地址中 access_token= 之后的部分 · give only what follows access_token= in the robot's address",
        )
        self._secret = secret(outlet, "secret", "按机器人页面所示：SEC… · give it as the robot's page shows it: SEC…")

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        kept = {name: outlet.settings[name] for name in ("keyword",) if name in outlet.settings}
        return replace(
            outlet,
            settings={"webhook_url": f"{sandbox}/robot/send", **kept},
            secrets={"access_token": f"sandbox-{outlet.name}", "secret": f"SEC-sandbox-{outlet.name}"},
            live=False,
            private_network=True,
        )

    def _written(self, text: str) -> str:
        r"""Every mark behind a \, and a paragraph for each line: a single line feed is none."""
        escaped = _INLINE.sub(lambda found: f"\\{found[0]}", text)
        return _AT_FIRST.sub(_unmarked, escaped).replace("\n", "\n\n")

    def _linked(self, url: str) -> str:
        """Without what would end the goal of a Markdown link."""
        return url.replace("(", "%28").replace(")", "%29").replace("<", "%3C").replace(">", "%3E").replace(" ", "%20")

    def _message(self, title: str, text: str) -> Mapping[str, object]:
        return {"msgtype": "markdown", "markdown": {"title": title, "text": text}}

    def _request(self, message: Mapping[str, object], at: int) -> tuple[str, bytes]:
        query = {"access_token": self._token}
        if self._secret:
            query |= signature(self._secret, at)
        return f"{self._url}?{urlencode(query)}", dumped(message)

    def _for_want_of_words(self, code: int) -> bool:
        return code == UNSAFE and bool(self._keyword)


def signature(key: str, at: int) -> dict[str, str]:
    """Parameters of the query for an instant (µs UTC): milliseconds, and their HMAC under the key. Good for an hour."""
    timestamp = str(at // MILLISECOND)
    mac = hmac.new(key.encode(), f"{timestamp}\n{key}".encode(), hashlib.sha256)
    return {"timestamp": timestamp, "sign": base64.b64encode(mac.digest()).decode()}


def _unmarked(found: re.Match[str]) -> str:
    r"""`1.` would begin a list: a digit is no mark, so the \ stands before what follows it."""
    space, mark = found.groups()
    return f"{space}{mark}\\" if mark.isdigit() else f"{space}\\{mark}"
