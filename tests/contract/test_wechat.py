"""What is peculiar to WeChat: the traps of its API, and the facts that its sandbox models.

One sandbox process for all tests, an account of its own for each.
"""

from __future__ import annotations

import itertools
import json
import re
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from channels.sandbox.wechat_books import FORCES_A_DAY, Account, Draft, Refused, TokenTable
from channels.wechat import WechatChannel
from channels.wechat_api import Step, WechatApi
from channels.wechat_article import is_marked, marked
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Fresh,
    HeldBack,
    LocalTokens,
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
from sync.model import Edition, Key, Outlet, Rendition
from tests.contract.bench import CLOCK, PATIENCE, Server, public, server, window
from tests.contract.bench_wechat import BLOBS, EDITION, PATHS, WechatBench, picture

SUBMIT = PATHS["release"]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The sandbox process."""
    with server("channels.sandbox.wechat", tmp_path_factory.mktemp("wechat")) as running:
        yield running


class Wechat(WechatBench):
    """A bench with one delivery, its steps, and the API as anybody could call it."""

    def __init__(self, sandbox: Server, account: str) -> None:
        super().__init__(sandbox, account)
        self.delivery = self.key()
        self.rendition = self.render(self.delivery)

    def knob(self, fault: str, **parameters: object) -> None:
        self.sandbox.knob(fault, account=self.account, **parameters)

    def prepare(self) -> Prepared:
        return self.channel().prepare(self.rendition, self.delivery)

    def arm(self, prepared: Prepared) -> Shot:
        return self.channel().arm(prepared, self.rendition, self.delivery)

    def probe(self, hint: Prepared | Accepted | None) -> Prepared | Accepted | Receipt | None:
        return self.channel().probe(self.rendition, self.delivery, hint)

    def submit(self, prepared: Prepared) -> Receipt | Accepted:
        shot = self.arm(prepared)
        shot.send(window(), CLOCK.boottime)
        return shot.settle()

    def publish(self) -> Receipt:
        return public(self.channel(), self.rendition, self.delivery, self.submit(self.prepare()))

    def token(self, *, force: bool = False) -> dict[str, Any]:
        answer: dict[str, Any] = self.sandbox.ask(
            "POST",
            "/cgi-bin/stable_token",
            {
                "grant_type": "client_credential",
                "appid": f"sandbox-{self.account}",
                "secret": f"sandbox-secret-{self.account}",
                "force_refresh": force,
            },
        )
        return answer

    def ask(self, path: str, payload: object) -> dict[str, Any]:
        """A call as WeChat wants it: raw UTF-8."""
        url = f"{self.sandbox.address}/cgi-bin/{path}?access_token={self.token()['access_token']}"
        body = json.dumps(payload, ensure_ascii=False).encode()
        answer = json.loads(self.tools.http.call("POST", url, creates=False, body=body).body)
        assert isinstance(answer, dict)
        return answer

    def upload(self, path: str, name: str, content: bytes, **query: str) -> dict[str, Any]:
        token = self.token()["access_token"]
        more = "".join(f"&{key}={value}" for key, value in query.items())
        url = f"{self.sandbox.address}/cgi-bin/{path}?access_token={token}{more}"
        file = {"media": (name, content, "application/octet-stream")}
        answer = json.loads(self.tools.http.call("POST", url, creates=False, files=file).body)
        assert isinstance(answer, dict)
        return answer

    def draft(self, content: str = "<p>甲</p>", **more: object) -> dict[str, Any]:
        """A draft made by hand, with a cover of its own."""
        cover = self.upload("material/add_material", "a.png", picture("a"), type="image")["media_id"]
        article = {"title": "题", "content": content, "thumb_media_id": cover, **more}
        return self.ask("draft/add", {"articles": [article]})

    def polls(self) -> int:
        """How often it was asked what became of a job."""
        asked = [line for line in self.sandbox.record() if line["account"] == self.account]
        return sum(line["path"] == "/cgi-bin/freepublish/get" for line in asked)

    def console(self, act: str, **given: object) -> None:
        self.sandbox.ask("POST", f"/console/{act}", {"account": self.account, **given})


@pytest.fixture
def wechat(sandbox: Server) -> Iterator[Wechat]:
    """An account that nothing has happened to yet."""
    made = Wechat(sandbox, uuid.uuid4().hex[:8])
    try:
        yield made
    finally:
        sandbox.clear()
        made.close()


def until(found: Callable[[], object]) -> object:
    """Ask until there is an answer, or PATIENCE ends."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        answer = found()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError("it never came")


# Traps


def test_a_submission_is_not_a_publication(wechat: Wechat) -> None:
    """submit answers 0 for what is only queued: accepted, and nobody can read it yet."""
    wechat.knob("latency", ms=400)
    accepted = wechat.submit(wechat.prepare())
    assert isinstance(accepted, Accepted) and accepted.job
    assert wechat.public_copies() == 0
    assert wechat.probe(accepted) == accepted
    public(wechat.channel(), wechat.rendition, wechat.delivery, accepted)
    assert wechat.public_copies() == 1


@pytest.mark.parametrize("status", [2, 3, 4])
def test_a_job_that_fails_is_rejected_with_its_reason(wechat: Wechat, status: int) -> None:
    """Original claim, generic failure and platform review end a job without a publication."""
    wechat.knob("outcome", status=status)
    accepted = wechat.submit(wechat.prepare())

    def ended() -> str:
        try:
            assert isinstance(wechat.probe(accepted if isinstance(accepted, Accepted) else None), Accepted)
        except Rejected as error:
            return str(error)
        return ""

    assert f"publish_status {status}" in str(until(ended))
    assert wechat.public_copies() == 0


@pytest.mark.parametrize(("act", "status", "notice"), [("delete", 5, "发布者删除"), ("ban", 6, "违规")])
def test_a_publication_that_was_removed_is_no_success(wechat: Wechat, act: str, status: int, notice: str) -> None:
    """A job that succeeded can turn into 5 or 6; its page then answers 200 with a notice, which is not visible."""
    accepted = wechat.submit(wechat.prepare())
    receipt = public(wechat.channel(), wechat.rendition, wechat.delivery, accepted)
    wechat.console(act, article_id=receipt.ref)
    with pytest.raises(Rejected, match=f"publish_status {status}"):
        wechat.probe(accepted if isinstance(accepted, Accepted) else None)
    sighting = wechat.channel().verify(receipt, wechat.rendition)
    assert not sighting.visible
    assert notice in sighting.problems[0].message


