"""What the contract suite needs to know of one kind of outlet: a bench holds a channel and its sandbox.

A module `bench_<kind>.py` exposes `bench(tmp_path)`, a context manager that yields a `Bench`; the kind is
added to `KINDS` in `conftest.py`.
"""

from __future__ import annotations

import json
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sync.clock import SystemClock
from sync.contract import Accepted, Channel, Place, Receipt, Window
from sync.model import Edition, Key, Rendition
from tests.contract.nursery import end, living, nursery

PATIENCE = 20.0  # seconds until a process that should listen, or a job that should end, counts as broken
CLOCK = SystemClock()


class Bench(ABC):
    """One outlet on a sandbox of its own. The class attributes say which parts of the suite apply."""

    # Faults the outlet can show, as (name, phase); the names are the sandbox's: drop_answer, drop_request, answer_502.
    # The phases "correct" (the shot of a correction in place) and "withdraw" are named by the kinds that can show them.
    faults: frozenset[tuple[str, str]] = frozenset(
        (name, phase) for name in ("drop_answer", "drop_request", "answer_502") for phase in ("prepare", "release")
    )
    shows: frozenset[str] = frozenset({"digit", "cell", "picture"})  # what of these a reader sees here
    has_login: bool = True  # whether there are credentials that can be wrong
    reads: bool = True  # whether the public can read what is there
    edition: Edition  # with everything in it that `shows` names
    _keys: int = 0

    @abstractmethod
    def channel(self, **secrets: str) -> Channel:
        """The channel, built anew as for each task; `secrets` replace the outlet's."""

    @abstractmethod
    def wrong(self) -> Mapping[str, str]:
        """Secrets that are refused; asked for only when `has_login`."""

    @abstractmethod
    def public_copies(self) -> int:
        """How many copies the public can see, by the sandbox's own record or an anonymous read."""

    @abstractmethod
    def hidden_things(self) -> int:
        """How many drafts, media or staged files the outlet keeps that are not public."""

    @abstractmethod
    def fault(self, name: str, phase: str) -> None:
        """Let the next call of this phase (see `faults`) that changes something fail like that."""

    @abstractmethod
    def alter(self, kind: str) -> None:
        """Plant a change in what the public sees from now on: a "digit", a "cell" or a "picture"."""

    @property
    def corrected(self) -> Edition:
        """A second edition: another title, and another time wherever the first says 06:30."""
        summary = self.edition.text("summary").replace("06:30", "06:45")
        return replace(
            self.edition,
            revision=2,
            title=f"{self.edition.title}（更正）",
            body=self.edition.body.replace("06:30", "06:45"),
            metadata={**self.edition.metadata, "summary": f"更正：{summary}"},
        )

    def key(self) -> Key:
        """Another delivery's key at each call."""
        self._keys += 1
        return Key("contract-suite", f"delivery-{self._keys}")

    def canonical(self, key: Key) -> str | None:
        """Each release has an address of its own; it is what a search goes by."""
        return f"https://county.example/2026/11/{key.delivery}.html"

    def public(
        self, rendition: Rendition, key: Key, outcome: Receipt | Accepted, replaces: Receipt | None = None
    ) -> Receipt:
        """The receipt that comes of a shot's outcome, by whoever has to do with it until then."""
        return public(self.channel(), rendition, key, outcome, replaces)

    def render(self, key: Key) -> Rendition:
        return self.channel().render(self.edition, Place(key, self.canonical(key)))

    def render_corrected(self, key: Key, first: Key, replaces: Receipt | None) -> Rendition:
        """The second edition. The canonical address is that of the `first` delivery: the page there was corrected."""
        return self.channel().render(self.corrected, Place(key, self.canonical(first), replaces))


def window() -> Window:
    """Open now, for two seconds, as the engine's is."""
    at = CLOCK.boottime()
    return Window(at, at + 2.0)


def public(
    channel: Channel, rendition: Rendition, key: Key, outcome: Receipt | Accepted, replaces: Receipt | None = None
) -> Receipt:
    """The receipt; a queued job is asked about until it has ended."""
    ends = time.monotonic() + PATIENCE
    while isinstance(outcome, Accepted):
        assert time.monotonic() < ends, "the outlet's job does not end"
        found = channel.probe(rendition, key, outcome, replaces)
        assert isinstance(found, Receipt | Accepted)
        outcome = found
        time.sleep(0.02)
    return outcome


def unseen(channel: Channel, receipt: Receipt, rendition: Rendition) -> bool:
    """Whether an anonymous reader finds nothing any more; outlets that queue are given their time."""
    ends = time.monotonic() + PATIENCE
    while channel.verify(receipt, rendition).visible:
        if time.monotonic() > ends:
            return False
        time.sleep(0.02)
    return True


class Server:
    """A running sandbox: its knobs and its record."""

    def __init__(self, home: Path, address: str) -> None:
        self.home, self.address = home, address

    def knob(self, fault: str, **parameters: object) -> None:
        self.ask("POST", "/_sandbox/knobs", {"fault": fault, **parameters})

    def clear(self) -> None:
        self.ask("DELETE", "/_sandbox/knobs")

    def record(self) -> list[dict[str, Any]]:
        """From the disk: what is there was written before the answer left."""
        return [json.loads(line) for line in (self.home / "record.jsonl").read_text().splitlines()]

    def ask(self, method: str, path: str, given: object = None, token: str = "") -> Any:
        """A JSON call as anybody could make it, outside the code under test. Raises urllib's HTTPError."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        body = None if given is None else json.dumps(given).encode()
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


class SandboxBench(Bench):
    """A bench on a sandbox that has the usual knobs."""

    sandbox: Server

    def alter(self, kind: str) -> None:
        match kind:
            case "digit":
                self.sandbox.knob("alter", replace=["06:30", "06:31"])
            case "cell":
                self.sandbox.knob("drop_cell")
            case "picture":
                self.sandbox.knob("swap_picture")


@contextmanager
def server(module: str, home: Path) -> Iterator[Server]:
    """The sandbox `module` as a process of its own, for the time of the block."""
    (home / "address").unlink(missing_ok=True)
    pid = nursery().start(module, home)
    try:
        ends = time.monotonic() + PATIENCE
        while not (home / "address").exists():
            if not living(pid) or time.monotonic() > ends:
                raise RuntimeError(f"{module} does not listen")
            time.sleep(0.002)
        yield Server(home, (home / "address").read_text())
    finally:
        if living(pid):
            end(pid)
