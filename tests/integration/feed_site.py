"""A site with a feed, as a real HTTP server: answers what a test puts there, and keeps what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Page:
    content: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class FeedSite:
    """`pages` by path; a question that names a page's ETag or Last-Modified is answered 304."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def url(self, path: str) -> str:
        return f"{self.address}{path}"

    def put(self, path: str, content: bytes | str, status: int = 200, /, **headers: str) -> None:
        self.pages[path] = Page(content.encode() if isinstance(content, str) else content, status, headers)

    def conditional(self) -> int:
        """How many questions were about a change only."""
        return sum("If-None-Match" in one or "If-Modified-Since" in one for _, one in self.asked)

    def answer(self, path: str, headers: Mapping[str, str]) -> Page:
        self.asked.append((path, headers))
        page = self.pages.get(path, Page(status=404))
        known = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
        if any(one in headers and headers[one] == page.headers.get(of) for one, of in known.items()):
            return Page(status=304, headers=page.headers)
        return page


@contextmanager
def feed_site() -> Iterator[FeedSite]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = site.answer(self.path, dict(self.headers))
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(page.content)))
            self.end_headers()
            self.wfile.write(page.content)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = FeedSite(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def entry(number: int, html: str, *, title: str = "", more: str = "") -> str:
    """An entry of RSS."""
    return (
        f"<item><title>{escape(title or f'第 {number} 条')}</title><link>https://example.org/{number}.html</link>"
        f'<guid isPermaLink="false">urn:test:{number}</guid><pubDate>Mon, 23 Nov 2026 20:00:00 GMT</pubDate>'
        f"<description>{escape(html)}</description>{more}</item>"
    )


def rss(*entries: str, title: str = "清溪镇", encoding: str = "utf-8") -> str:
    return (
        f'<?xml version="1.0" encoding="{encoding}"?><rss version="2.0"><channel><title>{title}</title>'
        f"<link>https://example.org/</link><description>d</description>{''.join(entries)}</channel></rss>"
    )
