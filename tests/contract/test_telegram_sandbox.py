"""The sandbox behaves as the fact sheet says Telegram does (section 9, and what of sections 2 to 8 it stands on).

Each test uses a bot and channels of its own.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import requests
from PIL import Image

from sync.compare import recognise
from tests.contract.bench import Server, server
from tests.contract.bench_mastodon import OTHER_PICTURE, PICTURE, picture

LINK = "https://county.example/2026/11/12.html"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.telegram", tmp_path_factory.mktemp("telegram")) as running:
        yield running


class Client:
    """An ordinary client of the API, and a reader."""

    def __init__(self, sandbox: Server, name: str) -> None:
        self.sandbox, self.name = sandbox, name
        self.chat, self.staging = f"@{name}", f"-100{crc32(name.encode()):010d}"
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, method: str, token: str = "", files: Any = None, **given: Any) -> requests.Response:
        url = f"{self.sandbox.address}/bot{token or f'110201543:sandbox-bot-{self.name}'}/{method}"
        if files:
            return self.session.post(url, data=given, files=files, timeout=10)
        return self.session.post(url, json=given, timeout=10)

    def result(self, method: str, files: Any = None, **given: Any) -> Any:
        answer = self.call(method, files=files, **given)
        assert 200 == answer.status_code, answer.text
        return answer.json()["result"]

    def send(self, text: str = "text", chat: str = "", **more: Any) -> Any:
        return self.result("sendMessage", chat_id=chat or self.chat, text=text, **more)

    def photo(self, content: bytes = PICTURE, chat: str = "", caption: str = "") -> Any:
        files = {"photo": ("a.png", content, "image/png")}
        return self.result("sendPhoto", files, chat_id=chat or self.chat, caption=caption)

    def album(self, *contents: bytes, chat: str = "", caption: str = "") -> Any:
        media = [{"type": "photo", "media": f"attach://p{at}"} for at in range(len(contents))]
        media[0]["caption"] = caption
        files = {f"p{at}": ("a.png", content) for at, content in enumerate(contents)}
        return self.result("sendMediaGroup", files, chat_id=chat or self.chat, media=json.dumps(media))

    def knob(self, fault: str, **given: Any) -> None:
        self.sandbox.knob(fault, account=self.name, **given)

    def page(self, path: str) -> requests.Response:
        return self.session.get(f"{self.sandbox.address}/{path}", timeout=10, allow_redirects=False)

    def post(self, ref: int) -> str:
        return self.page(f"{self.name}/{ref}?embed=1").text

    def listed(self, query: str = "") -> list[int]:
        found = re.findall(rf'data-post="{self.name}/(\d+)"', self.page(f"s/{self.name}{query}").text)
        return [int(one) for one in found]

    def effects(self) -> list[str]:
        return [line["effect"] for line in self.sandbox.record() if line["account"] == self.name and line["applied"]]

    def close(self) -> None:
        self.session.close()


@pytest.fixture
def client(sandbox: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    made = Client(sandbox, re.sub(r"\W", "_", request.node.name)[-40:].strip("_"))
    yield made
    made.close()
    sandbox.clear()


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def refused(answer: requests.Response, code: int, words: str) -> None:
    told = answer.json()
    assert (code, code, False) == (answer.status_code, told["error_code"], told["ok"])
    assert words in told["description"]


# who


def test_tokens_are_malformed_unknown_or_revoked(client: Client) -> None:
    """404 for what is no token, 401 for one that is not valid; 404 for a method that is none."""
    refused(client.call("getMe", token="nonsense"), 404, "Not Found")
    refused(client.call("getMe", token="110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"), 401, "Unauthorized")
    refused(client.call("readMessage"), 404, "Not Found")
    assert client.result("getMe")["is_bot"] is True
    client.knob("revoke")
    refused(client.call("getMe"), 401, "Unauthorized")


def test_a_channel_belongs_to_the_bot_that_came_first(client: Client) -> None:
    """Another bot is not a member; a name that is none is no chat."""
    client.send()
    other = "110201544:sandbox-bot-other"
    refused(client.call("sendMessage", other, chat_id=client.chat, text="x"), 403, "bot is not a member")
    refused(client.call("sendMessage", chat_id="town", text="x"), 400, "chat not found")
    client.knob("no_chat")
    refused(client.call("getChat", chat_id=client.chat), 400, "chat not found")


def test_rights_are_told_and_needed(client: Client) -> None:
    """Posting without can_post_messages; deleting what is old without can_delete_messages."""
    me, sent = client.result("getMe")["id"], client.send()
    for right in ("can_delete_messages", "can_post_messages"):
        client.knob("missing_right", right=right)
        member = client.result("getChatMember", chat_id=client.chat, user_id=me)
        assert member[right] is False
        if right == "can_delete_messages":
            fresh = client.send()
            assert client.result("deleteMessage", chat_id=client.chat, message_id=fresh["message_id"])
            client.knob("aged", hours=49)
            old = client.call("deleteMessage", chat_id=client.chat, message_id=sent["message_id"])
            refused(old, 400, "message can't be deleted")
    refused(client.call("sendMessage", chat_id=client.chat, text="x"), 400, "need administrator rights")


def test_parameters_come_as_json_form_or_query(client: Client) -> None:
    """Nested ones in a form as JSON text; methods in any case."""
    url = f"{client.sandbox.address}/bot110201543:sandbox-bot-{client.name}"
    off = '{"is_disabled": true}'
    form = {"chat_id": client.chat, "text": "form", "link_preview_options": off}
    told = client.session.post(f"{url}/SENDMESSAGE", data=form, timeout=10).json()["result"]
    assert ("form", {"is_disabled": True}) == (told["text"], told["link_preview_options"])
    asked = client.session.get(f"{url}/sendmessage", params={"chat_id": client.chat, "text": "query"}, timeout=10)
    assert "query" == asked.json()["result"]["text"]
    broken = client.session.post(f"{url}/sendMediaGroup", data={"chat_id": client.chat, "media": "["}, timeout=10)
    refused(broken, 400, "can't parse media JSON object")


# messages


def test_ids_are_counted_per_channel_and_never_used_again(client: Client) -> None:
    """1 is the message of its creation; a private channel counts by itself."""
    first = client.send()
    assert (2, 2) == (first["message_id"], client.send(chat=client.staging)["message_id"])
    client.result("deleteMessage", chat_id=client.chat, message_id=2)
    assert 3 == client.send()["message_id"]


def test_sent_twice_is_two(client: Client) -> None:
    """There is no key; and some are made twice without a word."""
    client.send("same")
    client.send("same")
    assert [1, 2, 3] == client.listed()
    client.knob("doubles")
    client.send("same")
    assert [1, 2, 3, 4, 5] == client.listed()


@pytest.mark.parametrize(
    ("html", "text", "kinds"),
    [
        ("<b>a</b> <strong>b</strong>", "a b", ["bold", "bold"]),
        ("<i>a</i><u>b</u><s>c</s><del>d</del>", "abcd", ["italic", "underline", "strikethrough", "strikethrough"]),
        ('<pre><code class="language-python">x</code></pre>', "x", ["code", "pre"]),
        ('<span class="tg-spoiler">x</span><tg-spoiler>y</tg-spoiler>', "xy", ["spoiler", "spoiler"]),
        ("<blockquote expandable>q</blockquote>", "q", ["blockquote"]),
        (f'<b><a href="{LINK}">原文</a></b>', "原文", ["bold", "text_link"]),
        ("&lt;p&gt; &amp; &quot;&#33;&#x21; &nbsp;", '<p> & "!! &nbsp;', []),
        ("  padded\n\n", "padded", []),
    ],
)
def test_the_html_subset(client: Client, html: str, text: str, kinds: list[str]) -> None:
    """Only these tags and four named references; white space at the ends goes."""
    sent = client.send(html, parse_mode="HTML")
    assert (text, sorted(kinds)) == (sent["text"], sorted(one["type"] for one in sent["entities"]))


@pytest.mark.parametrize(
    "html", ["<p>x</p>", "a<br>", "<h1>x</h1>", "<ul>", "a < b", "<b>x", "<b><i>x</b></i>", "x</b>"]
)
def test_other_markup_cannot_be_parsed(client: Client, html: str) -> None:
    """400, and nothing is sent."""
    answer = client.call("sendMessage", chat_id=client.chat, text=html, parse_mode="HTML")
    refused(answer, 400, "can't parse entities")
    assert [] == client.effects()


def test_lengths_are_those_of_the_parsed_text_in_utf_16(client: Client) -> None:
    """4,096 and 1,024; markup does not count, an emoji twice."""
    client.send("<b>" + "😀" * 2048 + "</b>", parse_mode="HTML")
    refused(client.call("sendMessage", chat_id=client.chat, text="😀" * 2048 + "a"), 400, "message is too long")
    refused(client.call("sendMessage", chat_id=client.chat, text="<b> </b>", parse_mode="HTML"), 400, "text is empty")
    client.photo(caption="甲" * 1024)
    files = {"photo": ("a.png", PICTURE)}
    long = client.call("sendPhoto", files=files, chat_id=client.chat, caption="甲" * 1025)
    refused(long, 400, "message caption is too long")


def test_an_address_takes_the_chinese_words_behind_it_along(client: Client) -> None:
    """Unless a link was made of it on purpose."""
    alone = client.send(f"见{LINK}，末行。")["entities"]
    assert [("url", len(LINK) + 4)] == [(one["type"], one["length"]) for one in alone]
    made = client.send(f'见<a href="{LINK}">{LINK}</a>，末行。', parse_mode="HTML")["entities"]
    assert [("text_link", len(LINK))] == [(one["type"], one["length"]) for one in made]


def test_tags_names_and_domains_become_links_by_themselves(client: Client) -> None:
    """A reader finds them as links that nobody made."""
    sent = client.send("#供水 @abcdef gov.cn a@b.cn")
    kinds = [one["type"] for one in sent["entities"]]
    assert ["hashtag", "mention", "url", "email"] == kinds
    shown = client.post(sent["message_id"])
    for href in ("?q=%23供水", "https://t.me/abcdef", "http://gov.cn", "mailto:a@b.cn"):
        assert f'href="{href}"' in shown


def test_photos_are_encoded_anew_and_known_by_their_id(client: Client) -> None:
    """Smaller, and the same to the eye; the file_id is the bot's own."""
    large = Image.open(io.BytesIO(picture("route 12"))).resize((2560, 1280))
    file = io.BytesIO()
    large.save(file, "PNG")
    sent = client.photo(file.getvalue())
    assert (1280, 640) == (sent["photo"][-1]["width"], sent["photo"][-1]["height"])
    address = re.search(r"background-image:url\('([^']+)'\)", client.post(sent["message_id"]))
    assert address is not None
    served = client.session.get(address[1], timeout=10).content
    assert served != PICTURE and "12" == recognise(served, {"12": PICTURE, "13": OTHER_PICTURE})
    again = client.result("sendPhoto", chat_id=client.chat, photo=sent["photo"][-1]["file_id"])
    assert sent["photo"] == again["photo"]
    other = client.call("sendPhoto", "110201544:sandbox-bot-x", chat_id="@x1234", photo=sent["photo"][-1]["file_id"])
    refused(other, 400, "wrong file identifier")
    refused(
        client.call("sendPhoto", chat_id=client.chat, photo="https://a.example/b.png"), 400, "failed to get HTTP URL"
    )


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"no picture", 400, "IMAGE_PROCESS_FAILED"),
        ("wide", 400, "PHOTO_INVALID_DIMENSIONS"),
        ("huge", 400, "PHOTO_INVALID_DIMENSIONS"),
        (b"\0" * (10 * 1024 * 1024 + 1), 400, "too big for a photo"),
        (b"\0" * (50 * 1024 * 1024), 413, "Request Entity Too Large"),
    ],
)
def test_photos_that_are_not_taken(client: Client, content: bytes | str, code: int, words: str) -> None:
    """No picture, more than 20 to 1, sides of more than 10,000 together, more than 10 MB, a request of 50 MB."""
    if isinstance(content, str):
        file = io.BytesIO()
        Image.new("L", (210, 10) if content == "wide" else (6000, 4001)).save(file, "PNG")
        content = file.getvalue()
    answer = client.call("sendPhoto", files={"photo": ("a.png", content)}, chat_id=client.chat)
    refused(answer, code, words)


