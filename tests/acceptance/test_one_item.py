"""One item, published once: on every outlet at one instant, never before it, exactly once, told as it was.

What is said here of an outlet comes from its own record, its files or an anonymous read, not from our tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sync.clock import MILLISECOND, SECOND
from tests.acceptance.forks import Result
from tests.acceptance.installation import FOUR, LAG, Installation, assert_done, micros, write_item
from tests.acceptance.mode import Mode
from tests.acceptance.reader import Reader

TITLE = "关于开通 12 路乡村公交环线的通告"
STATIC = ("site", "gazette")  # shown by a web server; the others keep accounts and a record
PATHS = {  # what each kind of outlet goes through, in this order
    "queued": ["planned", "rendered", "prepare_begun", "prepared", "release_begun", "accepted", "released", "verified"],
    "at once": ["planned", "rendered", "prepare_begun", "prepared", "release_begun", "released", "verified"],
}


@dataclass(frozen=True)
class Published:
    """One `tongfa publish … --wait`, what it and then the log told, and what an anonymous reader met meanwhile."""

    installed: Installation
    command: Result
    told: dict[str, Any]
    entries: list[dict[str, Any]]
    readers: dict[str, Reader]

    @property
    def release_at(self) -> int:
        return micros(self.told["release_at"])

    @property
    def deliveries(self) -> dict[str, dict[str, Any]]:
        return {one["outlet"]: one for one in self.told["deliveries"]}


@pytest.fixture(scope="module")
def published(shared: Installation, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The release that all tests here look at: four outlets, one instant some seconds ahead."""
    item = write_item(tmp_path_factory.mktemp("item"), TITLE)
    with Reader(shared, "site", TITLE) as site, Reader(shared, "gazette", TITLE) as gazette:
        command = shared.run("publish", item, "--outlets", ",".join(FOUR), "--at", shared.soon(), "--wait", "--json")
    log = assert_done(shared.run("log", "list", "--item", command.json["item"], "--json")).json
    return Published(shared, command, command.json, log["entries"], {"site": site, "gazette": gazette})


def test_the_command_ends_with_0_once_every_outlet_shows_the_item(published: Published) -> None:
    """Verified means read back without an account and equal to what was approved."""
    assert 0 == published.command.code
    assert "released" == published.told["state"]
    assert set(FOUR) == set(published.deliveries)
    for one in published.deliveries.values():
        assert ("verified", True, [], 1) == (one["state"], one["match"], one["problems"], one["attempts"])


def test_nothing_is_public_before_the_instant(published: Published) -> None:
    """Neither by the record or the files of any outlet, nor to a reader who knew the addresses."""
    copies = published.installed.copies(TITLE)
    assert set(FOUR) == set(copies)
    for outlet, appeared in copies.items():
        assert min(appeared) >= published.release_at - (LAG if outlet in STATIC else 0), outlet
    for outlet, reader in published.readers.items():
        early = [read for read in reader.reads if read.ended < published.release_at]
        assert {404} == {read.status for read in early}, outlet
        assert early[-1].began > published.release_at - SECOND, "nobody looked just before the instant"
        assert 200 == reader.reads[-1].status
        assert published.deliveries[outlet]["url"] == reader.address


def test_each_outlet_shows_it_exactly_once(published: Published) -> None:
    """One copy everywhere, by the outlets' own records."""
    copies = published.installed.copies(TITLE)
    assert dict.fromkeys(FOUR, 1) == {outlet: len(appeared) for outlet, appeared in copies.items()}


def test_every_shot_leaves_in_its_window(published: Published) -> None:
    """Not before the instant and within two seconds after it; the outlet met it after it was sent."""
    copies = published.installed.copies(TITLE)
    for outlet, one in published.deliveries.items():
        sent = micros(one["sent_at"])
        assert published.release_at <= sent < published.release_at + 2 * SECOND, outlet
        assert sent <= copies[outlet][0] + (LAG if outlet in STATIC else 0) + MILLISECOND, outlet


