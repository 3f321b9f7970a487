"""One database: its engine, its transactions, its migrations. Keys and the ledger are kept by it.

Every transaction runs in a task of its own, and goes on when its caller is cancelled: SQLAlchemy on asyncpg loses the
connection when a query is cancelled (https://github.com/sqlalchemy/sqlalchemy/issues/12077). The timeouts of the
drivers bound a transaction.

A transaction is a plain function. SQLite's runs in a thread: one hop for all of it, where an async driver takes one for
each statement. PostgreSQL's runs in a greenlet, which asyncpg suspends while it waits. SQLAlchemy's package
`sqlalchemy.ext.asyncio` does the same, but imports the ORM, which takes 6 MiB.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import (
    URL,
    ClauseElement,
    Connection,
    DateTime,
    Dialect,
    Engine,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.types import TypeDecorator
from sqlalchemy.util import greenlet_spawn

from .revisions import Schema, migrate, ready

if find_spec("alembic") is None:  # imported only where it is needed, and missed at once
    raise ModuleNotFoundError("No module named 'alembic'")

T = TypeVar("T")
Aside: TypeAlias = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]

TIMEOUT = 2.0  # seconds to wait for a connection, for a statement, and for a lock of SQLite


class Database:
    """A database that holds one schema. SQLite is migrated at first use; PostgreSQL may belong to others.

    Args:
        url: `sqlite:///FILE` or `postgresql://user:password@host/name`.
        schema: The tables in it.

    Raises ValueError for a URL of another database, and ModuleNotFoundError if the driver is not installed.
    """

    def __init__(self, url: str, schema: Schema) -> None:
        self._schema = schema
        self._url = async_url(url, schema)
        self._engine = _engine(self._url)
        self._writing = self._engine.execution_options(writes=True)  # made once: a new one has to find its listeners
        self._aside: Aside = asyncio.to_thread if self.dialect == "sqlite" else greenlet_spawn
        self._opening = asyncio.Lock()
        self._open = False
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def compiled(self, statement: ClauseElement) -> str:
        """A statement as text for the driver, whose parameters stand in the order of its columns."""
        return str(statement.compile(dialect=self._engine.dialect))

    async def run(self, work: Callable[[Connection], T], /, *, writes: bool = False) -> T:
        """Do `work` in one transaction. Raises the schema's error, whose `detail` says why."""
        return await self._own(self._run(work, writes))

    async def change(self, work: Callable[[Connection], None], /, *, then: Callable[[], Awaitable[None]]) -> None:
        """Do `work` in one transaction that writes, and `then` after its commit. Raises as `run` does."""

        async def both() -> None:
            await self._run(work, writes=True)
            await then()

        await self._own(both())

    async def migrate(self) -> None:
        """Bring the tables up to date. May be called twice, also at the same time."""
        await self._own(self._transact(partial(migrate, schema=self._schema), writes=True))

    async def aclose(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._own(self._aside(self._engine.dispose))

    async def _own(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # asyncio reports an exception that nobody retrieved
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.wait([task])
        return task.result()

    async def _run(self, work: Callable[[Connection], T], writes: bool) -> T:
        async with self._opening:
            if not self._open:
                await self._transact(self._prepare, writes=True)
                self._open = True
        return await self._transact(work, writes=writes)

    def _prepare(self, connection: Connection) -> None:
        schema = self._schema
        if ready(connection, schema):
            return
        if connection.dialect.name != "sqlite":
            raise schema.away(
                f"The tables of the {schema.store} are missing or of an older version. Run: {schema.command}"
            )
        migrate(connection, schema)

    async def _transact(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        def transaction() -> T:
            with (self._writing if writes else self._engine).begin() as connection:
                return work(connection)

        try:
            if not self._open and self.dialect == "sqlite":
                await self._aside(partial(_make_file, self._engine))
            found: T = await self._aside(transaction)
        except (self._schema.unavailable, *self._schema.errors):
            raise
        except Exception as exc:  # SQLAlchemy does not wrap what asyncpg raises when it connects
            cause = getattr(exc, "orig", None) or exc
            raise self._schema.away(f"{type(cause).__name__}: {cause}") from exc
        return found

    def __repr__(self) -> str:
        # The query may hold a password too.
        return f"{self._url.set(query={}).render_as_string(hide_password=True)!r}"


class Moment(TypeDecorator[datetime]):
    """An aware datetime in UTC. SQLite stores no time zone, so this type removes it and adds it again."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def async_url(url: str, schema: Schema) -> URL:
    """The URL with the async driver, and with libpq's `sslmode` under asyncpg's name `ssl`."""
    # No message repeats the text, which may hold a password.
    write = f"Write sqlite:///{schema.example} or postgresql://host/name."
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"The URL of the {schema.store} is none. {write}") from None
    match parsed.drivername:
        case "sqlite":
            return parsed
        case "postgresql" | "postgres" | "postgresql+asyncpg":
            if "@" in f"{parsed.host}{parsed.database}":  # the rest of a password, which errors would show
                message = (
                    f"The URL of the {schema.store} holds an '@' too many. In a user or password write %40 for '@'."
                )
                raise ValueError(f"{message} Of a user also write %2F for '/' and %3A for ':'.")
            query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
            return parsed.set(drivername="postgresql+asyncpg", query=query)
        case other:
            raise ValueError(f"The {schema.store} cannot be in {other!r}. {write}")


def _engine(url: URL) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"connect_args": {"timeout": TIMEOUT}}
    if sqlite:
        options["connect_args"]["check_same_thread"] = False
    else:
        options["connect_args"]["command_timeout"] = TIMEOUT
        options["pool_timeout"] = TIMEOUT
        options["pool_pre_ping"] = True  # a restarted server costs nobody an error
    try:
        # The parameters of a statement, such as digests of keys, must not be logged.
        engine = create_engine(url, hide_parameters=True, **options)
    except ModuleNotFoundError as exc:
        message = 'This database needs asyncpg. Install it with: pip install "xrouter-asgi[postgres]"'
        raise ModuleNotFoundError(message) from exc
    if sqlite:
        event.listen(engine, "connect", _connect_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_file(engine: Engine) -> None:
    """Make the file, or raise the reason why not.

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
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at its start: a transaction that first reads and then writes would fail at once instead of
    # waiting for the lock (https://sqlite.org/lang_transaction.html, SQLITE_BUSY_SNAPSHOT).
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
