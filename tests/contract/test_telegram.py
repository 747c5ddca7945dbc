"""What is peculiar to the Telegram channel: staging, one small call, looking without a method that reads, edits."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from channels.telegram import TelegramChannel
from channels.telegram_act import mark
from channels.telegram_settings import chosen
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Misbehaved,
    Place,
    Prepared,
    Receipt,
    Rejected,
    Shot,
    Stale,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import Asset, AssetRole, Edition, Key, Outlet, Rendition, Sighting, Token, sha256
from tests.contract.bench import CLOCK, server, window
from tests.contract.bench_mastodon import EDITION, OTHER_PICTURE, PICTURE, picture
from tests.contract.bench_telegram import TelegramBench, bench

CANONICAL = "https://county.example/2026/11/12.html"
THIRD_PICTURE = picture("route 14")


@pytest.fixture
def telegram(tmp_path: Path) -> Iterator[TelegramBench]:
    """With a private channel to stage in."""
    with bench(tmp_path) as made:
        yield made


@pytest.fixture(params=[True, False], ids=["staged", "direct"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TelegramBench]:
    """With and without a channel to stage in."""
    with bench(tmp_path, staged=request.param) as made:
        yield made


@pytest.fixture(params=[True, False], ids=["staged", "direct"])
def private(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TelegramBench]:
    """The channel itself has no name: nobody can read it but its members."""
    with bench(tmp_path, staged=request.param, private=True) as made:
        yield made


def edition(*pictures: bytes, title: str = "关于开通12路乡村公交环线的通告", summary: str = "首班06:30。") -> Edition:
    assets = tuple(
        Asset(sha256(one), "image/png", len(one), f"{at}.png", AssetRole.IMAGE, f"图{at}")
        for at, one in enumerate(pictures)
    )
    return Edition("item-1", 1, title, "<p></p>", {"summary": summary}, assets)


TEXT, PHOTO, ALBUM = edition(), edition(PICTURE), edition(PICTURE, OTHER_PICTURE, THIRD_PICTURE)
SHAPES = pytest.mark.parametrize("given", [TEXT, PHOTO, ALBUM], ids=["text", "photo", "album"])


def rendered(made: TelegramBench, given: Edition, key: Key, replaces: Receipt | None = None) -> Rendition:
    made.blobs[sha256(THIRD_PICTURE)] = THIRD_PICTURE
    return made.channel().render(given, Place(key, CANONICAL, replaces))


def fired(made: TelegramBench, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
    shot = made.channel().arm(prepared, rendition, key)
    shot.send(window(), CLOCK.boottime)
    return shot


def sent(made: TelegramBench, prepared: Prepared, rendition: Rendition, key: Key) -> Receipt:
    receipt = fired(made, prepared, rendition, key).settle()
    assert isinstance(receipt, Receipt)
    return receipt


def published(made: TelegramBench, given: Edition) -> tuple[Rendition, Receipt]:
    key = made.key()
    rendition = rendered(made, given, key)
    return rendition, sent(made, made.channel().prepare(rendition, key), rendition, key)


def calls(made: TelegramBench) -> list[str]:
    """The methods asked for, in their order."""
    paths = [line["path"] for line in made.sandbox.record()]
    return [path.removeprefix("/bot…/") for path in paths if path.startswith("/bot…/")]


def effects(made: TelegramBench) -> list[str]:
    return [line["effect"] for line in made.sandbox.record() if line["applied"]]


# one message


@SHAPES
def test_what_was_staged_goes_out_by_one_small_call(telegram: TelegramBench, given: Edition) -> None:
    """Everything is uploaded beforehand, where only members see it; the shot copies it; readers find it whole."""
    key = telegram.key()
    rendition = rendered(telegram, given, key)
    prepared = telegram.channel().prepare(rendition, key)
    assert (["message_staged"], []) == (effects(telegram), telegram.listed())
    shot = telegram.channel().arm(prepared, rendition, key)
    asked = len(calls(telegram))
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    assert ["copyMessages" if given is ALBUM else "copyMessage"] == calls(telegram)[asked:]
    assert [int(receipt.ref)] == telegram.listed()
    sighting = telegram.channel().verify(receipt, rendition)
    assert (True, ()) == (sighting.visible, sighting.problems)


@SHAPES
def test_without_a_channel_to_stage_in_nothing_is_sent_before_the_shot(tmp_path: Path, given: Edition) -> None:
    """Text and photos cross the wire with it, in one call."""
    with bench(tmp_path, staged=False) as direct:
        key = direct.key()
        rendition = rendered(direct, given, key)
        prepared = direct.channel().prepare(rendition, key)
        shot = direct.channel().arm(prepared, rendition, key)
        assert [] == effects(direct)
        asked = len(calls(direct))
        shot.send(window(), CLOCK.boottime)
        receipt = shot.settle()
        method = {0: "sendMessage", 1: "sendPhoto"}.get(len(given.assets), "sendMediaGroup")
        assert [method] == calls(direct)[asked:]
        assert isinstance(receipt, Receipt)
        assert () == direct.channel().verify(receipt, rendition).problems
        assert [int(receipt.ref)] == direct.listed()


@pytest.mark.parametrize("pictures", [(), (PICTURE,)], ids=["text", "caption"])
@pytest.mark.parametrize("letter", ["甲", "😀"])
def test_as_much_as_fits_is_taken_by_the_server(
    either: TelegramBench, pictures: tuple[bytes, ...], letter: str
) -> None:
    """4,096, or 1,024 below a photo, counted after parsing and in UTF-16; a sentence more would be refused."""
    sentence = letter * 49 + "。"
    rendition, receipt = published(either, edition(*pictures, summary=sentence * 90))
    assert () == either.channel().verify(receipt, rendition).problems


def test_awkward_texts_are_read_back_exactly(either: TelegramBench) -> None:
    """Marks that HTML cares about, tags, names, domains, mails, an address with Chinese words right behind it."""
    summary = "见https://a.example/b?c=1&d=2，或 gov.cn、a@b.cn、@abcdef、#标签 与 a_b &nbsp; 'x'。末行！"
    rendition, receipt = published(either, edition(title="“引号” <b> & 12% 😀", summary=summary))
    assert Token("link", "https://a.example/b?c=1&d=2") in rendition.shown
    sighting = either.channel().verify(receipt, rendition)
    assert (True, ()) == (sighting.visible, sighting.problems)


def test_no_page_is_asked_for_by_a_link_preview(either: TelegramBench) -> None:
    """Neither before the instant, nor at it, nor by a correction: Telegram knows the address no sooner than readers."""
    correct(either, TEXT, edition(summary="更正。"))
    published(either, PHOTO)
    assert [] == [line for line in either.sandbox.record() if "preview_fetched" in line["detail"]]


def test_a_link_preview_that_appears_is_told(telegram: TelegramBench) -> None:
    """Nobody approved what it shows."""
    rendition = rendered(telegram, TEXT, telegram.key())
    made = telegram.api("sendMessage", chat_id=telegram.chat, text=rendition.content, parse_mode="HTML")
    receipt = Receipt(
        str(made["message_id"]), f"{telegram.sandbox.address}/{telegram.chat[1:]}/{made['message_id']}", 0
    )
    assert ["preview"] == [problem.where for problem in telegram.channel().verify(receipt, rendition).problems]


# pictures


def test_a_large_picture_is_shrunk_to_what_telegram_takes(either: TelegramBench) -> None:
    """Sides of more than 10,000 together; the reader sees the same one, and another one is noticed."""
    file = io.BytesIO()
    Image.open(io.BytesIO(PICTURE)).resize((9600, 600)).save(file, "PNG")
    either.blobs[sha256(file.getvalue())] = file.getvalue()
    rendition, receipt = published(either, edition(file.getvalue()))
    assert () == either.channel().verify(receipt, rendition).problems
    either.sandbox.knob("swap_picture")
    assert ["image"] == [one.where for one in either.channel().verify(receipt, rendition).problems]


def test_a_picture_of_a_forbidden_shape_is_refused_before_anything_is_sent(either: TelegramBench) -> None:
    """One side more than twenty times the other; and bytes that are no picture."""
    file = io.BytesIO()
    Image.new("RGB", (2100, 100)).save(file, "PNG")
    for content in (file.getvalue(), b"no picture"):
        either.blobs[sha256(content)] = content
        key = either.key()
        rendition = rendered(either, edition(content), key)
        with pytest.raises(Rejected, match="the picture cannot be used"):
            either.channel().prepare(rendition, key)
    assert [] == effects(either)


def test_the_preview_is_the_message_and_its_photos(telegram: TelegramBench) -> None:
    """A page to open, the photos beside it as they would be uploaded; no network."""
    rendition = rendered(telegram, ALBUM, telegram.key())
    asked = len(telegram.sandbox.record())
    files = telegram.channel().preview(rendition)
    assert ["message.html", "photo-1.png", "photo-2.png", "photo-3.png"] == list(files)
    assert rendition.content in files["message.html"].decode()
    assert (OTHER_PICTURE, asked) == (files["photo-2.png"], len(telegram.sandbox.record()))


# what an editor is told


def test_a_title_too_long_for_a_caption_is_told_before(telegram: TelegramBench) -> None:
    """Below a photo there is room for 1,024 with the address; as a text it goes."""
    channel = telegram.channel()
    for given, fatal in ((edition(PICTURE, title="题" * 900), True), (edition(title="题" * 900), False)):
        assert fatal is any(problem.fatal for problem in channel.check(given))
    with pytest.raises(Unsupported):
        rendered(telegram, edition(PICTURE, title="题" * 1000), telegram.key())
    assert [True] == [problem.fatal for problem in channel.check(edition(title=" "))]


def test_a_gif_is_left_out_and_said(telegram: TelegramBench) -> None:
    """It would be an animation, another kind of message."""
    gif = Asset("g", "image/gif", 1, "a.gif", AssetRole.IMAGE)
    given = replace(TEXT, assets=(gif,))
    assert [("images", False)] == [(one.where, one.fatal) for one in telegram.channel().check(given)]
    assert () == rendered(telegram, given, telegram.key()).files


# rights and places


@pytest.mark.parametrize("right", ["can_post_messages", "can_edit_messages", "can_delete_messages"])
def test_login_names_the_right_that_is_missing(either: TelegramBench, right: str) -> None:
    """Each of the three is needed sooner or later."""
    either.channel().login()
    either.sandbox.knob("missing_right", right=right)
    with pytest.raises(Unauthorised, match=right):
        either.channel().login()


@pytest.mark.parametrize("knob", ["revoke", "no_chat", "kicked"])
def test_an_outlet_that_cannot_post_is_the_operators(either: TelegramBench, knob: str) -> None:
    """Told by login and by preparing, and again at the instant, when certainly nothing is sent."""
    key = either.key()
    rendition = rendered(either, TEXT, key)
    prepared = either.channel().prepare(rendition, key)
    shot = either.channel().arm(prepared, rendition, key)
    either.sandbox.knob(knob)
    for act in (either.channel().login, lambda: either.channel().prepare(rendition, key)):
        with pytest.raises(Unauthorised):
            act()
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Unauthorised):
        shot.settle()
    either.sandbox.clear()
    assert [] == either.listed()


@pytest.mark.parametrize("knob", ["public_staging", "discussed"])
def test_nothing_is_staged_where_others_could_see_it(telegram: TelegramBench, knob: str) -> None:
    """Somebody gave the private channel a name, or a discussion group into which every post is forwarded."""
    telegram.sandbox.knob(knob)
    key = telegram.key()
    with pytest.raises(Unauthorised, match="the channel to stage in"):
        telegram.channel().prepare(rendered(telegram, PHOTO, key), key)
    with pytest.raises(Unauthorised, match="the channel to stage in"):
        telegram.channel().login()
    assert [] == effects(telegram)


# staged


@SHAPES
def test_what_telegram_alters_is_noticed_when_staged(telegram: TelegramBench, given: Edition) -> None:
    """Before the instant, and what was staged is removed again."""
    telegram.sandbox.knob("rewrite", replace=["06:30", "6:30"])
    key = telegram.key()
    with pytest.raises(Rejected, match="Telegram altered"):
        telegram.channel().prepare(rendered(telegram, given, key), key)
    assert 0 == telegram.hidden_things()


@SHAPES
def test_discarding_removes_every_staged_message(telegram: TelegramBench, given: Edition) -> None:
    """And is success once more."""
    key = telegram.key()
    prepared = telegram.channel().prepare(rendered(telegram, given, key), key)
    assert max(1, len(given.assets)) == telegram.hidden_things()
    for _ in range(2):
        telegram.channel().discard(prepared, key)
        assert 0 == telegram.hidden_things()


@SHAPES
def test_a_staged_message_that_was_deleted_is_noticed_when_arming(telegram: TelegramBench, given: Edition) -> None:
    """Of an album any one: Telegram would leave it out without a word. Prepared anew it goes."""
    key = telegram.key()
    rendition = rendered(telegram, given, key)
    prepared = telegram.channel().prepare(rendition, key)
    last = int(prepared.notes["staged"].split()[-1])
    telegram.api("deleteMessage", chat_id=telegram.staging, message_id=last)
    with pytest.raises(Stale):
        telegram.channel().arm(prepared, rendition, key)
    sent(telegram, telegram.channel().prepare(rendition, key), rendition, key)
    assert 1 == telegram.public_copies()


def test_a_staged_message_deleted_after_arming_sends_nothing(telegram: TelegramBench) -> None:
    """The refusal says so: later, and then it is prepared anew."""
    key = telegram.key()
    rendition = rendered(telegram, TEXT, key)
    prepared = telegram.channel().prepare(rendition, key)
    shot = telegram.channel().arm(prepared, rendition, key)
    telegram.channel().discard(prepared, key)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(TryLater, match="nothing was sent"):
        shot.settle()
    with pytest.raises(Stale):
        telegram.channel().arm(prepared, rendition, key)


def test_a_lost_answer_to_staging_is_nothing_that_happened(telegram: TelegramBench) -> None:
    """No reader ever sees it; once more, and it goes out once."""
    telegram.sandbox.knob("drop_answer", path="*/sendPhoto")
    key = telegram.key()
    rendition = rendered(telegram, PHOTO, key)
    with pytest.raises(TryLater) as caught:
        telegram.channel().prepare(rendition, key)
    assert not isinstance(caught.value, Ambiguous)
    sent(telegram, telegram.channel().prepare(rendition, key), rendition, key)
    assert 1 == telegram.public_copies()


def test_a_channel_that_forbids_copying_is_told(telegram: TelegramBench) -> None:
    """The operator allows it; nothing was sent."""
    key = telegram.key()
    rendition = rendered(telegram, TEXT, key)
    prepared = telegram.channel().prepare(rendition, key)
    telegram.sandbox.knob("protected")
    with pytest.raises(Unauthorised, match="restricts saving content"):
        sent(telegram, prepared, rendition, key)
    assert [] == telegram.listed()


# too much


@pytest.mark.parametrize("wait", [34, 7200])
def test_too_many_messages_wait_as_long_as_telegram_says(either: TelegramBench, wait: int) -> None:
    """Certainly not sent: later, not before that; then it goes out once."""
    key = either.key()
    rendition = rendered(either, TEXT, key)
    prepared = either.channel().prepare(rendition, key)
    either.sandbox.knob("flood", seconds=wait)
    before = CLOCK.now()
    with pytest.raises(TryLater) as caught:
        sent(either, prepared, rendition, key)
    assert caught.value.not_before is not None
    assert wait * SECOND <= caught.value.not_before - before < (wait + 10) * SECOND
    either.sandbox.clear()
    sent(either, prepared, rendition, key)
    assert 1 == either.public_copies()


def test_the_rates_are_declared() -> None:
    """20 a minute to a channel, 30 a second of a bot; looking and reading leaves room for a release."""
    assert {(20, 60), (30, 1)} == {(one.calls, one.seconds) for one in TelegramChannel.can.budgets}
    assert all(0 < one.reserve < one.calls for one in TelegramChannel.can.budgets)


# doubt


@pytest.mark.parametrize(
    ("given", "fault"),
    [(TEXT, "drop_answer"), (PHOTO, "drop_answer"), (ALBUM, "drop_answer"), (TEXT, "answer_502"), (TEXT, "cut_body")],
    ids=["text", "photo", "album", "502", "cut"],
)
def test_a_lost_answer_is_found_at_the_public_page(either: TelegramBench, given: Edition, fault: str) -> None:
    """By the canonical link in a post newer than the last one of before."""
    published(either, edition(title="另一稿"))
    key = either.key()
    rendition = rendered(either, given, key)
    prepared = either.channel().prepare(rendition, key)
    either.sandbox.knob(fault, path="*/copyMessage*" if either.staging else "*/send*")
    with pytest.raises(Ambiguous):
        sent(either, prepared, rendition, key)
    found = either.channel().probe(rendition, key, prepared)
    assert isinstance(found, Receipt)
    assert (either.listed()[-1], None) == (int(found.ref), found.notes.get("copies"))
    assert () == either.channel().verify(found, rendition).problems
    either.channel().withdraw(found, key)
    assert 1 == either.public_copies()


@pytest.mark.parametrize("staged", [True, False])
def test_a_timed_out_call_whose_message_is_there_is_found(tmp_path: Path, staged: bool) -> None:
    """Libraries that sent again had up to nine."""
    with bench(tmp_path, staged=staged, patience=1.0) as made:
        made.sandbox.knob("delay", path="*/copyMessage" if staged else "*/sendMessage", after_ms=1500)
        key = made.key()
        rendition = rendered(made, TEXT, key)
        prepared = made.channel().prepare(rendition, key)
        with pytest.raises(Ambiguous):
            sent(made, prepared, rendition, key)
        assert isinstance(made.channel().probe(rendition, key, prepared), Receipt)
        assert 1 == made.public_copies()


def test_readers_who_are_behind_are_no_absence_before_the_quarantine(either: TelegramBench) -> None:
    """The page shows it some seconds later: the absence of now counts only after `lands_within`."""
    key = either.key()
    rendition = rendered(either, TEXT, key)
    prepared = either.channel().prepare(rendition, key)
    either.sandbox.knob("page_lag", seconds=30)
    either.sandbox.knob("drop_answer", path="*/copyMessage" if either.staging else "*/sendMessage")
    with pytest.raises(Ambiguous):
        sent(either, prepared, rendition, key)
    assert prepared == either.channel().probe(rendition, key, prepared)
    either.sandbox.clear()
    assert isinstance(either.channel().probe(rendition, key, prepared), Receipt)
    assert either.channel().can.lands_within >= 60


def test_two_copies_are_counted(either: TelegramBench) -> None:
    """The oldest is the receipt, and the number is told."""
    either.sandbox.knob("doubles", account="town")
    key = either.key()
    rendition = rendered(either, TEXT, key)
    prepared = either.channel().prepare(rendition, key)
    receipt = sent(either, prepared, rendition, key)
    found = either.channel().probe(rendition, key, prepared)
    assert isinstance(found, Receipt)
    assert (receipt.ref, "2") == (found.ref, found.notes["copies"])


def test_an_older_post_at_the_same_address_is_not_this_delivery(either: TelegramBench) -> None:
    """Neither the same item published once more, nor an earlier edition of it."""
    published(either, TEXT)
    for given in (TEXT, edition(summary="首班06:40。")):
        key = either.key()
        rendition = rendered(either, given, key)
        prepared = either.channel().prepare(rendition, key)
        assert prepared == either.channel().probe(rendition, key, prepared)
    assert either.channel().probe(rendition, key, None) is None


def test_another_post_of_that_time_is_not_taken_for_it(either: TelegramBench) -> None:
    """Newer than the last one of before, with another address or none: our request was lost."""
    key = either.key()
    rendition = rendered(either, TEXT, key)
    prepared = either.channel().prepare(rendition, key)
    for text in ("a note", rendition.content.replace("12.html", "13.html"), f"{CANONICAL}x"):
        either.api("sendMessage", chat_id=either.chat, text=text, parse_mode="HTML")
    either.fault("drop_request", "release")
    with pytest.raises(Ambiguous):
        sent(either, prepared, rendition, key)
    assert prepared == either.channel().probe(rendition, key, prepared)


def test_a_probe_looks_past_the_first_page(either: TelegramBench) -> None:
    """Others may post a lot meanwhile."""
    either.sandbox.knob("unlimited")
    key = either.key()
    rendition = rendered(either, ALBUM, key)
    prepared = either.channel().prepare(rendition, key)
    receipt = sent(either, prepared, rendition, key)
    for number in range(45):
        either.api("sendMessage", chat_id=either.chat, text=f"note {number}")
    found = either.channel().probe(rendition, key, prepared)
    assert isinstance(found, Receipt)
    assert (receipt.ref, receipt.notes["ids"]) == (found.ref, found.notes["ids"])


@pytest.mark.parametrize(
    ("knob", "error"),
    [
        ({"fault": "refuse", "path": "/s/*"}, TryLater),
        ({"fault": "changed_page"}, Misbehaved),
        ({"fault": "no_list"}, TryLater),
    ],
)
def test_a_page_that_cannot_be_read_is_no_absence(
    telegram: TelegramBench, knob: dict[str, str], error: type[Exception]
) -> None:
    """An error, not None: it is down, of another shape, or switched off since."""
    key = telegram.key()
    rendition = rendered(telegram, TEXT, key)
    prepared = telegram.channel().prepare(rendition, key)
    telegram.sandbox.knob(**knob)
    with pytest.raises(error):
        telegram.channel().probe(rendition, key, prepared)


def test_without_a_canonical_address_nothing_can_be_found(telegram: TelegramBench) -> None:
    """The probe says so; it does not guess."""
    rendition = telegram.channel().render(TEXT, Place(telegram.key(), None))
    with pytest.raises(Unsupported):
        telegram.channel().probe(rendition, telegram.key(), None)


def test_readers_over_a_limit_come_back_when_told(telegram: TelegramBench) -> None:
    """t.me may refuse, too: every reader, unless it is in trouble with this page."""
    rendition, receipt = published(telegram, TEXT)
    for status, of in ((429, ""), (503, None)):
        telegram.sandbox.knob("refuse", status=status, headers={"Retry-After": "60"}, method="GET")
        before = CLOCK.now()
        with pytest.raises(TryLater) as caught:
            telegram.channel().verify(receipt, rendition)
        assert caught.value.not_before is not None
        assert 60 * SECOND <= caught.value.not_before - before < 70 * SECOND
        assert of == caught.value.of


@pytest.mark.parametrize("knob", [{"fault": "page_lag", "seconds": 30}, {"fault": "vanish", "seconds": 0.001}])
def test_what_readers_do_not_find_is_not_visible(telegram: TelegramBench, knob: dict[str, str]) -> None:
    """Not yet, or not any more; a page of another shape is neither."""
    rendition, receipt = published(telegram, TEXT)
    telegram.sandbox.knob(**knob)
    assert not telegram.channel().verify(receipt, rendition).visible
    telegram.sandbox.clear()
    telegram.sandbox.knob("changed_page")
    with pytest.raises(Misbehaved):
        telegram.channel().verify(receipt, rendition)


# a channel without a list, or without readers


def test_a_channel_without_a_list_is_looked_at_by_forwards(telegram: TelegramBench) -> None:
    """A find counts, and the forwards are gone again; an absence needs a person. Readers find the post by itself."""
    telegram.sandbox.knob("no_list")
    key = telegram.key()
    rendition = rendered(telegram, PHOTO, key)
    prepared = telegram.channel().prepare(rendition, key)
    telegram.fault("drop_request", "release")
    with pytest.raises(Ambiguous):
        sent(telegram, prepared, rendition, key)
    with pytest.raises(Unsupported, match=CANONICAL):
        telegram.channel().probe(rendition, key, prepared)
    receipt = sent(telegram, prepared, rendition, key)
    hidden = telegram.hidden_things()
    found = telegram.channel().probe(rendition, key, prepared)
    assert isinstance(found, Receipt)
    assert (receipt.ref, receipt.url, hidden) == (found.ref, found.url, telegram.hidden_things())
    assert () == telegram.channel().verify(found, rendition).problems


def test_a_private_channel_ends_on_telegrams_word(private: TelegramBench) -> None:
    """There is no page that the public could read; its address is for members."""
    rendition, receipt = published(private, PHOTO)
    assert f"{private.sandbox.address}/c/2222222222/{receipt.ref}" == receipt.url
    with pytest.raises(Unsupported, match="no public page"):
        private.channel().verify(receipt, rendition)
    private.channel().withdraw(receipt, private.key())
    assert "post_deleted" not in effects(private) and "staged_deleted" in effects(private)


def test_a_lost_answer_in_a_private_channel(private: TelegramBench) -> None:
    """With a channel to stage in the message is found among others, with gaps; without one nobody can tell."""
    private.sandbox.knob("unlimited")
    for number in range(9):
        made = private.api("sendMessage", chat_id=private.chat, text=f"note {number}")
        if number % 3 == 2:
            private.api("deleteMessage", chat_id=private.chat, message_id=made["message_id"])
    key = private.key()
    rendition = rendered(private, TEXT, key)
    prepared = private.channel().prepare(rendition, key)
    private.sandbox.knob("drop_answer", path="*/copyMessage" if private.staging else "*/sendMessage")
    with pytest.raises(Ambiguous):
        sent(private, prepared, rendition, key)
    private.api("sendMessage", chat_id=private.chat, text="a later note")
    if not private.staging:
        with pytest.raises(Unsupported):
            private.channel().probe(rendition, key, prepared)
        return
    found = private.channel().probe(rendition, key, prepared)
    assert isinstance(found, Receipt)
    assert ("11", f"{private.sandbox.address}/c/2222222222/11") == (found.ref, found.url)
    assert "forwardMessage" in calls(private)


def test_an_older_message_of_a_private_channel_is_not_this_delivery(tmp_path: Path) -> None:
    """Told by Telegram's own clock: it was there before this one was staged."""
    with bench(tmp_path, private=True) as private:
        published(private, TEXT)
        key = private.key()
        rendition = rendered(private, TEXT, key)
        prepared = private.channel().prepare(rendition, key)
        later = replace(prepared, notes={**prepared.notes, "date": str(int(prepared.notes["date"]) + 1)})
        with pytest.raises(Unsupported):
            private.channel().probe(rendition, key, later)


