"""What a person asked for, and where and when it goes: outlets, moment, and every reason against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection

from sync.clock import iso
from sync.content import moment
from sync.contract import Reveal
from sync.flow import ENDED, R
from sync.model import Align, BadInput, Edition, Policy
from sync.store import copies, deliveries, items, outlets
from sync.store.tables import Record


@dataclass(frozen=True)
class Order:
    """What a person asked for. `sources` are files or item ids; `at` is text, `now`, or None (the front matter)."""

    sources: tuple[str, ...]
    outlets: tuple[str, ...] = ()
    group: str | None = None
    at: str | None = None
    policy: Policy = Policy.REQUIRED
    align: Align = Align.NOT_BEFORE
    again: bool = False
    request_id: str | None = None
    corrects: str | None = None  # the item whose public copies the one source takes the place of

    @property
    def action(self) -> str:
        return "publish" if self.corrects is None else "correct"


def routed(
    connection: Connection,
    order: Order,
    found: Sequence[tuple[Edition, dict[str, Any]]],
    now: int,
    reveals: Callable[[Iterable[str]], Mapping[str, Reveal]],
) -> tuple[list[Record], int | None]:
    """Where and when it goes; everything about that which can be refused is refused here.

    `reveals`: how outlets of these names make public."""
    editions, routings = [frozen for frozen, _ in found], [routing for _, routing in found]
    if order.align is Align.ALIGNED and any(one.get("embargo") is not None for one in routings):
        mend = "use not-before: what is under embargo must not start early anywhere"
        raise BadInput("--align", "aligned is refused for an item under embargo", mend)
    if len({frozen.digest for frozen in editions}) < len(editions):
        raise BadInput("publish", "the same item is named twice", "name each item once")
    _agree(order, routings)
    routing = routings[0]
    if order.corrects is not None:
        meant = {*_where_it_is(connection, order.corrects), *_still_told(connection, order.corrects, reveals)}
        routing = {"outlets": sorted(meant)}
    chosen = _outlets(connection, order, routing)
    release_at = _moment(order, routings, now)
    if not order.again:
        _refuse_twice(connection, editions, chosen)
    _refuse_beside(connection, order, editions, chosen, reveals([one.name for one in chosen]))
    return chosen, release_at


def _where_it_is(connection: Connection, item: str) -> list[str]:
    """Outlets where a reader finds the item now."""
    return sorted({one.outlet for one in copies.of_item(connection, item) if one.state in copies.CURRENT})


def _still_told(
    connection: Connection, item: str, reveals: Callable[[Iterable[str]], Mapping[str, Reveal]]
) -> list[str]:
    """Outlets where its readers are still to be told of it, or a person is still to publish it: in the newest text."""
    open_ = [
        one.outlet
        for one in deliveries.of_item(connection, item)
        if one.joined == R.COMMITTED and one.action != "withdraw" and one.state not in ENDED and not one.stopped
    ]
    how = reveals(open_)
    return [name for name in open_ if how.get(name) in (Reveal.NOTIFY, Reveal.MANUAL)]


def _refuse_beside(
    connection: Connection,
    order: Order,
    editions: Sequence[Edition],
    chosen: Sequence[Record],
    how: Mapping[str, Reveal],
) -> None:
    """A new edition takes the place of the old one; it never appears beside it by mistake.

    Of the old one, notifications still to come and a person's open task are stopped instead of waited for."""
    if order.corrects is not None and not _where_it_is(connection, order.corrects):
        mend = "publish it; before that its open releases can be cancelled (`tongfa release list`)"
        raise BadInput(f"item {order.corrects}", "it is public nowhere yet: there is nothing to correct", mend)
    for e in editions:
        for one in chosen:
            if order.corrects is None and (leaving := _is_leaving(connection, e.item, one.name)) is not None:
                mend = f"wait until it is gone: `tongfa release show {leaving} --wait`; or leave {one.name} out"
                raise BadInput(f"outlet {one.name}", f"item {e.item} is just being withdrawn there", mend)
            coming = [
                row
                for row in copies.coming(connection, e.item, one.name)
                if row.revision < e.revision and row.state in copies.COMING  # what is not sent yet will be stopped
            ]
            beside = how.get(one.name) not in (Reveal.NOTIFY, Reveal.MANUAL)
            if order.corrects is not None and coming and beside:
                mend = f"wait for it: `tongfa release show {coming[0].release} --wait`; or leave {one.name} out"
                raise BadInput(
                    f"outlet {one.name}", f"an edition before it is under way there ({coming[0].state})", mend
                )
            there = copies.current(connection, e.item, one.name)
            if order.corrects is None and not order.again and there is not None and there.revision < e.revision:
                mend = f"`tongfa correct {e.item} FILE` puts the new text in its place"
                raise BadInput(
                    f"outlet {one.name}", f"revision {there.revision} of item {e.item} is public there", mend
                )


