"""An order becomes a release: what is frozen, what is refused, and that a refusal leaves nothing behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from sync.clock import SECOND
from sync.engine import control
from sync.engine.plan import plan
from sync.engine.submit import submit
from sync.model import BadInput, Policy
from sync.store import items, journal, outlets
from sync.store.tables import delivery, edition, entry, item, release
from tests.integration.world import World


def counted(world: World) -> list[int | None]:
    """How many rows every table of an order has."""
    with world.store.read() as connection:
        return [
            connection.execute(select(func.count()).select_from(table)).scalar()
            for table in (item, edition, release, delivery, entry)
        ]


def test_a_file_becomes_an_item_once(world: World) -> None:
    """The same content again is the same item, with the same edition."""
    first = submit(world.ctx, world.file())
    assert first == submit(world.ctx, world.file("copy.md"))
    other = submit(world.ctx, world.file("other.md", body="自12月2日起试运行。"))
    assert first.item != other.item
    with world.store.read() as connection:
        assert first == items.get(connection, first.item)[0]


def test_pictures_are_kept_under_their_digest(world: World, tmp_path: Path) -> None:
    """An attachment's bytes are in the asset store before the item that names them is in the database."""
    (tmp_path / "home" / "table.csv").write_bytes("站点,首班\n镇政府,06:30\n".encode())
    path = world.file("with.md", attachments="[table.csv]")
    frozen = submit(world.ctx, path)
    assert ["table.csv"] == [asset.name for asset in frozen.assets]
    assert (tmp_path / "home" / "table.csv").read_bytes() == world.ctx.assets.get(frozen.assets[0].digest)


def test_a_plan_freezes_outlets_moment_and_editions(world: World) -> None:
    """One delivery for each outlet and item, due for preparing, under the release's one canonical address."""
    world.add("blog")
    world.add("site", "site")
    world.add("later")
    made = world.plan("blog,site", at=60)
    row, rows = world.release(made), world.rows(made)
    assert ("open", "site", "required") == (row.state, row.canonical_outlet, row.policy)
    assert {"blog", "site"} == set(rows)
    assert {"planned"} == {one.state for one in rows.values()}
    assert {"prepare"} == {one.duty for one in rows.values()}
    assert 1 == len({one.canonical_url for one in rows.values()})
    assert str(rows["site"].canonical_url).startswith("https://county.example/")
    assert row.release_at + 900 * SECOND == row.overdue_at


def test_the_outlet_set_stays_frozen(world: World) -> None:
    """An outlet that joins the group or becomes optional after the plan changes nothing for it."""
    world.add("blog")
    world.add("site", "site")
    world.process()
    made = world.plan("blog,site", at=60)
    world.add("later")
    with world.store.write() as connection:
        outlets.change(
            connection, outlets.get(connection, "blog"), "changed", at=world.clock.now(), actor="test", required=False
        )
    world.run(70)
    assert {"blog": "verified", "site": "verified"} == world.states(made)
    assert world.rows(made)["blog"].required


def test_what_keeps_only_briefly_is_prepared_late(world: World) -> None:
    """Its preparing falls due half its keeping time before the instant; that of the others at once."""
    world.add("brief", "brief")
    world.add("blog")
    world.process()
    made = world.plan("brief,blog", at=120)
    assert world.release(made).release_at - 30 * SECOND == world.rows(made)["brief"].due_at
    world.run(80)
    assert {"brief": "planned", "blog": "prepared"} == world.states(made)
    world.run(50)
    assert {"brief": "verified", "blog": "verified"} == world.states(made)


@pytest.mark.parametrize(
    ("policy", "required"),
    [
        (Policy.ALL, {"site", "must", "may"}),
        (Policy.REQUIRED, {"site", "must"}),
        (Policy.BEST_EFFORT, {"site"}),
    ],
)
def test_policy_says_who_is_required(world: World, policy: Policy, required: set[str]) -> None:
    """All of them, those that are marked so, or only the canonical one, which always is."""
    world.add("site", "site", required=False)
    world.add("must")
    world.add("may", required=False)
    made = world.plan("must,may,site", at=60, policy=policy)
    assert required == {name for name, row in world.rows(made).items() if row.required}


def test_somebody_is_always_required(world: World) -> None:
    """With no canonical outlet and nobody marked so, the first one named is."""
    world.add("one", required=False)
    world.add("two", required=False)
    made = world.plan("two,one", at=60, policy=Policy.BEST_EFFORT)
    assert {"two": True, "one": False} == {name: row.required for name, row in world.rows(made).items()}


def test_the_same_content_is_refused_where_it_is_planned_or_public(world: World) -> None:
    """The refusal names the item; another outlet is free, and --again is a second copy that was meant."""
    world.add("blog")
    world.add("site", "site")
    world.process()
    first = world.plan("blog")
    with pytest.raises(BadInput, match=r"planned on blog") as planned:
        world.plan("blog,site")
    with world.store.read() as connection:
        assert items.of_release(connection, first)[0].item in str(planned.value)
    world.run(5)
    with pytest.raises(BadInput, match=r"verified on blog"):
        world.plan("blog")
    world.plan("site")
    world.plan("blog", again=True)
    world.run(5)
    assert (2, 1) == (world.published("blog"), world.published("site"))


def test_a_cancelled_release_frees_its_content(world: World) -> None:
    """What was cancelled before it was public may be published there after all."""
    world.add("blog")
    world.process()
    first = world.plan("blog", at=60)
    control.cancel(world.ctx, first)
    world.plan("blog")
    world.run(5)
    assert 1 == world.published("blog")


