"""What is peculiar to Weibo: each trap of its API as a named test.

One sandbox process for all tests, an account of its own for each.
"""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from channels.weibo import PICTURE, WeiboChannel
from channels.weibo_probe import LAGS
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    OutletError,
    Place,
    Prepared,
    Receipt,
    Rejected,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import Asset, AssetRole, Edition, Key, Rendition, Sighting, sha256
from tests.contract.bench import CLOCK, Server, server, window
from tests.contract.bench_weibo import DOMAIN, EDITION, PATHS, ROUTE, WeiboBench, picture

SHARE = PATHS["release"]
CORRECTED = replace(
    EDITION,
    revision=2,
    metadata={**EDITION.metadata, "summary": "自12月2日起，12路乡村公交环线试运行，首班06:40。"},
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.weibo", tmp_path_factory.mktemp("weibo")) as running:
        yield running


class Weibo(WeiboBench):
    """A bench with one delivery and its steps."""

    def __init__(self, sandbox: Server, account: str) -> None:
        super().__init__(sandbox, account)
        self.delivery = self.key()
        self.rendition = self.of(EDITION)

    def of(self, edition: Edition) -> Rendition:
        """Every edition here has the same address, as a correction has."""
        return self.channel().render(edition, Place(self.delivery, f"https://{DOMAIN}/2026/11/12.html"))

    def knob(self, fault: str, **parameters: object) -> None:
        self.sandbox.knob(fault, account=self.account, **parameters)

    def later(self, microseconds: int) -> WeiboChannel:
        """The channel as it will be then."""
        return WeiboChannel(self.outlet, replace(self.tools, now=lambda: CLOCK.now() + microseconds))

    def prepare(self, rendition: Rendition | None = None) -> Prepared:
        return self.channel().prepare(rendition or self.rendition, self.delivery)

    def send(self, prepared: Prepared, rendition: Rendition | None = None) -> Receipt | Accepted:
        shot = self.channel().arm(prepared, rendition or self.rendition, self.delivery)
        shot.send(window(), CLOCK.boottime)
        return shot.settle()

    def publish(self, rendition: Rendition | None = None) -> Receipt:
        receipt = self.send(self.prepare(rendition), rendition)
        assert isinstance(receipt, Receipt)
        return receipt

    def probe(
        self, hint: Prepared | Accepted | None, rendition: Rendition | None = None
    ) -> Prepared | Accepted | Receipt | None:
        return self.channel().probe(rendition or self.rendition, self.delivery, hint)

    def verify(self, receipt: Receipt, rendition: Rendition | None = None) -> Sighting:
        return self.channel().verify(receipt, rendition or self.rendition)

    def share(self, text: str) -> dict[str, Any]:
        """A post by the same application, made outside the code under test."""
        return self.api(SHARE, status=text, rip="211.156.0.1")

    def counted(self) -> list[str]:
        """The calls that Weibo counts, in order."""
        lines = [line for line in self.sandbox.record() if line["account"] == self.account]
        return [line["path"].rpartition("/")[2] for line in lines if "rate_limit" not in line["path"]]


@pytest.fixture
def weibo(sandbox: Server) -> Iterator[Weibo]:
    """An account that nothing has happened to yet."""
    made = Weibo(sandbox, uuid.uuid4().hex[:8])
    try:
        yield made
    finally:
        sandbox.clear()
        made.close()


def refused(weibo: Weibo, code: int | str, status: int = 400) -> OutletError:
    """What a share that is answered so comes to."""
    prepared = weibo.prepare()
    weibo.knob("refuse", path=SHARE, status=status, json={"error_code": code, "error": "words"})
    with pytest.raises(OutletError) as caught:
        weibo.send(prepared)
    return caught.value


# the budget of a hundred calls


def test_a_delivery_costs_three_calls(weibo: Weibo) -> None:
    """Token and newest post before, the post itself; reading back is done as a stranger."""
    receipt = weibo.publish()
    for _ in range(5):
        weibo.verify(receipt)
    assert ["get_token_info", "user_timeline.json", "share.json"] == weibo.counted()


def test_a_look_after_doubt_costs_one_call(weibo: Weibo) -> None:
    """Where the links lead is asked of the links."""
    prepared = weibo.prepare()
    weibo.send(prepared)
    before = len(weibo.counted())
    weibo.probe(prepared)
    assert ["user_timeline.json"] == weibo.counted()[before:]


def test_when_the_days_calls_are_used_up_the_reset_is_waited_for(weibo: Weibo) -> None:
    """HTTP 403 that is no question of rights; nothing was posted; a call that is not counted tells when it ends."""
    prepared = weibo.prepare()
    first = CLOCK.now()
    for _ in range(98):
        weibo.api("/2/statuses/user_timeline.json")
    with pytest.raises(TryLater) as caught:
        weibo.send(prepared)
    assert caught.value.not_before is not None
    assert abs(caught.value.not_before - first - 24 * 3600 * SECOND) < 120 * SECOND
    assert 0 == weibo.public_copies()
    with pytest.raises(TryLater):
        weibo.probe(prepared)


def test_when_the_hours_posts_are_used_up_an_hour_is_waited(weibo: Weibo) -> None:
    """Thirty in an hour; other calls go on."""
    for number in range(30):
        weibo.share(f"第{number}条 https://{DOMAIN}/ ")
    prepared = weibo.prepare()
    with pytest.raises(TryLater) as caught:
        weibo.send(prepared)
    assert "POST /2/statuses/share" == caught.value.of
    assert caught.value.not_before is not None and caught.value.not_before >= CLOCK.now() + 3500 * SECOND
    assert prepared == weibo.probe(prepared)


# error codes


@pytest.mark.parametrize("string", [False, True], ids=["number", "string"])
def test_a_code_counts_as_number_and_as_string(weibo: Weibo, string: bool) -> None:
    """The same refusal in both forms, from the outlet itself."""
    prepared = weibo.prepare()
    if string:
        weibo.knob("string_codes")
    weibo.knob("expires_in", seconds=0)
    with pytest.raises(Unauthorised, match="21327"):
        weibo.send(prepared)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (20031, 400, Unauthorised),
        ("20033", 403, Unauthorised),
        (20021, 400, Rejected),
        ("10017", 403, Rejected),
        (10024, 403, TryLater),
        (10022, 403, TryLater),
        (10001, 400, Ambiguous),
        (10001, 503, Ambiguous),
        (424242, 400, Ambiguous),
    ],
)
def test_the_code_decides_and_not_the_status(
    weibo: Weibo, code: int | str, status: int, kind: type[OutletError]
) -> None:
    """400 and 403 are used for everything; 5xx and the unknown may have been posted."""
    assert kind is type(refused(weibo, code, status))


