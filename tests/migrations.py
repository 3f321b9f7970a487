"""Whether migrations and schema of a database say the same."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from xrouter_asgi.database import Schema, alembic_config, async_url


async def differences(url: str, schema: Schema, *, tables: str) -> list[Any]:
    """What the tables in a database, of those whose names begin so, lack of a schema or have beside it."""

    def compare(connection: Connection) -> list[Any]:
        def include(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
            return kind != "table" or (name or "").startswith(tables)

        options = {"compare_type": True, "include_object": include, "version_table": schema.version_table}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata))

    engine = create_async_engine(async_url(url, schema))
    async with engine.connect() as connection:
        found = await connection.run_sync(compare)
    await engine.dispose()
    return found


def newest_migration(schema: Schema) -> str | None:
    """The revision that the folder of migrations leads to."""
    return ScriptDirectory.from_config(alembic_config(schema)).get_current_head()
