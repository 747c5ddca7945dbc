"""Becomes a supervised program that does not outlive its supervisor.

    python -I -S sync/child.py SUPERVISOR_PID PROGRAM ARGUMENT…

Runs between fork and program instead of a `preexec_fn`, which may deadlock a supervisor that has
threads. Imports nothing of the project: it starts in milliseconds and works beside any module that
is named like one of the standard library (hence also -I: this folder must not be on the path).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
COMMAND_NOT_FOUND = 127


def main() -> None:
    """Replace this process by the program; its exit code is then the program's, or 127 if it cannot run."""
    supervisor, program = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        sys.exit(f"cannot be tied to the supervisor: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != supervisor:  # it died before the line above: the signal will never come
        sys.exit("the supervisor is gone")
    try:
        os.execvp(program[0], program)  # noqa: S606  # the whole point; argv comes from our own code
    except OSError as error:
        sys.stderr.write(f"cannot run {program[0]}: {error.strerror}\n")
        sys.exit(COMMAND_NOT_FOUND)


if __name__ == "__main__":
    main()
