"""Files made to harm: each ends as a clear refusal, soon, in bounded memory, and nothing outside is touched."""

from __future__ import annotations

import json
import random
import resource
import socket
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from channels import article, webhook_page, wechat_article
from sync import confine
from sync.content import picture
from sync.content.source import BadItem, read
from sync.contract import Misbehaved
from tests.unit.item_files import NOW, RED, furnished
from tests.unit.test_ninjs import ONE
from tests.unit.test_strip import taken
from tests.unit.word_files import document, paragraph, related, table
from tests.unit.word_files import picture as shown

SECONDS = 10.0
MEMORY = 512 * 1024  # KiB beyond an idle job's

TITLE = paragraph("T", "a3")


def png(width: int, height: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    made = b"\x89PNG\r\n\x1a\n"
    for name, chunk in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        made += struct.pack(">I", len(chunk)) + name + chunk + struct.pack(">I", zlib.crc32(name + chunk))
    return made


def zip_bomb() -> bytes:
    """Two hundred megabytes of one letter."""
    made = BytesIO(document(TITLE))
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/x.xml", b"a" * 208_000_000)
    return made.getvalue()


def lying_zip() -> bytes:
    """As large, and it says that it is small."""
    content = bytearray(document(TITLE, parts={"word/styles.xml": b"<a>" + b"b" * 200_000_000}))
    place = content.rindex(b"word/styles.xml") - 46
    content[place + 24 : place + 28] = (1000).to_bytes(4, "little")
    return bytes(content)


ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    + "]>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def typed(doctype: str, text: str = "&a;") -> bytes:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = f'<w:document xmlns:w="{space}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'
    return document(parts={"word/document.xml": doctype + body})


def nested(depth: int) -> str:
    return "<w:tbl><w:tr><w:tc>" * depth + "</w:tc></w:tr></w:tbl>" * depth


def linked(target: str) -> bytes:
    return document(
        TITLE,
        shown("p", "x").replace("r:embed", "r:link"),
        relations=related("image", target, "p", "External"),
    )


def in_markdown(picture: bytes, folder: Path) -> bytes:
    (folder / "bomb.png").write_bytes(picture)
    return b"---\ntitle: T\n---\n![x](bomb.png)"


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a zip bomb": ("item.docx", zip_bomb),
    "a zip that lies": ("item.docx", lying_zip),
    "entities in entities": ("item.docx", lambda: typed(ENTITIES, "&j;")),
    "an entity that is a file": ("item.docx", lambda: typed(OUTSIDE)),
    "XML in XML without end": ("item.docx", lambda: document(TITLE, "<w:sdt><w:sdtContent>" * 200_000)),
    "tables in tables": ("item.docx", lambda: document(TITLE, nested(240))),
    "a picture that is a file here": ("item.docx", lambda: linked("file:///etc/passwd")),
    "a picture on another host": ("item.docx", lambda: linked("http://127.0.0.1:{port}/x.png")),
    "a part outside the package": (
        "item.docx",
        lambda: document(TITLE, shown("p", "x"), relations=related("image", "../../../../etc/passwd", "p")),
    ),
    "a picture that is none": (
        "item.docx",
        lambda: document(
            TITLE, shown("p", "x"), relations=related("image", "media/a.png", "p"), parts={"word/media/a.png": b"x"}
        ),
    ),
    "HTML in HTML": ("item.html", lambda: b"<title>T</title>" + b"<div>" * 300_000),
    "HTML that never ends": ("item.html", lambda: b"<title>T</title><p " + b"a " * 300_000),
    "quotations in quotations": ("item.md", lambda: b"---\ntitle: T\n---\n" + b">" * 500_000 + b" x"),
    "stars": ("item.md", lambda: b"---\ntitle: T\n---\n" + b"*a_ " * 400_000),
    "YAML that repeats itself": ("item.md", lambda: b"---\ntitle: T\na: &a [x]\n" + b"b: [*a, *a]\n" * 300 + b"---\n"),
    "JSON in JSON": ("item.json", lambda: b'{"headline":"x","body_html":' + b"[" * 900_000),
    "a picture of 50 megapixels and more": ("item.md", lambda: png(60_000, 60_000, zlib.compress(bytes(100)))),
}  # fmt: skip


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.setblocking(False)
        yield made
        with pytest.raises(BlockingIOError):  # nobody came
            made.accept()


