"""What a reader sees, as a list of tokens, and how two such lists differ.

Promises: strict. Only Unicode normalisation (NFC) and white space are levelled; digits, punctuation,
table cells, links and the content of pictures count. Every channel's `verify` and the drift watch use
these functions, so that "the same everywhere" means one thing. Nothing here does network or file I/O.
"""

from __future__ import annotations

import difflib
import io
import json
import struct
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lxml import etree
from PIL import Image, ImageChops, ImageFilter, ImageOps

from sync import confine
from sync.contract import Misbehaved
from sync.model import Problem, Rendition, Sighting, Token, sha256

# Elements that do not end a line of text; every other element does.
_INLINE = (
    "a abbr b bdi bdo big cite code data del dfn em font i img ins kbd label mark picture q rp rt ruby s samp small"
    " source span strike strong sub sup time tt u var wbr"
)
INLINE = frozenset(_INLINE.split())
UNSEEN = frozenset(
    {"head", "iframe", "noscript", "object", "script", "select", "style", "template", "textarea", "title"}
)
CELLS = frozenset({"td", "th"})

EXCERPT = 24  # characters quoted on each side of a difference
MOST_PROBLEMS = 40
MOST_PAIRS = 4_000_000  # above this, token lists are compared place by place instead of aligned

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
MOST_PIXELS = 50_000_000
# What Pillow's decoders announce broken or oversized files with.
UNDECODABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
DECODING = confine.Limits(cpu_s=30, wall_s=60.0, memory=1536 * 1024 * 1024)  # of two pictures in full
LONG_SIDE = 1024  # pixels; larger pictures are compared at this size
# Of 255. JPEG or WebP at quality 50 and halving stay below 25; another digit in a chart is above 100.
LIGHT_LIMIT = 40
COLOUR_LIMIT = 40


def normal(text: str) -> str:
    """NFC, runs of white space to one space, ends stripped. Nothing else: a zero-width character counts."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def plain(text: str) -> tuple[Token, ...]:
    """Plain text as a reader sees it: one text token per line that is not empty."""
    return tuple(Token("text", line) for raw in text.splitlines() if (line := normal(raw)))


def tokens(html: str, image: Callable[[str], str] | None = None) -> tuple[Token, ...]:
    """An HTML fragment as a reader sees it, in reading order.

    "text" per block (paragraph, heading, list item, caption, bare text …), "cell" per table cell (an
    empty one too: dropping it is a difference), "link" per address, "image" per picture with the value
    `image(src)`; without `image` pictures are left out. Links and pictures follow the text of the block
    they stand in. Elements with the `hidden` attribute and scripts are not seen. Broken HTML is read as
    a browser would; nothing is raised except by `image`.
    """
    reader = _Reader(image)
    # Browsers show NUL as U+FFFD; lone surrogates cannot be encoded at all.
    whole = b"<html><body><div>" + html.replace("\0", "\ufffd").encode("utf-8", "replace") + b"</div></body></html>"
    # huge_tree: 2,048 levels instead of 256. Text nested deeper is not seen, and so reported as missing.
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(whole, parser)
    for tree in (root, *root.itersiblings()):  # what stands after a stray </html> becomes a sibling
        for event, element in etree.iterwalk(tree, events=("start", "end")):
            reader.start(element) if event == "start" else reader.end(element)
    return tuple(reader.found)


READING = confine.Limits(cpu_s=5, wall_s=30.0)
MOST_READ, MOST_KEPT = 128, 256 * 1024  # pages that are remembered, and characters of one
_READ: dict[tuple[str, str, str], str] = {}


def outside(reader: str, content: bytes, value: Any = None) -> Any:
    """What a function of ours (`module:function`, see `sync.confine`) makes of a page from outside: its JSON value.

    It runs in a confined process: the page is whatever somebody else serves. The same page is read once.
    Raises Misbehaved when it cannot be read: too large, too complex, or the reader broke on it.
    """
    asked = (reader, sha256(content), json.dumps(value, sort_keys=True))
    told = _READ.get(asked)
    if told is None:
        try:
            told = json.dumps(confine.run(reader, value, [content], limits=READING)[0])
        except confine.Failed as failed:
            raise Misbehaved(f"页面无法安全读取 · the page cannot be read safely: {failed}") from failed
        if len(told) <= MOST_KEPT:
            _READ[asked] = told
            while len(_READ) > MOST_READ:
                _READ.pop(next(iter(_READ), asked), None)  # the oldest; another thread may have been first
    return json.loads(told)


def fragments(given: Sequence[str], image: Callable[[str], str] | None = None) -> list[tuple[Token, ...]]:
    """As `tokens`, of HTML from outside; all of it in one confined process. Raises Misbehaved."""
    told = outside("sync.compare:read_fragments", json.dumps(list(given)).encode())
    return [placed(found, image) for found in told]


def read_fragments(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: the tokens of each fragment, pictures by their addresses."""
    return [packed(tokens(html, lambda source: source)) for html in json.loads(parts[0])], []


