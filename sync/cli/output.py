"""How commands speak: one JSON document on stdout with --json, else text; progress and errors on stderr."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sync.bootstrap import context
from sync.cli.words import ENGLISH, LABELS, STATES
from sync.engine.context import Context
from sync.engine.people import acting_as
from sync.model import BadInput
from sync.settings import Settings, read_settings

Json = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]
As = Annotated[str | None, typer.Option("--as", metavar="USER", help="who does this; the log names them")]
Second = Annotated[str | None, typer.Option("--second", metavar="ADMIN", help="another administrator, who agrees")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="how many at most")]

UNBOUNDED = 1_000  # columns, where nobody's screen is the limit: one line stays one line
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def group(text: str) -> typer.Typer:
    """A command that only holds others; alone it shows its help."""
    made = typer.Typer(help=text)

    @made.callback(invoke_without_command=True)
    def show_help(chosen: typer.Context) -> None:
        if chosen.invoked_subcommand is None:
            chosen.get_help()
            raise typer.Exit

    return made


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    narrow = stream.isatty() or "COLUMNS" in os.environ
    return Console(stderr=stderr, width=None if narrow else UNBOUNDED, highlight=False)


out, err = _console(stderr=False), _console(stderr=True)


@cache
def settings() -> Settings:
    """This command's settings, read once. Raises BadInput."""
    return read_settings()


def wired(role: str = "command", as_: str | None = None, *, examining: bool = False) -> Context:
    """This command's context; entries name the person who ran it, or the one they named with --as. Raises BadInput.

    `examining`: also where the key cannot be read."""
    made = context(settings(), role, person=acting_person(), examining=examining)
    if as_ is None:
        return made
    user = acting_person().removeprefix("cli:")
    how = f"--as on the command line of OS user {user} on host {socket.gethostname()}, not signed in"
    return acting_as(made, as_, how)


def acting_person() -> str:
    """Whom entries name: the user who runs this command."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's number without a name
        return f"cli:{os.getuid()}"


# words


def _chinese() -> bool:
    try:
        return settings().lang == "zh-CN"
    except BadInput:  # an error about the settings must be told all the same
        return os.environ.get("TONGFA_LANG") == "zh-CN"


def word(key: str) -> str:
    """A label in the installation's language."""
    return LABELS[key] if _chinese() else ENGLISH.get(key, key)


def state_word(state: str) -> str:
    """A state in the installation's language, with the name that options and JSON use."""
    return f"{STATES.get(state, state)} {state}" if _chinese() else state


def help_word(chinese: str, english: str) -> str:
    """The one of two texts that this installation's people read."""
    return chinese if _chinese() else english


def when(instant: str | None, *, exact: bool = False) -> str:
    """An ISO instant as people here read it: local time, with its offset when `exact`."""
    if instant is None:
        return "—"
    local = datetime.fromisoformat(instant).astimezone(settings().zone)
    return local.isoformat(" ", "milliseconds") if exact else f"{local:%Y-%m-%d %H:%M:%S}"


def tick(value: bool | None) -> str:
    return {True: "✓", False: "✗", None: ""}[value]


# text


def plain(value: object) -> Text:
    """`value` as it stands: no markup, and no control character of a stranger's to move the cursor."""
    return Text(CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", "" if value is None else str(value)))


def say(value: object) -> None:
    """One line on stdout, never folded: an address or id stays in one piece."""
    out.print(plain(value), soft_wrap=True)


def tell(value: object) -> None:
    """One line of progress on stderr."""
    err.print(plain(value), soft_wrap=True)


def labelled(label: str, value: object, style: str = "bold") -> Text:
    return Text.assemble((word(label), style), " ", plain(value))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table without lines. What is too wide is folded, never cut off."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        made.add_column(word(heading), overflow="fold")
    for row in rows:
        made.add_row(*(plain(cell) for cell in row))
    return made


def show_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        out.print(table(headings, rows))
    else:
        say(word("none"))


def show_pairs(pairs: Mapping[str, object]) -> None:
    """Label and value, a line each; what is empty is left out."""
    for label, value in pairs.items():
        if value not in (None, "", [], {}):
            out.print(labelled(label, _flat(value)), soft_wrap=True)


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{key}={_flat(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return "、".join(_flat(part) for part in value)
    return tick(value) if isinstance(value, bool) else str(value)


# JSON


def _dumps(value: Any, **how: Any) -> str:
    unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not unicode, **how)


def document(value: Any) -> None:
    """The one JSON document of a command."""
    sys.stdout.write(_dumps(value, indent=2) + "\n")
    sys.stdout.flush()  # `up` and `demo` stay; who waits for the document must not


def document_of(name: str, rows: Iterable[Any]) -> None:
    """`{name: [row, …]}`, written as the rows come: there may be very many."""
    sys.stdout.write(f'{{"{name}": [')
    for number, row in enumerate(rows):
        sys.stdout.write((",\n" if number else "\n") + _dumps(row))
    sys.stdout.write("\n]}\n")


def lines_of(rows: Iterable[Any]) -> None:
    """One JSON value a line."""
    for row in rows:
        sys.stdout.write(_dumps(row) + "\n")


def show_list(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    headings: Sequence[str],
    cells: Any,
    *,
    limit: int,
    json: bool,
    beside: Mapping[str, Any] | None = None,
) -> None:
    """The first `limit` of `rows` (which are one more when there are more), as JSON or as a table.

    `beside`: what the JSON document says besides."""
    more, rows = len(rows) > limit, rows[:limit]
    if json:
        document({name: rows, "more": more, **(beside or {})})
        return
    show_table(headings, [cells(row) for row in rows])
    if "created" in headings and rows:
        out.print(plain(settings().timezone), style="dim")
    if more:
        tell(word("more"))