@pytest.mark.parametrize("name", FILES)
def test_it_is_refused_in_time_and_memory(name: str, tmp_path: Path, listener: socket.socket) -> None:
    """Within ten seconds and 512 MB, with a place and a mend; this process goes on as before."""
    file, make = FILES[name]
    content = make().replace(b"{port}", str(listener.getsockname()[1]).encode())
    if file == "item.md" and content.startswith(b"\x89PNG"):
        content = in_markdown(content, tmp_path)
    path = tmp_path / file
    path.write_bytes(content)
    confine.run("sync.confine:nothing", None)
    began = time.monotonic()
    with pytest.raises(BadItem) as raised:
        read(path, NOW)
    assert time.monotonic() - began < SECONDS + 1
    assert all(str(tmp_path) in one.where and one.message and one.mend for one in raised.value.each)
    assert "root:" not in str(raised.value)
    assert ({}, []) == confine.run("sync.confine:nothing", {})


PEAK = """
import resource, sys
from pathlib import Path
from sync.content.source import read
from sync import confine
try:
    read(Path(sys.argv[1]), 0)
except Exception as error:
    print(type(error).__name__)
confine._forget()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize("name", ["a zip bomb", "a zip that lies", "tables in tables"])
def test_no_process_takes_more_memory_than_it_may(name: str, tmp_path: Path) -> None:
    """As the kernel counted it, over everything that was started."""
    file, make = FILES[name]
    content = make()
    path = tmp_path / file
    path.write_bytes(in_markdown(content, tmp_path) if content.startswith(b"\x89PNG") else content)
    told = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True, cwd=confine.ROOT
    ).stdout.split()
    assert "BadItem" == told[0]
    assert int(told[1]) < MEMORY + 128 * 1024


def test_the_largest_pictures_that_may_be_published_pass(tmp_path: Path) -> None:
    """As many pixels as each format may have: the limits of the process stand above those of the item."""
    for form, height in (("JPEG", 6_250), ("PNG", 6_250), ("GIF", 6_250), ("WEBP", 3_750)):
        file = tmp_path / f"large.{form.lower()}"
        Image.new("RGB", (8_000, height), "red").save(file, form, **({"method": 0} if form == "WEBP" else {}))
        path = tmp_path / "item.md"
        path.write_text(f"---\ntitle: T\n---\n![x]({file.name})", encoding="utf-8")
        ((asset, _),) = read(path, NOW).files
        assert f"image/{form.lower()}" == asset.media_type


def mutations(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Bytes changed, left out, repeated, and cut, where chance has it; always the same."""
    chance = random.Random(seed)
    for _ in range(count):
        made = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(made))
            match chance.randrange(5):
                case 0:
                    made[at] ^= 1 << chance.randrange(8)
                case 1:
                    made[at : at + chance.randint(1, 40)] = chance.randbytes(chance.randint(0, 40))
                case 2:
                    made[at:at] = made[at : at + chance.randint(1, 200)]
                case 3:
                    made[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"</a>"))
                case _:
                    del made[at : at + chance.randint(1, 100)]
            made = made or bytearray(b"x")
        yield bytes(made)


def loose(content: bytes) -> bytes:
    """A Word document whose parts are not packed, so that a changed byte reaches the XML."""
    made = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as archive, zipfile.ZipFile(made, "w") as stored:
        for one in archive.namelist():
            stored.writestr(one, archive.read(one))
    return made.getvalue()


def repaired(content: bytes, chance: random.Random) -> bytes:
    """One part changed inside a package that is sound."""
    made = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as archive, zipfile.ZipFile(made, "w") as stored:
        changed = chance.choice(archive.namelist())
        for one in archive.namelist():
            part = archive.read(one)
            stored.writestr(one, next(mutations(part, 1, chance.randrange(1 << 30))) if one == changed else part)
    return made.getvalue()


