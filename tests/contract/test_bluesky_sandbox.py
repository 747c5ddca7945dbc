"""The sandbox behaves as the fact sheet says a PDS and an AppView do (sections 1 to 9, and what was observed).

Each test uses an account of its own.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from channels.sandbox.bluesky_cid import encoded, of_bytes, of_record
from channels.sandbox.bluesky_text import graphemes
from tests.contract.bench import Server, server
from tests.contract.bench_mastodon import picture

PICTURE = picture("route 12")
POST = "app.bsky.feed.post"
NOW = "2026-11-22T12:00:00.000Z"
TID = "3l2s5xxv2ze2c"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.bluesky", tmp_path_factory.mktemp("bluesky")) as running:
        yield running


class Client:
    """An ordinary client of XRPC."""

    def __init__(self, sandbox: Server, account: str) -> None:
        self.sandbox, self.account, self.handle = sandbox, account, f"{account}.test"
        self._session = requests.Session()
        self._session.trust_env = False
        self.tokens: dict[str, Any] = {}

    def log_in(self, password: str = "", **given: str) -> requests.Response:
        told = {"identifier": self.handle, "password": password or f"sandbox-{self.account}", **given}
        answer = self.call("POST", "com.atproto.server.createSession", token="", json=told)
        if answer.status_code == 200:
            self.tokens = answer.json()
        return answer

    @property
    def did(self) -> str:
        told: str = self.tokens["did"]
        return told

    def call(self, method: str, nsid: str, token: str | None = None, **given: Any) -> requests.Response:
        """With the access token, another one, or with "" none."""
        token = self.tokens.get("accessJwt", "") if token is None else token
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **given.pop("headers", {})}
        url = f"{given.pop('base', self.sandbox.address)}/xrpc/{nsid}"
        return self._session.request(method, url, headers=headers, timeout=10, **given)

    def refresh(self, token: str = "") -> requests.Response:
        return self.call("POST", "com.atproto.server.refreshSession", token=token or self.tokens["refreshJwt"])

    def write(self, what: str = "put", *, rkey: str = TID, record: object = None, **given: Any) -> requests.Response:
        told = {"repo": self.did, "collection": POST, "rkey": rkey, **given}
        if record is None:
            record = post()
        return self.call("POST", f"com.atproto.repo.{what}Record", json={**told, "record": record})

    def delete(self, rkey: str = TID, **given: Any) -> requests.Response:
        told = {"repo": self.did, "collection": POST, "rkey": rkey, **given}
        return self.call("POST", "com.atproto.repo.deleteRecord", json=told)

    def get(self, rkey: str = TID) -> requests.Response:
        asked = {"repo": self.did, "collection": POST, "rkey": rkey}
        return self.call("GET", "com.atproto.repo.getRecord", token="", params=asked)

    def keys(self, **asked: object) -> list[str]:
        params: dict[str, Any] = {"repo": self.did, "collection": POST, **asked}
        told = self.call("GET", "com.atproto.repo.listRecords", token="", params=params).json()
        return [one["uri"].rpartition("/")[2] for one in told["records"]]

    def uri(self, rkey: str = TID) -> str:
        return f"at://{self.did}/{POST}/{rkey}"

    def seen(self, rkey: str = TID) -> list[dict[str, Any]]:
        """By the AppView."""
        answer = self.call("GET", "app.bsky.feed.getPosts", token="", params={"uris": [self.uri(rkey)]})
        posts: list[dict[str, Any]] = answer.json()["posts"]
        return posts

    def upload(self, content: bytes = PICTURE, kind: str = "image/png") -> requests.Response:
        return self.call("POST", "com.atproto.repo.uploadBlob", data=content, headers={"Content-Type": kind})

    def blob(self, cid: str) -> requests.Response:
        return self.call("GET", "com.atproto.sync.getBlob", token="", params={"did": self.did, "cid": cid})

    def knob(self, fault: str, **given: Any) -> None:
        self.sandbox.knob(fault, account=self.account, **given)

    def close(self) -> None:
        self._session.close()


COUNT = itertools.count(1)


@pytest.fixture
def client(sandbox: Server) -> Iterator[Client]:
    made = Client(sandbox, f"account-{next(COUNT)}")
    made.log_in()
    yield made
    made.close()
    sandbox.clear()


def post(text: str = "text", **parts: object) -> dict[str, Any]:
    return {"$type": POST, "text": text, "createdAt": NOW, **parts}


def images(*blobs: object, alt: object = "alt") -> dict[str, Any]:
    return {"$type": "app.bsky.embed.images", "images": [{"image": blob, "alt": alt} for blob in blobs]}


def card(**parts: object) -> dict[str, Any]:
    external = {"uri": "https://county.example/1", "title": "t", "description": "d", **parts}
    return {"$type": "app.bsky.embed.external", "external": external}


def refused(answer: requests.Response, status: int, error: str, words: str = "") -> None:
    assert (status, error) == (answer.status_code, answer.json()["error"])
    assert words in answer.json()["message"]


# addresses of content


def test_cids_are_those_of_the_specification() -> None:
    """Of the empty map, of a known blob, and DAG-CBOR's one form: short keys first, least bytes, links with a tag."""
    assert "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua" == of_record({})
    assert "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e" == of_bytes(b"hello world")
    assert b"\xa2\x61b\x01\x62aa\x20" == encoded({"aa": -1, "b": 1})
    assert b"\x83\xf6\xf5\x19\x01\x00" == encoded([None, True, 256])
    assert b"\x43abc" == encoded({"$bytes": base64.b64encode(b"abc").decode().rstrip("=")})
    assert b"\xd8\x2a\x58\x25\x00\x01\x55\x12\x20" == encoded({"$link": of_bytes(b"")})[:9]
    with pytest.raises(ValueError, match="float"):
        encoded({"a": 0.5})


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("通知12", 4),
        ("e\u0301", 1),
        ("👨\u200d👩\u200d👧", 1),
        ("👍🏽👍", 2),
        ("🇨🇳🇫🇷🇩", 3),
        ("1\ufe0f\u20e3", 1),
        ("각한", 2),
        ("\u1112\u1161\u11ab", 1),
        ("가\u11a8각\u11a8가\u1161", 3),
        ("각\u1161", 2),
        ("\r\n\n", 2),
        ("a\u200db", 2),
        ("नि", 1),
        ("🏴\U000e0067\U000e0062\U000e007f", 1),
    ],
)
def test_characters_are_counted_as_people_see_them(text: str, count: int) -> None:
    """Extended grapheme clusters: joined emoji, flags, marks and Hangul are one each."""
    assert count == graphemes(text)


