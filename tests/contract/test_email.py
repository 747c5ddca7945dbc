"""What is peculiar to a mailing: heads, both texts, the list kept private, and every letter once."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import count
from pathlib import Path

import pytest

from channels import email as module
from channels.email import EmailChannel
from channels.email_letter import leaving, letter, part_of
from channels.email_settings import CONTROL, MOST, chosen
from sync.clock import SECOND
from sync.contract import (
    Accepted,
    Ambiguous,
    OutletError,
    Place,
    Receipt,
    Rejected,
    Stale,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.ledger import Ledger, Reached
from sync.model import BadInput, Edition, Key, Outlet, Rendition
from tests.contract.bench import CLOCK
from tests.contract.bench_email import EmailBench, bench
from tests.contract.bench_webhook import EDITION

KEY = Key("installation", "delivery-7")
ORIGINAL = "https://county.example/7.html"
READERS = ("li@town.example", "wang@town.example", "zhao@town.example")


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[EmailBench]:
    with bench(tmp_path) as made:
        yield made


def rendered(channel: EmailChannel, edition: Edition = EDITION, replaces: Receipt | None = None) -> Rendition:
    return channel.render(edition, Place(KEY, ORIGINAL, replaces))


def carried(
    mail: EmailBench, channel: EmailChannel, rendition: Rendition | None = None, *, stop: bool = False
) -> Accepted | Receipt:
    """One round, by what was kept before."""
    made = rendition or rendered(channel)
    found = channel.carry(Accepted("", mail.kept), made, KEY, mail.keep, stop=stop)
    if isinstance(found, Accepted):
        mail.kept = dict(found.notes)
    return found


def reached(mail: EmailBench) -> dict[str, str]:
    """What the ledger says of each reader."""
    names = {part_of(KEY, one): one for one in READERS}
    return {names[part]: line.reached.name for part, line in Ledger.read(mail.kept).lines.items()}


def received(mail: EmailBench) -> list[str]:
    return [str(line["recipient"]) for line in mail.letters()]


def raw(mail: EmailBench, number: int = 1) -> bytes:
    """The letter as it came, from the sandbox's page."""
    import urllib.request

    with urllib.request.urlopen(f"{mail.sandbox.address}/town/letters/{number}.eml", timeout=10) as answer:
        return bytes(answer.read())


def opened(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=policy.default)


def made_for(
    channel: EmailChannel, reader: str = READERS[0], edition: Edition = EDITION, **more: Receipt
) -> EmailMessage:
    return opened(letter(channel._set, rendered(channel, edition, **more), KEY, reader, 1_800_000_000 * SECOND))


# ---- letters


def test_each_reader_has_a_letter_of_their_own(mail: EmailBench) -> None:
    """To them alone, in the list's order; nobody is named to another."""
    channel = mail.to(*READERS)
    found = carried(mail, channel)
    assert isinstance(found, Receipt)
    assert list(READERS) == received(mail)
    for number, reader in enumerate(READERS, start=1):
        content = raw(mail, number)
        assert reader == opened(content)["To"]
        assert not [other for other in READERS if other != reader and other.encode() in content]


def test_both_texts_say_the_same(mail: EmailBench) -> None:
    """Title, summary and address of the page, as text and as HTML; the subject is the title."""
    carried(mail, mail.to(READERS[0]))
    read = opened(raw(mail))
    text, html = read.get_body(("plain",)), read.get_body(("html",))
    assert text is not None and html is not None
    for part in (str(text.get_content()), str(html.get_content())):
        for told in (EDITION.title, "12路自12月1日起试运行。", ORIGINAL, "who=li%40town.example"):
            assert told in part
        assert "%LEAVE%" not in part
    assert EDITION.title == read["Subject"]
    assert "multipart/alternative" == read.get_content_type()


def test_the_heads_that_bulk_mail_needs(mail: EmailBench) -> None:
    """List-Id, one click to leave (RFC 8058), and that no person wrote it."""
    read = made_for(mail.to(*READERS))
    heads = {name: str(read[name]) for name in read.keys()}  # noqa: SIM118 - a message is no dictionary
    assert ("<news.example>", "bulk", "auto-generated") == (
        heads["List-Id"],
        heads["Precedence"],
        heads["Auto-Submitted"],
    )
    url = "https://sandbox.example/town/leave?who=li%40town.example"
    assert f"<{url}>, <mailto:leave@sandbox.example>" == heads["List-Unsubscribe"]
    assert "List-Unsubscribe=One-Click" == heads["List-Unsubscribe-Post"]
    assert ("清溪发布 <news@sandbox.example>", "li@town.example") == (heads["From"], heads["To"])
    assert heads["Date"].startswith("Fri, 15 Jan 2027 16:00:00 +0800")


