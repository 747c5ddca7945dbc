"""The tables. Instants are integers, µs UTC; ids are random hexadecimal text.

The rules that protect them (append-only tables, no move without its log entry) are triggers of the
first migration. `SCHEMA` is the migration this code was written for.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA = "0006_pre"
FORM = 1  # of releases and deliveries; more when an older program would do the wrong thing with them

Record: TypeAlias = Row[*tuple[Any, ...]]  # one row, its columns as attributes

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite hands out ever-growing ids only for the type INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")

installation = Table(
    "installation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# Programs of a form below the greatest of these may not work on this database; `post` migrations add them.
required_form = Table("required_form", metadata, Column("form", Integer, primary_key=True, autoincrement=False))

# Who runs it, newest row: a home with its SQLite file, or a database of a server (`sync.engine.identity`).
adoption = Table(
    "adoption",
    metadata,
    Column("entry_id", BigInteger, ForeignKey("entry.id"), primary_key=True),
    Column("installation", Text, ForeignKey("installation.id"), nullable=False),
    Column("host", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

unit = Table(
    "unit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("review", Text, nullable=False),  # none, three
    Column("set_by", Text),  # who changed it last, and the second administrator where two are needed
    Column("seconded_by", Text),
    Column("entry_id", BigInteger),  # no foreign key: an entry belongs to a unit, and the first unit has none yet
)

person = Table(
    "person",
    metadata,
    Column("name", Text, primary_key=True),
    Column("full_name", Text, nullable=False),
    Column("unit", Text, ForeignKey("unit.id"), nullable=False),
    Column("editor", Boolean, nullable=False),
    Column("reviewer", Boolean, nullable=False),
    Column("publisher", Boolean, nullable=False),
    Column("admin", Boolean, nullable=False),
    Column("auditor", Boolean, nullable=False),
    Column("state", Text, nullable=False),  # active, disabled
    Column("created_at", BigInteger, nullable=False),
    Column("entry_id", BigInteger, ForeignKey("entry.id"), nullable=False, unique=True),
)

entry = Table(
    "entry",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("unit", Text, ForeignKey("unit.id"), nullable=False),
    Column("subject", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("state", Text),
    Column("actor", Text, nullable=False),
    Column("item", Text),
    Column("outlet", Text),
    Column("detail", JSON, nullable=False),
    Index("ix_entry_subject", "subject", "subject_id", "id"),
    Index("ix_entry_item", "item", "id"),
    Index("ix_entry_outlet", "outlet", "id"),
    sqlite_autoincrement=True,
)

item = Table(
    "item",
    metadata,
    Column("id", Text, primary_key=True),
    Column("unit", Text, ForeignKey("unit.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("entry_id", BigInteger, ForeignKey("entry.id"), nullable=False, unique=True),
)

edition = Table(
    "edition",
    metadata,
    Column("item", Text, ForeignKey("item.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", Text, nullable=False, index=True),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("assets", JSON, nullable=False),
    Column("routing", JSON, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("item", "revision"),
)

asset = Table(
    "asset",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

asset_content = Table(
    "asset_content",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

# The living processes of all hosts, with PostgreSQL; on SQLite they are files.
process = Table(
    "process",
    metadata,
    Column("name", Text, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
)

outlet = Table(
    "outlet",
    metadata,
    Column("name", Text, primary_key=True),
    Column("unit", Text, ForeignKey("unit.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("secrets", JSON, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("required", Boolean, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("private_network", Boolean, nullable=False),
    Column("state", Text, nullable=False),  # active, paused, retired
    Column("generation", Integer, nullable=False),
    Column("entry_id", BigInteger, ForeignKey("entry.id"), nullable=False, unique=True),
)

# What an outlet gave in exchange for its credentials, sealed; a sandbox twin's is kept apart from the live one's.
outlet_token = Table(
    "outlet_token",
    metadata,
    Column("outlet", Text, ForeignKey("outlet.name"), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("generation", Integer, nullable=False),  # of the outlet when it was gained: of another one it is void
    Column("sealed", Text),  # empty until the first was gained
    Column("gained_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("owner", Text),  # the process that is renewing it
    Column("epoch", Integer, nullable=False),  # of renewals
    Column("failure", JSON),  # of the last renewal: what it raised and when; it is not tried again at once
    PrimaryKeyConstraint("outlet", "live", "name"),
)

# What was spent of an outlet's budgets, by all processes (`sync.budget`).
outlet_budget = Table(
    "outlet_budget",
    metadata,
    Column("outlet", Text, ForeignKey("outlet.name"), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("name", Text, nullable=False),
    Column("ledger", JSON, nullable=False),
    PrimaryKeyConstraint("outlet", "live", "name"),
)

# How long an outlet has asked to be left alone, and by which calls.
outlet_hold = Table(
    "outlet_hold",
    metadata,
    Column("outlet", Text, ForeignKey("outlet.name"), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("calls", Text, nullable=False),  # as `Budget.of`; "": all but anonymous reads
    Column("until", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    PrimaryKeyConstraint("outlet", "live", "calls"),
)

# Outlets that failed of late (`sync.breaker`). While it is open, nothing but a look goes there.
breaker = Table(
    "breaker",
    metadata,
    Column("outlet", Text, ForeignKey("outlet.name"), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("generation", Integer, nullable=False),  # of the outlet: a change of it closes the breaker
    Column("state", Text, nullable=False),  # closed, open
    Column("since", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("recent", JSON, nullable=False),
    Column("looks", Integer, nullable=False),  # that failed since it opened
    Column("half_open_at", BigInteger),  # when somebody looks whether the outlet is back
    Column("why", Text, nullable=False),
    Column("entry_id", BigInteger, ForeignKey("entry.id"), unique=True),
    PrimaryKeyConstraint("outlet", "live"),
)

# When the credentials of an outlet end, as it was learnt at the last daily look.
outlet_expiry = Table(
    "outlet_expiry",
    metadata,
    Column("outlet", Text, ForeignKey("outlet.name"), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("expires_at", BigInteger),
    Column("look_at", BigInteger, nullable=False),  # the next look
    Column("warned", Text, nullable=False),  # how urgently people were told: "", soon, now
    PrimaryKeyConstraint("outlet", "live"),
)

release = Table(
    "release",
    metadata,
    Column("id", Text, primary_key=True),
    Column("unit", Text, ForeignKey("unit.id"), nullable=False),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("align", Text, nullable=False),
    Column("release_at", BigInteger),  # empty: `now`, set at the commit
    Column("overdue_at", BigInteger),  # open or ready after this: held
    Column("canonical_outlet", Text),
    Column("reviewed", Boolean, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("request_id", Text, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("committed_at", BigInteger),
    Column("why", Text, nullable=False),  # of a hold, for the person who resumes it
    Column("evidence", JSON, nullable=False),
    Column("reason", Text, nullable=False),  # of a withdrawal
    Column("review", Text, nullable=False, default="none"),  # its unit's rule when it was planned
    Column("planner", Text, nullable=False, default=""),  # the person who planned it; "": nobody was named
    Column("round", Integer, nullable=False, default=1),  # approvals of an earlier one are void
    Column("digest", Text),  # what is approved; empty while anything is still to be rendered
    Column("parts", JSON),  # what the digest is over
    Column("form", Integer, nullable=False, server_default="1"),  # `FORM` of the program that planned it
    Column("entry_id", BigInteger, ForeignKey("entry.id"), nullable=False, unique=True),
    Index("ix_release_overdue", "overdue_at"),
)

release_item = Table(
    "release_item",
    metadata,
    Column("release", Text, ForeignKey("release.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("item", Text, ForeignKey("item.id"), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    PrimaryKeyConstraint("release", "position"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", Text, primary_key=True),
    Column("release", Text, ForeignKey("release.id"), nullable=False, index=True),
    Column("outlet", Text, ForeignKey("outlet.name"), nullable=False),
    Column("item", Text, ForeignKey("item.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("unit", Text, ForeignKey("unit.id"), nullable=False),
    Column("required", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner", Text),
    Column("attempts", Integer, nullable=False),
    Column("duty", Text),  # what is due: prepare, release, reconcile, verify, discard, withdraw
    Column("due_at", BigInteger),
    Column("fire_at", BigInteger),
    Column("quarantine_until", BigInteger),
    Column("generation", Integer, nullable=False),
    Column("canonical_url", Text),
    Column("rendition", JSON),
    Column("prepared", JSON),
    Column("accepted", JSON),
    Column("receipt", JSON),
    Column("sent_at", BigInteger),
    Column("released_at", BigInteger),
    Column("visible_at", BigInteger),
    Column("visible_after", BigInteger),
    Column("reads", Integer, nullable=False),
    Column("match", Boolean),
    Column("problems", JSON, nullable=False),
    Column("worker", Text),
    Column("replaces", JSON),  # receipt of the copy that a correction changes, or a withdrawal removes
    Column("replaces_copy", Text, ForeignKey("delivery.id")),  # a copy has the id of the delivery that made it
    Column("stopped", Boolean, nullable=False),  # withdrawn or overtaken before it went out: never released
    Column("armed_at", BigInteger),  # its owner has everything ready for the instant
    Column("ahead", BigInteger, nullable=False),  # µs by which it starts before release_at, to be seen with the others
    Column("form", Integer, nullable=False, server_default="1"),  # as its release's
    Column("entry_id", BigInteger, ForeignKey("entry.id"), nullable=False, unique=True),
    UniqueConstraint("release", "outlet", "item"),
    Index("ix_delivery_item", "item", "outlet"),
    Index("ix_delivery_state", "state", "id"),
)
for _name, _column in (("ix_delivery_due", delivery.c.due_at), ("ix_delivery_owner", delivery.c.owner)):
    Index(_name, _column, sqlite_where=_column.is_not(None), postgresql_where=_column.is_not(None))

approval = Table(
    "approval",
    metadata,
    Column("id", Text, primary_key=True),
    Column("release", Text, ForeignKey("release.id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("approver", Text, ForeignKey("person.name"), nullable=False),
    Column("digest", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("identified", Text, nullable=False),  # how we know who it was
    Column("entry_id", BigInteger, ForeignKey("entry.id"), nullable=False, unique=True),
    UniqueConstraint("release", "round", "stage", name="uq_approval_stage"),
    UniqueConstraint("release", "round", "approver", name="uq_approval_approver"),
)

copy = Table(
    "copy",
    metadata,
    Column("id", Text, ForeignKey("delivery.id"), primary_key=True),  # of the delivery that made it public
    Column("unit", Text, ForeignKey("unit.id"), nullable=False),
    Column("item", Text, ForeignKey("item.id"), nullable=False),
    Column("outlet", Text, ForeignKey("outlet.name"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),  # live, altered, missing, superseded, removed
    Column("since", BigInteger, nullable=False),
    Column("ref", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("receipt", JSON, nullable=False),
    Column("superseded_by", Text, ForeignKey("copy.id")),
    Column("entry_id", BigInteger, ForeignKey("entry.id"), nullable=False, unique=True),
    Index("ix_copy_item", "item", "outlet"),
    Index("ix_copy_state", "state", "outlet"),
)

# After a restore or an adoption: until every look of it has found something, nothing is sent.
recovery = Table(
    "recovery",
    metadata,
    Column("id", Text, primary_key=True),
    Column("why", Text, nullable=False),  # restored, adopted
    Column("state", Text, nullable=False),  # looking, ended, overtaken by a later one
    Column("begun_at", BigInteger, nullable=False),
    Column("backup", JSON, nullable=False),  # of a restore: when it was taken, and of how many entries
    Column("entry_id", BigInteger, ForeignKey("entry.id"), nullable=False, unique=True),
    Index("ix_recovery_state", "state"),
)

look = Table(
    "look",
    metadata,
    Column("recovery", Text, ForeignKey("recovery.id"), nullable=False),
    Column("subject", Text, nullable=False),  # delivery, or copy: of that delivery
    Column("delivery", Text, ForeignKey("delivery.id"), nullable=False),
    Column("outlet", Text, ForeignKey("outlet.name"), nullable=False),
    Column("known", BigInteger, nullable=False),  # the subject's entry when it began: a later one is a person's
    Column("due_at", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("looked_at", BigInteger),
    Column("found", Text),  # empty: not looked up yet
    Column("why", Text, nullable=False),
    PrimaryKeyConstraint("recovery", "subject", "delivery"),
)
Index(
    "ix_look_due", look.c.due_at, sqlite_where=look.c.due_at.is_not(None), postgresql_where=look.c.due_at.is_not(None)
)

# Whom to tell of what a delivery made public or removed, after it: see `sync.engine.announce`.
ping = Table(
    "ping",
    metadata,
    Column("delivery", Text, ForeignKey("delivery.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("gone", Boolean, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("due_at", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("state", Text, nullable=False),  # waiting, pinged, ping_failed
    Column("why", Text, nullable=False),
    Column("entry_id", BigInteger, ForeignKey("entry.id"), unique=True),  # empty while it waits
    PrimaryKeyConstraint("delivery", "name"),
)

# What anonymous readers were given, whenever that changed: see `sync.store.readings`.
reading = Table(
    "reading",
    metadata,
    Column("delivery", Text, ForeignKey("delivery.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("level", Text, nullable=False),  # exact, text-equal, altered, missing, taken-down
    Column("captures", JSON, nullable=False),  # url, status, media_type, size, digest, kept
    Column("problems", JSON, nullable=False),
    Column("reader", Text, nullable=False),
    PrimaryKeyConstraint("delivery", "number"),
)

# Feeds that are read, and what became of each of their entries: see `sync.engine.feeds`.
feed = Table(
    "feed",
    metadata,
    Column("name", Text, primary_key=True),
    Column("unit", Text, ForeignKey("unit.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("every_min", Integer, nullable=False),
    Column("rule", Text, nullable=False),  # draft, review
    Column("outlets", JSON, nullable=False),
    Column("private_network", Boolean, nullable=False),
    Column("planner", Text, nullable=False),  # the person who added it; "": nobody was named
    Column("state", Text, nullable=False),  # active, gone, retired
    Column("title", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("modified", Text, nullable=False),
    Column("due_at", BigInteger),
    Column("asked_at", BigInteger),
    Column("read_at", BigInteger),  # when it was last read whole, or was unchanged
    Column("failures", Integer, nullable=False),  # in a row
    Column("why", Text, nullable=False),
    Column("mend", Text, nullable=False),
    Column("entry_id", BigInteger, ForeignKey("entry.id"), nullable=False, unique=True),
)

feed_entry = Table(
    "feed_entry",
    metadata,
    Column("feed", Text, ForeignKey("feed.name"), nullable=False),
    Column("id", Text, nullable=False),  # SHA-256 of the id that the feed gives it
    Column("said", Text, nullable=False),  # digest of all that the feed said of it
    Column("content", Text),  # digest of what a reader of the item would find; empty of what was refused
    Column("title", Text, nullable=False),
    Column("link", Text, nullable=False),
    Column("item", Text, ForeignKey("item.id")),
    Column("revision", Integer),
    Column("release", Text, ForeignKey("release.id")),  # under review
    Column("state", Text, nullable=False),  # taken, known, refused
    Column("why", Text, nullable=False),
    Column("mend", Text, nullable=False),
    Column("read_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("feed", "id"),
    Index("ix_feed_entry_content", "content"),
)
for _name, _column in (("ix_ping_due", ping.c.due_at), ("ix_feed_due", feed.c.due_at)):
    Index(_name, _column, sqlite_where=_column.is_not(None), postgresql_where=_column.is_not(None))
