"""Examines an installation without changing it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sync import confine
from sync.bell import reachable
from sync.clock import MILLISECOND, SECOND
from sync.contract import OutletError
from sync.engine.context import Context
from sync.engine.evidence import clock_offset, differ, kernel_clock
from sync.engine.identity import mismatch
from sync.engine.report import next_of_delivery, next_of_release
from sync.flow import D, R
from sync.store import copies, deliveries, outlets, recovery, releases

FONTS = Path("/usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc")
LEAST_FREE = 0.05
OVERDUE = 60 * SECOND  # µs


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: ok, note (worth knowing) or bad (something will fail)."""

    check: str
    level: str
    message: str
    mend: str = ""

    def shown(self) -> dict[str, str]:
        return {"check": self.check, "level": self.level, "message": self.message, "mend": self.mend}


def findings(ctx: Context) -> list[Finding]:
    """Every check, also those that passed."""
    return [
        _database(ctx),
        _identity(ctx),
        _recovery(ctx),
        *(_worker(ctx, lane) for lane in ("prepare", "release")),
        _broker(ctx),
        _waiting(ctx),
        _clock(ctx),
        _fonts(),
        _walls(),
        _key(ctx),
        _disk(ctx),
        *_outlets(ctx),
        *_open(ctx),
        *_public(ctx),
    ]


def _database(ctx: Context) -> Finding:
    said = ctx.store.examine()
    if said == "ok":
        return Finding("database", "ok", f"{ctx.store.shown} at {ctx.store.schema()}")
    return Finding("database", "bad", f"{ctx.store.shown}: {said}", "mend its settings, or restore it from a backup")


def _identity(ctx: Context) -> Finding:
    with ctx.store.read() as connection:
        known, why = outlets.identity(connection), mismatch(ctx.settings, connection)
    if why is None:
        return Finding("installation", "ok", known)
    mend = "if the other one no longer runs, `tongfa adopt`; until then live outlets are only read"
    return Finding("installation", "bad", why, mend)


def _recovery(ctx: Context) -> Finding:
    with ctx.store.read() as connection:
        row = recovery.current(connection)
        if row is None:
            return Finding("reconciled", "ok", "nothing waits to be looked up")
        total, found = recovery.count(connection, row.id)
        waiting = {one.outlet: one.why for one in recovery.looks(connection, row.id, open_only=True)}
    told = "; ".join(f"{outlet}: {why or 'not asked yet'}" for outlet, why in waiting.items())
    message = f"{row.why}: nothing is sent, {found} of {total} looked up; waiting for {told or 'a prepare worker'}"
    mend = "`tongfa restore --status`; an outlet that will never answer: `tongfa restore --unreachable NAME`"
    return Finding("reconciled", "bad", message, mend)


def _worker(ctx: Context, lane: str) -> Finding:
    living = ctx.lock.living(lane)
    if living:
        return Finding(f"{lane} worker", "ok", ", ".join(f"pid {one.pid} on {one.host}" for one in living))
    return Finding(f"{lane} worker", "bad", "none is running", f"`tongfa up`, or `tongfa worker --lane {lane}`")


def _broker(ctx: Context) -> Finding:
    url = ctx.settings.broker_url
    if url is None:
        return Finding("broker", "ok", "none is configured: the workers look by themselves")
    failed = reachable(url)  # names no address: it may hold a password
    if failed is None:
        return Finding("broker", "ok", "it takes messages")
    mend = "start it, or mend TONGFA_BROKER_URL; until then workers look by themselves, and nothing is late by more"
    return Finding("broker", "bad", f"it cannot be reached ({failed})", mend)


def _waiting(ctx: Context) -> Finding:
    """Work that fell due and that nobody began: the workers are too few, stuck, or without a way to the outlets."""
    duties = ("prepare", "release", "verify", "reconcile", "discard", "withdraw")
    with ctx.store.read() as connection:
        now = ctx.store.now(connection)
        late = [row for row in deliveries.due(connection, now, duties) if now - row.due_at > OVERDUE]
    if not late:
        return Finding("due work", "ok", "nothing waits longer than it should")
    waits = (now - late[0].due_at) // SECOND
    mend = "start more workers of that lane; their logs say what they do (`log/` in the home)"
    return Finding("due work", "bad", f"{len(late)} deliveries wait to be worked on, the oldest for {waits} s", mend)


