"""The page that stands at an address of ours: whose it is, and which hidden files it uses.

Promises: a page counts as that of a receipt only when it names the receipt's own delivery; a folder that
is removed has the form of a hidden folder, whatever a page or a record says. Looks at files only.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from sync.contract import Receipt

FOLDER = re.compile(r"(?:assets|files)/[0-9a-f]{24}")
# In an article only our own templates write addresses that begin so; those of a body are whole.
BESIDE = re.compile(rf"\.\./({FOLDER.pattern})/")


@dataclass(frozen=True, slots=True)
class Standing:
    """A page as it lies on the disk.

    `marker` of the delivery that it names, "" for a page of somebody else; `published` its PubDate;
    `corrected`: whether it says that it is a correction; `folders`: hidden ones that it takes files from.
    """

    marker: str
    published: str
    corrected: bool
    folders: tuple[str, ...]

    def is_of(self, receipt: Receipt) -> bool:
        """Whether it is the page that this receipt was given for.

        A receipt from before there were corrections does not name its delivery: its page is the first."""
        said = receipt.notes.get("delivery")
        return self.marker == said if said else bool(self.marker) and not self.corrected


def standing(page: Path) -> Standing | None:
    """What stands there; None: nothing. Raises OSError."""
    try:
        content = page.read_bytes()
    except FileNotFoundError:
        return None
    if not content.strip():
        return Standing("", "", False, ())
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(content.replace(b"\0", b"\xef\xbf\xbd"), parser)
    meta = {element.get("name", ""): element.get("content", "") for element in root.iterdescendants("meta")}
    used = [e.get("href") or e.get("src") or "" for e in root.iterdescendants("a", "img")]
    folders = dict.fromkeys(found[1] for address in used if (found := BESIDE.match(address)))
    corrected = any(element.get("class") == "corrected" for element in root.iterdescendants("time"))
    return Standing(meta.get("tongfa-delivery", ""), meta.get("PubDate", ""), corrected, tuple(folders))


def folders_of(paths: Iterable[str]) -> tuple[str, ...]:
    """The hidden folders that these files of a site lie in."""
    found = (path.rpartition("/")[0] for path in paths)
    return tuple(dict.fromkeys(folder for folder in found if FOLDER.fullmatch(folder)))


def clear(served: Path, folders: Iterable[str], still_used: Iterable[str] = ()) -> None:
    """Remove hidden folders with all that is in them. What is gone already is success. Raises OSError."""
    kept = frozenset(still_used)
    for folder in folders:
        left = served / folder
        if FOLDER.fullmatch(folder) and folder not in kept and left.exists():
            shutil.rmtree(left)
