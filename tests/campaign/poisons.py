"""What harms those who read it: files by kind and format, and code that breaks the process it runs in.

A maker is handed the case's own numbers, and makes the same bytes from the same numbers. The jobs at the end stand
for a defect of a decoder or a parser, in native code or not, that a file has found.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from PIL import Image

from sync.confine import Answer, Ask
from tests.unit.word_files import document, paragraph, related, table
from tests.unit.word_files import picture as shown

Make = Callable[[Random], bytes]
TITLE = paragraph("T", "a3")
MIB = 1024 * 1024
OUTSIDE = Path("/tmp/poison-was-here")  # must not be there
FITS = 1_900_000  # bytes; a text may have two MiB


# pictures, which stand in a text or a Word document


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, rows: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pieces = [_chunk(b"IHDR", header), *more, _chunk(b"IDAT", rows), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def _saved(form: str, size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    made = BytesIO()
    Image.new("RGB", size, "red").save(made, form, **options)
    return made.getvalue()


def _patched(content: bytes, at: int, what: bytes) -> bytes:
    return content[:at] + what + content[at + len(what) :]


def _frames(random: Random) -> bytes:
    """An animation of more frames than anybody looks at."""
    one = _saved("GIF", (8, 8))
    start = one.index(b"\x2c")
    return one[:start] + one[start:-1] * random.randrange(2_000, 20_000) + b";"


def _jpeg_of(width: int, height: int) -> bytes:
    one = _saved("JPEG")
    return _patched(one, one.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) // 3, len(content) - 4)]


def _flipped(content: bytes, random: Random) -> bytes:
    made = bytearray(content)
    for _ in range(random.randrange(4, 40)):
        made[random.randrange(12, len(made))] ^= 1 << random.randrange(8)
    return bytes(made)


PICTURES: Mapping[str, Make] = {
    "png of 3.6 gigapixels": lambda random: png(60_000, random.randrange(50_000, 60_000), zlib.compress(bytes(100))),
    "png that unfolds": lambda random: png(7_000, 7_000, zlib.compress(bytes(random.randrange(100, 150) * MIB))),
    "png with a bomb beside the picture": lambda random: png(
        4, 3, zlib.compress(bytes(39)), _chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100 * MIB)))
    ),
    "png of many pieces": lambda random: png(
        4, 3, zlib.compress(bytes(39)), _chunk(b"tEXt", b"a\0b") * random.randrange(50_000, 200_000)
    ),
    "png that is cut off": lambda random: _cut(_saved("PNG"), random),
    "png with flipped bits": lambda random: _flipped(_saved("PNG"), random),
    "jpeg of four gigapixels": lambda random: _jpeg_of(65_000, random.randrange(60_000, 65_000)),
    "jpeg that is cut off": lambda random: _cut(_saved("JPEG"), random),
    "jpeg of many scans": lambda random: _scans(random.randrange(200, 2_000)),
    "gif of many frames": _frames,
    "gif of four gigapixels": lambda random: _patched(_saved("GIF"), 6, struct.pack("<HH", 65_000, 65_000)),
    "gif with flipped bits": lambda random: _flipped(_saved("GIF"), random),
    "webp that is cut off": lambda random: _cut(_saved("WEBP"), random),
    "webp with flipped bits": lambda random: _flipped(_saved("WEBP"), random),
    "tiff": lambda random: _saved("TIFF"),
    "svg": lambda random: b'<svg xmlns="http://www.w3.org/2000/svg"><script>while(1){}</script></svg>',
    "postscript": lambda random: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n",
    "noise": lambda random: random.randbytes(random.randrange(1, 200_000)),
}


def _scans(many: int) -> bytes:
    """A progressive picture whose last scan comes again and again."""
    one = _saved("JPEG", (4_000, 4_000), progressive=True)
    last = one.rindex(b"\xff\xda")
    return one[:-2] + one[last:-2] * many + one[-2:]


# texts, whose readers follow what is nested, repeated or endless


def _markdown(body: bytes, front: bytes = b"") -> bytes:
    return (b"---\ntitle: T\n" + front + b"---\n" + body)[:FITS]


def _html(body: bytes) -> bytes:
    return (b"<title>T</title>" + body)[:FITS]


MARKDOWN: Mapping[str, Make] = {
    "quotations in quotations": lambda random: _markdown(b">" * random.randrange(1_000, 900_000) + b" x"),
    "stars": lambda random: _markdown(b"*a_ " * random.randrange(100_000, 400_000)),
    "brackets": lambda random: _markdown(b"[" * random.randrange(10_000, 900_000)),
    "pictures in pictures": lambda random: _markdown(b"![" * random.randrange(10_000, 400_000) + b"](x)"),
    "back-ticks": lambda random: _markdown(b" ".join(b"`" * n for n in range(1, random.randrange(500, 1_500)))),
    "lists in lists": lambda random: _markdown(b"\n".join(b" " * 2 * n + b"- a" for n in range(1_000))),
    "a wide table": lambda random: _markdown(b"|a" * 9_000 + b"|\n" + b"|-" * 9_000 + b"|\n" + b"|\n" * 100_000),
    "open tags": lambda random: _markdown(b"<a " * random.randrange(100_000, 600_000)),
    "references": lambda random: _markdown(b"".join(b"[%d]: x\n" % n for n in range(100_000)) + b"[0][0]" * 50_000),
    "one huge line": lambda random: _markdown(b"a" * random.randrange(1_000_000, 1_800_000)),
    "a page too large": lambda random: b"---\ntitle: T\n---\n" + b"a\n" * random.randrange(2 * MIB, 4 * MIB),
    "YAML that repeats itself": lambda random: _markdown(
        b"x", b"a: &a [x]\n" + b"".join(b"b%d: &b%d [%s]\n" % (n, n, b"*a," * 9) for n in range(300))
    ),
    "YAML in YAML": lambda random: _markdown(b"x", b"a: " + b"[" * random.randrange(1_000, 500_000) + b"\n"),
    "YAML of a huge number": lambda random: _markdown(b"x", b"document_no: " + b"9" * 900_000 + b"\n"),
}
HTML: Mapping[str, Make] = {
    "divisions in divisions": lambda random: _html(b"<div>" * random.randrange(50_000, 300_000)),
    "an endless tag": lambda random: _html(b"<p " + b"a " * random.randrange(100_000, 800_000)),
    "tables in tables": lambda random: _html(b"<table><tr><td>" * random.randrange(1_000, 100_000)),
    "lists in lists (HTML)": lambda random: _html(b"<ul><li>" * random.randrange(1_000, 200_000)),
    "tags that cross": lambda random: _html(b"<b><i><a href=x>" * 5_000 + b"<p></b></i>" * 5_000),
    "bold in bold": lambda random: _html(b"<b>" * random.randrange(1_000, 600_000) + b"x"),
    "a cell of a thousand million columns": lambda random: _html(
        b"<table><tr><td colspan=999999999 rowspan=999999999>x</td></tr></table>" * random.randrange(1, 9_000)
    ),
    "foreign parts": lambda random: _html(b"<svg><math><mtext><style><!--</style>" * random.randrange(100, 40_000)),
    "characters by number": lambda random: _html(b"&#x110000;&#0;&#xD800;" * random.randrange(1_000, 80_000)),
    "no text at all": lambda random: random.randbytes(random.randrange(1, 500_000)),
    "HTML too large": lambda random: b"<title>T</title>" + b"<p>a</p>" * random.randrange(400_000, 800_000),
}
NINJS: Mapping[str, Make] = {
    "JSON in JSON": lambda random: b'{"headline":"x","body_html":' + b"[" * random.randrange(1_000, 900_000),
    "objects in objects": lambda random: b'{"headline":' + b'{"a":' * random.randrange(1_000, 300_000),
    "a number of a million digits": lambda random: b'{"version":' + b"9" * random.randrange(5_000, 1_800_000) + b"}",
    "half characters": lambda random: json.dumps({"headline": "\ud800" * random.randrange(1, 9_000)}).encode(),
    "divisions in JSON": lambda random: json.dumps({"headline": "T", "body_html": "<div>" * 300_000}).encode(),
    "names without end": lambda random: json.dumps({f"n{n}": n for n in range(100_000)}).encode(),
}


def _packed(random: Random, name: str, content: bytes) -> bytes:
    made = BytesIO(document(TITLE))
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return made.getvalue()


def _lying(random: Random) -> bytes:
    """Says that it is small."""
    content = bytearray(document(TITLE, parts={"word/styles.xml": b"<a>" + b"b" * 100 * MIB}))
    place = content.rindex(b"word/styles.xml") - 46
    content[place + 24 : place + 28] = random.randrange(10, 5_000).to_bytes(4, "little")
    return bytes(content)


def _many_parts(random: Random) -> bytes:
    made = BytesIO(document(TITLE))
    with zipfile.ZipFile(made, "a") as archive:
        for number in range(random.randrange(5_000, 20_000)):
            archive.writestr(f"word/{number}", b"")
    return made.getvalue()


def _typed(doctype: str, text: str) -> bytes:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = f'<w:document xmlns:w="{space}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'
    return document(parts={"word/document.xml": doctype + body})


ENTITIES = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
WORD: Mapping[str, Make] = {
    "a zip bomb": lambda random: _packed(random, "word/x.xml", b"a" * random.randrange(150, 220) * MIB),
    "a zip that lies": _lying,
    "a zip of many parts": _many_parts,
    "a zip that is cut off": lambda random: _cut(document(TITLE), random),
    "entities in entities": lambda random: _typed(f'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">{ENTITIES}]>', "&j;"),
    "an entity that is a file": lambda random: _typed('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>', "&a;"),
    "XML in XML": lambda random: document(TITLE, "<w:sdt><w:sdtContent>" * random.randrange(10_000, 200_000)),
    "tables in Word tables": lambda random: document(
        TITLE, "<w:tbl><w:tr><w:tc>" * 240 + "</w:tc></w:tr></w:tbl>" * 240
    ),
    "a cell of a thousand million columns (Word)": lambda random: document(
        TITLE, table('<w:tc><w:tcPr><w:gridSpan w:val="999999999"/></w:tcPr><w:p/></w:tc>')
    ),
    "styles in a circle": lambda random: document(
        TITLE,
        paragraph("x", "c1"),
        styles='<w:style w:type="paragraph" w:styleId="c1"><w:basedOn w:val="c2"/></w:style>'
        '<w:style w:type="paragraph" w:styleId="c2"><w:basedOn w:val="c1"/></w:style>',
    ),
    "a picture that is a file here": lambda random: document(
        TITLE,
        shown("p", "x").replace("r:embed", "r:link"),
        relations=related("image", "file:///etc/passwd", "p", "External"),
    ),
    "a part outside the package": lambda random: document(
        TITLE, shown("p", "x"), relations=related("image", "../../../../etc/passwd", "p")
    ),
}


def in_word(content: bytes) -> bytes:
    """A Word document with that picture in it."""
    return document(
        TITLE, shown("p", "x"), relations=related("image", "media/a.png", "p"), parts={"word/media/a.png": content}
    )


def _in_word(make: Make) -> Make:
    return lambda random: in_word(make(random))


BESIDE = "picture.png"  # what a text shows that is itself none
TEXT = b"---\ntitle: T\n---\n![x](picture.png)"

# Kind → the item's file, what makes it, and whether a picture beside it is what was made.
FILES: Mapping[str, tuple[str, Make, bool]] = {
    **{name: ("item.md", make, False) for name, make in MARKDOWN.items()},
    **{name: ("item.html", make, False) for name, make in HTML.items()},
    **{name: ("item.json", make, False) for name, make in NINJS.items()},
    **{name: ("item.docx", make, False) for name, make in WORD.items()},
    **{f"{name}, beside a text": ("item.md", make, True) for name, make in PICTURES.items()},
    **{f"{name}, in a Word document": ("item.docx", _in_word(make), False) for name, make in PICTURES.items()},
}


# jobs: what a defect may do to the process that has it


def overflow(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    """Native code writes where it must not."""
    ctypes.memset(8, 1, 8)
    os._exit(0)


def aborts(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    ctypes.CDLL(None).abort()
    os._exit(0)


def recurses(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    sys.setrecursionlimit(1 << 30)

    def deeper(of: Any) -> Any:
        return sorted([of, of], key=deeper)

    return deeper(0), []


def recurses_in_python(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    return recurses_in_python(value, parts, ask)


def swallows(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    """Takes memory until there is none."""
    held = []
    while True:
        held.append(bytearray(MIB))


def loops(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    while True:
        pass


def ends(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    os._exit(0)


def kills_itself(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def talks_nonsense(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    ask._owner.sendall(b"\xff" * 4096)
    os._exit(0)


def promises_gigabytes(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    head = json.dumps([{"done": {}}, [1 << 40]]).encode()
    ask._owner.sendall(len(head).to_bytes(4, "big") + head)
    os._exit(0)


def asks_for_ever(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    while True:
        ask({"linked": ["../../etc/passwd", "x"]})


def writes_everywhere(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    for place in (OUTSIDE, Path(OUTSIDE.name)):
        place.write_bytes(b"x")
    return {}, []


JOBS = (
    overflow,
    aborts,
    recurses,
    recurses_in_python,
    swallows,
    loops,
    ends,
    kills_itself,
    talks_nonsense,
    promises_gigabytes,
    asks_for_ever,
    writes_everywhere,
)