def test_a_list_server_adds_its_own_heads(mail: EmailBench) -> None:
    """One letter to the list's address; what names the list and how to leave it is that server's."""
    channel = mail.to(list_address="list@sandbox.example")
    assert isinstance(carried(mail, channel), Receipt)
    assert ["list@sandbox.example"] == received(mail)
    read = opened(raw(mail))
    assert [] == [name for name in ("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Precedence") if read[name]]


def test_without_an_address_to_leave_by_nothing_is_promised(mail: EmailBench) -> None:
    read = made_for(mail.to(READERS[0], unsubscribe_url="", unsubscribe_mailto=""))
    assert (None, None) == (read["List-Unsubscribe"], read["List-Unsubscribe-Post"])
    assert "退订" not in str(read.get_body(("plain",)))


def test_the_same_letter_has_the_same_id_for_ever(mail: EmailBench) -> None:
    """By edition and reader: another delivery of it says the same, another edition or reader another."""
    channel = mail.to(*READERS)
    ids = [
        made_for(channel)["Message-ID"],
        made_for(channel, READERS[1])["Message-ID"],
        made_for(channel, READERS[0], mail.corrected)["Message-ID"],
    ]
    assert 3 == len(set(ids))
    again = letter(channel._set, rendered(channel), Key("installation", "another"), READERS[0], 0)
    assert ids[0] == opened(again)["Message-ID"]
    elsewhere = letter(channel._set, rendered(channel), Key("other", "delivery-7"), READERS[0], 0)
    assert ids[0] != opened(elsewhere)["Message-ID"]
    assert all("li" not in str(one).partition("@")[0] for one in ids[:1])


def test_a_correction_says_so_and_refers_to_what_it_corrects(mail: EmailBench) -> None:
    channel = mail.to(*READERS)
    there = Receipt("item-1/1", "", 0, {"revision": "1"})
    read = made_for(channel, READERS[0], mail.corrected, replaces=there)
    assert str(read["Subject"]).startswith("更正：")
    assert made_for(channel)["Message-ID"] == read["References"]
    text = read.get_body(("plain",))
    assert text is not None
    assert str(text.get_content()).startswith("【更正】")
    unknown = made_for(channel, READERS[0], mail.corrected, replaces=Receipt("", "", 0))
    assert (True, None) == (str(unknown["Subject"]).startswith("更正："), unknown["References"])


@pytest.mark.parametrize(
    "title",
    [
        "通告\r\nBcc: x@evil.example",
        "通告\nX-Evil: 1",
        "通告\x00\x1b[2J\u2028Bcc: x@evil.example",
        "通告" * 400,
        "<b>&\"'",
    ],
)
def test_no_title_adds_a_head(mail: EmailBench, title: str) -> None:
    """Whatever it holds, it is one line of one head, and text in the texts."""
    channel = mail.to(READERS[0])
    usual = made_for(channel).keys()
    edition = replace(EDITION, title=title)
    content = letter(channel._set, rendered(channel, edition), KEY, READERS[0], 0)
    read = opened(content)
    assert usual == read.keys()
    assert not re.search(rb"(?m)^(Bcc|X-Evil):", content)
    assert "evil" not in str(read["To"])
    assert not CONTROL.search(str(read["Subject"]))
    html = read.get_body(("html",))
    assert html is not None
    assert "<b>" not in str(html.get_content())
    with suppress(Rejected):
        carried(mail, channel, rendered(channel, edition))
    assert [READERS[0]] == received(mail)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from", "news@qingxi.example\r\nRCPT TO:<x@evil.example>"),
        ("from", "清溪 <news@qingxi.example>"),
        ("from_name", "清溪\r\nBcc: x@evil.example"),
        ("list_address", "list@qingxi.example>\r\nDATA"),
        ("list_id", "news.example>\r\nBcc: x@evil.example"),
        ("unsubscribe_url", "https://qingxi.example/\r\nBcc: x"),
        ("unsubscribe_url", "http://qingxi.example/leave"),
        ("unsubscribe_mailto", "leave@qingxi.example, x@evil.example"),
        ("host", "mail.example:587"),
        ("host", ""),
        ("port", "five"),
        ("port", "70000"),
        ("security", "ssl"),
    ],
)
def test_no_setting_adds_a_head_or_a_command(mail: EmailBench, name: str, value: str) -> None:
    with pytest.raises(BadInput, match=name):
        mail.to(READERS[0], **{name: value})


