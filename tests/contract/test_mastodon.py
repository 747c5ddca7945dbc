"""What is peculiar to the Mastodon channel: the text it makes, how it recognises its own, what it does about media."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from channels import mastodon_post as post
from channels.mastodon import MastodonChannel
from sync.contract import Accepted, Ambiguous, Place, Prepared, Receipt, Rejected, Stale, TryLater, Unsupported
from sync.model import Asset, AssetRole, Edition, Key, Outlet, Rendition, Sighting, Token, sha256
from sync.render import Templates
from tests.contract.bench import CLOCK, server, window
from tests.contract.bench_mastodon import BLOBS, EDITION, OTHER_PICTURE, PICTURE, MastodonBench, bench

CANONICAL = "https://county.example/2026/11/12.html"
PAGES = Templates()


@pytest.fixture
def mastodon(tmp_path: Path) -> Iterator[MastodonBench]:
    with bench(tmp_path) as made:
        assert isinstance(made, MastodonBench)
        yield made


def edition(title: str = "标题", body: str = "<p></p>", **metadata: str | tuple[str, ...]) -> Edition:
    return Edition("item", 1, title, body, metadata)


# text


def test_a_short_item_goes_whole() -> None:
    """Title, summary, address, tags, each a paragraph."""
    text = post.compose(PAGES, edition("停水通知", summary="今晚停水。", topics=("供水", "便民")), CANONICAL)
    assert f"停水通知\n\n今晚停水。\n\n{CANONICAL}\n\n#供水 #便民" == text


def test_a_long_summary_ends_with_a_whole_sentence() -> None:
    """As much as fits in 500 with the address counted as 23; numbers and addresses inside are no ends."""
    first = "面积 3.5 平方公里，见 https://a.example/?x=1.2 一文。"
    sentence = "甲" * 99 + "。"
    text = post.compose(PAGES, edition("标题", summary=first + sentence * 9), CANONICAL)
    assert f"标题\n\n{first}{sentence * 4}\n\n{CANONICAL}" == text
    assert post.length(text) <= post.TEXT_LIMIT


@pytest.mark.parametrize("summary", ["甲" * 600, "word " * 150 + "."])
def test_a_sentence_that_does_not_fit_is_left_out_whole(summary: str) -> None:
    """Better no lead than half a one."""
    assert f"标题\n\n{CANONICAL}" == post.compose(PAGES, edition("标题", summary=summary), CANONICAL)


def test_without_a_summary_the_body_speaks() -> None:
    """Its paragraphs as lines; tables are left to the canonical page."""
    body = "<h2>一、时间</h2><p>今晚八时。</p><table><tr><td>12</td></tr></table><p>特此通知</p>"
    assert f"标题\n\n一、时间\n今晚八时。\n特此通知\n\n{CANONICAL}" == post.compose(
        PAGES, edition("标题", body), CANONICAL
    )


def test_tags_only_where_they_fit_and_hold() -> None:
    """No spaces, no marks, not all digits, at most three; none when there is no room."""
    topics = ("两 词", "2026", "a-b", "交通", "超过十二个字的主题分类名称不作标签", "供水", "便民", "教育")
    assert post.compose(PAGES, edition(topics=topics), CANONICAL).endswith("#交通 #供水 #便民")
    assert post.compose(PAGES, edition("题" * 475, topics=topics), CANONICAL).endswith(CANONICAL)


def test_a_title_is_never_cut(mastodon: MastodonBench) -> None:
    """Told before anything is sent."""
    long = edition("题" * 476)
    channel = mastodon.channel()
    assert [True] == [problem.fatal for problem in channel.check(long)]
    with pytest.raises(Unsupported):
        channel.render(long, Place(mastodon.key(), CANONICAL))
    channel.render(edition("题" * 475), Place(mastodon.key(), CANONICAL))


def test_pictures_are_chosen_cover_first() -> None:
    """Four at most, each once, no attachments, nothing the server cannot show."""
    assets = [
        *(Asset(f"d{number}", "image/png", 1, f"{number}.png", AssetRole.IMAGE) for number in range(5)),
        Asset("d1", "image/png", 1, "again.png", AssetRole.IMAGE),
        Asset("v", "image/svg+xml", 1, "v.svg", AssetRole.IMAGE),
        Asset("a", "image/png", 1, "a.png", AssetRole.ATTACHMENT),
        Asset("c", "image/jpeg", 1, "c.jpg", AssetRole.COVER),
    ]
    chosen = post.pictures(replace(EDITION, assets=tuple(assets)))
    assert ["c", "d0", "d1", "d2"] == [asset.digest for asset in chosen]


def test_what_the_server_shows_is_read_back_exactly(mastodon: MastodonBench) -> None:
    """Marks that HTML, tags and links care about survive the round trip."""
    awkward = edition(
        "“引号” <b> & 12%，#标签 与 a_b",
        summary="见 https://a.example/b?c=1&d=2#e，或 http://b.example/x_(y) 等。末行！",
        topics=("便民",),
    )
    assert () == publish(mastodon, awkward).problems


def publish(mastodon: MastodonBench, given: Edition) -> Sighting:
    rendition, receipt = published(mastodon, given)
    return mastodon.channel().verify(receipt, rendition)


def published(mastodon: MastodonBench, given: Edition) -> tuple[Rendition, Receipt]:
    key = mastodon.key()
    rendition = mastodon.channel().render(given, Place(key, CANONICAL))
    receipt = sent(mastodon, mastodon.channel().prepare(rendition, key), rendition, key)
    assert isinstance(receipt, Receipt)
    return rendition, receipt


def sent(mastodon: MastodonBench, prepared: Prepared, rendition: Rendition, key: Key) -> Receipt | Accepted:
    shot = mastodon.channel().arm(prepared, rendition, key)
    shot.send(window(), CLOCK.boottime)
    return shot.settle()


# twin


def test_the_twin_keeps_nothing_of_the_configured_host() -> None:
    """Address and token replaced, never live; what shapes the text is kept."""
    real = Outlet(
        "town",
        "unit",
        "mastodon",
        {"base_url": "https://real.example", "visibility": "unlisted", "language": "en"},
        {"access_token": "real-token"},
        live=True,
    )
    twin = MastodonChannel.twin(real, "http://127.0.0.1:1", "/tmp/x")
    assert {"base_url": "http://127.0.0.1:1", "visibility": "unlisted", "language": "en"} == dict(twin.settings)
    assert {"access_token": "sandbox-town"} == dict(twin.secrets)
    assert (False, True, "town") == (twin.live, twin.private_network, twin.name)


# doubt


def test_without_a_canonical_address_nothing_can_be_found(mastodon: MastodonBench) -> None:
    """The probe says so; it does not guess."""
    key = mastodon.key()
    rendition = mastodon.channel().render(EDITION, Place(mastodon.key(), None))
    with pytest.raises(Unsupported):
        mastodon.channel().probe(rendition, key, None)


def test_an_older_edition_at_the_same_address_is_not_this_delivery(mastodon: MastodonBench) -> None:
    """A correction is prepared after it; whatever it finds has to be newer."""
    publish(mastodon, EDITION)
    corrected = replace(EDITION, revision=2, title="关于开通13路乡村公交环线的通告")
    channel, key = mastodon.channel(), mastodon.key()
    rendition = channel.render(corrected, Place(mastodon.key(), CANONICAL))
    assert channel.probe(rendition, key, None) is None
    prepared = channel.prepare(rendition, key)
    assert prepared == channel.probe(rendition, key, prepared)


def test_two_copies_are_counted(mastodon: MastodonBench) -> None:
    """On a server that ignores the key: the older one is the receipt, and the number is told."""
    mastodon.sandbox.knob("ignore_key")
    channel, key = mastodon.channel(), mastodon.key()
    rendition = mastodon.render(key)
    bare = replace(rendition, files=())
    prepared = channel.prepare(bare, key)
    refs = []
    for _ in range(2):
        shot = channel.arm(prepared, bare, key)
        shot.send(window(), CLOCK.boottime)
        receipt = shot.settle()
        assert isinstance(receipt, Receipt)
        refs.append(receipt.ref)
    found = channel.probe(bare, key, prepared)
    assert isinstance(found, Receipt)
    assert (refs[0], "2") == (found.ref, found.notes["copies"])


def test_a_probe_looks_past_the_first_page(mastodon: MastodonBench) -> None:
    """Others may post a lot through the same account meanwhile."""
    channel, key = mastodon.channel(), mastodon.key()
    rendition = mastodon.render(key)
    prepared = channel.prepare(rendition, key)
    shot = channel.arm(prepared, rendition, key)
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    for number in range(45):
        mastodon.sandbox.ask("POST", "/api/v1/statuses", {"status": f"note {number}"}, token="sandbox-town")
    found = channel.probe(rendition, key, prepared)
    assert isinstance(found, Receipt) and isinstance(receipt, Receipt)
    assert receipt.ref == found.ref


def test_a_probe_that_cannot_look_is_no_absence(mastodon: MastodonBench) -> None:
    """An error, not None."""
    key = mastodon.key()
    rendition = mastodon.render(key)
    prepared = mastodon.channel().prepare(rendition, key)
    mastodon.sandbox.knob("refuse", path="/api/v1/accounts/*")
    with pytest.raises(TryLater):
        mastodon.channel().probe(rendition, key, prepared)


def test_readers_over_the_limit_come_back_when_told(mastodon: MastodonBench) -> None:
    """Reading after the release uses up the anonymous budget; its end is an instant, for every reader."""
    mastodon.sandbox.knob("refuse", status=429, headers={"X-RateLimit-Reset": "2099-01-01T00:00:00Z"}, method="GET")
    key = mastodon.key()
    with pytest.raises(TryLater) as caught:
        mastodon.channel().verify(Receipt("1", "", 0), mastodon.render(key))
    assert (4_070_908_800_000_000, "") == (caught.value.not_before, caught.value.of)


def test_a_status_in_trouble_says_nothing_of_the_others(mastodon: MastodonBench) -> None:
    """Mastodon tells with every answer when its count begins anew: where no limit was reached, nobody waits for it."""
    headers = {"X-RateLimit-Reset": "2099-01-01T00:00:00Z"}
    mastodon.sandbox.knob("refuse", status=503, headers=headers, times=2)
    with pytest.raises(TryLater) as caught:
        mastodon.channel().verify(Receipt("1", "", 0), mastodon.render(mastodon.key()))
    assert (None, None) == (caught.value.not_before, caught.value.of)
    with pytest.raises(TryLater) as caught:
        mastodon.channel().login()
    assert caught.value.not_before is None


def test_a_lost_upload_is_nothing_that_happened(mastodon: MastodonBench) -> None:
    """The orphan is forgotten by the server; the same item goes out once, however often it was public before."""
    publish(mastodon, EDITION)
    mastodon.sandbox.knob("drop_answer", path="/api/v2/media")
    rendition = mastodon.channel().render(EDITION, Place(mastodon.key(), CANONICAL))
    with pytest.raises(TryLater) as caught:
        mastodon.channel().prepare(rendition, mastodon.key())
    assert not isinstance(caught.value, Ambiguous)


# the same item once more


def test_published_again_an_older_copy_is_not_taken_for_it(mastodon: MastodonBench) -> None:
    """Text, pictures and address are the same, and its request was lost: prepared, not public."""
    published(mastodon, EDITION)
    key = mastodon.key()
    rendition = mastodon.channel().render(EDITION, Place(key, CANONICAL))
    prepared = mastodon.channel().prepare(rendition, key)
    mastodon.fault("drop_request", "release")
    with pytest.raises(Ambiguous):
        sent(mastodon, prepared, rendition, key)
    assert prepared == mastodon.channel().probe(rendition, key, prepared)
    sent(mastodon, prepared, rendition, key)
    assert 2 == mastodon.public_copies()


def test_published_again_a_copy_that_overtook_it_is_not_taken_for_it(mastodon: MastodonBench) -> None:
    """Both prepared, then one goes out: newer than the other's preparation, and told apart by its pictures."""
    first, second = mastodon.key(), mastodon.key()
    rendition = mastodon.channel().render(EDITION, Place(first, CANONICAL))
    prepared = {key: mastodon.channel().prepare(rendition, key) for key in (first, second)}
    receipt = sent(mastodon, prepared[first], rendition, first)
    assert prepared[second] == mastodon.channel().probe(rendition, second, prepared[second])
    found = mastodon.channel().probe(rendition, first, prepared[first])
    assert isinstance(found, Receipt) and isinstance(receipt, Receipt)
    assert (receipt.ref, None) == (found.ref, found.notes.get("copies"))


