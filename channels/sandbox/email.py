"""A mail server that takes submissions, and the mailboxes behind it. Facts: RFC 5321, 4954, 3207, 3463.

SMTP is spoken on the very port of the HTTP pages, to whoever connects and says nothing. `GET /NAME` is the
account's outbox, newest first, `GET /NAME/letters/N` one letter as a person sees it, `GET /NAME/letters/N.eml` as it
came. Account NAME logs in with the password `sandbox-NAME` (AUTH PLAIN or LOGIN). STARTTLS is offered when
DIR/cert.pem and DIR/key.pem are there. Addresses that begin with `unknown` are refused (550 5.1.1).
Each letter that was taken is another one in the box, whatever its Message-ID. Knobs happen at a stage, named by
`method`: CONNECT, EHLO, AUTH, MAIL, RCPT, DATA (before the letter), END (it is whole); `path` is the recipient:

    answer   `code` and `text` instead of what is usual; at END the letter is not taken
    drop     the connection is closed without an answer; at END the letter is taken if `applied`
    slow     what is usual, `seconds` later
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import sys
from email import message_from_bytes, policy
from html import escape
from pathlib import Path
from typing import Any

from starlette.responses import HTMLResponse, Response

from channels.sandbox.knobs import Knob
from channels.sandbox.server import Call, Sandbox, now, serve

LIMIT = 10 * 1024 * 1024  # bytes of a letter
FAULTS = ("answer", "drop", "slow")
PAGE = """<!DOCTYPE html><html lang="zh"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}}
dt{{font-weight:bold}}pre{{white-space:pre-wrap}}section{{border:1px solid #999;padding:.5rem 1rem}}</style>
</head><body><main><h1>{title}</h1>{body}</main></body></html>"""


class Gone(Exception):
    """The client hung up, or is to be hung up on."""


class Post:
    """All accounts and their letters."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._letters: dict[str, list[bytes]] = {}
        for name, _, kept in sandbox.shelf.all("letter").values():
            self._letters.setdefault(name, []).append(base64.b64decode(kept))
        self.tls = _context(sandbox.home)
        self._talks: set[asyncio.Task[None]] = set()
        sandbox.account_of = lambda call: call.request.url.path.split("/")[1]
        sandbox.greets = self._greet
        sandbox.on("GET", "/{name}", self.outbox)
        sandbox.on("GET", "/{name}/letters/{number:int}.eml", self.raw)
        sandbox.on("GET", "/{name}/letters/{number:int}", self.letter)

    def _greet(self) -> asyncio.Protocol:
        reader = asyncio.StreamReader(limit=64 * 1024)
        return asyncio.StreamReaderProtocol(reader, self._met)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Talk(self, reader, writer).hold()

    def knob(self, stage: str, account: str, recipient: str = "*") -> Knob | None:
        return self.sandbox.knobs.take(stage, recipient, account, *FAULTS)

    def keep(self, account: str, letter: bytes) -> int:
        """On the shelf before anybody is answered; returns its number."""
        there = self._letters.setdefault(account, [])
        there.append(letter)
        kept = [account, len(there), base64.b64encode(letter).decode()]
        self.sandbox.shelf.put("letter", f"{account} {len(there)}", kept)
        return len(there)

    async def outbox(self, call: Call) -> Response:
        name = call.request.path_params["name"]
        rows = [
            f'<li><a href="/{escape(name)}/letters/{number}">{escape(_shown(letter, "Subject"))}</a> → '
            f"{escape(_shown(letter, 'To'))}</li>"
            for number, letter in reversed(list(enumerate(self._letters.get(name, []), start=1)))
        ]
        return HTMLResponse(PAGE.format(title=escape(f"{name} 的发件箱"), body=f"<ol>{''.join(rows)}</ol>"))

    def _of(self, call: Call) -> bytes | None:
        number, there = int(call.request.path_params["number"]), self._letters.get(call.request.path_params["name"], [])
        return there[number - 1] if 0 < number <= len(there) else None

    async def letter(self, call: Call) -> Response:
        letter = self._of(call)
        if letter is None:
            return Response(status_code=404)
        read = message_from_bytes(letter, policy=policy.default)
        heads = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in read.items())
        text, html = read.get_body(("plain",)), read.get_body(("html",))
        body = f"<dl>{heads}</dl><section><pre>{escape(str(text.get_content()) if text else '')}</pre></section>"
        if html is not None:
            inner = escape(str(html.get_content()), quote=True)
            body += f'<iframe title="HTML" sandbox srcdoc="{inner}" width="100%" height="500"></iframe>'
        return HTMLResponse(PAGE.format(title=escape(str(read["Subject"])), body=body))

    async def raw(self, call: Call) -> Response:
        letter = self._of(call)
        return Response(status_code=404) if letter is None else Response(letter, media_type="message/rfc822")


class Talk:
    """One connection."""

    def __init__(self, post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._post, self._reader, self._writer = post, reader, writer
        self._account, self._sender, self._recipients = "", "", list[str]()
        self._secure = False

    async def hold(self) -> None:
        try:
            await self._say("CONNECT", "220 sandbox.example ESMTP")
            while True:
                await self._obey((await self._line()).decode("latin-1"))
        except (Gone, OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writer.close()

    async def _line(self) -> bytes:
        line = await self._reader.readuntil(b"\n")
        return line.rstrip(b"\r\n")

    async def _tell(self, text: str) -> None:
        self._writer.write(text.encode("latin-1", "replace") + b"\r\n")
        await self._writer.drain()

    async def _say(self, stage: str, usual: str, recipient: str = "*") -> bool:
        """Answer as is usual, or as a knob says; whether that was the usual."""
        knob = self._post.knob(stage, self._account, recipient)
        if knob is None:
            await self._tell(usual)
            return True
        await self._note(stage, recipient, fault=knob.fault)
        if knob.fault == "drop":
            self._writer.transport.abort()
            raise Gone
        if knob.fault == "answer":
            await self._tell(f"{knob.parameters['code']} {knob.parameters.get('text', 'as it was told')}")
            if int(knob.parameters["code"]) == 421:
                raise Gone
            return False
        await asyncio.sleep(float(knob.parameters["seconds"]))
        await self._tell(usual)
        return True

    async def _note(self, stage: str, ref: str, *, fault: str = "", applied: bool = False, **detail: Any) -> None:
        line = {"at": now(), "method": stage, "path": "smtp", "account": self._account, "applied": applied}
        line |= {"effect": "taken" if applied else "", "ref": ref, "fault": fault, "detail": detail}
        await self._post.sandbox.record.add(line)

    async def _obey(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        match verb.upper():
            case "EHLO" | "HELO":
                await self._hello(verb.upper())
            case "STARTTLS" if self._post.tls is not None and not self._secure:
                await self._tell("220 2.0.0 go ahead")
                await self._writer.start_tls(self._post.tls)
                self._secure, self._account = True, ""
            case "AUTH":
                await self._log_in(rest)
            case "MAIL":
                await self._begin(rest)
            case "RCPT":
                await self._address(rest)
            case "DATA":
                await self._take()
            case "RSET":
                self._sender, self._recipients = "", []
                await self._tell("250 2.0.0 reset")
            case "NOOP":
                await self._tell("250 2.0.0 fine")
            case "QUIT":
                await self._tell("221 2.0.0 bye")
                raise Gone
            case _:
                await self._tell("502 5.5.1 not implemented")

    async def _hello(self, verb: str) -> None:
        offers = [f"SIZE {LIMIT}", "8BITMIME", "ENHANCEDSTATUSCODES", "AUTH PLAIN LOGIN"]
        offers += ["STARTTLS"] if self._post.tls is not None and not self._secure else []
        lines = ["sandbox.example", *(offers if verb == "EHLO" else [])]
        said = "\r\n".join(f"250{' ' if at == len(lines) - 1 else '-'}{one}" for at, one in enumerate(lines))
        await self._say("EHLO", said)

    async def _log_in(self, rest: str) -> None:
        mechanism, _, first = rest.partition(" ")
        try:
            if mechanism.upper() == "PLAIN":
                if not first:
                    await self._tell("334 ")
                    first = (await self._line()).decode()
                _, name, password = base64.b64decode(first, validate=True).decode().split("\0")
            elif mechanism.upper() == "LOGIN":
                name = base64.b64decode(first or await self._asked("VXNlcm5hbWU6")).decode()
                password = base64.b64decode(await self._asked("UGFzc3dvcmQ6")).decode()
            else:
                await self._tell("504 5.5.4 not known")
                return
        except (ValueError, binascii.Error):
            await self._tell("501 5.5.2 not understood")
            return
        right = password == f"sandbox-{name}"
        if right and await self._say("AUTH", "235 2.7.0 welcome"):
            self._account = name
        elif not right:
            await self._tell("535 5.7.8 wrong user name or password")

    async def _asked(self, question: str) -> bytes:
        await self._tell(f"334 {question}")
        return await self._line()

    async def _begin(self, rest: str) -> None:
        if not self._account:
            await self._tell("530 5.7.0 log in first")
        elif await self._say("MAIL", "250 2.1.0 sender fine"):
            self._sender, self._recipients = _path(rest), []

    async def _address(self, rest: str) -> None:
        recipient = _path(rest)
        if not self._sender:
            await self._tell("503 5.5.1 who sends it?")
        elif recipient.startswith("unknown"):
            await self._note("RCPT", recipient)
            await self._tell(f"550 5.1.1 <{recipient}> there is no such mailbox")
        elif await self._say("RCPT", "250 2.1.5 recipient fine", recipient):
            self._recipients.append(recipient)

    async def _take(self) -> None:
        if not self._recipients:
            await self._tell("503 5.5.1 for whom?")
            return
        recipient = ", ".join(self._recipients)
        if not await self._say("DATA", "354 go ahead", recipient):
            return
        lines: list[bytes] = []
        while (line := await self._line()) != b".":
            lines.append(line.removeprefix(b"."))
        letter = b"\r\n".join([*lines, b""])
        if len(letter) > LIMIT:
            await self._tell("552 5.3.4 too large")
            return
        knob = self._post.knob("END", self._account, recipient)
        fault = knob.fault if knob is not None else ""
        refused = fault == "answer" or (fault == "drop" and knob is not None and not knob.parameters.get("applied"))
        number = 0 if refused else self._post.keep(self._account, letter)
        told = {name: _shown(letter, name) for name in ("Message-ID", "Subject", "To")}
        detail = {"sender": self._sender, "recipient": recipient, "number": number, **told}
        await self._note("END", told["Message-ID"], fault=fault, applied=not refused, **detail)
        self._sender, self._recipients = "", []
        if knob is None:
            await self._tell("250 2.0.0 taken")
        elif fault == "answer":
            await self._tell(f"{knob.parameters['code']} {knob.parameters.get('text', 'as it was told')}")
        elif fault == "drop":
            self._writer.transport.abort()
            raise Gone
        else:
            await asyncio.sleep(float(knob.parameters["seconds"]))
            await self._tell("250 2.0.0 taken")


def _path(given: str) -> str:
    """The address in `FROM:<…>` or `TO:<…>`."""
    return given.partition("<")[2].partition(">")[0]


def _shown(letter: bytes, name: str) -> str:
    return str(message_from_bytes(letter, policy=policy.default).get(name, ""))


def _context(home: Path) -> ssl.SSLContext | None:
    if not (home / "cert.pem").exists():
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(home / "cert.pem", home / "key.pem")
    return made


def build(sandbox: Sandbox) -> None:
    Post(sandbox)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
