"""Stores in files of SQLite, and in databases of PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from xrouter_asgi.keys import KeyRegistry, MemoryKeyStore, SQLKeyStore


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
