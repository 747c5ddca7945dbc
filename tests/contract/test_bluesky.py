"""What is peculiar to the Bluesky channel: a key of its own, sessions, blobs that are forgotten, an AppView beside."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from PIL import Image

from channels import bluesky, brief
from channels import bluesky_post as post
from channels import bluesky_tid as tid
from channels.bluesky_account import LOGIN, UPLOAD, WRITE
from sync.clock import SECOND, iso
from sync.contract import (
    Accepted,
    Ambiguous,
    Fresh,
    LocalTokens,
    Place,
    Prepared,
    Receipt,
    Rejected,
    Stale,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import Asset, AssetRole, Edition, Key, Rendition, Sighting, sha256
from tests.contract.bench import CLOCK, server, window
from tests.contract.bench_bluesky import (
    EDITION,
    NOTICE,
    OTHER_PICTURE,
    PICTURE,
    XRPC,
    BlueskyBench,
    bench,
)

CANONICAL = "https://county.example/2026/11/12.html"
CREATE_SESSION = "/xrpc/com.atproto.server.createSession"
REFRESH_SESSION = "/xrpc/com.atproto.server.refreshSession"
RESET = {"RateLimit-Reset": "4070908800"}
BARE = replace(EDITION, body="<p>停水。</p>", assets=())


@pytest.fixture
def outlet(tmp_path: Path) -> Iterator[BlueskyBench]:
    with bench(tmp_path) as made:
        yield made


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[BlueskyBench]:
    """A server without an AppView."""
    with bench(tmp_path, "none") as made:
        made.sandbox.knob("no_appview")
        yield made


@pytest.fixture(params=["appview", "alone"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlueskyBench]:
    with bench(tmp_path, "" if request.param == "appview" else "none") as made:
        if request.param == "alone":
            made.sandbox.knob("no_appview")
        yield made


def rendered(outlet: BlueskyBench, given: Edition, key: Key) -> Rendition:
    return outlet.channel().render(given, Place(key, CANONICAL))


def sent(outlet: BlueskyBench, prepared: Prepared, rendition: Rendition, key: Key) -> Receipt | Accepted:
    shot = outlet.channel().arm(prepared, rendition, key)
    shot.send(window(), CLOCK.boottime)
    return shot.settle()


def published(outlet: BlueskyBench, given: Edition = EDITION) -> tuple[Rendition, Receipt]:
    key = outlet.key()
    rendition = rendered(outlet, given, key)
    receipt = sent(outlet, outlet.channel().prepare(rendition, key), rendition, key)
    assert isinstance(receipt, Receipt)
    return rendition, receipt


def read(outlet: BlueskyBench, given: Edition) -> Sighting:
    rendition, receipt = published(outlet, given)
    return outlet.channel().verify(receipt, rendition)


def token(outlet: BlueskyBench) -> str:
    """Of a colleague who uses another client."""
    given = {"identifier": "town.test", "password": "sandbox-town"}
    told: str = outlet.sandbox.ask("POST", CREATE_SESSION, given)["accessJwt"]
    return told


def written(outlet: BlueskyBench, rkey: str, text: str = "别的", **given: object) -> None:
    """That colleague puts a post at this key."""
    record = {"$type": post.COLLECTION, "text": text, "createdAt": "2026-11-22T12:00:00.000Z"}
    told = {"repo": "town.test", "collection": post.COLLECTION, "rkey": rkey, "record": record, **given}
    outlet.sandbox.ask("POST", f"{XRPC}putRecord", told, token=token(outlet))


def until_seen(outlet: BlueskyBench, receipt: Receipt, rendition: Rendition, *, visible: bool = True) -> None:
    """Wait for the AppView."""
    ends = time.monotonic() + 5
    while outlet.channel().verify(receipt, rendition).visible is not visible:
        assert time.monotonic() < ends
        time.sleep(0.02)


def at_the_instant(prepared: Prepared, instant: int) -> Prepared:
    """As the engine hands it over to be armed."""
    return replace(prepared, notes={**prepared.notes, "release_at": str(instant)})


# once, under a key of our own


def test_the_key_is_chosen_before_and_stays(outlet: BlueskyBench) -> None:
    """A TID of the delivery's own, known before anything is public; the post stands under it."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    rkey = prepared.ref.rpartition("/")[2]
    assert tid.bears(rkey, key.token)
    receipt = sent(outlet, prepared, rendition, key)
    assert isinstance(receipt, Receipt)
    assert (prepared.ref, f"{outlet.sandbox.address}/profile/{outlet.did()}/post/{rkey}") == (receipt.ref, receipt.url)
    assert [prepared.ref] == [one["uri"] for one in outlet.posts()]


