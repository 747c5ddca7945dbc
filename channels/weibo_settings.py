"""The settings of a Weibo outlet: read, checked, and replaced by those of its sandbox twin. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address
from urllib.parse import urlsplit

from channels.weibo_public import PAGE
from sync.contract import Setting
from sync.model import BadInput, Outlet

API = "https://api.weibo.com"
EXAMPLE_IP = "211.156.0.1"  # the vendor's own example of `rip`
SETTINGS = (
    Setting("access_token", "授权令牌，到期须由人重新授权", "access token; a person renews it", True, True),
    Setting("safe_domain", "应用的安全域名，多个用逗号分隔", "domains bound to the application", required=True),
    Setting("client_ip", "操作者的公网 IPv4 地址（rip）", "public IPv4 address of the operator", required=True),
    Setting("api_base", "接口地址", "address of the API", default=API),
    Setting("page_base", "公开页面的地址", "address of the public pages", default=PAGE),
)


@dataclass(frozen=True)
class Chosen:
    """`domains` () allows every one: only a sandbox has none. Addresses are without a slash at the end."""

    domains: tuple[str, ...]
    ip: str
    api: str
    page: str
    token: str


def chosen(outlet: Outlet) -> Chosen:
    """Raises BadInput for what cannot be meant; no text of it holds the token."""
    given = outlet.settings
    domains = tuple(word.lower() for word in re.split(r"[,，、;\s]+", given.get("safe_domain", "")) if word)
    for domain in domains:
        if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain):
            raise BadInput(
                "safe_domain",
                f"{domain!r} 不是域名 · {domain!r} is no domain",
                "写成 www.example.gov.cn，不带 https:// · write it as www.example.gov.cn, without https://",
            )
    if outlet.live and not domains:
        raise BadInput(
            "safe_domain",
            "没有写域名 · it names no domain",
            "写在 open.weibo.com 设置的安全域名 · write the one that is set at open.weibo.com",
        )
    address = given.get("client_ip", "").strip()
    try:
        public = IPv4Address(address).is_global
    except AddressValueError:
        public = False
    if not public:  # Weibo refuses others, or trusts them less
        raise BadInput(
            "client_ip",
            f"{address!r} 不是公网 IPv4 地址 · {address!r} is no public IPv4 address",
            "写本单位出口的公网地址 · write the one that this office goes out by",
        )
    api, page = _address(outlet, "api_base", API), _address(outlet, "page_base", PAGE)
    return Chosen(domains, address, api, page, outlet.secrets.get("access_token", ""))


def twin(outlet: Outlet, sandbox: str) -> Outlet:
    """Without a safe domain: the pages that a sandbox release links to are another sandbox's."""
    return replace(
        outlet,
        settings={"api_base": sandbox, "page_base": sandbox, "client_ip": EXAMPLE_IP},
        secrets={"access_token": f"sandbox-{outlet.name}"},
        live=False,
        private_network=True,
    )


def _address(outlet: Outlet, name: str, usual: str) -> str:
    address = (outlet.settings.get(name) or usual).rstrip("/")
    try:
        parts = urlsplit(address)
    except ValueError:  # such as an unfinished [
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(
            name,
            f"{address!r} 不是网址 · {address!r} is no web address",
            f"写 {usual}，或不设 · write {usual}, or leave it out",
        )
    return address