@pytest.mark.parametrize(
    "line", ["李 <li@town.example>", "li@town.example, wang@town.example", "li@", "李@town.example"]
)
def test_a_line_that_is_no_address_is_told_by_its_number(mail: EmailBench, line: str) -> None:
    """And not repeated: it may be somebody's address all the same."""
    with pytest.raises(BadInput, match="line 3") as refused:
        mail.to("# readers", READERS[0], line)
    assert line not in str(refused.value)


def test_the_list_is_read_with_its_comments_and_each_address_once(mail: EmailBench) -> None:
    channel = mail.to("# 读者", "", " li@town.example ", "li@TOWN.example", "Li@town.example")
    assert ("li@town.example", "Li@town.example") == channel._set.recipients
    with pytest.raises(BadInput, match=str(MOST)):
        mail.to(*(f"reader-{number}@town.example" for number in range(MOST + 1)))


# ---- private


def test_who_reads_it_is_nowhere_but_with_the_server(mail: EmailBench) -> None:
    """Not in the rendition, the ledger, the receipt, an error, or what is printed of the channel."""
    channel = mail.to(*READERS, "unknown-1@town.example")
    rendition = rendered(channel)
    found = carried(mail, channel, rendition)
    assert isinstance(found, Receipt)
    shown = f"{rendition!r}{mail.kept}{found!r}{channel._set!r}{channel._set.server!r}{channel.preview(rendition)}"
    with pytest.raises(Unsupported) as raised:
        channel.verify(found, rendition)
    shown += str(raised.value)
    assert [] == [one for one in (*READERS, "unknown-1", "sandbox-town") if one in shown]
    assert ("3 of 4" in str(raised.value), "4 (550)" in str(raised.value)) == (True, True)


def test_what_is_approved_is_this_very_list(mail: EmailBench) -> None:
    """Another list is another rendition, and what was prepared for the old one is stale."""
    channel, longer = mail.to(*READERS), mail.to(*READERS, "sun@town.example")
    before = rendered(channel)
    assert before.digest != rendered(longer).digest
    assert before.digest == rendered(mail.to(*reversed(READERS))).digest
    prepared = channel.prepare(before, KEY)
    channel.arm(prepared, before, KEY).close()
    with pytest.raises(Stale):
        longer.arm(prepared, before, KEY)


# ---- once


def test_greylisted_readers_get_it_later_and_once(mail: EmailBench) -> None:
    mail.sandbox.knob("answer", method="RCPT", path=READERS[1], code=450, text="4.2.1 greylisted")
    channel = mail.to(*READERS)
    found = carried(mail, channel)
    assert isinstance(found, Accepted) and found.again_at is not None
    assert found.again_at > CLOCK.now()
    assert [READERS[0], READERS[2]] == received(mail)
    assert {READERS[0]: "TAKEN", READERS[1]: "LATER", READERS[2]: "TAKEN"} == reached(mail)
    lines = Ledger.read(mail.kept)
    part = part_of(KEY, READERS[1])
    mail.kept = lines.with_line(part, replace(lines.lines[part], due=0)).notes()
    assert isinstance(carried(mail, channel), Receipt)
    assert [READERS[0], READERS[2], READERS[1]] == received(mail)


