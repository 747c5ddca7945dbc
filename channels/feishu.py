"""Feishu, and Lark: one message of a group's custom robot, a post of plain texts and one link, signed for the instant.

A post, because its parts are plain text: nothing in it can be taken for a mark. Feishu advises against the full and
the half hour, when its systems are busy and answer 11232; a notification leaves after its page was seen, and after
such an answer comes again some scattered seconds later. Facts: the fact sheet "others", section 2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from channels.brief import LINK
from channels.group_bot import REFUSED_FORM, GroupBot, Meaning, address, dumped, secret
from sync.clock import SECOND
from sync.contract import Budget, Capabilities, Probe, Response, Reveal, Setting, Tools, TryLater, Unauthorised
from sync.model import Outlet

HOOK = "https://open.feishu.cn/open-apis/bot/v2/hook"
LEAST = 20  # characters of a hook's id: errors name a path without its long segments (`sync.answer`)
KEYWORD = 19_024


class FeishuChannel(GroupBot):
    kind: ClassVar[str] = "feishu"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.NOTIFY,
        probe=Probe.BLIND,
        lands_within=120.0,
        settings=(
            Setting("hook_id", "机器人地址中 /hook/ 之后的编号", "what follows /hook/", True, True),
            Setting("secret", "签名校验的密钥", "key of the signature", secret=True),
            Setting("keyword", "机器人的自定义关键词之一", "one of the robot's keywords"),
            Setting(
                "webhook_url", "机器人的地址，不含编号；Lark 另填", "address of robots; Lark has another", default=HOOK
            ),
        ),
        budgets=(
            Budget("每分钟消息 · messages a minute", calls=100, seconds=60, reserve=10),
            Budget("每秒消息 · messages a second", calls=5, seconds=1, reserve=1),
        ),
    )
    template: ClassVar[str] = "feishu/post.txt"
    code: ClassVar[str] = "code"
    no_message: ClassVar[Mapping[str, object]] = {"msg_type": "none"}
    meanings: ClassVar[Mapping[int, Meaning]] = {
        19_001: Meaning(Unauthorised, "机器人不存在或编号有误 · there is no robot of this hook_id"),
        19_021: Meaning(Unauthorised, "签名未通过，或时钟相差过大 · the signature is refused, or the clock is wrong"),
        19_022: Meaning(Unauthorised, "本机 IP 地址不在机器人的白名单 · our IP address is not on the robot's list"),
        KEYWORD: Meaning(Unauthorised, "消息没有机器人的关键词 · the robot's keyword is missing: set `keyword`"),
        9_499: REFUSED_FORM,
        11_232: Meaning(TryLater, "平台限流，稍后再发 · the platform is busy, or it was too fast", 5, 25),
    }

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        """Raises BadInput for settings that cannot be meant."""
        super().__init__(outlet, tools)
        self._url = address(outlet, "webhook_url", HOOK)
        self._hook = secret(
            outlet,
            "hook_id",
            "只给机器人地址中 /hook/ 之后的部分 · give only what follows /hook/ in the robot's address",
            LEAST,
        )
        self._secret = secret(outlet, "secret", "按机器人页面所示 · give it as the robot's page shows it")

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        kept = {name: outlet.settings[name] for name in ("keyword",) if name in outlet.settings}
        return replace(
            outlet,
            settings={"webhook_url": f"{sandbox}/open-apis/bot/v2/hook", **kept},
            secrets={"hook_id": f"sandbox-robot-of-the-{outlet.name}", "secret": f"sandbox-{outlet.name}"},
            live=False,
            private_network=True,
        )

    def _message(self, title: str, text: str) -> Mapping[str, object]:
        """The first line of the text is the post's title."""
        first, _, rest = text.partition("\n")
        content = [_parts(line) for line in rest.splitlines() if line.strip()]
        return {"msg_type": "post", "content": {"post": {"zh_cn": {"title": first, "content": content}}}}

    def _request(self, message: Mapping[str, object], at: int) -> tuple[str, bytes]:
        signed = signature(self._secret, at) if self._secret else {}
        return f"{self._url}/{self._hook}", dumped({**signed, **message})

    def _code(self, answer: Response, *, creates: bool) -> int:
        """Its first answers named the code `StatusCode`; today's success has both."""
        if answer.status == 200:
            found = answer.json()
            if isinstance(found, dict) and self.code not in found and found.get("StatusCode") == 0:
                return 0
        return super()._code(answer, creates=creates)

    def _for_want_of_words(self, code: int) -> bool:
        return code == KEYWORD and bool(self._keyword)


def signature(key: str, at: int) -> dict[str, str]:
    """Fields of the body for an instant (µs UTC): seconds, and the HMAC of nothing under both. Good for an hour."""
    timestamp = str(at // SECOND)
    mac = hmac.new(f"{timestamp}\n{key}".encode(), b"", hashlib.sha256)
    return {"timestamp": timestamp, "sign": base64.b64encode(mac.digest()).decode()}


def _parts(line: str) -> list[dict[str, str]]:
    """A line as texts and links. An address that is a line of its own may have any letters."""
    if re.fullmatch(r"https?://\S+", line.strip()):
        return [{"tag": "a", "text": line.strip(), "href": line.strip()}]
    parts: list[dict[str, str]] = []
    at = 0
    for found in LINK.finditer(line):
        parts += [{"tag": "text", "text": line[at : found.start()]}] if found.start() > at else []
        parts.append({"tag": "a", "text": found[0], "href": found[0]})
        at = found.end()
    return [*parts, {"tag": "text", "text": line[at:]}] if at < len(line) else parts
