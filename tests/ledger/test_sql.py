"""What only databases can get wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy.dialects import sqlite

from tests.ledger.entries import NOON, entry, hours
from tests.migrations import differences, newest_migration
from xrouter_asgi import ledger as ledger_package
from xrouter_asgi.keys import SQLKeyStore
from xrouter_asgi.ledger import ALL, Entry, LedgerUnavailable, SQLLedger, Where
from xrouter_asgi.ledger.base import SUMS_KEPT, Totals
from xrouter_asgi.ledger.pieces import pieces, union
from xrouter_asgi.ledger.schema import COUNTS, SCHEMA, days, usage


async def test_the_migrations_make_the_tables_of_the_schema(url: str) -> None:
    store = SQLLedger(url)
    await store.migrate()
    await store.aclose()
    assert await differences(url, SCHEMA, tables="xrouter_usage") == []


def test_the_newest_migration_is_the_one_that_is_asked_for() -> None:
    assert newest_migration(SCHEMA) == SCHEMA.revision


def test_the_columns_of_the_entries_are_their_fields_in_their_order() -> None:
    assert tuple(usage.c.keys()) == Entry._fields


def test_the_columns_that_are_summed_are_the_totals() -> None:
    assert tuple(Totals.__slots__) == COUNTS
    assert [name for name in days.c.keys() if name not in days.primary_key.columns] == list(COUNTS)  # noqa: SIM118


async def test_keys_and_the_ledger_share_a_database(url: str) -> None:
    keys, store = SQLKeyStore(url), SQLLedger(url)
    await asyncio.gather(keys.migrate(), store.migrate())
    await store.write([entry()])
    assert await keys.list() == []
    assert await store.spent(ALL, NOON) == 100
    await keys.aclose()
    await store.aclose()


async def test_postgresql_is_not_migrated_unasked(postgres_url: str) -> None:
    store = SQLLedger(postgres_url)
    with pytest.raises(LedgerUnavailable) as caught:
        await store.write([entry()])
    assert caught.value.detail == (
        "The tables of the ledger are missing or of an older version. Run: xrouter spend --migrate"
    )
    assert "migrate" not in caught.value.message
    await store.migrate()
    await store.write([entry()])
    await store.aclose()


async def test_writers_that_add_to_the_same_sums_lose_nothing_and_wait_for_nobody_for_ever(url: str) -> None:
    stores = [SQLLedger(url) for _ in range(2)]
    await stores[0].migrate()
    there = [entry(NOON + hours(24 * number), cost=1) for number in range(20)]
    back = [entry(NOON + hours(24 * number), cost=1) for number in reversed(range(20))]
    for _ in range(5):
        again = [[entry(each.at, cost=1) for each in batch] for batch in (there, back)]
        await asyncio.gather(*(store.write(batch) for store, batch in zip(stores, again, strict=True)))
    assert await stores[1].spent(ALL, NOON) == 200
    for store in stores:
        await store.aclose()


async def test_a_batch_is_written_whole_or_not_at_all(url: str) -> None:
    store = SQLLedger(url)
    await store.migrate()
    impossible = entry(cost=2**70)
    with pytest.raises(LedgerUnavailable):
        await store.write([entry(), impossible])
    assert await store.spent(ALL, NOON) == 0
    assert (await store.entries()).entries == []
    await store.aclose()


async def test_a_ledger_that_is_away_says_so_without_a_password() -> None:
    store = SQLLedger("postgresql://user:geheim@127.0.0.1:1/usage")
    for asking in (store.spent(Where(key="key_1"), NOON), store.write([entry()]), store.prune(NOON)):
        with pytest.raises(LedgerUnavailable) as caught:
            await asking
        assert caught.value.status == 503
        assert "geheim" not in f"{caught.value} {caught.value.detail} {store!r}"
    await store.aclose()


@pytest.mark.parametrize("given", ["mysql://u:geheim@host/usage", "geheim", ""])
def test_other_databases_are_refused_without_showing_a_password(given: str) -> None:
    with pytest.raises(ValueError, match=r"Write sqlite:///usage\.db or postgresql://host/name\.") as caught:
        SQLLedger(given)
    assert "geheim" not in str(caught.value)


async def test_the_days_of_sqlite_lie_in_their_order(sqlite_url: str) -> None:
    """Sums of a month read a stretch of the table, and no more."""
    store = SQLLedger(sqlite_url)
    await store.write([entry()])
    await store.aclose()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT sum(cost) FROM xrouter_usage_days WHERE day > '2026-11'"
        ).fetchall()
    assert "SEARCH" in plan[0][3]
    assert "PRIMARY KEY" in plan[0][3]


async def test_half_a_month_by_owner_is_read_as_it_lies(sqlite_url: str) -> None:
    store = SQLLedger(sqlite_url)
    await store.migrate()
    await store.aclose()
    statement = union(pieces("2026-11-01", "2026-11-15", ALL, ("owner",)), ("owner",), ("cost",), ALL)
    text = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}")]
    assert "SEARCH xrouter_usage_owner_days USING PRIMARY KEY (user_id=? AND day>? AND day<?)" in steps
    assert not any("B-TREE" in step for step in steps)


async def test_sums_that_are_too_old_leave_no_rows(sqlite_url: str) -> None:
    store = SQLLedger(sqlite_url)
    await store.write([entry(owner=owner) for owner in ("ann", "bob", None)])
    await store.prune(NOON + hours(24) + SUMS_KEPT)
    await store.aclose()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        for table in SCHEMA.metadata.tables:
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608 -- a constant


async def test_batches_of_any_size_are_written_whole(url: str) -> None:
    store = SQLLedger(url)
    await store.migrate()
    written = [entry(error="timeout" if number % 2 else None) for number in range(33)]
    for number in (1, 32):
        await store.write([written.pop() for _ in range(number)])
    page = await store.entries()
    assert len(page.entries) == 33
    assert sum(each.error is None for each in page.entries) == 17
    assert await store.spent(ALL, NOON) == 3300
    await store.aclose()


def test_without_sqlalchemy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xrouter_asgi.ledger.sql", None)
    with pytest.raises(ModuleNotFoundError, match=r"xrouter-asgi\[sql\]"):
        _ = ledger_package.SQLLedger
    with pytest.raises(AttributeError):
        _ = ledger_package.SQLLedgers
