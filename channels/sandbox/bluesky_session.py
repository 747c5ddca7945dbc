"""Sessions of the sandbox's PDS: created with the password, refreshed in turn; and what it tells of itself.

Rotation: a refresh token that was used stays good for a grace, and whoever uses it again within that gets a
successor with the same id, so that two refreshers do not break each other.
"""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import JSONResponse, Response

from channels.sandbox.bluesky_blob import BLOB_LIMIT
from channels.sandbox.bluesky_door import ACCESS, REFRESH, Door, Refusal, given, invalid
from channels.sandbox.bluesky_world import HANDLE, SECOND, Account, Grant, did_of
from channels.sandbox.server import Call, now

ACCESS_LIFE, REFRESH_LIFE, GRACE = 7200 * SECOND, 90 * 86_400 * SECOND, 7200 * SECOND
LOGINS = ((30, 300), (300, 86_400))  # of one identifier from one address


class SessionCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("POST", "com.atproto.server.createSession", self.create)
        door.on("POST", "com.atproto.server.refreshSession", self.refresh)
        door.on("GET", "com.atproto.server.getSession", self.show)
        door.on("POST", "com.atproto.server.deleteSession", self.delete)
        door.on("GET", "com.atproto.server.describeServer", self.describe)
        door.on("GET", "com.atproto.identity.resolveHandle", self.resolve)

    async def create(self, call: Call) -> Response:
        told = given(call)
        identifier, password = str(told.get("identifier", "")).lower(), str(told.get("password", ""))
        client = call.request.client
        for limit in LOGINS:
            self._door.spend(call, "login", f"{identifier}-{client.host if client else ''}", 1, *limit)
        known = self._world.known(identifier)
        handle = known.handle if known else identifier
        right = HANDLE.fullmatch(handle) and password == f"sandbox-{handle.partition('.')[0]}"
        if not right or self._door.set("revoke", call):
            raise Refusal(401, "AuthenticationRequired", "Invalid identifier or password")
        if self._door.set("two_factor", call) and not told.get("authFactorToken"):
            raise Refusal(401, "AuthFactorTokenRequired", "A sign in code has been sent to your email address")
        account = self._world.account(handle)
        call.did("session_created", account.did)
        return self._session(call, account, self._grant(account, secrets.token_hex(16)))

    async def refresh(self, call: Call) -> Response:
        claims = self._door.claims(call, REFRESH)
        used = self._world.grants.get(claims["jti"])
        if used is not None and used.expires_at <= now():
            self._world.drop_grant(used.id)
            used = None
        if used is None or self._door.set("revoke", call):
            raise Refusal(400, "ExpiredToken", "Token has been revoked")
        used.next = used.next or secrets.token_hex(16)
        used.expires_at = min(used.expires_at, now() + self._door.time("grace", call, GRACE))
        self._world.keep_grant(used)
        account = self._world.accounts[used.did]
        call.did("session_refreshed", account.did)
        return self._session(call, account, self._grant(account, used.next))

    def _grant(self, account: Account, ref: str) -> Grant:
        """The refresh token of this id, made or, within the grace, given once more."""
        if ref not in self._world.grants:
            self._world.keep_grant(Grant(ref, account.did, now() + REFRESH_LIFE))
        return self._world.grants[ref]

    def _session(self, call: Call, account: Account, grant: Grant) -> Response:
        until = now() + self._door.time("access_ttl", call, ACCESS_LIFE)
        access = self._door.token(account.did, ACCESS, until, secrets.token_hex(8))
        refresh = self._door.token(account.did, REFRESH, grant.expires_at, grant.id)
        return JSONResponse({"accessJwt": access, "refreshJwt": refresh, **self._shown(call, account)})

    def _shown(self, call: Call, account: Account) -> dict[str, Any]:
        deactivated = self._door.set("deactivated", call)
        return {
            "handle": account.handle,
            "did": account.did,
            "didDoc": self._door.document(account),
            "active": not deactivated,
            **({"status": "deactivated"} if deactivated else {}),
        }

    async def show(self, call: Call) -> Response:
        return JSONResponse(self._shown(call, self._door.owner(call)))

    async def delete(self, call: Call) -> Response:
        self._world.drop_grant(self._door.claims(call, REFRESH)["jti"])
        call.did("session_deleted")
        return Response()

    async def describe(self, call: Call) -> Response:
        return JSONResponse(
            {
                "did": "did:web:localhost",
                "availableUserDomains": [".test"],
                "inviteCodeRequired": False,
                "blobUploadLimit": BLOB_LIMIT,
            }
        )

    async def resolve(self, call: Call) -> Response:
        known = self._world.known(str(call.request.query_params.get("handle", "")))
        if known is None:
            raise invalid("Unable to resolve handle")
        return JSONResponse({"did": did_of(known.handle)})
