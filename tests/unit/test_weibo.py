"""The pure parts of the Weibo channel: what fits, what is refused beforehand, what a code means, where a link leads."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from PIL import Image

from channels import brief
from channels import weibo_text as text
from channels.picture import Picture
from channels.weibo import WeiboChannel
from channels.weibo_account import Account, ident
from channels.weibo_address import mid_of
from channels.weibo_api import CALLS, CODES, SHARE, Step, decoded, error_code, failure
from channels.weibo_form import form, multipart
from channels.weibo_probe import LAGS
from channels.weibo_public import Public, is_deleted, plain, without_links
from channels.weibo_settings import chosen
from sync.answer import Answer
from sync.clock import SECOND
from sync.contract import (
    Ambiguous,
    Misbehaved,
    OutletError,
    Place,
    Receipt,
    Rejected,
    Response,
    Shot,
    Tools,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import Asset, AssetRole, BadInput, Edition, Key, Outlet, Problem, Token, sha256
from sync.render import Templates

NOW = 1_795_450_000 * SECOND  # 2026-11-23 16:06:40 UTC
HOUR = 3600 * SECOND
PAGES = Templates()
DOMAIN = ("county.example",)
CANONICAL = "https://county.example/2026/11/12.html"
SETTINGS = {"safe_domain": "county.example", "client_ip": "211.156.0.1"}
KEY = Key("installation", "delivery")


class Answers:
    """An egress that has an answer for each address; asking for another one is an error."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def call(self, method: str, url: str, **given: object) -> Response:
        self.asked.append(url)
        return self.answers[url]

    def read(self, url: str) -> Response:
        self.asked.append(url)
        return self.answers[url]

    def shot(self, method: str, url: str, **given: object) -> Shot:
        raise AssertionError("nothing is sent here")


def leads_to(address: str) -> Answer:
    return Answer(302, {"Location": address}, b"")


def edition(
    title: str = "停水通知", body: str = "<p></p>", *assets: Asset, **metadata: str | tuple[str, ...]
) -> Edition:
    return Edition("item", 1, title, body, metadata, assets)


def composed(given: Edition) -> str:
    return text.compose(PAGES, given, CANONICAL)


def channel(blobs: Mapping[str, bytes] | None = None, settings: Mapping[str, str] = SETTINGS) -> WeiboChannel:
    outlet = Outlet("county", "unit", "weibo", settings, {"access_token": "2.00token"}, live=True)
    return WeiboChannel(outlet, Tools(Answers({}), (blobs or {}).__getitem__, PAGES, lambda: NOW))


# length


@pytest.mark.parametrize("written", ["自12月1日起，12路试运行。", "“引号”——…％＃ abc", "é ü 한 か"])
def test_length_is_that_of_gbk(written: str) -> None:
    """A Chinese character two, a letter one; what GBK lacks counts as much as a Chinese character."""
    assert len(written.encode("gbk", "replace").replace(b"?", b"??")) == text.units(written)


@pytest.mark.parametrize(
    ("link", "units"),
    [
        ("https://a.example/", 20),
        ("https://county.example/" + "x" * 117, 20),
        ("https://county.example/" + "x" * 120, 23),
    ],
)
def test_a_link_counts_as_a_short_one(link: str, units: int) -> None:
    """Ten characters, whatever its length up to 140; what is beyond is added."""
    assert units + 4 == text.units(f"见 {link} ")


def test_an_emoji_counts_four() -> None:
    """Two for each half of what it is in UTF-16."""
    assert 4 == text.units("🚌")


def test_the_margin_stays_free() -> None:
    """As the vendor's programs leave it: 130 characters and not one more."""
    for size in range(95, 125):
        written = composed(edition(summary="甲" * size + "。"))
        assert text.units(written) <= 260
    assert "甲" not in written
    most = (260 - text.units("【停水通知】。") - 22) // 2
    assert f"【停水通知】{'甲' * most}。 {CANONICAL} " == composed(edition(summary="甲" * most + "。"))
    assert f"【停水通知】 {CANONICAL} " == composed(edition(summary="甲" * (most + 1) + "。"))


