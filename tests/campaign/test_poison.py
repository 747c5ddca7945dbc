"""T-16 and T-17, quick form: a few kinds of each, and that what must not be is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.wechat_api import WechatApi
from sync import confine
from sync.contract import OutletError
from tests.campaign import poison, poisons
from tests.campaign.poison import KINDS
from tests.campaign.town import databases

NUMBERS = {name: number for number, (name, *_) in enumerate(KINDS)}
QUICK = (
    "a page too large",
    "YAML that repeats itself",
    "divisions in divisions",
    "no text at all",
    "JSON in JSON",
    "half characters",
    "entities in entities",
    "a zip that is cut off",
    "styles in a circle",
    "png of 3.6 gigapixels, beside a text",
    "jpeg that is cut off, in a Word document",
    "postscript, beside a text",
    "the reader overflow",
    "the reader recurses_in_python",
    "the reader promises_gigabytes",
    "the reader writes_everywhere",
    "the decoder aborts",
    "the decoder talks_nonsense",
    "the typesetter kills_itself",
)


@pytest.fixture(scope="module")
def database() -> Iterator[Path]:
    with databases() as made:
        yield made


def test_there_are_sixty_kinds_and_more() -> None:
    assert len(KINDS) == len(NUMBERS) >= 60


@pytest.mark.parametrize("name", QUICK)
def test_it_harms_nobody(database: Path, name: str) -> None:
    counts = poison.poison(database, NUMBERS[name])
    assert counts["refused"] or counts["parked"] or counts["harmless"]


def passes(value: Any, parts: list[bytes], ask: Any) -> tuple[Any, list[bytes]]:
    """A decoder that sees nothing."""
    return {"media_type": "image/jpeg"}, []


def test_a_decoder_that_sees_nothing_is_seen(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poisons, "ends", passes)
    whole = confine.run

    def run(function: str, *given: Any, **more: Any) -> Any:
        return passes(None, [], None) if function.endswith(":ends") else whole(function, *given, **more)

    monkeypatch.setattr(confine, "run", run)
    with pytest.raises(AssertionError, match="it was read"):
        poison.poison(database, NUMBERS["the decoder ends"])


def test_tokens_end_and_nothing_is_lost(database: Path) -> None:
    seen: Counter[str] = Counter()
    for case in (0, 1, 3, 4, 5, 7, 10, 11):
        seen.update(poison.credentials(database, case))
    assert seen["troubles"] == 8
    assert seen["killed"] and seen["racers"]
    assert not any(seen[one] for one in ("lost", "duplicate", "early"))


def test_who_forces_a_new_token_each_time_is_seen(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def renew(api: WechatApi) -> None:
        api._token = api._ask_token(force=True).value

    monkeypatch.setattr(WechatApi, "_renew", renew)
    with pytest.raises((AssertionError, OutletError)):
        for case in (5, 11, 17):
            poison.credentials(database, case)
