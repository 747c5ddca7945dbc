"""An item leaves as files that any newsroom reads, and that come back as an equal edition."""

from __future__ import annotations

from pathlib import Path

from sync.content.ninjs_out import written
from sync.engine.context import Context
from sync.model import BadInput, Edition
from sync.store import items
from sync.store.assets import Missing
from sync.store.outlets import Unknown


def export(ctx: Context, item: str, out: Path) -> Edition:
    """Write the newest edition of an item as ninjs to `out`, its files into a folder beside it. Nothing is overwritten.

    Raises BadInput. The JSON is written last: where it is, all of it is there."""
    folder = out.with_suffix("").with_name(f"{out.stem}-files")
    if out.suffix.lower() != ".json":
        raise BadInput(f"--out {out}", "ninjs is JSON", "name a file that ends in .json")
    if not out.parent.is_dir():
        raise BadInput(f"--out {out}", "there is no such folder", "make it, or name another file")
    for one in (out, folder):
        if one.exists():
            raise BadInput(f"--out {out}", f"{one.name} exists already", "name another file")
    with ctx.store.read() as connection:
        try:
            frozen, row = items.get(connection, item)
        except Unknown:
            raise BadInput(f"item {item}", "there is no such item", "`tongfa item list` shows them") from None
    content, files = written(frozen, row.created_at, folder.name)
    try:
        for path, digest in files.items():
            place = out.parent / path
            place.parent.mkdir(parents=True)
            place.write_bytes(ctx.assets.get(digest))
        out.write_text(content, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--out {out}", f"it cannot be written: {error.strerror}", "name another file") from error
    except Missing as error:
        raise BadInput(f"item {item}", str(error), "`tongfa restore` from a backup brings it back") from error
    return frozen
