"""Whom a website tells of its pages: a WebSub hub, IndexNow and Baidu, each as strict as the real one.

    POST /_pings/websub     fetches the topic at once; 202 if it is a feed, 400 otherwise
    POST /_pings/indexnow   200; 403 when the key's file does not hold the key; 422 for another host's address
    POST /_pings/baidu      {"remain", "success", "not_same_site", "not_valid"}; 401 for a token that is not
                            `sandbox-…`; 400 "over quota" with the knob `baidu_quota`

What was told, and what the hub fetched, is in the record. No call makes anything public.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlsplit

from starlette.responses import JSONResponse, PlainTextResponse, Response

from channels.sandbox.server import Call, Sandbox


class Pings:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        sandbox.on("POST", "/_pings/websub", self.websub)
        sandbox.on("POST", "/_pings/indexnow", self.indexnow)
        sandbox.on("POST", "/_pings/baidu", self.baidu)

    async def websub(self, call: Call) -> Response:
        form = parse_qs(call.body.decode())
        topic = next(iter(form.get("hub.url") or form.get("hub.topic") or []), "")
        # It hears of the sites of this very server only, and asks nobody else, whoever calls.
        if form.get("hub.mode") != ["publish"] or not topic.startswith(f"{self._sandbox.address}/"):
            return PlainTextResponse("hub.mode=publish and hub.url are needed", 400)
        content = await asyncio.to_thread(_fetched, topic)
        if content is None or not (b"<rss" in content or b"<feed" in content):
            return PlainTextResponse("the topic is no feed", 400)
        call.did("hub_fetched", topic, feed=content.decode("utf-8", "replace"))
        return Response(status_code=202)

    async def indexnow(self, call: Call) -> Response:
        try:
            told = json.loads(call.body)
            host, key, addresses = told["host"], told["key"], told["urlList"]
            location = told.get("keyLocation") or f"https://{host}/{key}.txt"
        except (ValueError, KeyError, TypeError):
            return Response(status_code=400)
        if any(urlsplit(one).netloc != host for one in [location, *addresses]):
            return Response(status_code=422)
        if host != urlsplit(self._sandbox.address).netloc:
            return Response(status_code=403)
        if (await asyncio.to_thread(_fetched, location) or b"").strip() != key.encode():
            return Response(status_code=403)
        call.did("indexnow_told", urls=addresses)
        return Response(status_code=200)

    async def baidu(self, call: Call) -> Response:
        query = call.request.query_params
        if not query.get("token", "").startswith("sandbox-"):
            return JSONResponse({"error": 401, "message": "token is not valid"}, 401)
        if self._sandbox.knobs.standing("baidu_quota"):
            return JSONResponse({"error": 400, "message": "over quota"}, 400)
        lines = call.body.decode().split()
        if not lines:
            return JSONResponse({"error": 400, "message": "empty content"}, 400)
        site = query.get("site", "").removeprefix("https://").removeprefix("http://")
        ours = [one for one in lines if urlsplit(one).netloc == site]
        if ours:
            call.did("baidu_told", urls=ours)
        told: dict[str, object] = {"remain": 9_999, "success": len(ours)}
        if len(ours) < len(lines):
            told["not_same_site"] = [one for one in lines if one not in ours]
        return JSONResponse(told)


def _fetched(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http or https, as was judged before
            content = answer.read(1_000_000)
    except (urllib.error.URLError, OSError):
        return None
    return bytes(content)
