"""What an outlet shows is compared with what was approved, and any difference is told: one changed digit suffices.

One release to a dozen outlets, each of which shows the public something else. In the end all behave again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sync.flow import R
from tests.acceptance.forks import Result
from tests.acceptance.installation import Installation, assert_done, running, write_item
from tests.acceptance.mode import Mode

ONE_MORE = b"%"  # a byte that no reader of the PDF would notice
SERVERS = {"website": "pages", "gazette": "pages", "wechat": "wechat", "mastodon": "mastodon"}
PLANTED = {
    "digit": ("alter", {"replace": ["06:30", "06:31"]}),
    "cell": ("drop_cell", {}),
    "picture": ("swap_picture", {}),
}
SHOWN = {  # what of these each kind of outlet shows at all
    "website": ("digit", "cell", "picture"),
    "gazette": ("digit", "cell", "picture"),
    "wechat": ("digit", "cell", "picture"),
    "mastodon": ("digit", "picture"),
}
CHANGED = {f"{kind}-{change}": (kind, change) for kind, changes in SHOWN.items() for change in changes}
TOLD = {  # where the problem is, and what of it is named
    "digit": ({"text", "cell"}, "06:31"),
    "cell": ({"cell"}, ""),
    "picture": ({"image"}, ""),
}


@dataclass(frozen=True)
class Altered:
    """The release, as `--wait` told it when time was up."""

    installed: Installation
    result: Result

    @property
    def deliveries(self) -> dict[str, dict[str, Any]]:
        return {one["outlet"]: one for one in self.result.json["deliveries"]}


@pytest.fixture(scope="module")
def altered(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[Altered]:
    """The outlets are named after what they do; `faithful` and `gazette-pdf` begin without a knob."""
    folder = tmp_path_factory.mktemp("altered")
    outlets = {"faithful": "website", **{name: kind for name, (kind, _) in CHANGED.items()}, "gazette-pdf": "gazette"}
    with running(folder, mode=mode, outlets=outlets) as installed:
        for name, (kind, change) in CHANGED.items():
            fault, given = PLANTED[change]
            # In an account by its name; of static sites only the article, so that lists stay readable.
            installed.knob(SERVERS[kind], fault, account=name, **given)
        item = write_item(folder / "item", "回读核验的通告")
        names = ("--outlets", ",".join(outlets))
        planned = assert_done(installed.run("publish", item, *names, "--at", installed.soon(3), "--json")).json[
            "release"
        ]
        # Until it is committed an altered file is found in time, and prepared again.
        installed.until(planned, lambda report: report["state"] == R.COMMITTED)
        (pdf,) = installed.served("gazette-pdf").glob("files/*/*.pdf")
        pdf.write_bytes(pdf.read_bytes() + ONE_MORE)
        yield Altered(installed, installed.run("release", "show", planned, "--wait", "40", "--json"))


def test_the_command_says_that_not_everything_is_as_approved(altered: Altered) -> None:
    """Exit 4, though everything is public; the outlet that shows it faithfully is verified."""
    assert (4, "released") == (altered.result.code, altered.result.json["state"])
    assert {"faithful"} == {name for name, one in altered.deliveries.items() if one["match"]}
    assert "verified" == altered.deliveries["faithful"]["state"]


@pytest.mark.parametrize("outlet", CHANGED)
def test_a_planted_change_is_told(altered: Altered, outlet: str) -> None:
    """`match` is false, and a problem says where."""
    one = altered.deliveries[outlet]
    where, named = TOLD[CHANGED[outlet][1]]
    assert ("released", False) == (one["state"], one["match"])
    assert any(problem["where"] in where and named in problem["message"] for problem in one["problems"]), one[
        "problems"
    ]


def test_a_pdf_that_differs_in_one_byte_is_told(altered: Altered) -> None:
    """The page is the approved one, the file for keeping is not."""
    one = altered.deliveries["gazette-pdf"]
    assert ("released", False) == (one["state"], one["match"])
    assert any("PDF" in problem["message"] for problem in one["problems"]), one["problems"]


def test_once_the_outlets_show_it_as_approved_it_is_verified(altered: Altered) -> None:
    """Nobody has to do anything: it is read again, and exit 0 follows."""
    release = altered.result.json["release"]
    altered.installed.clear()
    (pdf,) = altered.installed.served("gazette-pdf").glob("files/*/*.pdf")
    pdf.write_bytes(pdf.read_bytes().removesuffix(ONE_MORE))
    altered.installed.until(release, lambda report: {"verified"} == {one["state"] for one in report["deliveries"]})
    shown = altered.installed.run("release", "show", release, "--wait", "--json")
    assert 0 == shown.code
    assert {(True, 0)} == {(one["match"], len(one["problems"])) for one in shown.json["deliveries"]}
