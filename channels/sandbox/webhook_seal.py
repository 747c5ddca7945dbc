"""How a receiver checks a Standard Webhooks request, written from the standard. Knows only what a receiver knows.

Shared keys are `whsec_` and base64, public ones `whpk_` and base64. One signature by one accepted key is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE = 300  # seconds on both sides
SECOND = re.compile(r"[0-9]{1,12}")


class Refused(Exception):
    """Why the request is not believed."""


def own_key(account: str) -> str:
    """The shared key of a receiver that set no other one."""
    return "whsec_" + base64.b64encode(hashlib.sha256(f"sandbox webhook {account}".encode()).digest()).decode()


def believe(headers: Mapping[str, str], body: bytes, keys: Iterable[str], now: float) -> str:
    """The `webhook-id`, once one signature holds. `now`: the receiver's clock, seconds. Raises Refused."""
    identity, second, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (identity and second and given):
        raise Refused("a webhook header is missing")
    if not SECOND.fullmatch(second):
        raise Refused("webhook-timestamp is no second")
    if abs(now - int(second)) > TOLERANCE:
        raise Refused("webhook-timestamp is out of tolerance")
    content = f"{identity}.{second}.".encode() + body
    signatures = [piece.partition(",") for piece in given.split(" ")]
    # All pairs are tried, so that the time taken says nothing.
    holds = [_holds(key, version, text, content) for key in keys for version, _, text in signatures]
    if not any(holds):
        raise Refused("no signature holds")
    return identity


def _holds(key: str, version: str, text: str, content: bytes) -> bool:
    prefix, _, encoded = key.partition("_")
    try:
        signature, secret = base64.b64decode(text), base64.b64decode(encoded + "==")
    except ValueError:
        return False
    if (prefix, version) == ("whsec", "v1"):
        return hmac.compare_digest(hmac.digest(secret, content, "sha256"), signature)
    if (prefix, version) == ("whpk", "v1a"):
        try:
            Ed25519PublicKey.from_public_bytes(secret).verify(signature, content)
        except (InvalidSignature, ValueError):
            return False
        return True
    return False  # a version that is not known is no reason to refuse the others
