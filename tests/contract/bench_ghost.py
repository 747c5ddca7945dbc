"""The Ghost channel against its sandbox."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from channels.ghost import GhostChannel
from sync.contract import Tools
from sync.http import Http, Limits
from sync.model import Asset, AssetRole, Edition, Outlet, sha256
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server


def picture(text: str, form: str = "PNG", size: tuple[int, int] = (320, 160)) -> bytes:
    """A picture with a text in it."""
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).text((20, 60), text, fill="black", font_size=40)
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


ROUTE, STOPS, COVER, OTHER = picture("route 12"), picture("stops", "GIF"), picture("cover"), picture("route 13")
BLOBS = {sha256(content): content for content in (ROUTE, STOPS, COVER, OTHER)}
BODY = f"""<h2>一、线路</h2>
<p>自 <strong>12 月 1 日</strong>起试运行，首班 06:30，见<a href="https://bus.example/lines?no=12&amp;x=1#top">查询页</a>。</p>
<figure><img src="asset:{sha256(ROUTE)}" alt="线路图"><figcaption>图 1</figcaption></figure>
<table><tr><th>站点</th><th>首班</th></tr><tr><td>镇政府</td><td>06:30</td></tr><tr><td>茶场</td><td></td></tr></table>
<ul><li>票价 1 元</li><li>每日 6 班，见<a href="asset:{"0" * 64}">时刻表</a></li></ul>
<p><img src="asset:{sha256(STOPS)}" alt="站点"></p>"""
EDITION = Edition(
    item="item-1",
    revision=1,
    title="关于开通 <12路> 乡村公交环线的通告 & 说明",
    body=BODY,
    metadata={
        "summary": "环线试运行，首班 06:30。",
        "subtitle": "12 路",
        "document_no": "清政通〔2026〕18号",
        "source": "清溪镇人民政府",
        "editor": "李志远",
    },
    assets=(
        Asset(sha256(ROUTE), "image/png", len(ROUTE), "route.png", AssetRole.IMAGE, "线路图"),
        Asset(sha256(STOPS), "image/gif", len(STOPS), "stops.gif", AssetRole.IMAGE, "站点"),
        Asset(sha256(COVER), "image/png", len(COVER), "cover.png", AssetRole.COVER, "封面"),
        Asset("0" * 64, "application/pdf", 9, "时刻表.pdf", AssetRole.ATTACHMENT),
    ),
)
SITE = "town"
POSTS = f"/{SITE}/ghost/api/admin/posts/"
CALLS = {
    "prepare": ("POST", POSTS),
    "release": ("PUT", f"{POSTS}*"),
    "correct": ("PUT", f"{POSTS}*"),
    "withdraw": ("PUT", f"{POSTS}*"),
}


class GhostBench(SandboxBench):
    faults = frozenset((name, phase) for name in ("drop_answer", "drop_request", "answer_502") for phase in CALLS)
    edition = EDITION

    def __init__(self, sandbox: Server) -> None:
        self.sandbox = sandbox
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        self.tools = Tools(self._http, BLOBS.__getitem__, Templates(), CLOCK.now)
        self.outlet = GhostChannel.twin(Outlet(SITE, "unit", "ghost", {}), sandbox.address, "")

    def channel(self, **secrets: str) -> GhostChannel:
        return GhostChannel(replace(self.outlet, secrets={**self.outlet.secrets, **secrets}), self.tools)

    def wrong(self) -> Mapping[str, str]:
        """The right integration, another secret."""
        return {"admin_api_key": self.outlet.secrets["admin_api_key"].partition(":")[0] + ":" + "00" * 32}

    def public_copies(self) -> int:
        return len(self._left("post_published"))

    def hidden_things(self) -> int:
        """Drafts. Pictures have no list and cannot be removed; nobody can guess where they are."""
        return len(self._left("post_created", "post_unpublished"))

    def _left(self, *wanted: str) -> set[str]:
        """The posts of which the last thing that happened to their status is one of these, by the outlet's record."""
        last: dict[str, str] = {}
        for line in self.sandbox.record():
            if line["applied"] and line["effect"].startswith("post_") and line["effect"] != "post_edited":
                last[line["ref"]] = line["effect"]
                last |= {line["detail"]["double"]: line["effect"]} if "double" in line["detail"] else {}
        return {ref for ref, effect in last.items() if effect in wanted}

    def fault(self, name: str, phase: str) -> None:
        method, path = CALLS[phase]
        self.sandbox.knob(name, method=method, path=path)

    def close(self) -> None:
        self._http.close()


BENCH = GhostBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[GhostBench]:
    with server("channels.sandbox.ghost", tmp_path / "sandbox") as sandbox:
        made = GhostBench(sandbox)
        try:
            yield made
        finally:
            made.close()
