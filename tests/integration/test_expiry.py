"""Credentials that end are told of days ahead: by the log, by doctor and by the figures, and each once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prometheus_client.core import Metric

from sync.clock import SECOND, SetClock
from sync.contract import Budget, Capabilities, TryLater, Unauthorised
from sync.engine import outlook, upkeep
from sync.engine.context import Context
from sync.engine.pace import Pace
from sync.engine.purse import Purse
from sync.metrics import Figures
from sync.model import BadInput
from sync.ownership import ProcessLock
from sync.settings import read_settings
from sync.store import expiries, journal, outlets
from sync.store.assets import Assets
from sync.store.budgets import Account
from sync.store.session import Store
from sync.store.tables import Record
from tests.integration.outside import BareChannel
from tests.integration.rows import AT, OUTLET
from tests.integration.test_budgets import StoreInTime

HOUR = 3_600
DAY = 24 * HOUR
POSTS = Budget("帖子 · posts", 10, 600, reserve=4)


class Authorised(BareChannel):
    """An outlet whose credentials end. `ends`: by outlet, when; or what asking raises."""

    kind = "authorised"
    can: ClassVar[Capabilities] = replace(BareChannel.can, budgets=(POSTS,))
    ends: ClassVar[dict[str, int | Exception | None]] = {}
    asked: ClassVar[list[str]] = []

    def __init__(self, row: Record) -> None:
        self._name = row.name

    def expires(self) -> int | None:
        self.asked.append(self._name)
        answer = self.ends[self._name]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Plain:
    """An outlet of another kind, which tells nothing."""

    can = BareChannel.can


def kind(name: str) -> Any:
    if name == "newer":
        raise BadInput("kind newer", "there is no such kind", "")
    return Authorised if name == "authorised" else Plain


@pytest.fixture
def clock() -> SetClock:
    return SetClock(AT)


@pytest.fixture
def ctx(store: Store, clock: SetClock, tmp_path: Path) -> Iterator[Context]:
    """Of the outlets `feed`, which tells when its credentials end, and `blog`, which does not."""
    Authorised.ends, Authorised.asked = {}, []
    own = StoreInTime(store.url, clock)
    with own.write() as connection:
        for name, of in (("feed", "authorised"), ("future", "newer")):
            outlets.add(connection, {**OUTLET, "name": name, "kind": of}, at=AT, actor="test")
    (tmp_path / "workers").mkdir()
    lock = ProcessLock(tmp_path / "workers", "prepare")
    made = Context(
        store=own,
        assets=Assets(tmp_path / "assets"),
        settings=read_settings(home=tmp_path),
        clock=clock,
        kind=kind,
        channel=lambda row: Authorised(row) if row.kind == "authorised" else Plain(),  # type: ignore[arg-type,return-value]
        ring=lambda lane: None,
        lock=lock,
        actor="prepare-1",
    )
    yield made
    lock.release()
    own.close()


def looks(ctx: Context) -> int:
    """Everything that is due now; how often the outlet was asked."""
    while upkeep.is_due(ctx):
        upkeep.run(ctx)
    return len(Authorised.asked)


def told(ctx: Context) -> list[tuple[str, str]]:
    with ctx.store.read() as connection:
        return [(one.act, one.state) for one in journal.of(connection, "credentials", "feed")]


def finding(found: list[Any]) -> dict[str, str]:
    return {one.check: one.level for one in found}


def test_people_are_told_a_week_and_a_day_ahead_and_once_each(
    ctx: Context, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    """By an entry and a line of the log; asked about once a day, and by one worker."""
    caplog.set_level(logging.WARNING)
    Authorised.ends["feed"] = AT + 9 * DAY * SECOND
    assert (1, []) == (looks(ctx), told(ctx))
    assert 1 == looks(ctx)
    clock.advance(2 * DAY + 1)
    assert (2, [("expiring", "soon")]) == (looks(ctx), told(ctx))
    for _ in range(5):
        clock.advance(DAY + 1)
        looks(ctx)
    assert [("expiring", "soon")] == told(ctx)
    clock.advance(DAY + 1)
    looks(ctx)
    assert [("expiring", "soon"), ("expiring", "now")] == told(ctx)
    said = [one.getMessage() for one in caplog.records if one.name == "sync.engine.upkeep"]
    assert ["feed: the credentials end at 2023-11-23T22:13:20.000Z"] * 2 == said
    clock.advance(3 * DAY)
    looks(ctx)
    assert 2 == len(told(ctx))


def test_who_hears_of_it_too_late_hears_it_all_the_same(ctx: Context, clock: SetClock) -> None:
    """Credentials that have ended already are told of as such."""
    Authorised.ends["feed"] = AT - HOUR * SECOND
    looks(ctx)
    assert [("expired", "now")] == told(ctx)


def test_new_credentials_are_asked_about_at_once(ctx: Context, clock: SetClock) -> None:
    """And what was told of the old ones is told anew when the new ones end."""
    Authorised.ends["feed"] = AT + 2 * DAY * SECOND
    assert 1 == looks(ctx)
    with ctx.store.write() as connection:
        row = outlets.get(connection, "feed")
        outlets.change(connection, row, "changed", at=AT, actor="me", secrets={"token": "v1.sealed"})
    Authorised.ends["feed"] = AT + 30 * DAY * SECOND
    assert (2, [("expiring", "soon")]) == (looks(ctx), told(ctx))
    clock.advance(25 * DAY)
    looks(ctx)
    assert [("expiring", "soon")] * 2 == told(ctx)


def test_what_an_outlet_does_not_tell_is_asked_again_in_an_hour(ctx: Context, clock: SetClock) -> None:
    """What it told last is still known."""
    Authorised.ends["feed"] = AT + 2 * DAY * SECOND
    looks(ctx)
    Authorised.ends["feed"] = TryLater("no answer")
    clock.advance(DAY)
    assert 2 == looks(ctx)
    clock.advance(HOUR - 1)
    assert 2 == looks(ctx)
    clock.advance(1)
    assert 3 == looks(ctx)
    with ctx.store.read() as connection:
        assert AT + 2 * DAY * SECOND == expiries.current(connection)["feed"].expires_at


def test_an_outlet_that_is_retired_is_asked_no_more(ctx: Context, clock: SetClock) -> None:
    Authorised.ends["feed"] = None
    assert (1, []) == (looks(ctx), told(ctx))
    with ctx.store.write() as connection:
        outlets.change(connection, outlets.get(connection, "feed"), "retired", at=AT, actor="me", state="retired")
    clock.advance(2 * DAY)
    assert 1 == looks(ctx)


@pytest.mark.parametrize(
    ("days", "level"), [(30, "ok"), (7.5, "ok"), (7, "note"), (1.5, "note"), (1, "bad"), (-1, "bad")]
)
def test_doctor_tells_of_it(ctx: Context, days: float, level: str) -> None:
    """Asking the outlet itself; its mend is to authorise anew."""
    Authorised.ends["feed"] = AT + round(days * DAY) * SECOND
    (one,) = outlook.credentials(ctx)
    assert ("credentials feed", level) == (one.check, one.level)
    assert level == "ok" or "outlet set feed --secret" in one.mend.en  # type: ignore[union-attr]


def test_doctor_tells_what_was_last_known_of_one_that_does_not_answer(ctx: Context) -> None:
    """That it does not answer is another finding. Of one that never told nothing is said."""
    Authorised.ends["feed"] = Unauthorised("revoked")
    assert [] == outlook.credentials(ctx)
    Authorised.ends["feed"] = AT + 3 * DAY * SECOND
    looks(ctx)
    Authorised.ends["feed"] = TryLater("no answer")
    with ctx.store.write() as connection:
        expiries.keep(connection, outlets.get(connection, "feed"), expires_at=AT + 2 * DAY * SECOND)
    assert {"credentials feed": "note"} == finding(outlook.credentials(ctx))


def test_doctor_tells_of_what_is_left_alone_waits_or_is_used_up(ctx: Context, clock: SetClock) -> None:
    """Dead: somebody has to look. That an outlet asked for patience, or grants no more, is worth knowing."""
    view, row = Pace.of(ctx), _feed(ctx)
    assert [] == [*outlook.breakers(ctx), *outlook.patience(ctx), *outlook.used_up(ctx)]
    view.heard(row, TryLater("429", AT + 60 * SECOND))
    for _ in range(5):
        view.heard(row, TryLater("no connection"))
    purse = Purse(ctx.store, clock)
    for _ in range(6):
        purse.spend(Account("feed", False), [POSTS], taken={})
    assert {"breaker feed": "bad"} == finding(outlook.breakers(ctx))
    assert "no connection" in outlook.breakers(ctx)[0].message.en  # type: ignore[union-attr]
    assert {"patience feed": "note"} == finding(outlook.patience(ctx))
    assert {"budget feed": "note"} == finding(outlook.used_up(ctx))
    view.looked(row, None)
    clock.advance(600)
    assert [] == [*outlook.breakers(ctx), *outlook.patience(ctx), *outlook.used_up(ctx)]


def _feed(ctx: Context) -> Record:
    with ctx.store.read() as connection:
        return outlets.get(connection, "feed")


def test_the_figures_tell_it_all(ctx: Context, clock: SetClock) -> None:
    """Without asking an outlet: dead or not, how long it wants to be left alone, what is left, when it is locked."""
    Authorised.ends["feed"] = AT + 2 * DAY * SECOND
    looks(ctx)
    asked = len(Authorised.asked)
    view, row = Pace.of(ctx), _feed(ctx)
    view.heard(row, TryLater("429", AT + 60 * SECOND))
    for _ in range(5):
        view.heard(row, TryLater("no connection"))
    Purse(ctx.store, clock).spend(Account("feed", False), [POSTS], taken={})
    with ctx.store.read() as connection:
        found = {one.name: one for one in Figures(ctx)._outlets(connection, clock.now())}
    assert {"feed": 1.0, "blog": 0.0, "future": 0.0} == _values(found["tongfa_outlet_breaker"])
    assert {"feed": 60.0, "blog": 0.0, "future": 0.0} == _values(found["tongfa_outlet_patience_seconds"])
    assert {"feed": 9.0} == _values(found["tongfa_outlet_budget_left"])
    assert {"feed": float(2 * DAY)} == _values(found["tongfa_outlet_credentials_expire_seconds"])
    assert asked == len(Authorised.asked)


def _values(family: Metric) -> dict[str, float]:
    return {one.labels["outlet"]: one.value for one in family.samples}
