"""`tongfa metrics --listen`: what a monitoring server reads, from a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.commands import assert_refusal
from tests.acceptance.installation import Installation
from tests.acceptance.mode import TONGFA


@contextmanager
def served(installed: Installation) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address that the process says, and the process."""
    process = subprocess.Popen(
        [TONGFA, "metrics", "--listen", "127.0.0.1:0", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=installed.home.parent,
        env=installed.environment(),
    )
    try:
        assert process.stdout is not None
        document = "".join(iter(process.stdout.readline, "}\n")) + "}"
        yield json.loads(document)["metrics"], process
    finally:
        process.kill()
        process.communicate()


def test_figures_are_served_until_it_is_told_to_end(shared: Installation) -> None:
    """In Prometheus' text form, made anew at each look; Ctrl-C ends it with 0."""
    with served(shared) as (address, process):
        assert address.startswith("http://127.0.0.1:") and address.endswith("/metrics")
        entries = []
        for command in ("pause", "resume"):
            with urllib.request.urlopen(address, timeout=30) as answer:
                assert 200 == answer.status and "text/plain" in answer.headers["content-type"]
                lines = answer.read().decode().splitlines()
            assert any(line.startswith("tongfa_workers{") and 'lane="release"' in line for line in lines)
            (line,) = [line for line in lines if line.startswith("tongfa_log_entries_total ")]
            entries.append(float(line.split()[1]))
            assert 0 == shared.run("outlet", command, "gazette").code
        assert entries[0] < entries[1]
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(30)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(address, timeout=10)


def test_an_address_that_cannot_be_served_is_refused(shared: Installation) -> None:
    """No address, no port, one of no number, and one that another process has: 2, and nothing runs."""
    for wrong in ("9100", ":9100", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536"):
        told = shared.run("metrics", "--listen", wrong, "--json")
        assert_refusal(told, "--listen", "no address", "127.0.0.1:9100")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = shared.run("metrics", "--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--json")
    assert_refusal(told, "--listen", "in use", "another port")
