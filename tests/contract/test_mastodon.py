"""What is peculiar to the Mastodon channel: the text it makes, how it recognises its own, what it does about media."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from channels import mastodon_post as post
from channels.mastodon import MastodonChannel
from sync.contract import Place, Receipt, Rejected, Stale, TryLater, Unsupported
from sync.model import Asset, AssetRole, Edition, Outlet, Sighting, Token
from tests.contract.bench import CLOCK, window
from tests.contract.bench_mastodon import EDITION, MastodonBench, bench

CANONICAL = "https://county.example/2026/11/12.html"


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
    text = post.compose(edition("停水通知", summary="今晚停水。", topics=("供水", "便民")), CANONICAL)
    assert f"停水通知\n\n今晚停水。\n\n{CANONICAL}\n\n#供水 #便民" == text


def test_a_long_summary_ends_with_a_whole_sentence() -> None:
    """As much as fits in 500 with the address counted as 23; numbers and addresses inside are no ends."""
    first = "面积 3.5 平方公里，见 https://a.example/?x=1.2 一文。"
    sentence = "甲" * 99 + "。"
    text = post.compose(edition("标题", summary=first + sentence * 9), CANONICAL)
    assert f"标题\n\n{first}{sentence * 4}\n\n{CANONICAL}" == text
    assert post.length(text) <= post.TEXT_LIMIT


@pytest.mark.parametrize("summary", ["甲" * 600, "word " * 150 + "."])
def test_a_sentence_that_does_not_fit_is_left_out_whole(summary: str) -> None:
    """Better no lead than half a one."""
    assert f"标题\n\n{CANONICAL}" == post.compose(edition("标题", summary=summary), CANONICAL)


def test_without_a_summary_the_body_speaks() -> None:
    """Its paragraphs as lines; tables are left to the canonical page."""
    body = "<h2>一、时间</h2><p>今晚八时。</p><table><tr><td>12</td></tr></table><p>特此通知</p>"
    assert f"标题\n\n一、时间\n今晚八时。\n特此通知\n\n{CANONICAL}" == post.compose(edition("标题", body), CANONICAL)


def test_tags_only_where_they_fit_and_hold() -> None:
    """No spaces, no marks, not all digits, at most three; none when there is no room."""
    topics = ("两 词", "2026", "a-b", "交通", "超过十二个字的主题分类名称不作标签", "供水", "便民", "教育")
    assert post.compose(edition(topics=topics), CANONICAL).endswith("#交通 #供水 #便民")
    assert post.compose(edition("题" * 475, topics=topics), CANONICAL).endswith(CANONICAL)


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
    channel, key = mastodon.channel(), mastodon.key()
    rendition = channel.render(given, Place(mastodon.key(), CANONICAL))
    shot = channel.arm(channel.prepare(rendition, key), rendition, key)
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    return channel.verify(receipt, rendition)


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
    """Reading after the release uses up the anonymous budget; its end is an instant."""
    mastodon.sandbox.knob("refuse", status=429, headers={"X-RateLimit-Reset": "2099-01-01T00:00:00Z"}, method="GET")
    key = mastodon.key()
    with pytest.raises(TryLater) as caught:
        mastodon.channel().verify(Receipt("1", "", 0), mastodon.render(key))
    assert 4_070_908_800_000_000 == caught.value.not_before


# media


def test_a_picture_in_process_is_try_later(mastodon: MastodonBench) -> None:
    """Nobody waits in prepare."""
    mastodon.sandbox.knob("slow_media", seconds=60)
    key = mastodon.key()
    with pytest.raises(TryLater):
        mastodon.channel().prepare(mastodon.render(key), key)


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
