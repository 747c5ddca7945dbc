"""Numbers that Word computes, written into the text: 一、 （一） 第一条 are part of what a document says.

A list that reads on every outlet as it does in Word (bullets; 1. 2. 3. from one, in one piece) stays a list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import groupby

from lxml import etree

from sync.content.package import Package, attribute, named
from sync.model import BadInput

_LEVEL = re.compile("%([1-9])")
_DIGITS = "〇一二三四五六七八九"
_LEGAL = ("零壹贰叁肆伍陆柒捌玖", "拾佰仟")
_COUNTING = (_DIGITS, "十百千")
_ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
          (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))  # fmt: skip
_CHINESE = frozenset({"chineseCounting", "chineseCountingThousand", "taiwaneseCounting", "taiwaneseCountingThousand",
                      "japaneseCounting"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    form: str
    text: str
    start: int
    gap: bool  # a tab or space follows the number

    @property
    def plain(self) -> bool:
        """Whether HTML would show the same."""
        return self.form == "bullet" or (
            self.form == "decimal" and _LEVEL.sub("", self.text) == "." and self.start == 1
        )


@dataclass
class _Counting:
    """One numbering's state: what each level counts to. `broken`: something stood between its entries."""

    levels: dict[int, Level]
    at: dict[int, int] = field(default_factory=dict)

    def step(self, level: int) -> None:
        for deeper in [one for one in self.at if one > level]:
            del self.at[deeper]
        self.at[level] = self.at.get(level, self._start(level) - 1) + 1

    def _start(self, level: int) -> int:
        return self.levels[level].start if level in self.levels else 1

    def label(self, level: int) -> str:
        """As Word shows it. Raises ValueError for a form of number that is not known here."""

        def counted(found: re.Match[str]) -> str:
            which = int(found[1]) - 1
            form = self.levels[which].form if which in self.levels else "decimal"
            return number(self.at.get(which, self._start(which)), form)

        return _LEVEL.sub(counted, self.levels[level].text)


@dataclass(frozen=True, slots=True)
class _Entry:
    paragraph: etree._Element
    number: str
    level: int
    count: int
    label: str
    heading: bool


def literal(package: Package, where: str) -> list[BadInput]:
    """Write computed numbers into the document's paragraphs where HTML would show others or none; what cannot be."""
    part = package.part("numbering")
    if part is None:
        return []
    countings = _read(part)
    refusals: list[BadInput] = []
    previous: etree._Element | None = None
    entries: list[tuple[_Entry, int]] = []
    group = 0
    for paragraph in named(package.document, "p"):
        found = _numbered(package, paragraph)
        if found is None or found[0] not in countings or found[1] not in countings[found[0]].levels:
            continue
        name, level = found
        counting = countings[name]
        counting.step(level)
        try:
            label = "" if counting.levels[level].form == "bullet" else counting.label(level)
        except ValueError as unknown:
            mend = "改为手工编号 · write these numbers by hand"
            refusals.append(
                BadInput(where, f"不认识编号格式 {unknown} · numbers of the form {unknown} are not known", mend)
            )
            continue
        group += previous is None or paragraph.getprevious() is not previous
        previous = paragraph
        heading = package.style_name(paragraph).lower().startswith(("heading", "标题", "title"))
        entries.append((_Entry(paragraph, name, level, counting.at[level], label, heading), group))
    for _, grouped in groupby(entries, key=lambda pair: (pair[1], pair[0].number)):
        run = [one for one, _ in grouped]
        levels = [countings[one.number].levels[one.level] for one in run]
        if all(level.form == "bullet" for level in levels) and not any(one.heading for one in run):
            continue
        whole = run[0].level == 0 and run[0].count == 1 and not any(one.heading for one in run)
        if whole and all(level.plain for level in levels):
            continue
        for one, form in zip(run, levels, strict=True):
            if form.form != "bullet":
                _write(one.paragraph, one.label + (" " if form.gap and one.label and one.label[-1].isascii() else ""))
            elif one.heading:
                _unlist(one.paragraph)
    return refusals


