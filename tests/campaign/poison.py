"""T-16 and T-17: items that harm whoever reads them, and credentials that end when they are needed.

Poison: an item is refused before it is stored, or, read after all, goes out like any other, or its delivery fails
within three tries; healthy items beside it go on, and nothing of it is left. Credentials: real channels on sandboxes
whose tokens die at any step of a publication; who publishes at the same time, or is killed while it asks for a new
one, finds its way, or a person is told what to mend.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from channels import wechat_api
from sync import confine
from sync.clock import SECOND, SystemClock
from sync.content.source import BadItem, read
from sync.contract import Ambiguous, Fresh, LocalTokens, OutletError
from sync.engine import control
from sync.flow import D
from sync.http import Http, Limits
from sync.model import BadInput
from tests.campaign import poisons
from tests.campaign.outlets import COPIES, SITE
from tests.campaign.poisons import BESIDE, FILES, JOBS, OUTSIDE, TEXT
from tests.campaign.town import Town, databases, town
from tests.campaign.trial import Counts, Run, Trial
from tests.contract.bench import server
from tests.integration.hand import Process
from tests.unit.item_files import NOW

PARSE = "sync.content.parse:parse"
EXAMINE = "sync.content.picture:examine"
TYPESET = "channels.gazette.typeset:typeset"
READ_WITHIN = 30.0  # seconds, on a machine that has other work
MOST_TRIES = 3
EVERYWHERE = {"site": "website", "wechat": "wechat", "mastodon": "mastodon", "gazette": "gazette"}
DUE = ("planned", "rendered", "preparing", "prepared", "releasing", "accepted", "discarding")


# T-16


def kinds() -> list[tuple[str, Callable[[Path, Random], Path], Callable[..., Any] | None, str]]:
    """All: the name, what writes the item into a folder, the job that stands for a reader's defect, and where."""
    found: list[tuple[str, Callable[[Path, Random], Path], Callable[..., Any] | None, str]] = []
    found += [(name, partial(_written, name), None, "") for name in FILES]
    for job in JOBS:
        found += [
            (f"the reader {job.__name__}", _plain, job, PARSE),
            (f"the decoder {job.__name__}", _pictured, job, EXAMINE),
            (f"the typesetter {job.__name__}", _plain, job, TYPESET),
        ]
    return found


def _written(name: str, folder: Path, random: Random) -> Path:
    file, make, beside = FILES[name]
    path = folder / file
    path.write_bytes(TEXT if beside else make(random))
    if beside:
        (folder / BESIDE).write_bytes(make(random))
    return path


def _plain(folder: Path, random: Random) -> Path:
    path = folder / "item.md"
    path.write_text("---\ntitle: T\n---\nText.\n")
    return path


def _pictured(folder: Path, random: Random) -> Path:
    path = folder / "item.md"
    path.write_bytes(TEXT)
    (folder / BESIDE).write_bytes(poisons.PICTURES["jpeg that is cut off"](random))
    return path


KINDS = kinds()


