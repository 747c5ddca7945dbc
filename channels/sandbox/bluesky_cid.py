"""Content addresses as the AT Protocol has them: CIDv1 over SHA-256 of DAG-CBOR (records) or of the bytes (blobs).

Sources: the DAG-CBOR and CIDv1 specifications of IPLD; "Data Model" and "Blobs" at atproto.com.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

RAW, DAG_CBOR = 0x55, 0x71
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG = (kind << 5 for kind in range(7))
_LINK = 42  # the tag of a CID


def of_bytes(content: bytes) -> str:
    """The CID of a blob."""
    return _cid(RAW, content)


def of_record(value: Any) -> str:
    """The CID of a record that is given as JSON. Raises ValueError for what the data model does not have."""
    return _cid(DAG_CBOR, encoded(value))


def encoded(value: Any) -> bytes:
    """DAG-CBOR: one form for each value; `{"$link": …}` is a CID, `{"$bytes": …}` are bytes. Raises ValueError."""
    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
        case str():
            return _sized(_TEXT, value.encode())
        case list():
            return _head(_LIST, len(value)) + b"".join(encoded(one) for one in value)
        case {"$link": str(cid)} if len(value) == 1:
            return _head(_TAG, _LINK) + _sized(_BYTES, b"\0" + _parsed(cid))
        case {"$bytes": str(packed)} if len(value) == 1:
            return _sized(_BYTES, base64.b64decode(packed + "=" * (-len(packed) % 4)))
        case dict():
            fields = sorted((len(name.encode()), name.encode(), name) for name in value)
            return _head(_MAP, len(fields)) + b"".join(
                _sized(_TEXT, raw) + encoded(value[name]) for _, raw, name in fields
            )
    raise ValueError(f"the data model has no {type(value).__name__}")


def _head(kind: int, number: int) -> bytes:
    """The kind with its number, in as few bytes as it takes."""
    if number < 24:
        return bytes([kind | number])
    for width, mark in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if number < 1 << 8 * width:
            return bytes([kind | mark]) + number.to_bytes(width, "big")
    raise ValueError("an integer has at most 64 bits")


def _sized(kind: int, content: bytes) -> bytes:
    return _head(kind, len(content)) + content


def _cid(codec: int, content: bytes) -> str:
    """Version, codec, SHA-256 with its length; in base 32 without padding, announced by `b`."""
    binary = bytes([1, codec, 0x12, 32]) + hashlib.sha256(content).digest()
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def _parsed(cid: str) -> bytes:
    """The binary form. Raises ValueError for what is no CIDv1 in base 32."""
    if not cid.startswith("b"):
        raise ValueError(f"{cid!r} is no CID")
    letters = cid[1:].upper()
    return base64.b32decode(letters + "=" * (-len(letters) % 8))
