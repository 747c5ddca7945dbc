"""After a restore nothing is sent before all was looked up, and nothing is ever published twice."""

from __future__ import annotations

import copy as python_copy
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pysqlite3
import pytest

from sync.contract import TryLater
from sync.engine import control, identity, recover, removal, verify
from sync.engine.plan import plan
from sync.engine.withdraw import Withdrawal, withdraw
from sync.flow import PUBLIC, D, R
from sync.model import BadInput, Key
from sync.store import copies, journal, outlets, recovery
from sync.store.tables import adoption, copy, delivery
from sync.store.tables import release as release_table
from tests.integration.hand import StoreInHand
from tests.integration.outside import BareChannel
from tests.integration.world import INSTALLATION, World

SENT = ("published", "changed", "drafted")
SEEDS = range(10)
POINTS = 5  # of each history


class Restorable(World):
    """A world whose database can be set back while its outlets live on."""

    recovering = True  # whether the workers look up; the tests' own bug if not

    def step(self) -> bool:
        if super().step():
            return True
        workers = [one for one in self.processes if "prepare" in one.lanes and not one.store.gone]
        if self.recovering and workers and recover.is_waiting(workers[0].ctx):
            recover.look_up(workers[0].ctx)
            return True
        return False

    def _following(self) -> int | None:
        with self.store.read() as connection:
            looks = recovery.next_due(connection)
        instants = [at for at in (super()._following(), looks) if at is not None]
        return min(instants, default=None)

    def save(self, path: Path) -> None:
        """The database as it is now, and nothing else."""
        with (
            closing(pysqlite3.connect(self.home / "tongfa.sqlite3")) as here,
            closing(pysqlite3.connect(path)) as there,
        ):
            here.backup(there)
            there.execute("PRAGMA journal_mode=DELETE")

    def restore(self, path: Path, *, mark: bool = True) -> None:
        """Every process is gone, the older database takes the place of this one. `mark`: as `tongfa restore` does."""
        self.check = lambda: None  # type: ignore[method-assign]  # it trusts that this database saw everything
        for one in self.processes:
            one.store.gone = True
            one.ctx.lock.release()
        self.processes.clear()
        self.store.engine.dispose()
        for ending in ("", "-wal", "-shm"):
            (self.home / f"tongfa.sqlite3{ending}").unlink(missing_ok=True)
        shutil.copy(path, self.home / "tongfa.sqlite3")
        if mark:
            with self.store.write() as connection:
                recover.begin(connection, recovery.RESTORED, {"taken_at": "then"}, at=self.clock.now(), actor="test")

    def sent(self) -> list[tuple[str, int, str, str]]:
        """All that the outlets ever received that was not a removal, by their own records."""
        return [(name, *line) for name, one in self.outside.items() for line in one.record if line[1] in SENT]

    def is_open(self) -> bool:
        with self.store.read() as connection:
            return recovery.current(connection) is not None