# correction

CORRECTED = replace(
    EDITION,
    revision=2,
    body=EDITION.body.replace(sha256(PICTURE), sha256(OTHER_PICTURE)),
    metadata={**EDITION.metadata, "summary": "自12月2日起，12路乡村公交环线试运行，首班06:40。"},
    assets=(replace(EDITION.assets[0], digest=sha256(OTHER_PICTURE), size=len(OTHER_PICTURE), alt="更正后的线路图"),),
)


class Correction:
    """EDITION is public; another edition is to take its place."""

    def __init__(self, mastodon: MastodonBench, to: Edition = CORRECTED) -> None:
        self.mastodon, self.key = mastodon, mastodon.key()
        self.before, self.public = published(mastodon, EDITION)
        self.rendition = mastodon.channel().render(to, Place(self.key, CANONICAL, self.public))

    def prepare(self) -> Prepared:
        return self.mastodon.channel().prepare(self.rendition, self.key, self.public)

    def send(self, prepared: Prepared) -> Receipt:
        receipt = sent(self.mastodon, prepared, self.rendition, self.key)
        assert isinstance(receipt, Receipt)
        return receipt

    def probe(self, hint: Prepared | None) -> object:
        return self.mastodon.channel().probe(self.rendition, self.key, hint, self.public)

    def verify(self) -> Sighting:
        return self.mastodon.channel().verify(self.public, self.rendition, self.before)

    def edits(self) -> int:
        return sum(line["effect"] == "post_edited" for line in self.mastodon.sandbox.record())