def test_a_server_that_answers_no_letter_is_left_alone(mail: EmailBench) -> None:
    """It logs us in, takes a whole letter and says nothing: that reader is in doubt, and the round ends as one at a
    dead server, so that not everybody comes into doubt. What was learnt is kept, and the others have theirs later."""
    mail.sandbox.knob("drop", method="END", path=READERS[0], applied=False)
    clock = count(CLOCK.now(), 8 * SECOND)  # each look at it is eight seconds later: a round has room for one letter
    usual, mail.tools = mail.tools, replace(mail.tools, now=clock.__next__)
    with pytest.raises(TryLater, match="answered no letter") as later:
        carried(mail, mail.to(*READERS))
    mail.tools = usual
    assert None is later.value.not_before  # whoever names a time is not dead
    assert {READERS[0]: "DOUBTFUL"} == {one: how for one, how in reached(mail).items() if how != "NOT_YET"}
    with pytest.raises(Ambiguous):
        carried(mail, mail.to(*READERS))
    assert list(READERS[1:]) == received(mail)


@pytest.mark.parametrize("applied", [True, False], ids=["taken", "not taken"])
def test_a_connection_lost_after_the_letter_leaves_that_reader_in_doubt(mail: EmailBench, applied: bool) -> None:
    """The others get theirs; that one is never written to again by the machine, and a person is told which line."""
    mail.sandbox.knob("drop", method="END", path=READERS[1], applied=applied)
    channel = mail.to(*READERS)
    with pytest.raises(Ambiguous, match=r": 2$"):
        carried(mail, channel)
    assert {READERS[0]: "TAKEN", READERS[1]: "DOUBTFUL", READERS[2]: "TAKEN"} == reached(mail)
    with pytest.raises(Ambiguous):
        carried(mail, channel)
    assert (3 if applied else 2) == len(received(mail))
    mail.kept = Ledger.read(mail.kept).decided().notes()  # a person found that nothing came
    assert isinstance(carried(mail, channel), Receipt)
    assert [1, 2 if applied else 1, 1] == [received(mail).count(one) for one in READERS]


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_a_connection_lost_before_the_letter_is_whole_loses_nothing(mail: EmailBench, stage: str) -> None:
    """Certainly not taken: later, and on another connection the others at once."""
    path = READERS[1] if stage != "MAIL" else "*"
    mail.sandbox.knob("drop", method=stage, path=path)
    channel = mail.to(*READERS)
    found = carried(mail, channel)
    assert isinstance(found, Accepted)
    assert (2, 1) == (len(received(mail)), list(reached(mail).values()).count("LATER"))


def test_refused_for_good_is_told_by_line_and_never_tried_again(mail: EmailBench) -> None:
    channel = mail.to(READERS[0], "unknown-1@town.example", READERS[2])
    found = carried(mail, channel)
    assert isinstance(found, Receipt)
    assert "2 (550)" in found.notes["told"]
    asked = [line for line in mail.sandbox.record() if line["method"] == "RCPT"]
    carried(mail, channel)
    assert asked == [line for line in mail.sandbox.record() if line["method"] == "RCPT"]


def test_a_letter_that_the_server_will_not_have_is_nobodys(mail: EmailBench) -> None:
    mail.sandbox.knob("answer", method="END", code=554, text="5.7.1 spam", times=0)
    with pytest.raises(Rejected, match="554"):
        carried(mail, mail.to(*READERS))
    assert [] == received(mail)


