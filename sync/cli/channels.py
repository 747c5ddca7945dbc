"""`tongfa channel …`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sync.bootstrap import kinds
from sync.cli.given import capabilities
from sync.cli.output import Json, document, group, help_word, say, show_pairs, show_table, tick, word
from sync.contract import Capabilities

channel = group("渠道 kinds of outlets")


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
    """Settings, capabilities and limits of one kind."""
    can = capabilities(name)
    if json:
        document(_described(name, can))
        return
    undo = word("yes") if can.withdraw else word("no")
    show_pairs({"kind": name, "reveal": can.reveal, "probe": can.probe, "corrects": can.correct, "withdraws": undo})
    for limit, value in can.limits.items():
        show_pairs({"limit": f"{limit} {value}"})
    say("")
    show_table(
        ("setting", "required", "secret", "default", "meaning"),
        [
            (one.name, tick(one.required or None), tick(one.secret or None), one.default, _help(one))
            for one in can.settings
        ],
    )


def _help(setting: Any) -> str:
    return help_word(setting.help_zh, setting.help_en)


def _described(name: str, can: Capabilities) -> dict[str, Any]:
    return {
        "kind": name,
        "reveal": can.reveal.value,
        "probe": can.probe.value,
        "lands_within_s": can.lands_within,
        "fresh_for_s": can.fresh_for,
        "address_known": can.address,
        "correct": can.correct.value,
        "withdraw": can.withdraw,
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
    }
