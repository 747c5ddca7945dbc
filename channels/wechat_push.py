"""WeChat's pushes: who sent this, and what it tells. Signatures and safe-mode encryption as WeChat defines them.

A push is a hint, never the proof: whoever hears one asks WeChat. Its bytes are parsed only after the
signature was found good, and then in a confined process.
Facts: developers.weixin.qq.com, "消息推送" and "消息加解密说明" (sections on signature, AES and padding), read 2026-11.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from lxml import etree

from sync import confine
from sync.contract import Unauthorised

BLOCK = 32  # bytes that the plain text is padded to; AES itself has blocks of 16
MOST_AGE = 600  # seconds that a push may be old: it is sent three times within some 15 s
MASS_ENDED = "MASSSENDJOBFINISH"
JOB_ENDED = frozenset({"PUBLISHJOBFINISH", MASS_ENDED})


@dataclass(frozen=True)
class Push:
    """What was told: the names are WeChat's, in the order of the text; nested ones without their parents."""

    fields: Mapping[str, str]

    @property
    def tells_of_a_job(self) -> bool:
        return self.fields.get("Event", "") in JOB_ENDED

    @property
    def tells_of_a_mass_send(self) -> bool:
        return self.fields.get("Event", "") == MASS_ENDED


class Ear:
    """Of one account. `aes_key`: the EncodingAESKey, 43 characters, "" where pushes come in plain mode.

    Raises ValueError for a key that can be none."""

    def __init__(self, token: str, aes_key: str, app_id: str) -> None:
        self._token, self._app_id = token, app_id
        self._key = _key(aes_key) if aes_key else b""

    def greeted(self, query: Mapping[str, str], now_s: int) -> str:
        """The word to repeat when WeChat asks whether the address is ours. Raises Unauthorised."""
        self._judge(query, "signature", now_s)
        return query.get("echostr", "")

    def heard(self, query: Mapping[str, str], body: bytes, now_s: int) -> Push:
        """One push. Raises Unauthorised for whatever WeChat did not send to this account, just now."""
        if query.get("encrypt_type") != "aes":
            if self._key:
                raise Unauthorised("推送未加密 · the push is not encrypted, and the account is set to safe mode")
            self._judge(query, "signature", now_s)
            return Push(_fields(body))
        if not self._key:
            raise Unauthorised("推送已加密，未设置 callback_aes_key · the push is encrypted: set callback_aes_key")
        # The envelope has to be read before its signature can be judged; nothing but one text is taken from it.
        sealed = _fields(body).get("Encrypt", "")
        self._judge(query, "msg_signature", now_s, sealed)
        return Push(_fields(self._opened(sealed)))

    def _judge(self, query: Mapping[str, str], named: str, now_s: int, *more: str) -> None:
        stamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        made = hashlib.sha1("".join(sorted([self._token, stamp, nonce, *more])).encode()).hexdigest()  # noqa: S324 - WeChat's
        if not self._token or not hmac.compare_digest(made.encode(), query.get(named, "").encode()):
            raise Unauthorised("签名不符 · the signature is not that of this account's token")
        if not stamp.isdecimal() or abs(now_s - int(stamp)) > MOST_AGE:
            raise Unauthorised("推送已过期 · the push is too old, or a clock is wrong")

    def _opened(self, sealed: str) -> bytes:
        try:
            content = base64.b64decode(sealed, validate=True)
            aes = Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16])).decryptor()
            plain = aes.update(content) + aes.finalize()
        except (binascii.Error, ValueError) as error:
            raise Unauthorised("推送无法解密 · the push cannot be opened: check callback_aes_key") from error
        padding = plain[-1] if plain else 0
        size = int.from_bytes(plain[16:20], "big")
        inner, rest = plain[20 : 20 + size], plain[20 + size : len(plain) - padding]
        if not 1 <= padding <= BLOCK or len(inner) != size or rest != self._app_id.encode():
            raise Unauthorised(
                "推送不属于此公众号 · the push is not for this account: check app_id and callback_aes_key"
            )
        return inner


def _key(encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded + "=", validate=True)
    except binascii.Error as error:
        raise ValueError("EncodingAESKey 应为 43 位字母数字 · an EncodingAESKey has 43 letters and digits") from error
    if len(key) != 32:
        raise ValueError("EncodingAESKey 应为 43 位字母数字 · an EncodingAESKey has 43 letters and digits")
    return key


def _fields(xml: bytes) -> dict[str, str]:
    """Raises Unauthorised for what is no XML: WeChat sends nothing else."""
    try:
        told, _ = confine.run("channels.wechat_push:fields", None, [xml])
    except confine.Failed as failed:
        raise Unauthorised(f"推送无法读取 · the push cannot be read: {failed}") from failed
    return {str(name): str(value) for name, value in told.items()}


def fields(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: every element with a text, by name, the first of a name; without white space at its
    ends (the documented article_id has a line break in it)."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    root = etree.fromstring(parts[0], parser)
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("a document type")
    found: dict[str, str] = {}
    for element in root.iter():
        if isinstance(element.tag, str) and len(element) == 0:
            found.setdefault(element.tag, "".join((element.text or "").split()))
    return found, []