def _is_leaving(connection: Connection, item: str, outlet: str) -> str | None:
    """The release that withdraws the item there and has not ended: it would take a new copy with it."""
    for one in deliveries.of_item(connection, item):
        if one.outlet == outlet and one.action == "withdraw" and one.joined == R.COMMITTED and one.state not in ENDED:
            return str(one.release)
    return None


def _agree(order: Order, routings: Sequence[dict[str, Any]]) -> None:
    """Items that go out together must not be sent to different places or moments by their front matter."""
    said = {
        "--outlets": [] if order.outlets or order.group else [(one["outlets"], one["group"]) for one in routings],
        "--at": [] if order.at else [one["release_at"] for one in routings],
    }
    for option, values in said.items():
        if any(value != values[0] for value in values):
            message = f"the front matter of {order.sources[0]} and of the others disagree"
            raise BadInput(option, message, f"say it once for all with {option}")


def known_outlets(connection: Connection, names: Sequence[str]) -> dict[str, Record]:
    """All outlets that are not retired. Raises BadInput for a name that is none of them, or is there twice."""
    every = {row.name: row for row in outlets.every(connection, retired=True)}
    known = {name: row for name, row in every.items() if row.state != "retired"}
    there = ", ".join(known) or "none yet; add one with `tongfa outlet add`"
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"outlet {name}", "named twice", "name each outlet once")
        if name in every and name not in known:
            raise BadInput(f"outlet {name}", "it is retired", f"leave it out; outlets: {there}")
        if name not in known:
            near = get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]}? " if near else ""
            raise BadInput(f"outlet {name}", "there is no such outlet", f"{mend}outlets: {there}")
    return known


def members(known: Mapping[str, Record], group: str) -> list[str]:
    """The outlets of `known` that are in the group. Raises BadInput when none is."""
    found = [name for name, row in known.items() if group in row.groups]
    if not found:
        groups = sorted({one for row in known.values() for one in row.groups})
        near = get_close_matches(group, groups, n=1)
        mend = f"did you mean {near[0]}? " if near else ""
        raise BadInput(f"group {group}", "no outlet is in it", f"{mend}groups: {', '.join(groups) or 'none'}")
    return found


def _outlets(connection: Connection, order: Order, routing: dict[str, Any]) -> list[Record]:
    known = known_outlets(connection, ())
    group = order.group or (None if order.outlets else routing.get("group"))
    names = list(order.outlets or ([] if order.group else routing.get("outlets") or []))
    if group is not None:
        names += [name for name in members(known, group) if name not in names]
    there = ", ".join(known) or "none yet; add one with `tongfa outlet add`"
    if not names:
        raise BadInput("--outlets", "no outlet is named, neither here nor in the front matter", f"outlets: {there}")
    known_outlets(connection, names)
    for name in names:
        if known[name].state != "active":
            raise BadInput(f"outlet {name}", f"it is {known[name].state}", f"`tongfa outlet resume {name}` first")
    chosen = [known[name] for name in names]
    if len({row.live for row in chosen}) > 1:
        sandboxes = ", ".join(row.name for row in chosen if not row.live)
        raise BadInput("--outlets", "live and sandbox outlets do not mix", f"leave out {sandboxes}, or the live ones")
    return chosen


def _moment(order: Order, routings: Sequence[dict[str, Any]], now: int) -> int | None:
    """As ordered, else as the first item's front matter says; no item's embargo may be broken."""
    embargo = max((one["embargo"] for one in routings if one.get("embargo") is not None), default=None)
    if order.at is not None and order.at != "now":
        release_at: int | None = moment.parse(order.at, now, "--at")
    elif order.at == "now":
        release_at = None
    else:
        release_at = routings[0].get("release_at")
        if order.corrects is not None and release_at is not None and release_at <= now:
            release_at = None  # the moment of the edition before, in a file that was only corrected
        if release_at is not None and release_at <= now:
            where = f"{order.sources[0]}: release_at"
            raise BadInput(where, f"{iso(release_at)} has passed", "use `--at now`, or a later time")
    if embargo is not None and (release_at or now) < embargo:
        raise BadInput("release_at", f"an item is under embargo until {iso(embargo)}", "release it then, or later")
    return release_at


def _refuse_twice(connection: Connection, editions: Sequence[Edition], chosen: Sequence[Record]) -> None:
    for e in editions:
        there = items.same_content(connection, e.digest, [one.name for one in chosen])
        if there is not None:
            raise BadInput(
                e.title,
                f"item {there.item} has this very content, {there.state} on {there.outlet} (release {there.release})",
                "leave that outlet out, or add --again if a second copy is meant",
            )
