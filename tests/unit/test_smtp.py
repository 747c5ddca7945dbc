"""Letters to a mail server: what is certain is told from what is not, and nothing leaves unguarded."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from sync import smtp
from sync.clock import SystemClock
from sync.contract import Ambiguous, MailServer, OutletError, Rejected, TryLater, Unauthorised
from sync.http import Http, Limits
from sync.smtp import Smtp
from tests.unit.test_http import certificate

LETTER = b"Subject: x\r\n\r\n.one\r\n..two\r\nthree\r\n"
USUAL = {
    "CONNECT": "220 mail.example",
    "EHLO": "250-mail.example\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
    "STARTTLS": "220 go",
    "AUTH": "235 2.7.0 welcome",
    "MAIL": "250 fine",
    "RCPT": "250 fine",
    "DATA": "354 go",
    "END": "250 2.0.0 taken",
    "RSET": "250 fine",
    "QUIT": "221 bye",
}
HANG_UP = "hang up"


class MailServerByScript:
    """Answers as it is told: text by stage, HANG_UP, or bytes as they stand. `heard`: every line it got; `letters`."""

    def __init__(self, answers: Mapping[str, str | bytes], tls: ssl.SSLContext | None, implicit: bool) -> None:
        self.answers = {**USUAL, **answers}
        self.heard: list[str] = []
        self.letters: list[bytes] = []
        self._tls, self._implicit = tls, implicit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            with ExitStack() as ending, suppress(OSError, ValueError):
                ending.enter_context(connection)
                self._serve(connection, ending)

    def _serve(self, connection: socket.socket, ending: ExitStack) -> None:
        if self._implicit and self._tls is not None:
            connection = ending.enter_context(self._tls.wrap_socket(connection, server_side=True))
        self._answer(connection, "CONNECT")
        lines = ending.enter_context(connection.makefile("rb"))
        while line := lines.readline():
            said = line.decode().strip()
            self.heard.append(said)
            stage = said.partition(" ")[0].upper()
            self._answer(connection, stage)
            if stage == "STARTTLS" and self._tls is not None:
                connection = ending.enter_context(self._tls.wrap_socket(connection, server_side=True))
                lines = ending.enter_context(connection.makefile("rb"))
            elif stage == "DATA" and self.answers["DATA"] == USUAL["DATA"]:
                letter = b""
                while not letter.endswith(b"\r\n.\r\n"):
                    letter += lines.readline()
                self.letters.append(letter)
                self._answer(connection, "END")
            elif stage == "QUIT":
                return

    def _answer(self, connection: socket.socket, stage: str) -> None:
        told = self.answers.get(stage, "500 what?")
        if told == HANG_UP:
            connection.shutdown(socket.SHUT_RDWR)
            raise ValueError
        connection.sendall(told if isinstance(told, bytes) else told.encode() + b"\r\n")

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(15)
        self._listener.close()


@contextmanager
def served(
    answers: Mapping[str, str | bytes] | None = None, tls: ssl.SSLContext | None = None, *, implicit: bool = False
) -> Iterator[MailServerByScript]:
    made = MailServerByScript(answers or {}, tls, implicit)
    try:
        yield made
    finally:
        made.stop()


def way_out(tls: ssl.SSLContext | None = None) -> Smtp:
    limits = Limits(connect=5.0, read=5.0)
    return Smtp(Http(private_network=True, now=SystemClock().now, limits=limits, tls=tls), private_network=True)


def at(server: MailServerByScript, *, username: str = "town", security: str = "none", host: str = "") -> MailServer:
    return MailServer(host or "127.0.0.1", server.port, security, username, "secret-word", "qingxi.example")


def hand_over(server: MailServerByScript) -> None:
    open_ = way_out().submission(at(server))
    try:
        open_.hand_over("news@qingxi.example", "li@town.example", LETTER)
    finally:
        open_.close()


def test_a_letter_leaves_as_it_was_made() -> None:
    """One transaction, for one recipient, with dots at a line's begin doubled and one end."""
    with served() as server:
        hand_over(server)
        assert [b"Subject: x\r\n\r\n..one\r\n...two\r\nthree\r\n.\r\n"] == server.letters
    verbs = [re.split(r"[ :]", line)[0].upper() for line in server.heard]
    assert ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"] == verbs
    assert "ehlo qingxi.example" == server.heard[0]


