"""Stores of both kinds, on a clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias

import pytest
from redis import Redis

from tests.limits.scripts import replace_in_scripts
from tests.limits.servers import RedisServer, redis_server
from tests.limits.sets import SentinelSet, ThreeNodes, skip_without_redis
from xrouter_asgi.limits.base import LimitStore
from xrouter_asgi.limits.memory import MemoryLimits
from xrouter_asgi.limits.redis import RedisLimits
from xrouter_asgi.testing.clock import Clock

MakeStore: TypeAlias = Callable[..., RedisLimits]


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_process: RedisServer) -> str:
    """A Redis that holds nothing."""
    with Redis.from_url(redis_process.url) as client:
        client.flushall()
    return redis_process.url


@pytest.fixture
async def redis_store(redis_url: str) -> AsyncIterator[MakeStore]:
    """Makes stores on one empty Redis, and closes them."""
    made = []

    def make(url: str = redis_url, **options: Any) -> RedisLimits:
        store = RedisLimits(url, **{"timeout": 5.0, **options})
        made.append(store)
        return store

    yield make
    for store in made:
        await store.aclose()


class ServerClock(Clock):
    """The clock of a Redis whose scripts look at a key instead of at the time."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._redis = Redis.from_url(url)
        self.advance(0)

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        whole, rest = divmod(round(self.now * 1e6), 1_000_000)
        self._redis.delete("clock")
        self._redis.rpush("clock", whole, rest)

    def rule(self, store: RedisLimits) -> None:
        """Make the scripts of a store heed it."""
        replace_in_scripts(store, "redis.call('TIME')", "redis.call('LRANGE', 'clock', 0, 1)")

    def close(self) -> None:
        self._redis.close()


class WrittenClock(Clock):
    """The clock of servers that share no key: the time stands in the scripts, which change with every step."""

    def __init__(self, store: RedisLimits) -> None:
        super().__init__()
        self._store = store
        self._written = "redis.call('TIME')"
        self.advance(0)

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        whole, rest = divmod(round(self.now * 1e6), 1_000_000)
        written = f"{{{whole}, {rest}}}"
        replace_in_scripts(self._store, self._written, written)
        self._store._scripts.disconnect()  # what connects again loads the scripts
        self._written = written


@pytest.fixture(scope="session")
def sentinel_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelSet]:
    """A Sentinel set after a fail-over."""
    skip_without_redis()
    with ExitStack() as stack:
        servers = SentinelSet(tmp_path_factory.mktemp("sentinel"), stack)
        servers.fail_over()
        yield servers


@pytest.fixture(scope="session")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeNodes]:
    skip_without_redis()
    with ExitStack() as stack:
        yield ThreeNodes(tmp_path_factory.mktemp("cluster"), stack)


@pytest.fixture(params=["memory", "redis", "sentinel", "cluster"])
def store_and_clock(request: pytest.FixtureRequest) -> Iterator[tuple[LimitStore, Clock]]:
    if request.param == "memory":
        clock = Clock()
        yield MemoryLimits(clock=clock, wall=clock), clock
        return
    make = request.getfixturevalue("redis_store")
    if request.param == "redis":
        server_clock = ServerClock(request.getfixturevalue("redis_url"))
        store = make()
        server_clock.rule(store)
        yield store, server_clock
        server_clock.close()
        return
    servers = request.getfixturevalue("sentinel_set" if request.param == "sentinel" else "three_nodes")
    servers.flush()
    store = make(servers.url)
    yield store, WrittenClock(store)


@pytest.fixture
def store(store_and_clock: tuple[LimitStore, Clock]) -> LimitStore:
    return store_and_clock[0]


@pytest.fixture
def clock(store_and_clock: tuple[LimitStore, Clock]) -> Clock:
    return store_and_clock[1]