def test_publish_id_as_a_number(wechat: Wechat) -> None:
    """publish_id comes as text or as a number; both are asked about."""
    wechat.knob("publish_id_int")
    assert wechat.publish().url
    assert wechat.public_copies() == 1


def test_a_cover_that_is_not_known_yet_is_tried_again(wechat: Wechat) -> None:
    """40007 after add_material passes within seconds: nothing was made, and the next try uses the same cover."""
    wechat.knob("replication", seconds=3600)
    before = CLOCK.now()
    with pytest.raises(TryLater) as caught:
        wechat.prepare()
    assert caught.value.not_before is not None and before < caught.value.not_before <= CLOCK.now() + 10 * SECOND
    wechat.sandbox.clear()
    wechat.prepare()
    assert wechat.effects("added_material") == 1
    assert wechat.effects("drafted") == 1


def test_a_draft_that_is_gone_is_stale(wechat: Wechat) -> None:
    """40007 while arming means that somebody deleted the draft: prepare again."""
    prepared = wechat.prepare()
    wechat.ask("draft/delete", {"media_id": prepared.ref})
    with pytest.raises(Stale):
        wechat.arm(prepared)


def test_a_draft_gone_at_the_instant_is_ambiguous(wechat: Wechat) -> None:
    """40007 as answer to the submission can also mean "published already", so only a look decides."""
    prepared = wechat.prepare()
    shot = wechat.arm(prepared)
    wechat.ask("draft/delete", {"media_id": prepared.ref})
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Ambiguous):
        shot.settle()
    assert wechat.probe(prepared) == Accepted("", prepared.notes)


def test_a_draft_opened_in_the_console_is_stale(wechat: Wechat) -> None:
    """A colleague's look saves the draft and would make the submission fail with 53505: noticed while arming."""
    prepared = wechat.prepare()
    wechat.console("open", media_id=prepared.ref)
    with pytest.raises(Stale, match="后台"):
        wechat.arm(prepared)


def test_a_draft_opened_after_arming_needs_a_person(wechat: Wechat) -> None:
    """53505 at the instant: certainly not published, and somebody has to save the draft by hand."""
    prepared = wechat.prepare()
    shot = wechat.arm(prepared)
    wechat.console("open", media_id=prepared.ref)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Rejected, match="53505"):
        shot.settle()
    assert wechat.public_copies() == 0


def test_a_draft_whose_text_was_changed_is_stale(wechat: Wechat) -> None:
    """Even where its time did not move, what is about to go out is compared with what was approved."""
    prepared = wechat.prepare()
    wechat.console("open", media_id=prepared.ref, replace=["06:30", "06:31"])
    moved = wechat.ask("draft/batchget", {"offset": 0, "count": 1, "no_content": 1})["item"][0]["update_time"]
    with pytest.raises(Stale, match="内容已变"):
        wechat.arm(replace(prepared, notes={**prepared.notes, "since": str(moved)}))


def test_content_that_the_draft_box_altered_is_rejected(wechat: Wechat) -> None:
    """WeChat's filter works without a word, so the draft is read back; an altered one is removed again."""
    wechat.knob("censor", replace=["首班 06:30", "首班 **:30"])
    with pytest.raises(Rejected, match=r"06:30"):
        wechat.prepare()
    assert wechat.effects("drafted") == wechat.effects("deleted_draft") == 1


def test_a_foreign_picture_vanishes_in_the_draft_box(wechat: Wechat) -> None:
    """Pictures that were not uploaded to WeChat are removed without an error."""
    made = wechat.draft('<p>甲</p><img src="https://elsewhere.example/a.png"><p>乙</p>')
    kept = wechat.ask("draft/get", {"media_id": made["media_id"]})["news_item"][0]["content"]
    assert "甲" in kept and "乙" in kept and "img" not in kept


def test_an_outside_link_is_refused_by_the_outlet(wechat: Wechat) -> None:
    """45166 for links that lead out of WeChat; the channel's rewriting keeps clear of it."""
    assert wechat.draft('<p><a href="https://x.example/">甲</a></p>')["errcode"] == 45166
    assert "media_id" in wechat.draft('<p><a href="https://mp.weixin.qq.com/s/x">甲</a></p>')
    assert (
        "<a" not in wechat.rendition.content
        and "（https://bus.example/lines?no=12&amp;x=1）" in wechat.rendition.content
    )


def test_read_back_survives_wechats_rewriting(wechat: Wechat) -> None:
    """Published content comes back with other bytes; what a reader sees is the same."""
    receipt = wechat.publish()
    got = wechat.ask("freepublish/getarticle", {"article_id": receipt.ref})["news_item"][0]
    assert "data-src" in got["content"] and got["content"] != wechat.rendition.content
    assert wechat.channel().verify(receipt, wechat.rendition).problems == ()


def test_an_address_that_is_not_allowed_is_named(wechat: Wechat) -> None:
    """40164 is the operator's: the message says where the address list is."""
    wechat.knob("errcode", code=40164, times=0)
    with pytest.raises(Unauthorised, match=r"40164.*白名单"):
        wechat.channel().login()


def test_an_unverified_account_is_found_out_at_login(wechat: Wechat) -> None:
    """48001 on publishing shows at the check, not at the instant."""
    wechat.knob("errcode", code=48001, path="/cgi-bin/freepublish/*", times=0)
    with pytest.raises(Unauthorised, match="48001"):
        wechat.channel().login()


# Doubt


def test_a_lost_answer_to_draft_add_leaves_one_draft(wechat: Wechat) -> None:
    """The probe finds the draft by its canonical address, and it can be armed as if nothing had happened."""
    wechat.sandbox.knob("drop_answer", path=PATHS["prepare"], account=wechat.account)
    with pytest.raises(Ambiguous):
        wechat.prepare()
    found = wechat.probe(None)
    assert isinstance(found, Prepared)
    public(wechat.channel(), wechat.rendition, wechat.delivery, wechat.submit(found))
    assert (wechat.effects("drafted"), wechat.public_copies()) == (1, 1)


