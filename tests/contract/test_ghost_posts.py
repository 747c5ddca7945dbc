"""What is peculiar to the Ghost channel: its posts from draft to withdrawal, trap by trap."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from channels import ghost_draft
from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    OutletError,
    Place,
    Prepared,
    Receipt,
    Rejected,
    Shot,
    Stale,
    TryLater,
    Unauthorised,
)
from sync.model import Key, sha256
from tests.contract.bench import CLOCK, server
from tests.contract.bench_ghost import EDITION, OTHER, POSTS, ROUTE, SITE, GhostBench, bench
from tests.contract.ghost_site import CANONICAL, CORRECTED, Client, Correction, Delivery, fired, matches, queries, where


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


# slugs and twins


def test_a_lost_create_is_found_by_its_slug(delivery: Delivery) -> None:
    """Hidden, and the same as approved: it can be armed as it is."""
    delivery.ghost.fault("drop_answer", "prepare")
    with pytest.raises(Ambiguous):
        delivery.prepare()
    found = delivery.probe(None)
    assert isinstance(found, Prepared)
    matches(delivery.verify(fired(delivery.arm(found))))
    assert (1, 0) == (delivery.ghost.public_copies(), delivery.ghost.hidden_things())


def test_a_lost_create_is_used_and_not_made_again(delivery: Delivery) -> None:
    """Looked up before: the same draft, no `-2`."""
    delivery.ghost.fault("drop_answer", "prepare")
    with pytest.raises(Ambiguous):
        delivery.prepare()
    prepared = delivery.prepare()
    assert 1 == sum(line["effect"] == "post_created" for line in delivery.ghost.sandbox.record())
    assert delivery.slug in fired(delivery.arm(prepared)).url


def late_create(delivery: Delivery) -> None:
    """A create that was given up for lost takes effect after it was repeated: two drafts, the later one `-2`."""
    delivery.ghost.sandbox.knob("late", method="POST", path=POSTS, seconds=0.5)
    with pytest.raises(Ambiguous):
        delivery.prepare()
    delivery.prepare()
    until(lambda: 2 == delivery.ghost.hidden_things())


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_create_that_arrives_late_leaves_no_twin(delivery: Delivery) -> None:
    """Preparing again removes the second draft, and the first is used."""
    late_create(delivery)
    prepared = delivery.prepare()
    assert 1 == delivery.ghost.hidden_things()
    assert delivery.slug in fired(delivery.arm(prepared)).url.split("/")
    assert 0 == delivery.ghost.hidden_things()


def test_a_twin_stays_hidden_and_is_discarded_too(delivery: Delivery) -> None:
    """Both are found by the tag, though one has another slug."""
    late_create(delivery)
    found = delivery.probe(None)
    assert isinstance(found, Prepared)
    delivery.ghost.channel().discard(found, delivery.key)
    assert (0, 0) == (delivery.ghost.hidden_things(), delivery.ghost.public_copies())


def test_a_create_that_finds_its_slug_taken_takes_it_back(delivery: Delivery, colleague: Client) -> None:
    """Looked up afterwards: the twin goes, and ours gets the name that was foreseen."""
    delivery.ghost.sandbox.knob("doubles")
    prepared = delivery.prepare()
    (post,) = colleague.posts()
    assert (delivery.slug, prepared.ref) == (post["slug"], post["id"])


def test_a_draft_without_its_tag_is_found_by_its_slug_and_the_reverse(delivery: Delivery, colleague: Client) -> None:
    """People tidy up in the editor."""
    prepared = delivery.prepare()
    colleague.saved(colleague.read(prepared.ref), tags=[])
    assert isinstance(delivery.probe(None), Prepared)
    colleague.saved(colleague.read(prepared.ref), tags=[ghost_draft.tag_of(delivery.key)], slug="other")
    assert prepared == delivery.probe(prepared)
    colleague.saved(colleague.read(prepared.ref), tags=[])
    assert prepared == delivery.probe(prepared)
    assert delivery.probe(None) is None
    delivery.ghost.channel().discard(prepared, delivery.key)
    assert 0 == delivery.ghost.hidden_things()


def test_a_draft_that_is_not_what_was_approved_is_no_preparation(delivery: Delivery, colleague: Client) -> None:
    """Found without knowing how it was prepared, it has to hold the very rendition."""
    prepared = delivery.prepare()
    assert isinstance(delivery.probe(None), Prepared)
    url = colleague.upload("other.png", OTHER).json()["images"][0]["url"]
    colleague.saved(colleague.read(prepared.ref), feature_image=url)
    assert delivery.probe(None) is None
    delivery.prepare()
    colleague.saved(colleague.read(prepared.ref), visibility="members")
    assert delivery.probe(None) is None


def test_a_draft_whose_pictures_cannot_be_read_now_is_no_absence(delivery: Delivery) -> None:
    """An error, not None; a picture that is not there is another matter."""
    delivery.prepare()
    for fault, status in (("drop_request", 0), ("refuse", 503)):
        delivery.ghost.sandbox.knob(fault, path=f"/{SITE}/content/*", status=status)
        with pytest.raises(TryLater):
            delivery.probe(None)
    delivery.ghost.sandbox.knob("refuse", path=f"/{SITE}/content/*", status=404)
    assert delivery.probe(None) is None
    assert isinstance(delivery.probe(None), Prepared)


def test_neither_slug_nor_tag_tells_of_the_key(delivery: Delivery) -> None:
    """They become public; the key's token names hidden files elsewhere."""
    assert delivery.key.token[:8] not in ghost_draft.slug_of(delivery.key) + ghost_draft.tag_of(delivery.key)
    assert ghost_draft.slug_of(delivery.key) != ghost_draft.slug_of(delivery.ghost.key())


