"""The long tail of push services, by the addresses of the `apprise` library: https://github.com/caronc/apprise/wiki.

That library speaks to more than a hundred services, and goes out by itself: it answers true or false, retries
as it likes, and follows redirects. So it runs in a process of its own (`channels.apprise_child`) that is told one
address and one text, has no environment, no files and little time, and connects to no address that the egress
would refuse. What comes of it nobody can look up. It is for outlets that nothing waits for: never a required one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from channels import brief
from channels.notice import Notice, corrects
from sync.contract import (
    Accepted,
    Ambiguous,
    Capabilities,
    Misbehaved,
    Place,
    Prepared,
    Probe,
    Receipt,
    Reveal,
    Setting,
    Shot,
    Tools,
    TryLater,
    Unauthorised,
    Unsupported,
)
from sync.model import Edition, Key, Outlet, Problem, Rendition

CHILD = Path(__file__).with_name("apprise_child.py")
ROOT = CHILD.parents[1]
PATIENCE = 30.0  # seconds that the child lives at most
ROOM = brief.Room(1_000, len)  # characters; services that take less cut it themselves
ENVIRONMENT = {"LANG": "C.UTF-8"}


class AppriseChannel(Notice):
    kind: ClassVar[str] = "apprise"
    can: ClassVar[Capabilities] = Capabilities(
        reveal=Reveal.NOTIFY,
        probe=Probe.BLIND,
        lands_within=120.0,
        settings=(Setting("url", "apprise 地址，如 ntfy://topic", "an address of apprise: ntfy://topic", True, True),),
        limits={"characters": ROOM.most},
        optional=True,
    )

    def __init__(self, outlet: Outlet, tools: Tools) -> None:
        self._name, self._tools = outlet.name, tools
        self._url, self._private = outlet.secrets.get("url", ""), outlet.private_network

    @classmethod
    def twin(cls, outlet: Outlet, sandbox: str, folder: str) -> Outlet:
        parts = urlsplit(sandbox)
        url = f"{'jsons' if parts.scheme == 'https' else 'json'}://{parts.netloc}/{quote(outlet.name)}"
        return Outlet(outlet.name, outlet.unit, outlet.kind, {}, {"url": url}, outlet.required, private_network=True)

    # pure

    def check(self, edition: Edition) -> list[Problem]:
        if not edition.title.strip():
            return [Problem("title", "缺少标题 · the title is missing")]
        try:
            self._text(edition, "https://canonical.example/2026/11/0123456789abcdef.html", corrected=True)
        except Unsupported as error:
            return [Problem("title", str(error))]
        return []

    def _text(self, edition: Edition, canonical: str | None, *, corrected: bool) -> str:
        return brief.compose(
            self._tools.pages, "apprise/text.txt", edition, canonical, ROOM, tag="", corrects=corrected
        )

    def render(self, edition: Edition, place: Place) -> Rendition:
        corrected = corrects(place)
        text = self._text(edition, place.canonical, corrected=corrected)
        title = f"更正：{edition.title}" if corrected else edition.title
        return Rendition(title, text, {"revision": str(edition.revision)}, (), brief.shown(text))

    def preview(self, rendition: Rendition) -> Mapping[str, bytes]:
        return {"message.txt": f"{rendition.title}\n\n{rendition.content}\n".encode()}

    # through the child

    def login(self) -> None:
        """Whether the address is one that apprise knows: nothing is asked of the service."""
        if _told({"url": self._url, "private": self._private}) != "understood":
            raise Unauthorised(f"{self._name}: apprise 不认识这个地址 · apprise does not know such an address; set url")

    def prepare(self, rendition: Rendition, key: Key, replaces: Receipt | None = None) -> Prepared:
        self.login()
        return Prepared("")

    def arm(self, prepared: Prepared, rendition: Rendition, key: Key) -> Shot:
        return AppriseShot(self._name, self._url, rendition, self._private, self._tools)


class AppriseShot(Shot):
    """The child is started when it is settled: a moment after the instant, where nobody waits for it."""

    def __init__(self, name: str, url: str, rendition: Rendition, private: bool, tools: Tools) -> None:
        self._name, self._tools, self._rendition = name, tools, rendition
        self._given = {"url": url, "title": rendition.title, "body": rendition.content, "private": private}
        self._fired = False

    def _fire(self) -> None:
        self._fired = True

    def settle(self) -> Receipt | Accepted:
        if not self._fired:
            raise TryLater("its moment has not come")
        match _told(self._given):
            case "sent":
                revision = self._rendition.fields["revision"]
                return Receipt("", "", self._tools.now(), {"revision": revision})
            case "unreached":
                raise TryLater(f"{self._name}: 没有连上该服务 · the service could not be reached")
            case "unknown":
                raise Unauthorised(f"{self._name}: apprise 不认识这个地址 · apprise does not know such an address")
        raise Ambiguous(f"{self._name}: 该服务没有确认 · the service did not say that it took it")


def _told(given: Mapping[str, Any]) -> str:
    """The child's answer. Raises Ambiguous when it gave none in time, or broke: by then it may have sent."""
    command = [sys.executable, "-I", str(CHILD), str(ROOT), str(os.getpid())]
    try:
        done = subprocess.run(  # noqa: S603 - our own program; what is a stranger's goes in by its standard input
            command,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=ENVIRONMENT,
            cwd="/",
            check=True,
        )
        outcome = json.loads(done.stdout)["outcome"]
    except subprocess.TimeoutExpired:
        raise Ambiguous(f"apprise 未在 {PATIENCE:g} 秒内结束 · apprise did not end in time") from None
    except (subprocess.CalledProcessError, ValueError, KeyError, TypeError):
        raise Misbehaved("apprise 中断 · apprise broke") from None
    return str(outcome)
