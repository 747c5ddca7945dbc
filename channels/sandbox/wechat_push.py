"""WeChat's message push, plain or in safe mode: the end of a publishing job or a mass send, told to the callback.

Up to three tries, each given five seconds; any answer but "success" or nothing is a failure. The token of account
X is `sandbox-token-X`, its EncodingAESKey the base64 of the SHA-256 of X without padding. Every try is in
the record.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from channels.sandbox.server import Sandbox, now

TRIES, PATIENCE = 3, 5.0


@dataclass(frozen=True)
class Event:
    account: str
    publish_id: str
    status: int
    article_id: str
    url: str

    @property
    def ref(self) -> str:
        return self.article_id

    @property
    def told(self) -> dict[str, str]:
        return {"publish_id": self.publish_id}

    def xml(self) -> bytes:
        """As documented, with the line break that article_id has there."""
        detail = ""
        if self.status == 0:
            detail = (
                f"<article_id><![CDATA[\n{self.article_id}]]></article_id><article_detail><count>1</count><item><idx>1</idx>"
                f"<article_url><![CDATA[{self.url}]]></article_url></item></article_detail>"
            )
        elif self.status in (2, 4):
            detail = "<fail_idx>1</fail_idx>"
        return (
            f"<xml><ToUserName><![CDATA[gh_{self.account}]]></ToUserName><FromUserName><![CDATA[system]]></FromUserName>"
            f"<CreateTime>{int(time.time())}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
            "<Event><![CDATA[PUBLISHJOBFINISH]]></Event><PublishEventInfo>"
            f"<publish_id>{self.publish_id}</publish_id><publish_status>{self.status}</publish_status>{detail}"
            "</PublishEventInfo></xml>"
        ).encode()


@dataclass(frozen=True)
class MassEvent:
    """`status`: "send success", "send fail" or "err(number)"."""

    account: str
    ref: str
    status: str
    url: str

    @property
    def told(self) -> dict[str, str]:
        return {"msg_id": self.ref}

    def xml(self) -> bytes:
        """As documented; of a success one fan of ten refuses messages."""
        sent = 9 if self.url else 0
        item = f"<item><ArticleIdx>1</ArticleIdx><ArticleUrl><![CDATA[{self.url}]]></ArticleUrl></item>"
        listed = item if self.url else ""
        return (
            f"<xml><ToUserName><![CDATA[gh_{self.account}]]></ToUserName><FromUserName><![CDATA[mphelper]]></FromUserName>"
            f"<CreateTime>{int(time.time())}</CreateTime><MsgType><![CDATA[event]]></MsgType>"
            f"<Event><![CDATA[MASSSENDJOBFINISH]]></Event><MsgID>{self.ref}</MsgID>"
            f"<Status><![CDATA[{self.status}]]></Status><TotalCount>10</TotalCount><FilterCount>{sent}</FilterCount>"
            f"<SentCount>{sent}</SentCount><ErrorCount>0</ErrorCount>"
            "<CopyrightCheckResult><Count>0</Count><ResultList></ResultList><CheckState>1</CheckState></CopyrightCheckResult>"
            f"<ArticleUrlResult><Count>{int(bool(self.url))}</Count><ResultList>{listed}</ResultList></ArticleUrlResult>"
            "</xml>"
        ).encode()


def signature(*parts: str) -> str:
    return hashlib.sha1("".join(sorted(parts)).encode()).hexdigest()  # noqa: S324 - as WeChat defines it


def request_of(event: Event | MassEvent, *, plain: bool) -> tuple[dict[str, str], bytes]:
    """The query and the body of one push."""
    token, stamp, nonce = f"sandbox-token-{event.account}", str(int(time.time())), secrets.token_hex(5)
    query = {"signature": signature(token, stamp, nonce), "timestamp": stamp, "nonce": nonce}
    if plain:
        return query, event.xml()
    sealed = encrypted(event.xml(), event.account)
    query |= {"encrypt_type": "aes", "msg_signature": signature(token, stamp, nonce, sealed)}
    body = f"<xml><ToUserName><![CDATA[gh_{event.account}]]></ToUserName><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>"
    return query, body.encode()


def encrypted(xml: bytes, account: str) -> str:
    """16 random bytes, length, text and app id, padded to 32 bytes, AES-256-CBC."""
    key = hashlib.sha256(account.encode()).digest()
    plain = os.urandom(16) + len(xml).to_bytes(4, "big") + xml + f"sandbox-{account}".encode()
    padding = 32 - len(plain) % 32
    aes = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(aes.update(plain + bytes([padding]) * padding) + aes.finalize()).decode()


async def push(sandbox: Sandbox, event: Event | MassEvent, knob: Mapping[str, Any]) -> None:
    """All tries of all copies."""
    for _ in range(int(knob.get("copies", 1))):
        for attempt in range(1, TRIES + 1):
            query, body = request_of(event, plain=bool(knob.get("plain")))
            url = f"{knob['url']}?{urlencode(query)}"
            status = 0 if knob.get("never") else await asyncio.to_thread(_sent, url, body)
            detail = {**event.told, "attempt": attempt, "status": status}
            line = {"at": now(), "method": "", "path": "push", "account": event.account, "applied": status == 200}
            await sandbox.record.add({**line, "effect": "pushed", "ref": event.ref, "fault": "", "detail": detail})
            if status == 200 or knob.get("never"):
                break


def _sent(url: str, body: bytes) -> int:
    """The status; 0 without an answer in time, 1 for an answer that is none."""
    request = urllib.request.Request(url, body, {"Content-Type": "text/xml"}, method="POST")  # noqa: S310 - set by a knob
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return 200 if answer.read(100) in (b"", b"success") else 1
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
