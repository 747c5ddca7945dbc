"""Text, facets, keys and records of the Bluesky channel, and what is read back: everything that needs no server."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import bluesky_post as post
from channels import bluesky_tid as tid
from channels import bluesky_view as view
from channels.bluesky import BlueskyChannel
from channels.bluesky_account import BUDGETS, LOGIN, UPLOAD, WRITE
from channels.bluesky_session import Session
from channels.sandbox.bluesky_text import graphemes
from sync.clock import SECOND
from sync.contract import Misbehaved, Receipt, Unauthorised, Unsupported
from sync.model import Asset, AssetRole, Edition, Key, Outlet, Rendition, Token
from sync.render import Templates

CANONICAL = "https://county.example/2026/11/12.html"
PAGES = Templates()
TOKEN = Key("installation", "delivery").token
AT = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z
IMAGE = Asset("a" * 64, "image/png", 9, "a.png", AssetRole.IMAGE, "图")
COVER = Asset("c" * 64, "image/jpeg", 9, "c.jpg", AssetRole.COVER)


def edition(title: str = "标题", body: str = "<p></p>", *assets: Asset, **metadata: str | tuple[str, ...]) -> Edition:
    return Edition("item", 1, title, body, metadata, assets)


# text


def test_a_short_item_goes_whole() -> None:
    """Title, summary, address, tags, each a paragraph."""
    text = post.compose(PAGES, edition("停水通知", summary="今晚停水。", topics=("供水", "便民")), CANONICAL)
    assert f"停水通知\n\n今晚停水。\n\n{CANONICAL}\n\n#供水 #便民" == text


def test_the_address_counts_in_full() -> None:
    """Unlike elsewhere: a long one leaves less room, and only whole sentences stand in it."""
    sentence = "甲" * 39 + "。"
    text = post.compose(PAGES, edition(summary=sentence * 9), f"{CANONICAL}?{'a' * 100}")
    assert f"标题\n\n{sentence * 3}\n\n{CANONICAL}?{'a' * 100}" == text


def test_a_title_is_never_cut() -> None:
    """With its address it fits as a whole, or not at all."""
    room = post.TEXT_LIMIT - 2 - len(CANONICAL)
    assert f"{'甲' * room}\n\n{CANONICAL}" == post.compose(PAGES, edition("甲" * room), CANONICAL)
    with pytest.raises(Unsupported):
        post.compose(PAGES, edition("甲" * (room + 1)), CANONICAL)


def test_the_limit_of_bytes_holds_by_itself() -> None:
    """Of the longest characters there are."""
    assert len(("𠀀" * post.TEXT_LIMIT).encode()) <= post.BYTE_LIMIT


@given(st.text(st.sampled_from("甲a。👩\u200d️🇨🇳é\u0301각ᄀ\r\n")))
def test_characters_are_never_counted_too_few(text: str) -> None:
    """What we take for 300 at most is so for the server."""
    assert graphemes(text) <= post.length(text)


def test_further_topics_are_tags_of_the_record() -> None:
    """What stands in the text is not repeated; at most eight, none longer than 64."""
    topics = ("供水", "两 词", "供水", "长" * 65, *(f"题{number}" for number in range(9)))
    text = post.compose(PAGES, edition(topics=topics), CANONICAL)
    assert text.endswith("#供水 #供水 #题0")
    assert ["两 词", *(f"题{number}" for number in range(1, 8))] == post.further_tags(topics, text)
    assert ["供 电"] == post.further_tags("供 电", text)
    assert [] == post.further_tags("", text) == post.further_tags(("供水、供电", "2026"), text)


# facets


def sliced(text: str, facet: dict[str, Any]) -> str:
    index = facet["index"]
    return text.encode()[index["byteStart"] : index["byteEnd"]].decode()


def test_facets_are_placed_by_bytes() -> None:
    """Three bytes for each Chinese character, four for an emoji; the end is exclusive."""
    text = f"停水👩\u200d👩通知\n\n{CANONICAL}\n\n#供水"
    link, tag = post.facets(text)
    assert {"byteStart": 25, "byteEnd": 25 + len(CANONICAL)} == link["index"]
    assert [{"$type": "app.bsky.richtext.facet#link", "uri": CANONICAL}] == link["features"]
    assert [{"$type": "app.bsky.richtext.facet#tag", "tag": "供水"}] == tag["features"]
    assert [CANONICAL, "#供水"] == [sliced(text, facet) for facet in (link, tag)]


def test_only_whole_words_are_tags() -> None:
    """Nothing inside a word or an address, no number, nothing longer than 64."""
    text = f"a#b #12 #{'长' * 65} #好 {CANONICAL}#part #好，"
    assert [f"{CANONICAL}#part"] == [f["features"][0]["uri"] for f in post.facets(text) if "uri" in f["features"][0]]
    assert ["好"] == [f["features"][0]["tag"] for f in post.facets(text) if "tag" in f["features"][0]]


@given(st.lists(st.sampled_from(["停水", "👩\u200d👩", "é", CANONICAL, "#供水", " ", "\n\n"]), max_size=12))
def test_what_a_facet_covers_is_what_it_names(parts: list[str]) -> None:
    """Whatever stands before it; none overlaps the next."""
    text = "".join(parts)
    found = post.facets(text)
    for facet in found:
        (feature,) = facet["features"]
        assert sliced(text, facet) == feature.get("uri", f"#{feature.get('tag')}")
    ends = [facet["index"] for facet in found]
    assert all(one["byteEnd"] <= other["byteStart"] for one, other in pairwise(ends))


# embeds


@pytest.mark.parametrize(
    ("assets", "canonical", "embed", "files"),
    [
        ((), CANONICAL, post.CARD, ()),
        ((COVER,), CANONICAL, post.CARD, (COVER,)),
        ((COVER, replace(COVER, digest="d" * 64)), CANONICAL, post.CARD, (COVER,)),
        ((IMAGE, COVER), CANONICAL, post.IMAGES, (COVER, IMAGE)),
        ((COVER,), None, post.IMAGES, (COVER,)),
        ((), None, "", ()),
    ],
)
def test_which_embed_a_post_has(
    assets: tuple[Asset, ...], canonical: str | None, embed: str, files: tuple[Asset, ...]
) -> None:
    """Pictures of the body are content and win; otherwise a card leads to the page, with the cover on it."""
    assert (embed, files) == post.embedded(edition("标题", "<p></p>", *assets), canonical)


def test_at_most_four_pictures_each_once() -> None:
    """No attachment, nothing that readers could not be shown."""
    assets = [replace(IMAGE, digest=f"d{number}") for number in range(5)]
    odd = (replace(IMAGE, role=AssetRole.ATTACHMENT), replace(IMAGE, media_type="image/svg+xml"), assets[0], COVER)
    _, files = post.embedded(edition("标题", "<p></p>", *odd, *assets), CANONICAL)
    assert [COVER.digest, "d0", "d1", "d2"] == [asset.digest for asset in files]


def rendition(text: str, embed: str, *files: Asset, tags: str = "", description: str = "") -> Rendition:
    fields = {"canonical": CANONICAL, "language": "zh", "tags": tags, "embed": embed, "description": description}
    return Rendition("标题", text, fields, files, post.shown(text, embed, files, CANONICAL, "标题", description))


BLOB = post.Blob("bafkreia", "image/png", 9, 320, 160)


def test_the_record_of_a_card() -> None:
    """Address, title and description are all required; the picture is a blob."""
    made = post.record(
        rendition("题", post.CARD, COVER, tags="甲\n乙", description="摘要"), "2026-11-22T12:00:00.000Z", [BLOB]
    )
    thumb = {"$type": "blob", "ref": {"$link": "bafkreia"}, "mimeType": "image/png", "size": 9}
    card = {"uri": CANONICAL, "title": "标题", "description": "摘要", "thumb": thumb}
    assert {
        "$type": "app.bsky.feed.post",
        "text": "题",
        "createdAt": "2026-11-22T12:00:00.000Z",
        "langs": ["zh"],
        "tags": ["甲", "乙"],
        "embed": {"$type": "app.bsky.embed.external", "external": card},
    } == made


def test_the_record_of_pictures() -> None:
    """A description even if it is empty, and the shape, so that apps reserve the room."""
    made = post.record(rendition("题", post.IMAGES, IMAGE, replace(IMAGE, alt="")), "t", [BLOB, BLOB])
    first, second = made["embed"]["images"]
    assert ("图", {"width": 320, "height": 160}, "bafkreia") == (
        first["alt"],
        first["aspectRatio"],
        first["image"]["ref"]["$link"],
    )
    assert "" == second["alt"]


def test_a_record_without_anything_has_no_empty_parts() -> None:
    """No facets, no tags, no embed."""
    assert {"$type", "text", "createdAt", "langs"} == {*post.record(rendition("题", ""), "t", [])}


# read back

ARRANGED = f"标题\n\n见 {CANONICAL} 一文。\n\n#供水"


def test_a_text_is_read_back_as_it_was_shown() -> None:
    """Paragraphs and the links in them."""
    assert rendition(ARRANGED, "").shown == post.read(ARRANGED, post.facets(ARRANGED))


def test_without_a_facet_there_is_no_link() -> None:
    """The words are there and lead nowhere."""
    assert Token("link", CANONICAL) not in post.read(ARRANGED, [])


def test_a_facet_placed_by_characters_is_told() -> None:
    """The oldest mistake: the link lies on other words."""
    (link, *_) = post.facets(ARRANGED)
    begin = ARRANGED.index("https")
    link["index"] = {"byteStart": begin, "byteEnd": begin + len(CANONICAL)}
    links = [token.value for token in post.read(ARRANGED, [link]) if token.kind == "link"]
    assert links and links != [CANONICAL] and links[0].endswith(f"→ {CANONICAL}")


def test_a_facet_that_leads_elsewhere_is_told() -> None:
    """The words say one address, the link goes to another."""
    (link, *_) = post.facets(ARRANGED)
    link["features"][0]["uri"] = "https://other.example/"
    assert Token("link", f"{CANONICAL} → https://other.example/") in post.read(ARRANGED, [link])


@pytest.mark.parametrize("odd", [None, 7, {}, {"index": {}}, {"index": {"byteStart": "0"}, "features": []}])
def test_what_is_no_facet_is_passed_over(odd: object) -> None:
    """As every client does."""
    assert (Token("text", "标题"),) == post.read("标题", [odd])


def answer(**parts: Any) -> dict[str, Any]:
    one = {"uri": "at://did:plc:a/app.bsky.feed.post/3k", "record": {"text": "题"}, "author": {}, **parts}
    return {"posts": [one]}


def test_a_card_is_read_from_both_sides_alike() -> None:
    """The AppView has an address where the record has a blob."""
    external = {"uri": CANONICAL, "title": "标题", "description": ""}
    seen = {"$type": "app.bsky.embed.external#view", "external": {**external, "thumb": "https://cdn.example/1"}}
    theirs = view.of_appview(answer(embed=seen), "town")
    written = {"$type": "app.bsky.embed.external", "external": {**external, "thumb": BLOB.ref}}
    ours = view.of_repository({"text": "题", "embed": written}, "https://pds.example", "did:plc:a")
    words = [Token("text", "题"), Token("link", CANONICAL), Token("text", "标题")]
    assert [*words, view.Picture("https://cdn.example/1")] == theirs
    place = "https://pds.example/xrpc/com.atproto.sync.getBlob?did=did%3Aplc%3Aa&cid=bafkreia"
    assert [*words, view.Picture(place)] == ours


def test_pictures_are_read_with_their_descriptions() -> None:
    """The whole picture, not the small one."""
    images = [{"thumb": "https://cdn.example/s", "fullsize": "https://cdn.example/f", "alt": " 图\n一 "}]
    parts = view.of_appview(answer(embed={"$type": "app.bsky.embed.images#view", "images": images}), "town")
    assert [Token("text", "题"), view.Picture("https://cdn.example/f"), Token("text", "图 一")] == parts


def test_another_embed_is_something_that_was_not_approved() -> None:
    """A quoted post, a film: whatever it is, a difference."""
    parts = view.of_appview(answer(embed={"$type": "app.bsky.embed.record#view"}), "town")
    assert [Token("text", "题"), Token("text", "app.bsky.embed.record")] == parts


@pytest.mark.parametrize("where", ["post", "author"])
@pytest.mark.parametrize("value", ["!hide", "!takedown"])
def test_a_hidden_post_is_not_there(where: str, value: str) -> None:
    """Apps hide it from everybody; a label that was taken back counts no more, and others only warn."""
    labels = {"labels": [{"val": value}]}
    told = answer(**labels) if where == "post" else answer(author=labels)
    assert view.of_appview(told, "town") is None
    assert view.of_appview(answer(labels=[{"val": value, "neg": True}, {"val": "porn"}]), "town")


def test_an_account_for_members_only_is_the_operators() -> None:
    """Anonymous readers are shown nothing, however often one looks."""
    with pytest.raises(Unauthorised):
        view.of_appview(answer(author={"labels": [{"val": "!no-unauthenticated"}]}), "town")


def test_a_post_left_out_of_the_answer_is_not_there() -> None:
    """The list is shorter, without a word; no list at all is no answer."""
    assert view.of_appview({"posts": []}, "town") is None
    with pytest.raises(Misbehaved):
        view.of_appview({"error": "x"}, "town")


# addresses


@pytest.mark.parametrize(
    ("ref", "url", "found"),
    [
        ("at://did:plc:a/app.bsky.feed.post/3k", "", ("did:plc:a", "3k")),
        ("", "https://bsky.app/profile/county.example/post/3k", ("county.example", "3k")),
        ("", "https://bsky.app/profile/did:plc:a/post/3k/?ref=x", ("did:plc:a", "3k")),
        ("", "https://bsky.app/profile/county.example", None),
        ("draft", "", None),
    ],
)
def test_a_post_is_named_by_its_place_or_by_its_page(ref: str, url: str, found: tuple[str, str] | None) -> None:
    """A person who settles a doubt gives the page's address."""
    assert found == view.address(Receipt(ref, url, 0))