@pytest.fixture
def correction(mastodon: MastodonBench) -> Correction:
    return Correction(mastodon)


def test_a_correction_edits_the_very_status(correction: Correction) -> None:
    """Id and address stay; text, picture and description are the new ones; preparing shows nothing."""
    prepared = correction.prepare()
    assert not correction.verify().visible
    receipt = correction.send(prepared)
    assert (correction.public.ref, correction.public.url) == (receipt.ref, receipt.url)
    assert receipt.notes["edited"]
    sighting = correction.verify()
    assert (True, ()) == (sighting.visible, sighting.problems)
    assert 1 == correction.mastodon.public_copies()


@pytest.mark.parametrize("changed", ["picture", "description"])
def test_a_correction_of_a_picture_alone_is_not_visible_before_it_is(mastodon: MastodonBench, changed: str) -> None:
    """The text is the same on both sides: only the picture, or its description, tells."""
    (old,) = EDITION.assets
    new = (
        replace(old, digest=sha256(OTHER_PICTURE), size=len(OTHER_PICTURE))
        if changed == "picture"
        else replace(old, alt="更正后的说明")
    )
    correction = Correction(mastodon, replace(EDITION, revision=2, assets=(new,)))
    prepared = correction.prepare()
    assert (False, prepared) == (correction.verify().visible, correction.probe(prepared))
    receipt = correction.send(prepared)
    sighting = correction.verify()
    assert (True, ()) == (sighting.visible, sighting.problems)
    assert receipt == replace(correction.probe(prepared), at=receipt.at)  # type: ignore[type-var]


