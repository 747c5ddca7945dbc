"""WeChat's mass sends: once by WeChat's own key, gated by people, counted, and at an address that only a push tells."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from channels.sandbox.wechat_push import MassEvent, request_of
from channels.wechat import WechatChannel
from channels.wechat_mass import CONFIRMED_WITHIN, KEPT, KEY_HOLDS, TOLD_WITHIN, Told
from channels.wechat_push import Push
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Fresh,
    LocalTokens,
    Misbehaved,
    Prepared,
    Receipt,
    Rejected,
    Stale,
    TryLater,
    Unauthorised,
    Unsupported,
)
from tests.contract.bench import CLOCK, Server, public, server, window
from tests.contract.bench_wechat import EDITION
from tests.contract.bench_wechat_mass import MASS_PATHS, WechatMassBench, listening
from tests.contract.test_wechat import Wechat, until

SENDALL, DELETE = MASS_PATHS["release"], MASS_PATHS["withdraw"]
Found = Prepared | Accepted | Receipt | None


class Masses(Wechat, WechatMassBench):
    """An account that mass sends, with one delivery and its steps."""

    def at(self, later: int) -> WechatChannel:
        """The channel, so many µs from now."""
        return WechatChannel(self.outlet, replace(self.tools, now=partial(int, CLOCK.now() + later)))

    def probe_at(self, later: int, hint: Prepared | Accepted | None) -> Found:
        return self.at(later).probe(self.rendition, self.delivery, hint)

    def accepted(self) -> Accepted:
        taken = self.submit(self.prepare())
        assert isinstance(taken, Accepted)
        return taken

    def in_doubt(self, fault: str = "drop_answer") -> Prepared:
        """Submitted, and no answer came."""
        prepared = self.prepare()
        self.sandbox.knob(fault, path=SENDALL, account=self.account)
        with pytest.raises(Ambiguous):
            self.submit(prepared)
        return prepared

    def ended(self, hint: Prepared | Accepted) -> Found:
        """What the probe finds, once it is more than an acceptance."""

        def more() -> Found:
            found = self.probe(hint)
            return None if isinstance(found, Accepted) else found

        found = until(more)
        assert isinstance(found, Prepared | Receipt)
        return found

    def failed(self, hint: Accepted) -> str:
        """What it was refused with, in the end."""

        def refused() -> str:
            try:
                assert isinstance(self.probe(hint), Accepted)
            except Rejected as error:
                return str(error)
            return ""

        return str(until(refused))

    def sent(self) -> Receipt:
        return public(self.channel(), self.rendition, self.delivery, self.submit(self.prepare()))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The sandbox process."""
    with server("channels.sandbox.wechat", tmp_path_factory.mktemp("wechat")) as running:
        yield running


@pytest.fixture
def mute(sandbox: Server) -> Iterator[Masses]:
    """An account whose pushes nobody takes; its queue is fast, and its key may be asked about at once."""
    made = Masses(sandbox, uuid.uuid4().hex[:8])
    made.knob("latency", ms=0)
    made.knob("mass_gap", seconds=0)
    try:
        yield made
    finally:
        sandbox.clear()
        made.close()


@pytest.fixture
def masses(mute: Masses) -> Iterator[Masses]:
    """The same, with its pushes taken."""
    with listening(mute):
        yield mute


# Once


def test_every_submission_bears_the_deliverys_key(masses: Masses) -> None:
    """Never unset, 32 bytes at most, the same for the same delivery; what is a reprint is not sent."""
    shot = masses.arm(masses.prepare())
    shot.close()
    way = masses.channel()._way("mass")
    given = way.payload("draft", masses.delivery)
    assert given["clientmsgid"] == masses.delivery.token != way.payload("draft", masses.key())["clientmsgid"]
    assert len(str(given["clientmsgid"]).encode()) <= 32
    assert (given["send_ignore_reprint"], given["filter"]) == (0, {"is_to_all": True})
    masses.sent()
    (line,) = [
        one for one in masses.sandbox.record() if one["effect"] == "published" and one["account"] == masses.account
    ]
    assert line["detail"]["clientmsgid"] == masses.delivery.token


