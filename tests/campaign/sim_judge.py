"""The judge of a simulated seed: what the outlets did, what the client was told, and the log. Never the tables.

Every entry is read as its commit makes it known, every shot and effect as it happens; the first thing that must
not be raises `Broken`, naming the rule (reliability.md (c)).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.clock import MILLISECOND, SECOND
from sync.model import Key, Policy
from tests.campaign.sim_hosts import Broken, Universe
from tests.campaign.sim_outlets import ALTERED, KINDS, SimOutlet
from tests.integration.world import INSTALLATION

LATE_LIMIT = 15 * 60 * SECOND
MOST_AHEAD = 20 * SECOND
SOON = 300 * SECOND  # µs in which an unknown is settled or parked, once everybody is well
SENT = ("releasing", "accepted", "released", "verified", "closed")
REVIEWERS = 3
AUTHOR = "li"
PUBLIC = ("released", "verified", "closed")


@dataclass(eq=False)
class Told:
    """One order, and what the client was told about it."""

    action: str
    outlets: Sequence[str] = ()
    texts: Sequence[str] = ()
    at: int | None = None
    policy: Policy = Policy.REQUIRED
    aligned: bool = False
    again: bool = False
    request: str = ""
    release: str = ""  # the id that was answered; "" when it was refused
    asked_at: int = 0


@dataclass(eq=False)
class Followed:
    """A delivery, by its entries."""

    id: str
    release: str
    outlet: str
    item: str
    token: str
    planned_at: int
    text: str = ""
    state: str = "planned"
    why: str = ""
    since: int = 0
    begun: int = 0
    shots: int = 0
    honest: int = 0  # effects that made something public
    acts: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Joint:
    """A release, by its entries."""

    id: str
    state: str = "open"
    why: str = ""
    actor: str = ""
    asked_at: int = 0
    action: str = "publish"
    order: Told | None = None
    deliveries: list[Followed] = field(default_factory=list)
    approvers: list[str] = field(default_factory=list)  # of what is under review now
    renditions: frozenset[str] = frozenset()  # what they are asked to approve


class Judge:
    """See the module's first lines."""

    def __init__(self, universe: Universe) -> None:
        self.universe = universe
        self.outlets: dict[str, SimOutlet] = {}
        self.required: set[str] = set()
        self.orders: list[Told] = []
        self.expected: Told | None = None  # the order that is being given
        self.deliveries: dict[str, Followed] = {}
        self.by_token: dict[str, Followed] = {}
        self.releases: dict[str, Joint] = {}
        self.public_at: list[tuple[int, str, Followed]] = []
        self.withdrawn: dict[tuple[str, str], int] = {}  # item, outlet → until when its deliveries were planned
        self.found: dict[str, int] = {}
        self.reviewed = False  # releases need three approvals
        self._read = 0

    def broken(self, rule: str, what: str) -> None:
        self.universe.say(f"BROKEN {rule}: {what}")
        raise Broken(f"{rule}: {what}")

    def count(self, what: str, many: int = 1) -> None:
        self.found[what] = self.found.get(what, 0) + many

    # the log

    def committed(self) -> None:
        """Read what the last commit wrote."""
        rows = self.universe.raw.execute(
            "SELECT id, subject, subject_id, act, state, actor, item, outlet, detail FROM entry "
            "WHERE id > ? ORDER BY id",
            (self._read,),
        ).fetchall()
        for one, subject, subject_id, act, state, actor, item, outlet, detail in rows:
            self._read = one
            if subject not in ("delivery", "release", "approval"):
                continue
            told = json.loads(detail)
            if subject == "approval":
                self._approved(told)
                continue
            shown = told.get("why") or ""
            self.universe.say(
                f"{subject[:3]} {subject_id[:4]} {outlet or ''} {act} → {state} ({actor}) {shown}".rstrip()
            )
            if subject == "release":
                self._of_release(subject_id, act, state, actor, told)
            else:
                self._of_delivery(subject_id, act, state, item, outlet, told)

    def _of_release(self, one: str, act: str, state: str, actor: str, told: Mapping[str, Any]) -> None:
        if act == "planned":
            joint = self.releases[one] = Joint(one, asked_at=self.universe.time, order=self.expected)
            joint.action = self.expected.action if self.expected else "publish"
            if self.expected is not None and self.expected.request:
                twins = [each for each in self.releases.values() if each.order is self.expected]
                if len(twins) > 1:
                    self.broken("I2", "one request was planned twice")
            return
        joint = self.releases[one]
        joint.state = state
        if act == "held":
            joint.actor, joint.why = actor, told.get("why") or ""
        if act == "resumed":
            joint.asked_at = self.universe.time
            for row in joint.deliveries:
                self._asked_by_a_person(row)
        if act in ("review_asked", "review_voided", "review_rejected"):
            joint.approvers = []
        if act == "review_asked":
            joint.renditions = frozenset(one["rendition"] for one in told["parts"].get("deliveries", ()))
        if act == "committed":
            self._at_the_commit(joint)

    def _approved(self, told: Mapping[str, Any]) -> None:
        """Three people, none of them the author (I5)."""
        joint = self.releases[told["release"]]
        self.universe.say(f"rel {joint.id[:4]} approved by {told['approver']}, stage {told['stage']}")
        if told["approver"] in joint.approvers or told["approver"] == AUTHOR:
            self.broken("I5", f"{told['approver']} approved, and may not")
        joint.approvers.append(told["approver"])

    def _is_approved(self, joint: Joint) -> bool:
        return not self.reviewed or joint.action == "withdraw" or len(joint.approvers) >= REVIEWERS

    def _at_the_commit(self, joint: Joint) -> None:
        """The joint rule, at the point of no return: everything required is in place, and it is not too late."""
        for one in joint.deliveries:
            if self._is_required(joint, one) and one.state not in ("prepared", "cancelled"):
                self.broken("P1", f"committed, while {one.outlet} is {one.state}")
        order = joint.order
        if order is not None and self.universe.trusted and not self.reviewed:
            limit = max(order.at or 0, joint.asked_at) + LATE_LIMIT + SECOND
            if self.universe.time > limit:
                self.broken("late", "committed after the end of its late limit")

    def _is_required(self, joint: Joint, one: Followed) -> bool:
        """By what was ordered, not by what the product made of it."""
        order = joint.order
        if order is None or order.action == "withdraw":
            return False
        canonical = next((name for name in order.outlets if KINDS[self.outlets[name].kind].can.address), None)
        if one.outlet == canonical or order.policy is Policy.ALL:
            return True
        return order.policy is Policy.REQUIRED and one.outlet in self.required

    def _of_delivery(self, one: str, act: str, state: str, item: str, outlet: str, told: Mapping[str, Any]) -> None:
        now = self.universe.time
        if act == "planned":
            made = Followed(one, told["release"], outlet, item, Key(INSTALLATION, one).token, now)
            self.deliveries[one] = self.by_token[made.token] = made
            joint = self.releases[made.release]
            joint.deliveries.append(made)
            return
        row = self.deliveries[one]
        before, row.state, row.since = row.state, state, now
        row.why = told.get("why") or row.why
        row.acts.append(act)
        there = self.outlets[row.outlet]
        if act in ("absent", "still_public") and "too many requests" in (told.get("why") or ""):
            self.outlets[outlet].told_to_wait[row.token] = self.outlets[outlet].named.get(row.token, 0)
        if act == "retried" or act.startswith("settled"):
            self._asked_by_a_person(row)
        if act == "release_begun":
            row.begun += 1
        if act in ("prepare_begun", "release_begun") and not self._is_approved(self.releases[row.release]):
            self.broken("I5", f"{row.outlet}: {act} with {len(self.releases[row.release].approvers)} approvals")
        landed = row.honest > 0
        coming = there.pending(row.token)
        if act == "released" and not landed and row.token not in there.hollow | there.dishonest:
            self.broken("I8", f"{row.outlet}: called public, and nothing is there")
        sent = before in ("releasing", "accepted") and row.token not in there.dishonest
        if act in ("absent", "refused") and sent and (landed or coming):
            self.broken("I8", f"{row.outlet}: called {act}, and it {'is there' if landed else 'may still land'}")
        if act == "verified" and row.token not in there.read_as_approved:
            self.broken("I8", f"{row.outlet}: called verified, and no reader was shown what was approved")
        if act == "withdrawn":
            self._withdrawn(row)

    def _asked_by_a_person(self, row: Followed) -> None:
        """Somebody wants it tried now, whatever time the outlet had named."""
        self.outlets[row.outlet].told_to_wait.pop(row.token, None)

    def _withdrawn(self, row: Followed) -> None:
        there = self.outlets[row.outlet]
        for post in there.posts:
            made = self.by_token.get(post.token)
            if (
                made
                and made.item == row.item
                and made.planned_at <= row.planned_at
                and post.token not in there.dishonest
            ):
                self.broken("I8", f"{row.outlet}: called withdrawn, and a reader finds {made.id[:4]}")
        self.withdrawn[row.item, row.outlet] = max(self.withdrawn.get((row.item, row.outlet), 0), row.planned_at)

    # the outlets

    def shot(self, outlet: SimOutlet, token: str, ref: str) -> None:
        """The first byte of what makes something public arrives."""
        row = self.by_token.get(token)
        if row is None:
            self.broken("I7", f"{outlet.name}: a shot that nobody planned")
            return
        joint = self.releases[row.release]
        self.universe.say(f"shot {row.id[:4]} at {outlet.name}")
        row.shots += 1
        if row.state != "releasing" or row.shots > row.begun:
            self.broken("I7", f"{outlet.name}: a shot without its intent; it is {row.state} in the log")
        if joint.state not in ("committed", "released"):
            self.broken("P1", f"{outlet.name}: a shot while its release is {joint.state}")
        order = joint.order
        if order is not None and order.at is not None:
            earliest = order.at - (MOST_AHEAD if order.aligned else 0)
            if self.universe.time < earliest:
                self.broken("I3", f"{outlet.name}: {(earliest - self.universe.time) / MILLISECOND:.3f} ms early")
        for one in joint.deliveries:
            if self._is_required(joint, one) and not one.begun and one.state not in (*PUBLIC, "cancelled"):
                self.broken("P1", f"{outlet.name}: a shot before {one.outlet}, which is required, was committed")
        self.count("shots")

    def public(self, outlet: SimOutlet, token: str, content: str, *, honest: bool) -> None:
        """Something became public, or was changed where it is."""
        row = self.by_token[token]
        self.universe.say(f"public {row.id[:4]} at {outlet.name}{'' if honest else ' (the outlet alone is to blame)'}")
        text = outlet.rendered.get(content.removeprefix(ALTERED), ("", 0, ""))
        if text[2] not in self._texts(row):
            self.broken("I4", f"{outlet.name}: not the text that was ordered")
        joint = self.releases[row.release]
        if self.reviewed and content.removeprefix(ALTERED) not in joint.renditions:
            self.broken("I4", f"{outlet.name}: not what was approved")
        if not honest:
            self.count("duplicates beyond what the outlet declares")
            return
        row.honest += 1
        self.count("public")
        if row.honest > 1 and token not in outlet.dishonest:
            self.broken("I2", f"{outlet.name}: published twice")
        for _, _, other in self.public_at:
            same = (other.item, other.outlet) == (row.item, row.outlet) and token not in outlet.dishonest
            if same and self._revision(other) > self._revision(row):
                self.broken("I6", f"{outlet.name}: an older revision after a newer one")
        self.public_at.append((self.universe.time, content, row))
        if self.withdrawn.get((row.item, row.outlet), -1) >= row.planned_at and token not in outlet.dishonest:
            self.broken("withdrawn", f"{outlet.name}: public again, after it was called withdrawn")

    def removed(self, outlet: SimOutlet, token: str) -> None:
        row = self.by_token.get(token)
        self.universe.say(f"removed by {row.id[:4] if row else '?'} at {outlet.name}")

    def _texts(self, row: Followed) -> Sequence[str]:
        order = self.releases[row.release].order
        return order.texts if order is not None else ()

    def _revision(self, row: Followed) -> int:
        """Of the item, by the order in which its texts were handed in: the text ends with it."""
        order = self.releases[row.release].order
        if order is None or len(order.texts) != 1:
            return 1  # several items in one order are all new
        return int(order.texts[0].rpartition("版")[2].split("<")[0])

    # the end

    def settled(self) -> bool:
        """Nothing is left that the machine could bring any further."""
        return all(self._rests(joint, one) for joint in self.releases.values() for one in joint.deliveries)

    def _rests(self, joint: Joint, one: Followed) -> bool:
        if one.state in ("verified", "closed", "withdrawn", "cancelled", "unresolved"):
            return True
        if one.state == "failed":
            return True
        if one.state == "released":
            return self._spoilt(one)
        waits = joint.state == "held" or self._waits_for_a_person(joint, one)
        return waits or (joint.state in ("open", "committed") and not self._is_approved(joint))

    def _waits_for_a_person(self, joint: Joint, one: Followed) -> bool:
        """A withdrawal goes on once somebody has said what became of an unresolved delivery there."""
        there = [row for row in self.deliveries.values() if (row.item, row.outlet) == (one.item, one.outlet)]
        return joint.action == "withdraw" and any(row.state == "unresolved" for row in there)

    def _spoilt(self, one: Followed) -> bool:
        """Through the outlet's own doing it can never be read as approved."""
        there = self.outlets[one.outlet]
        shown = there.shows(one.token)
        return one.token in there.spoilt | there.hollow and (shown is None or shown.content.startswith(ALTERED))

    def well(self) -> None:
        """Some minutes after everybody is well again: no unknown is left open (I9)."""
        for one in self.deliveries.values():
            if one.state == "releasing" and self.universe.trusted:
                self.broken("I9", f"{one.outlet}: still unknown {SOON // SECOND} s after everybody was well")

    def end(self) -> None:
        """All that was acknowledged is public, or somebody was told why it is not."""
        for joint in self.releases.values():
            for one in joint.deliveries:
                self._ended(joint, one)
        for name, outlet in self.outlets.items():
            shown: dict[str, list[Followed]] = {}
            for post in outlet.posts:
                row = self.by_token[post.token]
                if post.token in outlet.dishonest or self._meant_twice(row):
                    continue
                shown.setdefault(row.item, []).append(row)
            for rows in shown.values():
                done = all(self._complete(row, name) for row in rows)
                if len(rows) > 1 and done:
                    self.broken("I2", f"{name}: two copies of one item: {', '.join(row.id[:4] for row in rows)}")

    def _meant_twice(self, row: Followed) -> bool:
        """Somebody asked for a second copy of the item there."""
        mine = [one for one in self.deliveries.values() if (one.item, one.outlet) == (row.item, row.outlet)]
        return any((order := self.releases[one.release].order) and order.again for one in mine)

    def _complete(self, row: Followed, name: str) -> bool:
        """Nobody was asked to look at the item there: then it has to be in order."""
        there = self.outlets[name]
        mine = [one for one in self.deliveries.values() if (one.item, one.outlet) == (row.item, name)]
        return all(
            one.state in ("verified", "withdrawn", "cancelled") and one.token not in there.dishonest for one in mine
        )

    def _ended(self, joint: Joint, one: Followed) -> None:
        there = self.outlets[one.outlet]
        label = f"{one.outlet}: delivery {one.id[:4]}"
        self.count(one.state)
        if one.state in PUBLIC:
            if there.shows(one.token) is None and not self._excused(one) and "settled_public" not in one.acts:
                self.broken("I1", f"{label} is called {one.state}, and is not there")
        elif one.state in ("failed", "unresolved"):
            if not one.why:
                self.broken("I1", f"{label} is {one.state}, and nobody was told why")
        elif one.state not in ("withdrawn", "cancelled") and not self._rests(joint, one):
            self.broken("I1", f"{label} is left {one.state}, its release {joint.state}")
        if joint.state == "held" and not joint.why and joint.actor.startswith(("prepare", "release")):
            self.broken("I1", f"release {joint.id[:4]} is held, and nobody was told why")
        unseen = one.token not in there.dishonest and "released" not in one.acts
        if (
            one.honest
            and unseen
            and one.state in ("planned", "rendered", "preparing", "prepared", "failed", "cancelled")
        ):
            self.broken("I8", f"{label} is called {one.state}, and was public")

    def _excused(self, one: Followed) -> bool:
        """Somebody took it away since: the outlet by itself, a withdrawal, or a later edition."""
        there = self.outlets[one.outlet]
        if one.token in there.spoilt | there.hollow | there.dishonest:
            return True
        later = [
            row
            for row in self.deliveries.values()
            if (row.item, row.outlet) == (one.item, one.outlet) and row is not one and row.planned_at >= one.planned_at
        ]
        return any(self.releases[row.release].action in ("withdraw", "correct") and row.acts for row in later)
