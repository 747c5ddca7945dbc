"""Alembic's entry: runs on the connection that `sync.store.session.migrate` opened and locked."""

from __future__ import annotations

from alembic import context

from sync.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
