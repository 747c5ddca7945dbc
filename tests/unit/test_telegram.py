"""The Telegram channel without any network: its text, its requests, what refusals mean, what t.me's pages say."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import telegram_act as act
from channels import telegram_page as page
from channels import telegram_text as texts
from channels.picture import Picture
from channels.sandbox import telegram_text as theirs
from channels.telegram import RIGHTS, TelegramChannel
from channels.telegram_api import SENTENCES, Act, Bot, Word
from channels.telegram_settings import chosen
from sync import compare
from sync.address import target
from sync.answer import Answer, Asked, judge
from sync.clock import SECOND
from sync.contract import (
    Misbehaved,
    OutletError,
    Place,
    Receipt,
    Rejected,
    Shot,
    Stale,
    Tools,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.http import Http, Limits
from sync.model import Asset, AssetRole, BadInput, Edition, Key, Outlet, Rendition, Token
from sync.render import Templates
from tests.unit.raw import hang_up, raw, say, silence

NOW = 1_800_000_000 * SECOND
TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
LINK = "https://county.example/2026/11/12.html"
PAGES = Templates()


def edition(title: str = "标题", body: str = "<p></p>", **metadata: str | tuple[str, ...]) -> Edition:
    return Edition("item", 1, title, body, metadata)


def composed(given: Edition, pictures: int = 0, link: str | None = LINK) -> str:
    return texts.parsed(texts.compose(PAGES, given, link, pictures)).text


# text


def test_a_short_item_goes_whole_with_its_title_in_bold() -> None:
    """Title, summary, address, tags, each a paragraph; the address is a link."""
    made = texts.compose(PAGES, edition("停水通知", summary="今晚停水。", topics=("供水", "便民")), LINK, 0)
    assert f'<b>停水通知</b>\n\n今晚停水。\n\n<a href="{LINK}">{LINK}</a>\n\n#供水 #便民' == made


@pytest.mark.parametrize(("pictures", "limit"), [(0, 4096), (1, 1024), (3, 1024)])
def test_a_long_summary_ends_with_a_whole_sentence_within_its_limit(pictures: int, limit: int) -> None:
    """4,096 as a text, 1,024 below a photo, markup not counted: one sentence more would be too long."""
    sentence = "甲" * 99 + "。"
    text = composed(edition(summary=sentence * 60), pictures)
    assert text.endswith(LINK)
    assert limit - 100 < theirs.units(text) <= limit


def test_length_counts_utf_16_units_after_parsing() -> None:
    """An emoji is two, a reference one, a tag nothing."""
    assert 4 == texts.length("<b>😀</b>&amp;&#33;")
    title = "😀" * 2000
    with pytest.raises(Unsupported):
        texts.compose(PAGES, edition(title + "😀" * 40), LINK, 0)
    assert composed(edition(title)).startswith(title)


def test_what_html_cares_about_is_escaped() -> None:
    """The reader finds the very signs; no reference is used but those that Telegram knows."""
    title = "<b>1 & 2</b> \"引号\" 'x' &nbsp;"
    made = texts.compose(PAGES, edition(title), LINK, 0)
    assert title == texts.parsed(made).text.split("\n")[0]
    assert title == theirs.parsed(made)[0].split("\n")[0]


@pytest.mark.parametrize("after", ["，余下见后。", "。末行", "）"])
def test_an_address_ends_where_ours_ends(after: str) -> None:
    """Telegram alone would make the Chinese words after it a part of it; a link of our own is left as it is."""
    text = f"见 https://a.example/b?c=1&d=2{after}"
    made = texts.linked(texts.with_links(text))
    assert [(2, "https://a.example/b?c=1&d=2")] == list(texts.parsed(made).links)
    told, entities = theirs.given(made, "HTML", None)
    assert (text, ["https://a.example/b?c=1&d=2"]) == (told, [one["url"] for one in entities if one["type"] != "url"])
    alone = theirs.given(text, "", None)[1]
    assert theirs.units(f"https://a.example/b?c=1&d=2{after}") == alone[0]["length"]


def test_an_address_inside_a_link_or_code_is_left_alone() -> None:
    """An installation's template may link words, or show an address as code."""
    made = '<a href="https://a.example/">https://b.example/</a> <code>https://c.example/</code>'
    assert made == texts.linked(made)
    assert ((0, "https://a.example/"),) == texts.parsed(made).links


