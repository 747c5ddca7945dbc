"""The sandbox behaves as the fact sheet says a Ghost server does (sections 1 to 9, and what was observed).

Each test uses a site of its own.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.contract.bench import Server, server
from tests.contract.bench_ghost import ROUTE, picture
from tests.contract.ghost_site import Client

CARD = "<!--kg-card-begin: html-->{}<!--kg-card-end: html-->"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.ghost", tmp_path_factory.mktemp("ghost")) as running:
        yield running


@pytest.fixture
def client(sandbox: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    made = Client(sandbox, re.sub(r"[\W_]+", "-", request.node.name).strip("-"))
    yield made
    made.close()
    sandbox.clear()


def refused(answer: requests.Response, status: int, kind: str, code: str | None = None, words: str = "") -> None:
    assert status == answer.status_code, answer.text
    error = answer.json()["errors"][0]
    assert (kind, code) == (error["type"], error["code"])
    assert words in f"{error['message']} {error['context']}"


def in_minutes(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


# tokens


def test_a_good_token_is_let_in_and_the_site_needs_none(client: Client) -> None:
    """The version is told to anybody."""
    assert [] == client.posts()
    told = client.see(f"{client.home}/ghost/api/admin/site/").json()["site"]
    assert told["version"].startswith("6.")


@pytest.mark.parametrize("token", ["guessed", "a.b.c", "e30.e30", "W10.W10.x"])
def test_a_malformed_token_is_a_bad_request(client: Client, token: str) -> None:
    """400 INVALID_JWT, not 401."""
    refused(client.call("GET", "posts/", token), 400, "BadRequestError", "INVALID_JWT")


def test_a_token_without_the_key_id_is_a_bad_request(client: Client) -> None:
    """The key is looked up by it before anything is verified."""
    refused(client.call("GET", "posts/", client.token(kid="")), 400, "BadRequestError", "MISSING_ADMIN_API_KID")


def test_an_unknown_or_revoked_key_is_unauthorised(client: Client) -> None:
    """Also the key of another site."""
    refused(client.call("GET", "posts/", client.token(kid="0" * 24)), 401, "UnauthorizedError", "UNKNOWN_ADMIN_API_KEY")
    client.knob("revoke")
    refused(client.call("GET", "posts/"), 401, "UnauthorizedError", "UNKNOWN_ADMIN_API_KEY")


def test_a_secret_is_its_bytes_not_its_letters(client: Client) -> None:
    """The usual mistake: signed with the hexadecimal text."""
    token = client.token(secret=client.secret.hex().encode())
    refused(client.call("GET", "posts/", token), 401, "UnauthorizedError", "INVALID_JWT", "invalid signature")


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": 1}, "jwt expired"),
        ({"iat": 1}, "maxAge exceeded"),
        ({"aud": "/content/"}, "audience invalid"),
        ({"alg": "HS512"}, "invalid algorithm"),
    ],
)
def test_a_token_that_is_old_or_for_something_else_is_unauthorised(
    client: Client, claims: dict[str, Any], words: str
) -> None:
    """Five minutes at most, whatever it says itself."""
    refused(client.call("GET", "posts/", client.token(**claims)), 401, "UnauthorizedError", "INVALID_JWT", words)


def test_a_server_whose_clock_is_ahead_takes_no_fresh_token(client: Client) -> None:
    """Some seconds do not matter, five minutes do; one that is behind takes it."""
    for seconds in (60, -600):
        client.later(seconds)
        assert 200 == client.call("GET", "posts/").status_code
        client.sandbox.clear()
    client.later(301)
    refused(client.call("GET", "posts/"), 401, "UnauthorizedError", "INVALID_JWT", "jwt expired")


def test_other_schemes_and_no_header_are_refused(client: Client) -> None:
    """`Bearer` is none of Ghost's."""
    answer = client.call("GET", "posts/", headers={"Authorization": f"Bearer {client.token()}"})
    refused(answer, 401, "UnauthorizedError", "INVALID_AUTH_HEADER")
    refused(client.see(f"{client.home}/ghost/api/admin/posts/"), 403, "NoPermissionError")


