"""What every store of answers promises, in memory and in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis import Redis

from xrouter_asgi.kept import AnswerStore, MemoryAnswers, RedisAnswers
from xrouter_asgi.testing.clock import Clock


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[AnswerStore]:
    if request.param == "memory":
        store: AnswerStore = MemoryAnswers()
    else:
        store = RedisAnswers(request.getfixturevalue("redis_url"), timeout=5.0)
    yield store
    await store.aclose()


async def test_what_was_put_is_found(store: AnswerStore) -> None:
    await store.put("ann", "key", b"\x00answer", 60.0)
    assert await store.get("ann", "key") == b"\x00answer"
    await store.put("ann", "key", b"other", 60.0)
    assert await store.get("ann", "key") == b"other"


async def test_what_was_not_put_is_not_found(store: AnswerStore) -> None:
    await store.put("ann", "key", b"answer", 60.0)
    assert await store.get("ann", "other") is None


async def test_nobody_finds_what_another_was_answered(store: AnswerStore) -> None:
    await store.put("ann", "key", b"answer", 60.0)
    assert await store.get("bob", "key") is None
    assert await store.get("", "key") is None


async def test_memory_forgets_when_the_time_is_over() -> None:
    clock = Clock()
    store = MemoryAnswers(clock=clock)
    await store.put("ann", "long", b"answer", 60.0)
    await store.put("ann", "short", b"answer", 10.0)
    clock.advance(10)
    assert await store.get("ann", "short") is None
    assert await store.get("ann", "long") == b"answer"
    clock.advance(50)
    assert await store.get("ann", "long") is None


async def test_redis_forgets_when_the_time_is_over(redis_url: str) -> None:
    store = RedisAnswers(redis_url, timeout=5.0)
    await store.put("ann", "key", b"answer", 100.0)
    with Redis.from_url(redis_url) as client:
        [name] = client.keys("*")
        assert 99_000 < client.pttl(name) <= 100_000
        assert b"ann" not in name
    await store.aclose()


async def test_one_owner_fills_a_quarter_of_the_memory_and_pushes_nobody_out() -> None:
    store = MemoryAnswers(max_bytes=40_000)
    await store.put("bob", "key", bytes(4000), 60.0)
    for number in range(20):
        await store.put("ann", str(number), bytes(4000), 60.0)
    found = [number for number in range(20) if await store.get("ann", str(number))]
    assert found == [19]
    assert await store.get("bob", "key")