def test_a_draft_that_could_not_be_read_back_is_found_later(wechat: Wechat) -> None:
    """Once a draft exists, a failure is never "nothing happened"."""
    wechat.sandbox.knob("refuse", path="/cgi-bin/draft/get", account=wechat.account)
    with pytest.raises(Ambiguous):
        wechat.prepare()
    assert isinstance(wechat.probe(None), Prepared)


def test_surplus_drafts_are_reported_and_discarded(wechat: Wechat) -> None:
    """Two drafts of one delivery: the newest is used, the other noted, and discarding removes both."""
    first, second = wechat.prepare(), wechat.prepare()
    found = wechat.probe(None)
    assert isinstance(found, Prepared)
    assert (found.ref, found.notes["surplus"]) == (second.ref, first.ref)
    wechat.channel().discard(found, wechat.delivery)
    assert wechat.hidden_things() == 0
    assert wechat.probe(None) is None


def test_a_draft_with_other_content_is_not_ours(wechat: Wechat) -> None:
    """The draft of an earlier edition bears the same canonical address, and is left alone."""
    wechat.prepare()
    later = replace(EDITION, body="<p>更正</p>", revision=2)
    rendition = wechat.channel().render(later, Place(wechat.delivery, wechat.rendition.fields["content_source_url"]))
    assert wechat.channel().probe(rendition, wechat.delivery, None) is None


def test_an_earlier_edition_is_not_taken_for_the_correction(wechat: Wechat) -> None:
    """The first edition is public under the same canonical address: the correction is only prepared."""
    wechat.publish()
    later = replace(EDITION, body="<p>更正</p>", revision=2)
    rendition = wechat.channel().render(later, Place(wechat.delivery, wechat.rendition.fields["content_source_url"]))
    prepared = wechat.channel().prepare(rendition, wechat.delivery)
    assert wechat.channel().probe(rendition, wechat.delivery, prepared) == prepared


def found_public(wechat: Wechat, hint: Prepared) -> Receipt | None:
    """None also while it cannot be learnt."""
    try:
        found = wechat.probe(hint)
    except TryLater:
        return None
    return found if isinstance(found, Receipt) else None


def test_a_submission_that_lands_late_is_found(wechat: Wechat) -> None:
    """First the draft is still there, which proves nothing yet; then the article is public."""
    prepared = wechat.prepare()
    wechat.sandbox.knob("late", path=SUBMIT, account=wechat.account, seconds=0.5)
    with pytest.raises(Ambiguous):
        wechat.submit(prepared)
    assert wechat.probe(prepared) == prepared

    assert isinstance(until(lambda: found_public(wechat, prepared)), Receipt)
    assert wechat.public_copies() == 1


def test_two_submissions_make_two_articles_and_are_counted(wechat: Wechat) -> None:
    """There is no idempotency; a probe says how many copies it found."""
    wechat.knob("latency", ms=300)
    prepared = wechat.prepare()
    shots = [wechat.arm(prepared), wechat.arm(prepared)]
    for shot in shots:
        shot.send(window(), CLOCK.boottime)
    for shot in shots:
        assert isinstance(shot.settle(), Accepted)
    until(lambda: wechat.public_copies() == 2)
    found = wechat.probe(prepared)
    assert isinstance(found, Receipt) and found.notes["copies"] == "2"


def test_an_accepted_job_of_unknown_number_is_found_by_search(wechat: Wechat) -> None:
    """With job "" the canonical address leads to the article."""
    accepted = wechat.submit(wechat.prepare())
    lost = replace(accepted, job="") if isinstance(accepted, Accepted) else Accepted("")
    assert public(wechat.channel(), wechat.rendition, wechat.delivery, lost).notes["copies"] == "1"


def test_a_job_that_wechat_forgot_is_found_by_search(wechat: Wechat) -> None:
    """53502 for the job's number is no absence of the article."""
    receipt = wechat.publish()
    found = wechat.probe(Accepted("99", {"since": "0"}))
    assert isinstance(found, Receipt) and found.ref == receipt.ref


def test_busy_after_the_instant_is_ambiguous(wechat: Wechat) -> None:
    """-1 as answer to the submission may follow a job that was taken."""
    prepared = wechat.prepare()
    wechat.knob("errcode", code=-1, path=SUBMIT)
    with pytest.raises(Ambiguous):
        wechat.submit(prepared)
    wechat.knob("errcode", code=-1, path="/cgi-bin/draft/add")
    with pytest.raises(TryLater):
        wechat.prepare()


def test_a_page_instead_of_json_is_misbehaviour(wechat: Wechat) -> None:
    """A proxy's log-in page in place of an answer leaves the submission open."""
    prepared = wechat.prepare()
    wechat.sandbox.knob("login_page", path=SUBMIT, account=wechat.account)
    with pytest.raises(Misbehaved):
        wechat.submit(prepared)


def test_doubt_before_anything_was_made_is_try_later(wechat: Wechat) -> None:
    """A log-in page while pictures are uploaded, or while a draft is inspected, leaves nothing open."""
    wechat.sandbox.knob("login_page", path="/cgi-bin/media/uploadimg", account=wechat.account)
    with pytest.raises(TryLater):
        wechat.prepare()
    prepared = wechat.prepare()
    wechat.sandbox.knob("login_page", path="/cgi-bin/draft/get", account=wechat.account)
    with pytest.raises(TryLater):
        wechat.arm(prepared)


def test_too_often_waits_some_minutes(wechat: Wechat) -> None:
    """53501 is certainly not published; after the burst the same draft goes out."""
    prepared = wechat.prepare()
    wechat.knob("errcode", code=53501, path=SUBMIT, times=2)
    for _ in range(2):
        with pytest.raises(TryLater) as caught:
            wechat.submit(prepared)
        assert caught.value.not_before is not None and caught.value.not_before > CLOCK.now() + 100 * SECOND
    public(wechat.channel(), wechat.rendition, wechat.delivery, wechat.submit(prepared))
    assert wechat.public_copies() == 1


def test_a_used_up_quota_waits_for_midnight(wechat: Wechat) -> None:
    """45009 while asking about a job says when to ask again; it does not say that the job failed."""
    accepted = wechat.submit(wechat.prepare())
    wechat.knob("quota", api="freepublish/get", daily=0)
    with pytest.raises(TryLater) as caught:
        wechat.probe(accepted if isinstance(accepted, Accepted) else None)
    assert caught.value.not_before is not None
    assert caught.value.not_before % (24 * 3600 * SECOND) == 16 * 3600 * SECOND


