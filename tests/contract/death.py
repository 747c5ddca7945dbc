"""A process that dies at any change of the file system: every later change does not happen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

CHANGES = ("rename", "unlink", "rmdir")


class Death(BaseException):
    """No handler for errors sees it, as none sees a kill."""


@contextmanager
def dying(after: int) -> Iterator[list[str]]:
    """In the block, the change number `after` (0: the first) is the one before which the process dies.

    Yields the changes that took place."""
    done: list[str] = []

    def fatal(name: str, real: Callable[..., None]) -> Callable[..., None]:
        def change(*given: object, **named: object) -> None:
            if len(done) == after:
                raise Death(name)
            done.append(name)
            real(*given, **named)

        return change

    with pytest.MonkeyPatch.context() as patched:
        for name in CHANGES:
            patched.setattr(os, name, fatal(name, getattr(os, name)))
        yield done
