"""T-06: outlets that misbehave in fourteen ways, by class; each case is a release to some of them, on one seed.

K  the receiver knows a key (Mastodon, a webhook whose receiver ignores repeated ids)
N  we chose the name (website, gazette)
S  it can be searched (WeChat)
B  blind (a webhook of which nothing can be asked)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from sync.clock import SECOND
from sync.flow import D, E
from tests.campaign import near
from tests.campaign.behaviours import UNCLEAR, ZERO, Fate, at_once, plan_fate
from tests.campaign.town import ENDED, Town, databases, town
from tests.campaign.trial import Counts, Run, Trial

PARKED_WITHIN = 60 * SECOND  # µs
OUTLETS = 8  # of each case
SITE = {"directory": "/srv/site", "base_url": "https://county.example"}
HOOK = {"url": "https://app.example/hook"}
PAGE = {"public_url_template": "https://app.example/news/{item}"}

# Class → kinds with their settings.
CLASSES: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]] = {
    "K": (
        ("mastodon", {}),
        ("mastodon", {}),
        ("webhook", {**HOOK, **PAGE, "receiver_dedupes": "yes"}),
        ("webhook", {**HOOK, "receiver_dedupes": "yes"}),
        ("webhook", {**HOOK, **PAGE}),
    ),
    "N": (("website", SITE), ("website", SITE), ("gazette", {**SITE, "formats": "html"})),
    "S": (("wechat", {}),),
    "B": (("webhook", HOOK), ("webhook", {**HOOK, "staged": "yes"})),
}
COPIES = frozenset({"post_created", "published", "doubled"})


@dataclass(frozen=True)
class Seen:
    """What an outlet's own record tells: when each copy appeared (µs UTC), and the requests that make one, in order."""

    copies: list[int]
    shots: list[Mapping[str, Any]]
    calls: int


