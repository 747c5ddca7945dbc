"""The sandbox behaves as the fact sheet says a Mastodon server does (sections 2 to 9).

Each test uses an account of its own.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.contract.bench import Server, server
from tests.contract.bench_mastodon import PICTURE


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.mastodon", tmp_path_factory.mktemp("mastodon")) as running:
        yield running


class Client:
    """An ordinary client of the API."""

    def __init__(self, sandbox: Server, account: str) -> None:
        self.sandbox, self.account = sandbox, account
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, path: str, *, anonymous: bool = False, **given: Any) -> requests.Response:
        headers = {} if anonymous else {"Authorization": f"Bearer sandbox-{self.account}"}
        headers.update(given.pop("headers", {}))
        return self._session.request(method, self.sandbox.address + path, headers=headers, timeout=10, **given)

    def post(self, status: str = "text", key: str = "", **fields: Any) -> requests.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.call("POST", "/api/v1/statuses", json={"status": status, **fields}, headers=headers)

    def upload(self, content: bytes = PICTURE, description: str = "alt") -> requests.Response:
        return self.call("POST", "/api/v2/media", files={"file": ("a.png", content)}, data={"description": description})

    def knob(self, fault: str, **given: Any) -> None:
        self.sandbox.knob(fault, account=self.account, **given)

    def count(self) -> int:
        account = self.call("GET", "/api/v1/accounts/verify_credentials").json()["id"]
        return len(self.call("GET", f"/api/v1/accounts/{account}/statuses?limit=40").json())

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def client(sandbox: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    made = Client(sandbox, re.sub(r"\W", "-", request.node.name))
    yield made
    made.close()
    sandbox.clear()


def refused(answer: requests.Response, status: int, words: str) -> None:
    assert status == answer.status_code
    assert words in answer.json()["error"]


def test_pictures_are_ready_at_once(client: Client) -> None:
    """200 with an address; what it serves is the same picture in other bytes, to anybody."""
    answer = client.upload()
    assert 200 == answer.status_code
    assert isinstance(answer.json()["id"], str)
    served = client.call("GET", answer.json()["url"].removeprefix(client.sandbox.address), anonymous=True).content
    assert served != PICTURE
    with Image.open(io.BytesIO(served)) as theirs, Image.open(io.BytesIO(PICTURE)) as ours:
        assert theirs.convert("RGB").tobytes() == ours.convert("RGB").tobytes()


def test_slow_media_answer_202_then_206_then_200(client: Client) -> None:
    """And cannot be attached before."""
    client.knob("slow_media", seconds=0.5)
    answer = client.upload()
    media = answer.json()["id"]
    assert (202, None) == (answer.status_code, answer.json()["url"])
    assert 206 == client.call("GET", f"/api/v1/media/{media}").status_code
    refused(client.post(media_ids=[media]), 422, "have not finished processing")
    ends = time.monotonic() + 5
    while client.call("GET", f"/api/v1/media/{media}").status_code == 206:
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert 200 == client.post(media_ids=[media]).status_code


def test_attached_media_are_not_found_by_id(client: Client) -> None:
    """404 for attached and unknown alike, and they cannot be attached twice."""
    media = client.upload().json()["id"]
    assert 200 == client.call("GET", f"/api/v1/media/{media}").status_code
    client.post(media_ids=[media])
    assert 404 == client.call("GET", f"/api/v1/media/{media}").status_code
    refused(client.post(media_ids=[media]), 422, "already attached")
    client.knob("lenient_media")
    assert [] == client.post("again", media_ids=[media]).json()["media_attachments"]


def test_orphan_media_expire(client: Client) -> None:
    """Unattached, they are gone after their life; a deleted one at once."""
    first, second = client.upload().json()["id"], client.upload().json()["id"]
    assert 200 == client.call("DELETE", f"/api/v1/media/{first}").status_code
    assert 404 == client.call("DELETE", f"/api/v1/media/{first}").status_code
    client.knob("orphan_ttl", seconds=0)
    assert 404 == client.call("GET", f"/api/v1/media/{second}").status_code


def test_a_key_is_body_blind(client: Client) -> None:
    """The same key with another text returns the old status, with 200 and no sign."""
    first, second = client.post("one", key="k"), client.post("two", key="k")
    assert (200, 200) == (first.status_code, second.status_code)
    assert first.json()["id"] == second.json()["id"]
    assert 1 == client.count()


def test_a_key_does_not_last(client: Client) -> None:
    """After its life it makes a second status."""
    client.post("one", key="k")
    client.knob("key_ttl", seconds=0)
    client.post("one", key="k")
    assert 2 == client.count()


def test_without_a_key_twice_is_twice(client: Client) -> None:
    """The server has no other protection."""
    client.post("one")
    client.post("one")
    assert 2 == client.count()


def test_some_servers_ignore_the_key(client: Client) -> None:
    """As Takahē does: the same key twice made two posts."""
    client.knob("ignore_key")
    client.post("one", key="k")
    client.post("one", key="k")
    assert 2 == client.count()


def test_concurrent_requests_race_past_the_key(client: Client) -> None:
    """Older versions look first and store later."""
    client.knob("key_race", seconds=0.3)
    with ThreadPoolExecutor(2) as pool:
        ids = {answer.json()["id"] for answer in pool.map(lambda _: client.post("one", key="k"), range(2))}
    assert 2 == len(ids)


def test_limits_of_a_status(client: Client) -> None:
    """500 characters, links 23, four files, not blank."""
    link = "https://county.example/" + "a" * 200
    assert 200 == client.post("字" * 476 + " " + link).status_code
    refused(client.post("字" * 477 + " " + link), 422, "Text character limit of 500 exceeded")
    refused(client.post(" "), 422, "Text can't be blank")
    refused(client.post(media_ids=["1", "2", "3", "4", "5"]), 422, "Cannot attach more than 4 files")


def test_content_is_the_servers_html(client: Client) -> None:
    """Escaped, in paragraphs, links with invisible parts, tags linked to the server."""
    link = "https://www.county.example/2026/11/23/notices/12.html?a=1&b=2"
    content = client.post(f"<b> & 题\n行\n\n{link}\n\n#交通 #2026").json()["content"]
    assert content.startswith("<p>&lt;b&gt; &amp; 题<br />行</p><p><a href=")
    assert 'href="https://www.county.example/2026/11/23/notices/12.html?a=1&amp;b=2"' in content
    assert '<span class="invisible">https://www.</span><span class="ellipsis">county.example/2026/11/23/noti' in content
    assert "/tags/交通" in content and "/tags/2026" not in content


def test_a_time_in_the_past_posts_at_once(client: Client) -> None:
    """So does a near one on older versions; newer ones refuse it."""
    past, near = (datetime.now(UTC) + timedelta(seconds=offset) for offset in (-60, 120))
    assert "content" in client.post("past", scheduled_at=past.isoformat()).json()
    refused(client.post("near", scheduled_at=near.isoformat()), 422, "at least 5 minutes")
    client.knob("old_scheduler")
    assert "content" in client.post("near", scheduled_at=near.isoformat()).json()


def test_a_replayed_schedule_is_not_found(client: Client) -> None:
    """The key's id is looked for among ordinary statuses; the list of scheduled ones tells."""
    later = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    first = client.post("later", key="k", scheduled_at=later).json()
    assert {"id", "scheduled_at", "params", "media_attachments"} == set(first)
    refused(client.post("later", key="k", scheduled_at=later), 404, "Record not found")
    assert 0 == client.count()
    listed = client.call("GET", "/api/v1/scheduled_statuses").json()
    assert first["id"] in [entry["id"] for entry in listed]
    assert 200 == client.call("DELETE", f"/api/v1/scheduled_statuses/{first['id']}").status_code


