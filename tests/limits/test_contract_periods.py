"""What every store promises of money, and of windows that are periods of the calendar."""

from __future__ import annotations

import pytest

from xrouter_asgi.limits import Charge, Limit, LimitStore, Reservation
from xrouter_asgi.limits.periods import Calendar
from xrouter_asgi.testing.clock import Clock
from xrouter_asgi.testing.limit_stores import PARALLEL, REQUESTS, settle
from xrouter_asgi.testing.limit_stores import take as take_anytime

MONTH = Limit.parse("0.0000001 USD/calendar month")
DAY = Limit.parse("100 tokens/calendar day")
MOST = Limit.parse("9000000 USD/calendar month")
NANO = 10**9


@pytest.fixture
def calendar(clock: Clock) -> Calendar:
    return Calendar(clock=clock)


async def take(
    store: LimitStore, calendar: Calendar, limit: Limit, cost: int, *, lease: str = "", subject: str = "key"
) -> Reservation:
    assert limit.calendar is not None
    charge = Charge(subject, limit, cost, span=calendar.span(limit.calendar))
    return await store.reserve([charge], lease=lease or f"{subject} {limit} {cost} {calendar.now()}")


async def left(store: LimitStore, calendar: Calendar, limit: Limit) -> int:
    return (await take(store, calendar, limit, 0, lease="look")).statuses[0].remaining


@pytest.mark.parametrize("limit", [MONTH, DAY], ids=str)
async def test_nothing_leaves_a_period_before_its_end(
    store: LimitStore, clock: Clock, calendar: Calendar, limit: Limit
) -> None:
    assert limit.calendar is not None
    ends = calendar.span(limit.calendar).ends
    assert (await take(store, calendar, limit, 60)).admitted
    clock.advance((ends - clock.now) / 2)
    refusal = await take(store, calendar, limit, 41)
    assert (refusal.admitted, refusal.refused, refusal.statuses[0].remaining) == (False, limit, 40)
    assert refusal.retry_after == pytest.approx(ends - clock.now, abs=0.01)
    assert refusal.statuses[0].reset == pytest.approx(ends - clock.now, abs=0.01)
    clock.advance(ends - clock.now - 0.01)
    assert not (await take(store, calendar, limit, 41)).admitted
    clock.advance(0.02)
    admitted = await take(store, calendar, limit, 100)
    assert (admitted.admitted, admitted.statuses[0].remaining) == (True, 0)


async def test_the_last_nano_unit_of_the_largest_budget_counts(store: LimitStore, calendar: Calendar) -> None:
    assert (await take(store, calendar, MOST, MOST.amount - 1)).admitted
    assert not (await take(store, calendar, MOST, 2)).admitted
    assert (await take(store, calendar, MOST, 1)).statuses[0].remaining == 0
    assert not (await take(store, calendar, MOST, 1, lease="more")).admitted


async def test_the_last_nano_unit_of_the_largest_window_counts(store: LimitStore) -> None:
    most = Limit.parse("9000000 USD/day")
    assert (await take_anytime(store, (most, most.amount - 1))).admitted
    assert not (await take_anytime(store, (most, 2))).admitted
    assert (await take_anytime(store, (most, 1))).admitted
    assert not (await take_anytime(store, (most, 1))).admitted


async def test_what_was_not_used_is_given_back_to_its_period(store: LimitStore, calendar: Calendar) -> None:
    await take(store, calendar, MONTH, 80, lease="mine")
    await settle(store, "mine", [30])
    assert await left(store, calendar, MONTH) == 70
    await settle(store, "mine", [0])
    assert await left(store, calendar, MONTH) == 70


async def test_what_exceeds_a_budget_is_owed_until_the_period_ends(
    store: LimitStore, clock: Clock, calendar: Calendar
) -> None:
    await take(store, calendar, MONTH, 80, lease="mine")
    await take(store, calendar, MONTH, 20, lease="another")
    await settle(store, "mine", [350])
    assert await left(store, calendar, MONTH) == 0
    await settle(store, "another", [0])
    assert await left(store, calendar, MONTH) == 0
    clock.advance(calendar.span("month").ends - clock.now)
    assert await left(store, calendar, MONTH) == 100


async def test_a_request_belongs_to_the_period_in_which_it_began(
    store: LimitStore, clock: Clock, calendar: Calendar
) -> None:
    clock.advance(calendar.span("month").ends - clock.now - 1)
    await take(store, calendar, MONTH, 50, lease="less")
    await take(store, calendar, MONTH, 50, lease="more")
    clock.advance(2)
    await take(store, calendar, MONTH, 10)
    await settle(store, "less", [0])
    await settle(store, "more", [1000])
    assert await left(store, calendar, MONTH) == 90


async def test_another_amount_goes_on_with_the_same_count(store: LimitStore, calendar: Calendar) -> None:
    await take(store, calendar, MONTH, 100)
    raised = Limit.parse("0.00000015 USD/calendar month")
    assert await left(store, calendar, raised) == 50
    assert await left(store, calendar, MONTH) == 0


async def test_periods_owners_and_kinds_are_counted_apart(store: LimitStore, calendar: Calendar) -> None:
    await take(store, calendar, MONTH, 100)
    assert await left(store, calendar, DAY) == 100
    assert await left(store, calendar, Limit.parse("100 tokens/calendar month")) == 100
    assert await left(store, calendar, Limit.parse("0.0000001 USD/calendar month per owner")) == 100
    assert (await take(store, calendar, MONTH, 100, subject="other")).admitted


async def test_a_period_and_other_limits_are_taken_together_or_not_at_all(
    store: LimitStore, calendar: Calendar
) -> None:
    def charges(cost: int) -> list[Charge]:
        span = calendar.span("month")
        return [Charge("key", REQUESTS), Charge("key", PARALLEL), Charge("key", MONTH, cost, span=span)]

    assert (await store.reserve(charges(90), lease="first")).admitted
    refusal = await store.reserve(charges(20), lease="second")
    assert (refusal.admitted, refusal.refused) == (False, MONTH)
    assert [status.remaining for status in refusal.statuses] == [2, 1, 10]
    await settle(store, "first", [1, 1, 0])
    assert (await store.reserve(charges(100), lease="third")).admitted


def test_a_charge_for_a_period_says_which() -> None:
    with pytest.raises(ValueError, match="is counted in a period"):
        Charge("key", MONTH, 1)
    with pytest.raises(ValueError, match="is counted anytime"):
        Charge("key", REQUESTS, 1, span=Calendar().span("month"))
