"""What every outlet made of static files of ours does alike: settings, prepare, arm, probe, verify, discard.

Promises: nothing of an item is public or listed before its shot; the article's page appears by one
rename and the lists follow it; each step can be repeated. A subclass says what its pages look like.

The page carries its time of publication, which is known only when the shot is armed: `render` puts a
mark in its place, `arm` writes the page with the release's instant (`prepared.notes["release_at"]`,
microseconds UTC, set by the engine; without it the time of arming) and stages it. This piece, PubDate,
is the only one that the rendition's digest does not cover.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from channels import article
from channels.listing import Entry, Shelf, Shelves
from channels.names import hidden_folder, marker_of
from channels.page import problems
from channels.readback import sighting
from channels.staging import StagedShot, Staging, disk
from sync.contract import (
    Accepted,
    Ambiguous,
    Capabilities,
    Place,
    Prepared,
    Receipt,
    Rejected,
    Setting,
    Shot,
    Stale,
    Tools,
    TryLater,
    Unauthorised,
)
from sync.model import BadInput, Edition, Key, Outlet, Problem, Rendition, Sighting, sha256
from sync.render import china_time

DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
GUARD = b"<!doctype html><html lang=zh-CN><meta charset=utf-8><title></title></html>"  # instead of a folder listing

DIRECTORY = Setting("directory", "网站目录（绝对路径）", "served folder (absolute path)", required=True)
BASE_URL = Setting("base_url", "网站地址", "public address of that folder", required=True)


@dataclass(frozen=True)
class Record:
    """What `prepare` put in place: for which rendition (digest), what to hand on, and the files' digests by path."""

    rendition: str
    notes: dict[str, str]
    files: dict[str, str]