def test_the_page_is_where_people_look() -> None:
    """The application of the public AppView, another AppView's own, or the record itself where there is none."""
    page = "/profile/did:plc:a/post/3k"
    assert f"https://bsky.app{page}" == view.page("https://public.api.bsky.app", "https://pds", "did:plc:a", "3k")
    assert f"https://view.example{page}" == view.page("https://view.example", "https://pds", "did:plc:a", "3k")
    assert view.page("", "https://pds", "did:plc:a", "3k").startswith("https://pds/xrpc/com.atproto.repo.getRecord?")


# keys


@given(st.integers(0, 2**53 - 2_000_000), st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_key_is_a_valid_tid_of_that_second(at: int, token: str) -> None:
    """Thirteen letters, the first of the lower half; the same delivery and instant give the same for ever."""
    rkey = tid.chosen(token, at)
    assert re.fullmatch(r"[234567a-j][234567a-z]{12}", rkey)
    assert at // SECOND == (tid.made_at(rkey) or 0) // SECOND
    assert tid.bears(rkey, token) and rkey == tid.chosen(token, at)


def test_keys_sort_as_they_were_made() -> None:
    """So the repository stays in order, whatever the deliveries' marks."""
    tokens = [Key("installation", f"delivery-{number}").token for number in range(50)]
    keys = [tid.chosen(token, AT + at * SECOND) for at, token in enumerate(tokens)]
    assert keys == sorted(keys)


def test_a_key_of_another_delivery_does_not_bear_the_mark() -> None:
    """Nor does one of another client, of another form, or next to ours."""
    rkey = tid.chosen(TOKEN, AT)
    assert not any(tid.bears(rkey, Key("installation", f"other-{number}").token) for number in range(1000))
    neighbour = rkey[:-1] + ("3" if rkey[-1] == "2" else "2")
    assert not any(tid.bears(other, TOKEN) for other in (neighbour, "self", rkey + "2", "z" * 13))
    assert tid.made_at("self") is None


def test_a_known_tid_is_read() -> None:
    """An example of the specification: all bits zero, and one that a known client made."""
    assert 0 == tid.made_at("2222222222222")
    assert 1_688_137_381_887_007 == tid.made_at("3jzfcijpj2z2a")  # of "TID" at atproto.com


# sessions


def jwt(**claims: object) -> str:
    packed = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{packed}.seal"


def opened(**parts: Any) -> Session:
    told = {"did": "did:plc:a", "accessJwt": jwt(exp=17), "refreshJwt": "r", **parts}
    return Session.told(told, "me at here", "https://service.example")


def test_a_session_is_kept_and_read_again() -> None:
    """With both tokens; what is none, or of another version, is none."""
    session = opened()
    assert session == Session.read(session.kept)
    assert [None] * 3 == [Session.read(kept) for kept in ("", "[]", '{"did": "x"}')]


@pytest.mark.parametrize(
    ("document", "pds"),
    [
        (None, "https://service.example"),
        ({"service": []}, "https://service.example"),
        ({"service": [{"id": "#other", "serviceEndpoint": "https://x"}]}, "https://service.example"),
        ({"service": [{"id": "#atproto_pds", "serviceEndpoint": "https://pds.example/"}]}, "https://pds.example"),
        (
            {"service": [{"id": "did:plc:a#atproto_pds", "serviceEndpoint": "https://pds.example"}]},
            "https://pds.example",
        ),
    ],
)
def test_calls_go_to_the_accounts_own_server(document: object, pds: str) -> None:
    """As the DID document names it; the service one logged in at only without one."""
    assert pds == opened(didDoc=document).pds


def test_the_end_of_a_token_is_read_from_it() -> None:
    """µs UTC; a token of another form has none."""
    assert 17 * SECOND == opened().expires_at
    assert [None] * 4 == [opened(accessJwt=odd).expires_at for odd in ("opaque", "a.b.c", jwt(), jwt(exp="x"))]


@pytest.mark.parametrize("lacking", ["did", "accessJwt", "refreshJwt"])
def test_half_a_session_is_none(lacking: str) -> None:
    """An outlet that answers so is not understood."""
    with pytest.raises(Misbehaved):
        opened(**{lacking: None})


# settings


def test_the_twin_keeps_nothing_of_the_configured_host() -> None:
    """Service, AppView, account and password replaced, never live; that there is no AppView is kept."""
    settings = {"service": "https://real.example", "handle": "county.example", "appview": "https://view.example"}
    real = Outlet("town", "unit", "bluesky", settings, {"app_password": "real"}, live=True)
    twin = BlueskyChannel.twin(real, "http://127.0.0.1:1", "/tmp/x")
    assert {"service": "http://127.0.0.1:1", "handle": "town.test", "appview": "http://127.0.0.1:1"} == twin.settings
    assert {"app_password": "sandbox-town"} == twin.secrets
    assert (False, True, "town") == (twin.live, twin.private_network, twin.name)
    alone = BlueskyChannel.twin(replace(real, settings={**settings, "appview": "none"}), "http://127.0.0.1:1", "")
    assert "none" == alone.settings["appview"]


def test_a_twin_of_any_name_has_a_handle() -> None:
    """The name itself where it can be part of one; no two outlets have the same."""
    names = ["town-1", "town", "县政府", "县委", "Town", "a b", "-a", "a" * 64]
    twins = [BlueskyChannel.twin(Outlet(name, "unit", "bluesky", {}), "http://127.0.0.1:1", "") for name in names]
    handles = [twin.settings["handle"] for twin in twins]
    assert ["town-1.test", "town.test"] == handles[:2]
    assert len(names) == len({*handles})
    assert all(re.fullmatch(r"[a-z0-9-]{1,63}\.test", handle) for handle in handles)


@pytest.mark.parametrize(
    ("of", "call"),
    [
        (LOGIN, "POST /xrpc/com.atproto.server.createSession"),
        (UPLOAD, "POST /xrpc/com.atproto.repo.uploadBlob"),
        (WRITE, "POST /xrpc/com.atproto.repo.putRecord"),
        (WRITE, "POST /xrpc/com.atproto.repo.deleteRecord"),
    ],
)
def test_budgets_count_the_calls_that_the_outlet_counts(of: str, call: str) -> None:
    """Each by the pattern that its budget names."""
    assert re.match(of, call) and of in {budget.of for budget in BUDGETS}
    assert not re.match(of, "GET /xrpc/com.atproto.server.getSession")