def test_a_correction_in_a_private_channel_is_looked_up_by_a_forward(private: TelegramBench) -> None:
    """Text and photo of the very message; without a channel to stage in nobody can tell."""
    for given, to in ((TEXT, edition(summary="更正。")), (PHOTO, edition(OTHER_PICTURE))):
        correction = Correction(private, given, to)
        prepared = correction.prepare()
        if not private.staging:
            with pytest.raises(Unsupported):
                correction.probe(prepared)
            continue
        assert prepared == correction.probe(prepared)
        correction.send(prepared)
        assert isinstance(correction.probe(prepared), Receipt)


# corrections


class Correction:
    """`given` is public; another edition is to take its place."""

    def __init__(self, made: TelegramBench, given: Edition, to: Edition) -> None:
        self.made, self.key = made, made.key()
        self.before, self.public = published(made, given)
        self.rendition = rendered(made, replace(to, revision=2), self.key, self.public)

    def prepare(self) -> Prepared:
        return self.made.channel().prepare(self.rendition, self.key, self.public)

    def send(self, prepared: Prepared) -> Receipt:
        return sent(self.made, prepared, self.rendition, self.key)

    def probe(self, hint: Prepared | None) -> Prepared | Accepted | Receipt | None:
        return self.made.channel().probe(self.rendition, self.key, hint, self.public)

    def verify(self) -> Sighting:
        return self.made.channel().verify(self.public, self.rendition, self.before)


