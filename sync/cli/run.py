"""`tongfa setup`, `up`, `demo`, `worker`, `doctor`: what starts, stops and examines an installation."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Annotated, Any

import typer

from sync.bootstrap import create_home, ownership, sandbox_address, sandbox_of
from sync.cli.output import Json, document, say, settings, tell, wired
from sync.cli.publish import show_report, watch
from sync.clock import SystemClock
from sync.engine import report
from sync.engine.context import Context
from sync.engine.doctor import findings
from sync.engine.plan import Order, plan
from sync.model import BadInput
from sync.ownership import Ownership
from sync.programs import ARENAS, ROOT, sandboxes, worker_argv, workers
from sync.settings import Settings
from sync.store import outlets
from sync.supervise import Supervisor

FINDINGS = 7
SUPERVISOR = "supervisor"  # the lane of the process that runs an installation
SAMPLE = ROOT / "templates" / "sample" / "xiangcun-gongjiao.md"
DEMO = {
    "demo-site": ("website", {"site_name": "清溪镇人民政府"}),
    "demo-wechat": ("wechat", {}),
    "demo-weibo": ("weibo", {}),
    "demo-mastodon": ("mastodon", {}),
    "demo-bluesky": ("bluesky", {}),
    "demo-telegram": ("telegram", {}),
    "demo-gazette": ("gazette", {}),
    "demo-webhook": ("webhook", {"public_url_template": "https://receiver.example/items/{item}"}),
}
MARKS = {"ok": "✓", "note": "·", "bad": "✗"}


class Lane(StrEnum):
    PREPARE = "prepare"
    RELEASE = "release"


def register(app: typer.Typer) -> None:
    for command in (setup, up, demo, worker, doctor):
        app.command()(command)


def setup(json: Json = False) -> None:
    """Make the data folder and its database, or bring the database up to date."""
    read = settings()
    create_home(read, SystemClock())
    if json:
        document({"home": str(read.home), "ready": True})
    else:
        say(f"✓ {read.home}")


def up(
    host: Annotated[str, typer.Option(metavar="HOST", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="port of the website preview; 0: any")] = 8000,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="run the workers too")] = True,
    json: Json = False,
) -> None:
    """Run everything on this machine until Ctrl-C: workers, sandbox outlets, website preview."""
    if host not in ("127.0.0.1", "localhost"):
        raise BadInput("--host", "the preview of sandbox pages is served on this machine only", "leave --host out")
    read = settings()
    _refuse_second(ownership(read, SUPERVISOR))
    _refuse_taken(port)
    create_home(read, SystemClock())
    ctx = wired(SUPERVISOR)
    with ctx.store.read() as connection:
        kinds = {sandbox_of(row.kind) for row in outlets.every(connection) if not row.live}
    with _alone(ctx), Supervisor() as supervisor:
        here = [server for server in sorted(kinds | {"pages"}) if read.sandbox_url(server) is None]
        for program in sandboxes(read, here, {"pages": port}):
            supervisor.add(program)
        for program in workers(read) if worker else []:
            supervisor.add(program)
        supervisor.start()
        addresses = {server: sandbox_address(read, server, server) for server in sorted(kinds | {"pages"})}
        if json:
            document({"home": str(read.home), "pid": os.getpid(), "workers": worker, "sandboxes": addresses})
        for server, address in addresses.items():
            tell(f"{server:<10} {address}")
        tell("同发 is up · Ctrl-C ends it")
        _until_told(supervisor)


def worker(
    lane: Annotated[Lane, typer.Option(help="prepare (also reads back) or release")],
    check: Annotated[
        bool, typer.Option("--check", help="run nothing: exit code 7 unless one lives on this host")
    ] = False,
    json: Json = False,
) -> None:
    """Run one worker process in the foreground; what it says goes to stderr."""
    ctx = wired()
    if check:
        _check_worker(ctx, lane, json)
        return
    environment = {**os.environ, **ctx.settings.environment(), "WORKER_LANE": lane.value, **ARENAS}
    argv = worker_argv(ctx.settings, lane.value, f"{lane.value}-{os.getpid()}")
    if json:
        document({"home": str(ctx.settings.home), "pid": os.getpid(), "lane": lane.value})
    os.chdir(ROOT)
    os.dup2(2, 1)
    os.execve(argv[0], argv, environment)  # noqa: S606 - the interpreter that runs this very command


def _check_worker(ctx: Context, lane: Lane, json: bool) -> None:
    pids = [one.pid for one in ctx.lock.living(lane.value) if one.host == socket.gethostname()]
    if json:
        document({"lane": lane.value, "pids": pids})
    elif pids:
        say(f"✓ {lane.value}: {', '.join(map(str, pids))}")
    if not pids:
        tell(f"no {lane.value} worker lives on this host")
        raise SystemExit(FINDINGS)


def demo(
    once: Annotated[bool, typer.Option("--once", help="end after the report")] = False,
    json: Json = False,
) -> None:
    """Publish a sample item to a website, five accounts, a gazette and a webhook, all sandboxes, at one instant."""
    read = settings()
    create_home(read, SystemClock())
    ctx = wired(SUPERVISOR)
    kinds = sorted({sandbox_of(kind) for kind, _ in DEMO.values()})
    with _alone(ctx), Supervisor() as supervisor:
        _demo_outlets(ctx)
        tell("starting workers and sandbox outlets …")
        for program in (*sandboxes(read, kinds), *workers(read)):
            supervisor.add(program)
        supervisor.start()
        tell(f"publishing the sample item to {len(DEMO)} outlets …")
        release = plan(ctx, Order((str(SAMPLE),), tuple(DEMO), at="now", again=True))
        told = watch(ctx, release, 120)
        if json:
            document(told)
        else:
            show_report(told)
        code = report.exit_code(told)
        if not once:
            _show_addresses(read)
            _until_told(supervisor)
    raise SystemExit(code)


@contextmanager
def _alone(ctx: Context) -> Iterator[None]:
    """Two who run one installation would serve its sandboxes twice. Raises BadInput for the second."""
    mine = ctx.lock.name
    try:
        _refuse_second(ctx.lock, mine)
        yield
    finally:
        ctx.lock.release()


def _refuse_second(lock: Ownership, mine: str = "") -> None:
    others = [one for one in lock.living(SUPERVISOR) if one.name != mine]
    if others:
        mend = "end that one first, or set TONGFA_HOME to another folder"
        raise BadInput("TONGFA_HOME", f"process {others[0].pid} runs this installation already", mend)


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(f"--port {port}", str(error.strerror), "name another with --port; 0 takes any") from None


def _demo_outlets(ctx: Context) -> None:
    with ctx.store.write() as connection:
        there = {row.name for row in outlets.every(connection, retired=True)}
        for name, (kind, given) in DEMO.items():
            if name not in there:
                values: dict[str, Any] = {
                    "name": name,
                    "unit": outlets.LOCAL_UNIT,
                    "kind": kind,
                    "settings": given,
                    "secrets": {},
                    "groups": ["demo"],
                    "required": True,
                    "live": False,
                    "private_network": False,
                }
                outlets.add(connection, values, at=ctx.store.now(connection), actor=ctx.actor)


def _show_addresses(read: Settings) -> None:
    pages = sandbox_address(read, "pages", "demo-site")
    tell("look at:")
    tell(f"  website  {pages}/demo-site/")
    tell(f"  gazette  {pages}/demo-gazette/")
    tell("  the other addresses are in the report above · Ctrl-C ends it")


def _until_told(supervisor: Supervisor) -> None:
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    with suppress(KeyboardInterrupt):
        supervisor.run(lambda: bool(told))
    tell("stopping …")


def doctor(json: Json = False) -> None:
    """Examine the installation; each finding comes with its mend. Exit code 7 when something is bad."""
    read = settings()
    found = findings(read, lambda: wired(examining=True))
    if json:
        document({"findings": [one.shown(read.lang) for one in found]})
    else:
        for one in found:
            shown = one.shown(read.lang)
            say(f"{MARKS[one.level]} {one.named(read.lang)}: {shown['message']}")
            if one.mend:
                say(f"    → {shown['mend']}")
    if any(one.level == "bad" for one in found):
        raise SystemExit(FINDINGS)
