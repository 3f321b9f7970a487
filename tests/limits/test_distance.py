"""A Redis that is some milliseconds away, too far away, silent, or gone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.limits.fixtures import MakeStore
from tests.limits.servers import RedisServer, Wire, redis_server
from xrouter_asgi.limits.limit import Limit
from xrouter_asgi.limits.redis import RedisLimits
from xrouter_asgi.testing.limit_stores import take
from xrouter_asgi.testing.waiting import until

HUNDRED = Limit.parse("100/minute")
PATIENT = 2.0  # seconds: what is tested is the order of things, not the speed of this machine


async def ask_from_two_processes(url: str, limit: str, *, clients: int, rounds: int) -> list[int]:
    """How many requests both were admitted, refused, and decided alone."""
    command = [sys.executable, "-m", "tests.limits.short_requests", url, limit, str(clients), str(rounds), str(PATIENT)]
    processes = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(2)]
    told = [(await process.communicate())[0] for process in processes]
    return [sum(each) for each in zip(*(map(int, line.split()) for line in told), strict=True)]


@pytest.mark.parametrize(("delay", "rounds"), [(0.0, 250), (0.003, 250), (0.01, 125), (0.03, 50)])
async def test_clients_that_ask_one_after_the_other_are_never_refused_a_slot(
    delay: float, rounds: int, redis_process: RedisServer, redis_url: str
) -> None:
    async with Wire(redis_process.port) as wire:
        wire.delay = delay
        told = await ask_from_two_processes(wire.url, "8 parallel", clients=4, rounds=rounds)
    assert told == [8 * rounds, 0, 0]


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.01, 0.03])
async def test_two_processes_that_begin_cold_admit_exactly_the_limit(
    delay: float, redis_process: RedisServer, redis_url: str
) -> None:
    async with Wire(redis_process.port) as wire:
        wire.delay = delay
        told = await ask_from_two_processes(wire.url, "50/minute", clients=40, rounds=5)
    assert told == [50, 350, 0]


async def admitted(store: RedisLimits, limit: Limit, requests: int) -> int:
    return sum([(await take(store, (limit, 1))).admitted for _ in range(requests)])


class Pair:
    """Two processes' stores, each on a wire of its own."""

    def __init__(self, wires: list[Wire], stores: list[RedisLimits]) -> None:
        self.wires = wires
        self.stores = stores

    async def ask(self, *requests: int) -> int:
        """How many of so many requests to each are admitted."""
        return sum([await admitted(store, HUNDRED, many) for store, many in zip(self.stores, requests, strict=True)])


@pytest.fixture
async def pair(server: RedisServer, redis_store: MakeStore) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(Wire(server.port)) for _ in range(2)]
        stores = [redis_store(wire.url, workers=2, timeout=0.05) for wire in wires]
        yield Pair(wires, stores)
        for store in stores:
            await store.aclose()


@pytest.fixture
def server(tmp_path: Path):  # type: ignore[no-untyped-def]  # of a generator
    with redis_server(tmp_path) as server:
        yield server


async def test_a_redis_that_is_too_far_away_is_told_once_and_each_process_keeps_to_its_share(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    for wire in pair.wires:
        wire.delay = 0.06
    assert await pair.ask(150, 150) == 100
    lines = [line for line in caplog.messages if "too slow" in line]
    assert len(lines) == 2  # one for each process
    assert all(line.endswith("and a request waits for 50 ms at most") for line in lines)


async def test_a_stall_admits_at_most_what_is_left_of_the_shares(pair: Pair) -> None:
    for store in pair.stores:
        await store.connect()
    assert await pair.ask(40, 20) == 60
    for wire in pair.wires:
        wire.stalled = True
    assert await pair.ask(150, 150) == 10 + 30  # of fifty each
    assert not any(store._health.up for store in pair.stores)
    for wire in pair.wires:
        wire.stalled = False
    await until(lambda: all(store._health.up for store in pair.stores))
    assert await pair.ask(150, 150) == 40  # Redis has admitted sixty
    assert await pair.ask(150, 150) == 0


async def test_a_redis_that_was_killed_admits_at_most_what_is_left_of_the_shares(
    pair: Pair, server: RedisServer
) -> None:
    assert await pair.ask(40, 20) == 60
    server.stop()
    assert await pair.ask(150, 150) == 10 + 30
    assert await pair.ask(150, 150) == 0


async def test_slots_that_redis_gave_count_in_the_share(pair: Pair, server: RedisServer) -> None:
    store, slots = pair.stores[0], Limit.parse("4 parallel")
    for lease in "abc":
        assert (await take(store, (slots, 1), lease=lease)).admitted
    server.stop()
    assert not (await take(store, (slots, 1))).admitted
    for lease in "ab":
        store.settle(lease, [0])
    assert (await take(store, (slots, 1))).admitted  # it may have two, and one of Redis' still runs
    assert not (await take(store, (slots, 1))).admitted