# addresses


def test_without_the_slash_at_its_end_it_redirects(client: Client) -> None:
    """301, which makes a GET of a PUT; nothing of what was sent is looked at."""
    answer = client.call("POST", "posts?source=html", json={"posts": [{"title": "lost"}]})
    assert (301, True) == (answer.status_code, answer.headers["Location"].endswith("/posts/?source=html"))
    assert [] == client.posts()
    refused(client.call("GET", "pots/"), 404, "NotFoundError")


def test_at_another_address_everything_redirects(client: Client) -> None:
    """As by http, or at the domain of the pages."""
    client.knob("moved", to="https://admin.example")
    answer = client.call("PUT", "posts/1/", json={})
    assert (301, "https://admin.example/ghost/api/admin/posts/1/") == (answer.status_code, answer.headers["Location"])


# slugs and tags


def test_a_taken_slug_gets_a_number(client: Client) -> None:
    """201, never a refusal; the same create twice makes two posts."""
    assert ["k", "k-2", "k-3"] == [client.create(slug="k")["slug"] for _ in range(3)]


def test_posts_are_found_by_slug_tag_and_id(client: Client) -> None:
    """Drafts too; internal tags begin with `hash-`; absence is 404, or an empty list."""
    post, other = client.create(slug="k", tags=[{"name": "#Pub k"}, "新闻"]), client.create(slug="l")
    assert post["id"] == client.call("GET", "posts/slug/k/").json()["posts"][0]["id"]
    assert [post["id"]] == [one["id"] for one in client.posts("filter=tag:hash-pub-k")]
    assert [other["id"], post["id"]] == [one["id"] for one in client.posts("filter=slug:'k',slug:'l'")]
    assert ["internal", "public"] == [tag["visibility"] for tag in post["tags"]]
    assert [] == client.posts("filter=tag:hash-pub-x")
    refused(client.call("GET", "posts/slug/x/"), 404, "NotFoundError")
    refused(client.call("GET", "posts/?filter=slug~k"), 400, "BadRequestError")


def test_tags_replace_all_that_were_there(client: Client) -> None:
    """And stay when they are left out."""
    post = client.create(tags=["a", "#b"])
    post = client.saved(post, title="x")
    assert ["a", "#b"] == [tag["name"] for tag in post["tags"]]
    assert ["c"] == [tag["name"] for tag in client.saved(post, tags=["c"])["tags"]]


def test_a_new_title_of_a_draft_makes_a_new_slug_unless_one_is_sent(client: Client) -> None:
    """Of a post that was public once the address stays."""
    post = client.saved(client.create(slug="k"), title="Second")
    assert "second" == post["slug"]
    post = client.saved(post, title="Third", slug="k")
    assert "k" == post["slug"]
    post = client.saved(post, status="published")
    assert "k" == client.saved(client.saved(post, status="draft"), title="Fourth")["slug"]


# content


def test_html_without_source_leaves_an_empty_body(client: Client) -> None:
    """201 all the same; published, the page has a title and nothing else."""
    post = client.create("", html="<p>text</p>", status="published")
    assert "" == post["html"]
    page = client.see(post["url"]).text
    assert "标题</h1>" in page and "text" not in page


def test_source_html_loses_what_the_editor_does_not_know(client: Client) -> None:
    """Classes, wrappers, styles and scripts go; words, links and pictures stay."""
    html = (
        '<section class="x" id="y">loose <p style="color:red" data-k="1">a <span lang="en">b</span></p></section>'
        '<script>1</script><figure><img src="/p.png" alt="x" width="1"><figcaption>c</figcaption></figure>'
        '<dl><dt>d</dt><dd>e</dd></dl><p><a href="/q" rel="z">q</a></p>tail'
    )
    assert (
        '<p>loose</p><p>a b</p><figure><img src="/p.png" alt="x" class="kg-image" loading="lazy">'
        '<figcaption>c</figcaption></figure><p>de</p><p><a href="/q">q</a></p><p>tail</p>'
    ) == client.create(html=html)["html"]


