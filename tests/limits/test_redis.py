"""What counts shared by processes add to the contract: a server that is slow, gone, empty or demoted."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from starlette.types import Message, Receive, Scope, Send

from tests.asgi import Exchange, get
from tests.limits.fixtures import MakeBudget, ServerClock
from tests.limits.press import LIMIT
from tests.limits.servers import RedisServer, Wire, free_port, redis_server
from tests.limits.test_contract import PARALLEL, REQUESTS, TOKENS, remaining, settle, take
from xrouter_asgi.limits.base import Charge, Limit
from xrouter_asgi.limits.memory import MemoryBudget
from xrouter_asgi.limits.redis import RedisBudget
from xrouter_asgi.limits.storage import budget_at
from xrouter_asgi.middleware.rate_limit import RateLimitMiddleware


async def until(condition: Callable[[], bool]) -> None:
    """What happens in the background gets its time."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


@pytest.fixture
def server_clock(redis_url: str) -> Iterator[ServerClock]:
    clock = ServerClock(redis_url)
    yield clock
    clock.close()


# Several processes


async def test_budgets_on_one_redis_share_their_counts(redis_budget: MakeBudget) -> None:
    one, other = redis_budget(), redis_budget()
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
        history = sorted(float(moment) / 1e6 for moment in client.lrange("history", 0, -1))
    apart = [later - earlier for earlier, later in zip(history, history[LIMIT.amount :], strict=False)]
    assert min(apart) >= LIMIT.window  # so no window holds one more
    used_up_twice = history[2 * LIMIT.amount] - history[0]
    assert 2 * LIMIT.amount / (used_up_twice / LIMIT.window) >= 0.95 * LIMIT.amount


async def test_the_places_of_a_process_that_died_are_free_after_their_life(
    redis_budget: MakeBudget, server_clock: ServerClock
) -> None:
    dead, alive = redis_budget(), redis_budget()
    server_clock.rule(dead)
    server_clock.rule(alive)
    await take(dead, (PARALLEL, 1), (TOKENS, 10))
    await take(dead, (PARALLEL, 1))
    server_clock.advance(14.9)
    assert not (await take(alive, (PARALLEL, 1))).admitted
    server_clock.advance(0.1)
    assert await remaining(alive, PARALLEL, TOKENS) == [2, 90]


async def test_places_are_held_as_long_as_their_requests_run(redis_budget: MakeBudget) -> None:
    budget, other = redis_budget(life=0.3), redis_budget()
    for lease in ("one", "two"):
        assert (await take(budget, (PARALLEL, 1), lease=lease)).admitted
    for _ in range(12):
        await asyncio.sleep(0.05)
        assert not (await take(other, (PARALLEL, 1))).admitted
    await settle(budget, "one", [1])
    assert (await take(other, (PARALLEL, 1))).admitted
    await settle(budget, "two", [1])
    await until(lambda: budget._announcing is not None and budget._announcing.done())


async def test_a_redis_that_lost_everything_hears_of_running_requests_again(
    redis_budget: MakeBudget, redis_url: str
) -> None:
    budget = redis_budget(life=0.3)
    await take(budget, (PARALLEL, 1), lease="mine")
    with Redis.from_url(redis_url) as client:
        client.flushall()
        client.script_flush()
        assert await remaining(redis_budget(), PARALLEL) == [2]
        await until(lambda: len(client.keys("*parallel*")) == 1)
    assert await remaining(redis_budget(), PARALLEL) == [1]
    await settle(budget, "mine", [1])
    assert await remaining(redis_budget(), PARALLEL) == [2]


async def test_more_places_than_one_call_may_take_are_all_held(
    redis_budget: MakeBudget, server_clock: ServerClock
) -> None:
    many = Limit(1200, "parallel", 0.0)
    budget = redis_budget()
    server_clock.rule(budget)
    for number in range(1100):
        await take(budget, (many, 1), lease=f"many {number}")
    server_clock.advance(14)
    await budget._counts.announce({lease: held.places for lease, held in budget._held.items()})
    server_clock.advance(14)
    assert await remaining(budget, many) == [100]


