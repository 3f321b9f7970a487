"""What every store of responses promises, in memory and in a real Redis; then what each promises besides."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis

from tests.limits.servers import RedisServer
from xrouter_asgi.kept import MemoryResponses, RedisResponses, ResponseStore
from xrouter_asgi.kept.redis import MAX_KEPT
from xrouter_asgi.testing.clock import Clock, LoopClock
from xrouter_asgi.testing.response_stores import *  # noqa: F403 -- tests, which pytest finds here
from xrouter_asgi.testing.response_stores import kept


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ResponseStore]:
    if request.param == "memory":
        store: ResponseStore = MemoryResponses()
    else:
        store = RedisResponses(request.getfixturevalue("redis_url"), timeout=5.0)
    yield store
    await store.aclose()


# In memory


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_memory_forgets_what_was_not_used_for_its_time(clock: Clock) -> None:
    store = MemoryResponses(ttl=60, clock=clock)
    await store.put("ann", kept("resp_1"))
    await store.put("ann", kept("resp_2"))
    clock.advance(59)
    assert (await store.find("ann", ["resp_1"])).keys() == {"resp_1"}
    clock.advance(1)
    assert (await store.find("ann", ["resp_1", "resp_2"])).keys() == {"resp_1"}
    clock.advance(60)
    assert not await store.delete("ann", "resp_1")


async def test_memory_drops_what_was_used_least_recently() -> None:
    store = MemoryResponses(max_bytes=40_000)
    for owner in "abcd":
        await store.put(owner, kept(size=8000))  # and what it takes besides: four fit
    await store.find("a", ["resp_1"])
    await store.put("e", kept(size=8000))
    assert [owner for owner in "abcde" if await store.find(owner, ["resp_1"])] == ["a", "c", "d", "e"]


async def test_memory_lets_one_owner_fill_a_quarter_of_it() -> None:
    store = MemoryResponses(max_bytes=40_000)
    await store.put("bob", kept(size=4000))
    for number in range(5):
        await store.put("ann", kept(f"resp_{number}", size=2000))
    assert (await store.find("ann", [f"resp_{number}" for number in range(5)])).keys() == {"resp_2", "resp_3", "resp_4"}
    assert await store.find("bob", ["resp_1"])
    await store.put("ann", kept("huge", size=10_000))
    assert await store.find("ann", ["huge"]) == {}
    assert await store.find("ann", ["resp_4"])


@pytest.mark.parametrize("options", [{"ttl": 0}, {"max_bytes": -1}, {"ttl": float("nan")}])
def test_memory_wants_bounds_above_0(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        MemoryResponses(**options)  # type: ignore[arg-type]


# In Redis


async def test_redis_holds_digests_and_packed_texts_for_the_time_after_the_last_use(redis_url: str) -> None:
    store = RedisResponses(redis_url, ttl=100.0, timeout=5.0)
    await store.put("ann", kept(size=10_000))
    with Redis.from_url(redis_url) as client:
        [name] = client.keys("*")
        assert b"ann" not in name
        assert b"resp_1" not in name
        assert client.strlen(name) < 200
        assert 99_000 < client.pttl(name) <= 100_000
        client.pexpire(name, 5000)
        await store.find("ann", ["resp_1"])
        assert client.pttl(name) > 99_000
    await store.aclose()


async def test_processes_share_what_is_in_redis(redis_url: str) -> None:
    one, other = RedisResponses(redis_url, timeout=5.0), RedisResponses(redis_url, timeout=5.0)
    large = kept(size=1 << 20)
    await one.put("ann", large)
    assert await other.find("ann", ["resp_1"]) == {"resp_1": large}
    for store in (one, other):
        await store.aclose()


async def test_redis_keeps_no_response_beyond_its_bound(redis_url: str) -> None:
    store = RedisResponses(redis_url, timeout=5.0)
    await store.put("ann", kept(size=MAX_KEPT + 1))
    assert await store.find("ann", ["resp_1"]) == {}
    await store.aclose()


@pytest.mark.parametrize(
    "value", [b"", b"no zlib", zlib.compress(b"no JSON\n"), zlib.compress(b"[]\n"), zlib.compress(b'{"id":"a"}\n')]
)
async def test_what_others_put_there_is_not_found(redis_url: str, value: bytes) -> None:
    store = RedisResponses(redis_url, timeout=5.0)
    await store.put("ann", kept())
    with Redis.from_url(redis_url) as client:
        [name] = client.keys("*")
        client.set(name, value)
    assert await store.find("ann", ["resp_1"]) == {}
    await store.aclose()


async def test_while_redis_is_away_it_is_as_if_nothing_were_kept_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    store = RedisResponses(server.url, timeout=5.0)
    await store.put("ann", kept())
    clock = LoopClock()
    server.stop()
    for _ in range(3):
        assert await store.find("ann", ["resp_1"]) == {}
        await store.put("ann", kept())
        assert not await store.delete("ann", "resp_1")
        clock.advance(2)
    assert [record.message.partition(" (")[0] for record in caplog.records] == ["The Redis of the responses is away"]
    server.start()
    clock.advance(2)
    await store.put("ann", kept())
    assert await store.find("ann", ["resp_1"])
    assert [record.message for record in caplog.records][1:] == ["The Redis of the responses is back"]
    await store.aclose()
    server.stop()


@pytest.mark.parametrize("url", ["memory://", "http://127.0.0.1", ""])
def test_a_url_that_is_no_redis_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="cannot use this URL"):
        RedisResponses(url)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_the_schemes_of_valkey_are_those_of_redis(scheme: str) -> None:
    RedisResponses(f"{scheme}://127.0.0.1:1/0")
