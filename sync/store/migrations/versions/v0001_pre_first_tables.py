"""first tables"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.store.migrations import guards

revision = "0001_pre"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.create_table(
        "asset",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_asset")),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "unit",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("review", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit")),
    )
    op.create_table(
        "entry",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=dialect == "sqlite",
            nullable=False,
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=True),
        sa.Column("outlet", sa.Text(), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["unit"], ["unit.id"], name=op.f("fk_entry_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
        sqlite_autoincrement=True,
    )
    if dialect != "sqlite":
        _number_without_gaps()
    with op.batch_alter_table("entry", schema=None) as batch_op:
        batch_op.create_index("ix_entry_item", ["item", "id"], unique=False)
        batch_op.create_index("ix_entry_outlet", ["outlet", "id"], unique=False)
        batch_op.create_index("ix_entry_subject", ["subject", "subject_id", "id"], unique=False)

    op.create_table(
        "item",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_item_entry_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.id"], name=op.f("fk_item_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_item_entry_id")),
    )
    op.create_table(
        "outlet",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("secrets", sa.JSON(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("private_network", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_outlet_entry_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.id"], name=op.f("fk_outlet_unit")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_outlet")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_outlet_entry_id")),
    )
    op.create_table(
        "release",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("align", sa.Text(), nullable=False),
        sa.Column("release_at", sa.BigInteger(), nullable=True),
        sa.Column("overdue_at", sa.BigInteger(), nullable=True),
        sa.Column("canonical_outlet", sa.Text(), nullable=True),
        sa.Column("reviewed", sa.Boolean(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("committed_at", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_release_entry_id")),
        sa.ForeignKeyConstraint(["unit"], ["unit.id"], name=op.f("fk_release_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_release_entry_id")),
        sa.UniqueConstraint("request_id", name=op.f("uq_release_request_id")),
    )
    with op.batch_alter_table("release", schema=None) as batch_op:
        batch_op.create_index("ix_release_overdue", ["overdue_at"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("outlet", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("duty", sa.Text(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("fire_at", sa.BigInteger(), nullable=True),
        sa.Column("quarantine_until", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("canonical_url", sa.Text(), nullable=True),
        sa.Column("rendition", sa.JSON(), nullable=True),
        sa.Column("prepared", sa.JSON(), nullable=True),
        sa.Column("accepted", sa.JSON(), nullable=True),
        sa.Column("receipt", sa.JSON(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.Column("visible_at", sa.BigInteger(), nullable=True),
        sa.Column("visible_after", sa.BigInteger(), nullable=True),
        sa.Column("reads", sa.Integer(), nullable=False),
        sa.Column("match", sa.Boolean(), nullable=True),
        sa.Column("problems", sa.JSON(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_delivery_entry_id")),
        sa.ForeignKeyConstraint(["item"], ["item.id"], name=op.f("fk_delivery_item")),
        sa.ForeignKeyConstraint(["outlet"], ["outlet.name"], name=op.f("fk_delivery_outlet")),
        sa.ForeignKeyConstraint(["release"], ["release.id"], name=op.f("fk_delivery_release")),
        sa.ForeignKeyConstraint(["unit"], ["unit.id"], name=op.f("fk_delivery_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_delivery_entry_id")),
        sa.UniqueConstraint("release", "outlet", "item", name=op.f("uq_delivery_release_outlet_item")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        there = sa.text("due_at IS NOT NULL")
        batch_op.create_index("ix_delivery_due", ["due_at"], unique=False, sqlite_where=there, postgresql_where=there)
        batch_op.create_index("ix_delivery_item", ["item", "outlet"], unique=False)
        there = sa.text("owner IS NOT NULL")
        batch_op.create_index("ix_delivery_owner", ["owner"], unique=False, sqlite_where=there, postgresql_where=there)
        batch_op.create_index(batch_op.f("ix_delivery_release"), ["release"], unique=False)
        batch_op.create_index("ix_delivery_state", ["state", "id"], unique=False)

    op.create_table(
        "edition",
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("assets", sa.JSON(), nullable=False),
        sa.Column("routing", sa.JSON(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["item"], ["item.id"], name=op.f("fk_edition_item")),
        sa.PrimaryKeyConstraint("item", "revision", name=op.f("pk_edition")),
    )
    with op.batch_alter_table("edition", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_edition_digest"), ["digest"], unique=False)

    op.create_table(
        "release_item",
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["item"], ["item.id"], name=op.f("fk_release_item_item")),
        sa.ForeignKeyConstraint(["release"], ["release.id"], name=op.f("fk_release_item_release")),
        sa.PrimaryKeyConstraint("release", "position", name=op.f("pk_release_item")),
    )
    with op.batch_alter_table("release_item", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_release_item_item"), ["item"], unique=False)
    for statement in _guards() if dialect == "sqlite" else _guards_elsewhere(dialect):
        op.execute(statement)


def _number_without_gaps() -> None:
    """A sequence would not give back what a rolled back transaction took from it. Safe with one writer
    at a time; whoever writes past the gate meets the primary key."""
    op.execute(
        "CREATE FUNCTION entry_next_id() RETURNS bigint LANGUAGE sql VOLATILE "
        "AS $$ SELECT COALESCE(MAX(id), 0) + 1 FROM entry $$"
    )
    op.execute("ALTER TABLE entry ALTER COLUMN id SET DEFAULT entry_next_id()")


APPEND_ONLY = {
    "entry": "id = NEW.id",
    "installation": "id = NEW.id",
    "asset": "digest = NEW.digest",
    "edition": "item = NEW.item AND revision = NEW.revision",
    "release_item": "release = NEW.release AND position = NEW.position",
}
KEPT = {
    "unit": "id = NEW.id",
    "item": "id = NEW.id OR entry_id = NEW.entry_id",
    "outlet": "name = NEW.name OR entry_id = NEW.entry_id",
    "release": "id = NEW.id OR entry_id = NEW.entry_id OR request_id = NEW.request_id",
    "delivery": "id = NEW.id OR entry_id = NEW.entry_id "
    "OR (release = NEW.release AND outlet = NEW.outlet AND item = NEW.item)",
}
# What moves, by its name in the log; the columns that stay; and when an update has to be told.
MOVED = {
    "delivery": ("id", ("id", "release", "outlet", "item", "revision")),
    "release": ("id", ("id", "action", "request_id")),
    "outlet": ("name", ("name", "unit", "kind")),
}
TOLD = {
    "delivery": "(NEW.state IS NOT OLD.state OR NEW.entry_id IS NOT OLD.entry_id) AND ",
    "release": "(NEW.state IS NOT OLD.state OR NEW.entry_id IS NOT OLD.entry_id) AND ",
    "outlet": "",  # every change of an outlet: where it publishes, as whom, and whether in earnest
}


def _refuse(name: str, table: str, when: str, condition: str, message: str) -> str:
    condition = f"WHEN {condition} " if condition else ""
    return (
        f"CREATE TRIGGER {table}_{name} BEFORE {when} ON {table} {condition}BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )


def _guards() -> list[str]:
    """Rules that SQLite keeps itself. They stop mistakes and the application's own role; whoever
    owns the file can drop them, which is why the log must also be verifiable from outside."""
    guards = []
    for table, same in KEPT.items():
        guards += [
            _refuse("no_delete", table, "DELETE", "", f"{table} rows are kept"),
            _refuse(
                "no_replace", table, "INSERT", f"EXISTS (SELECT 1 FROM {table} WHERE {same})", f"{table} rows are kept"
            ),
        ]
    for table, same in APPEND_ONLY.items():
        message = f"{table} is append-only"
        guards += [
            _refuse("no_update", table, "UPDATE", "", message),
            _refuse("no_delete", table, "DELETE", "", message),
            # INSERT OR REPLACE would delete the old row without asking the trigger above
            _refuse("no_replace", table, "INSERT", f"EXISTS (SELECT 1 FROM {table} WHERE {same})", message),
        ]
    for table, (key, stays) in MOVED.items():
        told = (
            f"EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND subject = '{table}' "
            f"AND subject_id = NEW.{key} AND state = NEW.state)"
        )
        moved = f"{TOLD[table]}NOT (NEW.entry_id > OLD.entry_id AND {told})"
        other = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in stays)
        guards += [
            _refuse("move", table, "UPDATE", moved, f"a {table} moves only with its log entry"),
            _refuse("begin", table, "INSERT", f"NOT {told}", f"a {table} begins only with its log entry"),
            _refuse("identity", table, "UPDATE", other, f"a {table} keeps its identity"),
        ]
    return guards


def _guards_elsewhere(dialect: str) -> list[str]:
    """The same rules in the words of the later migrations, which other databases understand too."""
    made = []
    for table, same in KEPT.items():
        made += guards.kept(dialect, table, same)
    for table, same in APPEND_ONLY.items():
        made += guards.append_only(dialect, table, same)
    for table, (key, stays) in MOVED.items():
        moved = TOLD[table] and "NEW.state IS DISTINCT FROM OLD.state OR NEW.entry_id IS DISTINCT FROM OLD.entry_id"
        made += guards.told(dialect, table, key, moved, stays)
    return made