def test_the_same_shot_again_changes_nothing(outlet: BlueskyBench) -> None:
    """The record is the same to the byte: the server answers as before, and writes nothing."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    first, second = (sent(outlet, prepared, rendition, key) for _ in range(2))
    assert isinstance(first, Receipt) and isinstance(second, Receipt)
    assert (first.ref, first.notes) == (second.ref, second.notes)
    assert (1, 0, 1) == (outlet.effects("post_created"), outlet.effects("post_edited"), outlet.public_copies())


def test_a_later_shot_makes_no_second_post(outlet: BlueskyBench) -> None:
    """Armed again for another instant the record differs: refused, and the first one is found."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    first = sent(outlet, at_the_instant(prepared, CLOCK.now()), rendition, key)
    with pytest.raises(Ambiguous, match="InvalidSwap"):
        sent(outlet, at_the_instant(prepared, CLOCK.now() + 7 * SECOND), rendition, key)
    found = outlet.channel().probe(rendition, key, prepared)
    assert isinstance(found, Receipt) and isinstance(first, Receipt)
    assert (first.ref, first.notes["cid"]) == (found.ref, found.notes["cid"])
    assert (1, 0) == (outlet.effects("post_created"), outlet.effects("post_edited"))


def test_a_request_that_lands_late_makes_no_second_post(outlet: BlueskyBench) -> None:
    """The first one is on its way still when another is sent."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    outlet.sandbox.knob("late", path=f"{XRPC}putRecord", seconds=0.5)
    with pytest.raises(Ambiguous):
        sent(outlet, at_the_instant(prepared, CLOCK.now()), rendition, key)
    sent(outlet, at_the_instant(prepared, CLOCK.now() + SECOND), rendition, key)
    ends = time.monotonic() + 5
    while sum(line["path"].endswith("putRecord") for line in outlet.sandbox.record()) < 3:
        assert time.monotonic() < ends
        time.sleep(0.02)
    assert (1, 0, 1) == (outlet.effects("post_created"), outlet.effects("post_edited"), outlet.public_copies())


def test_what_somebody_else_wrote_at_our_key_is_shown(outlet: BlueskyBench) -> None:
    """It is not overwritten; the probe finds it, and reading back tells that it is not ours."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    written(outlet, prepared.ref.rpartition("/")[2])
    with pytest.raises(Ambiguous):
        sent(outlet, prepared, rendition, key)
    found = outlet.channel().probe(rendition, key, prepared)
    assert isinstance(found, Receipt)
    sighting = outlet.channel().verify(found, rendition)
    assert sighting.visible and sighting.problems
    assert "别的" == outlet.posts()[0]["value"]["text"]


def test_an_internal_error_may_have_happened(outlet: BlueskyBench) -> None:
    """Whatever the reason: look at the key."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    told = {"error": "InternalServerError", "message": "Internal Server Error"}
    outlet.sandbox.knob("refuse", path=f"{XRPC}putRecord", status=500, json=told)
    with pytest.raises(Ambiguous):
        sent(outlet, prepared, rendition, key)
    assert prepared == outlet.channel().probe(rendition, key, prepared)


def test_an_answer_about_another_post_is_not_believed(outlet: BlueskyBench) -> None:
    """It may have happened all the same."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    told = {"uri": "at://did:plc:other/app.bsky.feed.post/3l2s5xxv2ze2c", "cid": "x"}
    outlet.sandbox.knob("error_body", path=f"{XRPC}putRecord", json=told)
    with pytest.raises(Ambiguous):
        sent(outlet, outlet.channel().prepare(rendition, key), rendition, key)


def test_what_the_lexicon_refuses_is_for_the_editor(outlet: BlueskyBench) -> None:
    """With the path of what is wrong."""
    key = outlet.key()
    rendition = replace(rendered(outlet, BARE, key), content="字" * 301)
    with pytest.raises(Rejected, match="300 graphemes"):
        sent(outlet, outlet.channel().prepare(rendition, key), rendition, key)


def test_the_same_item_twice_is_two_posts(outlet: BlueskyBench) -> None:
    """Published again on purpose: neither is taken for the other, prepared in the same second or not."""
    first, second = outlet.key(), outlet.key()
    rendition = rendered(outlet, EDITION, first)
    prepared = {key: outlet.channel().prepare(rendition, key) for key in (first, second)}
    sent(outlet, prepared[first], rendition, first)
    assert prepared[second] == outlet.channel().probe(rendition, second, prepared[second])
    assert outlet.channel().probe(rendition, second, None) is None
    sent(outlet, prepared[second], rendition, second)
    assert 2 == outlet.public_copies()


# the time in the post


def test_the_time_of_the_post_is_the_instant_of_the_release(outlet: BlueskyBench) -> None:
    """Prepared three days before, it stands on top and not three days down."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    outlet.ahead = -3 * 86_400 * SECOND
    prepared = outlet.channel().prepare(rendition, key)
    outlet.ahead = 0
    written(outlet, "3l2s5xxv2ze2c")
    instant = CLOCK.now()
    sent(outlet, at_the_instant(prepared, instant), rendition, key)
    posts = {one["uri"]: one["value"] for one in outlet.posts()}
    assert iso(instant) == posts[prepared.ref]["createdAt"]
    feed = outlet.sandbox.ask("GET", "/xrpc/app.bsky.feed.getAuthorFeed?actor=town.test")["feed"]
    assert prepared.ref == feed[0]["post"]["uri"]


def test_without_an_instant_the_time_is_that_of_the_preparation(outlet: BlueskyBench) -> None:
    """It is remembered, so that the same bytes are sent whenever."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    sent(outlet, prepared, rendition, key)
    assert iso(int(prepared.notes["at"])) == outlet.posts()[0]["value"]["createdAt"]


# blobs


