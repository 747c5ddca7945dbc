"""An entry of a feed becomes a draft, by the reading and cleaning of any item's file, its files fetched beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sync.content import attachment, picture
from sync.content.source import BadItem, Draft, read
from sync.contract import OutletError, Rejected
from sync.http import Http
from sync.model import BadInput, canonical_bytes, sha256

BUSY = (408, 425, 429, 500, 502, 503, 504)
BY_HAND = "publish it by hand, from its page"


class NotYet(Exception):
    """A file of an entry cannot be had now."""


def content_digest(draft: Draft) -> str:
    """Over what a reader finds: title, text and files, whoever says it, when, and under which address."""
    files = sorted([part.role.value, part.digest] for part, _ in draft.files)
    return sha256(canonical_bytes([draft.title, draft.body, files]))


def drafted(one: Mapping[str, Any], http: Http, now: int) -> Draft:
    """The entry, read as any item's file is, with its files fetched. `now` is µs UTC. Raises BadInput, NotYet."""
    with tempfile.TemporaryDirectory(prefix="tongfa-feed-") as name:
        folder = Path(name)
        (folder / "files").mkdir()
        for address, path, kind in one["wanted"]:
            (folder / path).write_bytes(_file(http, address, kind))
        written = folder / "item.html"
        written.write_text(one["file"], encoding="utf-8")
        try:
            return read(written, now)
        except BadItem as refusal:
            first, more = refusal.each[0], len(refusal.each) - 1
            message = first.message + (f" (and {more} more)" if more else "")
            raise BadInput(one["link"] or one["title"], message, BY_HAND) from None


def _file(http: Http, address: str, kind: str) -> bytes:
    most = picture.MAX_BYTES if kind == "picture" else attachment.MAX_BYTES
    try:
        answer = http.read(address)
    except Rejected as error:
        raise BadInput(address, f"its {kind} {address} may not be fetched: {error}", BY_HAND) from error
    except OutletError as error:
        raise NotYet(f"its {kind} {address}: {error}") from error
    if answer.status in BUSY:
        raise NotYet(f"its {kind} {address} answers {answer.status}")
    if answer.status != 200:
        raise BadInput(address, f"its {kind} {address} answers {answer.status}", BY_HAND)
    if len(answer.body) > most:
        raise BadInput(address, f"its {kind} {address} is larger than {most // 1024 // 1024} MiB", BY_HAND)
    return answer.body
