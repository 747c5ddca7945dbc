"""The egress against servers that fail in every flavour, on real sockets."""

from __future__ import annotations

import ast
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sync.answer import Answer, Asked
from sync.clock import SECOND
from sync.contract import Ambiguous, Misbehaved, OutletError, Receipt, Rejected, TryLater, Unauthorised
from sync.http import Http, Limits
from tests.unit.raw import Act, drip, half, hang_up, raw, reset, say, silence

NOW = 1_800_000_000 * SECOND
TOKEN = "tok-4711-very-secret"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def http() -> Iterator[Http]:
    made = Http(private_network=True, now=lambda: NOW, limits=Limits(connect=1, read=0.5, total=1, size=100_000))
    yield made
    made.close()


UNCLEAR: dict[str, Act] = {
    "reset after the request": reset,
    "closed after the request": hang_up,
    "half an answer": half,
    "time-out": silence(0.8),
    "dripping head": drip(b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 1000, 0.05),
    "dripping body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"b" * 1000, 0.05),
    "no HTTP": lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "500": say(500),
    "502": say(502, b"<html>Bad Gateway</html>", kind="text/html"),
    "503": say(503),
    "408": say(408),
}


@pytest.mark.parametrize("flavour", UNCLEAR)
def test_an_unclear_create_is_ambiguous(http: Http, flavour: str) -> None:
    """It left and may have been done."""
    with raw(UNCLEAR[flavour]) as server, pytest.raises(Ambiguous):
        http.call("POST", server.url, creates=True, form={"a": "b"})


@pytest.mark.parametrize("flavour", UNCLEAR)
def test_an_unclear_question_may_be_asked_again(http: Http, flavour: str) -> None:
    """What creates nothing does no harm twice."""
    with raw(UNCLEAR[flavour]) as server, pytest.raises(TryLater):
        http.call("GET", server.url, creates=False)


@pytest.mark.parametrize("flavour", UNCLEAR)
def test_an_unclear_shot_is_ambiguous(http: Http, flavour: str) -> None:
    """The same for the shot; its sender loop hears nothing of it."""
    with raw(UNCLEAR[flavour]) as server:
        shot = http.shot("POST", server.url, headers={}, body=b"{}", settle=receipt)
        fire(shot)
        with pytest.raises(Ambiguous):
            shot.settle()


CLEAR: list[tuple[int, type[OutletError]]] = [
    (401, Unauthorised),
    (403, Unauthorised),
    (400, Rejected),
    (404, Rejected),
    (405, Rejected),
    (409, Rejected),
    (413, Rejected),
    (422, Rejected),
    (429, TryLater),
]


@pytest.mark.parametrize(("status", "error"), CLEAR)
def test_a_clear_refusal_is_named_for_the_next_move(http: Http, status: int, error: type[OutletError]) -> None:
    """The same for a question, a create and a shot; with the outlet's own words."""
    with raw(say(status, b'{"error":"too long"}')) as server:
        for creates in (False, True):
            with pytest.raises(error, match="too long") as caught:
                http.call("POST", server.url, creates=creates, body=b"x")
            assert type(caught.value) is error
        shot = http.shot("POST", server.url, headers={}, body=b"{}", settle=receipt)
        fire(shot)
        with pytest.raises(error, match=str(status)):
            shot.settle()


def test_an_expected_status_is_handed_back(http: Http) -> None:
    """For calls and shots, so that a channel can read the outlet's code."""
    with raw(say(422, b'{"code":7}')) as server:
        assert {"code": 7} == http.call("POST", server.url, creates=True, expect=(422,)).json()
        seen: list[object] = []

        def settle(answer: Any) -> Receipt:
            seen.append((answer.status, answer.json()))
            return Receipt("1", "", NOW)

        shot = http.shot("POST", server.url, headers={}, body=b"{}", settle=settle, expect=(422,))
        fire(shot)
        shot.settle()
        assert [(422, {"code": 7})] == seen