# sessions


def test_a_session_names_the_accounts_own_server(client: Client) -> None:
    """DID, its document, two tokens whose end can be read."""
    told = client.log_in().json()
    assert {"accessJwt", "refreshJwt", "handle", "did", "didDoc", "active"} == {*told}
    (service,) = told["didDoc"]["service"]
    assert ("#atproto_pds", client.sandbox.address) == (service["id"], service["serviceEndpoint"])
    claims = json.loads(base64.urlsafe_b64decode(told["accessJwt"].split(".")[1] + "=="))
    assert 7200 == claims["exp"] - claims["iat"] and claims["sub"] == told["did"]


def test_a_wrong_password_is_refused(client: Client) -> None:
    """401 with the protocol's name; a second factor has a name of its own."""
    refused(client.log_in("guessed"), 401, "AuthenticationRequired", "Invalid identifier or password")
    client.knob("two_factor")
    refused(client.log_in(), 401, "AuthFactorTokenRequired")
    assert 200 == client.log_in(authFactorToken="12345").status_code


def test_an_expired_token_is_a_bad_request(client: Client) -> None:
    """400, not 401; none at all, or a broken one, has other names."""
    client.knob("expire")
    refused(client.write(), 400, "ExpiredToken", "Token has expired")
    refused(client.write(), 400, "ExpiredToken")
    client.tokens |= client.refresh().json()
    assert 200 == client.write().status_code
    refused(client.call("POST", "com.atproto.repo.putRecord", token=""), 401, "AuthMissing")
    forged = client.tokens["accessJwt"].rpartition(".")[0] + ".c2VhbA"
    for odd in ("a.b.c", "opaque", forged):
        refused(client.call("POST", "com.atproto.repo.putRecord", token=odd), 400, "InvalidToken")
    refused(client.call("GET", "com.atproto.server.getSession", token=client.tokens["refreshJwt"]), 400, "InvalidToken")


def test_tokens_end_by_the_clock(client: Client) -> None:
    """With lives as short as the knob says."""
    client.knob("access_ttl", seconds=0)
    client.log_in()
    refused(client.write(), 400, "ExpiredToken")