def test_an_html_card_is_kept_as_it_is(client: Client) -> None:
    """Attributes, styles and all."""
    inside = '<div data-k="1"><style>p{}</style><table class="x"><tbody><tr><td>1</td></tr></tbody></table></div>'
    post = client.create(html=f"<p>a</p>{CARD.format(inside)}<p>b</p>")
    assert f"<p>a</p>\n<!--kg-card-begin: html-->\n{inside}\n<!--kg-card-end: html-->\n<p>b</p>" == post["html"]
    assert ["markup", "html", "markup"] == [node["type"] for node in json.loads(post["lexical"])["root"]["children"]]


def test_text_beside_the_elements_of_a_card_is_lost(client: Client) -> None:
    """Only elements have an outerHTML. A card that is never closed goes on to the end."""
    post = client.create(html=CARD.format("lost <p>kept</p> lost too <b>kept</b>"))
    assert "\n<!--kg-card-begin: html-->\n<p>kept</p>\n<b>kept</b>\n<!--kg-card-end: html-->\n" == post["html"]
    assert "<i>c</i>" in client.create(html="<!--kg-card-begin: html--><i>c</i>")["html"]


def test_a_table_becomes_a_card(client: Client) -> None:
    """Wherever it stands."""
    html = '<div><table class="x"><tbody><tr><td>1</td></tr></tbody></table></div>'
    assert '<table class="x"><tbody><tr><td>1</td></tr></tbody></table>' in client.create(html=html)["html"]


def test_lexical_is_taken_as_it_is_and_nothing_else(client: Client) -> None:
    """The source wins over `html`; what is no document is refused."""
    children = [
        {"type": "paragraph", "children": [{"text": "a & b", "type": "text"}]},
        {"type": "html", "html": "<i>c</i>"},
    ]
    lexical = json.dumps({"root": {"children": children}})
    post = client.create("", lexical=lexical, html="<p>no</p>")
    assert "<p>a &amp; b</p>" in post["html"] and "<i>c</i>" in post["html"] and "no" not in post["html"]
    answer = client.call("POST", "posts/", json={"posts": [{"title": "x", "lexical": "[]"}]})
    refused(answer, 422, "ValidationError", None, "lexical")


def test_conversion_can_be_worse(client: Client) -> None:
    """Where the source is ignored, or cards are unknown."""
    client.knob("no_cards")
    html = CARD.format('<div data-k="1"><table><tr><td>1</td></tr></table><p>a</p></div>')
    assert "<p>1</p><p>a</p>" == client.create(html=html)["html"]
    client.knob("no_source")
    assert "" == client.create(html=html)["html"]


@pytest.mark.parametrize(("name", "most"), [("title", 255), ("custom_excerpt", 300), ("feature_image_alt", 191)])
def test_lengths(client: Client, name: str, most: int) -> None:
    """422 beyond."""
    client.create(**{name: "字" * most})
    answer = client.call("POST", "posts/", json={"posts": [{"title": "x", name: "字" * (most + 1)}]})
    refused(answer, 422, "ValidationError", None, name)


def test_what_is_no_post_is_refused(client: Client) -> None:
    """A title is needed, and the root key."""
    refused(client.call("POST", "posts/", json={"posts": [{"slug": "x"}]}), 422, "ValidationError", None, "title")
    refused(client.call("POST", "posts/", json=[]), 400, "BadRequestError")


# saving


def test_a_stale_save_that_changes_something_collides(client: Client) -> None:
    """409 UPDATE_COLLISION, and nothing of it is kept."""
    post = client.create()
    client.later()
    client.saved(post, title="first")
    refused(client.save(post, title="second"), 409, "UpdateCollisionError", "UPDATE_COLLISION")
    assert "first" == client.read(post["id"])["title"]