class Healthy:
    """Sound items, read all the time beside the poison: how many, and how long the slowest took."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.many, self.failed, self.slowest = 0, 0, 0.0

    def __enter__(self) -> Healthy:
        self._thread.start()
        return self

    def __exit__(self, *given: object) -> None:
        self._halt.set()
        self._thread.join()

    def _run(self) -> None:
        path = self._folder / "healthy.md"
        path.write_text("---\ntitle: 环线通告\n---\n自 12 月 1 日起试运行，票价 1 元。\n")
        while True:
            began = time.monotonic()
            try:
                read(path, NOW)
                self.many += 1
            except BadItem:
                self.failed += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            if self._halt.wait(0.05):
                return


@contextmanager
def _broken(job: Callable[..., Any] | None, where: str, path: Path) -> Iterator[None]:
    """Meanwhile `job` runs in the place of the confined function `where`, within the same walls, for this item."""
    whole = confine.run

    def run(function: str, value: Any, parts: Sequence[bytes] = (), **more: Any) -> confine.Answer:
        if job is None or function != where or not (where == TYPESET or str(path) in str(value)):
            return whole(function, value, parts, **more)
        limits = replace(more.pop("limits", confine.Limits()), cpu_s=2, wall_s=8.0)
        return whole(f"{poisons.__name__}:{job.__name__}", value, parts, limits=limits, **more)

    with patch.object(confine, "run", run):
        yield


def poison(database: Path, case: int) -> Counts:
    """One item. Raises AssertionError when it harmed anything, or was neither refused nor brought to an end."""
    name, write, job, where = KINDS[case % len(KINDS)]
    random = Random(f"T-16 {case}")
    with tempfile.TemporaryDirectory(prefix="poison-") as made:
        folder = Path(made, "item")
        folder.mkdir()
        path = write(folder, random)
        there, open_before = sorted(folder.iterdir()), _open_files()
        counts: Counter[str] = Counter(poisons=1)
        with Healthy(Path(made)) as healthy, _broken(job, where, path):
            began = time.monotonic()
            refusal = _refusal(path)
            took = time.monotonic() - began
            time.sleep(0.02)
        named = f"case {case} ({name})"
        if where in (EXAMINE, PARSE):
            assert refusal is not None, f"{named}: it was read"
        assert took < READ_WITHIN, f"{named}: read for {took:.0f} s"
        assert not healthy.failed, f"{named}: {healthy.failed} sound items beside it were refused"
        counts["refused"] += refusal is not None
        if refusal is None:
            counts.update(_sent(database, path, job, where, named))
        left = [one.name for one in sorted(folder.iterdir()) if one not in there]
        assert not left, f"{named}: left {left}"
        assert not OUTSIDE.exists(), f"{named}: it wrote outside"
        _assert_nothing_runs(named)
        more = _open_files() - open_before
        assert more <= 8, f"{named}: {more} more open files"
    return {
        **counts,
        "healthy": healthy.many,
        "healthy_ms": round(1_000 * healthy.slowest),
        "read_ms": round(1_000 * took),
    }


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _refusal(path: Path) -> BadItem | None:
    try:
        read(path, NOW)
    except BadItem as refusal:
        assert all(one.where and one.message and one.mend for one in refusal.each)
        return refusal
    return None


def _assert_nothing_runs(named: str) -> None:
    """No job's process is left but the one that forks."""
    forks = confine._server()._process.pid
    ends_ = time.monotonic() + 5
    children = Path(f"/proc/{forks}/task/{forks}/children")
    while children.exists() and (left := children.read_text().split()):
        assert time.monotonic() < ends_, f"{named}: {left} still run"
        time.sleep(0.01)


def _sent(database: Path, path: Path, job: Callable[..., Any] | None, where: str, named: str) -> Counter[str]:
    """What could be read is published everywhere beside a sound item; how its deliveries ended."""
    with ExitStack() as stack:
        made = stack.enter_context(town(database))
        for outlet, kind in EVERYWHERE.items():
            formats = {"formats": "html,pdf"} if where == TYPESET else {"formats": "html"}
            settings = {"website": SITE, "gazette": {**SITE, **formats}}.get(kind, {})
            made.open(outlet, kind, settings)
        made.process()
        sound = made.plan("site,wechat,mastodon", made.file("healthy.md", body="票价 1 元。", title="环线"), at=60)
        try:
            harmful = made.plan(",".join(EVERYWHERE), path, at=60)
        except BadInput as refusal:
            assert refusal.mend, named
            harmful = None
        stack.enter_context(_broken(job, where, path))
        made.settle(sound)
        states = dict(made.states(sound))
        assert set(states.values()) <= {"verified"}, f"{named}: sound items beside it are {states}"
        if harmful is None:
            return Counter(refused=1)
        made.settle(harmful)
        rows = made.rows(harmful)
        tries = {one: _tries(made, row.id) for one, row in rows.items()}
        open_ = {one: row.state for one, row in rows.items() if row.state in DUE}
        held = made.release(harmful).state == "held"
        assert held or not open_, f"{named}: {open_} have not ended"
        assert max(tries.values()) <= MOST_TRIES, f"{named}: tried {tries}"
        return Counter(
            parked=sum(row.state in ("failed", "unresolved") for row in rows.values()),
            harmless=sum(row.state in ("verified", "closed") for row in rows.values()),
        )


def _tries(made: Town, delivery: str) -> int:
    return sum(one.act in ("prepare_begun", "release_begun") for one in made.entries(delivery)) or 0


# T-17

TOKEN = "/cgi-bin/stable_token"
STEPS: Mapping[str, Sequence[str]] = {
    "wechat": (
        "/cgi-bin/material/batchget_material",
        "/cgi-bin/material/add_material",
        "/cgi-bin/draft/add",
        "/cgi-bin/draft/get",
        "/cgi-bin/freepublish/submit",
        "/cgi-bin/freepublish/get",
        "/cgi-bin/freepublish/batchget",
        "/cgi-bin/*",
    ),
    "mastodon": (
        "/api/v1/accounts/verify_credentials",
        "/api/v1/accounts/*/statuses",
        "/api/v1/statuses",
    ),
}
LOOKS = {"wechat": "/cgi-bin/freepublish/*get*", "mastodon": "/api/v1/accounts/*"}  # after doubt
SHOTS = {"wechat": "/cgi-bin/freepublish/submit", "mastodon": "/api/v1/statuses"}
REVOKED = (40125, 40243, 40164, 48001, 50007)  # what stable_token says when somebody has to do something
DEAD = (40001, 40014, 42001)
STORM = 3  # refused calls of one account in a minute
ALONE = 20  # who ask at once