def test_pictures_that_were_forgotten_are_uploaded_again(outlet: BlueskyBench) -> None:
    """Prepared long before the instant: their addresses are the same, so nothing has to be prepared anew."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    assert prepared.fresh_until is None
    outlet.sandbox.knob("blob_ttl", seconds=0)
    outlet.channel().login()
    outlet.sandbox.clear()
    sent(outlet, prepared, rendition, key)
    assert () == outlet.channel().verify(Receipt(prepared.ref, "", 0, prepared.notes), rendition).problems
    assert 2 == outlet.effects("blob_uploaded")


def test_pictures_forgotten_at_the_last_moment_cost_a_second_shot(outlet: BlueskyBench) -> None:
    """Nothing was written; arming again uploads them once more."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    shot = outlet.channel().arm(prepared, rendition, key)
    outlet.sandbox.knob("blob_ttl", seconds=0)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(TryLater, match="BlobNotFound") as caught:
        shot.settle()
    assert caught.value.of is None  # this delivery alone has to be armed again
    outlet.sandbox.clear()
    sent(outlet, prepared, rendition, key)
    assert 1 == outlet.public_copies()


def test_other_pictures_than_were_prepared_make_it_stale(outlet: BlueskyBench) -> None:
    """As when a newer program encodes them differently."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    outlet.blobs[sha256(PICTURE)] = OTHER_PICTURE
    with pytest.raises(Stale):
        outlet.channel().arm(prepared, rendition, key)


def test_a_lost_upload_is_nothing_that_happened(outlet: BlueskyBench) -> None:
    """Nobody can read it, and the server forgets it."""
    outlet.sandbox.knob("drop_answer", path=f"{XRPC}uploadBlob")
    key = outlet.key()
    with pytest.raises(TryLater) as caught:
        outlet.channel().prepare(rendered(outlet, EDITION, key), key)
    assert not isinstance(caught.value, Ambiguous)
    assert 0 == outlet.hidden_things()


def test_an_upload_that_names_no_blob_is_misbehaviour(outlet: BlueskyBench) -> None:
    """An answer that is not understood."""
    outlet.sandbox.knob(
        "error_body", path=f"{XRPC}uploadBlob", json={"blob": {"ref": "old", "mimeType": "image/png", "size": 7}}
    )
    key = outlet.key()
    with pytest.raises(Ambiguous, match="names no blob"):
        outlet.channel().prepare(rendered(outlet, EDITION, key), key)


def large(side: int, noise: bool) -> bytes:
    """A picture of so many pixels a side; with noise it takes several bytes a pixel."""
    picture = Image.effect_noise((side, side), 90) if noise else Image.linear_gradient("L").resize((side, side))
    file = io.BytesIO()
    picture.convert("RGB").save(file, "PNG")
    return file.getvalue()


def with_picture(outlet: BlueskyBench, content: bytes, kind: str = "image/png", **changed: Any) -> Edition:
    outlet.blobs[sha256(content)] = content
    asset = Asset(sha256(content), kind, len(content), "big.png", AssetRole.IMAGE, "大图")
    return replace(EDITION, assets=(replace(asset, **changed),))


@pytest.mark.parametrize("role", [AssetRole.IMAGE, AssetRole.COVER])
def test_a_picture_that_is_too_large_is_made_smaller(outlet: BlueskyBench, role: AssetRole) -> None:
    """At most a million bytes, which servers of any age take for pictures and cards; a reader sees the same."""
    content = large(750, noise=True)
    assert post.SIZE_LIMIT < len(content) < 2 * post.SIZE_LIMIT
    outlet.sandbox.knob("old_lexicon")
    assert () == read(outlet, with_picture(outlet, content, role=role)).problems
    sizes = [line["detail"]["size"] for line in outlet.sandbox.record() if line["effect"] == "blob_uploaded"]
    assert max(sizes) <= post.SIZE_LIMIT


def test_a_picture_is_recognised_though_readers_get_a_smaller_jpeg(outlet: BlueskyBench) -> None:
    """And its shape stands in the post."""
    content = large(1400, noise=False)
    assert () == read(outlet, with_picture(outlet, content)).problems
    (image,) = outlet.posts()[0]["value"]["embed"]["images"]
    assert ({"width": 1400, "height": 1400}, "大图") == (image["aspectRatio"], image["alt"])


def test_what_is_no_picture_is_for_the_editor(outlet: BlueskyBench) -> None:
    """While preparing, not at the instant."""
    key = outlet.key()
    rendition = rendered(outlet, with_picture(outlet, b"not a picture"), key)
    with pytest.raises(Rejected, match=r"big\.png"):
        outlet.channel().prepare(rendition, key)


# content


AWKWARD = replace(
    BARE,
    title="“引号” <b> & 12%，#标签 与 a_b 👩‍👩‍👧",
    metadata={"summary": "见 https://a.example/b?c=1&d=2#e，或 http://b.example/x_(y) 等。末行！", "topics": ("便民",)},
)


@pytest.mark.parametrize("given", [EDITION, NOTICE, BARE, AWKWARD], ids=["pictures", "card", "bare", "awkward"])
def test_what_is_public_is_read_back_exactly(either: BlueskyBench, given: Edition) -> None:
    """Text, links, card, pictures; by an AppView and without one."""
    sighting = read(either, given)
    assert (True, ()) == (sighting.visible, sighting.problems)


def test_a_notice_is_a_link_card(outlet: BlueskyBench) -> None:
    """Nobody else makes one: address, title, description and the cover come from us."""
    published(outlet, NOTICE)
    value = outlet.posts()[0]["value"]
    external = value["embed"]["external"]
    assert (CANONICAL, NOTICE.title) == (external["uri"], external["title"])
    assert NOTICE.metadata["summary"] == external["description"] and external["thumb"]["size"] == len(PICTURE)
    assert ["zh"] == value["langs"]


def test_topics_that_do_not_fit_are_tags_of_the_record(outlet: BlueskyBench) -> None:
    """Those in the text are facets."""
    topics = ("交通", "便民", "供水", "教育", "一个很长很长很长很长的主题")
    published(outlet, replace(BARE, metadata={**BARE.metadata, "topics": topics, "language": "zh-CN"}))
    value = outlet.posts()[0]["value"]
    features = [feature for facet in value["facets"] for feature in facet["features"]]
    assert ["交通", "便民", "供水"] == [feature["tag"] for feature in features if "tag" in feature]
    assert (["教育", "一个很长很长很长很长的主题"], ["zh-CN"]) == (value["tags"], value["langs"])


def test_without_a_canonical_address_there_is_no_card(outlet: BlueskyBench) -> None:
    """A cover is shown as a picture then; and the post is found all the same, by its key."""
    key = outlet.key()
    rendition = outlet.channel().render(NOTICE, Place(key, None))
    prepared = outlet.channel().prepare(rendition, key)
    receipt = sent(outlet, prepared, rendition, key)
    assert isinstance(receipt, Receipt) and () == outlet.channel().verify(receipt, rendition).problems
    assert post.IMAGES == outlet.posts()[0]["value"]["embed"]["$type"]
    assert isinstance(outlet.channel().probe(rendition, key, None), Receipt)


def animated() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def test_problems_are_told_before_anything_is_sent(outlet: BlueskyBench) -> None:
    """A title that does not fit, a language that is none, a picture that moves, one without a description."""
    check = outlet.channel().check
    assert [] == check(EDITION) == check(NOTICE)
    assert [("title", True)] == [(p.where, p.fatal) for p in check(replace(BARE, title="题" * 301))]
    odd = replace(BARE, metadata={**BARE.metadata, "language": "中文"})
    assert [("language", True)] == [(p.where, p.fatal) for p in check(odd)]
    moving = with_picture(outlet, animated(), "image/gif")
    assert [("big.png", True)] == [(p.where, p.fatal) for p in check(moving)]
    silent = with_picture(outlet, PICTURE, alt="")
    assert [("big.png", False)] == [(p.where, p.fatal) for p in check(silent)]
    cover = with_picture(outlet, PICTURE, alt="", role=AssetRole.COVER)
    assert [] == check(cover)  # of a card nobody hears the description
    with pytest.raises(Unsupported):
        rendered(outlet, replace(BARE, title="题" * 290), outlet.key())


def test_a_still_gif_is_shown_as_a_picture(outlet: BlueskyBench) -> None:
    """As PNG, which readers get as JPEG."""
    file = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(file, "GIF")
    given = with_picture(outlet, file.getvalue(), "image/gif")
    assert [] == outlet.channel().check(given)
    assert () == read(outlet, given).problems


def test_a_preview_holds_everything(outlet: BlueskyBench) -> None:
    """Text, card and pictures, without network."""
    key = outlet.key()
    files = outlet.channel().preview(rendered(outlet, NOTICE, key))
    assert ["post.txt", "card.txt", "1-route.png"] == [*files]
    assert NOTICE.title in files["card.txt"].decode() and CANONICAL in files["post.txt"].decode()
    assert ["post.txt", "1-route.png"] == [*outlet.channel().preview(rendered(outlet, EDITION, key))]


# sessions


def test_one_session_serves_all(outlet: BlueskyBench) -> None:
    """Logging in is limited: channels built anew for each task share what is kept."""
    for _ in range(3):
        _, receipt = published(outlet)
        outlet.channel().withdraw(receipt, outlet.key())
    assert (1, 0) == (outlet.effects("session_created"), outlet.effects("session_refreshed"))


@pytest.mark.parametrize("call", ["prepare", "upload", "arm", "withdraw"])
def test_an_expired_token_is_renewed_and_the_call_repeated(outlet: BlueskyBench, call: str) -> None:
    """By the refresh token, without the password."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    outlet.channel().login()
    paths = {"upload": f"{XRPC}uploadBlob", "withdraw": f"{XRPC}deleteRecord"}

    def expire(at: str) -> None:
        if at == call:
            outlet.sandbox.knob("expire", path=paths.get(call, "*getSession"))

    expire("prepare")
    expire("upload")
    prepared = outlet.channel().prepare(rendition, key)
    expire("arm")
    receipt = sent(outlet, prepared, rendition, key)
    assert isinstance(receipt, Receipt)
    expire("withdraw")
    outlet.channel().withdraw(receipt, outlet.key())
    assert (1, 1) == (outlet.effects("session_created"), outlet.effects("session_refreshed"))
    assert 0 == outlet.public_copies()


