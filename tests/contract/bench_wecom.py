"""The WeCom channel against its sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from channels.wecom import WecomChannel
from tests.contract.bench_group_bots import GroupBench, opened


class WecomBench(GroupBench):
    made = WecomChannel
    token, guessed, form = "key", "guessed-key", "text"


BENCH = WecomBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[WecomBench]:
    with opened(WecomBench, tmp_path) as made:
        yield made