def test_without_a_canonical_address_only_the_job_tells(wechat: Wechat) -> None:
    """Nothing marks the article as ours, so a search would be a guess."""
    rendition = wechat.channel().render(EDITION, Place(wechat.delivery, None))
    prepared = wechat.channel().prepare(rendition, wechat.delivery)
    with pytest.raises(Unsupported):
        wechat.channel().probe(rendition, wechat.delivery, prepared)
    shot = wechat.channel().arm(prepared, rendition, wechat.delivery)
    shot.send(window(), CLOCK.boottime)
    receipt = public(wechat.channel(), rendition, wechat.delivery, shot.settle())
    assert wechat.channel().verify(receipt, rendition).problems == ()


# The same address once more: a correction, or the same item again

LATER = replace(EDITION, body=EDITION.body.replace("06:30", "06:40"), revision=2)


class Next:
    """One article is public; another delivery at the same canonical address follows it."""

    def __init__(self, wechat: Wechat, edition: Edition) -> None:
        self.wechat, self.old, self.key = wechat, wechat.publish(), wechat.key()
        canonical = wechat.rendition.fields["content_source_url"].partition("#")[0]
        self.rendition = wechat.channel().render(edition, Place(self.key, canonical))

    def prepare(self) -> Prepared:
        return self.wechat.channel().prepare(self.rendition, self.key)

    def probe(self, hint: Prepared | Accepted | None) -> Prepared | Accepted | Receipt | None:
        return self.wechat.channel().probe(self.rendition, self.key, hint)

    def send(self, prepared: Prepared) -> Receipt | Accepted:
        shot = self.wechat.channel().arm(prepared, self.rendition, self.key)
        shot.send(window(), CLOCK.boottime)
        return shot.settle()

    def found(self, hint: Prepared | Accepted) -> Receipt:
        """The receipt, as soon as it can be learnt."""

        def receipt() -> Receipt | None:
            try:
                told = self.probe(hint)
            except TryLater:
                return None
            return told if isinstance(told, Receipt) else None

        told = until(receipt)
        assert isinstance(told, Receipt)
        return told


@pytest.fixture(params=[LATER, EDITION], ids=["correction", "again"])
def following(wechat: Wechat, request: pytest.FixtureRequest) -> Next:
    return Next(wechat, request.param)


def test_a_lost_answer_never_brings_the_old_article(following: Next) -> None:
    """Both bear the canonical address, and "again" the very same content: the new article is found, sent once."""
    prepared = following.prepare()
    following.wechat.sandbox.knob("drop_answer", path=SUBMIT, account=following.wechat.account)
    with pytest.raises(Ambiguous):
        following.send(prepared)
    receipt = following.found(prepared)
    assert receipt.ref != following.old.ref and receipt.notes["copies"] == "1"
    assert (following.wechat.effects("submitted"), following.wechat.public_copies()) == (2, 2)
    assert following.wechat.channel().verify(receipt, following.rendition).problems == ()


def test_a_lost_request_is_not_taken_for_the_old_article(following: Next) -> None:
    """Nothing was submitted: the draft is there, and it can be sent."""
    prepared = following.prepare()
    following.wechat.sandbox.knob("drop_request", path=SUBMIT, account=following.wechat.account)
    with pytest.raises(Ambiguous):
        following.send(prepared)
    assert following.probe(prepared) == prepared
    sent = following.send(prepared)
    assert isinstance(sent, Accepted) and following.found(sent).ref != following.old.ref


def test_an_accepted_job_of_unknown_number_is_not_the_old_article(following: Next) -> None:
    """While the new one is worked off, it is waited for."""
    following.wechat.knob("latency", ms=500)
    prepared = following.prepare()
    sent = following.send(prepared)
    assert isinstance(sent, Accepted)
    lost = replace(sent, job="")
    assert isinstance(following.probe(lost), Accepted)
    assert following.found(lost).ref != following.old.ref


@pytest.mark.parametrize("name", ["drop_answer", "drop_request"])
def test_doubt_while_preparing_it_finds_no_old_article(following: Next, name: str) -> None:
    """Without any hint: its own draft or nothing."""
    following.wechat.sandbox.knob(name, path=PATHS["prepare"], account=following.wechat.account)
    with pytest.raises(Ambiguous):
        following.prepare()
    found = following.probe(None)
    assert isinstance(found, Prepared) if name == "drop_answer" else found is None


def test_an_old_article_that_a_colleague_removes_meanwhile_is_not_the_new_one(following: Next) -> None:
    """Whatever moves the old one's time, or ends it, says nothing about the new one."""
    prepared = following.prepare()
    following.wechat.console("delete", article_id=following.old.ref)
    assert following.probe(prepared) == prepared


def test_a_replacement_is_public_before_the_old_one_is_withdrawn(wechat: Wechat) -> None:
    """Two addresses for a while, then one: the old page holds a notice, the new one is as approved."""
    following = Next(wechat, LATER)
    sent = following.send(following.prepare())
    assert isinstance(sent, Accepted)
    new = following.found(sent)
    assert wechat.public_copies() == 2
    wechat.channel().withdraw(following.old, following.key)
    assert not wechat.channel().verify(following.old, wechat.rendition).visible
    sighting = wechat.channel().verify(new, following.rendition)
    assert (sighting.visible, sighting.problems) == (True, ())
    assert following.found(sent).ref == new.ref


def test_nothing_is_changed_in_place(wechat: Wechat) -> None:
    """Asked for it, the channel says so instead of publishing another one."""
    receipt = wechat.publish()
    with pytest.raises(Unsupported):
        wechat.channel().prepare(wechat.rendition, wechat.key(), receipt)
    assert wechat.effects("drafted") == 1


def test_an_address_with_a_fragment_keeps_it() -> None:
    """The mark goes behind it; two deliveries of one address differ, one delivery does not."""
    one, other = Key("i", "1"), Key("i", "2")
    assert marked("https://a.example/#/x", one).startswith("https://a.example/#/x&tongfa-")
    assert marked("https://a.example/", one) == marked("https://a.example/", one) != marked("https://a.example/", other)
    assert not is_marked("https://tongfa-a.example/tongfa-1")


# A review that takes longer than anybody waits


