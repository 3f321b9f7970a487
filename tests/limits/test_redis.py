"""What counts shared by processes add to the contract."""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect
from collections.abc import Iterator
from statistics import mean

import pytest
from redis import Redis
from redis.asyncio import SSLConnection
from starlette.types import Message, Receive, Scope, Send

from tests.asgi_client import Exchange, get
from tests.limits.fixtures import MakeStore, ServerClock
from tests.limits.press import LIMIT
from tests.limits.servers import RedisServer, Wire
from xrouter_asgi.limits.base import Charge
from xrouter_asgi.limits.limit import Limit
from xrouter_asgi.limits.memory import MemoryLimits
from xrouter_asgi.limits.redis import RedisLimits, store_at
from xrouter_asgi.limits.servers import Cluster, SentinelMaster
from xrouter_asgi.middleware.rate_limit import RateLimitMiddleware
from xrouter_asgi.testing.limit_stores import PARALLEL, REQUESTS, TOKENS, remaining, settle, take
from xrouter_asgi.testing.waiting import until


@pytest.fixture
def server_clock(redis_url: str) -> Iterator[ServerClock]:
    clock = ServerClock(redis_url)
    yield clock
    clock.close()


# Several processes


async def test_stores_on_one_redis_share_their_counts(redis_store: MakeStore) -> None:
    one, other = redis_store(), redis_store()
    await take(one, (REQUESTS, 1), (TOKENS, 60), (PARALLEL, 1), lease="mine")
    assert await remaining(other, REQUESTS, TOKENS, PARALLEL) == [2, 40, 1]
    await settle(one, "mine", [1, 10, 1])
    assert await remaining(other, REQUESTS, TOKENS, PARALLEL) == [2, 90, 2]


async def test_four_processes_at_five_times_the_limit_admit_no_more_than_it_in_any_window_and_waste_little(
    redis_url: str,
) -> None:
    rate = round(5 * LIMIT.amount / LIMIT.window / 4)
    command = [sys.executable, "-m", "tests.limits.press", redis_url, str(rate), str(2.3 * LIMIT.window)]
    processes = [await asyncio.create_subprocess_exec(*command) for _ in range(4)]
    assert [await process.wait() for process in processes] == [0] * 4
    with Redis.from_url(redis_url, decode_responses=True) as client:
        admitted, refused = (
            sorted(float(moment) / 1e6 for moment in client.lrange(name, 0, -1)) for name in ("admitted", "refused")
        )
    apart = [later - earlier for earlier, later in zip(admitted, admitted[LIMIT.amount :], strict=False)]
    assert min(apart) >= LIMIT.window  # so no window holds one more
    held = [bisect(admitted, moment) - bisect(admitted, moment - LIMIT.window) for moment in refused]
    assert mean(held) >= 0.95 * LIMIT.amount  # so whoever is refused is so for want of room


async def test_the_slots_of_a_process_that_died_are_free_after_their_time(
    redis_store: MakeStore, server_clock: ServerClock
) -> None:
    dead, alive = redis_store(), redis_store()
    server_clock.rule(dead)
    server_clock.rule(alive)
    await take(dead, (PARALLEL, 1), (TOKENS, 10))
    await take(dead, (PARALLEL, 1))
    server_clock.advance(14.9)
    assert not (await take(alive, (PARALLEL, 1))).admitted
    server_clock.advance(0.1)
    assert await remaining(alive, PARALLEL, TOKENS) == [2, 90]


async def test_slots_are_held_as_long_as_their_requests_run(redis_store: MakeStore) -> None:
    store, other = redis_store(slot_ttl=0.3), redis_store()
    for lease in ("one", "two"):
        assert (await take(store, (PARALLEL, 1), lease=lease)).admitted
    for _ in range(12):
        await asyncio.sleep(0.05)
        assert not (await take(other, (PARALLEL, 1))).admitted
    await settle(store, "one", [1])
    assert (await take(other, (PARALLEL, 1))).admitted
    await settle(store, "two", [1])
    await until(lambda: store._renewing is not None and store._renewing.done())


async def test_a_reservation_that_waits_for_its_answer_holds_no_slot(
    redis_store: MakeStore, redis_process: RedisServer
) -> None:
    other, mine = redis_store(), Charge("key", Limit.parse("1 parallel"))
    for lease in ("one", "two"):
        await take(other, (PARALLEL, 1), lease=lease)
    async with Wire(redis_process.port) as wire:
        store = redis_store(wire.url, slot_ttl=0.9)
        await store.reserve([mine], lease="mine")
        wire.heard.clear()
        wire.delay = 0.5
        assert not (await take(store, (PARALLEL, 1))).admitted
        assert wire.heard.count(b"EVALSHA") >= 2  # slots were renewed while it waited
        for lease in ("one", "two"):
            await settle(other, lease, [1])
        assert await remaining(other, PARALLEL) == [2]
        await store.aclose()


