"""The same verbs in a terminal. Speaks to the engine only; never to the queue."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from sync.cli import items, log, outlets, releases, run
from sync.cli.output import app, fail
from sync.contract import OutletError
from sync.model import BadInput
from sync.store.outlets import Unknown
from sync.supervise import StartFailed

WRONG, BUG = 2, 1

for part in (run, outlets, items, releases, log):
    part.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit codes: 0 done · 1 our error · 2 input or set-up · 3 held · 4 public in part · 6 waiting · 7 findings."""
    given = _optional_wait(list(sys.argv[1:] if arguments is None else arguments))
    try:
        app(args=given, prog_name="tongfa")
    except BadInput as error:
        fail(given, error.where, error.message, error.mend, WRONG)
    except StartFailed as error:
        fail(given, "start", str(error), "read the log it names, mend that, and start again", WRONG)
    except OutletError as error:
        fail(given, "outlet", str(error), "`tongfa outlet check NAME` tells more", WRONG)
    except Unknown as error:
        fail(
            given, str(error), "there is nothing of that name", "the matching `list` command shows what there is", WRONG
        )
    except OSError as error:
        fail(given, str(error.filename or "system"), error.strerror or str(error), "mend that and try again", WRONG)
    except SQLAlchemyError as error:
        if os.environ.get("PYTHONDEVMODE"):
            traceback.print_exc()
        fail(given, "database", str(error).splitlines()[0], "`tongfa doctor` looks into it", BUG)


def _optional_wait(arguments: list[str]) -> list[str]:
    """`--wait` may stand without its number of seconds; the parser needs one."""
    made = []
    for place, one in enumerate(arguments):
        made.append(one)
        following = arguments[place + 1] if place + 1 < len(arguments) else ""
        if one == "--wait" and not re.fullmatch(r"\d+(\.\d+)?", following):
            made.append("600")
    return made
