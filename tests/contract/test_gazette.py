"""The gazette: page and PDF say the same, the PDF is made for keeping, and who may publish one."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pypdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.article import parsed
from channels.gazette import GazetteChannel, pdf, printed
from channels.gazette.markup import Picture, Writer, expected_text, squeezed
from sync.compare import tokens
from sync.contract import Place, Prepared, Receipt, Rejected, Unauthorised, Unsupported
from sync.model import BadInput, Key, Outlet
from tests.contract import bench_gazette
from tests.contract.bench import CLOCK, window
from tests.contract.sites import BLOBS, BODY, PICTURE, StaticBench, edition, tools

KEY = Key("test", "delivery")
TEXT = edition(
    body=BODY.replace('<td rowspan="2">茶场</td>', "<td>茶场</td>").replace(
        "<tr><td>07:02", "<tr><td>茶场</td><td>07:02"
    )
)


@pytest.fixture
def gazette(tmp_path: Path) -> Iterator[StaticBench]:
    with bench_gazette.bench(tmp_path) as made:
        yield made


def channel(**changed: str) -> GazetteChannel:
    given = {"directory": "/srv/gazette", "base_url": "https://www.example.gov.cn/gb", **changed}
    return GazetteChannel(Outlet("gazette", "unit", "gazette", given), tools())


@pytest.fixture(scope="module")
def content() -> bytes:
    """The PDF of the full edition."""
    made = channel()
    return printed.made(made._printed(TEXT, KEY), BLOBS.__getitem__)


def poppler(program: str, content: bytes, tmp_path: Path, *options: str, to: str = "") -> str:
    """What an independent program says of the file."""
    file = tmp_path / "item.pdf"
    file.write_bytes(content)
    ends = ["-"] if to else []
    return subprocess.run([program, *options, str(file), *ends], capture_output=True, text=True, check=True).stdout


def test_pdftotext_finds_the_whole_item_and_every_table_cell(content: bytes, tmp_path: Path) -> None:
    """The text within the body grid is the item's, character by character in order; page numbers stand outside."""
    inside = ("-raw", "-x", "60", "-y", "90", "-W", "475", "-H", "680")  # points from the top left: the body grid
    found = squeezed(poppler("pdftotext", content, tmp_path, *inside, to="-"))
    assert found == channel()._printed(TEXT, KEY).text
    for cell in (token.value for token in tokens(TEXT.body) if token.kind == "cell"):
        assert squeezed(cell) in found


def test_the_expected_text_holds_every_word_of_the_edition() -> None:
    """What is compared with is derived from the edition: each of its texts and cells, in order."""
    text = channel()._printed(TEXT, KEY).text
    position = 0
    for token in tokens(TEXT.body):
        if token.kind in ("text", "cell"):
            position = text.index(squeezed(token.value), position) + len(squeezed(token.value))
    assert text.startswith(squeezed(TEXT.title + "清政通〔2026〕18号"))
    assert text.endswith("附件：1.时刻表.csv清溪镇人民政府2026年11月20日")


def test_cells_that_span_rows_keep_their_place(tmp_path: Path) -> None:
    """In the tagged order a cell over two rows is read with its first row."""
    made = channel()
    content = printed.made(made._printed(edition(), KEY), BLOBS.__getitem__)
    assert "茶场07:0111:4107:0209:2211:42" in pdf.text_of(content)
    assert sorted(
        squeezed(poppler("pdftotext", content, tmp_path, "-raw", to="-")).replace("—1—", "").replace("—2—", "")
    ) == sorted(made._printed(edition(), KEY).text)


def test_fonts_are_embedded_subsets_of_a_chinese_font(content: bytes, tmp_path: Path) -> None:
    """pdffonts: every font embedded, subset, with a map to Unicode."""
    rows = poppler("pdffonts", content, tmp_path).splitlines()[2:]
    assert any("NotoSerifCJKsc" in row for row in rows)
    for row in rows:
        assert re.match(r"[A-Z]{6}\+", row)
        assert row.split()[-5:-2] == ["yes", "yes", "yes"]


