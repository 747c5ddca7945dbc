"""The link that can be broken breaks as it says; and one fault on each link between real processes."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.acceptance.installation import Installation, micros
from tests.campaign import networks
from tests.services.proxy import FAULTS, Proxy

SHORT = 0.3  # seconds in which an answer that comes would have come


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while piece := self.request.recv(65_536):
            self.request.sendall(piece)


@pytest.fixture
def link() -> Iterator[Proxy]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Proxy(lambda: int(server.server_address[1])) as made:
            yield made
        server.shutdown()


@contextmanager
def client(link: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), 5) as made:
        made.settimeout(5)
        yield made


def asked(connection: socket.socket, text: bytes = b"0123456789", within: float = 5.0) -> bytes:
    """What came back of it until an end, or as much as was sent; raises what a client meets."""
    connection.settimeout(within)
    connection.sendall(text)
    got = b""
    while len(got) < len(text) and (piece := connection.recv(65_536)):
        got += piece
    return got


def test_a_whole_link_passes_everything(link: Proxy) -> None:
    with client(link) as one:
        assert b"x" * 100_000 == asked(one, b"x" * 100_000)


@pytest.mark.parametrize("fault", FAULTS)
def test_after_every_fault_the_link_is_whole_again(link: Proxy, fault: str) -> None:
    with client(link), link.broken(fault):
        pass
    with client(link) as one:
        assert b"0123456789" == asked(one)


@pytest.mark.parametrize(("fault", "met"), [("cut", b""), ("reset", ConnectionResetError), ("refuse", OSError)])
def test_what_ends_connections_ends_old_and_new(link: Proxy, fault: str, met: Any) -> None:
    with client(link) as one:
        assert asked(one)
        link.breaks(fault)
        if met == b"":
            assert b"" == one.recv(10)
        else:
            with pytest.raises(OSError):
                asked(one)
    if fault == "refuse":
        with pytest.raises(ConnectionRefusedError), client(link):
            pass


def test_a_black_hole_says_nothing_and_lets_go_in_the_end(link: Proxy) -> None:
    with client(link) as one:
        link.breaks("black_hole")
        with pytest.raises(TimeoutError):
            asked(one, within=SHORT)
        link.heals()
        one.settimeout(5)
        assert b"0123456789" == one.recv(100)


def test_half_open_the_server_is_gone_and_the_client_not_told(link: Proxy) -> None:
    with client(link) as one:
        assert asked(one)
        with link.broken("half_open"), pytest.raises(TimeoutError):
            asked(one, within=SHORT)
        with pytest.raises(TimeoutError):  # it stays so
            asked(one, within=SHORT)


def test_slow_links_pass_everything_late(link: Proxy) -> None:
    for fault in ("delay", "drip"):
        with client(link) as one, link.broken(fault):
            began = time.monotonic()
            assert b"0123456789" == asked(one)
            assert time.monotonic() - began > 0.05


@pytest.mark.parametrize("fault", ["cut_request", "cut_answer"])
def test_half_of_it_passes(link: Proxy, fault: str) -> None:
    with client(link) as one:
        link.breaks(fault)
        assert asked(one) in (b"", b"01234")


def test_what_must_not_be_is_seen() -> None:
    """By the outlets' records against what is told."""
    at = "2026-11-23T01:00:00.000Z"
    there = micros(at)
    records = {"a": [there, there + 1], "b": [there - 5_000_000], "d": [there]}
    fake = cast(Installation, SimpleNamespace(copies=lambda title: records))
    told = {
        "state": "released",
        "release_at": at,
        "deliveries": [{"outlet": name, "state": "verified"} for name in "abcd"],
    }
    counts = networks.judged(fake, "", told)
    assert (1, 1, 1) == (counts["duplicate"], counts["early"], counts["lost"])


def test_a_fault_on_each_link_costs_nothing(tmp_path: Path) -> None:
    with networks.linked(tmp_path) as made:
        for case in (12, 1, 26):  # half open to the database, cut to the broker, an answer of an outlet cut
            counts = networks.run_case(made, case)
            assert 12 == counts["verified"] + counts["parked"] + 4 * counts["held"], counts
