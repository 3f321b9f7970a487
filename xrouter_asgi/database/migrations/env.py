"""Runs the migrations of a schema on the connection of `Database`, inside its transaction."""

from __future__ import annotations

from alembic import context

schema = context.config.attributes["schema"]
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.version_table,
)
context.run_migrations()
