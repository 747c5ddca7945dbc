"""Examines an installation without changing it: first what it stands on (`footing`), then what it does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sync.clock import MILLISECOND, SECOND
from sync.contract import Ambiguous, OutletError, TryLater
from sync.engine import footing, outlook
from sync.engine.context import Context
from sync.engine.evidence import clock_offset, differ, kernel_clock
from sync.engine.finding import Finding, Said, guarded
from sync.engine.identity import mismatch
from sync.engine.report import next_of_delivery, next_of_release
from sync.flow import D, R
from sync.model import BadInput
from sync.settings import Settings
from sync.store import copies, deliveries, feeds, outlets, pings, recovery, releases
from sync.store.tables import Record

OVERDUE = 60 * SECOND  # µs
PINGS_KEPT = 7 * 86_400 * SECOND  # µs for which a notice that was given up is told
STARTED = Said(
    "`tongfa up` 启动沙箱；在其他主机上运行的由 TONGFA_SANDBOX_URLS 指明",
    "`tongfa up` starts the sandboxes; TONGFA_SANDBOX_URLS names those of other hosts",
)
AGAIN = Said("改正后重新运行 `tongfa doctor`", "mend that, and run `tongfa doctor` again")


def findings(settings: Settings, wired: Callable[[], Context]) -> list[Finding]:
    """Every check, also those that passed; what cannot be looked at is a finding of its own.

    `wired` makes this process's context; it is asked for once home and database are in order."""
    found = footing.findings(settings)
    if not footing.stands(found):
        return found
    return [*found, *guarded("installation", lambda: _of(wired()), AGAIN)]


def _of(ctx: Context) -> list[Finding]:
    return [one for name, look in CHECKS for one in guarded(name, partial(look, ctx), AGAIN)]


def _identity(ctx: Context) -> list[Finding]:
    with ctx.store.read() as connection:
        known, why = outlets.identity(connection), mismatch(ctx.settings, connection)
    if why is None:
        return [Finding("installation", "ok", known)]
    mend = Said(
        "若另一个已不再运行，执行 `tongfa adopt`；在此之前正式发布端只读不写",
        "if the other one no longer runs, `tongfa adopt`; until then live outlets are only read",
    )
    return [Finding("installation", "bad", why, mend)]


def _recovery(ctx: Context) -> list[Finding]:
    with ctx.store.read() as connection:
        row = recovery.current(connection)
        if row is None:
            return [Finding("reconciled", "ok", Said("没有待查核的内容", "nothing waits to be looked up"))]
        total, known = recovery.count(connection, row.id)
        waiting = {one.outlet: one.why for one in recovery.looks(connection, row.id, open_only=True)}
    there = "; ".join(f"{outlet}: {why or '—'}" for outlet, why in waiting.items())
    message = Said(
        f"{row.why}：暂不发送，已查核 {known}/{total}；等待 {there or '预置工作进程'}",
        f"{row.why}: nothing is sent, {known} of {total} looked up; waiting for {there or 'a prepare worker'}",
    )
    mend = Said(
        "`tongfa restore --status`；永不应答的发布端：`tongfa restore --unreachable NAME`",
        "`tongfa restore --status`; an outlet that will never answer: `tongfa restore --unreachable NAME`",
    )
    return [Finding("reconciled", "bad", message, mend)]


def _workers(ctx: Context) -> list[Finding]:
    found = []
    for lane in ("prepare", "release"):
        if living := ctx.lock.living(lane):
            who = ", ".join(f"pid {one.pid} @ {one.host}" for one in living)
            found.append(Finding(f"{lane} worker", "ok", who))
        else:
            mend = Said(
                f"`tongfa up`，或 `tongfa worker --lane {lane}`", f"`tongfa up`, or `tongfa worker --lane {lane}`"
            )
            found.append(Finding(f"{lane} worker", "bad", Said("没有在运行", "none is running"), mend))
    return found


def _waiting(ctx: Context) -> list[Finding]:
    """Work that fell due and that nobody began: the workers are too few, stuck, or without a way to the outlets."""
    duties = ("prepare", "release", "verify", "reconcile", "discard", "withdraw")
    with ctx.store.read() as connection:
        now = ctx.store.now(connection)
        late = [row for row in deliveries.due(connection, now, duties) if now - row.due_at > OVERDUE]
    if not late:
        return [Finding("due work", "ok", Said("没有逾时的工作", "nothing waits longer than it should"))]
    waits = (now - late[0].due_at) // SECOND
    message = Said(
        f"{len(late)} 个投递待处理，最久的已等 {waits} 秒",
        f"{len(late)} deliveries wait to be worked on, the oldest for {waits} s",
    )
    mend = Said(
        "增加该类工作进程；其日志（数据目录的 `log/`）写明它们在做什么",
        "start more workers of that lane; their logs say what they do (`log/` in the home)",
    )
    return [Finding("due work", "bad", message, mend)]