@pytest.fixture
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader looks once a turn, because this clock stands while it naps; and live outlets are not refused for it."""
    monkeypatch.setenv("TONGFA_CLOCK_UNSYNCHRONISED", "accept")
    monkeypatch.setattr(verify, "CLOSE_WATCH", 0.0)
    monkeypatch.setattr(removal, "WATCH", 0.0)


@pytest.fixture
def restorable(tmp_path: Path, database: Path, one_look: None) -> Iterator[Restorable]:
    with restorable_in(tmp_path / "restorable", database) as made:
        yield made


@contextmanager
def restorable_in(folder: Path, database: Path) -> Iterator[Restorable]:
    folder.mkdir()
    made = Restorable(folder / "home", database)
    try:
        yield made
        assert [] == made.failures, made.failures
    finally:
        made.close()


def set_up(world: Restorable, *names: str, kind: str = "memory") -> None:
    for name in names:
        world.add(name, "site" if name == "site" else kind)
    world.process()


def believed(world: Restorable) -> dict[str, str]:
    """Outlet → state of the copy there (of the one item)."""
    with world.store.read() as connection:
        return {row.outlet: row.state for row in connection.execute(copy.select())}


# ---- one backup at a time


def test_what_was_published_since_is_found_and_not_sent_again(restorable: Restorable, tmp_path: Path) -> None:
    """Planned at the backup, public now: released and verified, with its copies, and nothing was sent."""
    set_up(restorable, "site", "blog")
    made = restorable.plan("site,blog", at=60)
    restorable.save(tmp_path / "old")
    restorable.run(70)
    assert {"site": "verified", "blog": "verified"} == restorable.states(made)
    before = restorable.sent()
    restorable.restore(tmp_path / "old")
    assert "held" == restorable.release(made).state
    restorable.process()
    restorable.run(60)
    assert before == restorable.sent()
    assert {"site": "verified", "blog": "verified"} == restorable.states(made)
    assert "released" == restorable.release(made).state
    assert {"site": "live", "blog": "live"} == believed(restorable)
    assert not restorable.is_open()


def test_what_is_nowhere_stays_held_until_a_person_lets_it_go(restorable: Restorable, tmp_path: Path) -> None:
    """The instant passes, nothing goes out; resumed by a person it does, once."""
    set_up(restorable, "site", "blog")
    made = restorable.plan("site,blog", at=60)
    restorable.run(5)
    restorable.save(tmp_path / "old")
    restorable.restore(tmp_path / "old")
    restorable.process()
    restorable.run(200)
    assert ("held", False) == (restorable.release(made).state, restorable.is_open())
    assert "resume" in restorable.release(made).why
    assert [0, 0] == [restorable.published("site"), restorable.published("blog")]
    control.resume(restorable.ctx, made)
    restorable.run(10)
    assert {"site": "verified", "blog": "verified"} == restorable.states(made)
    assert [1, 1] == [restorable.published("site"), restorable.published("blog")]


def test_what_was_committed_and_is_nowhere_is_asked_of_a_person(restorable: Restorable, tmp_path: Path) -> None:
    """Published after the backup and withdrawn since: it looks as if it had never gone out, and is not sent."""
    set_up(restorable, "site", "blog")
    made = restorable.plan("site,blog", at=10)
    restorable.run_to(made, 0.5)
    restorable.save(tmp_path / "old")
    restorable.run(10)
    withdraw(restorable.ctx, Withdrawal(restorable.report(made)["item"], "发布有误"))
    restorable.run(10)
    assert [] == restorable.outside["site"].posts
    before = restorable.sent()
    restorable.restore(tmp_path / "old")
    assert "committed" == restorable.release(made).state
    restorable.process()
    restorable.run(100)
    assert before == restorable.sent()
    assert {"site": "unresolved", "blog": "unresolved"} == restorable.states(made)
    assert not restorable.is_open()
    assert "removed since" in restorable.rows(made)["blog"].problems[0]["message"]


def test_what_was_just_sent_may_still_appear(restorable: Restorable, tmp_path: Path) -> None:
    """Nothing is there at the first look; the old process's request takes effect after it, within the quarantine."""
    set_up(restorable, "site", "blog")
    made = restorable.plan("site,blog", at=10)
    restorable.run(5)
    restorable.outside["blog"].late_by = 3.0
    restorable.outside["blog"].faults.append("late")
    restorable.run_to(made, 0.5)
    restorable.save(tmp_path / "old")
    restorable.run(0.7)
    assert [0, 1] == [len(restorable.outside[name].posts) for name in ("blog", "site")]
    before = restorable.sent()
    restorable.restore(tmp_path / "old")
    restorable.process()
    restorable.run(2)
    assert (True, before) == (restorable.is_open(), restorable.sent())
    restorable.run(60)
    assert {"site": "verified", "blog": "verified"} == restorable.states(made)
    assert 1 == restorable.published("blog")


def test_a_copy_that_is_gone_is_missing_and_one_that_changed_is_altered(restorable: Restorable, tmp_path: Path) -> None:
    """Withdrawn at one outlet and corrected at another after the backup: neither is put back."""
    set_up(restorable, "site", "blog")
    made = restorable.plan("site,blog", at=5)
    restorable.run(10)
    restorable.save(tmp_path / "old")
    item = restorable.report(made)["item"]
    withdraw(restorable.ctx, Withdrawal(item, "发布有误", ("blog",)))
    restorable.run(5)
    corrected = restorable.order("site", restorable.file("b.md", "自12月2日起试运行。"), corrects=item)
    plan(restorable.ctx, corrected)
    restorable.run(10)
    before = restorable.sent()
    restorable.restore(tmp_path / "old")
    restorable.process()
    restorable.run(60)
    assert {"site": "altered", "blog": "missing"} == believed(restorable)
    assert before == restorable.sent()
    with restorable.store.read() as connection:
        told = [journal.of(connection, "copy", row.id)[-1].act for row in connection.execute(copy.select())]
    assert {"altered", "missing"} == set(told)


