"""Which addresses the egress may talk to. The only place that turns a host name into an address.

A name is resolved once, every address it has is judged, and the connection is made to exactly the
addresses that were judged: a name that answers differently a moment later gains nothing.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit, urlunsplit

import idna

from sync.contract import Rejected, TryLater

PUBLIC_PORTS = frozenset({443, 8443})
OWN_NETWORK = "an outlet on your own network is set up with --private-network"

# Never, not even on a private network. Sources: the IANA special-purpose registries (RFC 6890 and
# successors) and the providers' pages on their metadata services.
_NEVER_4 = {
    "0.0.0.0/8": "unspecified",
    "100.100.100.200/32": "a cloud metadata service",  # Alibaba Cloud
    "168.63.129.16/32": "a cloud metadata service",  # Azure
    "169.254.0.0/16": "link-local (cloud metadata services live there)",
    "192.0.0.0/24": "reserved",  # Oracle Cloud's metadata service is 192.0.0.192
    "192.0.2.0/24": "reserved for documentation",
    "192.88.99.0/24": "a 6to4 relay",
    "198.51.100.0/24": "reserved for documentation",
    "203.0.113.0/24": "reserved for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
_PRIVATE_4 = {
    "10.0.0.0/8": "a private address",
    "100.64.0.0/10": "a carrier's private address",
    "127.0.0.0/8": "this machine",
    "172.16.0.0/12": "a private address",
    "192.168.0.0/16": "a private address",
    "198.18.0.0/15": "a test network's address",  # also where some proxies' resolvers place every name
}
_NEVER_6 = {
    "::/128": "unspecified",
    "100::/64": "reserved",
    "2001::/23": "reserved",  # Teredo, benchmarking, ORCHID and other special uses
    "2001:db8::/32": "reserved for documentation",
    "2002::/16": "a 6to4 address",
    "3fff::/20": "reserved for documentation",
    "fd00:42::42/128": "a cloud metadata service",  # Scaleway
    "fd00:ec2::/32": "a cloud metadata service",  # AWS
    "fd20:ce::254/128": "a cloud metadata service",  # Google Cloud
    "fe80::/10": "link-local",
    "fec0::/10": "site-local, long abolished",
    "ff00::/8": "multicast",
}
_PRIVATE_6 = {"::1/128": "this machine", "fc00::/7": "a private address"}
_GLOBAL_6 = IPv6Network("2000::/3")  # all that IANA has ever given out as global unicast
_EMBEDDING_6 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))  # IPv4-mapped, NAT64

NEVER_4 = {IPv4Network(net): why for net, why in _NEVER_4.items()}
PRIVATE_4 = {IPv4Network(net): why for net, why in _PRIVATE_4.items()}
NEVER_6 = {IPv6Network(net): why for net, why in _NEVER_6.items()}
PRIVATE_6 = {IPv6Network(net): why for net, why in _PRIVATE_6.items()}


def refusal(address: IPv4Address | IPv6Address, private_network: bool) -> str:
    """Why this address may not be talked to; "" when it may."""
    if isinstance(address, IPv6Address):
        if any(address in net for net in _EMBEDDING_6):
            return refusal(IPv4Address(int(address) & 0xFFFF_FFFF), private_network)
        for net6, why in NEVER_6.items():
            if address in net6:
                return why
        for net6, why in PRIVATE_6.items():
            if address in net6:
                return "" if private_network else why
        return "" if address in _GLOBAL_6 else "not a global address"
    for net4, why in NEVER_4.items():
        if address in net4:
            return why
    for net4, why in PRIVATE_4.items():
        if address in net4:
            return "" if private_network else why
    return ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, in the one canonical form: host in lower-case ASCII, port always known.

    A `repr` leaves the address out, whose path or query may hold a secret."""

    scheme: str
    host: str
    port: int
    url: str = field(repr=False)


def target(url: str, private_network: bool) -> Target:
    """The target of an address that may be asked for. Raises Rejected, naming the mend.

    Strict on purpose: whatever two readers of an address could understand differently is refused.
    """
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise Rejected("an address contains a space, a control character or a backslash: correct it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if not host.isascii():
            host = idna.encode(host, uts46=True).decode()
    except ValueError:  # idna's errors are such, too
        raise Rejected("an address is malformed: correct it in the outlet's settings") from None
    host = host.removesuffix(".")
    shape = r"[0-9a-f:.]*:[0-9a-f:.]*" if "[" in parts.netloc else r"[a-z0-9_.-]+"
    if not re.fullmatch(shape, host):
        raise Rejected("an address has no usable host name: correct it in the outlet's settings")
    if parts.scheme != "https" and not (parts.scheme == "http" and private_network):
        raise Rejected(f"{host}: only https:// is allowed; {OWN_NETWORK}")
    if parts.username is not None or parts.password is not None:
        raise Rejected(f"{host}: an address must not contain a user name or password: set them as secrets")
    usual = 443 if parts.scheme == "https" else 80
    if not private_network and (port or usual) not in PUBLIC_PORTS:
        raise Rejected(f"{host}: port {port} is not allowed (443 and 8443 are); {OWN_NETWORK}")
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    whole = urlunsplit((parts.scheme, place, parts.path, parts.query, ""))
    return Target(parts.scheme, host, port or usual, whole)


def resolve(host: str, port: int, private_network: bool) -> list[str]:
    """Every address of a host, each judged. Raises Rejected if one of them is refused, TryLater if there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise TryLater(f"{host}: the name cannot be resolved ({error})") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        # A zone ("%eth0") marks a link-local address, which is refused without it too.
        why = refusal(ip_address(address.partition("%")[0]), private_network)
        if why:
            mend = "" if private_network else f"; {OWN_NETWORK}"
            raise Rejected(f"{host} resolves to {address}, which is refused: {why}{mend}")
    return addresses
