"""What is peculiar to the webhook channel: its events over the wire, keys, doubt, corrections, withdrawals."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from channels.webhook import WebhookChannel
from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    OutletError,
    Place,
    Prepared,
    Receipt,
    Rejected,
    Shot,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import Edition, Key, Rendition
from tests.contract.bench import CLOCK, window
from tests.contract.bench_webhook import EDITION, WRONG, WebhookBench, bench

NEWER = replace(EDITION, revision=2, title="关于12路乡村公交环线延期的通告", body="<p>改为12月8日起试运行。</p>")
PAGELESS = {"public_url_template": "", "staged": "no"}


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[WebhookBench]:
    with bench(tmp_path) as made:
        assert isinstance(made, WebhookBench)
        yield made


def armed(
    channel: WebhookChannel, rendition: Rendition, key: Key, replaces: Receipt | None = None
) -> tuple[Prepared, Shot]:
    prepared = channel.prepare(rendition, key, replaces)
    return prepared, channel.arm(prepared, rendition, key)


def fired(shot: Shot) -> Receipt:
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    return receipt


def publish(
    webhook: WebhookBench, channel: WebhookChannel, edition: Edition = EDITION, replaces: Receipt | None = None
) -> tuple[Receipt, Rendition]:
    key = webhook.key()
    rendition = channel.render(edition, Place(key, webhook.canonical(key)))
    return fired(armed(channel, rendition, key, replaces)[1]), rendition


def events(webhook: WebhookBench) -> list[tuple[str, str]]:
    """Every event that reached the receiver and was believed: type, and what it did."""
    told = [line for line in webhook.sandbox.record() if "type" in line["detail"]]
    return [(line["detail"]["type"], line["detail"].get("ignored", line["effect"])) for line in told]


# events


def test_one_delivery_is_announced_published_corrected_and_withdrawn(webhook: WebhookBench) -> None:
    """Each as its own event, at one address, and each is what the public sees."""
    channel = webhook.channel()
    receipt, first = publish(webhook, channel)
    assert () == channel.verify(receipt, first).problems
    corrected, second = publish(webhook, channel, NEWER, receipt)
    assert (receipt.ref, receipt.url) == (corrected.ref, corrected.url)
    assert () == channel.verify(corrected, second, before=first).problems
    assert channel.verify(receipt, first).visible is False
    key = webhook.key()
    channel.withdraw(corrected, key)
    channel.withdraw(corrected, key)
    assert channel.verify(corrected, second).visible is False
    assert [
        ("item.staged", "staged"),
        ("item.published", "published"),
        ("item.staged", "staged"),
        ("item.updated", "updated"),
        ("item.withdrawn", "withdrawn"),
        ("item.withdrawn", "id"),
    ] == events(webhook)


def test_a_correction_says_what_it_corrects(webhook: WebhookBench) -> None:
    """The revision that is public, so that a receiver can tell what came between."""
    channel = webhook.channel()
    receipt, _ = publish(webhook, channel)
    publish(webhook, channel, NEWER, receipt)
    told = [line["detail"] for line in webhook.sandbox.record() if line["effect"] in ("published", "updated")]
    assert [(1, None), (2, 1)] == [(one["revision"], one["replaces"]) for one in told]


def test_only_who_wants_announcements_gets_them(webhook: WebhookBench) -> None:
    """The others are asked whether our signature is good, and told nothing of the item."""
    channel = webhook.configured(staged="no")
    key = webhook.key()
    prepared = channel.prepare(webhook.render(key), key)
    channel.discard(prepared, key)
    assert [("outlet.check", "")] == events(webhook)
    assert [] == [line for line in webhook.sandbox.record() if "item" in line["detail"]]


def test_the_planned_instant_is_announced_when_it_is_known(webhook: WebhookBench) -> None:
    """At arming, ahead of the instant; for one that has passed there is nothing to announce."""
    channel, key = webhook.channel(), webhook.key()
    rendition = webhook.render(key)
    prepared = channel.prepare(rendition, key)
    ahead = replace(prepared, notes={**prepared.notes, "release_at": str(CLOCK.now() + 30 * SECOND)})
    channel.arm(ahead, rendition, key).close()
    channel.arm(ahead, rendition, key).close()
    late = replace(prepared, notes={**prepared.notes, "release_at": str(CLOCK.now() - 30 * SECOND)})
    channel.arm(late, rendition, key).close()
    assert [("item.staged", "staged"), ("item.staged", "staged"), ("item.staged", "id")] == events(webhook)


def test_a_shot_is_signed_for_the_second_of_its_instant(webhook: WebhookBench) -> None:
    """A late one for now: the receiver would refuse the planned second."""
    channel, key = webhook.channel(), webhook.key()
    rendition = webhook.render(key)
    prepared = channel.prepare(rendition, key)
    for instant in (CLOCK.now() + 100 * SECOND, CLOCK.now() - 3600 * SECOND):
        noted = replace(prepared, notes={**prepared.notes, "release_at": str(instant)})
        fired(channel.arm(noted, rendition, key))
    signed = [
        int(line["detail"]["signed_for"])
        for line in webhook.sandbox.record()
        if line["detail"].get("type") == "item.published"
    ]
    now = CLOCK.now() // SECOND
    assert abs(signed[0] - now - 100) <= 3 and abs(signed[1] - now) <= 3


def test_a_large_item_goes_as_summary(webhook: WebhookBench) -> None:
    """The public sees summary and link to the original; a lost link is told."""
    large = replace(EDITION, body=f"<p>{'长' * 8_000}</p>", assets=())
    channel = webhook.channel()
    receipt, rendition = publish(webhook, channel, large)
    assert () == channel.verify(receipt, rendition).problems
    assert ["summary"] == [
        line["detail"]["content"] for line in webhook.sandbox.record() if line["effect"] == "published"
    ]
    elsewhere = replace(rendition, fields={**rendition.fields, "canonical": "https://county.example/other"})
    assert ["link"] == [problem.where for problem in channel.verify(receipt, elsewhere).problems]


def test_a_page_without_microdata_is_compared_too(webhook: WebhookBench) -> None:
    """Its furniture is around the text."""
    webhook.sandbox.knob("unmarked")
    channel = webhook.channel()
    receipt, rendition = publish(webhook, channel)
    assert () == channel.verify(receipt, rendition).problems
    webhook.alter("digit")
    assert channel.verify(receipt, rendition).problems


def test_a_page_that_answers_200_for_everything_is_no_sight(webhook: WebhookBench) -> None:
    """Neither before it is public nor after it was withdrawn."""
    webhook.sandbox.knob("soft_404")
    channel, key = webhook.channel(), webhook.key()
    rendition = webhook.render(key)
    _, shot = armed(channel, rendition, key)
    address = channel.address(EDITION, key) or ""
    assert not channel.verify(Receipt("item-1", address, 0), rendition).visible
    receipt = fired(shot)
    assert channel.verify(receipt, rendition).visible
    channel.withdraw(receipt, webhook.key())
    assert not channel.verify(receipt, rendition).visible


def test_a_slow_correction_is_not_visible_while_the_old_text_stands(webhook: WebhookBench) -> None:
    """The page that still shows what was is no alarm."""
    channel = webhook.channel()
    receipt, first = publish(webhook, channel)
    webhook.sandbox.knob("lag", seconds=600)
    corrected, second = publish(webhook, channel, replace(NEWER, title=EDITION.title), receipt)
    assert not channel.verify(corrected, second, before=first).visible
    assert channel.verify(corrected, second).problems


# keys


def test_while_keys_change_both_sign(webhook: WebhookBench) -> None:
    """A receiver that knows only the old, only the new, or only a public key believes us."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    seed = base64.b64encode(bytes(range(32))).decode()
    channel = webhook.channel(secret=f"{WRONG} whsk_{seed}")
    with pytest.raises(Unauthorised):
        channel.login()
    for accepted in (WRONG, f"whpk_{public}"):
        webhook.sandbox.knob("keys", accepted=[accepted])
        channel.login()
        webhook.sandbox.clear()


