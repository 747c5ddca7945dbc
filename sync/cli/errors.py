"""Every way a command can fail, told the same way: where, what, and how to mend it."""

from __future__ import annotations

import errno
import shutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from sqlalchemy.exc import SQLAlchemyError
from typer.exceptions import TyperException

from sync.cli.output import document, err, labelled, settings
from sync.content.refusal import each_of
from sync.contract import OutletError
from sync.model import BadInput
from sync.store.deliveries import Superseded
from sync.store.outlets import Unknown
from sync.supervise import StartFailed

BUG, WRONG, INTERRUPTED = 1, 2, 130
SPACE = "free some space and try again"
LEAST_FREE = 64 * 1024  # bytes; with fewer, whatever SQLite complains of is this

# What SQLite's primary result codes mean to the person who runs this; every other one is our bug.
SQLITE = {
    5: ("the database is locked by another program", "end what holds it, or wait, and try again"),
    8: ("the database may not be written by this user", "give this user the folder and its files"),
    10: ("the disk cannot be read or written", "look at the system's log; `tongfa doctor` examines the database"),
    11: ("the database is damaged", "restore it from a backup"),
    13: ("the disk is full; nothing was stored", SPACE),
    14: ("the database cannot be opened", "give this user the folder and its files"),
    26: ("this file is no database", "set TONGFA_HOME to an installation, or restore it from a backup"),
}

EXPECTED = (BadInput, TyperException, StartFailed, OutletError, Unknown, Superseded, OSError, SQLAlchemyError)


def refusal(error: BaseException) -> tuple[BadInput, int]:
    """What to tell of one of `EXPECTED`, and the exit code."""
    match error:
        case BadInput():
            return error, WRONG
        case TyperException():
            return _usage(error), WRONG
        case StartFailed():
            first, *log = str(error).splitlines()  # the log's last line says it; those before are a traceback
            message = " ".join([first, *(line.strip() for line in log[-1:])])
            return BadInput("start", message, "mend what its log says, and start again"), WRONG
        case OutletError():
            return BadInput("outlet", str(error), "`tongfa outlet check NAME` tells more"), WRONG
        case Superseded():
            return BadInput(str(error), "it moved on at this moment; nothing was changed", "look again"), WRONG
        case Unknown():
            return BadInput(str(error), "there is nothing of that name", "the matching `list` shows what is"), WRONG
        case OSError():
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            mend = SPACE if full else "mend that and try again"
            return BadInput(str(error.filename or _home()), error.strerror or str(error), mend), WRONG
        case _:
            return _database(error)


def _home() -> Path:
    try:
        return settings().home
    except BadInput:
        return Path()


def _usage(error: TyperException) -> BadInput:
    """What the parser refused, in our form."""
    known: Any = error
    context, parameter = getattr(known, "ctx", None), getattr(known, "param", None)
    command = context.command_path if context is not None else "tongfa"
    mend = f"`{command} --help` tells what there is"
    message = " ".join(error.format_message().split())
    if parameter is not None and error.message:
        where = parameter.opts[-1] if parameter.param_type_name == "option" else parameter.display_name_raw
        message = " ".join(error.message.split()).removeprefix("Value error, ").replace("Input should be", "must be")
        return BadInput(where, message, mend)
    if near := getattr(known, "possibilities", None):
        message, mend = error.message, f"did you mean {' or '.join(sorted(near))}? {mend}"
    return BadInput(command, message, mend)


def _database(error: BaseException) -> tuple[BadInput, int]:
    raised = getattr(error, "orig", None)
    code = getattr(raised, "sqlite_errorcode", 0) & 0xFF
    if code in SQLITE:
        home, (message, mend) = _home(), SQLITE[code]
        if home.is_dir() and shutil.disk_usage(home).free < LEAST_FREE:
            message, mend = "the disk is full; nothing was stored", SPACE
        return BadInput(str(home), message, mend), WRONG
    return BadInput("database", str(raised or error).splitlines()[0], "`tongfa doctor` looks into it"), BUG


def fail(arguments: Sequence[str], error: BadInput, code: int) -> NoReturn:
    """Say what is wrong, where, and how to mend it; with --json also as the one document on stdout."""
    each = each_of(error)
    if "--json" in arguments:
        told: dict[str, Any] = {"where": error.where, "message": error.message, "mend": error.mend, "exit": code}
        if len(each) > 1:
            told["each"] = [{"where": one.where, "message": one.message, "mend": one.mend} for one in each]
        document({"error": told})
    for one in each:
        err.print(labelled("error", f"{one.where}: {one.message}", "bold red"), soft_wrap=True)
        err.print(labelled("mend", one.mend), soft_wrap=True)
    raise SystemExit(code)


class Internal:
    """What becomes of an exception that nobody expected: one line for the person, the traceback for us.

    Installed as `sys.excepthook`, after which Python exits with 1.
    """

    def __init__(self, arguments: Sequence[str], *, debug: bool) -> None:
        self._arguments, self._debug = arguments, debug

    def __call__(self, kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        trace = "".join(traceback.format_exception(kind, error, at))
        if self._debug:
            sys.stderr.write(trace)
        kept = None if self._debug else _kept(trace)
        where = f"the traceback is in {kept}" if kept else "run it again with --debug to see the traceback"
        told = BadInput("tongfa", f"internal error: {kind.__name__}: {error}", f"{where}; please report it")
        with suppress(SystemExit):
            fail(self._arguments, told, BUG)


def _kept(trace: str) -> Path | None:
    """Append to the home's log, if there is a home; never the arguments, which may hold a secret."""
    try:
        folder = settings().home / "log"
        if not folder.parent.is_dir():
            return None
        folder.mkdir(exist_ok=True)
        path = folder / "internal-errors.log"
        path.touch(0o600)
        with path.open("a") as file:
            file.write(f"{datetime.now(UTC).isoformat()}\n{trace}\n")
    except (OSError, BadInput):
        return None
    return path
