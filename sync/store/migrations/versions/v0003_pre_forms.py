"""programs of two versions on one database: each leaves alone what only a newer one understands"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.store.migrations import guards

revision = "0003_pre"
down_revision = "0002_pre"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "required_form",
        sa.Column("form", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("form", name=op.f("pk_required_form")),
    )
    for statement in guards.append_only(op.get_bind().dialect.name, "required_form", "form = NEW.form"):
        op.execute(statement)
    for table in ("release", "delivery"):
        op.add_column(table, sa.Column("form", sa.Integer(), nullable=False, server_default="1"))