def test_a_second_submission_is_told_the_first_ones_number(masses: Masses) -> None:
    """45065 is a success: one message, one copy."""
    masses.knob("latency", ms=200)
    prepared = masses.prepare()
    shots = [masses.arm(prepared), masses.arm(prepared)]
    for shot in shots:
        shot.send(window(), CLOCK.boottime)
    jobs = {str(getattr(shot.settle(), "job", "")) for shot in shots}
    assert len(jobs) == 1 and "" not in jobs
    assert isinstance(masses.ended(Accepted(jobs.pop(), {"sent": str(CLOCK.now())})), Receipt)
    assert (masses.effects("mass_submitted"), masses.public_copies()) == (1, 1)


def test_too_soon_after_another_submission_is_ambiguous(masses: Masses) -> None:
    """45066: an earlier one has arrived, and nobody knows yet what became of it."""
    masses.knob("latency", ms=60_000)
    masses.knob("mass_gap", seconds=60)
    prepared = masses.in_doubt()
    found = masses.probe(prepared)
    assert isinstance(found, Prepared)
    with pytest.raises(Ambiguous, match="45066"):
        masses.submit(found)
    masses.knob("mass_gap", seconds=0)
    taken = masses.submit(found)
    assert isinstance(taken, Accepted) and taken.job
    assert masses.effects("mass_submitted") == 1


def test_what_was_sent_unheard_is_asked_about_by_its_key(masses: Masses) -> None:
    """The draft is gone: within a minute it is only waited for, then the key brings the number."""
    masses.knob("mass_gap", seconds=60)
    prepared = masses.in_doubt()
    until(lambda: masses.public_copies())
    masses.probe(prepared)
    waiting = masses.probe(prepared)
    assert isinstance(waiting, Accepted) and waiting.job == ""
    assert masses.probe(waiting) == waiting
    masses.knob("mass_gap", seconds=0)
    assert isinstance(masses.ended(waiting), Receipt)
    assert (masses.effects("mass_submitted"), masses.public_copies()) == (1, 1)


def test_asking_by_the_key_can_send_nothing(masses: Masses) -> None:
    """It names a draft that does not exist: of an unknown key nothing is found, and nothing comes of it."""
    prepared = masses.prepare()
    masses.ask("draft/delete", {"media_id": prepared.ref})
    with pytest.raises(Unsupported, match="草稿已用掉"):
        masses.probe(prepared)
    assert masses.probe(None) is None
    assert (masses.effects("mass_submitted"), masses.public_copies()) == (0, 0)


def test_a_draft_that_only_seems_to_be_gone_is_not_sent_by_a_question(masses: Masses) -> None:
    """40007 for a draft that is there: the question by the key still sends nothing, and a person is asked."""
    prepared = masses.prepare()
    masses.knob("errcode", code=40007, path="/cgi-bin/draft/get")
    with pytest.raises(Unsupported):
        masses.probe(prepared)
    masses.knob("errcode", code=40007, path="/cgi-bin/draft/get")
    with pytest.raises(Unsupported):
        masses.probe(Accepted("", {"draft": prepared.ref, "sent": str(CLOCK.now())}))
    assert masses.effects("mass_submitted") == 0


def test_without_a_hint_too_soon_is_no_absence(masses: Masses) -> None:
    """45066 says that there is a message of this key: in a minute it can be asked which."""
    masses.knob("mass_gap", seconds=60)
    masses.in_doubt()
    with pytest.raises(TryLater, match="45066") as told:
        masses.probe(None)
    assert told.value.of is None and told.value.not_before is not None
    assert 50 * SECOND < told.value.not_before - CLOCK.now() <= 60 * SECOND