def test_two_letters_on_one_connection() -> None:
    """What was refused is taken back; the next recipient is asked for as ever."""
    with served() as server:
        open_ = way_out().submission(at(server))
        server.answers["RCPT"] = "550 5.1.1 no"
        with pytest.raises(Rejected):
            open_.hand_over("news@qingxi.example", "nobody@town.example", LETTER)
        server.answers["RCPT"] = USUAL["RCPT"]
        assert open_.alive
        open_.hand_over("news@qingxi.example", "li@town.example", LETTER)
        open_.close()
        assert (1, 1) == (len(server.letters), server.heard.count("rset"))


@pytest.mark.parametrize(
    ("stage", "answer", "error"),
    [
        ("MAIL", "451 4.3.0 busy", TryLater),
        ("MAIL", "550 5.7.1 not yours", Unauthorised),
        ("MAIL", "530 5.7.0 log in", Unauthorised),
        ("RCPT", "450 4.2.1 greylisted", TryLater),
        ("RCPT", "550 5.1.1 nobody", Rejected),
        ("RCPT", "530 5.7.0 log in", Unauthorised),
        ("DATA", "451 later", TryLater),
        ("DATA", "554 no", Rejected),
        ("END", "451 4.7.1 later", TryLater),
        ("END", "552 5.3.4 too large", Rejected),
        ("END", "250-taken\r\n250 for sure", None),
        # what is no answer at all
        ("MAIL", HANG_UP, TryLater),
        ("RCPT", HANG_UP, TryLater),
        ("DATA", HANG_UP, TryLater),
        ("RCPT", "hello", TryLater),
        ("END", HANG_UP, Ambiguous),
        ("END", "taken, I think", Ambiguous),
        ("END", b"250", Ambiguous),
    ],
)
def test_what_an_answer_means(stage: str, answer: str | bytes, error: type[OutletError] | None) -> None:
    """4yz later, 5yz never, of the sender the operator's; silence before the last byte nothing, after it a doubt."""
    with served({stage: answer}) as server:
        if error is None:
            hand_over(server)
            return
        with pytest.raises(OutletError) as raised:
            hand_over(server)
    assert error is type(raised.value)


def test_an_error_begins_with_the_codes_and_repeats_no_address() -> None:
    with (
        served({"RCPT": "550 5.1.1 <li@town.example> is nobody: secret-word"}) as server,
        pytest.raises(Rejected) as raised,
    ):
        hand_over(server)
    assert "550 5.1.1 127.0.0.1" == str(raised.value)


@pytest.mark.parametrize("code", ["421 4.3.2 closing", "999 what"])
def test_after_an_announced_end_another_connection_is_needed(code: str) -> None:
    with served({"RCPT": code}) as server:
        open_ = way_out().submission(at(server))
        with pytest.raises(TryLater):
            open_.hand_over("news@qingxi.example", "li@town.example", LETTER)
        assert not open_.alive


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"AUTH": "535 5.7.8 wrong"}, Unauthorised),
        ({"AUTH": "454 4.7.0 not now"}, TryLater),
        ({"EHLO": "250 mail.example"}, Unauthorised),
        ({"EHLO": "250-mail.example\r\n250 AUTH XOAUTH2"}, Unauthorised),
        ({"CONNECT": "554 go away"}, Unauthorised),
        ({"CONNECT": "421 busy"}, TryLater),
        ({"CONNECT": HANG_UP}, TryLater),
        ({"EHLO": HANG_UP}, TryLater),
    ],
)
def test_who_is_not_let_in(answers: dict[str, str], error: type[OutletError]) -> None:
    """The operator's to mend, or a matter of time; the password is in no error."""
    with served(answers) as server, pytest.raises(OutletError) as raised:
        way_out().submission(at(server))
    assert error is type(raised.value)
    assert "secret-word" not in str(raised.value) + repr(at(server))


def test_endless_answers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that goes on talking, by lines or by drops, holds nobody for long."""
    monkeypatch.setattr(smtp, "ANSWER_S", 0.5)
    monkeypatch.setattr(smtp._Client.getreply, "__defaults__", (0.5,))
    for babble in (b"250-and\r\n" * 5_000 + b"250 end\r\n", b"250-" + b"x" * 100_000 + b"\r\n", b"25"):
        began = time.monotonic()
        with served({"RCPT": babble}) as server, pytest.raises(TryLater):
            hand_over(server)
        assert time.monotonic() - began < 8


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the whole letter it is a doubt."""
    monkeypatch.setattr(smtp, "VERDICT_S", 0.5)
    with served({"END": b""}) as server, pytest.raises(Ambiguous):
        hand_over(server)


