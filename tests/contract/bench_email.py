"""The email channel against its sandbox: a list of one reader, so that one delivery is one letter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from channels.email import EmailChannel
from sync.contract import Accepted, Receipt, Tools
from sync.http import Http, Limits
from sync.model import Key, Outlet, Rendition
from sync.render import Templates
from sync.smtp import Smtp
from tests.contract.bench import CLOCK, SandboxBench, Server, server
from tests.contract.bench_webhook import EDITION

CONFIGURED = {
    "host": "mail.example.gov.cn",
    "from": "news@qingxi.example",
    "from_name": "清溪发布",
    "list_id": "news.example",
}
ROUNDS = 50


class EmailBench(SandboxBench):
    faults = frozenset()  # the shot sends nothing; what befalls a letter is in its ledger
    shows = frozenset()
    reads = False
    edition = EDITION

    def __init__(self, sandbox: Server) -> None:
        self.sandbox = sandbox
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=5.0, total=5.0))
        mail = Smtp(self._http, private_network=True)
        self.tools = Tools(self._http, lambda digest: b"", Templates(), CLOCK.now, mail=mail.submission)
        twin = EmailChannel.twin(Outlet("town", "unit", "email", CONFIGURED), sandbox.address, "")
        self.outlet = replace(twin, secrets={**twin.secrets, "recipients": "reader@sandbox.example"})
        self.kept: dict[str, str] = {}

    def channel(self, **secrets: str) -> EmailChannel:
        return EmailChannel(replace(self.outlet, secrets={**self.outlet.secrets, **secrets}), self.tools)

    def to(self, *recipients: str, **settings: str) -> EmailChannel:
        """The channel with this list, and other settings."""
        secrets = {**self.outlet.secrets, "recipients": "\n".join(recipients)}
        return EmailChannel(
            replace(self.outlet, settings={**self.outlet.settings, **settings}, secrets=secrets), self.tools
        )

    def wrong(self) -> Mapping[str, str]:
        return {"password": "guessed"}

    def keep(self, notes: Mapping[str, str]) -> bool:
        self.kept = dict(notes)
        return True

    def public(
        self, rendition: Rendition, key: Key, outcome: Receipt | Accepted, replaces: Receipt | None = None
    ) -> Receipt:
        """Carried on, by a channel built anew for each round, until it is done."""
        for _ in range(ROUNDS):
            if isinstance(outcome, Receipt):
                return outcome
            outcome = self.channel().carry(outcome, rendition, key, self.keep, stop=False)
        raise AssertionError("the mailing does not end")

    def public_copies(self) -> int:
        return len(self.letters())

    def letters(self) -> list[dict[str, str]]:
        """What the server took, by its record."""
        return [line["detail"] for line in self.sandbox.record() if line["applied"]]

    def hidden_things(self) -> int:
        return 0

    def fault(self, name: str, phase: str) -> None:
        raise AssertionError("no call of ours is in doubt as a whole")

    def close(self) -> None:
        self._http.close()


BENCH = EmailBench


@contextmanager
def bench(tmp_path: Path) -> Iterator[EmailBench]:
    with server("channels.sandbox.email", tmp_path / "sandbox") as sandbox:
        made = EmailBench(sandbox)
        try:
            yield made
        finally:
            made.close()