async def test_a_reservation_that_comes_after_its_settlement_takes_nothing(redis_budget: MakeBudget) -> None:
    budget = redis_budget()
    charges = [Charge("key", TOKENS, 60), Charge("key", PARALLEL)]
    await budget._counts.settle("late", charges, [-60, -1])
    await budget._counts.reserve("late", charges)
    assert await remaining(budget, TOKENS, PARALLEL) == [100, 2]


async def test_a_refund_to_a_count_that_redis_lost_is_no_credit(redis_budget: MakeBudget, redis_url: str) -> None:
    budget = redis_budget()
    await take(budget, (TOKENS, 50), lease="mine")
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.delete(*client.keys("*tokens*"))
        await take(budget, (TOKENS, 10))
        await settle(budget, "mine", [0])
        (count,) = client.keys("*tokens*")
        assert sum(map(int, client.hvals(count))) == 0


async def test_a_place_that_was_given_back_is_not_held_again(redis_budget: MakeBudget) -> None:
    budget = redis_budget()
    await take(budget, (PARALLEL, 1), lease="mine")
    await settle(budget, "mine", [1])
    await budget._counts.announce({"mine": [Charge("key", PARALLEL)]})
    assert await remaining(budget, PARALLEL) == [2]


async def test_a_server_that_forgot_the_scripts_gets_them_again(redis_budget: MakeBudget, redis_url: str) -> None:
    budget = redis_budget()
    await take(budget, (REQUESTS, 1))
    with Redis.from_url(redis_url) as client:
        client.script_flush()
    grant = await take(budget, (REQUESTS, 1))
    assert (grant.local, grant.standings[0].remaining) == (False, 1)


async def test_a_connection_that_was_closed_while_idle_is_replaced(redis_budget: MakeBudget, redis_url: str) -> None:
    budget = redis_budget()
    await take(budget, (REQUESTS, 1))
    with Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    grant = await take(budget, (REQUESTS, 1))
    assert (grant.local, grant.standings[0].remaining) == (False, 1)


async def test_what_a_client_sends_never_reaches_redis(redis_budget: MakeBudget, redis_process: RedisServer) -> None:
    async with Wire(redis_process.port) as wire:
        budget = redis_budget(wire.url)
        charges = [Charge("alice@example.org", limit) for limit in (REQUESTS, TOKENS, PARALLEL)]
        await budget.reserve(charges, lease="lease")
        await settle(budget, "lease")
        await budget._counts.announce({"lease": charges[2:]})
        assert b"EVALSHA" in wire.heard
        assert b"alice" not in wire.heard
        await budget.aclose()


async def test_one_reservation_is_one_round_trip(redis_budget: MakeBudget, redis_process: RedisServer) -> None:
    async with Wire(redis_process.port) as wire:
        budget = redis_budget(wire.url)
        await take(budget, (REQUESTS, 1))
        wire.heard.clear()
        await take(budget, (REQUESTS, 1), (TOKENS, 10), (PARALLEL, 1))
        assert wire.heard.count(b"EVALSHA") == 1
        assert wire.heard.startswith(b"*")
        assert wire.heard.count(b"\r\n*") == 0  # one command
        await budget.aclose()


async def test_requests_that_ran_need_no_settling(redis_budget: MakeBudget, redis_process: RedisServer) -> None:
    async with Wire(redis_process.port) as wire:
        budget = redis_budget(wire.url)
        await take(budget, (REQUESTS, 1), lease="mine")
        wire.heard.clear()
        await settle(budget, "mine", [1])
        assert wire.heard == b""
        assert budget._held == {}
        await budget.aclose()


async def test_a_server_that_stops_sends_the_settlements_that_are_left(
    redis_budget: MakeBudget, redis_url: str
) -> None:
    """A request is cut off by the end of the server; its place is free when the server is gone."""
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

    app = RateLimitMiddleware(endless, limit="2 parallel", key=lambda scope: "key", budget=redis_url)
    other = redis_budget()
    lifespan = asyncio.create_task(app({"type": "lifespan"}, Exchange(app, {})._receive, send))
    request = asyncio.create_task(get(app, "/"))
    await reached.wait()
    assert await remaining(other, PARALLEL) == [1]
    request.cancel()
    stopping.set()
    await asyncio.wait([request, lifespan])
    assert told == [{"type": "lifespan.shutdown.complete"}]
    assert await remaining(other, PARALLEL) == [2]


