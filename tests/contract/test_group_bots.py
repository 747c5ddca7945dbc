"""Robots of chat groups against their sandboxes: what a group sees, and every trap of the fact sheet."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest

from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    OutletError,
    Place,
    Receipt,
    Rejected,
    Shot,
    TryLater,
    Unauthorised,
)
from sync.model import Edition
from tests.contract.bench import CLOCK, server, window
from tests.contract.bench_group_bots import EDITION, GroupBench

Opening = Callable[[str], GroupBench]
KINDS = ("dingtalk", "feishu", "wecom")
SIGNED = ("dingtalk", "feishu")
MARKS = "甲*乙*_丙_ [丁](https://else.example) <b>戊</b> ~~己~~ `庚`"


@pytest.fixture
def opening(tmp_path: Path) -> Iterator[Opening]:
    """The bench of a kind, on a sandbox of its own."""
    with ExitStack() as stack:
        yield lambda kind: stack.enter_context(
            importlib.import_module(f"tests.contract.bench_{kind}").bench(tmp_path / kind)
        )


def armed(bench: GroupBench, edition: Edition = EDITION, replaces: Receipt | None = None, **settings: str) -> Shot:
    key, bot = bench.key(), bench.set(settings)
    rendition = bot.render(edition, Place(key, bench.canonical(key), replaces))
    shot: Shot = bot.arm(bot.prepare(rendition, key), rendition, key)
    return shot


def said(shot: Shot) -> Receipt:
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    return receipt


def refused(shot: Shot) -> OutletError:
    with pytest.raises(OutletError) as error:
        said(shot)
    return error.value


def asked(bench: GroupBench, given: object, query: str = "", *, form: str = "application/json") -> int:
    """The code that the sandbox answers to a call of anybody's."""
    path = {
        "dingtalk": f"/robot/send?access_token=sandbox-town{query}",
        "feishu": "/open-apis/bot/v2/hook/sandbox-robot-of-the-town",
        "wecom": "/cgi-bin/webhook/send?key=sandbox-town",
    }[bench.made.kind]
    body = given if isinstance(given, bytes) else json.dumps(given, ensure_ascii=False).encode()
    request = urllib.request.Request(bench.sandbox.address + path, body, {"Content-Type": form})
    with urllib.request.urlopen(request, timeout=10) as answer:
        told = json.loads(answer.read())
    return int(told["code"] if bench.made.kind == "feishu" else told["errcode"])


def ding_signed(at: float, key: str = "SEC-sandbox-town") -> str:
    stamp = str(round(at * 1_000))
    sign = base64.b64encode(hmac.digest(key.encode(), f"{stamp}\n{key}".encode(), hashlib.sha256)).decode()
    return f"&{urlencode({'timestamp': stamp, 'sign': sign})}"


def fei_signed(at: float, key: str = "sandbox-town") -> dict[str, str]:
    stamp = str(int(at))
    return {
        "timestamp": stamp,
        "sign": base64.b64encode(hmac.digest(f"{stamp}\n{key}".encode(), b"", hashlib.sha256)).decode(),
    }


# What a group sees