def test_a_new_title_keeps_the_slug(delivery: Delivery, colleague: Client) -> None:
    """A draft that was never public would get one of the title: the slug is always sent along."""
    delivery.prepare()
    again = Delivery(delivery.ghost, replace(EDITION, title="Another title"))
    again.key = delivery.key
    again.rendition = delivery.ghost.channel().render(
        replace(EDITION, title="Another title"), Place(again.key, CANONICAL)
    )
    prepared = again.prepare()
    assert ("Another title", delivery.slug) == tuple(colleague.read(prepared.ref)[name] for name in ("title", "slug"))
    changes = [line["detail"].get("changed", []) for line in delivery.ghost.sandbox.record()]
    assert ["title"] in [[name for name in one if name in ("title", "slug")] for one in changes]
    assert not [one for one in changes if "slug" in one]


def test_members_only_by_default_does_not_hide_the_text(delivery: Delivery) -> None:
    """The visibility is always named; the site's own default may be another."""
    delivery.ghost.sandbox.knob("members")
    matches(delivery.verify(delivery.publish()))


def test_a_post_made_members_only_afterwards_is_seen(delivery: Delivery, colleague: Client) -> None:
    """Its title is still public, its text is not."""
    receipt = delivery.publish()
    colleague.saved(colleague.read(receipt.ref), visibility="members")
    sighting = delivery.verify(receipt)
    assert sighting.visible
    assert "members" in sighting.problems[0].message


# between preparing and arming


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"title": "改过的标题"}, "title"),
        ({"visibility": "paid"}, "visibility"),
        ({"codeinjection_head": "<script>1</script>"}, "codeinjection_head"),
        ({"email_only": True}, "email_only"),
        ({"html": "<p>另文</p>"}, "html"),
    ],
)
def test_a_draft_that_was_changed_in_the_editor_is_stale(
    delivery: Delivery, colleague: Client, change: dict[str, Any], named: str
) -> None:
    """Named; preparing again puts back what was approved, in the same draft."""
    prepared = delivery.prepare()
    colleague.saved(colleague.read(prepared.ref), "source=html", **change)
    with pytest.raises(Stale, match=named):
        delivery.arm(prepared)
    if named in ("title", "html", "visibility"):
        again = delivery.prepare()
        assert prepared.ref == again.ref
        matches(delivery.verify(fired(delivery.arm(again))))


def test_a_draft_that_was_deleted_or_scheduled_is_stale(delivery: Delivery, colleague: Client) -> None:
    """Either way it is prepared anew, and then is a draft."""
    prepared = delivery.prepare()
    later = {"status": "scheduled", "published_at": "2099-01-01T00:00:00.000Z"}
    colleague.saved(colleague.read(prepared.ref), **later)
    with pytest.raises(Stale, match="scheduled"):
        delivery.arm(prepared)
    prepared = delivery.prepare()
    assert "draft" == colleague.read(prepared.ref)["status"]
    colleague.call("DELETE", f"posts/{prepared.ref}/")
    with pytest.raises(Stale, match="gone"):
        delivery.arm(prepared)
    assert delivery.probe(prepared) is None
    matches(delivery.verify(delivery.publish()))


