"""What an outlet is handed of a delivery, as files for a person: all that is needed to publish it by hand.

The delivery's own frozen rendition, never rendered anew; files come from the database or the home, so that
it can be written on any host of the installation. Nothing goes out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from sync.contract import OutletError
from sync.engine.context import Context, rendition
from sync.engine.preview import Make
from sync.engine.settle import known
from sync.model import BadInput
from sync.store import outlets

MARK = ".tongfa-delivery.json"  # a folder with this file is ours to fill anew


def handout(ctx: Context, delivery_id: str, make: Make) -> Mapping[str, bytes]:
    """Files by relative path, the one to open first. Raises BadInput before there is a rendition."""
    with ctx.store.read() as connection:
        row = known(connection, delivery_id)
        outlet = outlets.get(connection, row.outlet)
    if row.rendition is None:
        mend = "wait until it is prepared; of a withdrawal there is nothing to hand out"
        raise BadInput(f"delivery {delivery_id}", "it was not rendered", mend)
    try:
        return make(outlet, ctx.assets.get).preview(rendition(row))
    except OutletError as error:
        raise BadInput(f"outlet {row.outlet}", str(error), "`tongfa outlet check` tells more") from error


def write(files: Mapping[str, bytes], out: Path) -> list[Path]:
    """All of them into the folder, in place of an earlier handout; returns where they are, in the same order.

    Raises BadInput for a folder that holds anything else, OSError for one that cannot be written."""
    if out.exists() and not out.is_dir():
        raise BadInput(str(out), "it is not a folder", "name a new one with --out")
    mark = out / MARK
    if mark.is_file():
        for path in json.loads(mark.read_text()):
            (out / _inside(str(path))).unlink(missing_ok=True)
    elif out.is_dir() and any(out.iterdir()):
        raise BadInput(str(out), "there are other files in it", "name a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps(list(files)))  # first: a half-written handout is ours too
    written = []
    for path, content in files.items():
        file = out / _inside(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        written.append(file)
    return written


def _inside(path: str) -> PurePosixPath:
    """The path without whatever would lead out of the folder."""
    return PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in ("/", "..")))
