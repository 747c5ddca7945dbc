"""The outlets that are measured: how long each takes to answer each call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

POST, DRAFT, SUBMIT = "/api/v1/statuses", "/cgi-bin/draft/add", "/cgi-bin/freepublish/submit"
UPLOADS = ("/cgi-bin/material/add_material", "/cgi-bin/media/uploadimg")


@dataclass(frozen=True)
class Account:
    """An outlet, and how long it takes to answer each call (ms)."""

    name: str
    kind: str
    delays: Mapping[str, int]


TEN = (
    *(Account(f"quick-{n}", "mastodon", {POST: 20}) for n in range(4)),
    *(Account(f"middle-{n}", "wechat", {DRAFT: 80, SUBMIT: 80}) for n in range(3)),
    Account("slow", "mastodon", {POST: 300}),
    *(Account(f"pictures-{n}", "wechat", {**dict.fromkeys(UPLOADS, 80), SUBMIT: 300}) for n in range(2)),
)
TWENTY = tuple(replace(one, name=f"{half}-{one.name}") for half in ("first", "second") for one in TEN)
FAST = tuple(Account(f"fast-{n}", "mastodon", {}) for n in range(10))