def test_a_token_that_expires_at_the_instant_cost_a_second_shot(outlet: BlueskyBench) -> None:
    """Nothing was written; arming again renews it."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    outlet.sandbox.knob("expire", path=f"{XRPC}putRecord")
    with pytest.raises(TryLater, match="ExpiredToken"):
        sent(outlet, prepared, rendition, key)
    sent(outlet, prepared, rendition, key)
    assert (1, 1) == (outlet.public_copies(), outlet.effects("session_refreshed"))


def test_a_token_lasts_beyond_the_instant(outlet: BlueskyBench) -> None:
    """One that would end before is renewed while there is time."""
    key = outlet.key()
    rendition = rendered(outlet, BARE, key)
    outlet.sandbox.knob("access_ttl", seconds=180)
    prepared = outlet.channel().prepare(rendition, key)
    outlet.sandbox.clear()
    outlet.channel().arm(at_the_instant(prepared, CLOCK.now() + 20 * SECOND), rendition, key).close()
    assert 0 == outlet.effects("session_refreshed")
    outlet.channel().arm(at_the_instant(prepared, CLOCK.now() + 100 * SECOND), rendition, key).close()
    assert (1, 1) == (outlet.effects("session_created"), outlet.effects("session_refreshed"))


def test_when_the_refresh_token_is_too_old_the_password_is_used(outlet: BlueskyBench) -> None:
    """After months without a release."""
    key = outlet.key()
    outlet.channel().login()
    outlet.sandbox.knob("expire")
    outlet.sandbox.knob("expire_refresh")
    outlet.channel().prepare(rendered(outlet, EDITION, key), key)
    assert (2, 0) == (outlet.effects("session_created"), outlet.effects("session_refreshed"))


def test_a_lost_refresh_breaks_nothing(outlet: BlueskyBench) -> None:
    """The token that was used is good for a grace: the next one refreshes again, without the password."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    outlet.channel().login()
    outlet.sandbox.knob("expire")
    outlet.sandbox.knob("drop_answer", path=REFRESH_SESSION)
    with pytest.raises(TryLater):
        outlet.channel().prepare(rendition, key)
    outlet.sandbox.knob("expire")
    outlet.channel().prepare(rendition, key)
    assert (1, 2) == (outlet.effects("session_created"), outlet.effects("session_refreshed"))


