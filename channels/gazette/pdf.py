"""Typst source → PDF/A-2a and PDF/UA-1, and the text of a PDF.

Promises: the same source, files and program give the same bytes; a character that the fonts cannot
show is an error, never an empty box; nothing but the given files can be read by the source. Fonts are
those of the Debian package fonts-noto-cjk, the text is read back by poppler-utils.
"""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import typst

from channels.gazette.markup import squeezed
from sync.contract import TryLater, Unauthorised, Unsupported

FONTS = Path("/usr/share/fonts/opentype/noto")
NEEDED = ("Noto Serif CJK SC", "Noto Sans CJK SC")
STANDARDS: list[typst.PDFStandard] = ["a-2a", "ua-1"]
READER = Path("/usr/bin/pdfinfo")
READ_TIME = 60.0  # seconds
_ONE_AT_A_TIME = threading.Lock()  # a compiler is not made for two threads; owned by `compiled`


@functools.cache
def _compiler() -> typst.Compiler:
    """The process's compiler: reading the fonts takes longer than an item. Raises Unauthorised without fonts."""
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FONTS)])
    missing = [family for family in NEEDED if family not in fonts.families()]
    if missing:
        raise Unauthorised(
            f"缺少字体 · fonts missing in {FONTS}: {', '.join(missing)} — install the Debian package fonts-noto-cjk"
        )
    return typst.Compiler(font_paths=fonts, ignore_system_fonts=True)


def ready() -> None:
    """Raises Unauthorised, with the mend, when fonts or the reader of PDFs are missing."""
    with _ONE_AT_A_TIME:
        _compiler()
    if not READER.exists():
        raise Unauthorised(f"{READER} is missing — install the Debian package poppler-utils")


def compiled(source: str, files: Mapping[str, bytes]) -> bytes:
    """The PDF. Raises Unsupported when the item cannot be set (a missing character, a broken picture)."""
    with tempfile.TemporaryDirectory(prefix="tongfa-gazette-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        with _ONE_AT_A_TIME:
            try:
                # The creation date stands in the source; the timestamp keeps the clock out of the rest.
                made = _compiler().compile(
                    source.encode(), format="pdf", pdf_standards=STANDARDS, root=folder, timestamp=0
                )
            except typst.TypstError as error:
                raise Unsupported(f"无法排版 · cannot be typeset: {error.message}") from error
    if not isinstance(made, bytes):
        raise Unsupported("无法排版 · cannot be typeset: no document came out")
    return made


def text_of(content: bytes) -> str:
    """The text in the order a screen reader reads it, without page numbers and white space.

    It is taken from the tagged structure: page layout cannot change its order. Raises TryLater when
    the reader fails, Unauthorised when it is not installed.
    """
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(content)
        file.flush()
        try:
            read = subprocess.run(  # noqa: S603 - our own argument list
                [str(READER), "-struct-text", file.name], capture_output=True, timeout=READ_TIME, check=False
            )
        except FileNotFoundError as error:
            raise Unauthorised(f"{READER} is missing — install the Debian package poppler-utils") from error
        except subprocess.TimeoutExpired as error:
            raise TryLater(f"reading the PDF took longer than {READ_TIME:.0f} s") from error
    said = re.findall(r'^ *"(.*?)"$', read.stdout.decode("utf-8", "replace"), re.MULTILINE)
    return squeezed("".join(said))
