"""The fewest rows in which something can move: one unit, outlet, item, release and delivery."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, inspect

from sync.clock import SetClock
from sync.model import Edition
from sync.store import deliveries, items, journal, outlets, releases
from sync.store.session import Store
from sync.store.tables import Record, delivery, installation, unit

ROOT = Path(__file__).resolve().parents[2]
AT = SetClock().now()
EDITION = Edition("item-1", 1, "开通公交环线", "<p>自12月1日起试运行。</p>")
OUTLET: dict[str, Any] = {
    "name": "blog",
    "unit": outlets.LOCAL_UNIT,
    "kind": "memory",
    "settings": {},
    "secrets": {},
    "groups": [],
    "required": True,
    "live": False,
    "private_network": False,
}
RELEASE: dict[str, Any] = {
    "id": "release-1",
    "unit": outlets.LOCAL_UNIT,
    "action": "publish",
    "policy": "required",
    "align": "not-before",
    "release_at": AT + 60_000_000,
    "overdue_at": AT + 960_000_000,
    "canonical_outlet": None,
    "reviewed": False,
    "live": False,
    "request_id": None,
}


def sow(store: Store) -> None:
    """One of everything; the delivery is planned and due for preparing."""
    with store.write() as connection:
        connection.execute(insert(installation).values(id="installation-1", host="here", created_at=AT))
        connection.execute(insert(unit).values(id=outlets.LOCAL_UNIT, name="here", level="county", review="none"))
        outlets.add(connection, OUTLET, at=AT, actor="test")
        items.add(connection, EDITION, unit=outlets.LOCAL_UNIT, routing={}, at=AT, author="test")
        releases.add(connection, RELEASE, [(EDITION.item, 1)], at=AT, actor="test", detail={})
        add_delivery(connection, "delivery-1")


def add_delivery(connection: Connection, one: str, **values: Any) -> None:
    told = tell(connection, "delivery", one, "planned")
    fresh = {
        "id": one, "release": RELEASE["id"], "outlet": "blog", "item": EDITION.item, "revision": 1,
        "unit": outlets.LOCAL_UNIT, "required": True, "state": "planned", "since": AT, "epoch": 1, "attempts": 0,
        "duty": "prepare", "due_at": AT, "generation": 1, "reads": 0, "problems": [], "entry_id": told,
    }  # fmt: skip
    connection.execute(insert(delivery).values({**fresh, **values}))


def tell(connection: Connection, subject: str, subject_id: str, state: str) -> int:
    """An entry that says so; its id."""
    return journal.write(
        connection,
        at=AT,
        unit=outlets.LOCAL_UNIT,
        subject=subject,
        subject_id=subject_id,
        act="told",
        state=state,
        actor="test",
    )


def the_delivery(store: Store) -> Record:
    with store.read() as connection:
        return deliveries.get(connection, "delivery-1")


def entries(store: Store) -> int:
    with store.read() as connection:
        return journal.size(connection)


def everything(store: Store) -> str:
    """Every row of every table, as text, to be compared with itself."""
    with store.read() as connection:
        names = sorted(inspect(connection).get_table_names())
        found = {name: sorted(map(repr, connection.exec_driver_sql(f"SELECT * FROM {name}").all())) for name in names}
    return json.dumps(found, default=repr, ensure_ascii=False)


def spawn(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own that runs `code` in the project; its output can be read."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    """The next line the process says; "" once it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> int:
    """Wait for its end; returns its code."""
    assert process.stdout is not None
    with process.stdout:
        return process.wait(60)


class SmallDisk:
    """A folder in which space runs out: `fill` takes what is left, `free` gives it back."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder, self.mounted = folder, mounted
        self._filler = folder / "filler"

    def fill(self, store: Store | None = None) -> None:
        """From now on nothing fits. Where nothing could be mounted, the database is told its own size as its limit."""
        if self.mounted:
            with self._filler.open("wb", buffering=0) as file:
                for size in (65_536, 4_096, 1):
                    while _written(file.fileno(), bytes(size)):
                        pass
        elif store is not None:
            store.engine.dispose()
            with store.engine.connect() as connection:
                pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
                connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def free(self, store: Store | None = None) -> None:
        self._filler.unlink(missing_ok=True)
        if store is not None:
            store.engine.dispose()


def _written(descriptor: int, content: bytes) -> bool:
    try:
        return os.write(descriptor, content) > 0
    except OSError:
        return False


@contextmanager
def small_disk(megabytes: int = 4) -> Iterator[SmallDisk]:
    """A file system of its own where this user may mount one, else a plain folder."""
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", name]
        mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        try:
            yield SmallDisk(Path(name), mounted=mounted)
        finally:
            if mounted:
                subprocess.run(["umount", "-l", name], check=True)
