"""Figures as Markdown, beside their targets. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.figures import Crew, Spread, Volley

OURS, TLS, LOADED = "同发 Tongfa", "同发 Tongfa, over TLS", "同发 Tongfa, every core busy"
DATABASES = {"sqlite": "SQLite, no broker", "postgresql": "PostgreSQL + Redis"}
NAMES = {"prefork": "naive group, prefork -c2", "threads": "naive group, threads -c16"}
BEGIN, END = "<!-- figures: written by `make bench ARGS=--write` -->", "<!-- end of figures -->"


@dataclass(frozen=True)
class Measured:
    """One run. Times in ms; `idle`: worker → share of a core, MB resident."""

    ours: Sequence[Volley]
    tls: Sequence[Volley]
    loaded: Sequence[Volley]
    naive: Mapping[str, Sequence[Volley]]
    bursts: Sequence[Sequence[Volley]]
    crews: Sequence[Crew]
    sent: Spread
    first_sent: Spread
    now: Spread
    idle: Mapping[str, tuple[float, float]]
    ready_s: float
    notes: Sequence[str]
    wrong: Sequence[str]

    @property
    def promised(self) -> list[Volley]:
        """All that had an instant."""
        together = [one for crowd in (*self.bursts, *(crew.volleys for crew in self.crews)) for one in crowd]
        return [*self.ours, *self.tls, *self.loaded, *together]

    @property
    def every(self) -> list[Volley]:
        return [*self.promised, *(one for runs in self.naive.values() for one in runs)]


@dataclass(frozen=True)
class Goal:
    """A figure beside its target. `least`: the target is a minimum. `when`: what the target holds for."""

    name: str
    value: float
    unit: str
    target: float
    least: bool = False
    when: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.least else self.value <= self.target

    def row(self) -> tuple[str, str, str, str]:
        sign = "≥" if self.least else "≤"
        target = f"{sign} {number(self.target)} {self.unit}".rstrip()
        return self.name, f"{number(self.value)} {self.unit}".rstrip(), f"{target} {self.when}".rstrip(), _yes(self.met)


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"


def number(value: float) -> str:
    """Three digits that count, thousands parted."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table that can be read as it stands: columns as wide as their widest cell."""
    whole = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[place]) for row in whole) for place in range(len(head))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in whole]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])


def spreads(rows: Mapping[str, Spread], ours: str) -> str:
    """The variants side by side, in ms, with the ratio of their p50 to ours."""
    base = rows[ours].p50
    return table(
        ("", "n", "p50 ms", "p90 ms", "max ms", "ratio of p50"),
        (
            (name, str(s.n), number(s.p50), number(s.p90), number(s.most), f"{number(s.p50 / base)}×")
            for name, s in rows.items()
        ),
    )


def report(measured: Measured, heading: Sequence[str]) -> str:
    """Everything there is to say of a run."""
    rows = {OURS: Spread.of(one.skew_ms for one in measured.ours)}
    rows[TLS] = Spread.of(one.skew_ms for one in measured.tls)
    if measured.loaded:
        rows[LOADED] = Spread.of(one.skew_ms for one in measured.loaded)
    rows |= {NAMES[pool]: Spread.of(one.skew_ms for one in runs) for pool, runs in measured.naive.items()}
    goal_rows = (goal.row() for goal in goals(measured, rows))
    return "\n\n".join(
        [
            "\n".join(heading),
            "Last minus first arrival of the publish call, by the outlets' records:",
            spreads(rows, OURS),
            *_of_crews(measured.crews),
            table(("figure", "measured", "target", "met"), goal_rows),
            "\n".join(f"- {line}" for line in (*details(measured), *measured.notes)),
        ]
    )


def _of_crews(crews: Sequence[Crew]) -> list[str]:
    """Each database's installations beside the one with the fewest processes."""
    if not crews:
        return []
    told = "The same with twenty outlets, sent by one process, and in shards of five by several:"
    head = (
        *("twenty outlets", "release processes", "n", "skew p50 ms", "p90 ms", "max ms", "ratio of p50"),
        *("first after `release_at` p50 ms", "max ms", "early", "processes that sent"),
    )
    rows = []
    for crew in sorted(crews, key=lambda one: (list(DATABASES).index(one.database), one.processes)):
        fewest = min((one for one in crews if one.database == crew.database), key=lambda one: one.processes)
        skew, first = crew.skews, crew.firsts
        ratio = f"{number(skew.p50 / fewest.skews.p50)}×"
        skews = (str(skew.n), number(skew.p50), number(skew.p90), number(skew.most), ratio)
        firsts = (number(first.p50), number(first.most), f"{crew.early} of {crew.calls}")
        rows.append((DATABASES[crew.database], str(crew.processes), *skews, *firsts, _counts(crew.senders)))
    return [told, table(head, rows)]


