"""IPTC ninjs (News in JSON) 1.x, 2.x and 3.x → front matter and HTML, both still to be checked.

Facts: iptc.org/std/ninjs, schemas 1.4 to 3.3, read 2026-11. 1.x puts names into keys (`body_html`, an object of
associations), 2.x has lists with roles in lower case (`contenttype`), 3.x the same in camel case. Agencies
leave out most of it; only headline and body are asked for here. Nothing is fetched: a picture counts when its
`href` is the path of a file beside the JSON. What `sync.content.ninjs_out` wrote says all of the item in an extension
of ours, and is taken by that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from sync.content.front import Block, Entry, entry
from sync.content.inline import plain
from sync.model import BadInput

TITLE_MEND = '补上标题 · give it `"headlines": [{"value": "…"}]`, or `"headline": "…"` in ninjs 1.x'
MAIN = frozenset({"", "main", "headline", "title"})
SUB = frozenset({"sub", "subhead", "subheadline", "subtitle", "secondary"})
TEXTS = frozenset({"", "text", "composite"})
HYPERTEXT = ("text/html", "application/xhtml+xml")
_TITLE = re.compile(r"<title\b[^<>]*>.*?</title\s*>", re.IGNORECASE | re.DOTALL)
_HEADING = re.compile(r"<h1\b[^<>]*>(.*?)</h1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")


@dataclass(frozen=True)
class Story:
    """`line`: of the JSON on which the body begins; one string of JSON is one line."""

    front: Block
    html: str
    line: int
    notes: list[tuple[str, str]] = field(default_factory=list)


def read(text: str, where: str) -> Story:
    """Raises BadInput for what is no ninjs text, or must not be published."""
    try:
        news = json.loads(text)
    except ValueError as wrong:
        line = wrong.lineno if isinstance(wrong, json.JSONDecodeError) else 1
        raise BadInput(
            f"{where}:{line}", "不是 JSON · this is not JSON", "重新导出为 ninjs · export it again, as ninjs"
        ) from None
    except RecursionError:
        raise BadInput(
            where, "JSON 嵌套过深 · the JSON is nested too deep", "重新导出为 ninjs · export it again, as ninjs"
        ) from None
    if not isinstance(news, dict):
        raise BadInput(
            where,
            "不是 ninjs：应是一个对象 · this is no ninjs: an object is expected",
            "重新导出为 ninjs · export it again, as ninjs",
        )
    return _Reader(news, text, where).story()


class _Reader:
    def __init__(self, news: Mapping[str, Any], text: str, where: str) -> None:
        self._news, self._text, self._where = news, text, where
        self._notes: list[tuple[str, str]] = []

    def story(self) -> Story:
        self._may_be_published()
        title = self._headline(MAIN)
        html, key = self._body()
        if isinstance(ours := self._news.get("tongfa"), dict):
            entries = [entry("title", title, self._line("headline")), *self._ours(ours)]
            return Story(Block(tuple(entries), "", first_line=0), html, self._line(key), self._notes)
        if (heading := _HEADING.search(html)) and plain(_TAG.sub("", heading[1])) == plain(escape(title, quote=False)):
            html = html[: heading.start()] + html[heading.end() :]
        return Story(
            Block(tuple(self._entries(title)), "", first_line=0),
            self._illustrated(_TITLE.sub("", html)),
            self._line(key),
            self._notes,
        )

    def _may_be_published(self) -> None:
        status, kind = self._one("pubstatus").lower(), self._one("type").lower()
        if status not in {"", "usable"}:
            message = (
                f"其 pubstatus 是“{status}”：通讯社不要求发布 · "
                f'its pubstatus is "{status}": the agency does not want it published'
            )
            raise BadInput(
                f"{self._where}:{self._line('pubstatus')}", message, "换用可发布的版本 · take a version that is usable"
            )
        if kind not in TEXTS:
            raise BadInput(
                f"{self._where}:{self._line('type')}",
                f'不是文字稿，而是“{kind}” · it is no text but "{kind}"',
                "导入文字稿 · import the story",
            )

    def _entries(self, title: str) -> Iterator[Entry]:
        sources = [self._name(one) for one in _list(self._get("infosources")) + _list(self._get("infosource"))]
        named = [self._name(one) for one in _list(self._get("subjects")) + _list(self._get("subject"))]
        keywords = [one for one in _list(self._get("keywords")) if isinstance(one, str)]
        embargo = self._one("embargoed") or self._one("embargoeduntil")  # the latter in 3.x
        made = re.match(r"\d{4}-\d\d-\d\d", self._one("contentcreated") or self._one("versioncreated"))
        values: dict[str, tuple[str, str | list[str]]] = {
            "title": ("headline", title),
            "subtitle": ("headline", self._headline(SUB)),
            "summary": ("description", self._summary()),
            "language": ("language", self._one("language")),
            "author": ("by", self._one("by") or self._one("byline")),
            "source": ("infosource", next((one for one in sources if one), "") or self._one("copyrightholder")),
            "written_on": ("created", made[0] if made else ""),
            "topics": ("subject", list(dict.fromkeys(one for one in named if one))),
            "keywords": ("keywords", list(dict.fromkeys(plain(one) for one in keywords if plain(one)))),
            "embargo": ("embargoed", re.sub("Z$", "+00:00", embargo)),
        }
        for name, (key, value) in values.items():
            if value:
                yield entry(name, value, self._line(key))

    def _ours(self, told: Mapping[str, Any]) -> Iterator[Entry]:
        """The front matter as it was, and files; checked as any other. Raises BadInput for what is none of ours."""
        line, metadata, files = self._line("tongfa"), told.get("metadata"), told.get("files")
        wrong = BadInput(
            f"{self._where}:{line}",
            "其 `tongfa` 部分已损坏 · its part `tongfa` is damaged",
            "重新导出，或删去该部分 · export it again, or remove that part",
        )
        if not isinstance(metadata, dict) or not isinstance(files, list):
            raise wrong
        for name, value in metadata.items():
            if not (isinstance(value, str) or (isinstance(value, list) and all(isinstance(v, str) for v in value))):
                raise wrong
            yield entry(name, value, line)
        listed: dict[str, list[dict[str, str]]] = {"image": [], "cover": [], "attachment": []}
        for one in files:
            if not isinstance(one, dict) or not all(isinstance(v, str) for v in one.values()):
                raise wrong
            if one.get("role") not in listed:
                raise wrong
            listed[one["role"]].append({key: value for key, value in one.items() if key != "role"})
        if len(listed["cover"]) > 1:
            raise wrong
        for key, role in (("images", "image"), ("attachments", "attachment")):
            if listed[role]:
                yield entry(key, listed[role], line)
        for cover in listed["cover"]:
            yield entry("cover", cover, line)

    def _headline(self, roles: frozenset[str]) -> str:
        """The first headline of one of these roles; of none, the first of all stands for the main one."""
        texts = [(_role(one), one) for one in _list(self._get("headlines")) if isinstance(one, dict)]
        texts += [(key[9:], {"value": value}) for key, value in self._news.items() if key.startswith("headline_")]
        if isinstance(self._news.get("headline"), str):
            texts.insert(0, ("", {"value": self._news["headline"]}))
        said = [(role, _plain_value(one)) for role, one in texts if _plain_value(one)]
        found = next((value for role, value in said if role in roles), "")
        return found or (said[0][1] if roles is MAIN and said else "")

    def _summary(self) -> str:
        texts = [one for one in _list(self._get("descriptions")) if isinstance(one, dict)]
        texts += [
            {"value": value, "contenttype": "" if key in {"description", "description_text"} else "text/html"}
            for key, value in self._news.items()
            if key == "description" or key.startswith("description_")
        ]
        texts.sort(key=lambda one: _kind(one) in HYPERTEXT)
        return next((value for one in texts if (value := _plain_value(one))), "")

    def _body(self) -> tuple[str, str]:
        """The body as HTML, and the key it was found under: hypertext before plain text."""
        texts = [(_kind(one), one.get("value")) for one in _list(self._get("bodies")) if isinstance(one, dict)]
        key = "bodies"
        for name, value in self._news.items():
            if name.startswith("body_"):
                key = name
                texts.append(("text/plain" if name == "body_text" else "text/html", value))
        known = [(kind, value) for kind, value in texts if isinstance(value, str) and value.strip()]
        for kind, value in known:
            if kind in HYPERTEXT:
                return value, key
        for kind, value in known:
            if kind in {"", "text/plain"}:
                lines = (line for line in value.splitlines() if line.strip())
                return "\n".join(f"<p>{escape(line, quote=False)}</p>" for line in lines), key
        if known:
            mend = "正文导出为 text/html 或 text/plain · export its body as text/html or text/plain"
            raise BadInput(
                f"{self._where}:{self._line(key)}", f"其正文是 {known[0][0]} · its body is {known[0][0]}", mend
            )
        return "", key

    def _illustrated(self, html: str) -> str:
        """Pictures that the body shows get their files' paths; the others stand before it, with their captions."""
        figures = []
        for name, one in self._associations():
            place = f"{self._where}:{self._line('associations')}"
            if _text(one.get("type")).lower() not in {"picture", "graphic"}:
                self._notes.append(
                    (place, f'关联内容 "{name}" 未导入 · the association "{name}" is left out: no picture')
                )
                continue
            hrefs = [_text(part.get("href")) for part in self._renditions(one)]
            here = next((href for href in hrefs if href and not _REMOTE.match(href)), "")
            if not here:
                told = f"图片 “{name}” 不在稿件旁，未导入 · the picture “{name}” is left out: it is not beside the item"
                self._notes.append((place, told))
                continue
            shown = False
            for href in filter(None, dict.fromkeys(hrefs)):
                for written in {href, escape(href), escape(href, quote=False)}:
                    shown = shown or f'src="{written}"' in html
                    html = html.replace(f'src="{written}"', f'src="{escape(here)}"')
            if not shown:
                figures.append(_figure(here, one))
        return "\n".join([*figures, html])

    def _associations(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        found = self._get("associations")
        pairs = found.items() if isinstance(found, dict) else [("", one) for one in _list(found)]
        for number, (name, one) in enumerate(pairs, 1):
            if isinstance(one, dict):
                yield name or _text(one.get("name")) or str(number), one

    @staticmethod
    def _renditions(one: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Largest first."""
        found = one.get("renditions")
        parts = [
            part for part in (found.values() if isinstance(found, dict) else _list(found)) if isinstance(part, dict)
        ]
        return sorted(parts, key=lambda part: -_number(part.get("width")))

    def _get(self, key: str) -> Any:
        """A value, whether its key is in lower case (1.x, 2.x) or camel case (3.x)."""
        return next((value for name, value in self._news.items() if name.lower() == key), None)

    def _one(self, key: str) -> str:
        return plain(_text(self._get(key)))

    def _name(self, one: Any) -> str:
        return plain(_text(one.get("name"))) if isinstance(one, dict) else ""

    def _line(self, key: str) -> int:
        """The line on which a key of this beginning first stands."""
        found = re.search(rf'"[A-Za-z]*{key}', self._text, re.IGNORECASE)
        return self._text.count("\n", 0, found.start()) + 1 if found else 1


def _figure(path: str, one: Mapping[str, Any]) -> str:
    """Its description says what it shows; without one its headline does."""
    described = [part for part in _list(_lower(one, "descriptions")) if isinstance(part, dict)]
    texts = [
        *(_plain_value(part) for part in described),
        *(plain(_text(one.get(f"description_{n}"))) for n in ("text", "main")),
    ]
    heads = [part for part in _list(one.get("headlines")) if isinstance(part, dict)]
    names = [*(_plain_value(part) for part in heads), plain(_text(one.get("headline")))]
    caption = next(filter(None, texts), "")
    alt = plain(_text(_lower(one, "alttext"))) or next(filter(None, names), "") or caption
    image = f'<img src="{escape(path)}" alt="{escape(alt)}">'
    said = f"<figcaption>{escape(caption, quote=False)}</figcaption>" if caption and caption != alt else ""
    return f"<figure>{image}{said}</figure>"


def _lower(one: Mapping[str, Any], key: str) -> Any:
    return next((value for name, value in one.items() if name.lower() == key), None)


def _role(one: Mapping[str, Any]) -> str:
    return _text(one.get("role")).strip().lower()


def _kind(one: Mapping[str, Any]) -> str:
    return _text(_lower(one, "contenttype")).partition(";")[0].strip().lower()


def _plain_value(one: Mapping[str, Any]) -> str:
    value = _text(one.get("value"))
    return plain(_TAG.sub(" ", value) if _kind(one) in HYPERTEXT else value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0