async def test_a_redis_that_lost_everything_hears_of_running_requests_again(
    redis_store: MakeStore, redis_url: str
) -> None:
    store = redis_store(slot_ttl=0.3)
    await take(store, (PARALLEL, 1), lease="mine")
    with Redis.from_url(redis_url) as client:
        client.flushall()
        client.script_flush()
        assert await remaining(redis_store(), PARALLEL) == [2]
        await until(lambda: len(client.keys("*parallel*")) == 1)
    assert await remaining(redis_store(), PARALLEL) == [1]
    await settle(store, "mine", [1])
    assert await remaining(redis_store(), PARALLEL) == [2]


async def test_more_slots_than_one_call_may_renew_are_all_held(
    redis_store: MakeStore, server_clock: ServerClock
) -> None:
    many = Limit(1200, "parallel", 0.0)
    store = redis_store()
    server_clock.rule(store)
    for number in range(1100):
        await take(store, (many, 1), lease=f"many {number}")
    server_clock.advance(14)
    await asyncio.gather(*store._scripts.renew(store._held()))
    server_clock.advance(14)
    assert await remaining(store, many) == [100]


async def test_a_reservation_that_comes_after_its_settlement_takes_nothing(redis_store: MakeStore) -> None:
    store = redis_store()
    await store.connect()
    charges = [Charge("key", TOKENS, 60), Charge("key", PARALLEL)]
    await store._scripts.settle("late", charges, [-60, -1])
    await store._scripts.reserve("late", charges)
    assert await remaining(store, TOKENS, PARALLEL) == [100, 2]


async def test_a_settlement_that_is_repeated_takes_effect_once(redis_store: MakeStore) -> None:
    """As it happens when the answer is lost."""
    store = redis_store()
    charges = [Charge("key", TOKENS, 60), Charge("key", PARALLEL)]
    await store.reserve(charges, lease="mine")
    for _ in range(3):
        await store._scripts.settle("mine", charges, [-20, 0])
    assert await remaining(store, TOKENS, PARALLEL) == [60, 2]


@pytest.mark.parametrize(("later", "left"), [(0, 0), (2, 10)])  # seconds; two are more than a part of the window
async def test_a_refund_to_a_count_that_redis_lost_is_no_credit(
    later: float, left: int, redis_store: MakeStore, server_clock: ServerClock, redis_url: str
) -> None:
    store = redis_store()
    server_clock.rule(store)
    await take(store, (TOKENS, 50), lease="mine")
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.delete(*client.keys("*tokens*"))
        server_clock.advance(later)
        await take(store, (TOKENS, 10))
        await settle(store, "mine", [0])
        (count,) = client.keys("*tokens*")
        assert sum(map(int, client.hvals(count))) == left
    assert not (await take(store, (TOKENS, 1))).local  # nothing that Redis took for a mistake


async def test_a_slot_that_was_given_back_is_not_held_again(redis_store: MakeStore) -> None:
    store = redis_store()
    await take(store, (PARALLEL, 1), lease="mine")
    await settle(store, "mine", [1])
    await asyncio.gather(*store._scripts.renew({"mine": [Charge("key", PARALLEL)]}))
    assert await remaining(store, PARALLEL) == [2]


async def test_a_server_that_forgot_the_scripts_gets_them_again(redis_store: MakeStore, redis_url: str) -> None:
    store = redis_store()
    await take(store, (REQUESTS, 1))
    with Redis.from_url(redis_url) as client:
        client.script_flush()
    reservation = await take(store, (REQUESTS, 1))
    assert (reservation.local, reservation.statuses[0].remaining) == (False, 1)


async def test_a_connection_that_was_closed_while_idle_is_replaced(redis_store: MakeStore, redis_url: str) -> None:
    store = redis_store()
    await take(store, (REQUESTS, 1))
    with Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    reservation = await take(store, (REQUESTS, 1))
    assert (reservation.local, reservation.statuses[0].remaining) == (False, 1)


async def test_what_a_client_sends_never_reaches_redis(redis_store: MakeStore, redis_process: RedisServer) -> None:
    async with Wire(redis_process.port) as wire:
        store = redis_store(wire.url)
        charges = [Charge("alice@example.org", limit) for limit in (REQUESTS, TOKENS, PARALLEL)]
        await store.reserve(charges, lease="lease")
        await settle(store, "lease")
        await asyncio.gather(*store._scripts.renew({"lease": charges[2:]}))
        assert b"EVALSHA" in wire.heard
        assert b"alice" not in wire.heard
        await store.aclose()


