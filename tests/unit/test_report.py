"""What a release came to, in figures that are measured or left open, and in one exit code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sync.contract import Reveal
from sync.engine.report import delivery_report, exit_code, finished, skew
from sync.engine.verify import counted
from sync.flow import D, R

T = 1_800_000_000_000_000  # µs


def seen(visible_at: int | None, visible_after: int | None = None, sent_at: int | None = None) -> Any:
    """A delivery's row, its instants in µs after T."""
    instants = {"visible_at": visible_at, "visible_after": visible_after, "sent_at": sent_at}
    return SimpleNamespace(**{name: None if at is None else T + at for name, at in instants.items()})


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # every outlet was seen to appear between two reads
        ([seen(10_000, 4_000, 0), seen(60_000, 20_000, 100)], (50.0, 40.0, 0.1)),
        # seen at the first read: bounded by the shot's first byte, never by a guess
        ([seen(10_000, None, 2_000), seen(30_000, 25_000, 3_000)], (20.0, 8.0, 1.0)),
        # a read that did not show it, before it was sent, bounds less than the shot does
        ([seen(10_000, -40_000, 2_000)], (0.0, 8.0, 0.0)),
        # neither read nor shot bounds it: the error is unknown, the skew is not
        ([seen(10_000), seen(30_000, 25_000, 3_000)], (20.0, None, 0.0)),
        # one was not seen yet: nothing is claimed
        ([seen(10_000, 4_000, 0), seen(None, None, 500)], (None, None, 0.5)),
        ([seen(None)], (None, None, None)),
        ([], (None, None, None)),
        # all in the same microsecond
        ([seen(0, 0, 0), seen(0, 0, 0)], (0.0, 0.0, 0.0)),
    ],
)
def test_skew_is_measured_or_left_open(rows: list[Any], expected: tuple[float | None, ...]) -> None:
    """Last minus first visible, the widest interval in which one of them became so, and the shots' own spread."""
    found = skew(rows)
    assert expected == (found["skew_ms"], found["skew_error_ms"], found["skew_sent_ms"])


@pytest.mark.parametrize(
    ("reveal", "counts"),
    [
        (Reveal.FLIP, True),
        (Reveal.CREATE, True),
        (Reveal.QUEUED, True),
        (Reveal.NOTIFY, False),
        (Reveal.MANUAL, False),
    ],
)
def test_who_counts_for_the_skew(reveal: Reveal, counts: bool) -> None:
    """What a person does, or nobody can read, is listed and not counted."""
    assert counts == counted(reveal)


def told(state: R, *deliveries: D, match: bool | None = None) -> dict[str, Any]:
    return {"state": state.value, "deliveries": [{"state": one.value, "match": match} for one in deliveries]}


@pytest.mark.parametrize(
    ("report", "code"),
    [
        # 0: verified everywhere, or closed by a person
        (told(R.RELEASED, D.VERIFIED, D.VERIFIED), 0),
        (told(R.RELEASED, D.VERIFIED, D.CLOSED, D.CANCELLED), 0),
        (told(R.RELEASED, D.WITHDRAWN, D.WITHDRAWN), 0),
        (told(R.COMMITTED, D.WITHDRAWN, D.PLANNED), 4),
        # 3: held or ended before the commit; nothing went public
        (told(R.HELD, D.PREPARED, D.FAILED), 3),
        (told(R.HELD, D.PREPARED, D.UNRESOLVED), 3),
        (told(R.CANCELLED, D.CANCELLED), 3),
        (told(R.CANCELLED, D.CANCELLED, D.DISCARDING), 3),
        # 4: public, not everywhere or not verified
        (told(R.RELEASED, D.VERIFIED, D.RELEASED), 4),
        (told(R.COMMITTED, D.VERIFIED, D.FAILED), 4),
        (told(R.COMMITTED, D.VERIFIED, D.UNRESOLVED), 4),
        (told(R.COMMITTED, D.RELEASING), 4),
        (told(R.COMMITTED, D.PREPARED), 4),
        (told(R.COMMITTED, D.ACCEPTED, D.VERIFIED), 4),
        # a person found public what was only to be prepared
        (told(R.HELD, D.PREPARED, D.RELEASED), 4),
        (told(R.CANCELLED, D.CANCELLED, D.VERIFIED), 4),
        # 6: still waiting, nothing public
        (told(R.OPEN, D.PLANNED, D.PREPARING), 6),
        (told(R.OPEN, D.PREPARED, D.RENDERED), 6),
        (told(R.READY, D.PREPARED, D.PREPARED), 6),
        (told(R.READY, D.PREPARED, D.FAILED), 6),
    ],
)
def test_exit_codes(report: dict[str, Any], code: int) -> None:
    """0 done, 3 nothing went public, 4 public in part, 6 still waiting."""
    assert code == exit_code(report)


