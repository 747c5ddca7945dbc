"""What the tests of the static outlets share: an edition that has everything, and a web server for the twins."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from channels.static import StaticChannel
from sync.contract import Place, Receipt, Shot, Tools
from sync.http import Http
from sync.model import Asset, AssetRole, Edition, Key, MetaValue, Outlet, Rendition, sha256
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, window


def png(text: str, colour: str = "white") -> bytes:
    """A picture with a text in it."""
    picture = Image.new("RGB", (240, 120), colour)
    ImageDraw.Draw(picture).text((20, 50), text, fill="black")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


PICTURE, TABLE = png("route 12"), "站点,第1班\r\n镇政府,06:30\r\n".encode("utf-8-sig")
NEW_PICTURE, NEW_TABLE = png("route 13"), "站点,第1班\r\n镇政府,06:45\r\n".encode("utf-8-sig")
BLOBS = {sha256(content): content for content in (PICTURE, TABLE, NEW_PICTURE, NEW_TABLE)}

BODY = f"""<h2>一、线路</h2>
<p>自 <strong>2026 年 12 月 1 日</strong>起试运行，面积 3 km<sup>2</sup>，见<a href="https://bus.example.gov.cn/lines?from=qx&amp;line=12">查询页</a>。</p>
<figure><img src="asset:{sha256(PICTURE)}" alt="12 路示意图"><figcaption>图 1 线路</figcaption></figure>
<h3>（一）时间 &lt;b&gt; &amp; "引号" #标记 *星号* _下划线_ $x$ `码` \\反斜杠 @引用 ~波浪 [方括号]</h3>
<table><thead><tr><th>站点</th><th>第 1 班</th><th>第 2 班</th><th>第 3 班</th></tr></thead>
<tbody><tr><th>镇政府</th><td>06:30</td><td>08:50</td><td>11:10</td></tr>
<tr><td>卫生院</td><td colspan="2">06:34 起</td><td>11:14</td></tr>
<tr><td rowspan="2">茶场</td><td>07:01</td><td></td><td>11:41</td></tr>
<tr><td>07:02</td><td>09:22</td><td>11:42</td></tr></tbody></table>
<ul><li>票价 1 元<ul><li>老人免费</li></ul></li><li>每日 6 班</li></ul>
<ol><li>第一项</li><li>第二项</li></ol>
<blockquote><p>电话 0571-5550 0123</p></blockquote>
<hr>
<h4>附记</h4>
<p>全文见<a href="asset:{sha256(TABLE)}">时刻表</a>，<em>特此通告</em>。<br>H<sub>2</sub>O</p>"""

METADATA: Mapping[str, MetaValue] = {
    "kind": "notice",
    "column": "通知公告",
    "source": "清溪镇人民政府",
    "summary": "环线试运行，首班 06:30 & 末班 <18:40>。",
    "document_no": "清政通〔2026〕18号",
    "issuing_body": "清溪镇人民政府",
    "written_on": "2026-11-20",
    "keywords": ("公交", "环线"),
}


def edition(title: str = "关于开通乡村公交环线的通告", body: str = BODY, **metadata: MetaValue) -> Edition:
    """An edition with every element, a picture and an attachment."""
    assets = (
        Asset(sha256(PICTURE), "image/png", len(PICTURE), "luxian.png", AssetRole.IMAGE, "12 路示意图"),
        Asset(sha256(TABLE), "text/csv", len(TABLE), "时刻表.csv", AssetRole.ATTACHMENT),
    )
    return Edition("item-1", 1, title, body, {**METADATA, **metadata}, assets)


def corrected(given: Edition, revision: int = 2, mark: str = "更正") -> Edition:
    """The next edition of it: another title, another time in text and cell, another picture and attachment."""
    body = given.body.replace("06:30", "06:45")
    for old, new in ((PICTURE, NEW_PICTURE), (TABLE, NEW_TABLE)):
        body = body.replace(sha256(old), sha256(new))
    changed = {sha256(PICTURE): NEW_PICTURE, sha256(TABLE): NEW_TABLE}
    assets = tuple(
        replace(asset, digest=sha256(changed[asset.digest]), size=len(changed[asset.digest])) for asset in given.assets
    )
    metadata = {**given.metadata, "summary": "环线试运行，首班 06:45。"}
    return replace(
        given, revision=revision, title=f"{given.title}（{mark}）", body=body, metadata=metadata, assets=assets
    )


def tools() -> Tools:
    return Tools(Http(private_network=True, now=CLOCK.now), BLOBS.__getitem__, Templates(), CLOCK.now)


def first_version(receipt: Receipt) -> Receipt:
    """As it was stored before there were corrections."""
    kept = {name: value for name, value in receipt.notes.items() if name.startswith(("pub_date", "sha256"))}
    return replace(receipt, notes=kept)


class StaticBench(SandboxBench):
    """A static outlet whose twin is shown by a web server of its own. Files give no unclear answers: no faults."""

    faults: frozenset[tuple[str, str]] = frozenset()
    has_login = False
    edition = edition()

    def __init__(self, kind: type[StaticChannel], sandbox: Server, settings: Mapping[str, str]) -> None:
        self.sandbox, self._kind = sandbox, kind
        name = kind.kind
        configured = {"directory": "/srv/nowhere", "base_url": "https://www.example.gov.cn", **settings}
        self.outlet = kind.twin(Outlet(name, "unit", name, configured), sandbox.address, str(sandbox.home / name))
        self.served = Path(self.outlet.settings["directory"])
        self.hidden = self.served.parent / ".www.staged"
        self.tools = tools()

    @property
    def corrected(self) -> Edition:
        return corrected(self.edition)

    def channel(self, **secrets: str) -> StaticChannel:
        return self._kind(self.outlet, self.tools)

    def wrong(self) -> Mapping[str, str]:
        return {}

    def public_copies(self) -> int:
        return sum(b'name="tongfa-delivery"' in page.read_bytes() for page in self.served.glob("*/*.html"))

    def hidden_things(self) -> int:
        staged = [*self.hidden.glob("pages/*"), *self.hidden.glob("records/*"), *self.hidden.glob("work/*")]
        return len(staged) + len([*self.served.glob("assets/*/*"), *self.served.glob("files/*/*")])

    def fault(self, name: str, phase: str) -> None:
        raise NotImplementedError("a file system gives no unclear answers")

    def publish(self, given: Edition, key: Key, at: int | None = None) -> tuple[Rendition, Receipt]:
        """The whole way of one item; `at` is the release's instant."""
        channel = self.channel()
        rendition = channel.render(given, Place(key, channel.address(given, key)))
        shot = self.armed(rendition, key, at)
        shot.send(window(), CLOCK.boottime)
        receipt = shot.settle()
        assert isinstance(receipt, Receipt)
        return rendition, receipt

    def correct(self, given: Edition, key: Key, replaces: Receipt, at: int | None = None) -> tuple[Rendition, Receipt]:
        """The same for a correction of the copy `replaces`."""
        rendition = self.channel().render(given, Place(key, replaces.url, replaces))
        shot = self.armed(rendition, key, at, replaces)
        shot.send(window(), CLOCK.boottime)
        receipt = shot.settle()
        assert isinstance(receipt, Receipt)
        return rendition, receipt

    def armed(self, rendition: Rendition, key: Key, at: int | None = None, replaces: Receipt | None = None) -> Shot:
        prepared = self.channel().prepare(rendition, key, replaces)
        notes = {**prepared.notes, **({"release_at": str(at)} if at is not None else {})}
        return self.channel().arm(replace(prepared, notes=notes), rendition, key)

    def content(self) -> dict[str, bytes]:
        """The same with what is in them."""
        return {path: (self.served / path).read_bytes() for path in self.public_files()}

    def public_files(self) -> set[str]:
        """All that lies in the served folder, by path."""
        return {str(path.relative_to(self.served)) for path in self.served.rglob("*") if path.is_file()}