def test_a_title_is_never_cut() -> None:
    """Told before anything is sent, and refused when nobody listened."""
    assert [] == [*text.problems(PAGES, edition("题" * 117), DOMAIN)]
    assert [("title", True)] == [(p.where, p.fatal) for p in text.problems(PAGES, edition("题" * 118), DOMAIN)]
    with pytest.raises(Unsupported):
        composed(edition("题" * 118))


# text


def test_a_space_follows_every_address() -> None:
    """What stands behind it would become part of the link; where there is white space already, nothing is added."""
    assert "见 https://a.example/x ，或https://a.example/y z https://a.example/z " == text.spaced(
        "见 https://a.example/x，或https://a.example/y z https://a.example/z"
    )


def test_the_address_itself_is_not_parted() -> None:
    """However the characters behind it look."""
    link = "https://county.example/a.html?x=1&y=2#z"
    assert f"{link} ）" == text.spaced(f"{link}）")


def test_topics_are_left_out() -> None:
    """Weibo takes none from ordinary applications."""
    written = composed(edition(summary="今晚停水。", topics=("供水", "便民")))
    assert f"【停水通知】今晚停水。 {CANONICAL} " == written


def test_topics_are_left_out_of_an_installations_own_template_too(tmp_path: Path) -> None:
    """Whatever it asks for."""
    (tmp_path / "weibo").mkdir()
    (tmp_path / "weibo" / "status.txt").write_text("{{ title }} {{ tags | join(' ') }} {{ link }}")
    own = Templates(own=tmp_path)
    assert "#" not in text.compose(own, edition(topics=("供水", "便民")), CANONICAL)


def test_a_title_in_brackets_has_them_once() -> None:
    """As titles of notices often are."""
    assert f"【提醒】今晚停水 {CANONICAL} " == composed(edition("【提醒】今晚停水"))
    assert f"【提醒】今晚停水 八时起。 {CANONICAL} " == composed(edition("【提醒】今晚停水", summary="八时起。"))


def test_paragraphs_become_one_line() -> None:
    """Without a summary the body speaks."""
    written = composed(edition(body="<h2>一、时间</h2><p>今晚八时。</p><p>特此通知。</p>"))
    assert f"【停水通知】一、时间 今晚八时。 特此通知。 {CANONICAL} " == written


@pytest.mark.parametrize(
    ("title", "summary", "where"),
    [
        ("#便民# 停水", "今晚。", "title"),
        ("停水", "关于#停水#的通知。", "summary"),
        ("12#楼停水", "13#楼不停。", "summary"),
    ],
)
def test_what_would_be_a_topic_is_told(title: str, summary: str, where: str) -> None:
    """Also one that two house numbers make; it is not replaced by another sign, which would be another text."""
    found = [*text.problems(PAGES, edition(title, summary=summary), DOMAIN)]
    assert [(where, True)] == [(problem.where, problem.fatal) for problem in found]
    with pytest.raises(Unsupported, match="topic"):
        channel().render(edition(title, summary=summary), Place(KEY, CANONICAL))


def test_one_number_sign_is_no_topic() -> None:
    """It takes two; the second may be the address's own."""
    alone = edition("12#楼停水", summary="今晚。")
    assert [] == [*text.problems(PAGES, alone, DOMAIN)]
    channel().render(alone, Place(KEY, CANONICAL))
    with pytest.raises(Unsupported, match="topic"):
        channel().render(alone, Place(KEY, f"{CANONICAL}#more"))


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("https://county.example/1", True),
        ("https://WWW.County.example/1", True),
        ("https://notcounty.example/1", False),
        ("https://county.example.evil.example/1", False),
        ("https://county.example@evil.example/1", False),
        ("https://t.cn/A6x", False),
    ],
)
def test_the_safe_domain_is_that_of_the_host(address: str, inside: bool) -> None:
    """Below it is fine; looking like it is not."""
    assert inside is text.bound(address, DOMAIN)


def test_an_address_off_the_safe_domain_is_unsupported() -> None:
    """The domain and the address are named."""
    with pytest.raises(Unsupported, match=r"county\.example.*https://www\.other\.example/1"):
        channel().render(edition(), Place(KEY, "https://www.other.example/1"))
    with pytest.raises(Unsupported, match="canonical"):
        channel().render(edition(), Place(KEY, None))


