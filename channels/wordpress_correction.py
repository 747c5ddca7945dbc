"""A correction of a public WordPress post: what it is aimed at, and what is left over once it is public.

Its text is staged as a draft of its own and takes the place of the old one in the very post. Nothing at a site keeps
two from editing a post at once (the edit lock is not enforced for the API), so what a colleague wrote there is
noticed and never overwritten unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from channels.wordpress_site import PUBLIC, Site, kept, raw
from sync.contract import OutletError, Prepared, Receipt, Rejected, Stale

GONE = "要更正的文章已不公开 · the post to be corrected is no longer public"
EDITED = (
    "要更正的文章在网站后台被改过；请先在“修订版本”中恢复，或撤回后重新发布 · "
    "the post was edited at the site since it was published: restore its revision there, or withdraw and publish anew"
)


class Corrections:
    def __init__(self, site: Site, outlet: str) -> None:
        self._site, self._outlet = site, outlet

    def aim(self, replaces: Receipt) -> dict[str, str]:
        """What a preparation has to note of the public post. Raises Rejected when it is gone, or was edited since.

        A time alone that moved is no edit: plug-ins save posts, too."""
        post = self._site.post(replaces.ref)
        if post is None or post.get("status") != PUBLIC:
            raise Rejected(f"{self._outlet}: {GONE}")
        modified, known = str(post.get("modified_gmt")), replaces.notes
        if modified != known.get("modified") and kept(post) != known.get("kept", kept(post)):
            raise Rejected(f"{self._outlet}: {EDITED}")
        return {"replaces": replaces.ref, "public": modified, "left": files_of(replaces)}

    def change(self, draft: Mapping[str, Any], prepared: Prepared) -> dict[str, object]:
        """What is sent at the instant: all that a reader sees, out of the staged draft, and neither status nor date.

        Raises Stale when the public post is not the one that was aimed at."""
        post = self._site.post(prepared.notes["replaces"])
        if post is None or post.get("status") != PUBLIC:
            raise Stale(f"{self._outlet}: {GONE}")
        if str(post.get("modified_gmt")) != prepared.notes["public"]:
            raise Stale(f"{self._outlet}: the post to be corrected was touched at the site")
        given: dict[str, object] = {name: raw(draft, name) for name in ("title", "content", "excerpt")}
        return {**given, "featured_media": draft.get("featured_media") or 0}

    def tidied(self, receipt: Receipt, prepared: Prepared) -> Receipt:
        """The staged draft goes, and the files of the edition before, which could still be read where they were.

        What fails is noted and left to the withdrawal: the draft is hidden, and the correction is public either way.
        If we die here, a probe finds the correction, and all of it is left so."""
        drafts, files = [prepared.ref], prepared.notes["left"].split()
        for kind, refs in (("posts", drafts), ("media", files)):
            for ref in list(refs):
                with suppress(OutletError):
                    self._site.remove(kind, ref)
                    refs.remove(ref)
        left = {"drafts": " ".join(drafts), "left": " ".join(files)}
        notes = {name: value for name, value in {**receipt.notes, **left}.items() if value}
        return replace(receipt, notes=notes)


def files_of(receipt: Receipt) -> str:
    """The ids of the files of this edition, and of those before that are still there."""
    return " ".join([*receipt.notes.get("media", "").split(), *receipt.notes.get("left", "").split()])
