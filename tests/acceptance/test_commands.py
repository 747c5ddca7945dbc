"""Every command: one JSON document and nothing else with --json, text that 80 columns hold, in both languages."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.cells import cell_len
from sqlalchemy import insert
from typer.main import get_command

from sync.cli.app import PARTS
from sync.cli.app import command as command_line
from sync.cli.words import LABELS, STATES
from sync.flow import D, E, R
from sync.store import deliveries
from sync.store.session import Store
from sync.store.tables import entry
from tests.acceptance.commands import Door, staying
from tests.acceptance.installation import QUICK, Installation, assert_done, eventually, running, write_item
from tests.acceptance.mode import TONGFA, Mode

DRAFT = "/cgi-bin/draft/add"  # where WeChat is given an article, invisible
FAR = "2090-01-02T09:00+08:00"
OUTLET = {"outlet", "unit", "kind", "settings", "secrets", "groups", "required", "live", "private_network", "state"}
ITEM = {"item", "revision", "title", "digest", "created_at", "metadata", "assets", "body"}
RELEASE = {
    "release", "item", "items", "revision", "action", "reviewed", "state", "policy", "align", "release_at", "skew_ms",
    "skew_error_ms", "skew_sent_ms", "lateness_ms", "deliveries", "log", "why", "next", "late", "reason", "review",
}  # fmt: skip
DELIVERY = {
    "id", "outlet", "kind", "required", "state", "live", "ref", "url", "attempts", "worker", "sent_at", "released_at",
    "visible_at", "visible_after", "lateness_ms", "match", "problems", "item", "next", "late", "replaces",
}  # fmt: skip
KIND = {
    "kind",
    "reveal",
    "probe",
    "correct",
    "withdraw",
    "lands_within_s",
    "fresh_for_s",
    "address_known",
    "settings",
    "limits",
    "budgets",
    "polls_s",
    "optional",
    "announces",
    "expires",
    "listens",
    "carries",
}

# What each command's document holds, in the order in which they can be run. {…}: see `Made`.
READING = {
    "outlet list": {"outlets"},
    "outlet check site": {"outlet", "ok", "live"},
    "channel list": {"kinds"},
    "channel show wechat": KIND,
    "item list": {"items", "more"},
    "item show {item}": ITEM | {"copies"},
    "release list": {"releases", "more"},
    "release show {release}": RELEASE,
    "delivery list": {"deliveries", "more"},
    "delivery list --state verified": {"deliveries", "more"},
    "delivery show {delivery}": DELIVERY | {"release", "history"},
    "log list": {"entries"},
    "log list --item {item} --outlet site --since 2020-01-01T00:00Z": {"entries"},
    "unit list": {"units"},
    "unit show local": {"unit", "name", "level", "review", "history"},
    "user list": {"users"},
    "review list": {"reviews"},
    "metrics": {"tongfa_workers", "tongfa_deliveries", "tongfa_copies", "tongfa_skew_seconds"},
    "doctor": {"findings"},
}
DOING = {
    "setup": {"home", "ready"},
    "outlet add spare --kind website --group idle --set site_name=镇": OUTLET,
    "outlet set spare --optional --set theme=#335577": OUTLET,
    "outlet group spare idle reserve": OUTLET,
    "outlet pause spare": OUTLET,
    "outlet resume spare": OUTLET,
    "outlet remove spare": OUTLET,
    "item add second.md": ITEM | {"problems"},
    "publish second.md --outlets site,gazette --request-id 1 --at " + FAR: RELEASE,
    "release hold {second}": RELEASE,
    "release resume {second}": RELEASE,
    "release cancel {second}": RELEASE,
}
ELSEWHERE = {
    "up",
    "worker",
    "demo",
    "preview",
    "delivery retry",
    "delivery drop",
    "delivery settle",
    *("correct", "withdraw"),  # test_twenty_outlets.py
    *("adopt", "backup", "restore"),  # test_restore.py
    *("unit add", "unit set", "user add", "user set", "user disable"),  # test_review.py
    *("review show", "review approve", "review reject"),
    *("feed add", "feed list", "feed show", "feed pull", "feed remove"),  # test_feeds.py
    "item export",  # test_export.py
    "web",  # test_callback.py
}  # tested below, with faults, or in a file of their own


@dataclass(frozen=True)
class Made:
    """An installation in which an item with a Chinese title is public on four outlets."""

    installed: Installation
    door: Door
    narrow: Door  # with 80 columns
    report: dict[str, Any]

    def names(self) -> dict[str, str]:
        known = {"item": self.report["item"], "release": self.report["release"]}
        return {**known, "delivery": self.report["deliveries"][0]["id"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("commands")
    first = write_item(folder, "关于开通清溪镇[12 路]乡村公交环线并调整沿线各站点首末班时间的通告").rename(
        folder / "first.md"
    )
    write_item(folder, "关于调整票价的通告").rename(folder / "second.md")
    write_item(folder, "关于停运的通告").rename(folder / "third.md")
    with running(folder, mode=mode) as installed:
        opened, narrow = Door(installed), Door(installed, columns=80)
        told = opened.run("publish", first, "--outlets", "site,wechat,mastodon,gazette", "--wait", "--json")
        assert 0 == told.code, told.out + told.err
        yield Made(installed, opened, narrow, told.json)


# what commands there are


COMMAND = command_line()


def tree(command: Any = COMMAND, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group, by its words."""
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from tree(one, (*path, name))


