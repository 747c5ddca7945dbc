"""The address guard: what may be talked to, however it is spelled."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from sync import address
from sync.contract import Rejected, TryLater

words = str.split  # lists that can be read

ALWAYS_REFUSED = words(
    """
    0.0.0.0 0.1.2.3 100.100.100.200 168.63.129.16 169.254.0.1 169.254.169.254 192.0.0.1 192.0.0.192 192.0.2.5
    192.88.99.1 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::2 ::7f00:1 ::169.254.169.254 100::1 2001::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::
    2002:808:808::1 3fff::1 4000::1 64:ff9b:1::1 64:ff9b::169.254.169.254 fd00:42::42 fd00:ec2::254 fd20:ce::254
    fe80::1 febf::1 fec0::1 ff02::1 ::ffff:169.254.169.254 ::ffff:0.0.0.0 5f00::1
"""
)
PRIVATE = words(
    """
    10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.1.2.3 172.16.0.1 172.31.255.255
    192.168.1.1 198.18.0.1 198.19.255.255 ::1 fc00::1
    fd12:3456::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::192.168.0.1
"""
)
PUBLIC = words(
    """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 172.15.255.255
    172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2400:3200::1 2606:4700::1111
    ::ffff:8.8.8.8 64:ff9b::808:808
"""
)

LOCAL_SPELLINGS = words(
    """
    127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 0x7f.1 017700000001 0177.0.0.1 127.0.0.1. LOCALHOST
    localhost. [::1] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] １２７.0.0.1 127。0。0。1 ①②⑦.0.0.1 0.0.0.0 0
    [::] [::ffff:0:0] 169.254.169.254 0xa9fea9fe 2852039166 [fe80::1] [fd00:ec2::254]
"""
)
MALFORMED = (
    "https://127.0.0.1\\@example.com/",
    "https://example.com\\.internal/",
    "https://exa mple.com/",
    "https://example.com/\r\nHost: internal",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com:secret/",
    "https://example.com:99999/",
    "https://[::1/",
    "https://[fe80::1%25eth0]/",
    "https://127%2e0%2e0%2e1/",
    "https://%31%32%37.0.0.1/",
    "https:///path",
    "https://",
    "//example.com/",
    "example.com",
    "https:example.com",
    "https://exam\u0000ple.com/",
    "https://[v1.x]/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com:443/",
    "javascript:alert(1)",
    "http://example.com/",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:6379/",
)


@pytest.mark.parametrize("text", ALWAYS_REFUSED)
def test_some_addresses_are_never_talked_to(text: str) -> None:
    """Metadata, link-local, multicast, reserved and transition addresses, also on a private network."""
    assert address.refusal(ip_address(text), private_network=False)
    assert address.refusal(ip_address(text), private_network=True)


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_need_permission(text: str) -> None:
    """Refused, unless the outlet is on the owner's network."""
    assert address.refusal(ip_address(text), private_network=False)
    assert "" == address.refusal(ip_address(text), private_network=True)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_pass(text: str) -> None:
    """Neighbours of every refused range, and ordinary ones."""
    assert "" == address.refusal(ip_address(text), private_network=False)


@pytest.mark.parametrize("host", LOCAL_SPELLINGS)
def test_every_spelling_of_a_forbidden_host_is_refused(host: str) -> None:
    """Decimal, octal, hexadecimal, short, full-width, mapped: what counts is what it resolves to."""
    with pytest.raises(Rejected):
        goal = address.target(f"https://{host}/", private_network=False)
        address.resolve(goal.host, goal.port, private_network=False)


@pytest.mark.parametrize("url", MALFORMED)
def test_what_two_readers_could_understand_differently_is_refused(url: str) -> None:
    """So is every scheme but https, and every port but 443 and 8443."""
    with pytest.raises(Rejected):
        address.target(url, private_network=False)


def test_the_canonical_form() -> None:
    """Host in lower-case ASCII without a final dot, port always known, fragment gone."""
    goal = address.target("https://政务.Example.COM./a?b=c#d", private_network=False)
    assert ("https", "xn--zfr164b.example.com", 443) == (goal.scheme, goal.host, goal.port)
    assert "https://xn--zfr164b.example.com/a?b=c" == goal.url


def test_a_private_network_may_use_http_and_any_port() -> None:
    """What --private-network stands for."""
    assert 3000 == address.target("http://ghost.intranet:3000/", private_network=True).port
    assert ["127.0.0.1"] == address.resolve("127.0.0.1", 80, private_network=True)
    assert 80 == address.target("http://[::1]/", private_network=True).port


def resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[Any]:
    """Let the resolver give these answers in turn; the list of what was asked."""
    left, asked = list(answers), []

    def getaddrinfo(host: object, port: object, **named: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_one_bad_address_among_good_ones_refuses_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mixed answer is an attack or a mistake; either way nobody picks the good half."""
    resolver(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(Rejected, match="--private-network"):
        address.resolve("mixed.example", 443, private_network=False)


def test_a_link_local_address_with_a_zone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver may answer with the zone attached."""
    resolver(monkeypatch, ["fe80::1%eth0"])
    with pytest.raises(Rejected, match="link-local"):
        address.resolve("zoned.example", 443, private_network=True)


def test_an_unknown_name_is_try_later() -> None:
    """Nothing happened; the name may come back."""
    with pytest.raises(TryLater):
        address.resolve("no-such-name.invalid", 443, private_network=False)
