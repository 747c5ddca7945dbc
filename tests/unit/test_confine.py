"""What reads a stranger's bytes can do nothing else, and whatever becomes of it, we live on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sync import confine
from sync.confine import Answer, Failed, Limits, run

JOBS = "tests.unit.confined_jobs"
QUICK = Limits(cpu_s=1, wall_s=5.0)


def failed(job: str, value: Any = None, limits: Limits = QUICK) -> Failed:
    with pytest.raises(Failed) as raised:
        run(f"{JOBS}:{job}", value, limits=limits)
    return raised.value


def living(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid: int) -> bool:
    """Within two seconds."""
    ends = time.monotonic() + 2
    while living(pid) and time.monotonic() < ends:
        time.sleep(0.01)
    return not living(pid)


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_job_is_a_function_of_values_and_bytes() -> None:
    """JSON and bytes in, JSON and bytes out, whatever their size."""
    large = os.urandom(5_000_000)
    assert ({"value": ["值", 1, None]}, [b"", large * 2]) == run(f"{JOBS}:twice", ["值", 1, None], [b"", large])


def test_a_job_may_ask() -> None:
    """Its owner answers, as often as it asks."""

    def serve(asked: Any, parts: list[bytes]) -> Answer:
        assert [b"?" * asked] == parts
        return asked * 10, []

    assert ([0, 10, 20], []) == run(f"{JOBS}:questions", 3, serve=serve)


def test_a_question_that_nobody_answers_ends_the_job() -> None:
    """It is never left waiting."""
    assert "crash" == failed("questions", 3).why


def test_what_the_owner_raises_passes_through() -> None:
    """And the job is over."""

    def serve(asked: Any, parts: list[bytes]) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(f"{JOBS}:questions", 3, serve=serve)


def test_nothing_is_within_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret, file, folder, network, program, or process; a listener proves that no connection came."""
    monkeypatch.setenv("TONGFA_TEST_SECRET", "x")
    secret = tmp_path / "secret.key"
    secret.write_bytes(b"secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        outside = tmp_path / "left-over"
        value = {"parent": os.getpid(), "secret": str(secret), "port": listener.getsockname()[1], "out": str(outside)}
        assert ([], []) == run(f"{JOBS}:attempts", value)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not outside.exists()


def test_all_walls_stand_here() -> None:
    """What `doctor` would say: this machine's kernel has every wall."""
    walls = confine.walls()
    assert ("namespace", "landlock", "filter") == (walls.network, walls.files, walls.calls)


@pytest.mark.parametrize(
    ("job", "value", "why"),
    [("memory", 600_000_000, "memory"), ("spin", None, "time"), ("crash", None, "crash"), ("mistake", {}, "crash")],
)
def test_a_job_that_goes_wrong_is_a_refusal(job: str, value: Any, why: str) -> None:
    """Too much memory, endless work, a crash, a mistake of ours: told apart, with a mend, and the next job works."""
    found = failed(job, value)
    assert why == found.why
    refusal = found.refusal("x.docx")
    assert ("x.docx", True, True) == (refusal.where, bool(refusal.message), bool(refusal.mend))
    assert 5 == run(f"{JOBS}:memory", 5)[0]


def test_a_job_that_sleeps_is_ended_by_the_clock() -> None:
    """Time that passes without work counts too."""
    began = time.monotonic()
    assert "time" == failed("wait", limits=Limits(wall_s=0.3)).why
    assert time.monotonic() - began < 3


def test_the_time_that_the_owner_needs_to_answer_is_not_the_jobs() -> None:
    """Reading two hundred pictures must not run out the clock of the text they stand in."""

    def serve(asked: Any, parts: list[bytes]) -> Answer:
        time.sleep(0.4)
        return asked, []

    assert ([0, 1], []) == run(f"{JOBS}:questions", 2, serve=serve, limits=Limits(wall_s=0.7))


def test_a_folder_is_removed_with_its_job() -> None:
    """A job that needs one has it alone, with the programs it may start; afterwards nothing is left."""
    limits = Limits(folder=True, programs=("/usr/bin/pdfinfo",))
    told, _ = run(f"{JOBS}:file", None, [b"text"], limits=limits)
    assert ("text", True) == (told["read"], told["version"])
    ends = time.monotonic() + 2
    while Path(told["folder"]).exists() and time.monotonic() < ends:
        time.sleep(0.01)
    assert not Path(told["folder"]).exists()


def test_a_program_does_not_outlive_the_job_that_started_it() -> None:
    """Killed with it, though the job itself forgot it."""
    started: list[int] = []

    def serve(asked: Any, parts: list[bytes]) -> Answer:
        started.append(asked)
        return None, []

    limits = Limits(folder=True, programs=("/usr/bin/pdfinfo",))
    with pytest.raises(Failed):
        run(f"{JOBS}:leave_a_program", None, limits=limits, serve=serve)
    assert gone(started[0])


def test_many_threads_may_have_jobs_at_once() -> None:
    """Each gets its own answer."""
    found: dict[int, object] = {}

    def work(number: int) -> None:
        found[number] = run(f"{JOBS}:twice", number)[0]["value"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: number for number in range(16)} == found


def test_a_job_costs_milliseconds() -> None:
    """The target is 30 ms; a process of its own, started anew, costs ten times that."""
    run(f"{JOBS}:twice", 1)
    took = []
    for _ in range(10):
        began = time.perf_counter()
        run(f"{JOBS}:twice", 1)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.03, took


def test_somebody_may_kill_the_process_that_forks() -> None:
    """One job at most is lost; the next has a new one."""
    run(f"{JOBS}:twice", 1)
    before = confine._server()._process.pid
    os.kill(before, signal.SIGKILL)
    assert gone(before)
    assert {"value": 2} == run(f"{JOBS}:twice", 2)[0]


def test_a_forked_process_has_jobs_of_its_own() -> None:
    """It neither uses nor ends those of its parent."""
    run(f"{JOBS}:twice", 1)
    ours = confine._server()._process.pid
    pid = os.fork()
    if pid == 0:
        fine = confine._current is None and run(f"{JOBS}:twice", 3)[0] == {"value": 3}
        confine._forget()
        os._exit(0 if fine else 1)
    assert (pid, 0) == os.waitpid(pid, 0)
    assert living(ours)
    assert {"value": 4} == run(f"{JOBS}:twice", 4)[0]


OWNER = """
import sys, threading
from sync import confine
confine.run("tests.unit.confined_jobs:twice", 1)
patient = confine.Limits(wall_s=60)
wait = ("tests.unit.confined_jobs:wait", 1)
threading.Thread(target=confine.run, args=wait, kwargs={"limits": patient}, daemon=True).start()
print(confine._server()._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_everything_dies_with_its_owner(end: signal.Signals | None) -> None:
    """However it ends: the forking process, and the job under way."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=confine.ROOT
    )
    with owner:
        assert owner.stdin is not None and owner.stdout is not None
        server = int(owner.stdout.readline())
        ends = time.monotonic() + 30
        while len(jobs := children(server)) != 1 and time.monotonic() < ends:  # the first is gone, the second is there
            time.sleep(0.01)
        (job,) = jobs
        if end is None:
            owner.stdin.close()
        else:
            owner.send_signal(end)
    assert gone(server) and gone(job)