def test_refresh_tokens_rotate_with_a_grace(client: Client) -> None:
    """Used again within it, the old one yields a successor with the same id; after it, nothing."""
    old = client.tokens["refreshJwt"]
    ids = []
    for _ in range(2):
        claims = client.refresh(old).json()["refreshJwt"].split(".")[1]
        ids.append(json.loads(base64.urlsafe_b64decode(claims + "=="))["jti"])
    assert ids[0] == ids[1]
    client.knob("grace", seconds=0)
    newest = client.refresh(old).json()["refreshJwt"]
    refused(client.refresh(old), 400, "ExpiredToken", "Token has been revoked")
    assert 200 == client.refresh(newest).status_code
    client.knob("expire_refresh")
    refused(client.refresh(newest), 400, "ExpiredToken")


def test_a_revoked_password_ends_sessions_slowly(client: Client) -> None:
    """No new one and no refresh, but an access token is good until its end."""
    client.knob("revoke")
    refused(client.log_in(), 401, "AuthenticationRequired")
    refused(client.refresh(), 400, "ExpiredToken")
    assert 200 == client.write().status_code


def test_a_deleted_session_is_not_refreshed(client: Client) -> None:
    """Its refresh token is gone."""
    token = client.tokens["refreshJwt"]
    assert 200 == client.call("POST", "com.atproto.server.deleteSession", token=token).status_code
    refused(client.refresh(), 400, "ExpiredToken")


def test_a_deactivated_account_does_not_write(client: Client) -> None:
    """It can log in, and is told."""
    client.knob("deactivated")
    told = client.log_in().json()
    assert (False, "deactivated") == (told["active"], told["status"])
    refused(client.write(), 401, "AccountDeactivated")


def test_repositories_are_not_at_the_entryway(client: Client) -> None:
    """One logs in there; records are at the server that the document names."""
    client.knob("entryway")
    (service,) = client.log_in().json()["didDoc"]["service"]
    assert service["serviceEndpoint"].startswith("http://localhost:")
    assert 404 == client.write().status_code
    given = {"repo": client.did, "collection": POST, "rkey": TID, "record": post()}
    answer = client.call("POST", "com.atproto.repo.putRecord", base=service["serviceEndpoint"], json=given)
    assert 200 == answer.status_code


def test_the_server_tells_of_itself(client: Client) -> None:
    """And who has a handle."""
    told = client.call("GET", "com.atproto.server.describeServer", token="").json()
    assert 5 * 1024 * 1024 == told["blobUploadLimit"]
    asked = {"handle": client.handle}
    assert client.did == client.call("GET", "com.atproto.identity.resolveHandle", token="", params=asked).json()["did"]
    nobody = client.call("GET", "com.atproto.identity.resolveHandle", token="", params={"handle": "nobody.test"})
    refused(nobody, 400, "InvalidRequest", "Unable to resolve handle")


# records


def test_a_key_that_is_taken_is_an_internal_error(client: Client) -> None:
    """createRecord has no conflict: 500, and nothing changed."""
    first = client.write("create").json()
    assert {"uri", "cid", "commit", "validationStatus"} == {*first}
    refused(client.write("create", record=post("other")), 500, "InternalServerError")
    assert "text" == client.get().json()["value"]["text"]


def test_without_a_key_twice_is_twice(client: Client) -> None:
    """The server chooses one, a TID that sorts by time."""
    keys = [client.write("create", rkey="").json()["uri"].rpartition("/")[2] for _ in range(2)]
    assert keys == sorted(keys) and all(re.fullmatch("[234567a-j][234567a-z]{12}", key) for key in keys)
    assert 2 == len(client.keys())


def test_put_is_create_once_with_a_null_swap(client: Client) -> None:
    """The same record again is a no-op without a commit; another one is refused; without a swap it replaces."""
    first = client.write(swapRecord=None).json()
    again = client.write(swapRecord=None)
    assert (200, first["cid"]) == (again.status_code, again.json()["cid"])
    assert "commit" in first and "commit" not in again.json()
    refused(client.write(record=post("other"), swapRecord=None), 400, "InvalidSwap", first["cid"])
    refused(client.write(record=post("other"), swapRecord="bafyreib"), 400, "InvalidSwap")
    assert "text" == client.get().json()["value"]["text"]
    assert 200 == client.write(record=post("other"), swapRecord=first["cid"]).status_code
    assert 200 == client.write(record=post("third")).status_code
    assert "third" == client.get().json()["value"]["text"]


