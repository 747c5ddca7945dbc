"""The web server of the twins that are static sites: shows `DIR/<outlet>/www`, and nothing else.

`python -m channels.sandbox.pages --port 0 --home DIR`; every request is in the record, `detail.status`
says how it was answered. Read-only; no folder listings, no hidden files, no way out of `www`.
Beside that it plays whom a website tells of its pages (`channels.sandbox.pings`).
Knobs of its own, standing until cleared, by `path` (the whole path, with the outlet's name):

    alter         in text answers `replace: [old, new]`
    drop_cell     the first table cell is left out of HTML answers
    swap_picture  a picture is answered with another one
    status        answered with `status` (503)
    lag           an article's page is not found before it is `seconds` old
    vanish        an article's page is not found once it is `seconds` old
"""

from __future__ import annotations

import hashlib
import re
import struct
import sys
import zlib
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

from starlette.responses import Response

from channels.sandbox.knobs import Knob
from channels.sandbox.pings import Pings
from channels.sandbox.server import Call, Sandbox, now, serve

FAULTS = ("status", "lag", "vanish", "alter", "drop_cell", "swap_picture")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".xml": "application/rss+xml; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".zip": "application/zip",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def resolve(home: Path, path: str) -> Path | None:
    """The file that `/outlet/rest` shows; None when there is none, or none that may be shown."""
    parts = [part for part in path.split("/")[1:] if part]
    if not parts or any(part.startswith(".") or "\0" in part or "\\" in part for part in parts):
        return None
    root = home / parts[0] / "www"
    file = root.joinpath(*parts[1:])
    if path.endswith("/") or len(parts) == 1:
        file = file / "index.html"
    try:
        real, top = file.resolve(strict=True), root.resolve(strict=True)
    except (OSError, RuntimeError):  # missing, too long a name, or a circle of links
        return None
    return real if real.is_relative_to(top) and real.is_file() else None


class Pages:
    """Answers GET with the files of the twins."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        sandbox.account_of = lambda call: call.request.url.path.split("/")[1]
        sandbox.on("GET", "/{path:path}", self.show)

    async def show(self, call: Call) -> Response:
        answer = self._answer(call)
        call.detail["status"] = answer.status_code
        return answer

    def _answer(self, call: Call) -> Response:
        path = unquote(call.request.scope["raw_path"].split(b"?")[0].decode("ascii", "replace"))
        account = self._sandbox.account_of(call)
        standing = [knob for fault in FAULTS for knob in self._sandbox.knobs.standing(fault, account)]
        knobs = [knob for knob in standing if fnmatchcase(path, knob.path)]
        for knob in knobs:
            call.fault = knob.fault
            if knob.fault == "status":
                return Response(status_code=int(knob.parameters.get("status", 503)))
        file = resolve(self._sandbox.home, path)
        if file is None or any(hidden(file, knob) for knob in knobs):
            return Response("没有这一页 · Not found", 404, media_type="text/plain")
        if file.name == "index.html" and not path.endswith("/") and not path.endswith("/index.html"):
            return Response(status_code=308, headers={"Location": f"{call.request.url.path}/"})
        media_type = TYPES.get(file.suffix.lower(), "application/octet-stream")
        body = file.read_bytes()
        for knob in knobs:
            body = altered(body, media_type, knob)
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        if call.request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=media_type, headers=headers)


def hidden(file: Path, knob: Knob) -> bool:
    """Whether the knob keeps this page, by its age, from readers."""
    if knob.fault not in ("lag", "vanish") or file.suffix != ".html":
        return False
    old = now() >= file.stat().st_mtime_ns // 1_000 + round(knob.parameters["seconds"] * 1_000_000)
    return old if knob.fault == "vanish" else not old


def altered(body: bytes, media_type: str, knob: Knob) -> bytes:
    """What the knob makes of an answer."""
    match knob.fault:
        case "alter" if media_type.startswith("text/") or "xml" in media_type:
            old, new = knob.parameters["replace"]
            return body.replace(old.encode(), new.encode())
        case "drop_cell" if media_type.startswith("text/html"):
            return re.sub(rb"<td\b.*?</td>", b"", body, count=1, flags=re.DOTALL)
        case "swap_picture" if media_type.startswith("image/"):
            return another_picture()
    return body


def another_picture() -> bytes:
    """A small PNG that is nobody's: 32 x 32, one dark red."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80\x10\x20" * 32) * 32)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def build(sandbox: Sandbox) -> None:
    Pings(sandbox)
    Pages(sandbox)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
