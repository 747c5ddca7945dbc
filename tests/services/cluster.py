"""PostgreSQL with a synchronous standby, reached at one address, behind which the standby takes over.

with Cluster(primary) as cluster:
    url = cluster.database("template")
    cluster.fail_over()                  # the primary is gone at once, as with its machine
    cluster.stand_by()                   # who leads now gets a standby of its own
"""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

from tests.services.postgres import Postgres, Standby
from tests.services.proxy import Proxy


class Cluster:
    def __init__(self, primary: Postgres) -> None:
        self.leads: Postgres = primary
        self._follows: Standby | None = None
        self._servers = ExitStack()
        self._address = Proxy(lambda: self.leads.port)

    def __enter__(self) -> Cluster:
        self._servers.enter_context(self._address)
        self.stand_by()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._servers.close()

    def database(self, template: str) -> str:
        """A copy of another database, by the address that follows whoever leads."""
        name = self.leads.database(template).partition("?")[0].rpartition("/")[2]
        return f"postgresql://{self.leads.user}@127.0.0.1:{self._address.port}/{name}"

    def stand_by(self) -> None:
        """Returns when every further commit waits for the new standby."""
        self._follows = self._servers.enter_context(Standby(self.leads))

    def fail_over(self) -> None:
        """Returns when the standby leads, and has none of its own."""
        assert self._follows is not None
        gone, self.leads, self._follows = self.leads, self._follows, None
        gone.stop("immediate")
        self._address.breaks("reset")
        self.leads.promote()
        self._address.heals()
