"""The benchmark's arithmetic, on records made up here. Nothing is timed."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.authority import Authority
from tests.benchmarks.crews import TEN, TWENTY
from tests.benchmarks.figures import Arrival, Crew, Spread, Volley, arrivals, faults, volleys
from tests.benchmarks.outlet import Listener, arrived
from tests.benchmarks.report import BEGIN, END, Goal, Measured, number, put_in, report, table

BASES = ("| S", "| P")  # how rows of the databases begin
T = 1_700_000_000_000_000


def line(at: int, path: str, account: str, method: str = "POST", **detail: object) -> dict[str, Any]:
    return {"at": at, "method": method, "path": path, "account": account, "detail": detail}


def post(at: int, account: str, mark: str) -> dict[str, Any]:
    return line(at, "/api/v1/statuses", account, text=f"{mark} text\n\nA text.")


def submission(at: int, account: str, mark: str) -> list[dict[str, Any]]:
    """As WeChat's sandbox records it: the text is named when the job is done."""
    draft = f"draft of {mark} at {account}"
    submitted = line(at, "/cgi-bin/freepublish/submit", account, media_id=draft)
    return [submitted, line(at + 150_000, "job", account, method="", media_id=draft, title=f"{mark} text")]


def volley(mark: str, *late_us: int, at: int | None = T) -> Volley:
    return Volley(mark, tuple(Arrival(T + late, f"a{n}", mark) for n, late in enumerate(late_us)), at)


def test_arrivals_are_publish_calls_of_our_texts() -> None:
    """A draft, a read and a stranger's post are none; a submission is known by its job."""
    record = [
        post(T + 1, "fast", "release-0001"),
        line(T, "/api/v1/statuses", "fast", text="a stranger's"),
        line(T, "/api/v1/statuses", "fast", method="GET", text="release-0001"),
        line(T, "/cgi-bin/draft/add", "slow", text="release-0001"),
        *submission(T + 2, "slow", "release-0001"),
    ]
    expected = [Arrival(T + 1, "fast", "release-0001"), Arrival(T + 2, "slow", "release-0001")]
    assert expected == arrivals(record)


def test_a_volley_is_all_calls_of_one_mark() -> None:
    """Its skew is last minus first, its distance is from the instant, and what nobody planned is left out."""
    found = [Arrival(T + 300, "a", "release-0001"), Arrival(T + 50, "b", "release-0001"), Arrival(T, "a", "burst-0001")]
    (one,) = volleys(found, {"release-0001": T})
    assert (0.25, 0.05, 0) == (one.skew_ms, one.first_ms, one.early)


@pytest.mark.parametrize(
    ("arrived", "told"),
    [
        ((0, 5), []),
        ((-1, 5), ["x: 1 of 2 calls arrived before the instant"]),
        ((5,), ["x: no call at a1"]),
        ((), ["x: no call at a0, a1"]),
    ],
)
def test_a_call_that_is_early_or_missing_is_a_fault(arrived: Sequence[int], told: Sequence[str]) -> None:
    """At the instant itself is not early."""
    assert told == faults([volley("x", *arrived)], ["a0", "a1"])


def test_a_call_made_twice_is_a_fault() -> None:
    """Even when no account is missing."""
    twice = Volley("x", (*volley("x", 1, 2).arrivals, Arrival(T + 3, "a1", "x")))
    assert ["x: more than one call at a1"] == faults([twice], ["a0", "a1"])


def test_a_run_without_an_instant_cannot_be_early() -> None:
    """Naive runs promise none."""
    assert 0 == volley("prefork-0001", -5, at=None).early


def test_a_spread_tells_the_middle_and_the_ends() -> None:
    """p90 is a value that was measured."""
    assert Spread(n=10, p50=5.5, p90=9, most=10, least=1) == Spread.of(range(10, 0, -1))
    assert Spread(1, 7, 7, 7, 7) == Spread.of([7])
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])


