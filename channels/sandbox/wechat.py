"""A sandbox of WeChat's Official Account API and its public article pages.

Any app_id `sandbox-X` with the secret `sandbox-secret-X` is account X; it begins empty, and drafts, jobs
and articles outlive a restart; so do mass sends (`wechat_mass`). Not modelled:
newspic articles, voice and video assets, comments, mass sends to a part of the followers.

Public         GET /s/ID an article's page · GET /mmbiz/ID/0 a picture
A colleague    POST /console/open {"account", "media_id", "replace": [old, new]?} opens (and edits) a draft
               POST /console/publish {"account", "media_id"} publishes one, which counts as no call
               POST /console/delete, /console/ban {"account", "article_id"}
               POST /console/confirm, /console/refuse {"account"} the administrator's word on waiting mass sends

Knobs read here (`account` narrows each; the standing ones hold until cleared):
    errcode {"code"}                     the next matching API call is refused, e.g. 53501, 40164, 48001, -1
    outcome {"status"}                   the next submitted job ends with 2, 3 or 4
    latency {"ms"}                       standing: how long a publishing job takes (150)
    quota {"api", "daily", "minute"}     standing: e.g. {"api": "freepublish/get", "daily": 3}
    replication {"seconds"}              standing: a fresh cover answers 40007 for so long
    token_life {"seconds"}               standing: life of a new token (7200)
    bad_token {"token"}                  standing: this token is refused, though it was handed out and is young
    title_limit {"length"}               standing: characters of a title (64)
    censor {"replace": [old, new]}       standing: the draft box alters content without a word
    forgets_deleted                      standing: an article that was deleted is unknown (53600) from then on
    list_lag {"seconds"}                 standing: an article is among the published ones so much later
    doubles                              standing: a job publishes two articles
    vanish {"seconds"}                   standing: an article counts as deleted so long after it appeared
    uncounted                            standing: openapi/quota/get tells no numbers
    publish_id_int                       standing: publish_id as a number
    push {"url", "plain", "copies", "never"}     standing: the end of each job is pushed there, in safe mode unless
                                         `plain`; so many `copies` (1); with `never` it is lost on the way
    admin {"code", "with_id", "seconds"}  standing: a mass send waits for the administrator, for so long at most (1800);
                                         answered with this `code`, e.g. 89504, if any, and the msg_id only `with_id`
    mass_quota {"daily"}                 standing: mass sends of a day in China
    mass_gap {"seconds"}                 standing: how soon after another request of its clientmsgid one is 45066 (60)
    media_first                          standing: the draft is looked at before the clientmsgid
    mass_outcome {"status"}              the next mass send fails with it, e.g. "err(30003)"
    alter {"replace": [old, new]} · swap_picture · drop_cell     standing: the public sees something else
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from channels.sandbox import wechat_mass
from channels.sandbox import wechat_page as pages
from channels.sandbox.server import Call, Sandbox, serve
from channels.sandbox.wechat_books import TOKEN_LIFE, Account, Article, Picture, Refused, swapped
from channels.sandbox.wechat_calls import CALLS
from channels.sandbox.wechat_world import Asked, World

NOTICES = {5: "该内容已被发布者删除", 6: "此内容因违规无法查看"}
NO_SUCH_PAGE = "参数错误"


class Wechat(World):
    """The whole of it: who asks, what the public can open, and the front of the API."""

    # who asks

    def account_of(self, call: Call) -> str:
        """Whose request it is, by token, app_id or address; "" when nobody's."""
        self.resume()
        wechat_mass.resume(self)
        path = call.request.url.path
        if path.startswith("/s/"):
            found = self.public.get(_id(call))
            return found[0].name if found else ""
        if path.startswith("/mmbiz/"):
            picture = self.pictures.get(_id(call))
            return picture[0].name if picture else ""
        token = call.request.query_params.get("access_token", "")
        for account in self.accounts.values():
            if token and account.tokens.judge(token, call.at / 1e6) is not None:
                return account.name
        given = _json(call.body) if call.body.startswith(b"{") else dict(call.request.query_params)
        named = str(given.get("appid") or given.get("account") or "") if isinstance(given, dict) else ""
        return named.removeprefix("sandbox-")

    def _with_secret(self, appid: object, secret: object) -> Account:
        if not appid:
            raise Refused(41002, "appid missing")
        if not secret:
            raise Refused(41004, "appsecret missing")
        if not isinstance(appid, str) or not appid.removeprefix("sandbox-") or not appid.startswith("sandbox-"):
            raise Refused(40013, "invalid appid")
        if secret != f"sandbox-secret-{appid.removeprefix('sandbox-')}":
            raise Refused(40125, "invalid appsecret")
        return self.kept.account(appid.removeprefix("sandbox-"))

    def _with_token(self, call: Call) -> Account:
        token = call.request.query_params.get("access_token", "")
        if not token:
            raise Refused(41001, "access_token missing")
        if len(token) < 32:
            raise Refused(40014, "invalid access_token")
        for account in self.accounts.values():
            good = account.tokens.judge(token, call.at / 1e6)
            if good and token not in [
                k.parameters["token"] for k in self.sandbox.knobs.standing("bad_token", account.name)
            ]:
                return account
            if good is False:
                raise Refused(42001, "access_token expired")
        raise Refused(40001, "invalid credential, access_token is invalid or not latest")

    # the front of the API

    def api(
        self, path: str, work: Callable[[Asked], Awaitable[dict[str, Any]]]
    ) -> Callable[[Call], Awaitable[Response]]:
        """A handler: token, refusals ordered by knob, quota, then the work. Always HTTP 200."""

        async def handler(call: Call) -> Response:
            try:
                account = self._with_token(call)
                self._admit(call, account, path)
                return _answer(await work(Asked(call, account)))
            except Refused as refused:
                return _refusal(call, refused)

        return handler

    def _admit(self, call: Call, account: Account, path: str) -> None:
        knob = self.sandbox.knobs.take(call.request.method, call.request.url.path, account.name, "errcode")
        if knob is not None:
            raise Refused(int(knob.parameters.get("code", -1)), "refused by a knob hint: [sandbox]")
        quotas = [k for k in self.sandbox.knobs.standing("quota", account.name) if k.parameters.get("api") == path]
        daily, minute = (quotas[-1].parameters.get(name) if quotas else None for name in ("daily", "minute"))
        account.count(path, call.at / 1e6, daily, minute)

    async def stable_token(self, call: Call) -> Response:
        try:
            given = _json(call.body)
            if not isinstance(given, dict):
                raise Refused(47001, "data format error")
            if given.get("grant_type") != "client_credential":
                raise Refused(40002, "invalid grant_type")
            account = self._with_secret(given.get("appid"), given.get("secret"))
            self._admit(call, account, "stable_token")
            life = float(self.setting("token_life", account, "seconds", TOKEN_LIFE))
            token, left = account.tokens.ask(call.at / 1e6, life, force=given.get("force_refresh") is True)
            call.did("forced_token" if given.get("force_refresh") is True else "asked_token")
            return _answer({"access_token": token, "expires_in": left})
        except Refused as refused:
            return _refusal(call, refused)

    async def legacy_token(self, call: Call) -> Response:
        try:
            query = call.request.query_params
            if query.get("grant_type") != "client_credential":
                raise Refused(40002, "invalid grant_type")
            account = self._with_secret(query.get("appid"), query.get("secret"))
            self._admit(call, account, "token")
            token, left = account.tokens.ask_legacy(call.at / 1e6)
            return _answer({"access_token": token, "expires_in": left})
        except Refused as refused:
            return _refusal(call, refused)

    async def clear_quota(self, call: Call) -> Response:
        try:
            account = self._with_token(call)
            account.clear_quota(call.at / 1e6)
            call.did("cleared_quota")
            return _answer({"errcode": 0, "errmsg": "ok"})
        except Refused as refused:
            return _refusal(call, refused)

    async def wrong_method(self, call: Call) -> Response:
        return _refusal(call, Refused(43002, "require POST method"))

    # what anybody can open

    async def page(self, call: Call) -> Response:
        found = self.public.get(_id(call))
        if found is None:
            return HTMLResponse(pages.notice(NO_SUCH_PAGE))
        account, article = found
        await article.recorded.wait()
        self.let_vanish(account)
        if article.status in NOTICES:
            return HTMLResponse(pages.notice(NOTICES[article.status]))
        return HTMLResponse(self._page(account, article))

    def _page(self, account: Account, article: Article) -> str:
        shown = article.articles[0]
        title, content = str(shown["title"]), pages.published(str(shown["content"]))
        for knob in self.sandbox.knobs.standing("alter", account.name):
            old, new = knob.parameters["replace"]
            title, content = title.replace(old, new), content.replace(old, new)
        if self.sandbox.knobs.standing("drop_cell", account.name):
            content = pages.without_last_cell(content)
        return pages.page(title, str(shown["author"]), content, str(shown["content_source_url"]), account.name)

    async def picture(self, call: Call) -> Response:
        found = self.pictures.get(_id(call))
        if found is None:
            return Response(status_code=404)
        account, picture = found
        shown: Picture = swapped(picture) if self.sandbox.knobs.standing("swap_picture", account.name) else picture
        return Response(shown.content, media_type=shown.media_type)

    # a colleague in the console

    async def console(self, call: Call) -> Response:
        given = _json(call.body)
        account = self.kept.account(str(given.get("account"))) if isinstance(given, dict) else None
        try:
            match _id(call):
                case "open" if account is not None:
                    draft = account.touch(str(given.get("media_id")), call.at / 1e6)
                    old, new = given.get("replace", ("", ""))
                    if old:
                        draft.articles[0]["content"] = str(draft.articles[0]["content"]).replace(old, new)
                    self.kept.draft(account, str(given.get("media_id")))
                    call.did("opened_in_console", str(given.get("media_id")))
                case "publish" if account is not None:
                    ref, job = account.submit(given.get("media_id"), 0)
                    self.begin(account, ref, job, 0)
                    call.did("published_in_console", ref)
                case "delete" | "ban" as act if account is not None:
                    account.article(given.get("article_id")).status = 5 if act == "delete" else 6
                    self.kept.article(account, str(given.get("article_id")))
                    call.did("removed_in_console", str(given.get("article_id")))
                case "confirm" | "refuse" as act if account is not None:
                    wechat_mass.confirmed(account, yes=act == "confirm")
                    call.did("administrator", act)
                case _:
                    return Response(status_code=404)
        except Refused as refused:
            return JSONResponse({"error": refused.message}, 404)
        return JSONResponse({})