def test_skew_and_lateness_are_those_of_the_first_sight(published: Published) -> None:
    """Lateness counts from the instant, skew between outlets; nothing was seen before it was there."""
    copies, told = published.installed.copies(TITLE), published.told
    seen = {outlet: micros(one["visible_at"]) for outlet, one in published.deliveries.items()}
    for outlet, one in published.deliveries.items():
        assert seen[outlet] >= copies[outlet][0] - MILLISECOND, outlet
        assert pytest.approx((seen[outlet] - published.release_at) / MILLISECOND, abs=1) == one["lateness_ms"]
        if one["visible_after"] is not None:
            assert micros(one["visible_after"]) < seen[outlet]
    late = [one["lateness_ms"] for one in published.deliveries.values()]
    assert {"first": min(late), "last": max(late)} == told["lateness_ms"]
    assert pytest.approx(max(late) - min(late), abs=0.01) == told["skew_ms"]
    assert 0 < told["skew_error_ms"] < 2_000
    assert 0 <= told["skew_sent_ms"] < 100


def test_every_attempt_names_the_worker_process_that_made_it(published: Published) -> None:
    """One prepared, another released, and neither is the command or one of its making."""
    lanes = {lane: {str(pid) for pid in published.installed.workers(lane)} for lane in ("prepare", "release")}
    for one in published.deliveries.values():
        by_act = {attempt["act"]: attempt["worker"].split(":")[1] for attempt in one["attempt_log"]}
        assert {"prepare_begun", "release_begun"} == set(by_act)
        assert by_act["prepare_begun"] in lanes["prepare"]
        assert by_act["release_begun"] in lanes["release"]
        assert one["worker"].split(":")[1] == by_act["release_begun"]
    assert str(published.command.pid) not in lanes["prepare"] | lanes["release"]


def test_the_log_tells_every_move_in_its_order(published: Published) -> None:
    """Each state that a delivery or the release went through has its entry, by whom and when."""
    entries = published.entries
    assert 0 < len(entries) <= published.told["log"]["size"]
    assert all(before["entry"] < after["entry"] and before["at"] <= after["at"] for before, after in pairwise(entries))
    release = [one["act"] for one in entries if one["id"] == published.told["release"]]
    assert ["planned", "readied", "committed", "completed"] == release
    for outlet, one in published.deliveries.items():
        moves = [entry for entry in entries if (entry["subject"], entry["id"]) == ("delivery", one["id"])]
        assert PATHS["queued" if outlet == "wechat" else "at once"] == [move["act"] for move in moves]
        assert one["state"] == moves[-1]["state"]
        workers = [move["actor"] for move in moves[1:]]
        assert all(worker.startswith(("prepare-", "release-")) for worker in workers), workers
        assert [move["actor"] for move in moves if move["act"].endswith("_begun")] == [
            attempt["worker"] for attempt in one["attempt_log"]
        ]


def test_the_point_of_no_return_is_passed_a_second_before_the_instant(published: Published) -> None:
    """Everything is ready before the release is committed, and it is committed before anything is sent."""
    (committed,) = (one for one in published.entries if one["act"] == "committed")
    assert published.release_at - 1.5 * SECOND < micros(committed["at"]) < published.release_at
    for one in published.entries:
        if one["act"] == "prepared":
            assert one["entry"] < committed["entry"]
        if one["act"] == "release_begun":
            assert one["entry"] > committed["entry"]


def test_the_demo_prints_one_document(tmp_path: Path, mode: Mode) -> None:
    """`tongfa demo --once --json` in an empty folder: eight outlets, all verified, one JSON document, nothing left."""
    empty = Installation(tmp_path / "home", mode=mode)
    shown = assert_done(empty.run("demo", "--once", "--json"))
    assert "released" == shown.json["state"]
    assert ["verified"] * 8 == [one["state"] for one in shown.json["deliveries"]]
    assert not empty.workers("prepare")
    assert not empty.workers("release")
