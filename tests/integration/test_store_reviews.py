"""What the database refuses of reviews, whoever asks: no delivery goes out without three approvals of three people."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from sync.model import Edition
from sync.store import items, journal, outlets, people, releases, reviews
from sync.store.session import Store
from sync.store.sqlite import Sqlite
from sync.store.tables import approval, delivery, release
from tests.integration.rows import AT, OUTLET, RELEASE, add_delivery, entries, everything, sow, tell
from tests.integration.test_store_guards import foreign

COUNTY = "county"
TEAM = {
    "li": "editor,publisher", "wang": "reviewer", "zhao": "reviewer", "qian": "publisher", "sun": "publisher",
    "root": "admin", "second": "admin", "aud": "auditor",
}  # fmt: skip
TEXT = Edition("item-3", 1, "请示", "<p>内容。</p>")
DIGEST = "d" * 64
PLANNED = {**RELEASE, "id": "release-3", "unit": COUNTY, "review": "three", "planner": "li"}


def staff(store: Store) -> Store:
    """A unit under three reviews beside the one without; its release is rendered, and waits for the first."""
    with store.write() as connection:
        people.add_unit(connection, COUNTY, "县", "county", "three", at=AT, actor="test")
        for name, roles in TEAM.items():
            people.add(connection, name, name, COUNTY, roles.split(","), at=AT, actor="test")
        people.add(connection, "chen", "陈", outlets.LOCAL_UNIT, ["publisher"], at=AT, actor="test")
        people.add(connection, "left", "离", COUNTY, ["publisher"], at=AT, actor="test")
        people.change(connection, people.get(connection, "left"), "disabled", at=AT, actor="test", state="disabled")
        outlets.add(connection, {**OUTLET, "name": "paper", "unit": COUNTY}, at=AT, actor="test")
        items.add(connection, TEXT, unit=COUNTY, routing={}, at=AT, author="li")
        row = releases.add(connection, PLANNED, [(TEXT.item, 1)], at=AT, actor="test", detail={})
        add_delivery(connection, "delivery-3", release=row.id, outlet="paper", item=TEXT.item, unit=COUNTY)
        move(connection, "rendered", rendition={"title": "请示"})
        asked = {"digest": DIGEST, "parts": {"a": 1}}
        releases.tell(connection, row, "review_asked", at=AT, actor="test", detail={}, **asked)
    return store


@pytest.fixture
def desk(store: Store) -> Store:
    """One to change."""
    return staff(store)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def firm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One that nothing changes: every trick is refused, and undone."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("firm")
        url = f"sqlite:///{shutil.copy(request.getfixturevalue('database'), folder / 'tongfa.sqlite3')}"
    else:
        url = request.getfixturevalue("postgres").database("migrated")
    made = Store(url)
    sow(made)
    yield staff(made)
    made.close()


def approve(connection: Connection, stage: int, who: str, **values: Any) -> None:
    """As the engine does; `values` forge."""
    row = releases.get(connection, "release-3")
    one = f"approval-{stage}-{who}"
    fresh = {
        "id": one, "release": row.id, "round": row.round, "stage": stage, "approver": who, "digest": row.digest or "",
        "at": AT, "note": "", "identified": "test",
    }  # fmt: skip
    told = values.pop("entry_id", None) or tell(connection, "approval", one, "approved")
    connection.execute(insert(approval).values({**fresh, **values, "entry_id": told}))


def by(*people_: str) -> Callable[[Connection], None]:
    """One stage after the other."""

    def act(connection: Connection) -> None:
        for stage, who in enumerate(people_, 1):
            approve(connection, stage, who)

    return act


three = by("wang", "zhao", "qian")


def pass_(connection: Connection) -> None:
    """Three approvals, and the release says so."""
    three(connection)
    row = releases.get(connection, "release-3")
    releases.tell(connection, row, "review_passed", at=AT, actor="test", detail={}, reviewed=True)


def move(connection: Connection, state: str, one: str = "delivery-3", **values: Any) -> None:
    told = tell(connection, "delivery", one, state)
    connection.execute(update(delivery).where(delivery.c.id == one).values(state=state, entry_id=told, **values))


def move_release(connection: Connection, state: str, **values: Any) -> None:
    told = tell(connection, "release", "release-3", state)
    moved = update(release).where(release.c.id == "release-3").values(state=state, entry_id=told, **values)
    connection.execute(moved)


def sql(statement: str) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(text(statement))


def told(subject: str, one: str, state: str, statement: str) -> Callable[[Connection], object]:
    """A change with its proper entry: `:entry` in the statement."""

    def act(connection: Connection) -> None:
        connection.execute(text(statement), {"entry": tell(connection, subject, one, state)})

    return act


def after(first: Callable[[Connection], object], then: Callable[[Connection], object]) -> Callable[[Connection], None]:
    def act(connection: Connection) -> None:
        first(connection)
        then(connection)

    return act


def other_release(connection: Connection, **values: Any) -> None:
    made = {**PLANNED, "id": "release-4", **values}
    releases.add(connection, made, [(TEXT.item, 1)], at=AT, actor="test", detail={})


def around(unit_of_release: str, review: str, outlet: str, item: str) -> Callable[[Connection], None]:
    """A release of another unit's, or said to be under another rule, with a delivery of ours."""

    def act(connection: Connection) -> None:
        other_release(connection, unit=unit_of_release, review=review)
        unit = COUNTY if outlet == "paper" else outlets.LOCAL_UNIT
        add_delivery(connection, "delivery-4", release="release-4", outlet=outlet, item=item, unit=unit)

    return act


