"""Signatures, events, answers and pages of the webhook channel: everything that needs no receiver."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook

from channels import webhook_event as event
from channels.webhook import WebhookChannel
from channels.webhook_answer import accepted, page_named
from channels.webhook_shot import OLDEST, SignedShot
from channels.webhook_signature import headers, signers
from sync.answer import Answer
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    Misbehaved,
    OutletError,
    Place,
    Receipt,
    Rejected,
    Shot,
    TryLater,
    Unsupported,
    Window,
)
from sync.model import Asset, AssetRole, BadInput, Edition, Key, Outlet, Rendition, Token, sha256

# Published with the reference library (v1) and in the tests of Svix's server (v1a), of the same message.
IDENTITY, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SHARED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

KEY = Key("installation", "delivery")
CANONICAL = "https://county.example/news/1.html"
PICTURE = sha256(b"picture")
FILES = "https://files.example/{digest}"


def edition(body: str = "<p>今晚八时停水。</p>", **metadata: str) -> Edition:
    assets = (
        Asset(PICTURE, "image/png", 7, "a.png", AssetRole.IMAGE, "图"),
        Asset("d" * 64, "application/pdf", 9, "附件.pdf", AssetRole.ATTACHMENT),
    )
    return Edition("item 1", 3, "停水通知", body, metadata, assets)


# signatures


def test_the_published_vectors() -> None:
    """Shared and private key sign the published message as published, together in one header."""
    signed = headers(signers(f"{SHARED}\n {PRIVATE}"), IDENTITY, AT, BODY)
    expected = {"webhook-id": IDENTITY, "webhook-timestamp": str(AT), "webhook-signature": f"{V1} {V1A}"}
    assert expected == signed


def test_a_private_key_may_come_without_its_public_half() -> None:
    """32 bytes are the whole key."""
    seed = base64.b64encode(base64.b64decode(PRIVATE.removeprefix("whsk_"))[:32]).decode()
    assert V1A == headers(signers(f"whsk_{seed}"), IDENTITY, AT, BODY)["webhook-signature"]


def test_the_reference_library_verifies_what_we_send() -> None:
    """Its clock, its parser, its key handling; also while keys change, with either key, padded or not."""
    second = int(datetime.now(UTC).timestamp())
    new = "whsec_" + base64.b64encode(bytes(range(31))).decode()
    body = event.body(event.PUBLISHED, second * SECOND, event.data(event.rendition(edition(), Place(KEY, None), "")))
    signed = headers(signers(f"{SHARED} {new.rstrip('=')}"), IDENTITY, second, body)
    for secret in (SHARED, new):
        assert "停水通知" == Webhook(secret).verify(body, signed)["data"]["title"]
    mixed = headers(signers(f"{PRIVATE} {SHARED}"), IDENTITY, second, body)
    assert "停水通知" == Webhook(SHARED).verify(body, mixed)["data"]["title"]


def test_a_public_key_verifies_what_we_send() -> None:
    """As a receiver does that never held our private key."""
    signed = headers(signers(PRIVATE), "msg_1", 7, b"body")
    signature = base64.b64decode(signed["webhook-signature"].removeprefix("v1a,"))
    Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC)).verify(signature, b"msg_1.7.body")


@pytest.mark.parametrize(
    "secret",
    [
        "",
        f"{SHARED} {PRIVATE} {SHARED}",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_no-base64!",
        "whsec_" + base64.b64encode(b"s" * 23).decode(),
        "whsec_" + base64.b64encode(b"s" * 65).decode(),
        "whsk_" + base64.b64encode(b"s" * 33).decode(),
        "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    ],
)
def test_what_is_no_key_is_told_without_it(secret: str) -> None:
    """Missing, too many, of another kind, no base64, too short or long."""
    with pytest.raises(BadInput) as told:
        signers(secret)
    assert [] == [word for word in secret.split() if word.partition("_")[2] and word.partition("_")[2] in str(told)]
    assert "secret" == told.value.where and told.value.mend


# settings


def outlet(**settings: str) -> Outlet:
    return Outlet(
        "app", "unit", "webhook", {"url": "https://app.example/hook", **settings}, {"secret": SHARED}, live=True
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", ""),
        ("url", "app.example/hook"),
        ("url", "https://[app"),
        ("public_url_template", "https://app.example/news"),
        ("public_url_template", "/news/{item}"),
        ("asset_url_template", "https://app.example/{item}"),
        ("staged", "true"),
        ("receiver_dedupes", "perhaps"),
    ],
)
def test_settings_that_cannot_be_meant_are_told(name: str, value: str) -> None:
    """The setting is named, with the mend."""
    with pytest.raises(BadInput) as told:
        WebhookChannel(outlet(**{name: value}), None)  # type: ignore[arg-type]  # tools are not reached
    assert name == told.value.where and told.value.mend


def test_the_twin_keeps_nothing_of_the_configured_host() -> None:
    """Addresses and keys replaced, the host of files not contacted, what shapes the exchange kept."""
    real = outlet(
        public_url_template="https://app.example/{item}", asset_url_template=FILES, staged="yes", receiver_dedupes="yes"
    )
    twin = WebhookChannel.twin(real, "http://127.0.0.1:1", "/tmp/x")
    assert {
        "url": "http://127.0.0.1:1/app/hook",
        "public_url_template": "http://127.0.0.1:1/app/items/{item}",
        "staged": "yes",
        "receiver_dedupes": "yes",
    } == dict(twin.settings)
    assert SHARED not in twin.secrets["secret"]
    assert (False, True, "app") == (twin.live, twin.private_network, twin.name)
    assert "public_url_template" not in WebhookChannel.twin(outlet(), "http://127.0.0.1:1", "").settings


# events


def test_an_event_has_the_form_of_the_standard() -> None:
    """Type, time and data; item, revision, digest and canonical address in it; bytes of a settled form."""
    made = event.rendition(edition(summary="停水。", source="水务局"), Place(KEY, CANONICAL), "")
    told = json.loads(event.body(event.UPDATED, 1_700_000_000_123_456, event.data(made)))
    assert ("item.updated", "2023-11-14T22:13:20.123Z") == (told["type"], told["timestamp"])
    data = told["data"]
    assert ("item 1", 3, f"sha256:{edition(summary='停水。', source='水务局').digest}") == (
        data["item"],
        data["revision"],
        data["digest"],
    )
    assert ("停水通知", "full", "<p>今晚八时停水。</p>", "停水。") == (
        data["title"],
        data["content"],
        data["html"],
        data["summary"],
    )
    assert (CANONICAL, {"source": "水务局"}) == (data["canonical"], data["metadata"])


def test_files_have_addresses_where_there_are_any() -> None:
    """Pictures and links point to them; without addresses pictures are left out and links are text."""
    body = f'<p>见<a href="asset:{"d" * 64}">附件</a>。</p><figure><img src="asset:{PICTURE}" alt="图"></figure>尾'
    made = event.rendition(edition(body), Place(KEY, None), FILES)
    link = Token("link", f"https://files.example/{'d' * 64}")
    assert (Token("text", "见附件。"), link, Token("image", PICTURE), Token("text", "尾")) == made.shown[1:]
    assert [f"https://files.example/{PICTURE}", link.value] == [one["url"] for one in event.assets(made)]
    bare = event.rendition(edition(body), Place(KEY, None), "")
    assert (Token("text", "见附件。"), Token("text", "尾")) == bare.shown[1:]
    assert "asset:" not in bare.content and "<img" not in bare.content
    assert [None, None] == [one["url"] for one in event.assets(bare)]


def test_what_is_too_large_goes_as_summary() -> None:
    """Below 20 kB whole; from there on title, summary, address and digest, and the reader must see those."""
    within, beyond = edition(f"<p>{'水' * 6_000}</p>"), edition(f"<p>{'水' * 7_000}</p>", summary="摘要。")
    whole = event.rendition(within, Place(KEY, CANONICAL), "")
    short = event.rendition(beyond, Place(KEY, CANONICAL), "")
    assert ["full", "summary"] == [made.fields["content"] for made in (whole, short)]
    assert all(len(event.body(event.PUBLISHED, 0, event.data(made))) < 20_000 for made in (whole, short))
    data = event.data(short)
    assert "html" not in data
    assert ("摘要。", CANONICAL, f"sha256:{beyond.digest}") == (data["summary"], data["canonical"], data["digest"])
    assert (Token("title", "停水通知"), Token("text", "摘要。")) == short.shown


def test_the_limit_is_that_of_the_whole_body() -> None:
    """The last character that fits is the last one."""

    def made(body: str) -> Rendition:
        return event.rendition(edition(body), Place(KEY, CANONICAL), "")

    room = 20_000 - len(event.body(event.PUBLISHED, 0, event.data(made("x"))))
    kinds = [made(body).fields["content"] for body in ("x" * room, "x" * room + "x")]
    assert ["full", "summary"] == kinds


def test_what_cannot_be_fetched_elsewhere_is_not_cut() -> None:
    """Too large and no canonical address: told before anything is sent; so is a summary that is too large itself."""
    with pytest.raises(Unsupported):
        event.rendition(edition(f"<p>{'水' * 7_000}</p>"), Place(KEY, None), "")
    with pytest.raises(Unsupported):
        event.rendition(edition("<p>短</p>", summary="水" * 7_000), Place(KEY, CANONICAL), "")


def test_without_a_summary_whole_paragraphs_lead() -> None:
    """As many as fit in 600 characters."""
    body = f"<p>{'甲' * 500}</p><p>{'乙' * 100}</p><p>丙</p>" + "<p>丁</p>" * 7_000
    made = event.rendition(edition(body), Place(KEY, CANONICAL), "")
    assert (Token("text", "甲" * 500), Token("text", "乙" * 100)) == made.shown[1:]


def test_an_announcement_tells_nothing_to_read() -> None:
    """Item, revision, digest, files and instant; no title, no text, no address."""
    made = event.rendition(edition(summary="停水。"), Place(KEY, CANONICAL), FILES)
    told = event.staged(made, 1_700_000_000_000_000)
    assert {"item", "revision", "digest", "assets", "release_at"} == told.keys()
    assert "2023-11-14T22:13:20.000Z" == told["release_at"]
    assert "停水" not in json.dumps({**told, "assets": []}, ensure_ascii=False)


def test_identities_are_of_one_delivery_and_event() -> None:
    """The same whenever asked, another for another delivery or event, and no full stop in it."""
    first = event.identity(KEY.token, event.PUBLISHED)
    assert first == event.identity(KEY.token, event.PUBLISHED)
    another = Key("installation", "other").token
    others = {event.identity(another, event.PUBLISHED), event.identity(KEY.token, event.UPDATED)}
    assert 3 == len({first, *others})
    assert "." not in first and KEY.token not in first


def test_an_editor_is_told_beforehand() -> None:
    """What is missing, what is cut, what is left out."""
    channel = WebhookChannel(outlet(), None)  # type: ignore[arg-type]  # tools are not reached
    assert ["title", "body"] == [one.where for one in channel.check(replace(edition(""), title=" ")) if one.fatal]
    assert [("image", False)] == [(one.where, one.fatal) for one in channel.check(edition())]
    large = channel.check(replace(edition(f"<p>{'水' * 7_000}</p>"), assets=()))
    assert [("body", False)] == [(one.where, one.fatal) for one in large]
    assert [("body", True)] == [(one.where, one.fatal) for one in channel.check(edition("<script>x</script>"))]


# answers


def answer(status: int, body: bytes = b"", **given: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in given.items()}, body)


@pytest.mark.parametrize(
    ("given", "creates", "error"),
    [
        (answer(410), True, Rejected),
        (answer(302, Location="https://elsewhere.example/x"), True, Rejected),
        (answer(304), False, Rejected),
        (answer(503, Retry_After="30"), True, TryLater),
        (answer(503), True, Ambiguous),
        (answer(503), False, TryLater),
        (answer(200, b"\n<!DOCTYPE html><html>Log in</html>"), True, Misbehaved),
    ],
)
def test_what_an_answer_means(given: Answer, creates: bool, error: type[OutletError]) -> None:
    """Gone and redirected are final, unavailable with a time is certain, a page is no answer."""
    with pytest.raises(OutletError) as raised:
        accepted("app", given, 7 * SECOND, creates=creates)
    assert error is type(raised.value)


def test_an_answer_says_whom_to_ask() -> None:
    """410 is for the operator, a redirect names where to, Retry-After counts from now."""
    with pytest.raises(Rejected, match="no longer wants"):
        accepted("app", answer(410), 0, creates=True)
    with pytest.raises(Rejected, match=r"elsewhere\.example"):
        accepted("app", answer(308, Location="https://elsewhere.example/x?token=1"), 0, creates=True)
    with pytest.raises(TryLater) as later:
        accepted("app", answer(503, Retry_After="30"), 7 * SECOND, creates=True)
    assert 37 * SECOND == later.value.not_before


@pytest.mark.parametrize(
    ("body", "url"),
    [
        (b'{"public_url": "https://app.example/1"}', "https://app.example/1"),
        (b"", ""),
        (b"ok", ""),
        (b"[1]", ""),
        (b'{"public_url": 7}', ""),
        (b'{"public_url": "javascript:alert(1)"}', ""),
        (b'{"public_url": "https://app.example/' + b"x" * 3000 + b'"}', ""),
    ],
)
def test_a_page_is_only_what_can_be_one(body: bytes, url: str) -> None:
    """Any 2xx is delivered, whatever its body."""
    accepted("app", answer(202, body), 0, creates=True)
    assert url == page_named(answer(202, body))


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><title>Log in</title>", b" \n<html><body>maintenance</body>"])
def test_a_whole_page_is_no_answer(body: bytes) -> None:
    """A log-in page or a proxy's comes with 200, too; nobody knows whether the receiver was asked."""
    with pytest.raises(Misbehaved, match="whole HTML page"):
        accepted("app", answer(200, body), 0, creates=True)


