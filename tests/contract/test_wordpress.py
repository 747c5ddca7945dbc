"""What is peculiar to WordPress: the flip and its sixty seconds, twins, filters, files, caches, colleagues."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from channels.wordpress import WordpressChannel
from channels.wordpress_site import Site
from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    Prepared,
    Receipt,
    Rejected,
    Stale,
    Tools,
    TryLater,
    Unauthorised,
)
from sync.http import Http, Limits
from sync.model import Asset, AssetRole, Edition, Outlet, sha256
from tests.contract import sites
from tests.contract.bench import CLOCK, server, window
from tests.contract.bench_wordpress import CANONICAL, POSTS, Way, WordpressBench, bench

AWKWARD = replace(
    sites.edition(),
    title='“引号” "quotes" it\'s <Ende> & -- 3x4 [gallery] Wordpress',
    body="<p>\"a\" it's 9\" - b -- c ... 3x4 (tm) ``q'' [gallery] :) 8-) Wordpress &lt;script&gt; 1 &amp; 2</p>\n"
    "<p>https://video.example/watch</p>\n<p>[caption]</p>",
    assets=(),
)


@pytest.fixture
def wordpress(tmp_path: Path) -> Iterator[WordpressBench]:
    with bench(tmp_path) as made:
        yield made


# the flip


def test_the_date_that_readers_see_is_the_instant(wordpress: WordpressBench) -> None:
    """To the second, whenever the draft was made."""
    way, at = Way(wordpress), CLOCK.now() - 7 * SECOND
    way.send(way.prepare(), at)
    (line,) = wordpress.effects("published")
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // SECOND)) == line["detail"]["date"]


@pytest.mark.parametrize("seconds", [-400, -75, 400])
def test_a_site_with_another_clock_publishes_at_once(wordpress: WordpressBench, seconds: int) -> None:
    """A minute ahead of the site's clock would be "future": it is told its own time of the instant."""
    wordpress.sandbox.knob("clock", seconds=seconds)
    way = Way(wordpress)
    receipt = way.publish()
    assert () == way.verify(receipt).problems
    assert 1 == wordpress.public_copies()


def test_a_publish_that_became_future_is_not_public_and_is_mended(wordpress: WordpressBench) -> None:
    """HTTP 200 and the status "future": in doubt, nothing for a reader, and the next shot publishes it."""
    way = Way(wordpress)
    prepared = way.prepare()
    wordpress.sandbox.knob("clock", seconds=-75)
    with pytest.raises(Ambiguous, match="scheduled"):
        way.send(prepared)
    assert (0, 1) == (wordpress.public_copies(), len(wordpress.effects("scheduled")))
    assert prepared == way.probe(prepared)
    receipt = way.send(prepared)
    assert isinstance(receipt, Receipt)
    assert () == way.verify(receipt).problems


def test_a_planned_post_that_the_site_published_by_itself_is_found(wordpress: WordpressBench) -> None:
    """By a visit after its time; a shot that comes later still changes nothing."""
    way = Way(wordpress)
    prepared = way.prepare()
    wordpress.sandbox.knob("clock", seconds=-75)
    with pytest.raises(Ambiguous):
        way.send(prepared)
    wordpress.sandbox.clear()
    wordpress.tools.http.read(f"{wordpress.sandbox.address}/town/")
    found = way.probe(prepared)
    assert isinstance(found, Receipt)
    again = way.send(prepared, CLOCK.now() - SECOND)
    assert isinstance(again, Receipt)
    assert (found.url, 1, 1) == (again.url, wordpress.public_copies(), len(wordpress.effects("published")))


def test_a_plug_in_that_holds_posts_back_is_told(wordpress: WordpressBench) -> None:
    """The status "pending" is not public, and a matter of the site's rules."""
    wordpress.sandbox.knob("moderates")
    way = Way(wordpress)
    with pytest.raises(Unauthorised, match="pending"):
        way.send(way.prepare())
    assert 0 == wordpress.public_copies()


