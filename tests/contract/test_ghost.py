"""What is peculiar to the Ghost channel: each trap of the outlet, against its sandbox."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from channels.ghost import GhostChannel
from channels.ghost_rules import PICTURE_LIMIT
from sync.clock import SECOND
from sync.contract import (
    Misbehaved,
    Place,
    Receipt,
    Rejected,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import Asset, AssetRole, Edition, Outlet, Problem, sha256
from tests.contract.bench import CLOCK, window
from tests.contract.bench_ghost import BLOBS, COVER, EDITION, OTHER, POSTS, SITE, GhostBench, bench, picture
from tests.contract.ghost_site import CANONICAL, Client, Delivery, fired, matches, queries, where


@pytest.fixture
def ghost(tmp_path: Path) -> Iterator[GhostBench]:
    with bench(tmp_path) as made:
        yield made


@pytest.fixture
def colleague(ghost: GhostBench) -> Iterator[Client]:
    """Somebody at the same site, by another client."""
    made = Client(ghost.sandbox, SITE)
    yield made
    made.close()


@pytest.fixture
def delivery(ghost: GhostBench) -> Delivery:
    return Delivery(ghost)


# what reaches the page


def test_everything_of_the_item_survives_the_conversion(delivery: Delivery, colleague: Client) -> None:
    """Table, pictures, list, caption, language and mark stand on the page as they were approved."""
    receipt = delivery.publish()
    matches(delivery.verify(receipt))
    page = colleague.see(receipt.url).text
    assert f"{colleague.home}/{delivery.slug}/" == receipt.url
    assert '<th scope="col">站点</th>' in page and "<td></td>" in page and 'alt="线路图"' in page
    assert "关于开通 &lt;12路&gt; 乡村公交环线的通告 &amp; 说明</h1>" in page


def test_attachments_lead_to_the_canonical_page(delivery: Delivery, colleague: Client) -> None:
    """An integration can upload none: named with their size, linked, and told to the editor beforehand."""
    page = colleague.see(delivery.publish().url).text
    assert f'<a href="{CANONICAL}?ref=127.0.0.1">时刻表.pdf</a> (9 B)' in page
    assert f'<a href="{CANONICAL}?ref=127.0.0.1">时刻表</a>' in page
    (problem,) = delivery.ghost.channel().check(EDITION)
    assert ("attachments", False) == (problem.where, problem.fatal)


@pytest.mark.parametrize("setting", ["tagged", "untagged"])
def test_links_that_the_site_tags_are_known_again(delivery: Delivery, setting: str) -> None:
    """`?ref=` behind links out of the site is Ghost's own, whether the site does it or not; anything else shows."""
    delivery.ghost.sandbox.knob(setting)
    receipt = delivery.publish()
    matches(delivery.verify(receipt))
    delivery.ghost.sandbox.knob("alter", replace=["no=12", "no=13"])
    assert {"link"} == where(delivery.verify(receipt))


def test_wide_pictures_are_recognised_when_the_site_scales_them(ghost: GhostBench) -> None:
    """Another size, the same picture."""
    wide = picture("a wide one", size=(2400, 600))
    BLOBS[sha256(wide)] = wide
    asset = Asset(sha256(wide), "image/png", len(wide), "wide.png", AssetRole.IMAGE, "宽图")
    body = f'<p>图：<img src="asset:{asset.digest}" alt="宽图"></p>'
    delivery = Delivery(ghost, replace(EDITION, body=body, assets=(asset,)))
    matches(delivery.verify(delivery.publish()))


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ('alt="线路图"', 'alt="线路圆"', "text"),
        ("06:30。", "06:31。", "text"),
        ("&lt;12路&gt;", "&lt;13路&gt;", "title"),
        ("(9 B)", "(8 B)", "text"),
        ("18号", "19号", "text"),
    ],
)
def test_a_change_anywhere_is_seen(delivery: Delivery, before: str, after: str, kind: str) -> None:
    """Descriptions of pictures, the summary in the head, title, attachments and number count like the text."""
    receipt = delivery.publish()
    delivery.ghost.sandbox.knob("alter", replace=[before, after])
    assert kind in where(delivery.verify(receipt))


