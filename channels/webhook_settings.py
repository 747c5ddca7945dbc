"""The settings of a webhook outlet: read, checked, and replaced by those of its sandbox twin. Pure."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from channels.webhook_signature import Signer, signers
from sync.contract import Setting
from sync.model import BadInput, Outlet

ITEM, DIGEST = "{item}", "{digest}"
SWITCHES = {"yes": True, "no": False, "": False}
SETTINGS = (
    Setting("url", "接收地址", "address of the receiver", required=True),
    Setting("secret", "签名密钥 whsec_… 或 whsk_…，轮换时两个以空格分开", "one or two signing keys", True, True),
    Setting("public_url_template", "公开页面地址，含 {item}", "address of the public page, with {item}"),
    Setting("asset_url_template", "附件与图片地址，含 {digest}", "address of files, with {digest}"),
    Setting("receiver_dedupes", "接收方按 webhook-id 去重：yes", "yes: it ignores repeated ids", default="no"),
    Setting("staged", "预先发送 item.staged：yes", "yes: it wants item.staged beforehand", default="no"),
)


@dataclass(frozen=True)
class Chosen:
    """`public` and `assets` are templates, "" when not set."""

    url: str
    keys: tuple[Signer, ...]
    public: str
    assets: str
    dedupes: bool
    staged: bool

    def page(self, item: str) -> str:
        """The public page of an item, "" when it is not known."""
        return self.public.replace(ITEM, quote(item, safe=""))


def chosen(outlet: Outlet) -> Chosen:
    """Raises BadInput for what cannot be meant; no text of it holds a key."""
    url = outlet.settings.get("url", "")
    if not _is_address(url):
        raise BadInput(
            "url",
            f"{url!r} 不是网址 · {url!r} is no address",
            "写接收方给的 https://… · write https://…, as the receiver gave it",
        )
    return Chosen(
        url,
        signers(outlet.secrets.get("secret", "")),
        _template(outlet, "public_url_template", ITEM),
        _template(outlet, "asset_url_template", DIGEST),
        _switch(outlet, "receiver_dedupes"),
        _switch(outlet, "staged"),
    )


def twin(outlet: Outlet, sandbox: str) -> Outlet:
    """Files have no address there: their configured host is not contacted."""
    own = f"{sandbox}/{quote(outlet.name)}"
    settings = {"url": f"{own}/hook"}
    if outlet.settings.get("public_url_template"):
        settings["public_url_template"] = f"{own}/items/{ITEM}"
    settings |= {name: outlet.settings[name] for name in ("receiver_dedupes", "staged") if name in outlet.settings}
    key = base64.b64encode(hashlib.sha256(f"sandbox webhook {outlet.name}".encode()).digest()).decode()
    return replace(outlet, settings=settings, secrets={"secret": f"whsec_{key}"}, live=False, private_network=True)


def _template(outlet: Outlet, name: str, mark: str) -> str:
    given = outlet.settings.get(name, "")
    if given and (mark not in given or not _is_address(given)):
        mend = (
            f"写带 {mark} 的地址 · "
            f"write an address with {mark} where it differs, such as https://app.example/news/{mark}"
        )
        raise BadInput(name, f"{given!r} 不是地址模板 · {given!r} is no such template", mend)
    return given


def _switch(outlet: Outlet, name: str) -> bool:
    given = outlet.settings.get(name, "")
    if given not in SWITCHES:
        raise BadInput(
            name,
            f"{given!r} 既不是 yes 也不是 no · {given!r} is neither yes nor no",
            f"写 {name}=yes，或不设 · write {name}=yes, or leave it out",
        )
    return SWITCHES[given]


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # such as an unfinished [
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