def test_nothing_is_left_before_the_last_outlet_has_answered(restorable: Restorable, tmp_path: Path) -> None:
    """One that does not answer keeps everything waiting, and is named; a person may give it up."""
    set_up(restorable, "site", "blog")
    made = restorable.plan("site,blog", at=60)
    restorable.save(tmp_path / "old")
    restorable.restore(tmp_path / "old")
    restorable.mischief["blog"] = _silent
    restorable.process()
    restorable.run(300)
    assert restorable.is_open()
    with restorable.store.read() as connection:
        left = recover.left(connection)
    assert [("blog", "the outlet is down")] == [(one["outlet"], one["why"]) for one in left]
    with pytest.raises(BadInput, match="reconcile-only"):
        control.resume(restorable.ctx, made)
    with pytest.raises(BadInput, match="nothing there"):
        recover.give_up(restorable.ctx, "site")
    recover.give_up(restorable.ctx, "blog")
    restorable.run(5)
    assert not restorable.is_open()
    assert {"site": "planned", "blog": "unresolved"} == restorable.states(made)
    assert 0 == restorable.published("site")


def _silent(channel: BareChannel) -> BareChannel:
    def refuse(*given: object, **more: object) -> Any:
        raise TryLater("the outlet is down")

    channel.probe = channel.verify = refuse  # type: ignore[method-assign]
    return channel


def test_what_cannot_be_looked_up_is_asked_of_a_person(restorable: Restorable, tmp_path: Path) -> None:
    """A blind outlet whose instant has passed: unresolved, never sent by the machine."""
    set_up(restorable, "blind", kind="blind")
    made = restorable.plan("blind", at=5)
    restorable.run(2)
    restorable.save(tmp_path / "old")
    restorable.run(20)
    assert 1 == restorable.published("blind")
    restorable.restore(tmp_path / "old")
    restorable.process()
    restorable.run(60)
    assert (1, "unresolved", False) == (
        restorable.published("blind"),
        restorable.states(made)["blind"],
        restorable.is_open(),
    )


def test_a_withdrawal_under_way_goes_on(restorable: Restorable, tmp_path: Path) -> None:
    """Ordered before the backup and not done by then: still public it is removed, already gone it is withdrawn."""
    set_up(restorable, "site", "blog")
    made = restorable.plan("site,blog", at=5)
    restorable.run(10)
    restorable.outside["blog"].faults.extend(["refuse"] * 4)
    back = withdraw(restorable.ctx, Withdrawal(restorable.report(made)["item"], "发布有误"))
    restorable.save(tmp_path / "old")  # planned everywhere
    restorable.run(0.5)
    assert {"site": "withdrawn", "blog": "planned"} == restorable.states(back)
    restorable.restore(tmp_path / "old")
    restorable.outside["blog"].faults.clear()
    restorable.process()
    restorable.run(30)
    assert {"site": "withdrawn", "blog": "withdrawn"} == restorable.states(back)
    assert [] == restorable.outside["blog"].posts
    assert {"site": "removed", "blog": "removed"} == believed(restorable)


def test_what_is_planned_meanwhile_waits(restorable: Restorable, tmp_path: Path) -> None:
    """A new release is planned, says why nothing of it is prepared, and goes out when all was looked up."""
    set_up(restorable, "site", "blog")
    restorable.plan("site,blog", at=60)
    restorable.save(tmp_path / "old")
    restorable.restore(tmp_path / "old")
    restorable.mischief["blog"] = _silent
    restorable.process()
    new = restorable.plan("site", restorable.file("new.md", "另一则。", title="另一则通告"), at=None)
    restorable.run(20)
    row = restorable.rows(new)["site"]
    assert ("planned", "reconcile-only") == (row.state, row.problems[0]["message"].split(":")[0])
    assert [] == restorable.sent()
    restorable.mischief.clear()
    restorable.run(100)
    assert {"site": "verified"} == restorable.states(new)


# ---- at any point


@pytest.mark.parametrize("seed", SEEDS)
def test_restored_at_any_point_nothing_is_published_twice(
    seed: int, tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch, one_look: None
) -> None:
    """Whatever commit the backup is of: no outlet receives anything anew, and all that is public is known as such."""
    with restorable_in(tmp_path / "any", database) as made:
        backups = _history(made, random.Random(seed), tmp_path, monkeypatch)
        outside = python_copy.deepcopy({name: _held(one) for name, one in made.outside.items()})
        for path in backups:
            for name, one in python_copy.deepcopy(outside).items():
                vars(made.outside[name]).update(one)
            made.mischief.clear()
            made.restore(path)
            made.process()
            before = made.sent()
            while made.is_open():
                records = sum(len(one.record) for one in made.outside.values())
                made.run(1)
                if made.is_open():
                    assert records == sum(len(one.record) for one in made.outside.values()), path
            made.run(120)
            assert before == made.sent(), f"seed {seed}, {path.name}"
            _assert_true(made, f"seed {seed}, {path.name}")


