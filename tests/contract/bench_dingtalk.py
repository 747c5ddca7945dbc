"""The DingTalk channel against its sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from channels.dingtalk import DingtalkChannel
from tests.contract.bench_group_bots import GroupBench, opened


class DingtalkBench(GroupBench):
    made = DingtalkChannel
    token, guessed, form = "access_token", "guessed-token", "markdown"


BENCH = DingtalkBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[DingtalkBench]:
    with opened(DingtalkBench, tmp_path) as made:
        yield made
