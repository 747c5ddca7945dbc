"""The YAML block at the head of an item's file → its entries, each with its line.

python-frontmatter is not used: it forgets lines and takes the last of two equal keys. Values stay as
they were typed: YAML alone would read the index number 0123 as 83 and the time 9:30 as 570.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from sync.model import BadInput

MAX_CHARACTERS = 64 * 1024
_MAX_DEPTH = 4  # an entry, its list, a file in it, a word of that: nothing is deeper

_MEND = (
    "含有“: ”“#”或引号的值用单引号括起，缩进用空格 · "
    'put a value that holds ": ", "#" or quotes in single quotes, and indent with spaces'
)
_MEND_FORM = (
    "文件开头写一行 ---，再写 `title: …`，再写一行 --- · "
    "begin the file with a line ---, then `title: …`, then a line ---"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as typed. `comment`: text after the value that YAML leaves out."""

    key: str
    value: yaml.Node
    line: int
    comment: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """The entries in their order, and the file with blank lines in the place of the block."""

    entries: tuple[Entry, ...]
    rest: str
    first_line: int = 1

    def line(self, node: yaml.Node) -> int:
        """The line of a value in the file."""
        return self.first_line + int(node.start_mark.line)


Value: TypeAlias = str | Sequence["Value"] | Mapping[str, str]


def entry(key: str, value: Value, line: int = 1) -> Entry:
    """An entry that stands in no front matter; in a block with `first_line=0` its line is `line`."""
    return Entry(key, _node(value, line), line)


def _node(value: Value, line: int) -> yaml.Node:
    mark = yaml.Mark("", 0, line, 0, None, 0)
    if isinstance(value, str):
        return yaml.ScalarNode("tag:yaml.org,2002:str", value, mark, mark, '"')
    if isinstance(value, Mapping):
        pairs = [(_node(key, line), _node(one, line)) for key, one in value.items()]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, mark, mark)
    return yaml.SequenceNode("tag:yaml.org,2002:seq", [_node(part, line) for part in value], mark, mark)


def split(text: str, where: str) -> Block:
    """Take the block off; a file without one has no entries. Raises BadInput for what is not YAML."""
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if lines[start].rstrip() != "---":
        return Block((), text)
    stop = next((number for number in range(start + 1, len(lines)) if lines[number].rstrip() == "---"), None)
    if stop is None:
        raise BadInput(
            f"{where}:{start + 1}",
            "文件头没有结束 · the front matter has no end",
            "用一行 --- 结束它 · close it with a line ---",
        )
    rest = "\n" * (stop + 1) + "\n".join(lines[stop + 1 :])
    written = lines[start + 1 : stop]
    root = _compose("\n".join(written), where, start + 2)
    if root is None:
        return Block((), rest)
    if not isinstance(root, yaml.MappingNode):
        raise BadInput(
            f"{where}:{start + 2}",
            "文件头不是“`键: 值`”的列表 · the front matter is no list of `key: value`",
            _colon(written, _MEND_FORM),
        )
    entries = []
    for key, value in root.value:
        line = start + 2 + int(key.start_mark.line)
        if not isinstance(key, yaml.ScalarNode):
            raise BadInput(f"{where}:{line}", "文件头中有的键不是词 · a key of the front matter is no word", _MEND_FORM)
        end = value.end_mark
        after = written[end.line][end.column :] if end.line < len(written) else ""
        plain = isinstance(value, yaml.ScalarNode) and value.style is None
        entries.append(Entry(key.value.strip(), value, line, plain and bool(re.match(r"\s+#", after))))
    return Block(tuple(entries), rest, start + 2)


def _compose(block: str, where: str, first_line: int) -> yaml.Node | None:
    if len(block) > MAX_CHARACTERS:
        raise BadInput(
            f"{where}:{first_line}",
            f"文件头超过 {MAX_CHARACTERS} 字 · the front matter has more than {MAX_CHARACTERS} characters",
            "正文写在文件头之后 · put text into the body",
        )
    try:
        depth = 0
        # Composing recurses, so what is too deep must not come to it.
        for event in yaml.parse(block, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                line = first_line + (int(event.start_mark.line) if event.start_mark else 0)
                raise BadInput(
                    f"{where}:{line}",
                    "列表嵌套过深 · lists are nested too deep",
                    "各键可写什么，见键的列表 · see the list of keys for what each holds",
                )
        composed: yaml.Node | None = yaml.compose(block, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        line = first_line + (int(mark.line) if mark else 0)
        near = block.split("\n")[max(line - first_line - 1, 0) : line - first_line + 1]
        raise BadInput(
            f"{where}:{line}",
            f"不合 YAML 写法 · this is not YAML ({broken.problem or broken.context})",
            _colon(near, _MEND),
        ) from None
    except yaml.YAMLError as broken:
        raise BadInput(f"{where}:{first_line}", f"不合 YAML 写法 · this is not YAML ({broken})", _MEND) from None
    return composed


def _colon(lines: list[str], otherwise: str) -> str:
    """The mend for the commonest slip of a Chinese keyboard, where it was made."""
    found = next((match for line in lines if (match := re.match(r"\s*([^:\s]{1,20})：", line))), None)
    return (
        f"写成 `{found[1]}: …`，用半角冒号加空格 · write `{found[1]}: …` with a half-width colon and a space"
        if found
        else otherwise
    )
