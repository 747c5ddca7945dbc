"""WeChat with `mode=mass`: the same account, and somebody who takes its pushes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from sync.contract import Listener, Unauthorised
from tests.contract.bench import Server, server
from tests.contract.bench_wechat import PATHS, WechatBench

MASS_PATHS = {
    **PATHS,
    "release": "/cgi-bin/message/mass/sendall",
    "withdraw": "/cgi-bin/message/mass/delete",
}


class WechatMassBench(WechatBench):
    paths = MASS_PATHS
    settings = {"mode": "mass"}  # noqa: RUF012 - read only, as in the class above

    def hears(self, query: dict[str, str], body: bytes) -> str:
        """A push, as `tongfa web` hands it to the channel."""
        channel = self.channel()
        assert isinstance(channel, Listener)
        return channel.hear("POST", query, body).reply


@contextmanager
def listening(bench: WechatMassBench) -> Iterator[str]:
    """Where the account's pushes are taken; the sandbox is told so."""
    with taken(bench.hears) as url:
        bench.sandbox.knob("push", url=url, account=bench.account)
        yield url


@contextmanager
def taken(hears: Callable[[dict[str, str], bytes], str]) -> Iterator[str]:
    """An address whose requests are handed over, query and body."""

    class Asked(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = dict(parse_qsl(urlsplit(self.path).query))
            try:
                reply = hears(query, self.rfile.read(int(self.headers["content-length"])))
            except Unauthorised:
                self.send_response(403)
                reply = ""
            else:
                self.send_response(200)
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}/callback"
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


@contextmanager
def bench(tmp_path: Path) -> Iterator[WechatMassBench]:
    """The queue at its fastest; the same key may be asked about at once."""
    with server("channels.sandbox.wechat", tmp_path / "sandbox") as sandbox:
        made = opened(sandbox, "town")
        with listening(made):
            try:
                yield made
            finally:
                made.close()


def opened(sandbox: Server, account: str) -> WechatMassBench:
    made = WechatMassBench(sandbox, account)
    sandbox.knob("latency", ms=0, account=account)
    sandbox.knob("mass_gap", seconds=0, account=account)
    return made