WAITS = {
    "Retry-After: 120": NOW + 120 * SECOND,
    "Retry-After: Fri, 15 Jan 2027 08:05:00 GMT": NOW + 300 * SECOND,
    "X-RateLimit-Reset: 2027-01-15T08:05:00.250Z": NOW + 300 * SECOND + 250_000,
    "RateLimit-Reset: 1800000300": NOW + 300 * SECOND,
    "RateLimit-Reset: 30": NOW + 30 * SECOND,
    "Retry-After: soon": None,
    "X-Nothing: 1": None,
}


@pytest.mark.parametrize("header", WAITS)
def test_the_outlets_own_wait_is_kept(http: Http, header: str) -> None:
    """Seconds, HTTP date, ISO time, seconds since 1970: one absolute instant; nonsense is no instant."""
    with raw(say(429, b"{}", header)) as server, pytest.raises(TryLater) as caught:
        http.call("POST", server.url, creates=True)
    assert WAITS[header] == caught.value.not_before


def test_no_connection_is_try_later(http: Http) -> None:
    """Certainly nothing was sent: refused, or nobody answers the name."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(TryLater):
        http.call("POST", url, creates=True)
    with pytest.raises(TryLater):
        http.shot("POST", url, headers={}, body=b"", settle=receipt)
    with pytest.raises(TryLater):
        http.call("POST", "http://no-such-name.invalid/", creates=True)


def test_html_where_json_was_expected_is_misbehaviour(http: Http) -> None:
    """A log-in page with status 200 is no success; nor is half a document."""
    with raw(say(200, b"<html>", kind="text/html"), say(200, b'{"id":'), say(200, b"[" * 90_000)) as server:
        for _ in range(3):
            with pytest.raises(Misbehaved):
                http.call("POST", server.url, creates=True).json()


def test_an_answer_beyond_the_limit_is_misbehaviour(http: Http) -> None:
    """Declared or not, for calls, reads and shots."""
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000

    def stream(connection: socket.socket) -> None:
        connection.sendall(endless)
        hang_up(connection)

    for act in (say(200, b"x" * 200_000), stream):
        with raw(act) as server:
            with pytest.raises(Misbehaved):
                http.call("GET", server.url, creates=False)
            with pytest.raises(Misbehaved):
                http.read(server.url)
            shot = http.shot("POST", server.url, headers={}, body=b"", settle=receipt)
            fire(shot)
            with pytest.raises(Misbehaved):
                shot.settle()


def test_packed_answers_are_bounded_unpacked(http: Http) -> None:
    """We ask for no packing; a server that packs all the same cannot get past the limit."""
    import gzip

    with raw(say(200, gzip.compress(b"x" * 5_000_000), "Content-Encoding: gzip")) as server:
        with pytest.raises(Misbehaved):
            http.call("GET", server.url, creates=False)
        assert b"Accept-Encoding: identity" in server.seen[0]


def test_a_redirect_is_not_followed_by_a_call(http: Http) -> None:
    """A create that redirects may have been done; a question tells the operator the mend."""
    with raw(say(302, b"", "Location: http://elsewhere.example/")) as server:
        with pytest.raises(Misbehaved):
            http.call("POST", server.url, creates=True)
        with pytest.raises(Rejected, match=r"elsewhere\.example"):
            http.call("GET", server.url, creates=False)
        assert 2 == len(server.seen)


def test_a_read_follows_three_redirects(http: Http) -> None:
    """The fourth comes back as it is."""
    again = say(302, b"", "Location: /next")
    with raw(again, again, again, say(200, b"here")) as server:
        assert b"here" == http.read(server.url + "/a").body
    with raw(again) as server:
        assert 302 == http.read(server.url).status
        assert 4 == len(server.seen)


@pytest.mark.parametrize("goal", ["http://169.254.169.254/latest/", "file:///etc/passwd", "http://[fe80::1]/"])
def test_every_hop_of_a_read_is_judged(http: Http, goal: str) -> None:
    """A public page cannot send us to the metadata service."""
    with raw(say(302, b"", f"Location: {goal}")) as server, pytest.raises(Rejected):
        http.read(server.url)


def test_a_read_returns_any_status(http: Http) -> None:
    """Not found is an observation, not an error."""
    with raw(say(404, b"gone")) as server:
        answer = http.read(server.url)
        assert (404, b"gone") == (answer.status, answer.body)


def test_reads_are_anonymous(http: Http, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cookies come back, no netrc, no proxy of the environment is used."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with raw(say(200, b"{}", "Set-Cookie: session=1; Path=/")) as server:
        http.read(server.url)
        http.read(server.url)
        http.call("GET", server.url, creates=False)
        for request in server.seen:
            assert b"cookie" not in request.lower()
            assert b"authorization" not in request.lower()
            assert b"Host: 127.0.0.1:" in request


def test_public_outlets_may_not_point_inside() -> None:
    """The guard stands in calls, reads and shots, and names the mend."""
    http = Http(private_network=False, now=lambda: NOW)
    with raw(say(200)) as server:
        for url in (server.url, f"https://127.0.0.1:{server.port}", "https://127.0.0.1", "https://localhost"):
            with pytest.raises(Rejected):
                http.call("GET", url, creates=False)
            with pytest.raises(Rejected):
                http.read(url)
            with pytest.raises(Rejected):
                http.shot("POST", url, headers={}, body=b"", settle=receipt)
        assert 0 == server.connections
    with pytest.raises(Rejected, match="--private-network"):
        http.read("https://127.0.0.1")
    http.close()


def pinned(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[object]:
    """Names resolve to these addresses in turn; numeric hosts as ever. The list of names asked for."""
    real, left, asked = socket.getaddrinfo, list(answers), []

    def getaddrinfo(host: Any, port: Any, *given: Any, **named: Any) -> Any:
        if not str(host).endswith(".example"):
            return real(host, port, *given, **named)
        asked.append(host)
        return real(left.pop(0), port, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_the_connection_goes_to_the_address_that_was_judged(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is resolved once per connection; Host keeps the name. Rebinding to the metadata service is refused."""
    with raw(say(200, b"{}", "Connection: close")) as server:
        asked = pinned(monkeypatch, "127.0.0.1", "169.254.169.254", "127.0.0.1")
        url = f"http://outlet.example:{server.port}/"
        http.read(url)
        assert ["outlet.example"] == asked
        assert f"Host: outlet.example:{server.port}".encode() in server.seen[0]
        with pytest.raises(Rejected, match="metadata"):
            http.call("GET", url, creates=False)
        shot = http.shot("POST", url, headers={}, body=b"", settle=receipt)
        shot.close()
        assert 3 == len(asked)


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server context for `name`, and a client context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(secret + public)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=public.decode())


