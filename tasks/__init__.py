"""Celery tasks: a message says "look at these deliveries", and nothing else."""

from collections.abc import Callable

from tasks import prepare, release, verify

TASKS: dict[str, Callable[[list[str]], None]] = {
    "prepare": prepare.prepare,
    "discard": prepare.discard,
    "reconcile": prepare.reconcile,
    "verify": verify.verify,
    "carry": prepare.carry,
    "withdraw": prepare.withdraw,
    "recover": prepare.recover,
    "upkeep": prepare.upkeep,
    "errands": prepare.errands,
    "release": release.release,
}

LANES: dict[str, tuple[str, ...]] = {
    "prepare": ("prepare", "discard", "reconcile", "verify", "carry", "withdraw"),
    "release": ("release",),
}