def test_the_file_states_its_standards_title_language_and_author(content: bytes, tmp_path: Path) -> None:
    """PDF/A-2a and PDF/UA-1 are claimed; what a screen reader needs is there."""
    said = poppler("pdfinfo", content, tmp_path)
    assert re.search(r"Tagged: +yes", said)
    assert re.search(r"Page size: +595\.\d+ x 841\.\d+ pts \(A4\)", said)
    assert re.search(r"Encrypted: +no", said)
    metadata = poppler("pdfinfo", content, tmp_path, "-meta")
    assert "<pdfaid:part>2</pdfaid:part>" in metadata
    assert "<pdfaid:conformance>A</pdfaid:conformance>" in metadata
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    read = pypdf.PdfReader(tmp_path / "item.pdf")
    assert read.metadata is not None
    assert (read.metadata.title, read.metadata.author) == (TEXT.title, "清溪镇人民政府")
    assert str(read.trailer["/Root"]["/Lang"]).lower() == "zh-cn"  # type: ignore[index]


def test_the_same_rendition_gives_the_same_bytes(content: bytes) -> None:
    """No clock and no chance in the file."""
    made = channel()
    assert (
        hashlib.sha256(printed.made(made._printed(TEXT, KEY), BLOBS.__getitem__)).digest()
        == hashlib.sha256(content).digest()
    )


def test_pictures_have_their_alternative_text(content: bytes, tmp_path: Path) -> None:
    """The picture is in the file, and so are the words for those who cannot see it."""
    assert len(poppler("pdfimages", content, tmp_path, "-list").splitlines()) == 3
    read = pypdf.PdfReader(tmp_path / "item.pdf")
    size = read.trailer["/Size"]
    assert isinstance(size, int)
    alternatives = [str(found["/Alt"]) for n in range(1, size) if "/Alt" in (found := _object(read, n))]
    assert alternatives == ["12 路示意图"]


def _object(reader: pypdf.PdfReader, number: int) -> pypdf.generic.DictionaryObject:
    found = reader.get_object(number)
    return found if isinstance(found, pypdf.generic.DictionaryObject) else pypdf.generic.DictionaryObject()


def test_the_body_grid_holds_22_lines_of_28_characters(tmp_path: Path) -> None:
    """A page of plain text has the grid of GB/T 9704 and its margins."""
    made = channel()
    text = edition(
        body=f"<p>{'一二三四五六七八九十百千万亿' * 100}</p>", document_no="", issuing_body="", written_on=""
    )
    content = printed.made(made._printed(text, KEY), BLOBS.__getitem__)
    page = poppler("pdftotext", content, tmp_path, "-f", "2", "-l", "2", to="-").split()
    lines = [line for line in page if len(line) > 5]
    assert [len(line) for line in lines] == [28] * 22
    boxes = poppler("pdftotext", content, tmp_path, "-f", "2", "-l", "2", "-bbox", to="-")
    words = re.findall(r'xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.{6,})<', boxes)
    point = 25.4 / 72
    assert all(abs(float(left) * point - 28) < 1 for left, *_ in words)
    assert all(abs(210 - float(right) * point - 26) < 1 for _, _, right, _, _ in words)


@pytest.mark.parametrize("level", ["township", "subdistrict", "department"])
def test_who_may_not_publish_a_gazette_is_told_to_submit(level: str) -> None:
    """The refusal names the norm and the way: submit to the county's gazette."""
    with pytest.raises(BadInput) as told:
        channel(publisher_level=level)
    assert "国办发〔2018〕22号" in told.value.message
    assert "报送" in told.value.mend