def begin(state: str) -> Callable[[Connection], None]:
    return lambda connection: move(connection, state)


SET = "UPDATE release SET {}, entry_id = :entry WHERE id = 'release-3'"
OPEN = ("release", "release-3", "open")
RENDERED = ("delivery", "delivery-3", "rendered")
PAPER = "UPDATE outlet SET settings = '{\"a\": 1}', generation = 2, entry_id = :entry WHERE name = 'paper'"

# What somebody could try, and what the database says.
TRICKS: dict[str, tuple[Callable[[Connection], object], str]] = {
    "prepare without any approval": (begin("preparing"), "three approvals"),
    "prepare with two": (
        after(by("wang", "zhao"), begin("preparing")),
        "three approvals",
    ),
    "release what a person called hidden": (after(begin("prepared"), begin("releasing")), "three approvals"),
    "release after doubt": (after(begin("unresolved"), begin("releasing")), "three approvals"),
    "call it ready": (lambda c: move_release(c, "ready"), "three approvals"),
    "call it reviewed": (told(*OPEN, SET.format("reviewed = true")), "three approvals"),
    "approve as the author": (lambda c: approve(c, 1, "li"), "their own"),
    "approve as an auditor": (lambda c: approve(c, 1, "aud"), "not entitled"),
    "approve as an administrator": (lambda c: approve(c, 1, "root"), "not entitled"),
    "approve as one who left": (lambda c: approve(c, 1, "left"), "not entitled"),
    "approve as another unit's": (lambda c: approve(c, 1, "chen"), "not entitled"),
    "approve as nobody": (lambda c: approve(c, 1, "ghost"), "FOREIGN KEY|foreign key|not entitled"),
    "approve last as a reviewer": (
        after(by("wang", "qian"), lambda c: approve(c, 3, "zhao")),
        "not entitled",
    ),
    "approve twice": (
        after(lambda c: approve(c, 1, "qian"), lambda c: approve(c, 2, "qian")),
        "append-only|their own|one stage",
    ),
    "approve one stage twice": (
        after(lambda c: approve(c, 1, "wang"), lambda c: approve(c, 1, "zhao")),
        "append-only|one stage",
    ),
    "approve the last stage first": (lambda c: approve(c, 3, "qian"), "one stage after the other"),
    "approve a fourth stage": (after(three, lambda c: approve(c, 4, "sun")), "one stage after the other"),
    "approve a stage before the first": (lambda c: approve(c, 0, "wang"), "one stage after the other"),
    "approve another digest": (lambda c: approve(c, 1, "wang", digest="e" * 64), "under review now"),
    "approve another round": (lambda c: approve(c, 1, "wang", round=2), "under review now"),
    "approve another's release": (
        lambda c: approve(c, 1, "wang", release="release-1"),
        "under review now|not entitled",
    ),
    "approve without an entry": (lambda c: approve(c, 1, "wang", entry_id=1), "log entry"),
    "approve with another's entry": (
        lambda c: approve(c, 1, "wang", entry_id=tell(c, "approval", "another", "approved")),
        "log entry",
    ),
    "approve what is held": (after(lambda c: move_release(c, "held"), lambda c: approve(c, 1, "wang")), "under review"),
    "rewrite who approved": (
        after(lambda c: approve(c, 1, "wang"), sql("UPDATE approval SET approver = 'zhao'")),
        "append-only",
    ),
    "take an approval away": (after(lambda c: approve(c, 1, "wang"), sql("DELETE FROM approval")), "append-only"),
    "change the rule of a release": (told(*OPEN, SET.format("review = 'none'")), "as it was planned"),
    "change the unit of a release": (told(*OPEN, SET.format("unit = 'local'")), "as it was planned"),
    "change the instant": (told(*OPEN, SET.format("release_at = 5")), "as it was planned"),
    "change the policy": (told(*OPEN, SET.format("policy = 'best-effort'")), "as it was planned"),
    "change who planned it": (told(*OPEN, SET.format("planner = ''")), "as it was planned"),
    "change the digest in its round": (told(*OPEN, SET.format("digest = 'e'")), "another round"),
    "change what the digest is over": (told(*OPEN, SET.format("parts = '{}'")), "another round"),
    "change round and digest unseen": (sql("UPDATE release SET round = 2, digest = 'e'"), "another round"),
    "go back to an approved round": (
        after(told(*OPEN, SET.format("round = 3, digest = NULL")), told(*OPEN, SET.format("round = 1"))),
        "another round",
    ),
    "keep the approvals over another round": (
        after(pass_, told(*OPEN, SET.format("round = 2, digest = 'e'"))),
        "three approvals",
    ),
    "prepare with the approvals of the round before": (
        after(three, after(told(*OPEN, SET.format("round = 2")), begin("preparing"))),
        "three approvals",
    ),
    "plan under no rule": (lambda c: other_release(c, review="none"), "rule of its unit"),
    "plan it as reviewed": (lambda c: other_release(c, reviewed=True), "before it was planned"),
    "plan it with a digest": (lambda c: other_release(c, digest=DIGEST), "before it was planned"),
    "plan our item under another unit": (
        around(outlets.LOCAL_UNIT, "none", "blog", TEXT.item),
        "rule of its outlet and of its item",
    ),
    "plan another's item at our outlet": (
        around(outlets.LOCAL_UNIT, "none", "paper", "item-1"),
        "rule of its outlet and of its item",
    ),
    "plan what is not in the release": (around(COUNTY, "three", "paper", "item-1"), "under review"),
    "add an outlet later": (
        lambda c: add_delivery(c, "delivery-5", release="release-3", outlet="blog", item=TEXT.item),
        "stays as it is",
    ),
    "begin in the middle": (
        after(
            other_release,
            lambda c: add_delivery(
                c,
                "delivery-4",
                release="release-4",
                outlet="paper",
                item=TEXT.item,
                unit=COUNTY,
                state="preparing",
                entry_id=tell(c, "delivery", "delivery-4", "preparing"),
            ),
        ),
        "stays as it is",
    ),
    "add an item later": (
        sql("INSERT INTO release_item (release, position, item, revision) VALUES ('release-3', 1, 'item-1', 1)"),
        "stays as it is",
    ),
    "change the rendition": (sql("UPDATE delivery SET rendition = '{}' WHERE id = 'delivery-3'"), "stays as it is"),
    "make an outlet optional": (sql("UPDATE delivery SET required = false WHERE id = 'delivery-3'"), "stays as it is"),
    "change the canonical address": (
        sql("UPDATE delivery SET canonical_url = 'https://x' WHERE id = 'delivery-3'"),
        "stays as it is",
    ),
    "start earlier": (sql("UPDATE delivery SET ahead = 9 WHERE id = 'delivery-3'"), "stays as it is"),
    "move a delivery to another unit": (
        sql("UPDATE delivery SET unit = 'local' WHERE id = 'delivery-3'"),
        "stays as it is",
    ),
    "move a delivery to another release": (
        told(*RENDERED, "UPDATE delivery SET release = 'release-1', entry_id = :entry WHERE id = 'delivery-3'"),
        "identity|stays as it is",
    ),
    "move an outlet to another unit": (
        told("outlet", "paper", "active", "UPDATE outlet SET unit = 'local', entry_id = :entry WHERE name = 'paper'"),
        "identity",
    ),
    "move an item to another unit": (sql("UPDATE item SET unit = 'local' WHERE id = 'item-3'"), "identity"),
    "change the author": (sql("UPDATE edition SET author = 'ghost'"), "append-only"),
    "change the outlet after the approvals": (
        after(pass_, after(told("outlet", "paper", "active", PAPER), begin("preparing"))),
        "three approvals",
    ),
    "relax the rule alone": (
        lambda c: people.change_unit(
            c, people.unit_of(c, COUNTY), at=AT, actor="t", by="root", second="root", review="none"
        ),
        "two administrators",
    ),
    "relax the rule with a publisher": (
        lambda c: people.change_unit(
            c, people.unit_of(c, COUNTY), at=AT, actor="t", by="root", second="qian", review="none"
        ),
        "two administrators",
    ),
    "relax the rule unseen": (
        sql("UPDATE unit SET review = 'none', set_by = 'root', seconded_by = 'second' WHERE id = 'county'"),
        "log entry",
    ),
    "make up a rule": (
        told("unit", "local", "two", "UPDATE unit SET review = 'two', entry_id = :entry WHERE id = 'local'"),
        "log entry",
    ),
    "add a unit unseen": (
        sql("INSERT INTO unit (id, name, level, review) VALUES ('x', 'x', 'x', 'none')"),
        "log entry",
    ),
    "take a role unseen": (sql("UPDATE person SET publisher = true WHERE name = 'wang'"), "log entry"),
    "come back unseen": (sql("UPDATE person SET state = 'active' WHERE name = 'left'"), "log entry"),
    "take another's name": (
        told("person", "li", "active", "UPDATE person SET name = 'li', entry_id = :entry WHERE name = 'wang'"),
        "identity|log entry",
    ),
    "vanish": (sql("DELETE FROM person WHERE name = 'li'"), "rows are kept"),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_door_around_the_reviews(firm: Store, trick: str) -> None:
    """Refused by the database itself, and nothing has changed."""
    act, said = TRICKS[trick]
    before = everything(firm)
    with pytest.raises(DatabaseError, match=said), firm.write() as connection:
        act(connection)
    assert before == everything(firm)


REPLACE = [
    "INSERT OR REPLACE INTO approval SELECT * FROM approval",
    "INSERT OR REPLACE INTO approval SELECT 'x', release, round, stage, 'sun', digest, at, note, identified, 99 "
    "FROM approval WHERE stage = 1",
    "INSERT OR REPLACE INTO person SELECT * FROM person",
    "INSERT OR REPLACE INTO unit SELECT id, name, level, 'none', set_by, seconded_by, entry_id FROM unit",
    "INSERT OR REPLACE INTO release SELECT * FROM release",
    "UPDATE OR REPLACE approval SET stage = 1",
    "REPLACE INTO item SELECT id, 'local', created_at, entry_id FROM item",
    "REPLACE INTO edition SELECT item, revision, digest, title, body, metadata, assets, routing, 'x', created_at "
    "FROM edition",
]


@pytest.mark.parametrize("statement", REPLACE)
@pytest.mark.parametrize("ours", [True, False], ids=["our connection", "a foreign one"])
def test_nothing_is_replaced(desk: Store, statement: str, ours: bool) -> None:
    """SQLite's INSERT OR REPLACE deletes without asking the trigger on DELETE; PostgreSQL has TRUNCATE and upsert."""
    with desk.write() as connection:
        approve(connection, 1, "wang")
    before = everything(desk)
    if not isinstance(desk.database, Sqlite):
        table = re.findall("approval|person|unit|release|item|edition", statement)[0]
        statement = "TRUNCATE approval, person CASCADE" if table in ("approval", "person") else f"DELETE FROM {table}"
    if ours:
        with pytest.raises(DatabaseError), desk.write() as connection:
            connection.execute(text(statement))
    else:
        other = foreign(desk)
        try:
            with pytest.raises(Exception, match=r"kept|append-only|approv|identity|entry|rule|stage"):
                other.execute(statement)
        finally:
            other.close()
    assert before == everything(desk)


def test_with_three_approvals_it_goes(desk: Store) -> None:
    """The same moves, approved by three people in order, are taken; a void begins another round."""
    with desk.write() as connection:
        pass_(connection)
        move(connection, "preparing")
        move(connection, "prepared")
        move_release(connection, "ready")
        move_release(connection, "committed")
        move(connection, "releasing")
    with desk.write() as connection:
        row = releases.get(connection, "release-3")
        assert ["wang", "zhao", "qian"] == [one.approver for one in reviews.of(connection, row)]
        void = {"round": 2, "digest": None, "parts": None, "reviewed": False}
        row = releases.tell(connection, row, "review_voided", at=AT, actor="test", detail={}, **void)
        assert [] == list(reviews.of(connection, row))


def test_two_administrators_relax_the_rule(desk: Store) -> None:
    """With an entry that names both; the release planned under it keeps it."""
    with desk.write() as connection:
        row = people.unit_of(connection, COUNTY)
        people.change_unit(connection, row, at=AT, actor="test", by="root", second="second", review="none")
    with desk.read() as connection:
        assert "none" == people.unit_of(connection, COUNTY).review
        assert "three" == releases.get(connection, "release-3").review
        assert "second" == journal.of(connection, "unit", COUNTY)[-1].detail["second"]
    with pytest.raises(IntegrityError, match="three approvals"), desk.write() as connection:
        move(connection, "preparing")


def test_a_unit_and_a_person_begin_with_their_entries(desk: Store) -> None:
    """Every unit but the first, and everybody, is told of in the log."""
    size = entries(desk)
    with desk.write() as connection:
        people.add_unit(connection, "town", "某镇", "town", "none", at=AT, actor="test")
        people.add(connection, "zhou", "周", "town", ["editor"], at=AT, actor="test")
    assert size + 2 == entries(desk)
    with desk.read() as connection:
        told = journal.of(connection, "person", "zhou")[0]
    assert ("added", {"roles": ["editor"]}) == (told.act, told.detail)
