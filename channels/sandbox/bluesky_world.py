"""What the sandbox's PDS and AppView keep: accounts, sessions, blobs, records, the AppView's index. No HTTP here.

The AppView is another service than the PDS: what it shows is its own copy, later than the repository, and never
a post's second version. Everything outlives a restart but the counters of rate limits.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from channels.sandbox.bluesky_lexicon import POST, blobs
from channels.sandbox.shelf import Shelf, packed, unpacked

SECOND = 1_000_000
BLOB_LIFE = 600 * SECOND  # "a time window (eg, minutes)" in which a blob has to be used
LETTERS = "234567abcdefghijklmnopqrstuvwxyz"
HANDLE = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}")


def iso(at: int) -> str:
    """Microseconds UTC as the protocol writes times."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{at % SECOND // 1000:03d}Z"


def did_of(handle: str) -> str:
    return "did:plc:" + base64.b32encode(hashlib.sha256(handle.encode()).digest()).decode().lower()[:24]


@dataclass
class Account:
    did: str
    handle: str

    @property
    def name(self) -> str:
        return self.handle.partition(".")[0]


@dataclass
class Grant:
    """A refresh token that was given out. `next`: the id that its successor has, however often it is asked for."""

    id: str
    did: str
    expires_at: int  # µs UTC
    next: str = ""


@dataclass
class Blob:
    did: str
    cid: str
    content: bytes
    media_type: str
    at: int  # µs UTC of its last upload


@dataclass
class Record:
    uri: str
    cid: str
    value: dict[str, Any]


@dataclass
class Indexed:
    """A post as the AppView has it: since when, and since when not any more (µs UTC)."""

    uri: str
    cid: str
    value: dict[str, Any]
    at: int
    gone_at: int | None = None

    @property
    def did(self) -> str:
        return self.uri.split("/")[2]


class World:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.secret = bytes.fromhex(shelf.all("secret").get("jwt") or secrets.token_hex(32))
        shelf.put("secret", "jwt", self.secret.hex())
        self.accounts = {did: Account(**kept) for did, kept in shelf.all("account").items()}
        self.grants = {ref: Grant(**kept) for ref, kept in shelf.all("grant").items()}
        self.records = {uri: Record(**kept) for uri, kept in shelf.all("record").items()}
        self.index = {uri: Indexed(**kept) for uri, kept in shelf.all("indexed").items()}
        self.blobs: dict[tuple[str, str], Blob] = {}
        for kept in shelf.all("blob").values():
            blob = Blob(**{**kept, "content": unpacked(kept["content"])})
            self.blobs[blob.did, blob.cid] = blob
        self._counters: dict[tuple[str, str], deque[tuple[int, int]]] = {}
        self._last_tid = 0

    # accounts and sessions

    def account(self, handle: str) -> Account:
        """It exists from its first use."""
        did = did_of(handle)
        if did not in self.accounts:
            self.accounts[did] = Account(did, handle)
            self._shelf.put("account", did, asdict(self.accounts[did]))
        return self.accounts[did]

    def known(self, identifier: str) -> Account | None:
        """By handle or DID, among the accounts that are there."""
        wanted = identifier.lower()
        return next((one for one in self.accounts.values() if wanted in (one.did, one.handle)), None)

    def keep_grant(self, grant: Grant) -> None:
        self.grants[grant.id] = grant
        self._shelf.put("grant", grant.id, asdict(grant))

    def drop_grant(self, ref: str) -> None:
        if self.grants.pop(ref, None) is not None:
            self._shelf.drop("grant", ref)

    # records

    def new_tid(self, at: int) -> str:
        """Later than every one before it."""
        self._last_tid = max(at << 10, self._last_tid + 1)
        return "".join(LETTERS[self._last_tid >> shift & 31] for shift in range(60, -1, -5))

    def put(self, record: Record, at: int) -> None:
        """Written to the repository. The AppView hears of it; of a post that it knows it keeps the first version."""
        before = self.records.get(record.uri)
        self.records[record.uri] = record
        self._shelf.put("record", record.uri, asdict(record))
        if before is not None:
            self._let_go(record.uri, before.value)
        known = self.index.get(record.uri)
        if record.uri.split("/")[3] == POST and (known is None or known.gone_at is not None):
            self._keep_indexed(Indexed(record.uri, record.cid, record.value, at))

    def drop(self, uri: str, at: int) -> bool:
        """Removed from the repository, with the blobs that nothing else names. False: it was not there."""
        record = self.records.pop(uri, None)
        if record is None:
            return False
        self._shelf.drop("record", uri)
        self._let_go(uri, record.value)
        known = self.index.get(uri)
        if known is not None and known.gone_at is None:
            known.gone_at = at
            self._keep_indexed(known)
        return True

    def _keep_indexed(self, post: Indexed) -> None:
        self.index[post.uri] = post
        self._shelf.put("indexed", post.uri, asdict(post))

    def of(self, did: str, collection: str) -> list[Record]:
        """All records of a collection, oldest key first."""
        begin = f"at://{did}/{collection}/"
        return [self.records[uri] for uri in sorted(self.records) if uri.startswith(begin)]

    # blobs

    def keep_blob(self, blob: Blob) -> None:
        """Uploaded, perhaps once more: then its time begins anew."""
        self.blobs[blob.did, blob.cid] = blob
        self._shelf.put("blob", f"{blob.did} {blob.cid}", {**asdict(blob), "content": packed(blob.content)})

    def used(self, did: str) -> set[str]:
        """The CIDs that records of this account name."""
        mine = (record for uri, record in self.records.items() if uri.startswith(f"at://{did}/"))
        return {ref for record in mine for ref in _refs(record.value)}

    def collect(self, now: int, life: int) -> None:
        """Blobs that nothing used in time are gone."""
        old = [blob for blob in self.blobs.values() if blob.at + life <= now]
        for blob in old:
            if blob.cid not in self.used(blob.did):
                self._drop_blob(blob.did, blob.cid)

    def _let_go(self, uri: str, value: dict[str, Any]) -> None:
        did = uri.split("/")[2]
        for cid in {*_refs(value)} - self.used(did):
            self._drop_blob(did, cid)

    def _drop_blob(self, did: str, cid: str) -> None:
        if self.blobs.pop((did, cid), None) is not None:
            self._shelf.drop("blob", f"{did} {cid}")

    # rate limits

    def count(self, scope: str, who: str, now: int, points: int, limit: int, seconds: int) -> tuple[int, int]:
        """Count so many points; what remains (below 0: over the limit) and when the window ends, µs UTC."""
        spent = self._counters.setdefault((scope, who), deque())
        while spent and spent[0][0] + seconds * SECOND <= now:
            spent.popleft()
        spent.append((now, points))
        return limit - sum(each for _, each in spent), spent[0][0] + seconds * SECOND


def _refs(value: dict[str, Any]) -> Iterable[str]:
    return (blob["ref"]["$link"] for blob in blobs(value))