def correct(made: TelegramBench, given: Edition, to: Edition) -> Correction:
    """The whole way: nothing shows before the shot, everything after it, at the same address."""
    correction = Correction(made, given, to)
    prepared = correction.prepare()
    changes = correction.before.shown != correction.rendition.shown
    if changes:
        assert (False, prepared) == (correction.verify().visible, correction.probe(prepared))
    receipt = correction.send(prepared)
    assert (correction.public.ref, correction.public.url) == (receipt.ref, receipt.url)
    sighting = correction.verify()
    assert (True, ()) == (sighting.visible, sighting.problems)
    for hint in (prepared, None):
        assert receipt == replace(found := correction.probe(hint), at=receipt.at), found  # type: ignore[type-var]
    return correction


@pytest.mark.parametrize(
    ("given", "to", "method"),
    [
        (TEXT, edition(summary="首班06:40。"), "editMessageText"),
        (PHOTO, edition(PICTURE, summary="首班06:40。"), "editMessageCaption"),
        (PHOTO, edition(OTHER_PICTURE), "editMessageMedia"),
        (PHOTO, edition(OTHER_PICTURE, summary="首班06:40。"), "editMessageMedia"),
        (TEXT, PHOTO, "editMessageMedia"),
        (ALBUM, edition(PICTURE, OTHER_PICTURE, THIRD_PICTURE, summary="首班06:40。"), "editMessageCaption"),
        (edition(PICTURE, OTHER_PICTURE), edition(PICTURE, THIRD_PICTURE), "editMessageMedia"),
        (edition(PICTURE, OTHER_PICTURE), edition(THIRD_PICTURE, OTHER_PICTURE, summary="又。"), "editMessageMedia"),
    ],
    ids=["text", "caption", "photo", "both", "added", "album-caption", "album-second", "album-first-and-caption"],
)
def test_a_correction_changes_the_very_message_by_one_call(
    either: TelegramBench, given: Edition, to: Edition, method: str
) -> None:
    """Text, caption, photo, both, a photo added to a text, one of an album."""
    correct(either, given, to)
    assert [method] == [
        one for one in calls(either) if one.startswith("editMessage") and one != "editMessageReplyMarkup"
    ]
    assert 1 == either.public_copies()


