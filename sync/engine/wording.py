"""An installation's own templates, tried on what is to be published before anything of it is planned."""

from __future__ import annotations

from collections.abc import Sequence

from sync.content.refusal import raise_any
from sync.contract import OutletError, Place
from sync.engine.context import Context
from sync.model import Edition, Key
from sync.render import OWN, Templates
from sync.store.tables import Record

SOMEWHERE = "https://canonical.example/"  # stands for the address of the page, where it is not known beforehand


def refuse_broken(ctx: Context, editions: Sequence[Edition], chosen: Sequence[Record]) -> None:
    """Raises BadInput, naming file and line, for an own template that one of these outlets could not use.

    What an outlet itself has against an edition is not told here. Without own templates nothing is done."""
    own = Templates(own=ctx.settings.home / OWN)
    if not own.standing_in():
        return
    raise_any(own.faults())
    for edition in editions:
        canonical = SOMEWHERE
        for row in sorted(chosen, key=lambda one: not ctx.kind(one.kind).can.address):
            key = Key("trial", row.name)
            try:
                channel = ctx.channel(row)
                canonical = channel.address(edition, key) or canonical
                channel.preview(channel.render(edition, Place(key, canonical)))
            except OutletError:
                continue  # a file that is not kept yet, or the outlet's own reasons: told where it is prepared