def test_a_stale_save_that_changes_nothing_is_taken(client: Client) -> None:
    """200: repeating what was done is no collision, and is no save."""
    post = client.create()
    client.later()
    saved = client.saved(post, title="same")
    client.later()
    assert saved == client.saved(post, title="same")


def test_saves_within_one_second_do_not_collide(client: Client) -> None:
    """Times are kept in whole seconds: the later one wins unseen."""
    for _ in range(20):
        post = client.create(title="before")
        if client.saved(post, title="first")["updated_at"] == post["updated_at"]:
            break
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", post["updated_at"])
    assert "second" == client.saved(post, title="second")["title"]


def test_a_save_must_name_the_time(client: Client) -> None:
    """422 without `updated_at`."""
    post = client.create()
    answer = client.call("PUT", f"posts/{post['id']}/", json={"posts": [{"title": "x"}]})
    refused(answer, 422, "ValidationError", None, "updated_at")


def test_deleting_is_final(client: Client) -> None:
    """204 empty, then 404 to everything."""
    post = client.create()
    answer = client.call("DELETE", f"posts/{post['id']}/")
    assert (204, b"") == (answer.status_code, answer.content)
    for method in ("GET", "DELETE"):
        refused(client.call(method, f"posts/{post['id']}/"), 404, "NotFoundError")
    refused(client.save(post, title="x"), 404, "NotFoundError")


# states


def test_publishing_makes_the_page_and_unpublishing_takes_it(client: Client) -> None:
    """At once; the same id, and the same address when it comes back."""
    post = client.create(slug="k", html="<p>text</p>")
    assert f"{client.home}/p/{post['uuid']}/" == post["url"]
    assert 404 == client.see(f"{client.home}/k/").status_code
    public = client.saved(post, status="published")
    assert (f"{client.home}/k/", True) == (public["url"], public["published_at"] is not None)
    assert "<p>text</p>" in client.see(public["url"]).text
    hidden = client.saved(public, status="draft")
    assert (404, post["id"]) == (client.see(public["url"]).status_code, hidden["id"])
    assert public["published_at"] == client.saved(hidden, status="published")["published_at"]
    assert ["post_created", "post_published", "post_unpublished", "post_published"] == [
        line["effect"] for line in client.lines() if line["applied"]
    ]


def test_a_draft_can_be_previewed_by_whoever_knows_its_address(client: Client) -> None:
    """Not at the public one; once public the preview leads there."""
    post = client.create(slug="k", html="<p>text</p>")
    assert "<p>text</p>" in client.see(post["url"]).text
    assert 404 == client.see(post["url"].replace(post["uuid"], "0")).status_code
    client.saved(post, status="published")
    answer = client.see(post["url"], follow=False)
    assert (301, f"{client.home}/k/") == (answer.status_code, answer.headers["Location"])


def test_an_older_date_sorts_it_down_the_list(client: Client) -> None:
    """`published_at` is kept when it was given, to the second."""
    client.saved(client.create(title="new"), status="published")
    post = client.saved(client.create(title="old"), status="published", published_at="2020-01-01T00:00:00.900Z")
    assert "2020-01-01T00:00:00.000Z" == post["published_at"]
    page = client.see(f"{client.home}/").text
    assert page.index(">new<") < page.index(">old<")


def test_scheduling_needs_two_minutes(client: Client) -> None:
    """Only where the date changes; and a date at all."""
    post = client.create()
    refused(client.save(post, status="scheduled"), 422, "ValidationError", None, "published_at")
    early = client.save(post, status="scheduled", published_at=in_minutes(1.5))
    refused(early, 422, "ValidationError", None, "at least 2 minutes in the future")
    post = client.saved(post, status="scheduled", published_at=in_minutes(3))
    client.later(90)
    assert "scheduled" == client.saved(post, title="x", published_at=post["published_at"])["status"]


