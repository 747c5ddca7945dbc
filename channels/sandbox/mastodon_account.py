"""What the sandbox's Mastodon tells of an account, an application and itself."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from channels.sandbox.mastodon_door import Door
from channels.sandbox.mastodon_media import ALT_LIMIT, SIZE_LIMIT
from channels.sandbox.server import Call

TEXT_LIMIT, MEDIA_LIMIT = 500, 4
VERSION = "4.4.0"


class AccountCalls:
    def __init__(self, door: Door) -> None:
        self._door = door
        door.on("GET", "/api/v1/accounts/verify_credentials", self.whoami)
        door.on("GET", "/api/v1/apps/verify_credentials", self.application)
        door.on("GET", "/api/v1/instance", self.instance_v1)
        door.on("GET", "/api/v2/instance", self.instance)

    async def whoami(self, call: Call) -> Response:
        owner = self._door.owner(call)
        return JSONResponse({**owner.shown(self._door.world.address), "source": {"language": None}})

    async def application(self, call: Call) -> Response:
        self._door.owner(call)
        return JSONResponse({"name": "sandbox", "website": None, "scopes": ["read", "write"]})

    def _configuration(self) -> dict[str, Any]:
        statuses = {
            "max_characters": TEXT_LIMIT,
            "max_media_attachments": MEDIA_LIMIT,
            "characters_reserved_per_url": 23,
        }
        media = {
            "image_size_limit": SIZE_LIMIT,
            "image_matrix_limit": 33_177_600,
            "supported_mime_types": ["image/jpeg", "image/png", "image/gif", "image/webp"],
        }
        return {"statuses": statuses, "media_attachments": media}

    async def instance_v1(self, call: Call) -> Response:
        """Deprecated since 4.0 and served still: clients learn the version from it. It has no limit of descriptions."""
        host = self._door.sandbox.address.partition("//")[2]
        told = {"uri": host, "title": "sandbox", "version": VERSION, "configuration": self._configuration()}
        return JSONResponse(told)

    async def instance(self, call: Call) -> Response:
        configuration = self._configuration()
        configuration["media_attachments"]["description_limit"] = ALT_LIMIT
        return JSONResponse(
            {
                "domain": self._door.sandbox.address.partition("//")[2],
                "title": "sandbox",
                "version": VERSION,
                "api_versions": {"mastodon": 6},
                "configuration": configuration,
            }
        )
