"""What every outlet made of static files of ours does alike: settings, prepare, arm, probe, verify, undo.

Promises: nothing of an item is public or listed before its shot; the article's page appears by one
rename and the lists follow it; each step can be repeated. A subclass says what its pages look like.

The page carries its time of publication, which is known only when the shot is armed: `render` puts a
mark in its place, `arm` writes the page with the release's instant (`prepared.notes["release_at"]`,
microseconds UTC, set by the engine; without it the time of arming) and stages it. This piece, PubDate,
is the only one that the rendition's digest does not cover.

A correction is the same rename over the page that is there, and only over that of the copy it corrects:
every page names its delivery (its marker). PubDate stays that of the first publication, the release's
instant is shown as the time of the correction. A withdrawn address stays withdrawn.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from channels import article
from channels.addresses import DATE, Addresses, Earlier, ref_of
from channels.listing import Entry, Shelf, Shelves, only
from channels.names import hidden_folder, marker_of
from channels.page import dated, problems
from channels.readback import sighting
from channels.served import served
from channels.staging import StagedShot, Staging, disk, footprint, sync_folder
from channels.standing import clear
from channels.waiting import Waiting
from sync.contract import (
    Accepted,
    Ambiguous,
    Capabilities,
    Place,
    Prepared,
    Receipt,
    Rejected,
    Shot,
    Stale,
    Tools,
    TryLater,
    Unauthorised,
)
from sync.model import Edition, Key, Outlet, Problem, Rendition, Sighting, sha256
from sync.render import china_time

GUARD = b"<!doctype html><html lang=zh-CN><meta charset=utf-8><title></title></html>"  # instead of a folder listing


class StaticChannel(ABC):
    kind: ClassVar[str]
    can: ClassVar[Capabilities]
    folders: ClassVar[tuple[str, ...]] = ("assets",)  # where hidden folders are

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        """Raises BadInput when a setting cannot be used."""
        self._outlet, self._tools = outlet, tools
        directory, self._base = served(outlet)
        self._staging = Staging(directory, create=not outlet.live)
        self._waiting = Waiting(self._staging)
        self._addresses = Addresses(self._staging, self._waiting, self._base)

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
    def _lists(self, shelf: Shelf, unkept: Rendition | None = None) -> Iterable[tuple[str, str]]:
        """The pages that list a column and its month, by path in the site; equally many however large the site is.

        `unkept`: an item of the shelf of which nothing was noted yet."""

    def _noted(self, rendition: Rendition, ref: str) -> Mapping[Path, bytes]:
        """What the lists need of this page beyond its entry: files of the hidden folder."""
        return {}

    def _forgotten(self, ref: str) -> Iterable[Path]:
        """Such files of a page that is withdrawn."""
        return ()

    def _companions(self, rendition: Rendition, key: Key) -> Mapping[str, bytes]:
        """Further files of this item, by path in the site, below a hidden folder."""
        return {}

    def _look_further(self, receipt: Receipt, rendition: Rendition) -> tuple[Problem, ...]:
        """What else a reader finds beside the page."""
        return ()

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        return problems(edition)

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        """The page as if it were released now, with all that it needs, by path in the site.

        The lists are made as well, so that a template of theirs that cannot be used shows itself before anything
        is public. They are not handed out: with this one item in them, nobody should take them for the site's."""
        at = self._tools.now()
        page = dated(rendition, "", at)
        for _ in self._lists(only(_entry(rendition, "", china_time(at), china_time(at))), rendition):
            pass
        paths: Mapping[str, str] = json.loads(rendition.fields["assets"])
        files = {path: self._tools.blob(digest) for digest, path in paths.items()}
        companions = self._companions(rendition, Key("", ""))
        return {rendition.fields["path"]: page, **self._shared(), **files, **companions}

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

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        self._staging.open()
        ref, marker = rendition.fields["path"], marker_of(key)
        with disk(f"prepare {ref}"):
            found = self._addresses.standing(ref)
            if found and found.marker == marker:
                raise Ambiguous(f"{self._base}/{ref} is public already")
            notes = self._addresses.room(ref, found, replaces)
            self._write_shared()
            (self._staging.served / ref).parent.mkdir(parents=True, exist_ok=True)
            paths: Mapping[str, str] = json.loads(rendition.fields["assets"])
            companions = self._companions(rendition, key)
            for path, content in companions.items():
                notes[f"sha256 {path}"] = sha256(content)
            files = {path: self._tools.blob(digest) for digest, path in paths.items()} | dict(companions)
            self._waiting.put(marker, rendition, files, notes)
        return Prepared(ref, notes=notes)

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        self._staging.open()
        ref, marker = prepared.ref, marker_of(key)
        final = self._staging.served / ref
        with disk(f"arm {ref}"):
            over = footprint(final)
            found = self._addresses.standing(ref)
            if found and found.marker == marker:
                raise Stale(f"{self._base}/{ref} is public already")
            self._addresses.not_withdrawn(ref, found)
            if found and found.marker != (prepared.notes.get("replaces") or None):
                raise Rejected(self._addresses.foreign(ref))
            if self._waiting.complete(marker, rendition) is None or ref != rendition.fields["path"]:
                raise Stale(f"what was prepared for {self._base}/{ref} is gone or altered")
            at = int(prepared.notes.get("release_at") or self._tools.now())
            staged = self._staging.stage(dated(rendition, prepared.notes.get("pub_date", ""), at))
            os.utime(staged, ns=(at * 1000, at * 1000))  # the web server's Last-Modified
        return StagedShot(staged, final, over, self._tools.now, lambda fired: self._finish(rendition, key, fired))

    def _finish(self, rendition: Rendition, key: Key, at: int) -> Receipt:
        """After the page is public: list it, tidy up, and say so. Raises OSError; repeating completes it."""
        ref, marker = rendition.fields["path"], marker_of(key)
        record = self._waiting.record(marker)
        notes = dict(record.notes) if record else {}
        with self._staging.alone():
            final = self._staging.served / ref
            page = article.read(final.read_bytes(), lambda source: source) if final.exists() else None
            # Somebody may have altered the page at once: it is listed all the same, and verify tells.
            notes["pub_date"] = _date(page.meta.get("PubDate") if page else None, notes.get("pub_date"), at)
            notes["delivery"] = marker
            corrects = "corrected_mark" in rendition.fields
            if corrects:
                notes["corrected"] = _date(page.corrected[0] if page and page.corrected else None, None, at)
            # What came in between, a correction or a withdrawal, sees to the lists itself.
            if self._addresses.is_ours(ref, key):
                entry = _entry(rendition, marker, notes["pub_date"], notes.get("corrected", ""))
                shelves = Shelves(self._staging)
                self._staging.write(self._noted(rendition, ref))
                self._list(shelves.correct(entry) if corrects else (shelves.enter(entry),))
        self._waiting.released(marker)
        return Receipt(ref, f"{self._base}/{ref}", at, notes)

    def _list(self, shelves: Iterable[Shelf]) -> None:
        pages = {path: text.encode() for shelf in shelves for path, text in self._lists(shelf)}
        self._staging.write({self._staging.served / path: content for path, content in pages.items()})

    def _write_shared(self) -> None:
        guards = {f"{folder}/index.html": GUARD for folder in self.folders}
        files = {**self._shared(), **guards}
        self._staging.write({self._staging.served / path: content for path, content in files.items()})

    # look

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        """As the contract says; and it completes the lists of a page whose process died right after the rename."""
        self._staging.open()
        ref = rendition.fields["path"]
        final = self._staging.served / ref
        with disk(f"look for {ref}"):
            if self._addresses.is_ours(ref, key):
                # A rename sets the change time: the file system's own word for "public since". That clock
                # ticks coarsely and may lag; `arm` set the other time to the release, which no shot precedes.
                times = final.stat()
                return self._finish(rendition, key, max(times.st_ctime_ns, times.st_mtime_ns) // 1000)
            found = self._addresses.standing(ref)
            if found and not (replaces and found.is_of(replaces)):
                raise Rejected(self._addresses.foreign(ref))
            record = self._waiting.complete(marker_of(key), rendition)
            return Prepared(ref, notes=record.notes) if record else None

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        seen = sighting(self._tools, self._base, receipt, rendition, before)
        if not seen.visible:
            return seen
        seen = replace(seen, problems=(*seen.problems, *self._look_further(receipt, rendition)))
        if not seen.problems:
            with suppress(OSError):  # what a reader saw counts all the same; the next act of this page tries again
                self._clear_replaced(receipt)
        return seen

    def _clear_replaced(self, receipt: Receipt) -> None:
        """Remove the files of the edition that this one took the place of, now that a reader saw the new one."""
        if self._addresses.earlier(receipt) == Earlier((), ()):
            return
        with self._staging.alone():
            earlier, found = self._addresses.earlier(receipt), self._addresses.standing(ref_of(receipt, self._base))
            if found and found.is_of(receipt):
                clear(self._staging.served, earlier.folders, found.folders)
                for marker in earlier.markers:
                    self._waiting.forget(marker)

    # undo

    def discard(self, prepared: Prepared, key: Key) -> None:
        self._staging.open()
        with disk(f"discard {prepared.ref}"):
            if self._addresses.is_ours(prepared.ref, key):
                raise Rejected(f"{self._base}/{prepared.ref} is public: withdraw it instead")
            self._waiting.forget(marker_of(key))
            clear(self._staging.served, [f"{folder}/{hidden_folder(key)}" for folder in self.folders])

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        """The page first, which the public reads; then its entries in the lists; then its files.

        Repeating completes it. Raises Rejected when the page is another delivery's by now."""
        self._staging.open()
        ref = ref_of(receipt, self._base)
        final = self._staging.served / ref
        with disk(f"withdraw {ref}"), self._staging.alone():
            before = footprint(final)
            found, gone = self._addresses.withdraws(receipt)
            if footprint(final) != before:
                raise TryLater(f"{receipt.url} is just being changed")
            if found:
                final.unlink()  # point of no return; from here on the note leads a repetition to the end
                sync_folder(final.parent)
            self._list(Shelves(self._staging).leave(gone.ref, gone.month))
            for path in self._forgotten(gone.ref):
                path.unlink(missing_ok=True)
            clear(self._staging.served, gone.folders)
            for marker in gone.markers:
                self._waiting.forget(marker)


def _entry(rendition: Rendition, marker: str, published: str, corrected: str) -> Entry:
    """Of the page in the lists; `corrected` counts for a correction only."""
    told = json.loads(rendition.fields["entry"])
    corrected = corrected if "corrected_mark" in rendition.fields else ""
    return Entry(marker, published, rendition.fields["path"], **told, corrected=corrected)


def _date(shown: str | None, known: str | None, at: int) -> str:
    """The first of these that is a date of ours."""
    return next((one for one in (shown, known) if one and DATE.fullmatch(one)), china_time(at))