def lose_the_answer(wechat: Wechat, review_ms: int) -> Prepared:
    """Submitted, and nobody was told; WeChat reviews it for so long."""
    wechat.knob("latency", ms=review_ms)
    prepared = wechat.prepare()
    wechat.sandbox.knob("drop_answer", path=SUBMIT, account=wechat.account)
    with pytest.raises(Ambiguous):
        wechat.submit(prepared)
    return prepared


def test_a_draft_under_review_is_no_absence(wechat: Wechat) -> None:
    """However long the review: "it cannot be learnt now", never "it is still only prepared"; then the article."""
    prepared = lose_the_answer(wechat, review_ms=1500)
    for _ in range(3):
        with pytest.raises(TryLater, match="审核") as caught:
            wechat.probe(prepared)
        assert caught.value.not_before is not None and caught.value.not_before > CLOCK.now()
    assert isinstance(until(lambda: found_public(wechat, prepared)), Receipt)
    assert (wechat.effects("submitted"), wechat.public_copies()) == (1, 1)


def test_a_draft_consumed_during_the_review_is_never_sent_again(wechat: Wechat) -> None:
    """Gone from the box, and not yet in any list: it went out, or is about to."""
    prepared = lose_the_answer(wechat, review_ms=60_000)
    wechat.ask("draft/delete", {"media_id": prepared.ref})
    assert wechat.probe(prepared) == Accepted("", prepared.notes)


@pytest.mark.parametrize("status", [2, 3, 4])
def test_a_job_that_failed_unheard_is_not_sent_again(wechat: Wechat, status: int) -> None:
    """Its failure cannot be told from a review: a submission without a result stays unexplained."""
    wechat.knob("outcome", status=status)
    prepared = lose_the_answer(wechat, review_ms=0)
    until(lambda: any(line["effect"] == "refused_later" for line in wechat.sandbox.record()))
    with pytest.raises(TryLater):
        wechat.probe(prepared)


def test_an_article_published_by_hand_explains_no_submission(wechat: Wechat) -> None:
    """A colleague's article appears while ours is under review: it is not ours, and proves nothing."""
    prepared = lose_the_answer(wechat, review_ms=60_000)
    wechat.knob("latency", ms=0)
    made = wechat.draft(content_source_url="https://county.example/by-hand.html")
    wechat.console("publish", media_id=made["media_id"])
    until(lambda: wechat.public_copies() == 1)
    with pytest.raises(TryLater):
        wechat.probe(prepared)


def test_other_deliveries_of_today_do_not_hide_that_nothing_was_submitted(wechat: Wechat) -> None:
    """Each of their submissions has its article: ours was lost on the way, and can be sent again."""
    prepared = wechat.prepare()
    other = wechat.key()
    rendition = wechat.render(other)
    shot = wechat.channel().arm(wechat.channel().prepare(rendition, other), rendition, other)
    shot.send(window(), CLOCK.boottime)
    public(wechat.channel(), rendition, other, shot.settle())
    wechat.sandbox.knob("drop_request", path=SUBMIT, account=wechat.account)
    with pytest.raises(Ambiguous):
        wechat.submit(prepared)
    assert wechat.probe(prepared) == prepared


def test_without_a_count_of_submissions_nothing_is_sent_again(wechat: Wechat) -> None:
    """An account that tells no numbers: a draft in the box is no absence."""
    prepared = wechat.prepare()
    wechat.knob("uncounted")
    with pytest.raises(TryLater):
        wechat.probe(prepared)


def test_a_draft_older_than_today_is_for_a_person(wechat: Wechat) -> None:
    """The count began anew at China's midnight, so it says nothing about yesterday."""
    prepared = wechat.prepare()
    yesterday = str(int(prepared.notes["since"]) - 24 * 3600)
    with pytest.raises(Unsupported, match="草稿箱"):
        wechat.probe(replace(prepared, notes={**prepared.notes, "since": yesterday}))


# Withdrawal


def test_a_withdrawn_article_shows_a_notice(wechat: Wechat) -> None:
    """Only this article of the publication is named; its page answers 200 and is not visible; again is success."""
    receipt = wechat.publish()
    for _ in range(2):
        wechat.channel().withdraw(receipt, wechat.key())
    sighting = wechat.channel().verify(receipt, wechat.rendition)
    assert not sighting.visible and "删除" in sighting.problems[0].message
    deleted = [line for line in wechat.sandbox.record() if line["effect"] == "deleted" and line["ref"] == receipt.ref]
    assert {1} == {line["detail"]["index"] for line in deleted}


@pytest.mark.parametrize("act", ["delete", "ban"])
def test_withdrawing_what_was_removed_in_the_console_is_success(wechat: Wechat, act: str) -> None:
    """Also where WeChat does not know the article any more (53600)."""
    receipt = wechat.publish()
    wechat.console(act, article_id=receipt.ref)
    wechat.channel().withdraw(receipt, wechat.key())
    wechat.knob("forgets_deleted")
    wechat.channel().withdraw(receipt, wechat.key())
    assert not wechat.channel().verify(receipt, wechat.rendition).visible


@pytest.mark.parametrize("fault", ["drop_answer", "drop_request", "answer_502"])
def test_a_withdrawal_without_an_answer_can_be_repeated(wechat: Wechat, fault: str) -> None:
    """Done or not: asking again is harmless, and the page decides."""
    receipt = wechat.publish()
    wechat.sandbox.knob(fault, path=PATHS["withdraw"], account=wechat.account)
    with pytest.raises((Ambiguous, TryLater)):
        wechat.channel().withdraw(receipt, wechat.key())
    wechat.channel().withdraw(receipt, wechat.key())
    assert not wechat.channel().verify(receipt, wechat.rendition).visible


@pytest.mark.parametrize("deleted", [True, False])
def test_an_unknown_refusal_to_delete_is_looked_up(wechat: Wechat, deleted: bool) -> None:
    """What WeChat answers for an article that is gone is not documented: is_deleted decides."""
    receipt = wechat.publish()
    if deleted:
        wechat.console("delete", article_id=receipt.ref)
    wechat.knob("errcode", code=99999, path=PATHS["withdraw"])
    if deleted:
        wechat.channel().withdraw(receipt, wechat.key())
    else:
        with pytest.raises(Rejected, match="99999"):
            wechat.channel().withdraw(receipt, wechat.key())


