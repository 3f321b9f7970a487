"""Budgets that go on where the ledger ends, on counts in memory and in a real Redis."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from redis import Redis

from tests.ledger.entries import entry
from tests.limits.fixtures import MakeStore, redis_process, redis_store, redis_url
from xrouter_asgi.ledger import LedgerUnavailable, MemoryLedger, SeededBudget, Where
from xrouter_asgi.limits import Charge, Limit, LimitStore, MemoryLimits, Reservation, WhenUnavailable
from xrouter_asgi.limits.budgets import budgets_of
from xrouter_asgi.limits.periods import Calendar
from xrouter_asgi.limits.rules import LimitRules, Subject
from xrouter_asgi.testing.clock import LoopClock
from xrouter_asgi.testing.waiting import until

__all__ = ["redis_process", "redis_store", "redis_url"]

NANO = 10**9
MONTH = Limit.parse("10 USD/calendar month per owner")
DAY = Limit.parse("10 USD/day per owner")
REQUESTS = Limit.parse("5/minute")

_leases = map(str, count())


class Told(MemoryLedger):
    """A ledger that counts what it is asked, and can be away or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Where] = []
        self.away = False
        self.slow: asyncio.Event | None = None

    async def spent(self, where: Where, since: datetime, /) -> int:
        self.asked.append(where)
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise LedgerUnavailable("Away.", detail="connection refused")
        return await super().spent(where, since)


@pytest.fixture
def ledger() -> Told:
    return Told()


@pytest.fixture(params=["memory", "redis"])
def inner(request: pytest.FixtureRequest) -> LimitStore:
    store: LimitStore = MemoryLimits() if request.param == "memory" else request.getfixturevalue("redis_store")()
    return store


def charge(limit: Limit = MONTH, cost: int = 1, *, subject: str = "ann", models: str | None = None) -> Charge:
    span = None if limit.calendar is None else Calendar().span(limit.calendar)
    return Charge(subject, limit, cost, models, span)


async def take(store: LimitStore, *charges: Charge, lease: str | None = None) -> Reservation:
    return await store.reserve(charges, lease=lease or f"lease {next(_leases)}")


async def spend(ledger: MemoryLedger, usd: float, *, ago: float = 0.0, **facts: str) -> None:
    at = datetime.now(UTC) - timedelta(seconds=ago)
    await ledger.write([entry(at, cost=int(usd * NANO), **facts)])


@pytest.mark.parametrize("limit", [MONTH, DAY], ids=str)
async def test_a_new_count_begins_at_what_was_spent(ledger: Told, inner: LimitStore, limit: Limit) -> None:
    await spend(ledger, 7)
    await spend(ledger, 100, owner="bob")
    store = SeededBudget(inner, ledger)
    refused = await take(store, charge(limit, 4 * NANO))
    assert not refused.admitted
    assert refused.statuses[0].remaining == 3 * NANO
    assert (await take(store, charge(limit, 3 * NANO))).admitted
    assert not (await take(store, charge(limit, 1))).admitted


async def test_a_count_that_is_there_asks_nobody(ledger: Told, inner: LimitStore) -> None:
    store = SeededBudget(inner, ledger)
    for _ in range(5):
        await take(store, charge())
    assert len(ledger.asked) == 1


async def test_limits_of_other_units_ask_nobody(ledger: Told, inner: LimitStore) -> None:
    store = SeededBudget(inner, ledger)
    assert (await take(store, charge(REQUESTS))).admitted
    assert ledger.asked == []


async def test_a_count_that_is_read_begins_at_what_was_spent_too(ledger: Told, inner: LimitStore) -> None:
    await spend(ledger, 7)
    store = SeededBudget(inner, ledger)
    for _ in range(2):
        assert [status.remaining for status in await store.read([charge(REQUESTS), charge()])] == [5, 3 * NANO]
    assert len(ledger.asked) == 1
    assert not (await take(store, charge(cost=4 * NANO))).admitted


