"""One order becomes a release: outlet set, moment and policy frozen, one delivery for each outlet and item."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from sync.clock import SECOND, iso
from sync.content import moment
from sync.content.source import Draft, read
from sync.engine.context import Context
from sync.engine.submit import edition_of, freeze, keep, routing_of
from sync.flow import D
from sync.model import Align, BadInput, Edition, Key, Policy
from sync.store import items, journal, outlets, releases
from sync.store.tables import Record, delivery


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


def plan(ctx: Context, order: Order) -> str:
    """Store the release and its due rows; returns its id. The workers do the rest.

    Everything that can be known before a network call is checked here. Raises BadInput; then
    nothing was planned. A repeated `request_id` returns the first release.
    """
    with ctx.store.read() as connection:
        first = _first(connection, order)  # before the files are read: they may be gone by now
    if first is not None:
        return first
    drafts = [_read(ctx, source) for source in order.sources]
    with ctx.store.read() as connection:
        looked_at = [_edition_of(connection, one) for one in drafts]
        chosen, _ = _routed(connection, order, looked_at, ctx.store.now(connection))
    for one in drafts:
        if isinstance(one, Draft):
            keep(ctx, one)
    _check(ctx, [frozen for frozen, _ in looked_at], chosen)  # outside the transaction: pictures take time
    with ctx.store.write() as connection:
        release_id = _first(connection, order) or _plan(ctx, connection, order, drafts)
    ctx.ring("prepare")
    return release_id


def _first(connection: Connection, order: Order) -> str | None:
    """The release that this very request made before."""
    known = releases.by_request(connection, order.request_id) if order.request_id is not None else None
    return str(known.id) if known is not None else None


def _plan(ctx: Context, connection: Connection, order: Order, drafts: Sequence[Draft | str]) -> str:
    found = [_edition(ctx, connection, one) for one in drafts]
    now = ctx.store.now(connection)  # after the editions' own entries, so that times rise through the log
    editions = [frozen for frozen, _ in found]
    chosen, release_at = _routed(connection, order, found, now)

    release_id = secrets.token_hex(8)
    installation = outlets.identity(connection)
    canonical = next((one for one in chosen if ctx.kind(one.kind).can.address), None)
    ids = {(one.name, e.item): secrets.token_hex(12) for one in chosen for e in editions}
    addresses: dict[str, str | None] = dict.fromkeys((e.item for e in editions), None)
    if canonical is not None:
        channel = ctx.channel(canonical)
        for e in editions:
            addresses[e.item] = channel.address(e, Key(installation, ids[canonical.name, e.item]))
    required = _required(order.policy, chosen, canonical)
    releases.add(
        connection,
        {
            "id": release_id,
            "unit": chosen[0].unit,
            "action": "publish",
            "policy": order.policy.value,
            "align": order.align.value,
            "release_at": release_at,
            "overdue_at": (release_at or now) + round(ctx.settings.late_limit_s * SECOND),
            "canonical_outlet": canonical.name if canonical is not None else None,
            "reviewed": False,
            "live": chosen[0].live,
            "request_id": order.request_id,
        },
        [(e.item, e.revision) for e in editions],
        at=now,
        actor=ctx.actor,
        detail={
            "outlets": [one.name for one in chosen],
            "release_at": iso(release_at) if release_at else "now",
            "editions": {e.item: e.digest for e in editions},
            "note": "published without review",
        },
    )
    for one in chosen:
        fresh_for = ctx.kind(one.kind).can.fresh_for
        due_at = (
            now if fresh_for is None or release_at is None else max(now, release_at - round(fresh_for * SECOND / 2))
        )
        for e in editions:
            _add_delivery(
                connection,
                id=ids[one.name, e.item],
                release=release_id,
                outlet=one.name,
                item=e.item,
                revision=e.revision,
                unit=one.unit,
                required=one.name in required,
                generation=one.generation,
                canonical_url=addresses[e.item],
                due_at=due_at,
                at=now,
                actor=ctx.actor,
            )
    return release_id


def _add_delivery(connection: Connection, *, at: int, actor: str, **values: Any) -> None:
    entry_id = journal.write(
        connection,
        at=at,
        unit=values["unit"],
        subject="delivery",
        subject_id=values["id"],
        act="planned",
        state=D.PLANNED.value,
        item=values["item"],
        outlet=values["outlet"],
        actor=actor,
        detail={"release": values["release"], "required": values["required"]},
    )
    fresh = {"state": D.PLANNED.value, "since": at, "epoch": 1, "attempts": 0, "reads": 0, "problems": []}
    connection.execute(insert(delivery).values(**fresh, duty="prepare", entry_id=entry_id, **values))


def _edition(ctx: Context, connection: Connection, source: Draft | str) -> tuple[Edition, dict[str, Any]]:
    if isinstance(source, Draft):
        return freeze(ctx, connection, source), routing_of(source)
    return _edition_of(connection, source)


def _edition_of(connection: Connection, source: Draft | str) -> tuple[Edition, dict[str, Any]]:
    """An edition and its routing, as it is or would be stored; nothing is written."""
    if isinstance(source, Draft):
        return edition_of(source), routing_of(source)
    try:
        frozen, row = items.get(connection, source)
    except outlets.Unknown:
        mend = "give a file that exists, or an id that `tongfa item list` shows"
        raise BadInput(source, "neither a file nor an item", mend) from None
    return frozen, dict(row.routing)


def _read(ctx: Context, source: str) -> Draft | str:
    """A file is read; what is none is taken for an item's id."""
    path = Path(source)
    if path.is_dir():
        raise BadInput(source, "this is a folder", "name the item's file in it")
    return read(path, ctx.clock.now()) if path.is_file() else source