def test_a_correction_that_changes_nothing_is_a_success(either: TelegramBench) -> None:
    """400 "message is not modified" means that it is as it should be."""
    correct(either, PHOTO, PHOTO)
    refused = [line["detail"].get("refused", "") for line in either.sandbox.record()]
    assert any("message is not modified" in words for words in refused)


@pytest.mark.parametrize("to", [TEXT, ALBUM], ids=["photo taken away", "photos added"])
def test_a_correction_that_one_call_cannot_make_is_told_when_planned(telegram: TelegramBench, to: Edition) -> None:
    """Rendering says so, before anything is sent."""
    with pytest.raises(Unsupported, match="withdraw it and publish it anew"):
        Correction(telegram, PHOTO, to)


def test_a_correction_is_corrected_again_and_withdrawn(either: TelegramBench) -> None:
    """The receipt of each leads to the next."""
    correction = correct(either, TEXT, PHOTO)
    receipt = correction.send(correction.prepare())
    key = either.key()
    rendition = rendered(either, edition(OTHER_PICTURE), key, receipt)
    again = sent(either, either.channel().prepare(rendition, key, receipt), rendition, key)
    assert () == either.channel().verify(again, rendition, correction.rendition).problems
    either.channel().withdraw(again, key)
    assert 0 == either.public_copies()


