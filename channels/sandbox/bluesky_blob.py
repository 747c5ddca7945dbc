"""Blobs of the sandbox's PDS, and the pictures that the AppView's CDN makes of them.

An upload is neither looked at nor measured against a lexicon; that happens when a record names it. Until then
nobody can read it, and after minutes it is gone.
"""

from __future__ import annotations

import io

from PIL import Image, ImageOps
from starlette.responses import JSONResponse, Response

from channels.sandbox.bluesky_cid import of_bytes
from channels.sandbox.bluesky_door import Door, Refusal, invalid
from channels.sandbox.bluesky_world import Blob
from channels.sandbox.server import Call, now

BLOB_LIMIT = 5 * 1024 * 1024
UPLOADS = (1000, 86_400)  # of one account, and the seconds they are counted over
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)
SIDES = {"feed_fullsize": 1000, "feed_thumbnail": 1000}  # pixels of the longer side


class BlobCalls:
    def __init__(self, door: Door) -> None:
        self._door, self._world = door, door.world
        door.on("POST", "com.atproto.repo.uploadBlob", self.upload, pds=True)
        door.on("GET", "com.atproto.sync.getBlob", self.blob, pds=True)
        door.sandbox.on("GET", "/img/{size}/plain/{did}/{cid}", self.picture)

    async def upload(self, call: Call) -> Response:
        owner = self._door.owner(call)
        self._door.spend(call, "blob-upload", owner.did, 1, *UPLOADS)
        if len(call.body) > BLOB_LIMIT:
            raise Refusal(413, "PayloadTooLarge", "request entity too large")
        media_type = _sniffed(call.body) or call.request.headers.get("Content-Type", "application/octet-stream")
        blob = Blob(owner.did, of_bytes(call.body), call.body, media_type, now())
        known = self._world.blobs.get((owner.did, blob.cid))
        if known is not None:
            known.at = blob.at
            blob = known
        self._world.keep_blob(blob)
        call.did("blob_uploaded", blob.cid, size=len(blob.content), media_type=media_type)
        ref = {"$link": blob.cid}
        told = {"$type": "blob", "ref": ref, "mimeType": blob.media_type, "size": len(blob.content)}
        return JSONResponse({"blob": told})

    def _public(self, did: str, cid: str) -> Blob | None:
        """A blob that a record names; others are not shown to anybody."""
        return self._world.blobs.get((did, cid)) if cid in self._world.used(did) else None

    def _swapped(self, did: str) -> bool:
        account = self._world.accounts.get(did)
        return account is not None and self._door.holds("swap_picture", account.name)

    async def blob(self, call: Call) -> Response:
        asked = call.request.query_params
        blob = self._public(asked.get("did", ""), asked.get("cid", ""))
        if blob is None:
            raise Refusal(400, "BlobNotFound", "Blob not found")
        content = swapped(blob.content) if self._swapped(blob.did) else blob.content
        return Response(content, media_type=blob.media_type)

    async def picture(self, call: Call) -> Response:
        asked = call.request.path_params
        blob = self._public(asked["did"], asked["cid"].partition("@")[0])
        if blob is None or asked["size"] not in SIDES:
            return Response("could not get blob", 404)
        content = swapped(blob.content) if self._swapped(blob.did) else blob.content
        try:
            return Response(smaller(content, SIDES[asked["size"]]), media_type="image/jpeg")
        except OSError:
            return Response("could not get blob", 404)


def named(door: Door, did: str, refs: list[dict[str, object]]) -> None:
    """The blobs that a record names are there, and are what it says of them. Raises Refusal."""
    for told in refs:
        ref = told.get("ref")
        cid = str(ref.get("$link")) if isinstance(ref, dict) else ""
        blob = door.world.blobs.get((did, cid))
        if blob is None:
            raise Refusal(400, "BlobNotFound", f"Could not find blob: {cid}")
        if told.get("mimeType") != blob.media_type:
            why = f"Expected: {blob.media_type}, Got: {told.get('mimeType')}"
            raise Refusal(400, "InvalidMimeType", f"Referenced Mimetype does not match stored blob. {why}")
        if told.get("size") != len(blob.content):
            raise invalid(f"Referenced Size does not match stored blob. Expected: {len(blob.content)}")


def _sniffed(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for magic, media_type in MAGIC if content.startswith(magic)), "")


def smaller(content: bytes, side: int) -> bytes:
    """The picture as the CDN serves it: JPEG, upright, on white, at most so large. Raises OSError."""
    with Image.open(io.BytesIO(content)) as opened:
        whole = ImageOps.exif_transpose(opened).convert("RGBA")
    ground = Image.new("RGBA", whole.size, "white")
    picture = Image.alpha_composite(ground, whole).convert("RGB")
    picture.thumbnail((side, side))
    made = io.BytesIO()
    picture.save(made, "JPEG", quality=85)
    return made.getvalue()


def swapped(content: bytes) -> bytes:
    """Another picture of the same size and kind."""
    with Image.open(io.BytesIO(content)) as picture:
        other = io.BytesIO()
        ImageOps.invert(picture.convert("RGB")).save(other, picture.format)
    return other.getvalue()
