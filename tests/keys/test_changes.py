"""How soon a change of a key takes effect: at once where it is made, and wherever word of it arrives.

The clock of every cache stands still, so that no entry ever becomes old by itself: what takes effect was told.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import text

from tests.databases import engine_of
from xrouter_asgi.keys import CachedKeys, Issuer, KeyRegistry, KeySpec, RedisChanges, SQLKeyStore, changes
from xrouter_asgi.keys.base import APIKey, Changed
from xrouter_asgi.keys.postgres_changes import PostgresChanges
from xrouter_asgi.testing.waiting import until

from ..limits.servers import RedisServer, Wire, redis_server


class Gateway:
    """One process that checks keys: a store of its own, and a cache whose entries never get old."""

    def __init__(self, url: str, redis: str | None = None) -> None:
        self.store = SQLKeyStore(url, changes=None if redis is None else RedisChanges(redis))
        self.keys = CachedKeys(self.store, clock=lambda: 0.0)
        self.issuer = Issuer(self.store, by="tester")

    async def until(self, secret: str, expected: Callable[[APIKey | None], bool]) -> None:
        """Wait until the check of the secret gives what is expected."""
        for _ in range(1000):
            if expected(await self.keys.check(secret)):
                return
            await asyncio.sleep(0.005)
        raise TimeoutError

    async def listening(self, secret: str) -> None:
        """Wait until word arrives: the first thing that a listener says is that all is to be looked up again."""
        heard = asyncio.Event()
        self.store.watch(lambda id: heard.set())
        await self.keys.check(secret)
        await heard.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture(params=["postgres", "sqlite and redis"])
async def gateways(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two of one database."""
    if request.param == "postgres":
        url, redis = request.getfixturevalue("postgres_url"), None
    else:
        url, redis = request.getfixturevalue("sqlite_url"), request.getfixturevalue("redis").url
    one, other = Gateway(url, redis), Gateway(url, redis)
    await one.store.migrate()
    yield one, other
    await one.keys.aclose()
    await other.keys.aclose()


def gone(key: APIKey | None) -> bool:
    return key is None


def there(key: APIKey | None) -> bool:
    return key is not None


async def test_every_change_takes_effect_at_once_where_it_is_made(registry: KeyRegistry) -> None:
    keys, issuer = CachedKeys(registry, clock=lambda: 0.0), Issuer(registry, by="tester")
    issued = await issuer.create(KeySpec(limits=("1/minute",)))
    id, secret = issued.key.id, issued.secret
    assert await keys.check(secret) == issued.key
    await issuer.update(id, limits=("2/minute",), groups=("search",))
    changed = await keys.check(secret)
    assert changed is not None
    assert changed.principal().limits == ("2/minute",)
    assert changed.principal().groups == ("search",)
    await issuer.suspend(id)
    assert await keys.check(secret) is None
    await issuer.resume(id)
    assert await keys.check(secret) is not None
    await issuer.rotate(id, overlap=0)
    assert await keys.check(secret) is None
    issued = await issuer.rotate(id)
    assert await keys.check(issued.secret) is not None
    await issuer.revoke(id)
    assert await keys.check(issued.secret) is None


async def test_a_change_reaches_the_other_process(gateways: tuple[Gateway, Gateway]) -> None:
    one, other = gateways
    issued = await one.issuer.create(KeySpec())
    id, secret = issued.key.id, issued.secret
    await other.listening(secret)
    await one.issuer.update(id, limits=("2/minute",))
    await other.until(secret, lambda key: key is not None and key.limits == ("2/minute",))
    await one.issuer.suspend(id)
    await other.until(secret, gone)
    await one.issuer.resume(id)
    await other.until(secret, there)
    await one.issuer.rotate(id, overlap=0)
    await other.until(secret, gone)


async def test_the_change_of_one_key_lets_others_be(gateways: tuple[Gateway, Gateway]) -> None:
    one, other = gateways
    issued = [await one.issuer.create(KeySpec()) for _ in range(2)]
    await other.listening(issued[0].secret)
    for each in issued:
        await other.keys.check(each.secret)
    looked_up: list[bytes] = []
    find = other.store.find

    async def noting(digests: tuple[bytes, ...], /) -> APIKey | None:
        looked_up.append(digests[0])
        return await find(digests)

    other.store.find = noting  # type: ignore[method-assign, assignment]
    await one.issuer.revoke(issued[0].key.id)
    await other.until(issued[0].secret, gone)
    assert await other.keys.check(issued[1].secret) is not None
    assert len(looked_up) == 1


async def test_what_somebody_changes_by_hand_in_postgresql_takes_effect_too(postgres_url: str) -> None:
    gateway = Gateway(postgres_url)
    await gateway.store.migrate()
    issued = await gateway.issuer.create(KeySpec())
    await gateway.listening(issued.secret)
    assert await gateway.keys.check(issued.secret) is not None
    await by_hand(postgres_url, "UPDATE xrouter_keys SET is_active = false")
    await gateway.until(issued.secret, gone)
    await gateway.keys.aclose()


async def by_hand(url: str, statement: str) -> None:
    engine = engine_of(url)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def test_the_use_of_a_key_is_no_word_to_others(postgres_url: str) -> None:
    gateway, word = Gateway(postgres_url), list[str | None]()
    await gateway.store.migrate()
    issued = await gateway.issuer.create(KeySpec())
    await gateway.listening(issued.secret)
    gateway.store.watch(word.append)
    await by_hand(postgres_url, "UPDATE xrouter_keys SET last_used_at = now()")
    await by_hand(postgres_url, "UPDATE xrouter_keys SET name = 'other'")
    await until(lambda: word)
    assert word == [issued.key.id]
    await gateway.keys.aclose()


