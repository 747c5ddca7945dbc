"""Handing letters to a mail server, through the same guarded way out as everything else (`sync.http`).

Promises: the server's address is judged before it is dialled; TLS is verified against its name, and never given
up for a server that does not offer it; no answer without a bound in size and time; a letter leaves as it was
made, in one transaction for one recipient. What is certain is told from what is not: until the last byte
of the final dot was handed to the kernel nothing was taken; from then on only the server's answer says.
No error repeats what a server said but its codes: texts hold addresses. `smtplib` is imported here only.
"""

from __future__ import annotations

import re
import smtplib
import socket
from typing import Any

from sync.clock import SystemClock
from sync.contract import Ambiguous, MailServer, OutletError, Rejected, TryLater, Unauthorised
from sync.http import Http

PUBLIC_PORTS = frozenset({465, 587})  # submission (RFC 8314); port 25 is for servers among themselves
ANSWER_S = 30.0  # for an answer to a command
VERDICT_S = 120.0  # for the answer to a letter, while which the server may filter it
MOST_LINES = 100  # of one answer
ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}\b")  # RFC 3463
ACCOUNT = frozenset({530, 534, 535, 538})  # RFC 4954: it is the account that is refused, not a recipient
EMPTY = re.compile(rb"(?m)^\.")


class Smtp:
    """The way out to mail servers of one outlet."""

    def __init__(self, http: Http, *, private_network: bool) -> None:
        self._http, self._private = http, private_network

    def submission(self, server: MailServer) -> Submission:
        """A connection that may hand letters over. Raises TryLater, Unauthorised; Rejected for what is set wrongly."""
        if not self._private and server.port not in PUBLIC_PORTS:
            raise Rejected(f"{server.host}: port {server.port} is not allowed (465 and 587 are); set port=587")
        if not self._private and server.security == "none":
            raise Rejected(f"{server.host}: letters to a public server are encrypted; set security=starttls, or tls")
        try:
            return Submission(_Client(self._http, server), server)
        except (smtplib.SMTPException, OSError) as error:
            raise _before(error, server.host) from error


class Submission:
    """One open connection, of one thread. `alive`: it may be used for another letter."""

    def __init__(self, client: _Client, server: MailServer) -> None:
        """Logged in. Raises what `smtplib` raises; OutletError."""
        self._client, self._host = client, server.host
        self.alive = True
        try:
            client.begin(server)
        except BaseException:
            self.close()
            raise

    def hand_over(self, sender: str, recipient: str, letter: bytes) -> None:
        """Returns once the server has taken it. `letter`: a whole message, lines ended by CRLF.

        Raises TryLater (certainly not taken), Rejected (this recipient, or this letter, never will be), Unauthorised
        (nothing of ours will be), Ambiguous (perhaps taken); all but the last begin with the server's code."""
        client = self._client
        try:
            self._expect(client.mail(sender), ours=True)
            self._expect(client.rcpt(recipient))
            self._expect(client.docmd("DATA"), wanted=354)
            client.send_all(EMPTY.sub(b"..", letter.removesuffix(b"\r\n")) + b"\r\n.\r\n")
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise _before(error, self._host) from error
        # From here on it may be in somebody's mailbox.
        try:
            answer = client.getreply(VERDICT_S)
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise Ambiguous(f"{self._host}: no answer after the whole letter was sent") from error
        self._expect(answer)

    def _expect(self, answer: tuple[int, bytes], *, wanted: int = 0, ours: bool = False) -> None:
        """Nothing for a code that is well; `ours`: a refusal is of our sender, not of a recipient."""
        code = answer[0]
        if code == wanted or (not wanted and 200 <= code < 300):
            return
        found = ENHANCED.match(answer[1])
        told = f"{code} {found[0].decode()}" if found else str(code)
        self._start_over(code)
        raise _of(code, f"{told} {self._host}", ours)

    def _start_over(self, code: int) -> None:
        """Ready for the next letter, or closed: 421 announces the end, and what makes no sense is not spoken with."""
        try:
            if code == 421 or not 400 <= code < 600 or self._client.rset()[0] != 250:
                self.close()
        except (smtplib.SMTPException, OSError):
            self.close()

    def close(self) -> None:
        """Take leave, as far as anybody listens."""
        if self.alive:
            self.alive = False
            self._client.leave()


