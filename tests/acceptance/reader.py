"""Somebody without an account who knows where the article will be, and asks for it all the time."""

from __future__ import annotations

import re
import threading
import urllib.request
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self
from urllib.error import HTTPError

from tests.acceptance.installation import Installation, now

BETWEEN = 0.1  # seconds
ADDRESS = re.compile(r'<meta name="Url" content="([^"]+)">')


@dataclass(frozen=True)
class Read:
    """One answer; instants in µs UTC."""

    began: int
    ended: int
    status: int


class Reader:
    """Reads the page of an item at a website or gazette for the time of the block.

    The address cannot be guessed before the release. It is taken from the page as it was prepared.
    """

    def __init__(self, installed: Installation, outlet: str, title: str) -> None:
        self.reads: list[Read] = []
        self.address = ""
        self._find = partial(prepared_address, installed, outlet, title)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reader of {outlet}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._enough.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._enough.wait(BETWEEN):
            if not self.address:
                self.address = self._find()
            else:
                self.reads.append(read(self.address))


def prepared_address(installed: Installation, outlet: str, title: str) -> str:
    """Where the item will be, by the page that was prepared for it; "" while there is none."""
    for path in (installed.served(outlet).parent / ".www.staged" / "pages").glob("*.html"):
        page = path.read_text()
        found = ADDRESS.search(page)
        if f'<meta name="ArticleTitle" content="{title}">' in page and found:
            return found[1]
    return ""


def read(address: str) -> Read:
    """Ask once."""
    began = now()
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            status = int(answer.status)
    except HTTPError as refused:
        with refused:
            status = refused.code
    return Read(began, now(), status)
