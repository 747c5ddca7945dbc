"""Writes the tables in the READMEs from the code: `python scripts/tables.py [--check]`.

Each stands between `<!-- NAME -->` and `<!-- /NAME -->`. With --check nothing is written; exit 1
when a table is not what the code says.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sync import contract, flow
from sync.bootstrap import kind, kinds
from sync.settings import settings_table

ROOT = Path(__file__).parent.parent


def states() -> str:
    """Every state of a delivery, the moves out of it, and who makes them."""
    rows = ["| state | in flight | moves to (by event) | moved on by |", "|---|---|---|---|"]
    for state, moves in flow.TABLE.items():
        to = " · ".join(f"{after} ({event.value})" for event, after in moves.items()) or "–"
        flying = "yes" if state in flow.IN_FLIGHT else ""
        rows.append(f"| {state} | {flying} | {to} | {flow.NEXT_MOVE[state]} |")
    return "\n".join(rows)


def release_states() -> str:
    """The same for a release."""
    rows = ["| state | moves to (by event) | moved on by |", "|---|---|---|"]
    for state, moves in flow.RELEASE_TABLE.items():
        to = " · ".join(f"{after} ({event.value})" for event, after in moves.items()) or "–"
        rows.append(f"| {state} | {to} | {flow.RELEASE_NEXT_MOVE[state]} |")
    return "\n".join(rows)


def joint() -> str:
    """What a delivery may do only while its release is in certain states."""
    rows = ["| event of a delivery | only while its release is |", "|---|---|"]
    for event, allowed in flow.ALLOWED.items():
        rows.append(f"| {event} | {' · '.join(state.value for state in flow.R if state in allowed)} |")
    return "\n".join(rows)


def outlet_kinds() -> str:
    """What each kind of outlet can do and is told."""
    rows = [
        "| kind | reveal | found again by | lands within | corrects | withdraws | settings (secrets*) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in kinds():
        can = kind(name).can
        told = ", ".join(f"`{one.name}`" + "*" * one.secret for one in can.settings)
        undo = "yes" if can.withdraw else "no"
        rows.append(
            f"| `{name}` | {can.reveal} | {can.probe} | {can.lands_within:g} s | {can.correct} | {undo} | {told} |"
        )
    return "\n".join(rows)


def errors() -> str:
    """The errors a channel may raise, as drawn at the top of the contract."""
    tree = (contract.__doc__ or "").split("\n\n")[2].rstrip()
    return f"```text\n{tree}\n```"


TABLES = {
    "sync/README.md": {"states": states, "release-states": release_states, "joint-rules": joint},
    "channels/README.md": {"kinds": outlet_kinds, "errors": errors},
    "README.md": {"settings": settings_table},
}


def filled(text: str, name: str, table: str) -> str:
    """The text with its table `name` replaced. Raises ValueError when there is no such place."""
    found = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}{table}\n{m[2]}", text, flags=re.S)
    if f"<!-- {name} -->" not in text:
        raise ValueError(f"there is no place for the table {name}")
    return found


def main(check: bool) -> int:
    wrong = 0
    for file, tables in TABLES.items():
        path = ROOT / file
        before = after = path.read_text()
        for name, table in tables.items():
            after = filled(after, name, table().strip())
        if after != before:
            wrong += 1
            if check:
                sys.stderr.write(f"{file}: its tables are not what the code says; run `make tables`\n")
            else:
                path.write_text(after)
    return 1 if check and wrong else 0


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv))
