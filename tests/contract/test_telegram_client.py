"""The sandbox's Telegram, driven by somebody else's code: python-telegram-bot, as bots use it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from telegram import Bot, InputMediaPhoto, LinkPreviewOptions, Message, MessageEntity
from telegram.constants import ChatMemberStatus, ChatType, ParseMode
from telegram.error import BadRequest, Forbidden, InvalidToken, NetworkError, RetryAfter, TimedOut
from telegram.request import HTTPXRequest

from tests.contract.bench import Server, server
from tests.contract.bench_mastodon import OTHER_PICTURE, PICTURE

TOKEN = "110201543:sandbox-bot-client"
CHANNEL, STAGING = "@sandbox_client", -1001234567890


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server("channels.sandbox.telegram", tmp_path_factory.mktemp("telegram")) as running:
        yield running


@pytest.fixture(autouse=True)
def cleared(sandbox: Server) -> Iterator[None]:
    sandbox.knob("unlimited")  # the tests of this file share one channel
    yield
    sandbox.clear()


@asynccontextmanager
async def client(sandbox: Server, token: str = TOKEN, read: float = 10.0) -> AsyncIterator[Bot]:
    requests = [HTTPXRequest(read_timeout=read, httpx_kwargs={"trust_env": False}) for _ in range(2)]
    bot = Bot(token, base_url=f"{sandbox.address}/bot", request=requests[0], get_updates_request=requests[1])
    async with bot:  # asks getMe
        yield bot


def drive(sandbox: Server, act: Callable[[Bot], Awaitable[None]]) -> None:
    async def run() -> None:
        async with client(sandbox) as bot:
            await act(bot)

    asyncio.run(run())


def last_effect(sandbox: Server) -> str:
    return str([line["effect"] for line in sandbox.record() if line["applied"]][-1])


def test_it_is_a_bot_and_an_administrator_of_its_channels(sandbox: Server) -> None:
    """getMe, getChat and getChatMember are what the library takes them for."""

    async def act(bot: Bot) -> None:
        assert bot.username == "client_bot"
        public, private = await bot.get_chat(CHANNEL), await bot.get_chat(STAGING)
        assert (ChatType.CHANNEL, "sandbox_client", None) == (public.type, public.username, private.username)
        member = await bot.get_chat_member(CHANNEL, bot.id)
        assert member.status == ChatMemberStatus.ADMINISTRATOR
        assert member.can_delete_messages  # type: ignore[attr-defined]

    drive(sandbox, act)


def test_a_text_is_sent_edited_and_deleted(sandbox: Server) -> None:
    """With its entities, its link preview off, the date of the edit; then it is gone."""

    async def act(bot: Bot) -> None:
        off = LinkPreviewOptions(is_disabled=True)
        text = '<b>停水 &amp; 停电</b>\n\n<a href="https://county.example/1.html">https://county.example/1.html</a>'
        sent = await bot.send_message(CHANNEL, text, parse_mode=ParseMode.HTML, link_preview_options=off)
        assert sent.text == "停水 & 停电\n\nhttps://county.example/1.html"
        assert [MessageEntity.BOLD, MessageEntity.TEXT_LINK] == [one.type for one in sent.entities]
        assert ["停水 & 停电", "https://county.example/1.html"] == list(sent.parse_entities().values())
        assert sent.link_preview_options == off
        edited = await bot.edit_message_text("改期", CHANNEL, sent.message_id)
        assert isinstance(edited, Message)
        assert (sent.message_id, "改期") == (edited.message_id, edited.text)
        assert edited.edit_date is not None
        assert await bot.delete_message(CHANNEL, sent.message_id)
        with pytest.raises(BadRequest, match="Message to delete not found"):
            await bot.delete_message(CHANNEL, sent.message_id)

    drive(sandbox, act)
    assert "post_deleted" == last_effect(sandbox)


def test_ids_of_a_channel_count_up(sandbox: Server) -> None:
    """One after another, whoever posts and whatever becomes of them."""

    async def act(bot: Bot) -> None:
        first = await bot.send_message(CHANNEL, "one")
        await bot.delete_message(CHANNEL, first.message_id)
        second = await bot.send_message(CHANNEL, "two")
        assert first.message_id + 1 == second.message_id
        assert second.link == f"https://t.me/sandbox_client/{second.message_id}"

    drive(sandbox, act)


def test_a_photo_is_uploaded_once_and_used_again(sandbox: Server) -> None:
    """By its file_id, by the same bot only."""

    async def act(bot: Bot) -> None:
        sent = await bot.send_photo(STAGING, io.BytesIO(PICTURE), caption="<i>线路图</i>", parse_mode=ParseMode.HTML)
        assert (320, 160) == (sent.photo[-1].width, sent.photo[-1].height)
        again = await bot.send_photo(CHANNEL, sent.photo[-1].file_id, caption="again")
        assert sent.photo[-1].file_unique_id == again.photo[-1].file_unique_id
        async with client(sandbox, "110201544:sandbox-bot-other") as other:
            with pytest.raises(BadRequest, match="Wrong file identifier"):
                await other.send_photo("@sandbox_other", sent.photo[-1].file_id)

    drive(sandbox, act)


def test_a_staged_photo_is_copied_and_its_media_exchanged(sandbox: Server) -> None:
    """copyMessage answers a number only; editMessageMedia keeps the id."""

    async def act(bot: Bot) -> None:
        staged = await bot.send_photo(STAGING, io.BytesIO(PICTURE), caption="线路图")
        copied = await bot.copy_message(CHANNEL, STAGING, staged.message_id)
        other = InputMediaPhoto(io.BytesIO(OTHER_PICTURE), caption="更正后的线路图")
        edited = await bot.edit_message_media(other, CHANNEL, copied.message_id)
        assert isinstance(edited, Message)
        assert "更正后的线路图" == edited.caption
        assert staged.photo[-1].file_unique_id != edited.photo[-1].file_unique_id
        captioned = await bot.edit_message_caption(CHANNEL, copied.message_id, caption="再更正")
        assert isinstance(captioned, Message)
        assert edited.photo == captioned.photo

    drive(sandbox, act)


def test_a_photo_is_added_to_a_text(sandbox: Server) -> None:
    """And not taken away again."""

    async def act(bot: Bot) -> None:
        sent = await bot.send_message(CHANNEL, "text")
        edited = await bot.edit_message_media(InputMediaPhoto(PICTURE, caption="photo"), CHANNEL, sent.message_id)
        assert isinstance(edited, Message) and edited.photo
        with pytest.raises(BadRequest, match="There is no text in the message to edit"):
            await bot.edit_message_text("text", CHANNEL, sent.message_id)

    drive(sandbox, act)


def test_an_album_is_copied_as_one(sandbox: Server) -> None:
    """In one call; what is not there is left out without a word; nothing at all is a refusal."""

    async def act(bot: Bot) -> None:
        media = [InputMediaPhoto(PICTURE, caption="caption"), InputMediaPhoto(OTHER_PICTURE)]
        staged = await bot.send_media_group(STAGING, media)
        assert 1 == len({one.media_group_id for one in staged})
        refs = [one.message_id for one in staged]
        assert 2 == len(await bot.copy_messages(CHANNEL, STAGING, refs))
        await bot.delete_message(STAGING, refs[0])
        assert 1 == len(await bot.copy_messages(CHANNEL, STAGING, refs))
        await bot.delete_messages(STAGING, refs)
        with pytest.raises(BadRequest, match="Message to copy not found"):
            await bot.copy_messages(CHANNEL, STAGING, refs)

    drive(sandbox, act)


def test_a_forward_shows_what_it_forwards(sandbox: Server) -> None:
    """Text, origin and date of the original: the only way a bot has to look at a message."""

    async def act(bot: Bot) -> None:
        sent = await bot.send_message(CHANNEL, "looked at")
        forwarded = await bot.forward_message(STAGING, CHANNEL, sent.message_id)
        assert "looked at" == forwarded.text
        origin = forwarded.forward_origin
        assert origin is not None
        assert (sent.message_id, sent.date) == (origin.message_id, origin.date)  # type: ignore[attr-defined]
        with pytest.raises(BadRequest, match="Message to forward not found"):
            await bot.forward_message(STAGING, CHANNEL, sent.message_id + 1)

    drive(sandbox, act)


def test_what_changes_nothing_is_refused_as_not_modified(sandbox: Server) -> None:
    """The same text, or the same missing buttons."""

    async def act(bot: Bot) -> None:
        sent = await bot.send_message(CHANNEL, "same")
        with pytest.raises(BadRequest, match="Message is not modified"):
            await bot.edit_message_text("same", CHANNEL, sent.message_id)
        with pytest.raises(BadRequest, match="Message is not modified"):
            await bot.edit_message_reply_markup(CHANNEL, sent.message_id)
        with pytest.raises(BadRequest, match="Message to edit not found"):
            await bot.edit_message_reply_markup(CHANNEL, sent.message_id + 1)

    drive(sandbox, act)


def test_a_flood_is_refused_with_the_seconds_to_wait(sandbox: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the library reads `parameters.retry_after`."""
    monkeypatch.setenv("PTB_TIMEDELTA", "1")  # what its next version does always
    sandbox.knob("flood", seconds=34)

    async def act(bot: Bot) -> None:
        with pytest.raises(RetryAfter) as caught:
            await bot.send_message(CHANNEL, "much")
        assert timedelta(seconds=34) == caught.value.retry_after

    drive(sandbox, act)