async def test_one_reservation_is_one_round_trip(redis_store: MakeStore, redis_process: RedisServer) -> None:
    async with Wire(redis_process.port) as wire:
        store = redis_store(wire.url)
        await take(store, (REQUESTS, 1))
        wire.heard.clear()
        await take(store, (REQUESTS, 1), (TOKENS, 10), (PARALLEL, 1))
        assert wire.heard.count(b"EVALSHA") == 1
        assert wire.heard.startswith(b"*")
        assert wire.heard.count(b"\r\n*") == 0  # one command
        await store.aclose()


async def test_requests_that_ran_need_no_settling(redis_store: MakeStore, redis_process: RedisServer) -> None:
    async with Wire(redis_process.port) as wire:
        store = redis_store(wire.url)
        await take(store, (REQUESTS, 1), lease="mine")
        wire.heard.clear()
        await settle(store, "mine", [1])
        assert wire.heard == b""
        assert store._leases == {}
        await store.aclose()


async def test_a_refused_reservation_needs_no_settling(redis_store: MakeStore, redis_process: RedisServer) -> None:
    async with Wire(redis_process.port) as wire:
        store = redis_store(wire.url)
        await take(store, (TOKENS, 100))
        assert not (await take(store, (TOKENS, 1), (PARALLEL, 1), lease="refused")).admitted
        wire.heard.clear()
        await settle(store, "refused", [1, 1])
        assert wire.heard == b""
        await store.aclose()


async def test_a_server_that_stops_sends_the_settlements_that_are_left(redis_store: MakeStore, redis_url: str) -> None:
    """A request is cut off by the end of the server; its slot is free when the server is gone."""
    reached, stopping = asyncio.Event(), asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await stopping.wait()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            reached.set()
            await asyncio.Event().wait()

    told: list[Message] = []

    async def send(message: Message) -> None:
        told.append(message)

    app = RateLimitMiddleware(endless, limit="2 parallel", key=lambda scope: "key", store=redis_url)
    other = redis_store()
    lifespan = asyncio.create_task(app({"type": "lifespan"}, Exchange(app, {})._receive, send))
    request = asyncio.create_task(get(app, "/"))
    await reached.wait()
    assert await remaining(other, PARALLEL) == [1]
    request.cancel()
    stopping.set()
    await asyncio.wait([request, lifespan])
    assert told == [{"type": "lifespan.shutdown.complete"}]
    assert await remaining(other, PARALLEL) == [2]


# URLs


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
async def test_redis_and_valkey_are_reached_by_their_url(scheme: str, redis_url: str) -> None:
    store = store_at(redis_url.replace("redis", scheme, 1))
    assert not (await take(store, (REQUESTS, 1))).local
    await store.aclose()


def test_memory_is_a_url_too() -> None:
    assert isinstance(store_at("memory://"), MemoryLimits)


@pytest.mark.parametrize(
    "url",
    [
        "memcached://:secret@x",
        "secret",
        "",
        *(f"redis://:a{char}secret@x:6379/0" for char in "/?#@[]\n\u2100"),
        "redis://:12/secret@x:6379/0",
        "redis://x:secret/0",
    ],
)
def test_another_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="Redis") as caught:
        store_at(url)
    assert "secret@" not in str(caught.value)


def test_without_redis_py_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ImportError, match=r'pip install "xrouter-asgi\[redis\]"'):
        RedisLimits("redis://127.0.0.1")


def test_nobody_shares_with_less_than_himself() -> None:
    with pytest.raises(ValueError, match="At least 1 worker shares the limits, not 0"):
        RedisLimits("redis://127.0.0.1", workers=0)


@pytest.mark.parametrize(
    ("url", "known", "options"),
    [
        ("redis+sentinel://a:1,b/service", [("a", 1), ("b", 26_379)], {}),
        (
            "valkey+sentinel://me:p%40ss@a/service?db=3",
            [("a", 26_379)],
            {"username": "me", "password": "p@ss", "db": 3},
        ),
        ("redis+cluster://a:7000,[::1]:7001,[::2]", [("a", 7000), ("::1", 7001), ("::2", 6379)], {}),
        ("redis+cluster://:pass@a?client_name=x", [("a", 6379)], {"password": "pass", "client_name": "x"}),
    ],
)
def test_the_servers_of_a_set_are_read_from_its_url(url: str, known: list[object], options: dict[str, object]) -> None:
    server = RedisLimits(url)._scripts.server
    assert isinstance(server, SentinelMaster | Cluster)
    assert server._known == known
    assert server._options.items() >= options.items()


def test_a_cluster_may_use_tls() -> None:
    assert RedisLimits("rediss+cluster://a")._scripts.server._connection is SSLConnection


@pytest.mark.parametrize(
    ("url", "mistake"),
    [
        ("redis+sentinel://a:1,b:2", "The URL names no service"),
        ("redis+cluster://", "The URL must name its servers"),
        ("redis+cluster://a,,b", "The URL must name its servers"),
    ],
)
def test_a_url_of_a_set_that_lacks_something_is_refused(url: str, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake):
        RedisLimits(url)
