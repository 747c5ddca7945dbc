"""The files of an item: pictures, cover and attachments beside it, never from outside its folder, or inside its file.

Each is read once. Pictures are decoded in a confined process, and kept without what they tell of their making.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from sync import confine
from sync.content import attachment, picture
from sync.model import Asset, AssetRole, BadInput, sha256

MAX_TOTAL_BYTES = 200 * 1024 * 1024
MAX_FILES = 200


@dataclass(frozen=True, slots=True)
class Listed:
    """A file named in the front matter. `alt` and `name` are "" where the author gave none."""

    role: AssetRole
    path: str
    where: str
    alt: str = ""
    name: str = ""


class Folder:
    """Gathers the assets of one item; answers `sync.content.markup` as its `Files`."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._total = 0
        self._content: dict[Path, bytes] = {}
        self._pictures: dict[Path, str] = {}  # media type, of what is known to be a picture
        self._alts: dict[Path, str] = {}
        self._in_body: list[Path] = []
        self._embedded: dict[str, Path] = {}
        self._listed: dict[tuple[AssetRole, Path], Listed] = {}

    def add(self, listed: Listed) -> None:
        """Read a file of the front matter. Raises BadInput."""
        limit = attachment.MAX_BYTES if listed.role is AssetRole.ATTACHMENT else picture.MAX_BYTES
        real = self._read(listed.path, limit, listed.where)
        if (listed.role, real) in self._listed:
            raise BadInput(
                listed.where, f'“{listed.path}”列了两次 · "{listed.path}" is listed twice', "删去其一 · remove one"
            )
        if listed.role is AssetRole.ATTACHMENT:
            media_type = attachment.inspect(self._content[real], listed.path, listed.where)
            if media_type in picture.STRIPPED and real not in self._pictures:
                self._examine(real, "strip", listed.where)
        else:
            self._inspect(real, listed.where)
        self._listed[listed.role, real] = listed
        if listed.role is AssetRole.IMAGE and listed.alt:
            self._alts[real] = listed.alt

    def embed(self, name: str, content: bytes) -> None:
        """A picture from inside the item's file, called `name` in its text. Raises BadInput for the limits."""
        real = Path("inside") / name  # relative, so it is no file's
        self._keep(real, content, name)
        self._embedded[name] = real

    def picture(self, address: str, alt: str, where: str) -> tuple[str, str]:
        """A picture of the body; its alt text is the one written there, else the one in `images`."""
        path = unquote(address)
        real = self._embedded.get(path) or self._read(path, picture.MAX_BYTES, where)
        self._inspect(real, where)
        alt = alt or self._alts.get(real, "")
        if not alt and path in self._embedded:
            mend = (
                "选中图片 → 编辑替代文字，说明图上是什么 · "
                "say what it shows: select it, then Edit Alt Text (编辑替代文字)"
            )
            raise BadInput(where, f'图片“{path}”没有替代文字 · the picture "{path}" has no alt text', mend)
        if not alt:
            mend = f'说明图上是什么 · say what it shows: ![what it shows]({address}), or alt="what it shows" in HTML'
            raise BadInput(where, f'图片“{path}”没有替代文字 · the picture "{path}" has no alt text', mend)
        self._alts.setdefault(real, alt)
        if real not in self._in_body:
            self._in_body.append(real)
        return f"asset:{sha256(self._content[real])}", alt

    def linked(self, address: str, where: str) -> str:
        """A link of the body to a file that is listed, or shown as a picture."""
        path = unquote(address)
        try:
            real = self._inside(path, where)
        except BadInput:
            real = None
        if real is None or not (real in self._in_body or any(real == known for _, known in self._listed)):
            raise BadInput(
                where,
                f'链接“{path}”指向的不随本稿发布 · the link "{path}" leads to nothing that is published with this item',
                "把文件列入 attachments，或写完整的 https:// 地址 · "
                "list the file under attachments, or write the full https:// address",
            )
        return f"asset:{sha256(self._content[real])}"

    def files(self, title: str) -> tuple[list[tuple[Asset, bytes]], list[BadInput]]:
        """All assets in the order of the text, then of the front matter; and what is still missing.

        A cover without alt text of its own has that of the same picture in the text, else `title`.
        """
        found: dict[tuple[AssetRole, str, str], tuple[Asset, bytes]] = {}
        missing: list[BadInput] = []
        images = [(AssetRole.IMAGE, real) for real in self._in_body]
        for role, real in [*images, *sorted(self._listed, key=lambda key: list(AssetRole).index(key[0]))]:
            listed = self._listed.get((role, real))
            content, alt, name = self._content[real], self._alts.get(real, ""), _name(real.name)
            if role is AssetRole.ATTACHMENT and listed:
                media_type = attachment.inspect(content, listed.path, listed.where)
                path = PurePosixPath(listed.path)
                alt, name = "", _name(listed.name or path.name)
                if not name.lower().endswith(path.suffix.lower()):
                    name += path.suffix  # a reader's computer opens it by this
            else:
                media_type = self._pictures[real]
                if role is AssetRole.COVER and listed:
                    alt = listed.alt or alt or title
                elif not alt and listed:
                    mend = f"写明图上是什么 · write {{file: {listed.path}, alt: what it shows}}"
                    missing.append(
                        BadInput(
                            listed.where,
                            f'图片“{listed.path}”没有替代文字 · the picture "{listed.path}" has no alt text',
                            mend,
                        )
                    )
            digest = sha256(content)
            # One picture under two names is one asset; two attachments may well be equal.
            key = (role, digest, name if role is AssetRole.ATTACHMENT else "")
            found.setdefault(key, (Asset(digest, media_type, len(content), name, role, alt), content))
        return list(found.values()), missing

    def _inspect(self, real: Path, where: str) -> None:
        if real not in self._pictures:
            self._pictures[real] = str(self._examine(real, "examine", where)["media_type"])

    def _examine(self, real: Path, act: str, where: str) -> dict[str, str]:
        """Have a picture examined or stripped elsewhere; from then on its content is what came back."""
        try:
            told, made = confine.run(f"sync.content.picture:{act}", {"where": where}, [self._content[real]])
        except confine.Failed as failed:
            raise failed.refusal(where) from None
        if "refused" in told:
            raise BadInput(*told["refused"])
        if made:
            self._content[real] = made[0]
        return dict(told)

    def _inside(self, path: str, where: str) -> Path:
        """The true place of a file. Raises BadInput unless it is a file in the item's folder."""
        parts = PurePosixPath(path)
        if "\\" in path:
            raise BadInput(
                where, f'“{path}”中有反斜杠 · "{path}" holds a backslash', "文件夹之间用 / · write / between folders"
            )
        if parts.is_absolute() or ".." in parts.parts or re.match("[A-Za-z]:", path):
            mend = "把文件放在稿件旁，写相对路径 · put the file beside the item, and write its path from there"
            raise BadInput(where, f'“{path}”在稿件文件夹之外 · "{path}" leads out of the folder of the item', mend)
        try:
            real = (self._root / parts).resolve(strict=True)
            regular = real.is_file()
        except (OSError, RuntimeError, ValueError):  # none there, links in a circle, a NUL in the name
            raise BadInput(
                where,
                f'没有文件“{path}” · there is no file "{path}"',
                "放入文件，或改正路径 · put it there, or correct the path",
            ) from None
        if not real.is_relative_to(self._root):
            raise BadInput(
                where,
                f'“{path}”是指向稿件文件夹之外的链接 · "{path}" is a link out of the folder of the item',
                "放入文件本身 · put the file itself there",
            )
        if not regular:
            raise BadInput(
                where, f'“{path}”不是文件 · "{path}" is not a file', "写文件的路径 · write the path of a file"
            )
        return real

    def _read(self, path: str, limit: int, where: str) -> Path:
        """Read a file once. Raises BadInput when it is no such file, or one of the limits is passed."""
        real = self._inside(path, where)
        if real not in self._content or len(self._content[real]) > limit:
            self._keep(real, _bytes(real, path, limit, where), where)
        return real

    def _keep(self, real: Path, content: bytes, where: str) -> None:
        self._total += len(content)
        if self._total > MAX_TOTAL_BYTES or len(self._content) >= MAX_FILES:
            raise BadInput(
                where,
                f"稿件的文件合计超过 {MAX_TOTAL_BYTES // 1024 // 1024} MiB 或 {MAX_FILES} 个 · "
                f"the files of the item are more than {MAX_TOTAL_BYTES // 1024 // 1024} MiB or {MAX_FILES} in all",
                "减少或缩小文件 · publish fewer or smaller ones",
            )
        self._content[real] = content


def _bytes(real: Path, path: str, limit: int, where: str) -> bytes:
    try:
        # Not following and not waiting: the name may have become a link or a pipe since it was looked at.
        with os.fdopen(os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            seen = os.fstat(opened.fileno())
            if not stat.S_ISREG(seen.st_mode):
                raise BadInput(
                    where, f'“{path}”不是文件 · "{path}" is not a file', "写文件的路径 · write the path of a file"
                )
            content = opened.read(limit + 1)
    except OSError as failed:
        raise BadInput(
            where, f'“{path}”读不了 · "{path}" cannot be read: {failed.strerror}', "给予读取权限 · make it readable"
        ) from None
    if len(content) > limit:
        size = f"{max(seen.st_size, len(content)) / 1024 / 1024:.1f} MiB"
        raise BadInput(
            where,
            f"“{path}”有 {size}，上限 {limit // 1024 // 1024} MiB · "
            f'"{path}" has {size}, the limit is {limit // 1024 // 1024} MiB',
            "缩小后保存 · save it smaller",
        )
    return content


def _name(name: str) -> str:
    return unicodedata.normalize("NFC", name)
