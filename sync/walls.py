"""Takes away from this process what a parser or typesetter has no use for: network, files, memory, time.

What is taken is never given back, also not to the programs that it starts. Imports nothing of the
project; used in processes that do nothing else (`sync/confined.py`). Linux only, by system calls that
the standard library of Python 3.11 does not have.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PDEATHSIG, _DUMPABLE, _SECCOMP, _NO_NEW_PRIVS = 1, 4, 22, 38  # of prctl
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

# Landlock (landlock(7)): the same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ANYTHING = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}  # by version; later ones below
_EVERYTHING = (1 << 16) - 1
_FROM_OUTSIDE = 0b11  # bind and connect; abstract sockets and signals

# System calls that are refused with EPERM: (x86-64, arm64). Sending on a socket that is open stays possible.
_DENIED = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "io_uring_setup": (425, 425), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "mount": (165, 40), "umount2": (166, 39),
    "unshare": (272, 97), "setns": (308, 268), "pivot_root": (155, 41), "chroot": (161, 51), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "add_key": (248, 217), "keyctl": (250, 219),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104), "open_by_handle_at": (304, 265),
}  # fmt: skip
_EXEC = {"execve": (59, 221), "execveat": (322, 281)}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH


def no_network() -> bool:
    """Put this process into a network of its own without interfaces. False where the kernel refuses."""
    wanted = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    return bool(_LIBC.unshare(wanted) == 0 or _LIBC.unshare(_CLONE_NEWNET | _CLONE_NEWUSER) == 0)


def die_with_parent(parent: int) -> None:
    """Be killed as soon as the thread that forked this process ends; exits at once when it has ended already."""
    _LIBC.prctl(_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def limits(*, cpu_s: int, memory: int, file_bytes: int) -> None:
    """Bound CPU time, memory beyond what is mapped now, the size of any file written, and open files; no core."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    space = pages * resource.getpagesize() + memory
    _lower(resource.RLIMIT_AS, space, space)
    _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
    _lower(resource.RLIMIT_FSIZE, file_bytes, file_bytes)
    _lower(resource.RLIMIT_NOFILE, 64, 64)
    _lower(resource.RLIMIT_CORE, 0, 0)
    _LIBC.prctl(_DUMPABLE, 0, 0, 0, 0)


def _lower(which: int, soft: int, hard: int) -> None:
    """A limit that is lower already stays: only root may raise it."""
    _, there = resource.getrlimit(which)
    if there != resource.RLIM_INFINITY:
        soft, hard = min(soft, there), min(hard, there)
    resource.setrlimit(which, (soft, hard))


def no_files(readable: Iterable[Path], writable: Path | None, *, network: bool = False) -> bool:
    """Leave only these folders and files to be read, and one to be written. False without Landlock in the kernel.

    `network`: connecting stays possible, as far as it was."""
    version = int(_LIBC.syscall(_CREATE_RULESET, None, 0, 1))
    if version < 1:
        return False
    handled = _ANYTHING.get(version, _EVERYTHING)
    ports = 0 if network else _FROM_OUTSIDE
    known = (handled, ports, _FROM_OUTSIDE)[: 1 if version < 4 else 2 if version < 6 else 3]
    attributes = struct.pack(f"={len(known)}Q", *known)
    ruleset = int(_LIBC.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    if ruleset < 0:
        return False
    for path in readable:
        _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
    _allow(ruleset, Path(os.devnull), _READ_FILE | _WRITE_FILE)
    if writable is not None:
        _allow(ruleset, writable, handled)
    _LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    restricted = _LIBC.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return bool(restricted)


def _allow(ruleset: int, path: Path, access: int) -> None:
    """What does not exist needs no rule."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not path.is_dir():
        access &= _EXECUTE | _READ_FILE | _WRITE_FILE
    _LIBC.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", access, opened), 0)
    os.close(opened)


def no_calls(*, programs: bool) -> bool:
    """Refuse system calls that reach out of this process. `programs`: others may be started. False where unknown."""
    column, architecture = _MACHINES.get(platform.machine(), (0, 0))
    if not architecture or sys.byteorder != "little":
        return False
    denied = sorted({numbers[column] for numbers in (_DENIED if programs else _DENIED | _EXEC).values()})
    load, equal, above, end = 0x20, 0x15, 0x35, 0x06
    code = [(load, 0, 0, 4), (equal, 1, 0, architecture), (end, 0, 0, 0x80000000), (load, 0, 0, 0)]
    code += [(above, len(denied) + 1, 0, 0x40000000)]  # the second table of calls that x86-64 may have
    code += [(equal, len(denied) - place, 0, number) for place, number in enumerate(denied)]
    code += [(end, 0, 0, 0x7FFF0000), (end, 0, 0, 0x00050001)]  # go on; EPERM
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    described = struct.pack("@HP", len(code), ctypes.addressof(program))
    _LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(_LIBC.prctl(_SECCOMP, 2, described, 0, 0) == 0)