def test_a_scheduled_post_is_published_by_the_server(client: Client) -> None:
    """With its own date; the record says when it was due."""
    post = client.saved(client.create(slug="k"), status="scheduled", published_at=in_minutes(3))
    assert 404 == client.see(f"{client.home}/k/").status_code
    client.later(200)
    assert 200 == client.see(f"{client.home}/k/").status_code
    public = client.read(post["id"])
    assert ("published", post["published_at"]) == (public["status"], public["published_at"])
    line = next(line for line in client.lines() if line["detail"].get("scheduled"))
    assert ("post_published", post["id"]) == (line["effect"], line["ref"])


def test_what_is_public_cannot_be_scheduled(client: Client) -> None:
    """422, and it stays public."""
    post = client.saved(client.create(), status="published")
    answer = client.save(post, status="scheduled", published_at=in_minutes(9))
    refused(answer, 422, "ValidationError", None, "already published")
    assert "published" == client.read(post["id"])["status"]
    refused(client.save(post, status="public"), 422, "ValidationError", None, "status")


def test_an_email_only_post_is_sent_and_not_on_the_site(client: Client) -> None:
    """Its status says so."""
    post = client.saved(client.create(slug="k", email_only=True), "newsletter=weekly", status="published")
    assert ("sent", 404) == (post["status"], client.see(f"{client.home}/k/").status_code)
    assert 404 == client.see(f"{client.home}/p/{post['uuid']}/").status_code


# mail


def mailed(client: Client) -> list[str]:
    return [line["detail"]["mailed"]["newsletter"] for line in client.lines() if "mailed" in line["detail"]]


def test_a_newsletter_is_mailed_with_the_change_of_status(client: Client) -> None:
    """Once: neither a later save nor publishing again sends it anew."""
    assert ["active", "archived"] == [one["status"] for one in client.call("GET", "newsletters/").json()["newsletters"]]
    post = client.saved(client.create(), "newsletter=weekly&email_segment=status:free", status="published")
    assert ("submitted", "status:free") == (post["email"]["status"], post["email"]["segment"])
    post = client.saved(post, "newsletter=weekly", title="x")
    client.later()
    for name in ("weekly", "nobody"):  # not even looked at
        post = client.saved(client.saved(post, status="draft"), f"newsletter={name}", status="published")
    assert ["weekly"] == mailed(client)
    assert {"slug": "weekly"} == post["newsletter"]


def test_nothing_is_mailed_without_one(client: Client) -> None:
    """Nor when it comes with a draft, or another change."""
    post = client.saved(client.create("newsletter=weekly&source=html"), "newsletter=weekly", title="x")
    post = client.saved(post, status="published")
    client.saved(post, "newsletter=weekly", title="y")
    assert [] == mailed(client)


@pytest.mark.parametrize("name", ["old-weekly", "nobody"])
def test_an_unknown_newsletter_is_refused(client: Client, name: str) -> None:
    """400, and nothing is published."""
    post = client.create()
    refused(client.save(post, f"newsletter={name}", status="published"), 400, "BadRequestError")
    assert "draft" == client.read(post["id"])["status"]


def test_a_scheduled_post_remembers_its_newsletter(client: Client) -> None:
    """And mails it when its time comes; going back to a draft before that forgets it."""
    post = client.create()
    for _ in range(2):
        post = client.saved(post, "newsletter=weekly", status="scheduled", published_at=in_minutes(3))
        assert {"slug": "weekly"} == post["newsletter"]
        post = client.saved(post, status="draft")
        assert post["newsletter"] is None
    client.saved(post, "newsletter=weekly", status="scheduled", published_at=post["published_at"])
    assert [] == mailed(client)
    client.later(200)
    assert "submitted" == client.read(post["id"])["email"]["status"]
    assert ["weekly"] == mailed(client)


# pages