def test_several_safe_domains() -> None:
    """An application may have more than one."""
    made = channel(settings={**SETTINGS, "safe_domain": "county.example，town.example"})
    for host in ("county", "town"):
        made.render(edition(), Place(KEY, f"https://{host}.example/1"))


def test_a_link_to_somewhere_else_is_told() -> None:
    """The rule is about every link of the text."""
    told = [*text.problems(PAGES, edition(summary="见 https://www.gov.example/1 。"), DOMAIN)]
    assert [("summary", True)] == [(problem.where, problem.fatal) for problem in told]
    assert "https://www.gov.example/1" in told[0].message
    assert [] == [*text.problems(PAGES, edition(summary="见 https://bus.county.example/1 。"), DOMAIN)]


def test_an_address_that_is_no_single_link_is_unsupported() -> None:
    """Weibo would link a part of it."""
    with pytest.raises(Unsupported, match="one link"):
        channel().render(edition(), Place(KEY, "https://county.example/通知.html"))


def test_without_a_title_nothing_is_composed() -> None:
    """One problem, and no other that follows from it."""
    assert ["title"] == [problem.where for problem in text.problems(PAGES, edition(" "), DOMAIN)]


def test_the_same_place_gives_the_same_rendition() -> None:
    """Byte for byte: a text that is sent again is the one that was sent."""
    given = edition(summary="今晚停水。")
    one, two = (channel().render(given, Place(KEY, CANONICAL)) for _ in range(2))
    assert one == two
    assert (Token("text", f"【停水通知】今晚停水。 {CANONICAL}"), Token("link", CANONICAL)) == one.shown


# pictures


def picture(form_: str = "PNG", frames: int = 1) -> bytes:
    file = io.BytesIO()
    images = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "green")[:frames]]
    images[0].save(file, form_, **({"save_all": True, "append_images": images[1:]} if frames > 1 else {}))
    return file.getvalue()


def asset(content: bytes, media_type: str, role: AssetRole = AssetRole.IMAGE) -> Asset:
    return Asset(sha256(content), media_type, len(content), f"{role}.bin", role)


def checked(*contents: tuple[bytes, str, AssetRole]) -> list[Problem]:
    assets = [asset(*one) for one in contents]
    return channel({sha256(one[0]): one[0] for one in contents}).check(edition("停水通知", "<p>正文</p>", *assets))


def test_one_picture_goes_and_the_others_are_told() -> None:
    """The cover first."""
    found = checked(
        (picture("PNG"), "image/png", AssetRole.IMAGE),
        (picture("JPEG"), "image/jpeg", AssetRole.COVER),
        (picture("BMP"), "image/bmp", AssetRole.IMAGE),
    )
    assert [("images", False)] == [(problem.where, problem.fatal) for problem in found]
    assert "其余 2 张" in found[0].message
    image, cover = (asset(b"1", "image/png"), asset(b"2", "image/jpeg", AssetRole.COVER))
    assert (cover,) == text.picture(edition("标题", "", image, cover))


@pytest.mark.parametrize(("frames", "fatal"), [(1, []), (3, [True])])
def test_a_moving_picture_is_refused_beforehand(frames: int, fatal: list[bool]) -> None:
    """What becomes of it cannot be read back."""
    assert fatal == [p.fatal for p in checked((picture("GIF", frames), "image/gif", AssetRole.IMAGE))]


# settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_ip", ""),
        ("client_ip", "192.168.1.4"),
        ("client_ip", "100.64.0.1"),
        ("client_ip", "2400:3200::1"),
        ("client_ip", "gov.example"),
        ("safe_domain", "https://county.example"),
        ("safe_domain", ","),
        ("safe_domain", "county"),
        ("api_base", "api.weibo.com"),
        ("page_base", "https://[m.weibo.cn"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(name: str, value: str) -> None:
    """By their name, when the outlet is set up; the token is in no text."""
    with pytest.raises(BadInput) as caught:
        channel(settings={**SETTINGS, name: value})
    assert name == caught.value.where
    assert "2.00token" not in str(caught.value)


def test_the_twin_keeps_nothing_of_the_configured_host() -> None:
    """Addresses, token, domain and address of the operator are a sandbox's; it is never live."""
    real = Outlet(
        "town", "unit", "weibo", {**SETTINGS, "api_base": "https://c.api.weibo.com"}, {"access_token": "real"}
    )
    twin = WeiboChannel.twin(replace(real, live=True), "http://127.0.0.1:1", "/tmp/x")
    base = "http://127.0.0.1:1"
    assert {"api_base": base, "page_base": base, "client_ip": "211.156.0.1"} == dict(twin.settings)
    assert {"access_token": "sandbox-town"} == dict(twin.secrets)
    assert (False, True, ()) == (twin.live, twin.private_network, chosen(twin).domains)


# codes


def failed(code: int, step: Step = Step.POST, reset: int | None = None) -> OutletError:
    return failure(code, "county: weibo share (some words)", step, NOW, reset)


POSTS: list[tuple[int, type[OutletError]]] = [
    *((code, Ambiguous) for code in (10001, 10002, 10003, 10009, 10010, 10011, 20014, 20032, 99999)),
    *((code, TryLater) for code in (10004, 10022, 10023, 10024, 20016)),
    *((code, Unauthorised) for code in (10005, 10013, 10014, 20003, 20023, 20031, 20033, 21321, 21335)),
    *((code, Unauthorised) for code in (*range(21301, 21306), *range(21314, 21318), 21319, 21325, 21327, 21332)),
    *((code, Rejected) for code in (10006, 10007, 10008, 10012, 10016, 10017, 10018, 10020, 10021)),
    *((code, Rejected) for code in (20005, 20006, 20007, 20008, 20012, 20013, 20018, 20020, 20021, 20112, 20121)),
    *((code, Ambiguous) for code in (20017, 20019, 20111)),
]


@pytest.mark.parametrize(("code", "kind"), POSTS)
def test_a_code_after_posting(code: int, kind: type[OutletError]) -> None:
    """Only what certainly was not posted is anything but Ambiguous; the code is named."""
    assert (kind, True) == (type(failed(code)), f"error_code {code}" in str(failed(code)))


def test_every_code_of_the_fact_sheet_is_known() -> None:
    """None falls to "unknown" by being forgotten."""
    assert set() == {code for code, _ in POSTS} - set(CODES) - {99999}


@pytest.mark.parametrize(
    ("code", "step", "kind"),
    [
        (10001, Step.READ, TryLater),
        (10001, Step.DELETE, TryLater),
        (10023, Step.READ, TryLater),
        (10017, Step.READ, Misbehaved),
        (10017, Step.DELETE, Rejected),
        (20102, Step.DELETE, Rejected),
        (21327, Step.READ, Unauthorised),
        (99999, Step.READ, Misbehaved),
        (99999, Step.DELETE, Misbehaved),
    ],
)
def test_a_code_after_reading_or_deleting(code: int, step: Step, kind: type[OutletError]) -> None:
    """A question says nothing of our content; a deletion may be repeated."""
    assert kind is type(failed(code, step))


@pytest.mark.parametrize(
    ("code", "not_before", "of"),
    [
        (10022, 1_795_453_200 * SECOND, CALLS),
        (20016, NOW + HOUR, SHARE),
        (10023, NOW + 5 * HOUR, CALLS),
        (10024, NOW + 5 * HOUR, SHARE),
    ],
)
def test_limits_name_their_end(code: int, not_before: int, of: str) -> None:
    """The next full hour, an hour from now, or the reset that was asked for; and which calls have to wait."""
    error = failed(code, reset=NOW + 5 * HOUR)
    assert isinstance(error, TryLater)
    assert (not_before, of) == (error.not_before, error.of)
    unknown = failed(10023)
    assert isinstance(unknown, TryLater) and NOW + HOUR == unknown.not_before


@pytest.mark.parametrize("code", [21301, 21327, 21332])
def test_a_dead_token_says_what_a_person_has_to_do(code: int) -> None:
    """Nothing renews it by itself."""
    assert "re-authorise" in str(failed(code))


def test_a_code_may_be_a_string() -> None:
    """Numbers and numeric strings are one."""
    assert [20019, 20019, 0] == [error_code(told) for told in ({"error_code": 20019}, {"error_code": "20019"}, {})]
    for odd in ("x", None, True, "-1", "²", 1.5):
        with pytest.raises(Misbehaved):
            error_code({"error_code": odd})


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [(200, "text/html", b"<p>log in</p>"), (200, "application/json", b"[]"), (400, "application/json", b"{}")],
)
def test_an_answer_of_another_shape_is_no_success(status: int, content_type: str, body: bytes) -> None:
    """After posting it may have happened."""
    with pytest.raises(Misbehaved):
        decoded(Answer(status, {"Content-Type": content_type}, body))