def test_a_copy_is_a_new_message_with_the_same_content(client: Client) -> None:
    """Answered with a number only; a photo may be given another caption."""
    staged = client.photo(chat=client.staging, caption="说明")
    given = {"chat_id": client.chat, "from_chat_id": client.staging, "message_id": staged["message_id"]}
    assert {"message_id": 2} == client.result("copyMessage", **given)
    assert {"message_id": 3} == client.result("copyMessage", **given, caption="另一说明")
    assert "说明" in client.post(2) and "另一说明" in client.post(3)
    refused(client.call("copyMessage", **{**given, "message_id": 99}), 400, "message to copy not found")
    refused(client.call("copyMessage", **{**given, "message_id": 1, "from_chat_id": client.chat}), 400, "not found")
    client.knob("protected")
    refused(client.call("copyMessage", **given), 400, "message can't be copied")


def test_an_album_is_copied_as_one_post(client: Client) -> None:
    """What is missing is left out without a word; ids have to count up."""
    refs = [one["message_id"] for one in client.album(PICTURE, OTHER_PICTURE, chat=client.staging, caption="两图")]
    given = {"chat_id": client.chat, "from_chat_id": client.staging}
    made = client.result("copyMessages", **given, message_ids=refs)
    assert [{"message_id": 2}, {"message_id": 3}] == made
    assert [1, 2] == client.listed()
    shown = client.post(2)
    assert ["2?single", "3?single"] == re.findall(rf'href="https://t.me/{client.name}/(\d\?single)"', shown)
    refused(client.call("copyMessages", **given, message_ids=refs[::-1]), 400, "strictly increasing")
    client.result("deleteMessage", chat_id=client.staging, message_id=refs[1])
    assert 1 == len(client.result("copyMessages", **given, message_ids=refs))
    client.result("deleteMessages", chat_id=client.staging, message_ids=refs)
    refused(client.call("copyMessages", **given, message_ids=refs), 400, "message to copy not found")
    refused(client.call("sendMediaGroup", chat_id=client.chat, media=[]), 400, "wrong number of items")


