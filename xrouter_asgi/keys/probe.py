"""What a database of keys says when it is asked, without making or changing anything in it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import text

from ..errors import KeyStoreUnavailable
from .database import TIMEOUT, Database, async_url
from .schema import REVISION, VERSION_TABLE


async def look_at(url: str) -> str:
    """Whether the tables are there, in words.

    Raises:
        KeyStoreUnavailable: The database cannot be asked, or PostgreSQL's tables want `xrouter keys migrate`.
    """
    parsed = async_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database and not parsed.query:
        return await asyncio.to_thread(_look_at_file, Path(parsed.database))
    database = Database(url)
    try:
        await database.run(lambda connection: connection.scalar(text("SELECT 1")))
    finally:
        await database.aclose()
    return f"answers, with tables of revision {REVISION}"


def _look_at_file(file: Path) -> str:
    if not file.exists():
        return f"{file} is made at first use"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=TIMEOUT)) as connection:
            found = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 -- a constant
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return f"{file} gets its tables at first use"
        message = "The key store cannot be asked right now. Try again in a moment."
        raise KeyStoreUnavailable(message, detail=f"{file}: {error}") from error
    if found != (REVISION,):
        return f"{file} is brought up to revision {REVISION} at first use"
    return f"{file} answers, with tables of revision {REVISION}"
