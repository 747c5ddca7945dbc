"""An item's file → a draft: all that an edition is made of, and where and when it is to go.

One pass tells everything that is wrong with the file, each with its line. The draft is not an
edition yet: an item's name and its revision are given where it is stored. The file itself is read in
a confined process (`sync.content.parse`); this one only opens files and takes the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync import confine
from sync.content.folder import Folder, Listed
from sync.content.refusal import BadItem, each_of, raise_any
from sync.model import Asset, AssetRole, BadInput, Edition, MetaValue, Problem

__all__ = ["ENDINGS", "BadItem", "Draft", "get_ready", "read"]

MIB = 1024 * 1024
MAX_BYTES = 2 * MIB
MAX_PACKED_BYTES = 32 * MIB  # of a kind that carries its pictures with it

ENDINGS = (".md", ".html", ".htm", ".docx", ".json")
_PARSE = "sync.content.parse:parse"
_PACKED = frozenset({".docx"})


@dataclass(frozen=True)
class Draft:
    """What one file says. `metadata` is content; `outlets` to `embargo` only route it.

    `release_at` and `embargo` are instants (µs UTC) and may lie in the past: the caller judges that.
    `release_at_typed` is what the author wrote; "now" has no instant yet. `notes` say what of the file no
    reader will see; none of them is fatal.
    """

    title: str
    body: str
    metadata: Mapping[str, MetaValue]
    files: tuple[tuple[Asset, bytes], ...]
    outlets: tuple[str, ...]
    group: str | None
    release_at: int | None
    embargo: int | None
    release_at_typed: str | None
    notes: tuple[Problem, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of any edition made of this."""
        return Edition("", 0, self.title, self.body, self.metadata, tuple(asset for asset, _ in self.files)).digest


def get_ready() -> None:
    """Let what reads items come up while the caller does other things."""
    confine.begin(_PARSE)


def read(path: Path, now: int) -> Draft:
    """Read the item at `path` and the files that it names. `now` is µs UTC.

    Raises BadItem with everything that has to be mended before the item can be used.
    """
    where, kind = str(path), path.suffix.lower()
    if kind not in ENDINGS:
        accepted = ", ".join(ENDINGS)
        raise BadItem(
            [
                BadInput(
                    where,
                    "稿件不能写在这种文件里 · an item is not written in such a file",
                    f"可用：{accepted} · use one of: {accepted}",
                )
            ]
        )
    folder = Folder(path.parent)
    try:
        content = _content(path, MAX_PACKED_BYTES if kind in _PACKED else MAX_BYTES)
        asked = {"kind": kind, "where": where, "now": now}
        told, _ = confine.run(_PARSE, asked, [content], serve=_Serving(folder))
    except BadInput as refusal:
        raise BadItem(each_of(refusal)) from None
    except confine.Failed as failed:
        raise BadItem([failed.refusal(where)]) from None
    refusals = [BadInput(*map(str, one)) for one in told["refused"]]
    if "body" not in told:
        raise BadItem(refusals)
    files, missing = folder.files(told["title"])
    raise_any(sorted([*refusals, *missing], key=_line))
    return Draft(
        title=str(told["title"]),
        body=str(told["body"]),
        metadata={str(key): _meta(value) for key, value in told["metadata"].items()},
        files=tuple(files),
        outlets=tuple(map(str, told["outlets"])),
        group=told["group"],
        release_at=told["release_at"],
        embargo=told["embargo"],
        release_at_typed=told["release_at_typed"],
        notes=tuple(Problem(str(where), str(message), fatal=False) for where, message in told["notes"]),
    )


class _Serving:
    """Answers what the confined process asks about files; it never learns more than the item may hold anyway."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def __call__(self, asked: Any, parts: list[bytes]) -> confine.Answer:
        try:
            return {"found": self._found(asked, parts)}, []
        except BadInput as refusal:
            return {"refused": [[one.where, one.message, one.mend] for one in each_of(refusal)]}, []

    def _found(self, asked: Any, parts: list[bytes]) -> Any:
        match asked:
            case {"add": [role, path, where, alt, name]}:
                return self._folder.add(Listed(AssetRole(role), path, where, alt, name))
            case {"embed": [name]}:
                return self._folder.embed(name, *parts)
            case {"picture": [address, alt, where]}:
                return self._folder.picture(address, alt, where)
            case {"linked": [address, where]}:
                return self._folder.linked(address, where)
            case _:
                raise confine.Failed("crash", "a question that is none")


def _meta(value: Any) -> MetaValue:
    return tuple(map(str, value)) if isinstance(value, list) else str(value)


def _line(refusal: BadInput) -> int:
    """Its line, 0 for the file as a whole."""
    line = refusal.where.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


def _content(path: Path, limit: int) -> bytes:
    where = str(path)
    try:
        if not path.is_file():
            raise BadInput(where, "没有这个文件 · there is no such file", "改正路径 · correct the path")
        with path.open("rb") as opened:
            content = opened.read(limit + 1)
    except OSError as failed:
        raise BadInput(
            where, f"文件读不了 · the file cannot be read: {failed.strerror}", "给予读取权限 · make it readable"
        ) from None
    if len(content) > limit:
        mend = "图片另存为文件，长表格作为附件 · keep pictures in files of their own, and attach long tables"
        raise BadInput(where, f"文件超过 {limit // MIB} MiB · the file has more than {limit // MIB} MiB", mend)
    return content