def test_an_outlet_that_looks_at_the_draft_first_leaves_it_to_a_person(masses: Masses) -> None:
    """40007 instead of 45065 for what was sent: never "absent"."""
    masses.knob("media_first")
    prepared = masses.in_doubt()
    until(lambda: masses.public_copies())
    with pytest.raises(Unsupported, match="公众平台"):
        masses.probe(prepared)
    assert masses.public_copies() == 1


def test_beyond_its_24_hours_the_key_is_not_relied_on(masses: Masses) -> None:
    """A draft still in the box is submitted again within a day of the doubt; later a person decides."""
    found = masses.probe(masses.in_doubt("drop_request"))
    assert isinstance(found, Prepared) and int(found.notes["tried"])
    assert masses.probe_at((KEY_HOLDS - 60) * SECOND, found) == found
    with pytest.raises(Unsupported, match="一天前"):
        masses.probe_at((KEY_HOLDS + 60) * SECOND, found)


def test_a_process_that_died_while_it_submitted_is_known_to_have_tried_then(masses: Masses) -> None:
    """Nobody looked for a day: the engine tells when it was to be sent, and that is what the key's hours count from."""
    prepared = masses.in_doubt("drop_request")
    died = replace(prepared, notes={**prepared.notes, "fire_at": str(CLOCK.now())})
    found = masses.probe_at((KEY_HOLDS - 60) * SECOND, died)
    assert isinstance(found, Prepared) and abs(int(found.notes["tried"]) - CLOCK.now() // SECOND) < 60
    with pytest.raises(Unsupported, match="一天前"):
        masses.probe_at((KEY_HOLDS + 60) * SECOND, died)


@pytest.mark.parametrize("prepared_for", ["freepublish", "mass"])
def test_a_draft_never_goes_out_both_ways(masses: Masses, prepared_for: str) -> None:
    """The way was approved with the rendition: another setting changes it for later ones only."""
    settings = {"freepublish": {**masses.outlet.settings, "mode": "freepublish"}, "mass": dict(masses.outlet.settings)}
    outlet = {mode: replace(masses.outlet, settings=given) for mode, given in settings.items()}
    masses.outlet = outlet[prepared_for]
    masses.rendition = masses.render(masses.delivery)
    prepared = masses.prepare()
    masses.outlet = outlet["mass" if prepared_for == "freepublish" else "freepublish"]
    public(masses.channel(), masses.rendition, masses.delivery, masses.submit(prepared))
    by_mass = prepared_for == "mass"
    assert (int(not by_mass), int(by_mass), 1) == (
        masses.effects("submitted"),
        masses.effects("mass_submitted"),
        masses.public_copies(),
    )


def test_the_way_is_part_of_what_is_approved(masses: Masses) -> None:
    """Of a mass send only, so that what was approved before there were any stays what it was."""
    plain = WechatChannel(replace(masses.outlet, settings={**masses.outlet.settings, "mode": ""}), masses.tools)
    masses_too = masses.rendition
    masses.outlet = replace(masses.outlet, settings={**masses.outlet.settings, "mode": "freepublish"})
    other = masses.render(masses.delivery)
    assert other.digest != masses_too.digest and "mode" not in other.fields
    assert masses_too.fields == {**other.fields, "mode": "mass"}
    assert [] == [one for one in plain.check(EDITION) if one.where == "mode"]


# What people and the outlet decide


@pytest.mark.parametrize("with_id", [True, False])
@pytest.mark.parametrize("code", [0, 89503, 89504, 89505])
def test_what_waits_for_the_administrator_is_accepted(masses: Masses, code: int, with_id: bool) -> None:
    """Nobody can read it until then, whether a number was told or not; after their word it is public, once."""
    masses.knob("admin", code=code, with_id=with_id)
    taken = masses.accepted()
    assert bool(taken.job) is (with_id or not code)
    assert masses.probe(taken) == taken
    assert masses.public_copies() == 0
    masses.console("confirm")
    assert isinstance(masses.ended(taken), Receipt)
    assert (masses.effects("mass_submitted"), masses.public_copies()) == (1, 1)


def test_an_administrator_who_refuses_is_named(masses: Masses) -> None:
    """The push tells why a send failed; message/mass/get does not."""
    masses.knob("admin", code=89504, with_id=True)
    taken = masses.accepted()
    masses.console("refuse")
    assert "err" not in masses.failed(taken)
    until(lambda: "管理员拒绝" in masses.failed(taken))
    assert masses.public_copies() == 0


def test_an_administrator_who_says_nothing(masses: Masses) -> None:
    """WeChat gives up after 30 minutes, here at once, and says so."""
    masses.knob("admin", code=89504, with_id=True, seconds=0)
    taken = masses.accepted()
    until(lambda: "30 分钟" in masses.failed(taken))


@pytest.mark.parametrize("with_id", [True, False])
def test_a_confirmation_that_never_comes_is_for_a_person(masses: Masses, with_id: bool) -> None:
    """Polled for half an hour and a little, then told; nothing is submitted again."""
    masses.knob("admin", code=89505, with_id=with_id)
    taken = masses.accepted()
    assert masses.probe_at(CONFIRMED_WITHIN - 60 * SECOND, taken) == taken
    with pytest.raises(Unsupported, match="管理员"):
        masses.probe_at(CONFIRMED_WITHIN + 60 * SECOND, taken)
    assert masses.effects("mass_submitted") == 1


def test_a_used_up_quota_is_told_to_a_person_at_once(masses: Masses) -> None:
    """45028: not sent, and not tried again by itself; the draft is still there."""
    masses.knob("mass_quota", daily=0)
    prepared = masses.prepare()
    with pytest.raises(Unauthorised, match=r"45028.*群发次数"):
        masses.submit(prepared)
    assert (masses.effects("mass_submitted"), masses.public_copies(), masses.effects("drafted")) == (0, 0, 1)


def test_a_quota_that_may_be_used_up_by_our_own_message_says_nothing(masses: Masses) -> None:
    """After a doubt 45028 is no refusal: the message may be waiting, and is found when it goes out."""
    masses.knob("admin", code=89504)
    found = masses.probe(masses.in_doubt())
    assert isinstance(found, Prepared)
    masses.knob("errcode", code=45028, path=SENDALL)
    taken = masses.submit(found)
    assert isinstance(taken, Accepted) and masses.probe(taken) == taken
    masses.console("confirm")
    assert isinstance(masses.ended(taken), Receipt)
    assert masses.public_copies() == 1


def test_a_quota_that_is_asked_first_hides_no_draft(masses: Masses) -> None:
    """45028 to the question by the key, without a hint: the draft is what there is."""
    masses.prepare()
    masses.knob("errcode", code=45028, path=SENDALL)
    assert isinstance(masses.probe(None), Prepared)


def test_a_draft_that_the_console_saved_needs_a_person(masses: Masses) -> None:
    """48021 at the instant, not sent; before it, the moved update_time is noticed."""
    prepared = masses.prepare()
    shot = masses.arm(prepared)
    masses.console("open", media_id=prepared.ref)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Rejected, match=r"48021.*手动保存"):
        shot.settle()
    with pytest.raises(Stale, match="后台"):
        masses.arm(prepared)
    assert masses.public_copies() == 0


