"""Run by Alembic: on the connection of node.store.schema, in its transaction."""

from __future__ import annotations

from alembic import context

from node.store.tables import metadata, revision

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=revision.name,
)
with context.begin_transaction():
    context.run_migrations()
