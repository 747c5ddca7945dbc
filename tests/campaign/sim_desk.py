"""The people of a simulated seed: what they order, change their minds about, and repeat when no answer came.

Each act is one command. A command that dies half-way is given again, with the same request id, as a person would.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import OperationalError

from sync.clock import SECOND, iso
from sync.content.source import Draft
from sync.engine import approval, control
from sync.engine.plan import Order, plan
from sync.engine.submit import accept
from sync.engine.withdraw import Withdrawal, withdraw
from sync.model import Align, BadInput, Policy
from sync.store import outlets
from tests.campaign.sim_hosts import Killed
from tests.campaign.sim_judge import Followed, Joint, Told

if TYPE_CHECKING:
    from tests.campaign.simulation import Simulation

ACTS = {
    "publish": 4,
    "again": 1,
    "correct": 4,
    "withdraw": 3,
    "hold": 3,
    "resume": 3,
    "cancel": 1.5,
    "settle": 2,
    "retry": 2,
    "drop": 1,
    "change": 1.5,
}


class Desk:
    """Whoever gives commands. `drafts`: texts that are handed in as files are, by their made-up path."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._universe = simulation.universe
        self._chance = simulation.universe.chance
        self._judge = simulation.judge
        self.drafts: dict[str, Draft] = {}
        self.items: dict[str, tuple[int, int]] = {}  # id → number, newest revision
        self._instants: list[int] = []
        self._requests = 0

    def act(self) -> None:
        """One thing that somebody does now."""
        what = self._chance.choices(list(ACTS), list(ACTS.values()))[0]
        getattr(self, what)()

    # orders

    def publish(self, *, again: bool = False) -> None:
        known = sorted(self.items)
        if again and not known:
            return
        many = 2 if not again and self._chance.random() < 0.15 else 1
        if again:
            item = self._chance.choice(known)
            numbers = [self.items[item]]
        else:
            numbers = [(len(self.items) + n + 1, 1) for n in range(many)]
        texts = tuple(_text(*one) for one in numbers)
        drafts = [_draft(text) for text in texts]
        told = Told("publish", self._some(), texts, self._instant(), again=again)
        told.policy = self._chance.choice((Policy.REQUIRED, Policy.REQUIRED, Policy.ALL, Policy.BEST_EFFORT))
        told.aligned = self._chance.random() < 0.15
        made: list[str] = []

        def give() -> str:
            made[:] = [item] if again else [accept(self._simulation.ctx, one).item for one in drafts]
            for one, number in zip(made, numbers, strict=True):
                self.items.setdefault(one, number)
            align = Align.ALIGNED if told.aligned else Align.NOT_BEFORE
            return plan(
                self._simulation.ctx,
                Order(
                    tuple(made),
                    tuple(told.outlets),
                    at=_at(told.at),
                    policy=told.policy,
                    align=align,
                    again=again,
                    request_id=told.request,
                ),
            )

        self._order(told, give)

    def again(self) -> None:
        self.publish(again=True)

    def correct(self) -> None:
        if not self.items:
            return
        item = self._chance.choice(sorted(self.items))
        number, revision = self.items[item]
        text = _text(number, revision + 1)
        path = f"draft {number} {revision + 1}"
        self.drafts[path] = _draft(text)
        told = Told("correct", (), (text,), self._instant())
        if self._chance.random() < 0.3:
            told.outlets = self._some()

        def give() -> str:
            order = Order((path,), tuple(told.outlets), at=_at(told.at), request_id=told.request, corrects=item)
            made = plan(self._simulation.ctx, order)
            self.items[item] = (number, max(revision + 1, self.items[item][1]))
            return made

        self._order(told, give)

    def withdraw(self) -> None:
        if not self.items:
            return
        item = self._chance.choice(sorted(self.items))
        places = self._some() if self._chance.random() < 0.3 else ()
        told = Told("withdraw", places)
        self._order(
            told,
            lambda: withdraw(self._simulation.ctx, Withdrawal(item, "有误", tuple(places), request_id=told.request)),
        )

    def _order(self, told: Told, give: Callable[[], str]) -> None:
        self._requests += 1
        told.request = f"request-{self._requests}"
        told.asked_at = self._universe.time
        self._judge.orders.append(told)
        self._command(f"{told.action} to {','.join(told.outlets) or 'everywhere'}", partial(self._give, told, give))

    def _give(self, told: Told, give: Callable[[], str]) -> None:
        self._judge.expected = told
        try:
            release = give()
        except BadInput:
            if any(joint.order is told for joint in self._judge.releases.values()):
                self._judge.broken("I1", f"{told.request} was planned, and is refused when it is repeated")
            raise
        finally:
            self._judge.expected = None
        if told.release and told.release != release:
            self._judge.broken("I2", "the same request was answered with another release")
        told.release = release

    # second thoughts

    def hold(self) -> None:
        self._of_release("hold", control.hold, ("open", "ready"))

    def resume(self) -> None:
        self._of_release("resume", control.resume, ("held",))

    def cancel(self) -> None:
        self._of_release("cancel", control.cancel, ("open", "ready", "held"))

    def _of_release(self, what: str, act: Callable[[Any, str], None], states: tuple[str, ...]) -> None:
        known = [one for one in self._judge.releases.values() if one.state in states]
        if known:
            one = self._chance.choice(known)
            self._command(f"{what} {one.id[:4]}", lambda: act(self._simulation.ctx, one.id))

    def retry(self) -> None:
        self._of_delivery("retry", control.retry, "failed")

    def drop(self) -> None:
        self._of_delivery("drop", control.drop, "failed")

    def settle(self) -> None:
        for one in [row for row in self._judge.deliveries.values() if row.state == "unresolved"]:
            self.settle_one(one)

    def _of_delivery(self, what: str, act: Callable[[Any, str], None], state: str) -> None:
        known = [one for one in self._judge.deliveries.values() if one.state == state]
        if known:
            one = self._chance.choice(known)
            self._command(f"{what} {one.id[:4]}", lambda: act(self._simulation.ctx, one.id))

    def settle_one(self, one: Followed) -> None:
        """Somebody looks at the outlet, and says what is there. While something may still land, nobody is so rash."""
        there = self._simulation.outlets[one.outlet]
        if there.coming:
            return
        url = None
        if self._judge.releases[one.release].action == "withdraw":
            mine = {row.token for row in self._judge.deliveries.values() if row.item == one.item}
            shown = [post for post in there.posts if post.token in mine]
            found = "public" if shown else "nothing"
        else:
            post = there.shows(one.token)
            drafted = any(token == one.token for token, _ in there.drafts.values())
            found = "public" if post else "hidden" if drafted else "nothing"
            url = None if post is None else f"https://{there.name}/{post.ref}"
        if found == "public" and url is None:
            url = f"https://{there.name}/"
        self._command(
            f"settle {one.id[:4]} as {found}", lambda: control.settle(self._simulation.ctx, one.id, found, url)
        )

    def change(self) -> None:
        """The outlet publishes elsewhere, or as somebody else: what was prepared there is stale."""
        name = self._chance.choice(sorted(self._simulation.outlets))

        def act() -> None:
            ctx = self._simulation.ctx
            with ctx.store.write() as connection:
                row, now = outlets.get(connection, name), ctx.store.now(connection)
                outlets.change(connection, row, "changed", at=now, actor=ctx.actor, settings={"account": str(now)})
                approval.outlet_changed(ctx, connection, name)

        self._command(f"change {name}", act)

    # when all is well again

    def put_right(self) -> bool:
        """Everything that waits for a person is let go on. False: nothing did."""
        did = False
        for joint in list(self._judge.releases.values()):
            if joint.state == "held":
                did = True
                self._command(f"resume {joint.id[:4]}", partial(control.resume, self._simulation.ctx, joint.id))
        for one in list(self._judge.deliveries.values()):
            joint = self._judge.releases[one.release]
            if one.state == "failed" and joint.state == "committed" and one.acts.count("retried") < 4:
                did = True
                act = control.drop if self._is_over(joint, one) else control.retry
                self._command(f"retry {one.id[:4]}", partial(act, self._simulation.ctx, one.id))
            if one.state == "unresolved" and one.acts.count("in_doubt") < 4:
                did = True
                self.settle_one(one)
        return did

    def _is_over(self, joint: Joint, one: Followed) -> bool:
        return one.acts.count("retried") >= 3

    # giving a command

    def _command(self, what: str, act: Callable[[], None]) -> None:
        """Give it, and once more if it died. A refusal is an answer."""
        self._universe.say(f"desk: {what}")
        try:
            act()
        except Killed:
            self._simulation.revive_person()
            wait = round(self._chance.uniform(0.1, 5) * SECOND)
            self._universe.at(self._universe.time + wait, "", lambda: self._command(f"{what}, once more", act))
        except BadInput as refusal:
            self._universe.say(f"refused: {refusal}")
        except OperationalError as error:
            if "disk I/O" not in str(error):
                raise

    def _some(self) -> tuple[str, ...]:
        names = sorted(self._simulation.outlets)
        if self._chance.random() < 0.6:
            return tuple(names)
        return tuple(name for name in names if self._chance.random() < 0.5) or (names[0],)

    def _instant(self) -> int | None:
        """None is now. Sometimes the instant of another order."""
        drawn = self._chance.random()
        if drawn < 0.3:
            return None
        if drawn < 0.5 and self._instants:
            return self._instants[-1]
        found = self._universe.time + round(
            self._chance.choice((3, 20, 60, 60)) * self._chance.uniform(0.3, 1) * SECOND
        )
        found = -(-found // 1_000) * 1_000  # typed to the millisecond
        self._instants.append(found)
        return found


def _text(number: int, revision: int) -> str:
    return f"<p>第{number}号 版{revision}</p>"


def _draft(text: str) -> Draft:
    return Draft(f"通知 {text[3:-4]}", text, {}, (), (), None, None, None, None)


def _at(instant: int | None) -> str:
    return "now" if instant is None else iso(instant)