def _at_a_step(database: Path, case: int) -> Counts:
    """The token of one account dies, once or for good, at one step of a publication; in the end it is mended."""
    random = Random(f"T-17 {case}")
    kind = ("wechat", "mastodon")[case % 2]
    step = random.choice(STEPS[kind])
    for_good = random.random() < 0.5
    lost = random.random() < 0.3  # and an answer before that is lost, so that somebody has to look
    with town(database) as made:
        made.open("site", "website", SITE)
        made.open("o1", kind)
        made.process()
        outlet = made.sandbox[kind]
        release = made.plan("site,o1", at=60)
        if lost:
            outlet.knob("drop_answer", method="POST", path=SHOTS[kind])
            if for_good:  # the token dies while nobody knows what became of the shot
                made.run_to(release, before=0.2)
                step = LOOKS[kind]
        times = 0 if for_good else random.choice((1, 1, 2))
        if kind == "mastodon":
            outlet.knob("refuse", path=step, times=times, status=401, json={"error": "The access token was revoked"})
        elif for_good and not lost and random.random() < 0.5:
            outlet.knob("token_life", seconds=1)
            outlet.knob("errcode", path=TOKEN, times=0, code=random.choice(REVOKED))
        else:
            outlet.knob("errcode", path=step, times=times, code=random.choice(DEAD))
        if random.random() < 0.3:
            outlet.knob("token_life", seconds=random.choice((1, 20)))
        made.run(900.0)
        named = f"case {case} ({kind} {step}, {'for good' if for_good else f'{times} times'}, lost: {lost})"
        refused = _refused(outlet.record(), kind)
        storm = max((sum(at <= other < at + 60 * SECOND for other in refused) for at in refused), default=0)
        told = made.told(release)["o1"]
        assert storm <= STORM, f"{named}: {storm} refused calls within a minute"
        if told["state"] not in ("verified", "closed"):
            assert told["problems"] or made.release(release).state == "held", f"{named}: nobody is told: {told}"
        outlet.clear()
        _mended(made, release, told["id"])
        copies = [one for one in made.lines("o1") if one["applied"] and one["effect"] in COPIES]
        state = made.states(release)["o1"]
        counts = {
            "troubles": 1,
            "asked_a_person": told["state"] in ("failed", "unresolved") or made.release(release).state == "held",
            "storm": storm,
            "duplicate": len(copies) > 1,
            "early": sum(one["at"] < made.release(release).release_at for one in copies),
            "lost": state not in ("verified", "closed") or not copies,
        }
        wrong = [one for one in ("duplicate", "early", "lost") if counts[one]]
        assert not wrong, f"{named}: {wrong}: {state}, {made.release(release).state}, {told['problems']}"
    return counts


def _mended(made: Town, release: str, delivery: str) -> None:
    """A person has mended the credentials and does what the program asks for, as often as it takes."""
    for _ in range(4):
        made.run(900.0)
        row, state = made.rows(release)["o1"], made.release(release).state
        if row.state in ("verified", "closed"):
            return
        try:
            if row.state == D.FAILED:
                control.retry(made.ctx, delivery)
            elif state == "held":
                control.resume(made.ctx, release)
        except BadInput:
            continue
        made.run(60.0)
        if made.release(release).state == "held":
            control.resume(made.ctx, release)


def _refused(record: Sequence[Mapping[str, Any]], kind: str) -> list[int]:
    """When calls were refused for what they were signed with, and when a new token was asked for."""
    if kind == "mastodon":
        return [line["at"] for line in record if line["fault"] == "refuse"]
    return [line["at"] for line in record if line["path"] == TOKEN and line["effect"] != "asked_token"]


