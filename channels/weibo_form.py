"""A shared post as the body of one request: a form, or with a picture multipart. Pure.

The text is encoded once; whoever encodes it by hand before has percent signs published (reported by users).
The same parts give the same bytes: a post that is sent again is byte for byte the one that was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from channels.picture import Picture
from sync.model import sha256


def form(fields: Mapping[str, str]) -> tuple[str, bytes]:
    """Content type and body."""
    return "application/x-www-form-urlencoded; charset=UTF-8", urlencode(fields).encode()


def multipart(fields: Mapping[str, str], name: str, picture: Picture) -> tuple[str, bytes]:
    """Content type and body; the picture is the field `name`, under a file name that tells its type."""
    parts = [
        f'Content-Disposition: form-data; name="{field}"\r\n\r\n{value}'.encode() for field, value in fields.items()
    ]
    head = f'Content-Disposition: form-data; name="{name}"; filename="{name}.{picture.ending}"'
    parts.append(f"{head}\r\nContent-Type: {picture.media_type}\r\n\r\n".encode() + picture.content)
    # A digest of all parts cannot stand in one of them.
    boundary = sha256(b"".join(parts))[:48]
    between = f"--{boundary}\r\n".encode()
    body = b"".join(between + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body