def _counts(senders: Sequence[int]) -> str:
    """How many processes sent, with the number of releases that so many sent: `4 (9×), 3 (1×)`."""
    return ", ".join(f"{many} ({senders.count(many)}×)" for many in sorted(set(senders), reverse=True))


def goals(measured: Measured, rows: Mapping[str, Spread]) -> list[Goal]:
    skew = rows[OURS]
    threads, prefork = (rows[NAMES[pool]].p50 / skew.p50 for pool in ("threads", "prefork"))
    shares, megabytes = zip(*measured.idle.values(), strict=True)
    loaded = [Goal("the same with every core busy, max", rows[LOADED].most, "ms", 10)] if LOADED in rows else []
    return [
        Goal("release skew, p50", skew.p50, "ms", 0.2),
        Goal("release skew, max", skew.most, "ms", 1, when="on an idle machine"),
        *loaded,
        Goal("release skew over TLS, p50", rows[TLS].p50, "ms", 0.5),
        Goal("release skew over TLS, max", rows[TLS].most, "ms", 1, when="on an idle machine"),
        Goal("tighter than naive, threads -c16", threads, "×", 900, least=True),
        Goal("tighter than naive, prefork -c2", prefork, "×", 4000, least=True),
        Goal("first send after `release_at`, least", measured.first_sent.least, "ms", 0, least=True),
        Goal("first send after `release_at`, p50", measured.first_sent.p50, "ms", 1),
        Goal("last of 100 calls due at one instant, worst", max(_last(crowd) for crowd in measured.bursts), "ms", 50),
        Goal("publish now → last of ten fast outlets visible, p50", measured.now.p50, "ms", 400),
        Goal("resident memory of the larger worker", max(megabytes), "MB", 150),
        Goal("idle CPU of the busier worker", max(shares) * 100, "% of a core", 1),
        Goal("both workers ready", measured.ready_s, "s", 5),
    ]


def details(measured: Measured) -> list[str]:
    early, calls = (sum(each) for each in zip(*((v.early, len(v.arrivals)) for v in measured.promised), strict=True))
    together = Spread.of(one.skew_ms for crowd in measured.bursts for one in crowd)
    return [
        f"Early: {early} of {calls} calls.",
        f"First arrival at an outlet after `release_at`: {_spread(Spread.of(one.first_ms for one in measured.ours))}.",
        f"By the sender's own clock: first send after `release_at` {_spread(measured.first_sent)}; "
        f"last minus first send {_spread(measured.sent)}.",
        f"100 calls due at one instant (10 releases), n = {len(measured.bursts)}: all arrived within "
        f"{', '.join(number(_width(crowd)) for crowd in measured.bursts)} ms; inside one release {_spread(together)}.",
        f"First arrival over TLS: {_spread(Spread.of(one.first_ms for one in measured.tls))}.",
        *(
            f"{crew.late} release(s) of {DATABASES[crew.database]}, {crew.processes} process(es), were not prepared by "
            "the instant and went out after it."
            for crew in measured.crews
            if crew.late
        ),
        f"Publish now → last of ten fast outlets visible: {_spread(measured.now)}.",
        *(f"Idle {name}: {share:.1%} of a core, {number(mb)} MB." for name, (share, mb) in measured.idle.items()),
    ]


def _spread(spread: Spread) -> str:
    figures = zip(("least", "p50", "p90", "max"), (spread.least, spread.p50, spread.p90, spread.most), strict=True)
    return f"{', '.join(f'{name} {number(value)}' for name, value in figures)} ms (n = {spread.n})"


def _last(crowd: Sequence[Volley]) -> float:
    """Last arrival of all after the instant, ms."""
    assert crowd[0].release_at is not None
    return (max(arrival.at for one in crowd for arrival in one.arrivals) - crowd[0].release_at) / 1000


def _width(crowd: Sequence[Volley]) -> float:
    """Last minus first arrival of all, ms."""
    at = [arrival.at for one in crowd for arrival in one.arrivals]
    return (max(at) - min(at)) / 1000


def put_in(document: str, figures: str) -> str:
    """The document with the part between its two markers replaced. Raises ValueError when it has none."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the document has no place for figures")
    return f"{before}{BEGIN}\n\n{figures.strip()}\n\n{END}{after}"