def _id(call: Call) -> str:
    """The second part of its path."""
    return [*call.request.url.path.split("/"), "", ""][2]


def _json(body: bytes) -> Any:
    """The body's value; None when it is no JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def _answer(content: dict[str, Any]) -> Response:
    return JSONResponse(content)


def _refusal(call: Call, refused: Refused) -> Response:
    call.detail["errcode"] = refused.code
    rid = "-".join(secrets.token_hex(4) for _ in range(3))
    return _answer({"errcode": refused.code, "errmsg": f"{refused.message} rid: {rid}"})


def build(sandbox: Sandbox) -> None:
    """Register everything."""
    wechat = Wechat(sandbox)
    sandbox.account_of = wechat.account_of
    sandbox.on("POST", "/cgi-bin/stable_token", wechat.stable_token)
    sandbox.on("GET", "/cgi-bin/token", wechat.legacy_token)
    sandbox.on("POST", "/cgi-bin/clear_quota", wechat.clear_quota)
    for path, work in {**CALLS, **wechat_mass.CALLS}.items():
        handler = wechat.api(path, partial(work, wechat))
        sandbox.on("POST", f"/cgi-bin/{path}", handler)
        sandbox.on("GET", f"/cgi-bin/{path}", handler if path == "draft/count" else wechat.wrong_method)
    sandbox.on("GET", "/s/{id}", wechat.page)
    sandbox.on("GET", "/mmbiz/{id}/0", wechat.picture)
    sandbox.on("POST", "/console/{act}", wechat.console)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
