"""Keys and signatures of Standard Webhooks 1.0.0. Pure: the second of signing is handed in.

Signed are the bytes `id.timestamp.body`; every key of the outlet signs, so that a receiver who changes
keys knows one of the signatures at any time. No error text holds a key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from abc import ABC, abstractmethod
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.model import BadInput

SHARED, PRIVATE = "whsec_", "whsk_"
MOST_KEYS = 2  # the one in use and the one that follows it
SHARED_SIZES = range(24, 65)  # bytes
SEED = 32  # bytes of an Ed25519 private key; the usual text of it has the public key behind it
PRIVATE_SIZES = (SEED, 2 * SEED)
MEND = (
    "按接收方所给粘贴；换密钥期间可有两个 · "
    "paste it as the receiver gave it: whsec_ (shared) or whsk_ (Ed25519) and base64; two while keys change"
)


class Signer(ABC):
    """One key."""

    version: str

    @abstractmethod
    def sign(self, content: bytes) -> bytes: ...


class SharedKey(Signer):
    version = "v1"

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")


class PrivateKey(Signer):
    version = "v1a"

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def sign(self, content: bytes) -> bytes:
        return self._key.sign(content)


def signers(secret: str) -> tuple[Signer, ...]:
    """The keys of the setting `secret`, one or two, separated by white space. Raises BadInput, without them."""
    written = secret.split()
    if not 1 <= len(written) <= MOST_KEYS:
        raise BadInput("secret", f"含有 {len(written)} 个密钥 · it holds {len(written)} keys", MEND)
    return tuple(_signer(text, place) for place, text in enumerate(written, start=1))


def _signer(text: str, place: int) -> Signer:
    prefix = next((one for one in (SHARED, PRIVATE) if text.startswith(one)), None)
    if prefix is None:
        raise BadInput(
            "secret",
            f"第 {place} 个密钥不以 {SHARED} 或 {PRIVATE} 开头 · "
            f"key {place} begins neither with {SHARED} nor with {PRIVATE}",
            MEND,
        )
    encoded = text.removeprefix(prefix).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise BadInput("secret", f"第 {place} 个密钥不是 base64 · key {place} is no base64", MEND) from None
    if prefix == SHARED:
        if len(key) not in SHARED_SIZES:
            message = (
                f"第 {place} 个密钥有 {len(key)} 字节，共享密钥应为 24 至 64 · "
                f"key {place} has {len(key)} bytes; a shared key has 24 to 64"
            )
            raise BadInput("secret", message, "请接收方重新生成 · let the receiver make a new one")
        return SharedKey(key)
    if len(key) not in PRIVATE_SIZES:
        raise BadInput(
            "secret",
            f"第 {place} 个密钥有 {len(key)} 字节，Ed25519 应为 32 或 64 · "
            f"key {place} has {len(key)} bytes; an Ed25519 key has 32 or 64",
            MEND,
        )
    return PrivateKey(key[:SEED])


def headers(keys: Sequence[Signer], identity: str, second: int, body: bytes) -> dict[str, str]:
    """The three headers of an event. `second`: of this attempt, since 1970."""
    content = f"{identity}.{second}.".encode() + body
    pieces = [f"{key.version},{base64.b64encode(key.sign(content)).decode()}" for key in keys]
    return {"webhook-id": identity, "webhook-timestamp": str(second), "webhook-signature": " ".join(pieces)}
