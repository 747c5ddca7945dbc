"""A session on an account's server: two tokens, whose account they are of, and where that account lives. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sync.clock import SECOND
from sync.contract import Fresh, Misbehaved


@dataclass(frozen=True, slots=True)
class Session:
    """`wanted`: service and name it was asked of, so that one of other settings is not taken for it.

    `pds`: the account's own server, which the service it logs in at need not be."""

    wanted: str
    did: str
    pds: str
    access: str
    refresh: str

    @property
    def kept(self) -> str:
        """What is kept of it, sealed."""
        return json.dumps(asdict(self))

    @property
    def expires_at(self) -> int | None:
        """µs UTC by the access token's own word; None when it does not say."""
        part = self.access.partition(".")[2].partition(".")[0]
        try:
            claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except ValueError:
            return None
        told = claims.get("exp") if isinstance(claims, dict) else None
        return told * SECOND if isinstance(told, int) else None

    @property
    def fresh(self) -> Fresh:
        return Fresh(self.kept, self.expires_at)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access}"}

    @classmethod
    def read(cls, kept: str) -> Session | None:
        """What was kept; None when it is none, as of an older version."""
        try:
            told = json.loads(kept)
            return cls(**{name: str(told[name]) for name in cls.__slots__})
        except (ValueError, TypeError, KeyError):
            return None

    @classmethod
    def told(cls, answer: Mapping[str, Any], wanted: str, service: str) -> Session:
        """Out of the answer that created or refreshed it. Raises Misbehaved."""
        did, access, refresh = (answer.get(name) for name in ("did", "accessJwt", "refreshJwt"))
        if not (isinstance(did, str) and did.startswith("did:") and isinstance(access, str) and access):
            raise Misbehaved("did or accessJwt is missing from a session")
        if not isinstance(refresh, str) or not refresh:
            raise Misbehaved("refreshJwt is missing from a session")
        return cls(wanted, did, _home(answer.get("didDoc")) or service, access, refresh)


def _home(document: Any) -> str:
    """The account's server by its DID document; "" when it names none."""
    services = document.get("service") if isinstance(document, dict) else None
    for service in services if isinstance(services, list) else ():
        if isinstance(service, dict) and str(service.get("id", "")).endswith("#atproto_pds"):
            endpoint = service.get("serviceEndpoint")
            return endpoint.rstrip("/") if isinstance(endpoint, str) else ""
    return ""
