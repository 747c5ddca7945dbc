"""The sandbox behaves as the fact sheet says Weibo does (sections 1 to 9).

Each test uses an account of its own, through an application whose safe domain is county.example.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from channels.sandbox.weibo_text import length, short_id
from tests.contract.bench import Server, server
from tests.contract.bench_weibo import ROUTE, picture

LINK = "https://county.example/1"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.weibo", tmp_path_factory.mktemp("weibo")) as running:
        yield running


class Client:
    """An ordinary client of the API."""

    def __init__(self, sandbox: Server, account: str, domain: str = "@county.example") -> None:
        self.sandbox, self.account = sandbox, account
        self.token = f"sandbox-{account}{domain}"
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, path: str, *, anonymous: bool = False, **given: Any) -> requests.Response:
        headers = {} if anonymous else {"Authorization": f"OAuth2 {self.token}"}
        url = path if path.startswith("http") else self.sandbox.address + path
        return self._session.request(method, url, headers=headers, timeout=10, **given)

    def share(self, text: str = f"停水 {LINK} ", picture: bytes = b"", **fields: str) -> requests.Response:
        """As the page describes it: the token among the fields."""
        form = {"access_token": self.token, "status": text, "rip": "211.156.0.1", **fields}
        files = {"pic": ("a.png", picture)} if picture else None
        return self.call("POST", "/2/statuses/share.json", anonymous=True, data=form, files=files)

    def posted(self, text: str = f"停水 {LINK} ", picture: bytes = b"") -> str:
        mid = self.share(text, picture).json()["idstr"]
        assert isinstance(mid, str)
        return mid

    def timeline(self, query: str = "base_app=1") -> list[str]:
        told = self.call("GET", f"/2/statuses/user_timeline.json?{query}").json()
        return [status["idstr"] for status in told["statuses"]]

    def public(self, mid: str) -> dict[str, Any]:
        told = self.call("GET", f"/statuses/show?id={mid}", anonymous=True).json()
        assert isinstance(told, dict)
        return told

    def knob(self, fault: str, **given: Any) -> None:
        self.sandbox.knob(fault, account=self.account, **given)

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def client(sandbox: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    made = Client(sandbox, re.sub(r"\W", "-", request.node.name))
    yield made
    made.close()
    sandbox.clear()


def code(answer: requests.Response, status: int = 400) -> object:
    assert status == answer.status_code
    assert {"request", "error_code", "error"} == set(answer.json())
    return answer.json()["error_code"]


# posting


def test_a_form_and_a_body_with_a_picture(client: Client) -> None:
    """Both are taken; what is given back has short links, and the picture in other bytes."""
    plain = client.share("停水 " + LINK).json()
    assert re.fullmatch(rf"停水 {client.sandbox.address}/t\.cn/A6\w+ \u200b+", plain["text"])
    shown = client.share("图 " + LINK, ROUTE).json()
    stored = client.call("GET", shown["original_pic"], anonymous=True).content
    assert stored != ROUTE
    with Image.open(io.BytesIO(stored)) as theirs, Image.open(io.BytesIO(ROUTE)) as ours:
        assert theirs.convert("RGB").tobytes() == ours.convert("RGB").tobytes()


def test_the_token_in_a_field_a_query_or_a_header(client: Client) -> None:
    """All three are documented; in no line of the record is it."""
    query = f"?access_token={client.token}"
    assert 200 == client.share().status_code
    assert 200 == client.share("图 " + LINK, ROUTE).status_code
    assert 200 == client.call("GET", f"/2/statuses/user_timeline.json{query}", anonymous=True).status_code
    assert 2 == len(client.timeline())
    assert client.token not in (client.sandbox.home / "record.jsonl").read_text()


def test_what_is_encoded_twice_is_posted_so(client: Client) -> None:
    """Garbage in, garbage on the page."""
    client.knob("unlimited")
    client.share("%E5%81%9C " + LINK)
    assert "%E5%81%9C" in client.sandbox.record()[-1]["detail"]["text"]


@pytest.mark.parametrize(("rip", "expected"), [("", 10016), ("192.168.1.4", 10017), ("x", 10017), ("127.0.0.1", 10017)])
def test_the_operators_address_is_required_and_public(client: Client, rip: str, expected: int) -> None:
    """Missing and private ones have different codes."""
    assert expected == code(client.share(rip=rip))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("停水", "text not find domain!"),
        ("停水 county.example/1", "text not find domain!"),
        ("停水 https://other.example/1", "appkey not bind domain!"),
        (f"停水 {LINK} https://other.example/1", "appkey not bind domain!"),
        ("停水 https://notcounty.example/1", "appkey not bind domain!"),
        ("停水 https://t.cn/A6x", "appkey not bind domain!"),
    ],
)
def test_every_link_is_on_the_safe_domain(client: Client, text: str, words: str) -> None:
    """By the host that is written there; no short links; at least one."""
    answer = client.share(text)
    assert (10017, words) == (code(answer), answer.json()["error"])
    assert 200 == client.share("停水 https://www.county.example/1").status_code


def test_an_application_without_a_domain_takes_any(client: Client) -> None:
    """But no foreign short links."""
    free = Client(client.sandbox, client.account, "")
    assert 200 == free.share("停水 http://127.0.0.1:9/1").status_code
    assert 10017 == code(free.share("停水 http://t.cn/A6x"))
    free.close()


def test_topics_are_refused_or_stripped(client: Client) -> None:
    """Both have been reported."""
    assert 10017 == code(client.share(f"#便民# {LINK}"))
    assert 200 == client.share(f"3#楼 {LINK}").status_code
    client.knob("strip_topics")
    assert client.share(f"#便民#停水 {LINK}").json()["text"].startswith("停水 ")


def test_length_is_counted_in_halves(client: Client) -> None:
    """280 of GBK, a link as 20; what only GB 18030 has counts four."""
    assert 280 == length(f"{'甲' * 129}ab{LINK}")
    assert 200 == client.share(f"{'甲' * 129} {LINK}").status_code
    assert 20012 == code(client.share(f"{'甲' * 130} {LINK}"))
    assert 20008 == code(client.share(" "))
    assert 4 == length("🚌")


def test_text_without_a_space_is_swallowed_by_the_link(client: Client) -> None:
    """The link then leads to what is not there."""
    mid = client.posted(f"见{LINK}，今晚停水。")
    short = re.findall(r'href="([^"]+)"', client.public(mid)["data"]["text"])[0]
    goal = client.call("GET", short, anonymous=True, allow_redirects=False).headers["Location"]
    assert goal != LINK and goal.startswith(LINK)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"not a picture", 20005), (picture("x", form="BMP"), 20005), (ROUTE + bytes(5_000_000), 20006)],
    ids=["text", "bmp", "large"],
)
def test_pictures_are_checked(client: Client, content: bytes, expected: int) -> None:
    """JPEG, GIF and PNG below 5 MB, as a file."""
    assert expected == code(client.share(picture=content))
    assert 20007 == code(client.share(pic="a.png"))
    assert [] == client.timeline()


def test_the_same_text_is_refused_for_a_while(client: Client) -> None:
    """Also when the first one was deleted; as repeated, or as similar; then it makes a second post."""
    first = client.posted()
    assert 20019 == code(client.share())
    client.call("POST", "/2/statuses/destroy.json", data={"id": first})
    assert 20019 == code(client.share())
    client.knob("similar")
    assert 20017 == code(client.share())
    client.knob("repeat_window", seconds=0)
    assert client.posted() != first


def test_ids_outgrow_a_double(client: Client) -> None:
    """As a number each is another one; ids rise."""
    posted = [client.share(f"第{number}条 {LINK}").json() for number in range(5)]
    for status in posted:
        assert status["idstr"] == status["mid"] != str(status["id"])
        assert status["id"] == int(float(status["mid"]))
    mids = [int(status["mid"]) for status in posted]
    assert mids == sorted(mids) and mids[0] > 2**53


@pytest.mark.parametrize(("mid", "bid"), [("4607741009594608", "K3fnuEfZK"), ("5232630992732508", "QdGSDbsQI")])
def test_short_ids_are_those_of_real_posts(mid: str, bid: str) -> None:
    """In base 62, by groups."""
    assert bid == short_id(mid)


# limits


def test_a_hundred_calls_a_day_all_together(client: Client) -> None:
    """Reads count like posts, refused ones too; the next is HTTP 403; only the call that tells the counts is free."""
    mid = client.posted()
    client.share("停水")
    client.call("POST", "/oauth2/get_token_info", data={"access_token": client.token})
    for _ in range(97):
        assert 200 == client.call("GET", "/2/statuses/user_timeline.json").status_code
    assert 10023 == code(client.call("GET", "/2/statuses/user_timeline.json"), 403)
    assert 10023 == code(client.share("再 " + LINK), 403)
    told = client.call("GET", "/2/account/rate_limit_status.json").json()
    assert (0, 100) == (told["remaining_user_hits"], told["user_limit"])
    assert 86_300 < told["reset_time_in_seconds"] <= 86_400
    assert 1 == client.public(mid)["ok"]
    client.knob("unlimited")
    assert 200 == client.share("再 " + LINK).status_code


def test_thirty_posts_an_hour(client: Client) -> None:
    """The thirty-first is refused; reading goes on."""
    for number in range(30):
        assert 200 == client.share(f"第{number}条 {LINK}").status_code
    assert 20016 == code(client.share(f"又一条 {LINK}"))
    assert 30 == len(client.timeline("base_app=1&count=100"))


def test_codes_may_be_strings(client: Client) -> None:
    """The same code in quotation marks."""
    assert 20008 == code(client.share(" "))
    client.knob("string_codes")
    assert "20008" == code(client.share(" "))


# tokens


def test_tokens_that_are_bad_dead_or_over(client: Client) -> None:
    """HTTP 400, each with its code; nothing is done."""
    stranger = Client(client.sandbox, client.account)
    stranger.token = "2.00guessed"
    assert 21332 == code(stranger.share())
    assert 21332 == code(stranger.call("GET", "/2/statuses/user_timeline.json"))
    stranger.close()
    client.knob("expires_in", seconds=0)
    assert 21327 == code(client.share())
    client.knob("revoke")
    assert 21332 == code(client.share())
    client.sandbox.clear()
    assert [] == client.timeline()


def test_what_is_told_of_a_token(client: Client) -> None:
    """The seconds it has left."""
    client.knob("expires_in", seconds=77)
    told = client.call("POST", "/oauth2/get_token_info", anonymous=True, data={"access_token": client.token}).json()
    assert ({"uid", "appkey", "scope", "create_at", "expire_in"}, 77) == (set(told), told["expire_in"])


# reading and deleting


def test_the_timeline_pages_and_bounds(client: Client) -> None:
    """Newest first; `since_id` excludes itself, `max_id` does not; a window hides what is older."""
    mids = [client.posted(f"第{number}条 {LINK}") for number in range(5)]
    assert mids[::-1] == client.timeline()
    assert [mids[3], mids[2]] == client.timeline(f"since_id={mids[1]}&max_id={mids[3]}")
    assert [mids[2], mids[1]] == client.timeline("count=2&page=2")
    client.knob("window", posts=2)
    assert [mids[4], mids[3]] == client.timeline()


def test_what_is_posted_by_hand_is_not_the_applications(client: Client) -> None:
    """`base_app` leaves it out; the rules for applications do not bind it."""
    ours = client.posted()
    by_hand = client.sandbox.ask("POST", "/console/post", {"user": client.account, "text": "#便民# 停水"})["mid"]
    assert [ours] == client.timeline()
    assert [by_hand, ours] == client.timeline("base_app=0")


def test_users_are_trimmed_on_request(client: Client) -> None:
    """To the number alone."""
    client.posted()
    told = client.call("GET", "/2/statuses/user_timeline.json?trim_user=1").json()["statuses"][0]["user"]
    full = client.call("GET", "/2/statuses/user_timeline.json").json()["statuses"][0]["user"]
    assert told == full["id"]


def test_deleting_twice_and_of_others(client: Client) -> None:
    """The deleted status is given back; then there is none; others' is not ours."""
    mid = client.posted()
    stranger = Client(client.sandbox, client.account + "-other")
    assert 20102 == code(stranger.call("POST", "/2/statuses/destroy.json", data={"id": mid}))
    assert mid == client.call("POST", "/2/statuses/destroy.json", data={"id": mid}).json()["idstr"]
    assert 20101 == code(client.call("POST", "/2/statuses/destroy.json", data={"id": mid}))
    assert 20101 == code(client.call("GET", f"/2/statuses/show.json?id={mid}"))
    assert (0, "20101") == (client.public(mid)["ok"], client.public(mid)["errno"])
    stranger.close()


