"""The Feishu channel against its sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from channels.feishu import FeishuChannel
from tests.contract.bench_group_bots import GroupBench, opened


class FeishuBench(GroupBench):
    made = FeishuChannel
    token, guessed, form = "hook_id", "guessed-hook-of-a-robot", "post"


BENCH = FeishuBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[FeishuBench]:
    with opened(FeishuBench, tmp_path) as made:
        yield made