def test_a_receipt_of_the_version_before_can_be_withdrawn(wechat: Wechat) -> None:
    """It names the article, whatever else it notes."""
    receipt = wechat.publish()
    wechat.channel().withdraw(Receipt(receipt.ref, receipt.url, receipt.at, {}), wechat.key())
    assert not wechat.channel().verify(receipt, wechat.rendition).visible


def test_a_draft_of_the_version_before_is_not_taken_for_the_old_article(wechat: Wechat) -> None:
    """It bears the bare address: what is older than it is not its article, whatever its content."""
    bare = wechat.rendition.fields["content_source_url"].partition("#")[0]
    rendition = replace(wechat.rendition, fields={**wechat.rendition.fields, "content_source_url": bare})
    old, new = wechat.key(), wechat.key()
    first = wechat.channel().prepare(rendition, old)
    shot = wechat.channel().arm(first, rendition, old)
    shot.send(window(), CLOCK.boottime)
    receipt = public(wechat.channel(), rendition, old, shot.settle())
    second = wechat.channel().prepare(rendition, new)
    later = Accepted("", {**second.notes, "since": str(int(second.notes["since"]) + 5)})
    assert wechat.channel().probe(rendition, new, later) == later
    found = wechat.channel().probe(rendition, old, first)
    assert isinstance(found, Receipt) and found.ref == receipt.ref


def test_what_was_public_before_a_restart_of_the_outlet_is_withdrawn(tmp_path: Path) -> None:
    """Articles, drafts and a job under way outlive the sandbox, at the same address."""
    home = tmp_path / "sandbox"
    with server("channels.sandbox.wechat", home) as running:
        first = Wechat(running, "town")
        following = Next(first, LATER)
        receipt = following.old
        first.knob("latency", ms=60_000)
        job = following.send(following.prepare())
        first.close()
    assert isinstance(job, Accepted)
    with server("channels.sandbox.wechat", home) as running:
        wechat = Wechat(running, "town")
        following.wechat = wechat
        assert wechat.channel().verify(receipt, wechat.rendition).problems == ()
        assert wechat.channel().verify(following.found(job), following.rendition).problems == ()
        other = wechat.key()
        prepared = wechat.channel().prepare(wechat.render(other), other)
        assert wechat.channel().probe(wechat.render(other), other, prepared) == prepared  # the count goes on
        wechat.channel().withdraw(receipt, wechat.key())
        assert not wechat.channel().verify(receipt, wechat.rendition).visible
        wechat.close()


# Tokens


def test_a_sibling_that_forced_a_new_token_does_no_harm(wechat: Wechat) -> None:
    """40001 for a token that somebody replaced: the next one is fetched in normal mode, none is forced."""
    channel = wechat.channel()
    channel.login()
    wechat.token(force=True)
    channel.login()
    assert wechat.effects("forced_token") == 1


def test_one_of_many_forces_a_new_token(wechat: Wechat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five that find the same token dead at once: the others wait for the one that forces, and take what it got."""
    whole, at_once = WechatApi._renew, Barrier(5)

    def renew(api: WechatApi) -> None:
        at_once.wait(PATIENCE)
        whole(api)

    def ask(api: WechatApi) -> dict[str, object]:
        return api.call("draft/batchget", {"offset": 0, "count": 1, "no_content": 1}, Step.READ)

    given = (wechat.tools.http, wechat.sandbox.address, wechat.outlet.settings["app_id"])
    secret, kept = wechat.outlet.secrets["app_secret"], LocalTokens()
    callers = [WechatApi(*given, secret, CLOCK.now, kept) for _ in range(5)]
    for one in callers:
        one.token()
    wechat.sandbox.knob("errcode", path="/cgi-bin/draft/batchget", times=5, code=40001)
    monkeypatch.setattr(WechatApi, "_renew", renew)
    with ThreadPoolExecutor(5) as pool:
        assert all("item" in one or "total_count" in one for one in pool.map(ask, callers))
    assert wechat.effects("forced_token") == 1


def test_a_token_is_forced_once_when_the_outlet_refuses_its_own(wechat: Wechat) -> None:
    """Only when the very same string comes back and is still refused, and only once in an object's life."""
    wechat.knob("errcode", code=40001, path="/cgi-bin/draft/count", times=0)
    channel = wechat.channel()
    for _ in range(2):
        with pytest.raises(Unauthorised, match="40001"):
            channel.login()
    assert wechat.effects("forced_token") == 1


def test_a_token_is_not_forced_beyond_the_accounts_limits(wechat: Wechat) -> None:
    """Another process forced one a moment ago: the next would be refused as well, and a person is told."""
    asked: list[str] = []

    def spend(what: str) -> None:
        asked.append(what)
        raise HeldBack("the budget is used up", CLOCK.now() + 31 * SECOND)

    wechat.knob("errcode", code=40001, path="/cgi-bin/draft/count", times=0)
    with pytest.raises(Unauthorised, match="40001"):
        WechatChannel(wechat.outlet, replace(wechat.tools, spend=spend)).login()
    assert (["force_refresh"], 0) == (asked, wechat.effects("forced_token"))
    assert {"force_refresh"} == {one.of for one in WechatChannel.can.budgets}
    assert [(20, 86_400), (1, 31)] == [(one.calls, one.seconds) for one in WechatChannel.can.budgets]


def test_a_token_is_kept_as_long_as_the_outlet_says(wechat: Wechat) -> None:
    """What is left of one that was handed out before, and in the next task it is not asked for again."""
    kept: list[Fresh] = []

    class Tokens(LocalTokens):
        def get(self, name: str, renew: Callable[[str], Fresh], *, refused: str = "") -> str:
            return super().get(name, lambda value: kept.append(renew(value)) or kept[-1], refused=refused)  # type: ignore[func-returns-value]

    tools = replace(wechat.tools, tokens=Tokens())
    for _ in range(2):
        WechatChannel(wechat.outlet, tools).login()
    assert 1 == len(kept) == wechat.effects("asked_token")
    assert kept[0].expires_at is not None
    assert 7_190 < (kept[0].expires_at - CLOCK.now()) / SECOND <= 7_200


def test_a_used_up_quota_holds_up_its_own_calls_only(wechat: Wechat) -> None:
    """45009 and 45011 are counted by path: nothing else of the account waits until midnight, or the next minute."""
    for code in (45009, 45011):
        wechat.knob("errcode", code=code, path="/cgi-bin/draft/count", times=1)
        with pytest.raises(TryLater) as told:
            wechat.channel().login()
        assert told.value.not_before is not None and told.value.of is not None
        assert re.match(told.value.of, "GET /cgi-bin/draft/count")
        assert not re.match(told.value.of, "POST /cgi-bin/draft/countless")
        assert not re.match(told.value.of, "POST /cgi-bin/draft/add")


def test_a_token_that_died_after_arming_did_not_publish(wechat: Wechat) -> None:
    """40001 at the instant is certainly nothing: armed anew, the same draft goes out once."""
    prepared = wechat.prepare()
    shot = wechat.arm(prepared)
    wechat.token(force=True)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(TryLater):
        shot.settle()
    public(wechat.channel(), wechat.rendition, wechat.delivery, wechat.submit(prepared))
    assert wechat.public_copies() == 1


def test_stable_token_gives_the_same_token_while_it_lives() -> None:
    """Normal mode twice is one token with what is left of it; in its last five minutes a second one is good too."""
    table = TokenTable()
    first, left = table.ask(0, 7200, force=False)
    assert (left, table.ask(6855, 7200, force=False)) == (7200, (first, 345))
    second, _ = table.ask(6901, 7200, force=False)
    assert second != first
    assert table.judge(first, 7199) is True and table.judge(second, 7199) is True
    assert table.judge(first, 7201) is False


def test_forcing_a_token_kills_its_predecessor() -> None:
    """At once, not again within 30 seconds, and 20 times a day."""
    table = TokenTable()
    first, _ = table.ask(1000, 7200, force=False)
    second, _ = table.ask(1001, 7200, force=True)
    assert table.judge(first, 1001) is None
    assert table.ask(1030, 7200, force=True)[0] == second
    moments = itertools.count(1031, 30)
    for _ in range(FORCES_A_DAY - 1):
        table.ask(next(moments), 7200, force=True)
    with pytest.raises(Refused, match="quota"):
        table.ask(next(moments), 7200, force=True)


# What the sandbox models


def test_refusals_are_http_200_with_a_request_id(wechat: Wechat) -> None:
    """Business errors come as errcode; the sentence ends with a request id."""
    answer = wechat.ask("draft/get", {"media_id": "nothing"})
    assert answer["errcode"] == 40007
    assert answer["errmsg"].startswith("invalid media_id rid: ")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"appid": "wx123", "secret": "x"}, 40013),
        ({"appid": "sandbox-a", "secret": "x"}, 40125),
        ({"secret": "x"}, 41002),
        ({"appid": "sandbox-a"}, 41004),
        ({"appid": "sandbox-a", "secret": "sandbox-secret-a", "grant_type": "x"}, 40002),
    ],
)
def test_credentials_that_are_wrong(sandbox: Server, given: dict[str, str], code: int) -> None:
    """Each kind of wrong credential has its code."""
    assert sandbox.ask("POST", "/cgi-bin/stable_token", {"grant_type": "client_credential", **given})["errcode"] == code