def test_slow_plug_ins_do_not_lose_the_post(wordpress: WordpressBench) -> None:
    """It is public while they run; the answer comes too late, and the probe has the receipt."""
    way = Way(wordpress)
    prepared = way.prepare()
    wordpress.sandbox.knob("slow_hooks", seconds=30)
    hasty = Http(private_network=True, now=CLOCK.now, limits=Limits(read=0.3, total=0.3))
    tools = Tools(hasty, sites.BLOBS.__getitem__, wordpress.tools.pages, CLOCK.now)
    shot = WordpressChannel(wordpress.outlet, tools).arm(prepared, way.rendition, way.key)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Ambiguous):
        shot.settle()
    found = way.probe(prepared)
    assert isinstance(found, Receipt)
    assert () == way.verify(found).problems
    hasty.close()


@pytest.mark.parametrize("status", [500, 502, 403])
def test_a_page_of_html_after_the_shot_is_doubt(wordpress: WordpressBench, status: int) -> None:
    """Database, proxy, firewall: none of them says whether WordPress did it. The page is not read as JSON."""
    way = Way(wordpress)
    prepared = way.prepare()
    wordpress.sandbox.knob("html_page", method="POST", path=f"{POSTS}/*", status=status)
    with pytest.raises(Ambiguous):
        way.send(prepared)
    assert prepared == way.probe(prepared)
    way.send(prepared)
    assert 1 == wordpress.public_copies()


def test_a_database_that_failed_is_doubt(wordpress: WordpressBench) -> None:
    """In WordPress's own words, and it does not know itself how much was written."""
    way = Way(wordpress)
    prepared = way.prepare()
    told = {"code": "db_update_error", "message": "Could not update post.", "data": {"status": 500}}
    wordpress.sandbox.knob("refuse", method="POST", path=f"{POSTS}/*", status=500, json=told)
    with pytest.raises(Ambiguous, match="db_update_error"):
        way.send(prepared)


def test_a_draft_that_was_deleted_under_the_shot_is_stale(wordpress: WordpressBench) -> None:
    """404 in WordPress's own words: certainly not public."""
    way = Way(wordpress)
    prepared = way.prepare()
    shot = wordpress.channel().arm(prepared, way.rendition, way.key)
    wordpress.colleague("DELETE", f"posts/{prepared.ref}?force=true")
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Stale):
        shot.settle()


def test_warnings_before_the_json_are_doubt(wordpress: WordpressBench) -> None:
    """PHP prints them with status 200: it may be published, and the answer cannot be read."""
    way = Way(wordpress)
    prepared = way.prepare()
    shot = wordpress.channel().arm(prepared, way.rendition, way.key)
    wordpress.sandbox.knob("notices")
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Ambiguous):
        shot.settle()
    with pytest.raises(TryLater):
        way.probe(prepared)
    wordpress.sandbox.clear()
    assert isinstance(way.probe(prepared), Receipt)


# the draft


@pytest.mark.parametrize("act", ["edit", "trash", "delete"])
def test_a_draft_that_a_colleague_touched_is_stale(wordpress: WordpressBench, act: str) -> None:
    """What is published is what was approved; preparing again makes it so."""
    way = Way(wordpress)
    prepared = way.prepare()
    if act == "edit":
        wordpress.colleague("POST", f"posts/{prepared.ref}", {"content": "<p>Mine</p>"})
    else:
        wordpress.colleague("DELETE", f"posts/{prepared.ref}{'?force=true' if act == 'delete' else ''}")
    with pytest.raises(Stale):
        way.send(prepared)
    receipt = way.publish()
    assert () == way.verify(receipt).problems
    assert 1 == wordpress.public_copies()


