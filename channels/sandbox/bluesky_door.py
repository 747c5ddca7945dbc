"""The way into the sandbox's XRPC calls: names, tokens, rate limits, refusals, settings."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response

from channels.sandbox.bluesky_world import BLOB_LIFE, SECOND, Account, World
from channels.sandbox.server import Call, Handler, Sandbox, now

# Points, and the seconds they are counted over.
PER_IP = (3000, 300)
WRITES_HOUR, WRITES_DAY = (5000, 3600), (35_000, 86_400)
ACCESS, REFRESH = "com.atproto.appPass", "com.atproto.refresh"


class Refusal(Exception):
    """Becomes the answer of the call that raised it."""

    def __init__(self, status: int, error: str, message: str = "") -> None:
        super().__init__(message)
        self.status, self.error, self.message = status, error, message or error


def invalid(message: str) -> Refusal:
    return Refusal(400, "InvalidRequest", message)


class Door:
    """What every call goes through."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.world = World(sandbox.shelf)
        self._expired: set[str] = set()
        sandbox.account_of = self._name

    def on(self, method: str, nsid: str, handler: Handler, *, pds: bool = False) -> None:
        """Handle an XRPC call; `pds`: only at the account's own server, not at the entryway.

        The tightest of the counters it touched is told in the headers, as the server does."""

        async def counted(call: Call) -> Response:
            call.request.state.counters = []
            client = call.request.client
            try:
                self.spend(call, "requests", client.host if client else "", 1, *PER_IP)
                if pds and self._at_entryway(call):
                    raise Refusal(404, "XRPCNotSupported")
                self.world.collect(now(), self.time("blob_ttl", call, BLOB_LIFE))
                answer = await handler(call)
            except Refusal as refusal:
                answer = JSONResponse({"error": refusal.error, "message": refusal.message}, refusal.status)
            left, reset, limit, seconds = min(call.request.state.counters)
            answer.headers["RateLimit-Limit"] = str(limit)
            answer.headers["RateLimit-Remaining"] = str(max(0, left))
            answer.headers["RateLimit-Reset"] = str(-(-reset // SECOND))
            answer.headers["RateLimit-Policy"] = f"{limit};w={seconds}"
            return answer

        self.sandbox.on(method, f"/xrpc/{nsid}", counted)

    def spend(self, call: Call, scope: str, who: str, points: int, limit: int, seconds: int) -> None:
        """Raises Refusal once a counter is used up."""
        left, reset = self.world.count(f"{scope};w={seconds}", who, now(), points, limit, seconds)
        call.request.state.counters.append((left, reset, limit, seconds))
        if left < 0 and not self.set("unlimited", call):
            raise Refusal(429, "RateLimitExceeded", "Rate Limit Exceeded")

    def write(self, call: Call, points: int) -> Account:
        """The account that writes, its points counted. Raises Refusal."""
        owner = self.owner(call)
        for limit in (WRITES_HOUR, WRITES_DAY):
            self.spend(call, "repo-write", owner.did, points, *limit)
        if self.set("deactivated", call):
            raise Refusal(401, "AccountDeactivated", "Account is deactivated")
        return owner

    # settings

    def set(self, setting: str, call: Call) -> bool:
        return self.holds(setting, call.account)

    def holds(self, setting: str, account: str) -> bool:
        return bool(self.sandbox.knobs.standing(setting, account))

    def time(self, setting: str, call: Call, usual: int) -> int:
        """Microseconds of a setting that is given in `seconds`."""
        return self.seconds(setting, call.account, usual)

    def seconds(self, setting: str, account: str, usual: int) -> int:
        knobs = self.sandbox.knobs.standing(setting, account)
        return round(float(knobs[0].parameters["seconds"]) * SECOND) if knobs else usual

    # tokens

    def token(self, did: str, scope: str, expires_at: int, ref: str) -> str:
        """A JWT signed with the server's secret; times in it are seconds."""
        claims = {"scope": scope, "sub": did, "iat": now() // SECOND, "exp": expires_at // SECOND, "jti": ref}
        claims["aud"] = f"did:web:{urlsplit(self.sandbox.address).hostname}"
        told = f"{_packed({'typ': 'at+jwt', 'alg': 'HS256'})}.{_packed(claims)}"
        return f"{told}.{self._seal(told)}"

    def _seal(self, told: str) -> str:
        digest = hmac.digest(self.world.secret, told.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def claims(self, call: Call, scope: str) -> Mapping[str, Any]:
        """What the call's token says. Raises Refusal: none, not ours, of another kind, or too old."""
        bearer = call.request.headers.get("Authorization", "")
        if not bearer.startswith("Bearer "):
            raise Refusal(401, "AuthMissing", "Authentication Required")
        told, _, seal = bearer.removeprefix("Bearer ").rpartition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(told).encode()):
            raise Refusal(400, "InvalidToken", "Token could not be verified")
        claims = _unpacked(told)
        if claims.get("scope") != scope:
            raise Refusal(400, "InvalidToken", "Bad token scope")
        knob = "expire" if scope == ACCESS else "expire_refresh"
        if self.sandbox.knobs.take(call.request.method, call.path, call.account, knob):
            self._expired.add(claims["jti"])
        if claims["jti"] in self._expired or claims["exp"] * SECOND <= now():
            raise Refusal(400, "ExpiredToken", "Token has expired")
        return claims

    def owner(self, call: Call) -> Account:
        """Whose access token it is. Raises Refusal."""
        did = self.claims(call, ACCESS)["sub"]
        if did not in self.world.accounts:
            raise Refusal(401, "AuthenticationRequired", "Authentication Required")
        return self.world.accounts[did]

    def _name(self, call: Call) -> str:
        """Whose request it is by its own word, for knobs and the record."""
        told = call.request.headers.get("Authorization", "").removeprefix("Bearer ").rpartition(".")[0]
        account = self.world.accounts.get(str(_unpacked(told).get("sub")))
        if account is not None:
            return account.name
        if call.path.endswith("server.createSession"):
            return str(given(call).get("identifier", "")).lower().partition(".")[0]
        return ""

    # where the account lives

    def pds(self, account: str) -> str:
        """Its server's address: this one, or with the knob `entryway` the same under another name."""
        if not self.holds("entryway", account):
            return self.sandbox.address
        return f"http://localhost:{urlsplit(self.sandbox.address).port}"

    def _at_entryway(self, call: Call) -> bool:
        return self.set("entryway", call) and call.request.url.hostname != "localhost"

    def document(self, account: Account) -> dict[str, Any]:
        """The account's DID document."""
        endpoint = self.pds(account.name)
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": endpoint}
        return {
            "@context": ["https://www.w3.org/ns/did/v1"],
            "id": account.did,
            "alsoKnownAs": [f"at://{account.handle}"],
            "verificationMethod": [],
            "service": [service],
        }


def given(call: Call) -> dict[str, Any]:
    """The JSON body; what is none counts as empty."""
    try:
        told = json.loads(call.body or b"{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _packed(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _unpacked(told: str) -> dict[str, Any]:
    """The claims of a JWT whose seal was cut off; {} for what is none."""
    middle = told.partition(".")[2]
    try:
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}