def test_a_login_page_after_posting_is_no_success(weibo: Weibo) -> None:
    """It may have been posted."""
    prepared = weibo.prepare()
    weibo.knob("login_page", path=SHARE)
    with pytest.raises(Ambiguous):
        weibo.send(prepared)


# the same text again


def test_a_repeat_after_a_lost_answer_is_looked_up(weibo: Weibo) -> None:
    """Byte for byte the same text: refused as repeated, so it is there; one copy."""
    prepared = weibo.prepare()
    weibo.fault("drop_answer", "release")
    with pytest.raises(Ambiguous):
        weibo.send(prepared)
    again = weibo.send(prepared)
    assert isinstance(again, Accepted)
    found = weibo.probe(again)
    assert isinstance(found, Receipt)
    assert (1, ()) == (weibo.public_copies(), weibo.verify(found).problems)
    shots = [line for line in weibo.sandbox.record() if (line["account"], line["path"]) == (weibo.account, SHARE)]
    assert [weibo.rendition.content] * 2 == [line["detail"]["text"] for line in shots]


@pytest.mark.parametrize("similar", [False, True], ids=["20019", "20017"])
def test_a_repeat_of_an_older_post_is_not_taken_for_ours(weibo: Weibo, similar: bool) -> None:
    """It was there before ours was prepared: while reads may lag nothing is said, then the editor is told which."""
    older = weibo.publish()
    if similar:
        weibo.knob("similar")
    prepared = Prepared("text", None, {"since": older.ref, "expires": "", "picture_type": "image/png"})
    accepted = weibo.send(prepared)
    assert isinstance(accepted, Accepted)
    assert accepted == weibo.probe(accepted)
    with pytest.raises(Rejected, match=older.ref):
        weibo.later(LAGS + SECOND).probe(weibo.rendition, weibo.delivery, accepted)
    assert 1 == weibo.public_copies()