def test_a_draft_that_a_colleague_published_early_is_told(wordpress: WordpressBench) -> None:
    """Not armed before the instant, not prepared over: a person has to know."""
    way = Way(wordpress)
    prepared = way.prepare()
    wordpress.colleague("POST", f"posts/{prepared.ref}", {"status": "publish"})
    with pytest.raises(Stale):
        way.send(prepared, CLOCK.now() + 60 * SECOND)
    with pytest.raises(Ambiguous, match="already"):
        way.prepare()
    assert isinstance(way.probe(None), Receipt)
    with pytest.raises(Ambiguous):
        wordpress.channel().discard(prepared, way.key)
    assert 1 == wordpress.public_copies()


def test_the_slug_is_ours_alone(wordpress: WordpressBench) -> None:
    """ASCII, another one for each delivery, and nothing of the key itself in it or in the names of files."""
    ways = [Way(wordpress), Way(wordpress)]
    names = {way.rendition.fields[name] for way in ways for name in ("slug", "names", "mark")}
    assert 6 == len(names)
    for way in ways:
        assert way.rendition.fields["slug"].isascii()
        assert way.key.token[:8] not in str(way.rendition)


def test_lost_answers_leave_one_draft(wordpress: WordpressBench) -> None:
    """Looked up by the slug before anything is made: adopted, not made again."""
    wordpress.fault("drop_answer", "prepare")
    way = Way(wordpress)
    with pytest.raises(Ambiguous):
        way.prepare()
    assert way.probe(None) is None  # still without its text
    way.publish()
    assert (1, 1) == (len(wordpress.effects("draft_created")), wordpress.public_copies())


def test_trouble_while_the_draft_is_filled_is_doubt(wordpress: WordpressBench) -> None:
    """A draft is there by then, and nobody may forget it."""
    wordpress.sandbox.knob("html_page", method="POST", path=f"{POSTS}/*", status=502)
    way = Way(wordpress)
    with pytest.raises(Ambiguous):
        way.prepare()
    assert way.probe(None) is None
    way.publish()
    assert 1 == len(wordpress.effects("draft_created"))


@pytest.mark.parametrize("old", [False, True], ids=["numbered", "same slug"])
def test_twins_are_removed_and_the_oldest_is_adopted(wordpress: WordpressBench, old: bool) -> None:
    """`K` and `K-2`, as a repeated create makes them; older versions give two drafts the very same slug."""
    if old:
        wordpress.sandbox.knob("old_drafts")
    way = Way(wordpress)
    slug = way.rendition.fields["slug"]
    given = {"title": "x", "slug": slug, "status": "draft"}
    first, second = (wordpress.colleague("POST", "posts", given, user="editor") for _ in range(2))
    assert (slug, slug if old else f"{slug}-2") == (first["slug"], second["slug"])
    receipt = way.publish()
    assert (str(first["id"]), [str(second["id"])]) == (
        receipt.ref,
        [e["ref"] for e in wordpress.effects("post_deleted")],
    )
    assert receipt.url.endswith(f"/{slug}/")


def test_the_files_of_a_twin_are_never_in_a_public_list(wordpress: WordpressBench) -> None:
    """It goes once its files belong to the draft that stays: else they would belong to none for a moment."""
    way = Way(wordpress)
    slug, (name, *_) = way.rendition.fields["slug"], json.loads(way.rendition.fields["names"]).values()
    given = {"title": "x", "slug": slug, "status": "draft"}
    _, twin = (wordpress.colleague("POST", "posts", given, user="editor") for _ in range(2))
    base = wordpress.outlet.settings["base_url"]
    earlier = Site(wordpress.tools.http, "town", base, "editor", "sandbox town", CLOCK.now)
    old = earlier.upload(name, (f"{name}.png", sites.PICTURE, "image/png"), "x", "", str(twin["id"]))
    way.prepare()
    effects = [line["effect"] for line in wordpress.effects("media_updated", "post_deleted", "media_deleted")]
    assert (["media_updated", "post_deleted"], []) == (effects, wordpress.files())
    assert str(old["id"]) in str(wordpress.effects("media_updated"))


