"""Somebody else's client of WeChat, `wechatpy`, against our sandbox; its cryptography against our pushes, both ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from wechatpy import WeChatClient, parse_message  # type: ignore[import-untyped]
from wechatpy.crypto import WeChatCrypto  # type: ignore[import-untyped]
from wechatpy.exceptions import (  # type: ignore[import-untyped]
    InvalidAppIdException,
    InvalidSignatureException,
    WeChatClientException,
)

from channels.sandbox.wechat_push import Event, MassEvent, request_of
from channels.wechat_push import Ear
from sync.contract import Unauthorised
from tests.contract.bench import Server, server
from tests.contract.bench_wechat import ROUTE
from tests.contract.bench_wechat_mass import WechatMassBench, opened, taken
from tests.contract.test_wechat import until

ACCOUNT = "town"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Server]:
    with server("channels.sandbox.wechat", tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def bench(sandbox: Server) -> Iterator[WechatMassBench]:
    made = opened(sandbox, ACCOUNT)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def client(bench: WechatMassBench) -> WeChatClient:
    """Its own API_BASE_URL is WeChat's; the address from which it takes tokens is fixed in its code."""

    class Client(WeChatClient):  # type: ignore[misc]
        API_BASE_URL = f"{bench.sandbox.address}/cgi-bin/"

        def fetch_access_token(self) -> Any:
            asked = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
            return self._fetch_access_token(f"{self.API_BASE_URL}token", asked)

    return Client(f"sandbox-{ACCOUNT}", f"sandbox-secret-{ACCOUNT}", timeout=10)


def draft(client: WeChatClient) -> str:
    """A draft with a cover and a picture, by its media_id."""
    cover = client.material.add("image", ("cover.png", BytesIO(ROUTE)))
    url = client.media.upload_image(("route.png", BytesIO(ROUTE)))
    article = {"title": "通告", "content": f'<p>首班 06:30</p><img src="{url}">', "thumb_media_id": cover["media_id"]}
    return str(client.post("draft/add", data={"articles": [article]})["media_id"])


def refused(call: Callable[[], object]) -> int:
    """The errcode that the client raises."""
    with pytest.raises(WeChatClientException) as told:
        call()
    return int(told.value.errcode)


def test_a_draft_is_made_and_read(client: WeChatClient) -> None:
    """Token, uploads, and the draft box, whose Chinese comes back as it was."""
    ref = draft(client)
    (article,) = client.post("draft/get", data={"media_id": ref})["news_item"]
    assert article["title"] == "通告" and "06:30" in article["content"] and "<img" in article["content"]
    assert client.get("draft/count")["total_count"] == 1
    listed = client.post("draft/batchget", data={"offset": 0, "count": 20, "no_content": 1})
    assert [ref] == [one["media_id"] for one in listed["item"]]


def test_a_draft_is_published_and_deleted(client: WeChatClient) -> None:
    """Submitted, asked about until it has ended, listed, deleted; the draft leaves the box."""
    ref = draft(client)
    job = client.post("freepublish/submit", data={"media_id": ref})["publish_id"]

    def ended() -> dict[str, Any] | None:
        told: dict[str, Any] = client.post("freepublish/get", data={"publish_id": job})
        return told if told["publish_status"] != 1 else None

    told = until(ended)
    assert isinstance(told, dict) and told["publish_status"] == 0
    url = told["article_detail"]["item"][0]["article_url"]
    (listed,) = client.post("freepublish/batchget", data={"offset": 0, "count": 1})["item"]
    assert (told["article_id"], url) == (listed["article_id"], listed["content"]["news_item"][0]["url"])
    assert refused(lambda: client.post("draft/get", data={"media_id": ref})) == 40007
    client.post("freepublish/delete", data={"article_id": told["article_id"], "index": 1})
    (gone,) = client.post("freepublish/getarticle", data={"article_id": told["article_id"]})["news_item"]
    assert gone["is_deleted"] is True


def test_an_article_is_mass_sent_once_and_deleted(client: WeChatClient) -> None:
    """By its own calls for it; the same clientmsgid again is refused with 45065, and the number that there is."""
    ref = draft(client)
    sent = client.message.send_mass_article(None, ref, is_to_all=True, client_msg_id="k1")
    until(lambda: client.message.get_mass(sent["msg_id"])["msg_status"] == "SEND_SUCCESS")
    with pytest.raises(WeChatClientException) as told:
        client.message.send_mass_article(None, ref, is_to_all=True, client_msg_id="k1")
    assert (told.value.errcode, told.value.response.json()["msg_id"]) == (45065, sent["msg_id"])
    assert refused(lambda: client.message.send_mass_article(None, ref, is_to_all=True, client_msg_id="k2")) == 40007
    client.message.delete_mass(sent["msg_id"])
    assert client.message.get_mass(sent["msg_id"])["msg_status"] == "DELETE"


