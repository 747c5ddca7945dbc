"""The broker is a doorbell: absent, stopped, frozen, flushed or back again, everything goes out, once and on time.

The instants are a tenth of those that an operator would fear: from T−6 s to T+1 s instead of a minute and ten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync.clock import MILLISECOND, SECOND
from tests.acceptance.host import WORKERS
from tests.acceptance.installation import (
    LAG,
    QUICK,
    Installation,
    assert_done,
    eventually,
    micros,
    now,
    passed,
    running,
    soon,
    write_item,
)
from tests.acceptance.mode import Production
from tests.services import rabbitmq
from tests.services.postgres import Postgres
from tests.services.redis import Redis

OUTLETS = {"wechat": "wechat", "mastodon": "mastodon"}
WINDOW = 2 * SECOND  # µs after its instant in which a shot may leave
BEFORE, AFTER = 6 * SECOND, 1 * SECOND  # µs around the instant, in which the broker is in trouble
ARMED = 3 * SECOND  # µs before the instant at which a release is armed: the trouble begins before, and lasts beyond
ENV = {**QUICK, "TONGFA_ARM_BEFORE_S": str(ARMED // SECOND)}
SELDOM = {**QUICK, "TONGFA_SWEEP_MS": "30000"}
RUNG = 10 * SECOND  # µs from the plan until the last reader saw it: no sweeper looked by itself meanwhile
HEARD = 45.0  # seconds after which every worker listens again: they try after 2, 4, 6 … seconds


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Not started yet."""
    server = Redis(tmp_path_factory.mktemp("doorbell"))
    yield server
    if server.runs:
        server.thaw()
        server.stop()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, redis: Redis) -> Iterator[Installation]:
    """Two workers of each lane, started while nobody answers at the broker's address."""
    folder = tmp_path_factory.mktemp("broker")
    with running(folder, mode=Production(postgres, redis.fresh), outlets=OUTLETS, env=ENV) as started:
        yield started


def test_absent_when_the_workers_start(installed: Installation, redis: Redis, tmp_path: Path) -> None:
    """An item goes out all the same; when the broker comes, every worker listens."""
    assert not redis.runs
    planned = Planned(installed, tmp_path, "门铃缺席时的通告", installed.soon())
    planned.assert_on_time()
    redis.start()
    assert_all_listen(redis)
    assert_prompt(installed, redis, tmp_path, "门铃到来之后的通告")


def stopped(redis: Redis) -> None:
    redis.stop()


def frozen(redis: Redis) -> None:
    redis.freeze()


def flushed(redis: Redis) -> None:
    redis.flush()


@pytest.mark.parametrize("trouble", [stopped, frozen, flushed], ids=lambda act: act.__name__)
def test_in_trouble_around_the_instant(
    installed: Installation, redis: Redis, tmp_path: Path, trouble: Callable[[Redis], None]
) -> None:
    """What was planned before goes out on time, what is planned meanwhile at once; afterwards nobody is deaf."""
    if not redis.runs:  # run without the first test
        redis.start()
    assert_all_listen(redis)
    name = trouble.__name__
    at = micros(soon(10 + 3 * installed.pace))
    before = Planned(installed, tmp_path, f"门铃 {name} 之前预置的通告", at)
    passed(at - BEFORE)
    trouble(redis)
    workers = [one["worker"] or "" for one in installed.report(before.release)["deliveries"]]
    assert not any(one.startswith("release-") for one in workers), "armed already"
    assert now() < at - ARMED, "in trouble too late to prove anything"
    meanwhile = Planned(installed, tmp_path, f"门铃 {name} 期间即时发布的通告", "now")
    passed(at + AFTER)
    before.assert_on_time()
    meanwhile.assert_once_everywhere()
    if not redis.runs:
        redis.start()
    redis.thaw()
    assert_all_listen(redis)
    assert_prompt(installed, redis, tmp_path, f"门铃 {name} 恢复之后的通告")


def test_rabbitmq_rings_too(tmp_path: Path, postgres: Postgres) -> None:
    """One item through: with sweepers that look once in half a minute it is the rings that bring it there."""
    with (
        rabbitmq.running() as node,
        running(tmp_path, mode=Production(postgres, lambda: node.url), outlets=OUTLETS, env=SELDOM) as installed,
    ):
        for lane, many in WORKERS.items():
            eventually(lambda lane=lane, many=many: node.queue(lane) == (0, many))  # type: ignore[misc]
        planned = Planned(installed, tmp_path, "经由 RabbitMQ 的通告", "now")
        planned.assert_once_everywhere()
        planned.assert_rung()


class Planned:
    """A release to all outlets that nobody waits for."""

    def __init__(self, installed: Installation, folder: Path, title: str, at: str | int) -> None:
        item = write_item(folder / title, title)
        when = at if isinstance(at, str) else soon((at - now()) / SECOND)
        command = ("publish", item, "--outlets", ",".join(OUTLETS), "--at", when, "--json")
        self._installed, self._title = installed, title
        self.release = str(assert_done(installed.run(*command)).json["release"])

    def assert_once_everywhere(self) -> None:
        """In the end: exit 0, every delivery verified, one copy at each outlet, none early."""
        shown = self._installed.run("release", "show", self.release, "--wait", "180", "--json")
        self._told = shown.json
        assert (0, "released") == (shown.code, self._told["state"]), shown.out
        assert {"verified"} == {one["state"] for one in self._told["deliveries"]}
        copies = self._installed.copies(self._title)
        assert dict.fromkeys(OUTLETS, 1) == {outlet: len(appeared) for outlet, appeared in copies.items()}
        assert all(appeared[0] >= micros(self._told["release_at"]) - LAG for appeared in copies.values())

    def assert_on_time(self) -> None:
        """And every shot left in its window."""
        self.assert_once_everywhere()
        late = [micros(one["sent_at"]) - micros(self._told["release_at"]) for one in self._told["deliveries"]]
        print(f"sent after the instant, ms: {[one // MILLISECOND for one in late]}")
        assert all(0 <= one <= WINDOW for one in late), late

    def assert_rung(self) -> None:
        """From the plan to the last verdict, sooner than any sweeper looks by itself."""
        asked = ("log", "list", "--item", self._told["item"], "--json")
        entries = assert_done(self._installed.run(*asked)).json["entries"]
        took = micros(entries[-1]["at"]) - micros(entries[0]["at"])
        print(f"from plan to verified: {took // MILLISECOND} ms")
        assert took < RUNG, [(one["act"], one["outlet"], one["at"]) for one in entries]


def assert_all_listen(redis: Redis) -> None:
    """Every worker of both lanes waits for the next ring."""
    eventually(lambda: redis.listening() == sum(WORKERS.values()), HEARD)


def assert_prompt(installed: Installation, redis: Redis, folder: Path, title: str) -> None:
    """A new item goes through, and what was rung for it was heard."""
    before = redis.rung()
    planned = Planned(installed, folder, title, "now")
    planned.assert_once_everywhere()
    planned.assert_rung()
    assert redis.rung() > before
    url = installed.env["TONGFA_BROKER_URL"]
    eventually(lambda: all(redis.length(lane, url) == 0 for lane in WORKERS))