def test_tls_verifies_the_name_of_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right name passes for calls and shots, a wrong one and an unknown authority do not; nothing is sent then."""
    theirs, ours = certificate(tmp_path, "outlet.example")
    pinned(monkeypatch, *["127.0.0.1"] * 8)
    with raw(say(200, b'{"id":"1"}'), tls=theirs) as server:
        http = Http(private_network=True, now=lambda: NOW, tls=ours)
        for method in ("call", "shot"):
            for name, good in (("outlet.example", True), ("other.example", False)):
                url = f"https://{name}:{server.port}/"
                if good:
                    assert "1" == one(http, method, url)
                else:
                    with pytest.raises(TryLater, match="secure"):
                        one(http, method, url)
        http.close()
        strangers = Http(private_network=True, now=lambda: NOW)
        with pytest.raises(TryLater, match="secure"):
            one(strangers, "call", f"https://outlet.example:{server.port}/")
        strangers.close()
        assert 2 == len(server.seen)


def one(http: Http, method: str, url: str) -> object:
    if method == "call":
        answer: Any = http.call("POST", url, creates=True).json()
        return answer["id"]
    shot = http.shot("POST", url, headers={}, body=b"{}", settle=receipt)
    shot.check()
    fire(shot)
    settled = shot.settle()
    assert isinstance(settled, Receipt)
    return settled.ref


def receipt(answer: Any) -> Receipt:
    return Receipt(str(answer.json()["id"]), "https://x.example/1", NOW)


def fire(shot: Any) -> None:
    """Past the window: that part is the contract's own."""
    shot._fire()