def test_a_notice_in_a_deleted_posts_place(client: Client) -> None:
    """In lists and on the page it comes back as an object."""
    mid = client.posted()
    client.call("POST", "/2/statuses/destroy.json", data={"id": mid})
    assert [] == client.timeline()
    client.knob("notices")
    assert [mid] == client.timeline()
    assert "此微博已被原作者删除。" == client.public(mid)["data"]["text"]


def test_reads_that_lag_behind(client: Client) -> None:
    """Posted and told as delayed: at first neither the list nor the public has it."""
    client.knob("delayed")
    client.knob("lag", seconds=3600)
    assert 20032 == code(client.share())
    mid = client.sandbox.record()[-1]["ref"]
    assert ([], 0) == (client.timeline(), client.public(mid)["ok"])
    client.sandbox.clear()
    assert ([mid], 1) == (client.timeline(), client.public(mid)["ok"])


# the public


def test_a_hidden_post_is_seen_by_its_author_alone(client: Client) -> None:
    """Success, and nobody else finds it."""
    client.knob("hide")
    mid = client.posted()
    assert 200 == client.call("GET", f"/2/statuses/show.json?id={mid}").status_code
    assert "20112" == client.public(mid)["errno"]
    assert 404 == client.call("GET", f"/status/{mid}", anonymous=True).status_code