def test_a_revoked_password_is_the_operators(outlet: BlueskyBench) -> None:
    """As soon as the access token has ended; and at each check."""
    key = outlet.key()
    outlet.channel().login()
    outlet.sandbox.knob("revoke")
    with pytest.raises(Unauthorised):
        outlet.channel().login()
    outlet.sandbox.knob("expire")
    with pytest.raises(Unauthorised, match="app password is wrong"):
        outlet.channel().prepare(rendered(outlet, EDITION, key), key)


def test_a_check_proves_the_password_though_a_session_is_kept(outlet: BlueskyBench) -> None:
    """And a wrong one leaves what is kept as it is."""
    outlet.channel().login()
    with pytest.raises(Unauthorised):
        outlet.channel(app_password="guessed").login()
    published(outlet)
    assert (1, 0) == (outlet.effects("session_created"), outlet.effects("session_refreshed"))


def test_what_a_check_gains_is_kept(outlet: BlueskyBench) -> None:
    """A session that was taken back meanwhile is replaced."""
    outlet.channel().login()
    kept = outlet.tokens.get("session", nothing)
    outlet.channel().login()
    assert kept != outlet.tokens.get("session", nothing)
    published(outlet)
    assert (2, 0) == (outlet.effects("session_created"), outlet.effects("session_refreshed"))


def nothing(kept: str) -> Fresh:
    pytest.fail("there is one already")


class Renewed(LocalTokens):
    """Another process renews whenever this one would."""

    def get(self, name: str, renew: Callable[[str], Fresh], *, refused: str = "") -> str:
        return super().get(name, renew)


def test_a_check_proves_the_password_whoever_renews_the_session(outlet: BlueskyBench) -> None:
    """It is what was asked for."""
    outlet.tools = replace(outlet.tools, tokens=Renewed())
    outlet.channel().login()
    with pytest.raises(Unauthorised):
        outlet.channel(app_password="guessed").login()


@pytest.mark.parametrize(("knob", "words"), [("two_factor", "use an app password"), ("deactivated", "deactivated")])
def test_an_account_that_cannot_publish_is_the_operators(outlet: BlueskyBench, knob: str, words: str) -> None:
    """Told at the check, in words that say what to do."""
    outlet.sandbox.knob(knob)
    with pytest.raises(Unauthorised, match=words):
        outlet.channel().login()


def test_an_account_deactivated_meanwhile_is_the_operators(outlet: BlueskyBench) -> None:
    """By the protocol's name, whatever the status."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    shot = outlet.channel().arm(prepared, rendition, key)
    outlet.sandbox.knob("deactivated")
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Unauthorised, match="AccountDeactivated"):
        shot.settle()


def test_a_session_of_other_settings_is_not_used(outlet: BlueskyBench) -> None:
    """The handle was changed: the next post is the new account's."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    settings = {**outlet.outlet.settings, "handle": "other.test"}
    outlet.outlet = replace(outlet.outlet, settings=settings, secrets={"app_password": "sandbox-other"})
    with pytest.raises(Stale, match="another account"):
        outlet.channel().arm(prepared, rendition, key)
    assert outlet.did() not in outlet.channel().prepare(rendition, key).ref