def test_ids_are_read_as_text() -> None:
    """The vendor's own example has two different numbers."""
    assert "3504803600502730" == ident({"id": 3504803600500000, "idstr": "3504803600502730"})
    assert "3504803600502730" == ident({"id": 3504803600500000, "mid": "3504803600502730"})
    with pytest.raises(Misbehaved):
        ident({"id": 3504803600500000})


def test_a_notice_in_a_posts_place_is_no_post() -> None:
    """By its mark, or by its text alone; a post that quotes it is one."""
    assert is_deleted({"text": "此微博已被原作者删除。"}) and is_deleted({"text": "x", "deleted": "1"})
    assert not is_deleted({"text": "此微博已被原作者删除。后又恢复", "deleted": "0"})


# the token


def account(told: str) -> Account:
    """One whose token is told of like this."""
    answers = Answers({"https://api.weibo.com/oauth2/get_token_info": Answer(200, {}, told.encode())})
    return Account(answers, "county", "https://api.weibo.com", "2.00token", lambda: NOW)


@pytest.mark.parametrize(
    ("told", "expires"),
    [
        ('{"uid":1,"expire_in":77}', NOW + 77 * SECOND),
        ('{"uid":1,"expire_in":"77"}', NOW + 77 * SECOND),
        ('{"uid":1,"expires_in":77}', NOW + 77 * SECOND),
        ('{"uid":1}', None),
        ('{"uid":1,"expire_in":"soon"}', None),
    ],
)
def test_when_a_token_ends(told: str, expires: int | None) -> None:
    """Under the name of today, and that of the page before; unknown is not "never"."""
    assert expires == account(told).expires()


@pytest.mark.parametrize("left", ["0", "-5", '"-5"'])
def test_a_token_without_time_left_has_ended(left: str) -> None:
    """However friendly the answer."""
    with pytest.raises(Unauthorised, match="re-authorise"):
        account(f'{{"uid":1,"expire_in":{left}}}').expires()


# the request

FIELDS = {"access_token": "2.00token", "status": "【停水】100% & a+b ", "rip": "211.156.0.1"}


def test_a_form_is_encoded_once() -> None:
    """Twice would publish percent signs."""
    media_type, body = form(FIELDS)
    assert media_type.startswith("application/x-www-form-urlencoded")
    assert FIELDS == {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}


def test_a_picture_goes_along_in_one_body() -> None:
    """Read by somebody else's parser: the fields as they are, the picture byte for byte; the same again is the same."""
    content = picture("PNG") + b"\r\n--\r\n"
    media_type, body = multipart(FIELDS, "pic", Picture(content, "image/png"))
    assert (media_type, body) == multipart(FIELDS, "pic", Picture(content, "image/png"))
    parsed = message_from_bytes(f"Content-Type: {media_type}\r\n\r\n".encode() + body, policy=HTTP)
    parts = {str(part.get_param("name", header="content-disposition")): part for part in parsed.iter_parts()}
    payloads = {name: part.get_payload(decode=True) for name, part in parts.items()}
    assert {**{name: value.encode() for name, value in FIELDS.items()}, "pic": content} == payloads
    assert ("image/png", "pic.png") == (parts["pic"].get_content_type(), parts["pic"].get_filename())


# addresses

KNOWN = {"4607741009594608": "K3fnuEfZK", "5232630992732508": "QdGSDbsQI", "4387933362623405": "HATy0b0sZ"}


@pytest.mark.parametrize(("mid", "name"), KNOWN.items())
def test_an_address_that_a_person_pasted_names_the_post(mid: str, name: str) -> None:
    """Of real posts, both of whose names are known; the receipt's own id comes first."""
    for url in (
        f"https://weibo.com/1645372340/{name}",
        f"https://weibo.com/1645372340/{name}?from=page&wvr=6",
        f"https://m.weibo.cn/status/{name}",
        f"https://m.weibo.cn/status/{mid}",
        f"https://m.weibo.cn/detail/{mid}/",
    ):
        assert mid == mid_of(Receipt("a-digest", url, 0))
    assert "17" == mid_of(Receipt("17", f"https://weibo.com/1/{name}", 0))


