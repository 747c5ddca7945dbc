"""Templates of an installation's own: what is published by them, and how a broken or misnamed one is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import Door, refused
from tests.acceptance.installation import Installation, running, write_item
from tests.acceptance.mode import Mode

OWN = "{{ title }}\n\n{{ lead }}\n\n——清溪镇发布\n"
BROKEN = {  # what is written → what is said of it, and in which line
    "a sentence that never ends": ("{{ title }}\n{% if lead %}\n{{ lead }}\n", "endif", 3),
    "a name that there is not": ("{{ title }}\n\n{{ titel }}\n", "'titel' is undefined", 3),
    "a figure added to a text": ("{{ title }}\n{{ lead + 1 }}\n", "int", 2),
    "a filter that there is not": ("{{ title | upper_case }}\n", "upper_case", 1),
    "a file of ours that it breaks": ("{% extends 'mastodon/none.txt' %}\n", "mastodon/none.txt", 1),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, mode: Mode) -> Iterator[Installation]:
    with running(
        tmp_path_factory.mktemp("templates"), mode=mode, outlets={"mastodon": "mastodon", "site": "website"}
    ) as made:
        yield made


@pytest.fixture
def own(installed: Installation) -> Iterator[Path]:
    """The template that stands in for Mastodon's, not there yet; gone again after the test."""
    path = installed.home / "templates" / "mastodon" / "status.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def published(installed: Installation, folder: Path, title: str) -> str:
    """The text that the outlet received."""
    told = installed.run("publish", write_item(folder, title), "--outlets", "mastodon", "--wait", "--json")
    assert (0, "verified") == (told.code, told.json["deliveries"][0]["state"]), told.out + told.err
    texts = [line["detail"]["text"] for line in installed.record("mastodon") if line["effect"] == "post_created"]
    (text,) = [text for text in texts if text.startswith(title)]
    return str(text)


def test_an_own_template_is_published_by_as_it_is_now(installed: Installation, own: Path, tmp_path: Path) -> None:
    """By workers that run already: the shipped one, then one's own, then that changed, then the shipped one again."""
    assert "——" not in published(installed, tmp_path / "a", "关于甲的通告")
    own.write_text(OWN)
    lead = "环线试运行，首班 06:30，票价 1 元。"
    assert f"关于乙的通告\n\n{lead}\n\n——清溪镇发布" == published(installed, tmp_path / "b", "关于乙的通告")
    own.write_text(OWN.replace("清溪镇发布", "清溪镇人民政府"))
    assert published(installed, tmp_path / "c", "关于丙的通告").endswith("——清溪镇人民政府")
    own.unlink()
    assert "——" not in published(installed, tmp_path / "d", "关于丁的通告")


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_template_is_refused_before_anything_is_planned(
    installed: Installation, own: Path, tmp_path: Path, fault: str
) -> None:
    """File and line, what is wrong, and the mend; nothing is stored. A preview says the same."""
    text, says, line = BROKEN[fault]
    own.write_text(text)
    item, where = write_item(tmp_path, f"关于{fault}的通告"), f"templates/mastodon/status.txt:{line}"
    mend = "mend that line"
    refused(Door(installed), "publish", item, "--outlets", "mastodon", where=where, says=says, mend=mend)
    told = installed.run("preview", item, "--outlet", "mastodon", "--out", tmp_path / "preview", "--json")
    (problem,) = [one for one in told.json["outlets"][0]["problems"] if one["fatal"]]
    assert 2 == told.code
    assert where in problem["where"] and says in problem["message"]


def test_a_broken_list_is_refused_before_anything_is_planned(installed: Installation, tmp_path: Path) -> None:
    """Though only the home page, which follows the item, is made by it. A preview says the same."""
    own = installed.home / "templates" / "website" / "home.html"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("<ul>\n{% for entry in newest %}\n<li>{{ entry.titel | upper }}</li>\n{% endfor %}\n</ul>\n")
    try:
        item, where = write_item(tmp_path, "关于首页的通告"), f"{own}:3"
        says, mend = "has no attribute 'titel'", "mend that line"
        refused(Door(installed), "publish", item, "--outlets", "site", where=where, says=says, mend=mend)
        told = installed.run("preview", item, "--outlet", "site", "--out", tmp_path / "preview", "--json")
        (problem,) = [one for one in told.json["outlets"][0]["problems"] if one["fatal"]]
        assert (2, True) == (told.code, where in problem["where"] and says in problem["message"])
    finally:
        own.unlink()


def test_a_template_in_another_encoding_is_refused(installed: Installation, own: Path, tmp_path: Path) -> None:
    """As editors of another age save it."""
    own.write_bytes("{{ title }}——清溪镇发布".encode("gbk"))
    item = write_item(tmp_path, "关于编码的通告")
    where, says = "mastodon/status.txt", "not UTF-8"
    refused(Door(installed), "publish", item, "--outlets", "mastodon", where=where, says=says, mend="save it as UTF-8")


def test_the_doctor_tells_of_broken_and_misnamed_files(installed: Installation, own: Path) -> None:
    """With the line, and with the name that was meant; a file that an own template includes is none of them."""
    own.write_text("{% include 'mastodon/sign.txt' %}\n{{ title }}\n")
    (own.parent / "sign.txt").write_text("清溪")
    (own.parent / "staus.txt").write_text(OWN)
    try:
        found = [one for one in installed.run("doctor", "--json").json["findings"] if one["check"] == "templates"]
        assert [("note", str(own.parent / "staus.txt"))] == [(one["level"], one["message"].split()[0]) for one in found]
        assert "did you mean mastodon/status.txt?" in found[0]["mend"]
        own.write_text("{{ title }}\n{% endif %}\n")
        found = [one for one in installed.run("doctor", "--json").json["findings"] if one["check"] == "templates"]
        assert ("bad", True) == (found[0]["level"], f"{own}:2" in found[0]["message"])
    finally:
        for name in ("sign.txt", "staus.txt"):
            (own.parent / name).unlink()