def test_a_swapped_cover_alone_is_seen(delivery: Delivery, colleague: Client) -> None:
    """It is no part of the text, and readers see it first."""
    receipt = delivery.publish()
    url = colleague.upload("other.png", OTHER).json()["images"][0]["url"]
    colleague.saved(colleague.read(receipt.ref), feature_image=url)
    assert {"image"} == where(delivery.verify(receipt))
    colleague.saved(colleague.read(receipt.ref), feature_image=None)
    assert {"image"} == where(delivery.verify(receipt))


def test_a_paragraph_added_in_the_editor_is_seen(delivery: Delivery, colleague: Client) -> None:
    """Beside the article, not in it."""
    receipt = delivery.publish()
    post = colleague.read(receipt.ref)
    document = json.loads(post["lexical"])
    document["root"]["children"].append({"type": "paragraph", "children": [{"text": "另行通知"}]})
    colleague.saved(post, lexical=json.dumps(document))
    (problem,) = delivery.verify(receipt).problems
    assert "另行通知" in problem.message


def test_reading_back_never_asks_the_api(delivery: Delivery) -> None:
    """What the public sees, without our key."""
    receipt = delivery.publish()
    before = len(delivery.ghost.sandbox.record())
    matches(delivery.verify(receipt))
    paths = [line["path"] for line in delivery.ghost.sandbox.record()[before:]]
    assert paths and not [path for path in paths if "/ghost/api/" in path]


def test_a_reader_who_gets_no_page_learns_nothing(delivery: Delivery) -> None:
    """An error of the server is no absence, and its time is meant for this page: others are read meanwhile."""
    receipt = delivery.publish()
    delivery.ghost.sandbox.knob("refuse", path=f"/{SITE}/{delivery.slug}/", status=503, headers={"Retry-After": "7"})
    with pytest.raises(TryLater) as caught:
        delivery.verify(receipt)
    assert (True, None) == (caught.value.not_before is not None, caught.value.of)


def test_a_picture_that_cannot_be_read_is_a_problem(delivery: Delivery) -> None:
    """Whatever the reason, the page is visible."""
    receipt = delivery.publish()
    for fault in ("refuse", "drop_request"):
        delivery.ghost.sandbox.knob(fault, path=f"/{SITE}/content/*", times=0, status=404)
        sighting = delivery.verify(receipt)
        assert (True, True) == (sighting.visible, "image" in where(sighting))
        delivery.ghost.sandbox.clear()


# the empty body


def test_html_that_is_not_taken_as_the_source_is_noticed_before_anything_is_public(delivery: Delivery) -> None:
    """Ghost answers 201 and keeps an empty body: read back, refused, the draft removed."""
    delivery.ghost.sandbox.knob("no_source")
    with pytest.raises(Rejected, match="altered"):
        delivery.prepare()
    assert 0 == delivery.ghost.hidden_things()


def test_a_conversion_that_loses_the_table_is_noticed_before_anything_is_public(delivery: Delivery) -> None:
    """For the editor, naming what is missing."""
    delivery.ghost.sandbox.knob("no_cards")
    with pytest.raises(Rejected, match="cell"):
        delivery.prepare()
    assert 0 == delivery.ghost.hidden_things()


def test_an_empty_body_on_the_page_is_seen(delivery: Delivery, colleague: Client) -> None:
    """The title is public: visible, and not what was approved."""
    receipt = delivery.publish()
    colleague.saved(colleague.read(receipt.ref), lexical=json.dumps({"root": {"children": []}}))
    sighting = delivery.verify(receipt)
    assert (True, {"text"}) == (sighting.visible, where(sighting))


# newsletters