@pytest.mark.parametrize("markup", ["<p>x</p>", "a<br>b", "<h1>x</h1>", "<img src='x'>", "a < b", "<b x='<'>"])
def test_markup_that_telegram_does_not_know_is_refused_before_it_is_sent(markup: str) -> None:
    """It would be refused there: 400, can't parse entities."""
    with pytest.raises(Unsupported, match="markup that Telegram does not know"):
        texts.parsed(markup)
    with pytest.raises(theirs.Unparsable):
        theirs.parsed(markup)


@given(st.text(alphabet="甲a1 \n<>&\"'。，#@/:.", max_size=60))
def test_what_we_escape_telegram_reads_as_it_was(text: str) -> None:
    """Our reading of it and theirs agree, whatever the text."""
    made = texts.with_links(text)
    assert text == texts.parsed(made).text
    assert text.strip() == theirs.parsed(made)[0]


def test_what_a_reader_must_find_are_paragraphs_links_and_pictures() -> None:
    """Each link behind its paragraph; no descriptions, which Telegram does not have."""
    picture = Asset("d1", "image/png", 1, "a.png", AssetRole.IMAGE, "说明")
    made = texts.linked(f"<b>标题</b>\n\n一、{LINK}\n二行\n\n末段")
    assert (
        Token("text", "标题"),
        Token("text", f"一、{LINK} 二行"),
        Token("link", LINK),
        Token("text", "末段"),
        Token("image", "d1"),
    ) == texts.shown(made, [picture])


def channel_of(pages: Templates) -> TelegramChannel:
    outlet = Outlet("town", "unit", "telegram", {"chat_id": "@town"}, {"bot_token": TOKEN})
    return TelegramChannel(outlet, Tools(Scripted(200, b""), lambda _: b"", pages, lambda: NOW))


def test_a_canonical_address_of_any_letters_is_one_link() -> None:
    """By it the message is found again."""
    address = "https://county.example/通知/12.html?a=1&b=（二）"
    made = channel_of(PAGES).render(edition(), Place(Key("", ""), address))
    assert Token("link", address) in made.shown
    assert [address] == [
        one["url"] for one in theirs.given(made.content, "HTML", None)[1] if one["type"] == "text_link"
    ]


def test_a_template_without_the_canonical_link_is_refused(tmp_path: Path) -> None:
    """An installation's own: what it posts could not be found again after a doubt."""
    (tmp_path / "telegram").mkdir()
    (tmp_path / "telegram" / "message.html").write_text("<i>{{ title }}</i>")
    channel = channel_of(Templates(own=tmp_path))
    with pytest.raises(Unsupported, match="leaves out the canonical link"):
        channel.render(edition(), Place(Key("", ""), LINK))
    assert "<i>标题</i>" == channel.render(edition(), Place(Key("", ""), None)).content


def test_pictures_are_at_most_ten_cover_first_and_no_gif() -> None:
    """An album takes ten; a GIF would be an animation."""
    assets = [Asset(f"d{at}", "image/png", 1, f"{at}.png", AssetRole.IMAGE) for at in range(12)]
    assets += [Asset("g", "image/gif", 1, "g.gif", AssetRole.COVER), Asset("c", "image/jpeg", 1, "c", AssetRole.COVER)]
    chosen_ = texts.pictures(replace(edition(), assets=tuple(assets)))
    assert ["c", *(f"d{at}" for at in range(9))] == [asset.digest for asset in chosen_]


def test_photos_of_an_album_share_what_one_request_may_have() -> None:
    """10 MB for one, together never more than a request takes."""
    assert 10_000_000 == texts.wanted(1).below
    assert 10 * texts.wanted(10).below <= 45_000_000


# requests


def rendition(content: str = "text", *digests: str) -> Rendition:
    files = tuple(Asset(one, "image/png", 1, f"{one}.png", AssetRole.IMAGE) for one in digests)
    return Rendition("t", content, {"canonical": LINK}, files, texts.shown(content, files))


def public(of: Rendition) -> Receipt:
    return Receipt("5", "https://t.me/town/5", NOW, {**act.notes(of), "ids": "5 6 7"})


