"""The gazette channel, its twin shown by the sandbox's web server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from channels.gazette import GazetteChannel
from tests.contract.bench import server
from tests.contract.sites import StaticBench

BENCH = StaticBench


@contextmanager
def bench(tmp_path: Path, formats: str = "html,pdf") -> Iterator[StaticBench]:
    with server("channels.sandbox.pages", tmp_path / "sandbox") as sandbox:
        yield StaticBench(GazetteChannel, sandbox, {"publisher_level": "county", "formats": formats})
