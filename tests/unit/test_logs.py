"""What a worker writes down: one JSON object a line, with ids, without anything that was not meant for it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.logs import FIELDS, configure


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The process's log, in memory; what was set before is put back."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure("release", "release-0123", stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def read(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_what_and_whose(lines: io.StringIO) -> None:
    """UTC time, level, process and lane, and the ids that were given."""
    logging.getLogger("tongfa.act").info("delivery prepared", extra={"delivery": "d1", "release": "r1"})
    (line,) = read(lines)
    assert ("delivery prepared", "info", "d1", "r1") == tuple(
        line[name] for name in ("event", "level", "delivery", "release")
    )
    assert ("release", "release-0123") == (line["lane"], line["process"])
    assert str(line["timestamp"]).endswith("Z")


def test_only_known_fields_are_written(lines: io.StringIO) -> None:
    """A field that nobody named, such as a token, never gets into the file."""
    logging.getLogger("x").warning("hello", extra={"access_token": "s3cret", "why": "because"})
    assert "s3cret" not in lines.getvalue()
    (line,) = read(lines)
    assert "because" == line["why"]
    assert set(line) <= set(FIELDS)


def test_no_title_forges_a_line(lines: io.StringIO) -> None:
    """A line break within a value stays within its line."""
    logging.getLogger("x").warning('one\n{"event": "forged"}')
    assert 1 == len(read(lines))


def test_an_exception_is_told_in_its_line(lines: io.StringIO) -> None:
    """With its traceback, encoded."""
    try:
        raise ValueError("of ours")
    except ValueError:
        logging.getLogger("x").exception("a release thread failed")
    (line,) = read(lines)
    assert "ValueError: of ours" in str(line["exception"])


DYING = """
import logging, threading, warnings
from sync.logs import take_over, write
take_over("prepare", "41")
warnings.warn("as root\\nnot recommended", stacklevel=1)
write("prepare", "worker: Warm shutdown\\n")
thread = threading.Thread(target=lambda: [][1])
thread.start()
thread.join()
raise ValueError("of ours")
"""


def test_whatever_a_process_says_is_a_line_of_its_own() -> None:
    """Warnings, the words of a signal's handler, and the tracebacks that it and its threads die of."""
    command = [sys.executable, "-c", DYING]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    found = [json.loads(line) for line in told.stderr.splitlines()]
    assert (1, "") == (told.returncode, told.stdout)
    assert ["warning", "info", "critical", "critical"] == [line["level"] for line in found]
    assert "as root\nnot recommended" in found[0]["event"] and "Warm shutdown" in found[1]["event"]
    assert "IndexError" in found[2]["exception"] and "ValueError: of ours" in found[3]["exception"]
    assert {"prepare"} == {line["lane"] for line in found}
