"""The command line put together, and its one door."""

from __future__ import annotations

import io
import re
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from sync.cli.errors import EXPECTED, INTERRUPTED, Internal, fail, refusal
from sync.cli.output import say, word
from sync.model import BadInput

WAIT = "600"  # seconds that a bare --wait means
# What is meant as that number, right or wrong; an item's id is longer, a file has another ending.
NUMBER = re.compile(r"[-+]?(\d{1,7}([.,]\d*)?|[.,]\d+|nan|inf|infinity)(ms|s|sec|m|min|h)?", re.IGNORECASE)

# Module → its words, in the order of the help. Only the module of the word that is run is imported: the others would
# double what every command takes to begin.
PARTS = {
    "run": ("setup", "up", "demo", "worker", "doctor"),
    "outlets": ("outlet",),
    "channels": ("channel",),
    "items": ("item",),
    "feeds": ("feed",),
    "preview": ("preview",),
    "publish": ("publish",),
    "amend": ("correct", "withdraw"),
    "review": ("review",),
    "releases": ("release",),
    "deliveries": ("delivery",),
    "log": ("log",),
    "people": ("unit", "user"),
    "backup": ("backup", "restore", "adopt"),
    "metrics": ("metrics",),
    "web": ("web",),
}


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


def command(word: str | None = None) -> Any:
    """The command line with the part that has this word; with every part when none has it."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="同发 — one item, every outlet, one instant. 一次发布，处处同时。",
        epilog="Exit codes: 0 done · 1 internal error · 2 wrong input or set-up · 3 held, nothing public · "
        "4 public, but not everywhere or not verified · 6 still waiting, nothing public · 7 findings · "
        "130 interrupted.",
    )
    app.callback(invoke_without_command=True)(options)
    for part in [part for part, words in PARTS.items() if word in words] or list(PARTS):
        import_module(f"sync.cli.{part}").register(app)
    return get_command(app)


def wanted(arguments: Sequence[str]) -> Any:
    """The command line, as far as these arguments need it."""
    return command(next((one for one in arguments if not one.startswith("-")), None))


def run_command(chosen: Any, arguments: Sequence[str]) -> NoReturn:
    """Run one command and exit with its code."""
    debug = "--debug" in arguments
    given = _with_wait([one for one in arguments if one != "--debug"])
    sys.excepthook = Internal(given, debug=debug)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show ✓ is no reason to fail
    try:
        code = chosen.main(given, prog_name="tongfa", standalone_mode=False)
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