@pytest.mark.parametrize("kind", KINDS)
def test_the_group_sees_title_sentences_address_and_mark(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    receipt = said(armed(bench))
    (seen,) = bench.seen()
    title, *lines = [line for line in seen.splitlines() if line]
    assert (EDITION.title, EDITION.text("summary")) == (title, lines[0])
    assert "https://county.example/2026/11/delivery-1.html" in lines[1]
    assert f"编号 {receipt.ref}" == lines[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_group_sees_marks_of_a_title_as_they_are(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    said(armed(bench, replace(EDITION, title=MARKS)))
    assert MARKS == bench.seen()[0].splitlines()[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_correction_is_another_message_that_says_so(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    said(armed(bench, bench.corrected, said(armed(bench))))
    first, second = bench.seen()
    assert not first.startswith("【更正】") and second.startswith(f"【更正】{bench.corrected.title}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_shown_twice_is_known_by_its_mark(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    bench.sandbox.knob("doubles", account="town")
    receipt = said(armed(bench))
    assert [True, True] == [f"编号 {receipt.ref}" in one for one in bench.seen()]


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_messages_are_two(opening: Opening, kind: str) -> None:
    """There is no idempotency: the same bytes are said again. So the machine never repeats them."""
    bench = opening(kind)
    key = bench.key()
    bot, rendition = bench.channel(), bench.render(key)
    prepared = bot.prepare(rendition, key)
    assert said(bot.arm(prepared, rendition, key)).ref == said(bot.arm(prepared, rendition, key)).ref
    assert 2 == bench.public_copies()


# Who may speak


@pytest.mark.parametrize("kind", SIGNED)
def test_a_wrong_secret_is_told_before_anything_is_said(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    with pytest.raises(Unauthorised):
        bench.channel(secret="guessed").login()


@pytest.mark.parametrize("kind", SIGNED)
def test_a_robot_without_signature_needs_none(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    bench.sandbox.knob("unsigned", account="town")
    key, bot = bench.key(), bench.channel(secret="")
    rendition = bench.render(key)
    said(bot.arm(bot.prepare(rendition, key), rendition, key))
    assert 1 == bench.public_copies()


@pytest.mark.parametrize("kind", SIGNED)
def test_a_signature_is_of_the_time_of_the_call(opening: Opening, kind: str) -> None:
    """Prepared two hours ago, as far as its clock goes: what is said is signed when it is armed."""
    bench = opening(kind)
    key, bot = bench.key(), bench.channel()
    rendition = bench.render(key)
    prepared = bot.prepare(rendition, key)
    late = bench.channel()
    late._tools = replace(bench.tools, now=lambda: CLOCK.now() - 7_200 * SECOND)
    assert isinstance(refused(late.arm(prepared, rendition, key)), Unauthorised)
    said(bench.channel().arm(prepared, rendition, key))


@pytest.mark.parametrize("kind", SIGNED)
def test_a_keyword_that_is_not_set_here_is_told_to_the_operator(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    shot = armed(bench)
    bench.sandbox.knob("keyword", account="town", word="县政府")
    assert isinstance(refused(shot), Unauthorised)
    with pytest.raises(Unauthorised):
        bench.channel().login()
    assert 0 == bench.public_copies()


@pytest.mark.parametrize("kind", SIGNED)
def test_a_keyword_that_is_set_here_is_in_every_message(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    bench.sandbox.knob("keyword", account="town", word="县政府")
    said(armed(bench, keyword="县政府"))
    assert "县政府" in bench.seen()[0]


@pytest.mark.parametrize("kind", SIGNED)
def test_a_robot_that_does_not_know_our_address_refuses(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    bench.sandbox.knob("ip", account="town")
    with pytest.raises(Unauthorised):
        bench.channel().login()


@pytest.mark.parametrize("kind", KINDS)
def test_a_robot_that_was_removed_is_told_to_the_operator(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    shot = armed(bench)
    bench.sandbox.knob("revoke", account="town")
    assert isinstance(refused(shot), Unauthorised)
    assert 0 == bench.public_copies()


# How often


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_too_fast_comes_again_later(opening: Opening, kind: str) -> None:
    """Nothing was said, and the wait is that of the platform."""
    bench = opening(kind)
    shot = armed(bench)
    bench.sandbox.knob("limit", account="town", messages=1, seconds=60)
    error = refused(shot)
    assert isinstance(error, TryLater) and error.not_before is not None
    least, most = {"dingtalk": (590, 600), "feishu": (0, 30), "wecom": (50, 60)}[kind]
    assert least <= (error.not_before - CLOCK.now()) / SECOND <= most
    assert 0 == bench.public_copies()
    bench.sandbox.knob("unlimited", account="town")
    said(armed(bench))


def test_dingtalk_shuts_a_robot_up_that_spoke_too_fast(opening: Opening) -> None:
    """Also once the minute is over, for ten minutes."""
    bench = opening("dingtalk")
    shot, later = armed(bench), armed(bench)
    bench.sandbox.knob("limit", account="town", messages=1, seconds=60)
    refused(shot)
    bench.sandbox.clear()
    assert isinstance(refused(later), TryLater)


@pytest.mark.parametrize(("kind", "most", "code"), [("dingtalk", 20, 130_101), ("wecom", 20, 45_009)])
def test_a_minute_has_room_for_so_many_calls(opening: Opening, kind: str, most: int, code: int) -> None:
    bench = opening(kind)
    message, query = {"msgtype": "text", "text": {"content": "一"}}, ding_signed(time.time())
    codes = [asked(bench, message, query) for _ in range(most + 1)]
    assert [0] * most + [code] == codes


def test_feishu_takes_five_in_a_second(opening: Opening) -> None:
    bench = opening("feishu")
    message = {"msg_type": "text", "content": {"text": "一"}, **fei_signed(time.time())}
    assert 11_232 in [asked(bench, message) for _ in range(30)]


def test_feishu_is_busy_at_the_full_hour(opening: Opening) -> None:
    """It comes again some seconds later, not with all the others."""
    bench = opening("feishu")
    shot = armed(bench)
    bench.sandbox.knob("busy", account="town")
    error = refused(shot)
    assert isinstance(error, TryLater) and error.not_before is not None
    assert 4 <= (error.not_before - CLOCK.now()) / SECOND <= 30


def test_feishu_answers_in_its_first_form(opening: Opening) -> None:
    bench = opening("feishu")
    bench.sandbox.knob("old_answer", account="town")
    said(armed(bench))
    assert 1 == bench.public_copies()


# Doubt, and secrets


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["login_page", "error_body", "cut_body", "reset_body"])
def test_an_answer_that_is_none_leaves_it_in_doubt(opening: Opening, kind: str, fault: str) -> None:
    bench = opening(kind)
    bench.fault(fault, "release")
    assert isinstance(refused(armed(bench)), Ambiguous)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_does_not_come_in_time_leaves_it_in_doubt(opening: Opening, kind: str) -> None:
    bench = opening(kind)
    bench.sandbox.knob("delay", account=f"town {bench.form}", after_ms=6_000)
    assert isinstance(refused(armed(bench)), Ambiguous)
    assert 1 == bench.public_copies()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_no_error_holds_a_secret(opening: Opening, kind: str, status: int) -> None:
    """However the answer repeats what was sent; nor does an error's cause, or a `repr` of anything."""
    bench = opening(kind)
    shot = armed(bench)
    secrets = list(bench.outlet.secrets.values())
    echo = {"errcode": 77, "code": 77, "errmsg": " ".join(secrets), "msg": f"/hook/{secrets[0]}?key={secrets[0]}"}
    bench.sandbox.knob("refuse", account=f"town {bench.form}", status=status, json=echo)
    error: BaseException | None = refused(shot)
    shown = repr(shot) + repr(bench.channel()) + repr(bench.outlet)
    while error is not None:
        shown += f"{error}{error!r}"
        error = error.__cause__ or error.__context__
    assert not [one for one in secrets if one in shown]


@pytest.mark.parametrize("kind", KINDS)
def test_a_platform_that_cannot_be_reached_was_told_nothing(opening: Opening, kind: str) -> None:
    """And the error does not say the address."""
    bench = opening(kind)
    with pytest.raises(TryLater) as error:
        bench.set({"webhook_url": "http://127.0.0.1:1/robot"}).login()
    assert not [one for one in bench.outlet.secrets.values() if one in str(error.value) + repr(error.value.__cause__)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_record_holds_a_secret(opening: Opening, kind: str) -> None:
    """Neither of the sandbox, whose record people show around."""
    bench = opening(kind)
    said(armed(bench))
    text = (bench.sandbox.home / "record.jsonl").read_text()
    assert not [one for one in bench.outlet.secrets.values() if one in text]


# The sandboxes are as strict as the platforms


def test_dingtalk_refuses(opening: Opening) -> None:
    bench = opening("dingtalk")
    now, text = time.time(), {"msgtype": "text", "text": {"content": "一"}}
    bench.sandbox.knob("unlimited", account="town")
    assert 310_000 == asked(bench, text)
    assert 310_000 == asked(bench, text, ding_signed(now, "another"))
    assert 310_000 == asked(bench, text, ding_signed(now - 3_700))
    assert 310_000 == asked(bench, text, ding_signed(now).replace(str(round(now * 1_000)), str(int(now))))
    assert 0 == asked(bench, text, ding_signed(now - 3_500))
    assert 43_004 == asked(bench, text, ding_signed(now), form="text/plain")
    assert 40_035 == asked(bench, b"{", ding_signed(now))
    assert 40_035 == asked(bench, {"msgtype": "markdown", "markdown": {"text": "a"}}, ding_signed(now))
    assert 460_101 == asked(bench, {"msgtype": "text", "text": {"content": "一" * 7_000}}, ding_signed(now))
    card = {"title": "一", "text": "二", "messageUrl": "https://county.example/"}
    assert 0 == asked(bench, {"msgtype": "link", "link": card}, ding_signed(now))
    assert 2 == bench.public_copies()


def test_feishu_refuses(opening: Opening) -> None:
    bench = opening("feishu")
    now, text = time.time(), {"msg_type": "text", "content": {"text": "一"}}
    bench.sandbox.knob("unlimited", account="town")
    assert 19_021 == asked(bench, text)
    assert 19_021 == asked(bench, {**text, **fei_signed(now, "another")})
    assert 19_021 == asked(bench, {**text, **fei_signed(now - 3_700)})
    assert 19_021 == asked(bench, {**text, **fei_signed(now), "timestamp": str(round(now * 1_000))})
    assert 0 == asked(bench, {**text, **fei_signed(now - 3_500)})
    assert 9_499 == asked(bench, b"{")
    assert 9_499 == asked(bench, {**text, **fei_signed(now)}, form="text/plain")
    assert 9_499 == asked(bench, {"msg_type": "text", "content": {"text": "一" * 7_000}, **fei_signed(now)})
    for lines in ([], ["一"], [[{"tag": "a", "text": "一"}]], [[{"tag": "marquee", "text": "一"}]]):
        post = {"post": {"zh_cn": {"title": "一", "content": lines}}}
        assert 9_499 == asked(bench, {"msg_type": "post", "content": post, **fei_signed(now)})
    assert 1 == bench.public_copies()


def test_wecom_refuses(opening: Opening) -> None:
    bench = opening("wecom")
    assert 0 == asked(bench, {"msgtype": "text", "text": {"content": "a" * 2_048}})
    assert 40_058 == asked(bench, {"msgtype": "text", "text": {"content": "a" * 2_049}})
    assert 0 == asked(bench, {"msgtype": "markdown", "markdown": {"content": "a" * 4_096}})
    assert 40_058 == asked(bench, {"msgtype": "markdown", "markdown": {"content": "一" * 1_366}})
    assert 40_058 == asked(bench, {"msgtype": "text", "text": {"content": ""}})
    assert 40_058 == asked(bench, b"[]")
    assert 40_008 == asked(bench, {"msgtype": "poem", "poem": {"content": "a"}})
    assert 2 == bench.public_copies()


def test_wecom_cuts_a_card_without_a_word(opening: Opening) -> None:
    """A title after 128 bytes, which is why the channel sends text."""
    bench = opening("wecom")
    card = {"title": "长" * 50, "description": "述" * 200, "url": "https://county.example/"}
    assert 0 == asked(bench, {"msgtype": "news", "news": {"articles": [card]}})
    assert 40_058 == asked(bench, {"msgtype": "news", "news": {"articles": [card] * 9}})
    (seen,) = bench.seen()
    assert (42, 170) == (seen.count("长"), seen.count("述"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_said_outlives_a_restart(opening: Opening, kind: str, tmp_path: Path) -> None:
    """Messages, and how often was called."""
    home = tmp_path / "again"
    bench = opening(kind)
    with server(f"channels.sandbox.{kind}", home) as sandbox:
        first = type(bench)(sandbox)
        said(armed(first))
        first.close()
    with server(f"channels.sandbox.{kind}", home) as sandbox:
        second = type(bench)(sandbox)
        assert 1 == second.public_copies()
        shot = armed(second)
        sandbox.knob("limit", account="town", messages=3, seconds=60)
        assert isinstance(refused(shot), TryLater)
        second.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_form_that_the_platform_refuses_is_an_editor_s(opening: Opening, kind: str) -> None:
    """Such as a text that is too long by some limit of its own."""
    bench = opening(kind)
    code = {"dingtalk": 460_101, "feishu": 9_499, "wecom": 40_058}[kind]
    bench.sandbox.knob("error_body", account=f"town {bench.form}", json={"errcode": code, "code": code})
    assert isinstance(refused(armed(bench)), Rejected)
