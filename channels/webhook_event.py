"""What a webhook receiver is told of an edition: the `data` of each event, and its bytes. Pure.

An event stays below 20 kB. An edition that fits goes whole (`content` is "full", with `html`); a larger
one as `content` "summary": title, summary, canonical address and digest, by which the receiver fetches
the rest. Every event carries item and revision, so that a receiver can ignore what comes late:
the higher revision wins, of one revision the later `timestamp`. `item.updated` changes what is public:
of an item that was withdrawn meanwhile it has to be refused (409).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lxml import etree

from channels import article
from sync.clock import iso
from sync.compare import normal, plain, tokens
from sync.contract import Place, Unsupported
from sync.model import Asset, AssetRole, Edition, Rendition, Token, canonical_bytes, sha256

MOST_BYTES = 20_000  # of a whole body (the standard's recommendation: less)
LEAD = 600  # characters of the body that stand in for a summary
PUBLISHED, UPDATED, WITHDRAWN = "item.published", "item.updated", "item.withdrawn"
STAGED, UNSTAGED, CHECK = "item.staged", "item.unstaged", "outlet.check"
ASSET = "asset:"


def body(kind: str, at: int, data: Mapping[str, Any]) -> bytes:
    """The bytes that are signed and sent. `at`: instant of the event, microseconds UTC."""
    event = {"type": kind, "timestamp": iso(at), "data": data}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def rendition(edition: Edition, place: Place, asset_url: str) -> Rendition:
    """The edition as one event. `asset_url`: template of the addresses of files, "" when they have none.

    Raises Unsupported for markup outside the subset, and for what is too large whole and in summary.
    """
    markup, shown = dressed(edition, asset_url), _shown(edition, asset_url)
    if tokens(markup, image=lambda source: _digest_at(edition, source, asset_url)) != shown[1:]:
        raise Unsupported("正文与稿件不一致 · the event would not say what the item says")
    fields = {
        "item": edition.item,
        "revision": str(edition.revision),
        "digest": edition.digest,
        "canonical": place.canonical or "",
        "language": edition.text("language", "zh"),
        "summary": edition.text("summary"),
        "asset_url": asset_url,
        "metadata": canonical_bytes({k: v for k, v in edition.metadata.items() if k != "summary"}).decode(),
        "content": "full",
    }
    whole = Rendition(edition.title, markup, fields, edition.assets, shown)
    if fits(whole):
        return whole
    if place.canonical is None:
        raise Unsupported("正文超过 20 kB，而本次发布没有原文地址可引用 · larger than 20 kB, and no canonical address")
    summary = fields["summary"].strip() or lead(edition)
    shown = (shown[0], *plain(summary))
    short = Rendition(edition.title, "", {**fields, "content": "summary", "summary": summary}, edition.assets, shown)
    if not fits(short):
        raise Unsupported("连摘要在内的信息也超过 20 kB · larger than 20 kB even as a summary")
    return short


def fits(made: Rendition) -> bool:
    return all(len(body(PUBLISHED, 0, data(made, was))) < MOST_BYTES for was in ("", made.fields["revision"]))


def data(made: Rendition, replaces: str = "") -> dict[str, Any]:
    """`data` of item.published and item.updated: the full state, or where to fetch it.

    `replaces`: the revision that is public until then, "" when there is none, or it is not known."""
    fields = made.fields
    told = {
        **state(made),
        "replaces": int(replaces) if replaces else None,
        "title": made.title,
        "language": fields["language"],
        "content": fields["content"],
        "summary": fields["summary"],
        "canonical": fields["canonical"] or None,
        "metadata": json.loads(fields["metadata"]),
        "assets": assets(made),
    }
    return {**told, "html": made.content} if fields["content"] == "full" else told


def state(made: Rendition) -> dict[str, Any]:
    """What names an edition: item, revision, and the digest of what was written."""
    fields = made.fields
    return {"item": fields["item"], "revision": int(fields["revision"]), "digest": f"sha256:{fields['digest']}"}


def staged(made: Rendition, release_at: int | None) -> dict[str, Any]:
    """`data` of item.staged: nothing that a reader could read. `release_at`: µs UTC, None: not known yet."""
    planned = None if release_at is None else iso(release_at)
    return {**state(made), "release_at": planned, "assets": assets(made)}


def assets(made: Rendition) -> list[dict[str, Any]]:
    template = made.fields["asset_url"]
    return [
        {
            "name": asset.name,
            "role": asset.role.value,
            "media_type": asset.media_type,
            "size": asset.size,
            "digest": f"sha256:{asset.digest}",
            "alt": asset.alt,
            "url": template.replace("{digest}", asset.digest) if template else None,
        }
        for asset in made.files
    ]


def identity(token: str, kind: str, content: object = "") -> str:
    """The `webhook-id`: the same for one delivery, kind of event and content, for ever; leads to no key."""
    return f"msg_{sha256(canonical_bytes(['webhook-id', token, kind, content]))[:32]}"


def lead(edition: Edition) -> str:
    """Whole paragraphs from the beginning, as many as stay below 600 characters together; perhaps none."""
    taken: list[str] = []
    for token in tokens(edition.body):
        if token.kind == "text" and sum(map(len, taken)) + len(token.value) > LEAD:
            break
        taken += [token.value] if token.kind == "text" else []
    return "\n".join(taken)


def dressed(edition: Edition, asset_url: str) -> str:
    """The body with addresses of files put in. Without addresses pictures are left out, links are only text.

    Raises Unsupported."""
    root = article.parsed(edition.body)
    for element in list(root.iterdescendants("a", "img")):
        name = "href" if element.tag == "a" else "src"
        source = element.get(name, "")
        if not source.startswith(ASSET):
            continue
        asset = article.asset_of(edition, source)
        if asset_url:
            element.set(name, asset_url.replace("{digest}", asset.digest))
        elif element.tag == "a":
            del element.attrib["href"]
        else:
            _drop(element)
    inner = root.text or ""
    escaped = inner.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped + "".join(etree.tostring(child, encoding="unicode", method="html") for child in root)


def left_out(edition: Edition, asset_url: str) -> list[Asset]:
    """Pictures that a reader there will not see."""
    return [] if asset_url else [asset for asset in edition.assets if asset.role is AssetRole.IMAGE]


def _shown(edition: Edition, asset_url: str) -> tuple[Token, ...]:
    """What a reader must see: from the edition, not from what was made of it."""
    found = [Token("title", normal(edition.title))]
    for token in tokens(edition.body, image=lambda source: source):
        digest = token.value.removeprefix(ASSET)
        if not token.value.startswith(ASSET) or token.kind not in ("link", "image"):
            found.append(token)
        elif asset_url:
            found.append(Token(token.kind, asset_url.replace("{digest}", digest) if token.kind == "link" else digest))
    return tuple(found)


def _digest_at(edition: Edition, source: str, asset_url: str) -> str:
    known = {asset_url.replace("{digest}", asset.digest): asset.digest for asset in edition.assets}
    return known.get(source, source)


def _drop(element: etree._Element) -> None:
    """Take an element out and leave the text after it."""
    parent, before, tail = element.getparent(), element.getprevious(), element.tail or ""
    if parent is None:
        return
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    parent.remove(element)