def test_a_cid_is_that_of_the_record(client: Client) -> None:
    """It can be computed beforehand, also of what was given without its type."""
    assert of_record(post("题")) == client.write(record={"text": "题", "createdAt": NOW}).json()["cid"]
    assert of_record(post("题")) == client.get().json()["cid"]


def test_deleting_is_idempotent(client: Client) -> None:
    """200 whether it was there or not; with a swap only what was meant."""
    client.write()
    refused(client.delete(swapRecord="bafyreib"), 400, "InvalidSwap")
    assert [200, 200] == [client.delete().status_code for _ in range(2)]
    refused(client.get(), 400, "RecordNotFound", "Could not locate record")


def test_several_writes_are_one(client: Client) -> None:
    """All of them or none."""
    keys = [TID, TID[:-1] + "3"]
    create = "com.atproto.repo.applyWrites#create"
    writes = [{"$type": create, "collection": POST, "rkey": key, "value": post(key)} for key in keys]

    def apply(*writes: object) -> requests.Response:
        return client.call("POST", "com.atproto.repo.applyWrites", json={"repo": client.did, "writes": list(writes)})

    assert 200 == apply(*writes).status_code
    other = {"$type": create, "collection": POST, "rkey": TID[:-1] + "4", "value": post("other")}
    refused(apply(other, writes[0]), 500, "InternalServerError")
    delete = {"$type": "com.atproto.repo.applyWrites#delete", "collection": POST, "rkey": keys[0]}
    update = {**writes[1], "$type": "com.atproto.repo.applyWrites#update", "value": post("new")}
    assert 200 == apply(delete, update).status_code
    assert [keys[1]] == client.keys() and "new" == client.get(keys[1]).json()["value"]["text"]
    refused(apply(*[other] * 201), 400, "InvalidRequest", "Too many writes")
    refused(apply({"$type": "other"}), 400, "InvalidRequest")


def test_nobody_writes_into_another_repository(client: Client) -> None:
    """401, though the token is good."""
    refused(client.write(repo="did:plc:other"), 401, "AuthenticationRequired")


def test_records_are_listed_newest_key_first(client: Client) -> None:
    """In pages; the cursor excludes itself; anybody may."""
    keys = [f"3l2s5xxv2ze2{letter}" for letter in "23456"]
    for key in keys:
        client.write(rkey=key)
    assert [keys[4], keys[3]] == client.keys(limit=2)
    assert [keys[2], keys[1]] == client.keys(limit=2, cursor=keys[3])
    assert keys == client.keys(reverse="true")
    over = client.call("GET", "com.atproto.repo.listRecords", params={"repo": client.did, "limit": 101})
    refused(over, 400, "InvalidRequest")
    nobody = client.call("GET", "com.atproto.repo.listRecords", token="", params={"repo": "nobody.test"})
    refused(nobody, 400, "InvalidRequest", "Could not find repo")


FACET = {"index": {"byteStart": 0, "byteEnd": 4}, "features": [{"$type": "app.bsky.richtext.facet#link", "uri": "x"}]}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (post("字" * 301), "Record/text must not be longer than 300 graphemes"),
        (post("👨\u200d👩\u200d👧" * 167), "Record/text must not be longer than 3000"),
        ({"$type": POST, "text": "a"}, 'Record must have the property "createdAt"'),
        (post(createdAt="2026-11-22 12:00"), "Record/createdAt"),
        ({**post(), "text": 7}, "Record/text must be a string"),
        ({"$type": "app.bsky.feed.like"}, "Invalid $type"),
        ([], "Invalid $type"),
        (post(langs=["zh"] * 4), "Record/langs must not have more than 3"),
        (post(langs=["not a language"]), "language tag"),
        (post(tags=["a"] * 9), "Record/tags must not have more than 8"),
        (post(tags=["字" * 65]), "Record/tags/0 must not be longer than 64"),
        (post(facets={}), "Record/facets must be an array"),
        (post(facets=[{**FACET, "index": {"byteStart": -1, "byteEnd": 2}}]), "byteStart can not be less than 0"),
        (post(facets=[{**FACET, "index": {"byteStart": 0.5, "byteEnd": 2}}]), "floats"),
        (post(facets=[{**FACET, "index": {"byteStart": "0", "byteEnd": 2}}]), "must be an integer"),
        (post(facets=[FACET]), "uri must be a uri"),
        (post(facets=[{"index": FACET["index"]}]), "features"),
        (post(embed=card(uri="no address")), "uri must be a uri"),
        (post(embed={"$type": "app.bsky.embed.external", "external": {"uri": "https://a"}}), "title"),
        (post(embed=images({"cid": "old"})), "should be a blob ref"),
        (post(embed="x"), "Record/embed must be an object"),
        (post(via={"$link": "no cid"}), ""),
    ],
)
def test_records_are_checked_against_the_lexicon(client: Client, record: object, words: str) -> None:
    """400 with the path of what is wrong, and nothing is written."""
    refused(client.write(record=record), 400, "InvalidRequest", words)
    refused(client.get(), 400, "RecordNotFound")


