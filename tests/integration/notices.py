"""What only notifies, as tests need it: a group's robot on a memory outlet, and what is asked of its releases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from sync.contract import Accepted, Capabilities, Correct, Place, Prepared, Probe, Receipt, Reveal, Unsupported
from sync.engine.plan import plan
from sync.model import Edition, Key, Rendition, Sighting
from tests.integration.outside import BareChannel
from tests.integration.world import World


class Bot(BareChannel):
    """A group's robot: what was said is said, and nobody can look it up."""

    kind = "bot"
    can: ClassVar[Capabilities] = replace(
        BareChannel.can, reveal=Reveal.NOTIFY, probe=Probe.BLIND, correct=Correct.NONE, withdraw=False
    )

    def render(self, edition: Edition, place: Place) -> Rendition:
        made = super().render(edition, place)
        return replace(made, title=f"更正：{made.title}") if place.replaces is not None else made

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        return super().prepare(rendition, key)  # what was said before is not changed

    def probe(
        self, rendition: Rendition, key: Key, hint: Prepared | Accepted | None, replaces: Receipt | None = None
    ) -> Prepared | Accepted | Receipt | None:
        if hint is not None:
            raise Unsupported("what a robot said cannot be looked up")
        return None

    def verify(self, receipt: Receipt, rendition: Rendition, before: Rendition | None = None) -> Sighting:
        raise Unsupported("what a robot said cannot be read")

    def withdraw(self, receipt: Receipt, key: Key) -> None:
        raise AssertionError("nobody may try to recall it")


def with_outlets(world: World, **kinds: str) -> None:
    for name, kind in kinds.items():
        world.add(name, kind)
    world.process()


def item_of(world: World, release: str) -> str:
    return str(world.report(release)["item"])


def correct(world: World, item: str, named: str = "", **more: Any) -> str:
    order = world.order(named or "x", world.file(name="corrected.md", body="自12月2日起试运行。"), **more)
    return plan(world.ctx, replace(order, outlets=tuple(named.split(",")) if named else (), corrects=item))


def told(world: World, release: str, name: str) -> dict[str, Any]:
    return next(one for one in world.report(release)["deliveries"] if one["outlet"] == name)


def messages(report: Mapping[str, Any]) -> str:
    return " ".join(one["message"] for one in report["problems"])
