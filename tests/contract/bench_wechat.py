"""The WeChat channel against its sandbox."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from PIL import Image, ImageDraw

from channels.wechat import WechatChannel
from sync.contract import Place, Tools
from sync.http import Http, Limits
from sync.model import Asset, AssetRole, Edition, Key, Outlet, Rendition, sha256
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server


def picture(text: str, form: str = "PNG") -> bytes:
    """A picture with a text in it."""
    image = Image.new("RGB", (320, 160), "white")
    ImageDraw.Draw(image).text((20, 60), text, fill="black", font_size=40)
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


ROUTE, STOPS = picture("route 12"), picture("stops", "GIF")
BLOBS = {sha256(content): content for content in (ROUTE, STOPS)}
BODY = f"""<h2>一、线路</h2>
<p>自 <strong>12 月 1 日</strong>起试运行，首班 06:30，见<a href="https://bus.example/lines?no=12&amp;x=1">查询页</a>。</p>
<figure><img src="asset:{sha256(ROUTE)}" alt="线路图"><figcaption>图 1</figcaption></figure>
<table><tr><th>站点</th><th>首班</th></tr><tr><td>镇政府</td><td>06:30</td></tr><tr><td>茶场</td><td></td></tr></table>
<ul><li>票价 1 元</li><li>每日 6 班</li></ul><p><img src="asset:{sha256(STOPS)}" alt="站点"></p>"""
EDITION = Edition(
    item="item-1",
    revision=1,
    title="关于开通12路乡村公交环线的通告",
    body=BODY,
    metadata={"author": "清溪镇", "summary": "环线试运行，首班 06:30。", "document_no": "清政通〔2026〕18号"},
    assets=(
        Asset(sha256(ROUTE), "image/png", len(ROUTE), "route.png", AssetRole.IMAGE, "线路图"),
        Asset(sha256(STOPS), "image/gif", len(STOPS), "stops.gif", AssetRole.IMAGE, "站点"),
        Asset("0" * 64, "application/pdf", 9, "时刻表.pdf", AssetRole.ATTACHMENT),
    ),
)
PATHS = {
    "prepare": "/cgi-bin/draft/add",
    "release": "/cgi-bin/freepublish/submit",
    "withdraw": "/cgi-bin/freepublish/delete",
}


class WechatBench(SandboxBench):
    faults = frozenset((name, phase) for name in ("drop_answer", "drop_request", "answer_502") for phase in PATHS)
    edition = EDITION
    paths: ClassVar[Mapping[str, str]] = PATHS
    settings: ClassVar[Mapping[str, str]] = {}

    def __init__(self, sandbox: Server, account: str = "town") -> None:
        self.sandbox, self.account = sandbox, account
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        self.tools = Tools(self._http, BLOBS.__getitem__, Templates(), CLOCK.now)
        self.outlet = WechatChannel.twin(Outlet(account, "unit", "wechat", self.settings), sandbox.address, "")

    def channel(self, **secrets: str) -> WechatChannel:
        return WechatChannel(replace(self.outlet, secrets={**self.outlet.secrets, **secrets}), self.tools)

    def wrong(self) -> Mapping[str, str]:
        return {"app_secret": "guessed"}

    def render(self, key: Key) -> Rendition:
        """The canonical address, by which an article is found again, belongs to one delivery group."""
        return self.channel().render(self.edition, Place(key, f"https://county.example/2026/11/{key.delivery}.html"))

    def effects(self, *names: str) -> int:
        """How often these took place, by the outlet's record."""
        lines = (line for line in self.sandbox.record() if line["account"] == self.account)
        return sum(line["applied"] and line["effect"] in names for line in lines)

    def public_copies(self) -> int:
        """Articles that appeared and were not deleted, however often somebody asked for that."""
        lines = [line for line in self.sandbox.record() if line["account"] == self.account and line["applied"]]
        gone = {line["ref"] for line in lines if line["effect"] in ("deleted", "removed_in_console")}
        return len({line["ref"] for line in lines if line["effect"] == "published"} - gone)

    def hidden_things(self) -> int:
        """Drafts and permanent assets; pictures of the body belong to no list of WeChat's."""
        return self.effects("drafted", "added_material") - self.effects(
            "deleted_draft", "deleted_material", "published"
        )

    def fault(self, name: str, phase: str) -> None:
        self.sandbox.knob(name, method="POST", path=self.paths[phase])

    def close(self) -> None:
        self._http.close()


BENCH = WechatBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[WechatBench]:
    """WeChat's job queue at its fastest, so that a probe right after a lost answer finds the job done."""
    with server("channels.sandbox.wechat", tmp_path / "sandbox") as sandbox:
        made = WechatBench(sandbox)
        sandbox.knob("latency", ms=0)
        try:
            yield made
        finally:
            made.close()