def test_no_message_asks_for_a_link_preview() -> None:
    """Neither sent nor edited: the page behind it is not public yet, or not seen by anybody who approved."""
    sent = act.made("@town", rendition(), [])
    edited = act.changed("@town", 5, act.Change("text"), rendition(), "")
    for one in (sent, edited):
        assert {"is_disabled": True} == one.fields["link_preview_options"]


def test_a_form_is_what_a_reader_of_forms_takes_it_for() -> None:
    """Fields as text or JSON, photos with name and type; the same act, the same bytes."""
    photos = [Picture(b"\x89PNG\r\n--", "image/png"), Picture(b"jpeg", "image/jpeg")]
    made = act.made("@town", rendition("<b>说明</b>", "a", "b"), photos)
    kind, body = made.packed()
    assert (kind, body) == made.packed()
    boundary = kind.partition("boundary=")[2]
    parts = [part.strip(b"\r\n").partition(b"\r\n\r\n") for part in body.split(f"--{boundary}".encode())[1:-1]]
    told = {head.partition(b'name="')[2].partition(b'"')[0].decode(): content for head, _, content in parts}
    assert b"@town" == told["chat_id"]
    media = json.loads(told["media"])
    assert [("attach://photo0", "<b>说明</b>"), ("attach://photo1", None)] == [
        (one["media"], one.get("caption")) for one in media
    ]
    assert (b"\x89PNG\r\n--", b"jpeg") == (told["photo0"], told["photo1"])
    assert b'filename="photo0.png"' in body and b"Content-Type: image/jpeg" in body


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (rendition("a"), rendition("b"), act.Change("text")),
        (rendition("a"), rendition("a"), act.Change("text")),
        (rendition("a", "p"), rendition("b", "p"), act.Change("caption")),
        (rendition("a", "p"), rendition("b", "q"), act.Change("media")),
        (rendition("a"), rendition("b", "q"), act.Change("media")),
        (rendition("a", "p", "q"), rendition("b", "p", "q"), act.Change("caption")),
        (rendition("a", "p", "q"), rendition("b", "r", "q"), act.Change("media", 0)),
        (rendition("a", "p", "q"), rendition("a", "p", "r"), act.Change("media", 1)),
    ],
)
def test_a_correction_is_one_call(old: Rendition, new: Rendition, expected: act.Change) -> None:
    """Text, caption or photo, and of an album which one; told as text, it is read as the same."""
    found = act.change(new, public(old))
    assert expected == found == act.Change.of(str(found))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rendition("a", "p"), rendition("a")),
        (rendition("a"), rendition("a", "p", "q")),
        (rendition("a", "p"), rendition("a", "p", "q")),
        (rendition("a", "p", "q"), rendition("b", "p", "r")),
        (rendition("a", "p", "q"), rendition("a", "q", "p")),
    ],
)
def test_what_would_take_two_calls_is_said_before(old: Rendition, new: Rendition) -> None:
    """Photos taken away or added, or two messages of an album changed at once."""
    with pytest.raises(Unsupported, match="withdraw it and publish it anew"):
        act.change(new, public(old))


def test_only_the_message_with_the_caption_is_given_one() -> None:
    """The second photo of an album is exchanged without."""
    second = act.changed("@town", 6, act.Change("media", 1), rendition("a", "p", "q"), "file-id")
    assert {"type": "photo", "media": "file-id"} == second.fields["media"]
    first = act.changed("@town", 5, act.Change("media", 0), rendition("a", "p", "q"), "file-id")
    assert "a" == first.fields["media"]["caption"]


# refusals


