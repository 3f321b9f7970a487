"""What `Concurrency` and GigaChat share. Fairness and limits that adapt are tested through `Concurrency`."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from xrouter_asgi.errors import ConcurrencyExceeded, UpstreamTimeout
from xrouter_asgi.queueing.slots import Slot, Slots
from xrouter_asgi.testing.virtual import VirtualLoop, now, virtual


async def queue_up(slots: Slots, count: int) -> list[asyncio.Task[Slot]]:
    """Callers that wait, in this order."""
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.ensure_future(slots.acquire()))
        await asyncio.sleep(0)
    return tasks


@virtual
async def test_slots_below_the_limit_are_given_at_once() -> None:
    slots = Slots(2)
    await slots.acquire()
    assert slots.over_limit() is None
    await slots.acquire()
    assert (slots.in_flight, slots.waiting) == (2, 0)
    assert slots.over_limit() == "over its limit: 2 of 2 calls under way"


@virtual
async def test_waiters_of_one_caller_are_served_in_the_order_they_came() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    first, second = await queue_up(slots, 2)
    held.release()
    slot = await first
    assert not second.done()
    slot.release()
    (await second).release()
    assert slots.in_flight == 0


@virtual
async def test_a_newcomer_does_not_overtake_a_slot_that_was_handed_over() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    (first,) = await queue_up(slots, 1)
    held.release()
    (late,) = await queue_up(slots, 1)
    assert first.done()
    assert not late.done()
    (await first).release()
    (await late).release()


@virtual
async def test_a_slot_released_twice_is_given_back_once() -> None:
    slots = Slots(2)
    slot = await slots.acquire()
    await slots.acquire()
    slot.release()
    slot.release()
    assert slots.in_flight == 1


@virtual
async def test_a_slot_that_was_released_changes_nothing() -> None:
    slots = Slots(2)
    slot = await slots.acquire()
    slot.release()
    slot.answered(streamed=True)
    slot.failed(ConcurrencyExceeded("No."))
    assert (slots.in_flight, slots.limit) == (0, 2)


@virtual
async def test_waiting_too_long_is_a_429_that_says_whose_limit_it_is_and_when_to_come_back() -> None:
    slots = Slots(1, queue_timeout=5.0, name="GigaChat")
    await slots.acquire()
    words = r"^GigaChat serves 1 call at a time here, and none became free within 5 s\. Please try again in 1\.0s\.$"
    with pytest.raises(ConcurrencyExceeded, match=words) as caught:
        await slots.acquire()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "concurrency_limit", 1.0)
    assert (now(), slots.in_flight, slots.waiting) == (5.0, 1, 0)


@virtual
async def test_a_full_queue_is_a_429_at_once() -> None:
    slots = Slots(2, queue=0)
    await slots.acquire()
    await slots.acquire()
    with pytest.raises(ConcurrencyExceeded, match=r"^The upstream serves 2 calls at a time here, and all are taken"):
        await slots.acquire()
    assert now() == 0.0


@virtual
async def test_the_deadline_ends_the_wait_before_the_queues_own_time() -> None:
    slots = Slots(1, queue_timeout=5.0)
    await slots.acquire()
    for _ in range(2):  # the second time it is over already
        with pytest.raises(UpstreamTimeout, match="none became free in the time of this call") as caught:
            await slots.acquire(deadline=3.0)
        assert (now(), caught.value.code, caught.value.trips) == (3.0, "total_timeout", False)
    with pytest.raises(ConcurrencyExceeded):
        await slots.acquire(deadline=now() + 6.0)
    assert (now(), slots.waiting) == (8.0, 0)


@virtual
async def test_the_representation_shows_how_full_it_is() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    (first,) = await queue_up(slots, 1)
    assert repr(slots) == "Slots(1 of 1 taken, 1 waiting)"
    held.release()
    (await first).release()


async def call(slots: Slots, caller: str = "", *, takes: float = 0.05) -> float:
    """Take a slot. Returns the seconds waited for it; of a refused call those until it is to come back, negative."""
    asked = now()
    try:
        slot = await slots.acquire(caller)
    except ConcurrencyExceeded as error:
        return -(error.retry_after or 0.0)
    waited = now() - asked
    await asyncio.sleep(takes)
    slot.release()
    return waited


async def arrive(slots: Slots, caller: str, *, rate: float, seconds: float, takes: float = 0.05) -> list[float]:
    """Call so many times a second, however long each takes."""
    async with asyncio.TaskGroup() as group:
        tasks = []
        for _ in range(round(rate * seconds)):
            tasks.append(group.create_task(call(slots, caller, takes=takes)))
            await asyncio.sleep(1 / rate)
    return [task.result() for task in tasks]


@virtual
async def test_a_queue_that_never_empties_delays_no_call_for_long_and_leaves_no_slot_idle() -> None:
    """100 calls a second are answered, and 500 come."""
    waits = await arrive(Slots(5), "", rate=500, seconds=20)
    served = [wait for wait in waits if wait >= 0]
    assert len(served) >= 0.95 * 20 * 100
    assert sorted(served)[round(0.99 * len(served))] < 2.0


@virtual
async def test_a_storm_of_one_caller_refuses_no_call_of_another() -> None:
    slots = Slots(5)
    storm = asyncio.ensure_future(arrive(slots, "storm", rate=500, seconds=10))
    calm = await arrive(slots, "calm", rate=10, seconds=10)
    assert min(await storm) < 0 <= min(calm)
    assert max(calm[10:]) < 0.5


@virtual
async def test_a_burst_is_queued_whole() -> None:
    slots = Slots(5)
    assert min(await asyncio.gather(*(call(slots) for _ in range(1000)))) >= 0


@virtual
async def test_slow_calls_may_wait_for_four_of_their_kind() -> None:
    waits = await arrive(Slots(1, queue_timeout=1000), "", rate=1, seconds=100, takes=5)
    assert 15 < max(waits) < 30


@virtual
async def test_each_refused_call_is_told_a_time_of_its_own() -> None:
    waits = await arrive(Slots(5), "", rate=500, seconds=3)
    told = [-wait for wait in waits if wait < 0]
    assert len(told) > 500
    assert max(told) > 5


@virtual
async def test_calls_that_become_slower_keep_nobody_waiting_for_long() -> None:
    """40 calls a second are answered, then 10, and 200 come."""
    slots = Slots(2)
    fast = asyncio.ensure_future(arrive(slots, "", rate=200, seconds=5))
    await asyncio.sleep(5)
    slow = await arrive(slots, "", rate=200, seconds=5, takes=0.2)
    assert max(await fast) <= 1.5
    assert max(slow) <= 1.5
    assert len([wait for wait in slow if wait >= 0]) >= 0.9 * 5 * 10


@virtual
async def test_a_slot_is_held_while_a_late_loop_keeps_its_call_from_going_on() -> None:
    slots = Slots(1, queue=1)
    held = await slots.acquire()
    loop = cast("VirtualLoop", asyncio.get_running_loop())
    for _ in range(40):
        (waiting,) = await queue_up(slots, 1)
        held.release()
        loop.advance(3)
        held = await waiting
    (waiting,) = await queue_up(slots, 1)
    with pytest.raises(ConcurrencyExceeded, match=r"the queue is full\. Please try again in 6\.0s"):
        await slots.acquire()
    held.release()
    (await waiting).release()