def test_a_goal_is_met_at_its_target() -> None:
    """A minimum from above, a maximum from below."""
    assert [True, False] == [Goal("", value, "ms", 0.2).met for value in (0.2, 0.21)]
    assert [True, False] == [Goal("", value, "×", 900, least=True).met for value in (900, 899)]
    assert ("skew", "0.210 ms", "≤ 0.200 ms idle", "**no**") == Goal("skew", 0.21, "ms", 0.2, when="idle").row()


def test_numbers_have_three_digits_that_count() -> None:
    """Nobody measured more."""
    assert ["0", "0.0421", "1.23", "98.8", "4,469"] == [number(v) for v in (0, 0.04213, 1.234, 98.76, 4469.3)]


def test_a_table_has_one_width_a_column() -> None:
    """It is read in a terminal too."""
    assert "| a  | b |\n|----|---|\n| xx | y |" == table(("a", "b"), [("xx", "y")])


def run(**changed: Any) -> Measured:
    few = Spread.of([1.0, 2.0])
    ours = [volley(f"release-{n:04d}", 100, 100 + 50 * n) for n in range(1, 4)]
    naive: Mapping[str, Sequence[Volley]] = {
        "prefork": [volley("prefork-0000", 0, 900_000, at=None)],
        "threads": [volley("threads-0000", 0, 200_000, at=None)],
    }
    given: dict[str, Any] = {
        "ours": ours,
        "tls": [volley("tls-0001", 100, 220), volley("tls-0002", 100, 260)],
        "loaded": [],
        "naive": naive,
        "bursts": [[volley("burst-0000", 100, 300), volley("burst-0001", 200, 3_000)]],
        "crews": [],
        "sent": few,
        "first_sent": few,
        "now": few,
        "idle": {"prepare worker": (0.005, 120.0), "release worker": (0.02, 90.0)},
        "ready_s": 2.0,
        "notes": ["a note"],
        "wrong": [],
    }
    return Measured(**{**given, **changed})


def test_the_report_puts_ours_beside_the_others() -> None:
    """p50s side by side with their ratio, each target with its verdict, and what has to be known besides."""
    told = report(run(), ["- when and where"])
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in told.splitlines() if row.startswith("|")]
    rows = {row[0]: row[1:] for row in cells}
    assert ["3", "0.100", "0.150", "0.150", "1.00×"] == rows["同发 Tongfa"]
    assert ["1", "900", "900", "900", "9,000×"] == rows["naive group, prefork -c2"]
    assert ["2", "0.140", "0.160", "0.160", "1.40×"] == rows["同发 Tongfa, over TLS"]
    assert ["0.140 ms", "≤ 0.500 ms", "yes"] == rows["release skew over TLS, p50"]
    assert ["0.160 ms", "≤ 1.00 ms on an idle machine", "yes"] == rows["release skew over TLS, max"]
    assert ["2,000 ×", "≥ 900 ×", "yes"] == rows["tighter than naive, threads -c16"]
    assert ["3.00 ms", "≤ 50.0 ms", "yes"] == rows["last of 100 calls due at one instant, worst"]
    assert ["2.00 % of a core", "≤ 1.00 % of a core", "**no**"] == rows["idle CPU of the busier worker"]
    assert {"- when and where", "- Early: 0 of 14 calls.", "- a note"} <= set(told.splitlines())


def test_the_report_counts_every_early_call() -> None:
    """Those of releases that share an instant, too."""
    assert "- Early: 1 of 12 calls." in report(run(bursts=[[volley("burst-0000", -1, 300)]]), [])


def test_a_run_beside_busy_processes_has_a_row_and_a_target() -> None:
    """Left out where it was not measured."""
    told = report(run(loaded=[volley("loaded-0000", 0, 11_000)]), [])
    assert 1 == told.count("| 同发 Tongfa, every core busy ")
    assert "| the same with every core busy, max" in told
    assert "every core busy" not in report(run(), [])


