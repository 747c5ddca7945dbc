"""The names that a delivery's key gives to its files and marks on a static site.

Promises: each is derived one-way from the key's token, so that a public one leads to no hidden one,
and no hidden one can be guessed. Pure.
"""

from __future__ import annotations

from sync.model import Key, sha256

# Never an ending that a browser would run as a page of this site.
ENDINGS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/plain": "txt",
    "application/zip": "zip",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/ofd": "ofd",
    "audio/mpeg": "mp3",
    "video/mp4": "mp4",
}


def marker_of(key: Key) -> str:
    """What names the delivery in its public page: derived one-way, so it leads to no hidden file."""
    return sha256(f"tongfa delivery marker\n{key.token}".encode())[:32]


def hidden_folder(key: Key) -> str:
    """The folder of a delivery's files: in the served tree before the release, so nobody may guess it."""
    return sha256(f"tongfa hidden files\n{key.token}".encode())[:24]


def hidden_name(key: Key, digest: str, media_type: str) -> str:
    """A file's name in that folder."""
    name = sha256(f"tongfa hidden file\n{key.token}\n{digest}".encode())[:16]
    return f"{name}.{ENDINGS.get(media_type, 'bin')}"


def published_mark(key: Key) -> str:
    """What stands in a prepared page where its time of publication will be; no author can write it into a text."""
    return f"published-{sha256(f'tongfa published mark {key.token}'.encode())[:16]}"


def corrected_mark(key: Key) -> str:
    """The same for the time of a correction."""
    return f"corrected-{sha256(f'tongfa corrected mark {key.token}'.encode())[:16]}"
