"""One database: its engine, its transactions, its migrations.

Every transaction runs in a task of its own, and goes on when its caller is cancelled: SQLAlchemy on asyncpg loses the
connection when a query is cancelled (https://github.com/sqlalchemy/sqlalchemy/issues/12077). The timeouts of the
drivers bound a transaction.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing, suppress
from importlib.util import find_spec
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, column, event, inspect, make_url, select, table, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ..errors import KeyStoreUnavailable
from .base import KeyConflict, KeyExists, UnknownKey
from .schema import REVISION, VERSION_TABLE

if find_spec("alembic") is None:  # imported only where it is needed, and missed at once
    raise ModuleNotFoundError("No module named 'alembic'")

T = TypeVar("T")

TIMEOUT = 2.0  # seconds to wait for a connection, for a statement, and for a lock of SQLite
_MIGRATION_LOCK = 0x78726F75746572  # "xrouter", for pg_advisory_xact_lock


class Database:
    """A database, as `SQLKeyStore` takes it. SQLite is migrated at first use; PostgreSQL may belong to others."""

    def __init__(self, url: str) -> None:
        self._url = async_url(url)
        self._engine = _engine(self._url)
        self._opening = asyncio.Lock()
        self._open = False
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]], /, *, writes: bool = False) -> T:
        """Do `work` in one transaction. Raises KeyStoreUnavailable, whose `detail` says why."""
        return await self._own(self._run(work, writes))

    async def change(
        self, work: Callable[[AsyncConnection], Awaitable[None]], /, *, then: Callable[[], Awaitable[None]]
    ) -> None:
        """Do `work` in one transaction that writes, and `then` after its commit. Raises as `run` does."""

        async def both() -> None:
            await self._run(work, writes=True)
            await then()

        await self._own(both())

    async def migrate(self) -> None:
        """Bring the tables up to `REVISION`. May be called twice, also at the same time."""
        await self._own(self._transact(lambda connection: connection.run_sync(_migrate), writes=True))

    async def aclose(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._own(self._engine.dispose())

    async def _own(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # asyncio reports an exception that nobody retrieved
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait([task])
        return task.result()

    async def _run(self, work: Callable[[AsyncConnection], Awaitable[T]], writes: bool) -> T:
        async with self._opening:
            if not self._open:
                await self._transact(self._prepare, writes=True)
                self._open = True
        return await self._transact(work, writes=writes)

    async def _prepare(self, connection: AsyncConnection) -> None:
        if await connection.run_sync(_revision) == REVISION:
            return
        if connection.dialect.name != "sqlite":
            raise _unavailable("The key tables are missing or of another version. Run: xrouter keys migrate")
        await connection.run_sync(_migrate)

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[T]], *, writes: bool) -> T:
        try:
            if not self._open and self._engine.dialect.name == "sqlite":
                await asyncio.to_thread(_make_file, self._engine)
            async with self._engine.execution_options(writes=writes).begin() as connection:
                return await work(connection)
        except (KeyStoreUnavailable, KeyConflict, KeyExists, UnknownKey):
            raise
        except Exception as exc:  # SQLAlchemy does not wrap what asyncpg raises when it connects
            cause = getattr(exc, "orig", None) or exc
            raise _unavailable(f"{type(cause).__name__}: {cause}") from exc

    def __repr__(self) -> str:
        # The query may hold a password too.
        return f"{self._url.set(query={}).render_as_string(hide_password=True)!r}"


def _unavailable(detail: str) -> KeyStoreUnavailable:
    return KeyStoreUnavailable("The key store cannot be asked right now. Try again in a moment.", detail=detail)


def async_url(url: str) -> URL:
    """The URL with the async driver, and with libpq's `sslmode` under asyncpg's name `ssl`."""
    # No message repeats the text, which may hold a password.
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        message = "The URL of the key store is none. Write sqlite:///keys.db or postgresql://host/name."
        raise ValueError(message) from None
    match parsed.drivername:
        case "sqlite" | "sqlite+aiosqlite":
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres" | "postgresql+asyncpg":
            if "@" in f"{parsed.host}{parsed.database}":  # the rest of a password, which errors would show
                message = "The URL of the key store holds an '@' too many. In a user or password write %40 for '@'."
                raise ValueError(f"{message} Of a user also write %2F for '/' and %3A for ':'.")
            query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
            return parsed.set(drivername="postgresql+asyncpg", query=query)
        case other:
            raise ValueError(f"Keys cannot be kept in {other!r}. Write sqlite:///keys.db or postgresql://host/name.")


def _engine(url: URL) -> AsyncEngine:
    sqlite = url.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"connect_args": {"timeout": TIMEOUT}}
    if not sqlite:
        options["connect_args"]["command_timeout"] = TIMEOUT
        options["pool_timeout"] = TIMEOUT
        options["pool_pre_ping"] = True  # a restarted server costs nobody an error
    try:
        # The parameters of a statement are digests, which must not be logged.
        engine = create_async_engine(url, hide_parameters=True, **options)
    except ModuleNotFoundError as exc:
        driver, extra = ("aiosqlite", "sql") if sqlite else ("asyncpg", "postgres")
        message = f'Keys in this database need {driver}. Install it with: pip install "xrouter-asgi[{extra}]"'
        raise ModuleNotFoundError(message) from exc
    if sqlite:
        event.listen(engine.sync_engine, "connect", _connect_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _make_file(engine: AsyncEngine) -> None:
    """Make the file, or raise the reason why not: in aiosqlite a failure leaves a thread that outlives the event loop.

    The journal mode is stored in the file. When several processes open a new file at once, SQLite may tell all but one
    that it is locked, whatever their timeout (it does not wait where that might deadlock), so this asks again.
    """
    (file,), options = engine.dialect.create_connect_args(engine.url)
    if not options.get("uri") and file != ":memory:":
        with suppress(
            FileExistsError
        ):  # SQLite would make it readable for everybody; its other files get the same mode
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    deadline = time.monotonic() + TIMEOUT
    with closing(sqlite3.connect(file, uri=options.get("uri", False), timeout=TIMEOUT)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not wait for each other
                return
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def _connect_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # no implicit BEGIN: see _begin_sqlite
    cursor = connection.cursor()  # what `execute` returns has to be awaited before SQLAlchemy 2.1
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at its start: a transaction that first reads and then writes would fail at once instead of
    # waiting for the lock (https://sqlite.org/lang_transaction.html, SQLITE_BUSY_SNAPSHOT).
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))


def _migrate(connection: Connection) -> None:
    from alembic import command  # here, because the import takes 0.1 s
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    config = Config()
    config.set_main_option("script_location", "xrouter_asgi.keys:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
