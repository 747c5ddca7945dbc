"""`tongfa preview`: what every outlet will show, before anything is stored or sent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pypdf
import pytest

from sync.bootstrap import kinds
from tests.acceptance.commands import Door, snapshot
from tests.acceptance.installation import ROOT, Installation, write_item
from tests.acceptance.mode import TONGFA
from tests.unit.word_files import document, paragraph

NAMES = {"website": "site", "webhook": "hook"}
OUTLETS = {NAMES.get(kind, kind): kind for kind in kinds()}  # one of every kind that there is
# Becomes `tongfa` in a network without interfaces, or says that there can be none here.
CUT_OFF = "import os, sys; from sync.walls import no_network; assert no_network(); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture(scope="module")
def previews(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """An installation that was never up: no worker, and no sandbox server, has ever run."""
    installed = Installation(tmp_path_factory.mktemp("preview") / "home")
    installed.add(OUTLETS)
    return Door(installed)


@pytest.fixture
def item(previews: Door, tmp_path: Path) -> Path:
    return write_item(tmp_path / "item", "关于试运行的通告")


class Page(HTMLParser):
    """What a page refers to, and what it says."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if tag in ("link", "img", "script", "source") and "canonical" != found.get("rel") != "alternate":
            self.refers.append(found.get("href") or found.get("src") or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_outlet_shows_what_it_will_show(previews: Door, item: Path, tmp_path: Path) -> None:
    """Each as its readers find it, with all that it needs beside it; and nothing was stored."""
    before = snapshot(previews.home)
    out = tmp_path / "out"
    told = previews.done("preview", item, "--out", out)
    assert before == snapshot(previews.home)
    shown = {one["outlet"]: one for one in told["outlets"]}
    assert (set(OUTLETS), None, False) == (set(shown), told["item"], told["fatal"])
    for one in shown.values():
        assert one["files"] and all(Path(file).is_file() for file in one["files"]), one
        assert any("关于试运行的通告" in said(Path(file)) for file in one["files"]), one
    for name in ("site", "gazette", "wechat"):
        first = Path(shown[name]["files"][0])
        page = Page(first)
        assert "关于试运行的通告" in page.text and "07:01" in page.text
        for address in page.refers:
            assert (first.parent / address.partition("?")[0]).is_file(), (name, address)
    (pdf,) = [file for file in shown["gazette"]["files"] if file.endswith(".pdf")]
    assert "关于试运行的通告" in str(pypdf.PdfReader(pdf).metadata.title)  # type: ignore[union-attr]


def said(path: Path) -> str:
    """What a file of a preview says, as text: of a picture nothing."""
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return ""
    return json.dumps(json.loads(text), ensure_ascii=False) if path.suffix == ".json" else text


def test_a_live_outlet_is_shown_without_its_secrets(item: Path, tmp_path: Path) -> None:
    """As it is set, by stand-ins for what it keeps secret."""
    installed = Installation(tmp_path / "home")
    given = ("--set", "url=https://hook.example/in", "--secret", "secret=env:HOOK", "--live")
    told = installed.run(
        "outlet", "add", "hook", "--kind", "webhook", *given, HOOK="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    )
    assert 0 == told.code, told.err
    (shown,) = Door(installed).done("preview", item, "--out", tmp_path / "out")["outlets"]
    assert shown["live"] and any("关于试运行的通告" in said(Path(file)) for file in shown["files"]), shown


def test_the_index_leads_everywhere(previews: Door, item: Path, tmp_path: Path) -> None:
    """Every file and every problem; Chinese first, no script, nothing from elsewhere."""
    told = previews.done("preview", item, "--out", tmp_path / "out")
    index = Path(told["index"])
    page = Page(index)
    assert {"script", "iframe", "form"}.isdisjoint(page.tags)
    text = index.read_text()
    linked = re.findall(r'<a href="([^"]+)"', text)
    assert [file for one in told["outlets"] for file in one["files"]] == [str(index.parent / link) for link in linked]
    assert all(problem["message"] in text for one in told["outlets"] for problem in one["problems"])
    assert '<html lang="zh-CN">' in text and 'lang="en"' in text and "min-height: 44px" in text


def test_it_needs_no_network(previews: Door, item: Path, tmp_path: Path) -> None:
    """In a network without interfaces it does the same."""
    ran = subprocess.run(
        [sys.executable, "-c", CUT_OFF, str(TONGFA), "preview", str(item), "--out", str(tmp_path / "out"), "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "TONGFA_HOME": str(previews.home)},
        timeout=120,
    )
    assert 0 == ran.returncode, ran.stderr
    assert all(one["files"] for one in json.loads(ran.stdout)["outlets"])


def test_a_fatal_problem_is_exit_2_and_stands_with_the_rest(previews: Door, tmp_path: Path) -> None:
    """The gazette's fonts lack a character: the other outlets are shown all the same."""
    item = write_item(tmp_path / "item", "有表情的通告", body="测试 \U0001f600\n")
    told = previews.run("preview", item, "--out", tmp_path / "out", "--json")
    assert (2, True) == (told.code, told.json["fatal"])
    fatal = {one["outlet"] for one in told.json["outlets"] if any(problem["fatal"] for problem in one["problems"])}
    assert {"gazette"} == fatal
    assert all(one["files"] for one in told.json["outlets"] if one["outlet"] != "gazette")
    assert "必须处理" in Path(told.json["index"]).read_text()


def test_outlets_are_those_named_or_those_of_the_front_matter(previews: Door, item: Path, tmp_path: Path) -> None:
    """Named ones first; a name that is none is refused."""

    def names(*arguments: str | Path) -> list[str]:
        told: Any = previews.done("preview", *arguments, "--out", tmp_path / "out")
        return [one["outlet"] for one in told["outlets"]]

    routed = write_item(tmp_path / "routed", "只发一处", outlets="[site]")
    assert ["mastodon", "wechat"] == names(item, "--outlet", "mastodon", "--outlet", "wechat")
    assert ["site"] == names(routed)
    assert ["mastodon"] == names(routed, "--outlet", "mastodon")
    told = previews.run("preview", item, "--outlet", "sites", "--out", tmp_path / "out", "--json")
    assert (2, True) == (told.code, "site" in told.json["error"]["mend"])


def test_an_item_is_shown_as_it_was_kept(previews: Door, tmp_path: Path) -> None:
    """By its id, with the pictures that are kept; a Word document's notes are told with it."""
    kept = previews.done("item", "add", write_item(tmp_path / "item", "已入库的通告"))
    told = previews.done("preview", kept["item"], "--out", tmp_path / "out")
    assert (kept["item"], kept["digest"]) == (told["item"], told["digest"])
    word = tmp_path / "通知.docx"
    word.write_bytes(document(paragraph("题", "a3"), paragraph("文"), core="<dc:creator>张三</dc:creator>"))
    told = previews.done("preview", word, "--outlet", "site", "--out", tmp_path / "word")
    assert [("张三" in one["message"], one["fatal"]) for one in told["problems"]] == [(True, False)]
    assert told["problems"] == previews.done("item", "add", word)["problems"]


def test_another_preview_takes_the_place_of_the_first_and_of_nothing_else(
    previews: Door, item: Path, tmp_path: Path
) -> None:
    """A folder with other files in it is left alone."""
    out = tmp_path / "out"
    previews.done("preview", item, "--outlet", "site", "--outlet", "hook", "--out", out)
    previews.done("preview", item, "--outlet", "hook", "--out", out)
    assert {"hook", "index.html", ".tongfa-preview.json"} == {path.name for path in out.iterdir()}
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("x")
    told = previews.run("preview", item, "--out", other, "--json")
    assert (2, ["mine.txt"]) == (told.code, [path.name for path in other.iterdir()])