def test_no_error_repeats_a_secret(outlet: BlueskyBench) -> None:
    """Even if the outlet does."""
    told = {"error": "InvalidRequest", "message": "cannot log in with sandbox-town"}
    outlet.sandbox.knob("refuse", path=CREATE_SESSION, status=400, json=told)
    with pytest.raises(Unauthorised, match="cannot log in with …"):
        outlet.channel().login()
    outlet.channel().login()
    session = json.loads(outlet.tokens.get("session", nothing))
    outlet.sandbox.knob("refuse", path="*getSession", status=400, json={**told, "message": session["access"]})
    with pytest.raises(Rejected) as caught:
        outlet.channel().prepare(rendered(outlet, BARE, outlet.key()), outlet.key())
    assert session["access"] not in str(caught.value)


def test_the_accounts_own_server_is_asked(outlet: BlueskyBench) -> None:
    """One logs in at an entryway; records and pictures are where the DID document says."""
    outlet.sandbox.knob("entryway", account="town")
    rendition, receipt = published(outlet)
    assert receipt.notes["pds"].startswith("http://localhost:")
    assert () == outlet.channel().verify(receipt, rendition).problems
    outlet.channel().withdraw(receipt, outlet.key())
    assert not outlet.channel().verify(receipt, rendition).visible


def test_an_account_that_moved_is_found(outlet: BlueskyBench) -> None:
    """Its old server knows it no more: the session is renewed, and names the new one."""
    outlet.channel().login()
    outlet.sandbox.knob("entryway", account="town")
    _, receipt = published(outlet)
    assert receipt.notes["pds"].startswith("http://localhost:")
    assert (1, 1) == (outlet.effects("session_created"), outlet.effects("session_refreshed"))


# limits


def test_too_many_logins_wait_until_told(outlet: BlueskyBench) -> None:
    """Thirty in five minutes; only logging in has to wait."""
    for _ in range(30):
        token(outlet)
    with pytest.raises(TryLater) as caught:
        outlet.channel().login()
    assert caught.value.of == LOGIN and caught.value.not_before is not None
    assert 0 < caught.value.not_before - CLOCK.now() <= 301 * SECOND


@pytest.mark.parametrize(("policy", "waits"), [("1000;w=86400", UPLOAD), ("3000;w=300", ""), (None, "")])
def test_too_many_uploads_wait_until_told(outlet: BlueskyBench, policy: str | None, waits: str) -> None:
    """Seconds since 1970. Whatever was asked: if it is the address's limit, everything waits."""
    headers = RESET | ({"RateLimit-Policy": policy} if policy else {})
    told = {"error": "RateLimitExceeded", "message": "Rate Limit Exceeded"}
    outlet.sandbox.knob("refuse", path=f"{XRPC}uploadBlob", status=429, headers=headers, json=told)
    key = outlet.key()
    with pytest.raises(TryLater, match="RateLimitExceeded") as caught:
        outlet.channel().prepare(rendered(outlet, EDITION, key), key)
    assert (4_070_908_800 * SECOND, waits) == (caught.value.not_before, caught.value.of)


def test_too_many_writes_wait_until_told(outlet: BlueskyBench) -> None:
    """At the instant: certainly nothing was written."""
    key = outlet.key()
    rendition = rendered(outlet, BARE, key)
    prepared = outlet.channel().prepare(rendition, key)
    headers = RESET | {"RateLimit-Policy": "5000;w=3600"}
    outlet.sandbox.knob("refuse", path=f"{XRPC}putRecord", status=429, headers=headers)
    with pytest.raises(TryLater) as caught:
        sent(outlet, prepared, rendition, key)
    assert (4_070_908_800 * SECOND, WRITE) == (caught.value.not_before, caught.value.of)


def test_readers_over_the_limit_come_back_when_told(either: BlueskyBench) -> None:
    """Reading after the release uses up the address's budget; its end is an instant."""
    rendition, receipt = published(either)
    either.sandbox.knob("refuse", status=429, headers=RESET, method="GET", times=0)
    with pytest.raises(TryLater) as caught:
        either.channel().verify(receipt, rendition)
    assert 4_070_908_800 * SECOND == caught.value.not_before


# doubt


def test_a_post_is_found_without_its_preparation(outlet: BlueskyBench) -> None:
    """After a restore: its key bears the delivery's mark, however many were posted since."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    receipt = sent(outlet, outlet.channel().prepare(rendition, key), rendition, key)
    access = token(outlet)
    outlet.sandbox.knob("unlimited")
    for _ in range(3):
        create = "com.atproto.repo.applyWrites#create"
        records = [{"text": str(one), "createdAt": "2026-11-22T12:00:00Z"} for one in range(100)]
        writes = [{"$type": create, "collection": post.COLLECTION, "value": record} for record in records]
        outlet.sandbox.ask("POST", f"{XRPC}applyWrites", {"repo": "town.test", "writes": writes}, token=access)
    found = outlet.channel().probe(rendition, key, None)
    assert isinstance(found, Receipt) and isinstance(receipt, Receipt)
    assert (receipt.ref, receipt.url, receipt.notes) == (found.ref, found.url, found.notes)


def test_a_look_without_the_preparation_has_an_end(outlet: BlueskyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than can be looked through is no absence; what is older than a year is none of ours."""
    key = outlet.key()
    rendition = rendered(outlet, BARE, key)
    old = tid.chosen("0" * 32, CLOCK.now() - bluesky.LOOK_BACK - SECOND)
    for rkey in (old, tid.chosen(key.token, CLOCK.now() - 2 * bluesky.LOOK_BACK)):
        written(outlet, rkey)
    assert outlet.channel().probe(rendition, key, None) is None
    monkeypatch.setattr(bluesky, "MOST_PAGES", 0)
    with pytest.raises(TryLater):
        outlet.channel().probe(rendition, key, None)


