"""The settings of a mailing: read, checked, and replaced by those of its sandbox twin. Pure.

Whatever becomes a part of a letter's head or of what is said to the server is held to a form that has no
room for a line's end: nothing a person sets can add a header, a recipient or a command.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlsplit

from sync.contract import MailServer, Setting
from sync.model import BadInput, Outlet

MOST = 2_000  # recipients of one outlet; a longer list belongs to a list server, whose address is `list_address`
RECIPIENT = "{recipient}"
SETTINGS = (
    Setting("host", "邮件服务器", "the mail server", required=True),
    Setting("port", "端口：587 或 465", "587, or 465 with security=tls", default="587"),
    Setting(
        "security", "加密：starttls、tls；内网可 none", "starttls, tls; none on one's own network", default="starttls"
    ),
    Setting("username", "登录名", "the account"),
    Setting("password", "口令", "its password", secret=True),
    Setting("from", "发件人地址", "whom it is from", required=True),
    Setting("from_name", "发件人名称", "that sender's name"),
    Setting("list_address", "邮件列表地址（由列表服务器分发）", "address of a list that a list server serves"),
    Setting("recipients", "收件人，每行一个地址", "recipients, one address a line", secret=True),
    Setting("list_id", "列表标识，如 news.qingxi.example", "what names the list: news.qingxi.example"),
    Setting("unsubscribe_url", "退订网址，可含 {recipient}", "address to leave it by one click, with {recipient}"),
    Setting("unsubscribe_mailto", "退订邮箱", "address to leave it by mail"),
)
LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"  # RFC 5322 dot-atom, ASCII
HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS = re.compile(rf"{LOCAL}@{HOST}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Chosen:
    """`recipients` in the order of the list, each once; of a served list its one address (`served`)."""

    server: MailServer
    sender: str
    sender_name: str
    recipients: tuple[str, ...] = field(repr=False)
    served: bool
    list_id: str
    unsubscribe_url: str
    unsubscribe_mailto: str


def chosen(outlet: Outlet) -> Chosen:
    """Raises BadInput for what cannot be meant; no text of it holds a recipient."""
    settings = outlet.settings
    sender = _address(settings.get("from", ""), "from")
    host, security = settings.get("host", ""), settings.get("security") or "starttls"
    if not re.fullmatch(HOST, host):
        raise BadInput(
            "host",
            f"{host!r} 不是主机名 · {host!r} is no host name",
            "写成 mail.example.gov.cn，不带端口 · write mail.example.gov.cn, without a port",
        )
    if security not in ("starttls", "tls", "none"):
        raise BadInput(
            "security",
            f"没有 {security!r} 这种方式 · {security!r} is not known",
            "写 starttls、tls，或在自己的网络内写 none · write starttls, tls, or none on your own network",
        )
    port = settings.get("port") or ("465" if security == "tls" else "587")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise BadInput(
            "port",
            f"{port!r} 不是端口 · {port!r} is no port",
            "写 587；security=tls 时写 465 · write 587, or 465 with security=tls",
        )
    served = settings.get("list_address", "")
    listed = (_address(served, "list_address"),) if served else _recipients(outlet.secrets.get("recipients", ""))
    name = sender.partition("@")[2]
    server = MailServer(
        host, int(port), security, settings.get("username", ""), outlet.secrets.get("password", ""), name
    )
    url, mailto = settings.get("unsubscribe_url", ""), settings.get("unsubscribe_mailto", "")
    if url and (CONTROL.search(url) or re.search(r"[\s<>]", url) or urlsplit(url).scheme != "https"):
        raise BadInput(
            "unsubscribe_url",
            f"{url!r} 不是退订地址 · {url!r} is no such address",
            "写 https://…，需要时带上 {recipient} · write https://…, with {recipient} if need be",
        )
    list_id = settings.get("list_id", "")
    if list_id and not re.fullmatch(HOST, list_id):
        raise BadInput(
            "list_id",
            f"{list_id!r} 不是列表名称 · {list_id!r} is no such name",
            "写成 news.qingxi.example 这样 · write a name such as news.qingxi.example",
        )
    return Chosen(
        server,
        sender,
        _line(settings.get("from_name", ""), "from_name"),
        listed,
        bool(served),
        list_id,
        url,
        _address(mailto, "unsubscribe_mailto") if mailto else "",
    )


def twin(outlet: Outlet, sandbox: str) -> Outlet:
    """The sandbox's server takes letters on the port of its pages, and delivers them nowhere."""
    parts, name = urlsplit(sandbox), quote(outlet.name)
    kept = {key: outlet.settings[key] for key in ("from_name", "list_id") if key in outlet.settings}
    settings = {
        **kept,
        "host": parts.hostname or "",
        "port": str(parts.port or 80),
        "security": "none",
        "username": outlet.name,
        "from": "news@sandbox.example",
        "unsubscribe_url": f"https://sandbox.example/{name}/leave?who={RECIPIENT}",
        "unsubscribe_mailto": "leave@sandbox.example",
    }
    secrets = {"password": f"sandbox-{outlet.name}"}
    if outlet.settings.get("list_address"):
        settings["list_address"] = "list@sandbox.example"
    else:
        secrets["recipients"] = "\n".join(f"reader-{number}@sandbox.example" for number in range(1, 4))
    return replace(outlet, settings=settings, secrets=secrets, live=False, private_network=True)


def _recipients(text: str) -> tuple[str, ...]:
    """Lines with an address each; empty ones and those that begin with # count for nothing."""
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not ADDRESS.fullmatch(line) or len(line) > 254:
            raise BadInput(
                "recipients",
                f"第 {number} 行不是邮箱地址 · line {number} is no address",
                "每行一个地址，只用 ASCII，不带姓名 · one address a line, in ASCII, without names",
            )
        local, _, host = line.rpartition("@")
        found.setdefault(f"{local}@{host.lower()}", line)
    if len(found) > MOST:
        mend = (
            "改由邮件列表服务器分发，把其地址设为 list_address · "
            "have a list server serve it, and set its address as list_address"
        )
        raise BadInput("recipients", f"超过 {MOST} 个 · there are more than {MOST}", mend)
    return tuple(found)


def _address(text: str, name: str) -> str:
    if not ADDRESS.fullmatch(text):
        raise BadInput(
            name,
            f"{text!r} 不是邮箱地址 · {text!r} is no address of a mailbox",
            "写成 news@qingxi.example，不带姓名 · write news@qingxi.example, without a name",
        )
    return text


def _line(text: str, name: str) -> str:
    if CONTROL.search(text):
        raise BadInput(name, "含有控制字符 · it holds a control character", "写在一行里 · write it in one line")
    return text
