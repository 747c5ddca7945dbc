"""The supervisor with real processes: restarts, stops, and never leaves one behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync.supervise import Program, StartFailed, Supervisor

# Writes its process number to the file it is given, then waits for signals.
PATIENT = """
import os, signal, sys, pathlib
{setup}
path = pathlib.Path(sys.argv[1]); draft = path.with_suffix(f".{{os.getpid()}}")
draft.write_text(str(os.getpid())); draft.replace(path)
print("running", flush=True)
while True: signal.pause()
"""
GENTLE = PATIENT.format(setup="signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))")
STUBBORN = PATIENT.format(setup="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
WITH_CHILD = PATIENT.format(
    setup="""
import subprocess
below = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pathlib.Path(sys.argv[1] + ".below").write_text(str(below.pid))
"""
)


def eventually(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    """True as soon as `true` is; False when it was not within `seconds`."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    """A zombie, which nobody may be there to reap, counts as dead."""
    try:
        return "Z" != Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as supervisor:
        yield supervisor


def program(folder: Path, name: str = "worker", code: str = GENTLE) -> Program:
    """A program that is ready once it has written its process number."""
    mark = folder / f"{name}.pid"
    return Program(
        name, (sys.executable, "-c", code, str(mark)), log=folder / "log" / f"{name}.log", cwd=folder, ready=mark.exists
    )


def written(folder: Path, name: str = "worker") -> int:
    return int((folder / f"{name}.pid").read_text())


def test_start_returns_when_all_are_ready(tmp_path: Path, supervisor: Supervisor) -> None:
    """Output goes to the log, each runs in a session of its own, and further programs may be added."""
    supervisor.add(program(tmp_path, "one"))
    supervisor.add(program(tmp_path, "two"))
    supervisor.start()
    assert {"one": written(tmp_path, "one"), "two": written(tmp_path, "two")} == supervisor.pids()
    assert written(tmp_path, "one") == os.getsid(written(tmp_path, "one"))
    assert eventually(lambda: "running\n" == (tmp_path / "log" / "one.log").read_text())
    supervisor.add(program(tmp_path, "three"))
    supervisor.start()
    assert {"one", "two", "three"} == set(supervisor.pids())


def test_a_killed_program_is_started_again(tmp_path: Path, supervisor: Supervisor) -> None:
    """Twice, each time after a longer pause, while the other runs on undisturbed."""
    supervisor.add(program(tmp_path))
    supervisor.add(program(tmp_path, "other"))
    supervisor.start()
    other = written(tmp_path, "other")
    pauses = []
    for _ in range(2):
        before, began = written(tmp_path), time.monotonic()
        os.kill(before, signal.SIGKILL)
        supervisor.run(until=lambda before=before: written(tmp_path) != before)  # type: ignore[misc]
        pauses.append(time.monotonic() - began)
        assert not alive(before)
    assert pauses[0] > 0.2
    assert pauses[1] > 0.4
    assert other == supervisor.pids()["other"]


def test_what_a_dead_program_left_behind_is_killed(tmp_path: Path, supervisor: Supervisor) -> None:
    """Its own children must not go on working beside its successor."""
    supervisor.add(program(tmp_path, code=WITH_CHILD))
    supervisor.start()
    before, below = written(tmp_path), int((tmp_path / "worker.pid.below").read_text())
    os.kill(before, signal.SIGKILL)
    supervisor.run(until=lambda: written(tmp_path) != before)
    assert eventually(lambda: not alive(below))


def test_stop_lets_a_program_end_by_itself(tmp_path: Path, supervisor: Supervisor) -> None:
    """TERM, and the exit code is the program's own."""
    supervisor.add(program(tmp_path))
    supervisor.start()
    assert {"worker": 3} == supervisor.stop()
    assert not alive(written(tmp_path))
    assert {} == supervisor.stop()


def test_stop_kills_what_does_not_end(tmp_path: Path, supervisor: Supervisor) -> None:
    """KILL after the grace, for the stubborn and the frozen; the gentle one ends by itself."""
    for name, code in (("gentle", GENTLE), ("stubborn", STUBBORN), ("frozen", GENTLE)):
        supervisor.add(program(tmp_path, name, code))
    supervisor.start()
    os.kill(written(tmp_path, "frozen"), signal.SIGSTOP)
    assert {"gentle": 3, "stubborn": -9, "frozen": -9} == supervisor.stop(grace=1.0)


