"""`tongfa metrics`: figures for monitoring."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from sync.cli.output import Json, document, say, tell, wired
from sync.model import BadInput


def register(app: typer.Typer) -> None:
    app.command("metrics")(metrics)


def metrics(
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="serve them until Ctrl-C, as /metrics")
    ] = None,
    json: Json = False,
) -> None:
    """Figures for Prometheus: printed once, or served. 监控指标。"""
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server

    from sync.metrics import Figures  # other commands need not wait for its import

    ctx = wired()
    registry = CollectorRegistry()
    registry.register(Figures(ctx))
    if listen is None:
        if json:
            document({family.name: [_sample(one) for one in family.samples] for family in registry.collect()})
        else:
            say(generate_latest(registry).decode().rstrip())
        return
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise BadInput("--listen", f"{listen!r} is no address", "give it as 127.0.0.1:9100")
    try:
        server, thread = start_http_server(int(port), host, registry)
    except OSError as error:
        raise BadInput("--listen", f"{listen}: {error.strerror}", "choose another port, or end what uses it") from error
    where = f"http://{host}:{server.server_port}/metrics"
    if json:
        document({"metrics": where})
    tell(where)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.shutdown()
        thread.join()


def _sample(one: object) -> dict[str, object]:
    return {"labels": dict(one.labels), "value": one.value, "name": one.name}  # type: ignore[attr-defined]
