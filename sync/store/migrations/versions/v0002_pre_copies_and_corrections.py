"""public copies, corrections and withdrawals; what several hosts share"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.store.migrations import guards

revision = "0002_pre"
down_revision = "0001_pre"
branch_labels = None
depends_on = None

COPY_MOVED = "NEW.state IS DISTINCT FROM OLD.state OR NEW.entry_id IS DISTINCT FROM OLD.entry_id"


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
    for statement in (
        *guards.append_only(dialect, "asset_content", "digest = NEW.digest"),
        *guards.kept(dialect, "copy", "id = NEW.id OR entry_id = NEW.entry_id"),
        *guards.told(dialect, "copy", "id", COPY_MOVED, ("id", "unit", "item", "outlet", "revision")),
    ):
        op.execute(statement)


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
