from __future__ import annotations

import asyncio

import pytest

from xrouter_asgi.errors import ConcurrencyExceeded
from xrouter_asgi.providers.gigachat.slots import Slot, Slots


async def queue_up(slots: Slots, count: int) -> list[asyncio.Task[Slot]]:
    """Callers that stand in line, in this order."""
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.ensure_future(slots.acquire()))
        await asyncio.sleep(0)
    return tasks


async def test_slots_below_the_limit_are_given_at_once() -> None:
    slots = Slots(2)
    await slots.acquire()
    assert slots.available() is None
    await slots.acquire()
    assert (slots.taken, slots.waiting) == (2, 0)
    assert slots.available() == "over its limit: 2 of 2 calls under way"


async def test_waiting_callers_are_served_in_the_order_they_came() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    first, second = await queue_up(slots, 2)
    held.release()
    slot = await first
    assert not second.done()
    slot.release()
    (await second).release()
    assert slots.taken == 0


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


async def test_a_slot_released_twice_is_given_back_once() -> None:
    slots = Slots(2)
    slot = await slots.acquire()
    await slots.acquire()
    slot.release()
    slot.release()
    assert slots.taken == 1


async def test_waiting_too_long_is_a_429_that_says_when_to_come_back() -> None:
    slots = Slots(1, queue_timeout=0.01)
    await slots.acquire()
    with pytest.raises(ConcurrencyExceeded, match=r"1 at a time .* within 0\.01 s") as caught:
        await slots.acquire()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "concurrency_limit", 5.0)
    assert (slots.taken, slots.waiting) == (1, 0)


async def test_a_caller_cancelled_in_line_leaves_the_line() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    first, second = await queue_up(slots, 2)
    first.cancel()
    await asyncio.wait({first})
    assert slots.waiting == 1
    held.release()
    (await second).release()
    assert slots.taken == 0


async def test_a_slot_handed_to_a_caller_that_is_being_cancelled_goes_to_the_next() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    first, second = await queue_up(slots, 2)
    held.release()
    first.cancel()
    await asyncio.wait({first})
    assert first.cancelled()
    (await second).release()
    assert slots.taken == 0


async def test_a_slot_released_while_the_first_in_line_is_being_cancelled_goes_to_the_next() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    first, second = await queue_up(slots, 2)
    first.cancel()
    held.release()
    (await second).release()
    assert first.cancelled()
    assert (slots.taken, slots.waiting) == (0, 0)


async def test_the_queue_shows_its_length() -> None:
    slots = Slots(1)
    held = await slots.acquire()
    (first,) = await queue_up(slots, 1)
    assert repr(slots) == "Slots(1 of 1 taken, 1 waiting)"
    held.release()
    (await first).release()


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="'max_parallel' is"):
        Slots(limit)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_queue_timeout_that_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="'queue_timeout' is"):
        Slots(1, queue_timeout=seconds)
