"""Arm and hand over; the sender loop of this process does the rest."""

from __future__ import annotations

from sync.engine.shards import release as arm_and_hand_over
from tasks.base import ctx, sender


def release(ids: list[str]) -> None:
    arm_and_hand_over(ctx(), sender(), ids)
