"""The typesetter, for a confined process: Typst source and its files → PDF/A-2a and PDF/UA-1.

Imported only where jobs are forked (`sync.confine`), never in a process that sends anything: reading the
fonts takes longer than an item, so it is done once, here, and every job has them already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typst

from sync.confine import Answer, Ask

FONTS = Path("/usr/share/fonts/opentype/noto")
STANDARDS: list[typst.PDFStandard] = ["a-2a", "ua-1"]

# No thread is started by this; compiling starts some, so it must not happen before the fork.
_FONTS = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FONTS)])
_COMPILER = typst.Compiler(root="/", font_paths=_FONTS, ignore_system_fonts=True)


def missing(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """The families of fonts, of those in `value`, that are not there."""
    found = set(_FONTS.families())
    return [family for family in value if family not in found], []


def typeset(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """`value`: source, and the names of the files whose contents are `parts`. Refuses by `wrong`."""
    folder = Path.cwd()
    for name, content in zip(value["names"], parts, strict=True):
        (folder / name).write_bytes(content)
    try:
        # The creation date stands in the source; the timestamp keeps the clock out of the rest.
        source = value["source"].encode()
        made = _COMPILER.compile(source, format="pdf", pdf_standards=STANDARDS, root=str(folder), timestamp=0)
    except typst.TypstError as error:
        return {"wrong": error.message}, []
    return ({}, [made]) if isinstance(made, bytes) else ({"wrong": "no document came out"}, [])