def test_a_receiver_that_refuses_bad_signatures_with_400_is_found_by_login(webhook: WebhookBench) -> None:
    """It says the same to events that it does not know; preparing is not stopped by that."""
    webhook.sandbox.knob("bad_request")
    channel = webhook.channel(secret=WRONG)
    with pytest.raises(Rejected):
        channel.login()
    webhook.sandbox.clear()
    webhook.sandbox.knob("picky")
    known = webhook.configured(staged="no")
    webhook.sandbox.knob("refuse", status=422, account="town outlet.check")
    key = webhook.key()
    known.prepare(webhook.render(key), key)


def test_a_receiver_whose_clock_is_wrong_is_found_beforehand(webhook: WebhookBench) -> None:
    """Within five minutes it believes us, beyond it does not."""
    webhook.sandbox.knob("skew", seconds=-290)
    webhook.channel().login()
    webhook.sandbox.knob("skew", seconds=310)
    with pytest.raises(Unauthorised):
        webhook.channel().login()


# answers


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 410}, Rejected),
        ({"status": 301, "headers": {"Location": "/elsewhere"}}, Rejected),
        ({"status": 404}, Rejected),
        ({"status": 403}, Unauthorised),
        ({"status": 429, "headers": {"Retry-After": "60"}}, TryLater),
        ({"status": 503, "headers": {"Retry-After": "60"}}, TryLater),
        ({"status": 500}, Ambiguous),
        ({"status": 502}, Ambiguous),
        ({"status": 503}, Ambiguous),
        ({"status": 504}, Ambiguous),
    ],
)
def test_answers_at_the_instant(webhook: WebhookBench, answer: dict[str, object], error: type[OutletError]) -> None:
    """What certainly did not happen, what may have, and who has to act."""
    webhook.sandbox.knob("refuse", account="town item.published", **answer)
    key = webhook.key()
    _, shot = armed(webhook.channel(), webhook.render(key), key)
    before = CLOCK.now()
    with pytest.raises(OutletError) as raised:
        fired(shot)
    assert error is type(raised.value)
    if isinstance(raised.value, TryLater):
        assert before + 60 * SECOND <= (raised.value.not_before or 0) <= CLOCK.now() + 60 * SECOND
    assert 0 == webhook.public_copies()