# shots


class Inner(Shot):
    def __init__(self, at: int, made: list[Inner]) -> None:
        self.at, self.sent, self.closed = at, 0, False
        made.append(self)

    def _fire(self) -> None:
        self.sent += 1

    def settle(self) -> Receipt | Accepted:
        return Receipt("", "", self.at)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def shooting() -> tuple[list[int], list[Inner], Callable[[int], SignedShot]]:
    """The clock, the shots that were signed, and how one is armed for an instant."""
    clock, made = [1_000 * SECOND], list[Inner]()
    return clock, made, lambda at: SignedShot(lambda second: Inner(second, made), at, lambda: clock[0])


Shooting = tuple[list[int], list[Inner], Callable[[int], SignedShot]]
OPEN = Window(5.0, 7.0)


def test_a_shot_is_signed_for_its_instant_and_sent_once(shooting: Shooting) -> None:
    """Armed ahead and checked at once: the signature of the instant stays."""
    clock, made, arm = shooting
    shot = arm(clock[0] + 900 * SECOND)
    shot.check()
    clock[0] += 901 * SECOND
    shot.check()
    shot.send(OPEN, lambda: 5.5)
    assert [(1_900 * SECOND, 1, False)] == [(one.at, one.sent, one.closed) for one in made]
    with pytest.raises(TryLater):
        arm(clock[0]).send(OPEN, lambda: 7.5)
    assert 0 == made[-1].sent


def test_an_old_signature_is_made_anew_at_the_last_check(shooting: Shooting) -> None:
    """The old connection is let go; what leaves is signed for now."""
    clock, made, arm = shooting
    shot = arm(clock[0])
    clock[0] += OLDEST + 1
    shot.check()
    shot.send(OPEN, lambda: 5.5)
    assert [(0, True), (1, False)] == [(one.sent, one.closed) for one in made]
    assert clock[0] == made[1].at == shot.settle().at  # type: ignore[union-attr]  # a receipt


def test_an_old_signature_is_never_sent(shooting: Shooting) -> None:
    """Certainly nothing left: it is armed again."""
    clock, made, arm = shooting
    shot = arm(clock[0])
    clock[0] += OLDEST + 1
    with pytest.raises(TryLater):
        shot.send(OPEN, lambda: 5.5)
    assert [0] == [one.sent for one in made]