@pytest.mark.parametrize(("when_unavailable", "told"), [("degrade", [10 * NANO]), ("closed", [])])
async def test_what_a_count_that_is_read_says_without_the_ledger(
    ledger: Told, inner: LimitStore, when_unavailable: WhenUnavailable, told: list[int]
) -> None:
    ledger.away = True
    store = SeededBudget(inner, ledger, when_unavailable=when_unavailable)
    assert [status.remaining for status in await store.read([charge()])] == told


async def test_what_is_reserved_is_settled_once_also_if_the_count_was_new(ledger: Told, inner: LimitStore) -> None:
    await spend(ledger, 2)
    store = SeededBudget(inner, ledger)
    await take(store, charge(cost=5 * NANO), lease="one")
    store.settle("one", [1 * NANO])
    store.settle("one", [9 * NANO])
    await until(lambda: not store.backlog)
    assert (await take(store, charge(cost=0))).statuses[0].remaining == 7 * NANO


async def test_requests_that_come_at_once_on_a_new_count_are_all_held_to_it(ledger: Told, inner: LimitStore) -> None:
    await spend(ledger, 7)
    store = SeededBudget(inner, ledger)
    taken = await asyncio.gather(*(take(store, charge(cost=NANO)) for _ in range(10)))
    assert sum(each.admitted for each in taken) == 3
    assert len(ledger.asked) == 1


async def test_counts_that_begin_at_the_same_time_each_begin_at_their_own(ledger: Told, inner: LimitStore) -> None:
    subjects = [f"owner {number}" for number in range(10)]
    for number, subject in enumerate(subjects):
        await spend(ledger, number, owner=subject)
    store = SeededBudget(inner, ledger)
    taken = await asyncio.gather(*(take(store, charge(cost=0, subject=subject)) for subject in subjects))
    assert [each.statuses[0].remaining for each in taken] == [(10 - number) * NANO for number in range(10)]


async def test_processes_that_share_a_count_add_to_it_once(ledger: Told, redis_store: MakeStore) -> None:
    await spend(ledger, 4)
    stores = [SeededBudget(redis_store(), ledger) for _ in range(3)]
    for _ in range(2):
        await asyncio.gather(*(take(store, charge(cost=0)) for store in stores))
    assert (await take(stores[0], charge(cost=0))).statuses[0].remaining == 6 * NANO


async def test_an_emptied_redis_goes_on_with_the_month(ledger: Told, redis_url: str, redis_store: MakeStore) -> None:
    store = SeededBudget(redis_store(), ledger)
    await take(store, charge(cost=8 * NANO), lease="one")
    store.settle("one", [8 * NANO])
    await spend(ledger, 8)
    await until(lambda: not store.backlog)
    Redis.from_url(redis_url).flushall()
    refused = await take(store, charge(cost=3 * NANO))
    assert not refused.admitted
    assert refused.statuses[0].remaining == 2 * NANO


async def test_more_than_the_budget_leaves_no_debt_for_the_next_window(ledger: Told) -> None:
    """Whoever lowers a limit does not lock anybody out for longer than a window."""
    await spend(ledger, 500)
    store = SeededBudget(MemoryLimits(), ledger)
    refused = await take(store, charge(DAY))
    assert not refused.admitted
    assert refused.retry_after <= 86_400 * 61 / 60


@pytest.mark.parametrize(
    ("text", "subject", "models", "where"),
    [
        ("10 USD/day", "key_1", None, Where(key="key_1")),
        ("10 USD/day per owner", "ann", "*-Max", Where(owner="ann", model="*-Max")),
        ("10 USD/day per group", "red", None, Where(group="red")),
        ("10 USD/day per model", "small", None, Where(model="small")),
        ("10 USD/day per all", "", None, Where()),
        ("10 USD/day per all", "", "small", Where(model="small")),
    ],
)
async def test_the_ledger_is_asked_for_whom_the_limit_counts(
    ledger: Told, text: str, subject: str, models: str | None, where: Where
) -> None:
    await take(SeededBudget(MemoryLimits(), ledger), charge(Limit.parse(text), subject=subject, models=models))
    assert ledger.asked == [where]


