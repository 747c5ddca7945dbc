"""WeChat's message push: who sent it, what it tells, and that it is only ever a reason to look."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from channels.sandbox.wechat_push import Event, encrypted, request_of, signature
from channels.wechat_push import Ear
from sync.contract import Heard, Listener, Unauthorised, Unsupported
from sync.model import BadInput
from tests.contract.bench_wechat import WechatBench, bench

EVENT = Event("town", "2247503051", 0, "article-9", "http://mp.example/s?__biz=1&sn=2")


@pytest.fixture
def wechat(tmp_path: Path) -> Iterator[WechatBench]:
    with bench(tmp_path) as made:
        assert isinstance(made, WechatBench)
        yield made


@pytest.fixture
def ear(wechat: WechatBench) -> Callable[[Mapping[str, str], bytes], Heard]:
    channel = wechat.channel()
    assert isinstance(channel, Listener)
    return lambda query, body: channel.hear("POST", query, body)


def own_ear(wechat: WechatBench) -> Ear:
    secrets = wechat.outlet.secrets
    return Ear(secrets["callback_token"], secrets["callback_aes_key"], wechat.outlet.settings["app_id"])


def event_of(wechat: WechatBench) -> Event:
    return Event(wechat.outlet.name, EVENT.publish_id, 0, EVENT.article_id, EVENT.url)


def test_the_question_whether_the_address_is_ours_is_answered(wechat: WechatBench) -> None:
    """With WeChat's own word; a wrong signature gets nothing."""
    stamp = str(int(time.time()))
    query = {"timestamp": stamp, "nonce": "n", "echostr": "8731"}
    signed = {**query, "signature": signature(f"sandbox-token-{wechat.outlet.name}", stamp, "n")}
    channel = wechat.channel()
    assert isinstance(channel, Listener)
    assert Heard("8731") == channel.hear("GET", signed, b"")
    with pytest.raises(Unauthorised):
        channel.hear("GET", {**query, "signature": "0" * 40}, b"")


def test_a_push_in_safe_mode_is_opened(wechat: WechatBench) -> None:
    """Every field of it; the line break of the documented article_id is no part of the id."""
    query, body = request_of(event_of(wechat), plain=False)
    told = own_ear(wechat).heard(query, body, int(time.time())).fields
    assert ("PUBLISHJOBFINISH", "2247503051", "0") == (told["Event"], told["publish_id"], told["publish_status"])
    assert ("article-9", EVENT.url) == (told["article_id"], told["article_url"])


def test_it_is_a_reason_to_look(wechat: WechatBench, ear: Callable[[Mapping[str, str], bytes], Heard]) -> None:
    """And answered as WeChat wants it; so is a repeated one."""
    query, body = request_of(event_of(wechat), plain=False)
    assert [Heard("success", hint=True)] * 2 == [ear(query, body), ear(query, body)]


def tampered(query: dict[str, str], body: bytes, wechat: WechatBench) -> dict[str, tuple[dict[str, str], bytes]]:
    other = Event("another", EVENT.publish_id, 0, EVENT.article_id, EVENT.url)
    token, stamp, nonce = f"sandbox-token-{wechat.outlet.name}", query["timestamp"], query["nonce"]
    strange = encrypted(other.xml(), "another")
    old = str(int(stamp) - 3600)
    sealed = encrypted(event_of(wechat).xml(), wechat.outlet.name)
    aged = {**query, "timestamp": old, "msg_signature": signature(token, old, nonce, sealed)}
    plain_query, plain_body = request_of(event_of(wechat), plain=True)
    return {
        "another text": (query, body.replace(b"<Encrypt><![CDATA[", b"<Encrypt><![CDATA[A")),
        "another signature": ({**query, "msg_signature": "0" * 40}, body),
        "no signature": ({"timestamp": stamp, "nonce": nonce, "encrypt_type": "aes"}, body),
        "another account's key": (
            {**query, "msg_signature": signature(token, stamp, nonce, strange)},
            f"<xml><Encrypt>{strange}</Encrypt></xml>".encode(),
        ),
        "an hour old": (aged, f"<xml><Encrypt>{sealed}</Encrypt></xml>".encode()),
        "in the clear": (plain_query, plain_body),
        "no XML": (query, b"{}"),
        "entities": (query, b'<!DOCTYPE x [<!ENTITY a "b">]><xml><Encrypt>&a;</Encrypt></xml>'),
    }


@pytest.mark.parametrize(
    "how",
    [
        "another text",
        "another signature",
        "no signature",
        "another account's key",
        "an hour old",
        "in the clear",
        "no XML",
        "entities",
    ],
)
def test_whatever_wechat_did_not_send_is_refused(wechat: WechatBench, how: str) -> None:
    """Altered, forged, of another account, replayed later, or not encrypted where encryption was agreed on."""
    query, body = tampered(*request_of(event_of(wechat), plain=False), wechat)[how]
    with pytest.raises(Unauthorised):
        own_ear(wechat).heard(query, body, int(time.time()))


def test_plain_mode_where_no_key_is_set(wechat: WechatBench) -> None:
    """The signature counts; an encrypted push cannot be read, and the mend is told."""
    plain = Ear(wechat.outlet.secrets["callback_token"], "", wechat.outlet.settings["app_id"])
    assert plain.heard(*request_of(event_of(wechat), plain=True), int(time.time())).tells_of_a_job
    with pytest.raises(Unauthorised, match="callback_aes_key"):
        plain.heard(*request_of(event_of(wechat), plain=False), int(time.time()))


def test_an_account_without_a_token_hears_nothing(wechat: WechatBench) -> None:
    """An empty token would be everybody's; a key that can be none is refused when it is set."""
    channel = wechat.channel(callback_token="")
    assert isinstance(channel, Listener)
    with pytest.raises(Unsupported):
        channel.hear("POST", *request_of(event_of(wechat), plain=False))
    with pytest.raises(BadInput, match="43"):
        wechat.channel(callback_aes_key="short")


def test_the_sandbox_pushes_as_wechat_does(wechat: WechatBench, tmp_path: Path) -> None:
    """Three tries at an address that fails, each in the record."""
    wechat.sandbox.knob("push", url="http://127.0.0.1:9/callback/town")
    key = wechat.key()
    rendition = wechat.render(key)
    prepared = wechat.channel().prepare(rendition, key)
    wechat.sandbox.ask("POST", "/console/publish", {"account": wechat.outlet.name, "media_id": prepared.ref})
    ends = time.monotonic() + 20
    while len(tries := [one for one in wechat.sandbox.record() if one["effect"] == "pushed"]) < 3:
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert [(1, 0), (2, 0), (3, 0)] == [(one["detail"]["attempt"], one["detail"]["status"]) for one in tries]