def test_a_repeat_of_which_nothing_is_found_is_for_a_person(weibo: Weibo) -> None:
    """Neither ours nor an older one is listed: it is never sent again by the machine."""
    accepted = Accepted("", {"since": "0", "asked": str(CLOCK.now()), "code": "20111"})
    assert accepted == weibo.probe(accepted)
    with pytest.raises(Unsupported, match="20111"):
        weibo.later(LAGS + SECOND).probe(weibo.rendition, weibo.delivery, accepted)


def test_a_correction_that_changes_nothing_here_is_told_before_the_instant(weibo: Weibo) -> None:
    """Title and summary are the same: Weibo would refuse it when the other outlets are public already."""
    receipt = weibo.publish()
    same = weibo.of(replace(EDITION, revision=2, body="<p>自12月2日起，12路试运行。</p>"))
    with pytest.raises(Rejected, match=receipt.ref):
        weibo.prepare(same)
    weibo.later(25 * 3600 * SECOND).prepare(same, weibo.delivery)
    weibo.channel().withdraw(receipt, weibo.key())
    weibo.prepare(same)


# posted, and not listed yet


def test_posted_with_delay_is_a_success_that_is_read_back(weibo: Weibo) -> None:
    """20032 names no post; once reads have caught up it is found, and it is one."""
    prepared = weibo.prepare()
    weibo.knob("delayed")
    weibo.knob("lag", seconds=3600)
    accepted = weibo.send(prepared)
    assert isinstance(accepted, Accepted)
    assert accepted == weibo.probe(accepted)
    weibo.sandbox.clear()
    found = weibo.probe(accepted)
    assert isinstance(found, Receipt)
    assert (1, ()) == (weibo.public_copies(), weibo.verify(found).problems)


def test_posted_and_never_listed_is_for_a_person(weibo: Weibo) -> None:
    """Weibo's word is not enough."""
    prepared = weibo.prepare()
    weibo.knob("delayed")
    weibo.knob("lag", seconds=3600)
    accepted = weibo.send(prepared)
    assert isinstance(accepted, Accepted)
    with pytest.raises(Unsupported, match="20032"):
        weibo.later(LAGS + SECOND).probe(weibo.rendition, weibo.delivery, accepted)


def test_an_absence_counts_only_after_reads_have_caught_up() -> None:
    """The quarantine is longer than the lag."""
    assert WeiboChannel.can.lands_within * SECOND >= LAGS


# doubt


def test_an_older_post_at_the_same_address_is_not_this_delivery(weibo: Weibo) -> None:
    """A correction is prepared after it; its request was lost: prepared, not public; then the old copy goes."""
    old = weibo.publish()
    newer = weibo.of(CORRECTED)
    prepared = weibo.prepare(newer)
    weibo.fault("drop_request", "release")
    with pytest.raises(Ambiguous):
        weibo.send(prepared, newer)
    assert prepared == weibo.probe(prepared, newer)
    assert weibo.probe(None, newer) is None
    new = weibo.send(prepared, newer)
    assert isinstance(new, Receipt)
    weibo.channel().withdraw(old, weibo.key())
    assert (False, True) == (weibo.verify(old).visible, weibo.verify(new, newer).visible)
    assert () == weibo.verify(new, newer).problems


