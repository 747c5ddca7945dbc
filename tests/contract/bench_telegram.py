"""The Telegram channel against its sandbox, with a private channel to stage in; `staged=False`: without one.

`private`: the channel itself has no name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from channels.telegram import TelegramChannel
from sync.contract import Channel, Tools
from sync.http import Http, Limits
from sync.model import Outlet
from sync.render import Templates
from tests.contract.bench import CLOCK, SandboxBench, Server, server
from tests.contract.bench_mastodon import BLOBS, EDITION

CALLS = {
    "release": "*/copyMessage*",
    "correct": "*/editMessage[TCM]*",  # not the question whether a message is there
    "withdraw": "*/deleteMessage",
}
POST = re.compile(r'<div class="tgme_widget_message text_not_supported_wrap[^>]*data-post="\w+/(\d+)"')


class TelegramBench(SandboxBench):
    shows = frozenset({"digit", "picture"})
    # Preparing makes nothing that the public could ever see; a lost answer to it is "nothing happened".
    faults = frozenset((name, phase) for name in ("drop_answer", "drop_request", "answer_502") for phase in CALLS)
    edition = EDITION

    def __init__(self, sandbox: Server, *, staged: bool = True, private: bool = False, patience: float = 5.0) -> None:
        """`patience`: seconds that an answer is waited for."""
        self.sandbox = sandbox
        self._http = Http(private_network=True, now=CLOCK.now, limits=Limits(read=patience, total=patience))
        self.blobs = dict(BLOBS)
        self.tools = Tools(self._http, self.blobs.__getitem__, Templates(), CLOCK.now)
        real = Outlet("town", "unit", "telegram", {"staging_chat_id": "-1001234567890"} if staged else {})
        self.outlet = TelegramChannel.twin(real, sandbox.address, "")
        if private:
            settings = {**self.outlet.settings, "chat_id": "-1002222222222"}
            self.outlet = Outlet("town", "unit", "telegram", settings, self.outlet.secrets)
        self.chat = self.outlet.settings["chat_id"]
        self.staging = self.outlet.settings.get("staging_chat_id", "")

    def channel(self, **secrets: str) -> Channel:
        outlet = self.outlet
        changed = Outlet(outlet.name, outlet.unit, outlet.kind, outlet.settings, {**outlet.secrets, **secrets})
        return TelegramChannel(changed, self.tools)

    def wrong(self) -> Mapping[str, str]:
        return {"bot_token": "110201543:guessed-token-of-nobody"}

    def api(self, method: str, **given: object) -> Any:
        """A call as any other client of the same bot could make it."""
        token = self.outlet.secrets["bot_token"]
        return self.sandbox.ask("POST", f"/bot{token}/{method}", given)["result"]

    def listed(self) -> list[int]:
        """The ids of the posts that an anonymous reader finds in the channel, oldest first."""
        answer = self._http.read(f"{self.sandbox.address}/s/{self.chat[1:]}")
        return [int(one) for one in POST.findall(answer.body.decode())]

    def public_copies(self) -> int:
        return len(self.listed())

    def hidden_things(self) -> int:
        done = [line for line in self.sandbox.record() if line["applied"]]
        count = {"message_staged": 0, "staged_deleted": 0}
        for line in done:
            if line["effect"] in count:
                count[line["effect"]] += len(line["detail"]["messages"])
        return count["message_staged"] - count["staged_deleted"]

    def fault(self, name: str, phase: str) -> None:
        path = CALLS[phase]
        if phase == "release" and not self.staging:
            path = "*/send*"
        self.sandbox.knob(name, method="POST", path=path)

    def close(self) -> None:
        self._http.close()


BENCH = TelegramBench


@contextmanager
def bench(
    tmp_path: Path, *, staged: bool = True, private: bool = False, patience: float = 5.0
) -> Iterator[TelegramBench]:
    with server("channels.sandbox.telegram", tmp_path / "sandbox") as sandbox:
        made = TelegramBench(sandbox, staged=staged, private=private, patience=patience)
        try:
            yield made
        finally:
            made.close()