async def test_addresses_which_the_ledger_does_not_know_begin_at_nothing(ledger: Told) -> None:
    store = SeededBudget(MemoryLimits(), ledger)
    assert (await take(store, charge(Limit.parse("10 USD/day per address"), subject="127.0.0.1"))).admitted
    assert ledger.asked == []


async def test_while_the_ledger_is_away_counts_begin_at_nothing_and_are_completed_later(
    ledger: Told, inner: LimitStore, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LoopClock()
    await spend(ledger, 7, ago=3)
    ledger.away = True
    store = SeededBudget(inner, ledger)
    with caplog.at_level(logging.WARNING):
        assert (await take(store, charge(cost=2 * NANO))).admitted
        assert (await take(store, charge(cost=2 * NANO))).admitted
        assert (await take(store, charge(cost=NANO, subject="bob"))).admitted  # and it is not asked again so soon
    assert caplog.text.count("Budgets begin without what was spent before: connection refused") == 1
    assert len(ledger.asked) == 1
    ledger.away = False
    clock.advance(1.1)
    assert (await take(store, charge(cost=1))).admitted  # which waits for nobody
    await asyncio.sleep(0.05)
    assert not (await take(store, charge(cost=1))).admitted
    await store.aclose()


async def test_closed_refuses_what_would_begin_a_count_without_the_ledger(ledger: Told, inner: LimitStore) -> None:
    ledger.away = True
    store = SeededBudget(inner, ledger, when_unavailable="closed")
    for _ in range(2):
        refused = await take(store, charge(cost=NANO))
        assert (refused.admitted, refused.refused, refused.retry_after) == (False, None, 1.0)
    await until(lambda: not store.backlog)
    assert (await take(inner, charge(cost=0))).statuses[0].remaining == 10 * NANO


async def test_a_ledger_that_hangs_is_waited_for_half_a_second(ledger: Told) -> None:
    clock = LoopClock()
    await spend(ledger, 10)
    ledger.slow = asyncio.Event()
    store = SeededBudget(MemoryLimits(), ledger)
    taking = asyncio.create_task(take(store, charge()))
    await asyncio.sleep(0)
    clock.advance(0.6)
    assert (await taking).admitted
    ledger.slow.set()
    await asyncio.sleep(0.01)
    assert not (await take(store, charge())).admitted


async def test_a_request_that_is_cancelled_while_it_waits_holds_nothing(ledger: Told) -> None:
    ledger.slow = asyncio.Event()
    inner = MemoryLimits()
    store = SeededBudget(inner, ledger)
    taking = asyncio.create_task(take(store, charge(cost=10 * NANO), lease="gone"))
    await asyncio.sleep(0.01)
    taking.cancel()
    await asyncio.wait([taking])
    store.settle("gone")
    ledger.slow.set()
    await store.aclose()
    assert (await take(inner, charge(cost=0))).statuses[0].remaining == 10 * NANO


async def test_a_budget_that_is_used_up_does_not_keep_the_others_from_beginning(
    ledger: Told, inner: LimitStore
) -> None:
    store = SeededBudget(inner, ledger)
    await take(store, charge(Limit.parse("3 USD/day"), subject="key_1"), lease="one")
    store.settle("one", [4 * NANO])
    await until(lambda: not store.backlog)
    await spend(ledger, 4, key="key_1")
    rules = LimitRules("3 USD/day; 10 USD/day per owner", {})
    told = await budgets_of(Subject("key_1", "ann", "127.0.0.1"), rules=rules, store=store)
    assert {each.per: each.remaining for each in told} == {"key": "0 USD", "owner": "6 USD"}