def test_nothing_is_ever_mailed(delivery: Delivery) -> None:
    """No request carries a newsletter, whatever happens to a post; the sandbox would mail and record it."""
    receipt = delivery.publish()
    correction = Delivery(delivery.ghost, delivery.ghost.corrected, receipt)
    changed = correction.publish()
    delivery.ghost.channel().withdraw(changed, delivery.ghost.key())
    record = delivery.ghost.sandbox.record()
    assert {"post_published", "post_edited", "post_unpublished"} <= {line["effect"] for line in record}
    assert [] == [query for query in queries(delivery.ghost) if "newsletter" in query or "email" in query]
    assert [] == [line for line in record if "mailed" in line["detail"]]


# keys


@pytest.mark.parametrize("key", ["", "town", ":ab", "town:", "town:secret"])
def test_what_is_no_key_is_told_without_asking(ghost: GhostBench, key: str) -> None:
    """Nothing is sent, and the message repeats nothing of it."""
    before = len(ghost.sandbox.record())
    with pytest.raises(Unauthorised) as caught:
        ghost.channel(admin_api_key=key).prepare(ghost.render(ghost.key()), ghost.key())
    assert len(ghost.sandbox.record()) == before and "secret:" not in str(caught.value)


def test_a_revoked_key_is_for_the_operator(delivery: Delivery) -> None:
    """At login, and at the instant, where nothing becomes public."""
    shot = delivery.arm(delivery.prepare())
    delivery.ghost.sandbox.knob("revoke")
    with pytest.raises(Unauthorised):
        delivery.ghost.channel().login()
    with pytest.raises(Unauthorised):
        fired(shot)
    assert 0 == delivery.ghost.public_copies()


@pytest.mark.parametrize("code", ["INVALID_JWT", "MISSING_ADMIN_API_KID"])
def test_a_malformed_token_is_for_the_operator_too(delivery: Delivery, code: str) -> None:
    """Ghost says 400, not 401; any other 400 is about the content."""
    shot = delivery.arm(delivery.prepare())
    for said, kind in ((code, Unauthorised), ("OTHER", Rejected)):
        error = {"errors": [{"type": "BadRequestError", "code": said, "message": "x"}]}
        delivery.ghost.sandbox.knob("refuse", status=400, json=error, path="*/ghost/api/*")
        with pytest.raises(kind):
            delivery.ghost.channel().login()
    delivery.ghost.sandbox.knob("refuse", status=400, method="PUT", json={"errors": [{"code": code}]})
    with pytest.raises(Unauthorised):
        fired(shot)


def test_a_clock_that_is_minutes_behind_is_for_the_operator(ghost: GhostBench) -> None:
    """The server takes no token of the past."""
    ghost.channel().login()
    ghost.sandbox.knob("skew", seconds=400)
    with pytest.raises(Unauthorised):
        ghost.channel().login()


def test_a_token_that_grew_old_while_armed_is_signed_anew(delivery: Delivery) -> None:
    """Arming may be ten minutes ahead, a token lasts five."""
    prepared = delivery.prepare()
    ago = [600 * SECOND]
    tools = replace(delivery.ghost.tools, now=lambda: CLOCK.now() - ago[0])
    delivery.ghost.sandbox.knob("skew", seconds=-600)
    shot = GhostChannel(delivery.ghost.outlet, tools).arm(prepared, delivery.rendition, delivery.key)
    delivery.ghost.sandbox.clear()
    ago[0] = 0
    with pytest.raises(TryLater):
        shot.send(window(), CLOCK.boottime)
    shot.check()
    fired(shot)
    assert 1 == delivery.ghost.public_copies()


# addresses


def test_an_address_that_redirects_is_named_and_never_followed(delivery: Delivery) -> None:
    """http, or the domain of the pages: 301 would make a GET of it. At the instant nothing becomes public."""
    prepared = delivery.prepare()
    shot = delivery.arm(prepared)
    delivery.ghost.sandbox.knob("moved", to="https://admin.example/x?token=1")
    acts: list[Callable[[], object]] = [
        delivery.ghost.channel().login,
        delivery.prepare,
        lambda: delivery.arm(prepared),
        lambda: fired(shot),
        lambda: delivery.probe(prepared),
        lambda: delivery.ghost.channel().withdraw(Receipt(prepared.ref, "", 0), delivery.key),
    ]
    for act in acts:
        with pytest.raises(Unauthorised, match=r"base_url.*https://admin\.example") as caught:
            act()
        assert "token" not in str(caught.value)
    assert 0 == delivery.ghost.public_copies()


