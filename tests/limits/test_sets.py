"""What a fail-over and a cluster add to the contract, which runs on both."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from tests.limits.fixtures import MakeStore
from tests.limits.servers import free_port
from tests.limits.sets import SentinelSet, ThreeNodes, skip_without_redis
from xrouter_asgi.limits.base import Charge, Reservation
from xrouter_asgi.limits.limit import Limit
from xrouter_asgi.limits.redis import RedisLimits
from xrouter_asgi.testing.limit_stores import take
from xrouter_asgi.testing.waiting import until

LIMIT = Limit.parse("100/hour")


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[SentinelSet]:
    """A Sentinel set whose master a test may kill."""
    skip_without_redis()
    with ExitStack() as stack:
        yield SentinelSet(tmp_path, stack)


def counted(port: int) -> int:
    """What a server has counted against limits of requests."""
    with Redis(port=port, decode_responses=True) as client:
        return sum(sum(map(int, client.hvals(key))) for key in client.keys("*:requests:*"))


async def test_after_a_fail_over_at_most_what_was_not_replicated_is_admitted_again(
    mortal: SentinelSet, redis_store: MakeStore
) -> None:
    one, other = (redis_store(mortal.url, when_unavailable="closed", timeout=1.0) for _ in range(2))

    async def ask(requests: int) -> int:
        asked = [await take(store, (LIMIT, 1)) for _ in range(requests) for store in (one, other)]
        return sum(reservation.admitted for reservation in asked)

    assert await ask(20) == 40
    with Redis(port=mortal.replica_port) as replica:
        await until(lambda: counted(mortal.replica_port) == 40)
        replica.execute_command("REPLICAOF", "127.0.0.1", free_port())  # it hears no more
    assert await ask(10) == 20
    lost = counted(mortal.master_port) - counted(mortal.replica_port)
    assert lost == 20
    mortal.master.kill()
    assert await ask(1) == 0
    await until(lambda: one._health.up and other._health.up, within=30)
    assert 60 + await ask(60) == LIMIT.amount + lost
    assert counted(mortal.replica_port) == LIMIT.amount  # exact again


# A cluster


@pytest.fixture
def cluster(three_nodes: ThreeNodes) -> ThreeNodes:
    three_nodes.flush()
    return three_nodes


async def over(store: RedisLimits, lease: str, **limits: str) -> Reservation:
    """Reserve one of a limit for each of several subjects."""
    charges = [Charge(subject, Limit.parse(limit)) for subject, limit in limits.items()]
    return await store.reserve(charges, lease=lease)


async def test_the_counts_of_one_subject_share_a_slot(cluster: ThreeNodes, redis_store: MakeStore) -> None:
    store = redis_store(cluster.url)
    limits = [Limit.parse(text) for text in ("9/minute", "9 tokens/minute per owner", "9 parallel")]
    charges = [*(Charge("key", limit) for limit in limits), Charge("key", limits[1], models="*-max")]
    assert len(store._scripts.by_slot(charges)) == 1
    assert (await store.reserve(charges, lease="mine")).admitted


async def test_subjects_are_spread_over_the_nodes(cluster: ThreeNodes, redis_store: MakeStore) -> None:
    store = redis_store(cluster.url)
    for number in range(50):
        await take(store, (LIMIT, 1), subject=f"key {number}")
    assert all(counted(port) > 5 for port in cluster.ports)
    assert sum(map(counted, cluster.ports)) == 50


async def test_what_other_nodes_admitted_is_given_back_when_one_refuses(
    cluster: ThreeNodes, redis_store: MakeStore
) -> None:
    store = redis_store(cluster.url)
    assert (await over(store, "first", a="9/minute", b="1/minute", c="9 parallel")).admitted
    refusal = await over(store, "second", a="9/minute", b="1/minute", c="9 parallel")
    assert not refusal.admitted
    assert refusal.refused == Limit.parse("1/minute")
    assert [status.remaining for status in refusal.statuses] == [8, 0, 8]
    await until(lambda: not store.backlog)
    assert [status.remaining for status in (await over(store, "third", a="9/minute", c="9 parallel")).statuses] == [
        7,
        7,
    ]


async def test_reservations_over_several_nodes_never_exceed_a_limit_and_leave_nothing_behind(
    cluster: ThreeNodes, redis_store: MakeStore
) -> None:
    stores = [redis_store(cluster.url) for _ in range(2)]
    own, shared = "5/hour", "40/hour per all"
    admitted: Counter[str] = Counter()

    async def ask(number: int) -> None:
        key = f"key{number % 20}"
        reservation = await over(stores[number % 2], f"lease {number}", **{key: own, "all": shared})
        admitted[key] += reservation.admitted

    await asyncio.gather(*map(ask, range(400)))
    assert max(admitted.values()) <= 5
    assert admitted.total() <= 40
    for store in stores:
        await until(lambda store=store: not store.backlog)  # type: ignore[misc]  # mypy knows no default of a lambda
    # Nothing is open any more, so nobody is refused below the limit.
    for number in range(1000, 1100):
        await ask(number)
    assert admitted.total() == 40


async def test_a_slot_that_moved_is_found(cluster: ThreeNodes, redis_store: MakeStore) -> None:
    store = redis_store(cluster.url)
    assert (await take(store, (LIMIT, 1), subject="elsewhere")).admitted
    (slot,) = store._scripts.by_slot([Charge("mover", LIMIT)])
    cluster.flush()
    there = cluster.move(slot)
    reservation = await take(store, (LIMIT, 1), subject="mover")
    assert (reservation.admitted, reservation.local) == (True, False)
    assert counted(there) == 1


async def test_a_cluster_that_does_not_serve_all_slots_is_away(
    cluster: ThreeNodes, redis_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    with Redis(port=cluster.ports[0]) as client:
        client.execute_command("CLUSTER DELSLOTS", 0)
        try:
            store = redis_store(cluster.url)
            assert (await take(store, (LIMIT, 1))).local
            (line,) = caplog.messages
            assert line.endswith("The cluster does not serve all slots.)")
            await store.aclose()
        finally:
            client.execute_command("CLUSTER ADDSLOTS", 0)