def crew(database: str, processes: int, *late_us: Sequence[int], senders: Sequence[int], **more: Any) -> Crew:
    return Crew(database, processes, [volley(f"{database}-0000", *each) for each in late_us], senders, **more)


def test_several_processes_stand_beside_one_on_the_same_database() -> None:
    """With what is between them as a ratio, the calls that came early, and how many processes really sent."""
    several = crew("postgresql", 4, (200, 800), (-100, 500), senders=[4, 3])
    alone = [crew(database, 1, (50, 250), (50, 250), senders=[1, 1]) for database in ("postgresql", "sqlite")]
    told = report(run(crews=[several, *alone]), [])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in told.splitlines() if line[:3] in BASES]
    assert [
        ["SQLite, no broker", "1", "2", "0.200", "0.200", "0.200", "1.00×", "0.0500", "0.0500", "0 of 4", "1 (2×)"],
        ["PostgreSQL + Redis", "1", "2", "0.200", "0.200", "0.200", "1.00×", "0.0500", "0.0500", "0 of 4", "1 (2×)"],
        [
            *("PostgreSQL + Redis", "4", "2", "0.600", "0.600", "0.600", "3.00×", "0.0500", "0.200"),
            *("1 of 4", "4 (1×), 3 (1×)"),
        ],
    ] == rows


def test_calls_of_several_processes_count_among_those_that_may_not_be_early() -> None:
    """Nothing that had an instant is left out; what went out late is told."""
    late = crew("sqlite", 4, (-1, 300), senders=[1], late=1)
    told = report(run(crews=[late]), [])
    assert "- Early: 1 of 16 calls." in told
    assert "- 1 release(s) of SQLite, no broker, 4 process(es), were not prepared by" in told
    assert "twenty outlets" not in report(run(), [])


def test_every_mark_that_is_planned_is_found_in_a_record() -> None:
    """A kind of text that the pattern does not know would be reported as lost."""
    marks = [f"{one}-0001" for one in ("release", "tls", "loaded", "burst", "prefork", "sqlite", "postgresql")]
    assert marks == [one.mark for one in arrivals([post(T, "fast", mark) for mark in marks])]


def test_twenty_outlets_are_the_ten_twice() -> None:
    """Each with a name of its own, so that a call at the wrong one is found."""
    assert 20 == len({one.name for one in TWENTY})
    assert sorted(2 * [str(one.delays) for one in TEN]) == sorted(str(one.delays) for one in TWENTY)


def test_a_request_over_tls_is_stamped_by_the_kernel_too(tmp_path: Path) -> None:
    """asyncio reads it into a buffer, not with `recv`; the caller trusts the authority, and nobody else does."""
    authority = Authority.found(tmp_path / "authority")
    asked, stamp = asyncio.run(_one_request(authority, ssl.create_default_context(cafile=str(authority.trusted))))
    assert asked <= stamp <= time.time_ns() // 1_000
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(_one_request(authority, ssl.create_default_context()))


async def _one_request(authority: Authority, trusting: ssl.SSLContext) -> tuple[int, int]:
    """When a request was written (µs UTC), and its stamp at a TLS server on a stamping listener."""
    stamped: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"!")  # the handshake is over, and its packets are none of the request's
        await reader.readexactly(5)
        stamped.set_result(arrived.get(writer.get_extra_info("socket").fileno(), 0))
        writer.close()

    mine = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    mine.load_cert_chain(authority.certificate, authority.key)
    listener = Listener.bound()
    async with await asyncio.start_server(hear, sock=listener, ssl=mine):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1], ssl=trusting)
        await reader.readexactly(1)
        asked = time.time_ns() // 1_000
        writer.write(b"hello")
        stamp = await stamped
        writer.close()
        return asked, stamp


def test_writing_replaces_the_figures_only() -> None:
    """The prose around them stays; a document without a place for figures is refused."""
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n" == put_in(document, "new\n")
    assert put_in(document, "new") == put_in(put_in(document, "new"), "new")
    with pytest.raises(ValueError, match="no place"):
        put_in("before", "new")
