"""Stores of all kinds, each of them empty."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, tzinfo
from pathlib import Path

import pytest

from xrouter_asgi.ledger import LedgerStore, MemoryLedger, SQLLedger

MakeLedger = Callable[..., Awaitable[LedgerStore]]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/usage.db"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[MakeLedger]:
    """Makes one store, in a time zone."""
    made: list[LedgerStore] = []

    async def one(timezone: tzinfo = UTC) -> LedgerStore:
        store: LedgerStore
        if request.param == "memory":
            store = MemoryLedger(timezone=timezone)
        else:
            store = SQLLedger(request.getfixturevalue(f"{request.param}_url"), timezone=timezone)
            await store.migrate()
        made.append(store)
        return store

    yield one
    for store in made:
        await store.aclose()


@pytest.fixture
async def ledger(make: MakeLedger) -> LedgerStore:
    return await make()
