"""Notifications by PostgreSQL's LISTEN and NOTIFY."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NoReturn

from sqlalchemy import URL

from .base import Changed
from .changes import CHANNEL, PING, TIMEOUT


class PostgresChanges:
    """Listens to the trigger of the table of keys, which notifies of every change, whoever makes it.

    LISTEN needs a session of its own: a PgBouncer in transaction mode delivers no notifications.

    Args:
        url: Of the database, with the driver asyncpg.
    """

    name = "PostgreSQL"

    def __init__(self, url: URL) -> None:
        _, options = url.get_dialect()().create_connect_args(url)
        # asyncpg does not know SQLAlchemy's own options.
        self._options = {name: value for name, value in options.items() if not name.startswith("prepared_statement_")}

    async def tell(self, id: str, /) -> None: ...  # the trigger does it

    async def listen(self, changed: Changed, /) -> NoReturn:
        from asyncpg import connect  # type: ignore[import-untyped]  # it has no types

        lost = asyncio.Event()
        connection = await connect(**self._options, timeout=TIMEOUT, command_timeout=TIMEOUT)
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, lambda _, pid, channel, id: changed(str(id)))
            changed(None)
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), PING)
                await connection.execute("SELECT 1")  # raises if the connection is lost
        finally:
            connection.terminate()
