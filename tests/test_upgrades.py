"""Keys and ledger when a newer version migrates their database: this one runs on, starts again, is put back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from xrouter_asgi.database import Schema, async_url
from xrouter_asgi.database.probe import look_at
from xrouter_asgi.errors import KeyStoreUnavailable, XRouterError
from xrouter_asgi.keys import Issuer, KeySpec, SQLKeyStore
from xrouter_asgi.keys.schema import SCHEMA as KEYS
from xrouter_asgi.ledger import ALL, LedgerUnavailable, SQLLedger
from xrouter_asgi.ledger.schema import SCHEMA as LEDGER

from .ledger.entries import NOON, entry

Store: TypeAlias = SQLKeyStore | SQLLedger


async def use_keys(store: Store) -> int:
    """Make a key, change it, and count all of them."""
    assert isinstance(store, SQLKeyStore)
    issuer = Issuer(store, by="tester")
    made = (await issuer.create(KeySpec(name="one"))).key
    await issuer.update(made.id, limits=("60/minute",))
    assert len(await store.audit(made.id)) == 2
    return len(await store.list())


async def use_ledger(store: Store) -> int:
    """Write an entry, and count all of them."""
    assert isinstance(store, SQLLedger)
    await store.write([entry(cost=1)])
    await store.prune(NOON.replace(year=2000))
    assert await store.spent(ALL, NOON) == len((await store.entries()).entries)
    return len((await store.entries()).entries)


@dataclass(frozen=True)
class Kind:
    schema: Schema
    make: Callable[[str], Store]
    use: Callable[[Store], Awaitable[int]]
    table: str
    unavailable: type[XRouterError]


KINDS = {
    "keys": Kind(KEYS, SQLKeyStore, use_keys, "xrouter_keys", KeyStoreUnavailable),
    "ledger": Kind(LEDGER, SQLLedger, use_ledger, "xrouter_usage", LedgerUnavailable),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/it.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


async def migrate_beyond(url: str, kind: Kind, *, by: int) -> str:
    """What so many newer versions do to a database: each adds a column. Returns the revision."""
    engine = create_async_engine(async_url(url, kind.schema))
    revision = f"{int(kind.schema.revision) + by:04}"
    async with engine.begin() as connection:
        for number in range(by):
            await connection.execute(text(f"ALTER TABLE {kind.table} ADD COLUMN newer_{number} VARCHAR(9) DEFAULT 'x'"))
        await connection.execute(text(f"UPDATE {kind.schema.version_table} SET version_num = '{revision}'"))  # noqa: S608
    await engine.dispose()
    return revision


async def test_a_process_that_runs_goes_on_when_its_database_is_migrated(url: str, kind: Kind) -> None:
    store = kind.make(url)
    await store.migrate()
    assert await kind.use(store) == 1
    await migrate_beyond(url, kind, by=2)
    assert await kind.use(store) == 2
    await store.aclose()


async def test_the_version_before_starts_on_tables_of_the_next_one(
    url: str, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """It crashed and starts again during an upgrade, or is put back afterwards."""
    first = kind.make(url)
    await first.migrate()
    await kind.use(first)
    await first.aclose()
    revision = await migrate_beyond(url, kind, by=1)
    again = kind.make(url)
    with caplog.at_level(logging.WARNING, "xrouter"):
        await again.migrate()  # as whoever starts it may do, and it changes nothing
        assert await kind.use(again) == 2
    assert f"A newer version has migrated the {kind.schema.store}. This one uses it as it is." in caplog.messages
    await again.aclose()
    assert (await look_at(url, kind.schema)).endswith(f"answers, with tables of revision {revision}")


async def test_a_version_that_is_too_old_says_so_and_changes_nothing(url: str, kind: Kind) -> None:
    first = kind.make(url)
    await first.migrate()
    await first.aclose()
    revision = await migrate_beyond(url, kind, by=2)
    late = kind.make(url)
    for attempt in (late.migrate(), kind.use(late), look_at(url, kind.schema)):
        with pytest.raises(kind.unavailable) as caught:
            await attempt
        assert caught.value.detail == (
            f"The tables of the {kind.schema.store} are of revision {revision}, and this version knows those up to "
            f"{kind.schema.revision} and the next. Start the version that migrated them, or restore an older copy."
        )
        assert revision not in caught.value.message
    await late.aclose()


async def test_processes_that_migrate_at_the_same_time_wait_for_each_other(url: str, kind: Kind) -> None:
    stores = [kind.make(url) for _ in range(4)]
    await asyncio.gather(*(store.migrate() for store in stores))
    assert await kind.use(stores[0]) == 1
    await asyncio.gather(*(store.aclose() for store in stores))
    assert (await look_at(url, kind.schema)).endswith(f"tables of revision {kind.schema.revision}")