def test_a_draft_that_is_gone_at_the_instant_is_ambiguous(masses: Masses) -> None:
    """40007 can also mean "sent already"."""
    prepared = masses.prepare()
    shot = masses.arm(prepared)
    masses.ask("draft/delete", {"media_id": prepared.ref})
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(Ambiguous, match="40007"):
        shot.settle()


def test_a_token_that_died_after_arming_sent_nothing(masses: Masses) -> None:
    """Certainly nothing: armed anew, the same draft goes out once."""
    prepared = masses.prepare()
    shot = masses.arm(prepared)
    masses.token(force=True)
    shot.send(window(), CLOCK.boottime)
    with pytest.raises(TryLater):
        shot.settle()
    public(masses.channel(), masses.rendition, masses.delivery, masses.submit(prepared))
    assert masses.public_copies() == 1


def test_a_send_that_fails_is_rejected_with_its_reason(masses: Masses) -> None:
    """SEND_FAIL, and by the push: held to be a reprint."""
    masses.knob("mass_outcome", status="err(30003)", times=1)
    taken = masses.accepted()
    until(lambda: "转载" in masses.failed(taken))
    assert masses.public_copies() == 0


def test_busy_at_the_instant_is_ambiguous(masses: Masses) -> None:
    """-1 may follow a message that was taken."""
    prepared = masses.prepare()
    masses.knob("errcode", code=-1, path=SENDALL)
    with pytest.raises(Ambiguous):
        masses.submit(prepared)


