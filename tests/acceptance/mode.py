"""The two ways to run an installation. Tests of the command line hold in both; only settings differ.

`embedded`: SQLite, no broker, everything under `tongfa up`. `production`: PostgreSQL and Redis, shared by
all installations of a test run, each with a database and a Redis database of its own, and several
`tongfa worker` processes, which something outside (here `host.py`) keeps running.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from sync.store.session import Store
from tests.services.postgres import Postgres

TONGFA = Path(sys.executable).with_name("tongfa")
TEMPLATE = "tongfa_template"  # a migrated database that each installation's is copied from: `migrated`


class Mode(ABC):
    """How an installation is stored and what runs it."""

    @abstractmethod
    def environment(self, home: Path) -> dict[str, str]:
        """The settings of a new installation in `home`, beside TONGFA_HOME."""

    @property
    @abstractmethod
    def runs(self) -> Sequence[str]:
        """The command that runs it until it is told to end; it prints "is up" once everything does."""


class Embedded(Mode):
    def environment(self, home: Path) -> dict[str, str]:
        return {}

    @property
    def runs(self) -> Sequence[str]:
        return (str(TONGFA), "up", "--port", "0")


class Databases(Protocol):
    """Where an installation gets its own from."""

    def database(self, template: str) -> str: ...


class Production(Mode):
    def __init__(self, postgres: Databases, broker: Callable[[], str]) -> None:
        """`broker`: the address of a fresh one for each installation. Both run for longer than any of them."""
        self._postgres, self._broker = postgres, broker

    def environment(self, home: Path) -> dict[str, str]:
        return {
            "TONGFA_DATABASE_URL": self._postgres.database(TEMPLATE),
            "TONGFA_BROKER_URL": self._broker(),
            "TONGFA_SECRET_KEY_FILE": str(home.with_suffix(".key")),
        }

    @property
    def runs(self) -> Sequence[str]:
        return (sys.executable, "-m", "tests.acceptance.host")


EMBEDDED = Embedded()


def migrated(postgres: Postgres) -> Postgres:
    """The server, with the database that each installation's is copied from."""
    store = Store(postgres.database(name=TEMPLATE))
    store.migrate()
    store.close()
    return postgres
