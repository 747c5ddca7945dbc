"""Rules that the database keeps itself, as triggers of SQLite and PostgreSQL.

They stop mistakes and the application's own role. Whoever owns the database can drop them, which is
why the log must also be verifiable from outside. A condition is SQL that both understand, over NEW
and OLD: `IS DISTINCT FROM`, never `IS NOT x`.
"""

from __future__ import annotations

from collections.abc import Sequence


def refuse(dialect: str, name: str, table: str, when: str, condition: str, message: str) -> list[str]:
    """Statements that make the database refuse to INSERT, UPDATE or DELETE (`when`) a row of `table`.

    `condition`: when it is refused; "" means always. `message` is what the writer is told; no quotes in it.
    """
    if dialect == "sqlite":
        asked = f"WHEN {condition} " if condition else ""
        return [
            f"CREATE TRIGGER {table}_{name} BEFORE {when} ON {table} {asked}BEGIN SELECT RAISE(ABORT, '{message}'); END"
        ]
    kept = "OLD" if when == "DELETE" else "NEW"
    return [
        f"CREATE FUNCTION {table}_{name}() RETURNS trigger LANGUAGE plpgsql AS $guard$ BEGIN "
        f"IF {condition or 'TRUE'} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; "
        f"END IF; RETURN {kept}; END $guard$",
        f"CREATE TRIGGER {table}_{name} BEFORE {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_{name}()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_{name}",  # also under session_replication_role = replica
    ]


def lift(dialect: str, name: str, table: str) -> list[str]:
    """Statements that take such a rule away again, for a migration that puts a new one in its place."""
    if dialect == "sqlite":
        return [f"DROP TRIGGER {table}_{name}"]
    return [f"DROP TRIGGER {table}_{name} ON {table}", f"DROP FUNCTION {table}_{name}()"]


def append_only(dialect: str, table: str, same: str) -> list[str]:
    """A row is written once. `same`: when a new row would take the place of one that is there.

    INSERT OR REPLACE deletes the old row without asking the trigger on DELETE; TRUNCATE asks none per row.
    """
    message = f"{table} is append-only"
    return [
        *refuse(dialect, "no_update", table, "UPDATE", "", message),
        *kept(dialect, table, same, message),
    ]


def kept(dialect: str, table: str, same: str, message: str = "") -> list[str]:
    """Rows are changed, never removed or replaced."""
    message = message or f"{table} rows are kept"
    guards = [
        *refuse(dialect, "no_delete", table, "DELETE", "", message),
        *refuse(dialect, "no_replace", table, "INSERT", f"EXISTS (SELECT 1 FROM {table} WHERE {same})", message),
    ]
    if dialect != "sqlite":
        guards += [
            f"CREATE FUNCTION {table}_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $guard$ BEGIN "
            f"RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; END $guard$",
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_no_truncate()",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate",
        ]
    return guards


def told(dialect: str, table: str, key: str, moved: str, stays: Sequence[str], state: str = "state") -> list[str]:
    """A row begins, and moves, only with an entry of its own in the log: newer, of this subject, of this state.

    `moved`: when an update has to be told ("" for every one); `stays`: columns that never change.
    """
    entry = (
        f"EXISTS (SELECT 1 FROM entry WHERE id = NEW.entry_id AND subject = '{table}' "
        f"AND subject_id = NEW.{key} AND state = NEW.{state})"
    )
    changed = f"({moved}) AND " if moved else ""
    untold = f"{changed}NOT (NEW.entry_id > COALESCE(OLD.entry_id, 0) AND {entry})"
    other = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in stays)
    return [
        *refuse(dialect, "move", table, "UPDATE", untold, f"a {table} moves only with its log entry"),
        *refuse(dialect, "begin", table, "INSERT", f"NOT {entry}", f"a {table} begins only with its log entry"),
        *refuse(dialect, "identity", table, "UPDATE", other, f"a {table} keeps its identity"),
    ]
