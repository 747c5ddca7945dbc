"""What a PDS checks in a record before it writes it: the lexicon of posts, and the form of its key.

Source: lexicons `app.bsky.feed.post`, `app.bsky.richtext.facet`, `app.bsky.embed.*` (2026). Offsets of facets are
only integers to it: one that points beside the text is taken, and shows nothing. Records of other collections
are taken as they are, as a PDS does with a lexicon that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from channels.sandbox.bluesky_text import graphemes

POST = "app.bsky.feed.post"
IMAGES, CARD = "app.bsky.embed.images", "app.bsky.embed.external"
FACET = "app.bsky.richtext.facet"
TID = re.compile(r"[234567a-j][234567a-z]{12}")
KEY = re.compile(r"(?!\.\.?$)[A-Za-z0-9_~.:-]{1,512}")
URI = re.compile(r"\w+:(?://)?[^\s/]\S*")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,20})?(Z|[+-]\d\d:\d\d)")
IMAGE_LIMIT, THUMB_LIMIT = 2_000_000, 1_000_000


class Invalid(Exception):
    """Why the record is not taken, with the path of the part that is wrong."""


def check(collection: str, rkey: str, record: Any, image_limit: int = IMAGE_LIMIT) -> str:
    """The validation status of the record. Raises Invalid."""
    if not KEY.fullmatch(rkey):
        raise Invalid("Invalid record key")
    if not isinstance(record, dict) or record.get("$type") != collection:
        told = record.get("$type") if isinstance(record, dict) else record
        raise Invalid(f"Invalid $type: expected {collection}, got {told}")
    if any(isinstance(value, float) for value in _values(record)):
        raise Invalid(f"Invalid {collection} record: Record must not have floats")
    if collection != POST:
        return "unknown"
    if not TID.fullmatch(rkey):
        raise Invalid(f"Invalid record key for {collection}: not a TID")
    try:
        _post(record, image_limit)
    except Invalid as wrong:
        raise Invalid(f"Invalid {collection} record: {wrong}") from None
    return "valid"


def blobs(record: Any) -> list[dict[str, Any]]:
    """Every blob that the record names, wherever it stands."""
    return [value for value in _values(record) if isinstance(value, dict) and value.get("$type") == "blob"]


def _values(value: Any) -> Iterator[Any]:
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _values(part)


def _post(record: dict[str, Any], image_limit: int) -> None:
    _text(record, "text", "Record", 3000, 300)
    if not MOMENT.fullmatch(_text(record, "createdAt", "Record")):
        raise Invalid("Record/createdAt must be an valid atproto datetime (both RFC-3339 and ISO-8601)")
    for language in _list(record, "langs", "Record", 3):
        if not isinstance(language, str) or not LANGUAGE.fullmatch(language):
            raise Invalid("Record/langs/0 must be a well-formed BCP 47 language tag")
    for at, tag in enumerate(_list(record, "tags", "Record", 8)):
        _text({str(at): tag}, str(at), "Record/tags", 640, 64)
    for at, facet in enumerate(_list(record, "facets", "Record")):
        _facet(facet, f"Record/facets/{at}")
    if "embed" in record:
        _embed(record["embed"], "Record/embed", image_limit)


def _facet(facet: Any, path: str) -> None:
    index = _object(_object(facet, path).get("index"), f"{path}/index")
    for name in ("byteStart", "byteEnd"):
        _number(index, name, f"{path}/index", 0)
    if "features" not in facet:
        raise Invalid(f'{path} must have the property "features"')
    for at, feature in enumerate(_list(facet, "features", path)):
        there = f"{path}/features/{at}"
        match _object(feature, there).get("$type"):
            case "app.bsky.richtext.facet#link":
                _uri(feature, "uri", there)
            case "app.bsky.richtext.facet#tag":
                _text(feature, "tag", there, 640, 64)
            case "app.bsky.richtext.facet#mention":
                if not _text(feature, "did", there).startswith("did:"):
                    raise Invalid(f"{there}/did must be a valid did")


def _embed(embed: Any, path: str, image_limit: int) -> None:
    match _object(embed, path).get("$type"):
        case "app.bsky.embed.images":
            if "images" not in embed:
                raise Invalid(f'{path} must have the property "images"')
            for at, image in enumerate(_list(embed, "images", path, 4)):
                there = f"{path}/images/{at}"
                _blob(_object(image, there), "image", there, image_limit)
                _text(image, "alt", there)
                if "aspectRatio" in image:
                    ratio = _object(image["aspectRatio"], f"{there}/aspectRatio")
                    for name in ("width", "height"):
                        _number(ratio, name, f"{there}/aspectRatio", 1)
        case "app.bsky.embed.external":
            card, there = _object(embed.get("external"), f"{path}/external"), f"{path}/external"
            _uri(card, "uri", there)
            _text(card, "title", there)
            _text(card, "description", there)
            if "thumb" in card:
                _blob(card, "thumb", there, THUMB_LIMIT)


def _blob(holder: dict[str, Any], name: str, path: str, most: int) -> None:
    blob = _object(holder.get(name), f"{path}/{name}")
    ref = blob.get("ref")
    known = blob.get("$type") == "blob" and isinstance(ref, dict) and isinstance(ref.get("$link"), str)
    if not known or not isinstance(blob.get("mimeType"), str) or not isinstance(blob.get("size"), int):
        raise Invalid(f"{path}/{name} should be a blob ref")
    if not blob["mimeType"].startswith("image/"):
        raise Invalid(f"{path}/{name} has a mime type that is not accepted (image/*): {blob['mimeType']}")
    if blob["size"] > most:
        raise Invalid(f"{path}/{name} is too large: {blob['size']} bytes, at most {most}")


def _text(holder: dict[str, Any], name: str, path: str, most_bytes: int = 0, most: int = 0) -> str:
    if name not in holder:
        raise Invalid(f'{path} must have the property "{name}"')
    text = holder[name]
    if not isinstance(text, str):
        raise Invalid(f"{path}/{name} must be a string")
    if most_bytes and len(text.encode()) > most_bytes:
        raise Invalid(f"{path}/{name} must not be longer than {most_bytes} characters")
    if most and graphemes(text) > most:
        raise Invalid(f"{path}/{name} must not be longer than {most} graphemes")
    return text


def _uri(holder: dict[str, Any], name: str, path: str) -> None:
    if not URI.fullmatch(_text(holder, name, path)):
        raise Invalid(f"{path}/{name} must be a uri")


def _number(holder: dict[str, Any], name: str, path: str, least: int) -> None:
    number = holder.get(name)
    if not isinstance(number, int) or isinstance(number, bool):
        raise Invalid(f"{path}/{name} must be an integer")
    if number < least:
        raise Invalid(f"{path}/{name} can not be less than {least}")


def _list(holder: dict[str, Any], name: str, path: str, most: int = 0) -> list[Any]:
    values = holder.get(name, [])
    if not isinstance(values, list):
        raise Invalid(f"{path}/{name} must be an array")
    if most and len(values) > most:
        raise Invalid(f"{path}/{name} must not have more than {most} elements")
    return values


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{path} must be an object")
    return value