# Redis away


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may stop."""
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def nowhere() -> str:
    return f"redis://127.0.0.1:{free_port()}"


async def test_without_redis_each_worker_admits_its_share(redis_budget: MakeBudget, nowhere: str) -> None:
    budget = redis_budget(nowhere, workers=4)
    limit = Limit.parse("8/minute")
    grants = [await take(budget, (limit, 1)) for _ in range(3)]
    assert [grant.admitted for grant in grants] == [True, True, False]
    assert all(grant.local for grant in grants)
    assert grants[2].refused == limit
    assert [grant.standings[0].limit for grant in grants] == [limit] * 3
    assert [grant.standings[0].remaining for grant in grants] == [1, 0, 0]


async def test_a_request_larger_than_a_share_may_have_the_whole_share(redis_budget: MakeBudget, nowhere: str) -> None:
    budget = redis_budget(nowhere, workers=4)
    assert (await take(budget, (TOKENS, 90), lease="mine")).admitted
    assert not (await take(budget, (TOKENS, 1))).admitted
    budget.settle("mine", [20])
    assert (await take(budget, (TOKENS, 5))).admitted
    assert not (await take(budget, (TOKENS, 1))).admitted


async def test_every_worker_has_at_least_one(redis_budget: MakeBudget, nowhere: str) -> None:
    budget = redis_budget(nowhere, workers=100)
    assert [(await take(budget, (PARALLEL, 1), lease=lease)).admitted for lease in "ab"] == [True, False]
    budget.settle("a", [1])
    assert (await take(budget, (PARALLEL, 1))).admitted


async def test_open_admits_everything_without_redis(redis_budget: MakeBudget, nowhere: str) -> None:
    budget = redis_budget(nowhere, on_error="open")
    grants = [await take(budget, (REQUESTS, 1)) for _ in range(9)]
    assert {(grant.admitted, grant.local, grant.standings) for grant in grants} == {(True, True, ())}


async def test_closed_admits_nothing_without_redis(redis_budget: MakeBudget, nowhere: str) -> None:
    grant = await take(redis_budget(nowhere, on_error="closed"), (REQUESTS, 1))
    assert (grant.admitted, grant.refused, grant.retry_after, grant.local) == (False, None, 1.0, True)


async def test_an_outage_is_one_line_in_the_log(
    redis_budget: MakeBudget, nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    budget = redis_budget(nowhere.replace("//", "//:secret@"))
    for _ in range(20):
        await take(budget, (REQUESTS, 1))
    assert [record.getMessage() for record in caplog.records] == ["The Redis of the limits is away (ConnectionError)"]


async def test_a_redis_that_is_slow_is_waited_for_once(
    redis_process: RedisServer, redis_url: str, redis_budget: MakeBudget
) -> None:
    """And what it did late is undone when it is fast again."""
    async with Wire(redis_process.port) as wire:
        budget = redis_budget(wire.url, patience=0.05)
        await take(budget, (TOKENS, 1))
        wire.delay = 0.2
        assert (await take(budget, (TOKENS, 50))).local
        wire.heard.clear()
        for _ in range(50):
            assert (await take(budget, (TOKENS, 1))).local
        assert wire.heard == b""
        wire.delay = 0.0
        await until(lambda: budget._link.up and not budget._unsent)
        assert await remaining(budget, TOKENS) == [99]
        await budget.aclose()


async def test_a_redis_that_stays_slow_is_not_asked_again(redis_process: RedisServer, redis_budget: MakeBudget) -> None:
    async with Wire(redis_process.port) as wire:
        wire.delay = 0.2
        budget = redis_budget(wire.url, patience=0.05)
        await take(budget, (REQUESTS, 1))
        await until(lambda: wire.heard.count(b"PING") >= 2)
        await asyncio.sleep(0.3)  # the second probe is answered too late in this time
        assert not budget._link.up
        await budget.aclose()


async def test_redis_stopped_and_started_under_load_is_exact_again(
    server: RedisServer, redis_budget: MakeBudget
) -> None:
    budget = redis_budget(server.url, patience=0.05)
    limit, place = Limit.parse("100000/minute"), Limit.parse("50 parallel")
    numbers, running, locally = itertools.count(), True, 0

    async def load() -> None:
        nonlocal locally
        while running:
            lease = f"load {next(numbers)}"
            grant = await budget.reserve([Charge("load", limit), Charge("load", place)], lease=lease)
            assert grant.admitted
            locally += grant.local
            await asyncio.sleep(0.005)
            budget.settle(lease, [1, 1])

    tasks = [asyncio.create_task(load()) for _ in range(10)]
    await take(budget, (PARALLEL, 1), lease="over the outage")
    server.stop()
    await until(lambda: locally > 100)
    await take(budget, (PARALLEL, 1), lease="in the outage")
    server.start()
    async with asyncio.timeout(5):
        await until(lambda: budget._link.up)
    running = False
    await asyncio.gather(*tasks)
    with Redis.from_url(server.url) as client:
        await until(lambda: bool(client.keys("*parallel*")))
        await until(lambda: not budget._unsent)
    assert await remaining(redis_budget(server.url), PARALLEL, REQUESTS) == [0, 3]
    assert not (await take(budget, (PARALLEL, 1))).local
    for lease in ("over the outage", "in the outage"):
        await settle(budget, lease, [1])
    assert await remaining(budget, PARALLEL, place) == [2, 50]


async def test_settlements_wait_until_redis_is_back(
    redis_process: RedisServer, redis_url: str, redis_budget: MakeBudget
) -> None:
    async with Wire(redis_process.port) as wire:
        budget = redis_budget(wire.url, patience=0.05)
        await take(budget, (TOKENS, 60), lease="mine")
        wire.delay = 0.2
        await take(budget, (REQUESTS, 1))
        budget.settle("mine", [10])
        wire.delay = 0.0
        await until(lambda: budget._link.up and not budget._unsent)
        assert await remaining(redis_budget(), TOKENS) == [90]
        await budget.aclose()


async def test_what_could_not_be_sent_before_the_end_is_told(
    server: RedisServer, redis_budget: MakeBudget, caplog: pytest.LogCaptureFixture
) -> None:
    budget = redis_budget(server.url)
    await take(budget, (TOKENS, 60), lease="mine")
    server.stop()
    budget.settle("mine", [10])
    await budget.aclose()
    assert "1 settlements of limits were not sent: Redis is away" in caplog.messages


async def test_a_replica_is_no_place_to_count(server: RedisServer, redis_budget: MakeBudget) -> None:
    """After a failover the old primary refuses writes until the name leads elsewhere."""
    budget = redis_budget(server.url)
    await take(budget, (REQUESTS, 1))
    with Redis.from_url(server.url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
        assert (await take(budget, (REQUESTS, 1))).local
        client.execute_command("REPLICAOF", "NO", "ONE")
    await until(lambda: budget._link.up)
    assert not (await take(budget, (REQUESTS, 1))).local


# URLs


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
async def test_redis_and_valkey_are_reached_by_their_url(scheme: str, redis_url: str) -> None:
    budget = budget_at(redis_url.replace("redis", scheme, 1))
    assert not (await take(budget, (REQUESTS, 1))).local
    await budget.aclose()


def test_memory_is_a_url_too() -> None:
    assert isinstance(budget_at("memory://"), MemoryBudget)


@pytest.mark.parametrize("url", ["memcached://:secret@x", "secret", ""])
def test_another_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="Known: redis, rediss, unix") as caught:
        budget_at(url)
    assert "secret@" not in str(caught.value)


def test_without_redis_py_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ImportError, match=r'pip install "xrouter-asgi\[redis\]"'):
        RedisBudget("redis://127.0.0.1")


def test_nobody_shares_with_less_than_himself() -> None:
    with pytest.raises(ValueError, match="At least 1 worker shares the limits, not 0"):
        RedisBudget("redis://127.0.0.1", workers=0)
