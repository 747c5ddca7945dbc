"""A PDS and an AppView as far as a publisher meets them. Facts: the fact sheet on Bluesky, sections 1 to 9.

`sandbox-NAME` is a valid app password of the account NAME.test (or any other handle that begins with NAME), which
exists from its first use. Settings (knobs):

    expire            the access token of the next call has expired
    expire_refresh    the refresh token of the next refresh is past its grace
    access_ttl, grace `seconds`: lives of access tokens, and of refresh tokens that were used
    revoke            the app password was taken back: no new session, no refresh
    two_factor        a session needs a code from an e-mail
    deactivated       the account is deactivated: it can log in, and not write
    entryway          repositories are not here but at `localhost`, as the account's DID document says
    blob_ttl          `seconds` after which a blob that nothing names is gone
    old_lexicon       pictures of at most 1,000,000 bytes, as before 2026
    no_appview        there is no AppView: `app.bsky.*` answers 400
    lag               what happened appears in the AppView after `seconds`
    takedown          the AppView leaves the account's posts out, the repository does not
    label             the AppView puts a label with the value `val` on the account's posts
    members_only      the account asks not to be shown to people who are not logged in
    alter             the public sees `replace[1]` where the record has `replace[0]`
    swap_picture      the public sees other pictures
    dead_links        the public sees the text without its facets
    unlimited         no rate limits (they are counted all the same)
"""

from __future__ import annotations

import sys

from channels.sandbox.bluesky_blob import BlobCalls
from channels.sandbox.bluesky_door import Door
from channels.sandbox.bluesky_record import RecordCalls
from channels.sandbox.bluesky_session import SessionCalls
from channels.sandbox.bluesky_view import ViewCalls
from channels.sandbox.server import Sandbox, serve


def build(sandbox: Sandbox) -> None:
    """Everything a PDS with an AppView needs to be."""
    door = Door(sandbox)
    SessionCalls(door)
    BlobCalls(door)
    RecordCalls(door)
    ViewCalls(door)


if __name__ == "__main__":
    serve(build, sys.argv[1:])
