"""Somebody else's client meets the sandbox: the Python SDK of the AT Protocol, which knows nothing of us.

It validates every answer against the official lexicons, so what it takes is of the right shape. It also reads
what our channel wrote, and recomputes the content addresses with a library of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import libipld
import pytest
from atproto import Client, SessionEvent, client_utils, models  # type: ignore[import-untyped]
from atproto.exceptions import (  # type: ignore[import-untyped]
    BadRequestError,
    RateLimitExceededError,
    RequestException,
    UnauthorizedError,
)

from channels import bluesky_tid as tid
from channels.sandbox.bluesky_cid import encoded, of_bytes, of_record
from sync.contract import Place, Receipt
from tests.contract.bench import CLOCK, Server, server, window
from tests.contract.bench_bluesky import EDITION, NOTICE, PICTURE, BlueskyBench

# The SDK hands raw bytes to its HTTP library by a name that this calls old.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")
POST = "app.bsky.feed.post"
RKEY = tid.chosen("0" * 32, 1_795_348_800_000_000)
RECORD = {"$type": POST, "text": "一", "createdAt": "2026-11-22T12:00:00.000Z", "langs": ["zh"]}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.bluesky", tmp_path_factory.mktemp("bluesky")) as running:
        yield running


@pytest.fixture
def stranger(sandbox: Server) -> Iterator[Callable[[], Client]]:
    """Makes clients that are not logged in; each has an HTTP connection that is to be closed."""
    made: list[Client] = []

    def make() -> Client:
        made.append(Client(base_url=sandbox.address))
        return made[-1]

    yield make
    for one in made:
        one.request.close()
    sandbox.clear()


@pytest.fixture
def client(stranger: Callable[[], Client]) -> Client:
    made = stranger()
    made.login("town.test", "sandbox-town")
    return made


def at(did: str, **given: object) -> dict[str, object]:
    """The post of these tests, by its place."""
    return {"repo": did, "collection": POST, "rkey": RKEY, **given}


def test_it_logs_in_and_reads_its_profile(sandbox: Server, stranger: Callable[[], Client]) -> None:
    """With tokens whose end it can read, at the server that the DID document names; not with a wrong password."""
    made, sessions = stranger(), []
    made.on_session_change(lambda event, session: sessions.append((event, session)))
    profile = made.login("town.test", "sandbox-town")
    ((event, session),) = sessions
    assert (SessionEvent.CREATE, "town.test", "town.test") == (event, session.handle, profile.handle)
    assert (session.did, sandbox.address) == (profile.did, session.pds_endpoint)
    assert 7200 == session.access_jwt_payload.exp - session.access_jwt_payload.iat
    with pytest.raises(UnauthorizedError):
        stranger().login("town.test", "guessed")


def test_it_posts_reads_and_deletes(client: Client) -> None:
    """Text with a link and a tag; the AppView shows them; deleted it is gone."""
    words = (
        client_utils.TextBuilder().text("停水 ").link("https://a.example/", "https://a.example/").tag(" #供水", "供水")
    )
    made = client.send_post(words, langs=["zh"])
    rkey = made.uri.rpartition("/")[2]
    assert words.build_text() == client.get_post(rkey).value.text
    (seen,) = client.get_posts([made.uri]).posts
    link, tag = seen.record.facets
    assert ("https://a.example/", "供水") == (link.features[0].uri, tag.features[0].tag)
    assert made.uri == client.get_author_feed("town.test").feed[0].post.uri
    assert made.uri == client.get_post_thread(made.uri).thread.post.uri
    assert client.delete_post(made.uri) and client.delete_post(made.uri)
    with pytest.raises(BadRequestError):
        client.get_post(rkey)
    assert [] == client.get_posts([made.uri]).posts


def test_it_uploads_a_picture_and_reads_it_back(client: Client) -> None:
    """The same bytes under the address that its own library computes for them."""
    made = client.send_image("线路图", PICTURE, "12路", image_aspect_ratio={"height": 160, "width": 320})
    image = client.get_post(made.uri.rpartition("/")[2]).value.embed.images[0].image
    digest = libipld.decode_cid(of_bytes(PICTURE))["hash"]["digest"]
    assert digest == libipld.decode_cid(image.cid.encode())["hash"]["digest"]
    assert PICTURE == client.com.atproto.sync.get_blob({"did": client.me.did, "cid": image.cid.encode()})
    (seen,) = client.get_posts([made.uri]).posts
    assert ("12路", (320, 160)) == (
        seen.embed.images[0].alt,
        (seen.embed.images[0].aspect_ratio.width, seen.embed.images[0].aspect_ratio.height),
    )
    client.delete_post(made.uri)


def test_it_finds_a_key_taken(client: Client) -> None:
    """A put of the same is a no-op, of another with another swap refused, a create an internal error."""
    repo = client.com.atproto.repo
    first = repo.put_record(at(client.me.did, record=RECORD, swapRecord=None))
    again = repo.put_record(at(client.me.did, record=RECORD))
    assert (first.cid, None) == (again.cid, again.commit) and first.commit.rev
    other = {**RECORD, "text": "二"}
    with pytest.raises(BadRequestError) as refused:
        repo.put_record(at(client.me.did, record=other, swapRecord=of_record(other)))
    assert "InvalidSwap" == refused.value.response.content.error
    with pytest.raises(RequestException) as broken:
        repo.create_record(at(client.me.did, record=other))
    assert 500 == broken.value.response.status_code
    repo.delete_record(at(client.me.did))


def test_it_lists_and_pages(client: Client) -> None:
    """Newest first, until there is nothing more."""
    uris = [client.send_post(str(number)).uri for number in range(3)]
    asked: dict[str, Any] = {"repo": client.me.did, "collection": POST, "limit": 2}
    page = client.com.atproto.repo.list_records(asked)
    assert [uris[2], uris[1]] == [one.uri for one in page.records]
    page = client.com.atproto.repo.list_records({**asked, "cursor": page.cursor})
    assert uris[0] == page.records[0].uri
    for uri in uris:
        client.delete_post(uri)


def test_it_writes_several_at_once(client: Client) -> None:
    """In one commit, with a result for each."""
    write = models.ComAtprotoRepoApplyWrites
    for one in (write.Create(collection=POST, rkey=RKEY, value=RECORD), write.Delete(collection=POST, rkey=RKEY)):
        answer = client.com.atproto.repo.apply_writes(write.Data(repo=client.me.did, writes=[one]))
        assert answer.commit.rev and 1 == len(answer.results)


def test_it_refreshes_its_session(sandbox: Server, stranger: Callable[[], Client]) -> None:
    """By itself, when the access token is at its end; the next call is made with the new one."""
    made, events = stranger(), []
    sandbox.knob("access_ttl", seconds=0)
    made.login("town.test", "sandbox-town", fetch_bsky_profile=False)
    sandbox.clear()
    made.on_session_change(lambda event, session: events.append(event))
    assert "town.test" == made.com.atproto.server.get_session().handle
    assert [SessionEvent.REFRESH] == events


def test_it_logs_in_where_there_is_no_appview(sandbox: Server, stranger: Callable[[], Client]) -> None:
    """The session is there; the profile is not, as on a server alone. Records are read all the same."""
    sandbox.knob("no_appview")
    with pytest.raises(BadRequestError):
        stranger().login("town.test", "sandbox-town")
    made = stranger()
    assert made.login("town.test", "sandbox-town", fetch_bsky_profile=False) is None
    did = made.com.atproto.server.get_session().did
    made.com.atproto.repo.put_record(at(did, record=RECORD))
    assert "一" == made.com.atproto.repo.get_record(at(did)).value.text
    made.com.atproto.repo.delete_record(at(did))


def test_it_is_told_its_limits(sandbox: Server, client: Client) -> None:
    """429, with the counters in the headers of every answer."""
    for _ in range(30):
        client.com.atproto.server.create_session({"identifier": "other.test", "password": "sandbox-other"})
    with pytest.raises(RateLimitExceededError) as over:
        client.com.atproto.server.create_session({"identifier": "other.test", "password": "sandbox-other"})
    answer = over.value.response
    assert (429, "RateLimitExceeded") == (answer.status_code, answer.content.error)
    assert "30;w=300" == answer.headers["ratelimit-policy"]


@pytest.mark.parametrize("given", [EDITION, NOTICE], ids=["pictures", "card"])
def test_it_reads_what_the_channel_wrote(sandbox: Server, client: Client, given: Any) -> None:
    """Every part is what the lexicons want, links and tags lie where their words are, and the CID is right."""
    outlet = BlueskyBench(sandbox)
    key = outlet.key()
    rendition = outlet.channel().render(given, Place(key, outlet.canonical(key)))
    shot = outlet.channel().arm(outlet.channel().prepare(rendition, key), rendition, key)
    shot.send(window(), CLOCK.boottime)
    receipt = shot.settle()
    assert isinstance(receipt, Receipt)
    got = client.get_post(receipt.ref.rpartition("/")[2])
    assert isinstance(got.value, models.AppBskyFeedPost.Record)
    words = [got.value.text.encode()[one.index.byte_start : one.index.byte_end].decode() for one in got.value.facets]
    assert [outlet.canonical(key), "#交通", "#便民"] == words
    raw = next(one for one in outlet.posts() if one["uri"] == receipt.ref)
    assert receipt.notes["cid"] == got.cid == raw["cid"] == of_record(raw["value"])
    client.delete_post(receipt.ref)
    outlet.close()


def test_content_addresses_are_those_of_its_library() -> None:
    """The encoding of every kind of value, byte for byte."""
    value: dict[str, Any] = {"bb": [None, True, False, "题"], "a": -1, "n": [0, 23, 24, 255, 256, 65_536, 2**40, -300]}
    assert libipld.encode_dag_cbor(value) == encoded(value)
    linked = encoded({"l": {"$link": of_bytes(PICTURE)}})
    assert of_bytes(PICTURE) == libipld.encode_cid(libipld.decode_dag_cbor(linked)["l"])