@pytest.mark.parametrize("fault", ["drop_answer", "answer_502", "drop_request"])
def test_a_correction_in_doubt_is_looked_up_in_that_message(either: TelegramBench, fault: str) -> None:
    """Done, it shows; not done, it is sent once more. Other posts with the address are not looked at."""
    correction = Correction(either, PHOTO, edition(OTHER_PICTURE))
    prepared = correction.prepare()
    either.fault(fault, "correct")
    with pytest.raises(Ambiguous):
        correction.send(prepared)
    found = correction.probe(prepared)
    if fault == "drop_request":
        assert prepared == found
        found = correction.send(prepared)
    assert isinstance(found, Receipt)
    assert (correction.public.ref, ()) == (found.ref, correction.verify().problems)


def test_a_message_that_is_gone_cannot_be_corrected(either: TelegramBench) -> None:
    """Noticed while arming, told by preparing: the editor has to publish it anew."""
    correction = Correction(either, TEXT, edition(summary="更正。"))
    prepared = correction.prepare()
    either.channel().withdraw(correction.public, correction.key)
    with pytest.raises(Stale):
        either.channel().arm(prepared, correction.rendition, correction.key)
    with pytest.raises(Rejected, match="gone"):
        correction.prepare()
    assert prepared == correction.probe(prepared)


