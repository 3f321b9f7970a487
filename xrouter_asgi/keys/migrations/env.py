"""Runs the migrations on the connection of `Database`, inside its transaction."""

from __future__ import annotations

from alembic import context

from xrouter_asgi.keys.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
