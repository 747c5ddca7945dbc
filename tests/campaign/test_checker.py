"""The judge sees every wrong history, names it, and finds nothing wrong with a right one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sync.clock import MILLISECOND, SECOND, iso
from tests.campaign.checker import KINDS, Copy, History, Promise, check, counts

AT = 1_800_000_000 * SECOND
TITLE = "开通公交环线的通告"
ACTS = {
    "planned": "planned",
    "rendered": "rendered",
    "prepare_begun": "preparing",
    "prepared": "prepared",
    "release_begun": "releasing",
    "released": "released",
    "verified": "verified",
}
PROMISE = Promise("r1", (TITLE,), ("site", "post"), AT, AT - 60 * SECOND, "票价 1 元")


def entries(outlet: str, *acts: str, item: str = "i1") -> list[dict[str, Any]]:
    """The log of one delivery; sending begins a second before the instant."""
    started = AT - 2 * SECOND if "release_begun" not in acts else AT - SECOND
    of_all = {"subject": "delivery", "id": f"d-{outlet}", "item": item, "outlet": outlet, "at": iso(started)}
    return [{**of_all, "act": act, "state": ACTS.get(act, act)} for act in acts]


def right() -> History:
    copies = [Copy(outlet, TITLE, AT + MILLISECOND, "首班 06:30，票价 1 元") for outlet in PROMISE.outlets]
    log = [entry for outlet in PROMISE.outlets for entry in entries(outlet, *ACTS)]
    return History([PROMISE], copies, log, {"i1": TITLE})


def without(history: History, outlet: str, *acts: str) -> History:
    """Its copy is gone, and its log has these acts only."""
    copies = [copy for copy in history.copies if copy.outlet != outlet]
    log = [entry for entry in history.log if entry["outlet"] != outlet] + entries(outlet, *acts)
    return replace(history, copies=copies, log=log)


def twice() -> History:
    history = right()
    return replace(history, copies=[*history.copies, replace(history.copies[0], at=AT + 5 * SECOND)])


def a_millisecond_early() -> History:
    history = right()
    return replace(history, copies=[replace(history.copies[0], at=AT - MILLISECOND), history.copies[1]])


def before_it_was_asked_for() -> History:
    history = right()
    now = replace(PROMISE, at=None)
    return replace(history, promises=[now], copies=[replace(history.copies[0], at=now.asked - 1), history.copies[1]])


def gone_though_called_verified() -> History:
    history = right()
    return replace(history, copies=history.copies[:1])


def left_in_flight() -> History:
    return without(right(), "post", *list(ACTS)[:5])


def never_begun() -> History:
    return without(right(), "post", "planned")


def forgotten() -> History:
    return without(right(), "post")


def public_and_called_prepared() -> History:
    history = right()
    log = [entry for entry in history.log if entry["outlet"] != "post"]
    return replace(history, log=[*log, *entries("post", *list(ACTS)[:5], "prepared")])


def nobody_asked_for_it() -> History:
    history = right()
    return replace(history, copies=[*history.copies, Copy("site", "另一份通告", AT + SECOND)])


def at_an_outlet_that_was_not_named() -> History:
    history = right()
    return replace(history, copies=[*history.copies, Copy("other", TITLE, AT + SECOND)])


def sent_without_an_entry() -> History:
    history = right()
    return replace(
        history, log=[one for one in history.log if (one["outlet"], one["act"]) != ("post", "release_begun")]
    )


def public_before_its_entry() -> History:
    history = right()
    late = {"at": iso(AT + 10 * SECOND)}
    return replace(history, log=[{**one, **late} if one["act"] == "release_begun" else one for one in history.log])


def another_text() -> History:
    history = right()
    return replace(history, copies=[replace(history.copies[0], text="票价 2 元"), history.copies[1]])


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        (twice, "duplicate"),
        (a_millisecond_early, "early"),
        (before_it_was_asked_for, "early"),
        (gone_though_called_verified, "lost"),
        (left_in_flight, "lost"),
        (never_begun, "lost"),
        (forgotten, "lost"),
        (public_and_called_prepared, "unexplained"),
        (nobody_asked_for_it, "unexplained"),
        (at_an_outlet_that_was_not_named, "unexplained"),
        (sent_without_an_entry, "unexplained"),
        (public_before_its_entry, "unexplained"),
        (another_text, "unexplained"),
    ],
)
def test_a_wrong_history_is_named(planted: Any, kind: str) -> None:
    """By its kind; what is early is often unexplained, too."""
    found = check(planted())
    assert kind in {one.kind for one in found} <= {kind, "unexplained"}, found


def test_a_right_history() -> None:
    assert [] == check(right())
    assert dict.fromkeys(KINDS, 0) == counts([])


def test_what_a_person_was_shown_is_not_lost() -> None:
    """Also everything of a release that is held; not of one that was and is no longer."""
    assert [] == check(without(right(), "post", *list(ACTS)[:5], "unresolved"))
    waiting = without(without(right(), "post", "planned"), "site", "planned", "rendered")
    held = {
        "subject": "release",
        "id": "r1",
        "act": "held",
        "state": "held",
        "item": None,
        "outlet": None,
        "at": iso(AT),
    }
    assert [] == check(replace(waiting, log=[*waiting.log, held]))
    resumed = {**held, "act": "resumed", "state": "open"}
    assert {"lost"} == {one.kind for one in check(replace(waiting, log=[*waiting.log, held, resumed]))}


def test_what_may_still_come_is_not_lost() -> None:
    assert [] == check(left_in_flight(), ended=False)


def test_files_have_the_times_of_a_coarse_clock() -> None:
    early = a_millisecond_early()
    assert [] == check(replace(early, tick=4 * MILLISECOND))
