"""The website channel, its twin shown by the sandbox's web server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from channels.website import WebsiteChannel
from tests.contract.bench import server
from tests.contract.sites import StaticBench

SETTINGS = {"site_name": "清溪县人民政府", "site_domain": "www.example.gov.cn", "site_id_code": "3301220001"}


BENCH = StaticBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[StaticBench]:
    with server("channels.sandbox.pages", tmp_path / "sandbox") as sandbox:
        yield StaticBench(WebsiteChannel, sandbox, SETTINGS)
