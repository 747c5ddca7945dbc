"""Bugs planted on purpose, each with the trial or test that has to find it: only then is "0 found" believed.

A plant is an edit of the product's source, made in memory: a snippet of one function is another one while it is
on. Nothing of it is in the product. In a process of its own:

    TONGFA_PLANTED="no quarantine" pytest -p tests.campaign.planted tests/integration/test_engine_doubt.py
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any
from unittest import mock

from tests.campaign.trial import Counts, Run, Trial

ROOT = Path(__file__).resolve().parents[2]
SWITCH = "TONGFA_PLANTED"
SEEDS = 150  # a planted bug is found among so many, or not


class NotPlantable(Exception):
    """The product's source has no such snippet any more: the plant has to be renewed."""


@dataclass(frozen=True)
class Edit:
    """In the function `where` (`module:name` or `module:Class.name`) one snippet is another, for all who use it."""

    where: str
    old: str
    new: str
    more: tuple[tuple[str, str], ...] = ()  # further snippets of the same function

    @contextmanager
    def on(self) -> Iterator[None]:
        function = self.function()
        before = function.__code__
        function.__code__ = self.code(function)
        try:
            yield
        finally:
            function.__code__ = before

    def function(self) -> FunctionType:
        module, _, path = self.where.partition(":")
        found: Any = import_module(module)
        for name in path.split("."):
            found = inspect.getattr_static(found, name)
        found = found.fget if isinstance(found, property) else found
        function = inspect.unwrap(found)
        assert isinstance(function, FunctionType)
        return function

    def code(self, function: FunctionType) -> CodeType:
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in ((self.old, self.new), *self.more):
            if source.count(old) != 1:
                raise NotPlantable(f"{self.where} has {source.count(old)} times: {old}")
            source = source.replace(old, new)
        lines = source.splitlines()
        while lines[0].startswith("@"):
            lines.pop(0)
        made: dict[str, Any] = {}
        head = "from __future__ import annotations\n"
        exec(compile(head + "\n".join(lines), f"<planted in {self.where}>", "exec"), function.__globals__, made)
        code: CodeType = made[function.__name__].__code__
        return code.replace(co_qualname=function.__code__.co_qualname)


@dataclass(frozen=True)
class Swap:
    """A value of a module is another one: what `made` returns."""

    module: str
    name: str
    made: Callable[[Any], Any]

    @contextmanager
    def on(self) -> Iterator[None]:
        module = import_module(self.module)
        with mock.patch.object(module, self.name, self.made(getattr(module, self.name))):
            yield


@dataclass(frozen=True)
class Plant:
    """`caught_by`: "simulation", "machine", or a test by pytest's name."""

    name: str
    caught_by: str
    edits: tuple[Edit | Swap, ...]
    weather: str = ""  # of the seeds in which it is looked for; any, unless named

    @contextmanager
    def on(self) -> Iterator[None]:
        with ExitStack() as stack:
            for one in self.edits:
                stack.enter_context(one.on())
            yield


def _without_epoch(statement: Any) -> Any:
    """The one writer of deliveries, asking only for the id."""
    from sync.store.tables import delivery

    kept = [part for part in statement.whereclause.clauses if part.left.name == "id"]
    made = delivery.update().where(*kept)
    return made.returning(*statement._returning) if statement._returning else made


