"""Databases of the version before: they are brought up to date while its processes run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from xrouter_asgi.database import alembic_config, async_url
from xrouter_asgi.keys import APIKey, CachedKeys, Hasher, Issuer, SQLKeyStore, new_secret
from xrouter_asgi.keys.schema import SCHEMA

from .clock import START

SECRET = new_secret()


def migrate_to(revision: str) -> Any:
    def migrate(connection: Connection) -> None:
        config = alembic_config(SCHEMA)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    return migrate


class OldGateway:
    """The statements of the version before, on a connection that stays open."""

    def __init__(self, engine: AsyncEngine, tables: MetaData) -> None:
        self.engine = engine
        self.keys, self.secrets = tables.tables["xrouter_keys"], tables.tables["xrouter_key_secrets"]

    async def add(self, id: str, secret: str) -> None:
        row = {"id": id, "name": "", "kind": "live", "is_active": True, "created_at": START.replace(tzinfo=self.zone)}
        async with self.engine.begin() as connection:
            await connection.execute(insert(self.keys).values(row | {"scopes": [], "models": ["a"], "limits": []}))
            facts = {"digest": Hasher().digest(secret), "key_id": id, "pepper": 0, "created_at": row["created_at"]}
            await connection.execute(insert(self.secrets).values(facts))

    async def find(self, secret: str) -> bool:
        """Whether the key is active."""
        statement = select(self.keys, self.secrets.c.digest).join_from(self.keys, self.secrets)
        async with self.engine.begin() as connection:
            rows = await connection.execute(statement.where(self.secrets.c.digest == Hasher().digest(secret)))
            return bool(rows.one().is_active)

    async def revoke(self, id: str) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(update(self.keys).where(self.keys.c.id == id).values(is_active=False))

    @property
    def zone(self) -> Any:
        return START.tzinfo if self.engine.dialect.name == "postgresql" else None


@pytest.fixture(params=["sqlite", "postgres"])
async def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
async def old(url: str) -> AsyncIterator[OldGateway]:
    engine = create_async_engine(async_url(url, SCHEMA))
    tables = MetaData()
    async with engine.begin() as connection:
        await connection.run_sync(migrate_to("0001"))
        await connection.run_sync(lambda sync: [Table(name, tables, autoload_with=sync) for name in _TABLES])
    yield OldGateway(engine, tables)
    await engine.dispose()


_TABLES = ("xrouter_keys", "xrouter_key_secrets")


async def test_old_keys_are_found_as_they_were(url: str, old: OldGateway) -> None:
    await old.add("key_old", SECRET)
    store = SQLKeyStore(url)
    await store.migrate()
    assert await store.find([Hasher().digest(SECRET)]) == APIKey("key_old", created_at=START, models=("a",))
    await store.aclose()


async def test_a_process_of_the_version_before_goes_on(url: str, old: OldGateway) -> None:
    await old.add("key_old", SECRET)
    assert await old.find(SECRET)
    store = SQLKeyStore(url)
    await store.migrate()
    issuer = Issuer(store, by="tester")
    other = new_secret()
    await old.add("key_other", other)
    assert [await old.find(SECRET), await old.find(other)] == [True, True]
    # What it does not know it heeds all the same: a suspended key is not active.
    await issuer.suspend("key_old")
    assert not await old.find(SECRET)
    await issuer.resume("key_old")
    assert await old.find(SECRET)
    await old.revoke("key_other")
    assert (await store.get("key_other")).state(START) == "revoked"
    with pytest.raises(ValueError, match="is revoked for good"):
        await issuer.resume("key_other")
    await store.aclose()


async def test_what_a_process_of_the_version_before_changes_is_heard(postgres_url: str) -> None:
    engine, tables = create_async_engine(async_url(postgres_url, SCHEMA)), MetaData()
    async with engine.begin() as connection:
        await connection.run_sync(migrate_to("0001"))
        await connection.run_sync(lambda sync: [Table(name, tables, autoload_with=sync) for name in _TABLES])
    old = OldGateway(engine, tables)
    await old.add("key_old", SECRET)
    store = SQLKeyStore(postgres_url)
    await store.migrate()
    keys, heard = CachedKeys(store, clock=lambda: 0.0), asyncio.Event()
    store.watch(lambda id: heard.set())
    await keys.check(SECRET)
    await heard.wait()
    assert await keys.check(SECRET) is not None
    heard.clear()
    await old.revoke("key_old")
    await heard.wait()
    assert await keys.check(SECRET) is None
    await keys.aclose()
    await engine.dispose()