def test_a_wall_for_strangers(client: Client) -> None:
    """In words, or by status."""
    mid = client.posted()
    client.knob("wall")
    assert -100 == client.public(mid)["ok"]
    client.sandbox.clear()
    client.knob("wall", status=432)
    assert 432 == client.call("GET", f"/statuses/show?id={mid}", anonymous=True).status_code


def test_the_page_says_link_and_leads_there(client: Client) -> None:
    """By a short link, by an address that holds the goal, or to a warning."""
    mid = client.posted("<b> & 停水\n@清溪发布 " + LINK)
    shown = client.public(mid)["data"]["text"]
    assert shown.startswith("&lt;b&gt; &amp; 停水<br /><a href='/n/清溪发布'>@清溪发布</a> <a ")
    assert LINK not in shown and '<span class="surl-text">网页链接</span></a> \u200b' in shown
    short = re.findall(r'href="([^"]+)" data-hide', shown)[0]
    assert LINK == client.call("GET", short, anonymous=True, allow_redirects=False).headers["Location"]
    assert 404 == client.call("GET", short + "x", anonymous=True).status_code
    client.sandbox.knob("warn")
    assert 200 == client.call("GET", short, anonymous=True, allow_redirects=False).status_code
    client.knob("sinaurl")
    wrapped = re.findall(r'href="([^"]+)" data-hide', client.public(mid)["data"]["text"])[0]
    assert wrapped.endswith("/sinaurl?u=https%3A%2F%2Fcounty.example%2F1")
    assert LINK == client.call("GET", wrapped, anonymous=True, allow_redirects=False).headers["Location"]