def test_an_edit_keeps_the_id_and_tells_its_date(client: Client) -> None:
    """What changes nothing is refused; a caption is no text; a deleted message is gone."""
    sent, photo = client.send("one"), client.photo(caption="one")
    place = {"chat_id": client.chat, "message_id": sent["message_id"]}
    edited = client.result("editMessageText", **place, text="two")
    assert ("two", True) == (edited["text"], "edit_date" in edited)
    refused(client.call("editMessageText", **place, text="two"), 400, "message is not modified")
    refused(client.call("editMessageReplyMarkup", **place), 400, "message is not modified")
    refused(client.call("editMessageCaption", **place, caption="x"), 400, "there is no caption")
    other = {"chat_id": client.chat, "message_id": photo["message_id"]}
    refused(client.call("editMessageText", **other, text="x"), 400, "there is no text")
    assert "two" == client.result("editMessageCaption", **other, caption="two")["caption"]
    client.result("deleteMessage", **place)
    refused(client.call("editMessageText", **place, text="three"), 400, "message to edit not found")
    refused(client.call("deleteMessage", **place), 400, "message to delete not found")
    refused(client.call("editMessageReplyMarkup", chat_id=client.chat, message_id=1), 400, "can't be edited")


def test_a_discussed_or_named_channel_says_so(client: Client) -> None:
    """What getChat tells of a channel that is less private than it seems."""
    assert "linked_chat_id" not in client.result("getChat", chat_id=client.staging)
    client.knob("discussed")
    client.knob("public_staging")
    told = client.result("getChat", chat_id=client.staging)
    assert told["linked_chat_id"] and told["username"]


