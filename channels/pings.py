"""After-live notices of a website: WebSub, IndexNow, Baidu. None of them makes anything public, all may be repeated.

A hub fetches the feed when it is told, so it is told after the item was seen there. IndexNow is told of
withdrawals too; Baidu has no such call. Facts: fact sheet "Other outlets", section 4; IndexNow's
documentation and W3C WebSub, whose step from publisher to hub is common practice, not standard.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from channels.feeds import ATOM, RSS
from sync.contract import Egress, Misbehaved, Rejected, Response, Setting, TryLater, Unauthorised
from sync.model import BadInput

WEBSUB, INDEXNOW, BAIDU = "websub", "indexnow", "baidu"
KEY = re.compile(r"[A-Za-z0-9-]{8,128}")

SETTINGS = (
    Setting("websub_hub", "WebSub 中心地址，发布后通知它", "WebSub hub, told after each publication"),
    Setting("indexnow_key", "IndexNow 密钥，发布后通知搜索引擎", "IndexNow key: search engines are told"),
    Setting("indexnow_base", "IndexNow 接口地址", "address of IndexNow", default="https://api.indexnow.org/indexnow"),
    Setting("baidu_site", "百度搜索资源平台中的站点", "the site as Baidu's console names it"),
    Setting("baidu_token", "百度普通收录的准入密钥", "Baidu's push token", secret=True),
    # The documented address is plain http, which would show the token to everybody on the way.
    Setting("baidu_base", "百度推送接口地址", "address of Baidu's push", default="https://data.zz.baidu.com/urls"),
)


class Pings:
    """Those that an outlet's settings ask for. Raises BadInput for settings that cannot be meant."""

    def __init__(
        self, http: Egress, outlet: str, base: str, settings: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        self._http, self._outlet, self._base = http, outlet, base
        self.hub, self._key = settings.get("websub_hub", ""), settings.get("indexnow_key", "")
        self._indexnow = settings.get("indexnow_base") or SETTINGS[2].default
        self._baidu = settings.get("baidu_base") or SETTINGS[5].default
        self._site, self._token = settings.get("baidu_site", ""), secrets.get("baidu_token", "")
        if self._key and not KEY.fullmatch(self._key):
            mend = (
                "用 8 至 128 个字母、数字或 - · use 8 to 128 of A–Z, a–z, 0–9 and -; `openssl rand -hex 16` makes one"
            )
            raise BadInput("indexnow_key", "不能作 IndexNow 密钥 · it cannot be an IndexNow key", mend)
        for name, address in (("websub_hub", self.hub), ("indexnow_base", self._indexnow), ("baidu_base", self._baidu)):
            if address and urlsplit(address).scheme not in ("http", "https"):
                raise BadInput(
                    name,
                    f"{address!r} 不是网址 · {address!r} is no web address",
                    "写成 https://… · give it as https://…",
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The notices to give after each act."""
        wanted = ((WEBSUB, self.hub), (INDEXNOW, self._key), (BAIDU, self._site and self._token))
        return tuple(name for name, asked in wanted if asked)

    @property
    def files(self) -> Mapping[str, bytes]:
        """What has to be served for them: IndexNow's proof that the key is the site's."""
        return {f"{self._key}.txt": self._key.encode()} if self._key else {}

    def give(self, name: str, url: str, *, gone: bool) -> None:
        """Tell one of them of one address; `gone`: it was withdrawn. May be repeated.

        Raises an OutletError: TryLater where it may work later, Unauthorised where an operator is needed,
        Rejected or Misbehaved where it never will."""
        match name:
            case "websub":
                for feed in (RSS, ATOM):
                    form = {
                        "hub.mode": "publish",
                        "hub.url": f"{self._base}/{feed}",
                        "hub.topic": f"{self._base}/{feed}",
                    }
                    self._http.call("POST", self.hub, creates=False, form=form)
            case "indexnow":
                self._tell_indexnow(url)
            case "baidu" if not gone:
                self._tell_baidu(url)

    def _tell_indexnow(self, url: str) -> None:
        host = urlsplit(self._base).netloc
        told = {"host": host, "key": self._key, "keyLocation": f"{self._base}/{self._key}.txt", "urlList": [url]}
        headers = {"Content-Type": "application/json; charset=utf-8"}
        answer = self._http.call(
            "POST",
            self._indexnow,
            creates=False,
            headers=headers,
            body=json.dumps(told).encode(),
            expect=(403, 422),
        )
        if answer.status in (403, 422):
            raise Unauthorised(
                f"{self._outlet}: IndexNow {answer.status}: 密钥未被接受，确认密钥文件可访问"
                f" · the key was not accepted: is {self._base}/{self._key[:4]}….txt served?"
            )

    def _tell_baidu(self, url: str) -> None:
        address = f"{self._baidu}?{urlencode({'site': self._site, 'token': self._token})}"
        headers = {"Content-Type": "text/plain"}
        answer = self._http.call("POST", address, creates=False, headers=headers, body=url.encode(), expect=(400, 401))
        told = _object(answer)
        if answer.status == 401:
            raise Unauthorised(f"{self._outlet}: 百度 Baidu 401: 核对 baidu_token · check baidu_token")
        if answer.status == 400:
            said = str(told.get("message", ""))
            if said == "over quota":  # the code beside it is 400 for everything; begins anew every day
                raise TryLater(f"{self._outlet}: 百度今日配额已用完 · Baidu's quota of today is used up")
            raise Rejected(f"{self._outlet}: 百度 Baidu 400: {said[:80]}")
        if not told.get("success"):
            raise Rejected(
                f"{self._outlet}: 百度未收下该地址，核对 baidu_site · Baidu did not take it: check baidu_site"
            )


def _object(answer: Response) -> dict[str, object]:
    told = answer.json()
    if not isinstance(told, dict):
        raise Misbehaved("an object was expected in the answer")
    return told