@pytest.mark.parametrize("url", ["", "https://weibo.com/", "https://weibo.com/u/164537", "https://weibo.com/townhall"])
def test_what_is_no_posts_address_is_said(url: str) -> None:
    """Better than to read, or delete, something else."""
    with pytest.raises(Unsupported):
        mid_of(Receipt("", url, 0))


# the public page


def public(**goals: str) -> tuple[Public, Answers]:
    """The public side, with short links of these names."""
    http = Answers({f"https://t.cn/{name}": leads_to(goal) for name, goal in goals.items()})
    return Public(http, "county", "https://m.weibo.cn", lambda: NOW), http


ICON = "<span class='url-icon'><img style='width: 1rem' src='https://h5.sinaimg.cn/web_default.png'></span>"
NAMED = f'{ICON}<span class="surl-text">网页链接</span>'
WRAPPED = (
    f'<a href="https://weibo.cn/sinaurl?u=https%3A%2F%2Fcounty.example%2F1%3Fa%3D1%26b%3D2" data-hide="">{NAMED}</a>'
)
SHORT = f'<a data-url="http://t.cn/A6x" href="http://t.cn/A6x" data-hide="">{NAMED}</a>'
DIRECT = f'<a data-url="http://t.cn/A6x" href="https://county.example/1?a=1&amp;b=2" data-hide="">{NAMED}</a>'
GOAL = "https://county.example/1?a=1&b=2"


@pytest.mark.parametrize("anchor", [WRAPPED, SHORT, DIRECT])
def test_a_link_is_read_as_where_it_leads(anchor: str) -> None:
    """Whatever is written on it, in any of the forms that pages have had."""
    reader, _ = public(A6x=GOAL)
    seen, problems = reader.tokens(f"【停水】今晚。 {anchor} \u200b\u200b\u200b")
    assert ([Token("text", f"【停水】今晚。 {GOAL}"), Token("link", GOAL)], []) == (seen, problems)


@pytest.mark.parametrize("anchor", [WRAPPED, SHORT, DIRECT])
def test_a_link_that_leads_elsewhere_shows(anchor: str) -> None:
    """One changed digit in it."""
    reader, _ = public(A6x=GOAL.replace("/1", "/2"))
    seen, _ = reader.tokens(anchor.replace("example%2F1", "example%2F2").replace("example/1", "example/2"))
    assert Token("link", GOAL.replace("/1", "/2")) in seen


def test_a_wrapped_short_link_is_followed_to_its_end() -> None:
    """Both forms may come together."""
    reader, _ = public(A6x=GOAL)
    assert GOAL == reader.goal("https://weibo.cn/sinaurl?u=http%3A%2F%2Ft.cn%2FA6x")


def test_only_weibos_own_links_are_followed() -> None:
    """No stranger's address is asked for because it stands in a text; each short link once."""
    reader, http = public(A6x=GOAL)
    for address in ("https://evil.example/sinaurl?u=x", "http://t.cn.evil.example/A6x", "http://evil.example/t.cn/A6x"):
        assert address == reader.goal(address)
    assert [GOAL, GOAL] == [reader.goal("http://t.cn/A6x") for _ in range(2)]
    assert ["https://t.cn/A6x"] == http.asked


def test_a_name_that_became_a_link_is_text() -> None:
    """As it was sent; a link to somewhere else stays one."""
    reader, _ = public()
    seen, _ = reader.tokens("请关注<a href='/n/清溪发布'>@清溪发布</a>。<br />第二行<a href='/u/1'>x</a>")
    assert [Token("text", "请关注@清溪发布。 第二行/u/1"), Token("link", "/u/1")] == seen


def test_marks_of_ours_in_a_text_mean_nothing() -> None:
    """Whoever writes them gets no other link's goal."""
    reader, _ = public(A6x=GOAL)
    seen, _ = reader.tokens(f"\ue0000\ue001 {SHORT}")
    assert Token("text", f"\ufffd0\ue001 {GOAL}") == seen[0]