def test_an_account_that_may_not_mass_send_is_found_out_at_login(masses: Masses) -> None:
    """48001 shows at the check, not at the instant."""
    masses.channel().login()
    masses.knob("errcode", code=48001, path="/cgi-bin/message/mass/*", times=0)
    with pytest.raises(Unauthorised, match="48001"):
        masses.channel().login()


def test_editors_are_warned_of_what_cannot_be_taken_back(masses: Masses) -> None:
    """The notification stays, corrections are sent anew; and without pushes nothing can be read back."""
    told = [one for one in masses.channel().check(EDITION) if one.where == "mode"]
    assert [False] == [one.fatal for one in told] and "通知仍在" in told[0].message and "再群发一次" in told[0].message
    deaf = [one for one in masses.channel(callback_token="").check(EDITION) if one.where == "mode"]
    assert len(deaf) == 2 and "callback_token" in deaf[1].message and not deaf[1].fatal


# Its address


def test_the_address_comes_by_the_push_alone(masses: Masses) -> None:
    """No list of published articles has it; every process knows it then, and an anonymous reader finds the article."""
    receipt = masses.sent()
    assert masses.ask("freepublish/batchget", {"offset": 0, "count": 1})["total_count"] == 0
    assert set(masses.ask("message/mass/get", {"msg_id": receipt.ref})) == {"msg_id", "msg_status"}
    sighting = masses.channel().verify(receipt, masses.rendition)
    assert (sighting.visible, sighting.problems) == (True, ())


def test_without_a_push_it_is_public_at_no_known_address(mute: Masses) -> None:
    """Waited for as long as pushes are sent; then WeChat's word counts, nothing is read, and it can be withdrawn."""
    taken = mute.accepted()
    until(lambda: mute.public_copies())
    assert mute.probe(taken) == taken
    receipt = mute.probe_at(TOLD_WITHIN + SECOND, taken)
    assert isinstance(receipt, Receipt) and (receipt.ref, receipt.url) == (taken.job, "")
    with pytest.raises(Unsupported, match="地址未知"):
        mute.channel().verify(receipt, mute.rendition)
    mute.channel().withdraw(receipt, mute.key())
    assert mute.public_copies() == 0


def test_where_no_pushes_are_set_up_none_is_waited_for(mute: Masses) -> None:
    """The receipt comes with WeChat's word."""
    taken = mute.accepted()
    until(lambda: mute.public_copies())
    deaf = mute.channel(callback_token="")
    assert isinstance(deaf.probe(mute.rendition, mute.delivery, taken), Receipt)


def test_an_address_elsewhere_is_not_believed(mute: Masses) -> None:
    """Not even when it was signed: articles are at WeChat."""
    taken = mute.accepted()
    until(lambda: mute.public_copies())
    query, body = request_of(
        MassEvent(mute.account, taken.job, "send success", "https://elsewhere.example/s/1"), plain=False
    )
    assert mute.hears(query, body) == "success"
    assert mute.probe(taken) == taken


