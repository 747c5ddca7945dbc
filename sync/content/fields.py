"""The front matter's keys: what each means, holds, and is called in Chinese. The list is closed.

Longer than 300 lines, because every refusal is said in two languages.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, auto

import yaml

from sync.content import moment
from sync.content.folder import Listed
from sync.content.front import Block, Entry
from sync.content.inline import plain
from sync.content.refusal import each_of
from sync.model import AssetRole, BadInput, MetaValue


class Shape(Enum):
    """What the value of a key looks like."""

    LINE = auto()  # text
    LINES = auto()  # text, or a list of texts
    WORDS = auto()  # a list, or text parted by commas
    DATE = auto()
    MOMENT = auto()
    KIND = auto()
    LANGUAGE = auto()
    FILE = auto()
    FILES = auto()


KEYS: dict[str, tuple[str, Shape]] = {
    "title": ("标题", Shape.LINE),
    "subtitle": ("副标题", Shape.LINE),
    "summary": ("摘要", Shape.LINE),
    "kind": ("类型", Shape.KIND),
    "column": ("栏目", Shape.LINE),
    "language": ("语言", Shape.LANGUAGE),
    "author": ("作者", Shape.LINES),
    "editor": ("责任编辑", Shape.LINES),
    "source": ("来源", Shape.LINE),
    "keywords": ("关键词", Shape.WORDS),
    "topics": ("主题分类", Shape.LINES),  # 财政、金融、审计 is one topic
    "index_no": ("索引号", Shape.LINE),
    "document_no": ("发文字号", Shape.LINE),
    "issuing_body": ("发文机关", Shape.LINES),
    "written_on": ("成文日期", Shape.DATE),
    "effective_on": ("生效日期", Shape.DATE),
    "expires_on": ("失效日期", Shape.DATE),
    "validity": ("有效性", Shape.LINE),
    "interprets": ("解读", Shape.LINE),
    "link": ("原文链接", Shape.LINE),  # of what was published elsewhere first
    "cover": ("封面", Shape.FILE),
    "images": ("图片", Shape.FILES),
    "attachments": ("附件", Shape.FILES),
    "outlets": ("发布端", Shape.WORDS),
    "group": ("分组", Shape.LINE),
    "release_at": ("发布时刻", Shape.MOMENT),
    "embargo": ("禁发期", Shape.MOMENT),
}
ALIASES = {alias: key for key, (alias, _) in KEYS.items()}
_ALWAYS_LISTS = frozenset({"keywords", "topics", "outlets"})
_FREE_TEXT = frozenset({"title", "subtitle", "summary"})  # where a "#" is hardly ever meant as a comment

KINDS = {
    "news": "新闻",
    "notice": "通知",
    "policy": "政策",
    "interpretation": "解读",
    "personnel": "人事",
    "statistics": "统计",
    "service_guide": "办事指南",
    "disclosure": "信息公开",
}
_ROLES = {"cover": AssetRole.COVER, "images": AssetRole.IMAGE, "attachments": AssetRole.ATTACHMENT}
_FILE_WORDS = {"file": "file", "文件": "file", "alt": "alt", "替代文字": "alt", "name": "name", "名称": "name"}

_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})-([0-9]{2})|年([0-9]{1,2})月([0-9]{1,2})日)")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass
class Fields:
    """What the front matter says. Instants in µs UTC; `metadata` is content, the rest is not."""

    metadata: dict[str, MetaValue] = field(default_factory=lambda: {"kind": "news", "language": "zh-CN"})
    title: str = ""
    outlets: tuple[str, ...] = ()
    group: str | None = None
    release_at: int | None = None
    release_at_typed: str | None = None
    embargo: int | None = None
    listed: list[Listed] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)  # key → line, of every entry that is not blank
    refusals: list[BadInput] = field(default_factory=list)


def read(block: Block, where: str, now: int) -> Fields:
    """Read every entry; whatever is wrong is in `refusals`, nothing is raised. A past time is none of them."""
    fields = Fields()
    lines: dict[str, int] = {}
    for entry in block.entries:
        place = f"{where}:{entry.line}"
        try:
            key = _key(entry, place)
            if key in lines:
                raise BadInput(
                    place,
                    f"`{entry.key}` 与第 {lines[key]} 行重复 · `{entry.key}` says again what line {lines[key]} says",
                    "删去其一 · remove one of the two",
                )
            lines[key] = entry.line
            if not _blank(entry.value):
                fields.given[key] = entry.line
                _Value(block, where, key, entry, place).into(fields, now)
        except BadInput as refusal:
            fields.refusals += each_of(refusal)
    _together(fields, where)
    return fields


def _key(entry: Entry, place: str) -> str:
    key = ALIASES.get(entry.key, entry.key)
    if key in KEYS:
        return key
    near = difflib.get_close_matches(entry.key.lower(), [*KEYS, *ALIASES], n=1, cutoff=0.0)[0]
    raise BadInput(
        place,
        f"没有 `{entry.key}` 这个键 · there is no key `{entry.key}`",
        f"最接近的是 `{near}`；改正或删去该行 · the nearest is `{near}`; correct it, or remove the line",
    )


def _blank(node: yaml.Node) -> bool:
    """A key left blank, as in a form that was not filled in."""
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in {"", "~", "null"}


def _together(fields: Fields, where: str) -> None:
    """What no entry can say alone."""
    begins, ends = fields.metadata.get("effective_on"), fields.metadata.get("expires_on")
    if isinstance(begins, str) and isinstance(ends, str) and ends < begins:
        place = f"{where}:{fields.given['expires_on']}"
        fields.refusals.append(
            BadInput(
                place,
                f"失效日期 {ends} 早于生效日期 {begins} · it expires on {ends}, before {begins}",
                "改正其中一个日期 · correct one of the dates",
            )
        )
    if fields.release_at is not None and fields.embargo is not None and fields.release_at < fields.embargo:
        place = f"{where}:{fields.given['release_at']}"
        message = (
            f"发布时刻早于禁发期结束 · the release lies before the end of the embargo (line {fields.given['embargo']})"
        )
        fields.refusals.append(
            BadInput(place, message, "`release_at` 不得早于禁发期 · set `release_at` to the embargo or later")
        )


@dataclass(frozen=True)
class _Value:
    """One value on its way into `Fields`. Every method raises BadInput for a value of the wrong shape."""

    block: Block
    where: str
    key: str
    entry: Entry
    place: str

    def into(self, fields: Fields, now: int) -> None:
        shape = KEYS[self.key][1]
        node = self.entry.value
        if shape in {Shape.FILE, Shape.FILES}:
            several = isinstance(node, yaml.SequenceNode) and shape is Shape.FILES
            for part in node.value if several else [node]:
                try:
                    fields.listed.append(self._file(part))
                except BadInput as refusal:
                    fields.refusals.append(refusal)
        elif shape is Shape.MOMENT:
            self._moment(fields, now)
        elif self.key == "title":
            fields.title = self._line(node)
        elif self.key == "group":
            fields.group = self._line(node)
        elif self.key == "outlets":
            fields.outlets = self._list(node, shape)
        elif shape is Shape.LINES or shape is Shape.WORDS:
            listed = self._list(node, shape)
            single = isinstance(node, yaml.ScalarNode) and self.key not in _ALWAYS_LISTS
            fields.metadata[self.key] = listed[0] if single else listed
        else:
            one_of = {Shape.DATE: self._date, Shape.KIND: self._kind, Shape.LANGUAGE: self._language}
            fields.metadata[self.key] = one_of.get(shape, self._line)(node)

    def _wrong(self, node: yaml.Node, message: str, mend: str) -> BadInput:
        return BadInput(f"{self.where}:{self.block.line(node)}", message, mend)

    def _line(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(
                node,
                f"`{self.entry.key}` 应是文字 · `{self.entry.key}` must be text",
                f"在一行里写 `{self.entry.key}: …` · write `{self.entry.key}: …` on one line",
            )
        if self.entry.comment and self.key in _FREE_TEXT:
            mend = "整个值用单引号括起，或删去注释 · put the whole value in single quotes, or remove the comment"
            raise self._wrong(node, f"`{self.entry.key}` 会在 # 处截断 · `{self.entry.key}` would end at the #", mend)
        # YAML joins the lines of a text by spaces, which Chinese does not want; `plain` knows where.
        folded = node.style != "|" and node.end_mark.line > node.start_mark.line
        if not (text := plain(node.value.replace(" ", "\n") if folded else node.value)):
            raise self._wrong(
                node,
                f"`{self.entry.key}` 是空的 · `{self.entry.key}` is empty",
                "填写，或删去该行 · write something, or remove the line",
            )
        return text

    def _path(self, node: yaml.Node) -> str:
        self._line(node)
        return str(node.value).strip()  # letter for letter as the file system has it

    def _list(self, node: yaml.Node, shape: Shape) -> tuple[str, ...]:
        if isinstance(node, yaml.SequenceNode):
            found = [self._line(part) for part in node.value]
        elif shape is Shape.WORDS:
            found = [part for part in map(plain, re.split("[,，、;；]", self._line(node))) if part]
        else:
            found = [self._line(node)]
        if twice := next((word for word in found if found.count(word) > 1), None):
            raise self._wrong(
                node,
                f'`{self.entry.key}` 中“{twice}”出现两次 · `{self.entry.key}` lists "{twice}" twice',
                "删去其一 · remove one",
            )
        if not found:
            raise self._wrong(
                node,
                f"`{self.entry.key}` 是空的 · `{self.entry.key}` is empty",
                "填写，或删去该行 · write something, or remove the line",
            )
        return tuple(found)

    def _date(self, node: yaml.Node) -> str:
        typed = self._line(node)
        if found := _DATE.fullmatch(typed):
            try:
                return date(*(int(part) for part in found.groups() if part)).isoformat()
            except ValueError:
                pass  # 30 February: as unreadable as the rest
        raise self._wrong(
            node,
            f'`{self.entry.key}` 的“{typed}”不是日期 · `{self.entry.key}` "{typed}" is not a date',
            "写成 2026-11-23 这样 · write it like 2026-11-23",
        )

    def _kind(self, node: yaml.Node) -> str:
        typed = self._line(node)
        for kind, chinese in KINDS.items():
            if typed in {kind, chinese}:
                return kind
        raise self._wrong(
            node,
            f'没有“{typed}”这一类型 · there is no kind "{typed}"',
            f"可用以下之一 · use one of: {', '.join(KINDS)}",
        )

    def _language(self, node: yaml.Node) -> str:
        typed = self._line(node)
        if _LANGUAGE.fullmatch(typed) is None:
            raise self._wrong(
                node,
                f'“{typed}”不是语言代码 · "{typed}" names no language',
                "写成 zh-CN、bo 或 ug 这样 · write a tag like zh-CN, bo or ug",
            )
        return typed

    def _moment(self, fields: Fields, now: int) -> None:
        typed = self._line(self.entry.value)
        if self.key == "embargo":
            fields.embargo = moment.parse(typed, now, self.place, allow_past=True)
            return
        fields.release_at_typed = typed
        if typed != "now":
            fields.release_at = moment.parse(typed, now, self.place, allow_past=True)

    def _file(self, node: yaml.Node) -> Listed:
        """A path, or `{file, alt}` for a picture, or `{file, name}` for an attachment."""
        role = _ROLES[self.key]
        place = f"{self.where}:{self.block.line(node)}"
        if isinstance(node, yaml.ScalarNode):
            return Listed(role, self._path(node), place)
        second = "name" if role is AssetRole.ATTACHMENT else "alt"
        shown = f"a path, or {{file: path, {second}: …}}"
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(
                node,
                f"`{self.entry.key}` 此处不是文件 · `{self.entry.key}` holds no file here",
                f"可写路径或 {{file: …}} · write {shown}",
            )
        found: dict[str, str] = {}
        for key, value in node.value:
            word = _FILE_WORDS.get(key.value, "") if isinstance(key, yaml.ScalarNode) else ""
            if word not in {"file", second} or word in found:
                typed = key.value if isinstance(key, yaml.ScalarNode) else "…"
                raise self._wrong(
                    key,
                    f"`{self.entry.key}` 中的 `{typed}` 不认识或重复 · "
                    f"`{typed}` is unknown or repeated in `{self.entry.key}`",
                    f"可写路径或 {{file: …}} · write {shown}",
                )
            found[word] = self._path(value) if word == "file" else self._line(value)
        if "file" not in found:
            raise self._wrong(
                node,
                f"`{self.entry.key}` 此处没有写文件 · `{self.entry.key}` names no file here",
                f"可写路径或 {{file: …}} · write {shown}",
            )
        name = found.get("name", "")
        if set(name) & set('/\\:*?"<>|'):
            raise self._wrong(
                node,
                f'“{name}”不能作文件名 · "{name}" cannot be the name of a file',
                '去掉以下字符 · leave out / \\ : * ? " < > |',
            )
        return Listed(role, found["file"], place, found.get("alt", ""), name)
