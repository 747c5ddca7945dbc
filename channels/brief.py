"""A short text for outlets that take no article: title, whole sentences, the canonical address, tags.

The words come from the template; here is only decided how much fits. What is left out is left out whole:
a sentence, a tag, never half of one, and the address always stays. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sync import compare
from sync.contract import Pages, Unsupported
from sync.model import Asset, AssetRole, Edition, Token

LINK = re.compile(r"https?://[\w!*;:=+,.$/%#\[\]~@|&?()-]*[\w=/&#$%+-]", re.ASCII)
# A sentence ends after these; an ASCII mark only before white space, so that no address is cut.
_SENTENCE = re.compile(r".*?(?:[。！？…]+[”’」』）)]*|[.!?]+[\"')]*(?=\s|$))", re.DOTALL)
MOST_TAGS = 3
TAG_LENGTH = 12  # characters; a longer topic is a phrase, not a tag


@dataclass(frozen=True, slots=True)
class Room:
    """What an outlet takes: at most `most` of what `size` counts in a finished text (characters, bytes, graphemes …).

    `and_most`: a second measure that has to hold as well.
    """

    most: int
    size: Callable[[str], int]
    and_most: tuple[int, Callable[[str], int]] | None = None

    def holds(self, text: str) -> bool:
        if self.and_most is not None and self.and_most[1](text) > self.and_most[0]:
            return False
        return self.size(text) <= self.most


def compose(
    pages: Pages, template: str, edition: Edition, canonical: str | None, room: Room, tag: str = "#{}", **more: object
) -> str:
    """The finished text: as many whole sentences of the summary (without one: of the body) as fit, then tags that fit.

    The template is handed `title`, `lead`, `link` ("" without an address), `tags` (finished words), `edition` and
    `more`. `tag`: how a topic becomes one; "" for outlets that have none. Raises Unsupported when title and
    address alone are too long.
    """

    def made(lead: str, tags: Sequence[str]) -> str:
        values = {"title": edition.title, "link": canonical or "", "edition": edition, **more}
        return pages.render(template, lead=lead, tags=list(tags), **values).strip()

    if not room.holds(made("", ())):
        raise Unsupported(
            f"标题和链接已超过此渠道的长度上限（{room.most}） / title and link alone are longer than this outlet takes"
        )
    lead = _fitting(leading(edition), lambda text: room.holds(made(text, ())))
    tags: list[str] = []
    for word in topics(edition) if tag else ():
        if room.holds(made(lead, [*tags, tag.format(word)])):
            tags.append(tag.format(word))
    return made(lead, tags)


def leading(edition: Edition) -> str:
    """What a short text is taken from: the summary, else the body's paragraphs."""
    summary = " ".join(edition.text("summary").split())
    if summary:
        return summary
    return "\n".join(token.value for token in compare.tokens(edition.body) if token.kind == "text")


def topics(edition: Edition) -> list[str]:
    """Topics that can be tags as a whole: word characters, not all digits, short; three at most."""
    told = edition.metadata.get("topics", ())
    words = told if isinstance(told, tuple) else (str(told),)
    fit = [word for word in words if re.fullmatch(r"\w*[^\W\d]\w*", word) and len(word) <= TAG_LENGTH]
    return fit[:MOST_TAGS]


def pictures(edition: Edition, types: frozenset[str], most: int) -> tuple[Asset, ...]:
    """Cover first, then those of the body, each once, as many as one post takes."""
    usable = [a for a in edition.assets if a.role is not AssetRole.ATTACHMENT and a.media_type in types]
    usable.sort(key=lambda asset: asset.role is not AssetRole.COVER)
    once: dict[str, Asset] = {}
    for asset in usable:
        once.setdefault(asset.digest, asset)
    return tuple(once.values())[:most]


def shown(text: str, files: Sequence[Asset] = ()) -> tuple[Token, ...]:
    """What a reader must find: each paragraph, the links it holds, and each picture with its description."""
    found: list[Token] = []
    for paragraph in re.split(r"\n{2,}", text):
        found.append(Token("text", compare.normal(paragraph)))
        found.extend(Token("link", link) for link in LINK.findall(paragraph))
    for asset in files:
        found.append(Token("image", asset.digest))
        if asset.alt:
            found.append(Token("text", compare.normal(asset.alt)))
    return tuple(found)


def _fitting(text: str, holds: Callable[[str], bool]) -> str:
    """All of it, or as many whole sentences from its beginning as fit; "" when not even the first does."""
    if holds(text):
        return text
    taken = ""
    for match in _SENTENCE.finditer(text):
        if not holds(longer := taken + match[0]):
            break
        taken = longer
    return taken