def packed(found: Sequence[Token]) -> list[list[str]]:
    """Tokens as JSON."""
    return [[token.kind, token.value] for token in found]


def placed(told: Sequence[Sequence[str]], image: Callable[[str], str] | None) -> tuple[Token, ...]:
    """The tokens of such JSON, with `image(address)` for each picture; without `image` pictures are left out."""
    found: list[Token] = []
    for kind, value in told:
        if kind != "image":
            found.append(Token(kind, value))
        elif image is not None:
            found.append(Token("image", image(value)))
    return tuple(found)


class _Reader:
    """Collects tokens while the tree is walked; holds the line that is being read."""

    def __init__(self, image: Callable[[str], str] | None) -> None:
        self.found: list[Token] = []
        self._image = image
        self._line: list[str] = []
        self._follows: list[Token] = []  # links and pictures of this line, or of this cell
        self._cells: list[list[str]] = []  # texts of the open table cells, innermost last
        self._unseen = 0

    def start(self, element: etree._Element) -> None:
        if self._unseen or element.tag in UNSEEN or element.get("hidden") is not None:
            self._unseen += 1
            return
        if element.tag not in INLINE and element.tag != "br":
            self._flush()
        if element.tag in CELLS:
            self._cells.append([])
        elif element.tag == "br":
            self._line.append("\n")
        elif element.tag == "a" and element.get("href") is not None:
            self._follows.append(Token("link", normal(element.get("href", ""))))
        elif element.tag == "img" and self._image is not None:
            source = element.get("data-src") or element.get("src") or ""
            self._follows.append(Token("image", self._image(source)))
        self._line.append(element.text or "")

    def end(self, element: etree._Element) -> None:
        if self._unseen:
            self._unseen -= 1
        else:
            if element.tag not in INLINE and element.tag != "br":
                self._flush()
            if element.tag in CELLS:
                self.found.append(Token("cell", normal(" ".join(self._cells.pop()))))
                self._let_follow()
        if not self._unseen:
            self._line.append(element.tail or "")

    def _flush(self) -> None:
        """End the line: inside a cell it joins the cell's text, elsewhere it is a block of its own."""
        text = normal("".join(self._line))
        self._line.clear()
        if self._cells:
            self._cells[-1].extend([text] if text else [])
            return
        if text:
            self.found.append(Token("text", text))
        self._let_follow()

    def _let_follow(self) -> None:
        self.found.extend(self._follows)
        self._follows.clear()


def differences(expected: Sequence[Token], seen: Sequence[Token]) -> tuple[Problem, ...]:
    """Every difference, in reading order, in words for a person; empty when all is equal.

    `where` is the token's kind. At most 40 are described; a last one then counts the rest.
    """
    if tuple(expected) == tuple(seen):
        return ()
    found = [Problem(kind, message, fatal=False) for kind, message in _described(expected, seen)]
    if len(found) > MOST_PROBLEMS:
        rest = len(found) - MOST_PROBLEMS
        found[MOST_PROBLEMS:] = [Problem(found[-1].where, f"另有 {rest} 处不同 / {rest} more differences", fatal=False)]
    return tuple(found)


def sighted(
    seen: Sequence[Token],
    rendition: Rendition,
    before: Rendition | None,
    began: int,
    ended: int,
    problems: Sequence[Problem] = (),
) -> Sighting:
    """One anonymous read of a page that was there: does it show `rendition`?

    While it still shows exactly what `before` promised, the correction is not visible yet. `problems` are
    what else the reader met. `began` and `ended` of the read are microseconds UTC.
    """
    found = differences(rendition.shown, seen)
    if found and before is not None and not differences(before.shown, seen):
        return Sighting(False, began, ended)
    return Sighting(True, began, ended, (*problems, *found))


def _described(expected: Sequence[Token], seen: Sequence[Token]) -> Iterator[tuple[str, str]]:
    for wanted, got in _pairs(expected, seen):
        if wanted is not None and got is not None:
            quoted = _quotes(wanted.value, got.value)
            yield wanted.kind, f"不一致 / differs: 应为 expected {quoted[0]}，实为 found {quoted[1]}"
        elif wanted is not None:
            yield wanted.kind, f"缺少 / missing: {_quote(wanted.value)}"
        elif got is not None:
            yield got.kind, f"多出 / unexpected: {_quote(got.value)}"


