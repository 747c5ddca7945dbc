"""`tongfa channel …`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sync.bootstrap import kind, kinds
from sync.cli.given import capabilities
from sync.cli.output import Json, document, group, help_word, say, show_pairs, show_table, tick, word
from sync.contract import Announcer, Budget, Capabilities, Carrier, Expiring, Listener, Setting

channel = group("渠道 kinds of outlets")

# What a channel may be beside, by the word for it.
BESIDE: tuple[tuple[str, type], ...] = (
    ("announces", Announcer),
    ("expires", Expiring),
    ("listens", Listener),
    ("carries", Carrier),
)


def register(app: typer.Typer) -> None:
    app.add_typer(channel, name="channel")


@channel.command("list")
def list_(json: Json = False) -> None:
    """Every kind of outlet."""
    can = {name: capabilities(name) for name in kinds()}
    if json:
        document({"kinds": [_described(name, one) for name, one in can.items()]})
        return
    show_table(
        ("kind", "reveal", "probe", "settings"),
        [
            (name, one.reveal, one.probe, ", ".join(setting.name + "*" * setting.secret for setting in one.settings))
            for name, one in can.items()
        ],
    )


@channel.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="KIND", help="as `channel list` names it")], json: Json = False
) -> None:
    """All that one kind declares: what it can do, its times, limits, budgets and settings."""
    can = capabilities(name)
    if json:
        document(_described(name, can))
        return
    beside = _beside(name)
    show_pairs(
        {
            "kind": name,
            "reveal": can.reveal,
            "corrects": can.correct,
            "withdraws": _yes(can.withdraw),
            "probe": can.probe,
            "lands within": f"{can.lands_within:g} s",
            "fresh for": word("for ever") if can.fresh_for is None else f"{can.fresh_for:g} s",
            "polls": "、".join(f"{one:g} s" for one in can.polls) or word("none"),
            "address known": _yes(can.address),
            "optional": _yes(can.optional),
            **{each: _yes(beside[each]) for each, _ in BESIDE},
        }
    )
    for limit, value in can.limits.items():
        show_pairs({"limit": f"{limit} {value}"})
    for budget in can.budgets:
        show_pairs({"budget": _spoken(budget)})
    say("")
    show_table(
        ("setting", "required", "secret", "default", "meaning"),
        [
            (one.name, tick(one.required or None), tick(one.secret or None), one.default, _help(one))
            for one in can.settings
        ],
    )


def _yes(true: bool) -> str:
    return word("yes" if true else "no")


def _beside(name: str) -> dict[str, bool]:
    made = kind(name)
    return {each: issubclass(made, protocol) for each, protocol in BESIDE}


def _spoken(budget: Budget) -> str:
    """`上传图片 · uploads: 30 in 1800 s · kept for releases 5 · counts POST .*/media`."""
    within = word("a day in China") if budget.china_day else f"{budget.seconds} s"
    parts = [f"{budget.name}: {budget.calls} / {within}"]
    if budget.reserve:
        parts.append(f"{word('kept for releases')} {budget.reserve}")
    parts.append(f"{word('counts')} {budget.of or word('every call')}")
    if budget.reads:
        parts.append(word("and anonymous reads"))
    return " · ".join(parts)


def _help(setting: Setting) -> str:
    return help_word(setting.help_zh, setting.help_en)


def _described(name: str, can: Capabilities) -> dict[str, Any]:
    return {
        "kind": name,
        "reveal": can.reveal.value,
        "probe": can.probe.value,
        "lands_within_s": can.lands_within,
        "fresh_for_s": can.fresh_for,
        "polls_s": list(can.polls),
        "address_known": can.address,
        "correct": can.correct.value,
        "withdraw": can.withdraw,
        "optional": can.optional,
        **_beside(name),
        "settings": [
            {
                "name": one.name,
                "required": one.required,
                "secret": one.secret,
                "default": one.default,
                "zh": one.help_zh,
                "en": one.help_en,
            }
            for one in can.settings
        ],
        "limits": dict(can.limits),
        "budgets": [
            {
                "name": one.name,
                "calls": one.calls,
                "seconds": one.seconds,
                "china_day": one.china_day,
                "reserve": one.reserve,
                "of": one.of,
                "reads": one.reads,
            }
            for one in can.budgets
        ],
    }