@pytest.mark.parametrize(("fault", "given"), [("drop_answer", {"reset": True}), ("late", {"hold": True, "seconds": 8})])
def test_resets_and_time_outs_are_doubt(webhook: WebhookBench, fault: str, given: dict[str, object]) -> None:
    """The receiver may have taken it."""
    webhook.sandbox.knob(fault, account="town item.published", **given)
    key = webhook.key()
    _, shot = armed(webhook.channel(), webhook.render(key), key)
    with pytest.raises(Ambiguous):
        fired(shot)


@pytest.mark.parametrize("staged", ["yes", "no"])
def test_a_receiver_that_wants_no_more_stops_the_preparation(webhook: WebhookBench, staged: str) -> None:
    """Its operator is to be asked before anything is committed; a redirect and a wrong path are found, too."""
    key = webhook.key()
    for status in (410, 307, 404):
        webhook.sandbox.knob("refuse", status=status, method="POST")
        with pytest.raises(Rejected):
            webhook.configured(staged=staged).prepare(webhook.render(key), key)


# doubt


def test_a_repeated_event_is_known_again(webhook: WebhookBench) -> None:
    """Without a page, to a receiver that ignores repeated ids the event is sent again: still one copy."""
    channel, key = webhook.configured(**PAGELESS), webhook.key()
    rendition = webhook.render(key)
    prepared, shot = armed(channel, rendition, key)
    webhook.fault("drop_answer", "release")
    with pytest.raises(Ambiguous):
        fired(shot)
    assert prepared == channel.probe(rendition, key, prepared)
    receipt = fired(channel.arm(prepared, rendition, key))
    assert [("item.published", "published"), ("item.published", "id")] == events(webhook)[1:]
    assert () == channel.verify(receipt, rendition).problems


def test_a_receiver_that_may_not_know_ids_again_is_never_told_twice(webhook: WebhookBench) -> None:
    """Without a page and without the operator's word a person decides, whatever we remember of it ourselves."""
    channel, key = webhook.configured(**PAGELESS, receiver_dedupes="no"), webhook.key()
    rendition = webhook.render(key)
    prepared = channel.prepare(rendition, key)
    for hint in (prepared, None):  # None: perhaps only being prepared, perhaps a database that was restored
        with pytest.raises(Unsupported):
            channel.probe(rendition, key, hint)


def test_why_a_word_is_needed(webhook: WebhookBench) -> None:
    """A receiver that forgets makes two of a repeated event: the sandbox is no kinder than the world."""
    webhook.sandbox.knob("forgetful")
    channel, key = webhook.channel(), webhook.key()
    rendition = webhook.render(key)
    prepared, shot = armed(channel, rendition, key)
    fired(shot)
    fired(channel.arm(prepared, rendition, key))
    assert 2 == webhook.public_copies()


