"""Jobs for `tests/unit/test_confine.py`: what a stranger's bytes might make a parser do."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from sync.confine import Answer, Ask


def twice(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    return {"value": value}, [part * 2 for part in parts]


def questions(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    return [ask(number, b"?" * number)[0] for number in range(value)], []


def attempts(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """What it could do of all that it must not."""
    parent, secret = value["parent"], value["secret"]
    tried: dict[str, Callable[[], object]] = {
        "read a secret": lambda: Path(secret).read_bytes(),
        "read /etc": lambda: Path("/etc/passwd").read_bytes(),
        "read the parent": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "list its folder": lambda: list(Path().iterdir()),
        "write": lambda: Path("left-over").write_bytes(b"x"),
        "write elsewhere": lambda: Path(value["out"]).write_bytes(b"x"),
        "connect": lambda: socket.create_connection(("127.0.0.1", value["port"]), 1),
        "make a socket": lambda: socket.socket(socket.AF_UNIX),
        "signal the parent": lambda: os.kill(parent, 0),
        "run a program": lambda: subprocess.run(["/bin/true"], check=True),
        "see the environment": lambda: os.environ["TONGFA_TEST_SECRET"],
    }
    done = []
    for name, act in tried.items():
        try:
            act()
        except (OSError, KeyError):
            continue
        done.append(name)
    return done, []


def memory(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    return len(bytearray(value)), []


def spin(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    while True:
        pass


def wait(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    while True:
        time.sleep(1)


def crash(value: Any, parts: list[bytes], ask: Ask) -> NoReturn:
    os._exit(3)


def mistake(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    return value["not there"], []


def file(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """Its folder holds what it writes, and a program that it may start sees it."""
    path = Path("made").absolute()
    path.write_bytes(parts[0])
    said = subprocess.run(["/usr/bin/pdfinfo", "-v"], capture_output=True, check=False)
    return {"folder": str(path.parent), "read": path.read_text(), "version": b"version" in said.stderr}, []


def leave_a_program(value: Any, parts: list[bytes], ask: Ask) -> Answer:
    """Ends while a program that it started goes on."""
    started = subprocess.Popen(["/usr/bin/pdfinfo", "-"], stdin=subprocess.PIPE)
    pid = started.pid
    ask(pid)
    os._exit(0)