@pytest.mark.parametrize("known", [True, False], ids=["prepared", "unknown"])
def test_a_probe_that_cannot_look_is_no_absence(outlet: BlueskyBench, known: bool) -> None:
    """An error, not None: the server is down, or the repository is not there any more."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    for status, error, raised in ((503, "x", TryLater), (400, "RepoDeactivated", Unauthorised)):
        outlet.sandbox.knob("refuse", method="GET", path=f"{XRPC}*", status=status, json={"error": error})
        with pytest.raises(raised):
            outlet.channel().probe(rendition, key, prepared if known else None)


def test_older_servers_tell_an_absence_in_words(outlet: BlueskyBench) -> None:
    """With the general name of an invalid request."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    told = {"error": "InvalidRequest", "message": f"Could not locate record: {prepared.ref}"}
    outlet.sandbox.knob("refuse", path=f"{XRPC}getRecord", status=400, json=told)
    assert prepared == outlet.channel().probe(rendition, key, prepared)


# what readers see


def test_the_appview_is_waited_for(outlet: BlueskyBench) -> None:
    """In the repository at once, and not visible before readers find it."""
    outlet.sandbox.knob("lag", seconds=0.5)
    rendition, receipt = published(outlet)
    assert 1 == outlet.public_copies() and not outlet.channel().verify(receipt, rendition).visible
    until_seen(outlet, receipt, rendition)
    assert () == outlet.channel().verify(receipt, rendition).problems


@pytest.mark.parametrize(("knob", "given"), [("takedown", {}), ("label", {"val": "!hide"})])
def test_a_hidden_post_is_not_visible_though_the_repository_has_it(
    outlet: BlueskyBench, knob: str, given: dict[str, str]
) -> None:
    """What readers see counts; a probe, which asks whether it happened, finds it."""
    key = outlet.key()
    rendition = rendered(outlet, EDITION, key)
    prepared = outlet.channel().prepare(rendition, key)
    receipt = sent(outlet, prepared, rendition, key)
    outlet.sandbox.knob(knob, **given)
    assert isinstance(receipt, Receipt) and not outlet.channel().verify(receipt, rendition).visible
    assert isinstance(outlet.channel().probe(rendition, key, prepared), Receipt)


def test_an_account_for_members_only_is_told(outlet: BlueskyBench) -> None:
    """Anonymous readers are kept out by the account's own wish."""
    rendition, receipt = published(outlet)
    outlet.sandbox.knob("members_only")
    with pytest.raises(Unauthorised):
        outlet.channel().verify(receipt, rendition)


@pytest.mark.parametrize("given", [EDITION, NOTICE], ids=["pictures", "card"])
@pytest.mark.parametrize(
    ("knob", "told"),
    [("alter", {"replace": ["06:30", "06:31"]}), ("swap_picture", {}), ("dead_links", {})],
)
def test_one_changed_thing_is_found(either: BlueskyBench, knob: str, told: dict[str, Any], given: Edition) -> None:
    """A digit, a picture, a link that is only words; by an AppView and without one."""
    rendition, receipt = published(either, given)
    either.sandbox.knob(knob, **told)
    sighting = either.channel().verify(receipt, rendition)
    assert sighting.visible and sighting.problems


def test_a_picture_that_cannot_be_read_is_told(either: BlueskyBench) -> None:
    """The text is there; the picture is another than was approved."""
    rendition, receipt = published(either)
    for path in ("/img/*", "/xrpc/com.atproto.sync.getBlob"):
        either.sandbox.knob("refuse", path=path, status=404)
    sighting = either.channel().verify(receipt, rendition)
    assert sighting.visible and ["image"] == [problem.where for problem in sighting.problems]
    either.sandbox.clear()
    for path in ("/img/*", "/xrpc/com.atproto.sync.getBlob"):
        either.sandbox.knob("drop_request", path=path)
    problems = either.channel().verify(receipt, rendition).problems
    assert any("the picture cannot be read" in problem.message for problem in problems)


def test_without_an_appview_an_edit_by_another_client_shows(alone: BlueskyBench) -> None:
    """The repository has the new text; an AppView goes on showing the first one."""
    rendition, receipt = published(alone, BARE)
    assert receipt.url.startswith(f"{alone.sandbox.address}/xrpc/com.atproto.repo.getRecord?")
    written(alone, receipt.ref.rpartition("/")[2])
    assert alone.channel().verify(receipt, rendition).problems


