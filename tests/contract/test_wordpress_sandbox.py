"""The sandbox behaves as the fact sheet says a WordPress site does (sections 1 to 10, and what was observed).

Each test uses a site of its own.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feedparser
import pytest
import requests
from PIL import Image

from tests.contract.bench import Server, server
from tests.contract.sites import PICTURE


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.wordpress", tmp_path_factory.mktemp("wordpress")) as running:
        yield running


class Client:
    """An ordinary client of one site's API."""

    def __init__(self, sandbox: Server, site: str) -> None:
        self.sandbox, self.site, self.home = sandbox, site, f"{sandbox.address}/{site}"
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, route: str, user: str = "editor", **given: Any) -> requests.Response:
        """`user` "": nobody."""
        auth = (user, given.pop("password", f"sandbox {self.site}")) if user else None
        address = f"{self.home}/wp-json/wp/v2/{route}"
        return self._session.request(method, address, auth=auth, timeout=10, **given)

    def get(self, path: str, **given: Any) -> requests.Response:
        """As anybody, a page."""
        address = path if path.startswith("http") else self.home + path
        return self._session.get(address, timeout=10, **given)

    def post(self, user: str = "editor", **given: Any) -> dict[str, Any]:
        answer = self.call("POST", "posts", user, json={"title": "标题", "content": "<p>正文</p>", **given})
        assert 201 == answer.status_code, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def change(self, post: dict[str, Any], **given: Any) -> dict[str, Any]:
        told: dict[str, Any] = self.call("POST", f"posts/{post['id']}", json=given).json()
        return told

    def upload(
        self, content: bytes = PICTURE, name: str = "a.png", user: str = "editor", **given: str
    ) -> requests.Response:
        return self.call("POST", "media", user, files={"file": (name, content)}, data=given)

    def lines(self, effect: str) -> list[dict[str, Any]]:
        """What happened at this site, of one kind."""
        return [one for one in self.sandbox.record() if (one["account"], one["effect"]) == (self.site, effect)]

    def knob(self, fault: str, **given: Any) -> None:
        self.sandbox.knob(fault, account=self.site, **given)

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def client(sandbox: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    made = Client(sandbox, re.sub(r"\W", "-", request.node.name))
    yield made
    made.close()
    sandbox.clear()


def refused(answer: requests.Response, status: int, code: str) -> None:
    assert (status, code) == (answer.status_code, answer.json()["code"])


def ahead(seconds: float) -> str:
    """A time as WordPress takes it, UTC without a zone."""
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


# who asks


def test_spaces_of_an_application_password_do_not_count(client: Client) -> None:
    """And the rights of a user are told to the user alone."""
    told = client.call("GET", "users/me?context=edit", password=f"sand box{client.site}").json()
    assert told["capabilities"]["publish_posts"]
    assert "capabilities" not in client.call("GET", "users/me").json()


def test_a_wrong_password_makes_the_caller_nobody(client: Client) -> None:
    """As observed: 401 rest_cannot_create; other versions tell."""
    given: dict[str, Any] = {"json": {"title": "x"}, "password": "wrong"}
    refused(client.call("POST", "posts", **given), 401, "rest_cannot_create")
    refused(client.call("GET", "users/me", password="wrong"), 401, "rest_not_logged_in")
    client.knob("tells_password")
    refused(client.call("POST", "posts", **given), 401, "incorrect_password")
    refused(client.call("POST", "posts", "stranger", **given), 401, "invalid_username")


@pytest.mark.parametrize("knob", ["strip_authorization", "revoke"])
def test_without_the_header_every_call_is_anonymous(client: Client, knob: str) -> None:
    """A question for drafts is a bad parameter then, not a missing right."""
    client.knob(knob)
    refused(client.call("GET", "users/me"), 401, "rest_not_logged_in")
    answer = client.call("GET", "posts?status=any&context=edit")
    refused(answer, 400, "rest_invalid_param")
    assert ["status"] == list(answer.json()["data"]["params"])


def test_roles(client: Client) -> None:
    """401 to whom it does not know, 403 to whom it knows; authors edit their own posts only."""
    refused(client.call("POST", "posts", "subscriber", json={"title": "x"}), 403, "rest_cannot_create")
    draft = client.post("contributor")
    answer = client.call("POST", f"posts/{draft['id']}", "contributor", json={"status": "publish"})
    refused(answer, 403, "rest_cannot_publish")
    refused(client.call("POST", f"posts/{draft['id']}", "author", json={"title": "y"}), 403, "rest_cannot_edit")
    refused(client.call("DELETE", f"posts/{draft['id']}", "author"), 403, "rest_cannot_delete")
    refused(client.call("POST", f"posts/{draft['id']}", "", json={"title": "y"}), 401, "rest_cannot_edit")
    refused(client.upload(user="contributor"), 400, "rest_cannot_create")
    assert 200 == client.call("POST", f"posts/{draft['id']}", "editor", json={"status": "publish"}).status_code


def test_what_the_public_sees_of_the_api(client: Client) -> None:
    """Published posts, without their sources."""
    draft, public = client.post(), client.post(status="publish")
    refused(client.call("GET", f"posts/{draft['id']}", ""), 401, "rest_forbidden")
    refused(client.call("GET", "posts/999999", ""), 404, "rest_post_invalid_id")
    refused(client.call("GET", f"posts/{public['id']}?context=edit", ""), 401, "rest_forbidden_context")
    assert ["rendered"] == list(client.call("GET", f"posts/{public['id']}", "").json()["title"])
    assert [public["id"]] == [post["id"] for post in client.call("GET", "posts", "").json()]
    client.knob("closed_rest")
    refused(client.call("GET", "posts", ""), 401, "rest_login_required")


# status and date


@pytest.mark.parametrize(
    ("sent", "seconds", "becomes"),
    [
        ("publish", 75, "future"),
        ("publish", 20, "publish"),
        ("publish", -600, "publish"),
        ("future", 20, "publish"),
        ("future", -5, "publish"),
        ("future", 75, "future"),
    ],
)
def test_the_sixty_second_table(client: Client, sent: str, seconds: int, becomes: str) -> None:
    """With HTTP 200 or 201 either way."""
    post = client.post(status=sent, date_gmt=ahead(seconds))
    assert (becomes, 1 if becomes == "publish" else 0) == (post["status"], len(client.call("GET", "posts", "").json()))
    draft = client.post()
    assert becomes == client.change(draft, status=sent, date_gmt=ahead(seconds))["status"]


def test_the_site_s_own_clock_decides(client: Client) -> None:
    """Behind by more than a minute, "now" is the future; what was never dated is published all the same."""
    client.knob("clock", seconds=-75)
    assert "future" == client.post(status="publish", date_gmt=ahead(0))["status"]
    post = client.post()
    assert "publish" == client.change(post, status="publish")["status"]


def test_a_draft_has_no_date_until_it_is_published(client: Client) -> None:
    """Each save moves it, unless one was given; null takes it away again."""
    dated = client.post(date_gmt="2099-01-01T00:00:00")
    assert "2099-01-01T00:00:00" == dated["date_gmt"]
    assert "future" == client.change(dated, status="publish")["status"]
    client.change(dated, status="draft")
    assert "publish" == client.change(dated, status="publish", date_gmt=None)["status"]


def test_unknown_statuses_and_meta_keys_are_dropped_without_a_word(client: Client) -> None:
    """So no marker can be kept in a meta field."""
    post = client.post(status="scheduled", meta={"tongfa": "x"})
    assert ("draft", []) == (post["status"], post["meta"])


def test_planned_posts_appear_with_the_next_visit_of_a_page(client: Client) -> None:
    """Calls of the API do not count as visits; late or never, as hosts are."""
    client.knob("clock", seconds=-100)
    post = client.post(status="publish", date_gmt=ahead(0))
    client.sandbox.clear()
    assert "future" == client.call("GET", f"posts/{post['id']}?context=edit").json()["status"]
    client.knob("cron", never=True)
    client.get("/")
    assert [] == client.call("GET", "posts", "").json()
    client.sandbox.clear()
    client.knob("cron", seconds=600)
    client.get("/")
    assert [] == client.call("GET", "posts", "").json()
    client.sandbox.clear()
    client.get("/")
    assert [post["id"]] == [one["id"] for one in client.call("GET", "posts", "").json()]


def test_plug_ins_run_after_it_is_public_and_before_the_answer(client: Client) -> None:
    """A second of newsletters; readers have it meanwhile. A second publish does not run them again."""
    post = client.post()
    client.knob("slow_hooks", seconds=1.0)
    began = time.monotonic()
    with pytest.raises(requests.Timeout):
        client._session.post(
            f"{client.home}/wp-json/wp/v2/posts/{post['id']}",
            json={"status": "publish"},
            auth=("editor", f"sandbox {client.site}"),
            timeout=0.3,
        )
    assert 200 == client.call("GET", f"posts/{post['id']}", "").status_code
    assert time.monotonic() - began < 1.0
    client.sandbox.clear()
    client.change(post, status="publish")
    ends = time.monotonic() + 5
    while not (lines := client.lines("published")):
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert [str(post["id"])] == [line["ref"] for line in lines]


def test_a_moderating_plug_in(client: Client) -> None:
    """200, and pending."""
    client.knob("moderates")
    assert "pending" == client.change(client.post(), status="publish")["status"]


# slugs


def test_a_repeated_create_is_numbered_never_refused(client: Client) -> None:
    """`lost`, `lost-2`, `lost-3`; in older versions drafts share a slug until they are published."""
    assert ["lost", "lost-2", "lost-3"] == [client.post(slug="lost")["slug"] for _ in range(3)]
    client.knob("old_drafts")
    first, second = client.post(slug="old"), client.post(slug="old")
    assert ("old", "old") == (first["slug"], second["slug"])
    assert {"old", "old-2"} == {client.change(post, status="publish")["slug"] for post in (first, second)}


def test_slugs_are_looked_up_with_any_status_but_the_trash(client: Client) -> None:
    """Several at once; in the trash the slug has an ending of its own, and comes back."""
    draft = client.post(slug="key")
    other = client.post(slug="key-2", status="publish")
    found = client.call("GET", "posts?slug=key,key-2&status=any&context=edit").json()
    assert {draft["id"], other["id"]} == {post["id"] for post in found}
    assert "key__trashed" == client.call("DELETE", f"posts/{draft['id']}").json()["slug"]
    assert [] == client.call("GET", "posts?slug=key&status=any&context=edit").json()
    found = client.call("GET", "posts?slug=key__trashed&status=trash&context=edit").json()
    assert [draft["id"]] == [post["id"] for post in found]
    assert "key" == client.change(draft, status="draft")["slug"]


def test_chinese_slugs_are_bytes(client: Client) -> None:
    """Nine for each letter, cut at 200."""
    slug = client.post(status="publish", title="关于开通乡村公交环线的通告关于开通乡村公交环线的通告")["slug"]
    assert slug.startswith("%e5%85%b3%e4%ba%8e") and len(slug) <= 200


# trash


def test_deleting_goes_by_the_trash(client: Client) -> None:
    """Gone for the public at once; a second time 410; `force` for good; without a trash 501."""
    post = client.post(status="publish")
    assert "trash" == client.call("DELETE", f"posts/{post['id']}").json()["status"]
    assert 404 == client.get(post["link"]).status_code
    refused(client.call("DELETE", f"posts/{post['id']}"), 410, "rest_already_trashed")
    assert client.call("DELETE", f"posts/{post['id']}?force=true").json()["deleted"]
    refused(client.call("GET", f"posts/{post['id']}?context=edit"), 404, "rest_post_invalid_id")
    client.knob("no_trash")
    refused(client.call("DELETE", f"posts/{client.post()['id']}"), 501, "rest_trash_not_supported")


def test_an_unpublished_post_is_404_and_keeps_id_and_slug(client: Client) -> None:
    """Reversible, at the same address."""
    post = client.post(status="publish", slug="here")
    client.change(post, status="draft")
    assert 404 == client.get(post["link"]).status_code
    assert post["link"] == client.change(post, status="publish")["link"]


# filters


def test_an_editor_s_title_and_text_are_stored_raw(client: Client) -> None:
    """`<Ende>` in a title becomes an element on the public page, and a script is stored."""
    post = client.post(title="Anfang <Ende><script>x()</script>", content='<p onclick="y()">a</p>', status="publish")
    page = client.get(post["link"]).text
    assert "Anfang <Ende><script>x()</script></h1>" in page and 'onclick="y()"' in page


@pytest.mark.parametrize("filtered", ["author", "multisite"])
def test_users_without_unfiltered_html_lose_markup_without_a_word(client: Client, filtered: str) -> None:
    """201, and less than was sent: scripts leave their text, `<b>` stays."""
    if filtered == "multisite":
        client.knob("multisite")
    user = "author" if filtered == "author" else "editor"
    content = '<p onclick="y()">a & b</p><iframe src="https://x.example/"></iframe><a href="javascript:z()">c</a>'
    post = client.post(user, title="<b>T</b><script>x()</script><Ende>", content=content)
    assert "<b>T</b>x()" == post["title"]["raw"]
    assert '<p>a &amp; b</p><a href="z()">c</a>' == post["content"]["raw"]


def test_a_strict_plug_in_strips_for_all(client: Client) -> None:
    """Even an administrator."""
    client.knob("strip", tags=["table", "td"])
    post = client.post("administrator", content="<table><tr><td>1</td></tr></table>")
    assert "<tr>1</tr>" == post["content"]["raw"]


TYPED = '"a" it\'s 9" - b -- c... 3x4 (tm) Wordpress :)'


def test_texts_are_shown_with_other_characters_than_were_sent(client: Client) -> None:
    """So whoever compares `rendered` with what was sent finds differences; `raw` is what was sent."""
    post = client.post(title=TYPED, content=f"<!-- wp:paragraph --><p>{TYPED}</p><!-- /wp:paragraph -->")
    assert TYPED == post["title"]["raw"]
    assert "“a” it’s 9″ – b – c… 3×4 ™ WordPress :)" == post["title"]["rendered"]
    assert '<p>“a” it’s 9″ – b – c… 3×4 ™ WordPress <img class="wp-smiley"' in post["content"]["rendered"]


def test_what_is_no_block_becomes_paragraphs(client: Client) -> None:
    """Line ends become breaks; with block marks nothing is added, and the marks are not shown."""
    plain = client.post(content="one\ntwo\n\nthree")
    assert "<p>one<br />\ntwo</p>\n<p>three</p>" == plain["content"]["rendered"]
    block = client.post(content="<!-- wp:html -->\none\ntwo\n<!-- /wp:html -->")
    assert "one\ntwo\n" == block["content"]["rendered"]


def test_addresses_alone_are_embedded_and_shortcodes_run(client: Client) -> None:
    """A player, and nothing; written as references both are text."""
    marked = "<!-- wp:html -->{}<!-- /wp:html -->"
    shown = client.post(content=marked.format("<p>https://v.example/1</p>[gallery]"))["content"]["rendered"]
    assert "<iframe" in shown and "gallery" not in shown
    safe = marked.format("<p>https&#058;//v.example/1</p>&#091;gallery]")
    assert "<p>https&#058;//v.example/1</p>&#091;gallery]" == client.post(content=safe)["content"]["rendered"]


# files and terms


def test_files_of_hidden_posts_are_in_no_public_list(client: Client) -> None:
    """A file that belongs to none is in it at once; the bytes are readable by whoever knows the address."""
    draft = client.post()
    hidden = client.upload(post=str(draft["id"])).json()
    loose = client.upload(alt_text="<b>图</b>", title="图").json()
    assert [loose["id"]] == [file["id"] for file in client.call("GET", "media", "").json()]
    refused(client.call("GET", f"media/{hidden['id']}", ""), 401, "rest_forbidden")
    assert PICTURE == client.get(hidden["source_url"]).content
    assert "图" == loose["alt_text"]
    client.change(draft, status="publish")
    assert 2 == len(client.call("GET", "media", "").json())
    client.call("DELETE", f"posts/{draft['id']}?force=true")
    assert client.call("GET", f"media/{hidden['id']}", "").json()["post"] is None


def test_files_are_found_by_slug_and_numbered_like_posts(client: Client) -> None:
    """Duplicates get another slug and another name."""
    first, second = client.upload(slug="key").json(), client.upload(slug="key").json()
    assert ("key", "key-2") == (first["slug"], second["slug"])
    assert second["source_url"].endswith("/a-1.png")
    client.post(slug="taken")
    assert "taken-2" == client.upload(slug="taken").json()["slug"]
    assert [first["id"]] == [file["id"] for file in client.call("GET", "media?slug=key&context=edit").json()]
    refused(client.call("DELETE", f"media/{first['id']}"), 501, "rest_trash_not_supported")
    assert client.call("DELETE", f"media/{first['id']}?force=true").json()["deleted"]
    assert 404 == client.get(first["source_url"]).status_code
    assert 200 == client.get(second["source_url"]).status_code


def test_a_raw_body_needs_a_name(client: Client) -> None:
    """Content-Disposition names the file; only some kinds are taken."""
    refused(client.call("POST", "media", data=PICTURE), 400, "rest_upload_no_content_disposition")
    named = {"Content-Disposition": 'attachment; filename="b.png"', "Content-Type": "image/png"}
    assert client.call("POST", "media", data=PICTURE, headers=named).json()["source_url"].endswith("/b.png")
    refused(client.upload(name="a.svg"), 500, "rest_upload_unknown_error")
    refused(client.call("POST", "media"), 400, "rest_upload_no_data")
    client.knob("largest_upload", bytes=10)
    refused(client.upload(), 400, "rest_upload_file_too_big")


def test_of_a_large_picture_a_smaller_copy_is_shown(client: Client) -> None:
    """`-scaled`, 2,560 pixels at most."""
    file = io.BytesIO()
    Image.new("RGB", (3000, 300)).save(file, "PNG")
    url = client.upload(file.getvalue(), "wide.png").json()["source_url"]
    assert url.endswith("/wide-scaled.png")
    with Image.open(io.BytesIO(client.get(url).content)) as shown:
        assert (2560, 256) == shown.size


def test_a_picture_may_be_too_much_for_the_server(client: Client) -> None:
    """500 with HTML, and the id of the stored file in a header."""
    client.knob("fatal_after_upload")
    answer = client.upload(slug="big")
    assert 500 == answer.status_code
    (there,) = client.call("GET", "media?slug=big&context=edit").json()
    assert answer.headers["X-WP-Upload-Attachment-ID"] == str(there["id"])


def test_terms_exist_once(client: Client) -> None:
    """A second one of the same name is refused with the id of the first; authors make none."""
    refused(client.call("POST", "categories", "author", json={"name": "a"}), 403, "rest_cannot_create")
    made = client.call("POST", "categories", json={"name": "a & b"}).json()
    answer = client.call("POST", "categories", json={"name": "a & b"})
    refused(answer, 400, "term_exists")
    assert made["id"] == answer.json()["data"]["term_id"]
    assert ["a &amp; b"] == [term["name"] for term in client.call("GET", "categories?search=a %26 b").json()]
    client.knob("blind_search")
    assert [] == client.call("GET", "categories?search=a").json()


def test_each_change_of_a_text_leaves_a_revision(client: Client) -> None:
    """What stood there before; a change of status leaves none."""
    post = client.post(content="<p>one</p>")
    client.change(post, content="<p>two</p>")
    client.change(post, status="publish")
    (revision,) = client.call("GET", f"posts/{post['id']}/revisions").json()
    assert "<p>one</p>" == revision["content"]


def test_creates_that_are_no_creates(client: Client) -> None:
    """An id, or nothing at all."""
    refused(client.call("POST", "posts", json={"title": "x", "id": 3}), 400, "rest_post_exists")
    refused(client.call("POST", "posts", json={"slug": "x"}), 400, "empty_content")
    refused(client.call("POST", "posts", json={"title": "x", "date_gmt": "soon"}), 400, "rest_invalid_param")
    refused(client.call("GET", "nothing"), 404, "rest_no_route")


# where it is


def test_plain_permalinks(client: Client) -> None:
    """`/wp-json/` is a page then; the home page names the other form, where nginx allows every method."""
    client.knob("plain_permalinks")
    assert (404, "text/html") == (
        client.call("GET", "posts").status_code,
        client.call("GET", "posts").headers["Content-Type"][:9],
    )
    root = client.get("/").headers["Link"].split(">")[0].lstrip("<")
    assert root.endswith("/index.php?rest_route=/")
    auth = ("editor", f"sandbox {client.site}")
    post = client._session.post(f"{root}wp/v2/posts", json={"title": "x", "status": "publish"}, auth=auth).json()
    assert f"{client.home}/?p={post['id']}" == post["link"]
    assert 200 == client.get(post["link"]).status_code
    bare = f"{client.home}/?rest_route=/wp/v2/posts/{post['id']}"
    assert 200 == client._session.get(bare).status_code
    assert 405 == client._session.delete(bare, auth=auth).status_code
    assert 200 == client._session.delete(f"{root}wp/v2/posts/{post['id']}", auth=auth).status_code
    client.sandbox.clear()
    client.knob("no_link_header")
    assert "Link" not in client.get("/").headers


def test_dated_permalinks(client: Client) -> None:
    """The date is that of the post; an address that is nearly right leads there."""
    client.knob("dated_permalinks")
    post = client.post(status="publish", slug="dated", date_gmt="2026-11-05T08:00:00")
    assert f"{client.home}/2026/11/05/dated/" == post["link"]
    assert 200 == client.get(post["link"]).status_code
    assert post["link"] == client.get("/dat/").url


def test_methods_may_be_named_in_a_header(client: Client) -> None:
    """As the site's own editor does, for hosts that refuse the rarer methods."""
    post = client.post()
    told = client.call("POST", f"posts/{post['id']}", headers={"X-HTTP-Method-Override": "DELETE"}).json()
    assert "trash" == told["status"]


@pytest.mark.parametrize("status", [403, 500, 502, 503])
def test_trouble_is_told_in_html(client: Client, status: int) -> None:
    """By whoever stands before WordPress, or when the database is down: once, and nothing is done."""
    client.knob("html_page", method="POST", status=status)
    answer = client.call("POST", "posts", json={"title": "x"})
    assert (status, True) == (answer.status_code, answer.headers["Content-Type"].startswith("text/html"))
    assert [] == client.call("GET", "posts?status=any&context=edit").json()


def test_too_large_for_the_web_server(client: Client) -> None:
    """413, a page."""
    client.knob("max_body", bytes=100)
    answer = client.call("POST", "posts", json={"title": "x" * 200})
    assert (413, True) == (answer.status_code, answer.headers["Content-Type"].startswith("text/html"))


def test_notices_stand_before_the_json(client: Client) -> None:
    """Status and type are as ever."""
    client.knob("notices")
    answer = client.call("GET", "posts")
    assert (200, "application/json") == (answer.status_code, answer.headers["Content-Type"])
    assert answer.text.endswith("[]") and answer.text.startswith("<br />")


def test_the_api_switched_off(client: Client) -> None:
    """A page at both addresses."""
    client.knob("no_api")
    for path in ("/wp-json/wp/v2/posts", "/index.php?rest_route=/wp/v2/posts"):
        answer = client.get(path)
        assert (404, True) == (answer.status_code, answer.headers["Content-Type"].startswith("text/html"))


# what readers get


def test_a_page_has_a_theme_around_the_text(client: Client) -> None:
    """Title, text, cover; other posts beside it; the canonical address in its head."""
    cover = client.upload().json()
    client.post(status="publish", title="Other")
    post = client.post(status="publish", featured_media=cover["id"], content="<p>正文</p>")
    page = client.get(post["link"]).text
    assert '<h1 class="entry-title">标题</h1>' in page and "<p>正文</p>" in page and ">Other</a>" in page
    assert cover["source_url"] in page and f'<link rel="canonical" href="{post["link"]}">' in page
    assert 404 == client.get("/nothing/").status_code
    client.knob("bare_theme")
    assert (
        '<div class="x">'
        not in client.get(client.post(status="publish", content='<div class="x">a</div>')["link"]).text
    )


def test_caches_serve_what_was(client: Client) -> None:
    """Page and anonymous API by their whole address; with another query they ask the site."""
    post = client.post(status="publish", content="<p>one</p>")
    client.knob("page_cache", seconds=600)
    api = f"posts/{post['id']}"
    for _ in range(2):
        assert "one" in client.get(post["link"]).text and "one" in client.call("GET", api, "").text
        client.change(post, content="<p>two</p>")
    assert "two" in client.get(f"{post['link']}?x=1").text and "two" in client.call("GET", f"{api}?x=1", "").text
    assert "two" in client.call("GET", f"{api}?context=edit").text


def test_planted_changes_show_only_to_the_public(client: Client) -> None:
    """Page and anonymous API; the editor goes on seeing what was sent."""
    picture = client.upload().json()
    content = "<table><tr><td>06:30</td><td>07:00</td></tr></table>"
    post = client.post(status="publish", content=content)
    client.knob("alter", replace=["07:00", "07:01"])
    client.knob("drop_cell")
    client.knob("swap_picture")
    for told in (client.get(post["link"]).text, client.call("GET", f"posts/{post['id']}", "").text):
        assert "07:01" in told and "<td>06:30" not in told
    assert content == client.call("GET", f"posts/{post['id']}?context=edit").json()["content"]["raw"]
    with Image.open(io.BytesIO(client.get(picture["source_url"]).content)) as theirs:
        assert theirs.convert("RGB").tobytes() != Image.open(io.BytesIO(PICTURE)).convert("RGB").tobytes()


def test_a_post_may_vanish(client: Client) -> None:
    """From its page, with nobody having asked for it."""
    post = client.post(status="publish")
    assert 200 == client.get(post["link"]).status_code
    client.knob("vanish", seconds=0)
    assert 404 == client.get(post["link"]).status_code


def test_the_feed(client: Client) -> None:
    """Unchanged, it says so; the guid is `?p=ID`, whatever the slug."""
    post = client.post(status="publish", title="A &amp; B")
    told = client.get("/feed/")
    (entry,) = feedparser.parse(told.text).entries
    assert ("A & B", post["link"], f"{client.home}/?p={post['id']}") == (entry.title, entry.link, entry.id)
    assert 304 == client.get("/feed/", headers={"If-None-Match": told.headers["ETag"]}).status_code
    client.post(status="publish")
    assert 200 == client.get("/feed/", headers={"If-None-Match": told.headers["ETag"]}).status_code


# the shared base


def test_the_record_tells_what_was_done_and_no_password(client: Client) -> None:
    """Whoever got an answer finds its line."""
    post = client.post(status="publish", title="A &lt;B&gt;", date_gmt="2026-11-05T08:00:00")
    line = client.sandbox.record()[-1]
    assert ("published", str(post["id"]), client.site, True) == tuple(
        line[n] for n in ("effect", "ref", "account", "applied")
    )
    assert {"title": "A <B>", "link": post["link"], "date": "2026-11-05T08:00:00"} == line["detail"]
    assert f"sandbox {client.site}" not in (client.sandbox.home / "record.jsonl").read_text()


def test_a_restarted_sandbox_knows_everything(tmp_path: Path) -> None:
    """Posts, files, terms, the trash, at the same address; ids go on."""
    with server("channels.sandbox.wordpress", tmp_path) as running:
        client = Client(running, "a")
        file = client.upload(slug="pic").json()
        term = client.call("POST", "categories", json={"name": "c"}).json()
        kept = client.post(status="publish", slug="kept", categories=[term["id"]])
        gone = client.post(slug="gone")
        client.call("DELETE", f"posts/{gone['id']}")
        client.close()
    with server("channels.sandbox.wordpress", tmp_path) as running:
        client = Client(running, "a")
        assert (kept["link"], [term["id"]]) == tuple(
            client.call("GET", "posts", "").json()[0][n] for n in ("link", "categories")
        )
        assert PICTURE == client.get(file["source_url"]).content
        assert "gone" == client.change(gone, status="draft")["slug"]
        assert client.post()["id"] > gone["id"]
        client.close()
