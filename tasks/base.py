"""This worker process's wiring: made once, after the process began, from the environment it was given."""

from __future__ import annotations

import os
from functools import cache

from sync.bootstrap import context
from sync.clock import SystemClock
from sync.engine.context import Context
from sync.engine.sender import Sender
from sync.settings import read_settings


def lane() -> str:
    """Which lane this process serves; set by `tongfa worker`."""
    return os.environ["WORKER_LANE"]


@cache
def ctx() -> Context:
    return context(read_settings(), lane())


def threads() -> int:
    """How many tasks this process works on side by side."""
    settings = ctx().settings
    return settings.workers_prepare_threads if lane() == "prepare" else settings.workers_release_threads


@cache
def sender() -> Sender:
    """The one sender loop of this process."""
    return Sender(SystemClock(), threads())