def test_a_dead_token_is_replaced(client: WeChatClient, bench: WechatMassBench) -> None:
    """The client asks for another one where the sandbox says that a token is no good."""
    client.get("draft/count")
    bench.sandbox.knob("errcode", code=40001, path="/cgi-bin/draft/count", account=ACCOUNT)
    assert client.get("draft/count")["total_count"] == 0
    client.session.set(client.access_token_key, "x" * 64)
    assert client.get("draft/count")["total_count"] == 0


def crypto(bench: WechatMassBench, app_id: str = "") -> WeChatCrypto:
    secrets = bench.outlet.secrets
    return WeChatCrypto(
        secrets["callback_token"], secrets["callback_aes_key"], app_id or bench.outlet.settings["app_id"]
    )


EVENTS = (
    Event(ACCOUNT, "2247503051", 0, "article-9", "http://mp.example/s?__biz=1&sn=2"),
    MassEvent(ACCOUNT, "3147483650", "send success", "http://mp.example/s?__biz=1&sn=2"),
)


@pytest.mark.parametrize("event", EVENTS, ids=["published", "sent"])
def test_it_opens_what_the_sandbox_pushes(bench: WechatMassBench, event: Event | MassEvent) -> None:
    """Signature, padding, length and app id are as it knows them; another account's key opens nothing."""
    query, body = request_of(event, plain=False)
    signed = (query["msg_signature"], query["timestamp"], query["nonce"])
    assert crypto(bench).decrypt_message(body, *signed).encode() == event.xml()
    with pytest.raises(InvalidAppIdException):
        crypto(bench, "sandbox-another").decrypt_message(body, *signed)
    with pytest.raises(InvalidSignatureException):
        crypto(bench).decrypt_message(body, "0" * 40, *signed[1:])


def test_it_understands_what_the_sandbox_pushes(bench: WechatMassBench) -> None:
    """Its own reading of the end of a mass send; the end of a publishing job is newer than it is."""
    published, sent = (parse_message(event.xml()) for event in EVENTS)
    assert (sent.event, sent.id, sent.status, sent.sent_count) == ("masssendjobfinish", 3147483650, "send success", 9)
    told = published._data["PublishEventInfo"]
    assert ("2247503051", "0", "article-9") == (told["publish_id"], told["publish_status"], told["article_id"].strip())


@pytest.mark.parametrize("event", EVENTS, ids=["published", "sent"])
def test_we_open_what_it_encrypts(bench: WechatMassBench, event: Event | MassEvent) -> None:
    """The same fields; altered in one letter, or for another account, it is refused."""
    secrets, now_s = bench.outlet.secrets, int(time.time())
    ear = Ear(secrets["callback_token"], secrets["callback_aes_key"], bench.outlet.settings["app_id"])
    sealed = crypto(bench).encrypt_message(event.xml().decode(), "n1", str(now_s))
    told = parse(sealed)
    query = {
        "encrypt_type": "aes",
        "timestamp": told["TimeStamp"],
        "nonce": "n1",
        "msg_signature": told["MsgSignature"],
    }
    heard = ear.heard(query, sealed.encode(), now_s)
    assert heard.tells_of_a_job and heard.fields["CreateTime"] == parse(event.xml().decode())["CreateTime"]
    assert heard.tells_of_a_mass_send is isinstance(event, MassEvent)
    with pytest.raises(Unauthorised):
        ear.heard({**query, "msg_signature": "0" + query["msg_signature"][1:] + "0"}, sealed.encode(), now_s)
    other = crypto(bench, "sandbox-another").encrypt_message(event.xml().decode(), "n1", str(now_s))
    signed = {**query, "msg_signature": parse(other)["MsgSignature"]}
    with pytest.raises(Unauthorised, match="不属于此公众号"):
        ear.heard(signed, other.encode(), now_s)


def parse(xml: str) -> dict[str, str]:
    """What stands in each element."""
    return {str(one.tag): str(one.text) for one in etree.fromstring(xml).iter()}


def test_it_opens_what_really_arrives(bench: WechatMassBench, client: WeChatClient) -> None:
    """A whole push over HTTP: the end of a mass send that the client itself submitted."""
    heard: list[Any] = []

    def hears(query: dict[str, str], body: bytes) -> str:
        signed = (query["msg_signature"], query["timestamp"], query["nonce"])
        heard.append(parse_message(crypto(bench).decrypt_message(body, *signed)))
        return "success"

    with taken(hears) as url:
        bench.sandbox.knob("push", url=url, account=ACCOUNT)
        sent = client.message.send_mass_article(None, draft(client), is_to_all=True, client_msg_id="k3")
        until(lambda: heard)
    assert [(sent["msg_id"], "send success")] == [(one.id, one.status) for one in heard]