def test_counters_and_the_iso_reset(client: Client) -> None:
    """The tightest bucket is told; the 31st upload in half an hour is refused, without Retry-After."""
    headers = client.call("GET", "/api/v1/accounts/verify_credentials").headers
    assert ("300", "299") == (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"])
    reset = datetime.fromisoformat(headers["X-RateLimit-Reset"])
    assert timedelta(0) < reset - datetime.now(UTC) <= timedelta(minutes=5)
    first = client.upload()
    assert "29" == first.headers["X-RateLimit-Remaining"]
    for _ in range(29):
        client.upload()
    over = client.upload()
    refused(over, 429, "Too many requests")
    assert "Retry-After" not in over.headers
    client.knob("unlimited")
    assert 200 == client.upload().status_code


def test_a_revoked_token_is_refused_everywhere(client: Client) -> None:
    """Also where none would be needed; and no token at all is another answer."""
    status = client.post().json()["id"]
    client.knob("revoke")
    refused(client.call("GET", "/api/v1/accounts/verify_credentials"), 401, "The access token is invalid")
    refused(client.call("GET", f"/api/v1/statuses/{status}"), 401, "The access token is invalid")
    assert 200 == client.call("GET", f"/api/v1/statuses/{status}", anonymous=True).status_code
    refused(client.call("POST", "/api/v1/statuses", anonymous=True), 401, "requires an authenticated user")


def test_private_statuses_are_not_found_by_strangers(client: Client) -> None:
    """404, as if it did not exist, on the API and on the page."""
    status = client.post(visibility="private").json()
    path = status["url"].removeprefix(client.sandbox.address)
    assert 404 == client.call("GET", f"/api/v1/statuses/{status['id']}", anonymous=True).status_code
    assert 404 == client.call("GET", path, anonymous=True).status_code
    assert 200 == client.call("GET", f"/api/v1/statuses/{status['id']}").status_code


def test_editing_keeps_the_history(client: Client) -> None:
    """All of it is given anew; leaving the media out drops them."""
    media = client.upload().json()["id"]
    status = client.post("first", media_ids=[media]).json()
    edited = client.call("PUT", f"/api/v1/statuses/{status['id']}", json={"status": "second"}).json()
    assert edited["edited_at"] and [] == edited["media_attachments"]
    assert "second" == client.call("GET", f"/api/v1/statuses/{status['id']}/source").json()["text"]
    history = client.call("GET", f"/api/v1/statuses/{status['id']}/history", anonymous=True).json()
    assert ["<p>first</p>", "<p>second</p>"] == [version["content"] for version in history]


def test_an_edit_may_keep_pictures_and_describe_them_anew(client: Client) -> None:
    """`media_ids` names old and new ones; `media_attributes` changes what is there; another's are not found."""
    old, new = client.upload().json()["id"], client.upload().json()["id"]
    path = f"/api/v1/statuses/{client.post('first', media_ids=[old]).json()['id']}"
    attributes = [{"id": old, "description": "described anew"}]
    given = {"status": "first", "media_ids": [old, new], "media_attributes": attributes}
    edited = client.call("PUT", path, json=given).json()
    assert ["described anew", "alt"] == [media["description"] for media in edited["media_attachments"]]
    refused(client.call("PUT", path, json={"status": "x", "media_ids": ["1"]}), 422, "not found")
    refused(client.call("PUT", path, json={"status": "字" * 501}), 422, "character limit")


def test_an_edit_that_changes_nothing_makes_no_version(client: Client) -> None:
    """No `edited_at`, one entry in the history; visibility cannot be changed."""
    status = client.post("first", visibility="unlisted").json()
    path = f"/api/v1/statuses/{status['id']}"
    edited = client.call("PUT", path, json={"status": "first", "visibility": "public"}).json()
    assert (None, "unlisted") == (edited["edited_at"], edited["visibility"])
    assert 1 == len(client.call("GET", f"{path}/history").json())


def test_the_status_of_another_account_is_neither_edited_nor_deleted(client: Client) -> None:
    """404, as if it did not exist."""
    path = f"/api/v1/statuses/{client.post('mine').json()['id']}"
    stranger = Client(client.sandbox, client.account + "-other")
    assert [404, 404] == [stranger.call(method, path, json={"status": "x"}).status_code for method in ("PUT", "DELETE")]
    stranger.close()


def test_deleting_with_its_media(client: Client) -> None:
    """Also those that only an earlier version showed."""
    media = [client.upload().json() for _ in range(2)]
    path = f"/api/v1/statuses/{client.post('first', media_ids=[media[0]['id']]).json()['id']}"
    client.call("PUT", path, json={"status": "second", "media_ids": [media[1]["id"]]})
    files = [one["url"].removeprefix(client.sandbox.address) for one in media]
    assert [200, 200] == [client.call("GET", file, anonymous=True).status_code for file in files]
    client.call("DELETE", f"{path}?delete_media=true")
    assert [404, 404] == [client.call("GET", file, anonymous=True).status_code for file in files]


def test_deleting_returns_the_text(client: Client) -> None:
    """For a redraft; the media become loose again. Twice is 404."""
    media = client.upload().json()["id"]
    status = client.post("to be redrafted", media_ids=[media]).json()["id"]
    assert "to be redrafted" == client.call("DELETE", f"/api/v1/statuses/{status}").json()["text"]
    assert 404 == client.call("GET", f"/api/v1/statuses/{status}", anonymous=True).status_code
    assert 200 == client.call("GET", f"/api/v1/media/{media}").status_code
    assert 404 == client.call("DELETE", f"/api/v1/statuses/{status}").status_code


def test_listing_pages_backwards(client: Client) -> None:
    """Newest first, both ends excluded, ids rise with time."""
    ids = [client.post(str(number)).json()["id"] for number in range(5)]
    assert ids == sorted(ids, key=int)
    account = client.call("GET", "/api/v1/accounts/verify_credentials").json()["id"]
    path = f"/api/v1/accounts/{account}/statuses?limit=2&since_id={ids[0]}&max_id={ids[4]}"
    assert [ids[3], ids[2]] == [status["id"] for status in client.call("GET", path, anonymous=True).json()]


def test_a_silenced_account_is_not_told(client: Client) -> None:
    """Public becomes unlisted, with 200."""
    client.knob("silenced")
    assert "unlisted" == client.post().json()["visibility"]


def test_planted_changes_show_only_to_the_public(client: Client) -> None:
    """The owner goes on seeing what was sent."""
    media = client.upload().json()
    status = client.post("首班 12 点", media_ids=[media["id"]]).json()
    client.knob("alter", replace=["12", "13"])
    client.knob("swap_picture")
    path, page = f"/api/v1/statuses/{status['id']}", status["url"].removeprefix(client.sandbox.address)
    assert "12" in client.call("GET", path).json()["content"]
    assert "13" in client.call("GET", path, anonymous=True).json()["content"]
    assert "首班 13 点" in client.call("GET", page, anonymous=True).text
    served = client.call("GET", media["url"].removeprefix(client.sandbox.address), anonymous=True).content
    with Image.open(io.BytesIO(served)) as theirs, Image.open(io.BytesIO(PICTURE)) as ours:
        assert theirs.size == ours.size
        assert theirs.convert("RGB").tobytes() != ours.convert("RGB").tobytes()


# the shared base


def test_the_record_is_on_disk_before_the_answer(client: Client) -> None:
    """Whoever got an answer finds its line, with the time of arrival and no token."""
    before = time.time_ns() // 1000
    status = client.post("recorded", key="key-1").json()["id"]
    line = client.sandbox.record()[-1]
    assert {
        "at": line["at"],
        "method": "POST",
        "path": "/api/v1/statuses",
        "account": client.account,
        "applied": True,
        "effect": "post_created",
        "ref": status,
        "fault": "",
        "detail": {"key": "key-1", "text": "recorded", "visibility": "public", "media": []},
    } == line
    assert before <= line["at"] <= time.time_ns() // 1000
    client.call("GET", "/api/v1/statuses/1", headers={"Authorization": "Bearer stolen-token"})
    assert "stolen-token" not in (client.sandbox.home / "record.jsonl").read_text()
    assert client.sandbox.record() == client.sandbox.ask("GET", "/_sandbox/record")


FAULTS: list[tuple[str, dict[str, Any], bool, object]] = [
    ("refuse", {"status": 429, "json": {"error": "slow down"}, "headers": {"Retry-After": "9"}}, False, 429),
    ("login_page", {}, False, 200),
    ("answer_502", {}, True, 502),
    ("delay", {"before_ms": 50, "after_ms": 50}, True, 200),
    ("slow_drip", {"every_ms": 0}, True, 200),
    ("drop_request", {}, False, None),
    ("drop_request", {"reset": True}, False, None),
    ("drop_answer", {}, True, None),
    ("drop_answer", {"reset": True}, True, None),
]


@pytest.mark.parametrize(("fault", "given", "applied", "status"), FAULTS)
def test_faults(client: Client, fault: str, given: dict[str, Any], applied: bool, status: object) -> None:
    """Each does what it says, once, and says so in the record."""
    client.knob(fault, method="POST", path="/api/v1/statuses", **given)
    try:
        answer: object = client.post("x").status_code
    except requests.ConnectionError:
        answer = None
    assert status == answer
    assert (fault, applied) == tuple(client.sandbox.record()[-1][name] for name in ("fault", "applied"))
    assert int(applied) == client.count()
    assert 200 == client.post("after").status_code


@pytest.mark.parametrize("hold", [False, True])
def test_a_late_request_takes_effect_after_its_caller_is_gone(client: Client, hold: bool) -> None:
    """Two lines: one when it came, one when it took effect."""
    client.knob("late", method="POST", path="/api/v1/statuses", seconds=0.4, hold=hold)
    with pytest.raises(requests.ConnectionError):
        client.post("late")
    ends = time.monotonic() + 5
    while client.count() == 0:
        assert time.monotonic() < ends
        time.sleep(0.05)
    came, applied = [line for line in client.sandbox.record() if line["fault"] == "late"][-2:]
    assert (False, True) == (came["applied"], applied["applied"])
    assert applied["at"] - came["at"] >= 400_000


def test_knobs_are_counted_listed_and_cleared(client: Client) -> None:
    """`times` counts down, 0 stays; another account is not hit."""
    client.knob("refuse", path="/api/v1/statuses", times=2)
    client.knob("refuse", path="/api/v1/media/*", times=0)
    assert [2, 0] == [knob["times"] for knob in client.sandbox.ask("GET", "/_sandbox/knobs")]
    assert [503, 503, 200] == [client.post(str(number)).status_code for number in range(3)]
    assert [503, 503] == [client.call("GET", "/api/v1/media/1").status_code for _ in range(2)]
    stranger = Client(client.sandbox, client.account + "-other")
    assert 404 == stranger.call("GET", "/api/v1/media/1").status_code
    stranger.close()
    client.sandbox.clear()
    assert 404 == client.call("GET", "/api/v1/media/1").status_code


def test_a_restarted_sandbox_knows_statuses_pictures_and_keys(tmp_path: Path) -> None:
    """At the same address; an edit, a deletion and a key that was used count as before."""
    with server("channels.sandbox.mastodon", tmp_path) as running:
        client = Client(running, "a")
        media = client.upload().json()
        kept = client.post("first", key="k", media_ids=[media["id"]]).json()
        client.call("PUT", f"/api/v1/statuses/{kept['id']}", json={"status": "second", "media_ids": [media["id"]]})
        gone = client.post("to be deleted").json()["id"]
        client.call("DELETE", f"/api/v1/statuses/{gone}")
        client.close()
    with server("channels.sandbox.mastodon", tmp_path) as running:
        client = Client(running, "a")
        shown = client.call("GET", f"/api/v1/statuses/{kept['id']}", anonymous=True).json()
        assert (kept["url"], "<p>second</p>") == (shown["url"], shown["content"])
        assert 200 == client.call("GET", media["url"].removeprefix(running.address), anonymous=True).status_code
        assert 2 == len(client.call("GET", f"/api/v1/statuses/{kept['id']}/history").json())
        assert 404 == client.call("GET", f"/api/v1/statuses/{gone}").status_code
        assert kept["id"] == client.post("again", key="k").json()["id"]
        assert 1 == client.count()
        client.close()


def test_a_stopped_sandbox_keeps_its_record(tmp_path: Path) -> None:
    """It ends with code 0; the next one in the same home goes on after the lines that are whole."""
    with server("channels.sandbox.mastodon", tmp_path) as running:
        assert running.ask("POST", "/api/v1/statuses", {"status": "one"}, token="sandbox-a")
    with (tmp_path / "record.jsonl").open("a") as file:
        file.write('{"torn":')
    with server("channels.sandbox.mastodon", tmp_path) as running:
        running.ask("POST", "/api/v1/statuses", {"status": "two"}, token="sandbox-a")
        lines = running.ask("GET", "/_sandbox/record")
    assert ["one", "two"] == [line["detail"]["text"] for line in lines]
