"""An edition → IPTC ninjs 3.3, and which file stands where beside it.

Facts: ninjs-schema_3.3.json of the IPTC, read 2026-11. What ninjs has words for is said in them, for whoever takes
it. All of the item is said once more in an extension of our own, the property `tongfa`, as the schema lets providers
add: read back by `sync.content.ninjs`, it gives an equal edition. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from sync.clock import iso
from sync.model import Asset, AssetRole, Edition

EXTENSION = "tongfa"
STANDARD = {
    "name": "ninjs",
    "version": "3.3",
    "schema": "http://www.iptc.org/std/ninjs/ninjs-schema_3.3.json",
}
_ASSET = re.compile(r'"asset:([0-9a-f]{64})"')


def written(edition: Edition, created_at: int, folder: str) -> tuple[str, dict[str, str]]:
    """The JSON, and path → digest of every file; paths begin with `folder`. `created_at` is µs UTC."""
    placed = [(_path(folder, number, part), part) for number, part in enumerate(edition.assets, 1)]
    first: dict[str, str] = {}
    for path, part in placed:
        first.setdefault(part.digest, path)
    html = _ASSET.sub(lambda found: f'"{escape(quote(first[found[1]]))}"', edition.body)
    metadata = {key: list(v) if isinstance(v, tuple) else v for key, v in edition.metadata.items()}
    told: dict[str, Any] = {
        "uri": f"urn:tongfa:item:{edition.item}",
        "standard": STANDARD,
        "profile": EXTENSION,
        "type": "text",
        "version": str(edition.revision),
        "versionCreated": iso(created_at),
        "contentCreated": f"{edition.text('written_on')}T00:00:00+08:00" if edition.text("written_on") else "",
        "pubStatus": "usable",
        "language": edition.text("language"),
        "by": edition.text("author"),
        "headlines": _headlines(edition),
        "descriptions": [_text("summary", edition.text("summary"))] if edition.text("summary") else [],
        "bodies": [{"role": "main", "contentType": "text/html", "value": html}],
        "subjects": [{"name": name} for name in _several(edition, "topics")],
        "keywords": list(_several(edition, "keywords")),
        "infoSources": [{"name": edition.text("source")}] if edition.text("source") else [],
        "associations": [_association(path, part, number) for number, (path, part) in enumerate(placed, 1)],
        EXTENSION: {"digest": edition.digest, "metadata": metadata, "files": [_listed(*one) for one in placed]},
    }
    content = json.dumps({key: value for key, value in told.items() if value}, ensure_ascii=False, indent=1)
    return f"{content}\n", {path: part.digest for path, part in placed}


def _path(folder: str, number: int, part: Asset) -> str:
    """Each in a folder of its own: two may have one name. A picture is known by the name of its file."""
    name = part.name
    if part.role is AssetRole.ATTACHMENT:
        name = f"attachment{PurePosixPath(part.name).suffix}"
    return f"{folder}/{number}/{name}"


def _listed(path: str, part: Asset) -> dict[str, str]:
    second = {"name": part.name} if part.role is AssetRole.ATTACHMENT else {"alt": part.alt}
    return {"role": part.role.value, "file": path, **{key: value for key, value in second.items() if value}}


def _headlines(edition: Edition) -> list[dict[str, str]]:
    subtitle = edition.text("subtitle")
    return [_text("main", edition.title), *([_text("subtitle", subtitle)] if subtitle else [])]


def _text(role: str, value: str) -> dict[str, str]:
    return {"role": role, "contentType": "text/plain", "value": value}


def _association(path: str, part: Asset, number: int) -> Mapping[str, Any]:
    shows = part.role is not AssetRole.ATTACHMENT
    return {
        "name": f"{part.role.value}-{number}",
        "uri": f"urn:sha256:{part.digest}",
        "type": "picture" if shows else "component",
        "headlines": [_text("main", part.alt or part.name)],
        "renditions": [
            {"name": "original", "href": quote(path), "contentType": part.media_type, "sizeInBytes": part.size}
        ],
    }


def _several(edition: Edition, key: str) -> tuple[str, ...]:
    value = edition.metadata.get(key, ())
    return value if isinstance(value, tuple) else (str(value),)
