"""Which files may be attached, by name and by content: a page or a program is never handed to readers."""

from __future__ import annotations

from pathlib import PurePosixPath

from sync.model import BadInput

MAX_BYTES = 50 * 1024 * 1024

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OLE = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)
_WORD = "application/vnd.openxmlformats-officedocument."

# Suffix → media type, and how such a file begins. A table of our own: the machine's would differ between hosts.
TYPES: dict[str, tuple[str, tuple[bytes, ...]]] = {
    ".pdf": ("application/pdf", (b"%PDF-",)),
    ".ofd": ("application/ofd", _ZIP),
    ".doc": ("application/msword", _OLE),
    ".xls": ("application/vnd.ms-excel", _OLE),
    ".ppt": ("application/vnd.ms-powerpoint", _OLE),
    ".wps": ("application/wps-office.wps", _OLE + _ZIP),
    ".et": ("application/wps-office.et", _OLE + _ZIP),
    ".docx": (f"{_WORD}wordprocessingml.document", _ZIP),
    ".xlsx": (f"{_WORD}spreadsheetml.sheet", _ZIP),
    ".pptx": (f"{_WORD}presentationml.presentation", _ZIP),
    ".odt": ("application/vnd.oasis.opendocument.text", _ZIP),
    ".ods": ("application/vnd.oasis.opendocument.spreadsheet", _ZIP),
    ".epub": ("application/epub+zip", _ZIP),
    ".zip": ("application/zip", _ZIP),
    ".rar": ("application/vnd.rar", (b"Rar!\x1a\x07",)),
    ".7z": ("application/x-7z-compressed", (b"7z\xbc\xaf\x27\x1c",)),
    ".jpg": ("image/jpeg", (b"\xff\xd8\xff",)),
    ".jpeg": ("image/jpeg", (b"\xff\xd8\xff",)),
    ".png": ("image/png", (b"\x89PNG\r\n\x1a\n",)),
    ".mp3": ("audio/mpeg", (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")),
    ".mp4": ("video/mp4", (b"ftyp",)),  # after a length of four bytes
    ".csv": ("text/csv", ()),
    ".txt": ("text/plain", ()),
}


def inspect(content: bytes, path: str, where: str) -> str:
    """The media type of the attachment at `path`. Raises BadInput, at `where`, when it may not be attached."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in TYPES:
        accepted = ", ".join(TYPES)
        raise BadInput(
            where,
            f'“{path}”这类文件不能作附件 · "{path}" is of a kind that cannot be attached',
            f"存为以下格式之一 · save it as one of: {accepted}",
        )
    media_type, beginnings = TYPES[suffix]
    if not content:
        raise BadInput(where, f'“{path}”是空文件 · "{path}" is empty', "放入完成的文件 · put the finished file there")
    start = content[4:] if suffix == ".mp4" else content
    if beginnings and not start.startswith(beginnings):
        raise BadInput(
            where,
            f'“{path}”名不副实：不是 {suffix} 文件 · "{path}" is not what its name says: it is no {suffix} file',
            "按真实格式命名 · name it by its true kind",
        )
    if not beginnings and b"\0" in content:
        raise BadInput(
            where,
            f'“{path}”名不副实：不是文本 · "{path}" is not what its name says: it is no text',
            "按真实格式命名 · name it by its true kind",
        )
    return media_type