def test_every_path_ends_with_a_slash(delivery: Delivery) -> None:
    """Whatever is done: without it the server redirects."""
    receipt = delivery.publish()
    Delivery(delivery.ghost, delivery.ghost.corrected, receipt).publish()
    delivery.ghost.channel().login()
    delivery.ghost.channel().withdraw(receipt, delivery.key)
    paths = {line["path"] for line in delivery.ghost.sandbox.record() if "/ghost/api/" in line["path"]}
    assert len(paths) > 3 and all(path.endswith("/") for path in paths)


@pytest.mark.parametrize("suffix", ["/", "/ghost", "/ghost/"])
def test_the_address_of_the_back_office_will_do(ghost: GhostBench, suffix: str) -> None:
    """People copy it from there."""
    settings = {"base_url": ghost.outlet.settings["base_url"] + suffix}
    GhostChannel(replace(ghost.outlet, settings=settings), ghost.tools).login()


def test_a_page_that_says_404_is_no_absence(delivery: Delivery) -> None:
    """Only Ghost itself can say that there is no such post: an error page is nobody's word."""
    prepared = delivery.prepare()
    settings = {"base_url": f"{delivery.ghost.sandbox.address}/{SITE}/elsewhere"}
    elsewhere = GhostChannel(replace(delivery.ghost.outlet, settings=settings), delivery.ghost.tools)
    with pytest.raises(Unauthorised, match="no Ghost answers at base_url"):
        elsewhere.login()
    with pytest.raises(Unauthorised, match="base_url"):
        elsewhere.withdraw(Receipt(prepared.ref, "", 0), delivery.key)
    with pytest.raises(Unauthorised, match="base_url"):
        elsewhere.probe(delivery.rendition, delivery.key, prepared)


def test_a_log_in_page_is_no_answer(delivery: Delivery) -> None:
    """200 with HTML: at the instant it may have happened; elsewhere it is an error, never an absence."""
    prepared = delivery.prepare()
    shot = delivery.arm(prepared)
    delivery.ghost.sandbox.knob("login_page", method="PUT")
    with pytest.raises(Misbehaved):
        fired(shot)
    delivery.ghost.sandbox.knob("login_page", method="GET", path=POSTS)
    with pytest.raises(Misbehaved):
        delivery.probe(prepared)
    assert prepared == delivery.probe(prepared)


@pytest.mark.parametrize("answer", [{}, {"posts": {}}, {"posts": []}, {"posts": [{"id": "1"}]}, []])
def test_an_answer_of_another_shape_is_ambiguous_at_the_instant(delivery: Delivery, answer: object) -> None:
    """It was taken, and nobody knows as what."""
    shot = delivery.arm(delivery.prepare())
    delivery.ghost.sandbox.knob("error_body", method="PUT", applied=True, json=answer)
    with pytest.raises(Misbehaved):
        fired(shot)
    assert isinstance(delivery.probe(None), Receipt)


def test_an_old_server_is_told_at_login(ghost: GhostBench) -> None:
    """By its version, or by its own refusal of ours."""
    ghost.sandbox.knob("refuse", status=200, json={"site": {"version": "4.48"}}, path="*/site/")
    with pytest.raises(Unsupported, match=r"4\.48"):
        ghost.channel().login()
    ghost.sandbox.knob("refuse", status=406, json={"errors": [{"type": "RequestNotAcceptableError"}]})
    with pytest.raises(Unsupported):
        ghost.channel().login()


# twin, preview, problems