@pytest.mark.parametrize(
    ("name", "value"), [("publisher_level", "village"), ("formats", "pdf"), ("formats", "html,docx")]
)
def test_a_setting_that_cannot_be_used_is_told(name: str, value: str) -> None:
    """Each wrong setting is named."""
    with pytest.raises(BadInput) as told:
        channel(**{name: value})
    assert told.value.where == name


def test_a_character_the_fonts_lack_is_found_before_anything_is_sent() -> None:
    """An empty box in a gazette is worse than a refusal; the problem names the character."""
    problems = [problem for problem in channel().check(edition(body="<p>测试 \U0001f600</p>")) if problem.fatal]
    assert len(problems) == 1
    assert "\U0001f600" in problems[0].message


def test_a_missing_font_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator reads which package to install."""
    monkeypatch.setattr(pdf, "NEEDED", ("Noto Serif CJK SC", "Song of Nowhere"))
    with pytest.raises(Unauthorised, match="Song of Nowhere — install the Debian package fonts-noto-cjk"):
        pdf.ready()


def test_nothing_but_the_given_files_can_be_read() -> None:
    """The compiler sees the folder of this item only, and no text of an item is markup."""
    with pytest.raises(Unsupported):
        pdf.compiled('#set document(title: "x")\n#read("/etc/passwd")', {})
    made = channel()
    item = edition(
        title='#read("/etc/passwd") "\\', body="<p>#read(&quot;x&quot;) *a* _b_ $c$ `d` [e] // f /* g */ \\ @h ~</p>"
    )
    assert "#read(" in pdf.text_of(printed.made(made._printed(item, KEY), BLOBS.__getitem__))


def test_a_template_that_drops_text_never_gets_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The PDF's text is read back before it is staged: a cell that is not printed stops the item."""
    made = channel()
    table = Writer._table

    def dropping(self: Writer, element: object) -> str:
        return table(self, element).replace("08:50", "")  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "_table", dropping)
    assert any(problem.fatal for problem in made.check(TEXT))
    with pytest.raises(Rejected):
        printed.made(made._printed(TEXT, KEY), BLOBS.__getitem__)


def test_the_pdf_is_hidden_until_the_release_and_linked_after(gazette: StaticBench) -> None:
    """It lies under an unguessable name; the page that names it appears at the instant, the index after."""
    key = gazette.key()
    rendition = gazette.render(key)
    shot = gazette.armed(rendition, key)
    added = [path for path in gazette.public_files() if path.startswith("files/") and path != "files/index.html"]
    assert len(added) == 1
    assert re.fullmatch(r"files/[0-9a-f]{24}/[0-9a-f]{16}\.pdf", added[0])
    assert not (gazette.served / "index.html").exists()
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    assert f'href="../{added[0]}"' in (gazette.served / receipt.ref).read_text()
    index = (gazette.served / "index.html").read_text()
    assert gazette.edition.title in index
    assert "清政通〔2026〕18号" in index
    assert gazette.channel().verify(receipt, rendition).problems == ()


def test_a_pdf_that_changed_by_one_byte_is_a_problem(gazette: StaticBench) -> None:
    """The bytes must be those that were prepared, also when the text is still the same."""
    key = gazette.key()
    rendition, receipt = gazette.publish(gazette.edition, key)
    file = gazette.served / rendition.fields["pdf"]
    file.write_bytes(file.read_bytes() + b"\n")
    (problem,) = gazette.channel().verify(receipt, rendition).problems
    assert "PDF" in problem.message


def test_a_pdf_with_another_digit_names_the_place(gazette: StaticBench) -> None:
    """A replaced file is found by its digest and by its text."""
    key = gazette.key()
    rendition, receipt = gazette.publish(gazette.edition, key)
    other = gazette.channel()._printed(edition(body=BODY.replace("08:50", "08:51")), key)  # type: ignore[attr-defined]
    (gazette.served / rendition.fields["pdf"]).write_bytes(
        pdf.compiled(other.source, {name: BLOBS[digest] for name, digest in other.files.items()})
    )
    problems = gazette.channel().verify(receipt, rendition).problems
    assert any("08:50" in p.message.replace("…", "") and "08:51" in p.message for p in problems)


