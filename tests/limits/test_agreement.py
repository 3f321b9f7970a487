"""Memory and Redis, told the same at the same time, say the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.limits.fixtures import ServerClock
from tests.limits.servers import RedisServer
from xrouter_asgi.limits.base import Charge, Reservation
from xrouter_asgi.limits.limit import parse_limits
from xrouter_asgi.limits.memory import MemoryLimits
from xrouter_asgi.limits.periods import Calendar
from xrouter_asgi.limits.redis import RedisLimits
from xrouter_asgi.testing.waiting import until

LIMITS = parse_limits("5/minute; 40 tokens/minute; 60 tokens/hour; 2 parallel; 0.00000005 USD/calendar day")
COUNTED = ("tokens", "money")
Step: TypeAlias = tuple[str, float, int]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.just(0.0), st.integers(0, 40)),
        st.tuples(st.just("settle"), st.just(0.0), st.one_of(st.integers(0, 60), st.integers(0, 400))),
        st.tuples(st.just("wait"), st.sampled_from([0.25, 1.0, 5.0, 20.0, 61.0, 600.0, 100_000.0]), st.just(0)),
    ),
    max_size=25,
)


async def play(script: list[Step], url: str) -> None:
    clock = ServerClock(url)
    memory = MemoryLimits(clock=clock, wall=clock)
    calendar = Calendar(clock=clock)
    redis = RedisLimits(url, timeout=10.0, slot_ttl=1e9)
    clock.rule(redis)
    try:
        leases: list[str] = []
        for number, (step, seconds, cost) in enumerate(script):
            costs = [cost if limit.unit in COUNTED else 1 for limit in LIMITS]
            if step == "wait":
                clock.advance(seconds)
            elif step == "reserve":
                leases.append(f"lease {number}")
                charges = [
                    Charge("key", limit, cost, span=calendar.span(limit.calendar) if limit.calendar else None)
                    for limit, cost in zip(LIMITS, costs, strict=True)
                ]
                reservation = await memory.reserve(charges, lease=leases[-1])
                same(reservation, await redis.reserve(charges, lease=leases[-1]))
                assert await memory.read(charges) == reservation.statuses
                same(reservation, replace(reservation, statuses=await redis.read(charges)))
            elif leases:
                lease = leases[cost % len(leases)]
                memory.settle(lease, costs)
                redis.settle(lease, costs)
                await until(lambda: not redis.backlog)
    finally:
        await redis.aclose()
        clock.close()


def same(one: Reservation, other: Reservation) -> None:
    assert (one.admitted, one.refused, one.local) == (other.admitted, other.refused, other.local)
    assert abs(one.retry_after - other.retry_after) < 0.01
    for here, there in zip(one.statuses, other.statuses, strict=True):
        assert (here.limit, here.remaining) == (there.limit, there.remaining)
        assert abs(here.reset - there.reset) < 0.01


@settings(max_examples=40)
@given(script=steps)
def test_memory_and_redis_agree_on_every_step(redis_process: RedisServer, script: list[Step]) -> None:
    with Redis.from_url(redis_process.url) as client:
        client.flushall()
    asyncio.run(play(script, redis_process.url))
