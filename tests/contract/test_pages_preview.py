"""What a preview of a page of ours tries beside the page: the lists, by the templates that an installation has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from channels.gazette import GazetteChannel
from channels.static import StaticChannel
from channels.website import WebsiteChannel
from sync.contract import Place, Receipt, Tools
from sync.model import BadInput, Key, Outlet, Rendition
from sync.render import FOLDER, Templates
from tests.contract.bench import CLOCK
from tests.contract.sites import BLOBS, edition, tools

KEY = Key("preview", "town")
LISTS: Mapping[str, type[StaticChannel]] = {
    "website/column.html": WebsiteChannel,
    "website/home.html": WebsiteChannel,
    "website/list.html": WebsiteChannel,
    "website/feed.xml": WebsiteChannel,
    "website/atom.xml": WebsiteChannel,
    "website/sitemap.xml": WebsiteChannel,
    "website/sitemap_month.xml": WebsiteChannel,
    "gazette/index.html": GazetteChannel,
}


def channel(kind: type[StaticChannel], own: Path) -> StaticChannel:
    tried = Tools(tools().http, BLOBS.__getitem__, Templates(own=own), CLOCK.now)
    settings = {"directory": str(own / "www"), "base_url": "https://www.example.gov.cn", "formats": "html"}
    return kind(Outlet("town", "unit", kind.kind, settings), tried)


def rendered(made: StaticChannel, replaces: Receipt | None = None) -> Rendition:
    given = edition()
    return made.render(given, Place(KEY, made.address(given, KEY), replaces))


@pytest.mark.parametrize("template", LISTS)
def test_a_list_that_breaks_is_told_in_a_preview(tmp_path: Path, template: str) -> None:
    """Well written, and of no use with an item in it: file and line. Nothing was made anywhere."""
    own = tmp_path / "own"
    file = own / template
    file.parent.mkdir(parents=True)
    text = (FOLDER / template).read_text()
    # Where the shipped one shows an item's address or a list of them, one's own asks for what is not there.
    marks = ("entry.path", "entry.title", "month }}", "{% for", "{% macro")
    mark = next(one for one in marks if one in text)
    broken = text.replace(mark, {"month }}": "mnth }}", "{% for": "{{ mnth }}{% for"}.get(mark, f"{mark}.nowhere.to"))
    file.write_text(broken)
    made = channel(LISTS[template], own)
    assert [] == Templates(own=own).faults()
    with pytest.raises(BadInput) as told:
        made.preview(rendered(made))
    assert str(file) in told.value.where
    assert "模板用不了 · the template cannot be used" in told.value.message
    assert not (own / "www").exists()


def test_a_list_that_breaks_with_a_correction_is_told(tmp_path: Path) -> None:
    """What only a corrected item comes to is tried when one is shown."""
    file = tmp_path / "website" / "feed.xml"
    file.parent.mkdir()
    file.write_text(
        (FOLDER / "website/feed.xml").read_text() + "{% for one in items if one.changed %}{{ gone }}{% endfor %}"
    )
    made = channel(WebsiteChannel, tmp_path)
    made.preview(rendered(made))
    address = made.address(edition(), KEY) or ""
    with pytest.raises(BadInput, match="'gone' is undefined"):
        made.preview(rendered(made, Receipt(address.removeprefix("https://www.example.gov.cn/"), address, 0)))


@pytest.mark.parametrize("kind", [WebsiteChannel, GazetteChannel])
def test_lists_are_tried_and_not_handed_out(tmp_path: Path, kind: type[StaticChannel]) -> None:
    """A home page with one item in it would pass for the site's."""
    made = channel(kind, tmp_path)
    rendition = rendered(made)
    files = made.preview(rendition)
    assert rendition.fields["path"] == next(iter(files))
    assert not any(path.endswith((".xml", "index.html", "feed.json")) for path in files)
