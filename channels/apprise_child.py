"""The process in which `apprise` runs: it knows one address and one text, and nothing else of the installation.

    python -I channels/apprise_child.py ROOT PARENT_PID      standard input and output: one JSON value each

It is handed {"url", "title", "body", "private"}, or no "body" to be asked whether the address is understood; it
answers {"outcome": "understood" | "unknown" | "sent" | "unreached" | "failed"}. Before anything of apprise is
imported it gives up what it has no use for: files but the program's own, memory, time, and every
connection but those to addresses that `sync.address` allows. The environment was emptied by whoever started it.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

MEMORY, CPU_S, FILE_BYTES = 512 * 1024 * 1024, 20, 1024 * 1024
# What speaks to programs of this machine by the C library, past any guard of ours, and is nobody's outlet.
HERE = frozenset({"syslog", "dbus", "glib", "gnome", "kde", "qt", "macosx", "windows"})
# Names, authorities and libraries; not the folder of the project, in which a home may lie.
READABLE = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/localtime",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share",
    "/lib",
    "/lib64",
    "/run/systemd/resolve",
)


class Guard:
    """Judges every address that a connection is made to; `made`: how many there were."""

    def __init__(self, private: bool) -> None:
        from sync.address import refusal

        self._refusal, self._private = refusal, private
        self.made = 0
        self._connect = socket.socket.connect

    def install(self) -> None:
        """To be called before anything is imported that has its own sort of socket, as `ssl` does."""
        assert "ssl" not in sys.modules, "it would go round the guard"
        guard = self

        class Guarded(socket.socket):
            def connect(self, address: Any) -> None:
                guard.judge(self, address)
                super().connect(address)
                guard.made += 1

            def connect_ex(self, address: Any) -> int:
                guard.judge(self, address)
                guard.made += 1  # as far as anybody knows
                return super().connect_ex(address)

            def sendto(self, *given: Any) -> int:
                raise OSError("not from here")

            def bind(self, address: Any) -> None:
                raise OSError("not from here")

        socket.socket = Guarded  # type: ignore[misc]

    def judge(self, connection: socket.socket, address: Any) -> None:
        """Raises OSError. A name is resolved here, so that what is judged is what is connected to."""
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError("not from here")
        try:
            found = ip_address(str(address[0]).partition("%")[0])
        except ValueError:
            raise OSError("a name, where an address belongs") from None
        if self._refusal(found, self._private):
            raise OSError("this address is refused")


def main() -> None:
    root = Path(sys.argv[1])
    sys.path.insert(0, str(root))
    given = json.loads(sys.stdin.read())
    guard = Guard(bool(given.get("private")))  # imports what it needs while it still may
    confine(root, int(sys.argv[2]))
    guard.install()
    sys.stdout.write(json.dumps({"outcome": outcome(given, guard)}))


def confine(root: Path, parent: int) -> bool:
    """What is not there for it cannot be read, whatever an address asks for. False without Landlock in the kernel."""
    from sync import walls

    walls.die_with_parent(parent)
    walls.limits(cpu_s=CPU_S, memory=MEMORY, file_bytes=FILE_BYTES)
    own = [Path(sys.prefix) / "lib", Path(sys.base_prefix), *(Path(one) for one in sys.path if "site-packages" in one)]
    own += [root / "sync" / "__init__.py", root / "sync" / "address.py", *map(Path, READABLE)]
    return walls.no_files(own, None, network=True)


def outcome(given: dict[str, Any], guard: Guard) -> str:
    import apprise

    logging.disable(logging.CRITICAL)
    if given["url"].partition(":")[0].strip().lower() in HERE:
        return "unknown"
    target = apprise.Apprise.instantiate(given["url"], suppress_exceptions=True)
    if not isinstance(target, apprise.NotifyBase):
        return "unknown"
    if "body" not in given:
        return "understood"
    try:
        taken = target.notify(body=given["body"], title=given.get("title", ""))
    except Exception:  # noqa: BLE001 - of anybody's plugin: what it did is not known
        taken = False
    if taken:
        return "sent"
    return "failed" if guard.made else "unreached"


if __name__ == "__main__":
    main()