# ---- encryption


def test_starttls_is_verified_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right name passes; a wrong one and an unknown authority do not, and no password is sent."""
    theirs, ours = certificate(tmp_path, "mail.example")
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: real("127.0.0.1", *more, **named))
    hello = "250-mail.example\r\n250-STARTTLS\r\n250 AUTH PLAIN"
    with served({"EHLO": hello}, theirs) as server:
        open_ = way_out(ours).submission(at(server, security="starttls", host="mail.example"))
        open_.hand_over("news@qingxi.example", "li@town.example", LETTER)
        open_.close()
        assert ["ehlo qingxi.example", "STARTTLS", "ehlo qingxi.example"] == server.heard[:3]
        assert 1 == len(server.letters)
    for host, trust in (("other.example", ours), ("mail.example", None)):
        with served({"EHLO": hello}, theirs) as server, pytest.raises(TryLater, match="secure"):
            way_out(trust).submission(at(server, security="starttls", host=host))
        assert ["ehlo qingxi.example", "STARTTLS"] == server.heard


def test_a_server_without_starttls_gets_no_password() -> None:
    """Somebody in between may have taken the offer away: nothing is said in the clear."""
    with served() as server, pytest.raises(Rejected, match="no STARTTLS"):
        way_out().submission(at(server, security="starttls"))
    assert ["ehlo qingxi.example"] == [line for line in server.heard if line != "QUIT"]


def test_what_was_said_before_the_encryption_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers put in beside that to STARTTLS by somebody in between are not read as answers to what follows."""
    theirs, ours = certificate(tmp_path, "mail.example")
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: real("127.0.0.1", *more, **named))
    hello = "250-mail.example\r\n250-STARTTLS\r\n250 AUTH PLAIN"
    planted = b"220 go\r\n250-evil.example\r\n250 AUTH PLAIN\r\n235 welcome\r\n"
    with served({"EHLO": hello, "STARTTLS": planted}, theirs) as server:
        with suppress(TryLater):  # or it breaks the handshake
            way_out(ours).submission(at(server, security="starttls", host="mail.example")).close()
        verbs = [line.split()[0] for line in server.heard]
        assert ["ehlo", "STARTTLS", "ehlo", "AUTH"][: len(verbs)] == verbs[:4], "the greeting was asked for anew"


def test_tls_from_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = certificate(tmp_path, "mail.example")
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: real("127.0.0.1", *more, **named))
    with served(tls=theirs, implicit=True) as server:
        open_ = way_out(ours).submission(at(server, security="tls", host="mail.example"))
        open_.hand_over("news@qingxi.example", "li@town.example", LETTER)
        open_.close()
        assert 1 == len(server.letters)
    with served() as server, pytest.raises(TryLater, match="secure"):
        way_out(ours).submission(at(server, security="tls", host="mail.example"))


def test_the_password_is_sent_as_the_server_asks() -> None:
    with served() as server:
        way_out().submission(at(server)).close()
    sent = next(line for line in server.heard if line.startswith("AUTH"))
    assert "\0town\0secret-word" == base64.b64decode(sent.split()[-1]).decode()


def test_without_an_account_nobody_logs_in() -> None:
    with served({"EHLO": "250 mail.example"}) as server:
        open_ = way_out().submission(at(server, username=""))
        open_.hand_over("news@qingxi.example", "li@town.example", LETTER)
        open_.close()
    assert 1 == len(server.letters)


# ---- guard


@pytest.mark.parametrize(
    ("host", "port", "security", "says"),
    [
        ("mail.example.com", 25, "starttls", "port 25"),
        ("mail.example.com", 587, "none", "encrypted"),
        ("127.0.0.1", 587, "starttls", "refused"),
        ("169.254.169.254", 587, "starttls", "refused"),
    ],
)
def test_a_public_outlet_speaks_to_public_servers_only(host: str, port: int, security: str, says: str) -> None:
    """Submission ports, encrypted, and never this machine or a private network."""
    http = Http(private_network=False, now=SystemClock().now)
    with pytest.raises(Rejected, match=says):
        Smtp(http, private_network=False).submission(MailServer(host, port, security, "", "", "x.example"))


def test_a_metadata_service_is_refused_on_a_private_network_too() -> None:
    with pytest.raises(Rejected, match="refused"):
        way_out().submission(MailServer("169.254.169.254", 587, "none", "", "", "x.example"))