def test_tokens_that_are_wrong(sandbox: Server) -> None:
    """Missing, malformed and unknown tokens are told apart; so is a wrong method."""
    asked = {
        query: sandbox.ask("POST", f"/cgi-bin/draft/get{query}", {})["errcode"]
        for query in ("", "?access_token=x", f"?access_token={'x' * 64}")
    }
    assert list(asked.values()) == [41001, 40014, 40001]
    assert sandbox.ask("GET", "/cgi-bin/draft/get")["errcode"] == 43002


def test_accounts_do_not_see_each_other(wechat: Wechat, sandbox: Server) -> None:
    """Another account's draft is unknown (40007)."""
    made = wechat.draft()
    other = Wechat(sandbox, uuid.uuid4().hex[:8])
    assert other.ask("draft/get", {"media_id": made["media_id"]})["errcode"] == 40007
    other.close()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"title": "题" * 65}, 45003),
        ({"author": "作" * 17}, 45110),
        ({"digest": "摘" * 129}, 45004),
        ({"content": "字" * 20_000}, 45002),
        ({"content_source_url": "x" * 1025}, 41039),
        ({"thumb_media_id": "x"}, 40007),
        ({"need_open_comment": 1}, 88000),
    ],
)
def test_limits_of_a_draft(wechat: Wechat, more: dict[str, object], code: int) -> None:
    """What is too long, or points to nothing, is refused with its own code."""
    given = {"content": "<p>甲</p>", **more}
    assert wechat.draft(**given)["errcode"] == code  # type: ignore[arg-type]


def test_newer_accounts_take_shorter_titles(wechat: Wechat) -> None:
    """32 characters by the documentation since 2025-12."""
    wechat.knob("title_limit", length=32)
    assert wechat.draft(title="题" * 33)["errcode"] == 45003


def test_an_empty_digest_is_filled_with_the_beginning(wechat: Wechat) -> None:
    """The first 54 characters of the body."""
    made = wechat.draft(f"<p>{'甲' * 60}</p>")
    assert wechat.ask("draft/get", {"media_id": made["media_id"]})["news_item"][0]["digest"] == "甲" * 54


def test_escaped_text_is_stored_literally(wechat: Wechat) -> None:
    """\\u escapes in JSON are not decoded, which is why none are sent."""
    cover = wechat.upload("material/add_material", "a.png", picture("a"), type="image")["media_id"]
    body = json.dumps({"articles": [{"title": "题", "content": "x", "thumb_media_id": cover}]}).encode()
    url = f"{wechat.sandbox.address}/cgi-bin/draft/add?access_token={wechat.token()['access_token']}"
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=10) as answer:
        media_id = json.loads(answer.read())["media_id"]
    assert wechat.ask("draft/get", {"media_id": media_id})["news_item"][0]["title"] == "\\u9898"


def test_uploads_are_judged(wechat: Wechat) -> None:
    """Body pictures: JPEG or PNG below 1 MB; covers also GIF and BMP."""
    assert wechat.upload("media/uploadimg", "a.gif", picture("a", "GIF"))["errcode"] == 40005
    assert wechat.upload("media/uploadimg", "a.png", picture("a") + b"\0" * 1_048_576)["errcode"] == 40009
    assert wechat.upload("media/uploadimg", "a.png", picture("a"))["url"].startswith(f"{wechat.sandbox.address}/mmbiz/")
    assert "url" in wechat.upload("material/add_material", "a.gif", picture("a", "GIF"), type="image")