class StaticChannel(ABC):
    kind: ClassVar[str]
    can: ClassVar[Capabilities]
    folders: ClassVar[tuple[str, ...]] = ("assets",)  # where hidden folders are

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        """Raises BadInput when a setting cannot be used."""
        self._outlet, self._tools = outlet, tools
        directory, base = outlet.settings.get("directory", ""), outlet.settings.get("base_url", "")
        address = urlsplit(base)
        if not directory or not Path(directory).is_absolute() or Path(directory).name in ("", ".."):
            raise BadInput("directory", f"{directory!r} is no absolute path", "give the served folder's full path")
        if address.scheme not in ("http", "https") or not address.netloc or address.query or address.fragment:
            raise BadInput("base_url", f"{base!r} is no web address", "give it as https://www.example.gov.cn")
        self._base = base.rstrip("/")
        self._staging = Staging(Path(directory), create=not outlet.live)

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        base = f"{sandbox.rstrip('/')}/{outlet.name}"
        replaced = {**outlet.settings, "directory": str(Path(folder) / "www"), "base_url": base}
        return Outlet(outlet.name, outlet.unit, outlet.kind, replaced, {}, outlet.required, private_network=True)

    # what a subclass says

    @abstractmethod
    def address(self, edition: Edition, key: Key) -> str | None: ...

    @abstractmethod
    def render(self, edition: Edition, place: Place) -> Rendition:
        """By `channels.page.rendition`."""

    @abstractmethod
    def _shared(self) -> Mapping[str, bytes]:
        """Files that all pages use, by path in the site; nothing of any item."""

    @abstractmethod
    def _lists(self, shelf: Shelf) -> Iterable[tuple[str, str]]:
        """The pages that list a new entry, by path in the site; equally many however large the site is."""

    def _companions(self, rendition: Rendition, key: Key) -> Mapping[str, bytes]:
        """Further files of this item, by path in the site, below a hidden folder."""
        return {}

    def _look_further(self, receipt: Receipt, rendition: Rendition) -> tuple[Problem, ...]:
        """What else a reader finds beside the page."""
        return ()

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        return problems(edition)

    # prepare, arm

    def login(self) -> None:
        self._staging.open()
        with disk(f"write to {self._staging.served}"):
            self._write_shared()
        for path in list(self._shared())[:1]:
            status = self._tools.http.read(f"{self._base}/{path}").status
            if status >= 500:
                raise TryLater(f"{self._base}/{path} answers {status}")
            if status != 200:
                raise Unauthorised(
                    f"{self._base}/{path} answers {status}: base_url does not show the folder"
                    f" {self._staging.served} — point the web server at it, or mend the setting"
                )

    def prepare(self, rendition: Rendition, key: Key) -> Prepared:
        self._staging.open()
        ref = rendition.fields["path"]
        notes = {}
        with disk(f"prepare {ref}"):
            if self._is_ours(ref, key):
                raise Ambiguous(f"{self._base}/{ref} is public already")
            self._write_shared()
            (self._staging.served / ref).parent.mkdir(parents=True, exist_ok=True)
            paths: Mapping[str, str] = json.loads(rendition.fields["assets"])
            companions = self._companions(rendition, key)
            for path, content in companions.items():
                notes[f"sha256 {path}"] = sha256(content)
            files = {path: self._tools.blob(digest) for digest, path in paths.items()} | dict(companions)
            self._staging.write({self._staging.served / path: content for path, content in files.items()})
            record = Record(rendition.digest, notes, {path: sha256(content) for path, content in files.items()})
            # The record comes last: while it is missing, a probe says that nothing is prepared.
            self._staging.write({self._waiting(key): rendition.content.encode()})
            self._staging.write({self._record_path(key): json.dumps(asdict(record)).encode()})
        return Prepared(ref, notes=notes)

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        self._staging.open()
        with disk(f"arm {prepared.ref}"):
            if self._prepared(rendition, key) is None or prepared.ref != rendition.fields["path"]:
                raise Stale(f"what was prepared for {self._base}/{prepared.ref} is gone or altered")
            if self._is_ours(prepared.ref, key):
                raise Stale(f"{self._base}/{prepared.ref} is public already")
            at = int(prepared.notes.get("release_at") or self._tools.now())
            page = rendition.content.replace(rendition.fields["published_mark"], china_time(at))
            staged = self._staging.stage(page.encode())
            os.utime(staged, ns=(at * 1000, at * 1000))  # the web server's Last-Modified
        return StagedShot(
            staged,
            self._staging.served / prepared.ref,
            self._tools.now,
            lambda fired: self._finish(rendition, key, fired),
        )

    def _finish(self, rendition: Rendition, key: Key, at: int) -> Receipt:
        """After the page is public: list it, tidy up, and say so. Raises OSError; repeating completes it."""
        ref = rendition.fields["path"]
        page = article.read((self._staging.served / ref).read_bytes(), lambda source: source)
        date = page.meta.get("PubDate", "") if page else ""
        if not DATE.fullmatch(date):  # somebody altered the page at once: it is listed all the same, and verify tells
            date = china_time(at)
        with self._staging.alone():
            shelf = Shelves(self._staging).enter(
                Entry(marker_of(key), date, ref, **json.loads(rendition.fields["entry"]))
            )
            pages = {self._staging.served / path: text.encode() for path, text in self._lists(shelf)}
            self._staging.write(pages)
        self._waiting(key).unlink(missing_ok=True)
        record = self._record(key)
        return Receipt(ref, f"{self._base}/{ref}", at, {**(record.notes if record else {}), "pub_date": date})

    def _write_shared(self) -> None:
        guards = {f"{folder}/index.html": GUARD for folder in self.folders}
        files = {**self._shared(), **guards}
        self._staging.write({self._staging.served / path: content for path, content in files.items()})

    # look

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None
    ) -> Prepared | Accepted | Receipt | None:
        """As the contract says; and it completes the lists of a page whose process died right after the rename."""
        self._staging.open()
        ref = rendition.fields["path"]
        final = self._staging.served / ref
        with disk(f"look for {ref}"):
            if self._is_ours(ref, key):
                # A rename sets the change time: the file system's own word for "public since". That clock
                # ticks coarsely and may lag; `arm` set the other time to the release, which no shot precedes.
                times = final.stat()
                return self._finish(rendition, key, max(times.st_ctime_ns, times.st_mtime_ns) // 1000)
            if final.exists():
                raise Rejected(f"{final} is a page of somebody else — move it away")
            return self._prepared(rendition, key)

    def _is_ours(self, ref: str, key: Key) -> bool:
        try:
            page = (self._staging.served / ref).read_bytes()
        except FileNotFoundError:
            return False
        return f'<meta name="tongfa-delivery" content="{marker_of(key)}">'.encode() in page

    def _waiting(self, key: Key) -> Path:
        """The prepared page, still with the mark where its date will be."""
        return self._staging.hidden / "pages" / f"{marker_of(key)}.html"

    def _record_path(self, key: Key) -> Path:
        return self._staging.hidden / "records" / f"{marker_of(key)}.json"

    def _record(self, key: Key) -> Record | None:
        path = self._record_path(key)
        return Record(**json.loads(path.read_bytes())) if path.exists() else None

    def _prepared(self, rendition: Rendition, key: Key) -> Prepared | None:
        """What was prepared, if all of it is there and for this very rendition."""
        record, page = self._record(key), self._waiting(key)
        if record is None or record.rendition != rendition.digest or not page.exists():
            return None
        if page.read_bytes() != rendition.content.encode():
            return None
        for path, digest in record.files.items():
            file = self._staging.served / path
            if not file.exists() or sha256(file.read_bytes()) != digest:
                return None
        return Prepared(rendition.fields["path"], notes=record.notes)

    def verify(self, receipt: Receipt, rendition: Rendition) -> Sighting:
        seen = sighting(self._tools, self._base, receipt, rendition)
        if not seen.visible:
            return seen
        return replace(seen, problems=(*seen.problems, *self._look_further(receipt, rendition)))

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        self._staging.open()
        with disk(f"discard {prepared.ref}"):
            if self._is_ours(prepared.ref, key):
                raise Rejected(f"{self._base}/{prepared.ref} is public: withdraw it instead")
            self._record_path(key).unlink(missing_ok=True)
            self._waiting(key).unlink(missing_ok=True)
            for folder in self.folders:
                left = self._staging.served / folder / hidden_folder(key)
                if left.exists():
                    shutil.rmtree(left)
