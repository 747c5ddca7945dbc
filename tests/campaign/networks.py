"""T-10: nine network faults on three links – database, broker, outlets – between real processes, at random moments.

A case breaks one link once, while several releases are on their way, and mends it. Then every release must come
to an end by itself within a minute: one copy at each outlet and none early, or a person is told.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from sync.engine.report import finished
from sync.flow import D
from tests.acceptance.installation import LAG, Installation, assert_done, micros, soon, write_item
from tests.acceptance.mode import Mode, Production, migrated
from tests.campaign.trial import Counts, Run, Trial
from tests.services.postgres import Postgres
from tests.services.proxy import FAULTS, Proxy
from tests.services.redis import running as running_redis

LINKS = ("database", "broker", "outlet")
OUTLETS = {"wechat": "wechat", "mastodon": "mastodon", "hook": "webhook"}
SITE = {"site": "website"}  # its address is the canonical one; it lies in a folder of this machine
HOOK = ("--set", "url=https://app.example/hook", "--set", "public_url_template=https://app.example/{item}")
RELEASES = 3  # of each case
HANG = 60.0  # seconds after the link is whole
# What the sandboxes do, they do at once; what a black hole held back reaches them when it ends.
LANDS = {"TONGFA_LANDS_WITHIN_S": "6", "TONGFA_BUDGETS": "live"}
LONGEST = {"database": 8.0, "broker": 8.0, "outlet": 4.0}  # seconds that a link is broken


class Given(Mode):
    """Settings that are there already."""

    def __init__(self, environment: Mapping[str, str], runs: Sequence[str]) -> None:
        self._environment, self._runs = dict(environment), tuple(runs)

    def environment(self, home: Path) -> dict[str, str]:
        return dict(self._environment)

    @property
    def runs(self) -> Sequence[str]:
        return self._runs


@dataclass(frozen=True)
class Linked:
    """An installation whose workers reach everything through links that can be broken; its commands do not."""

    installed: Installation
    links: Mapping[str, Sequence[Proxy]]

    def break_(self, link: str, fault: str) -> None:
        for one in self.links[link]:
            one.breaks(fault)

    def mend(self, link: str) -> None:
        for one in self.links[link]:
            one.heals()


def run_case(linked: Linked, case: int) -> Counts:
    """One fault on one link. Raises AssertionError, naming the case."""
    random = Random(f"T-10 {case}")
    link, fault = LINKS[case % len(LINKS)], FAULTS[case // len(LINKS) % len(FAULTS)]
    installed, folder = linked.installed, linked.installed.home.parent
    at = [soon(5.0 + RELEASES * installed.pace / 2 + random.uniform(0, 2.5)) for _ in range(RELEASES)]
    named = f"case {case}: {fault} on the link to the {link}"
    titles = [f"网络故障中的通告（{case}-{number}）" for number in range(RELEASES)]
    commands = [
        ("publish", write_item(folder / title, title), "--outlets", ",".join(SITE | OUTLETS), "--at", one, "--json")
        for title, one in zip(titles, at, strict=True)
    ]
    releases = [str(assert_done(installed.run(*command)).json["release"]) for command in commands]
    nap, moment = threading.Event(), min(micros(one) for one in at) / 1e6 + random.uniform(-4.0, 2.0)
    nap.wait(max(0.0, moment - time.time()))
    linked.break_(link, fault)
    nap.wait(random.uniform(0.2, LONGEST[link]))
    linked.mend(link)
    mended = time.monotonic()
    patience = max(0.0, max(micros(one) for one in at) / 1e6 - time.time()) + HANG
    counts: Counter[str] = Counter(faults=1)
    for title, release in zip(titles, releases, strict=True):
        try:
            told = installed.until(release, finished, max(1.0, patience - (time.monotonic() - mended)))
        except AssertionError:
            told = installed.report(release)
            counts["hang"] += 1
        counts.update(judged(installed, title, told))
    counts["mended_ms"] = round((time.monotonic() - mended) * 1000)
    wrong = [name for name in ZERO if counts[name]]
    assert not wrong, f"{named}: {', '.join(wrong)}: {[installed.report(release) for release in releases]}"
    return counts


def judged(installed: Installation, title: str, told: Mapping[str, Any]) -> Counter[str]:
    """What the outlets' own records say of a release, against what is told of it."""
    states = {one["outlet"]: one["state"] for one in told["deliveries"]}
    counts: Counter[str] = Counter(deliveries=len(states), held=told["state"] == "held")
    copies, release_at = installed.copies(title), told["release_at"]
    for outlet, state in states.items():
        appeared = copies.get(outlet, [])
        counts["early"] += sum(at < micros(release_at) - LAG for at in appeared)
        counts["duplicate"] += len(appeared) > 1
        counts["lost"] += state in (D.VERIFIED, D.RELEASED, D.CLOSED) and not appeared
        counts["parked"] += state in (D.UNRESOLVED, D.FAILED)
        counts["verified"] += state == D.VERIFIED
    return counts


ZERO = ("lost", "duplicate", "early", "hang")


@contextmanager
def linked(folder: Path) -> Iterator[Linked]:
    """Workers of both lanes, kept running, on a PostgreSQL, a Redis and three sandboxes behind links."""
    with ExitStack() as stack:
        postgres = migrated(stack.enter_context(Postgres()))
        redis = stack.enter_context(running_redis(folder / "redis"))
        home = folder / "home"
        production = Production(postgres, redis.fresh)
        near = Installation(home, LANDS, mode=production)
        for outlet, kind in (SITE | OUTLETS).items():
            near.add({outlet: kind}, *(HOOK if kind == "webhook" else ()))
        database = stack.enter_context(Proxy(lambda: postgres.port))
        broker = stack.enter_context(Proxy(lambda: redis.port))
        shown = {kind: stack.enter_context(Proxy(partial(_port, near, kind))) for kind in OUTLETS.values()}
        name = near.database.split("?")[0].rpartition("/")[2]
        through = {
            **near.env,
            "TONGFA_DATABASE_URL": f"postgresql://{Postgres.user}@127.0.0.1:{database.port}/{name}",
            "TONGFA_BROKER_URL": near.env["TONGFA_BROKER_URL"].replace(f":{redis.port}/", f":{broker.port}/"),
            "TONGFA_SANDBOX_URLS": ",".join(f"{kind}=http://127.0.0.1:{one.port}" for kind, one in shown.items()),
        }
        far = Installation(home, mode=Given(through, production.runs))
        far.up()
        stack.callback(far.down)
        near.knob("mastodon", "unlimited")  # of its limits others tell
        yield Linked(near, {"database": [database], "broker": [broker], "outlet": list(shown.values())})


def _port(installed: Installation, server: str) -> int:
    return urlsplit(installed.sandbox(server)).port or 0


@contextmanager
def _open() -> Iterator[Run]:
    folder = Path(tempfile.mkdtemp(prefix="networks-"))
    try:
        with linked(folder) as made:
            yield partial(run_case, made)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


TRIALS = (
    Trial(
        name="networks",
        what="T-10 nine network faults on the links to database, broker and outlets, between real processes",
        counted="faults",
        target=600,
        open=_open,
        zero=ZERO,
        worst=("mended_ms",),
    ),
)
