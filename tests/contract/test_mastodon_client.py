"""The sandbox's Mastodon, driven by somebody else's code: Mastodon.py, as bots and scripts use it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from mastodon import Mastodon
from mastodon.errors import MastodonAPIError, MastodonNotFoundError, MastodonRatelimitError, MastodonUnauthorizedError

from tests.contract.bench import Server, server
from tests.contract.bench_mastodon import OTHER_PICTURE, PICTURE


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.mastodon", tmp_path_factory.mktemp("mastodon")) as running:
        yield running


@pytest.fixture
def client(sandbox: Server, request: pytest.FixtureRequest) -> Iterator[Mastodon]:
    """As an account of the test's own. It checks, before each call, that the server is new enough for it."""
    made = opened(sandbox, f"sandbox-{request.node.name}")
    yield made
    made.session.close()
    sandbox.clear()


def opened(sandbox: Server, token: str) -> Mastodon:
    made = Mastodon(access_token=token, api_base_url=sandbox.address, ratelimit_method="throw", request_timeout=10)
    made.session.trust_env = False
    return made


def uploaded(client: Mastodon, content: bytes = PICTURE, description: str = "线路图") -> int:
    return int(client.media_post(content, mime_type="image/png", description=description).id)


def test_it_knows_the_account_the_application_and_the_server(client: Mastodon, sandbox: Server) -> None:
    """Names, address, scopes and version, as the library parses them."""
    account = client.account_verify_credentials()
    assert (account.username, account.acct) == (account.display_name, account.username)
    assert f"{sandbox.address}/@{account.username}" == account.url
    assert ["read", "write"] == client.app_verify_credentials().scopes
    assert "4.4.0" == client.retrieve_mastodon_version()


def test_it_reads_the_limits(client: Mastodon) -> None:
    """By the newer call; the older one, which every client asks first, says the same."""
    told, older = client.instance_v2().configuration, client.instance_v1().configuration
    assert told is not None
    statuses, media = told.statuses, told.media_attachments
    assert (500, 4, 23) == (
        statuses.max_characters,
        statuses.max_media_attachments,
        statuses.characters_reserved_per_url,
    )
    assert (1500, 16_777_216) == (media.description_limit, media.image_size_limit)
    assert (500, 16_777_216) == (older.statuses.max_characters, older.media_attachments.image_size_limit)


def test_a_key_posts_once(client: Mastodon) -> None:
    """The second answer is the first post, whatever the text; without the key there are two."""
    first = client.status_post("停水通知", idempotency_key="key-1", language="zh", visibility="unlisted")
    again = client.status_post("something else", idempotency_key="key-1")
    assert (first.id, "<p>停水通知</p>") == (again.id, again.content)
    assert ("zh", "unlisted", False) == (first.language, first.visibility, first.sensitive)
    other = client.status_post("停水通知")
    assert [other.id, first.id] == [status.id for status in client.account_statuses(first.account)]


@pytest.mark.parametrize("sensitive", [True, False])
def test_a_form_says_yes_and_no(client: Mastodon, sensitive: bool) -> None:
    """As 1 and 0: the library sends a form, not JSON."""
    assert sensitive is client.status_post("text", sensitive=sensitive).sensitive


def test_a_picture_that_is_processed_is_attached_later(client: Mastodon, sandbox: Server) -> None:
    """202 without an address; refused meanwhile; described anew, and attached once it has one."""
    sandbox.knob("slow_media", seconds=0.5)
    media = client.media_post(PICTURE, mime_type="image/png", description="线路图")
    assert (None, "线路图") == (media.url, media.description)
    with pytest.raises(MastodonAPIError, match="have not finished processing"):
        client.status_post("too early", media_ids=[media])
    client.media_update(media, description="12路线路图")
    ends = time.monotonic() + 10
    while client.media(media).url is None:
        assert time.monotonic() < ends
        time.sleep(0.05)
    status = client.status_post("12路", media_ids=[media])
    assert ["12路线路图"] == [one.description for one in status.media_attachments]
    assert [f"{sandbox.address}/media/{media.id}.png"] == [one.url for one in status.media_attachments]
    with pytest.raises(MastodonNotFoundError):
        client.media(media)  # what is attached is found no longer


def test_a_status_is_edited_and_keeps_what_it_was(client: Mastodon) -> None:
    """Same id and address; other text and picture; the history has both, the source the newest text."""
    posted = client.status_post("首班 12 点", media_ids=[uploaded(client)])
    other = uploaded(client, OTHER_PICTURE, "13路线路图")
    edited = client.status_update(posted, "首班 13 点", media_ids=[other])
    assert (posted.id, posted.url, "<p>首班 13 点</p>") == (edited.id, edited.url, edited.content)
    assert edited.edited_at is not None and posted.edited_at is None
    assert [other] == [int(one.id) for one in edited.media_attachments]
    versions = client.status_history(posted)
    assert ["<p>首班 12 点</p>", "<p>首班 13 点</p>"] == [version.content for version in versions]
    assert [posted.created_at, edited.edited_at] == [version.created_at for version in versions]
    assert "首班 13 点" == client.status_source(posted).text


def test_a_description_is_changed_in_place(client: Mastodon) -> None:
    """By `media_attributes`, in JSON, which keeps the picture."""
    media = uploaded(client)
    posted = client.status_post("12路", media_ids=[media])
    attributes = [client.generate_media_edit_attributes(media, description="更正的说明")]
    edited = client.status_update(posted, "12路", media_attributes=attributes)
    assert [(media, "更正的说明")] == [(int(one.id), one.description) for one in edited.media_attachments]


@pytest.mark.parametrize("with_media", [False, True])
def test_a_deleted_status_is_gone(client: Mastodon, sandbox: Server, with_media: bool) -> None:
    """Its text is handed back for a redraft; its pictures stay loose for a day unless they are to go with it."""
    media = uploaded(client)
    posted = client.status_post("改期", media_ids=[media])
    assert "改期" == client.status_delete(posted, delete_media=with_media).text
    anybody = Mastodon(api_base_url=sandbox.address, ratelimit_method="throw", request_timeout=10)
    for reader in (client, anybody):
        with pytest.raises(MastodonNotFoundError):
            reader.status(posted)
    anybody.session.close()
    if with_media:
        with pytest.raises(MastodonNotFoundError):
            client.media(media)
    else:
        assert media == int(client.media(media).id)


def test_the_list_is_read_page_by_page(client: Mastodon) -> None:
    """Newest first, both ends left out."""
    ids = [client.status_post(str(number)).id for number in range(5)]
    me = client.account_verify_credentials()
    assert ids[1:4][::-1] == [one.id for one in client.account_statuses(me, since_id=ids[0], max_id=ids[4])]
    assert ids[3:][::-1] == [one.id for one in client.account_statuses(me, limit=2)]


def test_tokens_and_floods_are_told_apart(sandbox: Server, client: Mastodon) -> None:
    """401 for a token that is none; 429 with the time at which the count begins anew, which the library reads."""
    guessed = opened(sandbox, "guessed-token")
    with pytest.raises(MastodonUnauthorizedError, match="access token is invalid"):
        guessed.account_verify_credentials()
    guessed.session.close()
    for number in range(30):
        client.status_delete(client.status_post(str(number)))
    assert (30, 0) == (client.ratelimit_limit, client.ratelimit_remaining)
    last = client.status_post("one more")
    with pytest.raises(MastodonRatelimitError):
        client.status_delete(last)
    assert client.ratelimit_reset is not None
    assert 1700 < client.ratelimit_reset - time.time() <= 1802