def test_a_correction_of_a_picture_cannot_be_settled_while_it_cannot_be_read(telegram: TelegramBench) -> None:
    """The text is the same on both sides, and the picture's host is down: not done as far as one knows."""
    correction = Correction(telegram, PHOTO, edition(OTHER_PICTURE))
    prepared = correction.prepare()
    correction.send(prepared)
    telegram.sandbox.knob("refuse", path="/file/*", times=0)
    assert prepared == correction.probe(prepared)
    telegram.sandbox.clear()
    assert isinstance(correction.probe(prepared), Receipt)


# withdrawal


@SHAPES
def test_a_withdrawn_post_is_gone_with_all_its_messages(either: TelegramBench, given: Edition) -> None:
    """Every one of an album; once more is success."""
    rendition, receipt = published(either, given)
    for _ in range(2):
        either.channel().withdraw(receipt, either.key())
    assert [] == either.listed()
    assert not either.channel().verify(receipt, rendition).visible
    gone = [line["detail"]["messages"] for line in either.sandbox.record() if line["effect"] == "post_deleted"]
    assert max(1, len(given.assets)) == len(gone)


def test_an_old_message_is_withdrawn_with_the_right_to_only(telegram: TelegramBench) -> None:
    """After 48 hours without can_delete_messages the operator has to grant it, and is told its name."""
    _, receipt = published(telegram, TEXT)
    telegram.sandbox.knob("aged", hours=49)
    telegram.sandbox.knob("missing_right", right="can_delete_messages")
    with pytest.raises(Unauthorised, match="can_delete_messages"):
        telegram.channel().withdraw(receipt, telegram.key())
    telegram.sandbox.clear()
    telegram.channel().withdraw(receipt, telegram.key())
    assert [] == telegram.listed()