V, S, T = "sync.verdict", "simulation", "tests/integration/test_engine"
PLANTS: tuple[Plant, ...] = (
    Plant(
        "sent before the intent is committed",
        S,
        (
            Edit(
                "sync.engine.release:Volley.commit",
                "fire_at = self._claim.commit(self._shots)",
                "[shot._fire() for shot in self._shots.values()]; fire_at = self._claim.commit(self._shots)",
            ),
        ),
    ),
    Plant(
        "no look-up after doubt",
        S,
        (
            Edit(
                "sync.engine.reconcile:_look",
                "return ctx.channel(outlet).probe(",
                "return None and ctx.channel(outlet).probe(",
            ),
        ),
        "calls",
    ),
    Plant("no quarantine", S, (Edit(f"{V}:quarantine", "round(facts.lands_within * SECOND)", "0"),), "calls"),
    Plant(
        "an absence counts at once",
        S,
        (Edit(f"{V}:judge_probe", "settled = ", "settled = True or "),),
        "calls",
    ),
    Plant(
        "a look that began in the quarantine counts after it",
        f"{T}_doubt.py::test_a_look_that_began_too_early_proves_no_absence",
        (Edit(f"{V}:judge_probe", "asked_at >= facts.quarantine_until", "facts.now >= facts.quarantine_until"),),
    ),
    Plant(
        "the quarantine counts from the intent",
        S,
        (Edit(f"{V}:quarantine", "return facts.now +", "return (facts.since or facts.now) +"),),
        "freezes",
    ),
    Plant(
        "an unclear answer is taken for a refusal",
        S,
        (Edit(f"{V}:judge_answer", "Rejected() | Unsupported() | Unauthorised()):", "Exception()):"),),
        "calls",
    ),
    Plant(
        "what was found is sent again",
        S,
        (
            Edit(
                f"{V}:judge_probe",
                "case (D.RELEASING | D.ACCEPTED, Receipt()):\n            return Verdict(E.RELEASED, facts.now)",
                "case (D.RELEASING, Receipt()):\n            return Verdict(E.ABSENT, facts.now)",
            ),
        ),
        "calls",
    ),
    Plant(
        "a blind outlet is sent to again",
        f"{T}_doubt.py::test_a_blind_outlet_in_doubt_goes_to_a_person",
        (
            Edit(
                f"{V}:judge_answer",
                "Probe.BLIND:\n            return Verdict(E.IN_DOUBT, None, why=why)",
                "Probe.BLIND:\n            return Verdict(E.ABSENT, facts.now)",
            ),
        ),
        "calls",
    ),
    Plant(
        "Retry-After is ignored",
        S,
        (Edit(f"{V}:_not_before", "return max(due, named) if named is not None else due", "return due"),),
        "calls",
    ),
    Plant(
        "verified without having been seen",
        S,
        (
            Edit(
                "sync.engine.verify:_judged",
                "if row.state == D.RELEASED and seen is not None and not seen.problems:",
                "if row.state == D.RELEASED:",
            ),
        ),
        "calls",
    ),
    Plant(
        "compared loosely",
        S,
        (Edit("sync.engine.verify:_judged", "and seen is not None and not seen.problems:", "and seen is not None:"),),
        "calls",
    ),
    Plant(
        "the old copy of a correction is forgotten",
        S,
        (Edit("sync.engine.verify:_judged", "if not before:", "if True:"),),
        "calm",
    ),
    Plant(
        "called withdrawn without reading back",
        S,
        (Edit("sync.engine.removal:clear", "if sighting.visible:", "if False:"),),
        "calls",
    ),
    Plant(
        "the host's clock instead of the database's",
        S,
        (Edit("sync.engine.evidence:clock_offset", "there = ctx.store.now(connection)", "there = ctx.clock.now()"),),
        "clocks",
    ),
    Plant(
        "a millisecond early",
        S,
        (
            Edit("sync.engine.release:Volley._until", "(instant - ", "(instant - 1_000 - "),
            Edit(
                "sync.engine.release:Volley._fire",
                "while 0 < instant",
                "while 2_000 < instant",
                (("early = clock.now() < instant", "early = False"),),
            ),
        ),
        "calm",
    ),
    Plant(
        "required outlets are not waited for",
        "tests/unit/test_flow.py::test_commit_needs_every_required_delivery_prepared",
        (Edit("sync.flow:all_required_prepared", "all(d.state is D.PREPARED for d in going if d.required)", "True"),),
    ),
    Plant(
        "a part is committed",
        S,
        (
            Edit(
                "sync.engine.claim:Claim.commit",
                "leaving = [*(self.rows[one] for one in armed), *others]",
                "leaving = [*(self.rows[one] for one in armed), *others][:1]",
            ),
        ),
        "calm",
    ),
    Plant(
        "the late limit is ignored",
        S,
        (
            Edit("sync.engine.fit:too_late", "return joined", "return False and joined"),
            Edit(
                "sync.engine.reconcile:_hold_overdue",
                "for late in releases.overdue(connection, now):",
                "for late in ():",
            ),
        ),
        "long",
    ),
    Plant(
        "no last look",
        f"{T}_death.py::test_a_frozen_owner_that_lost_its_lock_sends_nothing",
        (
            Edit(
                "sync.engine.claim:Claim.last_look",
                "owner = self._ctx.owner\n",
                "return set(self.rows), 0\n    owner = self._ctx.owner\n",
            ),
        ),
        "freezes",
    ),
    Plant(
        "a lease instead of a lock",
        S,
        (
            Edit(
                "tests.campaign.sim_hosts:SimLock.is_dead",
                "return not self._universe.locks[name]",
                "return any(one.stopped and one.lock.name == name for one in self._universe.hosts) or "
                "not self._universe.locks[name]",
            ),
        ),
        "freezes",
    ),
    Plant(
        "late ones that are ready are forgotten",
        S,
        (
            Edit(
                "sync.store.releases:_follows",
                "if row.state == R.COMMITTED and ready and",
                "if False and",
            ),
        ),
        "calls",
    ),
    Plant(
        "a withdrawal stops nothing that is on its way",
        f"{T}_withdraw.py::test_an_optional_outlet_that_is_late_never_goes_out",
        (Edit("sync.engine.withdraw:stop", "for one in deliveries.of_item(connection, item):", "for one in ():"),),
        "calls",
    ),
    Plant(
        "a withdrawal forgets what is just coming",
        S,
        (Edit("sync.engine.removal:_is_coming", "if not coming:", "if True:"),),
        "calls",
    ),
    Plant(
        "a request is planned twice",
        S,
        (
            Edit(
                "sync.engine.request:first_result",
                "known = _answered(connection, request_id) if request_id is not None else None",
                "known = None",
            ),
        ),
        "deaths",
    ),
    Plant(
        "a state without its entry",
        S,
        (
            Edit(
                "sync.engine.prepare:_claim",
                "changes.append(Change(row, E.PREPARE_BEGUN, told, values))",
                'changes.append(Change(row, None, told, values | {"state": "preparing"}))',
            ),
        ),
        "calm",
    ),
    Plant(
        "published beside a withdrawal that is under way",
        f"{T}_withdraw.py::test_while_it_is_being_withdrawn_it_is_not_published_again",
        (
            Edit(
                "sync.engine.order:_refuse_beside",
                "if order.corrects is None and (leaving :=",
                "if False and (leaving :=",
            ),
        ),
    ),
    Plant(
        "no epoch is asked for",
        "tests/integration/test_store.py::test_a_stale_writer_changes_nothing",
        tuple(
            Swap("sync.store.deliveries", name, _without_epoch)
            for name in ("_CHANGE", "_CHANGE_WHOLE", "_CHANGE_LIGHT")
        ),
    ),
    Plant(
        "a living owner's rows are taken over",
        f"{T}_death.py::test_a_frozen_owner_keeps_its_rows",
        (
            Edit(
                "sync.engine.reconcile:reconcile",
                "and row.owner != ctx.owner and ctx.lock.is_dead(row.owner)",
                "and row.owner != ctx.owner",
            ),
        ),
    ),
    Plant(
        "one overtaken row loses the others' answers",
        f"{T}_failures.py::test_one_overtaken_row_does_not_lose_the_others_answers",
        (
            Edit(
                "sync.engine.outcome:_apply",
                "for one, verdict in judged if (one.row.id, one.row.epoch, one.row.state) in ours]",
                "for one, verdict in judged]",
            ),
        ),
    ),
    Plant(
        "an older revision goes out after a newer one",
        f"{T}_correct.py::test_an_older_revision_never_overwrites_a_newer_one",
        (
            Edit(
                "sync.store.copies:Revisions.newer", "return self.public.get(item, 0) > revision or", "return False and"
            ),
        ),
    ),
    Plant(
        "a correction stands beside the old copy",
        f"{T}_correct.py::test_in_place_everywhere_at_the_instant",
        (Edit("sync.engine.plan:_replaced", "if order.corrects is not None else None", "if False else None"),),
    ),
    Plant(
        "what was approved is not compared",
        f"{T}_review.py::test_a_changed_template_voids_the_approvals",
        (
            Edit(
                "sync.engine.approval:_take_in", "if joined.digest is not None and any(changed.values()):", "if False:"
            ),
        ),
    ),
    Plant(
        "the author may approve",
        f"{T}_review.py::test_whoever_may_not_is_refused",
        (Edit("sync.engine.review:_entitled", "if person.name in _own(connection, row):", "if False:"),),
    ),
    Plant(
        "a shot leaves outside its window",
        "tests/contract/test_contract.py::test_send_refuses_outside_its_window",
        (Edit("sync.contract:Shot.send", "if not window.opens <= at < window.closes:", "if False:"),),
    ),
    Plant(
        "tries are never counted",
        f"{T}_doubt.py::test_twelve_tries_and_then_a_person",
        (Edit("sync.engine.prepare:_claim", '"attempts": row.attempts + 1, "owner"', '"owner"'),),
    ),
    Plant(
        "tries are counted after the work",
        f"{T}_doubt.py::test_twelve_tries_and_then_a_person",
        (
            Edit("sync.engine.prepare:_claim", '"attempts": row.attempts + 1, "owner"', '"owner"'),
            Edit("sync.engine.outcome:_change", '{"owner": None,', '{"owner": None, "attempts": row.attempts + 1,'),
        ),
    ),
    Plant(
        "status 200 is trusted",
        "tests/contract/test_wechat.py::test_busy_after_the_instant_is_ambiguous",
        (Edit("channels.wechat_api:failure", "if code == 0:", "if True:"),),
    ),
    Plant(
        "a page is taken for an answer",
        "tests/unit/test_webhook.py::test_a_whole_page_is_no_answer",
        (Edit("channels.webhook_answer:accepted", "if WHOLE_PAGE.match(answer.body):", "if False:"),),
    ),
    Plant(
        "after a restore it is not looked up first",
        f"{T}_recover.py::test_what_is_planned_meanwhile_waits",
        (Edit("sync.engine.identity:barred_of", "if recovery.current(connection) is not None:", "if False:"),),
    ),
    Plant(
        "a hold is ignored at the commit",
        f"{T}_person.py::test_hold_races_the_commit",
        (
            Swap(
                "sync.flow",
                "RELEASE_TABLE",
                lambda table: {**table, "held": {**table["held"], "committed": "committed"}},
            ),
        ),
    ),
    Plant(
        "taken twice",
        f"{T}_correct.py::test_now_over_several_processes",
        (Edit("sync.engine.fit:is_free", "and row.owner is None and", "and"),),
    ),
    Plant(
        "an outlet that was changed is sent to as it was",
        f"{T}_arming.py::test_an_outlet_changed_after_prepare_is_prepared_again",
        (
            Edit(
                "sync.engine.release:Volley._arm_one",
                "there is None or row.generation != outlet.generation",
                "there is None",
            ),
            Edit(
                "sync.engine.fit:may_go",
                "if there[row.outlet].generation != row.generation and row.id in ours:",
                "if False:",
                (("if there[row.outlet].generation != row.generation:", "if False:"),),
            ),
        ),
    ),
)


