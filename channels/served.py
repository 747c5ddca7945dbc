"""The two settings that every outlet made of static files of ours has: the folder, and where a web server shows it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from sync.contract import Setting
from sync.model import BadInput, Outlet

DIRECTORY = Setting("directory", "网站目录（绝对路径）", "served folder (absolute path)", required=True)
BASE_URL = Setting("base_url", "网站地址", "public address of that folder", required=True)


def served(outlet: Outlet) -> tuple[Path, str]:
    """The folder, and its address without a slash at the end. Raises BadInput for one that cannot be used."""
    directory, base = outlet.settings.get("directory", ""), outlet.settings.get("base_url", "")
    address = urlsplit(base)
    if not directory or not Path(directory).is_absolute() or Path(directory).name in ("", ".."):
        raise BadInput(
            "directory",
            f"{directory!r} 不是绝对路径 · {directory!r} is no absolute path",
            "写网站目录的完整路径 · give the served folder's full path",
        )
    if address.scheme not in ("http", "https") or not address.netloc or address.query or address.fragment:
        raise BadInput(
            "base_url",
            f"{base!r} 不是网址 · {base!r} is no web address",
            "写成 https://www.example.gov.cn · give it as https://www.example.gov.cn",
        )
    return Path(directory), base.rstrip("/")
