"""What a database says when it is asked, without making or changing anything in it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from .database import TIMEOUT, Database, async_url
from .revisions import Schema, revision_of


async def look_at(url: str, schema: Schema) -> str:
    """Whether the tables are there, in words.

    Raises:
        XRouterError: That of the schema: the database cannot be asked, or PostgreSQL's tables want to be migrated.
    """
    parsed = async_url(url, schema)
    if parsed.get_backend_name() == "sqlite" and parsed.database and not parsed.query:
        return await asyncio.to_thread(_look_at_file, Path(parsed.database), schema)
    database = Database(url, schema)
    try:
        found = await database.run(lambda connection: revision_of(connection, schema.version_table))
    finally:
        await database.aclose()
    return f"answers, with tables of revision {found}"


def _look_at_file(file: Path, schema: Schema) -> str:
    if not file.exists():
        return f"{file} is made at first use"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=TIMEOUT)) as connection:
            found = connection.execute(f"SELECT version_num FROM {schema.version_table}").fetchone()  # noqa: S608 -- a constant
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return f"{file} gets its tables at first use"
        raise schema.away(f"{file}: {error}") from error
    revision = found and found[0]
    if schema.wants_migration(revision):
        return f"{file} is brought up to revision {schema.revision} at first use"
    return f"{file} answers, with tables of revision {revision}"