def test_titles_are_escaped_on_the_page(client: Client) -> None:
    """In the heading and in the head."""
    page = client.see(client.create(title='<b> & "', status="published")["url"]).text
    assert ">&lt;b&gt; &amp; &quot;</h1>" in page and "<title>&lt;b&gt;" in page


def test_head_and_lead_show_summary_and_cover(client: Client) -> None:
    """What is looked up by the reader back."""
    fields = {"custom_excerpt": "摘要", "feature_image": "https://x.example/c.png", "feature_image_alt": "封面"}
    page = client.see(client.create(status="published", **fields)["url"]).text
    assert '<meta name="description" content="摘要">' in page
    assert '<meta property="og:image" content="https://x.example/c.png">' in page
    assert '<img src="https://x.example/c.png" alt="封面">' in page


def test_members_only_hides_the_body_from_strangers(client: Client) -> None:
    """By the site's default, or by the post's own word; the title stays."""
    client.knob("members")
    hidden = client.create(html="<p>secret</p>", status="published")
    open_ = client.create(html="<p>secret</p>", status="published", visibility="public")
    assert ("members", "public") == (hidden["visibility"], open_["visibility"])
    page = client.see(hidden["url"]).text
    assert "secret" not in page and "标题</h1>" in page and "subscribers only" in page
    assert "secret" in client.see(open_["url"]).text


def test_links_out_of_the_site_are_tagged_on_the_page(client: Client) -> None:
    """Not what is stored; not the site's own, nor those that have a source, nor mail; browsers' way of writing."""
    links = {
        "https://A.example": "https://a.example/?ref=127.0.0.1",
        "https://a.example/b?c=1#d": "https://a.example/b?c=1&ref=127.0.0.1#d",
        "https://a.example/线": "https://a.example/%E7%BA%BF?ref=127.0.0.1",
        "https://a.example/?ref=x": "https://a.example/?ref=x",
        "https://www.facebook.com/x": "https://www.facebook.com/x",
        "mailto:a@b.example": "mailto:a@b.example",
        f"{client.home}/about/": f"{client.home}/about/",
    }
    html = CARD.format("<p>" + "".join(f'<a href="{link}">x</a>' for link in links) + "</p>")
    post = client.create(html=html, status="published")
    page = client.see(post["url"]).text
    assert list(links.values()) == re.findall(r'<a href="([^"]*)">x</a>', page)
    assert 'href="https://A.example"' in post["html"]
    client.knob("untagged")
    assert 'href="https://A.example"' in client.see(post["url"]).text


def test_planted_changes_show_only_on_the_page(client: Client) -> None:
    """The API goes on telling what was sent."""
    image = client.upload("a.png", ROUTE).json()["images"][0]["url"]
    html = CARD.format(f'<div><table><tr><td>12</td><td>b</td></tr></table><img src="{image}"></div>')
    post = client.create(html=html, status="published")
    client.knob("alter", replace=["12", "13"])
    assert "<td>13</td>" in client.see(post["url"]).text
    client.knob("drop_cell")
    assert "<td>13</td>" not in client.see(post["url"]).text
    client.knob("swap_picture")
    assert ROUTE != client.see(image).content
    assert "<td>12</td>" in client.read(post["id"])["html"]


def test_a_page_comes_late_or_goes_early_where_a_cache_is_in_the_way(client: Client) -> None:
    """The API says published all the time."""
    post = client.create(status="published")
    client.knob("lag", seconds=60)
    assert (404, "published") == (client.see(post["url"]).status_code, client.read(post["id"])["status"])
    client.sandbox.clear()
    assert 200 == client.see(post["url"]).status_code
    client.knob("vanish", seconds=0)
    assert 404 == client.see(post["url"]).status_code


def test_public_addresses_end_with_a_slash(client: Client) -> None:
    """Others lead there."""
    post = client.create(slug="k", status="published")
    assert 301 == client.see(post["url"].rstrip("/"), follow=False).status_code
    assert post["url"] == client.see(post["url"].rstrip("/")).url
    assert 404 == client.see(f"{post['url']}9").status_code