def test_the_page_speaks_first(webhook: WebhookBench) -> None:
    """An event whose answer was lost is found on the page; one that was lost itself is not there."""
    channel, key = webhook.configured(receiver_dedupes="no"), webhook.key()
    rendition = webhook.render(key)
    prepared, shot = armed(channel, rendition, key)
    assert prepared == channel.probe(rendition, key, prepared)
    fired(shot)
    found = channel.probe(rendition, key, prepared)
    assert isinstance(found, Receipt) and channel.address(EDITION, key) == found.url


def test_a_page_that_cannot_be_told_apart_is_for_a_person(webhook: WebhookBench) -> None:
    """The same item of another release stands there: not ours, and no proof that ours is not coming."""
    channel = webhook.configured(receiver_dedupes="no")
    publish(webhook, channel)
    key = webhook.key()
    rendition = webhook.render(key)
    prepared = channel.prepare(rendition, key)
    with pytest.raises(Unsupported):
        channel.probe(rendition, key, prepared)


def test_a_lost_correction_is_found_by_what_the_page_shows(webhook: WebhookBench) -> None:
    """The old text: it has not happened. The new one: it has."""
    channel = webhook.configured(receiver_dedupes="no")
    receipt, _ = publish(webhook, channel)
    key = webhook.key()
    rendition = channel.render(NEWER, Place(key, webhook.canonical(key), receipt))
    prepared, shot = armed(channel, rendition, key, receipt)
    assert prepared == channel.probe(rendition, key, prepared, receipt)
    webhook.sandbox.knob("drop_answer", account="town item.updated")
    with pytest.raises(Ambiguous):
        fired(shot)
    found = channel.probe(rendition, key, prepared, receipt)
    assert isinstance(found, Receipt)
    assert (receipt.ref, receipt.url, "2") == (found.ref, found.url, found.notes["revision"])


# the public page


def test_the_receiver_names_its_page(webhook: WebhookBench) -> None:
    """Nothing configured: the address comes with the answer, and the page is read there."""
    channel = webhook.configured(public_url_template="")
    assert channel.address(EDITION, webhook.key()) is None
    receipt, rendition = publish(webhook, channel)
    assert receipt.url.startswith(webhook.sandbox.address)
    assert () == channel.verify(receipt, rendition).problems


def test_without_a_page_there_is_only_the_receivers_word(webhook: WebhookBench) -> None:
    """Delivered, and nothing to be read."""
    webhook.sandbox.knob("silent")
    channel = webhook.configured(public_url_template="")
    receipt, rendition = publish(webhook, channel)
    assert ("item-1", "") == (receipt.ref, receipt.url)
    with pytest.raises(Unsupported):
        channel.verify(receipt, rendition)


def test_a_page_in_trouble_proves_nothing(webhook: WebhookBench) -> None:
    """Neither sight nor absence: look again, when it says; at other pages meanwhile."""
    channel = webhook.channel()
    receipt, rendition = publish(webhook, channel)
    webhook.sandbox.knob("refuse", status=503, headers={"Retry-After": "60"}, method="GET")
    with pytest.raises(TryLater) as later:
        channel.verify(receipt, rendition)
    assert (True, None) == (later.value.not_before is not None, later.value.of)


def test_of_a_copy_that_a_person_found_nothing_can_be_withdrawn(webhook: WebhookBench) -> None:
    """Which item it is there was never told."""
    with pytest.raises(Unsupported):
        webhook.channel().withdraw(Receipt("", "https://app.example/1", 0), webhook.key())


def test_a_withdrawal_is_later_than_what_it_takes_back(webhook: WebhookBench) -> None:
    """Even where the clock that gave the instant was ahead of ours: of one revision the later event wins."""
    channel, key = webhook.channel(), webhook.key()
    rendition = webhook.render(key)
    prepared = channel.prepare(rendition, key)
    ahead = replace(prepared, notes={**prepared.notes, "release_at": str(CLOCK.now() + 100 * SECOND)})
    receipt = fired(channel.arm(ahead, rendition, key))
    channel.withdraw(receipt, webhook.key())
    assert not channel.verify(receipt, rendition).visible


def test_two_revisions_are_withdrawn_as_two(webhook: WebhookBench) -> None:
    """Asking for the older first does not keep the receiver from hearing the newer."""
    channel = webhook.channel()
    first, _ = publish(webhook, channel)
    second, rendition = publish(webhook, channel, NEWER, first)
    key = webhook.key()
    channel.withdraw(first, key)
    assert channel.verify(second, rendition).visible
    channel.withdraw(second, key)
    assert not channel.verify(second, rendition).visible