def test_a_twin_that_appears_meanwhile_is_adopted(wordpress: WordpressBench) -> None:
    """The answer's slug `K-2` proves that an earlier create landed late."""
    way = Way(wordpress)
    wordpress.sandbox.knob("late", method="POST", path=POSTS, seconds=0.3)
    with pytest.raises(Ambiguous):
        way.prepare()
    wordpress.sandbox.knob("delay", method="POST", path=POSTS, before_ms=700)
    receipt = way.publish()
    first, second = wordpress.effects("draft_created")
    assert (first["ref"], [second["ref"]]) == (receipt.ref, [line["ref"] for line in wordpress.effects("post_deleted")])


def test_a_draft_in_the_trash_is_taken_out_again(wordpress: WordpressBench) -> None:
    """`status=any` does not show it, and its slug ends with `__trashed` there."""
    way = Way(wordpress)
    prepared = way.prepare()
    wordpress.colleague("DELETE", f"posts/{prepared.ref}")
    receipt = way.publish()
    assert prepared.ref == receipt.ref
    assert receipt.url.endswith(f"/{way.rendition.fields['slug']}/")


def test_in_doubt_a_post_in_the_trash_is_for_a_person(wordpress: WordpressBench) -> None:
    """Somebody took down what was perhaps just published: it is neither absent nor sent again."""
    way = Way(wordpress)
    prepared = way.prepare()
    wordpress.fault("drop_answer", "withdraw")
    with pytest.raises(Ambiguous):
        way.send(prepared)
    wordpress.colleague("DELETE", f"posts/{prepared.ref}")
    with pytest.raises(Rejected, match="trash"):
        way.probe(prepared)


def test_a_probe_without_its_preparation_finds_a_whole_draft_only(wordpress: WordpressBench) -> None:
    """As after the death of the process: text and files, or it is prepared again."""
    way = Way(wordpress)
    prepared = way.prepare()
    found = way.probe(None)
    assert isinstance(found, Prepared)
    assert (prepared.ref, prepared.notes["kept"]) == (found.ref, found.notes["kept"])
    wordpress.colleague("DELETE", f"media/{prepared.notes['media'].split()[0]}?force=true")
    assert way.probe(None) is None


def test_a_probe_that_cannot_look_is_no_absence(wordpress: WordpressBench) -> None:
    """The database is down: an error, not None."""
    way = Way(wordpress)
    prepared = way.prepare()
    wordpress.sandbox.knob("html_page", method="GET", path=f"{POSTS}*")
    with pytest.raises(TryLater):
        way.probe(prepared)


# texts and filters


@pytest.mark.parametrize("user", ["editor", "author"])
def test_what_filters_would_rewrite_reaches_readers_as_it_is(wordpress: WordpressBench, user: str) -> None:
    """Quotes, dashes, shortcodes, smilies, embeds, `<Ende>` in a title: for users with and without the filter."""
    wordpress.user(user)
    way = Way(wordpress, AWKWARD)
    receipt = way.publish()
    sighting = way.verify(receipt)
    assert (True, ()) == (sighting.visible, sighting.problems)
    page = wordpress.tools.http.read(receipt.url).body.decode()
    assert "<ende>" not in page.lower() and "&lt;Ende&gt;" in page
    assert "<iframe" not in page


def test_an_author_publishes_corrects_and_withdraws(wordpress: WordpressBench) -> None:
    """The whole edition passes the filter of users who may not write any HTML."""
    wordpress.user("author-li")
    way = Way(wordpress)
    receipt = way.publish()
    assert () == way.verify(receipt).problems
    again = Way(wordpress, wordpress.corrected, receipt)
    changed = again.publish()
    assert () == again.verify(changed, way.rendition).problems
    wordpress.channel().withdraw(changed, wordpress.key())
    assert 0 == wordpress.public_copies()


