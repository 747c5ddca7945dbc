"""Reads a post as anybody may: through the AppView that the public uses, or where there is none in the repository."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from channels import bluesky_post as post
from channels import bluesky_view as view
from channels.bluesky_account import APPVIEW, Account, found
from sync import compare
from sync.contract import Misbehaved, OutletError, Receipt, Response, Tools, Unsupported
from sync.model import Asset, Problem, Token


class Reader:
    """`appview`: "" where there is none; `service`: the account's server, as long as no receipt says better."""

    def __init__(self, tools: Tools, account: Account, outlet: str, service: str, appview: str) -> None:
        self._http, self._blob, self._account = tools.http, tools.blob, account
        self._outlet, self._service, self._appview = outlet, service, appview

    def ready(self, did: str) -> None:
        """Raises Unsupported when the AppView is none.

        One says with 200 that it has no such post; a server alone refuses the question."""
        if not self._appview:
            return
        answer = self._posts(f"at://{did}/{post.COLLECTION}/2222222222222")
        if answer.status in (400, 404, 501):
            raise Unsupported(f"{self._outlet}: {self._appview} is no AppView; where there is none, set appview=none")
        self._account.read(answer, "getPosts", APPVIEW)

    def address(self, receipt: Receipt) -> tuple[str, str]:
        """Account and key of the post. Raises Unsupported for what is none."""
        there = view.address(receipt)
        if there is None:
            raise Unsupported(f"{self._outlet}: {receipt.url or receipt.ref} is no post on Bluesky")
        return there

    def post(self, receipt: Receipt) -> list[view.Part] | None:
        """What an anonymous reader finds; None: nothing. Raises an OutletError when it cannot be learnt."""
        owner, rkey = self.address(receipt)
        did = owner if owner.startswith("did:") else self._did(owner)
        if self._appview:
            answer = self._posts(f"at://{did}/{post.COLLECTION}/{rkey}")
            return view.of_appview(found(self._account.read(answer, "getPosts", APPVIEW)), self._outlet)
        pds = receipt.notes.get("pds", self._service)
        record = self._account.record(pds, did, rkey)
        if record is None:
            return None
        value = record.get("value")
        return view.of_repository(value if isinstance(value, dict) else {}, pds, did)

    def _did(self, handle: str) -> str:
        """Of an account that the address of a page names by its handle, as the application does."""
        base = self._appview or self._service
        answer = self._http.read(f"{base}/xrpc/com.atproto.identity.resolveHandle?handle={quote(handle, safe='')}")
        did = found(self._account.read(answer, "resolveHandle")).get("did")
        if not isinstance(did, str):
            raise Misbehaved(f"{self._outlet}: a handle leads to no account")
        return did

    def _posts(self, uri: str) -> Response:
        return self._http.read(f"{self._appview}/xrpc/app.bsky.feed.getPosts?uris={quote(uri, safe='')}")

    def tokens(
        self, parts: Sequence[view.Part], files: Sequence[Asset]
    ) -> tuple[tuple[Token, ...], tuple[Problem, ...]]:
        """The parts with every picture read, and recognised among these files; and what could not be read."""
        candidates = {asset.digest: self._blob(asset.digest) for asset in files}
        seen: list[Token] = []
        problems: list[Problem] = []
        for part in parts:
            if isinstance(part, Token):
                seen.append(part)
                continue
            try:
                answer = self._http.read(part.address)
            except OutletError as error:
                problems.append(Problem("image", f"图片读不到 · the picture cannot be read: {error}", fatal=False))
                continue
            content = answer.body if answer.status == 200 else b""
            seen.append(Token("image", compare.recognise(content, candidates)))
        return tuple(seen), tuple(problems)