def _clock(ctx: Context) -> list[Finding]:
    with ctx.store.read() as connection:
        offset, error = clock_offset(ctx, connection)
        held = [row.name for row in outlets.every(connection) if row.live and not row.private_network]
    if differ(ctx, offset, error):
        by = abs(offset) // MILLISECOND
        message = Said(
            f"主机与数据库的时钟相差 {by} 毫秒：一切提交都被停止",
            f"host and database clock differ by {by} ms: nothing is committed",
        )
        mend = Said("在两台主机上启动时间同步服务", "start a time service on both hosts")
        return [Finding("clock", "bad", message, mend)]
    said = kernel_clock()
    if said == "synchronised":
        return [Finding("clock", "ok", Said("内核称其已同步", "the kernel says it is synchronised"))]
    mend = Said(
        "启动时间同步服务；否则拒绝正式发布（TONGFA_CLOCK_UNSYNCHRONISED）",
        "start a time service; live releases are refused otherwise (TONGFA_CLOCK_UNSYNCHRONISED)",
    )
    if said == "unsynchronised" and held and ctx.settings.clock_unsynchronised == "refuse":
        message = Said(
            f"内核时钟未同步：发往 {'、'.join(held)} 的发布都会停住",
            f"the kernel's clock is unsynchronised: no release to {', '.join(held)} will go out",
        )
        return [Finding("clock", "bad", message, mend)]
    return [Finding("clock", "note", Said(f"内核时钟状态：{said}", f"the kernel's clock is {said}"), mend)]


def _outlets(ctx: Context) -> list[Finding]:
    with ctx.store.read() as connection:
        rows = outlets.every(connection)
    return [prove(ctx, row)[1] for row in rows]


def prove(ctx: Context, row: Record) -> tuple[BadInput | OutletError | None, Finding]:
    """Whether the outlet's credentials and rights are good: the finding, and what it comes from. Publishes nothing."""
    name = f"outlet {row.name}" + ("" if row.live else " (sandbox)")
    mend = Said(
        f"`tongfa outlet set {row.name} …`，然后 `tongfa outlet check {row.name}`",
        f"`tongfa outlet set {row.name} …`, then `tongfa outlet check {row.name}`",
    )
    try:
        ctx.channel(row).login()
    except BadInput as error:  # what it was given once makes no channel: of an older version, or written past us
        return error, Finding(name, "bad", f"{error.where}: {error.message}", mend)
    except (TryLater, Ambiguous) as error:
        return error, Finding(name, "bad", str(error), mend if row.live else STARTED)
    except OutletError as error:
        return error, Finding(name, "bad", str(error), mend)
    return None, Finding(name, "ok", Said("凭据与权限有效", "credentials and rights are good"))


def _open(ctx: Context) -> list[Finding]:
    """Releases and deliveries that wait for a person."""
    with ctx.store.read() as connection:
        found = []
        for state in (D.UNRESOLVED, D.FAILED):
            for row in deliveries.page(connection, state=state):
                joined = releases.get(connection, row.release)
                mend = "; then ".join(filter(None, (next_of_delivery(joined, row), next_of_release(joined))))
                what = Said(STATES[state].format(row.outlet), f"{row.outlet} is {row.state}")
                found.append(Finding(f"delivery {row.id}", "bad", what, mend))
        for held in releases.in_state(connection, R.HELD):
            what = Said(f"已暂停：{held.why}", f"held: {held.why}")
            found.append(Finding(f"release {held.id}", "bad", what, next_of_release(held) or ""))
        return found


STATES = {D.UNRESOLVED: "{} 待人工判断", D.FAILED: "{} 失败"}


def _public(ctx: Context) -> list[Finding]:
    """Copies that the public does not see as approved."""
    with ctx.store.read() as connection:
        wrong = copies.in_states(connection, (copies.ALTERED, copies.MISSING))
    mend = Said(
        "查看后对该稿件执行 `tongfa correct` 或 `tongfa withdraw`；系统不会自行覆盖",
        "look at it, then `tongfa correct` or `tongfa withdraw` the item; nothing is overwritten by itself",
    )
    what = {copies.ALTERED: "被改动", copies.MISSING: "不见了"}
    return [
        Finding(f"copy {one.id}", "bad", Said(f"{at} {what[one.state]}", f"{at} is {one.state}"), mend)
        for one in wrong
        for at in (one.url or one.outlet,)
    ]


def _pings(ctx: Context) -> list[Finding]:
    """Hubs and search engines that were not told of what is public; nothing of it concerns a release."""
    with ctx.store.read() as connection:
        rows = pings.not_given(connection, ctx.store.now(connection) - PINGS_KEPT)
    found = []
    for row in rows:
        given_up = row.state == pings.FAILED
        mend = Said(
            f"核对设置：`tongfa outlet set {row.outlet} …`；不影响发布" + ("" if given_up else "，系统会重试"),
            f"check `tongfa outlet set {row.outlet} …`; no release depends on it"
            + ("" if given_up else ", and it is tried again"),
        )
        zh, en = ("已放弃", "given up") if given_up else ("未成", "failed")
        what = Said(f"{zh}：{row.why}", f"{en}: {row.why}")
        found.append(Finding(f"ping {row.name} of {row.outlet}", "note", what, mend))
    return found


def _feeds(ctx: Context) -> list[Finding]:
    """Feeds that cannot be read."""
    with ctx.store.read() as connection:
        rows = [row for row in feeds.every(connection) if row.why]
    return [Finding(f"feed {row.name}", "note", row.why, row.mend) for row in rows]


# In the order in which they are told; each says by itself what it finds.
CHECKS: tuple[tuple[str, Callable[[Context], list[Finding]]], ...] = (
    ("installation", _identity),
    ("reconciled", _recovery),
    ("workers", _workers),
    ("due work", _waiting),
    ("clock", _clock),
    ("outlets", _outlets),
    ("breaker", outlook.breakers),
    ("patience", outlook.patience),
    ("budget", outlook.used_up),
    ("credentials", outlook.credentials),
    ("deliveries", _open),
    ("copies", _public),
    ("pings", _pings),
    ("feeds", _feeds),
)
