"""The Admin API key of a Ghost integration, and the token that it signs for one request. Pure.

Promises: nothing of the secret is in a token or an error. Facts: ghost.org/docs/admin-api, "Token
authentication", and the server's `api-key/admin.js`: HS256 only, at most five minutes old, for `/admin/`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from sync.clock import SECOND
from sync.contract import Unauthorised

LIFE = 300  # seconds; the server refuses what is older, whatever `exp` says


def token(key: str, at: int) -> str:
    """A token that is good from `at` (µs UTC) for five minutes. Raises Unauthorised for what is no key."""
    name, _, secret = key.strip().partition(":")
    try:
        signing = bytes.fromhex(secret)  # the bytes that are written, not their letters
    except ValueError:
        signing = b""
    if not name or not signing:
        raise Unauthorised("admin_api_key 不是 Admin API 密钥（id:密钥） · it is not an Admin API key (id:secret)")
    issued = at // SECOND
    claims = {"iat": issued, "exp": issued + LIFE, "aud": "/admin/"}
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': name})}.{_part(claims)}"
    return f"{signed}.{_plain(hmac.new(signing, signed.encode(), hashlib.sha256).digest())}"


def _part(value: Mapping[str, object]) -> str:
    return _plain(json.dumps(value, separators=(",", ":")).encode())


def _plain(content: bytes) -> str:
    """Base64 for addresses, without padding, as RFC 7515 asks."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