@pytest.mark.parametrize("fault", ["drop_answer", "answer_502"])
def test_a_lost_answer_to_an_edit_is_found_in_that_status(correction: Correction, fault: str) -> None:
    """Done, and we were not told; nothing else that bears the address is looked at."""
    prepared = correction.prepare()
    correction.mastodon.fault(fault, "correct")
    with pytest.raises(Ambiguous):
        correction.send(prepared)
    found = correction.probe(prepared)
    assert isinstance(found, Receipt)
    assert correction.public.ref == found.ref
    assert (1, 1) == (correction.edits(), correction.mastodon.public_copies())


def test_a_lost_edit_is_not_taken_for_done(correction: Correction) -> None:
    """The status that is there shows the earlier edition: send it once more."""
    prepared = correction.prepare()
    correction.mastodon.fault("drop_request", "correct")
    with pytest.raises(Ambiguous):
        correction.send(prepared)
    assert prepared == correction.probe(prepared)
    correction.send(prepared)
    assert () == correction.verify().problems


def test_a_correction_that_changes_nothing_here_is_not_found_before_it_was_sent(mastodon: MastodonBench) -> None:
    """The same text and the same picture as are public already: without the preparation nothing is claimed."""
    correction = Correction(mastodon, replace(EDITION, revision=2))
    assert correction.probe(None) is None
    prepared = correction.prepare()
    assert prepared == correction.probe(prepared)
    correction.send(prepared)
    assert isinstance(correction.probe(prepared), Receipt)


def test_an_edit_is_found_without_its_preparation(correction: Correction) -> None:
    """After a restore nobody knows what was uploaded: text and pictures are compared as a reader sees them."""
    correction.send(correction.prepare())
    assert isinstance(correction.probe(None), Receipt)
    other = mastodon_edit(correction, status="别的")
    assert correction.probe(None) is None and other["edited_at"]