def seen(made: Town, fate: Fate) -> Seen:
    lines = made.lines(fate.name)
    if fate.kind in ("website", "gazette"):
        pages = (made.home / "sandbox" / "pages" / fate.name / "www").glob("*/*.html")
        appeared = [one.stat().st_mtime_ns // 1_000 for one in pages if b'name="tongfa-delivery"' in one.read_bytes()]
        return Seen(sorted(appeared), [], len(lines))
    copies = [line["at"] for line in lines if line["applied"] and line["effect"] in COPIES]
    copies += [line["at"] for line in lines if line["applied"] and line["detail"].get("double")]
    return Seen(sorted(copies), [line for line in lines if _is_shot(line)], len(lines))


def _is_shot(line: Mapping[str, Any]) -> bool:
    if line["fault"] == "late" and line["applied"]:
        return False  # a second line of the same request: its effect
    posts = line["path"] in ("/api/v1/statuses", "/cgi-bin/freepublish/submit") and line["method"] == "POST"
    return posts or "item.published" in (line["account"].rpartition(" ")[2], line["detail"].get("type"))


def judged(made: Town, release: str, fates: Mapping[str, Fate], blind: bool) -> Counter[str]:
    """What must not be, and what was: by the outlets' records, what the client is told, and the log."""
    counts: Counter[str] = Counter(deliveries=len(fates))
    release_at = made.release(release).release_at
    for name, told in made.told(release).items():
        if name not in fates:
            continue
        fate, outside, state = fates[name], seen(made, fates[name]), D(told["state"])
        unclear = [line for line in outside.shots if _is_unclear(line, fate)]
        counts["ambiguous"] += len(unclear) + fate.unsure
        counts["early"] += sum(at < release_at for at in outside.copies)
        counts["duplicate"] += at_once(outside.copies, fate) > (2 if fate.doubles else 1)
        counts["lost"] += _is_lost(state, fate, outside, told)
        counts["false_failure"] += state in (D.FAILED, D.CANCELLED) and bool(outside.copies)
        entries = made.entries(told["id"])
        if state is D.VERIFIED:
            at = next(one.at for one in entries if one.act == E.VERIFIED)
            gone = fate.vanishes is not None and outside.copies and at > outside.copies[-1] + fate.vanishes * SECOND
            counts["false_verified"] += fate.spoiled or not outside.copies or bool(gone)
        # A receiver that says 2xx and shows nothing: what it says is all there is, and the client is told so.
        counts["on_its_word"] += state is D.CLOSED and not outside.copies
        counts["unseen_told"] += state is D.RELEASED and not outside.copies
        counts["parked"] += state is D.UNRESOLVED
        counts["doubled"] += fate.doubles and bool(outside.copies)
        counts["double_told"] += fate.doubles and bool(outside.copies) and _mentions(told, "cop")
        if blind and unclear:
            counts["blind_resend"] += len(outside.shots) - 1 - outside.shots.index(unclear[0])
            parked = [one.at for one in entries if one.state == D.UNRESOLVED]
            counts["parked_late"] += not parked or parked[0] - unclear[0]["at"] > PARKED_WITHIN
        counts["calls"] = max(counts["calls"], outside.calls)
    return counts


def _is_unclear(line: Mapping[str, Any], fate: Fate) -> bool:
    if line["fault"] == "error_body" and fate.kind == "webhook":
        return False  # by the standard any 2xx says "taken", whatever stands in its body
    return line["fault"] in UNCLEAR or (line["fault"] == "refuse" and not fate.turned_away)


def _is_lost(state: D, fate: Fate, outside: Seen, told: Mapping[str, Any]) -> bool:
    """Told to be public, and never was; or nobody cares for it any more.

    Taken by the outlet's own word and not to be seen is not lost as long as the client is told just that."""
    if state is D.VERIFIED:
        return not outside.copies
    if state is D.RELEASED:
        return not told["problems"]
    return state not in ENDED


def _mentions(told: Mapping[str, Any], what: str) -> bool:
    return any(what in one["message"] for one in told["problems"] or ())


def run_case(database: Any, kind_class: str, case: int) -> Counts:
    """One release to outlets of this class, each with a fate of its own. Raises AssertionError."""
    random = Random(f"T-06 {kind_class} {case}")
    with town(database) as made:
        made.open("site", "website", SITE, required=True)
        fates: dict[str, Fate] = {}
        for number in range(OUTLETS):
            kind, settings = random.choice(CLASSES[kind_class])
            name = f"o{number}"
            made.open(name, kind, settings)
            fates[name] = plan_fate(made, name, kind, random)
        if "mastodon" in made.sandbox:
            made.sandbox["mastodon"].knob("unlimited")
        made.process()
        release = made.plan(",".join(["site", *fates]), at=60)
        made.settle(release, standing=[one.name for one in fates.values() if one.stands_apart])
        counts = judged(made, release, fates, blind=kind_class == "B")
        wrong = [name for name in ZERO if counts[name]]
        told = {name: (made.states(release)[name], fates[name].named) for name in fates} if wrong else {}
        assert not wrong, f"case {case} of {kind_class}: {', '.join(wrong)}: {dict(counts)} {told}"
        return counts


@contextmanager
def _open(run: Callable[..., Counts], *given: Any) -> Iterator[Run]:
    with databases() as database:
        yield partial(run, database, *given)


def _trials(kind_class: str, what: str) -> Iterator[Trial]:
    """Over HTTP, and many more of it at the channel contract."""
    yield Trial(
        name=f"outlets-{kind_class.lower()}",
        what=f"T-06 fourteen behaviours, class {kind_class}, over HTTP: {what}",
        counted="ambiguous",
        target=1_000,
        open=partial(_open, run_case, kind_class),
        zero=ZERO,
        worst=("calls",),
    )
    yield Trial(
        name=f"near-{kind_class.lower()}",
        what=f"T-06 the same behaviours at the channel contract, class {kind_class}",
        counted="ambiguous",
        target=9_000,
        open=partial(_open, near.run_case, kind_class),
        zero=ZERO,
    )


TRIALS = (
    *_trials("K", "a key is known (Mastodon, webhook)"),
    *_trials("N", "the name is ours (website, gazette)"),
    *_trials("S", "it can be searched (WeChat)"),
    *_trials("B", "blind (webhook without page)"),
)