def test_an_exception_stops_everything(tmp_path: Path) -> None:
    """Ctrl-C included: whatever ends the block ends the programs."""

    def interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Supervisor() as supervisor:
        supervisor.add(program(tmp_path))
        supervisor.start()
        supervisor.run(until=interrupted)
    assert not alive(written(tmp_path))


SUPERVISOR = """
import sys; from pathlib import Path
from sync.supervise import Program, Supervisor
folder = Path(sys.argv[1])
with Supervisor() as supervisor:
    for name in ("one", "two"):
        mark = folder / f"{name}.pid"
        argv = (sys.executable, "-c", sys.argv[2], str(mark))
        supervisor.add(Program(name, argv, folder / f"{name}.log", ready=mark.exists))
    supervisor.start()
    print("started", flush=True)
    supervisor.run(lambda: False)
"""


def test_programs_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    """Even the stubborn ones: the kernel sees to it."""
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path), STUBBORN], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert "started\n" == parent.stdout.readline()
        pids = [written(tmp_path, name) for name in ("one", "two")]
        assert all(alive(pid) for pid in pids)
        parent.kill()
    assert eventually(lambda: not any(alive(pid) for pid in pids), 5.0)


def test_ctrl_c_reaches_only_the_supervisor(tmp_path: Path) -> None:
    """The terminal signals a group; the programs are not in it and get TERM, in order."""
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path), GENTLE],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert "started\n" == parent.stdout.readline()
        pids = [written(tmp_path, name) for name in ("one", "two")]
        os.killpg(parent.pid, signal.SIGINT)
        assert "" == parent.stdout.read()
    assert not any(alive(pid) for pid in pids)
    assert "KeyboardInterrupt" not in (tmp_path / "one.log").read_text()


def test_a_child_of_a_dead_supervisor_does_not_start(tmp_path: Path) -> None:
    """If the supervisor dies before the kernel was told, nobody would ever stop the program."""
    shim = Path(sys.modules["sync.supervise"].__file__ or "").with_name("child.py")
    mark = tmp_path / "started"
    done = subprocess.run(
        [sys.executable, "-I", "-S", shim, "1", "touch", mark], capture_output=True, text=True, check=False
    )
    assert (1, "the supervisor is gone\n") == (done.returncode, done.stderr)
    assert not mark.exists()


def test_a_program_that_is_not_ready_in_time_is_named_with_its_log(tmp_path: Path, supervisor: Supervisor) -> None:
    """The message is enough to see what is wrong; an earlier run's lines are not quoted."""
    (tmp_path / "slow.log").write_text("of an earlier run\n")
    code = "import signal; print('waiting for the database', flush=True); signal.pause()"
    supervisor.add(Program("slow", (sys.executable, "-c", code), tmp_path / "slow.log", ready=lambda: False))
    with pytest.raises(StartFailed) as caught:
        supervisor.start(within=1.0)
    assert str(caught.value).startswith("slow: not ready within 1 s; ")
    assert str(tmp_path / "slow.log") in str(caught.value)
    assert "waiting for the database" in str(caught.value)
    assert "earlier run" not in str(caught.value)


def test_a_program_that_ends_before_it_is_ready_fails_the_start(tmp_path: Path, supervisor: Supervisor) -> None:
    """At once, not at the deadline, and it is not started again."""
    supervisor.add(
        Program("port", (sys.executable, "-c", "raise SystemExit('taken')"), tmp_path / "log", ready=lambda: False)
    )
    with pytest.raises(StartFailed, match=r"port ended with code 1 before it was ready(.|\n)*taken"):
        supervisor.start()


def test_a_program_that_does_not_exist_is_named(tmp_path: Path, supervisor: Supervisor) -> None:
    """The log says which command could not be run."""
    supervisor.add(Program("none", ("no-such-command",), tmp_path / "log", ready=lambda: False))
    with pytest.raises(StartFailed, match="cannot run no-such-command"):
        supervisor.start()


def test_a_name_is_supervised_once(tmp_path: Path, supervisor: Supervisor) -> None:
    """Two programs of one name would share one entry."""
    supervisor.add(program(tmp_path))
    with pytest.raises(ValueError, match="worker"):
        supervisor.add(program(tmp_path))
