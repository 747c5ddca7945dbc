"""Who may take which address of one site: nobody overwrites what is not his, and what was withdrawn stays so.

Promises: an older edition never takes the place of a newer one, because only the page that a correction
was made for gives way to it; a withdrawal is on disk before its page goes, so that whoever repeats it
knows what is left to do. Changes no page itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from channels.names import marker_of
from channels.staging import Staging
from channels.standing import Standing, folders_of, standing
from channels.waiting import Waiting
from sync.contract import Receipt, Rejected, Stale, Unsupported
from sync.model import Key, sha256
from sync.render import china_time

DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
PAGE = re.compile(r"[a-z]+/[0-9a-f]{12}\.html")  # what our pages are called; nothing else is ever touched


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A page that was withdrawn: in which month's lists it was, of which deliveries, and their folders."""

    ref: str
    month: str
    markers: tuple[str, ...]
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Earlier:
    """Replaced editions of one page: the deliveries by their markers, and their hidden folders."""

    markers: tuple[str, ...]
    folders: tuple[str, ...]


def ref_of(receipt: Receipt, base: str) -> str:
    """Where in the site `base` the copy lies; a person who found it gave its address only.

    Raises Unsupported when that is no page of this site."""
    ref = receipt.ref or receipt.url.removeprefix(f"{base}/")
    if not PAGE.fullmatch(ref):
        raise Unsupported(f"{receipt.url} 不是本站发布的页面 · is no page that was published here: change it by hand")
    return ref


class Addresses:
    """The addresses of one site, by path; `base` is its own. Every method may raise OSError."""

    def __init__(self, staging: Staging, waiting: Waiting, base: str) -> None:
        self._staging, self._waiting, self._base = staging, waiting, base

    def standing(self, ref: str) -> Standing | None:
        return standing(self._staging.served / ref)

    def is_ours(self, ref: str, key: Key) -> bool:
        found = self.standing(ref)
        return found is not None and found.marker == marker_of(key)

    def room(self, ref: str, found: Standing | None, replaces: Receipt | None) -> dict[str, str]:
        """What a delivery has to keep in mind of the page that it takes the place of.

        Raises Rejected when the address is not free for it, Stale when the rendition is for another one."""
        self.not_withdrawn(ref, found)
        if replaces is None:
            if found:
                raise Rejected(self.foreign(ref))
            return {}
        if ref_of(replaces, self._base) != ref:
            raise Stale(f"the correction of {replaces.url} was rendered for {self._base}/{ref}")
        if found and not found.is_of(replaces):
            raise Rejected(self.foreign(ref))
        marker = found.marker if found else replaces.notes.get("delivery", "")
        earlier = self.earlier(replaces)
        return {
            "replaces": marker,
            "pub_date": _published(replaces, found),
            "earlier": " ".join(dict.fromkeys([marker, *earlier.markers])),
            "left": " ".join(dict.fromkeys([*self.folders(marker, found), *earlier.folders])),
        }

    def not_withdrawn(self, ref: str, found: Standing | None) -> None:
        """Raises Rejected, also while a withdrawal is half done; not where a newer page came before it."""
        gone = self.withdrawn(ref)
        if gone and (found is None or found.marker in gone.markers):
            raise Rejected(
                f"{self._base}/{ref} 已撤回，该地址不再使用 · was withdrawn, its address is not used again —"
                " publish the item anew"
            )

    def foreign(self, ref: str) -> str:
        """What stands there is not what this delivery may take away."""
        if (found := self.standing(ref)) and found.marker:
            return (
                f"{self._base}/{ref} 现为另一次发布的内容 · shows what another delivery published;"
                " it was left as it is — look which edition is the newest"
            )
        return f"{self._staging.served / ref} is a page of somebody else — move it away"

    def folders(self, marker: str, found: Standing | None) -> tuple[str, ...]:
        """The hidden folders of a delivery: by its record, and by its page where there is none any more."""
        record = self._waiting.record(marker) if marker else None
        return (*folders_of(record.files if record else ()), *(found.folders if found else ()))

    def earlier(self, receipt: Receipt) -> Earlier:
        """What is still there of the editions that the one of this receipt took the place of."""
        markers, folders = receipt.notes.get("earlier", "").split(), receipt.notes.get("left", "").split()
        return Earlier(
            tuple(marker for marker in markers if self._waiting.record(marker)),
            tuple(folder for folder in folders if (self._staging.served / folder).exists()),
        )

    def withdraws(self, receipt: Receipt) -> tuple[Standing | None, Withdrawn]:
        """The page that has to go, None when it is gone; and what else goes with it, noted for a repetition.

        Raises Rejected when another delivery's page stands there by now."""
        ref = ref_of(receipt, self._base)
        gone, found = self.withdrawn(ref), self.standing(ref)
        if found and not found.is_of(receipt):
            raise Rejected(self.foreign(ref))
        if found or gone is None:
            marker = found.marker if found else receipt.notes.get("delivery", "")
            earlier = self.earlier(receipt)
            folders = dict.fromkeys([*self.folders(marker, found), *earlier.folders])
            month = _published(receipt, found)[:7]
            gone = Withdrawn(ref, month, tuple(filter(None, [marker, *earlier.markers])), tuple(folders))
            self._staging.write({self._note(ref): json.dumps(asdict(gone)).encode()})
        return found, gone

    def withdrawn(self, ref: str) -> Withdrawn | None:
        """What was withdrawn from this address."""
        try:
            said = json.loads(self._note(ref).read_bytes())
        except FileNotFoundError:
            return None
        return Withdrawn(said["ref"], said["month"], tuple(said["markers"]), tuple(said["folders"]))

    def _note(self, ref: str) -> Path:
        return self._staging.hidden / "withdrawn" / f"{sha256(ref.encode())[:32]}.json"


def _published(receipt: Receipt, found: Standing | None) -> str:
    """PubDate of the first publication: by our own word, else by the page's."""
    date = receipt.notes.get("pub_date") or (found.published if found else "")
    return date if DATE.fullmatch(date) else china_time(receipt.at)
