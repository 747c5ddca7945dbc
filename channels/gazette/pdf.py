"""Typst source → PDF/A-2a and PDF/UA-1, and the text of a PDF, both in confined processes.

Promises: the same source, files and program give the same bytes; a character that the fonts cannot
show is an error, never an empty box; nothing but the given files can be read by the source. Fonts are
those of the Debian package fonts-noto-cjk, the text is read back by poppler-utils.
"""

from __future__ import annotations

from collections.abc import Mapping

from channels.gazette.markup import squeezed
from channels.gazette.spoken import READER
from sync import confine
from sync.contract import TryLater, Unauthorised, Unsupported

MIB = 1024 * 1024
NEEDED = ("Noto Serif CJK SC", "Noto Sans CJK SC")
SETTING = confine.Limits(cpu_s=40, wall_s=60.0, memory=512 * MIB, folder=True)
READING = confine.Limits(cpu_s=40, wall_s=60.0, folder=True, programs=(str(READER),))


def ready() -> None:
    """Raises Unauthorised, with the mend, when fonts or the reader of PDFs are missing."""
    _need_fonts()
    _need_reader()


def compiled(source: str, files: Mapping[str, bytes]) -> bytes:
    """The PDF. Raises Unsupported when the item cannot be set (a missing character, a broken picture, too
    large), Unauthorised without fonts."""
    asked = {"source": source, "names": list(files)}
    try:
        told, made = confine.run("channels.gazette.typeset:typeset", asked, list(files.values()), limits=SETTING)
    except confine.Failed as failed:
        raise Unsupported(f"无法排版 · cannot be typeset: {failed}") from failed
    if not made:
        _need_fonts()
        raise Unsupported(f"无法排版 · cannot be typeset: {told['wrong']}")
    return made[0]


def text_of(content: bytes) -> str:
    """The text in the order a screen reader reads it, without page numbers and white space.

    Raises TryLater when the reader fails, Unauthorised when it is not installed.
    """
    _need_reader()
    try:
        said, _ = confine.run("channels.gazette.spoken:spoken", None, [content], limits=READING)
    except confine.Failed as failed:
        raise TryLater(f"the PDF cannot be read back: {failed}") from failed
    return squeezed("".join(map(str, said)))


def _need_fonts() -> None:
    try:
        missing, _ = confine.run("channels.gazette.typeset:missing", NEEDED)
    except confine.Failed as failed:
        raise TryLater(f"the typesetter does not start: {failed}") from failed
    if missing:
        raise Unauthorised(
            f"缺少字体 · fonts missing: {', '.join(missing)} — install the Debian package fonts-noto-cjk"
        )


def _need_reader() -> None:
    if not READER.exists():
        raise Unauthorised(f"{READER} is missing — install the Debian package poppler-utils")