GROUPS = [path for path, one in tree() if hasattr(one, "commands")]
COMMANDS = [path for path, one in tree() if not hasattr(one, "commands")]


def test_no_command_is_forgotten() -> None:
    """Each is run here with --json."""
    run = {" ".join(path) for path in COMMANDS for text in (*READING, *DOING) if text.split()[: len(path)] == [*path]}
    assert {" ".join(path) for path in COMMANDS} == run | ELSEWHERE


@pytest.mark.parametrize("part", PARTS)
def test_a_part_knows_its_words(part: str) -> None:
    """Only the part that has the word is imported, so a word that its part does not name would not be found."""
    app = typer.Typer()
    app.callback()(lambda: None)
    import_module(f"sync.cli.{part}").register(app)
    assert [*PARTS[part]] == list(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_takes_json_and_explains_itself(path: tuple[str, ...]) -> None:
    """A sentence for the command, and one for each option and argument."""
    command = dict(tree())[path]
    assert command.help and command.help.endswith((".", "。"))
    assert any("--json" in one.opts for one in command.params)
    assert [] == [one.name for one in command.params if not one.help]


@pytest.mark.parametrize(
    "path", [*GROUPS, ("publish",), ("outlet", "add")], ids=lambda path: " ".join(path) or "tongfa"
)
def test_help(made: Made, path: tuple[str, ...]) -> None:
    """Exit 0 and 80 columns, in both languages; a group alone, and `tongfa` alone, show the same."""
    for language in ("en", "zh-CN"):
        told = made.narrow.run(*path, "--help", TONGFA_LANG=language, COLUMNS="80")
        assert (0, "") == (told.code, told.err)
        assert f"Usage: {' '.join(('tongfa', *path))}" in told.out
        assert all(cell_len(line) <= 80 for line in told.out.splitlines())
        for name in getattr(dict(tree())[path], "commands", {}):
            assert re.search(rf"│ {name} ", told.out), name
    if path in GROUPS:
        assert told.out.rstrip() == made.narrow.run(*path, TONGFA_LANG="zh-CN", COLUMNS="80").out.rstrip()


def test_the_version(made: Made) -> None:
    """As the package says."""
    told = made.door.run("--version")
    assert (0, "tongfa 0.1.0\n") == (told.code, told.out)


# one document


@pytest.mark.parametrize("command", READING)
def test_what_is_asked(made: Made, command: str) -> None:
    """One JSON document on stdout, nothing on stderr; as text in both languages, within 80 columns."""
    arguments = command.format(**made.names()).split()
    told = made.door.run(*arguments, "--json")
    assert (0, "") == (told.code, told.err) or command == "doctor"
    assert READING[command] <= set(told.json)
    assert_dated(told.json)
    for language in ("en", "zh-CN"):
        text = made.narrow.run(*arguments, TONGFA_LANG=language)
        assert (told.code, "") == (text.code, text.err)
        if not command.startswith("log"):  # a line for each entry, whatever its length
            assert_readable(text.out)


def assert_dated(document: Any) -> None:
    """Instants are ISO 8601 UTC with milliseconds, by whatever name ends in `_at` or `_after`."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            if key.endswith(("_at", "_after")) and isinstance(value, str) and value != "now":
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value), (key, value)
            assert_dated(value)
    elif isinstance(document, list):
        for one in document:
            assert_dated(one)


def assert_readable(text: str) -> None:
    """Tables keep to 80 columns; a line that is longer is one long value: an address or a text."""
    for line in text.splitlines():
        assert cell_len(line.rstrip()) <= 80 or "  " not in line.strip()[40:], line


def test_what_is_done(made: Made) -> None:
    """A whole life of an outlet and of a release; each act prints its document."""
    names = made.names()
    for command, keys in DOING.items():
        told = made.door.run(*command.format(**names).split(), "--json")
        assert 0 == told.code, command + told.out + told.err
        assert keys <= set(told.json), command
        assert_dated(told.json)
        if command.startswith("publish"):
            names["second"] = told.json["release"]
            assert all(DELIVERY <= set(one) for one in told.json["deliveries"])
            assert {"size", "root", "checkpoint"} == set(told.json["log"])
            assert ("open", "publish", False, "required", "not-before", "2090-01-02T01:00:00.000Z") == tuple(
                told.json[key] for key in ("state", "action", "reviewed", "policy", "align", "release_at")
            )
    assert "cancelled" == told.json["state"]


def test_limits_of_lists(made: Made) -> None:
    """A list says when there is more."""
    for name, one in (("item", "items"), ("release", "releases"), ("delivery", "deliveries")):
        every = made.door.done(name, "list", "--limit", "1000")
        assert not every["more"]
        first = made.door.done(name, "list", "--limit", "1")
        assert [every[one][0]] == first[one] and first["more"] is (len(every[one]) > 1)
    assert "raise --limit" in made.door.run("delivery", "list", "--limit", "1").err


# text


def test_a_report_reads_well_in_80_columns(made: Made) -> None:
    """No address is folded; times are local, with their offset; every delivery has its one line in the table."""
    release = made.report["release"]
    for language, state, head in (("en", "verified", "outlet"), ("zh-CN", "已核验 verified", "发布端")):
        text = made.narrow.run("release", "show", release, TONGFA_LANG=language).out
        lines = [line.rstrip() for line in text.splitlines()]
        for one in made.report["deliveries"]:
            assert f"{one['outlet']}  {one['url']}" in lines
            (row,) = [line for line in lines if line.startswith(f"{one['outlet']} °")]
            assert state in row and "✓" in row and f"{one['lateness_ms']:.1f}" in row
        assert any(line.startswith(head) for line in lines)
        assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+08:00", lines[0]) and release in lines[0]
        assert all(cell_len(line) <= 80 for line in lines if "http" not in line)


def test_labels_and_states_follow_the_language(made: Made) -> None:
    """Chinese has a word for every state; English text holds no Chinese label."""
    assert {state.value for state in (*D, *R)} <= set(STATES)
    release = made.report["release"]
    chinese = made.narrow.run("release", "show", release, TONGFA_LANG="zh-CN").out
    english = made.narrow.run("release", "show", release, TONGFA_LANG="en").out
    assert all(
        LABELS[label] in chinese for label in ("release", "outlet", "state", "visible", "match", "skew", "sandbox")
    )
    assert not any(label in english for label in (*LABELS.values(), *STATES.values()))


def test_a_title_is_no_markup(made: Made, tmp_path: Path) -> None:
    """What authors and outlets write is shown as it stands, and moves no cursor."""
    title = "[/red]见[bold]附件[link=x]"
    path = write_item(tmp_path, title.replace("[", "［"))
    path.write_text(path.read_text().replace("title: ［/red]见［bold]附件［link=x]", f"title: '{title}'"))
    told = made.door.run("item", "add", path)
    assert (0, True) == (told.code, title in told.out), told.err
    assert title in made.door.run("item", "list").out


def test_a_terminal_that_cannot_show_everything(made: Made) -> None:
    """Text with what it can show; JSON stays JSON."""
    for encoding in ("ascii", "gbk"):
        told = made.installed.run("item", "show", made.report["item"], "--json", PYTHONIOENCODING=encoding)
        assert made.door.done("item", "show", made.report["item"]) == told.json
    assert 0 == made.installed.run("outlet", "check", "site", PYTHONIOENCODING="ascii").code


# waiting


def test_waiting(made: Made) -> None:
    """--wait alone waits until all is done, with a number so long; nothing public by then is exit 6."""
    release = made.report["release"]
    for wait in (("--wait",), ("--wait", "5"), ("--wait=5",), ("--wait", "0.5", "--json")):
        told = made.door.run("release", "show", release, *wait)
        assert (0, "") == (told.code, told.err)
    order = ("--outlets", "mastodon", "--at", FAR, "--again")
    told = made.door.run("publish", "--wait", "0.3", "third.md", *order, "--json")
    assert (6, "open") == (told.code, told.json["state"]) or (6, "ready") == (told.code, told.json["state"])
    assert 6 == made.door.run("release", "show", told.json["release"], "--wait", "0").code
    made.door.done("release", "cancel", told.json["release"])
    assert 3 == made.door.run("release", "show", told.json["release"], "--wait").code


def test_progress_is_on_stderr(made: Made) -> None:
    """A terminal sees who is where; stdout has the document only."""
    ours, theirs = pty.openpty()
    environment = made.installed.environment(TERM="xterm")
    command = [TONGFA, "release", "show", made.report["release"], "--wait", "5", "--json"]
    told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        seen = terminal.read(100_000).decode()
    assert made.report["release"] == json.loads(told.stdout)["release"]
    assert "mastodon" in seen and "verified" in seen


@pytest.mark.parametrize("how", [["--json"], []], ids=["json", "text"])
def test_interrupted_while_waiting(made: Made, how: list[str]) -> None:
    """Ctrl-C ends the waiting, not the release: exit 130, and one line says so."""
    environment = made.installed.environment()
    order = ["publish", "third.md", "--outlets", "wechat", "--at", FAR, "--again", "--wait", *how]
    waiting = subprocess.Popen(
        [TONGFA, *order],
        cwd=made.door.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    release = eventually(lambda: ready(made))
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=30)
    assert 130 == waiting.returncode
    assert [f"release {release} goes on; `tongfa release show {release} --wait` follows it again"] == err.splitlines()
    assert release == json.loads(out)["release"] if how else "" == out
    assert "ready" == made.door.done("release", "show", release)["state"]
    made.door.done("release", "cancel", release)


def ready(made: Made) -> str | None:
    """The release that is ready, which takes the workers so long that whoever planned it waits by now."""
    listed = made.door.done("release", "list")["releases"]
    return next((one["release"] for one in listed if one["state"] == "ready"), None)


# decisions on a delivery


def test_a_person_decides(made: Made) -> None:
    """What nobody can find out is settled, what failed is retried or dropped; each prints the delivery."""
    said = {"errcode": 48001, "errmsg": "api unauthorized"}
    made.installed.knob("wechat", "refuse", path=DRAFT, status=200, json=said, times=0)
    try:
        order = ("--outlets", "site,wechat", "--at", FAR, "--policy", "best-effort", "--again")
        told = made.door.done("publish", "third.md", *order)
        (failed,) = [one["id"] for one in told["deliveries"] if one["outlet"] == "wechat"]
        eventually(lambda: made.door.done("delivery", "show", failed)["state"] == "failed")
        assert f"tongfa delivery retry {failed}" in made.door.done("delivery", "show", failed)["next"]
        findings = made.door.run("doctor", "--json")
        assert 7 == findings.code
        assert any(failed in one["check"] and failed in one["mend"] for one in findings.json["findings"])
        again = made.door.done("delivery", "retry", failed)
        assert again.keys() >= DELIVERY and again["history"][-1]["act"] == "retried"
        eventually(lambda: made.door.done("delivery", "show", failed)["state"] == "failed")
        assert "cancelled" == made.door.done("delivery", "drop", failed)["state"]
    finally:
        made.installed.clear("wechat")
    (other,) = [one["id"] for one in told["deliveries"] if one["outlet"] == "site"]
    eventually(lambda: made.door.done("delivery", "show", other)["state"] == "prepared")
    made.door.done("release", "cancel", told["release"])


def test_a_person_settles(made: Made, tmp_path: Path) -> None:
    """A delivery in doubt names the question, and takes the answer."""
    made.installed.knob("wechat", "refuse", path=DRAFT, status=503, times=0)
    store = Store(made.installed.database)
    try:
        told = made.door.done("publish", "third.md", "--outlets", "wechat", "--at", FAR, "--again")
        name = told["deliveries"][0]["id"]

        def doubted() -> bool:
            with store.write() as connection:
                row = deliveries.get(connection, name)
                if row.state != D.PREPARING or row.owner is not None:
                    return False
                quiet: dict[str, Any] = {"duty": None, "due_at": None, "epoch": row.epoch + 1}
                deliveries.move(connection, row, E.IN_DOUBT, at=store.now(connection), actor="test", **quiet)
                return True

        eventually(doubted)
        asked = made.door.done("delivery", "show", name)["next"]
        assert f"tongfa delivery settle {name} --found public|hidden|nothing" in asked
        assert asked in made.door.run("delivery", "show", name).out
        told_after = made.door.done("delivery", "settle", name, "--found", "nothing")
        assert "settled_nothing" in [one["act"] for one in told_after["history"]]
    finally:
        store.engine.dispose()
        made.installed.clear("wechat")
    made.door.done("release", "cancel", told["release"])


# the log


def test_the_log_as_lines_and_as_a_spreadsheet(made: Made) -> None:
    """The same entries each way; the spreadsheet's file begins with the mark by which it is read as UTF-8."""
    entries = made.door.done("log", "list", "--item", made.report["item"])["entries"]
    only = ("log", "list", "--item", made.report["item"], "--format")
    lines = made.door.run(*only, "jsonl")
    assert entries == [json.loads(line) for line in lines.out.splitlines()]
    sheet = made.door.run(*only, "csv")
    assert (0, "") == (sheet.code, sheet.err)
    assert sheet.out.startswith("\ufeff") and "\r\n" not in sheet.out[:0]
    rows = list(csv.DictReader(io.StringIO(sheet.out.removeprefix("\ufeff"))))
    assert [str(one["entry"]) for one in entries] == [row["entry"] for row in rows]
    assert [one["detail"] for one in entries] == [json.loads(row["detail"]) for row in rows]
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())
    assert "关于开通" in sheet.out