def mastodon_edit(correction: Correction, **given: object) -> dict[str, object]:
    """A colleague edits it by another client."""
    path = f"/api/v1/statuses/{correction.public.ref}"
    answer: dict[str, object] = correction.mastodon.sandbox.ask("PUT", path, given, token="sandbox-town")
    return answer


def test_a_status_that_is_gone_cannot_be_corrected(correction: Correction) -> None:
    """Noticed while arming, told by preparing: the editor has to publish it anew."""
    prepared = correction.prepare()
    correction.mastodon.channel().withdraw(correction.public, correction.key)
    with pytest.raises(Stale):
        correction.mastodon.channel().arm(prepared, correction.rendition, correction.key)
    with pytest.raises(Rejected, match="gone"):
        correction.prepare()
    assert prepared == correction.probe(prepared)


def test_a_server_without_edits_refuses(correction: Correction) -> None:
    """404 to the edit of a status that is there; nothing changed."""
    prepared = correction.prepare()
    correction.mastodon.sandbox.knob("no_edit")
    with pytest.raises(Rejected):
        correction.send(prepared)
    assert not correction.verify().visible


def test_a_server_that_ignores_the_edit_is_not_visible(correction: Correction) -> None:
    """200 proves nothing; the page does."""
    correction.mastodon.sandbox.knob("ignore_edit")
    correction.send(correction.prepare())
    assert not correction.verify().visible


def test_a_server_that_ignores_new_pictures_is_told(correction: Correction) -> None:
    """The new text beside the old picture is visible, and not what was approved."""
    correction.mastodon.sandbox.knob("ignore_edited_media")
    correction.send(correction.prepare())
    sighting = correction.verify()
    assert sighting.visible
    assert {"image", "text"} == {problem.where for problem in sighting.problems}


def test_a_correction_is_corrected_again(correction: Correction) -> None:
    """The receipt of the correction leads to the next one; the history keeps all three."""
    receipt = correction.send(correction.prepare())
    channel, key = correction.mastodon.channel(), correction.mastodon.key()
    rendition = channel.render(EDITION, Place(key, CANONICAL, receipt))
    prepared = channel.prepare(rendition, key, receipt)
    again = sent(correction.mastodon, prepared, rendition, key)
    assert isinstance(again, Receipt)
    assert () == channel.verify(again, rendition, correction.rendition).problems
    assert 3 == len(correction.mastodon.sandbox.ask("GET", f"/api/v1/statuses/{again.ref}/history"))


# withdrawal


def test_a_withdrawn_status_is_gone_with_its_pictures(mastodon: MastodonBench) -> None:
    """An anonymous reader finds nothing; once more is success."""
    rendition, receipt = published(mastodon, EDITION)
    picture = mastodon.sandbox.ask("GET", f"/api/v1/statuses/{receipt.ref}")["media_attachments"][0]["url"]
    for _ in range(2):
        mastodon.channel().withdraw(receipt, mastodon.key())
    assert not mastodon.channel().verify(receipt, rendition).visible
    assert 404 == mastodon.tools.http.read(picture).status


@pytest.mark.parametrize("fault", ["drop_answer", "drop_request", "answer_502"])
def test_a_withdrawal_without_an_answer_is_repeated(mastodon: MastodonBench, fault: str) -> None:
    """Whether it was done or not, asking again is right."""
    rendition, receipt = published(mastodon, EDITION)
    mastodon.fault(fault, "withdraw")
    with pytest.raises(TryLater):
        mastodon.channel().withdraw(receipt, mastodon.key())
    mastodon.channel().withdraw(receipt, mastodon.key())
    assert not mastodon.channel().verify(receipt, rendition).visible


def test_a_receipt_of_the_version_before_is_corrected_and_withdrawn(mastodon: MastodonBench) -> None:
    """It says nothing about edits; what it names is enough."""
    correction = Correction(mastodon)
    correction.public = replace(correction.public, notes={"visibility": "public"})
    correction.send(correction.prepare())
    assert isinstance(correction.probe(None), Receipt)
    mastodon.channel().withdraw(correction.public, correction.key)
    assert 0 == mastodon.public_copies()