def test_another_item_with_the_same_words_is_not_this_delivery(weibo: Weibo) -> None:
    """Only where its link leads tells them apart."""
    prepared = weibo.prepare()
    other = weibo.channel().render(EDITION, Place(weibo.key(), f"https://{DOMAIN}/2026/11/13.html"))
    weibo.send(prepared, other)
    assert prepared == weibo.probe(prepared)
    assert isinstance(weibo.probe(prepared, other), Receipt)


def test_two_copies_are_counted(weibo: Weibo) -> None:
    """When Weibo no longer remembers the text: the older one is the receipt, and the number is told."""
    weibo.knob("repeat_window", seconds=0)
    prepared = weibo.prepare()
    first, _ = weibo.send(prepared), weibo.send(prepared)
    found = weibo.probe(prepared)
    assert isinstance(found, Receipt) and isinstance(first, Receipt)
    assert (first.ref, "2") == (found.ref, found.notes["copies"])


def test_ours_is_found_among_what_others_posted(weibo: Weibo) -> None:
    """By this application, and by hand in Weibo's own."""
    prepared = weibo.prepare()
    receipt = weibo.send(prepared)
    for number in range(9):
        weibo.share(f"第{number}条 https://{DOMAIN}/{number} ")
        given = {"user": weibo.account, "text": f"大家看 {weibo.rendition.fields['canonical']} {number}"}
        weibo.sandbox.ask("POST", "/console/post", given)
    found = weibo.probe(prepared)
    assert isinstance(found, Receipt) and isinstance(receipt, Receipt)
    assert (receipt.ref, {}) == (found.ref, found.notes)


def test_what_a_colleague_posted_by_hand_is_not_ours(weibo: Weibo) -> None:
    """The very same text, copied into Weibo's own application while ours was lost."""
    prepared = weibo.prepare()
    weibo.fault("drop_request", "release")
    with pytest.raises(Ambiguous):
        weibo.send(prepared)
    weibo.sandbox.ask("POST", "/console/post", {"user": weibo.account, "text": weibo.rendition.content})
    assert prepared == weibo.probe(prepared)


def test_where_older_posts_are_not_listed_an_absence_is_not_claimed(weibo: Weibo) -> None:
    """Some applications see the newest five: with as many since it was prepared, a person has to look."""
    weibo.share(f"以前 https://{DOMAIN}/ ")
    prepared = weibo.prepare()
    weibo.knob("window", posts=5)
    for number in range(4):
        weibo.share(f"第{number}条 https://{DOMAIN}/{number} ")
    assert prepared == weibo.probe(prepared)
    weibo.share(f"又一条 https://{DOMAIN}/ ")
    with pytest.raises(Unsupported):
        weibo.probe(prepared)
    assert ["user_timeline.json"] * 2 == weibo.counted()[-2:]


def test_a_link_that_does_not_tell_where_it_leads_is_no_absence(weibo: Weibo) -> None:
    """Weibo warns of some sites instead of leading there: then it cannot be learnt."""
    prepared = weibo.prepare()
    weibo.send(prepared)
    weibo.sandbox.knob("warn")
    with pytest.raises(TryLater):
        weibo.probe(prepared)


def test_a_probe_that_cannot_look_is_no_absence(weibo: Weibo) -> None:
    """An error, not None."""
    prepared = weibo.prepare()
    weibo.knob("refuse", path="/2/statuses/user_timeline.json")
    with pytest.raises(TryLater):
        weibo.probe(prepared)


# the token


def test_the_end_of_the_token_is_known(weibo: Weibo) -> None:
    """To be told days ahead: only a person can renew it."""
    weibo.knob("expires_in", seconds=3 * 24 * 3600)
    expires = weibo.channel().expires()
    assert expires is not None
    assert abs(expires - CLOCK.now() - 3 * 24 * 3600 * SECOND) < 60 * SECOND