def test_a_repeated_request_returns_the_first_release(world: World) -> None:
    """Also when the file has gone or changed in the meantime."""
    world.add("blog")
    order = world.order("blog", world.file(), at=60, request_id="form-17")
    first = plan(world.ctx, order)
    world.file().unlink()
    assert first == plan(world.ctx, order)
    assert 1 == len(world.rows(first))


def test_the_same_request_at_once_makes_one_release(world: World) -> None:
    """Two clicks that arrive together, from two processes, are one order."""
    world.add("blog")
    contexts = [world.process().ctx for _ in range(4)]
    for number in range(5):
        order = world.order("blog", world.file(body=f"第{number}次。"), at=60, request_id=f"form-{number}")
        together = threading.Barrier(len(contexts))

        def click(ctx: object, order: object = order, together: threading.Barrier = together) -> str:
            together.wait()
            return plan(ctx, order)  # type: ignore[arg-type]

        with ThreadPoolExecutor(len(contexts)) as pool:
            assert 1 == len(set(pool.map(click, contexts)))


@pytest.mark.parametrize(
    ("named", "more", "said"),
    [
        ("blgo", {}, r"did you mean blog\?"),
        ("blog,blog", {}, "named twice"),
        ("blog,live", {}, "do not mix"),
        ("paused", {}, "it is paused"),
        ("blog", {"at": -60}, "past"),
    ],
)
def test_a_refused_order_leaves_nothing(world: World, named: str, more: dict[str, object], said: str) -> None:
    """Misspelt, twice, live beside sandbox, paused, in the past: refused, and no row was written."""
    world.add("blog")
    world.add("live", live=True)
    world.add("paused")
    with world.store.write() as connection:
        row = outlets.get(connection, "paused")
        outlets.change(connection, row, "paused", at=world.clock.now(), actor="test", state="paused")
    before = counted(world)
    with pytest.raises(BadInput, match=said):
        world.plan(named, **more)  # type: ignore[arg-type]
    assert before == counted(world)


def test_no_outlet_named_lists_them(world: World) -> None:
    """Neither in the order nor in the front matter: the error says which there are."""
    world.add("blog")
    with pytest.raises(BadInput, match="outlets: blog"):
        world.plan("")


def test_neither_file_nor_item(world: World) -> None:
    """A name that is neither is refused before anything is stored."""
    world.add("blog")
    before = counted(world)
    with pytest.raises(BadInput, match="neither a file nor an item"):
        world.plan("blog", "0123")
    assert before == counted(world)


def test_an_item_is_released_by_its_id(world: World) -> None:
    """What `item add` stored goes out with the routing its file gave."""
    world.add("blog")
    frozen = submit(world.ctx, world.file(outlets="[blog]"))
    order = world.order("blog", frozen.item)
    made = plan(world.ctx, order)
    with world.store.read() as connection:
        assert [(frozen.item, 1)] == [tuple(one) for one in items.of_release(connection, made)]


def test_an_embargo_keeps_a_release_back(world: World) -> None:
    """Neither `now` nor an earlier instant; the embargo's own instant is allowed."""
    world.add("blog")
    path = world.file(embargo=f'"{world.iso_in(60)}"')
    for at in (None, 30.0):
        with pytest.raises(BadInput, match="under embargo"):
            world.plan("blog", path, at=at)
    assert "open" == world.release(world.plan("blog", path, at=61)).state


def test_the_embargo_of_every_item_counts(world: World) -> None:
    """A second item's embargo keeps the whole release back, also one that was stored before."""
    world.add("blog")
    free = world.file("free.md", body="甲")
    kept = world.file("kept.md", body="乙", embargo=f'"{world.iso_in(60)}"')
    with pytest.raises(BadInput, match="under embargo"):
        world.plan("blog", free, kept)
    stored = submit(world.ctx, kept)
    with pytest.raises(BadInput, match="under embargo"):
        world.plan("blog", free, stored.item)


def test_the_same_item_twice_in_an_order(world: World) -> None:
    """By two files of the same content: refused, nothing planned."""
    world.add("blog")
    with pytest.raises(BadInput, match="the same item is named twice"):
        world.plan("blog", world.file("a.md"), world.file("b.md"))


def test_a_full_asset_store_refuses_the_item(world: World, tmp_path: Path) -> None:
    """When a picture cannot be kept, nothing of the item is stored."""
    (tmp_path / "home" / "table.csv").write_bytes(b"1,2\n")
    path = world.file("with.md", attachments="[table.csv]")
    (tmp_path / "home" / "assets").write_text("not a folder")
    before = counted(world)
    with pytest.raises(BadInput, match="nothing was stored"):
        submit(world.ctx, path)
    assert before == counted(world)


def test_the_log_tells_who_planned_what(world: World) -> None:
    """The release's entry names outlets, moment, digests, and that nobody reviewed it."""
    world.add("blog")
    made = world.plan("blog", at=60)
    with world.store.read() as connection:
        told = journal.of(connection, "release", made)[0]
        frozen = items.get(connection, items.of_release(connection, made)[0].item)[0]
    assert ("planned", "desk") == (told.act, told.actor)
    assert ["blog"] == told.detail["outlets"]
    assert {frozen.item: frozen.digest} == told.detail["editions"]
    assert "published without review" == told.detail["note"]
