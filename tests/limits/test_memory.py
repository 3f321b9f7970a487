"""Counts in memory: bounded, and never above the limit in any window."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.limits import memory
from xrouter_asgi.limits.base import Charge
from xrouter_asgi.limits.limit import Limit
from xrouter_asgi.limits.memory import MemoryLimits
from xrouter_asgi.testing.clock import Clock
from xrouter_asgi.testing.limit_stores import PARALLEL, REQUESTS, TOKENS, take


@given(
    amount=st.integers(1, 50),
    window=st.sampled_from([1.0, 7.0, 60.0, 3600.0]),
    start=st.floats(0, 1e6),
    asked=st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 50)), max_size=60),
)
def test_no_window_holds_more_than_the_limit(
    amount: int, window: float, start: float, asked: list[tuple[float, int]]
) -> None:
    clock = Clock(start)
    store = MemoryLimits(clock=clock)
    limit = Limit(amount, "tokens", window)
    taken: list[tuple[float, int]] = []
    for number, (pause, cost) in enumerate(asked):
        clock.advance(pause * window)
        cost = min(cost, amount)
        reservation = asyncio.run(store.reserve([Charge("key", limit, cost)], lease=str(number)))
        if reservation.admitted:
            taken.append((clock.now, cost))
            held = sum(cost for moment, cost in taken if moment > clock.now - window)
            assert held <= amount
            assert reservation.statuses[0].remaining <= amount - held
        else:
            clock.advance(reservation.retry_after * 1.000001)
            again = asyncio.run(store.reserve([Charge("key", limit, cost)], lease=f"again {number}"))
            assert again.admitted, "came back when told to"
            taken.append((clock.now, cost))


async def test_inventing_subjects_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_SUBJECTS", 100)
    store = MemoryLimits(clock=Clock())
    for number in range(1000):
        assert (await take(store, (REQUESTS, 1), (TOKENS, 1), subject=str(number))).admitted
    assert len(store) <= 100


async def test_who_asked_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_SUBJECTS", 3)
    store = MemoryLimits(clock=Clock())
    for subject in ("busy", "quiet", "busy", "other", "busy", "another"):
        await take(store, (REQUESTS, 1), subject=subject)
    assert not (await take(store, (REQUESTS, 1), subject="busy")).admitted
    assert (await take(store, (REQUESTS, 3), subject="quiet")).admitted


async def test_reading_makes_and_keeps_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_SUBJECTS", 2)
    store = MemoryLimits(clock=Clock())
    await take(store, (REQUESTS, 3), subject="old")
    await take(store, (REQUESTS, 1), subject="new")
    await store.read([Charge(subject, REQUESTS) for subject in ("another", "old")])
    assert len(store) == 2
    await take(store, (REQUESTS, 1), subject="other")
    assert (await take(store, (REQUESTS, 3), subject="old")).admitted  # it was forgotten first all the same


async def test_expired_counts_go_while_others_are_asked() -> None:
    clock = Clock()
    store = MemoryLimits(clock=clock)
    day = Limit.parse("10/day")
    for number in range(50):
        await take(store, (REQUESTS, 1), (day, 1), (PARALLEL, 1), lease=str(number), subject=str(number))
        store.settle(str(number), [1, 1, 1])
    assert len(store) == 101  # of the parallel requests that have ended, the last
    clock.advance(61)
    for _ in range(25):
        clock.advance(1)
        await take(store, (REQUESTS, 0), subject="other")
    assert len(store) == 52  # the days, the last one in parallel, and the other's


@pytest.mark.parametrize(("cost", "left"), [(90, 60), (50, 100), (0, 100)])
async def test_of_a_forgotten_count_only_the_debt_remains(
    cost: int, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MAX_SUBJECTS", 1)
    store = MemoryLimits(clock=Clock())
    await take(store, (TOKENS, 50), lease="mine")
    await take(store, (TOKENS, 50), lease="other's", subject="other")
    store.settle("mine", [cost])
    assert (await take(store, (TOKENS, 0))).statuses[0].remaining == left


async def test_a_refund_to_a_count_that_was_forgotten_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_SUBJECTS", 1)
    store = MemoryLimits(clock=Clock())
    await take(store, (TOKENS, 50), lease="mine")
    await take(store, (TOKENS, 50), subject="other")
    await take(store, (TOKENS, 10))
    store.settle("mine", [0])
    assert (await take(store, (TOKENS, 0))).statuses[0].remaining == 90


async def test_a_debt_outlives_the_count_it_was_made_in() -> None:
    clock = Clock()
    store = MemoryLimits(clock=clock)
    await take(store, (REQUESTS, 1), (TOKENS, 10), lease="long")
    clock.advance(61)
    await take(store, (REQUESTS, 1), (TOKENS, 10))
    store.settle("long", [1, 60])
    assert (await take(store, (TOKENS, 0))).statuses[0].remaining == 40


async def test_a_settlement_names_a_cost_for_each_charge() -> None:
    store = MemoryLimits(clock=Clock())
    await take(store, (REQUESTS, 1), (TOKENS, 1), lease="mine")
    with pytest.raises(ValueError, match="2 charges were reserved, and 1 costs"):
        store.settle("mine", [1])


async def test_two_limits_in_parallel_are_counted_from_the_first_request_on() -> None:
    store = MemoryLimits(clock=Clock())
    both = [Charge("key", PARALLEL), Charge("", Limit.parse("2 parallel per all"))]
    assert (await store.reserve(both, lease="first")).admitted
    assert (await store.reserve(both, lease="second")).admitted
    assert not (await store.reserve(both, lease="third")).admitted
    for lease in ("first", "second"):
        store.settle(lease, [1, 1])
    assert (await store.reserve(both, lease="fourth")).admitted