# rates


def test_a_channel_takes_twenty_messages_a_minute(client: Client) -> None:
    """Then the seconds to wait are told; edits and other channels go on."""
    for _ in range(20):
        sent = client.send()
    answer = client.call("sendMessage", chat_id=client.chat, text="one more")
    refused(answer, 429, "Too Many Requests: retry after")
    assert 0 < answer.json()["parameters"]["retry_after"] <= 60
    client.result("editMessageText", chat_id=client.chat, message_id=sent["message_id"], text="edited")
    client.send(chat=client.staging)
    client.knob("unlimited")
    assert 22 == client.send()["message_id"]


def test_a_limit_ends_after_its_seconds(client: Client) -> None:
    """And an album counts as many as it has photos."""
    client.knob("limit", messages=2, seconds=1)
    client.album(PICTURE, OTHER_PICTURE)
    refused(client.call("sendMessage", chat_id=client.chat, text="x"), 429, "retry after 1")
    until(lambda: client.call("sendMessage", chat_id=client.chat, text="x").status_code == 200)


def test_a_bot_may_ask_so_many_times_in_so_many_seconds(client: Client) -> None:
    """Whatever it asks."""
    client.knob("limit", calls=3, seconds=60)
    codes = [client.call("getMe").status_code for _ in range(4)]
    assert [200, 200, 200, 429] == codes


