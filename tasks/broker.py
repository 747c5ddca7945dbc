"""What a worker's consumer is told about its broker. Publishing is the bell's (`sync.bell`), and has its own limits."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

# Pinned by tests/unit/test_celery_options.py: a default of Celery's or kombu's that changes shows there.
HEARTBEAT = 10  # seconds; AMQP only: a peer that vanished is noticed

_REDIS = {
    "socket_timeout": 5,  # the default is none: a read from a frozen server would hang for ever
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "max_retries": 0,  # Celery retries; with kombu's own retries as well, each of its tries takes seconds
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    # What a dead worker had taken is handed on after so many seconds; its rows are found sooner.
    "visibility_timeout": 60,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
}
# Without a broker a sweeper talks to its own process. In the release lane it does not even do that.
_MEMORY = {"prepare": {"polling_interval": 0.02}, "release": {"polling_interval": 0.25}}


def options(url: str, lane: str) -> dict[str, Any]:
    """The transport's options for the broker at `url`, in a worker of this lane."""
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return dict(_MEMORY[lane])
    return {} if scheme.startswith("amqp") else dict(_REDIS)
