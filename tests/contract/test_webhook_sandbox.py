"""The sandbox receiver, driven by the reference library of Standard Webhooks instead of our own channel."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from channels.sandbox.webhook_seal import own_key
from tests.contract.bench import Server, server

OTHER = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Server]:
    with server("channels.sandbox.webhook", tmp_path / "sandbox") as running:
        yield running


def told(kind: str = "item.published", revision: int = 1, at: str = "2026-11-23T01:00:00Z", **data: object) -> str:
    given = {"item": "a/1", "revision": revision, "title": "标题", "content": "full", "html": "<p>一</p>", **data}
    return json.dumps({"type": kind, "timestamp": at, "data": given}, ensure_ascii=False)


def signed(body: str, identity: str, secret: str, ago: float = 0.0) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=ago)
    signature = Webhook(secret).sign(identity, at, body)
    return {"webhook-id": identity, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def post(sandbox: Server, body: str, headers: dict[str, str]) -> tuple[int, bytes]:
    address = f"{sandbox.address}/app/hook"
    request = urllib.request.Request(address, body.encode(), {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def tell(sandbox: Server, body: str, identity: str, secret: str = "", ago: float = 0.0) -> int:
    return post(sandbox, body, signed(body, identity, secret or own_key("app"), ago))[0]


def seen(sandbox: Server) -> str | None:
    try:
        with urllib.request.urlopen(f"{sandbox.address}/app/items/a%2F1", timeout=10) as answer:
            page: str = answer.read().decode()
            return page
    except urllib.error.HTTPError as error:
        with error:
            assert 404 == error.code
            return None


def effects(sandbox: Server) -> list[str]:
    return [line["effect"] for line in sandbox.record() if line["applied"]]


def ignored(sandbox: Server) -> list[str]:
    return [line["detail"]["ignored"] for line in sandbox.record() if "ignored" in line["detail"]]


# what stays


def test_a_restarted_receiver_knows_its_items_and_what_it_took(tmp_path: Path) -> None:
    """The page is there, an older event is still ignored, and a repeated id is answered as before."""
    with server("channels.sandbox.webhook", tmp_path / "sandbox") as first:
        tell(first, told(revision=2, html="<p>二</p>"), "msg_2")
        body = told("item.staged", item="b/1")
        assert 204 == tell(first, body, "msg_3")
    with server("channels.sandbox.webhook", tmp_path / "sandbox") as again:
        assert "二" in (seen(again) or "")
        tell(again, told(revision=1), "msg_1")
        assert 204 == tell(again, body, "msg_3")
        assert ["order", "id"] == ignored(again)[-2:]
        tell(again, told("item.withdrawn", revision=2, at="2026-11-23T02:00:00Z"), "msg_4")
    with server("channels.sandbox.webhook", tmp_path / "sandbox") as third:
        assert seen(third) is None


# what is believed


def test_what_the_reference_library_signs_is_believed(sandbox: Server) -> None:
    """The page is there, its address is in the answer, the record was written before it."""
    body = told()
    status, answer = post(sandbox, body, signed(body, "msg_1", own_key("app")))
    assert (200, {"public_url": f"{sandbox.address}/app/items/a%2F1"}) == (status, json.loads(answer))
    assert ["published"] == effects(sandbox)
    assert "<p>一</p>" in (seen(sandbox) or "")


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_every_header_is_needed(sandbox: Server, name: str) -> None:
    """One missing, or another than was signed, and nothing is taken."""
    body = told()
    headers = signed(body, "msg_1", own_key("app"))
    assert 401 == post(sandbox, body, {each: value for each, value in headers.items() if each != name})[0]
    other = "1" if headers[name].endswith("0") else "0"
    assert 401 == post(sandbox, body, {**headers, name: headers[name][:-1] + other})[0]
    assert [] == effects(sandbox)


def test_the_bytes_count_not_their_meaning(sandbox: Server) -> None:
    """The same JSON written otherwise is another body."""
    body = told()
    respaced = json.dumps(json.loads(body))
    assert 401 == post(sandbox, respaced, signed(body, "msg_1", own_key("app")))[0]


@pytest.mark.parametrize(("ago", "status"), [(290, 200), (310, 401), (-290, 200), (-310, 401)])
def test_five_minutes_are_tolerated(sandbox: Server, ago: float, status: int) -> None:
    """On both sides."""
    assert status == tell(sandbox, told(), "msg_1", ago=ago)


def test_one_signature_that_holds_is_enough(sandbox: Server) -> None:
    """Among others, and among versions that nobody knows; a right one under a wrong version does not hold."""
    body = told()
    right, wrong = signed(body, "msg_1", own_key("app")), signed(body, "msg_1", OTHER)
    several = f"v9,abc v1 v1,%%% {wrong['webhook-signature']} {right['webhook-signature']}"
    assert 200 == post(sandbox, body, {**right, "webhook-signature": several})[0]
    renamed = right["webhook-signature"].replace("v1,", "v1a,")
    assert 401 == post(sandbox, body, {**right, "webhook-signature": renamed})[0]


def test_a_public_key_is_enough_to_believe(sandbox: Server) -> None:
    """`v1a`; the secret half is nowhere near."""
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    sandbox.knob("keys", accepted=[f"whpk_{public}"])
    body, second = told(), int(time.time())
    for signature, status in ((private.sign(f"msg_1.{second}.{body}".encode()), 200), (bytes(64), 401)):
        piece = f"v1a,{base64.b64encode(signature).decode()}"
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(second), "webhook-signature": piece}
        assert status == post(sandbox, body, headers)[0]


def test_both_keys_hold_while_they_change(sandbox: Server) -> None:
    """The old one until the window closes, the new one from the beginning."""
    sandbox.knob("keys", accepted=[OTHER], until=time.time() + 600)
    assert [200, 200] == [tell(sandbox, told(), "msg_1", OTHER), tell(sandbox, told(), "msg_2")]
    sandbox.knob("keys", accepted=[OTHER], until=time.time() - 1)
    assert [200, 401] == [tell(sandbox, told(), "msg_3", OTHER), tell(sandbox, told(), "msg_4")]


# what is taken


def test_an_id_is_taken_once(sandbox: Server) -> None:
    """The answer is the same; nothing happens again. One that forgets does it again."""
    body = told()
    headers = signed(body, "msg_1", own_key("app"))
    assert post(sandbox, body, headers) == post(sandbox, body, headers)
    assert (["published"], ["id"]) == (effects(sandbox), ignored(sandbox))
    sandbox.knob("forgetful")
    assert 200 == post(sandbox, body, headers)[0]
    assert ["published", "published"] == effects(sandbox)


def test_a_refused_event_may_be_sent_again(sandbox: Server) -> None:
    """A bad signature does not use up its id."""
    assert [401, 200] == [tell(sandbox, told(), "msg_1", OTHER), tell(sandbox, told(), "msg_1")]


def test_the_higher_revision_wins_whenever_it_comes(sandbox: Server) -> None:
    """What arrives late is acknowledged and ignored."""
    tell(sandbox, told("item.updated", 2, html="<p>二</p>"), "msg_2")
    assert 200 == tell(sandbox, told("item.published", 1, at="2026-11-23T09:00:00Z"), "msg_1")
    assert "<p>二</p>" in (seen(sandbox) or "")
    assert ["order"] == ignored(sandbox)


def test_of_one_revision_the_later_event_wins(sandbox: Server) -> None:
    """A publication that is overtaken by its withdrawal stays away; a later one brings it back."""
    tell(sandbox, told("item.withdrawn", at="2026-11-23T02:00:00Z"), "msg_2")
    tell(sandbox, told("item.published", at="2026-11-23T01:00:00Z"), "msg_1")
    assert seen(sandbox) is None
    tell(sandbox, told("item.published", at="2026-11-23T03:00:00Z"), "msg_3")
    assert "<p>一</p>" in (seen(sandbox) or "")


def test_a_withdrawn_item_is_gone(sandbox: Server) -> None:
    """Its page answers 404."""
    tell(sandbox, told(), "msg_1")
    assert 204 == tell(sandbox, told("item.withdrawn", at="2026-11-23T02:00:00Z"), "msg_2")
    assert seen(sandbox) is None
    assert ["published", "withdrawn"] == effects(sandbox)


def test_a_withdrawn_item_is_not_updated(sandbox: Server) -> None:
    """A correction that was overtaken is refused, and stays so when it is repeated; one that came first is taken."""
    tell(sandbox, told("item.updated", 1), "msg_0")
    tell(sandbox, told("item.withdrawn", at="2026-11-23T02:00:00Z"), "msg_1")
    body = told("item.updated", 2, at="2026-11-23T03:00:00Z")
    assert [409, 409] == [tell(sandbox, body, "msg_2"), tell(sandbox, body, "msg_2")]
    assert seen(sandbox) is None
    assert ["updated", "withdrawn"] == effects(sandbox)


def test_withdrawing_what_is_not_there_changes_nothing(sandbox: Server) -> None:
    """It is acknowledged all the same."""
    assert 204 == tell(sandbox, told("item.withdrawn"), "msg_1")
    assert ([], ["absent"]) == (effects(sandbox), ignored(sandbox))


def test_an_announcement_shows_nothing(sandbox: Server) -> None:
    """Neither does taking it back."""
    assert 204 == tell(sandbox, told("item.staged"), "msg_1")
    assert seen(sandbox) is None
    assert 204 == tell(sandbox, told("item.unstaged"), "msg_2")
    assert ["staged", "unstaged"] == effects(sandbox)


def test_events_that_are_not_known_are_let_pass(sandbox: Server) -> None:
    """Unless the receiver is picky; what is no event at all is refused."""
    assert 204 == tell(sandbox, told("order.paid"), "msg_1")
    sandbox.knob("picky")
    assert 422 == tell(sandbox, told("order.paid"), "msg_2")
    for number, body in enumerate(["[]", "{", '{"type": 1, "timestamp": "2026-11-23", "data": {}}', '{"data": {}}']):
        assert 400 == tell(sandbox, body, f"msg_bad_{number}")
    assert 422 == tell(sandbox, told(item=""), "msg_3")
    assert [] == effects(sandbox)


# how it misbehaves


@pytest.mark.parametrize(
    ("knob", "status", "shows"),
    [
        ({"fault": "refuse", "status": 302, "headers": {"Location": "/app/hook2"}}, 302, False),
        ({"fault": "refuse", "status": 410}, 410, False),
        ({"fault": "refuse", "status": 429, "headers": {"Retry-After": "30"}}, 429, False),
        ({"fault": "answer_502"}, 502, True),
        ({"fault": "delay", "after_ms": 300}, 200, True),
    ],
)
def test_answers_on_order(sandbox: Server, knob: dict[str, Any], status: int, shows: bool) -> None:
    """Of one kind of event, once, taken or not as the knob says."""
    sandbox.knob(**knob, account="app item.published")
    assert 204 == tell(sandbox, told("item.staged"), "msg_0")
    no_redirect = urllib.request.build_opener(Stays)
    body = told()
    headers = {"Content-Type": "application/json", **signed(body, "msg_1", own_key("app"))}
    request = urllib.request.Request(f"{sandbox.address}/app/hook", body.encode(), headers)
    try:
        with no_redirect.open(request, timeout=10) as answer:
            found = answer.status
    except urllib.error.HTTPError as error:
        with error:
            found = error.code
    assert (status, shows) == (found, seen(sandbox) is not None)


class Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: Any, **named: Any) -> None:
        return None


def test_a_reset_after_it_was_taken(sandbox: Server) -> None:
    """No answer, and the page is there."""
    sandbox.knob("drop_answer", reset=True, account="app item.published")
    with pytest.raises(ConnectionError):
        tell(sandbox, told(), "msg_1")
    assert seen(sandbox) is not None


def test_it_becomes_public_late_when_told_so(sandbox: Server) -> None:
    """Taken at once; the page shows what was before until then."""
    tell(sandbox, told(), "msg_1")
    sandbox.knob("lag", seconds=600)
    tell(sandbox, told("item.updated", 2, html="<p>二</p>"), "msg_2")
    assert "<p>一</p>" in (seen(sandbox) or "")
    assert ["published", "updated"] == effects(sandbox)


def test_receivers_are_apart(sandbox: Server) -> None:
    """Another name has another key and other pages."""
    body = told()
    tell(sandbox, body, "msg_1")
    assert own_key("app") != own_key("other")
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(f"{sandbox.address}/other/items/a%2F1", timeout=10)
    missing.value.close()
    assert 404 == missing.value.code


def test_no_file_outside_its_folder_is_shown(sandbox: Server) -> None:
    """Whatever the path says."""
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(f"{sandbox.address}/files/..%2F..%2Frecord.jsonl", timeout=10)
    missing.value.close()
    assert 404 == missing.value.code