def test_a_digit_in_the_text_counts() -> None:
    """Only what Weibo adds at the end is taken away."""
    reader, _ = public()
    assert [Token("text", "首班06:31。")] == reader.tokens("首班06:31。 \u200b")[0]


WALL = Answer(200, {}, b'{"ok":-100,"url":"https://passport.weibo.com/visitor/visitor"}')


@pytest.mark.parametrize(
    "answer",
    [
        WALL,
        Answer(432, {}, b""),
        Answer(403, {}, b'{"ok":0,"errno":"100005","msg":"\xe8\xaf\xb7\xe6\xb1\x82\xe8\xbf\x87\xe4\xba\x8e"}'),
        Answer(200, {}, b'{"ok":0,"errno":"100005"}'),
        Answer(200, {"Content-Type": "text/html"}, b"<title>Sina Visitor System</title>"),
        Answer(200, {}, b'{"ok":0,"message":"x"}'),
    ],
)
def test_who_is_turned_away_has_learnt_nothing(answer: Answer) -> None:
    """A wall is no absence, and makes no call of the API wait."""
    reader = Public(
        Answers({"https://m.weibo.cn/statuses/show?id=1": answer}), "county", "https://m.weibo.cn", lambda: NOW
    )
    with pytest.raises(TryLater) as caught:
        reader.post("1")
    assert caught.value.not_before is None or caught.value.of is None


def test_patience_that_the_page_asks_for_concerns_the_page_alone() -> None:
    """When it says until when; the API goes on being asked."""
    answers = Answers({"https://m.weibo.cn/statuses/show?id=1": Answer(418, {"Retry-After": "60"}, b"{}")})
    with pytest.raises(TryLater) as caught:
        Public(answers, "county", "https://m.weibo.cn", lambda: NOW).post("1")
    assert (NOW + 60 * SECOND, None) == (caught.value.not_before, caught.value.of)


@pytest.mark.parametrize(
    "body",
    [
        '{"ok":0,"errno":"20101","msg":"该微博不存在"}',
        '{"ok":0,"errno":20112,"msg":"暂无查看权限"}',
        '{"ok":1,"data":{"text":"此微博已被原作者删除。"}}',
    ],
)
def test_what_nobody_but_the_author_sees_is_not_visible(body: str) -> None:
    """Gone, hidden, or a notice in its place; which one is told."""
    answers = Answers({"https://m.weibo.cn/statuses/show?id=1": Answer(200, {}, body.encode())})
    seen = Public(answers, "county", "https://m.weibo.cn", lambda: NOW).post("1")
    assert seen.text is None and seen.notice


def test_texts_of_the_api_are_compared_without_their_short_links() -> None:
    """And without what Weibo adds at the end, or escapes."""
    assert without_links(f"【停水】a&b {CANONICAL} ") == without_links("【停水】a&amp;b http://t.cn/A6x \u200b\u200b")
    assert without_links(f"【停水】{CANONICAL} ") != without_links("【停电】http://t.cn/A6x ")
    assert "a b" == plain("a  b \u200b")
    assert ["http://t.cn/A6x"] == brief.LINK.findall("x http://t.cn/A6x\u200b")


def test_budgets_count_what_weibo_counts() -> None:
    """The call that tells the counts, short links and pages are free."""
    day, hour = WeiboChannel.can.budgets
    counted = [
        "GET /2/statuses/user_timeline.json",
        "POST /2/statuses/share.json",
        "POST /2/statuses/destroy.json",
        "POST /oauth2/get_token_info",
    ]
    free = ["GET /2/account/rate_limit_status.json", "GET /A6x", "GET /t.cn/A6x", "GET /statuses/show", "GET /status/1"]
    assert [True] * 4 + [False] * 5 == [bool(re.match(day.of, call)) for call in counted + free]
    assert [False, True, False, False] == [bool(re.match(hour.of, call)) for call in counted]
    assert (100, 24 * 3600, 30, 3600) == (day.calls, day.seconds, hour.calls, hour.seconds)


def test_an_accepted_post_is_not_asked_for_endlessly() -> None:
    """Each look is one of a hundred calls; the one after the lag of reads settles it."""
    assert any(LAGS < poll * SECOND < LAGS + 60 * SECOND for poll in WeiboChannel.can.polls)
    assert 6 > len(WeiboChannel.can.polls)
