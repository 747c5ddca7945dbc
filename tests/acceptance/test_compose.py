"""docker-compose.yml: what it promises, and that the very commands in it make an installation that publishes.

There is no container runtime here: the commands run as plain processes, with the environment that the file
gives them. Only names of hosts, ports and folders are exchanged for private ones.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.bootstrap import kinds, sandbox_of
from sync.settings import Settings, variable
from sync.vault import read_key
from tests.acceptance.forks import Result
from tests.acceptance.installation import Installation, assert_done, eventually, write_item
from tests.acceptance.mode import TONGFA
from tests.services.postgres import Postgres
from tests.services.redis import free_port

ROOT = Path(__file__).resolve().parents[2]
FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = sorted(name for name, one in SERVICES.items() if one["image"].startswith("tongfa:"))
SANDBOXES = sorted(name for name in SERVICES if name.startswith("sandbox-"))
STAY = sorted(SERVICES.keys() - {"migrate", "tongfa"})  # what runs until it is told to end
UNPUBLISHED = sorted(SERVICES.keys() - set(SANDBOXES))
HOME = "/var/lib/tongfa"
SECRET = {"POSTGRES_PASSWORD": secrets.token_hex(8), "REDIS_PASSWORD": secrets.token_hex(8)}


@pytest.mark.parametrize("name", SERVICES)
def test_nobody_has_more_rights_than_needed(name: str) -> None:
    """No root, nothing writable but volumes and memory, no capability, and none to be had."""
    one = SERVICES[name]
    assert one["user"] not in ("root", "0", "0:0")
    assert one["read_only"] is True
    assert ["ALL"] == one["cap_drop"]
    assert ["no-new-privileges:true"] == one["security_opt"]
    assert not {"privileged", "cap_add", "devices", "pid", "network_mode", "ipc"} & one.keys()
    assert all(not mount.startswith("/") and "docker.sock" not in mount for mount in one["volumes"])


@pytest.mark.parametrize("name", OURS)
def test_our_own_image_runs_under_a_number_of_its_own(name: str) -> None:
    assert "10001:10001" == SERVICES[name]["user"]
    assert any(one.startswith("/tmp:") for one in SERVICES[name]["tmpfs"])


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_named_by_version(name: str) -> None:
    """Never `latest`; the first lines say how to pin them for good."""
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?(-\w+)?", tag)


def test_enough_workers_of_each_lane() -> None:
    """Four prepare, and more than one release."""
    assert 4 == SERVICES["prepare"]["deploy"]["replicas"]
    assert 2 <= SERVICES["release"]["deploy"]["replicas"]


@pytest.mark.parametrize("name", UNPUBLISHED)
def test_nothing_is_reachable_from_outside(name: str) -> None:
    assert "ports" not in SERVICES[name]


@pytest.mark.parametrize("name", SANDBOXES)
def test_a_sandbox_is_seen_from_this_machine_only_and_knows_no_secret(name: str) -> None:
    """It does not run unless asked for, and reaches neither the database nor the broker."""
    one = SERVICES[name]
    assert ["sandbox"] == one["profiles"]
    assert all(port.startswith("127.0.0.1:") for port in one["ports"])
    assert ["outside"] == one["networks"]
    assert not one["environment"] and not one["secrets"]


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_what_is_kept_is_kept_in_a_volume_and_served_inside_only(name: str) -> None:
    assert ["inside"] == SERVICES[name]["networks"]
    assert FILE["networks"]["inside"]["internal"] is True
    assert all(mount.partition(":")[0] in FILE["volumes"] for mount in SERVICES[name]["volumes"])


def test_redis_forgets_nothing_and_says_its_password_to_nobody() -> None:
    """Append-only, refusing rather than evicting, and the password in no argument."""
    command = SERVICES["redis"]["command"][-1]
    for promise in ("--appendonly yes", "--maxmemory-policy noeviction", "-@dangerous"):
        assert promise in command
    assert "REDIS_PASSWORD:" not in command and "requirepass" not in command
    assert all("REDIS_PASSWORD" not in line for line in command.splitlines() if "redis-server" in line)


def test_no_secret_is_in_the_file() -> None:
    """Passwords have no default and the key is a secret of its own, outside the image and the volumes."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.findall(r"\$\{\w*PASSWORD(?!:\?)", text)
    key = FILE["secrets"]["tongfa_key"]["file"]
    assert key.startswith("./secrets/")
    assert "/secrets/" in (ROOT / ".gitignore").read_text().split()
    assert "/.env" in (ROOT / ".gitignore").read_text().split()
    told = SERVICES["prepare"]["environment"]["TONGFA_SECRET_KEY_FILE"]
    assert "/run/secrets/tongfa_key" == told and not told.startswith(HOME)


def test_every_setting_in_it_is_one() -> None:
    known = {variable(name) for name in Settings.model_fields}
    given = {name for one in OURS for name in SERVICES[one]["environment"] if name.startswith("TONGFA_")}
    assert given <= known


def test_every_sandbox_there_is_has_a_service_and_an_address() -> None:
    """So that any outlet can be tried."""
    servers = {sandbox_of(name) for name in kinds()}
    told = SERVICES["prepare"]["environment"]["TONGFA_SANDBOX_URLS"]
    addresses = dict(pair.split("=", 1) for pair in told.split(","))
    assert servers == addresses.keys() == {name.removeprefix("sandbox-") for name in SANDBOXES}
    for server, address in addresses.items():
        one = SERVICES[f"sandbox-{server}"]
        given = dict(zip(one["command"][3::2], one["command"][4::2], strict=True))
        assert f"http://{one['hostname']}:{given['--port']}" == address
        assert f"channels.sandbox.{server}" == one["command"][2]
        assert f"{HOME}/sandbox/{server}" == given["--home"]


def test_workers_wait_for_the_database_and_not_for_the_broker() -> None:
    """A doorbell that is broken keeps nobody from working."""
    for name in ("prepare", "release"):
        assert {"migrate": {"condition": "service_completed_successfully"}} == SERVICES[name]["depends_on"]
        assert ["tongfa", "worker", "--lane", name, "--check"] == SERVICES[name]["healthcheck"]["test"][1:]
    assert {"postgres": {"condition": "service_healthy"}} == SERVICES["migrate"]["depends_on"]
    assert all("healthcheck" in SERVICES[name] for name in ("postgres", "redis"))
    assert all("unless-stopped" == SERVICES[name]["restart"] for name in STAY)


def test_the_image() -> None:
    """From locked files by their hashes, as an ordinary user, with everything that runs and nothing that is private."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines)
    assert "FROM python:3.11-slim-bookworm" == lines[0]
    assert "--require-hashes" in text and "-r requirements/runtime.txt" in text
    assert "USER 10001:10001" in lines and "fonts-noto-cjk" in text
    copied = [part for line in lines if line.startswith("COPY ") for part in line.split()[1:-1]]
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert set(copied) == set(let_in)
    assert all((ROOT / part).exists() for part in copied)
    assert {"sync", "channels", "tasks", "templates", "celery_app.py", "pyproject.toml"} <= set(copied)
    assert "*" == (ROOT / ".dockerignore").read_text().splitlines()[1]


# the commands


@dataclass
class Host:
    """Runs services of the file as processes: private folders and ports instead of the containers' own."""

    folder: Path
    services: dict[str, dict[str, Any]] = field(default_factory=lambda: deepcopy(SERVICES))
    exchanged: dict[str, str] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        inherited = {one: value for one, value in os.environ.items() if not one.startswith("TONGFA_")}
        given = {one: self.here(str(value)) for one, value in (self.services[name]["environment"] or {}).items()}
        return {**inherited, "PATH": f"{TONGFA.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), **given}

    def command(self, name: str, key: str = "command") -> list[str]:
        return [self.here(part) for part in self.services[name][key]]

    def here(self, text: str) -> str:
        """What compose would make of it, and then what it is called on this machine."""
        text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: SECRET[found[1]], text)
        text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: found[2], text).replace("$$", "$")
        for there, here in self.exchanged.items():
            text = text.replace(there, here)
        return text

    @contextmanager
    def service(self, name: str, number: int = 1) -> Iterator[subprocess.Popen[bytes]]:
        """One container of a service, until the end of the block; told to end as `docker compose down` tells it."""
        dies_with_us = [sys.executable, "-I", "-S", str(ROOT / "sync" / "child.py"), str(os.getpid())]
        with (self.folder / f"{name}-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [*dies_with_us, *self.command(name)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**self.environment(name), "LANG": "C.UTF-8", **SECRET},
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    def run(self, *command: str | Path, name: str = "tongfa") -> Result:
        done = subprocess.run(
            command,
            env=self.environment(name),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr, 0)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Everything in the file runs, but for PostgreSQL, whose image is nobody's here: a private server stands for it."""
    folder = tmp_path_factory.mktemp("compose")
    (folder / "key").write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n")  # as `openssl rand -base64 32` does
    (folder / "key").chmod(0o600)
    assert 32 == len(read_key(folder / "key"))
    for part in ("home", "redis", "redis-run"):
        (folder / part).mkdir()
    ports = {name: free_port() for name in (*SANDBOXES, "redis", "web")}
    made = Host(folder)
    with Postgres(password=SECRET["POSTGRES_PASSWORD"]) as postgres, ExitStack() as stack:
        postgres.database(name="tongfa")
        made.exchanged = {
            "@postgres:5432/": f"@127.0.0.1:{postgres.port}/",
            "@redis:6379/": f"@127.0.0.1:{ports['redis']}/",
            "--port 6379": f"--port {ports['redis']} --bind 127.0.0.1",
            "--dir /data": f"--dir {folder / 'redis'}",
            "/run/redis/": f"{folder / 'redis-run'}/",
            "/run/secrets/tongfa_key": str(folder / "key"),
            HOME: str(folder / "home"),
            **{f"{one}:{_published(one)}": f"127.0.0.1:{ports[one]}" for one in SANDBOXES},
            "127.0.0.1:8080": f"127.0.0.1:{ports['web']}",
        }
        for one in SANDBOXES:
            command = SERVICES[one]["command"]
            private = {one: "127.0.0.1", _published(one): str(ports[one])}
            made.services[one]["command"] = [private.get(part, part) for part in command]
        made.services["web"]["command"] = [{"8080": str(ports["web"])}.get(part, part) for part in made.command("web")]
        stack.enter_context(made.service("redis"))
        assert_done(made.run(*made.command("migrate"), name="migrate"))
        for one in SANDBOXES:
            stack.enter_context(made.service(one))
        for lane in ("prepare", "release"):
            for number in range(SERVICES[lane]["deploy"]["replicas"]):
                stack.enter_context(made.service(lane, number + 1))
        stack.enter_context(made.service("web"))
        yield made


def _published(sandbox: str) -> str:
    """Its port, inside as on this machine."""
    return str(SERVICES[sandbox]["ports"][0].split(":")[1])


def test_what_the_file_starts_publishes_an_item(host: Host, tmp_path: Path) -> None:
    """Set up, healthy, and one item verified on a website, a gazette and two accounts, as the first lines say."""
    for lane in ("prepare", "release"):
        many = SERVICES[lane]["deploy"]["replicas"]
        check = [*host.command("tongfa", "entrypoint"), *SERVICES[lane]["healthcheck"]["test"][2:], "--json"]
        eventually(lambda check=check, many=many: many == len(pids(host.run(*check))), 120)  # type: ignore[misc]
    outlets = {"site": "website", "gazette": "gazette", "mastodon": "mastodon", "wechat": "wechat"}
    entrypoint = host.command("tongfa", "entrypoint")
    for name, kind in outlets.items():
        assert_done(host.run(*entrypoint, "outlet", "add", name, "--kind", kind))
    item = write_item(tmp_path, "经由编排文件发布的通告")
    told = assert_done(host.run(*entrypoint, "publish", item, "--outlets", ",".join(outlets), "--wait", "90", "--json"))
    assert {"verified"} == {one["state"] for one in told.json["deliveries"]}
    looking = Installation(host.folder / "home", outlets=host.folder / "home" / "sandbox")
    assert dict.fromkeys(outlets, 1) == {name: len(at) for name, at in looking.copies("经由编排文件发布的通告").items()}


def test_the_web_process_answers_and_refuses(host: Host) -> None:
    """Its health check passes, and nobody is heard who has not signed."""
    check = [host.here(part) for part in SERVICES["web"]["healthcheck"]["test"][1:]]
    eventually(lambda: host.run(*check).code == 0 or None, 60)
    forged = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/callback/wechat?signature=0', b'x')"
    assert "403" in host.run("python", "-c", host.here(forged)).err


def test_health_is_told_by_lane_and_host(host: Host) -> None:
    """A lane that nobody serves on this host is not healthy: exit 7."""
    nobody = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$0" "$@"', str(TONGFA)]
    told = host.run(*nobody, "worker", "--lane", "prepare", "--check")
    assert 7 == told.code, told.err


def test_the_password_of_redis_is_asked_and_nobody_may_flush(host: Host) -> None:
    port = re.search(r"--port (\d+)", host.command("redis")[-1])
    assert port is not None
    ask = ["redis-cli", "-p", port[1], "--no-auth-warning"]
    password: Mapping[str, str] = {**os.environ, "REDISCLI_AUTH": SECRET["REDIS_PASSWORD"]}

    def answer(*words: str, env: Mapping[str, str]) -> str:
        return subprocess.run([*ask, *words], env=env, capture_output=True, text=True, check=False).stdout

    assert "NOAUTH" in answer("PING", env=os.environ)
    assert "PONG" in answer("PING", env=password)
    assert "NOPERM" in answer("FLUSHALL", env=password)
    assert "NOPERM" in answer("CONFIG", "GET", "*", env=password)


def pids(told: Result) -> list[int]:
    """The workers that a health check found on this host."""
    return list(told.json["pids"]) if told.out else []