def test_a_flood_is_refused_for_hours(client: Client) -> None:
    """As reported under abuse flags."""
    client.knob("flood", seconds=7200)
    answer = client.call("sendMessage", chat_id=client.chat, text="x")
    refused(answer, 429, "retry after 7200")
    assert {"retry_after": 7200} == answer.json()["parameters"]


# readers


def test_the_list_shows_twenty_posts_and_leads_to_older_ones(client: Client) -> None:
    """Oldest first; before and after an id; an unknown channel leads to its landing page."""
    client.knob("unlimited")
    for _ in range(24):
        client.send()
    assert list(range(6, 26)) == client.listed()
    assert f'rel="prev" href="/s/{client.name}?before=6"' in client.page(f"s/{client.name}").text
    assert list(range(1, 6)) == client.listed("?before=6")
    assert list(range(21, 26)) == client.listed("?after=20")
    assert [] == client.listed("?before=1")
    assert 302 == client.page("s/nobody_at_all").status_code
    client.knob("no_list")
    assert (302, f"/{client.name}") == (
        (answer := client.page(f"s/{client.name}")).status_code,
        answer.headers["Location"],
    )


def test_what_is_not_there_is_told_with_status_200(client: Client) -> None:
    """Deleted, never there, vanished, or of a private channel."""
    ref = client.send("there")["message_id"]
    assert "there" in client.post(ref)
    for other in (ref + 1, 99):
        assert "Post not found" in client.post(other)
    client.knob("vanish", seconds=0.001)
    assert "Post not found" in client.post(ref)
    private = client.send("hidden", chat=client.staging)["message_id"]
    for path in (f"{client.staging}/{private}?embed=1", f"c/{client.staging[4:]}/{private}"):
        answer = client.page(path)
        assert "hidden" not in answer.text
        assert answer.status_code in (200, 404)


def test_readers_may_be_behind(client: Client) -> None:
    """A new message, an edit, a deletion: each shows once the lag is over."""
    ref = client.send("旧文")["message_id"]
    client.result("editMessageText", chat_id=client.chat, message_id=ref, text="新文")
    client.knob("page_lag", seconds=30)
    assert "Post not found" in client.post(ref)
    client.sandbox.clear()
    assert "新文" in client.post(ref) and "edited" in client.post(ref)
    client.result("deleteMessage", chat_id=client.chat, message_id=ref)
    assert "Post not found" in client.post(ref)


