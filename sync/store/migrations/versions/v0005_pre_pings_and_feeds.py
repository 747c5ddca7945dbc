"""who is told of what is public, and feeds that are read"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.store.migrations import guards

revision = "0005_pre"
down_revision = "0004_pre"
branch_labels = None
depends_on = None

PINGED = (
    "EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND subject = 'ping' AND subject_id = NEW.delivery "
    "AND state = NEW.state)"
)
SILENT = (
    "(NEW.state IS DISTINCT FROM OLD.state OR NEW.entry_id IS DISTINCT FROM OLD.entry_id) "
    f"AND NOT (NEW.entry_id > COALESCE(OLD.entry_id, 0) AND {PINGED})"
)
PING = ("delivery", "name", "url", "gone")
READ = "NEW.state IS DISTINCT FROM OLD.state OR NEW.entry_id IS DISTINCT FROM OLD.entry_id"


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.create_table(
        "ping",
        sa.Column("delivery", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["delivery"], ["delivery.id"], name=op.f("fk_ping_delivery")),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_ping_entry_id")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_ping_entry_id")),
        sa.PrimaryKeyConstraint("delivery", "name", name=op.f("pk_ping")),
    )
    op.create_table(
        "feed",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("every_min", sa.Integer(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("outlets", sa.JSON(), nullable=False),
        sa.Column("private_network", sa.Boolean(), nullable=False),
        sa.Column("planner", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("modified", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("mend", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["unit"], ["unit.id"], name=op.f("fk_feed_unit")),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_feed_entry_id")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_feed_entry_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed")),
    )
    op.create_table(
        "feed_entry",
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("release", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("mend", sa.Text(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["feed"], ["feed.name"], name=op.f("fk_feed_entry_feed")),
        sa.ForeignKeyConstraint(["item"], ["item.id"], name=op.f("fk_feed_entry_item")),
        sa.ForeignKeyConstraint(["release"], ["release.id"], name=op.f("fk_feed_entry_release")),
        sa.PrimaryKeyConstraint("feed", "id", name=op.f("pk_feed_entry")),
    )
    op.create_index("ix_feed_entry_content", "feed_entry", ["content"])
    for name in ("ping", "feed"):
        there = sa.text("due_at IS NOT NULL")
        op.create_index(f"ix_{name}_due", name, ["due_at"], sqlite_where=there, postgresql_where=there)
    moved = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in PING)
    for statement in (
        *guards.kept(dialect, "ping", "delivery = NEW.delivery AND name = NEW.name"),
        *guards.refuse(dialect, "move", "ping", "UPDATE", SILENT, "a ping moves only with its log entry"),
        *guards.refuse(dialect, "identity", "ping", "UPDATE", moved, "a ping keeps its identity"),
        *guards.kept(dialect, "feed", "name = NEW.name OR entry_id = NEW.entry_id"),
        *guards.told(dialect, "feed", "name", READ, ("name", "unit", "url", "rule", "planner")),
        *guards.kept(dialect, "feed_entry", "feed = NEW.feed AND id = NEW.id"),
    ):
        op.execute(statement)
