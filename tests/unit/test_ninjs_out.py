"""What leaves as ninjs comes back as an equal edition, and says in ninjs' own words what those have words for."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from sync.content.fields import KEYS, KINDS, Shape
from sync.content.ninjs_out import written
from sync.content.source import Draft, read
from sync.model import AssetRole, BadInput, Edition
from tests.unit.item_files import BLUE, NOW, RED

ALL = """title: 开通“公交环线” & <试>
subtitle: 自12月1日起
summary: 首班 06:30，票价 1 元
kind: 通知
column: 通知公告
language: bo
author: [张三, 李四]
editor: [王五]
source: 清溪镇人民政府
keywords: 公交, 环线
topics: [财政、金融、审计]
index_no: "0123"
document_no: 清政通〔2026〕18号
issuing_body: 清溪镇
written_on: 2026-11-20
effective_on: 2026-12-01
expires_on: 2027-12-01
validity: 有效
interprets: 0123456789abcdef
link: https://example.org/1?a=1&b=2
cover: {file: red.png, alt: 封面}
images: [{file: red.png, alt: 站点图}, {file: "蓝 色%20&.png", alt: 只在表中}]
attachments: [{file: times.csv, name: "时刻表 “12 路”.v2"}, form.pdf, red.png]
"""
BODY = """<h2>时刻</h2>
<p>首班 <b>06:30</b>，见<a href="times.csv">附件</a>与<a href="https://x.example/?a=1&amp;b=2">此</a>。</p>
<table><thead><tr><th scope="col">站点</th><th>班</th></tr></thead>
<tr><td rowspan="2">　其中：茶场</td><td>07:01</td></tr>
<tr><td>x<sup>2</sup></td></tr></table><figure><img src="red.png" alt="第一次"><figcaption>图</figcaption></figure>
<ul><li>a<ol><li>b</li></ol></li></ul><p><img src="red.png" alt="第二次 &quot;&lt;"> H<sub>2</sub>O &lt;p&gt;</p>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("item")
    (made / "red.png").write_bytes(RED)
    (made / "蓝 色%20&.png").write_bytes(BLUE)
    (made / "times.csv").write_bytes("站点,06:30\r\n".encode("utf-8-sig"))
    (made / "form.pdf").write_bytes(b"%PDF-1.7 form")
    return made


def drafted(folder: Path, front: str, body: str) -> Draft:
    path = folder / "item.html"
    path.write_text(f"---\n{front}\n---\n{body}", encoding="utf-8")
    return read(path, NOW)


def edition(draft: Draft) -> Edition:
    return Edition("0a", 3, draft.title, draft.body, draft.metadata, tuple(part for part, _ in draft.files))


def exported(draft: Draft, out: Path) -> dict[str, Any]:
    content, files = written(edition(draft), NOW, "news-files")
    held = {part.digest: content for part, content in draft.files}
    for path, digest in files.items():
        (out / path).parent.mkdir(parents=True)
        (out / path).write_bytes(held[digest])
    (out / "news.json").write_text(content, encoding="utf-8")
    told: dict[str, Any] = json.loads(content)
    return told


def returned(draft: Draft) -> Draft:
    out = Path(tempfile.mkdtemp())
    try:
        exported(draft, out)
        return read(out / "news.json", NOW)
    finally:
        shutil.rmtree(out)


def test_all_of_an_item_comes_back(folder: Path) -> None:
    """Every key, tables, lists, one picture several times with other words, cover, attachments with their names."""
    given = drafted(folder, ALL, BODY)
    routing = {Shape.MOMENT, Shape.FILE, Shape.FILES}
    assert {key for key, (_, shape) in KEYS.items() if shape not in routing} - {"title", "outlets", "group"} == set(
        given.metadata
    )
    back = returned(given)
    assert (given.title, given.metadata, given.body) == (back.title, back.metadata, back.body)
    assert [part for part, _ in given.files] == [part for part, _ in back.files]
    assert (given.digest, ()) == (back.digest, back.notes)


