"""The command line put together, and its one door."""

from __future__ import annotations

import io
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from sync.cli import (
    amend,
    backup,
    channels,
    deliveries,
    items,
    log,
    metrics,
    outlets,
    people,
    preview,
    publish,
    releases,
    review,
    run,
)
from sync.cli.errors import EXPECTED, INTERRUPTED, Internal, fail, refusal
from sync.cli.output import say, word
from sync.model import BadInput

WAIT = "600"  # seconds that a bare --wait means
# What is meant as that number, right or wrong; an item's id is longer, a file has another ending.
NUMBER = re.compile(r"[-+]?(\d{1,7}([.,]\d*)?|[.,]\d+|nan|inf|infinity)(ms|s|sec|m|min|h)?", re.IGNORECASE)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="同发 — one item, every outlet, one instant. 一次发布，处处同时。",
    epilog="Exit codes: 0 done · 1 internal error · 2 wrong input or set-up · 3 held, nothing public · "
    "4 public, but not everywhere or not verified · 6 still waiting, nothing public · 7 findings.",
)
for part in (
    run,
    outlets,
    channels,
    items,
    preview,
    publish,
    amend,
    review,
    releases,
    deliveries,
    log,
    people,
    backup,
    metrics,
):
    part.register(app)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="the version, and nothing else")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="anywhere: tracebacks on stderr")] = False,
) -> None:
    if show_version:
        say(f"tongfa {version('tongfa')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit


COMMAND = get_command(app)


def run_command(arguments: Sequence[str]) -> NoReturn:
    """Run one command and exit with its code."""
    debug = "--debug" in arguments
    given = _with_wait([one for one in arguments if one != "--debug"])
    sys.excepthook = Internal(given, debug=debug)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show ✓ is no reason to fail
    try:
        code = COMMAND.main(given, prog_name="tongfa", standalone_mode=False)
    except EXPECTED as error:
        if debug:
            traceback.print_exc()
        fail(given, *refusal(error))
    if code == INTERRUPTED:
        fail(given, BadInput("tongfa", word("interrupted"), "`tongfa release list` shows what was planned"), code)
    raise SystemExit(code if isinstance(code, int) else 0)


def _with_wait(arguments: Sequence[str]) -> list[str]:
    """`--wait` may stand without its number of seconds; the parser needs one."""
    made: list[str] = []
    for place, one in enumerate(arguments):
        made.append(one)
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        if one == "--wait" and not NUMBER.fullmatch(following):
            made.append(WAIT)
    return made