def test_what_was_public_before_a_restart_of_the_outlet_is_corrected_and_withdrawn(tmp_path: Path) -> None:
    """The sandbox keeps its statuses and pictures, at the same address."""
    home = tmp_path / "sandbox"
    with server("channels.sandbox.mastodon", home) as running:
        first = MastodonBench(running)
        before, receipt = published(first, EDITION)
        first.close()
    with server("channels.sandbox.mastodon", home) as running:
        mastodon = MastodonBench(running)
        assert () == mastodon.channel().verify(receipt, before).problems
        key = mastodon.key()
        rendition = mastodon.channel().render(CORRECTED, Place(key, CANONICAL, receipt))
        sent(mastodon, mastodon.channel().prepare(rendition, key, receipt), rendition, key)
        assert () == mastodon.channel().verify(receipt, rendition, before).problems
        mastodon.channel().withdraw(receipt, key)
        assert not mastodon.channel().verify(receipt, rendition).visible
        mastodon.close()


# media


def test_a_picture_in_process_holds_up_the_arming_and_is_not_uploaded_again(mastodon: MastodonBench) -> None:
    """Nobody waits in prepare; what was uploaded is armed once the server has done with it."""
    mastodon.sandbox.knob("slow_media", seconds=1.0)
    key = mastodon.key()
    rendition = mastodon.render(key)
    prepared = mastodon.channel().prepare(rendition, key)
    with pytest.raises(TryLater):
        mastodon.channel().arm(prepared, rendition, key)
    ends = time.monotonic() + 20
    while True:
        try:
            shot = mastodon.channel().arm(prepared, rendition, key)
            break
        except TryLater:
            assert time.monotonic() < ends
            time.sleep(0.05)
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    assert () == mastodon.channel().verify(receipt, rendition).problems
    assert 1 == [line["effect"] for line in mastodon.sandbox.record() if line["applied"]].count("media_uploaded")


def test_a_picture_that_is_too_large_is_reduced_and_recognised(mastodon: MastodonBench) -> None:
    """More pixels than an instance takes: fewer of them, and still the same picture to a reader."""
    large = io.BytesIO()
    Image.new("RGB", (7000, 5000), "#17509e").save(large, "PNG")
    digest = sha256(large.getvalue())
    BLOBS[digest] = large.getvalue()
    asset = Asset(digest, "image/png", len(large.getvalue()), "large.png", AssetRole.IMAGE, "蓝")
    given = replace(EDITION, assets=(asset,), body=f'<p><img src="asset:{digest}" alt="蓝"></p>')
    assert [] == [problem for problem in mastodon.channel().check(given) if problem.fatal]
    key = mastodon.key()
    rendition = mastodon.channel().render(given, Place(key, mastodon.canonical(key)))
    shot = mastodon.channel().arm(mastodon.channel().prepare(rendition, key), rendition, key)
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    assert () == mastodon.channel().verify(receipt, rendition).problems


def test_forgotten_pictures_make_it_stale(mastodon: MastodonBench) -> None:
    """Found out when arming, in time to prepare again."""
    key = mastodon.key()
    rendition = mastodon.render(key)
    prepared = mastodon.channel().prepare(rendition, key)
    mastodon.sandbox.knob("orphan_ttl", seconds=0)
    with pytest.raises(Stale):
        mastodon.channel().arm(prepared, rendition, key)


def test_prepared_says_how_long_it_is_good_for(mastodon: MastodonBench) -> None:
    """Less than the day after which the server forgets."""
    key = mastodon.key()
    prepared = mastodon.channel().prepare(mastodon.render(key), key)
    assert prepared.fresh_until is not None
    assert 0 < prepared.fresh_until - time.time_ns() // 1000 < 24 * 3600 * 1_000_000


def test_the_description_of_a_picture_counts(mastodon: MastodonBench) -> None:
    """It is text that some readers have instead of the picture."""
    key = mastodon.key()
    rendition = mastodon.render(key)
    assert Token("text", "12路线路图") in rendition.shown
    shot = mastodon.channel().arm(mastodon.channel().prepare(rendition, key), rendition, key)
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    other = replace(rendition, shown=tuple(t for t in rendition.shown if t.value != "12路线路图"))
    assert mastodon.channel().verify(receipt, other).problems


def test_a_refused_status_is_for_the_editor(mastodon: MastodonBench) -> None:
    """The outlet's own words arrive."""
    key = mastodon.key()
    rendition = replace(mastodon.render(key), content="字" * 501)
    prepared = mastodon.channel().prepare(rendition, key)
    shot = mastodon.channel().arm(prepared, rendition, key)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Rejected, match="character limit"):
        shot.settle()
