"""News in JSON of every version becomes the same item; what the agency does not want published does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sync.content.source import Draft, read
from sync.model import AssetRole, BadInput, sha256
from tests.unit.item_files import NOW, RED, furnished, refused

PICTURE = {"main": {"href": "images/red.png", "width": 400}, "far": {"href": "https://example.org/r.png", "width": 900}}
ONE: dict[str, Any] = {
    "uri": "https://example.org/1",
    "type": "text",
    "pubstatus": "usable",
    "versioncreated": "2026-11-20T10:39:00+08:00",
    "language": "en",
    "byline": "A. Writer",
    "headline": "A bridge opens",
    "description_text": "In short.",
    "body_text": "First.\nSecond.",
    "body_html": "<p>First.</p><p>Second.</p>",
    "infosource": [{"name": "The Agency"}],
    "subject": [{"name": "Transport"}, {"name": "Roads"}],
    "associations": {
        "mainpic": {
            "type": "picture",
            "headline": "The bridge",
            "description_text": "Seen from south.",
            "renditions": PICTURE,
        }
    },
}


def listed(named: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, **one} for name, one in named.items()]


def second(camel: bool) -> dict[str, Any]:
    """The same story in 2.x, or in 3.x."""
    kind = "contentType" if camel else "contenttype"
    association = {
        "name": "mainpic",
        "type": "picture",
        "headlines": [{"value": "The bridge"}],
        "descriptions": [{"role": "text", kind: "text/plain", "value": "Seen from south."}],
        "renditions": listed(PICTURE),
    }
    return {
        "uri": "https://example.org/1",
        "type": "text",
        "pubStatus" if camel else "pubstatus": "usable",
        "versionCreated" if camel else "versioncreated": "2026-11-20T10:39:00+08:00",
        "language": "en",
        "by": "A. Writer",
        "headlines": [{"role": "main", "value": "A bridge opens"}],
        "descriptions": [{kind: "text/plain", "value": "In short."}],
        "bodies": [
            {"role": "text", kind: "text/plain", "value": "First.\nSecond."},
            {"role": "html5", kind: "text/html", "value": "<html><head><title>A bridge opens</title></head><body>"
             "<h1>A bridge opens</h1><p>First.</p><p>Second.</p></body></html>"},
        ],
        "infoSources" if camel else "infosources": [{"name": "The Agency"}],
        "subjects": [{"name": "Transport"}, {"name": "Roads"}],
        "associations": [association],
    }  # fmt: skip


def drafted(folder: Path, news: object) -> Draft:
    path = folder / "item.json"
    path.write_text(json.dumps(news, indent=1, ensure_ascii=False), encoding="utf-8")
    return read(path, NOW)


def refusals(folder: Path, news: object) -> tuple[BadInput, ...]:
    path = folder / "item.json"
    path.write_text(json.dumps(news, indent=1, ensure_ascii=False), encoding="utf-8")
    return refused(path)


@pytest.mark.parametrize("news", [ONE, second(False), second(True)], ids=["1.x", "2.x", "3.x"])
def test_every_version_says_the_same(tmp_path: Path, news: dict[str, Any]) -> None:
    """Title, text, metadata, and the picture from the file beside the JSON, before the text that does not show it."""
    draft = drafted(furnished(tmp_path), news)
    assert ("A bridge opens", ()) == (draft.title, draft.notes)
    picture = f'<img src="asset:{sha256(RED)}" alt="The bridge">'
    assert [
        f"<figure>{picture}<figcaption>Seen from south.</figcaption></figure>",
        "<p>First.</p>",
        "<p>Second.</p>",
    ] == draft.body.split("\n")
    assert {
        "kind": "news", "language": "en", "author": "A. Writer", "summary": "In short.", "source": "The Agency",
        "written_on": "2026-11-20", "topics": ("Transport", "Roads"),
    } == draft.metadata  # fmt: skip
    assert [(AssetRole.IMAGE, "The bridge")] == [(asset.role, asset.alt) for asset, _ in draft.files]


def test_a_picture_of_the_text_is_the_file_beside_it(tmp_path: Path) -> None:
    """The body names the agency's copy; the association says which file that is."""
    shown = '<p>First.</p><img src="https://example.org/r.png" alt="Red">'
    draft = drafted(furnished(tmp_path), {**ONE, "body_html": shown})
    assert f'<p>First.</p>\n<p><img src="asset:{sha256(RED)}" alt="Red"></p>' == draft.body


def test_what_lies_elsewhere_is_told_and_not_fetched(tmp_path: Path) -> None:
    """A picture with no file here, and a film; the text still is an item."""
    far = {"type": "picture", "headline": "Far", "renditions": {"main": {"href": "https://example.org/f.jpg"}}}
    draft = drafted(tmp_path, {**ONE, "associations": {"far": far, "film": {"type": "video"}}})
    assert [True, True] == [word in note.message for word, note in zip(("far", "film"), draft.notes, strict=True)]
    assert "<p>First.</p>\n<p>Second.</p>" == draft.body


def test_an_embargo_of_the_agency_is_one_here(tmp_path: Path) -> None:
    """Nothing goes out before it."""
    draft = drafted(furnished(tmp_path), {**ONE, "embargoed": "2026-11-23T01:00:00Z"})
    assert 1_795_395_600_000_000 == draft.embargo


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"pubstatus": "withheld"}, "does not want it published"),
        ({"pubstatus": "canceled"}, "does not want it published"),
        ({"type": "video"}, "it is no text"),
        ({"headline": None}, "no title"),
        ({"body_html": "", "body_text": "", "associations": {}}, "no text"),
        ({"body_html": "<script>x</script>"}, "program"),
        ({"body_html": '<img src="https://elsewhere.example/x.png" alt="x">'}, "lies elsewhere"),
        ({"body_html": '<img src="../secret.pdf" alt="x">'}, "leads out of the folder"),
        ({"associations": {"p": {"type": "picture", "renditions": {"m": {"href": "../secret.png"}}}}}, "leads out"),
        ({"associations": {"p": {"type": "picture", "renditions": {"m": {"href": "/etc/passwd"}}}}}, "leads out"),
        ({"associations": {"p": {"type": "picture", "renditions": {"m": {"href": "file:///etc/passwd"}}}}}, ""),
        ({"language": "no language!"}, "names no language"),
    ],
)
def test_what_must_not_be_published_is_refused(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    """As of any other kind of file, with the line of the JSON; a file: address is like one elsewhere, left out."""
    beside = furnished(tmp_path)
    if not says:
        assert 1 == len(drafted(beside, {**ONE, **changed}).notes)
        return
    found = refusals(beside, {**ONE, **changed})
    assert any(says in one.message for one in found), [str(one) for one in found]


@pytest.mark.parametrize("news", [[], "x", 5, None, {}, {"headlines": 5, "bodies": {"a": 1}, "associations": "x"}])
def test_json_that_is_no_news_is_refused(tmp_path: Path, news: object) -> None:
    """Whatever it is."""
    assert refusals(tmp_path, news)


def test_broken_json_is_refused_with_its_line(tmp_path: Path) -> None:
    """Also what is nested without end."""
    path = tmp_path / "item.json"
    path.write_text('{\n"headline": "x",\n]')
    assert refused(path)[0].where.endswith(":3")
    path.write_text("[" * 200_000)
    assert "nested too deep" in refused(path)[0].message
