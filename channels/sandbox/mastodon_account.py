"""What the sandbox's Mastodon tells of an account, an application and itself."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from channels.sandbox.mastodon_door import Door
from channels.sandbox.mastodon_media import ALT_LIMIT, SIZE_LIMIT
from channels.sandbox.server import Call

TEXT_LIMIT, MEDIA_LIMIT = 500, 4


class AccountCalls:
    def __init__(self, door: Door) -> None:
        self._door = door
        door.on("GET", "/api/v1/accounts/verify_credentials", self.whoami)
        door.on("GET", "/api/v1/apps/verify_credentials", self.application)
        door.on("GET", "/api/v2/instance", self.instance)

    async def whoami(self, call: Call) -> Response:
        owner = self._door.owner(call)
        return JSONResponse({"id": owner.id, "username": owner.name, "acct": owner.name, "source": {"language": None}})

    async def application(self, call: Call) -> Response:
        self._door.owner(call)
        return JSONResponse({"name": "sandbox", "website": None, "scopes": ["read", "write"]})

    async def instance(self, call: Call) -> Response:
        statuses = {
            "max_characters": TEXT_LIMIT,
            "max_media_attachments": MEDIA_LIMIT,
            "characters_reserved_per_url": 23,
        }
        media = {
            "description_limit": ALT_LIMIT,
            "image_size_limit": SIZE_LIMIT,
            "image_matrix_limit": 33_177_600,
            "supported_mime_types": ["image/jpeg", "image/png", "image/gif", "image/webp"],
        }
        return JSONResponse(
            {
                "domain": self._door.sandbox.address.partition("//")[2],
                "version": "4.4.0",
                "api_versions": {"mastodon": 6},
                "configuration": {"statuses": statuses, "media_attachments": media},
            }
        )
