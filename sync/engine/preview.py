"""What each outlet will show of an item, as files in a folder. Nothing is stored, nothing goes out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from sync.content.source import read
from sync.contract import Channel, Egress, OutletError, Place, Response, Shot
from sync.engine.context import Context
from sync.engine.order import known_outlets
from sync.engine.submit import edition_of, routing_of
from sync.model import BadInput, Edition, Key, Problem
from sync.render import Templates
from sync.store import items, outlets
from sync.store.tables import Record

MARK = ".tongfa-preview.json"  # a folder with this file is ours to fill anew
INDEX = "index.html"

Make = Callable[[Record, Callable[[str], bytes]], Channel]


class Nowhere(Egress):
    """The egress of a preview: whoever calls it made a mistake of ours."""

    def call(self, method: str, url: str, **how: Any) -> Response:
        raise AssertionError(f"a preview goes nowhere: {method} {url}")

    def read(self, url: str) -> Response:
        raise AssertionError(f"a preview goes nowhere: {url}")

    def shot(self, method: str, url: str, **how: Any) -> Shot:
        raise AssertionError(f"a preview goes nowhere: {method} {url}")


@dataclass(frozen=True)
class Shown:
    """One outlet's preview: `files` by path below the outlet's folder, the one to open first; () when none came out."""

    outlet: Record
    files: Mapping[str, bytes]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Preview:
    """`item` is None for a file. `notes` are problems of the item itself; none of them is fatal."""

    item: str | None
    edition: Edition
    shown: tuple[Shown, ...]
    notes: tuple[Problem, ...]

    @property
    def fatal(self) -> bool:
        return any(problem.fatal for one in self.shown for problem in one.problems)


def preview(ctx: Context, source: str, names: Sequence[str], make: Make) -> Preview:
    """Of a file or an item, at these outlets; without names at those of its front matter, else at all active ones.

    Raises BadInput for a file that cannot be used, and for what is not there.
    """
    path = Path(source)
    notes: tuple[Problem, ...] = ()
    content: dict[str, bytes] = {}
    with ctx.store.read() as connection:
        if path.is_file():
            draft = read(path, ctx.clock.now())
            item, frozen, routing, notes = None, edition_of(draft), routing_of(draft), draft.notes
            content = {part.digest: made for part, made in draft.files}
        else:
            try:
                frozen, row = items.get(connection, source)
            except outlets.Unknown:
                mend = "give a file that exists, or an id that `tongfa item list` shows"
                raise BadInput(source, "neither a file nor an item", mend) from None
            item, routing = frozen.item, dict(row.routing)
        chosen = _chosen(known_outlets(connection, names), names, routing)

    def blob(digest: str) -> bytes:
        return content[digest] if digest in content else ctx.assets.get(digest)

    canonical = _canonical(ctx, frozen, chosen, make, blob)
    return Preview(item, frozen, tuple(_shown(row, frozen, canonical, make, blob) for row in chosen), notes)


def _chosen(known: Mapping[str, Record], names: Sequence[str], routing: Mapping[str, Any]) -> list[Record]:
    if not names and routing.get("group"):
        names = [name for name, row in known.items() if routing["group"] in row.groups]
        if not names:
            raise BadInput(f"group {routing['group']}", "no outlet is in it", "correct it in the front matter")
    names = names or routing.get("outlets") or [name for name, row in known.items() if row.state == "active"]
    if strange := [name for name in names if name not in known]:
        there = ", ".join(known) or "none yet; add one with `tongfa outlet add`"
        raise BadInput(f"outlet {strange[0]}", "there is no such outlet", f"outlets: {there}")
    if not names:
        raise BadInput("outlets", "there is no outlet yet", "add one with `tongfa outlet add`")
    return [known[name] for name in names]


def _canonical(
    ctx: Context, frozen: Edition, chosen: Sequence[Record], make: Make, blob: Callable[[str], bytes]
) -> str | None:
    """As at plan: the address at the first outlet that knows one beforehand; the rest of it is the delivery's."""
    for row in chosen:
        if ctx.kind(row.kind).can.address:
            try:
                return make(row, blob).address(frozen, _key(row))
            except (BadInput, OutletError):
                return None  # told where that outlet is shown
    return None


def _shown(row: Record, frozen: Edition, canonical: str | None, make: Make, blob: Callable[[str], bytes]) -> Shown:
    problems: list[Problem] = []
    files: Mapping[str, bytes] = {}
    try:
        channel = make(row, blob)
        problems = channel.check(frozen)
        files = channel.preview(channel.render(frozen, Place(_key(row), canonical)))
    except BadInput as error:
        problems.append(Problem(f"outlet {row.name}: {error.where}", f"{error.message} — {error.mend}"))
    except OutletError as error:
        if not any(problem.fatal for problem in problems):
            problems.append(Problem("content", str(error)))
    return Shown(row, files, tuple(problems))


def _key(row: Record) -> Key:
    """Of no delivery: names made of it are not those that will be public."""
    return Key("preview", row.name)


def write(made: Preview, out: Path) -> Path:
    """Everything into the folder, beside an index of it; returns the index. An earlier preview there is replaced.

    Raises BadInput for a folder that holds anything else, OSError for one that cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise BadInput(str(out), "it is not a folder", "name a new one with --out")
    mark = out / MARK
    if mark.is_file():
        for name in json.loads(mark.read_text()):
            shutil.rmtree(out / PurePosixPath(str(name)).name, ignore_errors=True)
    elif out.is_dir() and any(out.iterdir()):
        raise BadInput(str(out), "there are other files in it", "name a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps([one.outlet.name for one in made.shown]))  # first: a half-written preview is ours too
    for one in made.shown:
        for path, content in one.files.items():
            file = out / one.outlet.name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    index = out / INDEX
    index.write_text(Templates().render("preview/index.html", **_values(made)))
    return index


def _values(made: Preview) -> dict[str, Any]:
    shown = [
        {
            "name": one.outlet.name,
            "kind": one.outlet.kind,
            "live": one.outlet.live,
            "files": [(path, quote(f"{one.outlet.name}/{path}")) for path in one.files],
            "problems": one.problems,
        }
        for one in made.shown
    ]
    return {"title": made.edition.title, "item": made.item, "notes": made.notes, "shown": shown, "fatal": made.fatal}


def described(made: Preview, out: Path, index: Path) -> dict[str, Any]:
    """As JSON."""
    return {
        "item": made.item,
        "title": made.edition.title,
        "digest": made.edition.digest,
        "index": str(index),
        "fatal": made.fatal,
        "problems": [_problem(problem) for problem in made.notes],
        "outlets": [
            {
                "outlet": one.outlet.name,
                "kind": one.outlet.kind,
                "live": one.outlet.live,
                "files": [str(out / one.outlet.name / path) for path in one.files],
                "problems": [_problem(problem) for problem in one.problems],
            }
            for one in made.shown
        ],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {"where": problem.where, "message": problem.message, "fatal": problem.fatal}
