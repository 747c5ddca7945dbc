"""One letter of a mailing: the same bytes for the same recipient, whoever makes it and whenever. Pure.

Heads are what large mailbox providers ask of bulk mail (fact sheet "others", section 3): List-Id, and one click to
leave (RFC 8058), which the relay has to cover with its DKIM signature. Nothing of the item can add a head:
whatever has a line's end or a control character is levelled before.
"""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import quote

from channels.email_settings import CONTROL, RECIPIENT, Chosen
from sync.model import Key, Rendition, canonical_bytes, sha256
from sync.render import rfc822

UNKNOWN = "?"  # the revision that a correction corrects, when nobody knows it
LEAVE = "%LEAVE%"  # in both texts, where each recipient's own way to leave the list will stand
SUBJECT = 200  # characters; a longer one is cut by mail programs anyway


def message_id(installation: str, item: str, revision: str, recipient: str, host: str) -> str:
    """The same for one edition and recipient for ever, so that a mailbox may know a repetition; leads to nobody."""
    digest = sha256(canonical_bytes(["message-id", installation, item, revision, recipient]))
    return f"<{digest[:40]}@{host}>"


def part_of(key: Key, recipient: str) -> str:
    """What stands for a recipient in the ledger."""
    return sha256(canonical_bytes(["recipient", key.token, recipient]))[:16]


def letter(chosen: Chosen, rendition: Rendition, key: Key, recipient: str, at: int) -> bytes:
    """The whole message. `at`: its date, µs UTC."""
    fields = rendition.fields
    host = chosen.sender.partition("@")[2]
    made = EmailMessage(policy=SMTP)
    made["From"] = Address(chosen.sender_name, addr_spec=chosen.sender)
    made["To"] = Address(addr_spec=recipient)
    made["Subject"] = subject(rendition.title)
    made["Date"] = rfc822(at)
    made["Message-ID"] = message_id(key.installation, fields["item"], fields["revision"], recipient, host)
    if fields["corrects"] not in ("", UNKNOWN):
        made["References"] = message_id(key.installation, fields["item"], fields["corrects"], recipient, host)
    made["Auto-Submitted"] = "auto-generated"
    made["Content-Language"] = fields["language"]
    if not chosen.served:
        _of_a_list(made, chosen, recipient)
    leave = leaving(chosen, recipient)
    made.set_content(fields["text"].replace(LEAVE, leave), cte="base64")
    made.add_alternative(fields["html"].replace(LEAVE, _escaped(leave)), subtype="html", cte="base64")
    made.set_boundary(f"tongfa-{part_of(key, recipient)}-{rendition.digest[:16]}")
    return made.as_bytes()


def leaving(chosen: Chosen, recipient: str) -> str:
    """This recipient's way to leave, "" where a list server tells it."""
    if chosen.unsubscribe_url:
        return chosen.unsubscribe_url.replace(RECIPIENT, quote(recipient, safe=""))
    return f"mailto:{chosen.unsubscribe_mailto}" if chosen.unsubscribe_mailto else ""


def _of_a_list(made: EmailMessage, chosen: Chosen, recipient: str) -> None:
    made["Precedence"] = "bulk"
    if chosen.list_id:
        made["List-Id"] = f"<{chosen.list_id}>"
    ways = [f"<{leaving(chosen, recipient)}>"] if chosen.unsubscribe_url else []
    ways += [f"<mailto:{chosen.unsubscribe_mailto}>"] if chosen.unsubscribe_mailto else []
    if ways:
        made["List-Unsubscribe"] = ", ".join(ways)
    if chosen.unsubscribe_url:
        made["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"


def subject(title: str) -> str:
    """In one line, whatever the title holds."""
    return " ".join(CONTROL.sub(" ", title).split())[:SUBJECT]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
