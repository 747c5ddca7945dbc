"""One order becomes a release: outlet set, moment and policy frozen, one delivery for each outlet and item."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection

from sync.clock import SECOND, iso
from sync.content.refusal import raise_any
from sync.content.source import Draft, read
from sync.contract import Correct, OutletError, Receipt, Reveal
from sync.engine import notice
from sync.engine.approval import prepare_at
from sync.engine.context import Context, dump
from sync.engine.order import Order, routed
from sync.engine.people import ORDERS, acting
from sync.engine.request import first_result
from sync.engine.submit import edition_of, freeze, keep, revise, revision_of, routing_of
from sync.engine.verify import counted
from sync.engine.withdraw import stop
from sync.engine.wording import refuse_broken
from sync.model import Align, BadInput, Edition, Key, Policy
from sync.store import copies, deliveries, feeds, items, outlets, releases, reviews
from sync.store.people import THREE
from sync.store.tables import Record

__all__ = ["Order", "plan", "planned_before"]

MOST_AHEAD = 20 * SECOND  # µs; whatever takes longer to appear is late, whenever it starts


def plan(ctx: Context, order: Order) -> str:
    """Store the release and its due rows; returns its id. The workers do the rest.

    Everything that can be known before a network call is checked here. Raises BadInput; then
    nothing was planned. A repeated `request_id` returns the first release.
    """
    if (first := planned_before(ctx, order)) is not None:
        return first  # before the files are read: they may be gone by now
    drafts = [_read(ctx, source) for source in order.sources]
    with ctx.store.read() as connection:
        if (first := _first(connection, order)) is not None:
            return first  # the same request, made at the same moment, would refuse its own content
        looked_at = [_edition_of(connection, order, one) for one in drafts]
        chosen, _ = _routed(ctx, connection, order, looked_at, ctx.store.now(connection))
    editions = [frozen for frozen, _ in looked_at]
    refuse_broken(ctx, editions, chosen)
    for one in drafts:
        if isinstance(one, Draft):
            keep(ctx, one)
    _check(ctx, editions, chosen)  # outside the transaction: pictures take time
    refuse_broken(ctx, editions, chosen)  # again, with the files that some templates are made ready with
    with ctx.store.write() as connection:
        release_id = _first(connection, order) or _plan(ctx, connection, order, drafts)
    ctx.ring("prepare")
    return release_id


def planned_before(ctx: Context, order: Order) -> str | None:
    """The release that this very request made before."""
    with ctx.store.read() as connection:
        return _first(connection, order)


def _first(connection: Connection, order: Order) -> str | None:
    """Files are not looked into: they may be gone by now. Raises BadInput for the request of another thing."""
    named = [order.corrects] if order.corrects is not None else []
    if order.request_id is not None and order.corrects is None:
        named = [one for one in order.sources if not Path(one).exists() and items.known(connection, one)]
    return first_result(connection, order.request_id, order.action, named)


def _plan(ctx: Context, connection: Connection, order: Order, drafts: Sequence[Draft | str]) -> str:
    found = [_edition(ctx, connection, order, one) for one in drafts]
    now = ctx.store.now(connection)  # after the editions' own entries, so that times rise through the log
    editions = [frozen for frozen, _ in found]
    chosen, release_at = _routed(ctx, connection, order, found, now)

    unit, rule = reviews.ruling(connection, [e.item for e in editions], chosen)
    asked = rule == THREE
    if not asked:
        _refuse_unseen(connection, editions)
    acting(ctx, connection, {unit, *(row.unit for row in chosen), *reviews.owners(connection, editions)}, ORDERS)

    release_id = secrets.token_hex(8)
    installation = outlets.identity(connection)
    canonical = _canonical(ctx, connection, order, chosen)
    ids = {(one.name, e.item): secrets.token_hex(12) for one in chosen for e in editions}
    addresses: dict[str, str | None] = dict.fromkeys((e.item for e in editions), None)
    replaced = {(one.name, e.item): _replaced(ctx, connection, order, one, e.item) for one in chosen for e in editions}
    if canonical is not None:
        channel = ctx.channel(canonical)
        for e in editions:
            there = replaced[canonical.name, e.item]["replaces"]
            address = channel.address(e, Key(installation, ids[canonical.name, e.item]))
            addresses[e.item] = there["url"] if there is not None else address
    required = _required(ctx, order.policy, chosen, canonical)
    releases.add(
        connection,
        {
            "id": release_id,
            "unit": unit,
            "review": rule,
            "planner": ctx.named or "",
            "action": order.action,
            "policy": order.policy.value,
            "align": order.align.value,
            "release_at": release_at,
            "overdue_at": None
            if asked and release_at is None  # its moment is when it is approved
            else (release_at or now) + round(ctx.settings.late_limit_s * SECOND),
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
            "note": "waits for three approvals" if asked else "published without review",
        },
    )
    ahead = _ahead(connection, order, [one for one in chosen if counted(ctx.kind(one.kind).can.reveal)])
    for one in chosen:
        due_at = now if asked else prepare_at(ctx.kind(one.kind).can, release_at, now)  # under review: to be rendered
        for e in editions:
            deliveries.add(
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
                duty="prepare",
                due_at=due_at,
                ahead=ahead.get(one.name, 0),
                at=now,
                actor=ctx.actor,
                **replaced[one.name, e.item],
            )
    if order.corrects is not None:
        stop(ctx, connection, order.corrects, {one.name for one in chosen}, below=editions[0].revision)
    return release_id


def _canonical(ctx: Context, connection: Connection, order: Order, chosen: Sequence[Record]) -> Record | None:
    """The outlet to which the others lead: of a correction still the one to which they led before, if it takes part."""
    able = [one for one in chosen if ctx.kind(one.kind).can.address]
    before = releases.led_to(connection, order.corrects) if order.corrects is not None else None
    return next((one for one in able if one.name == before), able[0] if able else None)


def _refuse_unseen(connection: Connection, editions: Sequence[Edition]) -> None:
    """What a feed under review brought goes out by no way without: its unit may have been relaxed since it was read.

    In the transaction that plans, so that nothing changes in between."""
    for item, feed in feeds.under_review(connection, [e.item for e in editions]).items():
        mend = f"`tongfa unit set {feed.unit} --review three`; or `tongfa feed remove {feed.name}`, which ends its rule"
        raise BadInput(f"item {item}", f"it came by feed {feed.name}, whose items go out under review only", mend)


def _routed(
    ctx: Context, connection: Connection, order: Order, found: Sequence[tuple[Edition, dict[str, Any]]], now: int
) -> tuple[list[Record], int | None]:
    """As `order.routed`, and by what the kinds of outlets can do."""
    chosen, release_at = routed(connection, order, found, now, partial(notice.reveals, ctx, connection))
    if all(ctx.kind(one.kind).can.reveal is Reveal.NOTIFY for one in chosen):
        mend = "name an outlet as well where the item itself can be read, as the website"
        names = ", ".join(one.name for one in chosen)
        raise BadInput("--outlets", f"{names} can only tell of what is published elsewhere", mend)
    for one in chosen:
        if not ctx.kind(one.kind).can.optional:
            continue
        if order.policy is Policy.ALL:
            mend = f"use another --policy, or leave {one.name} out"
            raise BadInput("--policy", f"nothing may wait for {one.name}: nobody learns what becomes of it", mend)
        if one.required:
            mend = f"`tongfa outlet remove {one.name}`, then add it anew with --optional; or leave it out"
            raise BadInput(f"outlet {one.name}", f"a {one.kind} outlet cannot be a required one", mend)
    return chosen, release_at


def _replaced(ctx: Context, connection: Connection, order: Order, outlet: Record, item: str) -> dict[str, Any]:
    """The public copy whose place a correction takes there, and its receipt where it is changed in place.

    Of what was notified: the notification that another one now corrects."""
    there = copies.current(connection, item, outlet.name) if order.corrects is not None else None
    can = ctx.kind(outlet.kind).can
    notifies = can.reveal is Reveal.NOTIFY
    if there is None and notifies and order.corrects is not None and _being_told(connection, item, outlet.name):
        return {"replaces": dump(Receipt("", "", ctx.store.now(connection))), "replaces_copy": None}
    if there is None:
        return {"replaces": None, "replaces_copy": None}
    if can.correct is Correct.NONE and not notifies:
        mend = f"leave it out with --outlets, and tell its readers another way; or `tongfa withdraw {item}`"
        raise BadInput(f"outlet {outlet.name}", f"a {outlet.kind} outlet cannot correct what is public", mend)
    handed = there.receipt if can.correct is Correct.EDIT or notifies else None
    return {"replaces": handed, "replaces_copy": there.id}


def _being_told(connection: Connection, item: str, outlet: str) -> bool:
    """Readers there may have, or be about to have, an earlier notification of which there is no copy yet."""
    return any(one.state in copies.COMING for one in copies.coming(connection, item, outlet))


def _ahead(connection: Connection, order: Order, chosen: Sequence[Record]) -> dict[str, int]:
    """By how many µs each outlet starts before the instant, so that all become visible together at it."""
    names = [one.name for one in chosen]
    if order.align is not Align.ALIGNED:
        return dict.fromkeys(names, 0)
    learned = {name: copies.delays(connection, name) for name in names}
    delay = {name: round(median(lasted)) if lasted else 0 for name, lasted in learned.items()}
    return {name: min(MOST_AHEAD, delay[name] - min(delay.values())) for name in names}


def _edition(ctx: Context, connection: Connection, order: Order, source: Draft | str) -> tuple[Edition, dict[str, Any]]:
    if isinstance(source, Draft) and order.corrects is not None:
        return revise(ctx, connection, order.corrects, source), routing_of(source)
    if isinstance(source, Draft):
        return freeze(ctx, connection, source), routing_of(source)
    return _edition_of(connection, order, source)


def _edition_of(connection: Connection, order: Order, source: Draft | str) -> tuple[Edition, dict[str, Any]]:
    """An edition and its routing, as it is or would be stored; nothing is written."""
    if isinstance(source, Draft) and order.corrects is not None:
        return revision_of(connection, order.corrects, source), routing_of(source)
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


def _check(ctx: Context, editions: Sequence[Edition], chosen: Sequence[Record]) -> None:
    """What the outlets themselves say against it. Raises BadInput."""
    fatal = []
    for one in chosen:
        try:
            problems = [problem for e in editions for problem in ctx.channel(one).check(e) if problem.fatal]
        except OutletError as error:
            mend = f"`tongfa outlet check {one.name}` tells more"
            raise BadInput(f"outlet {one.name}", str(error), mend) from error
        mend = f"mend the item, or leave {one.name} out"
        fatal += [BadInput(f"{one.name}: {problem.where}", problem.message, mend) for problem in problems]
    raise_any(fatal)


def _required(ctx: Context, policy: Policy, chosen: Sequence[Record], canonical: Record | None) -> set[str]:
    """Names of the outlets without which nothing goes out. The canonical one always is: the others link to it.

    One at least shows the item itself; a notification of it waits for that."""
    match policy:
        case Policy.ALL:
            return {one.name for one in chosen}
        case Policy.REQUIRED:
            names = {one.name for one in chosen if one.required}
        case Policy.BEST_EFFORT:
            names = set()
    if canonical is not None:
        names.add(canonical.name)
    shows = [one.name for one in chosen if ctx.kind(one.kind).can.reveal is not Reveal.NOTIFY]
    return names if names & set(shows) else names | {shows[0]}