LINE = st.text(min_size=1, max_size=30).filter(lambda text: bool("".join(text.split())))
FRONT: dict[str, st.SearchStrategy[Any]] = {
    "subtitle": LINE,
    "summary": LINE,
    "kind": st.sampled_from(sorted(KINDS)),
    "column": LINE,
    "author": LINE | st.lists(LINE, min_size=1, max_size=3, unique=True),
    "keywords": st.lists(st.from_regex(r"[a-z公交]{1,5}", fullmatch=True), min_size=1, max_size=3, unique=True),
    "topics": st.lists(st.from_regex(r"[a-z、金融]{1,5}", fullmatch=True), min_size=1, max_size=3, unique=True),
    "written_on": st.dates().map(lambda day: day.isoformat()),
    "link": LINE,
}
PIECES = st.sampled_from(
    [
        BODY.replace('<a href="times.csv">附件</a>', "附件"),
        "<p>字</p>",
        '<p><img src="蓝 色%2520&amp;.png" alt="蓝"></p>',
        "<hr>",
        "<p>a<br>b</p>",
    ]
)
FILES: dict[str, list[Any]] = {
    "cover": [{"file": "red.png"}, {"file": "蓝 色%20&.png", "alt": "封"}],
    "images": [[{"file": "red.png", "alt": "红"}]],
    "attachments": [["form.pdf"], [{"file": "times.csv", "name": "表"}, "red.png"]],
}


@settings(max_examples=40, deadline=None)
@given(
    title=LINE,
    front=st.fixed_dictionaries({}, optional=FRONT),
    files=st.fixed_dictionaries({}, optional={key: st.sampled_from(value) for key, value in FILES.items()}),
    pieces=st.lists(PIECES, min_size=1, max_size=4),
)
def test_any_item_comes_back(
    folder: Path, title: str, front: dict[str, Any], files: dict[str, Any], pieces: list[str]
) -> None:
    """Whatever can be an item at all is the same item after it left and came back."""
    values = {"title": title, **front, **files}
    lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in values.items())
    try:
        draft = drafted(folder, lines, "\n".join(pieces))
    except (BadInput, UnicodeEncodeError):
        reject()  # no item
    assert draft.digest == returned(draft).digest


def test_whoever_reads_ninjs_finds_it(folder: Path, tmp_path: Path) -> None:
    """In the words of the standard: without our part it is still a story with its pictures."""
    body = BODY.replace('<a href="times.csv">附件</a>', "附件")  # nothing of ninjs lists attachments
    told = exported(drafted(folder, ALL, body), tmp_path)
    assert ("text", "usable", "bo", "3") == tuple(told[key] for key in ("type", "pubStatus", "language", "version"))
    assert {"main": "开通“公交环线” & <试>", "subtitle": "自12月1日起"} == {
        one["role"]: one["value"] for one in told["headlines"]
    }
    hrefs = [one["renditions"][0]["href"] for one in told["associations"]]
    assert {"picture", "component"} == {one["type"] for one in told["associations"]}
    assert len(hrefs) == len(set(hrefs)) == 6
    del told["tongfa"]
    (tmp_path / "news.json").write_text(json.dumps(told), encoding="utf-8")
    back = read(tmp_path / "news.json", NOW)
    assert ("自12月1日起", "首班 06:30，票价 1 元", "2026-11-20") == tuple(
        back.metadata[key] for key in ("subtitle", "summary", "written_on")
    )
    assert [AssetRole.IMAGE] * 2 == [part.role for part, _ in back.files]


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"metadata": {"author": 1}, "files": []},
        {"metadata": {}, "files": [{"role": "script", "file": "a.js"}]},
        {"metadata": {}, "files": [{"role": "cover", "file": 1}]},
        {"metadata": {}, "files": "x"},
    ],
)
def test_a_damaged_part_of_ours_is_refused(folder: Path, tmp_path: Path, part: dict[str, Any]) -> None:
    """Whoever wrote it: nothing of it is believed unread."""
    told = exported(drafted(folder, "title: T", "<p>t</p>"), tmp_path)
    (tmp_path / "news.json").write_text(json.dumps({**told, "tongfa": part}), encoding="utf-8")
    with pytest.raises(BadInput, match="damaged"):
        read(tmp_path / "news.json", NOW)


def test_it_leads_nowhere_outside(folder: Path, tmp_path: Path) -> None:
    """A part of ours that somebody changed is held to the rules of any front matter."""
    told = exported(drafted(folder, "title: T", "<p>t</p>"), tmp_path)
    told["tongfa"]["files"] = [{"role": "attachment", "file": "../secret.pdf"}]
    (tmp_path / "news.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(BadInput, match="leads out"):
        read(tmp_path / "news.json", NOW)


def test_an_embargo_of_3_x_is_kept(tmp_path: Path) -> None:
    """There it is called `embargoedUntil`."""
    news = {"uri": "urn:x", "headlines": [{"value": "T"}], "bodies": [{"value": "t"}]}
    news["embargoedUntil"] = "2026-12-01T09:00:00+08:00"
    (tmp_path / "news.json").write_text(json.dumps(news), encoding="utf-8")
    assert 1_796_086_800_000_000 == read(tmp_path / "news.json", NOW).embargo
