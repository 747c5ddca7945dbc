"""The Celery application: broker, queues, routes. Run by `tongfa worker`, never by a command."""

from celery import Celery

from sync.settings import read_settings
from tasks import LANES, TASKS
from tasks.sweep import Sweeper

settings = read_settings()

app = Celery("tongfa", broker=settings.broker)
app.conf.update(
    task_ignore_result=True,
    task_default_queue="prepare",
    task_routes={name: {"queue": lane} for lane, names in LANES.items() for name in names},
    accept_content=["json"],
    task_serializer="json",
    task_store_eager_result=False,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_soft_shutdown_timeout=0,
    broker_heartbeat=0,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"polling_interval": 0.02} if settings.broker_url is None else {},
    enable_utc=True,
)
for name, act in TASKS.items():
    app.task(act, name=name)
app.steps["worker"].add(Sweeper)
