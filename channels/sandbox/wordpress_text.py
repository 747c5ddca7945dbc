"""What WordPress does to texts: on the way in (KSES, slugs), and on the way out (paragraphs, quotes, embeds).

Own words, as far as a publisher meets them. Filters work on the source text: a numeric reference passes them all.
Sources: wp-includes/formatting.php, kses.php, post.php, class-wp-embed.php (6.x).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import quote

PIECES = re.compile(r"(<!--.*?-->|<[^>]*>)", re.DOTALL)
TAG = re.compile(r"<\s*(/?)\s*([a-zA-Z][a-zA-Z0-9-]*)([^>]*)>")
ATTRIBUTE = re.compile(r"([a-zA-Z_:][-a-zA-Z0-9_:]*)(?:\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s\"'>]+))?")
ANYWHERE = {"class", "id", "title", "style", "dir", "lang", "role", "hidden"}  # and data-*, aria-*
_PLAIN = "p br hr h1 h2 h3 h4 h5 h6 strong em b i u s sub sup code pre ul dl dt dd div span section figure figcaption"
POST_TAGS: dict[str, set[str]] = {
    **{name: set() for name in _PLAIN.split()},
    **{name: set() for name in ("caption", "small", "mark", "abbr", "cite", "article", "header", "footer", "main")},
    "a": {"href", "rel", "target", "name", "download"},
    "img": {"src", "alt", "width", "height", "align", "loading", "srcset", "sizes"},
    "blockquote": {"cite"},
    "q": {"cite"},
    "del": {"datetime"},
    "ins": {"datetime"},
    "ol": {"start", "type", "reversed"},
    "li": {"value"},
    "table": {"border", "width", "summary"},
    **{name: {"align", "valign"} for name in ("thead", "tbody", "tfoot", "tr")},
    **{name: {"colspan", "rowspan", "scope", "headers", "align", "valign", "width"} for name in ("td", "th")},
}
TITLE_TAGS: dict[str, set[str]] = {
    "a": {"href", "title"},
    **{
        name: set()
        for name in ("abbr", "b", "blockquote", "cite", "code", "del", "em", "i", "q", "s", "strike", "strong")
    },
}
SAFE = ("http:", "https:", "mailto:", "tel:", "ftp:")
SHORTCODES = ("gallery", "caption", "embed", "audio", "video", "playlist", "wp_caption")
SMILEY = re.compile(r"(?<![^\s])(?::-?[)(DPox|?!]|;-?\)|8-\)|8-?O|:[a-z]+:)(?![^\s])")


# on the way in


def kses(html: str, allowed: dict[str, set[str]]) -> str:
    """The filter for users without `unfiltered_html`: other tags vanish and leave their text, without a word."""
    return "".join(
        piece
        if piece.startswith("<!--")
        else _kept(piece, allowed)
        if piece.startswith("<")
        else _entities(piece).replace("<", "&lt;")
        for piece in PIECES.split(html)
        if piece
    )


def _kept(tag: str, allowed: dict[str, set[str]]) -> str:
    found = TAG.fullmatch(tag)
    if found is None:
        return _entities(tag.replace("<", "&lt;").replace(">", "&gt;"))
    closes, name, rest = found[1], found[2], found[3]
    if name.lower() not in allowed:
        return ""
    if closes:
        return f"</{name}>"
    told = ""
    for one in ATTRIBUTE.finditer(rest.rstrip("/")):
        attribute, value = one[1], (one[2] or '""').strip("\"'")
        known = allowed[name.lower()] | (ANYWHERE if allowed is POST_TAGS else set())
        if attribute.lower() not in known and not attribute.lower().startswith(("data-", "aria-")):
            continue
        scheme = re.match(r"\s*([a-zA-Z][a-zA-Z0-9+.-]*:)", unescape(value))
        if attribute.lower() in ("href", "src") and scheme and scheme[1].lower() not in SAFE:
            value = unescape(value)[len(scheme[0]) :]
        told += f' {attribute}="{_entities(value)}"'
    return f"<{name}{told}{' /' if rest.rstrip().endswith('/') else ''}>"


def _entities(text: str) -> str:
    """References in the one form: numbers of three digits at least; a lone ampersand becomes one."""

    def written(found: re.Match[str]) -> str:
        if found[1]:
            return f"&#{int(found[1]):03d};"
        return found[0] if found[2] else "&amp;"

    return re.sub(r"&(?:#0*(\d{1,7});|(#[xX][0-9a-fA-F]{1,6};|[a-zA-Z][a-zA-Z0-9]{1,7};))?", written, text)


def slug_of(text: str) -> str:
    """As sanitize_title writes it: lower case, other letters as percent-encoded bytes, at most 200."""
    plain = re.sub(r"<[^>]*>|&[^;\s]{1,8};", "", text).lower()
    plain = re.sub(r"[^\w\s%-]", "", plain)
    name = re.sub(r"-+", "-", re.sub(r"\s+", "-", plain)).strip("-")
    return re.sub(r"%[0-9a-f]?$", "", in_path(name)[:200])


def in_path(text: str) -> str:
    """Letters that are not ASCII as their bytes."""
    return "".join(one if one.isascii() else quote(one).lower() for one in text)


def without(html: str, tags: list[str]) -> str:
    """As a strict plug-in leaves it: these elements' tags gone, their text kept."""
    return re.sub(rf"</?(?:{'|'.join(map(re.escape, tags))})\b[^>]*>", "", html)


