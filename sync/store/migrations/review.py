"""What migration 0002 brings for reviews: people, approvals, and the rules that the database keeps itself.

A release whose unit asks for three reviews (`review = 'three'`) has a `digest`, over all that will go out,
and a `round`. An approval names both; a change of anything the digest is over begins another round, and
the approvals of the one before count no more. Without three approvals of its release's round and digest no
delivery is prepared, or released.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.store.migrations import guards

COLUMNS = (
    "unit ADD COLUMN set_by TEXT",
    "unit ADD COLUMN seconded_by TEXT",
    "unit ADD COLUMN entry_id BIGINT",
    "release ADD COLUMN review TEXT NOT NULL DEFAULT 'none'",
    "release ADD COLUMN planner TEXT NOT NULL DEFAULT ''",
    "release ADD COLUMN round INTEGER NOT NULL DEFAULT 1",
    "release ADD COLUMN digest TEXT",
    "release ADD COLUMN parts JSON",
)
PERSON = "name = NEW.name OR entry_id = NEW.entry_id"
APPROVAL = (
    "id = NEW.id OR entry_id = NEW.entry_id "
    "OR (release = NEW.release AND round = NEW.round AND (stage = NEW.stage OR approver = NEW.approver))"
)
# The release of a new row, when it waits for three approvals.
REVIEWED = "FROM release r WHERE r.id = NEW.release AND r.review = 'three'"
APPROVALS = "(SELECT COUNT(*) FROM approval a WHERE a.release = r.id AND a.round = r.round AND a.digest = r.digest)"


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.create_table(
        "person",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        *(
            sa.Column(role, sa.Boolean(), nullable=False)
            for role in ("editor", "reviewer", "publisher", "admin", "auditor")
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["unit"], ["unit.id"], name=op.f("fk_person_unit")),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_person_entry_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_person")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_person_entry_id")),
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("approver", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("identified", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["release"], ["release.id"], name=op.f("fk_approval_release")),
        sa.ForeignKeyConstraint(["approver"], ["person.name"], name=op.f("fk_approval_approver")),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("fk_approval_entry_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_approval_entry_id")),
        sa.UniqueConstraint("release", "round", "stage", name=op.f("uq_approval_stage")),
        sa.UniqueConstraint("release", "round", "approver", name=op.f("uq_approval_approver")),
    )
    for column in COLUMNS:
        op.execute(f"ALTER TABLE {column}")
    for statement in (*_units(dialect), *_people(dialect), *_releases(dialect), *_deliveries(dialect)):
        op.execute(statement)
    for statement in _approvals(dialect):
        op.execute(statement)


def _units(dialect: str) -> list[str]:
    told = (
        "EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND subject = 'unit' "
        "AND subject_id = NEW.id AND state = NEW.review)"
    )
    admin = "EXISTS (SELECT 1 FROM person p WHERE p.name = NEW.{} AND p.admin AND p.state = 'active')"
    two = f"NEW.set_by IS DISTINCT FROM NEW.seconded_by AND {admin.format('set_by')} AND {admin.format('seconded_by')}"
    rules = "NEW.review NOT IN ('none', 'three')"
    return [
        # The first unit of all is founded with the installation, before there can be any entry.
        *guards.refuse(
            dialect,
            "begin",
            "unit",
            "INSERT",
            f"{rules} OR (EXISTS (SELECT 1 FROM unit) AND NOT {told})",
            "a unit begins only with its log entry",
        ),
        *guards.refuse(
            dialect,
            "move",
            "unit",
            "UPDATE",
            f"{rules} OR NOT (NEW.entry_id > COALESCE(OLD.entry_id, 0) AND {told})",
            "a unit changes only with its log entry",
        ),
        *guards.refuse(
            dialect, "identity", "unit", "UPDATE", "NEW.id IS DISTINCT FROM OLD.id", "a unit keeps its identity"
        ),
        *guards.refuse(
            dialect,
            "relax",
            "unit",
            "UPDATE",
            f"OLD.review = 'three' AND NEW.review <> 'three' AND NOT ({two})",
            "relaxing the rule needs two administrators",
        ),
        *guards.refuse(dialect, "identity", "item", "UPDATE", "", "an item keeps its identity"),
    ]


def _people(dialect: str) -> list[str]:
    return [
        *guards.kept(dialect, "person", PERSON),
        *guards.told(dialect, "person", "name", "", ("name", "created_at")),
    ]


def _releases(dialect: str) -> list[str]:
    stays = ("unit", "review", "planner", "policy", "align", "canonical_outlet", "live", "created_at")
    moved = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in stays)
    counted = (
        "3 <> (SELECT COUNT(*) FROM approval a WHERE a.release = NEW.id "
        "AND a.round = NEW.round AND a.digest = NEW.digest)"
    )
    asked = " OR ".join(
        f"CAST(NEW.{column} AS TEXT) IS DISTINCT FROM CAST(OLD.{column} AS TEXT)"
        for column in ("digest", "round", "parts", "reviewed")
    )
    return [
        *guards.refuse(
            dialect,
            "rule",
            "release",
            "INSERT",
            "NEW.review IS DISTINCT FROM (SELECT review FROM unit WHERE id = NEW.unit)",
            "a release takes the rule of its unit",
        ),
        *guards.refuse(
            dialect,
            "unreviewed",
            "release",
            "INSERT",
            "NEW.reviewed OR NEW.round <> 1 OR (NEW.review = 'three' AND NEW.state <> 'open') "
            "OR (NEW.digest IS NOT NULL AND NEW.action <> 'withdraw')",
            "nothing is reviewed before it was planned",
        ),
        *guards.refuse(
            dialect,
            "planned",
            "release",
            "UPDATE",
            f"{moved} OR (OLD.release_at IS NOT NULL AND NEW.release_at IS DISTINCT FROM OLD.release_at)",
            "a release stays as it was planned",
        ),
        *guards.refuse(
            dialect,
            "round",
            "release",
            "UPDATE",
            f"(({asked}) AND NEW.entry_id IS NOT DISTINCT FROM OLD.entry_id) OR NEW.round < OLD.round "
            "OR (OLD.digest IS NOT NULL AND NEW.round = OLD.round AND "
            "(NEW.digest IS DISTINCT FROM OLD.digest OR "
            "CAST(NEW.parts AS TEXT) IS DISTINCT FROM CAST(OLD.parts AS TEXT)))",
            "another digest is another round, with its log entry",
        ),
        *guards.refuse(
            dialect,
            "reviewed",
            "release",
            "UPDATE",
            f"(NEW.reviewed OR (NEW.review = 'three' AND NEW.state = 'ready')) AND {counted}",
            "three approvals are needed",
        ),
        *guards.refuse(
            dialect,
            "closed",
            "release_item",
            "INSERT",
            f"EXISTS (SELECT 1 {REVIEWED} AND r.digest IS NOT NULL AND r.action <> 'withdraw')",
            "what is under review stays as it is",
        ),
    ]


def _deliveries(dialect: str) -> list[str]:
    fixed = ("rendition", "generation", "required", "canonical_url", "ahead", "replaces", "replaces_copy")
    changed = " OR ".join(f"CAST(NEW.{one} AS TEXT) IS DISTINCT FROM CAST(OLD.{one} AS TEXT)" for one in fixed)
    named = (
        "EXISTS (SELECT 1 FROM release_item i WHERE i.release = NEW.release "
        "AND i.item = NEW.item AND i.revision = NEW.revision)"
    )
    return [
        *guards.refuse(
            dialect,
            "rule",
            "delivery",
            "INSERT",
            "NEW.unit IS DISTINCT FROM (SELECT unit FROM outlet WHERE name = NEW.outlet) OR "
            f"(NOT EXISTS (SELECT 1 {REVIEWED}) AND EXISTS (SELECT 1 FROM unit u WHERE u.review = 'three' AND "
            "u.id IN ((SELECT unit FROM outlet WHERE name = NEW.outlet), "
            "(SELECT unit FROM item WHERE id = NEW.item))))",
            "a delivery is under the rule of its outlet and of its item",
        ),
        *guards.refuse(
            dialect,
            "closed",
            "delivery",
            "INSERT",
            f"EXISTS (SELECT 1 {REVIEWED} AND "
            f"(NEW.state <> 'planned' OR NOT {named} OR (r.digest IS NOT NULL AND r.action <> 'withdraw')))",
            "what is under review stays as it is",
        ),
        *guards.refuse(
            dialect,
            "asked",
            "delivery",
            "UPDATE",
            f"NEW.unit IS DISTINCT FROM OLD.unit OR (({changed}) AND EXISTS (SELECT 1 {REVIEWED} "
            "AND r.digest IS NOT NULL AND r.action <> 'withdraw'))",
            "what is under review stays as it is",
        ),
        *guards.refuse(
            dialect,
            "reviewed",
            "delivery",
            "UPDATE",
            "NEW.state IN ('preparing', 'releasing') AND NEW.state IS DISTINCT FROM OLD.state AND "
            f"EXISTS (SELECT 1 {REVIEWED} AND ({APPROVALS} <> 3 OR NEW.generation IS DISTINCT FROM "
            "(SELECT generation FROM outlet WHERE name = NEW.outlet)))",
            "three approvals are needed",
        ),
    ]


def _approvals(dialect: str) -> list[str]:
    told = (
        "EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND subject = 'approval' "
        "AND subject_id = NEW.id AND state = 'approved')"
    )
    current = (
        f"EXISTS (SELECT 1 {REVIEWED} AND r.round = NEW.round AND r.digest = NEW.digest "
        "AND (r.action = 'withdraw' OR r.state IN ('open', 'committed')))"
    )
    wrote = (
        "EXISTS (SELECT 1 FROM release r JOIN release_item i ON i.release = r.id "
        "JOIN edition e ON e.item = i.item AND e.revision = i.revision WHERE r.id = NEW.release AND "
        "(e.author = NEW.approver OR (r.planner = NEW.approver "
        "AND NOT EXISTS (SELECT 1 FROM person p WHERE p.name = e.author))) AND r.action <> 'withdraw')"
    )
    withdrew = f"EXISTS (SELECT 1 {REVIEWED} AND r.action = 'withdraw' AND (r.planner = NEW.approver OR NEW.stage > 1))"
    entitled = (
        "EXISTS (SELECT 1 FROM person p JOIN release r ON r.id = NEW.release WHERE p.name = NEW.approver "
        "AND p.state = 'active' AND (p.publisher OR (p.reviewer AND NEW.stage < 3)) AND (p.unit = r.unit "
        "OR EXISTS (SELECT 1 FROM delivery d WHERE d.release = r.id AND d.unit = p.unit)))"
    )
    before = "(SELECT COUNT(*) FROM approval a WHERE a.release = NEW.release AND a.round = NEW.round)"
    return [
        *guards.append_only(dialect, "approval", APPROVAL),
        *(
            statement
            for name, condition, message in (
                ("begin", f"NOT {told}", "an approval begins only with its log entry"),
                ("digest", f"NOT {current}", "an approval is of what is under review now"),
                ("author", f"{wrote} OR {withdrew}", "nobody approves what is their own"),
                ("role", f"NOT {entitled}", "the approver is not entitled to this"),
                ("stage", f"NEW.stage NOT IN (1, 2, 3) OR NEW.stage <> {before} + 1", "one stage after the other"),
            )
            for statement in guards.refuse(dialect, name, "approval", "INSERT", condition, message)
        ),
    ]