# shots


def test_nothing_of_a_shot_leaves_early(http: Http) -> None:
    """Armed and checked, the outlet has a connection and not one byte; then exactly the finished request."""
    with raw(say(200, b'{"id":"7"}')) as server:
        shot = http.shot("POST", server.url + "/p?q=1", headers={"X-Key": "k"}, body=b'{"a":1}', settle=receipt)
        shot.check()
        time.sleep(0.1)
        assert (1, []) == (server.connections, server.seen)
        fire(shot)
        settled = shot.settle()
        assert isinstance(settled, Receipt) and "7" == settled.ref
        (request,) = server.seen
        assert request.startswith(b"POST /p?q=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"X-Key: k\r\n" in request and request.endswith(b'\r\n\r\n{"a":1}')


def test_a_shot_that_was_never_sent_is_try_later(http: Http) -> None:
    """Certainly nothing was sent."""
    with raw(say(200)) as server:
        shot = http.shot("POST", server.url, headers={}, body=b"", settle=receipt)
        with pytest.raises(TryLater):
            shot.settle()
        assert [] == server.seen


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_check_replaces_a_connection_that_the_outlet_closed(
    secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves a living one alone, session tickets or not."""
    theirs, ours = certificate(tmp_path, "outlet.example")
    pinned(monkeypatch, *["127.0.0.1"] * 4)
    with raw(say(200, b'{"id":"7"}'), tls=theirs if secure else None) as server:
        http = Http(private_network=True, now=lambda: NOW, tls=ours)
        url = f"{'https' if secure else 'http'}://outlet.example:{server.port}/"
        shot = http.shot("POST", url, headers={}, body=b"{}", settle=receipt)
        for _ in range(3):
            time.sleep(0.03)
            shot.check()
        assert 1 == server.connections
        server.hang_up()
        time.sleep(0.05)
        shot.check()
        fire(shot)
        assert isinstance(shot.settle(), Receipt)
        assert (2, 1) == (server.connections, len(server.seen))
        http.close()


def test_a_closed_peer_is_never_taken_for_success(http: Http) -> None:
    """Sending to it may raise nothing; the answer that does not come says it."""
    with raw(say(200, b'{"id":"7"}')) as server:
        shot = http.shot("POST", server.url, headers={}, body=b"{}", settle=receipt)
        time.sleep(0.05)
        server.hang_up()
        time.sleep(0.05)
        fire(shot)
        with pytest.raises((Ambiguous, TryLater)):
            shot.settle()
        assert [] == server.seen


def test_a_connection_that_was_reset_took_nothing(http: Http) -> None:
    """The kernel refuses the first byte: certainly not sent, so it may be tried again at once."""
    with raw(say(200)) as server:
        shot = http.shot("POST", server.url, headers={}, body=b"{}", settle=receipt)
        time.sleep(0.05)
        server.reset()
        time.sleep(0.05)
        fire(shot)
        with pytest.raises(TryLater):
            shot.settle()
        assert [] == server.seen


def test_a_large_shot_does_not_hold_up_the_sender(http: Http) -> None:
    """What the outlet does not take at once leaves in settle; here it takes nothing before send has returned."""
    sent = False

    def answer(connection: socket.socket) -> None:
        assert sent
        say(200, b'{"id":"7"}')(connection)

    with raw(answer) as server:
        shot = http.shot("POST", server.url, headers={}, body=b"x" * 30_000_000, settle=receipt)
        began = time.monotonic()
        fire(shot)
        sent = True
        assert time.monotonic() - began < 0.4
        assert isinstance(shot.settle(), Receipt)
        assert len(server.seen[0]) > 30_000_000


# what may be told


@pytest.mark.parametrize("act", [say(400, json.dumps({"error": f"bad {TOKEN}"}).encode()), hang_up, silence(0.8)])
@pytest.mark.parametrize("place", ["query", "header", "form", "path", "body"])
def test_errors_never_repeat_a_secret(http: Http, act: Act, place: str) -> None:
    """Not even when the outlet repeats it to us; the cause is told."""
    with raw(act) as server:
        url = server.url + {"query": f"/p?access_token={TOKEN}", "path": f"/bot{TOKEN}/send"}.get(place, "/p")
        headers = {"Authorization": f"Bearer {TOKEN}"} if place == "header" else {}
        form = {"token": TOKEN} if place == "form" else None
        body = json.dumps({"password": TOKEN}).encode() if place == "body" else None
        with pytest.raises(OutletError) as caught:
            http.call("POST", url, creates=True, headers=headers, form=form, body=body)
        assert TOKEN not in str(caught.value)
        assert "127.0.0.1" in str(caught.value)
        sent = body or f"token={TOKEN if form else ''}".encode()
        shot = http.shot("POST", url, headers=headers, body=sent, settle=receipt)
        fire(shot)
        with pytest.raises(OutletError) as caught:
            shot.settle()
        assert TOKEN not in str(caught.value)


def test_files_and_fields_go_as_multipart(http: Http) -> None:
    """Name, content and media type as given."""
    with raw(say(200)) as server:
        http.call(
            "POST",
            server.url,
            creates=True,
            files={"file": ("图.png", b"\x89PNG", "image/png")},
            form={"description": "说明"},
        )
        request = server.seen[0]
        assert b"multipart/form-data; boundary=" in request
        assert b"Content-Type: image/png\r\n\r\n\x89PNG\r\n" in request
        assert "说明".encode() in request


CLIENTS = {"requests", "urllib3", "http.client", "urllib.request", "httpx", "aiohttp", "websockets"}


def test_http_clients_are_imported_in_one_module_only() -> None:
    """A second way out would be a second guard to forget. Sandboxes are the outlets' side, which calls back."""
    found = {
        str(file.relative_to(ROOT))
        for folder in ("sync", "channels", "tasks")
        for file in (ROOT / folder).rglob("*.py")
        if "sandbox" not in file.parts
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if name in CLIENTS or name.partition(".")[0] in CLIENTS
    }
    assert {"sync/http.py"} == found


def test_mail_clients_are_imported_in_one_module_only() -> None:
    """Letters leave through the same guard."""
    found = [
        str(file.relative_to(ROOT))
        for folder in ("sync", "channels", "tasks")
        for file in (ROOT / folder).rglob("*.py")
        if re.search(r"^\s*(import|from) smtplib", file.read_text(), re.MULTILINE)
    ]
    assert ["sync/smtp.py"] == found


def test_a_secret_that_comes_back_in_another_shape_is_not_repeated() -> None:
    """A gateway echoes the address with the key as a part of its path, or with its signs as percent codes."""
    sent = b"POST /send?key=0f1e2d3c-secret-4b5a HTTP/1.1\r\n\r\n"
    asked = Asked("POST", "https://gate.example/send", sent, creates=True)
    for echoed in ("/hook/0f1e2d3c-secret-4b5a/no", "key%3D0f1e2d3c-secret-4b5a", "x=0f1e2d3c-secret-4b5a."):
        assert "secret" not in asked.said(Answer(502, {}, f"bad gateway: {echoed}".encode()))
