"""Where a sandbox listens: at the port it had, because addresses of it were published."""

from __future__ import annotations

import socket
from pathlib import Path


def listening(host: str, port: int, kept: Path) -> socket.socket:
    """A socket at this port; for port 0 at that of the last run, whose addresses were published, if nobody has it."""
    ports = [port]
    if not port and kept.exists():
        ports.insert(0, int(kept.read_text()))
    while True:
        # asyncio switches Nagle off only on sockets that name their protocol; with it on every answer takes 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, ports.pop(0)))
            # Two sockets may be bound to one port as long as none listens.
            listener.listen(2048)
        except OSError:
            listener.close()
            if not ports:
                raise
            continue
        kept.with_name("port.new").write_text(str(listener.getsockname()[1]))
        kept.with_name("port.new").replace(kept)
        return listener