def test_what_a_person_found_is_corrected_and_withdrawn_by_its_address(telegram: TelegramBench) -> None:
    """A receipt without our notes; an address that is none of a message is refused."""
    _, receipt = published(telegram, TEXT)
    told = Receipt("", receipt.url, receipt.at)
    key = telegram.key()
    rendition = rendered(telegram, edition(summary="更正。"), key, told)
    sent(telegram, telegram.channel().prepare(rendition, key, told), rendition, key)
    assert () == telegram.channel().verify(receipt, rendition).problems
    telegram.channel().withdraw(told, key)
    assert [] == telegram.listed()
    with pytest.raises(Rejected, match="no address of a message"):
        telegram.channel().withdraw(Receipt("", "https://t.me/town", 0), key)


def test_what_was_public_before_a_restart_of_the_outlet_is_corrected_and_withdrawn(tmp_path: Path) -> None:
    """The sandbox keeps channels, messages and photos, at the same address."""
    home = tmp_path / "sandbox"
    with server("channels.sandbox.telegram", home) as running:
        first = TelegramBench(running)
        before, receipt = published(first, PHOTO)
        first.close()
    with server("channels.sandbox.telegram", home) as running:
        telegram = TelegramBench(running)
        assert () == telegram.channel().verify(receipt, before).problems
        key = telegram.key()
        rendition = rendered(telegram, edition(OTHER_PICTURE), key, receipt)
        sent(telegram, telegram.channel().prepare(rendition, key, receipt), rendition, key)
        assert () == telegram.channel().verify(receipt, rendition, before).problems
        telegram.channel().withdraw(receipt, key)
        assert [] == telegram.listed()
        telegram.close()


