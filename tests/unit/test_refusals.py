"""What is said of a file or a setting that cannot be used: in Chinese, then in English, wherever it is raised."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import channels
from channels import gazette
from sync import content
from sync.content import vocabulary
from sync.content.source import BadItem, read

CHINESE = re.compile("[一-鿿]")
READERS = sorted(Path(next(iter(content.__path__))).glob("*.py"))
CHANNELS = [*sorted(Path(next(iter(channels.__path__))).glob("*.py")), Path(str(gazette.__file__))]
MENDS = "mend|.*_?MEND(_.*)?|_AGAIN|_FORMS"  # what a text is called that is handed to them
# Who takes a message and a mend as the last two arguments.
RAISING = ("BadInput", "_wrong", "_refuse")


def literals(node: ast.expr) -> Iterator[str]:
    """The texts that a piece of code may be, as far as it is written there; … for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr():
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        case ast.IfExp():
            yield from literals(node.body)
            yield from literals(node.orelse)


def said(module: Path, names: str) -> Iterator[tuple[int, str]]:
    """Line and text of every message and mend of the module; `names`: what such a text is called there."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in RAISING:
            for argument in node.args[-2:]:
                yield from ((argument.lineno, text) for text in literals(argument))
        elif isinstance(node, ast.Assign) and re.fullmatch(names, getattr(node.targets[0], "id", "")):
            yield from ((node.lineno, text) for text in literals(node.value))


def bilingual(text: str) -> bool:
    chinese, between, english = text.partition(" · ")
    return bool(between and CHINESE.search(chinese) and re.search("[A-Za-z]{2}", english))


@pytest.mark.parametrize(
    ("modules", "names", "least"),
    [(READERS, f"message|{MENDS}", 150), (CHANNELS, MENDS, 60)],
    ids=["files", "settings"],
)
def test_every_refusal_is_said_in_both_languages(modules: list[Path], names: str, least: int) -> None:
    """Of each module that reads what an editor wrote, or an operator set, by its own text."""
    written = [(module.name, *one) for module in modules for one in said(module, names)]
    found = [one for one in written if re.search("[A-Za-z一-鿿]", one[2])]  # some are put together of others only
    assert len(found) > least
    assert [] == [one for one in found if not bilingual(one[2])]


@pytest.mark.parametrize("element", vocabulary.REFUSED)
def test_every_refused_element_says_why_in_both_languages(element: str) -> None:
    """And how to mend it."""
    chinese, english, mend = vocabulary.REFUSED[element]
    assert CHINESE.search(chinese) and not CHINESE.search(english)
    assert bilingual(mend)


def test_what_is_wrong_with_an_item_is_read_in_both_languages(tmp_path: Path) -> None:
    """The commonest slips, as they are told together; the name of a key stays as it was typed."""
    file = tmp_path / "item.md"
    file.write_text("---\ntitel: 停水\nwritten_on: 11月\n---\n<script>x</script>\n\n![](route.png)\n")
    with pytest.raises(BadItem) as told:
        read(file, 0)
    messages = [problem.message for problem in told.value.problems]
    assert all(bilingual(message) for message in messages), messages
    assert "稿件没有标题 · the item has no title — 文件开头写一行 ---" in messages[0]
    assert "没有 `titel` 这个键 · there is no key `titel` — 最接近的是 `title`" in messages[1]
    assert "不是日期" in messages[2] and "没有文件“route.png”" in messages[-1]
    assert "<script> 会在读者的浏览器中运行程序 · <script> can run a program" in "\n".join(messages)