_planted = ExitStack()


def named(name: str) -> Plant:
    return next(one for one in PLANTS if one.name == name)


def pytest_configure() -> None:
    """As a plugin of pytest: the plant that the environment names is on until the process ends."""
    if SWITCH in os.environ:
        _planted.enter_context(named(os.environ[SWITCH]).on())


def caught(plant: Plant, seeds: int = SEEDS) -> str:
    """What finds it, in one line; "" when nothing does."""
    if plant.caught_by == S:
        return _by_simulation(plant, seeds)
    done = _pytest(plant.caught_by, plant.name)
    return plant.caught_by if done == 1 else ""


def clean(plant: Plant, seeds: int = SEEDS) -> bool:
    """The same, without the plant, finds nothing."""
    if plant.caught_by == S:
        return not _by_simulation(plant, seeds, on=False)
    return _pytest(plant.caught_by, None) == 0


def _by_simulation(plant: Plant, seeds: int, *, on: bool = True) -> str:
    from tests.campaign.simulation import Apart

    with Apart(plant.name if on else None, plant.weather) as apart:
        for seed in range(seeds):
            if broken := apart.run(seed).broken:
                return f"seed {seed}: {broken}"
    return ""


def _pytest(test: str, plant: str | None) -> int:
    """pytest's own word: 0 all is well, 1 a test failed."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.campaign.planted",
        test,
    ]
    environment = {**os.environ, **({SWITCH: plant} if plant else {})}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300).returncode


@contextmanager
def _cases() -> Iterator[Run]:
    def run(case: int) -> Counts:
        plant = PLANTS[case % len(PLANTS)]
        found = caught(plant)
        assert found, f"case {case}: nothing finds “{plant.name}”; {plant.caught_by} should"
        return {"planted": 1, "caught": 1}

    yield run


TRIALS = (
    Trial("planted", "bugs planted on purpose, found by the trials and tests", "caught", len(PLANTS), _cases, zero=()),
)