def test_a_probe_after_a_crash_knows_the_digest_of_the_pdf(gazette: StaticBench) -> None:
    """The receipt of a recovered delivery proves the same bytes as that of a settled one."""
    key = gazette.key()
    rendition = gazette.render(key)
    gazette.armed(rendition, key).send(window(), CLOCK.boottime)
    found = gazette.channel().probe(rendition, key, None)
    assert isinstance(found, Receipt)
    prepared = hashlib.sha256((gazette.served / rendition.fields["pdf"]).read_bytes()).hexdigest()
    assert prepared in found.notes.values()
    assert gazette.channel().verify(found, rendition).problems == ()


def test_discarding_removes_the_pdf(gazette: StaticBench) -> None:
    """Nothing of a cancelled item stays in the served folder."""
    key = gazette.key()
    rendition = gazette.render(key)
    prepared = gazette.channel().prepare(rendition, key)
    assert isinstance(prepared, Prepared)
    gazette.channel().discard(prepared, key)
    assert not (gazette.served / rendition.fields["pdf"]).exists()


def test_a_gazette_of_pages_only_prints_nothing() -> None:
    """formats=html: no PDF in the rendition."""
    rendition = channel(formats="html").render(edition(), Place(KEY, None))
    assert "pdf" not in rendition.fields
    assert ".pdf" not in rendition.content


words = st.text(st.sampled_from("中文段落12 ab，。（）「」#*_$`\\@~[]<>&\"'=+-/"), min_size=1, max_size=12)
escaped = words.map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
inline = st.one_of(escaped, escaped.map(lambda t: f"<strong>{t}</strong>"), escaped.map(lambda t: f"<em>{t}</em><br>"))
spans = st.tuples(inline, st.integers(1, 3), st.integers(1, 2))
cells = st.tuples(st.lists(spans, min_size=1, max_size=4), st.sampled_from(["td", "td", "th"]))
row = cells.map(
    lambda made: (
        "<tr>" + "".join(f'<{made[1]} colspan="{c}" rowspan="{r}">{t}</{made[1]}>' for t, c, r in made[0]) + "</tr>"
    )
)
block = st.one_of(
    inline.map(lambda t: f"<p>{t}</p>"),
    st.sampled_from(["h2", "h3", "h4"]).flatmap(lambda tag: escaped.map(lambda t: f"<{tag}>{t}</{tag}>")),
    st.lists(inline, min_size=1, max_size=3).map(lambda ts: "<ol>" + "".join(f"<li>{t}</li>" for t in ts) + "</ol>"),
    inline.map(lambda t: f"<ul><li>{t}<ul><li><p>{t}</p></li></ul>{t}</li></ul>"),
    st.lists(row, min_size=1, max_size=3).map(lambda rows: f"<table>{''.join(rows)}</table>"),
    inline.map(lambda t: f"<blockquote>{t}<p>{t}</p></blockquote>"),
    st.just("<hr>"),
)


@given(st.lists(block, min_size=1, max_size=6))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_body_of_the_subset_is_printed_word_for_word(blocks: list[str]) -> None:
    """Whatever an author writes within the subset comes out of the PDF as it was written."""
    root = parsed("".join(blocks))
    made = channel()
    source = made._tools.pages.render(
        "gazette/item.typ",
        title='"题"',
        author='"甲"',
        keywords="()",
        date=[2026, 11, 20],
        lang='"zh"',
        region='"CN"',
        under_title=[],
        body=Writer(lambda address: Picture("x.png", "x"), lambda address: address).body(root),
        attached=[],
        signed=[],
    )
    assert pdf.text_of(pdf.compiled(source, {"x.png": PICTURE})) == "题" + expected_text(root)