async def test_a_listener_that_postgresql_throws_out_listens_again_and_nothing_is_missed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listen, may_listen = PostgresChanges.listen, asyncio.Event()

    async def listen_later(self: PostgresChanges, changed: Changed, /) -> NoReturn:
        await may_listen.wait()
        await listen(self, changed)

    monkeypatch.setattr(PostgresChanges, "listen", listen_later)
    monkeypatch.setattr(changes, "RETRY_INTERVAL", 0.01)
    may_listen.set()
    gateway, other = Gateway(postgres_url), Gateway(postgres_url)
    await gateway.store.migrate()
    known, missed, told = [await gateway.issuer.create(KeySpec()) for _ in range(3)]
    await gateway.listening(known.secret)
    for each in (known, missed, told):
        await gateway.keys.check(each.secret)
    may_listen.clear()
    await by_hand(postgres_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'")
    await until(lambda: "PostgreSQL does not notify of changed keys" in caplog.text)
    await other.issuer.revoke(missed.key.id)
    assert await gateway.keys.check(missed.secret) is not None
    may_listen.set()
    await gateway.until(missed.secret, gone)
    assert [await gateway.keys.check(each.secret) is not None for each in (known, told)] == [True, True]
    await until(lambda: "PostgreSQL notifies of changed keys again" in caplog.text)
    await other.issuer.revoke(told.key.id)
    await gateway.until(told.secret, gone)
    assert caplog.text.count("PostgreSQL does not notify of changed keys") == 1
    await gateway.keys.aclose()
    await other.keys.aclose()


async def test_a_redis_that_comes_back_is_listened_to_again(
    sqlite_url: str, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(changes, "RETRY_INTERVAL", 0.01)
    one, other = Gateway(sqlite_url, redis.url), Gateway(sqlite_url, redis.url)
    missed, told = [await one.issuer.create(KeySpec()) for _ in range(2)]
    await other.listening(missed.secret)
    for each in (missed, told):
        await other.keys.check(each.secret)
    redis.stop()
    await one.issuer.revoke(missed.key.id)  # which is done all the same
    assert f"Redis could not be notified that key {missed.key.id} changed" in caplog.text
    assert await one.keys.check(missed.secret) is None
    assert await other.keys.check(missed.secret) is not None
    redis.start()
    await other.until(missed.secret, gone)
    await one.issuer.revoke(told.key.id)
    await other.until(told.secret, gone)
    await one.keys.aclose()
    await other.keys.aclose()


async def test_a_redis_that_goes_without_a_word_is_noticed(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrouter_asgi.keys.redis_changes.PING", 0.02)
    monkeypatch.setattr("xrouter_asgi.keys.redis_changes.TIMEOUT", 0.3)
    heard: list[str | None] = []
    async with Wire(redis.port) as wire:
        listening = asyncio.create_task(RedisChanges(wire.url).listen(heard.append))
        await asyncio.sleep(0.1)  # silence that is answered is no loss
        assert not listening.done()
        wire.stalled = True
        with pytest.raises(TimeoutError, match="Redis does not answer"):
            await listening
    assert heard == [None]


async def test_a_postgresql_that_is_silent_is_asked_and_stays(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xrouter_asgi.keys.postgres_changes.PING", 0.01)
    gateway = Gateway(postgres_url)
    await gateway.store.migrate()
    issued = await gateway.issuer.create(KeySpec())
    await gateway.listening(issued.secret)
    await asyncio.sleep(0.05)
    await by_hand(postgres_url, "UPDATE xrouter_keys SET is_active = false")
    await gateway.until(issued.secret, gone)
    await gateway.keys.aclose()


async def test_words_of_other_kinds_harm_nothing(redis: RedisServer, sqlite_url: str) -> None:
    gateway = Gateway(sqlite_url, f"{redis.url}?decode_responses=true")
    issued = await gateway.issuer.create(KeySpec())
    await gateway.listening(issued.secret)
    for word in ("", "key_nope", "\udcff" * 3, "x" * 100_000):
        await RedisChanges(redis.url).tell(word.encode("utf-8", "surrogateescape").decode("latin-1"))
    assert await gateway.keys.check(issued.secret) is not None
    await gateway.issuer.revoke(issued.key.id)
    assert await gateway.keys.check(issued.secret) is None
    await gateway.keys.aclose()


async def test_the_command_line_reaches_a_running_process(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(postgres_url)
    await gateway.store.migrate()
    issued = await gateway.issuer.create(KeySpec())
    await gateway.listening(issued.secret)
    assert await gateway.keys.check(issued.secret) is not None
    command = [sys.executable, "-m", "xrouter_asgi", "keys", "suspend", issued.key.id, "--url", postgres_url]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    await gateway.until(issued.secret, gone)
    await gateway.keys.aclose()


async def test_a_caller_that_leaves_during_a_change_does_not_keep_it_from_the_cache(sqlite_url: str) -> None:
    gateway = Gateway(sqlite_url)
    issued = await gateway.issuer.create(KeySpec())
    for steps in range(1, 12):
        await gateway.issuer.resume(issued.key.id)
        assert await gateway.keys.check(issued.secret) is not None
        suspending = asyncio.create_task(gateway.issuer.suspend(issued.key.id))
        for _ in range(steps):
            await asyncio.sleep(0)
        suspending.cancel()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})  # its transaction goes on without it
        stored = await gateway.store.get(issued.key.id)
        await gateway.until(issued.secret, gone if not stored.active else there)
    await gateway.keys.aclose()


async def test_a_store_that_nobody_watches_does_not_listen(postgres_url: str) -> None:
    store = SQLKeyStore(postgres_url)
    await store.migrate()
    await store.find([b"1"])
    assert len(asyncio.all_tasks()) == 1
    await store.aclose()
