"""Sina Weibo as far as a publisher's ordinary application meets it. Facts: the fact sheet on Weibo, sections 2 to 9.

`sandbox-NAME` is a valid token of user NAME through an application that any domain is bound to, and
`sandbox-NAME@DOMAIN` one whose safe domain is DOMAIN; users exist from their first use. `POST /console/post`
with `user` and `text` is the user's own hand. Settings (knobs):

    revoke, expires_in   the token is dead; it has so many `seconds` left
    unlimited            no limits (calls and posts are counted all the same)
    string_codes         `error_code` is a string
    repeat_window        `seconds` for which a text is remembered, and refused when it comes again (600)
    similar              such a text is refused as similar (20017)
    strip_topics         "#…#" is taken out without a word instead of being refused
    delayed              a post is made and answered with 20032
    lag                  a new post is listed, and seen by the public, after `seconds`
    window               own posts are listed no further back than the newest `posts`
    notices              where a deleted post was, a notice is listed and shown
    hide                 nobody but the author sees the posts
    wall                 strangers are sent to fetch a visitor's cookie; `status` (200)
    sinaurl              links on the page lead through an address that holds their goal, not through a short link
    warn                 short links answer with a page that warns, instead of leading on
    alter                the public sees `replace[1]` where the text has `replace[0]`
    swap_picture         the public sees other pictures
"""

from __future__ import annotations

import sys
from ipaddress import AddressValueError, IPv4Address

from starlette.responses import JSONResponse, Response

from channels.sandbox.server import Call, Sandbox, now, serve
from channels.sandbox.weibo_door import CALLS, DAY, HOUR, POSTS, Door, Refusal
from channels.sandbox.weibo_page import Page
from channels.sandbox.weibo_text import LIMIT, TOPIC, length, unbound
from channels.sandbox.weibo_world import SECOND, Post, Refused, written

LARGEST = 5_000_000  # bytes of a picture; fewer
REMEMBERED = 600 * SECOND


class StatusCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("POST", "/2/statuses/share.json", self.share)
        door.on("GET", "/2/statuses/show.json", self.show)
        door.on("GET", "/2/statuses/user_timeline.json", self.timeline)
        door.on("POST", "/2/statuses/destroy.json", self.destroy)
        door.sandbox.on("POST", "/console/post", self.by_hand)

    async def share(self, call: Call) -> Response:
        given = await self._door.given(call)
        text = given.fields.get("status", "")
        call.detail.update(text=text, rip=given.fields.get("rip", ""), size=len(call.body))
        self._check_rip(given.fields.get("rip", ""))
        text = self._checked(call, text)
        if "pic" in given.fields:
            raise Refusal(20007, "Does multipart has image?")
        if len(given.files.get("pic", b"")) >= LARGEST:
            raise Refusal(20006, "Image size too large")
        self._check_repeated(call, text)
        posted = self._world.count("posts", call.account, now(), HOUR)
        if posted > POSTS and not self._door.set("unlimited", call):
            raise Refusal(20016, "out of limit")
        post = Post(self._world.new_id(now()), call.account, text, now())
        if "pic" in given.files:
            try:
                post.picture = self._world.keep_picture(post.mid, given.files["pic"])
            except Refused:
                raise Refusal(20005, "unsupported image type, only support JPG, GIF, PNG") from None
        self._world.keep(post)
        call.did("post_created", post.mid, picture=post.picture)
        if self._door.set("delayed", call):
            raise Refusal(20032, "Update success, while server slow now, please wait 1-2 minutes.")
        return JSONResponse(self._world.shown(post))

    def _check_rip(self, rip: str) -> None:
        if not rip:
            raise Refusal(10016, "miss required parameter (rip), see doc for more info.")
        try:
            public = IPv4Address(rip).is_global
        except AddressValueError:
            public = False
        if not public:
            raise Refusal(10017, f"parameter (rip)'s value invalid, expect (public ip), but get ({rip})")

    def _checked(self, call: Call, text: str) -> str:
        """The text that would be posted. Raises Refusal."""
        text = text.strip()
        if not text:
            raise Refusal(20008, "content is null")
        if length(text) > LIMIT:
            raise Refusal(20012, "input text too long, please input text less than 140 characters!")
        if TOPIC.search(text) and not self._door.set("strip_topics", call):
            raise Refusal(10017, "parameter (status)'s value invalid, topics are not allowed")
        text = TOPIC.sub("", text)
        if why := unbound(text, self._door.domain(call)):
            raise Refusal(10017, why)
        return text

    def _check_repeated(self, call: Call, text: str) -> None:
        since = now() - self._door.time("repeat_window", call.account, REMEMBERED)
        if any(post.text == text and post.at > since for post in self._world.of(call.account)):
            if self._door.set("similar", call):
                raise Refusal(20017, "you have send a similar information, please try again later!")
            raise Refusal(20019, "repeat content!")

    async def show(self, call: Call) -> Response:
        post = self._own(call, call.request.query_params.get("id", ""))
        return JSONResponse(self._world.shown(post))

    def _own(self, call: Call, mid: str) -> Post:
        post = self._world.posts.get(mid)
        if post is None or post.deleted:
            raise Refusal(20101, "target weibo does not exist!")
        if post.user != call.account:
            raise Refusal(20102, "not your own weibo!")
        return post

    async def timeline(self, call: Call) -> Response:
        """Newest first; `since_id` excludes itself, `max_id` does not."""
        asked = call.request.query_params
        lag = self._door.time("lag", call.account, 0)
        posts = [post for post in self._world.of(call.account) if post.at + lag <= now()]
        if not self._door.set("notices", call):
            posts = [post for post in posts if not post.deleted]
        for knob in self._door.sandbox.knobs.standing("window", call.account):
            posts = posts[: int(knob.parameters["posts"])]
        since, most = int(asked.get("since_id") or 0), int(asked.get("max_id") or 0) or 2**63
        found = [post for post in posts if since < int(post.mid) <= most]
        if asked.get("base_app") == "1":
            found = [post for post in found if post.shared]
        count = min(int(asked.get("count") or 20), 100)
        begin = (max(1, int(asked.get("page") or 1)) - 1) * count
        page = [self._world.shown(post) for post in found[begin : begin + count]]
        if asked.get("trim_user") == "1":
            page = [{**one, "user": int(self._world.uid(call.account))} if "user" in one else one for one in page]
        return JSONResponse({"statuses": page, "total_number": len(found), "previous_cursor": 0, "next_cursor": 0})

    async def destroy(self, call: Call) -> Response:
        post = self._own(call, (await self._door.given(call)).fields.get("id", ""))
        shown = self._world.shown(post)
        post.deleted = True
        self._world.keep(post)
        call.did("post_deleted", post.mid)
        return JSONResponse(shown)

    async def by_hand(self, call: Call) -> Response:
        """In Weibo's own application, which is bound by none of the rules for others."""
        given = await call.request.json()
        post = Post(self._world.new_id(now()), given["user"], given["text"], now(), shared=False)
        self._world.keep(post)
        call.did("post_created", post.mid, by="hand")
        return JSONResponse({"mid": post.mid})


class AccountCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("POST", "/oauth2/get_token_info", self.token)
        door.on("GET", "/2/account/rate_limit_status.json", self.limits, counted=False)

    async def token(self, call: Call) -> Response:
        uid, left = int(self._world.uid(call.account)), self._door.left(call)
        told = {"uid": uid, "appkey": 1352222456, "scope": None, "create_at": now() // SECOND, "expire_in": left}
        return JSONResponse(told)

    async def limits(self, call: Call) -> Response:
        calls = self._world.counted("calls", call.account, now(), DAY)
        reset = (min(calls) + DAY * SECOND) if calls else now()
        return JSONResponse(
            {
                "ip_limit": 15_000,
                "limit_time_unit": "DAY",
                "remaining_ip_hits": 15_000,
                "remaining_user_hits": max(0, CALLS - len(calls)),
                "reset_time": written(reset),
                "reset_time_in_seconds": max(0, reset - now()) // SECOND,
                "user_limit": CALLS,
            }
        )


def build(sandbox: Sandbox) -> None:
    """Everything of Weibo that there is here."""
    door = Door(sandbox)
    StatusCalls(door)
    AccountCalls(door)
    Page(door)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