# pictures


def test_pictures_are_kept_under_a_name_of_their_own(client: Client) -> None:
    """Cleaned; a taken name gets a number; to anybody, as they came."""
    urls = [client.upload("线 路.png", ROUTE).json()["images"][0]["url"] for _ in range(2)]
    assert urls[0] != urls[1] and urls[1].endswith("-1.png") and " " not in urls[0]
    answer = client.see(urls[0])
    assert (ROUTE, "image/png") == (answer.content, answer.headers["Content-Type"])
    assert "x" == client.upload("a.png", ROUTE).json()["images"][0]["ref"]


def test_wide_pictures_are_scaled(client: Client) -> None:
    """To 2,000 pixels."""
    url = client.upload("a.png", picture("wide", size=(2400, 300))).json()["images"][0]["url"]
    with Image.open(io.BytesIO(client.see(url).content)) as stored:
        assert (2000, 250) == stored.size


def test_other_files_are_no_pictures(client: Client) -> None:
    """415, 422 without one."""
    refused(client.upload("a.pdf", b"%PDF", "application/pdf"), 415, "UnsupportedMediaTypeError")
    refused(client.call("POST", "images/upload/", files={"other": ("a.png", ROUTE)}), 422, "ValidationError")


# faults


def test_a_lost_answer_to_a_flip_is_done_all_the_same(client: Client) -> None:
    """The reply is dropped after the commit."""
    post = client.create()
    client.knob("drop_answer", method="PUT", path="*/posts/*")
    with pytest.raises(requests.ConnectionError):
        client.save(post, status="published")
    assert "published" == client.read(post["id"])["status"]
    assert ("drop_answer", True) == tuple(client.lines()[-2][name] for name in ("fault", "applied"))


def test_a_create_may_be_made_twice(client: Client) -> None:
    """By whoever stands between and repeats it: the answer speaks of the later one."""
    client.knob("doubles")
    assert "k-2" == client.create(slug="k")["slug"]
    assert ["k-2", "k"] == [post["slug"] for post in client.posts()]


def test_the_record_is_on_disk_before_the_answer(client: Client) -> None:
    """With what happened and what was asked, and no token."""
    before = time.time_ns() // 1000
    post = client.saved(client.create(slug="k"), "save_revision=true", status="published")
    line = client.lines()[-1]
    assert {
        "at": line["at"],
        "method": "PUT",
        "path": f"/{client.site}/ghost/api/admin/posts/{post['id']}/",
        "account": client.site,
        "applied": True,
        "effect": "post_published",
        "ref": post["id"],
        "fault": "",
        "detail": {"query": "formats=html&save_revision=true", "changed": ["published_at", "status"], "slug": "k"},
    } == line
    assert before <= line["at"] <= time.time_ns() // 1000
    token = client.token()
    client.call("GET", "posts/", token)
    assert token.rpartition(".")[2] not in (client.sandbox.home / "record.jsonl").read_text()


def test_a_restarted_sandbox_knows_posts_and_pictures(tmp_path: Path) -> None:
    """At the same address; what was deleted stays so, and a taken slug is taken."""
    with server("channels.sandbox.ghost", tmp_path) as running:
        client = Client(running, "a")
        image = client.upload("a.png", ROUTE).json()["images"][0]["url"]
        kept = client.saved(client.create(slug="k", html=f'<img src="{image}">'), status="published")
        client.call("DELETE", f"posts/{client.create(slug='gone')['id']}/")
        client.close()
    with server("channels.sandbox.ghost", tmp_path) as running:
        client = Client(running, "a")
        assert [kept["id"]] == [post["id"] for post in client.posts()]
        assert image in client.see(kept["url"]).text
        assert ROUTE == client.see(image).content
        assert "k-2" == client.create(slug="k")["slug"]
        client.close()
