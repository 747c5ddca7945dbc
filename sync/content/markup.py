"""What an author wrote as HTML → the clean, canonical HTML that is approved and published.

First everything that must not or cannot be published is refused with its line; then nh3 (html5ever,
the parser of browsers) cleans by an allow list; then `sync.content.canonical` writes the one form.
The cleaning stands alone: were the first step blind, nothing active would come through.
Longer than 300 lines, because every refusal is said in two languages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol
from urllib.parse import urlsplit

import nh3

from sync.content.canonical import Node, canonical, tree
from sync.content.inline import UNPRINTABLE, plain
from sync.content.refusal import raise_any
from sync.content.scan import Broken, End, Tag, pieces
from sync.content.vocabulary import ACCEPTED, ATTRIBUTES, LINK_SCHEMES, REFUSED, TRANSPARENT
from sync.model import BadInput

MAX_DEPTH = 50  # elements in one another

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ASSET = re.compile(r"asset:[0-9a-f]{64}")
_ACTIVE_SCHEMES = frozenset({"javascript", "vbscript", "data", "file", "blob"})
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*(hidden|collapse)|mso-hide\s*:\s*all", re.IGNORECASE)
_COUNTS = {"colspan": re.compile("[1-9][0-9]{0,2}"), "rowspan": re.compile("[1-9][0-9]{0,3}")}
_START = re.compile("-?[0-9]{1,6}")
_IMPLIED_END = frozenset({"p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "caption", "colgroup"})
_ENDLESS = frozenset({"br", "hr", "img", "wbr", "meta", "col"})


class Files(Protocol):
    """The files beside an item, by the address that the author wrote. Both raise BadInput."""

    def picture(self, address: str, alt: str, where: str) -> tuple[str, str]:
        """`asset:<digest>` and alt text of a picture; `alt` is what the author wrote there, or ""."""
        ...

    def linked(self, address: str, where: str) -> str:
        """`asset:<digest>` of a file that is part of the item."""
        ...


class _Cleaned:
    """The files of a text that was cleaned before: its addresses are final."""

    def picture(self, address: str, alt: str, where: str) -> tuple[str, str]:
        if not alt:
            raise BadInput(
                where,
                "图片没有替代文字 · the picture has no alt text",
                "在替代文字中说明图上是什么 · say in its alt text what it shows",
            )
        return self.linked(address, where), alt

    def linked(self, address: str, where: str) -> str:
        if _ASSET.fullmatch(address) is None:
            raise BadInput(
                where,
                f'“{address}”在此处无所指 · "{address}" leads to nothing here',
                "写完整的 https:// 地址 · write the full https:// address",
            )
        return address


def clean(html: str, where: str, *, line: Callable[[int], int] = int, files: Files | None = None) -> str:
    """The canonical HTML of `html`; cleaning it again gives the same. "" when it shows nothing.

    `where` names the file and `line` turns a line of `html` (from 1) into a line of that file.
    Addresses that are not http, https or mailto are asked of `files`; without it, only those that
    cleaning wrote are known. Raises BadItem, with every place, for whatever cannot be shown on every
    outlet: active content, hidden or struck-out text, pictures without alt text, links to nowhere.
    """
    html = UNPRINTABLE.sub("", html.replace("\r\n", "\n").replace("\r", "\n"))
    check = _Check(where, line, files or _Cleaned())
    check.everything(html)
    _raise(check)
    cleaned = nh3.clean(
        html,
        tags=set(ACCEPTED),
        attributes=ATTRIBUTES,
        url_schemes={*LINK_SCHEMES, "asset"},
        link_rel=None,
    )
    root = tree(cleaned)
    check.settle(root)
    _raise(check)
    return canonical(root)


def _raise(check: _Check) -> None:
    raise_any(refusal for _, refusal in sorted(check.refusals, key=lambda pair: pair[0]))


class _Check:
    """One look over a text. Collects `refusals`, and what each written address stands for."""

    def __init__(self, where: str, line: Callable[[int], int], files: Files) -> None:
        self.refusals: list[tuple[int, BadInput]] = []  # with the line of the HTML, to put them in order
        self._where, self._line, self._files = where, line, files
        self._named: set[str] = set()  # elements refused already
        self._links: dict[str, str] = {}
        self._pictures: dict[tuple[str, str], tuple[str, str]] = {}
        self._places: dict[str, int] = {}  # the line on which an address was written

    def everything(self, html: str) -> None:
        tags: list[Tag] = []
        depth = 0
        for piece in pieces(html):
            match piece:
                case Broken():
                    self._refuse(
                        piece.line,
                        piece.what,
                        "补上结束，或把小于号写成 &lt; · close it, or write &lt; for a less-than sign",
                    )
                case End():
                    depth -= piece.name not in _IMPLIED_END
                    if piece.name not in self._named:
                        self._element(piece)
                case Tag():
                    depth += piece.name not in _IMPLIED_END | _ENDLESS
                    self._element(piece)
                    self._attributes(piece)
                    tags.append(piece)
            if depth > MAX_DEPTH:
                self._refuse(
                    piece.line,
                    f"元素嵌套超过 {MAX_DEPTH} 层 · more than {MAX_DEPTH} elements stand in one another",
                    "把未关闭的关闭 · close what is left open",
                )
                break
        # Pictures first: a link may lead to one that comes later in the text.
        for tag in sorted(tags, key=lambda tag: tag.name != "img"):
            try:
                self._address(tag)
            except BadInput as refusal:
                self.refusals.append((tag.line, refusal))

    def settle(self, root: Node) -> None:
        """Write the final addresses into the cleaned tree; refuse those that browsers read otherwise, or not at all."""
        met: set[str] = set()
        unknown: set[str] = set()
        for node in _all(root):
            if node.tag == "a" and (written := node.attributes.get("href")) is not None:
                node.attributes = {"href": self._links.get(written, "")}
            elif node.tag == "img":
                written = node.attributes.get("src", "")
                final = self._pictures.get((written, plain(node.attributes.get("alt", ""))), ("", ""))
                node.attributes = {"src": final[0], "alt": final[1]}
            else:
                continue
            (met if all(node.attributes.values()) else unknown).add(written)
        for address in unknown | (self._places.keys() - met):
            self._refuse(
                self._places.get(address, 1),
                f'“{address}”不是正确的地址 · "{address}" is not a sound address',
                "改正地址 · correct the address",
            )

    def _place(self, line: int) -> str:
        return f"{self._where}:{self._line(line)}"

    def _refuse(self, line: int, message: str, mend: str) -> None:
        self.refusals.append((line, BadInput(self._place(line), message, mend)))

    def _element(self, piece: Tag | End) -> None:
        name = piece.name
        if name in ACCEPTED or name in TRANSPARENT:
            return
        self._named.add(name)
        mend = (
            f"若本是文字，写成 &lt;{name}&gt;，否则删去 · write &lt;{name}&gt; if the words are meant, else remove it"
        )
        unknown = ("不是稿件可用的元素", "is not an element that an item can hold", mend)
        chinese, english, mend = REFUSED.get(name, unknown)
        self._refuse(piece.line, f"<{name}> {chinese} · <{name}> {english}", mend)

    def _attributes(self, tag: Tag) -> None:
        for name, value in tag.attributes.items():
            scheme = _scheme(_unspaced(value))
            if name.startswith("on"):
                self._refuse(
                    tag.line,
                    f"{name}=… 会在读者的浏览器中运行程序 · {name}=… can run a program in the reader's browser",
                    "删去 · remove it",
                )
            elif scheme in _ACTIVE_SCHEMES and (tag.name, name) not in {("a", "href"), ("img", "src")}:
                self._refuse(
                    tag.line,
                    f"{name}={scheme}:… 会在读者的浏览器中运行程序 · "
                    f"{name}={scheme}:… can run a program in the reader's browser",
                    "删去 · remove it",
                )
            elif name == "hidden" or (name == "style" and _HIDDEN.search(value)):
                self._refuse(
                    tag.line,
                    "这段文字是隐藏的，到发布端会显出来 · this text is hidden, and would be seen on the outlets",
                    "删去它，或取消隐藏 · delete it, or what hides it",
                )
            elif name in _COUNTS and tag.name in {"td", "th"} and not _COUNTS[name].fullmatch(value):
                self._refuse(
                    tag.line,
                    f'{name}="{value}" 不是格数 · {name}="{value}" is not a number of cells',
                    "写 1 以上的整数 · write a whole number from 1",
                )
        if tag.name == "meta" and tag.attributes.get("http-equiv", "").strip().lower() == "refresh":
            self._refuse(
                tag.line, "<meta> 会把读者带到别的页面 · <meta> sends the reader to another page", "删去 · remove it"
            )
        if (tag.name == "li" and "value" in tag.attributes) or (
            tag.name == "ol"
            and (
                "reversed" in tag.attributes
                or tag.attributes.get("type", "1") != "1"
                or not _START.fullmatch(tag.attributes.get("start", "1"))
            )
        ):
            self._refuse(
                tag.line,
                "这个列表的编号在各发布端会不一样 · the numbers of this list would differ between outlets",
                "把编号写进文字，用段落 · write them into the text, as paragraphs",
            )

    def _address(self, tag: Tag) -> None:
        """Learn what an `a` or `img` leads to. Raises BadInput."""
        where = self._place(tag.line)
        if tag.name == "a" and (written := tag.attributes.get("href")) is not None:
            self._links[written] = self._link(_unspaced(written), where)
            self._places.setdefault(written, tag.line)
        elif tag.name == "img":
            written, alt = tag.attributes.get("src", ""), plain(tag.attributes.get("alt", ""))
            address, alt_text = self._picture(_unspaced(written), alt, where)
            self._pictures[written, alt] = address, plain(alt_text)
            self._places.setdefault(written, tag.line)

    def _link(self, address: str, where: str) -> str:
        scheme = _scheme(address)
        if scheme in _ACTIVE_SCHEMES:
            raise BadInput(
                where,
                f"{scheme}: 地址会在读者的浏览器中运行程序 · "
                f"a {scheme}: address can run a program in the reader's browser",
                "删去链接 · remove the link",
            )
        if scheme in {"http", "https"}:
            if not _has_host(address):
                raise BadInput(
                    where,
                    f'“{address}”不是正确的地址 · "{address}" is not a sound address',
                    "改正地址 · correct the address",
                )
            return address.replace(" ", "%20")
        if scheme == "mailto":
            return address.replace(" ", "%20")
        if scheme not in {"", "asset"}:
            raise BadInput(
                where,
                f"{scheme}: 链接不是各发布端都能用 · {scheme}: links do not work on every outlet",
                "改写成文字 · write the address as text instead",
            )
        if not address or address.startswith("#"):
            raise BadInput(
                where,
                "链接指向文内某处，而发布端会截分文字 · "
                "the link leads to a place in the text, and outlets cut texts apart",
                "删去链接 · remove the link",
            )
        if address.startswith("//"):
            raise BadInput(
                where,
                f'“{address}”缺开头 · "{address}" leaves its beginning open',
                f"写成 https:{address} · write https:{address}",
            )
        return self._files.linked(address, where)

    def _picture(self, address: str, alt: str, where: str) -> tuple[str, str]:
        scheme = _scheme(address)
        if not address:
            raise BadInput(
                where, "图片没有地址 · the picture has no address", "写图片文件的路径 · write the path of its file"
            )
        if scheme == "data":
            raise BadInput(
                where,
                "图片嵌在文字里 · the picture stands inside the text",
                "存为稿件旁的文件，写其路径 · save it as a file beside the item, write its path",
            )
        if scheme not in {"", "asset"} or address.startswith("//"):
            raise BadInput(
                where,
                f"图片“{address}”在别处，可能变动或消失 · "
                f'the picture "{address}" lies elsewhere and could change or vanish there',
                "存为稿件旁的文件，写其路径 · save it as a file beside the item, and write its path",
            )
        return self._files.picture(address, alt, where)


def _unspaced(address: str) -> str:
    """As browsers read an address: no spaces around it, no tabs and line ends in it."""
    return re.sub(r"[\t\n\r]", "", address).strip("".join(map(chr, range(33))))


def _scheme(address: str) -> str:
    found = _SCHEME.match(address)
    return found[1].lower() if found else ""


def _has_host(address: str) -> bool:
    try:
        return bool(urlsplit(address).hostname)
    except ValueError:
        return False


def _all(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in node.children if isinstance(child, Node)]
