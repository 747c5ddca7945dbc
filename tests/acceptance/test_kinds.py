"""`tongfa channel show` tells all that a kind declares, and what a kind does not know is refused with what it does."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sync.bootstrap import kind, kinds
from sync.contract import Announcer, Budget, Capabilities, Carrier, Expiring, Listener, Setting
from tests.acceptance.commands import Door, assert_refusal
from tests.acceptance.installation import Installation

# Every field of `Capabilities`, by its name in the document; a new one is missing here until it is shown.
SHOWN = {
    "reveal": "reveal",
    "probe": "probe",
    "lands_within": "lands_within_s",
    "settings": "settings",
    "fresh_for": "fresh_for_s",
    "address": "address_known",
    "correct": "correct",
    "withdraw": "withdraw",
    "polls": "polls_s",
    "limits": "limits",
    "budgets": "budgets",
    "optional": "optional",
}
BESIDE = {"announces": Announcer, "expires": Expiring, "listens": Listener, "carries": Carrier}
SETTING = {"name": "name", "help_zh": "zh", "help_en": "en"} | {
    name: name for name in ("required", "secret", "default")
}
EVERY = [(name, one) for name in kinds() for one in kind(name).can.settings]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Nothing is set up: what a kind can do is the program's own."""
    return Door(Installation(tmp_path_factory.mktemp("kinds") / "home"), columns=600)  # nothing is broken off


def test_no_field_is_forgotten() -> None:
    """What a channel can declare is in the tables above."""
    assert {one.name for one in fields(Capabilities)} == SHOWN.keys()
    assert {one.name for one in fields(Setting)} == SETTING.keys()


@pytest.mark.parametrize("name", kinds())
def test_all_that_a_kind_declares_is_in_the_document(door: Door, name: str) -> None:
    """Each field, each setting, each budget, and what the channel is beside, with their values."""
    made, told = kind(name), door.done("channel", "show", name)
    can = made.can
    for field, shown in SHOWN.items():
        if field not in ("settings", "budgets", "polls"):
            assert told[shown] == getattr(can, field)
    assert list(can.polls) == told["polls_s"]
    assert [{shown: getattr(one, field) for field, shown in SETTING.items()} for one in can.settings] == told[
        "settings"
    ]
    names = [one.name for one in fields(Budget)]
    assert [{field: getattr(one, field) for field in names} for one in can.budgets] == told["budgets"]
    # by the methods, not by the class: what the engine would be able to call
    methods = {"announces": "pings", "expires": "expires", "listens": "hear", "carries": "carry"}
    assert {each: hasattr(made, method) for each, method in methods.items()} == {each: told[each] for each in BESIDE}


@pytest.mark.parametrize("name", kinds())
def test_all_that_a_kind_declares_is_in_the_text(door: Door, name: str) -> None:
    """In both languages: each value, each setting with its meaning, each budget with what counts."""
    can = kind(name).can
    for lang in ("zh-CN", "en"):
        text = squeezed(door.run("channel", "show", name, TONGFA_LANG=lang).out)
        wanted = [str(can.reveal), str(can.correct), str(can.probe), f"{can.lands_within:g} s"]
        wanted += [f"{one:g} s" for one in (*can.polls, *filter(None, [can.fresh_for]))]
        wanted += [f"{limit} {value}" for limit, value in can.limits.items()]
        for budget in can.budgets:
            wanted += [f"{budget.name}: {budget.calls} / ", budget.of]
            wanted += [] if budget.china_day else [f"/ {budget.seconds} s"]
            wanted += [f"{RESERVED[lang]} {budget.reserve}"] if budget.reserve else []
        for one in can.settings:
            wanted += [one.name, one.default, one.help_zh if lang == "zh-CN" else one.help_en]
        assert [] == [one for one in wanted if squeezed(one) not in text], text


def squeezed(text: str) -> str:
    """Without white space: a terminal breaks lines where it likes."""
    return "".join(text.split())


RESERVED = {"zh-CN": "留给发布", "en": "kept for releases"}


@pytest.mark.parametrize(("name", "one"), EVERY, ids=[f"{name}-{one.name}" for name, one in EVERY])
def test_a_mistyped_setting_is_refused_with_the_name_that_was_meant(door: Door, name: str, one: Any) -> None:
    """Of every setting of every kind, with a letter left out: exit 2, and nothing was made."""
    known = {each.name for each in kind(name).can.settings}
    wrong = next(
        typo for at in range(len(one.name) - 1, 0, -1) if (typo := one.name[:at] + one.name[at + 1 :]) not in known
    )
    option = "--secret" if one.secret else "--set"
    told = f"did you mean {one.name}?"
    refusal = door.run("outlet", "add", "x", "--kind", name, option, f"{wrong}=y", "--json")
    assert_refusal(refusal, where=f"{option} {wrong}", says=name, mend=told)
    assert not Path(door.home).exists()


@pytest.mark.parametrize("name", [name for name in kinds() if any(one.secret for one in kind(name).can.settings)])
def test_a_mistyped_secret_given_as_a_setting_is_told_how_to_be_given(door: Door, name: str) -> None:
    """`--set acess_token=…` means a secret: the mend names it, with its option, and does not repeat the value."""
    meant = next(one.name for one in kind(name).can.settings if one.secret)
    wrong = meant[:1] + meant[2:]
    told = door.run("outlet", "add", "x", "--kind", name, "--set", f"{wrong}=hidden-value")
    assert 2 == told.code
    assert f"did you mean --secret {meant}=…?" in told.err
    assert "hidden-value" not in told.out + told.err
    assert not Path(door.home).exists()