def test_a_slow_server_takes_several_rounds(mail: EmailBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round ends after its time; the next goes on with who is left."""
    monkeypatch.setattr(module, "ROUND", SECOND // 2)
    mail.sandbox.knob("slow", method="END", seconds=0.3, times=0)
    channel, rounds = mail.to(*READERS), 1
    while isinstance(found := carried(mail, channel), Accepted):
        rounds += 1
    assert isinstance(found, Receipt)
    assert rounds > 1
    assert list(READERS) == received(mail)


def test_a_server_that_announces_its_end_is_left_alone_soon(mail: EmailBench) -> None:
    """421 again and again: after three connections the round is over, and nobody is in doubt."""
    mail.sandbox.knob("answer", method="RCPT", code=421, text="4.3.2 closing", times=0)
    readers = [f"reader-{number}@town.example" for number in range(9)]
    with pytest.raises(TryLater, match="again and again"):
        carried(mail, mail.to(*readers))
    assert {Reached.LATER, Reached.NOT_YET} == set(Ledger.read(mail.kept).count())
    assert 3 == Ledger.read(mail.kept).count()[Reached.LATER]


@pytest.mark.parametrize(
    ("knob", "error"),
    [
        ({"fault": "answer", "method": "AUTH", "code": 535, "times": 2}, Unauthorised),  # PLAIN, then LOGIN
        ({"fault": "answer", "method": "CONNECT", "code": 421}, TryLater),
        ({"fault": "drop", "method": "CONNECT"}, TryLater),
        ({"fault": "answer", "method": "MAIL", "code": 550}, Unauthorised),
    ],
)
def test_a_server_that_does_not_let_us_in_concerns_no_reader(
    mail: EmailBench, knob: Mapping[str, str | int], error: type[OutletError]
) -> None:
    mail.sandbox.knob(str(knob["fault"]), **{name: value for name, value in knob.items() if name != "fault"})
    channel = mail.to(*READERS)
    with pytest.raises(error):
        carried(mail, channel)
    assert not {"DOUBTFUL", "REFUSED", "LATER", "BEGUN"} & set(reached(mail).values())
    assert isinstance(carried(mail, channel), Receipt)
    assert list(READERS) == received(mail)


def test_stopped_it_writes_to_nobody_more(mail: EmailBench) -> None:
    """Without a word to the server; what was sent is told."""
    mail.sandbox.knob("answer", method="RCPT", path=READERS[2], code=450)
    channel = mail.to(*READERS)
    carried(mail, channel)
    lines = len(mail.sandbox.record())
    found = carried(mail, channel, stop=True)
    assert isinstance(found, Receipt)
    assert ("2 of 3" in found.notes["told"], lines) == (True, len(mail.sandbox.record()))
    mail.kept = {}
    with pytest.raises(Rejected, match="nobody"):
        carried(mail, channel, stop=True)


def test_who_left_the_list_meanwhile_is_not_written_to(mail: EmailBench) -> None:
    """Nor is somebody who joined: what was approved is who was on it."""
    mail.sandbox.knob("answer", method="RCPT", path=READERS[1], code=450)
    rendition = rendered(mail.to(*READERS))
    carried(mail, mail.to(*READERS), rendition)
    now = mail.to(READERS[0], READERS[2], "sun@town.example")
    assert isinstance(carried(mail, now, rendition), Receipt)
    assert [READERS[0], READERS[2]] == received(mail)


# ---- settings


def test_without_recipients_it_says_so_before_anything(mail: EmailBench) -> None:
    with pytest.raises(Unauthorised, match="no recipients"):
        mail.to().login()


def test_a_public_server_on_another_port_is_refused_by_name(mail: EmailBench) -> None:
    from sync.clock import SystemClock
    from sync.http import Http
    from sync.smtp import Smtp

    strict = Smtp(Http(private_network=False, now=SystemClock().now), private_network=False)
    channel = EmailChannel(mail.outlet, replace(mail.tools, mail=strict.submission))
    with pytest.raises(Unauthorised, match="port"):
        channel.login()


def test_the_twin_speaks_to_the_sandbox_only() -> None:
    """Its server, account and readers; of what is configured only names are kept."""
    configured = {
        "host": "mail.qingxi.gov.cn",
        "from": "news@qingxi.gov.cn",
        "from_name": "清溪发布",
        "username": "real",
    }
    for more in ({}, {"list_address": "list@qingxi.gov.cn"}):
        live = Outlet("town", "unit", "email", {**configured, **more}, {"recipients": "li@town.example"}, live=True)
        twin = EmailChannel.twin(live, "http://127.0.0.1:9001", "")
        told = chosen(twin)
        assert ("127.0.0.1", 9001, "none") == (told.server.host, told.server.port, told.server.security)
        shown = str(twin.settings) + str(twin.secrets)
        assert ("qingxi.gov.cn" not in shown, "li@town" not in shown, twin.live) == (True, True, False)
        assert told.recipients
        assert leaving(told, told.recipients[0]).startswith("https://sandbox.example/")


def test_bodies_leave_in_seven_bits(mail: EmailBench) -> None:
    """Whatever the relay can do, nothing is changed on the way."""
    carried(mail, mail.to(READERS[0]))
    content = raw(mail)
    assert content.isascii()
    assert max(map(len, content.splitlines())) <= 998
    part = opened(content).get_body(("plain",))
    assert part is not None
    assert base64.b64decode(str(part.get_payload())).decode().splitlines() == str(part.get_content()).splitlines()
