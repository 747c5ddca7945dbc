"""public copies, corrections, withdrawals and reviews; what several hosts share"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.store.migrations import guards, review

revision = "0002_pre"
down_revision = "0001_pre"
branch_labels = None
depends_on = None

COPY_MOVED = "NEW.state IS DISTINCT FROM OLD.state OR NEW.entry_id IS DISTINCT FROM OLD.entry_id"

RECOVERY_MOVED = "NEW.state IS DISTINCT FROM OLD.state OR NEW.entry_id IS DISTINCT FROM OLD.entry_id"
UNLOOKED = "NEW.state = 'ended' AND EXISTS (SELECT 1 FROM look l WHERE l.recovery = NEW.id AND l.found IS NULL)"
UNFOUND = (
    "(OLD.found IS NOT NULL AND NEW.found IS DISTINCT FROM OLD.found) OR NEW.recovery IS DISTINCT FROM OLD.recovery "
    "OR NEW.subject IS DISTINCT FROM OLD.subject OR NEW.delivery IS DISTINCT FROM OLD.delivery"
)
ADOPTED = (
    "EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND subject = 'installation' "
    "AND subject_id = NEW.installation AND act = 'adopted')"
)


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.create_table(
        "asset_content",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_asset_content")),
    )
    op.create_table(
        "process",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_process")),
    )
    op.create_table(
        "copy",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("outlet", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("receipt", sa.JSON(), nullable=False),
        sa.Column("superseded_by", sa.Text(), nullable=True),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["unit"], ["unit.id"], name=op.f("fk_copy_unit")),
        sa.ForeignKeyConstraint(["item"], ["item.id"], name=op.f("fk_copy_item")),
        sa.ForeignKeyConstraint(["outlet"], ["outlet.name"], name=op.f("fk_copy_outlet")),
        sa.ForeignKeyConstraint(["id"], ["delivery.id"], name=op.f("fk_copy_id")),
        sa.ForeignKeyConstraint(["superseded_by"], ["copy.id"], name=op.f("fk_copy_superseded_by")),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_copy_entry_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_copy")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_copy_entry_id")),
    )
    op.create_index("ix_copy_item", "copy", ["item", "outlet"])
    op.create_index("ix_copy_state", "copy", ["state", "outlet"])
    _recovery()
    for column in (
        "delivery ADD COLUMN replaces JSON",
        "delivery ADD COLUMN replaces_copy TEXT CONSTRAINT fk_delivery_replaces_copy REFERENCES delivery (id)",
        "delivery ADD COLUMN ahead BIGINT NOT NULL DEFAULT 0",
        "delivery ADD COLUMN armed_at BIGINT",
        f"delivery ADD COLUMN stopped BOOLEAN NOT NULL DEFAULT {'0' if dialect == 'sqlite' else 'FALSE'}",
        "release ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
    ):
        op.execute(f"ALTER TABLE {column}")
    _remember_what_is_public()
    review.upgrade()
    for statement in (
        *guards.append_only(dialect, "asset_content", "digest = NEW.digest"),
        *guards.kept(dialect, "copy", "id = NEW.id OR entry_id = NEW.entry_id"),
        *guards.told(dialect, "copy", "id", COPY_MOVED, ("id", "unit", "item", "outlet", "revision")),
        *guards.append_only(dialect, "adoption", "entry_id = NEW.entry_id"),
        *guards.refuse(dialect, "begin", "adoption", "INSERT", f"NOT {ADOPTED}", "an adoption needs its log entry"),
        *guards.kept(dialect, "recovery", "id = NEW.id OR entry_id = NEW.entry_id"),
        *guards.told(dialect, "recovery", "id", RECOVERY_MOVED, ("id", "why", "begun_at")),
        *guards.refuse(dialect, "end", "recovery", "UPDATE", UNLOOKED, "a recovery ends when all was looked up"),
        *guards.kept(dialect, "look", "recovery = NEW.recovery AND subject = NEW.subject AND delivery = NEW.delivery"),
        *guards.refuse(dialect, "found", "look", "UPDATE", UNFOUND, "what was found stays found"),
    ):
        op.execute(statement)


def _recovery() -> None:
    op.create_table(
        "adoption",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("installation", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_adoption_entry_id")),
        sa.ForeignKeyConstraint(["installation"], ["installation.id"], name=op.f("fk_adoption_installation")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_adoption")),
    )
    op.create_table(
        "recovery",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("backup", sa.JSON(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_recovery_entry_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_recovery_entry_id")),
    )
    op.create_index("ix_recovery_state", "recovery", ["state"])
    op.create_table(
        "look",
        sa.Column("recovery", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("delivery", sa.Text(), nullable=False),
        sa.Column("outlet", sa.Text(), nullable=False),
        sa.Column("known", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=True),
        sa.Column("found", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["recovery"], ["recovery.id"], name=op.f("fk_look_recovery")),
        sa.ForeignKeyConstraint(["delivery"], ["delivery.id"], name=op.f("fk_look_delivery")),
        sa.ForeignKeyConstraint(["outlet"], ["outlet.name"], name=op.f("fk_look_outlet")),
        sa.PrimaryKeyConstraint("recovery", "subject", "delivery", name=op.f("pk_look")),
    )
    there = sa.text("due_at IS NOT NULL")
    op.create_index("ix_look_due", "look", ["due_at"], sqlite_where=there, postgresql_where=there)


def _remember_what_is_public() -> None:
    """What was made public before there were copies becomes one: it can then be corrected and withdrawn."""
    bind = op.get_bind()
    delivery, entry, copy = (
        sa.Table(name, sa.MetaData(), autoload_with=bind, resolve_fks=False) for name in ("delivery", "entry", "copy")
    )
    public = sa.select(delivery).where(
        delivery.c.state.in_(("released", "verified", "closed")), delivery.c.receipt.is_not(None)
    )
    for row in bind.execute(public.order_by(delivery.c.released_at, delivery.c.id)).all():
        if row.receipt is None:  # JSON null
            continue
        told = bind.execute(
            entry.insert()
            .values(
                at=row.released_at or row.since,
                unit=row.unit,
                subject="copy",
                subject_id=row.id,
                act="appeared",
                state="live",
                actor="migration",
                item=row.item,
                outlet=row.outlet,
                detail={"revision": row.revision, "note": "public before copies were kept"},
            )
            .returning(entry.c.id)
        ).scalar_one()
        bind.execute(
            copy.insert().values(
                id=row.id,
                unit=row.unit,
                item=row.item,
                outlet=row.outlet,
                revision=row.revision,
                state="live",
                since=row.released_at or row.since,
                ref=row.receipt["ref"],
                url=row.receipt["url"],
                receipt=row.receipt,
                entry_id=told,
            )
        )