class Scripted:
    """An egress that gives one answer, judged as the real one judges."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.answer = Answer(status, dict(headers or {}), body)

    def call(self, method: str, url: str, *, creates: bool, **more: Any) -> Answer:
        return judge(self.answer, Asked(method, url, more["body"], creates), more["expect"], NOW)

    def read(self, url: str) -> Answer:
        raise AssertionError("nothing is read here")

    def shot(self, method: str, url: str, **more: Any) -> Shot:
        raise AssertionError("nothing is shot here")


def refused(status: int, description: str, method: str = "sendMessage", **parameters: int) -> OutletError:
    told = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
    bot = Bot(Scripted(status, json.dumps(told).encode()), "town", "https://a.example", TOKEN, lambda: NOW)
    with pytest.raises(OutletError) as caught:
        bot.do(Act(method, {"chat_id": "@town"}))
    return caught.value


@pytest.mark.parametrize(
    ("status", "description", "expected"),
    [
        (400, "Bad Request: chat not found", Unauthorised),
        (400, "Bad Request: need administrator rights in the channel chat", Unauthorised),
        (400, "Bad Request: not enough rights to post messages", Unauthorised),
        (400, "BAD REQUEST: CHAT NOT FOUND", Unauthorised),
        (400, "Bad Request: can't parse entities: Unsupported start tag", Rejected),
        (400, "Bad Request: message is too long", Rejected),
        (400, "Bad Request: PHOTO_INVALID_DIMENSIONS", Rejected),
        (400, "Bad Request: a sentence nobody knows", Rejected),
        (400, "Bad Request: the chat not found", Unauthorised),
        (400, "Bad Request: it says that chat not found", Rejected),
        (400, "Bad Request: wrong file identifier/HTTP URL specified", Stale),
        (401, "Unauthorized", Unauthorised),
        (403, "Forbidden: bot was kicked from the channel chat", Unauthorised),
        (404, "Not Found", Unauthorised),
        (409, "Conflict: terminated by other getUpdates request", TryLater),
        (413, "Request Entity Too Large", Rejected),
    ],
)
def test_a_refusal_is_told_by_code_and_by_the_beginning_of_its_sentence(
    status: int, description: str, expected: type[OutletError]
) -> None:
    """Whatever is not in the table is the content's fault; a word inside a sentence decides nothing."""
    assert expected is type(refused(status, description))


def test_every_word_is_in_the_table() -> None:
    """And each beginning is lower case, as it is compared."""
    assert {*Word} == {word for _, word in SENTENCES}
    assert all(start == start.lower() for start, _ in SENTENCES)


def test_a_wait_is_told_in_the_parameters() -> None:
    """Seconds from now; also hours, as under abuse flags."""
    error = refused(429, "Too Many Requests: retry after 7200", retry_after=7200)
    assert isinstance(error, TryLater)
    assert NOW + 7200 * SECOND == error.not_before


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [(429, {"Retry-After": "9"}, TryLater), (413, {"Content-Type": "text/html"}, Rejected), (404, {}, Unauthorised)],
)
def test_a_refusal_from_a_server_in_between_is_told_by_its_code(
    status: int, kind: dict[str, str], expected: type[OutletError]
) -> None:
    """nginx before the API answers in HTML."""
    bot = Bot(Scripted(status, b"<html>no</html>", kind), "town", "https://a.example", TOKEN, lambda: NOW)
    with pytest.raises(expected) as caught:
        bot.do(Act("getMe", {}))
    if isinstance(caught.value, TryLater):
        assert NOW + 9 * SECOND == caught.value.not_before


def test_a_moved_group_names_its_new_number() -> None:
    """For the operator, who sets it."""
    error = refused(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-1009)
    assert "chat_id=-1009" in str(error)


@pytest.mark.parametrize(("method", "right"), [("deleteMessage", "delete"), ("editMessageText", "edit")])
def test_a_missing_right_is_named(method: str, right: str) -> None:
    """The sentence does not say which one."""
    error = refused(400, f"Bad Request: message can't be {right}ed".replace("eed", "ed"), method)
    assert isinstance(error, Unauthorised) and f"can_{right}_messages" in str(error)


@pytest.mark.parametrize("body", [b'{"ok": false}', b"[]", b'{"ok": true}', b"<html>", b""])
def test_an_answer_of_another_shape_is_no_success(body: bytes) -> None:
    """200 with anything but a result."""
    bot = Bot(Scripted(200, body), "town", "https://a.example", TOKEN, lambda: NOW)
    with pytest.raises(Misbehaved):
        bot.do(Act("getMe", {}))


class Chats(Scripted):
    """An egress that answers getChat by the channel that is asked for."""

    def __init__(self, **chats: Mapping[str, object]) -> None:
        super().__init__(200, b"")
        self.chats = chats

    def call(self, method: str, url: str, *, creates: bool, **more: Any) -> Answer:
        if url.endswith("/getChat"):
            told = self.chats["staging" if b"-100" in more["body"] else "public"]
        else:
            told = {"id": 7, "status": "administrator", **dict.fromkeys(RIGHTS, True)}
        return Answer(200, {}, json.dumps({"ok": True, "result": told}).encode())