@pytest.mark.parametrize("seconds", [0, 300])
def test_a_token_that_is_over_or_nearly_is_told_at_login_and_prepare(weibo: Weibo, seconds: int) -> None:
    """With what a person has to do."""
    weibo.knob("expires_in", seconds=seconds)
    for act in (weibo.channel().login, weibo.prepare):
        with pytest.raises(Unauthorised, match="re-authorise"):
            act()


def test_a_token_that_ends_before_the_instant_is_not_armed(weibo: Weibo) -> None:
    """Long enough for now, not for the moment of the release."""
    weibo.knob("expires_in", seconds=7200)
    prepared = weibo.prepare()
    for hours, lasts in ((1, True), (2, False)):
        instant = {"release_at": str(CLOCK.now() + hours * 3600 * SECOND)}
        planned = replace(prepared, notes={**prepared.notes, **instant})
        if lasts:
            weibo.channel().arm(planned, weibo.rendition, weibo.delivery).close()
        else:
            with pytest.raises(Unauthorised, match="re-authorise"):
                weibo.channel().arm(planned, weibo.rendition, weibo.delivery)


@pytest.mark.parametrize(("knob", "given", "code"), [("expires_in", {"seconds": 0}, "21327"), ("revoke", {}, "21332")])
def test_a_token_that_died_after_arming_posts_nothing(
    weibo: Weibo, knob: str, given: dict[str, object], code: str
) -> None:
    """HTTP 400, and for the operator; the token is in no message."""
    prepared = weibo.prepare()
    shot = weibo.channel().arm(prepared, weibo.rendition, weibo.delivery)
    weibo.knob(knob, **given)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Unauthorised, match=code) as caught:
        shot.settle()
    assert weibo.token not in str(caught.value)
    assert [] == weibo.lines("post_created")


# what the public sees


def test_a_post_hidden_after_success_is_not_visible(weibo: Weibo) -> None:
    """Its author goes on seeing it; the public does not, and only that counts."""
    weibo.knob("hide")
    receipt = weibo.publish()
    assert receipt.ref == weibo.api(f"/2/statuses/show.json?id={receipt.ref}")["idstr"]
    sighting = weibo.verify(receipt)
    assert not sighting.visible and "20112" in sighting.problems[0].message


def test_the_notice_in_a_deleted_posts_place_is_gone(weibo: Weibo) -> None:
    """An object with a text of Weibo's own, on the page and in the list."""
    prepared = weibo.prepare()
    receipt = weibo.send(prepared)
    assert isinstance(receipt, Receipt)
    weibo.knob("notices")
    weibo.channel().withdraw(receipt, weibo.key())
    sighting = weibo.verify(receipt)
    assert not sighting.visible and "已被原作者删除" in sighting.problems[0].message
    assert prepared == weibo.probe(prepared)


@pytest.mark.parametrize("status", [200, 432])
def test_a_wall_for_strangers_is_no_absence(weibo: Weibo, status: int) -> None:
    """The delivery stays open; nothing is claimed either way."""
    receipt = weibo.publish()
    weibo.knob("wall", status=status)
    with pytest.raises(TryLater, match="strangers"):
        weibo.verify(receipt)


@pytest.mark.parametrize("knob", ["", "sinaurl"])
def test_a_rewritten_link_is_compared_by_where_it_leads(weibo: Weibo, knob: str) -> None:
    """Readers see "网页链接"; one changed digit of the address behind it is a difference."""
    if knob:
        weibo.knob(knob)
    receipt = weibo.publish()
    assert () == weibo.verify(receipt).problems
    weibo.knob("alter", replace=["/12.html", "/13.html"])
    assert {"text", "link"} == {problem.where for problem in weibo.verify(receipt).problems}


def test_a_link_that_cannot_be_followed_is_told(weibo: Weibo) -> None:
    """The post is visible; that its link is the right one is not known."""
    receipt = weibo.publish()
    weibo.sandbox.knob("warn")
    sighting = weibo.verify(receipt)
    assert sighting.visible and "link" in {problem.where for problem in sighting.problems}


