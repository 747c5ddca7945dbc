"""What Celery and its transports are told, pinned: each option has a reason beside it, none came by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sync.programs import worker_argv
from sync.settings import read_settings
from tasks import LANES
from tasks.broker import options

ROOT = Path(__file__).parents[2]
REDIS = "redis://127.0.0.1:6379/0"

SHOW = """
import json
from celery import Celery
from celery_app import app
usual, known = Celery("another").conf.table(True, False), app.conf.table(True, False)
ours = {name: value for name, value in known.items() if value != usual.get(name)}
print(json.dumps({"ours": ours, "all": known}, default=str))
"""
ABSENT: dict[str, Any] = {
    "worker_max_memory_per_child": None,
    "worker_max_tasks_per_child": None,
    "task_time_limit": None,
    "task_soft_time_limit": None,
    "result_backend": None,
    "beat_schedule": {},
}

ALWAYS: dict[str, Any] = {
    "task_ignore_result": True,
    "task_default_queue": "prepare",
    "task_routes": {name: {"queue": lane} for lane, names in LANES.items() for name in names},
    "accept_content": ["json"],
    "task_serializer": "json",
    "task_store_eager_result": False,
    "task_reject_on_worker_lost": False,
    "worker_prefetch_multiplier": 1,
    "worker_enable_prefetch_count_reduction": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_send_task_events": False,
    "worker_enable_remote_control": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_soft_shutdown_timeout": 0,
    "broker_connection_timeout": 2,
    "broker_connection_retry_on_startup": True,
    "broker_connection_retry": True,
    "broker_connection_max_retries": None,
    "enable_utc": True,
}
OF_REDIS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "max_retries": 0,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    "visibility_timeout": 60,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
}


def told(lane: str, broker: str, home: Path) -> dict[str, Any]:
    """The application's options in a worker of this lane, by a process that imports it as a worker does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TONGFA_")}
    environment |= {"TONGFA_HOME": str(home), "TONGFA_BROKER_URL": broker, "WORKER_LANE": lane}
    command = [sys.executable, "-c", SHOW % list(ABSENT)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    made: dict[str, Any] = json.loads(ran.stdout)
    return made


def assert_pinned(made: dict[str, Any], pinned: dict[str, Any]) -> None:
    """All of these are so, and nothing that is not named here differs from what Celery does by itself."""
    expected = ALWAYS | pinned | ABSENT
    assert expected == {name: made["all"][name] for name in expected}
    assert {"broker_url"} >= made["ours"].keys() - expected.keys()


@pytest.mark.parametrize("lane", LANES)
def test_with_a_broker(lane: str, tmp_path: Path) -> None:
    """Acknowledged late; of Redis every wait is bounded, and what a dead worker had taken comes back in a minute."""
    made = told(lane, REDIS, tmp_path)
    pinned = {"task_acks_late": True, "broker_heartbeat": 10, "broker_transport_options": OF_REDIS}
    assert_pinned(made, pinned)


@pytest.mark.parametrize(("lane", "polls"), [("prepare", 0.02), ("release", 0.25)])
def test_without_one(lane: str, polls: float, tmp_path: Path) -> None:
    """The transport inside the process: nothing is acknowledged late, and it is polled as often as its lane needs."""
    made = told(lane, "", tmp_path)
    pinned = {
        "task_acks_late": False,
        "broker_heartbeat": 0,
        "broker_transport_options": {"polling_interval": polls},
    }
    assert_pinned(made, pinned)


def test_other_brokers_have_their_own_defaults() -> None:
    """RabbitMQ notices a vanished peer by its heartbeat, and has no use for Redis' options; Sentinel's are Redis'."""
    assert {} == options("amqp://guest@localhost//", "prepare") == options("amqps://localhost//", "release")
    assert OF_REDIS == options("sentinel://localhost:26379", "prepare") == options("rediss://localhost", "release")


@pytest.mark.parametrize(("lane", "threads"), [("prepare", 8), ("release", 16)])
def test_a_worker_is_threads_of_one_process(lane: str, threads: int) -> None:
    """Hence no limits of child processes; and it talks to no other worker."""
    argv = worker_argv(read_settings(), lane, "name")
    assert ("-P", "threads", "-c", str(threads)) == argv[argv.index("-P") :][:4]
    assert {"--without-gossip", "--without-mingle", "--without-heartbeat"} <= set(argv)
    assert not [one for one in argv if one.startswith(("--time-limit", "--soft-time-limit", "--max-"))]