def number(value: int, form: str) -> str:
    """A number in one of Word's forms. Raises ValueError for another."""
    match form:
        case "none":
            return ""
        case "decimal" | "decimalHalfWidth":
            return str(value)
        case "decimalZero":
            return f"{value:02d}"
        case "decimalFullWidth" | "decimalFullWidth2":
            return "".join(chr(ord(digit) - ord("0") + ord("０")) for digit in str(value))
        case "ideographDigital" | "chineseDigital":
            return "".join(_DIGITS[int(digit)] for digit in str(value))
        case "chineseLegalSimplified" | "ideographLegalTraditional":
            return _chinese(value, *_LEGAL)
        case "lowerLetter" | "upperLetter":
            letter = chr(ord("a") + (value - 1) % 26) * ((value - 1) // 26 + 1)
            return letter.upper() if form == "upperLetter" else letter
        case "lowerRoman" | "upperRoman":
            return _roman(value) if form == "upperRoman" else _roman(value).lower()
        case "decimalEnclosedCircle" | "decimalEnclosedCircleChinese" if 1 <= value <= 20:
            return chr(ord("①") + value - 1)
        case "decimalEnclosedParen" if 1 <= value <= 20:
            return chr(ord("⑴") + value - 1)
        case _ if form in _CHINESE:
            return _chinese(value, *_COUNTING)
        case _:
            raise ValueError(form)


def _chinese(value: int, digits: str, units: str) -> str:
    """1 to 9999; 10 to 19 begin with 十, as they are spoken."""
    if not 0 < value < 10_000:
        raise ValueError(str(value))
    said, gap = "", False
    for place, digit in enumerate(reversed(str(value))):
        if digit == "0":
            gap = bool(said)
        else:
            said = (
                digits[int(digit)]
                + (units[place - 1] if place else "")
                + (digits[0].replace("〇", "零") if gap else "")
                + said
            )
            gap = False
    return said[1:] if 10 <= value < 20 and units[0] == "十" else said


def _roman(value: int) -> str:
    said = ""
    for worth, letters in _ROMAN:
        said += letters * (value // worth)
        value %= worth
    return said


def _read(part: etree._Element) -> dict[str, _Counting]:
    """Every numbering by its id. Those of one abstract definition count on together, as Word has it."""
    abstract = {attribute(one, "abstractNumId"): _levels(one) for one in named(part, "abstractNum")}
    shared: dict[str, dict[int, int]] = {}
    found = {}
    for one in part.iterchildren("{*}num"):
        used = next((attribute(part, "val") for part in named(one, "abstractNumId")), "")
        levels = dict(abstract.get(used, {}))
        fresh = False
        for override in one.iterchildren("{*}lvlOverride"):
            which = _whole(attribute(override, "ilvl"), 0)
            levels.update(_levels(override))
            for start in override.iterchildren("{*}startOverride"):
                fresh = True
                if which in levels:
                    old = levels[which]
                    levels[which] = Level(old.form, old.text, _whole(attribute(start, "val"), 1), old.gap)
        counting = _Counting(levels)
        if not fresh:
            counting.at = shared.setdefault(used, counting.at)
        found[attribute(one, "numId")] = counting
    return found


def _levels(element: etree._Element) -> dict[int, Level]:
    def said(level: etree._Element, name: str, default: str) -> str:
        return next((attribute(one, "val") for one in level.iterchildren(f"{{*}}{name}")), default)

    return {
        _whole(attribute(level, "ilvl"), 0): Level(
            said(level, "numFmt", "decimal"),
            said(level, "lvlText", ""),
            _whole(said(level, "start", "1"), 1),
            said(level, "suff", "tab") != "nothing",
        )
        for level in element.iterchildren("{*}lvl")
    }


def _numbered(package: Package, paragraph: etree._Element) -> tuple[str, int] | None:
    """Numbering and level of a paragraph, by itself or by its style."""
    own = next((one for one in paragraph.iterchildren("{*}pPr")), None)
    found = next((one for one in own.iterchildren("{*}numPr")), None) if own is not None else None
    level = _value(found, "ilvl")
    name = _value(found, "numId")
    used = _value(own, "pStyle")
    for _ in range(10):  # a style may stand on another
        style = package.style(used or "")
        if name or style is None:
            break
        of_style = next(named(style, "numPr"), None)
        name, level = _value(of_style, "numId"), level or _value(of_style, "ilvl")
        used = _value(style, "basedOn")
    return (name, _whole(level or "0", 0)) if name and name != "0" else None


def _value(element: etree._Element | None, name: str) -> str:
    if element is None:
        return ""
    return next((attribute(one, "val") for one in element.iterchildren(f"{{*}}{name}")), "")


def _whole(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default


def _write(paragraph: etree._Element, label: str) -> None:
    """The label as the paragraph's first words, and no list any more."""
    space = etree.QName(paragraph).namespace
    _unlist(paragraph)
    run = etree.Element(f"{{{space}}}r")
    text = etree.SubElement(run, f"{{{space}}}t")
    text.text = label
    text.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    own = next((one for one in paragraph.iterchildren("{*}pPr")), None)
    paragraph.insert(0 if own is None else 1, run)


def _unlist(paragraph: etree._Element) -> None:
    space = etree.QName(paragraph).namespace
    own = next((one for one in paragraph.iterchildren("{*}pPr")), None)
    if own is None:
        own = etree.Element(f"{{{space}}}pPr")
        paragraph.insert(0, own)
    for old in list(own.iterchildren("{*}numPr")):
        own.remove(old)
    numbering = etree.SubElement(own, f"{{{space}}}numPr")  # 0: not even that of its style
    etree.SubElement(numbering, f"{{{space}}}numId").set(f"{{{space}}}val", "0")