def test_a_draft_that_a_person_published_is_never_prepared_again(delivery: Delivery, colleague: Client) -> None:
    """It is public: a second one would be a copy. The probe says where, and discarding leaves it alone."""
    prepared = delivery.prepare()
    public = colleague.saved(colleague.read(prepared.ref), status="published")
    with pytest.raises(Stale, match="published"):
        delivery.arm(prepared)
    with pytest.raises(Ambiguous, match="public already"):
        delivery.prepare()
    found = delivery.probe(prepared)
    assert isinstance(found, Receipt)
    assert public["url"] == found.url
    with pytest.raises(Rejected, match="withdraw"):
        delivery.ghost.channel().discard(prepared, delivery.key)
    assert 1 == delivery.ghost.public_copies()


def test_a_save_in_the_middle_of_preparing_is_try_later(delivery: Delivery) -> None:
    """409 to the draft that is used again: somebody edits it just now."""
    delivery.prepare()
    collision = {"errors": [{"type": "UpdateCollisionError", "code": "UPDATE_COLLISION"}]}
    delivery.ghost.sandbox.knob("refuse", method="PUT", status=409, json=collision)
    with pytest.raises(TryLater, match="editing") as caught:
        delivery.prepare()
    assert not isinstance(caught.value, Ambiguous)


def test_a_lost_upload_is_nothing_that_happened(delivery: Delivery) -> None:
    """The file stays under a name that nobody can guess; no draft was made."""
    delivery.ghost.sandbox.knob("drop_answer", path="*/images/upload/")
    with pytest.raises(TryLater) as caught:
        delivery.prepare()
    assert not isinstance(caught.value, Ambiguous)
    assert 0 == delivery.ghost.hidden_things()
    names = [line["ref"] for line in delivery.ghost.sandbox.record() if line["effect"] == "image_uploaded"]
    assert names and not [one for one in names if sha256(ROUTE)[:12] in one or delivery.key.token[:12] in one]


# the flip