def test_limits_are_reached_and_not_crossed(client: Client) -> None:
    """300 characters, whatever they are made of, and 3,000 bytes."""
    assert 200 == client.write(record=post("字" * 300)).status_code
    assert 200 == client.write(record=post("👨\u200d👩\u200d👧" * 166)).status_code
    assert "valid" == client.write(record=post(langs=["zh", "zh-Hans-CN", "en"])).json()["validationStatus"]


@pytest.mark.parametrize("rkey", ["self", "3l2s5xxv2ze2", "zl2s5xxv2ze2c", "a/b", "3l2s5xxv2ze21"])
def test_the_key_of_a_post_is_a_tid(client: Client, rkey: str) -> None:
    """Of other collections it may be anything short; their records are taken unseen."""
    refused(client.write(rkey=rkey), 400, "InvalidRequest", "key")
    profile = {"$type": "app.bsky.actor.profile", "displayName": "x"}
    answer = client.write(rkey="self", collection="app.bsky.actor.profile", record=profile)
    assert (200, "unknown") == (answer.status_code, answer.json()["validationStatus"])


def test_a_facet_beside_the_text_is_taken_and_shows_nothing(client: Client) -> None:
    """Offsets are only integers to the lexicon; on the page only those inside the text are links."""
    link = [{"$type": "app.bsky.richtext.facet#link", "uri": "https://county.example/1"}]
    beside, inside = ({"index": {"byteStart": 0, "byteEnd": end}, "features": link} for end in (99, 6))
    page = client.sandbox.address + f"/profile/{client.handle}/post/{TID}"
    client.write(record=post("通知 <b>", facets=[beside]))
    assert "<a href" not in requests.get(page, timeout=10).text
    client.delete()
    client.write(record=post("通知 <b>", facets=[inside]))
    assert '<a href="https://county.example/1">通知</a> &lt;b&gt;' in requests.get(page, timeout=10).text


# blobs


def test_a_blob_is_named_by_its_bytes(client: Client) -> None:
    """Its type is looked at, whatever was said; the same bytes have the same name."""
    blob = client.upload(kind="text/plain").json()["blob"]
    assert {"$type": "blob", "ref": {"$link": of_bytes(PICTURE)}, "mimeType": "image/png", "size": len(PICTURE)} == blob
    assert blob == client.upload().json()["blob"]
    assert "text/plain" == client.upload(b"text", "text/plain").json()["blob"]["mimeType"]
    refused(client.upload(b"\0" * (5 * 1024 * 1024 + 1)), 413, "PayloadTooLarge")


def test_a_blob_is_read_once_a_record_names_it(client: Client) -> None:
    """By anybody, byte for byte; and not any more when the record is gone."""
    blob = client.upload().json()["blob"]
    cid = blob["ref"]["$link"]
    refused(client.blob(cid), 400, "BlobNotFound")
    client.write(record=post(embed=images(blob)))
    assert PICTURE == client.blob(cid).content
    client.delete()
    refused(client.blob(cid), 400, "BlobNotFound")
    refused(client.write(record=post(embed=images(blob))), 400, "BlobNotFound", cid)


def test_a_blob_that_another_post_shows_stays(client: Client) -> None:
    """It goes with the last of them."""
    blob = client.upload().json()["blob"]
    for key in (TID, TID[:-1] + "3"):
        client.write(rkey=key, record=post(embed=images(blob)))
    client.delete()
    assert 200 == client.blob(blob["ref"]["$link"]).status_code


