"""The web process: where outlets tell us that something happened.

    GET, POST /callback/OUTLET     WeChat's message push: its address check, and its events
    GET       /health              200 while the database answers

Deny by default: whatever is not known, not signed, or too large is refused alike, and says nothing about why.
The reason stands in the log of this process.
"""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sync.contract import OutletError
from sync.engine.context import Context
from sync.engine.hear import hear

MOST_BYTES = 64 * 1024  # of a request's body; a push has one or two thousand
log = logging.getLogger(__name__)
SAFE = {
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def application(ctx: Context) -> Starlette:
    """The application for one process."""

    async def callback(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return _plain("", 413)
        name, query = request.path_params["outlet"], dict(request.query_params)
        try:
            heard = await run_in_threadpool(hear, ctx, name, request.method, query, body)
        except OutletError as error:
            log.warning("a callback for %s was refused: %s", name, error)
            return _plain("", 403)
        except SQLAlchemyError as error:
            log.error("a callback for %s could not be taken: %s", name, type(error).__name__)
            return _plain("", 503)  # it is sent again
        return _plain(heard.reply, 200)

    async def health(request: Request) -> Response:
        try:
            await run_in_threadpool(_asked, ctx)
        except SQLAlchemyError:
            return _plain("", 503)
        return _plain("ok", 200)

    routes = [Route("/callback/{outlet}", callback, methods=["GET", "POST"]), Route("/health", health)]
    return Starlette(routes=routes)


async def _body(request: Request) -> bytes | None:
    """None: it is too large, or its sender left."""
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                return None
    except ClientDisconnect:
        return None
    return body


def _asked(ctx: Context) -> None:
    with ctx.store.read() as connection:
        ctx.store.now(connection)


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, headers=SAFE)