class _Client(smtplib.SMTP):
    """`smtplib` on a guarded connection, with every answer bounded."""

    def __init__(self, http: Http, server: MailServer) -> None:
        self._http, self._server = http, server
        self._boottime = SystemClock().boottime
        super().__init__(local_hostname=server.name, timeout=ANSWER_S)
        self._host = server.host
        self.connect(server.host, server.port)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = self._http.dial(host, port)
        connection.settimeout(timeout)
        return self._http.secured(connection, host) if self._server.security == "tls" else connection

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        try:
            code, said = super().connect(host, port, source_address)
        except BaseException:
            self.close()  # nobody has it yet who would
            raise
        if code != 220:
            self.close()
            raise smtplib.SMTPConnectError(code, said)
        return code, said

    def begin(self, server: MailServer) -> None:
        """Encrypted and logged in, as far as the server is set so."""
        if server.security == "starttls":
            self.ehlo_or_helo_if_needed()
            if not self.has_extn("starttls"):
                raise Rejected(f"{server.host}: the server offers no STARTTLS; set security=tls with port=465")
            if (answer := self.docmd("STARTTLS"))[0] != 220:
                raise smtplib.SMTPResponseException(*answer)
            assert self.sock is not None
            self.sock = self._http.secured(self.sock, server.host)
            # Whatever was said before is not believed, nor read (RFC 3207, section 4.2; CVE-2011-0411).
            self.file = self.helo_resp = self.ehlo_resp = None
            self.esmtp_features, self.does_esmtp = {}, False
        self.ehlo_or_helo_if_needed()
        if server.username:
            self.login(server.username, server.password)

    def getreply(self, seconds: float = ANSWER_S) -> tuple[int, bytes]:
        """One whole answer: its code, and its lines without it. Raises SMTPServerDisconnected."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        if self.file is None:
            self.file = self.sock.makefile("rb")
        until = self._boottime() + seconds
        lines: list[bytes] = []
        for _ in range(MOST_LINES):
            left = until - self._boottime()
            if left <= 0:
                break
            self.sock.settimeout(left)
            line = self.file.readline(smtplib._MAXLINE + 1)  # type: ignore[attr-defined]  # not in typeshed
            if not line.endswith(b"\n") or not line[:3].isdigit():
                break
            lines.append(line[4:].strip())
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(lines)
        self.close()
        raise smtplib.SMTPServerDisconnected("no answer that can be read")

    def send_all(self, content: bytes) -> None:
        """Raises OSError when the kernel did not take all of it: then the letter has no end, and cannot be taken."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        self.sock.settimeout(ANSWER_S)
        self.sock.sendall(content)

    def leave(self) -> None:
        try:
            if self.sock is not None:
                self.send_all(b"QUIT\r\n")
        except (smtplib.SMTPException, OSError):
            pass
        finally:
            self.close()


def _before(error: Exception, host: str) -> OutletError:
    """What a failure means before a letter was sent whole."""
    match error:
        case smtplib.SMTPResponseException():
            return _of(error.smtp_code, f"{error.smtp_code} {host}", ours=True)
        case smtplib.SMTPException() if not isinstance(error, smtplib.SMTPServerDisconnected):
            return Unauthorised(f"{host}: the server offers no way to log in that we know")
    return TryLater(f"{host}: the connection broke ({type(error).__name__})")


def _of(code: int, told: str, ours: bool) -> OutletError:
    """What a code means."""
    if code in ACCOUNT or (ours and 500 <= code < 600):
        return Unauthorised(told)
    return Rejected(told) if 500 <= code < 600 else TryLater(told)