def test_the_time_of_a_blob_begins_anew_with_each_upload(client: Client) -> None:
    """So it can be kept ready."""
    kept = client.sandbox.home / "world.jsonl"
    for _ in range(2):
        client.upload()
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    first, second = [value["at"] for kind, _, value in lines if kind == "blob" and value and value["did"] == client.did]
    assert first < second


def test_unused_blobs_are_forgotten(client: Client) -> None:
    """After minutes; what is used stays for good."""
    used, lost = client.upload().json()["blob"], client.upload(picture("x")).json()["blob"]
    client.write(record=post(embed=images(used)))
    client.knob("blob_ttl", seconds=0)
    refused(client.write(rkey=TID[:-1] + "3", record=post(embed=images(lost))), 400, "BlobNotFound")
    assert 200 == client.blob(used["ref"]["$link"]).status_code


@pytest.mark.parametrize(
    ("changed", "error"),
    [({"mimeType": "image/jpeg"}, "InvalidMimeType"), ({"size": 7}, "InvalidRequest")],
)
def test_a_record_that_misnames_its_blob_is_refused(client: Client, changed: dict[str, Any], error: str) -> None:
    """Type and size are those of the stored one."""
    blob = client.upload().json()["blob"]
    refused(client.write(record=post(embed=images({**blob, **changed}))), 400, error)


def test_sizes_are_limited_when_the_record_is_written(client: Client) -> None:
    """Not when it is uploaded: two million bytes for a picture, one for a card's; one for both before 2026."""
    big = client.upload(PICTURE + b"\0" * 1_500_000).json()["blob"]
    assert 200 == client.write(record=post(embed=images(big))).status_code
    refused(client.write(record=post(embed=card(thumb=big))), 400, "InvalidRequest", "too large")
    huge = client.upload(PICTURE + b"\0" * 2_000_000).json()["blob"]
    refused(client.write(record=post(embed=images(huge))), 400, "InvalidRequest", "too large")
    client.knob("old_lexicon")
    refused(client.write(rkey=TID[:-1] + "3", record=post(embed=images(big))), 400, "InvalidRequest", "too large")


def test_pictures_of_a_post_are_limited(client: Client) -> None:
    """Four, each with a description, each a picture, with a shape of whole pixels."""
    blob = client.upload().json()["blob"]
    refused(client.write(record=post(embed=images(*[blob] * 5))), 400, "InvalidRequest", "more than 4")
    refused(client.write(record=post(embed=images(blob, alt=None))), 400, "InvalidRequest", "alt must be a string")
    text = client.upload(b"text", "text/plain").json()["blob"]
    refused(client.write(record=post(embed=images(text))), 400, "InvalidRequest", "mime type")
    embed = images(blob)
    embed["images"][0]["aspectRatio"] = {"width": 0, "height": 1}
    refused(client.write(record=post(embed=embed)), 400, "InvalidRequest", "width can not be less than 1")


# the AppView


def test_the_appview_shows_a_post_with_addresses_of_its_own(client: Client) -> None:
    """Pictures as JPEG from its CDN, no larger than it likes; the same for a card."""
    large = io.BytesIO()
    Image.new("RGB", (1600, 800), "red").save(large, "PNG")
    blob = client.upload(large.getvalue()).json()["blob"]
    client.write(record=post(embed=images(blob)))
    (seen,) = client.seen()
    assert (client.uri(), client.get().json()["cid"]) == (seen["uri"], seen["cid"])
    served = requests.get(seen["embed"]["images"][0]["fullsize"], timeout=10)
    with Image.open(io.BytesIO(served.content)) as opened:
        assert ("JPEG", (1000, 500)) == (opened.format, opened.size)
    client.write(rkey=TID[:-1] + "3", record=post(embed=card(thumb=blob)))
    (seen,) = client.seen(TID[:-1] + "3")
    assert "app.bsky.embed.external#view" == seen["embed"]["$type"]
    assert 200 == requests.get(seen["embed"]["external"]["thumb"], timeout=10).status_code