def test_without_the_looks_it_would_be_published_twice(restorable: Restorable, tmp_path: Path) -> None:
    """What the tests above would see if a restored database were simply started."""
    set_up(restorable, "site", "blog")
    restorable.plan("site,blog", at=10)
    restorable.run(5)
    restorable.save(tmp_path / "old")
    restorable.run(20)
    restorable.restore(tmp_path / "old", mark=False)
    restorable.process()
    restorable.run(60)
    assert 2 == restorable.published("blog")


def _held(one: Any) -> dict[str, Any]:
    return {
        "posts": one.posts,
        "drafts": one.drafts,
        "record": one.record,
        "_pending": [],
        "faults": type(one.faults)(),
    }


def _history(world: Restorable, chance: random.Random, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Items published, corrected, withdrawn, held and cancelled, with faults; backups after commits by chance."""
    for name, kind in (("site", "site"), ("blog", "memory"), ("post", "memory"), ("jobs", "queued"), ("dark", "blind")):
        world.add(name, kind, required=chance.random() < 0.7)
    world.process("prepare")
    world.process("release")
    points, commits, saved = set(chance.sample(range(5, 140), POINTS)), [0], list[Path]()
    write: Callable[..., Any] = StoreInHand.write

    @contextmanager
    def counted(store: StoreInHand) -> Iterator[Any]:
        with write(store) as connection:
            yield connection
        commits[0] += 1
        if commits[0] in points:
            saved.append(folder / f"after-{commits[0]}")
            world.save(saved[-1])

    monkeypatch.setattr(StoreInHand, "write", counted)
    made: list[str] = []
    for number in range(9):
        for one in world.outside.values():
            if chance.random() < 0.2:
                one.faults.append(chance.choice(["refuse", "lose", "unheard", "late"]))
        what = chance.choice(["publish", "publish", "publish", "correct", "withdraw", "hold", "cancel"])
        with suppress(BadInput):
            if what == "publish" or not made:
                names = chance.sample(["blog", "post", "jobs", "dark"], chance.randint(1, 3))
                file = world.file(f"{number}.md", f"第 {number} 则。", title=f"通告 {number}")
                at = chance.choice([None, 2.0, 6.0, 20.0])
                made.append(world.plan(",".join(["site", *names]), file, at=at))
            elif what == "correct":
                item = world.report(chance.choice(made))["item"]
                file = world.file(f"{number}.md", f"更正 {number}。", title=f"更正 {number}")
                made.append(plan(world.ctx, world.order("", file, corrects=item)))
            elif what == "withdraw":
                withdraw(world.ctx, Withdrawal(world.report(chance.choice(made))["item"], "发布有误"))
            else:
                (control.hold if what == "hold" else control.cancel)(world.ctx, chance.choice(made))
        world.run(chance.choice([0.0, 0.05, 0.5, 3.0, 10.0]))
    world.run(60)
    monkeypatch.setattr(StoreInHand, "write", write)
    return saved


def _assert_true(world: Restorable, where: str) -> None:
    """What the database believes is what the outlets hold, or is with a person."""
    with world.store.read() as connection:
        actions = {row.id: row for row in connection.execute(release_table.select())}
        rows = connection.execute(delivery.select()).all()
        states = {row.id: row.state for row in connection.execute(copy.select())}
    for row in rows:
        if actions[row.release].action == "withdraw":
            continue
        token, world_of = Key(INSTALLATION, row.id).token, world.outside[row.outlet]
        told = f"{where}: {row.outlet} {row.state} {states.get(row.id)}"
        if any(post.token == token for post in world_of.posts):
            if row.outlet != "dark":
                assert row.state in PUBLIC or row.state == D.UNRESOLVED, told
            if row.state in PUBLIC:
                assert states[row.id] in copies.CURRENT, told
        elif row.state in PUBLIC and row.outlet != "dark":
            assert states[row.id] in (copies.MISSING, copies.ALTERED, copies.SUPERSEDED, copies.REMOVED), told
        assert row.state not in (D.RELEASING, D.PREPARING, D.DISCARDING), told
        if actions[row.release].state in (R.OPEN, R.READY):
            raise AssertionError(f"{told}: it would go on by itself")


# ---- whose installation it is


def test_a_copy_only_reads_live_outlets_until_it_is_adopted(restorable: Restorable) -> None:
    """Another host in the database: live deliveries are planned and wait, sandbox ones go out."""
    restorable.add("site", "site", live=True)
    restorable.add("sand")
    restorable.process()
    with restorable.store.write() as connection:
        recovery.adopt(connection, "home of another", at=restorable.clock.now(), actor="test", detail={})
    live = restorable.plan("site", at=None)
    sand = restorable.plan("sand", restorable.file("b.md", "二。"), at=None)
    restorable.run(20)
    assert ({"site": "planned"}, {"sand": "verified"}) == (restorable.states(live), restorable.states(sand))
    assert "tongfa adopt" in restorable.rows(live)["site"].problems[0]["message"]
    assert [] == restorable.outside["site"].record
    assert recover.adopt(restorable.ctx)
    assert not recover.adopt(restorable.ctx)
    restorable.run(60)
    assert ("held", False) == (restorable.release(live).state, restorable.is_open())
    control.resume(restorable.ctx, live)
    restorable.run(20)
    assert {"site": "verified"} == restorable.states(live)


def test_nothing_is_committed_or_removed_by_a_copy(restorable: Restorable) -> None:
    """Prepared before it became a copy: not released, a public one not withdrawn."""
    restorable.add("site", "site", live=True)
    restorable.process()
    first = restorable.plan("site", at=None)
    restorable.run(10)
    second = restorable.plan("site", restorable.file("b.md", "二。"), at=60)
    restorable.run(10)
    assert {"site": "prepared"} == restorable.states(second)
    with restorable.store.write() as connection:
        recovery.adopt(connection, "home of another", at=restorable.clock.now(), actor="test", detail={})
    before = restorable.sent()
    back = withdraw(restorable.ctx, Withdrawal(restorable.report(first)["item"], "发布有误"))
    restorable.run(100)
    assert before == restorable.sent()
    assert (1, {"site": "prepared"}) == (len(restorable.outside["site"].posts), restorable.states(second))
    assert {"site": "planned"} == restorable.states(back)


def test_armed_before_it_became_a_copy_it_is_held_at_the_commit(restorable: Restorable) -> None:
    """The last moment at which it is asked is the commit itself."""
    restorable.add("site", "site", live=True)
    restorable.process()
    made = restorable.plan("site", at=60)
    restorable.run_to(made, 5)
    with restorable.store.write() as connection:
        recovery.adopt(connection, "home of another", at=restorable.clock.now(), actor="test", detail={})
    restorable.run(60)
    assert ("held", 0) == (restorable.release(made).state, restorable.published("site"))


def test_the_home_of_another_installation_is_a_mismatch(restorable: Restorable) -> None:
    """The id in the home's file is that of another database."""
    identity.keep(restorable.settings, "f" * 32)
    assert "another installation" in str(identity.stopped(restorable.ctx))
    identity.renew(restorable.settings, INSTALLATION)
    assert identity.stopped(restorable.ctx) is None
    assert 0o600 == (restorable.home / identity.FILE).stat().st_mode & 0o777


def test_a_copied_folder_is_another_host(restorable: Restorable, tmp_path: Path) -> None:
    """A folder elsewhere, or at the same place but made anew, is not where it was set up."""
    with restorable.store.read() as connection:
        first = identity.here(restorable.settings, connection)
        other = restorable.settings.model_copy(update={"home": tmp_path})
        assert first == identity.here(restorable.settings, connection)
        assert first != identity.here(other, connection)
        kept = restorable.home.with_name("kept")
        restorable.home.rename(kept)
        restorable.home.mkdir()
        try:
            assert first != identity.here(restorable.settings, connection)
        finally:
            restorable.home.rmdir()
            kept.rename(restorable.home)


def test_an_adoption_needs_its_entry(restorable: Restorable) -> None:
    """The database refuses to change hands without a word in the log."""
    with pytest.raises(Exception, match="needs its log entry"), restorable.store.write() as connection:
        told = journal.write(
            connection, at=1, unit=outlets.LOCAL_UNIT, subject="item", subject_id="x", act="adopted", actor="test"
        )
        values = {"entry_id": told, "installation": INSTALLATION, "host": "x", "at": 1}
        connection.execute(adoption.insert().values(values))


def test_a_recovery_cannot_end_before_all_was_looked_up(restorable: Restorable) -> None:
    """The database refuses it, whoever asks."""
    set_up(restorable, "site")
    restorable.plan("site", at=60)
    with restorable.store.write() as connection:
        row = recover.begin(connection, recovery.RESTORED, {}, at=restorable.clock.now(), actor="test")
    with pytest.raises(Exception, match="when all was looked up"), restorable.store.write() as connection:
        recovery.end(connection, row, at=restorable.clock.now(), actor="test")
