"""Repositories of the sandbox's PDS: records created, put, deleted, read, listed; several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from channels.sandbox.bluesky_blob import named
from channels.sandbox.bluesky_cid import of_record
from channels.sandbox.bluesky_door import Door, Refusal, given, invalid
from channels.sandbox.bluesky_lexicon import IMAGE_LIMIT, POST, Invalid, blobs, check
from channels.sandbox.bluesky_world import Account, Record
from channels.sandbox.server import Call, now

CREATE, PUT, DELETE = 3, 2, 1  # points
MOST_WRITES, PAGE, MOST_LISTED = 200, 50, 100


@dataclass
class Write:
    """One change of a repository; `record` None: a deletion."""

    uri: str
    record: Record | None
    status: str = ""


class RecordCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("POST", "com.atproto.repo.createRecord", self.create, pds=True)
        door.on("POST", "com.atproto.repo.putRecord", self.put, pds=True)
        door.on("POST", "com.atproto.repo.deleteRecord", self.delete, pds=True)
        door.on("POST", "com.atproto.repo.applyWrites", self.apply, pds=True)
        door.on("GET", "com.atproto.repo.getRecord", self.show, pds=True)
        door.on("GET", "com.atproto.repo.listRecords", self.list, pds=True)

    async def create(self, call: Call) -> Response:
        """With a key that is taken: an internal error, as on the reference PDS (2026-03)."""
        told = given(call)
        owner = self._owner(call, told, CREATE)
        write = self._written(call, owner, told, told.get("record"), str(told.get("rkey") or ""))
        self._refuse_taken(write)
        return self._answer(write, self._commit(call, owner, [write]))

    async def put(self, call: Call) -> Response:
        """`swapRecord`: the CID that has to be there, null: none may be. The same record again changes nothing."""
        told = given(call)
        owner = self._owner(call, told, PUT)
        if not told.get("rkey"):
            raise invalid('Input must have the property "rkey"')
        write = self._written(call, owner, told, told.get("record"), str(told["rkey"]))
        before = self._world.records.get(write.uri)
        if before is not None and write.record is not None and before.cid == write.record.cid:
            call.detail["replayed"] = True
            return self._answer(write, None)
        self._swap(told, before)
        return self._answer(write, self._commit(call, owner, [write]))

    async def delete(self, call: Call) -> Response:
        """Of what is not there: 200 as well, without a commit."""
        told = given(call)
        owner = self._owner(call, told, DELETE)
        uri = _uri(owner.did, told.get("collection"), told.get("rkey"))
        before = self._world.records.get(uri)
        if before is None:
            return JSONResponse({})
        self._swap(told, before)
        return JSONResponse({"commit": self._commit(call, owner, [Write(uri, None)])})

    async def apply(self, call: Call) -> Response:
        """All of the writes, or none."""
        told = given(call)
        asked = told.get("writes") or []
        if not isinstance(asked, list) or len(asked) > MOST_WRITES:
            raise invalid(f"Too many writes. Max: {MOST_WRITES}")
        kinds = [str(one.get("$type")).rpartition("#")[2] for one in asked]
        points = {"create": CREATE, "update": PUT, "delete": DELETE}
        if any(kind not in points for kind in kinds):
            raise invalid("Action not supported")
        owner = self._owner(call, told, sum(points[kind] for kind in kinds))
        writes = []
        for kind, one in zip(kinds, asked, strict=True):
            if kind == "delete":
                writes.append(Write(_uri(owner.did, one.get("collection"), one.get("rkey")), None))
                continue
            write = self._written(call, owner, one, one.get("value"), str(one.get("rkey") or ""))
            if kind == "create":
                self._refuse_taken(write)
            writes.append(write)
        commit = self._commit(call, owner, writes)
        results = [
            {"$type": f"com.atproto.repo.applyWrites#{kind}Result", **self._told(write)}
            for kind, write in zip(kinds, writes, strict=True)
        ]
        return JSONResponse({"commit": commit, "results": results})

    def _owner(self, call: Call, told: dict[str, Any], points: int) -> Account:
        """Whose repository it is, which only its owner may change. Raises Refusal."""
        owner = self._door.write(call, points)
        if str(told.get("repo", "")).lower() not in (owner.did, owner.handle):
            raise Refusal(401, "AuthenticationRequired", "Authentication Required")
        return owner

    def _written(self, call: Call, owner: Account, told: dict[str, Any], value: Any, rkey: str) -> Write:
        """The record that would be written. Raises Refusal."""
        collection, rkey = str(told.get("collection", "")), rkey or self._world.new_tid(now())
        if isinstance(value, dict):
            value = {"$type": collection, **value}
        limits = self._door.sandbox.knobs.standing("old_lexicon", call.account)
        try:
            status = check(collection, rkey, value, 1_000_000 if limits else IMAGE_LIMIT)
            cid = of_record(value)
        except (Invalid, ValueError) as wrong:
            raise invalid(str(wrong)) from None
        named(self._door, owner.did, blobs(value))
        uri = _uri(owner.did, collection, rkey)
        return Write(uri, Record(uri, cid, value), status)

    def _refuse_taken(self, write: Write) -> None:
        if write.uri in self._world.records:
            raise Refusal(500, "InternalServerError", "Internal Server Error")

    def _swap(self, told: dict[str, Any], before: Record | None) -> None:
        if "swapRecord" in told and told["swapRecord"] != (before.cid if before else None):
            raise Refusal(400, "InvalidSwap", f"Record was at {before.cid if before else 'null'}")

    def _commit(self, call: Call, owner: Account, writes: Sequence[Write]) -> dict[str, str]:
        effects = []
        for write in writes:
            there = write.uri in self._world.records
            if write.record is None:
                self._world.drop(write.uri, now())
            else:
                self._world.put(write.record, now())
            what = "post" if f"/{POST}/" in write.uri else "record"
            effects.append(f"{what}_{'deleted' if write.record is None else 'edited' if there else 'created'}")
        values = [write.record.value if write.record else {} for write in writes]
        texts = [str(value.get("text", "")) for value in values]
        call.did(" ".join(effects), " ".join(write.uri for write in writes), text="\n".join(texts))
        rev = self._world.new_tid(now())
        return {"cid": of_record({"did": owner.did, "rev": rev}), "rev": rev}

    def _told(self, write: Write) -> dict[str, str]:
        if write.record is None:
            return {}
        return {"uri": write.uri, "cid": write.record.cid, "validationStatus": write.status}

    def _answer(self, write: Write, commit: dict[str, str] | None) -> Response:
        return JSONResponse({**self._told(write), **({"commit": commit} if commit else {})})

    # reading, without credentials

    def _repo(self, call: Call) -> Account:
        repo = call.request.query_params.get("repo", "")
        account = self._world.known(repo)
        if account is None:
            raise invalid(f"Could not find repo: {repo}")
        return account

    async def show(self, call: Call) -> Response:
        owner, asked = self._repo(call), call.request.query_params
        uri = _uri(owner.did, asked.get("collection"), asked.get("rkey"))
        record = self._world.records.get(uri)
        if record is None or asked.get("cid", record.cid) != record.cid:
            raise Refusal(400, "RecordNotFound", f"Could not locate record: {uri}")
        return JSONResponse(self._shown(call, owner, record))

    async def list(self, call: Call) -> Response:
        """Newest key first, `reverse` the other way; the cursor is the last key, and excludes itself."""
        owner, asked = self._repo(call), call.request.query_params
        limit, cursor, reverse = int(asked.get("limit", PAGE)), asked.get("cursor"), asked.get("reverse") == "true"
        if not 1 <= limit <= MOST_LISTED:
            raise invalid(f"limit can not be greater than {MOST_LISTED}")
        found = self._world.of(owner.did, asked.get("collection", ""))
        if not reverse:
            found.reverse()
        if cursor:
            found = [one for one in found if (_key(one) > cursor if reverse else _key(one) < cursor)]
        page = found[:limit]
        answer: dict[str, Any] = {"records": [self._shown(call, owner, one) for one in page]}
        return JSONResponse({**answer, **({"cursor": _key(page[-1])} if page else {})})

    def _shown(self, call: Call, owner: Account, record: Record) -> dict[str, Any]:
        """As the owner sees it; to others, as the knobs have it."""
        value = record.value if call.account else altered(self._door, owner.name, record.value)
        return {"uri": record.uri, "cid": record.cid, "value": value}


def altered(door: Door, account: str, value: dict[str, Any]) -> dict[str, Any]:
    """What the public sees of a record."""
    for knob in door.sandbox.knobs.standing("alter", account):
        before, after = knob.parameters["replace"]
        value = _replaced(value, before, after)
    if door.holds("dead_links", account):
        value = {name: part for name, part in value.items() if name != "facets"}
    return value


def _replaced(value: Any, before: str, after: str) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(part, before, after) for name, part in value.items()}
    if isinstance(value, list):
        return [_replaced(part, before, after) for part in value]
    return value.replace(before, after) if isinstance(value, str) else value


def _key(record: Record) -> str:
    return record.uri.rpartition("/")[2]


def _uri(did: str, collection: object, rkey: object) -> str:
    return f"at://{did}/{collection}/{rkey}"