def test_the_twin_keeps_nothing_of_the_configured_host(ghost: GhostBench) -> None:
    """Address and key replaced, never live."""
    settings, secrets = {"base_url": "https://real.example"}, {"admin_api_key": "real:00"}
    real = Outlet("town", "unit", "ghost", settings, secrets, live=True)
    twin = GhostChannel.twin(real, "http://127.0.0.1:1", "/tmp/x")
    assert {"base_url": "http://127.0.0.1:1/town"} == dict(twin.settings)
    assert "real" not in str(dict(twin.secrets)) and ghost.outlet.secrets == twin.secrets
    assert (False, True, "town") == (twin.live, twin.private_network, twin.name)


def test_the_preview_is_a_page_with_its_pictures(delivery: Delivery) -> None:
    """Offline: what it shows is beside it."""
    files = delivery.ghost.channel().preview(delivery.rendition)
    page = files["article.html"].decode()
    assert "article.html" == next(iter(files))
    assert 4 == len(files) and all(f'src="{name}"' in page for name in files if name != "article.html")
    assert COVER in files.values() and "&lt;12路&gt;" in page and "asset:" not in page


def test_a_picture_that_cannot_be_made_ready_is_for_the_editor(delivery: Delivery) -> None:
    """Told by check, and never uploaded."""
    broken = Asset(sha256(b"x"), "image/bmp", 1, "x.bmp", AssetRole.IMAGE, "x")
    BLOBS[broken.digest] = b"x"
    body = f'<p>图<img src="asset:{broken.digest}" alt="x"></p>'
    other = Delivery(delivery.ghost, replace(EDITION, body=body, assets=(broken,)))
    with pytest.raises(Rejected, match=r"x\.bmp"):
        other.prepare()
    assert 0 == delivery.ghost.hidden_things()


def test_problems_are_told_before_anything_is_sent(ghost: GhostBench) -> None:
    """What is fatal, and what is only changed."""
    drawing = Asset("1" * 64, "image/svg+xml", 9, "a.svg", AssetRole.IMAGE, "x")
    cover = replace(EDITION.assets[2], alt="字" * 192)
    edition = replace(EDITION, title="题" * 256, metadata={"summary": "字" * 301}, assets=(drawing, cover))
    found = ghost.channel().check(replace(edition, body="<p>文</p>"))
    assert {("title", True), ("summary", False), ("a.svg", True), ("cover.png", False)} == set(map(place, found))
    (empty,) = ghost.channel().check(Edition("i", 1, "题", " "))
    assert ("body", True) == place(empty)
    (stray,) = ghost.channel().check(Edition("i", 1, "题", "<p>文</p><pre>x</pre>"))
    assert ("body", True) == place(stray)
    assert [("title", True), ("body", True)] == list(map(place, ghost.channel().check(Edition("i", 1, " ", ""))))


def test_large_pictures_are_reduced_and_animated_ones_refused(ghost: GhostBench) -> None:
    """The first is only told; an animation cannot be made smaller without loss."""
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 200)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    moving = Asset(sha256(file.getvalue()), "image/gif", PICTURE_LIMIT, "moving.gif", AssetRole.IMAGE, "动图")
    still = replace(EDITION.assets[0], size=PICTURE_LIMIT)
    BLOBS[moving.digest] = file.getvalue()
    found = ghost.channel().check(Edition("i", 1, "题", "<p>文</p>", {}, (moving, still)))
    assert [("moving.gif", True), ("route.png", False)] == list(map(place, found))
    assert [] == ghost.channel().check(Edition("i", 1, "题", "<p>文</p>", {}, (EDITION.assets[0],)))


def place(problem: Problem) -> tuple[str, bool]:
    return problem.where, problem.fatal


def test_files_need_a_canonical_page_to_lead_to(ghost: GhostBench) -> None:
    """Without one a link in the text leads nowhere: said when it is rendered."""
    with pytest.raises(Unsupported, match="canonical"):
        ghost.channel().render(EDITION, Place(ghost.key(), None))