def test_ten_thousand_entries(made: Made, tmp_path: Path) -> None:
    """Are listed without holding them in memory; a reader who has seen enough is no error."""
    there = Installation(tmp_path / "home", mode=made.installed.mode)
    assert_done(there.run("setup"))
    store = Store(there.database)
    with store.write() as connection:
        row = {
            "unit": "local",
            "subject": "item",
            "subject_id": "x",
            "act": "test",
            "actor": "test",
            "detail": {"a": "b"},
        }
        connection.execute(insert(entry), [{**row, "at": number + 1} for number in range(10_000)])
    store.engine.dispose()
    nothing, _ = measured(there, "log", "list", "--json", "--since", "2199-01-01T00:00Z")
    everything, out = measured(there, "log", "list", "--json")
    assert 10_002 == len(json.loads(out)["entries"])  # founded and adopted by its host besides
    assert everything - nothing < 8 * 1024, f"{everything - nothing} KiB more"
    piped = f"{TONGFA} log list | head -1; test ${{PIPESTATUS[0]}} -ne 2"
    environment = there.environment()
    first = subprocess.run(["bash", "-c", piped], env=environment, capture_output=True, text=True, check=True)
    assert (1, "") == (first.stdout.count("\n"), first.stderr)


def measured(there: Installation, *arguments: str) -> tuple[int, str]:
    """The most memory that a command ever had (KiB), and what it printed."""
    with (there.home / "out").open("w+") as out:
        process = subprocess.Popen([TONGFA, *arguments], env=there.environment(), stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert 0 == process.returncode
        out.seek(0)
        return usage.ru_maxrss, out.read()


# what stays


def test_up_and_worker(made: Made, tmp_path: Path) -> None:
    """One document each, once they run; told to end, they end with 0."""
    there = Installation(tmp_path / "home", QUICK, mode=made.installed.mode)
    with staying(there, "up", "--port", "0", "--no-worker", "--json") as (up, told):
        assert (str(there.home), up.pid, False) == tuple(told[key] for key in ("home", "pid", "workers"))
        assert told["sandboxes"]["pages"].startswith("http://127.0.0.1:")
        with staying(there, "worker", "--lane", "prepare", "--json") as (worker, told):
            assert (str(there.home), worker.pid, "prepare") == tuple(told[key] for key in ("home", "pid", "lane"))
            eventually(lambda: there.workers("prepare") == [worker.pid])
    assert (0, 0) == (up.returncode, worker.returncode)