@pytest.mark.parametrize(
    ("report", "ended"),
    [
        (told(R.RELEASED, D.VERIFIED), True),
        (told(R.HELD, D.PREPARED), True),
        (told(R.CANCELLED, D.DISCARDING), True),
        (told(R.COMMITTED, D.VERIFIED, D.FAILED), True),
        (told(R.COMMITTED, D.VERIFIED, D.UNRESOLVED), True),
        (told(R.COMMITTED, D.VERIFIED, D.RELEASED), False),
        (told(R.COMMITTED, D.UNRESOLVED, D.RELEASING), False),
        (told(R.COMMITTED, D.VERIFIED, D.PREPARED), False),
        (told(R.RELEASED, D.VERIFIED, D.RELEASED), False),
        (told(R.COMMITTED, D.RELEASED, match=False), True),
        (told(R.RELEASED, D.RELEASED, match=False), True),
        (told(R.HELD, D.PREPARED, D.RELEASED), True),
        (told(R.OPEN, D.PLANNED), False),
        (told(R.READY, D.PREPARED), False),
    ],
)
def test_when_waiting_ends(report: dict[str, Any], ended: bool) -> None:
    """When nothing more will come of it: all verified, altered or held, or every open one waits for a person."""
    assert ended == finished(report)


def test_a_delivery_tells_only_what_is_known() -> None:
    """What has not happened is null, never zero."""
    row = SimpleNamespace(
        id="d", release="r", outlet="site", item="i", required=True, state="planned", receipt=None, attempts=0,
        worker=None, sent_at=None, released_at=None, visible_at=None, visible_after=None, match=None, problems=[],
        fire_at=None, since=T, duty="prepare", due_at=T, reads=0, replaces_copy=None, ahead=0, quarantine_until=None,
    )  # fmt: skip
    release: Any = SimpleNamespace(id="r", action="publish", release_at=None, live=False, state="open")
    found = delivery_report(release, row, "website")  # type: ignore[arg-type]
    unknown = ("ref", "url", "worker", "sent_at", "released_at", "visible_at", "visible_after", "lateness_ms", "match")
    assert dict.fromkeys(unknown) == {name: found[name] for name in unknown}


def test_lateness_is_against_the_releases_own_instant() -> None:
    """Visible minus `release_at`, in milliseconds, to the microsecond."""
    row = SimpleNamespace(
        id="d", release="r", outlet="site", item="i", required=True, state="verified",
        receipt={"ref": "7", "url": "https://a.example/7"}, attempts=1, worker="w", sent_at=T + 100,
        released_at=T + 900, visible_at=T + 15_501, visible_after=T + 9_000, match=True, problems=[],
        fire_at=T, since=T, duty=None, due_at=None, reads=1, replaces_copy=None, ahead=0, quarantine_until=None,
    )  # fmt: skip
    release: Any = SimpleNamespace(id="r", action="publish", release_at=T, live=True, state="released")
    found = delivery_report(release, row, "website")  # type: ignore[arg-type]
    assert (15.501, "7", "https://a.example/7", True) == (
        found["lateness_ms"], found["ref"], found["url"], found["live"],
    )  # fmt: skip
    assert "2027-01-15T08:00:00.015Z" == found["visible_at"]