@pytest.mark.parametrize(
    ("public_", "staging", "error"),
    [
        ("supergroup", {"type": "channel"}, Unsupported),
        ("channel", {"type": "group"}, Unauthorised),
        ("channel", {"type": "channel", "active_usernames": ["open"]}, Unauthorised),
        ("channel", {"type": "channel"}, None),
    ],
)
def test_only_channels_are_posted_to_and_only_private_ones_staged_in(
    public_: str, staging: Mapping[str, object], error: type[OutletError] | None
) -> None:
    """A group is another thing; one of several public names is enough to be public."""
    settings = {"chat_id": "@town", "staging_chat_id": "-1001234567890"}
    http = Chats(public={"id": -1001, "type": public_, "username": "town"}, staging={"id": -1002, **staging})
    outlet = Outlet("town", "unit", "telegram", settings, {"bot_token": TOKEN})
    channel = TelegramChannel(outlet, Tools(http, lambda _: b"", PAGES, lambda: NOW))
    if error is None:
        channel.login()
        return
    with pytest.raises(error):
        channel.login()


def test_without_a_token_nothing_is_asked() -> None:
    """Said at once, for the operator."""
    outlet = Outlet("town", "unit", "telegram", {"chat_id": "@town"})
    with pytest.raises(Unauthorised, match="bot_token"):
        TelegramChannel(outlet, Tools(Scripted(200, b""), lambda _: b"", PAGES, lambda: NOW)).login()


# the token


