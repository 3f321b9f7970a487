"""Runs the migrations on the connection of `Database`, inside its transaction."""

from __future__ import annotations

from alembic import context

from xrouter_asgi.ledger.schema import SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SCHEMA.metadata,
    version_table=SCHEMA.version_table,
)
context.run_migrations()
