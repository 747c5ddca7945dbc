"""Telegram as far as a bot that posts to channels meets it. Facts: the fact sheet on Telegram, sections 1 to 9.

`DIGITS:sandbox-bot-NAME` is a valid token of bot NAME. Channels exist from their first use, `@name` public and `-100…`
private, with that bot as administrator. No method reads a message. Settings (knobs):

    revoke            the token is no longer valid
    no_chat, kicked   the channel is unknown; the bot is no member of it
    missing_right     the bot lacks the `right` (can_post_messages, can_edit_messages, can_delete_messages)
    public_staging    private channels have a name, so that anybody may read them
    discussed         channels have a discussion group, into which every post is forwarded
    protected         nothing may be copied or forwarded out of a channel
    aged              every message is `hours` older than it is
    limit             at most `messages` in `seconds` to one channel, instead of 20 in a minute, or `calls` of
                      one bot, instead of 30 in a second
    flood             whatever would be posted is refused for `seconds`
    unlimited         no rate limits (they are counted all the same)
    rewrite           a new or edited message has `replace[1]` where the request has `replace[0]`
    doubles           a new message is made twice, without a word
    page_lag          readers are `seconds` behind
    no_list           the channel shows no list of its posts (t.me/s), as where its preview is switched off
    alter             readers see `replace[1]` where the text has `replace[0]`
    swap_picture      readers see other pictures
    vanish            readers do not find a message once it is `seconds` old
    changed_page      readers find a page of another shape
"""

from __future__ import annotations

import sys

from channels.sandbox.server import Sandbox, serve
from channels.sandbox.telegram_chat import ChatCalls
from channels.sandbox.telegram_door import Door
from channels.sandbox.telegram_edit import EditCalls
from channels.sandbox.telegram_page import Pages
from channels.sandbox.telegram_send import SendCalls


def build(sandbox: Sandbox) -> None:
    """Everything that bots and readers of a channel meet."""
    door = Door(sandbox)
    ChatCalls(door)
    SendCalls(door)
    EditCalls(door)
    Pages(door)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