def test_index_bases_differ(wechat: Wechat) -> None:
    """draft/update counts from 0, freepublish/delete from 1, where 0 means all."""
    made = wechat.draft()
    cover = wechat.ask("draft/get", {"media_id": made["media_id"]})["news_item"][0]["thumb_media_id"]
    article = {"title": "改", "content": "<p>乙</p>", "thumb_media_id": cover}
    given = {"media_id": made["media_id"], "articles": article}
    assert wechat.ask("draft/update", {**given, "index": 1})["errcode"] == 40114
    assert wechat.ask("draft/update", {**given, "index": 0})["errcode"] == 0
    receipt = wechat.publish()
    assert wechat.ask("freepublish/delete", {"article_id": receipt.ref, "index": 1})["errcode"] == 0
    assert wechat.ask("freepublish/getarticle", {"article_id": receipt.ref})["news_item"][0]["is_deleted"] is True
    assert not wechat.channel().verify(receipt, wechat.rendition).visible


def test_a_draft_leaves_the_box_when_it_is_published(wechat: Wechat) -> None:
    """draft/get answers 40007 afterwards; the record tells when the article became public."""
    receipt = wechat.publish()
    assert wechat.ask("draft/count", None)["total_count"] == 0
    (line,) = [entry for entry in wechat.sandbox.record() if entry["ref"] == receipt.ref]
    assert (line["path"], line["effect"], line["account"]) == ("job", "published", wechat.account)
    submitted = [entry for entry in wechat.sandbox.record() if entry["detail"].get("publish_id") is None]
    assert line["at"] > max(entry["at"] for entry in submitted if entry["effect"] == "submitted")


def test_quotas_of_a_day_and_of_a_minute() -> None:
    """Per path; refused calls are not counted, and the day is China's."""
    account = Account("a")
    account.count("x", 0, 1, None)
    with pytest.raises(Refused) as daily:
        account.count("x", 57_599, 1, None)
    account.count("x", 57_600, 1, 1)  # 00:00 in China
    with pytest.raises(Refused) as minutely:
        account.count("x", 57_601, 2, 1)
    account.count("y", 57_601, 1, 1)
    assert (daily.value.code, minutely.value.code) == (45009, 45011)


def test_the_console_moves_the_time_of_a_draft() -> None:
    """Even within the same second, so that it can be noticed."""
    account = Account("a", drafts={"d": Draft([{}], 100)})
    assert account.touch("d", 100.5).updated == 101
    with pytest.raises(Refused) as caught:
        account.submit("d", 101)
    assert caught.value.code == 53505


# The channel


def test_the_twin_keeps_nothing_of_the_configured_host() -> None:
    """Address, identity and secrets are the sandbox's."""
    live = Outlet(
        "county", "unit", "wechat", {"app_id": "wx1", "api_base": "https://a"}, {"app_secret": "s"}, live=True
    )
    twin = WechatChannel.twin(live, "http://127.0.0.1:1", "")
    assert twin.settings == {"api_base": "http://127.0.0.1:1", "app_id": "sandbox-county"}
    assert twin.secrets["app_secret"] == "sandbox-secret-county"
    assert twin.secrets["callback_token"] == "sandbox-token-county"
    assert (len(twin.secrets), len(twin.secrets["callback_aes_key"])) == (3, 43)
    assert twin.private_network and not twin.live


def test_an_unknown_mode_is_refused(wechat: Wechat) -> None:
    """It says so at check, login and render instead of doing something else."""
    outlet = replace(wechat.outlet, settings={**wechat.outlet.settings, "mode": "masses"})
    channel = WechatChannel(outlet, wechat.tools)
    assert [problem.where for problem in channel.check(EDITION) if problem.fatal] == ["mode"]
    for act in (channel.login, lambda: channel.render(EDITION, Place(wechat.delivery, None))):
        with pytest.raises(Unsupported, match="masses"):
            act()


def test_a_live_account_is_asked_about_a_job_after_three_seconds(wechat: Wechat) -> None:
    """Status calls are few: the earlier polls, which sandboxes are for, cost a live account none."""
    accepted = wechat.submit(wechat.prepare())
    assert isinstance(accepted, Accepted) and accepted.job
    clock = int(accepted.notes["sent"])
    for live, after, asks in ((True, 2_999_999, 0), (True, 3_000_000, 1), (False, 0, 1)):
        asked = wechat.polls()
        tools = replace(wechat.tools, now=partial(int, clock + after))
        WechatChannel(replace(wechat.outlet, live=live), tools).probe(wechat.rendition, wechat.delivery, accepted)
        assert asks == wechat.polls() - asked
    assert [poll for poll in WechatChannel.can.polls if poll >= 3] == [3, 6, 12, 24, 48, 96, 192, 300]


def test_an_item_without_pictures_gets_a_cover(wechat: Wechat) -> None:
    """A news draft needs one; a plain one is made and not shown in the article."""
    bare = Edition("item-2", 1, "通知", "<p>甲</p>")
    key = Key("i", "bare")
    rendition = wechat.channel().render(bare, Place(key, "https://county.example/bare.html"))
    assert rendition.files == ()
    prepared = wechat.channel().prepare(rendition, key)
    assert wechat.effects("added_material") == 1
    wechat.channel().arm(prepared, rendition, key).close()


def test_the_rendition_carries_marker_and_files(wechat: Wechat) -> None:
    """The canonical address is in the rendition, so that it is approved; attachments stay behind."""
    rendition: Rendition = wechat.rendition
    address, _, mark = rendition.fields["content_source_url"].partition("#")
    assert address.endswith(f"/{wechat.delivery.delivery}.html") and is_marked(f"#{mark}")
    assert wechat.delivery.token[:16] not in mark
    assert {asset.digest for asset in rendition.files} == set(BLOBS)


def test_verify_of_an_address_without_an_article(wechat: Wechat, tmp_path: Path) -> None:
    """A page that never was is not visible, and what stands there is told."""
    receipt = Receipt("x", f"{wechat.sandbox.address}/s/never", CLOCK.now())
    sighting = wechat.channel().verify(receipt, wechat.rendition)
    assert not sighting.visible and "参数错误" in sighting.problems[0].message