def test_the_appview_leaves_out_what_it_does_not_have(client: Client) -> None:
    """The list is shorter; a thread is not found; too many or broken names are refused."""
    client.write()
    asked = {"uris": [client.uri(), client.uri(TID[:-1] + "3")]}
    told = client.call("GET", "app.bsky.feed.getPosts", token="", params=asked).json()
    assert [client.uri()] == [one["uri"] for one in told["posts"]]
    missing = client.call("GET", "app.bsky.feed.getPostThread", params={"uri": asked["uris"][1]})
    refused(missing, 400, "NotFound")
    assert (
        "text"
        == client.call("GET", "app.bsky.feed.getPostThread", params={"uri": client.uri()}).json()["thread"]["post"][
            "record"
        ]["text"]
    )
    for uris in ([client.uri()] * 26, [], ["https://x"]):
        refused(client.call("GET", "app.bsky.feed.getPosts", params={"uris": uris}), 400, "InvalidRequest")


def test_the_appview_is_later_than_the_repository(client: Client) -> None:
    """Both ways: a new post is not there yet, a deleted one is there still."""
    client.knob("lag", seconds=0.4)
    client.write()
    assert 200 == client.get().status_code and not client.seen()
    until(lambda: bool(client.seen()))
    client.delete()
    assert 400 == client.get().status_code and client.seen()
    until(lambda: not client.seen())


def until(holds: Any) -> None:
    ends = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_the_appview_keeps_the_first_version(client: Client) -> None:
    """The repository has the edit; readers do not see it. Deleted and written anew, they do."""
    client.write()
    client.write(record=post("edited"))
    assert ("edited", "text") == (client.get().json()["value"]["text"], client.seen()[0]["record"]["text"])
    client.delete()
    client.write(record=post("anew"))
    assert "anew" == client.seen()[0]["record"]["text"]


def test_a_takedown_hides_what_the_repository_shows(client: Client) -> None:
    """Readers find nothing, on the page either."""
    client.write()
    page = client.sandbox.address + f"/profile/{client.did}/post/{TID}"
    assert 200 == requests.get(page, timeout=10).status_code
    client.knob("takedown")
    assert 200 == client.get().status_code and not client.seen()
    assert 404 == requests.get(page, timeout=10).status_code


def test_labels_stand_on_posts_and_accounts(client: Client) -> None:
    """As the network's labeller, or the account itself, put them there."""
    client.write()
    client.knob("label", val="!hide")
    client.knob("members_only")
    (seen,) = client.seen()
    assert (["!hide"], ["!no-unauthenticated"]) == (
        [label["val"] for label in seen["labels"]],
        [label["val"] for label in seen["author"]["labels"]],
    )


def test_a_server_alone_has_no_appview(client: Client) -> None:
    """`app.bsky` is refused, so a client that reads its profile after logging in fails; records are read."""
    client.write()
    client.sandbox.knob("no_appview")
    for nsid, asked in (("feed.getPosts", {"uris": client.uri()}), ("actor.getProfile", {"actor": client.did})):
        refused(client.call("GET", f"app.bsky.{nsid}", params=asked), 400, "InvalidRequest", "No service configured")
    assert 200 == client.get().status_code


def test_a_feed_is_sorted_by_the_earlier_time(client: Client) -> None:
    """A post that claims to be old stands below; one of the future does not stand above for ever."""
    for key, at in (("future", "2099-01-01T00:00:00Z"), ("now", ""), ("past", "2020-01-01T00:00:00Z")):
        at = at or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        client.write("create", rkey="", record=post(key, createdAt=at))
    feed = client.call("GET", "app.bsky.feed.getAuthorFeed", token="", params={"actor": client.did}).json()["feed"]
    assert ["now", "future", "past"] == [one["post"]["record"]["text"] for one in feed]
    profile = client.call("GET", "app.bsky.actor.getProfile", token="", params={"actor": client.handle}).json()
    assert (client.did, 3) == (profile["did"], profile["postsCount"])
    refused(client.call("GET", "app.bsky.actor.getProfile", params={"actor": "nobody.test"}), 400, "InvalidRequest")


