"""`tongfa web`: the process that answers over HTTP."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from sync.cli.output import Json, document, tell, wired
from sync.model import BadInput


def register(app: typer.Typer) -> None:
    app.command("web")(web)


def web(
    host: Annotated[str, typer.Option(metavar="HOST", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any")] = 8080,
    json: Json = False,
) -> None:
    """Take what outlets tell by themselves (WeChat's message push), until Ctrl-C. 接收平台推送。"""
    import uvicorn

    from sync.web.app import application  # other commands need not wait for its import

    ctx = wired()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise BadInput(f"--port {port}", str(error.strerror), "name another with --port; 0 takes any") from error
    where = f"http://{host}:{listener.getsockname()[1]}"
    if json:
        document({"web": where})
    tell(f"{where}/callback/OUTLET")
    config = uvicorn.Config(
        application(ctx), log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