def test_pages_for_the_eye(client: Client) -> None:
    """On the mobile page and, by its short name, on the desktop's."""
    shown = client.share("图 " + LINK, ROUTE).json()
    data = client.public(shown["idstr"])["data"]
    pages = [f"/status/{shown['idstr']}", f"/{shown['user']['id']}/{data['bid']}"]
    for page in pages:
        body = client.call("GET", page, anonymous=True).text
        assert "网页链接" in body and data["pics"][0]["large"]["url"] in body


def test_planted_changes_show_only_to_the_public(client: Client) -> None:
    """The author goes on seeing what was sent."""
    shown = client.share("首班 12 点 " + LINK, ROUTE).json()
    client.knob("alter", replace=["12", "13"])
    client.knob("swap_picture")
    data = client.public(shown["idstr"])["data"]
    assert "首班 13 点" in data["text"]
    assert "首班 12 点" in client.call("GET", f"/2/statuses/show.json?id={shown['idstr']}").json()["text"]
    served = client.call("GET", data["pics"][0]["large"]["url"], anonymous=True).content
    with Image.open(io.BytesIO(served)) as theirs, Image.open(io.BytesIO(ROUTE)) as ours:
        assert theirs.size == ours.size
        assert theirs.convert("RGB").tobytes() != ours.convert("RGB").tobytes()


def test_large_pictures_are_scaled(client: Client) -> None:
    """To 2048 pixels of width; a GIF stays as it is."""
    wide = client.share("宽 " + LINK, picture("wide", (2200, 100))).json()["original_pic"]
    with Image.open(io.BytesIO(client.call("GET", wide, anonymous=True).content)) as stored:
        assert (2048, 93) == stored.size
    still = picture("still", form="GIF")
    kept = client.share("图 " + LINK, still).json()["original_pic"]
    assert still == client.call("GET", kept, anonymous=True).content


def test_a_dropped_answer_was_posted(client: Client) -> None:
    """And says so in the record, on disk."""
    client.knob("drop_answer", path="/2/statuses/share.json")
    with pytest.raises(requests.ConnectionError):
        client.share()
    line = client.sandbox.record()[-1]
    assert ("drop_answer", True, [line["ref"]]) == (line["fault"], line["applied"], client.timeline())


def test_a_restarted_sandbox_knows_its_posts(tmp_path: Path) -> None:
    """Users, posts, notices of deleted ones, pictures and short links."""
    with server("channels.sandbox.weibo", tmp_path) as running:
        client = Client(running, "a")
        kept = client.share("图 " + LINK, ROUTE).json()
        gone = client.posted("再 " + LINK)
        client.call("POST", "/2/statuses/destroy.json", data={"id": gone})
        before = client.public(kept["idstr"])
        client.close()
    with server("channels.sandbox.weibo", tmp_path) as running:
        client = Client(running, "a")
        assert before == client.public(kept["idstr"])
        assert kept == client.call("GET", f"/2/statuses/show.json?id={kept['idstr']}").json()
        assert 200 == client.call("GET", kept["original_pic"], anonymous=True).status_code
        assert [kept["idstr"]] == client.timeline()
        assert 20019 == code(client.share("再 " + LINK))
        assert int(client.posted("新 " + LINK)) > int(gone)
        client.close()