def test_an_edit_shows_the_old_text_until_readers_have_caught_up(client: Client) -> None:
    """The version of then."""
    client.knob("page_lag", seconds=1)
    ref = client.send("旧文")["message_id"]
    until(lambda: "旧文" in client.post(ref))
    client.result("editMessageText", chat_id=client.chat, message_id=ref, text="新文")
    assert "旧文" in client.post(ref)
    until(lambda: "新文" in client.post(ref))


def test_what_readers_see_can_be_altered(client: Client) -> None:
    """Text, picture, and the shape of the page."""
    ref = client.photo(caption="首班06:30")["message_id"]
    address = re.search(r"background-image:url\('([^']+)'\)", client.post(ref))
    assert address is not None
    before = client.session.get(address[1], timeout=10).content
    client.knob("alter", replace=["06:30", "06:31"])
    client.knob("swap_picture")
    assert "06:31" in client.post(ref)
    assert before != client.session.get(address[1], timeout=10).content
    client.knob("changed_page")
    assert "data-post" not in client.post(ref)


def test_a_link_is_fetched_for_a_preview_when_the_message_is_made(client: Client) -> None:
    """Also where it is staged and where it is copied; not where it is switched off, nor below a photo."""
    off = {"is_disabled": True}
    client.send(LINK, chat=client.staging, link_preview_options=off)
    client.result("copyMessage", chat_id=client.chat, from_chat_id=client.staging, message_id=2)
    client.photo(caption=LINK)
    lines = [line for line in client.sandbox.record() if line["account"] == client.name]
    assert not [line for line in lines if "preview_fetched" in line["detail"]]
    assert "link_preview" not in client.post(2)
    sent = client.send(LINK)
    assert LINK == client.sandbox.record()[-1]["detail"]["preview_fetched"]
    assert "tgme_widget_message_link_preview" in client.post(sent["message_id"])


# faults and restarts


def test_a_refusal_changes_nothing_and_is_recorded(client: Client) -> None:
    """Everything received is there before the answer leaves, refusals with their words; no token."""
    client.call("sendMessage", chat_id=client.chat, text="")
    line = client.sandbox.record()[-1]
    assert ("/bot…/sendMessage", client.name, False) == (line["path"], line["account"], line["applied"])
    assert "Bad Request: message text is empty" == line["detail"]["refused"]


def test_what_is_done_has_its_name_in_the_record(client: Client) -> None:
    """In public and where it is staged."""
    for chat in (client.staging, client.chat):
        ref = client.send(chat=chat)["message_id"]
        client.result("editMessageText", chat_id=chat, message_id=ref, text="other")
        client.result("deleteMessage", chat_id=chat, message_id=ref)
    staged, public = (
        ["message_staged", "staged_edited", "staged_deleted"],
        ["post_created", "post_edited", "post_deleted"],
    )
    assert staged + public == client.effects()


def test_a_text_may_be_rewritten(client: Client) -> None:
    """What the server makes of it is told in its answer."""
    client.knob("rewrite", replace=["06:30", "6:30"])
    assert "首班6:30" == client.send("首班06:30")["text"]


def test_channels_messages_and_photos_outlive_a_restart(tmp_path: Path) -> None:
    """Ids go on where they were; what was deleted stays deleted."""
    with server("channels.sandbox.telegram", tmp_path) as running:
        client = Client(running, "restarted")
        photo, gone = client.photo(caption="说明"), client.send("gone")
        client.result("deleteMessage", chat_id=client.chat, message_id=gone["message_id"])
        client.close()
    with server("channels.sandbox.telegram", tmp_path) as running:
        client = Client(running, "restarted")
        assert [1, 2] == client.listed()
        assert "说明" in client.post(2) and "Post not found" in client.post(3)
        again = client.result("sendPhoto", chat_id=client.chat, photo=photo["photo"][-1]["file_id"])
        assert (4, photo["photo"]) == (again["message_id"], again["photo"])
        assert 5 == client.photo(OTHER_PICTURE)["message_id"]
        client.close()
