"""The way into the sandbox's WordPress API: addresses in both forms, who asks, refusals, pages of HTML, settings."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.responses import HTMLResponse, JSONResponse, Response

from channels.sandbox.server import Call, Sandbox, now
from channels.sandbox.wordpress_world import SECOND, World

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_AUTHOR = {"read", "edit_posts", "delete_posts", "publish_posts", "edit_published_posts", "delete_published_posts"}
_AUTHOR |= {"upload_files"}
_EDITOR = _AUTHOR | {"edit_others_posts", "delete_others_posts", "read_private_posts", "manage_categories"}
ROLES: dict[str, set[str]] = {
    "administrator": _EDITOR | {"unfiltered_html", "manage_options"},
    "editor": _EDITOR | {"unfiltered_html"},
    "author": _AUTHOR,
    "contributor": {"read", "edit_posts", "delete_posts"},
    "subscriber": {"read"},
}
PAGES = {
    403: "<h1>Are you human?</h1><form><input name='captcha'></form>",
    413: "<h1>413 Request Entity Too Large</h1><hr>nginx",
    500: "<h1>Error establishing a database connection</h1>",
    502: "<h1>502 Bad Gateway</h1><hr>nginx",
}
NOTICE = (
    b"<br />\n<b>Warning</b>: Undefined array key in <b>/srv/wp-content/plugins/x.php</b> on line <b>12</b><br />\n"
)


class Refusal(Exception):
    """Becomes the answer of the call that raised it."""

    def __init__(self, status: int, code: str, message: str = "", **data: Any) -> None:
        super().__init__(code)
        self.status = status
        self.told = {"code": code, "message": message or code, "data": {"status": status, **data}}


@dataclass(frozen=True)
class User:
    """Who asks; `name` "" is nobody known."""

    name: str
    role: str
    can: frozenset[str]

    def refuse(self, code: str, message: str = "") -> Refusal:
        """401 to whom it does not know, 403 to whom it knows."""
        return Refusal(403 if self.name else 401, code, message)


NOBODY = User("", "", frozenset())


@dataclass(frozen=True)
class Asked:
    """One call of the API, read: on which site, by whom, what is in its path, query and body."""

    call: Call
    site: str
    user: User
    parts: tuple[str, ...]
    given: Mapping[str, Any]
    file: tuple[str, bytes] | None = None

    def edits(self) -> bool:
        return self.given.get("context") == "edit"


Handler = Callable[[Asked], Awaitable[Response]]


class Door:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.world = World(sandbox.shelf)
        self._remembered: dict[str, tuple[int, Response]] = {}
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        sandbox.account_of = lambda call: call.request.url.path.split("/")[1]
        for method in METHODS:
            sandbox.on(method, "/{site}/wp-json/{route:path}", self._pretty)
            sandbox.on(method, "/{site}/index.php", self._plain)
        for method in METHODS[1:]:
            sandbox.on(method, "/{site}/", self._not_allowed)

    def on(self, method: str, route: str, handler: Handler) -> None:
        """`route`: below wp/v2, as a regular expression."""
        self._routes.append((method, re.compile(rf"wp/v2/{route}/?"), handler))

    # settings

    def set(self, setting: str, site: str) -> bool:
        return bool(self.sandbox.knobs.standing(setting, site))

    def seconds(self, setting: str, site: str, usual: float = 0.0) -> int:
        """Microseconds of a setting that is given in `seconds`."""
        knobs = self.sandbox.knobs.standing(setting, site)
        return round(float(knobs[0].parameters["seconds"] if knobs else usual) * SECOND)

    def now(self, site: str) -> int:
        """By the site's own clock."""
        return now() + self.seconds("clock", site)

    def home(self, site: str) -> str:
        return f"{self.sandbox.address}/{site}"

    def api(self, site: str) -> str:
        """Where the API says that it is."""
        plain = self.set("plain_permalinks", site)
        return f"{self.home(site)}/index.php?rest_route=/" if plain else f"{self.home(site)}/wp-json/"

    async def hooks(self, call: Call) -> None:
        """Plug-ins that run when something became public, inside the request."""
        await asyncio.sleep(self.seconds("slow_hooks", call.account) / SECOND)

    async def remembered(self, call: Call, make: Callable[[Call], Awaitable[Response]]) -> Response:
        """A cache in front of the site: by the whole address with its query, whatever became of the post meanwhile."""
        life, asked = self.seconds("page_cache", call.account), str(call.request.url)
        known = self._remembered.get(asked)
        if life and known is not None and known[0] + life > now():
            return known[1]
        answer = await make(call)
        if life:
            self._remembered[asked] = (now(), answer)
        return answer

    # requests

    async def _pretty(self, call: Call) -> Response:
        if self.set("plain_permalinks", call.account):
            return HTMLResponse("<!doctype html><title>404</title><h1>Not Found</h1>", 404)
        return await self.rest(call, str(call.request.path_params["route"]))

    async def _plain(self, call: Call) -> Response:
        return await self.rest(call, call.request.query_params.get("rest_route", "").lstrip("/"))

    async def _not_allowed(self, call: Call) -> Response:
        """nginx, for `DELETE /?rest_route=…`; POST gets through."""
        if call.request.method == "POST" and "rest_route" in call.request.query_params:
            return await self._plain(call)
        return HTMLResponse("<h1>405 Not Allowed</h1><hr>nginx", 405)

    async def rest(self, call: Call, route: str) -> Response:
        broken = self.sandbox.knobs.take(call.request.method, call.request.url.path, call.account, "html_page")
        if broken is not None:
            call.fault = "html_page"
            status = int(broken.parameters.get("status", 500))
            return HTMLResponse(PAGES.get(status, f"<h1>{status}</h1>"), status)
        if self.set("no_api", call.account):
            return HTMLResponse("<!doctype html><title>404</title><h1>Not Found</h1>", 404)
        limits = self.sandbox.knobs.standing("max_body", call.account)
        if limits and len(call.body) > int(limits[0].parameters["bytes"]):
            return HTMLResponse(PAGES[413], 413)
        if call.request.method == "GET" and "Authorization" not in call.request.headers:
            return await self.remembered(call, lambda call: self._spoken(call, route))
        return await self._spoken(call, route)

    async def _spoken(self, call: Call, route: str) -> Response:
        try:
            answer = await self._answered(call, route)
        except Refusal as refusal:
            answer = JSONResponse(refusal.told, refusal.status)
        if self.set("notices", call.account):
            return Response(NOTICE + bytes(answer.body), answer.status_code, media_type="application/json")
        return answer

    async def _answered(self, call: Call, route: str) -> Response:
        site, query = call.account, call.request.query_params
        user = self._user(call)
        if not user.name and (closed := self.sandbox.knobs.standing("closed_rest", site)):
            code = str(closed[0].parameters.get("code", "rest_login_required"))
            raise Refusal(401, code, "The REST API is for registered users only.")
        method = call.request.headers.get("X-HTTP-Method-Override") or query.get("_method") or call.request.method
        method = method.upper().replace("PUT", "POST").replace("PATCH", "POST")
        for known, pattern, handler in self._routes:
            if known == method and (found := pattern.fullmatch(route)):
                given, file = await self._given(call)
                return await handler(Asked(call, site, user, found.groups(), given, file))
        raise Refusal(404, "rest_no_route", "No route was found matching the URL and request method.")

    async def _given(self, call: Call) -> tuple[dict[str, Any], tuple[str, bytes] | None]:
        given: dict[str, Any] = dict(call.request.query_params)
        kind = call.request.headers.get("Content-Type", "")
        if "json" in kind and call.body:
            try:
                given |= json.loads(call.body)
            except ValueError:
                raise Refusal(400, "rest_invalid_json", "Invalid JSON body passed.") from None
        elif "form" in kind:
            async with call.request.form() as form:
                file = form.get("file")
                given |= {name: value for name, value in form.items() if isinstance(value, str)}
                if isinstance(file, UploadFile):
                    return given, (file.filename or "", await file.read())
        elif call.body:
            told = call.request.headers.get("Content-Disposition", "")
            if (found := re.search(r'filename="?([^";]+)', told)) is None:
                raise Refusal(400, "rest_upload_no_content_disposition", "No Content-Disposition supplied.")
            return given, (found[1], call.body)
        return given, None

    def _user(self, call: Call) -> User:
        """By Basic authentication with an application password, whose spaces do not count."""
        told = call.request.headers.get("Authorization", "")
        if not told.startswith("Basic ") or self.set("strip_authorization", call.account):
            return NOBODY
        name, _, password = base64.b64decode(told[6:]).decode("utf-8", "replace").partition(":")
        role = next((role for role in ROLES if name.startswith(role)), "")
        known = role and password.replace(" ", "") == f"sandbox{call.account}" and not self.set("revoke", call.account)
        if not known and self.set("tells_password", call.account):
            raise Refusal(401, "incorrect_password" if role else "invalid_username", "The password is incorrect.")
        if not known:
            return NOBODY
        lost = {"unfiltered_html"} if self.set("multisite", call.account) else set()
        return User(name, role, frozenset(ROLES[role] - lost))
