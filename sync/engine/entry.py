"""An entry of a feed becomes a draft, by the reading and cleaning of any item's file, its files fetched beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from sync.content import attachment, picture
from sync.content.folder import MAX_FILES, MAX_TOTAL_BYTES
from sync.content.source import BadItem, Draft, read
from sync.contract import Misbehaved, OutletError, Rejected, Response
from sync.model import BadInput, canonical_bytes, sha256

BUSY = (408, 425, 429, 500, 502, 503, 504)
MIB = 1024 * 1024
Fetch: TypeAlias = Callable[[str], Response]  # an anonymous read, as `Http.read`
BY_HAND = "publish it by hand, from its page"


class NotYet(Exception):
    """A file of an entry cannot be had now."""


def content_digest(draft: Draft) -> str:
    """Over what a reader finds: title, text and files, whoever says it, when, and under which address."""
    files = sorted([part.role.value, part.digest] for part, _ in draft.files)
    return sha256(canonical_bytes([draft.title, draft.body, files]))


def drafted(one: Mapping[str, Any], fetch: Fetch, now: int) -> Draft:
    """The entry, read as any item's file is, with its files fetched. `now` is µs UTC. Raises BadInput, NotYet."""
    with tempfile.TemporaryDirectory(prefix="tongfa-feed-") as name:
        folder = Path(name)
        (folder / "files").mkdir()
        if len(one["wanted"]) > MAX_FILES:
            raise BadInput(one["link"], f"it has more than {MAX_FILES} files", BY_HAND)
        left = MAX_TOTAL_BYTES
        for address, path, kind in one["wanted"]:
            content = _file(fetch, address, kind)
            left -= len(content)
            if left < 0:
                raise BadInput(one["link"], f"its files are more than {MAX_TOTAL_BYTES // MIB} MiB in all", BY_HAND)
            (folder / path).write_bytes(content)
        written = folder / "item.html"
        written.write_text(one["file"], encoding="utf-8")
        try:
            return read(written, now)
        except BadItem as refusal:
            first, more = refusal.each[0], len(refusal.each) - 1
            message = first.message + (f" (and {more} more)" if more else "")
            raise BadInput(one["link"] or one["title"], message, BY_HAND) from None


def _file(fetch: Fetch, address: str, kind: str) -> bytes:
    most = picture.MAX_BYTES if kind == "picture" else attachment.MAX_BYTES
    try:
        answer = fetch(address)
    except (Rejected, Misbehaved) as error:  # the latter: larger than any file may be
        raise BadInput(address, f"its {kind} {address} may not be fetched: {error}", BY_HAND) from error
    except OutletError as error:
        raise NotYet(f"its {kind} {address}: {error}") from error
    if answer.status in BUSY:
        raise NotYet(f"its {kind} {address} answers {answer.status}")
    if answer.status != 200:
        raise BadInput(address, f"its {kind} {address} answers {answer.status}", BY_HAND)
    if len(answer.body) > most:
        raise BadInput(address, f"its {kind} {address} is larger than {most // MIB} MiB", BY_HAND)
    return answer.body
