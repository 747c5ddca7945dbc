"""The same verbs in a terminal. Speaks to the engine only; never to the queue."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit codes: 0 done · 1 our error · 2 input or set-up · 3 held · 4 public in part · 6 waiting · 7 findings."""
    given = sys.argv[1:] if arguments is None else arguments
    gc.disable()  # nothing that importing makes is garbage: to look through it again and again is a fifth of the time
    try:
        from sync.cli.app import run_command, wanted  # takes most of a second, in which Ctrl-C is as likely as later

        chosen = wanted(given)
    except KeyboardInterrupt:
        sys.exit(130)
    gc.freeze()
    gc.enable()
    run_command(chosen, given)