def test_without_an_appview_the_accounts_own_server_is_read(alone: BlueskyBench) -> None:
    """Not the one that it logs in at; a receipt that says nothing of it is looked for there all the same."""
    alone.sandbox.knob("entryway", account="town")
    rendition, receipt = published(alone, BARE)
    alone.sandbox.knob("entryway")  # for those without an account, too
    assert () == alone.channel().verify(receipt, rendition).problems
    with pytest.raises(Unauthorised):
        alone.channel().verify(replace(receipt, notes={}), rendition)
    alone.sandbox.clear()
    assert () == alone.channel().verify(replace(receipt, notes={}), rendition).problems


def test_a_server_that_is_no_appview_is_told_at_the_check(alone: BlueskyBench) -> None:
    """Otherwise nothing would ever be verified; with `none` it is right."""
    alone.channel().login()
    alone.outlet = replace(alone.outlet, settings={**alone.outlet.settings, "appview": alone.sandbox.address})
    with pytest.raises(Unsupported, match="appview=none"):
        alone.channel().login()
    with pytest.raises(Unauthorised):
        alone.channel().verify(
            Receipt("at://did:plc:a/app.bsky.feed.post/3k", "", 0), rendered(alone, BARE, alone.key())
        )


def test_a_page_that_a_person_gave_is_read(outlet: BlueskyBench) -> None:
    """With the account's handle, as the application shows it; any other address is no post."""
    rendition, receipt = published(outlet)
    rkey = receipt.ref.rpartition("/")[2]
    given = Receipt("", f"https://bsky.app/profile/town.test/post/{rkey}", 0)
    assert (True, ()) == ((seen := outlet.channel().verify(given, rendition)).visible, seen.problems)
    for act in (outlet.channel().verify, lambda receipt, _: outlet.channel().withdraw(receipt, outlet.key())):
        with pytest.raises(Unsupported):
            act(Receipt("", "https://county.example/1", 0), rendition)
    outlet.channel().withdraw(given, outlet.key())
    assert 0 == outlet.public_copies()


# undo


def test_a_withdrawn_post_is_gone_with_its_pictures(outlet: BlueskyBench) -> None:
    """From the repository at once, from the AppView when it has heard of it."""
    rendition, receipt = published(outlet)
    cid = outlet.posts()[0]["value"]["embed"]["images"][0]["image"]["ref"]["$link"]
    outlet.sandbox.knob("lag", seconds=0.3)
    until_seen(outlet, receipt, rendition)
    for _ in range(2):
        outlet.channel().withdraw(receipt, outlet.key())
    assert 0 == outlet.public_copies() and outlet.channel().verify(receipt, rendition).visible
    blob = f"{outlet.sandbox.address}/xrpc/com.atproto.sync.getBlob?did={outlet.did()}&cid={cid}"
    assert 400 == outlet.tools.http.read(blob).status
    until_seen(outlet, receipt, rendition, visible=False)


def test_a_post_of_another_account_is_not_withdrawn(outlet: BlueskyBench) -> None:
    """200 would say nothing: it is not in this repository."""
    with pytest.raises(Unauthorised, match="another account"):
        outlet.channel().withdraw(Receipt("at://did:plc:other/app.bsky.feed.post/3k", "", 0), outlet.key())


def test_a_late_shot_of_a_withdrawn_post_is_seen(outlet: BlueskyBench) -> None:
    """The key is free again after the withdrawal; whoever withdraws stops the delivery, and looks."""
    key = outlet.key()
    rendition = rendered(outlet, BARE, key)
    prepared = outlet.channel().prepare(rendition, key)
    receipt = sent(outlet, prepared, rendition, key)
    assert isinstance(receipt, Receipt)
    outlet.channel().withdraw(receipt, outlet.key())
    assert prepared == outlet.channel().probe(rendition, key, prepared)
    sent(outlet, prepared, rendition, key)
    assert outlet.channel().verify(receipt, rendition).visible
    assert isinstance(outlet.channel().probe(rendition, key, prepared), Receipt)


def test_what_was_public_before_a_restart_of_the_outlet_is_read_and_withdrawn(tmp_path: Path) -> None:
    """The sandbox keeps accounts, posts and pictures, at the same address."""
    home = tmp_path / "sandbox"
    with server("channels.sandbox.bluesky", home) as running:
        first = BlueskyBench(running)
        rendition, receipt = published(first)
        first.close()
    with server("channels.sandbox.bluesky", home) as running:
        again = BlueskyBench(running)
        assert () == again.channel().verify(receipt, rendition).problems
        again.channel().withdraw(receipt, again.key())
        assert not again.channel().verify(receipt, rendition).visible
        again.close()


def test_the_words_of_the_text_stand_in_the_template(outlet: BlueskyBench) -> None:
    """An installation may have its own."""
    text = rendered(outlet, EDITION, outlet.key()).content
    assert f"{EDITION.title}\n\n{brief.leading(EDITION)}\n\n{CANONICAL}\n\n#交通 #便民" == text


def test_anybody_can_look_without_an_account(outlet: BlueskyBench) -> None:
    """Nothing that is read to verify carries credentials."""
    rendition, receipt = published(outlet)
    lines = len(outlet.sandbox.record())
    outlet.channel().verify(receipt, rendition)
    assert {""} == {line["account"] for line in outlet.sandbox.record()[lines:]}
    with pytest.raises(HTTPError):
        outlet.sandbox.ask("GET", "/xrpc/com.atproto.server.getSession")
