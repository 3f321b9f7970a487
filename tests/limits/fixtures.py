"""Stores of both kinds, on a clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import pytest
from redis import Redis

from tests.fakes.clock import Clock
from tests.limits.scripts import replace_in_scripts
from tests.limits.servers import RedisServer, redis_server
from xrouter_asgi.limits.base import LimitStore
from xrouter_asgi.limits.memory import MemoryLimits
from xrouter_asgi.limits.redis import RedisLimits

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


@pytest.fixture(params=["memory", "redis"])
def store_and_clock(request: pytest.FixtureRequest) -> Iterator[tuple[LimitStore, Clock]]:
    if request.param == "memory":
        clock = Clock()
        yield MemoryLimits(clock=clock), clock
        return
    server_clock = ServerClock(request.getfixturevalue("redis_url"))
    store = request.getfixturevalue("redis_store")()
    server_clock.rule(store)
    yield store, server_clock
    server_clock.close()


@pytest.fixture
def store(store_and_clock: tuple[LimitStore, Clock]) -> LimitStore:
    return store_and_clock[0]


@pytest.fixture
def clock(store_and_clock: tuple[LimitStore, Clock]) -> Clock:
    return store_and_clock[1]
