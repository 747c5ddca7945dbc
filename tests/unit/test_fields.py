"""Front matter: every key, every wrong entry on its line, and values as they were typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.content.fields import KEYS, KINDS
from sync.content.front import split
from sync.model import BadInput
from tests.unit.item_files import drafted, furnished, only_refusal


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    return furnished(tmp_path)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_chinese_alias(beside: Path, key: str) -> None:
    """Both spellings give the same draft."""
    values = {
        "title": "T",
        "kind": "policy",
        "language": "bo",
        "cover": "images/red.png",
        "images": "[{file: images/red.png, alt: r}]",
        "attachments": "form.pdf",
        "release_at": "2026-11-23T09:00+08:00",
        "embargo": "2026-11-23T09:00+08:00",
    }
    value = values.get(key, "2026-11-23")
    title = "" if key == "title" else "\ntitle: T"
    plain = drafted(beside, f"{key}: {value}{title}")
    assert plain == drafted(beside, f"{KEYS[key][0]}: {value}{title}")
    if key not in {"title"}:
        assert plain != drafted(beside, "title: T")


def test_an_unknown_key_names_the_nearest(beside: Path) -> None:
    """A misspelt key would otherwise be lost without a word."""
    refusal = only_refusal(beside, "title: T\nsumary: x")
    assert refusal.where == f"{beside / 'item.md'}:3"
    assert "`summary`" in refusal.mend
    assert "`责任编辑`" in only_refusal(beside, "title: T\n责任编缉: x").mend


@pytest.mark.parametrize(
    ("front", "line", "says"),
    [
        ("kind: notice", 1, "no title"),
        ("title:", 1, "no title"),
        ("title: ''", 2, "is empty"),
        ("title: [a]", 2, "must be text"),
        ("title: T\nsummary: {a: b}", 3, "must be text"),
        ("title: T\nkeywords: [a, [b]]", 3, "must be text"),
        ("title: T\nkeywords: [a, a]", 3, "twice"),
        ("title: T\nkind: blog", 3, "no kind"),
        ("title: T\nwritten_on: 2026-02-30", 3, "not a date"),
        ("title: T\nwritten_on: 23.11.2026", 3, "not a date"),
        ("title: T\nlanguage: Chinese (simplified)", 3, "no language"),
        ("title: T\ntitle: U", 3, "line 2"),
        ("title: T\ncolumn: x\n标题: U", 4, "line 2"),
        ("title: T\neffective_on: 2026-02-02\nexpires_on: 2026-02-01", 4, "expires"),
        ("title: T\nrelease_at: 2026-11-23 09:00", 3, "no offset"),
        ("title: T\nrelease_at: 2027-03-28 02:30 Europe/Berlin", 3, "does not exist"),
        ("title: T\nembargo: tomorrow", 3, "cannot be read"),
        ("title: T\nembargo: 2026-11-23T09:00Z\nrelease_at: 2026-11-23T08:59Z", 4, "embargo (line 3)"),
        ("title: 通知 #1", 2, "end at the #"),
        ("title: T\nattachments: [{file: form.pdf, alt: x}]", 3, "`alt`"),
        ("title: T\nattachments: [{name: x}]", 3, "names no file"),
        ("title: T\nattachments: [{file: form.pdf, name: a/b}]", 3, "cannot be the name"),
        ("title: T\ncover: [images/red.png]", 3, "holds no file"),
        ("title: T\nsummary: 'x", 3, "not YAML"),
        ("title: T\n  x: y", 3, "not YAML"),
        ("title: T\n? [a]\n: b", 3, "no word"),
        ("- title", 2, "no list of"),
        ("title: T\nkeywords: [[[[[[x]]]]]]", 3, "too deep"),
    ],
)
def test_a_wrong_entry_is_refused_on_its_line(beside: Path, front: str, line: int, says: str) -> None:
    """The place leads, the mend follows."""
    refusal = only_refusal(beside, front)
    assert refusal.where == f"{beside / 'item.md'}:{line}"
    assert says in refusal.message
    assert refusal.mend


def test_a_full_width_colon_is_recognised(beside: Path) -> None:
    """The commonest slip of a Chinese keyboard has a mend of its own."""
    assert "`标题: …`" in only_refusal(beside, "标题：关于防汛的通知\n摘要：x").mend
    assert "`摘要: …`" in only_refusal(beside, "标题: 关于防汛的通知\n摘要：x").mend


def test_blank_entries_are_as_good_as_none(beside: Path) -> None:
    """A form that was not filled in to the end is a complete item."""
    assert drafted(beside, "title: T\nsummary:\nkeywords: ~\noutlets:\ncover: # none") == drafted(beside)


def test_values_stay_as_they_were_typed(beside: Path) -> None:
    """YAML alone would make numbers, dates and booleans of these."""
    metadata = drafted(beside, "title: 0xff\nindex_no: 0123\nsource: no\ndocument_no: 12:30\nvalidity: 1e3").metadata
    assert [metadata[key] for key in ("index_no", "source", "document_no", "validity")] == [
        "0123",
        "no",
        "12:30",
        "1e3",
    ]


def test_lists_and_single_values_keep_their_shape(beside: Path) -> None:
    """Keywords are always a list; an author may be one or several."""
    metadata = drafted(
        beside, "title: T\nkeywords: 防汛、安全，水利\nauthor: 甲\neditor: [乙, 丙]\ntopics: 财政、金融、审计"
    ).metadata
    assert metadata["keywords"] == ("防汛", "安全", "水利")
    assert (metadata["author"], metadata["editor"]) == ("甲", ("乙", "丙"))
    assert metadata["topics"] == ("财政、金融、审计",)


@pytest.mark.parametrize("typed", ["2026-03-04", "2026年3月4日", "'2026-03-04'"])
def test_dates_become_iso(beside: Path, typed: str) -> None:
    """One spelling leaves this module."""
    assert drafted(beside, f"title: T\n成文日期: {typed}").metadata["written_on"] == "2026-03-04"


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_may_be_chinese(beside: Path, kind: str) -> None:
    """The stored word is the English one."""
    assert drafted(beside, f"title: T\n类型: {KINDS[kind]}").metadata["kind"] == kind


def test_a_folded_summary_has_no_gaps(beside: Path) -> None:
    """YAML joins lines by spaces; Chinese text does not."""
    for front in (
        "summary: >\n  第一行，\n  第二行",
        "summary: 第一行，\n  第二行",
        "summary: |\n  第一行，\n  第二行",
    ):
        assert drafted(beside, f"title: T\n{front}").metadata["summary"] == "第一行，第二行"


def test_a_release_at_the_end_of_the_embargo_is_allowed(beside: Path) -> None:
    """The embargo forbids what comes before, not the instant."""
    at = "2026-11-23T09:00+08:00"
    draft = drafted(beside, f"title: T\nembargo: {at}\nrelease_at: {at}")
    assert draft.release_at == draft.embargo


def test_a_past_release_and_now_are_left_to_the_caller(beside: Path) -> None:
    """The file may be read long after it was published; `now` is an instant only at commit."""
    past = drafted(beside, "title: T\nrelease_at: 2020-01-01T00:00Z")
    assert past.release_at == 1_577_836_800_000_000
    now = drafted(beside, "title: T\nrelease_at: now")
    assert (now.release_at, now.release_at_typed) == (None, "now")


@given(st.text(alphabet="ab:- #[]{}'\"|>\n&*!%@`,?~题：0", max_size=60))
def test_no_front_matter_gives_another_exception(block: str) -> None:
    """Whatever stands there, a person gets a line and a mend."""
    try:
        split(f"---\n{block}\n---\n", "x")
    except BadInput as refusal:
        assert refusal.where.startswith("x:")