def texts_of(error: BaseException) -> str:
    """All that a log line with its traceback could show."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None:
        chain.append(one)
        one = one.__cause__ or one.__context__
    return "".join(traceback.format_exception(error)) + "".join(repr(one) + str(one.args) for one in chain)


@pytest.mark.parametrize(
    "answer",
    [
        hang_up,
        silence(0.8),
        say(401, f'{{"ok":false,"error_code":401,"description":"Unauthorized /bot{TOKEN}/getMe"}}'.encode()),
        say(400, f'{{"ok":false,"error_code":400,"description":"{TOKEN.partition(":")[2]}"}}'.encode()),
        say(500, f"/bot{TOKEN}/getMe failed".encode()),
        say(302, b""),
        say(200, b"<html>", kind="text/html"),
    ],
)
def test_no_error_shows_the_token(answer: Any) -> None:
    """Neither its text nor its traceback, with whatever caused it; whatever the server says back."""
    http = Http(private_network=True, now=lambda: NOW, limits=Limits(connect=1, read=0.4, total=1))
    with raw(answer) as server:
        outlet = Outlet("town", "unit", "telegram", {"chat_id": "@town", "api_base": server.url}, {"bot_token": TOKEN})
        channel = TelegramChannel(outlet, Tools(http, lambda _: b"", PAGES, lambda: NOW))
        with pytest.raises(OutletError) as caught:
            channel.login()
    http.close()
    told = texts_of(caught.value) + repr(channel) + repr(outlet) + repr(chosen(outlet))
    for secret in (TOKEN, TOKEN.partition(":")[2]):
        assert secret not in told


def test_no_repr_of_a_request_shows_the_token() -> None:
    """What holds the address of a request leaves it out."""
    url = f"https://a.example/bot{TOKEN}/getMe"
    for one in (Asked("POST", url, b"POST " + url.encode(), creates=True), target(url, False)):
        assert TOKEN not in repr(one) and "AAHdqT" not in repr(one)


@pytest.mark.parametrize(
    ("settings", "secret", "where"),
    [
        ({"chat_id": "town"}, TOKEN, "chat_id"),
        ({"chat_id": "-100"}, TOKEN, "chat_id"),
        ({"chat_id": "@town", "staging_chat_id": "@staging"}, TOKEN, "staging_chat_id"),
        ({"chat_id": "-1001234567890", "staging_chat_id": "-1001234567890"}, TOKEN, "staging_chat_id"),
        ({"chat_id": "@town"}, "too:short", "bot_token"),
        ({"chat_id": "@town"}, f"bot{TOKEN}", "bot_token"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, str], secret: str, where: str) -> None:
    """Said where they are given, without the token."""
    with pytest.raises(BadInput) as caught:
        chosen(Outlet("town", "unit", "telegram", settings, {"bot_token": secret}))
    assert where == caught.value.where
    assert secret not in str(caught.value)


# pages

FOUND = (
    '<section class="tgme_channel_history js-message_history">'
    '<div class="tgme_widget_message_wrap js-widget_message_wrap"><div class="tgme_widget_message js-widget_message" '
    'data-post="town/310"><div class="tgme_widget_message_bubble">'
    '<a class="tgme_widget_message_reply" href="https://t.me/town/9"><div class="tgme_widget_message_text '
    'js-message_reply_text">a parent</div></a>'
    '<div class="tgme_widget_message_grouped_wrap"><a class="tgme_widget_message_photo_wrap blured" style=""></a>'
    '<a class="tgme_widget_message_photo_wrap" href="https://t.me/town/310?single" '
    "style=\"width:8px;background-image:url('//cdn4.telesco.pe/file/a.jpg')\"></a>"
    '<a class="tgme_widget_message_photo_wrap" href="https://t.me/town/311?single" '
    "style=\"background-image:url('https://cdn4.telesco.pe/file/b.jpg')\"></a></div>"
    '<div class="tgme_widget_message_text js-message_text" dir="auto"><div class="tgme_widget_message_text">'
    '<b>标题</b><br/><br/>首行 <i class="emoji" style="background-image:url(\'//x\')"><b>🎉</b></i> '
    '<a href="?q=%23%E4%BE%9B">#供</a> <a href="https://t.me/abcde">@abcde</a> <a href="mailto:a@b.cn">a@b.cn</a> '
    f'<a href="http://gov.cn/">gov.cn</a><br/>次行 <a href="{LINK}">{LINK}</a></div></div>'
    '<div class="tgme_widget_message_footer"><time>12:00</time></div></div></div></div></section>'
)


def read(html: str) -> dict[str, Any]:
    told: dict[str, Any] = page.reading("https://t.me/s/town", [html.encode()], lambda *_: (None, []))[0]  # type: ignore[arg-type]
    return told


def test_a_post_is_read_without_what_is_not_its_own() -> None:
    """No reply, no footer, no links that Telegram makes of tags, names, mails and domains; an album is one post."""
    told = read(FOUND)
    assert (True, False, False) == (told["list"], told["missing"], told["unreadable"])
    (post,) = told["posts"]
    assert (310, [310, 311]) == (post["id"], post["ids"])
    assert ["https://cdn4.telesco.pe/file/a.jpg", "https://cdn4.telesco.pe/file/b.jpg"] == post["pictures"]
    assert (
        Token("text", "标题"),
        Token("text", f"首行 🎉 #供 @abcde a@b.cn gov.cn 次行 {LINK}"),
        Token("link", LINK),
    ) == compare.placed(post["text"], None)


def test_a_link_that_leads_elsewhere_is_no_furniture() -> None:
    """A changed address behind the same words shows."""
    for changed in ("https://evil.example/", "http://gov.cn.evil.example/", "https://t.me/other"):
        (post,) = read(FOUND.replace('href="http://gov.cn/"', f'href="{changed}"'))["posts"]
        assert Token("link", changed) in compare.placed(post["text"], None)


def test_a_page_that_cannot_be_read_is_not_an_empty_one() -> None:
    """Blocks of posts without their marks; nothing at all; a notice that there is none."""
    assert read(FOUND.replace("data-post", "data-item"))["unreadable"]
    landing = read("<div class='tgme_page_wrap'></div>")
    assert (False, False, []) == (landing["list"], landing["missing"], landing["posts"])
    assert read('<div class="tgme_widget_message err_message"><div class="tgme_widget_message_error">x</div></div>')[
        "missing"
    ]
    assert [] == read("")["posts"]


def test_a_card_of_a_linked_page_is_seen() -> None:
    """Though it stands outside the text."""
    card = '<a class="tgme_widget_message_link_preview" href="https://x.example"></a>'
    (post,) = read(FOUND.replace('<div class="tgme_widget_message_footer">', card + "<div>"))["posts"]
    assert post["card"]