def _pairs(expected: Sequence[Token], seen: Sequence[Token]) -> Iterator[tuple[Token | None, Token | None]]:
    """What is expected and what stands in its place; None on one side: nothing does."""
    if len(expected) * len(seen) > MOST_PAIRS:
        yield from _place_by_place(expected, seen)
        return
    matcher = difflib.SequenceMatcher(None, expected, seen, autojunk=False)
    for act, from_a, to_a, from_b, to_b in matcher.get_opcodes():
        if act != "equal":
            yield from _place_by_place(expected[from_a:to_a], seen[from_b:to_b])


def _place_by_place(expected: Sequence[Token], seen: Sequence[Token]) -> Iterator[tuple[Token | None, Token | None]]:
    for place in range(max(len(expected), len(seen))):
        wanted = expected[place] if place < len(expected) else None
        got = seen[place] if place < len(seen) else None
        if wanted == got:
            continue
        if wanted is not None and got is not None and wanted.kind != got.kind:
            yield wanted, None
            yield None, got
        else:
            yield wanted, got


def _quote(text: str, centre: int = 0) -> str:
    """An excerpt around `centre`, in Chinese quotation marks; cut ends are marked."""
    if not text:
        return "（空 empty）"
    begin, end = max(0, centre - EXCERPT), min(len(text), centre + EXCERPT)
    return f"「{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}」"


def _quotes(wanted: str, got: str) -> tuple[str, str]:
    """Both texts around the place where they part."""
    same = next((i for i, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b), min(len(wanted), len(got)))
    return _quote(wanted, same), _quote(got, same)


def recognise(seen: bytes, candidates: Mapping[str, bytes]) -> str:
    """The digest (key) of the candidate that `seen` is: byte for byte, or the same picture re-encoded or rescaled.

    Otherwise the SHA-256 of `seen`, also for what is no picture, is animated (other than byte for byte)
    or is too large to decode safely. Raises nothing.
    """
    for digest, content in candidates.items():
        if content == seen:
            return digest
    if not candidates:
        return sha256(seen)
    try:
        found, _ = confine.run("sync.compare:nearest", list(candidates), [seen, *candidates.values()], limits=DECODING)
    except confine.Failed:
        return sha256(seen)
    return str(found) if found in candidates else sha256(seen)


def nearest(value: Any, parts: list[bytes], ask: confine.Ask) -> confine.Answer:
    """For a confined process: the digest in `value` whose picture the first one is; "" for none."""
    picture = _decoded(parts[0])
    alike = {}
    for digest, content in zip(value, parts[1:], strict=True) if picture is not None else ():
        other = _decoded(content, like=picture)
        if other is not None and picture is not None and (apart := _same_picture(picture, other)) is not None:
            alike[digest] = apart
    return min(alike, key=alike.__getitem__) if alike else "", []


def _decoded(content: bytes, like: Image.Image | None = None) -> Image.Image | None:
    """The picture, upright, in RGB on white; None when it cannot be one, or not of the shape of `like`."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            # a telephone's photo is a JPEG with a preview behind it (MPO), not an animation
            animated = opened.format != "MPO" and getattr(opened, "n_frames", 1) != 1
            if opened.width * opened.height > MOST_PIXELS or animated:
                return None
            upright = ImageOps.exif_transpose(opened)
            if like is not None and not _same_shape(upright.size, like.size):
                return None
            whole = upright.convert("RGBA")
    except UNDECODABLE:
        return None
    ground = Image.new("RGBA", whole.size, "white")
    return Image.alpha_composite(ground, whole).convert("RGB")


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """The same ratio of sides within 1 %, or within the pixel that rounding costs."""
    expected_height = one[0] * other[1] / other[0]
    return abs(expected_height - one[1]) <= max(0.01 * one[1], one[0] / other[0])


def _same_picture(one: Image.Image, other: Image.Image) -> int | None:
    """How far apart the pictures are (0: not at all), or None when they are not the same one.

    Both are brought to the smaller one's size; brightness is compared over 3 x 3 pixels, where a changed
    digit stands out, colour over 9 x 9, because most encoders store it at half the resolution.
    """
    width, height = min(one.size, other.size)
    scale = min(1.0, LONG_SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [picture.resize(size, Image.Resampling.LANCZOS) for picture in (one, other)]
    light = [p.filter(ImageFilter.BoxBlur(1)).convert("L") for p in small]
    colour = [p.filter(ImageFilter.BoxBlur(4)).convert("YCbCr") for p in small]
    light_apart = max(ImageChops.difference(*light).tobytes())
    colour_apart = max(ImageChops.difference(*colour).tobytes())
    if light_apart > LIGHT_LIMIT or colour_apart > COLOUR_LIMIT:
        return None
    return light_apart + colour_apart