def pushed(ref: str, url: str, status: str = "sendsuccess") -> Push:
    return Push({"Event": "MASSSENDJOBFINISH", "MsgID": ref, "Status": status, "ArticleUrl": url})


def test_the_last_pushes_are_kept_each_once() -> None:
    """A repeated one changes nothing; of very many the oldest are forgotten; one without a number is none."""
    told = Told(LocalTokens(), "api.example")
    for ref in range(1, KEPT + 2):
        told.keep(pushed(str(ref), f"http://mp.weixin.qq.com/s/{ref}"))
        told.keep(pushed(str(ref), f"http://mp.weixin.qq.com/s/{ref}"))
    told.keep(pushed("", "http://mp.weixin.qq.com/s/none"))
    assert ("", "") == told.of("1")
    assert ("sendsuccess", "http://mp.weixin.qq.com/s/2") == told.of("2")
    assert ("sendsuccess", f"http://mp.weixin.qq.com/s/{KEPT + 1}") == told.of(str(KEPT + 1))


def test_what_another_process_kept_meanwhile_stays() -> None:
    """Two pushes at once: whoever comes second adds to what is there by then."""

    class Others(LocalTokens):
        """Another process keeps a push between our look and our change."""

        def get(self, name: str, renew: object, *, refused: str = "") -> str:
            if refused and not hasattr(self, "done"):
                self.done = True
                Told(self, "api.example").keep(pushed("2", "http://mp.weixin.qq.com/s/2"))
                now = super().get(name, lambda kept: Fresh(kept))
                if now != refused:
                    return now
            return super().get(name, renew, refused=refused)  # type: ignore[arg-type]

    told = Told(Others(), "api.example")
    told.keep(pushed("1", "http://mp.weixin.qq.com/s/1"))
    told.keep(pushed("3", "http://mp.weixin.qq.com/s/3"))
    assert ["1", "2", "3"] == [ref for ref in "123" if told.of(ref)[1]]


# Undo


def test_a_withdrawal_removes_the_article(masses: Masses) -> None:
    """Only this article of the message is named; its page holds a notice; repeating it is success."""
    receipt = masses.sent()
    for _ in range(2):
        masses.channel().withdraw(receipt, masses.key())
    sighting = masses.channel().verify(receipt, masses.rendition)
    assert not sighting.visible and "删除" in sighting.problems[0].message
    assert masses.ask("message/mass/get", {"msg_id": receipt.ref})["msg_status"] == "DELETE"
    deleted = [one for one in masses.sandbox.record() if one["effect"] == "deleted" and one["ref"] == receipt.ref]
    assert {1} == {one["detail"]["index"] for one in deleted}


def test_a_withdrawal_that_is_refused_is_looked_up(masses: Masses) -> None:
    """What WeChat answers for what is gone is not documented: the status decides."""
    receipt = masses.sent()
    masses.knob("errcode", code=99999, path=DELETE)
    with pytest.raises(Rejected, match="99999"):
        masses.channel().withdraw(receipt, masses.key())
    assert masses.public_copies() == 1


def test_what_was_deleted_is_no_success(masses: Masses) -> None:
    """Told as removed; without a hint there is nothing of it."""
    taken = masses.accepted()
    receipt = masses.ended(taken)
    assert isinstance(receipt, Receipt)
    masses.channel().withdraw(receipt, masses.key())
    with pytest.raises(Rejected, match="删除"):
        masses.probe(taken)
    assert masses.probe(None) is None