def test_the_flip_is_small_and_dated_with_the_instant(delivery: Delivery, colleague: Client) -> None:
    """On top of the list: not with the date of the draft, and not with a later one."""
    first = Delivery(delivery.ghost).publish()
    prepared = delivery.prepare()
    instant = CLOCK.now() + 30 * SECOND
    noted = replace(prepared, notes={**prepared.notes, "release_at": str(instant)})
    receipt = fired(delivery.arm(noted))
    post = colleague.read(receipt.ref)
    assert time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(instant // SECOND)) == post["published_at"]
    page = colleague.see(f"{colleague.home}/").text
    assert page.index(receipt.url) < page.index(first.url)
    flip = delivery.ghost.sandbox.record()
    (line,) = [line for line in flip if line["effect"] == "post_published" and line["ref"] == receipt.ref]
    assert ["published_at", "status"] == line["detail"]["changed"]


def test_the_same_flip_twice_is_one_publication(delivery: Delivery) -> None:
    """The old `updated_at`, and nothing that changes: Ghost says 200."""
    prepared = delivery.prepare()
    ahead = str(CLOCK.now() + 30 * SECOND)
    noted = replace(prepared, notes={**prepared.notes, "release_at": ahead})
    shots = [delivery.arm(noted) for _ in range(2)]
    delivery.ghost.sandbox.knob("skew", seconds=10)
    receipts = [fired(shot) for shot in shots]
    assert receipts[0].url == receipts[1].url
    assert 1 == sum(line["effect"] == "post_published" for line in delivery.ghost.sandbox.record())


def collided(delivery: Delivery, colleague: Client, **change: Any) -> tuple[Prepared, Shot]:
    """Armed, and saved by a colleague some seconds later: the flip will be refused with 409."""
    prepared = delivery.prepare()
    shot = delivery.arm(prepared)
    colleague.later(20)
    colleague.saved(colleague.read(prepared.ref), "source=html", **change)
    return prepared, shot


def test_a_collision_without_a_change_of_the_text_is_armed_anew(delivery: Delivery, colleague: Client) -> None:
    """Only `updated_at` moved on (somebody set a tag): nothing was published, and the next shot is."""
    tags = [{"name": ghost_draft.tag_of(delivery.key)}, {"name": "交通"}]
    prepared, shot = collided(delivery, colleague, tags=tags)
    with pytest.raises(TryLater, match="409"):
        fired(shot)
    assert 0 == delivery.ghost.public_copies()
    matches(delivery.verify(fired(delivery.arm(prepared))))


def test_a_collision_with_a_changed_text_stops_and_names_it(delivery: Delivery, colleague: Client) -> None:
    """What was approved is not there any more: for a person, nothing public."""
    _, shot = collided(delivery, colleague, title="改过的标题", html="<p>另文</p>")
    with pytest.raises(Rejected, match="title, slug, html"):
        fired(shot)
    assert 0 == delivery.ghost.public_copies()


def test_a_collision_with_a_publication_is_success(delivery: Delivery, colleague: Client) -> None:
    """Somebody pressed the button, or an earlier flip of ours arrived late: it is public, once."""
    _, shot = collided(delivery, colleague, status="published", published_at="2020-01-01T00:00:00.000Z")
    receipt = fired(shot)
    matches(delivery.verify(receipt))
    assert 1 == delivery.ghost.public_copies()


def test_a_collision_that_cannot_be_looked_into_is_armed_anew(delivery: Delivery, colleague: Client) -> None:
    """409 says that it was not done; what is there now is seen when it is armed."""
    _, shot = collided(delivery, colleague, title="改过的标题")
    delivery.ghost.sandbox.knob("refuse", method="GET", path="*/posts/*")
    with pytest.raises(TryLater):
        fired(shot)


def test_a_draft_that_is_gone_at_the_instant_is_made_anew(delivery: Delivery, colleague: Client) -> None:
    """404: nothing was published; arming says that it is stale."""
    prepared = delivery.prepare()
    shot = delivery.arm(prepared)
    colleague.call("DELETE", f"posts/{prepared.ref}/")
    with pytest.raises(TryLater, match="gone"):
        fired(shot)
    with pytest.raises(Stale):
        delivery.arm(prepared)


def test_a_collision_with_a_deletion_is_made_anew(delivery: Delivery) -> None:
    """409, and then there is no such post."""
    shot = delivery.arm(delivery.prepare())
    collision = {"errors": [{"type": "UpdateCollisionError", "code": "UPDATE_COLLISION"}]}
    gone = {"errors": [{"type": "NotFoundError", "code": None}]}
    delivery.ghost.sandbox.knob("refuse", method="PUT", status=409, json=collision)
    delivery.ghost.sandbox.knob("refuse", method="GET", status=404, json=gone)
    with pytest.raises(TryLater, match="gone"):
        fired(shot)


def test_a_change_in_the_second_of_the_last_save_goes_out_and_is_seen(ghost: GhostBench, colleague: Client) -> None:
    """Ghost cannot tell the two saves apart; the read-back can."""
    for _ in range(20):
        delivery = Delivery(ghost)
        prepared = delivery.prepare()
        shot = delivery.arm(prepared)
        post = colleague.read(prepared.ref)
        if colleague.saved(post, title="改过的标题")["updated_at"] == post["updated_at"]:
            break
        shot.close()
    receipt = fired(shot)
    assert "title" in where(delivery.verify(receipt))


@pytest.mark.parametrize("status", [422, 413, 403, 429, 503])
def test_other_refusals_of_the_flip(delivery: Delivery, status: int) -> None:
    """Each for whoever has to act; of a 503 nobody knows."""
    kinds = {422: Rejected, 413: Rejected, 403: Unauthorised, 429: TryLater, 503: Ambiguous}
    shot = delivery.arm(delivery.prepare())
    delivery.ghost.sandbox.knob("refuse", method="PUT", status=status, json={"errors": [{"type": "x"}]})
    with pytest.raises(OutletError) as caught:
        fired(shot)
    assert kinds[status] is type(caught.value)


def test_two_public_copies_are_counted(delivery: Delivery, colleague: Client) -> None:
    """Whoever published the twin by hand: the older one is the receipt, and the number is told."""
    late_create(delivery)
    older, newer = sorted(colleague.posts(), key=lambda post: str(post["id"]))
    for post in (newer, older):
        colleague.saved(colleague.read(post["id"]), status="published")
    found = delivery.probe(None)
    assert isinstance(found, Receipt)
    assert (older["id"], "2") == (found.ref, found.notes["copies"])


# correction


@pytest.fixture
def correction(ghost: GhostBench) -> Correction:
    return Correction(ghost)


def test_a_correction_changes_the_very_post(correction: Correction, colleague: Client) -> None:
    """Id, address, slug and date stay; title, text, summary and pictures are the new ones; a revision is kept."""
    before = colleague.read(correction.public.ref)
    prepared = correction.prepare()
    assert (False, 0) == (correction.look().visible, correction.ghost.hidden_things())
    receipt = fired(correction.arm(prepared))
    assert (correction.public.ref, correction.public.url) == (receipt.ref, receipt.url)
    matches(correction.look())
    after = colleague.read(receipt.ref)
    assert all(before[name] == after[name] for name in ("slug", "published_at", "tags", "visibility", "status"))
    assert [query for query in queries(correction.ghost) if "save_revision=true" in query]
    assert 1 == correction.ghost.public_copies()


def test_a_correction_that_ghost_would_alter_is_refused_beforehand(correction: Correction) -> None:
    """Seen on a draft, which is removed again; readers find the earlier edition, whole."""
    correction.ghost.sandbox.knob("no_cards")
    with pytest.raises(Rejected, match="altered"):
        correction.prepare()
    assert 0 == correction.ghost.hidden_things()
    matches(correction.first.verify(correction.public))


@pytest.mark.parametrize("fault", ["drop_request", "drop_answer", "answer_502"])
def test_the_draft_of_a_correction_is_never_left_behind(correction: Correction, fault: str) -> None:
    """Its removal was lost: the next try removes it, as discarding would."""
    correction.ghost.sandbox.knob(fault, method="DELETE")
    with pytest.raises(TryLater):
        correction.prepare()
    prepared = correction.prepare()
    assert 0 == correction.ghost.hidden_things()
    correction.ghost.sandbox.knob(fault, method="DELETE")
    with pytest.raises(TryLater):
        correction.prepare()
    correction.ghost.channel().discard(prepared, correction.key)
    assert 0 == correction.ghost.hidden_things()
    matches(correction.first.verify(correction.public))


def test_a_correction_of_what_is_not_public_any_more(correction: Correction, colleague: Client) -> None:
    """Noticed while arming, told by preparing, whether it was withdrawn or deleted."""
    prepared = correction.prepare()
    correction.ghost.channel().withdraw(correction.public, correction.key)
    for _ in range(2):
        with pytest.raises(Stale):
            correction.arm(prepared)
        with pytest.raises(Rejected, match="gone"):
            correction.prepare()
        assert prepared == correction.probe(prepared)
        colleague.call("DELETE", f"posts/{correction.public.ref}/")


def test_a_correction_does_not_publish_what_was_withdrawn_in_the_same_second(correction: Correction) -> None:
    """Ghost sees no collision; the status is not in the request, so a draft stays a draft."""
    shot = correction.arm(correction.prepare())
    correction.ghost.channel().withdraw(correction.public, correction.key)
    with pytest.raises(Rejected, match="gone"):
        fired(shot)
    assert 0 == correction.ghost.public_copies()


def test_a_collision_of_a_correction(correction: Correction, colleague: Client) -> None:
    """With a tag: armed anew. With another text: for a person. Withdrawn: for a person, and it stays so."""
    prepared = correction.prepare()
    shots = [correction.arm(prepared) for _ in range(3)]
    colleague.later(20)
    colleague.saved(colleague.read(correction.public.ref), tags=["交通"])
    with pytest.raises(TryLater, match="409"):
        fired(shots[0])
    colleague.saved(colleague.read(correction.public.ref), custom_excerpt="另文")
    with pytest.raises(Rejected, match="custom_excerpt"):
        fired(shots[1])
    with pytest.raises(Stale, match="custom_excerpt"):
        correction.arm(prepared)
    correction.ghost.channel().withdraw(correction.public, correction.key)
    with pytest.raises(Rejected, match="gone"):
        fired(shots[2])
    assert 0 == correction.ghost.public_copies()


def test_a_collision_with_the_correction_itself_is_success(correction: Correction, colleague: Client) -> None:
    """An earlier request of ours arrived late, and then somebody set a tag: done."""
    prepared = correction.prepare()
    shots = [correction.arm(prepared) for _ in range(2)]
    fired(shots[0])
    colleague.later(20)
    colleague.saved(colleague.read(correction.public.ref), custom_excerpt="另文")
    assert correction.public.url == fired(shots[1]).url


def test_after_a_changed_page_a_correction_puts_up_what_was_approved(correction: Correction, colleague: Client) -> None:
    """Prepared after the change, it begins from what is there."""
    colleague.saved(colleague.read(correction.public.ref), "source=html", html="<p>另文</p>", custom_excerpt=None)
    correction.publish()
    matches(correction.look())


def test_a_lost_correction_is_found_in_that_post_alone(correction: Correction) -> None:
    """By the mark of the delivery in its article."""
    prepared = correction.prepare()
    correction.ghost.fault("drop_answer", "correct")
    with pytest.raises(Ambiguous):
        fired(correction.arm(prepared))
    found = correction.probe(prepared)
    assert isinstance(found, Receipt)
    assert correction.public.ref == found.ref
    matches(correction.look())


def test_a_correction_that_changes_nothing_to_see_is_still_told_apart(ghost: GhostBench) -> None:
    """The same words: only the mark says which edition stands there."""
    correction = Correction(ghost, replace(EDITION, revision=2))
    prepared = correction.prepare()
    assert (False, prepared) == (correction.look().visible, correction.probe(prepared))
    fired(correction.arm(prepared))
    matches(correction.look())


def test_a_correction_is_corrected_again_and_withdrawn(correction: Correction) -> None:
    """The receipt of the correction leads to the next one."""
    receipt = correction.publish()
    again = Delivery(correction.ghost, EDITION, receipt)
    changed = again.publish()
    matches(again.verify(changed, correction.rendition))
    correction.ghost.channel().withdraw(changed, correction.key)
    assert not again.verify(changed).visible


# withdrawal


def test_a_withdrawn_post_is_a_draft_of_the_same_id(delivery: Delivery, colleague: Client) -> None:
    """404 for readers, and it can come back; once more, and of what was deleted, it is success."""
    receipt = delivery.publish()
    delivery.ghost.channel().withdraw(receipt, delivery.key)
    assert ("draft", 404) == (colleague.read(receipt.ref)["status"], colleague.see(receipt.url).status_code)
    assert not delivery.verify(receipt).visible
    before = len(delivery.ghost.sandbox.record())
    delivery.ghost.channel().withdraw(receipt, delivery.key)
    assert ["GET"] == [line["method"] for line in delivery.ghost.sandbox.record()[before:]]
    colleague.saved(colleague.read(receipt.ref), status="published")
    assert receipt.url == colleague.read(receipt.ref)["url"]
    matches(delivery.verify(receipt))
    colleague.call("DELETE", f"posts/{receipt.ref}/")
    delivery.ghost.channel().withdraw(receipt, delivery.key)
    assert not delivery.verify(receipt).visible


def test_a_withdrawal_that_collides_or_is_ignored_is_repeated(delivery: Delivery, colleague: Client) -> None:
    """Somebody saved it just then; or the server says that it is published still."""
    receipt = delivery.publish()
    collision = {"errors": [{"type": "UpdateCollisionError", "code": "UPDATE_COLLISION"}]}
    delivery.ghost.sandbox.knob("refuse", method="PUT", status=409, json=collision)
    with pytest.raises(TryLater):
        delivery.ghost.channel().withdraw(receipt, delivery.key)
    delivery.ghost.sandbox.knob("error_body", method="PUT", json={"posts": [colleague.read(receipt.ref)]})
    with pytest.raises(Rejected, match="still published"):
        delivery.ghost.channel().withdraw(receipt, delivery.key)
    delivery.ghost.channel().withdraw(receipt, delivery.key)
    assert not delivery.verify(receipt).visible


def test_what_was_public_before_a_restart_of_the_outlet_is_corrected_and_withdrawn(tmp_path: Path) -> None:
    """The sandbox keeps posts and pictures, at the same address."""
    home = tmp_path / "sandbox"
    with server("channels.sandbox.ghost", home) as running:
        first = Delivery(GhostBench(running))
        receipt = first.publish()
        first.ghost.close()
    with server("channels.sandbox.ghost", home) as running:
        ghost = GhostBench(running)
        matches(ghost.channel().verify(receipt, first.rendition))
        again = Delivery(ghost, CORRECTED, receipt)
        again.key = Key("contract-suite", "after the restart")
        again.rendition = ghost.channel().render(CORRECTED, Place(again.key, CANONICAL, receipt))
        matches(again.verify(again.publish(), first.rendition))
        ghost.channel().withdraw(receipt, again.key)
        assert not again.verify(receipt).visible
        ghost.close()