def test_the_public_sees_what_the_knobs_say(client: Client) -> None:
    """Another digit, another picture, dead links; the owner sees the record."""
    facet = {**FACET, "features": [{"$type": "app.bsky.richtext.facet#link", "uri": "https://county.example/1"}]}
    blob = client.upload().json()["blob"]
    client.write(record=post("06:30", facets=[facet], embed=images(blob)))
    client.knob("alter", replace=["06:30", "06:31"])
    client.knob("dead_links")
    client.knob("swap_picture")
    asked = {"repo": client.did, "collection": POST, "rkey": TID}
    own = client.call("GET", "com.atproto.repo.getRecord", params=asked).json()["value"]
    for value in (client.get().json()["value"], client.seen()[0]["record"]):
        assert ("06:31", False) == (value["text"], "facets" in value)
    assert ("06:30", True) == (own["text"], "facets" in own)
    for served in (client.blob(blob["ref"]["$link"]).content, requests.get(fullsize(client), timeout=10).content):
        with Image.open(io.BytesIO(served)) as opened:
            assert opened.convert("L").getpixel((0, 0)) == 0  # it was white


def fullsize(client: Client) -> str:
    address: str = client.seen()[0]["embed"]["images"][0]["fullsize"]
    return address


# limits


def test_limits_are_told_in_headers(client: Client) -> None:
    """The tightest counter (here that of the address), its end in seconds since 1970, and what it counts over."""
    headers = client.write().headers
    assert ("3000", "3000;w=300") == (headers["RateLimit-Limit"], headers["RateLimit-Policy"])
    assert 0 < int(headers["RateLimit-Remaining"]) < 2999
    assert 0 < int(headers["RateLimit-Reset"]) - time.time() <= 301


def test_logins_are_few(client: Client) -> None:
    """The 31st in five minutes is refused, right password or not."""
    for _ in range(29):
        client.log_in()
    over = client.log_in()
    refused(over, 429, "RateLimitExceeded", "Rate Limit Exceeded")
    assert ("30", "0", "30;w=300") == tuple(
        over.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Policy")
    )
    client.knob("unlimited")
    assert 200 == client.log_in().status_code


def test_writes_cost_points(client: Client) -> None:
    """Three to create, two to put, one to delete; 5,000 an hour."""
    delete = {"$type": "com.atproto.repo.applyWrites#delete", "collection": POST, "rkey": TID}

    def deletions(count: int) -> requests.Response:
        given = {"repo": client.did, "writes": [delete] * count}
        return client.call("POST", "com.atproto.repo.applyWrites", json=given)

    for _ in range(24):
        deletions(200)
    deletions(190)
    assert "10" == deletions(0).headers["RateLimit-Remaining"]
    assert "7" == client.write("create").headers["RateLimit-Remaining"]
    assert "5" == client.write("put", rkey=TID[:-1] + "3").headers["RateLimit-Remaining"]
    assert "4" == client.delete().headers["RateLimit-Remaining"]
    for _ in range(4):
        assert 200 == client.delete().status_code
    over = client.delete()
    refused(over, 429, "RateLimitExceeded")
    assert "5000;w=3600" == over.headers["RateLimit-Policy"]


# faults


def test_a_lost_answer_leaves_the_post(client: Client) -> None:
    """Committed, and the client was not told; the record of the sandbox knows both."""
    client.knob("drop_answer", method="POST", path="*putRecord")
    with pytest.raises(requests.ConnectionError):
        client.write()
    assert 200 == client.get().status_code
    lines = [line for line in client.sandbox.record() if line["account"] == client.account]
    assert ("post_created", client.uri(), "drop_answer") == tuple(
        lines[-1][name] for name in ("effect", "ref", "fault")
    )


def test_everything_outlives_a_restart(tmp_path: Path) -> None:
    """Accounts, sessions, records, blobs and the index; at the same address."""
    home = tmp_path / "sandbox"
    with server("channels.sandbox.bluesky", home) as running:
        before = Client(running, "town")
        before.log_in()
        blob = before.upload().json()["blob"]
        before.write(record=post(embed=images(blob)))
        before.write(rkey=TID[:-1] + "3")
        before.delete(TID[:-1] + "3")
        loose = before.upload(picture("x")).json()["blob"]
    with server("channels.sandbox.bluesky", home) as running:
        after = Client(running, "town")
        after.tokens = before.tokens
        assert [TID] == after.keys()
        assert (1, 0) == (len(after.seen()), len(after.seen(TID[:-1] + "3")))
        assert PICTURE == after.blob(blob["ref"]["$link"]).content
        assert 200 == after.write(rkey=TID[:-1] + "4", record=post(embed=images(loose))).status_code
        renewed = after.refresh()
        assert 200 == renewed.status_code
        after.tokens |= renewed.json()
        assert 200 == after.write(rkey=TID[:-1] + "5").status_code
        after.close()
    before.close()
