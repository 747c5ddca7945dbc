"""The web server of the twins: shows one folder per outlet, and nothing around it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.bench import Server, server


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Server]:
    home = tmp_path / "home"
    shown = home / "site" / "www"
    (shown / "notice").mkdir(parents=True)
    (shown / "index.html").write_text("<h1>首页</h1>")
    (shown / "notice" / "a.html").write_text("<table><tr><td>06:30</td><td>08:50</td></tr></table>")
    (shown / ".hidden").write_text("secret")
    (shown / "图.png").write_bytes(b"\x89PNG")
    (home / "site" / "secret.txt").write_text("secret")
    (home / "site" / ".www.staged").mkdir()
    (home / "site" / ".www.staged" / "page.html").write_text("secret")
    (shown / "way-out.txt").symlink_to(home / "site" / "secret.txt")
    (shown / "circle").symlink_to(shown / "circle")
    with server("channels.sandbox.pages", home) as running:
        yield running


def get(pages: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """One raw request: the path leaves exactly as given."""
    connection = http.client.HTTPConnection(pages.address.removeprefix("http://"), timeout=10)
    try:
        connection.putrequest(method, path)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def test_files_are_shown_with_their_type_and_never_cached(pages: Server) -> None:
    """Pages, folders with an index, and names that are not ASCII."""
    status, body, headers = get(pages, "/site/notice/a.html")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"06:30" in body
    assert headers["cache-control"] == "no-cache"
    assert get(pages, "/site/notice/a.html", If_None_Match=headers["etag"])[0] == 304
    assert get(pages, "/site/")[1] == "<h1>首页</h1>".encode()
    assert get(pages, "/site")[2]["location"] == "/site/"
    assert get(pages, "/site/%E5%9B%BE.png")[2]["content-type"] == "image/png"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/site/notice/",
        "/site/.hidden",
        "/site/../secret.txt",
        "/site/%2e%2e/secret.txt",
        "/site/..%2fsecret.txt",
        "/site/%2e%2e%2f.www.staged%2fpage.html",
        "/site/..%5csecret.txt",
        "/site/way-out.txt",
        "/site/circle",
        "/../site/www/index.html",
        "/site//etc/passwd",
        "/other/index.html",
        "/site/a%00.html",
        "/site/" + "a" * 5000,
        "/site/%ff%fe",
    ],
)
def test_nothing_else_can_be_reached(pages: Server, path: str) -> None:
    """No listings, hidden files, ways out or strange names: 404, and no secret."""
    status, body, _ = get(pages, path)
    assert status == 404
    assert b"secret" not in body


def test_nothing_can_be_written(pages: Server) -> None:
    """Other methods are refused."""
    for method in ("POST", "PUT", "DELETE"):
        assert get(pages, "/site/index.html", method)[0] == 405


def test_every_request_is_on_record(pages: Server) -> None:
    """Instant, path and status, on disk before the answer left."""
    get(pages, "/site/notice/a.html")
    get(pages, "/site/none.html")
    lines = pages.record()
    assert [(line["path"], line["detail"]["status"]) for line in lines] == [
        ("/site/notice/a.html", 200),
        ("/site/none.html", 404),
    ]
    assert 0 < lines[0]["at"] <= lines[1]["at"]


def test_knobs_stand_until_cleared(pages: Server) -> None:
    """Altered text, a dropped cell, a swapped picture, a status; only where the pattern matches."""
    pages.knob("alter", path="/site/notice/*", replace=["06:30", "06:31"])
    pages.knob("drop_cell")
    pages.knob("swap_picture")
    for _ in range(2):
        assert get(pages, "/site/notice/a.html")[1] == b"<table><tr><td>08:50</td></tr></table>"
    assert get(pages, "/site/%E5%9B%BE.png")[1] != b"\x89PNG"
    pages.clear()
    pages.knob("status", status=500)
    assert get(pages, "/site/")[0] == 500
    pages.clear()
    assert get(pages, "/site/")[0] == 200
