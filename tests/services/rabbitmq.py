"""A RabbitMQ node of the tests' own: private ports, private folders, and no rights on this machine."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kombu
from amqp.exceptions import NotFound

from tests.services.redis import free_port

PROGRAM = Path(
    "/usr/lib/rabbitmq/bin/rabbitmq-server"
)  # Debian's wrapper in /usr/sbin insists on its own user and folders
USER = "nobody"  # when the tests run as root; a broker is no business of root's
PATIENCE = 90.0  # seconds; Erlang starts slowly beside other tests
HOST = "127.0.0.1"


class RabbitMQ:
    """One node: `url` is its address for Celery."""

    def __init__(self) -> None:
        """Nothing runs yet. The folder is not pytest's, through which its user may not pass."""
        self.folder = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
        self.port, self._between, self._mapper = free_port(), free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._plugins, self._config = self.folder / "enabled_plugins", self.folder / "rabbitmq.conf"
        self._plugins.write_text("[].\n")
        self._config.write_text(f"listeners.tcp.1 = {HOST}:{self.port}\nloopback_users = none\nlog.console = true\n")
        for part in ("base", "log", "home"):
            (self.folder / part).mkdir()
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, USER)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}//"

    def start(self) -> None:
        """Returns when it takes connections."""
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder / "home"),  # where Erlang keeps its cookie
            "RABBITMQ_NODENAME": f"tongfa-{secrets.token_hex(4)}@localhost",
            "RABBITMQ_BASE": str(self.folder / "base"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "base" / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self._config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._plugins),
            "RABBITMQ_DIST_PORT": str(self._between),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "1",
        }
        user = USER if os.geteuid() == 0 else None
        with (self.folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment,
                user=user,
                group=pwd.getpwnam(USER).pw_gid if user else None,
                extra_groups=[] if user else None,
                start_new_session=True,
            )
        ends = time.monotonic() + PATIENCE
        while not self._answers():
            told = self.folder / "node.log"
            assert self._process.poll() is None and time.monotonic() < ends, told.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """The node, the port mapper that it started, and their folder."""
        assert self._process is not None
        for number, within in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
            os.killpg(self._process.pid, number)
            try:
                self._process.wait(within)
                break
            except subprocess.TimeoutExpired:
                continue
        mapper = {**os.environ, "ERL_EPMD_PORT": str(self._mapper), "ERL_EPMD_ADDRESS": HOST}
        subprocess.run(["epmd", "-kill"], env=mapper, capture_output=True, timeout=10, check=False)
        self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def queue(self, name: str) -> tuple[int, int] | None:
        """How many messages wait in a queue, and how many workers listen to it; None: there is none yet."""
        connect: Any = kombu.Connection  # type: ignore[attr-defined]
        with connect(self.url) as connection:
            try:
                told = connection.channel().queue_declare(name, passive=True)
            except NotFound:
                return None
            return told.message_count, told.consumer_count

    def _answers(self) -> bool:
        """Whether it speaks AMQP: the greeting of a client is answered."""
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as caller:
                caller.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(caller.recv(1))
        except OSError:
            return False


@contextmanager
def running() -> Iterator[RabbitMQ]:
    """A RabbitMQ node for the time of the block."""
    node = RabbitMQ()
    try:
        node.start()
        yield node
    finally:
        node.stop()
