"""An installation of the product that is measured: its database, its workers, and what is asked of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from sync.bootstrap import context, create_home
from sync.clock import SystemClock, iso
from sync.engine.context import Context
from sync.engine.plan import Order, plan
from sync.programs import workers
from sync.settings import read_settings
from sync.store import deliveries, outlets, releases
from sync.store.tables import Record
from sync.supervise import Supervisor
from tests.benchmarks.crews import Account


@dataclass(frozen=True)
class Installation:
    """It runs. `ready_s`: from the start of its workers until all serve."""

    ctx: Context
    supervisor: Supervisor
    picture: Path
    ready_s: float

    def plan(self, mark: str, at: int | None, accounts: Sequence[Account], *, picture: bool = True) -> str:
        """A text of its own to these accounts at the instant (µs UTC; None: now); returns the release's id."""
        shown = f"\n![picture]({self.picture.name})\n" if picture else ""
        file = self.picture.with_name(f"{mark}.md")
        file.write_text(f"---\ntitle: {mark} text\nsummary: A text, {mark}.\n---\n\nOne paragraph of {mark}.\n{shown}")
        when = "now" if at is None else iso(at)
        return plan(self.ctx, Order((str(file),), tuple(a.name for a in accounts), at=when))

    def rows(self, release: str) -> Sequence[Record]:
        with self.ctx.store.read() as connection:
            return deliveries.of_release(connection, release)

    def late(self, planned: Sequence[str]) -> int:
        """How many of these releases were committed only after their instant."""
        with self.ctx.store.read() as connection:
            rows = [releases.get(connection, release) for release in planned]
        return sum(row.committed_at is not None and row.committed_at > row.release_at for row in rows)

    def senders(self, release: str) -> int:
        """How many processes sent it."""
        return len({row.worker for row in self.rows(release)})

    def settled(self, planned: Sequence[str], within: float) -> list[str]:
        """Waits until all deliveries of these releases are verified; returns what is not by then, in words."""
        ends = time.monotonic() + within
        while True:
            open_ = [
                f"{release}: {row.outlet} is {row.state} {row.problems}"
                for release in planned
                for row in self.rows(release)
                if row.state != "verified"
            ]
            if not open_ or time.monotonic() > ends:
                return open_
            time.sleep(0.5)


@contextmanager
def installed(
    home: Path,
    accounts: Sequence[Account],
    sandboxes: Mapping[str, str],
    *,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Installation]:
    """One with its workers, ended with the block. `sandboxes`: kind → address; `environment`: more of its workers'."""
    # Said outright, so that no variable of whoever runs this points it at an installation in use.
    chosen = read_settings(
        home=home,
        **{
            "database_url": f"sqlite:///{home / 'tongfa.sqlite3'}",
            "broker_url": None,
            "secret_key_file": home.with_suffix(".key"),
            "sandbox_urls": ",".join(f"{kind}={address}" for kind, address in sandboxes.items()),
            "workers_prepare": 1,
            "workers_release": 1,
            "budgets": "live",
            **settings,
        },
    )
    create_home(chosen, SystemClock())
    ctx = context(chosen, "command", person="benchmark")
    try:
        _add_outlets(ctx, accounts)
        picture = draw(home / "items" / "picture.png")
        with Supervisor() as supervisor:
            for one in workers(chosen):
                supervisor.add(replace(one, env={**one.env, **(environment or {})}))
            began = time.monotonic()
            supervisor.start(60)
            yield Installation(ctx, supervisor, picture, time.monotonic() - began)
    finally:
        ctx.store.close()


def draw(path: Path) -> Path:
    """A picture with something to see in it."""
    path.parent.mkdir(exist_ok=True)
    image = Image.new("RGB", (320, 160), "white")
    ImageDraw.Draw(image).text((20, 60), "route 12", fill="black", font_size=40)
    image.save(path)
    return path


def _add_outlets(ctx: Context, accounts: Sequence[Account]) -> None:
    with ctx.store.write() as connection:
        for one in accounts:
            values: dict[str, Any] = {
                "name": one.name,
                "unit": outlets.LOCAL_UNIT,
                "kind": one.kind,
                "settings": {},
                "secrets": {},
                "groups": [],
                "required": True,
                "live": False,
                "private_network": False,
            }
            outlets.add(connection, values, at=ctx.store.now(connection), actor=ctx.actor)
