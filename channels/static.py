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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urljoin, urlsplit

from channels import article
from channels.listing import Entry, Shelf, Shelves
from channels.staging import StagedShot, Staging, disk
from sync.compare import differences
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
    Unsupported,
)
from sync.model import BadInput, Edition, Key, Outlet, Problem, Rendition, Sighting, Token, sha256
from sync.render import china_time

# Never an ending that a browser would run as a page of this site.
ENDINGS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/plain": "txt",
    "application/zip": "zip",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/ofd": "ofd",
    "audio/mpeg": "mp3",
    "video/mp4": "mp4",
}
MOST_BYTES = 15 * 1024 * 1024  # an anonymous read takes no more than 16 MiB
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
GUARD = b"<!doctype html><html lang=zh-CN><meta charset=utf-8><title></title></html>"  # instead of a folder listing

DIRECTORY = Setting("directory", "网站目录（绝对路径）", "served folder (absolute path)", required=True)
BASE_URL = Setting("base_url", "网站地址", "public address of that folder", required=True)


def marker_of(key: Key) -> str:
    """What names the delivery in its public page: derived one-way, so it leads to no hidden file."""
    return sha256(f"tongfa delivery marker\n{key.token}".encode())[:32]


def hidden_folder(key: Key) -> str:
    """The folder of a delivery's files: in the served tree before the release, so nobody may guess it."""
    return sha256(f"tongfa hidden files\n{key.token}".encode())[:24]


def hidden_name(key: Key, digest: str, media_type: str) -> str:
    """A file's name in that folder."""
    name = sha256(f"tongfa hidden file\n{key.token}\n{digest}".encode())[:16]
    return f"{name}.{ENDINGS.get(media_type, 'bin')}"


@dataclass(frozen=True)
class Record:
    """What `prepare` put in place: for which rendition (digest), what to hand on, and which files."""

    rendition: str
    notes: dict[str, str]
    files: list[str]


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
        """`fields` hold at least: path, published_mark, assets (digest → path, JSON), entry (of the lists, JSON)."""

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
        found = []
        if not edition.title.strip():
            found.append(Problem("title", "缺少标题 · the title is missing"))
        if not edition.body.strip():
            found.append(Problem("body", "正文为空 · the body is empty"))
        values = {"title": edition.title, **{name: edition.text(name) for name in edition.metadata}}
        found += [
            Problem(name, "含有控制字符，请删除 · contains control characters, remove them")
            for name, value in values.items()
            if CONTROL.search(value)
        ]
        try:
            article.dressed(edition, lambda asset: asset.digest)
        except Unsupported as error:
            found.append(Problem("body", str(error)))
        if not edition.text("source").strip():
            message = "未填来源，将以本站名称为来源 · no source given: the site's name is used"
            found.append(Problem("source", message, fatal=False))
        for asset in edition.assets:
            if asset.size > MOST_BYTES:
                message = f"文件 {asset.name} 超过 15 MB，无法回读核验 · larger than 15 MB, it could not be read back"
                found.append(Problem("attachment", message))
            if asset.media_type.startswith("image/") and not asset.alt.strip():
                message = f"图片 {asset.name} 缺少替代文字 · the picture has no alternative text"
                found.append(Problem("image", message, fatal=False))
        return found

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
            record = Record(rendition.digest, notes, sorted(files))
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
        date = self._date_of(ref)
        with self._staging.alone():
            shelf = Shelves(self._staging).enter(
                Entry(marker_of(key), date, ref, **json.loads(rendition.fields["entry"]))
            )
            pages = {self._staging.served / path: text.encode() for path, text in self._lists(shelf)}
            self._staging.write(pages)
        self._waiting(key).unlink(missing_ok=True)
        record = self._record(key)
        return Receipt(ref, f"{self._base}/{ref}", at, {**(record.notes if record else {}), "pub_date": date})

    def _date_of(self, ref: str) -> str:
        found = article.read((self._staging.served / ref).read_bytes(), lambda source: source)
        return found.meta.get("PubDate", "") if found else ""

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
        if not all((self._staging.served / path).exists() for path in record.files):
            return None
        return Prepared(rendition.fields["path"], notes=record.notes)

    def verify(self, receipt: Receipt, rendition: Rendition) -> Sighting:
        began = self._tools.now()
        answer = self._tools.http.read(receipt.url)
        ended = self._tools.now()
        if answer.status in (404, 410):
            return Sighting(False, began, ended)
        if answer.status != 200:
            raise TryLater(f"{receipt.url} answers {answer.status}")
        digests: dict[str, str] = {}

        def digest_at(url: str) -> str:
            if url not in digests:
                file = self._tools.http.read(url)
                digests[url] = sha256(file.body) if file.status == 200 else f"HTTP {file.status}"
            return digests[url]

        found = article.read(answer.body, lambda source: digest_at(urljoin(receipt.url, source)))
        if found is None:
            problem = Problem("text", "该地址没有文章内容 · there is no article at this address", fatal=False)
            return Sighting(False, began, ended, (problem,))
        problems = [*differences(rendition.shown, found.seen), *self._head_problems(receipt, rendition, found)]
        for digest, path in json.loads(rendition.fields["assets"]).items():
            if Token("image", digest) not in rendition.shown and digest_at(f"{self._base}/{path}") != digest:
                problems.append(Problem("link", f"文件不一致 / file differs: {path}", fatal=False))
        problems += self._look_further(receipt, rendition)
        return Sighting(True, began, ended, tuple(problems))

    def _head_problems(self, receipt: Receipt, rendition: Rendition, found: article.Article) -> list[Problem]:
        """Meta tags as rendered, and one date everywhere: the one that was published."""
        rendered = article.read(rendition.content.encode(), lambda source: source)
        expected = dict(rendered.meta) if rendered else {}
        date = receipt.notes.get("pub_date", found.meta.get("PubDate", ""))
        expected["PubDate"] = date
        problems = [
            Problem(
                "title" if name == "ArticleTitle" else "text", f"<meta {name}>: {found.meta.get(name)!r}", fatal=False
            )
            for name, value in expected.items()
            if found.meta.get(name) != value
        ]
        if found.dates != (date,):
            shown = "、".join(found.dates)
            message = f"发布时间 / published: 应为 expected 「{date}」，实为 found 「{shown}」"
            problems.append(Problem("text", message, fatal=False))
        return problems

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
