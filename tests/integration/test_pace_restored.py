"""What outlets granted, asked for and handed out comes back with a backup, and means what it meant before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sync import archive
from sync.bootstrap import context
from sync.clock import SECOND
from sync.contract import Ambiguous, Budget, Fresh, TryLater
from sync.engine.context import Context
from sync.engine.evidence import reading
from sync.engine.pace import Pace
from sync.engine.tokens import TokenKeeper
from sync.model import Capture, Sighting
from sync.store import budgets, items, outlets, pace, readings, releases, tokens
from sync.store.budgets import Account, Refused, Wish
from sync.store.consistency import contradictions
from sync.store.tables import Record
from sync.store.tokens import Place
from sync.vault import Vault
from tests.integration.rows import AT, EDITION, RELEASE, add_delivery
from tests.integration.test_backup import CLOCK, Here, bring_back, databases, here

__all__ = ["databases", "here"]  # the fixtures

DAILY = Budget("pushes", 3, 24 * 3600)
BLOG = Account("blog", live=False)
PAGE = "<h1>自12月1日起试运行</h1>".encode()


@contextmanager
def restored(settings: Any, path: Path, **how: Any) -> Iterator[Context]:
    bring_back(settings, path, **how)
    ctx = context(settings, "command", person="test")
    try:
        with ctx.store.read() as connection:
            assert [] == list(contradictions(connection))
        yield ctx
    finally:
        ctx.store.close()
        ctx.lock.release()


def taken(ctx: Context, calls: int) -> object:
    with ctx.store.write() as connection:
        now = ctx.store.now(connection)
        return budgets.take(connection, BLOG, [Wish(DAILY, calls, now, releasing=False)], now)


def blog(ctx: Context) -> Record:
    with ctx.store.read() as connection:
        return outlets.get(connection, "blog")


def keeper(ctx: Context) -> TokenKeeper:
    return TokenKeeper(ctx.store, lambda: Vault.at(ctx.settings.secret_key_path), ctx.lock, CLOCK)


def never(kept: str) -> Fresh:
    raise AssertionError("it was to be kept")


def test_a_budget_that_was_spent_stays_spent(here: Here, databases: Any) -> None:
    """To the same instant: a restore gives the outlet's patience back to nobody."""
    taken(here.ctx, 3)
    refused = taken(here.ctx, 1)
    assert isinstance(refused, Refused)
    with restored(databases("again"), here.take()) as ctx:
        again = taken(ctx, 1)
        assert isinstance(again, Refused) and refused.until == again.until


def test_a_dead_outlet_stays_dead_until_it_answers_a_look(here: Here, databases: Any) -> None:
    """And one that has asked for patience has it; the look is due as it was, and closes the breaker."""
    outlook = Pace.of(here.ctx)
    until = CLOCK.now() + 3600 * SECOND
    outlook.heard(blog(here.ctx), TryLater("429", until, of="POST /media"))
    for _ in range(5):
        outlook.heard(blog(here.ctx), Ambiguous("no answer"))
    before = outlook.known().open(blog(here.ctx))
    assert before is not None
    with restored(databases("again"), here.take()) as ctx:
        again = Pace.of(ctx)
        row = again.known().open(blog(ctx))
        assert row is not None
        assert (before.half_open_at, before.why) == (row.half_open_at, row.why)
        held = again.known().held(blog(ctx), "POST /media", CLOCK.now())
        assert held is not None and until == held.until
        with ctx.store.read() as connection:
            assert ["blog"] == [one.outlet for one in pace.due(connection, row.half_open_at)]
        again.looked(blog(ctx), None)
        assert again.known().open(blog(ctx)) is None


def test_a_kept_token_opens_with_the_key_only(here: Here, databases: Any, tmp_path: Path) -> None:
    """With it nobody renews anything; with another one the token counts as none, and is asked for anew."""
    assert "t0ken" == keeper(here.ctx).of(blog(here.ctx)).get("access", lambda kept: Fresh("t0ken"))
    path = here.take()
    assert b"t0ken" not in path.read_bytes()
    with restored(databases("again"), path) as ctx:
        assert "t0ken" == keeper(ctx).of(blog(ctx)).get("access", never)
    (tmp_path / "secret.key").unlink()
    with restored(databases("elsewhere"), path, new_key=True) as ctx:
        given: list[str] = []

        def renew(kept: str) -> Fresh:
            given.append(kept)
            return Fresh("another")

        assert "another" == keeper(ctx).of(blog(ctx)).get("access", renew)
        assert [""] == given
        assert "another" == keeper(ctx).of(blog(ctx)).get("access", never)


def test_who_was_renewing_a_token_is_not_waited_for(here: Here, databases: Any) -> None:
    """A process that lived when the backup was taken renews nothing of the restored installation."""
    place = Place("blog", live=False, name="access")
    with here.ctx.store.write() as connection:
        tokens.begin(connection, place, None, generation=blog(here.ctx).generation, owner=here.ctx.lock.name)
    path = here.take()
    asked = CLOCK.boottime()
    with restored(databases("again"), path) as ctx:
        assert "fresh" == keeper(ctx).of(blog(ctx)).get("access", lambda kept: Fresh("fresh"))
    assert CLOCK.boottime() - asked < 15


def test_what_readers_were_given_is_kept_word_for_word(here: Here, databases: Any) -> None:
    """A reading proves nothing without the page itself."""
    with here.ctx.store.write() as connection:
        items.add(connection, EDITION, unit=outlets.LOCAL_UNIT, routing={}, at=AT, author="test")
        releases.add(connection, RELEASE, [(EDITION.item, 1)], at=AT, actor="test", detail={})
        add_delivery(connection, "delivery-1")
    page = Capture("https://county.example/1.html", 200, "text/html", PAGE)
    picture = Capture("https://county.example/1.png", 200, "image/png", b"not kept")
    kept = reading(here.ctx, "delivery-1", Sighting(True, AT, AT, captures=(page, picture)))
    with here.ctx.store.write() as connection:
        readings.add_all(connection, [kept], reader="test")
    path = here.take()
    assert [] == archive.check(path)["missing"]
    with restored(databases("again"), path) as ctx:
        with ctx.store.read() as connection:
            (row,) = readings.newest(connection, ["delivery-1"]).values()
        assert [PAGE] == [ctx.assets.get(one["digest"]) for one in row.captures if one["kept"]]
