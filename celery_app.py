"""The Celery application: broker, queues, routes. Run by `tongfa worker`, never by a command."""

import os
import signal
import sys

from celery import Celery
from celery.apps import worker as celery_worker
from celery.signals import setup_logging

from sync import logs
from sync.bell import LOOK
from sync.settings import read_settings
from tasks import LANES, TASKS, base
from tasks.broker import HEARTBEAT, options
from tasks.look import look
from tasks.sweep import Sweeper

settings = read_settings()
if "WORKER_LANE" in os.environ:  # until Celery listens for it: nothing has begun that an end could interrupt
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    # Celery warns of root before it sets logging up, and of its end by writing past it: lines of theirs would be none.
    logs.take_over(base.lane(), str(os.getpid()))
    celery_worker.safe_say = lambda message, stream=None: logs.write(base.lane(), message)


@setup_logging.connect  # type: ignore[untyped-decorator]
def log_as_json(**_: object) -> None:
    logs.configure(base.lane(), base.ctx().owner)


app = Celery("tongfa", broker=settings.broker)
app.conf.update(
    task_ignore_result=True,
    task_default_queue="prepare",
    task_routes={name: {"queue": lane} for lane, names in LANES.items() for name in names},
    accept_content=["json"],
    task_serializer="json",
    task_store_eager_result=False,
    # A message holds ids, and the claim is in the database: a repeated one finds nothing, a lost one is rung again.
    # Acknowledged late, with this multiplier, a process takes no message that another one could begin now.
    task_acks_late=settings.broker_url is not None,
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    worker_enable_prefetch_count_reduction=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,  # an outlet that was asked is waited for
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_soft_shutdown_timeout=0,
    # No worker_max_memory_per_child, worker_max_tasks_per_child, task_time_limit or task_soft_time_limit: they are for
    # pools of child processes. Workers run threads (`-P threads`), which nobody can end from outside, and Celery
    # leaves them out there without a word. What bounds an act instead: every call's own deadline (`sync.http`), memory
    # and time of the children that read strangers' files (`sync.confine`), statements' timeouts (`sync.postgres`), and
    # for the whole process whoever runs it (`MemoryMax=` of systemd, `mem_limit` of Compose).
    broker_heartbeat=HEARTBEAT if settings.broker_url is not None else 0,
    broker_connection_timeout=2,
    broker_connection_retry_on_startup=True,
    broker_connection_retry=True,
    broker_connection_max_retries=None,  # for ever
    broker_transport_options=options(settings.broker, os.environ.get("WORKER_LANE", "prepare")),
    enable_utc=True,
)
for name, act in TASKS.items():
    app.task(act, name=name)
app.task(look, name=LOOK)
app.steps["worker"].add(Sweeper)