# on the way out


def shown_title(title: str) -> str:
    """Raw, but for typography: what an editor stored as a tag becomes an element."""
    return _each_text(title, _typography).replace("Wordpress", "WordPress")


def shown_content(content: str) -> str:
    """The filters of `the_content`, in their order: embeds, blocks or paragraphs, typography, shortcodes, smilies."""
    player = r'<figure class="wp-block-embed"><iframe src="\1"></iframe></figure>'
    html = re.sub(r"<p[^>]*>\s*(https?://[^\s<>\"]+)\s*</p>", player, content)
    html = re.sub(r"<!-- /?wp:.*?-->\n?", "", html, flags=re.DOTALL) if "<!-- wp:" in html else _paragraphs(html)
    html = re.sub(r"(<img\b)(?![^>]*\bloading=)", r'\1 loading="lazy" decoding="async"', html)
    html = _each_text(html, lambda text: re.sub(r"(?<=[ >(])Wordpress|^Wordpress", "WordPress", _typography(text)))
    html = re.sub(rf"\[/?(?:{'|'.join(SHORTCODES)})\b[^\]]*\]", "", html)
    return _each_text(html, lambda text: SMILEY.sub('<img class="wp-smiley" src="/smile.png" alt="">', text))


def _paragraphs(text: str) -> str:
    """wpautop: blank lines part paragraphs, line ends become breaks; blocks of HTML stay what they are."""
    block = re.compile(r"\s*</?(?:p|div|h\d|ul|ol|li|table|thead|tbody|tr|td|th|blockquote|figure|hr|section)\b", re.I)
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    made = [part if block.match(part) else f"<p>{part.replace(chr(10), '<br />' + chr(10))}</p>" for part in parts]
    return "\n".join(made)


def _each_text(html: str, act: Callable[[str], str]) -> str:
    """Applies to texts, not to tags and comments, nor inside `pre` and `code`."""
    made: list[str] = []
    verbatim = 0
    for piece in PIECES.split(html):
        if piece.startswith("<"):
            if found := TAG.fullmatch(piece):
                verbatim += {"": 1, "/": -1}[found[1]] if found[2].lower() in ("pre", "code", "kbd") else 0
            made.append(piece)
        else:
            made.append(piece if verbatim else act(piece))
    return "".join(made)


def _typography(text: str) -> str:
    """wptexturize: what looks typed becomes what looks set."""
    for plain, set_ in (("...", "…"), ("``", "“"), ("''", "”"), (" (tm)", " ™")):
        text = text.replace(plain, set_)
    text = re.sub(r"(?<=\d)\"", "″", re.sub(r"(?<=\d)'", "′", text))
    text = re.sub(r"(?:(?<=^)|(?<=[\s(\[{-]))\"(?=\S)", "“", text).replace('"', "”")
    text = re.sub(r"(?:(?<=^)|(?<=[\s(\[{-]))'(?=\S)", "‘", text).replace("'", "’")
    text = text.replace("---", "—").replace("--", "–")
    text = re.sub(r"(?:(?<=^)|(?<=\s))-(?=$|\s)", "–", text)
    text = re.sub(r"(?<=\d)x(?=\d)", "×", text)
    return re.sub(r"&(?!#\d+;|#x[a-f0-9]+;|[a-z1-4]{1,8};)", "&#038;", text, flags=re.I)
