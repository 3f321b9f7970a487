"""A Redis that is slow, gone, demoted, and back."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.limits.fixtures import MakeStore
from tests.limits.servers import RedisServer, Wire, free_port, redis_server
from xrouter_asgi.limits.base import Charge
from xrouter_asgi.limits.limit import Limit
from xrouter_asgi.limits.redis import RedisLimits
from xrouter_asgi.testing.limit_stores import PARALLEL, REQUESTS, TOKENS, remaining, settle, take
from xrouter_asgi.testing.waiting import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may stop."""
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def nowhere() -> str:
    return f"redis://127.0.0.1:{free_port()}"


async def test_without_redis_each_worker_admits_its_share(redis_store: MakeStore, nowhere: str) -> None:
    store = redis_store(nowhere, workers=4)
    limit = Limit.parse("8/minute")
    reservations = [await take(store, (limit, 1)) for _ in range(3)]
    assert [reservation.admitted for reservation in reservations] == [True, True, False]
    assert all(reservation.local for reservation in reservations)
    assert reservations[2].refused == limit
    assert [reservation.statuses[0].limit for reservation in reservations] == [limit] * 3
    assert [reservation.statuses[0].remaining for reservation in reservations] == [1, 0, 0]


async def test_a_request_larger_than_a_share_may_have_the_whole_share(redis_store: MakeStore, nowhere: str) -> None:
    store = redis_store(nowhere, workers=4)
    assert (await take(store, (TOKENS, 90), lease="mine")).admitted
    assert not (await take(store, (TOKENS, 1))).admitted
    store.settle("mine", [20])
    assert (await take(store, (TOKENS, 5))).admitted
    assert not (await take(store, (TOKENS, 1))).admitted


async def test_every_worker_has_at_least_one(redis_store: MakeStore, nowhere: str) -> None:
    store = redis_store(nowhere, workers=100)
    assert [(await take(store, (PARALLEL, 1), lease=lease)).admitted for lease in "ab"] == [True, False]
    store.settle("a", [1])
    assert (await take(store, (PARALLEL, 1))).admitted


async def test_open_admits_everything_without_redis(redis_store: MakeStore, nowhere: str) -> None:
    store = redis_store(nowhere, when_unavailable="open")
    reservations = [await take(store, (REQUESTS, 1)) for _ in range(9)]
    assert {(reservation.admitted, reservation.local, reservation.statuses) for reservation in reservations} == {
        (True, True, ())
    }


async def test_closed_admits_nothing_without_redis(redis_store: MakeStore, nowhere: str) -> None:
    reservation = await take(redis_store(nowhere, when_unavailable="closed"), (REQUESTS, 1))
    assert (reservation.admitted, reservation.refused, reservation.retry_after, reservation.local) == (
        False,
        None,
        1.0,
        True,
    )


async def test_without_redis_nobody_knows_what_all_have_used(redis_store: MakeStore, nowhere: str) -> None:
    store = redis_store(nowhere)
    assert not await store.read([Charge("key", REQUESTS)])
    assert (await take(store, (REQUESTS, 1))).local
    assert not await store.read([Charge("key", REQUESTS)])