def test_bad_tokens_and_lost_places_are_told_apart(sandbox: Server) -> None:
    """401 for a token that is not valid, 403 for a bot outside."""

    async def bad() -> None:
        async with client(sandbox, "110201543:nobody"):
            pass

    with pytest.raises(InvalidToken):
        asyncio.run(bad())
    sandbox.knob("kicked")

    async def act(bot: Bot) -> None:
        with pytest.raises(Forbidden, match="not a member"):
            await bot.send_message(CHANNEL, "hello")

    drive(sandbox, act)


def test_a_timed_out_message_is_there_all_the_same(sandbox: Server) -> None:
    """Delivered, and the call timed out: who sends again has two."""

    async def run() -> None:
        async with client(sandbox, read=0.5) as bot:
            sandbox.knob("delay", path="*/sendMessage", after_ms=1500)
            with pytest.raises(TimedOut):
                await bot.send_message(CHANNEL, "sent once")
            sandbox.knob("drop_answer", path="*/sendMessage")
            with pytest.raises(NetworkError):
                await bot.send_message(CHANNEL, "sent once")

    asyncio.run(run())
    assert 2 == sum(line["detail"].get("text") == "sent once" for line in sandbox.record())


def test_the_token_is_in_no_line_of_the_record(sandbox: Server, tmp_path: Path) -> None:
    """Though it stands in the path of every call, also of those that a fault swallowed."""
    sandbox.knob("drop_request", path="*/getMe")

    async def act(bot: Bot) -> None:
        await bot.send_message(CHANNEL, "hello")

    with pytest.raises(NetworkError):
        drive(sandbox, act)
    drive(sandbox, act)
    record = (sandbox.home / "record.jsonl").read_text()
    assert "/bot…/getMe" in record and "sandbox-bot-client" not in record
