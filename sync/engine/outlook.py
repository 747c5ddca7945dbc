"""What a person should know of outlets beyond their credentials: which are dead, wait, are used up, or soon locked."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from sync.clock import SECOND, iso
from sync.contract import Budget, OutletError
from sync.engine import upkeep
from sync.engine.context import Context
from sync.engine.finding import Finding, Said
from sync.model import BadInput
from sync.store import budgets, expiries, outlets, pace
from sync.store.budgets import Account
from sync.store.expiries import NOT_YET, NOW
from sync.store.tables import Record

DAY = 86_400 * SECOND


def breakers(ctx: Context) -> list[Finding]:
    """Outlets that do not answer, and are left alone."""
    with ctx.store.read() as connection:
        there = [row for row in pace.breakers(connection).values() if row.state == pace.OPEN]
    found = []
    for row in there:
        what = Said(
            f"自 {iso(row.since)} 起无应答，暂停访问，其他发布端照常；下次探询 {iso(row.half_open_at)}：{row.why}",
            f"does not answer and is left alone since {iso(row.since)}, others go on; "
            f"looked at again {iso(row.half_open_at)}: {row.why}",
        )
        mend = Said(
            f"检查网络和平台；`tongfa outlet check {row.outlet}` 立即探询",
            f"look after the network and the platform; `tongfa outlet check {row.outlet}` asks at once",
        )
        found.append(Finding(f"breaker {row.outlet}", "bad", what, mend))
    return found


def patience(ctx: Context) -> list[Finding]:
    """Outlets that have asked to be left alone for a while."""
    with ctx.store.read() as connection:
        now = ctx.store.now(connection)
        live = {row.name: row.live for row in outlets.every(connection)}
        holds = [one for one in pace.holds(connection, now) if live.get(one.outlet) == one.live]
    mend = Said("无须处理：届时自动继续", "nothing: it goes on by itself then")
    return [
        Finding(
            f"patience {one.outlet}",
            "note",
            Said(f"平台要求等到 {iso(one.until)}：{one.why}", f"asked for patience until {iso(one.until)}: {one.why}"),
            mend,
        )
        for one in holds
    ]


def used_up(ctx: Context) -> list[Finding]:
    """Budgets of which only releases may use what is left, if that."""
    with ctx.store.read() as connection:
        left = list(budgets_left(ctx, connection))
    found = []
    for outlet, budget, rest in left:
        if rest <= budget.reserve:
            what = Said(f"{budget.name}：还剩 {rest} 次", f"{budget.name}: {rest} calls are left")
            mend = Said("预置会等到配额恢复", "preparation waits until there are more")
            found.append(Finding(f"budget {outlet}", "note", what, mend))
    return found


def budgets_left(ctx: Context, connection: Connection) -> Iterator[tuple[str, Budget, int]]:
    """Outlet, budget, and how many calls a release could make of it now; of every outlet in use."""
    now = ctx.store.now(connection)
    for row in outlets.every(connection):
        if not (granted := _granted(ctx, row)):
            continue
        spent = budgets.read(connection, Account(row.name, bool(row.live)), [one.name for one in granted])
        for one in granted:
            ledger = spent.get(one.name)
            yield row.name, one, one.calls if ledger is None else ledger.room(one, now, releasing=True)


def _granted(ctx: Context, row: Record) -> tuple[Budget, ...]:
    try:
        return ctx.kind(row.kind).can.budgets
    except BadInput:  # of a newer program
        return ()


def credentials(ctx: Context) -> list[Finding]:
    """Credentials that end, days ahead. Asks the outlets that tell; of one that does not answer, what it last told."""
    with ctx.store.read() as connection:
        now, known = ctx.store.now(connection), expiries.current(connection)
        rows = outlets.every(connection)
    found = []
    for row in rows:
        stored = known.get(row.name)
        try:
            ends = upkeep.ends(ctx, row)
        except (OutletError, BadInput):  # told by another check
            ends = None if stored is None else stored.expires_at
        if ends is not None:
            found.append(_ending(row.name, ends, now))
    return found


def _ending(name: str, ends: int, now: int) -> Finding:
    word, days = upkeep.urgency(ends, now), (ends - now) / DAY
    level = {NOT_YET: "ok", NOW: "bad"}.get(word, "note")
    what = Said(f"凭据于 {iso(ends)} 到期（{days:.1f} 天）", f"the credentials end at {iso(ends)} ({days:.1f} days)")
    mend = Said(
        f"在平台重新授权，然后 `tongfa outlet set {name} --secret …`",
        f"authorise anew at the platform, then `tongfa outlet set {name} --secret …`",
    )
    return Finding(f"credentials {name}", level, what, "" if level == "ok" else mend)
