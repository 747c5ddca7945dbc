"""What a real worker says on stderr, from its first line to its last: JSON, with the ids of what it is about."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sync.logs import FIELDS
from tests.acceptance.installation import QUICK, Installation, assert_done, eventually, write_item
from tests.acceptance.mode import TONGFA, Mode
from tests.contract.bench import server

LANES = ("prepare", "release")


@contextmanager
def worker(installed: Installation, lane: str) -> Iterator[Path]:
    """A worker in the foreground, as systemd runs it; the file of its stderr. It is told to end after the block."""
    said = installed.home.parent / f"{lane}.err"
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            [TONGFA, "worker", "--lane", lane],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=installed.home.parent,
            env=installed.environment(),
        )
        try:
            eventually(lambda: installed.workers(lane))
            eventually(lambda: "ready." in said.read_text())
            yield said
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=60)
            assert (0, b"") == (process.returncode, out)
        finally:
            process.kill()
            process.wait()


def lines(said: Path) -> list[dict[str, Any]]:
    """Every line of it, each of which is one JSON object and has no field but the known ones."""
    found = [json.loads(line) for line in said.read_text().splitlines()]
    assert all(isinstance(line, dict) and line.keys() <= set(FIELDS) for line in found)
    assert all(line["timestamp"].endswith("Z") and line["event"] and line["lane"] for line in found)
    return found


def test_every_line_of_a_worker_is_json(tmp_path: Path, mode: Mode) -> None:
    """Also Celery's own about root and about its end; and what is told of a delivery names it and its release."""
    installed = Installation(tmp_path / "home", QUICK, mode=mode)
    installed.add({"site": "website"})
    with server("channels.sandbox.pages", installed.home / "sandbox" / "pages"), ExitStack() as both:
        prepare, release = (both.enter_context(worker(installed, lane)) for lane in LANES)
        item = write_item(tmp_path / "item", "关于日志的通告")
        told = assert_done(installed.run("publish", item, "--outlets", "site", "--at", "now", "--wait", "--json")).json
    (delivery,) = told["deliveries"]
    for lane, said in zip(LANES, (prepare, release), strict=True):
        found = lines(said)
        assert {lane} == {line["lane"] for line in found}
        assert any("Warm shutdown" in line["event"] for line in found)
        if os.geteuid() == 0:
            assert any("SecurityWarning" in line["event"] for line in found)
        about = [line for line in found if line.get("delivery") == delivery["id"]]
        assert about and {told["release"]} == {line["release"] for line in about}
        assert {"site"} == {line["outlet"] for line in about}
    acts = [line["act"] for said in (prepare, release) for line in lines(said) if line.get("delivery")]
    assert {"rendered", "prepared", "release_begun", "released", "verified"} <= set(acts)