WORD = document(
    TITLE, paragraph("总则", "1", number="1"), table("<w:tc><w:p/></w:tc>"), shown("p", "红"),
    relations=related("image", "media/a.png", "p"), parts={"word/media/a.png": RED},
)  # fmt: skip
HTML = (
    b'<title>T</title><h2>a</h2><p>b <b>c</b> <a href="https://example.org">d</a></p><table><tr><td>e</td></tr></table>'
)
MARKDOWN = b"---\ntitle: T\nkeywords: [a, b]\n---\n# a\n\n- b\n\n| c |\n|---|\n| d |\n\n![r](images/red.png)\n"
SEEDS: dict[str, tuple[str, bytes]] = {
    "docx": ("item.docx", loose(WORD)),
    "html": ("item.html", HTML),
    "markdown": ("item.md", MARKDOWN),
    "ninjs": ("item.json", json.dumps(ONE).encode()),
}
EACH = 300
with socket.socket() as closed:
    NOBODY = confine.Ask(closed)  # is never asked


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_items_never_end_anything_but_themselves(kind: str, tmp_path: Path) -> None:
    """Three hundred of each kind: a draft or a refusal that is told, never a crash of the reader."""
    name, content = SEEDS[kind]
    beside = furnished(tmp_path)
    chance = random.Random(7)
    for number, mutated in enumerate(mutations(content, EACH, 7)):
        path = beside / name
        path.write_bytes(repaired(WORD, chance) if kind == "docx" and number % 2 else mutated)
        try:
            read(path, NOW)
        except BadItem as refusal:
            broke = [str(one) for one in refusal.each if "cannot be read safely" in one.message]
            assert [] == broke, (number, broke)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_mutated_pictures_never_end_anything_but_themselves(form: str) -> None:
    """The same for what is decoded; run where they are decoded, one process for all."""
    for mutated in mutations(taken(form, 6), EACH, 7):
        told, _ = picture.examine({"where": "x"}, [mutated], NOBODY)
        assert "refused" in told or "media_type" in told


def test_nothing_of_a_job_lies_about_afterwards(tmp_path: Path) -> None:
    """No folder, and no process but the one that forks."""
    path = tmp_path / "item.docx"
    path.write_bytes(typed(ENTITIES, "&j;"))
    with pytest.raises(BadItem):
        read(path, NOW)
    server = confine._server()._process.pid
    ends = time.monotonic() + 2
    while (left := Path(f"/proc/{server}/task/{server}/children").read_text().split()) and time.monotonic() < ends:
        time.sleep(0.01)
    assert [] == left
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("doctype", [ENTITIES, OUTSIDE])
def test_a_document_type_is_refused_for_itself(doctype: str, tmp_path: Path) -> None:
    """No program writes one into a Word document; whatever it defines is never unfolded."""
    path = tmp_path / "item.docx"
    path.write_bytes(typed(doctype, "T"))
    with pytest.raises(BadItem, match="document type"):
        read(path, NOW)


LINES = b"<p>a line that stands here again and again</p>"
HOSTILE_PAGES = {
    "deep": b"<div>" * 500_000,
    "one line": b"<article>" + LINES * 200_000,
    "attributes": b"<a " + b" ".join(b"a%d=1" % n for n in range(200_000)) + b">",
    "entities": b"<!DOCTYPE html [" + ENTITIES.encode() + b"]><p>&j;</p>",
    "unclosed": b"<table><tr><td>" * 100_000,
    "no text": bytes(range(256)) * 4_000,
}


def page_of_ours(page: bytes) -> object:
    return article.read_outside(page, str)


def page_of_a_receiver(page: bytes) -> object:
    return webhook_page.read(page, {}, "https://receiver.example/", None)


@pytest.mark.parametrize("page", HOSTILE_PAGES.values(), ids=HOSTILE_PAGES)
@pytest.mark.parametrize("reader", [page_of_ours, page_of_a_receiver, wechat_article.read_outside])
def test_a_page_from_outside_is_read_soon_or_not_at_all(page: bytes, reader: Callable[[bytes], object]) -> None:
    """Whatever a site serves, this process sees data, or that it cannot be read; and it did not parse it itself."""
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with suppress(Misbehaved):
        reader(page)
    assert time.monotonic() - began < 4 * SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < SECONDS


class Line:
    """A line that knows how often any was compared."""

    compared = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        Line.compared += 1
        return isinstance(other, Line) and self.text == other.text

    __hash__ = None  # type: ignore[assignment]


def test_lines_that_repeat_cost_their_number() -> None:
    """Many lines against fewer, which end differently: found without comparing each with each."""
    seen = [Line("again") for _ in range(20_000)]
    expected = [*seen[:400], Line("the end")]
    assert not webhook_page.stands_in(expected, seen)
    assert Line.compared < 4 * len(seen)
    assert webhook_page.stands_in(expected, [*seen, expected[-1]])
    assert webhook_page.stands_in(expected[-1:], expected) and not webhook_page.stands_in(expected, expected[1:])
