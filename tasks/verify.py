"""Read back."""

from __future__ import annotations

from sync.engine.verify import verify as read_back
from tasks.base import ctx


def verify(ids: list[str]) -> None:
    read_back(ctx(), ids)
