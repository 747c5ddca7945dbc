"""what is kept of outlets between calls: tokens, budgets, waits, breakers and the end of credentials"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.store.migrations import guards

revision = "0004_pre"
down_revision = "0003_pre"
branch_labels = None
depends_on = None

THIS = "outlet = NEW.outlet AND live = NEW.live AND name = NEW.name"
EMPTIED = "OLD.sealed IS NOT NULL AND COALESCE(NEW.sealed, '') = ''"
MOVED = "NEW.outlet IS DISTINCT FROM OLD.outlet OR NEW.live IS DISTINCT FROM OLD.live"
TOLD = (
    "EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND subject = 'breaker' AND subject_id = NEW.outlet "
    "AND state = NEW.state)"
)
SILENT = (
    "(NEW.state IS DISTINCT FROM OLD.state OR NEW.entry_id IS DISTINCT FROM OLD.entry_id) "
    f"AND NOT (NEW.entry_id > COALESCE(OLD.entry_id, 0) AND {TOLD})"
)


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    _table(
        "outlet_token",
        ("outlet", "live", "name"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("gained_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("failure", sa.JSON(), nullable=True),
    )
    _table(
        "outlet_budget",
        ("outlet", "live", "name"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ledger", sa.JSON(), nullable=False),
    )
    _table(
        "outlet_hold",
        ("outlet", "live", "calls"),
        sa.Column("calls", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
    )
    _table(
        "breaker",
        ("outlet", "live"),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("recent", sa.JSON(), nullable=False),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("half_open_at", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_breaker_entry_id")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_breaker_entry_id")),
    )
    _table(
        "outlet_expiry",
        ("outlet", "live"),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("look_at", sa.BigInteger(), nullable=False),
        sa.Column("warned", sa.Text(), nullable=False),
    )
    for statement in (
        *guards.kept(dialect, "outlet_token", THIS),
        *guards.refuse(dialect, "emptied", "outlet_token", "UPDATE", EMPTIED, "a token never gives way to nothing"),
        *guards.refuse(
            dialect,
            "identity",
            "outlet_token",
            "UPDATE",
            f"{MOVED} OR NEW.name IS DISTINCT FROM OLD.name OR NEW.epoch < OLD.epoch",
            "an outlet_token keeps its identity",
        ),
        *guards.kept(dialect, "breaker", "(outlet = NEW.outlet AND live = NEW.live) OR entry_id = NEW.entry_id"),
        *guards.refuse(dialect, "move", "breaker", "UPDATE", SILENT, "a breaker moves only with its log entry"),
        *guards.refuse(
            dialect,
            "begin",
            "breaker",
            "INSERT",
            f"NEW.state IS DISTINCT FROM 'closed' AND NOT {TOLD}",
            "a breaker opens only with its log entry",
        ),
        *guards.refuse(dialect, "identity", "breaker", "UPDATE", MOVED, "a breaker keeps its identity"),
    ):
        op.execute(statement)


def _table(name: str, key: tuple[str, ...], *columns: sa.schema.SchemaItem) -> None:
    """Of one outlet, and of its sandbox twin apart from it."""
    op.create_table(
        name,
        sa.Column("outlet", sa.Text(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(["outlet"], ["outlet.name"], name=op.f(f"fk_{name}_outlet")),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}")),
    )