def _routed(
    connection: Connection, order: Order, found: Sequence[tuple[Edition, dict[str, Any]]], now: int
) -> tuple[list[Record], int | None]:
    """Where and when it goes; everything about that which can be refused is refused here."""
    editions, routings = [frozen for frozen, _ in found], [routing for _, routing in found]
    if order.align is Align.ALIGNED:
        raise BadInput("--align", "aligned is not offered yet", "leave it out: not-before is what every outlet keeps")
    if len({frozen.digest for frozen in editions}) < len(editions):
        raise BadInput("publish", "the same item is named twice", "name each item once")
    _agree(order, routings)
    chosen = _outlets(connection, order, routings[0])
    release_at = _moment(order, routings, now)
    if not order.again:
        _refuse_twice(connection, editions, chosen)
    return chosen, release_at


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


def _outlets(connection: Connection, order: Order, routing: dict[str, Any]) -> list[Record]:
    every = {row.name: row for row in outlets.every(connection, retired=True)}
    known = {name: row for name, row in every.items() if row.state != "retired"}
    group = order.group or (None if order.outlets else routing.get("group"))
    names = list(order.outlets or ([] if order.group else routing.get("outlets") or []))
    if group is not None:
        members = [name for name, row in known.items() if group in row.groups]
        if not members:
            groups = sorted({one for row in known.values() for one in row.groups})
            near = get_close_matches(group, groups, n=1)
            mend = f"did you mean {near[0]}? " if near else ""
            raise BadInput(f"group {group}", "no outlet is in it", f"{mend}groups: {', '.join(groups) or 'none'}")
        names += [name for name in members if name not in names]
    there = ", ".join(known) or "none yet; add one with `tongfa outlet add`"
    if not names:
        raise BadInput("--outlets", "no outlet is named, neither here nor in the front matter", f"outlets: {there}")
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"outlet {name}", "named twice", "name each outlet once")
        if name in every and name not in known:
            raise BadInput(f"outlet {name}", "it is retired", f"leave it out; outlets: {there}")
        if name not in known:
            near = get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]}? " if near else ""
            raise BadInput(f"outlet {name}", "there is no such outlet", f"{mend}outlets: {there}")
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


def _check(ctx: Context, editions: Sequence[Edition], chosen: Sequence[Record]) -> None:
    fatal = [
        f"{one.name}: {problem.where}: {problem.message}"
        for one in chosen
        for e in editions
        for problem in ctx.channel(one).check(e)
        if problem.fatal
    ]
    if fatal:
        raise BadInput("content", "; ".join(fatal), "mend the item, or leave that outlet out")


def _required(policy: Policy, chosen: Sequence[Record], canonical: Record | None) -> set[str]:
    """Names of the outlets without which nothing goes out. The canonical one always is: the others link to it."""
    match policy:
        case Policy.ALL:
            return {one.name for one in chosen}
        case Policy.REQUIRED:
            names = {one.name for one in chosen if one.required}
        case Policy.BEST_EFFORT:
            names = set()
    if canonical is not None:
        names.add(canonical.name)
    return names or {chosen[0].name}
