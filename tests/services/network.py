"""Another host, as far as the network goes: a network namespace with one cable to this one. Needs root."""

from __future__ import annotations

import os
import secrets
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Elsewhere:
    """`here`: this machine's address, as seen from there. `enter`: what a command there begins with.

    `cable`: the name of this machine's end of it."""

    here: str
    enter: tuple[str, ...]
    cable: str = ""

    def unplug(self) -> None:
        """Nothing passes any more, and nobody is told."""
        _ip("link", "set", self.cable, "down")

    def plug(self) -> None:
        _ip("link", "set", self.cable, "up")

    def reaches(self, address: str) -> None:
        """Another address of this machine is reached from there, too."""
        _ip("-n", self.enter[-1], "route", "add", f"{address}/32", "via", self.here)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """A namespace that reaches this machine's own end of the cable and nothing else."""
    assert os.geteuid() == 0, "network namespaces are made by root, as whom build machines run"
    name = f"tf{secrets.token_hex(3)}"
    net = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(256)}"
    inside = ("ip", "netns", "exec", name)
    _ip("netns", "add", name)
    try:
        _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        _ip("addr", "add", f"{net}.1/30", "dev", f"{name}a")
        _ip("link", "set", f"{name}a", "up")
        for words in (("addr", "add", f"{net}.2/30", "dev", f"{name}b"), ("link", "set", f"{name}b", "up")):
            _ip("-n", name, *words)
        _ip("-n", name, "link", "set", "lo", "up")
        yield Elsewhere(f"{net}.1", inside, f"{name}a")
    finally:
        _ip("netns", "del", name)  # and with it both ends of the cable


@contextmanager
def forwarded(host: str, *ports: int) -> Iterator[Callable[[int], int]]:
    """Lets what is served on 127.0.0.1 be reached at `host`, too; tells at which port."""
    with ExitStack() as stack:
        forwards = {port: stack.enter_context(_Forward((host, 0), _Carrier)) for port in ports}
        for port, forward in forwards.items():
            forward.port = port
            threading.Thread(target=forward.serve_forever, daemon=True).start()
            stack.callback(forward.shutdown)
        yield lambda port: int(forwards[port].server_address[1])


class _Forward(socketserver.ThreadingTCPServer):
    port: int  # on 127.0.0.1


class _Carrier(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Forward)
        with socket.create_connection(("127.0.0.1", self.server.port)) as served:
            back = threading.Thread(target=_carry, args=(served, self.request))
            back.start()
            _carry(self.request, served)
            back.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    """Until one of them ends; then both do."""
    with suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