def test_what_the_page_shows_is_read_back_exactly(weibo: Weibo) -> None:
    """Marks that HTML, names and links care about survive the round trip; addresses have their space."""
    awkward = replace(
        EDITION,
        title="“引号” <b> & 12%，3#楼 与 a_b",
        metadata={"summary": f"见 https://{DOMAIN}/b?c=1&d=2，或 @清溪发布 等——末行！"},
    )
    rendition = weibo.of(awkward)
    receipt = weibo.publish(rendition)
    assert (True, ()) == (weibo.verify(receipt, rendition).visible, weibo.verify(receipt, rendition).problems)
    assert isinstance(weibo.probe(None, rendition), Receipt)


def test_topics_stripped_without_a_word_would_show(weibo: Weibo) -> None:
    """If one ever went out: the page lacks it."""
    weibo.knob("strip_topics")
    rendition = weibo.rendition
    loud = replace(rendition, content=f"#便民# {rendition.content}")
    receipt = weibo.send(weibo.prepare(), loud)
    assert isinstance(receipt, Receipt)
    shown = (replace(rendition.shown[0], value=f"#便民# {rendition.shown[0].value}"), *rendition.shown[1:])
    assert ["text"] == [problem.where for problem in weibo.verify(receipt, replace(loud, shown=shown)).problems]


# the request


def test_the_operators_address_and_the_text_arrive_as_they_are(weibo: Weibo) -> None:
    """`rip` is the one that was set; nothing is encoded twice; no topic is in it."""
    weibo.publish()
    (line,) = weibo.lines("post_created")
    assert (weibo.rendition.content, "211.156.0.1") == (line["detail"]["text"], line["detail"]["rip"])
    assert "#" not in line["detail"]["text"]


def test_an_address_off_the_applications_domain_is_refused_by_weibo(weibo: Weibo) -> None:
    """`safe_domain` here has to be what is set at Weibo; otherwise it is told by code."""
    prepared = weibo.prepare()
    elsewhere = replace(weibo.rendition, content="停水 https://other.example/1 ")
    with pytest.raises(Rejected, match="10017"):
        weibo.send(prepared, elsewhere)


def test_a_post_without_a_picture_is_a_form(weibo: Weibo) -> None:
    """And is read back like any other."""
    rendition = weibo.of(replace(EDITION, assets=()))
    receipt = weibo.publish(rendition)
    assert () == weibo.verify(receipt, rendition).problems
    assert "" == weibo.lines("post_created")[0]["detail"]["picture"]


def noise(side: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


def with_picture(weibo: Weibo, content: bytes, media_type: str) -> Rendition:
    weibo.blobs[sha256(content)] = content
    asset = Asset(sha256(content), media_type, len(content), "a.bin", AssetRole.IMAGE)
    return weibo.of(replace(EDITION, assets=(asset,)))


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(noise(1200), "image/png"), (picture("bus", form="BMP"), "image/bmp"), (picture("bus", form="GIF"), "image/gif")],
    ids=["large", "bmp", "gif"],
)
def test_a_picture_is_made_small_before_the_instant(weibo: Weibo, content: bytes, media_type: str) -> None:
    """What crosses the wire within the instant is below the limit, and is recognised on the page."""
    rendition = with_picture(weibo, content, media_type)
    prepared = weibo.prepare(rendition)
    receipt = weibo.send(prepared, rendition)
    assert isinstance(receipt, Receipt)
    assert weibo.lines("post_created")[0]["detail"]["size"] < PICTURE.below + 2000
    assert () == weibo.verify(receipt, rendition).problems


def test_a_picture_that_is_small_goes_as_it_is(weibo: Weibo) -> None:
    """Nothing of it is kept with the delivery, and arming has nothing to make."""
    prepared = weibo.prepare()
    assert {"since", "expires", "picture_type"} == set(prepared.notes)
    shot = weibo.channel().arm(prepared, weibo.rendition, weibo.delivery)
    assert ROUTE in shot._asked.sent  # type: ignore[attr-defined]
    shot.close()


