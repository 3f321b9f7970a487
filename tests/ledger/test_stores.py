"""What every ledger promises, in memory and in databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.ledger.conftest import MakeLedger
from tests.ledger.entries import NOON, entry, hours
from xrouter_asgi.ledger import ALL, Cursor, Entry, LedgerStore, Totals, Where
from xrouter_asgi.ledger.base import PRUNED_AT_ONCE, SUMS_KEPT, Dimension

MOSCOW = ZoneInfo("Europe/Moscow")


async def test_what_is_written_is_read_as_it_was(ledger: LedgerStore) -> None:
    whole = entry(groups=("a", "b"), labels={"project": "Проект"}, error="upstream_timeout", status=504, cost=None)
    bare = entry(
        NOON - hours(1), key=None, owner=None, provider=None, upstream_model=None, status=None, first=None, cost=0
    )
    await ledger.write([bare, whole])
    page = await ledger.entries()
    assert page.entries == [whole, bare]
    assert page.before is None


async def test_an_entry_that_is_written_twice_counts_once(ledger: LedgerStore) -> None:
    first, second = entry(), entry()
    await ledger.write([first])
    await ledger.write([first, second, second])
    await ledger.write([])
    assert await ledger.spent(ALL, NOON) == 200
    assert len((await ledger.entries()).entries) == 2


async def test_requests_of_the_same_id_are_two(ledger: LedgerStore) -> None:
    """A client can choose the id of its request, and must not save money by choosing it twice."""
    await ledger.write([entry(request_id="mine"), entry(request_id="mine")])
    assert await ledger.spent(ALL, NOON) == 200


async def test_totals_add_up_each_kind_of_token(ledger: LedgerStore) -> None:
    await ledger.write([entry(), entry(error="upstream_error", cost=None), entry(provider="other", cost=7)])
    (sum,) = await ledger.sums(by=(), since=NOON, until=NOON)
    assert sum.totals == Totals(
        requests=3, errors=1, unpriced=1, input=30, cached=12, cache_write=3, output=15, reasoning=6, cost=107
    )


async def test_nothing_written_is_no_sum(ledger: LedgerStore) -> None:
    assert await ledger.sums(by=(), since=NOON, until=NOON) == []
    assert await ledger.spent(ALL, NOON) == 0


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (("owner",), [("ann", 300), ("bob", 30), ("", 1)]),
        (("model", "owner"), [("large", "ann", 200), ("small", "ann", 100), ("small", "bob", 30), ("small", "", 1)]),
        (("day",), [("2026-11-30", 201), ("2026-11-29", 130)]),
        (("month",), [("2026-11", 331)]),
        (("key", "provider"), [("key_1", "up", 300), ("key_2", "up", 30), ("", "up", 1)]),
    ],
)
async def test_sums_are_split_by_what_is_asked_for(
    ledger: LedgerStore, by: tuple[Dimension, ...], expected: list[tuple[str | int, ...]]
) -> None:
    await ledger.write(
        [
            entry(NOON - hours(24)),
            entry(model="large", cost=200),
            entry(NOON - hours(24), key="key_2", owner="bob", cost=30),
            entry(key=None, owner=None, cost=1),
            entry(NOON - hours(48), cost=9999),  # too early
            entry(NOON + hours(24), cost=9999),  # too late
        ]
    )
    sums = await ledger.sums(by=by, since=NOON - hours(24), until=NOON)
    assert [(*each.by.values(), each.totals.cost) for each in sums] == expected
    assert all(tuple(each.by) == by for each in sums)


_DAYS = [(2026, 9, 30), (2026, 10, 1), (2026, 10, 20), (2026, 11, 1), (2026, 11, 15), (2026, 11, 30), (2026, 12, 1)]


@pytest.mark.parametrize("by", [("month",), ("day",), ("month", "owner"), ("key",), ()])
async def test_sums_of_any_days_are_those_of_their_requests(ledger: LedgerStore, by: tuple[Dimension, ...]) -> None:
    """Also where months are added up that are whole, or less the days behind the last."""
    moments = [datetime(*day, 12, tzinfo=UTC) for day in _DAYS]
    await ledger.write([entry(at, owner=f"owner_{place % 2}", cost=1 << place) for place, at in enumerate(moments)])
    for first, since in enumerate(moments):
        for where in (ALL, Where(key="key_1"), Where(model="small")):
            assert await ledger.spent(where, since) == sum(1 << place for place in range(first, len(moments)))
        for last, until in enumerate(moments):
            sums = await ledger.sums(by=by, since=since, until=until)
            meant = range(first, last + 1)
            assert sum(each.totals.cost for each in sums) == sum(1 << place for place in meant)
            assert sum(each.totals.requests for each in sums) == len(meant)
            assert all(each.totals.requests > 0 for each in sums)


async def test_a_request_is_in_the_sum_of_each_group(ledger: LedgerStore) -> None:
    await ledger.write([entry(groups=("blue", "red")), entry(groups=("red",), cost=10), entry(cost=1)])
    sums = await ledger.sums(by=("group",), since=NOON, until=NOON)
    assert [(each.by["group"], each.totals.cost) for each in sums] == [("red", 110), ("blue", 100), ("", 1)]
    assert await ledger.spent(Where(group="red"), NOON) == 110
    page = await ledger.entries(where=Where(group="blue"))
    assert [each.groups for each in page.entries] == [("blue", "red")]


@pytest.mark.parametrize(
    ("where", "spent"),
    [
        (ALL, 1111),
        (Where(key="key_1"), 1),
        (Where(owner="ann"), 11),
        (Where(model="small"), 1),
        (Where(model="SMALL-*"), 10),
        (Where(model="small*", owner="ann"), 11),
        (Where(provider="down"), 1000),
        (Where(owner="nobody"), 0),
    ],
)
async def test_spent_is_of_those_who_are_meant(ledger: LedgerStore, where: Where, spent: int) -> None:
    await ledger.write(
        [
            entry(cost=1),
            entry(key="key_2", model="Small-Pro", cost=10),
            entry(key="key_3", owner="bob", model="large", cost=100),
            entry(key="key_3", owner="bob", model="large", provider="down", cost=1000),
        ]
    )
    assert await ledger.spent(where, NOON) == spent
    sums = await ledger.sums(by=("owner",), since=NOON, until=NOON, where=where)
    assert sum(each.totals.cost for each in sums) == spent
    assert sum(each.cost or 0 for each in (await ledger.entries(where=where)).entries) == spent


async def test_spent_is_exact_within_a_day(ledger: LedgerStore) -> None:
    for hour in range(-30, 6):
        await ledger.write([entry(NOON + hours(hour), cost=1)])
    for hour in range(-30, 6):
        assert await ledger.spent(Where(key="key_1"), NOON + hours(hour)) == 6 - hour
        assert await ledger.spent(ALL, NOON + hours(hour - 0.5)) == 6 - hour


async def test_a_day_begins_at_midnight_where_the_ledger_is(make: MakeLedger) -> None:
    ledger = await make(timezone=MOSCOW)
    midnight = NOON.replace(day=30, hour=21)  # 00:00 of December in Moscow
    await ledger.write([entry(midnight - timedelta(microseconds=1), cost=1), entry(midnight, cost=10)])
    sums = await ledger.sums(by=("day",), since=midnight - hours(1), until=midnight)
    assert [(each.by["day"], each.totals.cost) for each in sums] == [("2026-12-01", 10), ("2026-11-30", 1)]
    assert await ledger.spent(ALL, midnight) == 10


async def test_pages_follow_each_other_without_a_gap(ledger: LedgerStore) -> None:
    written = [entry(NOON - hours(number // 3), cost=number) for number in range(10)]  # three at a time
    await ledger.write(written)
    found: list[Entry] = []
    before: Cursor | None = None
    while True:
        page = await ledger.entries(before=before, limit=4)
        found += page.entries
        if (before := page.before) is None:
            break
    assert found == sorted(written, key=lambda each: (each.at, each.id), reverse=True)


async def test_pruning_goes_in_steps_and_keeps_the_sums(ledger: LedgerStore) -> None:
    old = [entry(NOON - hours(48), cost=1) for _ in range(PRUNED_AT_ONCE + 5)]
    await ledger.write(old)
    await ledger.write([entry(NOON + hours(24))])  # in December
    before = NOON - hours(24)
    assert [await ledger.prune(before) for _ in range(3)] == [PRUNED_AT_ONCE, 5, 0]
    assert len((await ledger.entries()).entries) == 1
    (sum,) = await ledger.sums(by=(), since=NOON - hours(48), until=NOON + hours(24))
    assert sum.totals.requests == len(old) + 1
    # What a day cost is known, but no longer when: the whole day counts.
    assert await ledger.spent(ALL, NOON - hours(40)) == len(old) + 100
    await ledger.prune(NOON + SUMS_KEPT)
    assert await ledger.spent(ALL, NOON - hours(48)) == len(old) + 100
    await ledger.prune(NOON + hours(24) + SUMS_KEPT)  # sums go by whole months
    assert await ledger.spent(ALL, NOON - hours(48)) == 100


async def test_no_sum_is_too_large(ledger: LedgerStore) -> None:
    large = entry(cost=9 * 10**15, input=2**30)
    await ledger.write([large, large._replace(id="another"), large._replace(id="third")])
    assert await ledger.spent(ALL, NOON) == 27 * 10**15