# twin, notes


@pytest.mark.parametrize("staging", ["", "-1009876543210"])
def test_the_twin_keeps_nothing_of_the_configured_host(staging: str) -> None:
    """Channels, addresses and token replaced, never live; it stages where the real one does."""
    settings = {"chat_id": "@real", "api_base": "https://real.example", "page_base": "https://page.example"}
    settings |= {"staging_chat_id": staging} if staging else {}
    real = Outlet(
        "town-news", "unit", "telegram", settings, {"bot_token": "110201543:real-token-of-somebody"}, live=True
    )
    twin = TelegramChannel.twin(real, "http://127.0.0.1:1", "/tmp/x")
    for name in ("api_base", "page_base"):
        assert "http://127.0.0.1:1" == twin.settings[name]
    assert "@sandbox_town_news" == twin.settings["chat_id"]
    assert bool(staging) is bool(twin.settings.get("staging_chat_id"))
    assert "-1009876543210" not in twin.settings.values()
    assert twin.secrets["bot_token"].endswith(":sandbox-bot-town-news")
    assert (False, True, "town-news") == (twin.live, twin.private_network, twin.name)


@pytest.mark.parametrize("name", ["a", "a-" * 19 + "b"])
def test_an_outlet_of_any_name_has_a_twin(name: str) -> None:
    """Its token and its channels are such as the channel takes."""
    real = Outlet(name, "unit", "telegram", {"staging_chat_id": "-1001234567890"})
    assert chosen(TelegramChannel.twin(real, "http://127.0.0.1:1", "")).token.endswith(f"-{name}")


def test_a_receipt_tells_what_a_later_correction_has_to_know(telegram: TelegramBench) -> None:
    """The messages, the photos and the text; a probe's tells the same."""
    rendition, receipt = published(telegram, ALBUM)
    assert 3 == len(receipt.notes["ids"].split())
    assert [one.digest for one in rendition.files] == receipt.notes["photos"].split()
    assert mark(rendition) == receipt.notes["text"]
    found = telegram.channel().probe(rendition, telegram.key(), None)
    assert isinstance(found, Receipt)
    assert dict(receipt.notes) == dict(found.notes)


def test_the_contract_suites_edition_goes_through_either_way(either: TelegramBench) -> None:
    """A picture, a summary, tags."""
    rendition, receipt = published(either, EDITION)
    assert "#交通 #便民" in rendition.content
    assert () == either.channel().verify(receipt, rendition).problems