@pytest.mark.parametrize("filters", ["author", "multisite"])
def test_what_the_filter_strips_is_named_and_nothing_is_left(wordpress: WordpressBench, filters: str) -> None:
    """KSES removes elements without a word: told before the release, to the editor."""
    if filters == "author":
        wordpress.user("author")
    else:
        wordpress.sandbox.knob("multisite")
    way = Way(wordpress)
    script = '<iframe src="https://map.example/"></iframe></div>\n<!-- /wp:group -->'
    way.rendition = replace(way.rendition, content=way.rendition.content.replace("</div>\n<!-- /wp:group -->", script))
    assert script in way.rendition.content
    with pytest.raises(Rejected, match="<iframe>"):
        way.prepare()
    assert 0 == wordpress.hidden_things()


def test_a_plug_in_that_strips_more_is_named(wordpress: WordpressBench) -> None:
    """A table would be lost: its cells are text then."""
    wordpress.sandbox.knob("strip", tags=["table", "tbody", "thead", "tr", "td", "th"])
    with pytest.raises(Rejected, match="<table>"):
        Way(wordpress).prepare()
    assert 0 == wordpress.hidden_things()


# files


def test_files_are_in_no_public_list_before_the_release(wordpress: WordpressBench) -> None:
    """They belong to the hidden post; a file that belongs to none would be listed at once, with what it shows."""
    way = Way(wordpress)
    prepared = way.prepare()
    assert (2, []) == (len(prepared.notes["media"].split()), wordpress.files())
    way.send(prepared)
    assert 2 == len(wordpress.files())
    correction = Way(wordpress, wordpress.corrected, way.probe(prepared))  # type: ignore[arg-type]
    correction.prepare()
    assert 2 == len(wordpress.files())


def test_pictures_carry_their_description(wordpress: WordpressBench) -> None:
    """In the list of files and in the text."""
    way = Way(wordpress)
    receipt = way.publish()
    assert {"12 路示意图", ""} == {file["alt_text"] for file in wordpress.files()}
    assert 'alt="12 路示意图"' in wordpress.tools.http.read(receipt.url).body.decode()


def with_picture(content: bytes, media_type: str = "image/png", role: AssetRole = AssetRole.IMAGE) -> Edition:
    asset = Asset(sha256(content), media_type, len(content), "map.png", role, "示意图")
    body = f'<p>正文</p>\n<figure><img src="asset:{asset.digest}" alt="示意图"></figure>'
    return replace(sites.edition(body=body), assets=(asset,))


def blobs(wordpress: WordpressBench, *contents: bytes) -> None:
    known = {**sites.BLOBS, **{sha256(content): content for content in contents}}
    wordpress.tools = replace(wordpress.tools, blob=known.__getitem__)