def _clock(ctx: Context) -> Finding:
    with ctx.store.read() as connection:
        offset, error = clock_offset(ctx, connection)
    if differ(ctx, offset, error):
        told = f"host and database clock differ by {abs(offset) // MILLISECOND} ms: nothing is committed"
        return Finding("clock", "bad", told, "start a time service on both hosts")
    said = kernel_clock()
    if said == "synchronised":
        return Finding("clock", "ok", "the kernel says it is synchronised")
    mend = "start a time service; live releases are refused otherwise (TONGFA_CLOCK_UNSYNCHRONISED)"
    return Finding("clock", "note", f"the kernel's clock is {said}", mend)


def _walls() -> Finding:
    """What keeps the readers of strangers' files off the network and other files."""
    try:
        found = confine.walls()
    except confine.Failed as failed:
        return Finding("confinement", "bad", f"no file can be read: {failed}", failed.refusal("").mend)
    message = f"network: {found.network} · files: {found.files} · calls: {found.calls}"
    if "none" in (found.network, found.files):
        mend = "a kernel with Landlock and network namespaces, as current distributions have it, confines them wholly"
        return Finding("confinement", "note", message, mend)
    return Finding("confinement", "ok", message)


def _fonts() -> Finding:
    if FONTS.exists():
        return Finding("fonts", "ok", "Noto Serif CJK is installed")
    return Finding("fonts", "bad", "no Chinese font for the gazette", "install Debian's fonts-noto-cjk")


def _key(ctx: Context) -> Finding:
    path = ctx.settings.secret_key_path
    if path.is_relative_to(ctx.settings.home):
        mend = "keep the key elsewhere with TONGFA_SECRET_KEY_FILE"
        return Finding("key", "note", "the key lies in the home: a backup of the home holds secrets and key", mend)
    return Finding("key", "ok", str(path))


def _disk(ctx: Context) -> Finding:
    usage = shutil.disk_usage(ctx.settings.home)
    told = f"{usage.free // 2**20} MiB free"
    if usage.free < usage.total * LEAST_FREE:
        return Finding("disk", "bad", told, "free some space: below 5 % nothing is safe")
    return Finding("disk", "ok", told)


def _outlets(ctx: Context) -> list[Finding]:
    with ctx.store.read() as connection:
        rows = outlets.every(connection)
    found = []
    for row in rows:
        name = f"outlet {row.name}" + ("" if row.live else " (sandbox)")
        try:
            ctx.channel(row).login()
        except OutletError as error:
            found.append(Finding(name, "bad", str(error), f"`tongfa outlet set {row.name} …`, then `outlet check`"))
        else:
            found.append(Finding(name, "ok", "credentials and rights are good"))
    return found


def _open(ctx: Context) -> list[Finding]:
    """Releases and deliveries that wait for a person."""
    with ctx.store.read() as connection:
        found = []
        for state in (D.UNRESOLVED, D.FAILED):
            for row in deliveries.page(connection, state=state):
                joined = releases.get(connection, row.release)
                mend = "; then ".join(filter(None, (next_of_delivery(joined, row), next_of_release(joined))))
                found.append(Finding(f"delivery {row.id}", "bad", f"{row.outlet} is {row.state}", mend))
        for held in releases.in_state(connection, R.HELD):
            found.append(Finding(f"release {held.id}", "bad", f"held: {held.why}", next_of_release(held) or ""))
        return found


def _public(ctx: Context) -> list[Finding]:
    """Copies that the public does not see as approved."""
    with ctx.store.read() as connection:
        wrong = copies.in_states(connection, (copies.ALTERED, copies.MISSING))
    mend = "look at it, then `tongfa correct` or `tongfa withdraw` the item; nothing is overwritten by itself"
    return [Finding(f"copy {one.id}", "bad", f"{one.url or one.outlet} is {one.state}", mend) for one in wrong]