def test_a_picture_that_cannot_be_used_is_for_the_editor(weibo: Weibo) -> None:
    """Before anything is asked of Weibo."""
    content = b"BM" + bytes(64)
    rendition = with_picture(weibo, content, "image/bmp")
    with pytest.raises(Rejected, match="picture"):
        weibo.prepare(rendition)
    assert [] == weibo.counted()


def test_the_preview_is_what_would_be_sent(weibo: Weibo) -> None:
    """The text, and the picture as it would be uploaded."""
    rendition = with_picture(weibo, noise(1200), "image/png")
    files = weibo.channel().preview(rendition)
    assert ["status.txt", "picture.jpg"] == list(files)
    assert rendition.content.encode() == files["status.txt"]
    assert len(files["picture.jpg"]) < PICTURE.below


# ids, withdrawal, restart


def test_the_id_is_the_text_and_not_the_number(weibo: Weibo) -> None:
    """As a number it is rounded: another post's."""
    receipt = weibo.publish()
    shown = weibo.api(f"/2/statuses/show.json?id={receipt.ref}")
    assert receipt.ref == shown["idstr"] != str(shown["id"])
    assert int(receipt.ref) > 2**53


def test_a_post_that_a_person_settled_is_read_and_withdrawn(weibo: Weibo) -> None:
    """They pasted the address of its page on weibo.com."""
    receipt = weibo.publish()
    bid = weibo.sandbox.ask("GET", f"/statuses/show?id={receipt.ref}")["data"]["bid"]
    settled = Receipt("a-digest", f"{weibo.sandbox.address}/5000000000/{bid}", 0)
    assert () == weibo.verify(settled).problems
    weibo.channel().withdraw(settled, weibo.key())
    assert 0 == weibo.public_copies()


def test_somebody_elses_post_is_not_withdrawn(weibo: Weibo) -> None:
    """Refused for good, and it stays."""
    receipt = weibo.publish()
    stranger = WeiboChannel(replace(weibo.outlet, secrets={"access_token": "sandbox-stranger"}), weibo.tools)
    with pytest.raises(Rejected, match="20102"):
        stranger.withdraw(receipt, weibo.key())
    assert 1 == weibo.public_copies()


def test_nothing_is_changed_in_place(weibo: Weibo) -> None:
    """A correction is a post of its own."""
    receipt = weibo.publish()
    with pytest.raises(Unsupported):
        weibo.channel().prepare(weibo.of(CORRECTED), weibo.delivery, receipt)


def test_what_was_public_before_a_restart_of_the_outlet_is_read_and_withdrawn(tmp_path: Path) -> None:
    """The sandbox keeps posts, pictures and short links, at the same address."""
    home = tmp_path / "sandbox"
    with server("channels.sandbox.weibo", home) as running:
        first = Weibo(running, "town")
        receipt = first.publish()
        first.close()
    with server("channels.sandbox.weibo", home) as running:
        again = Weibo(running, "town")
        assert () == again.verify(receipt).problems
        assert isinstance(again.probe(None), Receipt)
        again.channel().withdraw(receipt, Key("installation", "withdrawal"))
        assert not again.verify(receipt).visible
        again.close()


def test_a_request_that_lands_late_is_within_the_quarantine(weibo: Weibo) -> None:
    """Nothing at first, and then it is there: an absence seen before is no proof."""
    prepared = weibo.prepare()
    weibo.knob("late", method="POST", path=SHARE, seconds=0.3)
    with pytest.raises(Ambiguous):
        weibo.send(prepared)
    assert prepared == weibo.probe(prepared)
    ends = time.monotonic() + 5
    while not isinstance(found := weibo.probe(prepared), Receipt):
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert () == weibo.verify(found).problems
