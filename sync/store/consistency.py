"""What rows at rest tell of themselves: that each could have come to be under the guards of the migrations.

The guards judge steps: a row begins, moves one move at a time, and is approved by one after the other. A restore
brings rows back in the state they had reached, past them. So what the guards keep true at any time is asked here
of the rows as they are. Only that: a rule that once held and need not hold now (an approver who has since changed
units) is none of these, because it would refuse honest rows.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, bindparam, select

from sync.flow import D, R
from sync.model import sha256
from sync.store import items
from sync.store.tables import asset_content, edition, entry

# Whose every state has its entry: table → its key, and what the entry calls its state.
TOLD = {
    "unit": ("id", "t.review"),
    "person": ("name", "t.state"),
    "outlet": ("name", "t.state"),
    "release": ("id", "t.state"),
    "delivery": ("id", "t.state"),
    "approval": ("id", "'approved'"),
    "copy": ("id", "t.state"),
    "recovery": ("id", "t.state"),
    "feed": ("name", "t.state"),
}
FOUNDED = {
    "unit": "NOT (t.entry_id IS NULL AND t.review = 'none') AND "
}  # the first unit of all, with its installation


def _known(states: type[D] | type[R]) -> str:
    return ", ".join(f"'{one.value}'" for one in states)


def _begun(table: str, row: str) -> str:
    """Its first entry: the moment it came to be."""
    return f"(SELECT MIN(b.id) FROM entry b WHERE b.subject = '{table}' AND b.subject_id = {row}.id)"


def _rule(unit: str, before: str) -> str:
    """The rule of a unit as it was before an entry; a unit has `none` until its log says otherwise."""
    return (
        f"COALESCE((SELECT e.state FROM entry e WHERE e.subject = 'unit' AND e.subject_id = {unit} AND e.id < {before} "
        "ORDER BY e.id DESC LIMIT 1), 'none')"
    )


_PERSON = "EXISTS (SELECT 1 FROM person p WHERE p.name = u.{})"
_WROTE = (
    "EXISTS (SELECT 1 FROM release_item i JOIN edition e ON e.item = i.item AND e.revision = i.revision "
    "WHERE i.release = r.id AND (e.author = a.approver OR (r.planner = a.approver "
    "AND NOT EXISTS (SELECT 1 FROM person p WHERE p.name = e.author))))"
)
_APPROVED = "3 = (SELECT COUNT(*) FROM approval a WHERE a.release = r.id AND a.round = r.round AND a.digest = r.digest)"
_ONCE_APPROVED = (
    "EXISTS (SELECT 1 FROM approval a WHERE a.release = r.id GROUP BY a.round, a.digest HAVING COUNT(*) = 3)"
)

# What is wrong → a query of the keys of the rows of which it is true. SQL that both databases understand.
RULES: tuple[tuple[str, str], ...] = (
    (
        "the log has a gap",
        "SELECT * FROM (SELECT MAX(id) AS last FROM entry HAVING COUNT(*) <> MAX(id) OR MIN(id) <> 1) AS log",
    ),
    *(
        (
            f"a {table} is not in the state that its log entry says",
            f"SELECT t.{key} FROM {table} t WHERE {FOUNDED.get(table, '')}NOT EXISTS (SELECT 1 FROM entry e "
            f"WHERE e.id = t.entry_id AND e.subject = '{table}' AND e.subject_id = t.{key} AND e.state = {state})",
        )
        for table, (key, state) in TOLD.items()
    ),
    *(
        (
            f"a {table} is in an earlier state than its log says",
            f"SELECT t.{key} FROM {table} t WHERE EXISTS (SELECT 1 FROM entry e WHERE e.subject = '{table}' "
            f"AND e.subject_id = t.{key} AND e.id > COALESCE(t.entry_id, 0) AND e.state <> {state})",
        )
        for table, (key, state) in TOLD.items()
    ),
    (
        "an adoption has no log entry",
        "SELECT t.entry_id FROM adoption t WHERE NOT EXISTS (SELECT 1 FROM entry e WHERE e.id = t.entry_id "
        "AND e.subject = 'installation' AND e.subject_id = t.installation AND e.act = 'adopted')",
    ),
    (
        "a ping has ended without its log entry",
        "SELECT t.delivery FROM ping t WHERE t.state <> 'waiting' AND NOT EXISTS (SELECT 1 FROM entry e WHERE "
        "e.id = t.entry_id AND e.subject = 'ping' AND e.subject_id = t.delivery AND e.state = t.state)",
    ),
    (
        "a breaker is open without its log entry",
        "SELECT t.outlet FROM breaker t WHERE t.state <> 'closed' AND NOT EXISTS (SELECT 1 FROM entry e WHERE "
        "e.id = t.entry_id AND e.subject = 'breaker' AND e.subject_id = t.outlet AND e.state = t.state)",
    ),
    ("a delivery is in a state that there is not", f"SELECT id FROM delivery WHERE state NOT IN ({_known(D)})"),
    ("a release is in a state that there is not", f"SELECT id FROM release WHERE state NOT IN ({_known(R)})"),
    (
        "a recovery has ended before all was looked up",
        "SELECT t.id FROM recovery t WHERE t.state = 'ended' "
        "AND EXISTS (SELECT 1 FROM look l WHERE l.recovery = t.id AND l.found IS NULL)",
    ),
    # reviews
    (
        "a unit was relaxed without two administrators",
        "SELECT u.id FROM unit u WHERE u.review <> 'three' AND u.entry_id IS NOT NULL "
        f"AND {_rule('u.id', 'u.entry_id')} = 'three' AND NOT (u.set_by IS DISTINCT FROM u.seconded_by "
        f"AND {_PERSON.format('set_by')} AND {_PERSON.format('seconded_by')})",
    ),
    (
        "a release is not under the rule that its unit had",
        f"SELECT r.id FROM release r WHERE r.review IS DISTINCT FROM {_rule('r.unit', _begun('release', 'r'))}",
    ),
    (
        "a delivery is not under the rule of its outlet and of its item",
        "SELECT d.id FROM delivery d JOIN release r ON r.id = d.release JOIN outlet o ON o.name = d.outlet "
        "JOIN item i ON i.id = d.item WHERE d.unit <> o.unit OR (r.review <> 'three' AND 'three' IN "
        f"({_rule('o.unit', _begun('delivery', 'd'))}, {_rule('i.unit', _begun('delivery', 'd'))}))",
    ),
    (
        "a release counts as reviewed without three approvals",
        "SELECT r.id FROM release r WHERE (r.reviewed OR (r.review = 'three' AND r.state = 'ready')) "
        f"AND NOT {_APPROVED}",
    ),
    (
        "a delivery was on its way without three approvals",
        "SELECT d.id FROM delivery d JOIN release r ON r.id = d.release WHERE r.review = 'three' "
        "AND r.action <> 'withdraw' "  # that is reviewed afterwards
        f"AND d.state IN ('preparing', 'releasing', 'accepted') AND NOT {_ONCE_APPROVED}",
    ),
    (
        "a delivery under review is of what the release does not name",
        "SELECT d.id FROM delivery d JOIN release r ON r.id = d.release WHERE r.review = 'three' AND NOT EXISTS "
        "(SELECT 1 FROM release_item i WHERE i.release = r.id AND i.item = d.item AND i.revision = d.revision)",
    ),
    (
        "an approval is of something that was never under review",
        "SELECT a.id FROM approval a JOIN release r ON r.id = a.release WHERE r.review <> 'three' "
        "OR a.round > r.round OR (a.round = r.round AND a.digest IS DISTINCT FROM r.digest)",
    ),
    (
        "an approval is the approver's of their own",
        "SELECT a.id FROM approval a JOIN release r ON r.id = a.release WHERE "
        f"(r.action <> 'withdraw' AND {_WROTE}) OR (r.action = 'withdraw' AND (r.planner = a.approver OR a.stage > 1))",
    ),
    (
        "an approval came before the one it follows",
        "SELECT a.id FROM approval a WHERE a.stage NOT IN (1, 2, 3) OR a.stage <> 1 + (SELECT COUNT(*) "
        "FROM approval b WHERE b.release = a.release AND b.round = a.round AND b.entry_id < a.entry_id)",
    ),
)


def contradictions(connection: Connection) -> Iterator[str]:
    """What the guards would have refused, and which row it is; the cheapest first. Nothing: all is as it was left."""
    if connection.dialect.name == "sqlite":  # PostgreSQL asks by itself as the rows come
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield f"a {row[0]} refers to a {row[2]} that is not there ({row[1]})"
    for what, asked in RULES:
        found = connection.exec_driver_sql(f"{asked} LIMIT 1").scalar()
        if found is not None:
            yield f"{what} ({found})"
    yield from _editions(connection)
    yield from _contents(connection)


def _editions(connection: Connection) -> Iterator[str]:
    """An edition is what it was frozen as, by its digest in the log. One after the other: bodies may be long."""
    asked = select(entry.c.subject_id, entry.c.state, entry.c.detail).where(entry.c.subject == "item")
    try:
        told = {(one.subject_id, one.state): one.detail.get("digest") for one in connection.execute(asked)}
        for item, revision in connection.execute(select(edition.c.item, edition.c.revision)).all():
            frozen, row = items.get(connection, item, revision)
            if not row.digest == frozen.digest == told.get((item, f"revision {revision}")):
                yield f"an edition is not what it was frozen as ({item}, revision {revision})"
    except (ValueError, TypeError, AttributeError) as error:  # what was JSON, or of another form
        yield f"an edition cannot be read ({error})"


def _contents(connection: Connection) -> Iterator[str]:
    """Pictures and attachments, where they are rows."""
    content = select(asset_content.c.content).where(asset_content.c.digest == bindparam("of"))
    for digest in connection.execute(select(asset_content.c.digest)).scalars().all():
        if sha256(connection.execute(content, {"of": digest}).scalar_one()) != digest:
            yield f"a file is not the one of its digest ({digest[:16]}…)"