def test_a_large_picture_is_made_smaller_by_us(wordpress: WordpressBench) -> None:
    """At 2,560 pixels at most the site makes no smaller copy of its own; readers see the same picture."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((4000, 1000)).save(file, "PNG")
    blobs(wordpress, file.getvalue())
    way = Way(wordpress, with_picture(file.getvalue()))
    receipt = way.publish()
    (line,) = wordpress.effects("media_uploaded")
    assert (2560, 640) == (line["detail"]["width"], line["detail"]["height"])
    assert "-scaled" not in wordpress.files()[0]["source_url"]
    assert () == way.verify(receipt).problems


def test_what_is_no_picture_is_told_before_anything_is_made(wordpress: WordpressBench) -> None:
    """With the name of the file."""
    broken = b"BM no picture"
    blobs(wordpress, broken)
    with pytest.raises(Rejected, match=r"map\.png"):
        Way(wordpress, with_picture(broken, "image/bmp")).prepare()
    assert [] == wordpress.effects("draft_created")


def test_a_cover_stands_for_the_article_elsewhere(wordpress: WordpressBench) -> None:
    """As featured media, which the theme shows outside of the text."""
    cover = Asset(sha256(sites.NEW_PICTURE), "image/png", len(sites.NEW_PICTURE), "cover.png", AssetRole.COVER, "封面")
    way = Way(wordpress, replace(wordpress.edition, assets=(*wordpress.edition.assets, cover)))
    receipt = way.publish()
    assert () == way.verify(receipt).problems
    assert "wp-post-image" in wordpress.tools.http.read(receipt.url).body.decode()


def test_a_picture_that_was_too_much_for_the_server_is_there_all_the_same(wordpress: WordpressBench) -> None:
    """500 after it was stored: found by its slug at once, and not uploaded twice."""
    wordpress.sandbox.knob("fatal_after_upload")
    way = Way(wordpress)
    assert () == way.verify(way.publish()).problems
    assert 2 == len(wordpress.effects("media_uploaded"))


def test_an_upload_that_was_lost_is_doubt_and_the_rest_is_adopted(wordpress: WordpressBench) -> None:
    """A draft is there by then: a probe finds it incomplete, and the next preparation goes on with it."""
    way = Way(wordpress)
    wordpress.sandbox.knob("delay", method="POST", path="/town/wp-json/wp/v2/media", before_ms=0)
    wordpress.sandbox.knob("drop_request", method="POST", path="/town/wp-json/wp/v2/media")
    with pytest.raises(Ambiguous):
        way.prepare()
    assert way.probe(None) is None
    way.publish()
    assert (1, 2) == (len(wordpress.effects("draft_created")), len(wordpress.effects("media_uploaded")))


@pytest.mark.parametrize(
    ("knob", "given"), [("largest_upload", {"bytes": 20}), ("max_body", {"bytes": 900})], ids=["WordPress", "413"]
)
def test_a_file_that_is_too_large_is_named(wordpress: WordpressBench, knob: str, given: dict[str, int]) -> None:
    """By WordPress in JSON or by the web server in HTML; the draft is removed again."""
    wordpress.sandbox.knob(knob, **given)
    with pytest.raises(Rejected, match=r"luxian\.png"):
        Way(wordpress).prepare()
    assert 0 == wordpress.hidden_things()


def test_a_kind_of_file_that_the_site_does_not_take_is_named(wordpress: WordpressBench) -> None:
    """It says so with 500, and no repetition helps."""
    ofd = Asset(sha256(sites.TABLE), "application/ofd", len(sites.TABLE), "公报.ofd", AssetRole.ATTACHMENT)
    edition = replace(sites.edition(body="<p>正文</p>"), assets=(ofd,))
    with pytest.raises(Rejected, match=r"公报\.ofd"):
        Way(wordpress, edition).prepare()
    assert 0 == wordpress.hidden_things()


# who asks, and where


def test_a_header_that_the_server_drops_is_explained(wordpress: WordpressBench) -> None:
    """Every call looks anonymous then; the operator learns how to mend it."""
    wordpress.sandbox.knob("strip_authorization")
    for act in (wordpress.channel().login, Way(wordpress).prepare):
        with pytest.raises(Unauthorised, match="CGIPassAuth"):
            act()


@pytest.mark.parametrize(("user", "code"), [("editor", "incorrect_password"), ("nobody", "invalid_username")])
def test_wrong_credentials_are_named(wordpress: WordpressBench, user: str, code: str) -> None:
    """Where the site tells; the secret is in no message."""
    wordpress.user(user)
    wordpress.sandbox.knob("tells_password")
    with pytest.raises(Unauthorised, match=code) as caught:
        wordpress.channel(application_password="guessed secret").login()
    assert "guessed" not in str(caught.value)


def test_a_password_that_was_revoked_after_arming_is_told(wordpress: WordpressBench) -> None:
    """401 in WordPress's own words: certainly not published."""
    way = Way(wordpress)
    shot = wordpress.channel().arm(way.prepare(), way.rendition, way.key)
    wordpress.sandbox.knob("revoke")
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Unauthorised, match="rest_cannot_edit"):
        shot.settle()
    assert 0 == wordpress.public_copies()


@pytest.mark.parametrize("user", ["contributor", "subscriber"])
def test_a_user_without_the_right_to_publish_is_told_in_time(wordpress: WordpressBench, user: str) -> None:
    """At login and at preparation, and not at the instant."""
    wordpress.user(user)
    for act in (wordpress.channel().login, Way(wordpress).prepare):
        with pytest.raises(Unauthorised, match="publish_posts"):
            act()
    assert [] == wordpress.effects("draft_created")


