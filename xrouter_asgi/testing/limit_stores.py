"""What every store of limits promises: import all of it into a test module, and give the fixtures.

    from .limit_stores import *

    @pytest.fixture
    def clock() -> Clock: ...

    @pytest.fixture
    async def store(clock: Clock) -> AsyncIterator[LimitStore]: ...

The fixture `store` makes an empty store that goes by `clock`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from ..limits import Charge, Limit, LimitStore, Reservation
from .clock import Clock
from .waiting import until

REQUESTS = Limit.parse("3/minute")
TOKENS = Limit.parse("100 tokens/minute")
PARALLEL = Limit.parse("2 parallel")
MONEY = Limit.parse("0.0000001 USD/minute")  # a hundred nano-units
HUNDREDS = [TOKENS, MONEY]

_leases = map(str, count())


@pytest.fixture(params=HUNDREDS, ids=["tokens", "money"])
def tokens(request: pytest.FixtureRequest) -> Limit:
    """A hundred in any minute."""
    limit: Limit = request.param
    return limit


async def take(
    store: LimitStore, *charges: tuple[Limit, int], lease: str | None = None, subject: str = "key"
) -> Reservation:
    asked = [Charge(subject, limit, cost) for limit, cost in charges]
    return await store.reserve(asked, lease=lease or f"lease {next(_leases)}")


async def settle(store: LimitStore, lease: str, costs: Sequence[int] | None = None) -> None:
    """Settle, and wait until everybody can see it."""
    store.settle(lease, costs)
    await until(lambda: not store.backlog)


async def remaining(store: LimitStore, *limits: Limit) -> list[int]:
    return [status.remaining for status in await store.read([Charge("key", limit, 0) for limit in limits])]


async def test_as_much_is_admitted_as_the_limit_says(store: LimitStore) -> None:
    reservations = [await take(store, (REQUESTS, 1)) for _ in range(5)]
    assert [reservation.admitted for reservation in reservations] == [True, True, True, False, False]
    assert [reservation.statuses[0].remaining for reservation in reservations] == [2, 1, 0, 0, 0]
    assert [reservation.refused for reservation in reservations] == [None, None, None, REQUESTS, REQUESTS]


async def test_a_refusal_says_when_to_come_again_and_then_it_is_admitted(store: LimitStore, clock: Clock) -> None:
    await take(store, (REQUESTS, 1))
    clock.advance(20)
    await take(store, (REQUESTS, 1))
    await take(store, (REQUESTS, 1))
    clock.advance(10.5)
    refusal = await take(store, (REQUESTS, 1))
    assert refusal.retry_after == pytest.approx(30.5)  # the first one's part ends 61 s after it began
    clock.advance(refusal.retry_after - 0.001)
    assert not (await take(store, (REQUESTS, 1))).admitted
    clock.advance(0.001)
    assert (await take(store, (REQUESTS, 1))).admitted


async def test_more_than_one_is_waited_for_as_long_as_it_takes(store: LimitStore, clock: Clock, tokens: Limit) -> None:
    for cost in (50, 30, 20):
        await take(store, (tokens, cost))
        clock.advance(10)
    assert (await take(store, (tokens, 50))).retry_after == pytest.approx(31)
    assert (await take(store, (tokens, 51))).retry_after == pytest.approx(41)
    assert (await take(store, (tokens, 100))).retry_after == pytest.approx(51)


async def test_reset_is_when_everything_is_there_again(store: LimitStore, clock: Clock, tokens: Limit) -> None:
    assert (await take(store, (tokens, 0))).statuses[0].reset == 0
    await take(store, (tokens, 10))
    clock.advance(30)
    reservation = await take(store, (tokens, 10))
    assert reservation.statuses[0].reset == pytest.approx(61)
    clock.advance(60.9)
    assert await remaining(store, tokens) == [90]
    clock.advance(0.1)
    assert await remaining(store, tokens) == [100]


async def test_all_charges_are_taken_or_none(store: LimitStore, tokens: Limit) -> None:
    await take(store, (REQUESTS, 1), (tokens, 90))
    refusal = await take(store, (REQUESTS, 1), (tokens, 20), (PARALLEL, 1))
    assert not refusal.admitted
    assert refusal.refused == tokens
    assert await remaining(store, REQUESTS, tokens, PARALLEL) == [2, 10, 2]


async def test_a_refusal_names_the_limit_that_takes_longest(store: LimitStore, clock: Clock) -> None:
    hour = Limit.parse("1/hour")
    await take(store, (REQUESTS, 3), (hour, 1))
    refusal = await take(store, (REQUESTS, 1), (hour, 1))
    assert refusal.refused == hour
    assert refusal.retry_after == pytest.approx(3_660, abs=60)


async def test_subjects_do_not_share(store: LimitStore) -> None:
    await take(store, (REQUESTS, 3), subject="a/b")
    assert (await take(store, (REQUESTS, 3), subject="a")).admitted
    assert (await take(store, (REQUESTS, 3), subject="")).admitted
    assert (await take(store, (REQUESTS, 3), subject="\ud800\x00 key")).admitted


async def test_a_parallel_request_ends_when_it_is_settled(store: LimitStore) -> None:
    assert (await take(store, (PARALLEL, 1), lease="first")).admitted
    assert (await take(store, (PARALLEL, 1), lease="second")).admitted
    refusal = await take(store, (PARALLEL, 1))
    assert refusal.refused == PARALLEL
    assert refusal.retry_after == 1
    assert refusal.statuses[0].remaining == 0
    await settle(store, "first", [1])
    assert (await take(store, (PARALLEL, 1))).admitted
    assert not (await take(store, (PARALLEL, 1))).admitted


async def test_what_was_not_used_is_given_back(store: LimitStore, tokens: Limit) -> None:
    await take(store, (REQUESTS, 1), (tokens, 80), lease="mine")
    await settle(store, "mine", [1, 30])
    assert await remaining(store, REQUESTS, tokens) == [2, 70]


async def test_without_costs_everything_is_given_back(store: LimitStore, tokens: Limit) -> None:
    await take(store, (REQUESTS, 1), (tokens, 80), (PARALLEL, 1), lease="mine")
    await settle(store, "mine")
    assert await remaining(store, REQUESTS, tokens, PARALLEL) == [3, 100, 2]


async def test_a_lease_is_settled_once(store: LimitStore, tokens: Limit) -> None:
    await take(store, (tokens, 80), (PARALLEL, 1), lease="mine")
    await take(store, (PARALLEL, 1), lease="other")
    for costs in ([50, 1], [0, 1], [100, 1], None):
        await settle(store, "mine", costs)
    assert await remaining(store, tokens, PARALLEL) == [50, 1]


async def test_a_lease_that_is_asked_for_twice_is_taken_once(store: LimitStore) -> None:
    for _ in range(3):
        assert (await take(store, (REQUESTS, 1), (PARALLEL, 1), lease="mine")).admitted
    assert await remaining(store, REQUESTS, PARALLEL) == [2, 1]


async def test_settling_what_was_refused_or_never_asked_changes_nothing(store: LimitStore, tokens: Limit) -> None:
    await take(store, (tokens, 90))
    await take(store, (tokens, 20), lease="refused")
    await settle(store, "refused", [5])
    await settle(store, "never asked", [5])
    assert await remaining(store, tokens) == [10]


async def test_a_refund_after_the_window_is_no_credit(store: LimitStore, clock: Clock, tokens: Limit) -> None:
    await take(store, (tokens, 80), lease="old")
    clock.advance(61)
    await take(store, (tokens, 100))
    await settle(store, "old", [0])
    assert await remaining(store, tokens) == [0]
    assert not (await take(store, (tokens, 1))).admitted


async def test_a_debt_is_carried_from_when_it_is_known(store: LimitStore, clock: Clock, tokens: Limit) -> None:
    await take(store, (tokens, 10), lease="long")
    clock.advance(200)
    await settle(store, "long", [110])
    assert not (await take(store, (tokens, 1))).admitted
    clock.advance(60.9)
    refusal = await take(store, (tokens, 1))
    assert not refusal.admitted
    assert refusal.retry_after == pytest.approx(0.1)
    clock.advance(0.1)
    assert await remaining(store, tokens) == [100]


async def test_a_debt_above_the_limit_is_paid_by_the_next_windows(
    store: LimitStore, clock: Clock, tokens: Limit
) -> None:
    await take(store, (tokens, 10), lease="mine")
    await settle(store, "mine", [350])
    refusal = await take(store, (tokens, 60))
    assert refusal.statuses[0].remaining == 0
    assert refusal.statuses[0].reset == pytest.approx(4 * 61)
    assert refusal.retry_after == pytest.approx(4 * 61)
    assert (await take(store, (tokens, 50))).retry_after == pytest.approx(3 * 61)
    for _ in range(3):
        clock.advance(60.9)
        assert await remaining(store, tokens) == [0]
        clock.advance(0.1)
    assert await remaining(store, tokens) == [50]
    clock.advance(61)
    assert await remaining(store, tokens) == [100]


async def test_a_debt_is_paid_while_nobody_asks(store: LimitStore, clock: Clock, tokens: Limit) -> None:
    for cost in (60, 40):
        await take(store, (tokens, cost), lease=f"mine {cost}")
        clock.advance(20)
    await settle(store, "mine 60", [60 + 100_000_070])
    clock.advance(1_000_000 * 61 - 20)  # every window has paid a hundred
    assert await remaining(store, tokens) == [0]
    refusal = await take(store, (tokens, 1))
    assert refusal.retry_after == pytest.approx(61)  # in 41 s sixty leave, and pay most of the last seventy
    clock.advance(41)
    assert await remaining(store, tokens) == [0]
    clock.advance(20)
    assert await remaining(store, tokens) == [30]


async def test_what_is_given_back_pays_a_debt(store: LimitStore, tokens: Limit) -> None:
    await take(store, (tokens, 60), lease="less")
    await take(store, (tokens, 40), lease="more")
    await settle(store, "more", [90])
    await settle(store, "less", [5])
    assert await remaining(store, tokens) == [5]


async def test_a_refund_frees_the_part_it_was_taken_from(store: LimitStore, clock: Clock, tokens: Limit) -> None:
    await take(store, (tokens, 60), lease="mine")
    clock.advance(30)
    await take(store, (tokens, 40))
    await settle(store, "mine", [10])
    refusal = await take(store, (tokens, 60))
    assert not refusal.admitted
    assert refusal.retry_after == pytest.approx(31)
    clock.advance(31)
    assert await remaining(store, tokens) == [60]


async def test_reading_tells_what_a_reservation_tells_and_changes_nothing(store: LimitStore, clock: Clock) -> None:
    charges = [Charge("key", limit) for limit in (REQUESTS, TOKENS, PARALLEL)]
    assert [(status.remaining, status.reset) for status in await store.read(charges)] == [(3, 0), (100, 0), (2, 0)]
    told = (await store.reserve(charges, lease="one")).statuses
    for _ in range(4):
        assert list(await store.read(charges)) == list(told)
    assert list(await store.read([Charge("other", PARALLEL), *charges]))[1:] == list(told)
    clock.advance(30)
    assert await remaining(store, REQUESTS) == [2]
    await settle(store, "one", [1, 40, 1])
    assert await remaining(store, REQUESTS, TOKENS, PARALLEL) == [2, 60, 2]
    assert (await take(store, (REQUESTS, 2), (TOKENS, 60), (PARALLEL, 2))).admitted
    clock.advance(61)
    assert await remaining(store, REQUESTS, TOKENS) == [3, 100]
    assert not await store.read([])


async def test_a_cost_beyond_the_limit_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="A cost of 101 can never be had from a limit of 100 tokens per 1 minute"):
        Charge("key", TOKENS, 101)


async def test_several_windows_are_counted_apart(store: LimitStore, clock: Clock) -> None:
    minute, day = Limit.parse("10 tokens/minute"), Limit.parse("15 tokens/day")
    assert (await take(store, (minute, 10), (day, 10))).admitted
    clock.advance(61)
    assert await remaining(store, minute, day) == [10, 5]
    refusal = await take(store, (minute, 6), (day, 6))
    assert refusal.refused == day