def test_sends_of_one_draft_share_a_link(masses: Masses) -> None:
    """Two keys for one draft are two messages at one address; deleting one takes both away."""
    masses.knob("latency", ms=300)
    draft = masses.draft(content_source_url="https://county.example/by-hand.html")["media_id"]
    given = {"filter": {"is_to_all": True}, "msgtype": "mpnews", "mpnews": {"media_id": draft}}
    first, second = (masses.ask("message/mass/sendall", {**given, "clientmsgid": key})["msg_id"] for key in "ab")
    until(lambda: masses.public_copies() == 2)
    ours = [one for one in masses.sandbox.record() if one["account"] == masses.account]
    published = [one for one in ours if one["effect"] == "published"]
    assert (2, 1) == (len(published), len({one["detail"]["url"] for one in published}))
    assert masses.ask("message/mass/delete", {"msg_id": first, "article_idx": 1})["errcode"] == 0
    assert masses.ask("message/mass/get", {"msg_id": second})["msg_status"] == "DELETE"
    assert masses.public_copies() == 0


# What the sandbox models besides


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"clientmsgid": "k" * 33}, 45067),
        ({"filter": {"is_to_all": False, "tag_id": 2}}, 40008),
        ({"msgtype": "text"}, 40008),
        ({"mpnews": {"media_id": "x"}}, 40007),
    ],
)
def test_submissions_that_are_refused(masses: Masses, more: Mapping[str, object], code: int) -> None:
    """Each with its code, and nothing is sent."""
    draft = masses.draft()["media_id"]
    given = {"filter": {"is_to_all": True}, "msgtype": "mpnews", "mpnews": {"media_id": draft}, "clientmsgid": "k"}
    assert masses.ask("message/mass/sendall", {**given, **more})["errcode"] == code
    assert masses.effects("mass_submitted") == 0


def test_a_status_that_is_not_documented_teaches_nothing(masses: Masses) -> None:
    """Neither a success nor a failure; so does an unknown number."""
    taken = masses.accepted()
    body = {"msg_id": taken.job, "msg_status": "HELD"}
    masses.sandbox.knob("error_body", path="/cgi-bin/message/mass/get", account=masses.account, json=body)
    with pytest.raises(Misbehaved, match="HELD"):
        masses.probe(taken)
    with pytest.raises(Misbehaved, match="40059"):
        masses.probe(replace(taken, job="7"))


def test_mass_sends_outlive_a_restart_of_the_outlet(tmp_path: Path) -> None:
    """What was sent, its key, and a send that was under way."""
    home = tmp_path / "sandbox"
    with server("channels.sandbox.wechat", home) as running:
        wechat = Masses(running, "town")
        with listening(wechat):
            receipt = wechat.sent()
            other, rendition = wechat.delivery, wechat.rendition
            wechat.knob("latency", ms=60_000)
            wechat.delivery = wechat.key()
            wechat.rendition = wechat.render(wechat.delivery)
            taken = wechat.accepted()
    with server("channels.sandbox.wechat", home) as running:
        wechat.sandbox = running
        wechat.outlet = replace(wechat.outlet, settings={**wechat.outlet.settings, "api_base": running.address})
        wechat.knob("mass_gap", seconds=0)
        with listening(wechat):
            assert isinstance(wechat.ended(taken), Receipt)
            found = wechat.channel().probe(rendition, other, None)
            assert isinstance(found, Receipt) and found.ref == receipt.ref
            assert wechat.channel().verify(found, rendition).problems == ()
        wechat.close()


def test_pushes_of_mass_sends_are_as_documented(mute: Masses) -> None:
    """Numbers, and the article's address in a list of one."""
    event = MassEvent(mute.account, "3147483650", "send success", f"{mute.sandbox.address}/s/1")
    assert mute.hears(*request_of(event, plain=False)) == "success"
    kept = json.loads(mute.tools.tokens.get("mass", lambda kept: Fresh("{}")))
    assert kept == {"3147483650": ["sendsuccess", f"{mute.sandbox.address}/s/1"]}
    assert b"<Count>1</Count>" in event.xml() and str(int(time.time()))[:6].encode() in event.xml()
