"""WeCom: one message of a group's robot, as plain text. Nothing but the key in the address proves who speaks.

Plain text, because it is shown as it is wherever it is read: WeCom's Markdown has no way to write a mark as a
character and is not shown in WeChat at all, and a news card cuts a title after 128 bytes, which many official ones
are longer than. Facts: the fact sheet "others", section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar
from urllib.parse import urlencode

from channels.group_bot import REFUSED_FORM, GroupBot, Meaning, address, dumped, secret
from sync.contract import Budget, Capabilities, Probe, Reveal, Setting, Tools, TryLater, Unauthorised
from sync.model import Outlet

SEND = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"


class WecomChannel(GroupBot):
    kind: ClassVar[str] = "wecom"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.NOTIFY,
        probe=Probe.BLIND,
        lands_within=120.0,
        settings=(
            Setting("key", "机器人地址中 key= 之后的密钥", "what follows key=", True, True),
            Setting("webhook_url", "机器人的地址，不含密钥", "address of robots, without a key", default=SEND),
        ),
        budgets=(Budget("每分钟消息 · messages a minute", calls=20, seconds=60, reserve=5),),
    )
    template: ClassVar[str] = "wecom/message.txt"
    code: ClassVar[str] = "errcode"
    no_message: ClassVar[Mapping[str, object]] = {"msgtype": "none"}
    meanings: ClassVar[Mapping[int, Meaning]] = {
        93_000: Meaning(Unauthorised, "机器人不存在或密钥有误 · there is no robot of this key"),
        45_009: Meaning(TryLater, "超过每分钟的条数 · more messages than a minute has room for", 60),
        40_058: REFUSED_FORM,
        40_008: REFUSED_FORM,
    }

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        """Raises BadInput for settings that cannot be meant."""
        super().__init__(outlet, tools)
        self._url = address(outlet, "webhook_url", SEND)
        self._key = secret(
            outlet, "key", "只给机器人地址中 key= 之后的部分 · give only what follows key= in the robot's address"
        )

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        return replace(
            outlet,
            settings={"webhook_url": f"{sandbox}/cgi-bin/webhook/send"},
            secrets={"key": f"sandbox-{outlet.name}"},
            live=False,
            private_network=True,
        )

    def _message(self, title: str, text: str) -> Mapping[str, object]:
        return {"msgtype": "text", "text": {"content": text}}

    def _request(self, message: Mapping[str, object], at: int) -> tuple[str, bytes]:
        return f"{self._url}?{urlencode({'key': self._key})}", dumped(message)