def _racing(folder: Path, case: int) -> Counts:
    """Twenty at once, each in a task of its own, find the same token dead."""
    random = Random(f"T-17 race {case}")
    clock = SystemClock()
    with server("channels.sandbox.wechat", folder / f"race-{case}") as outlet, ExitStack() as stack:
        https = [Http(private_network=True, now=clock.now, limits=Limits(read=20.0, total=30.0)) for _ in range(ALONE)]
        for one in https:
            stack.callback(one.close)
        account, kept = ("sandbox-town", "sandbox-secret-town"), LocalTokens()
        callers = [wechat_api.WechatApi(one, outlet.address, *account, clock.now, kept) for one in https]
        how = random.choice(("dead", "refused", "expired"))
        if how == "expired":
            outlet.knob("token_life", seconds=1)
        with ThreadPoolExecutor(ALONE) as pool:
            list(pool.map(lambda one: one.token(), callers))
            if how == "dead":  # somebody else has forced a new one
                wechat_api.WechatApi(https[0], outlet.address, *account, clock.now)._ask_token(force=True)
            elif how == "refused":  # the outlet hands out what it refuses
                outlet.knob("errcode", path="/cgi-bin/draft/batchget", times=ALONE, code=random.choice(DEAD))
            else:
                time.sleep(1.1)
                outlet.clear()
            before = len(outlet.record())
            at_once = threading.Barrier(ALONE)
            stack.enter_context(patch.object(wechat_api.WechatApi, "_renew", _together(at_once)))
            ask = {"offset": 0, "count": 1, "no_content": 1}
            ended = list(pool.map(lambda one: _said(one, ask), callers))
            lines = outlet.record()[before:]
            asked = [line for line in lines if line["path"] == TOKEN]
            forced = [line for line in asked if line["effect"] == "forced_token"]
            tokens = {one._token for one in callers}
        named = f"race {case} ({how})"
        assert not any(ended), f"{named}: {Counter(map(str, filter(None, ended)))}"
        assert len(tokens) == 1, f"{named}: {len(tokens)} tokens are in use"
        assert len(asked) <= 2 * ALONE, f"{named}: a token was asked for {len(asked)} times"
        assert len(forced) == (how == "refused"), f"{named}: {len(forced)} forced"
    shutil.rmtree(folder / f"race-{case}", ignore_errors=True)
    return {"troubles": 1, "racers": ALONE, "asked": len(asked), "forced": len(forced)}


def _together(at_once: threading.Barrier) -> Callable[[wechat_api.WechatApi], None]:
    """Nobody asks for a new token before all have seen that theirs is dead."""
    whole = wechat_api.WechatApi._renew

    def renew(api: wechat_api.WechatApi) -> None:
        at_once.wait(30)
        whole(api)

    return renew


def _said(api: wechat_api.WechatApi, ask: Mapping[str, object]) -> OutletError | None:
    try:
        api.call("draft/batchget", ask, wechat_api.Step.READ)
    except OutletError as error:
        return error
    return None


def _killed(database: Path, case: int) -> Counts:
    """The process that asks for a token dies before or after it was given one; another one goes on."""
    random = Random(f"T-17 kill {case}")
    at, answered = random.randrange(1, 7), random.random() < 0.5
    whole = wechat_api.WechatApi._ask_token
    asked = 0
    with town(database) as made:
        made.open("site", "website", SITE)
        made.open("o1", "wechat")
        made.sandbox["wechat"].knob("token_life", seconds=random.choice((5, 600, 7_200)))
        victims: list[Process] = [made.mortal()]

        def dies(api: wechat_api.WechatApi, *, force: bool) -> Fresh:
            nonlocal asked
            asked += 1
            if asked != at:
                return whole(api, force=force)
            if answered:
                whole(api, force=force)
            victims[0].store.gone = True
            raise Ambiguous("nobody hears this")

        with patch.object(wechat_api.WechatApi, "_ask_token", dies):
            release = made.plan("site,o1", at=60)
            for _ in range(130):
                made.run(1.0)
                if victims[0].store.gone:
                    break
            died = victims[0].store.gone
            made.kill(victims[0])
            made.failures.clear()  # that it could store nothing was meant
            made.process()
            made.settle(release)
        named = f"kill {case} (at question {at}, {'answered' if answered else 'not answered'})"
        copies = [one for one in made.lines("o1") if one["applied"] and one["effect"] in COPIES]
        states = made.states(release)
        assert set(states.values()) == {"verified"}, f"{named}: {states} {made.told(release)}"
        assert len(copies) == 1, f"{named}: {len(copies)} copies"
        assert copies[0]["at"] >= made.release(release).release_at, f"{named}: early"
    return {"troubles": 1, "killed": died}


def credentials(database: Path, case: int) -> Counts:
    """Three of six cases at a step, two killed, one race."""
    match case % 6:
        case 2 | 4:
            return _killed(database, case)
        case 5:
            return _racing(database.parent, case)
        case _:
            return _at_a_step(database, case)


@contextmanager
def _open(run: Callable[[Path, int], Counts]) -> Iterator[Run]:
    with databases() as database:
        yield partial(run, database)


TRIALS = (
    Trial(
        "poison",
        f"T-16 {len(KINDS)} kinds of items that harm their reader, each refused, or ended within three tries",
        "poisons",
        600,
        partial(_open, poison),
        (),
        ("healthy_ms", "read_ms"),
    ),
    Trial(
        "credentials",
        "T-17 tokens that end at each step, twenty that ask at once, deaths while asking",
        "troubles",
        300,
        partial(_open, credentials),
        ("lost", "duplicate", "early"),
        ("storm",),
    ),
)