@pytest.mark.parametrize("form", ["plain_permalinks", "dated_permalinks"])
def test_every_form_of_permalinks(wordpress: WordpressBench, form: str) -> None:
    """Published, read back, corrected and withdrawn; what `/wp-json/` answers is a page then."""
    wordpress.sandbox.knob(form)
    way = Way(wordpress)
    receipt = way.publish()
    assert ("?p=" in receipt.url) is (form == "plain_permalinks")
    assert () == way.verify(receipt).problems
    again = Way(wordpress, wordpress.corrected, receipt)
    changed = again.publish()
    assert () == again.verify(changed, way.rendition).problems
    wordpress.channel().withdraw(changed, wordpress.key())
    assert not again.verify(changed).visible


def test_where_there_is_no_api_the_operator_hears_of_it(wordpress: WordpressBench) -> None:
    """A wrong address, or switched off; and not, while the server only has trouble."""
    wordpress.sandbox.knob("no_api")
    with pytest.raises(Unauthorised, match="base_url"):
        wordpress.channel().login()
    wordpress.sandbox.clear()
    wordpress.sandbox.knob("html_page", path="*types/post", status=502, times=0)
    wordpress.sandbox.knob("html_page", path="*index.php", status=502, times=0)
    with pytest.raises(TryLater):
        wordpress.channel().login()


def test_a_category_is_made_once(tmp_path: Path) -> None:
    """Found by its name; or adopted, where the search does not find it (`term_exists`)."""
    with server("channels.sandbox.wordpress", tmp_path / "sandbox") as running:
        site = WordpressBench(running, category="通知 & 公告")
        for blind in (False, False, True):
            if blind:
                running.knob("blind_search")
            Way(site).publish()
        (made,) = site.effects("term_created")
        told = running.ask("GET", f"{POSTS}?per_page=100")
        assert [[int(made["ref"])]] * 3 == [post["categories"] for post in told]
        site.close()


def test_a_category_that_the_user_cannot_make_is_told_at_login(tmp_path: Path) -> None:
    """An author uses it once somebody made it."""
    with server("channels.sandbox.wordpress", tmp_path / "sandbox") as running:
        site = WordpressBench(running, category="通知公告")
        site.user("author")
        with pytest.raises(Unauthorised, match="通知公告"):
            site.channel().login()
        site.colleague("POST", "categories", {"name": "通知公告"})
        site.channel().login()
        Way(site).publish()
        site.close()


# the rest


def test_the_twin_keeps_nothing_of_the_configured_host() -> None:
    """Address, user and secret replaced, never live; what shapes the post is kept."""
    settings = {"base_url": "https://real.example", "username": "li", "category": "公告"}
    real = Outlet("town", "unit", "wordpress", settings, {"application_password": "real"}, live=True)
    twin = WordpressChannel.twin(real, "http://127.0.0.1:1", "/tmp/x")
    assert {"base_url": "http://127.0.0.1:1/town", "username": "editor", "category": "公告"} == dict(twin.settings)
    assert ({"application_password": "sandbox town"}, False, True) == (twin.secrets, twin.live, twin.private_network)


def test_the_canonical_address_is_a_link_that_readers_see(wordpress: WordpressBench) -> None:
    """At the end of the text."""
    shown = Way(wordpress).rendition.shown
    assert (("text", f"原文：{CANONICAL}"), ("link", CANONICAL)) == tuple((one.kind, one.value) for one in shown[-2:])


def test_a_preview_has_the_text_and_its_files(wordpress: WordpressBench) -> None:
    """The page comes first, and shows pictures that are beside it."""
    files = wordpress.channel().preview(Way(wordpress).rendition)
    assert ["article.html", "1-luxian.png", "2-时刻表.csv"] == list(files)
    assert 'src="1-luxian.png"' in files["article.html"].decode()