async def test_an_outage_is_one_line_in_the_log(
    redis_store: MakeStore, nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = redis_store(nowhere.replace("//", "//:secret@"))
    for _ in range(20):
        await take(store, (REQUESTS, 1))
    (line,) = caplog.messages
    assert line.startswith("The Redis of the limits is away (ConnectionError: Error ")
    assert "secret" not in line


async def test_a_redis_that_is_slow_is_waited_for_once(
    redis_process: RedisServer, redis_url: str, redis_store: MakeStore
) -> None:
    """And what it did late is undone when it is fast again."""
    async with Wire(redis_process.port) as wire:
        store = redis_store(wire.url, timeout=0.05)
        await take(store, (TOKENS, 1))
        wire.delay = 0.2
        assert (await take(store, (TOKENS, 50))).local
        await until(lambda: not store._health.up)
        wire.heard.clear()
        for _ in range(50):
            assert (await take(store, (TOKENS, 1))).local
        assert wire.heard == b""
        wire.delay = 0.0
        await until(lambda: store._health.up and not store.backlog)
        assert await remaining(store, TOKENS) == [99]
        await store.aclose()


async def test_a_redis_that_stays_slow_is_not_asked_again(redis_process: RedisServer, redis_store: MakeStore) -> None:
    async with Wire(redis_process.port) as wire:
        wire.delay = 0.2
        store = redis_store(wire.url, timeout=0.05)
        await take(store, (REQUESTS, 1))
        wire.heard.clear()
        await until(lambda: wire.heard.count(b"EVALSHA") >= 2)
        await asyncio.sleep(0.3)  # the second probe is answered too late in this time
        assert not store._health.up
        await store.aclose()


async def test_a_redis_that_is_full_stays_away(
    server: RedisServer, redis_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = redis_store(server.url)
    with Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        assert (await take(store, (REQUESTS, 1))).local
        (line,) = await until_probed(store, caplog)
        assert line.startswith("The Redis of the limits is away (ResponseError: ")
        assert "OOM command not allowed" in line
        client.config_set("maxmemory", 0)
    await until(lambda: store._health.up)


async def until_probed(store: RedisLimits, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Wait for a probe; what was written to the log by then."""
    probed = asyncio.Event()
    probe = store._scripts.probe

    def probe_and_tell() -> list[asyncio.Future[object]]:
        probed.set()
        return probe()

    store._health._store.probe = probe_and_tell  # type: ignore[method-assign]
    await probed.wait()
    await asyncio.sleep(0.05)
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_redis_stopped_and_started_under_load_is_exact_again(server: RedisServer, redis_store: MakeStore) -> None:
    store = redis_store(server.url, timeout=0.05)
    limit, slots = Limit.parse("100000/minute"), Limit.parse("50 parallel")
    numbers, running, locally = itertools.count(), True, 0

    async def load() -> None:
        nonlocal locally
        while running:
            lease = f"load {next(numbers)}"
            reservation = await store.reserve([Charge("load", limit), Charge("load", slots)], lease=lease)
            assert reservation.admitted
            locally += reservation.local
            await asyncio.sleep(0.005)
            store.settle(lease, [1, 1])

    tasks = [asyncio.create_task(load()) for _ in range(10)]
    await take(store, (PARALLEL, 1), lease="over the outage")
    server.stop()
    await until(lambda: locally > 100)
    await take(store, (PARALLEL, 1), lease="in the outage")
    server.start()
    async with asyncio.timeout(20):
        await until(lambda: store._health.up)
    running = False
    await asyncio.gather(*tasks)
    with Redis.from_url(server.url) as client:
        await until(lambda: bool(client.keys("*parallel*")))
        await until(lambda: not store.backlog)
    assert await remaining(redis_store(server.url), PARALLEL, REQUESTS) == [0, 3]
    assert not (await take(store, (PARALLEL, 1))).local
    for lease in ("over the outage", "in the outage"):
        await settle(store, lease, [1])
    assert await remaining(store, PARALLEL, slots) == [2, 50]


async def test_settlements_wait_until_redis_is_back(
    redis_process: RedisServer, redis_url: str, redis_store: MakeStore
) -> None:
    async with Wire(redis_process.port) as wire:
        store = redis_store(wire.url, timeout=0.05)
        await take(store, (TOKENS, 60), lease="mine")
        wire.delay = 0.2
        await take(store, (REQUESTS, 1))
        store.settle("mine", [10])
        wire.delay = 0.0
        await until(lambda: store._health.up and not store.backlog)
        assert await remaining(redis_store(), TOKENS) == [90]
        await store.aclose()


async def test_what_could_not_be_sent_before_the_end_is_told(
    server: RedisServer, redis_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = redis_store(server.url)
    await take(store, (TOKENS, 60), lease="mine")
    server.stop()
    store.settle("mine", [10])
    await store.aclose()
    assert "1 settlements of limits were not sent: Redis is away" in caplog.messages


async def test_as_many_settlements_are_kept_as_may_wait(
    redis_store: MakeStore, nowhere: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xrouter_asgi.limits.redis.MAX_UNSENT", 3)
    store = redis_store(nowhere)
    for lease in "abcdef":
        await take(store, (PARALLEL, 1), lease=lease)
        store.settle(lease, [1])
    await store.aclose()
    assert "3 settlements of limits were not sent: Redis is away" in caplog.messages


async def test_a_replica_does_not_count(server: RedisServer, redis_store: MakeStore) -> None:
    """After a failover the old primary refuses writes until the name leads elsewhere."""
    store = redis_store(server.url)
    await take(store, (REQUESTS, 1))
    with Redis.from_url(server.url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
        assert (await take(store, (REQUESTS, 1))).local
        client.execute_command("REPLICAOF", "NO", "ONE")
    await until(lambda: store._health.up)
    assert not (await take(store, (REQUESTS, 1))).local
