"""How far budgets are used up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tests.ledger.entries import NOON, entry, hours
from xrouter_asgi.keys import APIKey, Issuer, KeySpec, MemoryKeyStore
from xrouter_asgi.ledger import Budgets, BudgetUse, MemoryLedger
from xrouter_asgi.limits import Charge, Limit, LimitStatus, LimitStore, MemoryLimits

NANO = 10**9


def budgets(
    ledger: MemoryLedger,
    limit: str,
    *,
    models: Mapping[str, str] | None = None,
    store: LimitStore | None = None,
    keys: MemoryKeyStore | None = None,
) -> Budgets:
    """Of these limits, at noon of 30 November 2026."""
    return Budgets(ledger, limit=limit, models=models, store=store, keys=keys, clock=NOON.timestamp)


def told(uses: list[BudgetUse]) -> list[tuple[str, str, int, int]]:
    return [(use.limit.per, use.subject, use.spent // NANO, use.remaining // NANO) for use in uses]


async def of(*entries: object) -> MemoryLedger:
    ledger = MemoryLedger()
    await ledger.write(entries)  # type: ignore[arg-type]
    return ledger


async def test_each_subject_that_spent_something_has_a_budget() -> None:
    ledger = await of(
        entry(owner="ann", key="k1", groups=("staff", "eu"), cost=3 * NANO),
        entry(owner="bob", key="k2", groups=("eu",), model="Large", cost=2 * NANO),
        entry(owner="eve", key="k3", cost=None),
    )
    whose = "; ".join(f"10 USD/day per {per}" for per in ("key", "owner", "group", "model", "address", "all"))
    assert told(await budgets(ledger, f"60/minute; {whose}").used()) == [
        ("all", "", 5, 5),
        ("group", "eu", 5, 5),
        ("owner", "ann", 3, 7),
        ("key", "k1", 3, 7),
        ("model", "small", 3, 7),
        ("group", "staff", 3, 7),
        ("owner", "bob", 2, 8),
        ("key", "k2", 2, 8),
        ("model", "large", 2, 8),
    ]


async def test_the_budgets_of_all_come_alone_and_the_most_used_first() -> None:
    ledger = await of(entry(owner="ann", cost=3 * NANO))
    limit = "90 USD/calendar month per all; 10 USD/day per all; 5 USD/day per owner; 60/minute per all"
    ours = budgets(ledger, limit, models={"small": "4 USD/day per all"})
    assert [(str(use.limit), use.spent // NANO) for use in await ours.of_all()] == [
        ("10 USD per 1 day", 3),
        ("90 USD per calendar month", 3),
    ]


async def test_a_budget_of_models_counts_only_these() -> None:
    ledger = await of(entry(model="gpt-a", cost=3 * NANO), entry(model="other", cost=5 * NANO))
    (use,) = await budgets(ledger, "60/minute", models={"gpt-*": "10 USD/day per owner"}).used()
    assert (use.models, use.spent, use.subject) == ("gpt-*", 3 * NANO, "ann")


async def test_what_is_older_than_the_window_does_not_count() -> None:
    ledger = await of(entry(NOON - hours(2), cost=3 * NANO), entry(NOON - hours(30), cost=5 * NANO))
    (use,) = await budgets(ledger, "10 USD/day per owner").used()
    assert (use.spent, use.ends, use.forecast) == (3 * NANO, None, None)
    (use,) = await budgets(ledger, "10 USD/calendar month per owner").used()
    assert use.spent == 8 * NANO


async def test_the_forecast_goes_on_at_the_pace_of_the_last_day() -> None:
    ledger = await of(entry(NOON - hours(20), cost=4 * NANO), entry(NOON - hours(30), cost=1 * NANO))
    (use,) = await budgets(ledger, "10 USD/calendar month per owner").used()
    assert use.ends == datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert use.forecast == 5 * NANO + 2 * NANO  # half a day is left


async def test_what_the_limiter_holds_beyond_the_ledger_is_reserved() -> None:
    store = MemoryLimits(clock=NOON.timestamp, wall=NOON.timestamp)
    limit = Limit.parse("10 USD/day per owner")
    await store.reserve([Charge("ann", limit, 5 * NANO)], lease="some")
    ledger = await of(entry(cost=3 * NANO))
    (use,) = await budgets(ledger, "10 USD/day per owner", store=store).used()
    assert (use.spent, use.reserved, use.remaining) == (3 * NANO, 2 * NANO, 5 * NANO)


async def test_asking_reserves_nothing() -> None:
    store = MemoryLimits(clock=NOON.timestamp, wall=NOON.timestamp)
    asked = budgets(await of(entry(cost=3 * NANO)), "10 USD/day per owner", store=store)
    assert await asked.used() == await asked.used()
    assert (await asked.used())[0].remaining == 10 * NANO


async def test_an_overdrawn_budget_has_nothing_left() -> None:
    store = MemoryLimits(clock=NOON.timestamp, wall=NOON.timestamp)
    (use,) = await budgets(await of(entry(cost=12 * NANO)), "10 USD/day per owner").used()
    assert (use.spent, use.reserved, use.remaining) == (12 * NANO, 0, 0)
    limit = Limit.parse("10 USD/day per owner")
    await store.reserve([Charge("ann", limit, 5 * NANO)], lease="some")
    store.settle("some", [12 * NANO])
    (use,) = await budgets(await of(entry(cost=12 * NANO)), "10 USD/day per owner", store=store).used()
    assert (use.reserved, use.remaining) == (0, 0)


class Away(MemoryLimits):
    async def read(self, charges: object) -> Sequence[LimitStatus]:
        return ()


async def test_while_the_counts_are_away_the_ledger_alone_tells() -> None:
    (use,) = await budgets(await of(entry(cost=3 * NANO)), "10 USD/day per owner", store=Away()).used()
    assert (use.reserved, use.remaining) == (0, 7 * NANO)


async def made(registry: MemoryKeyStore, *limits: str) -> APIKey:
    return (await Issuer(registry, by="test").create(KeySpec(owner="ann", limits=limits))).key


async def test_a_key_with_a_limit_of_its_own_has_that_budget() -> None:
    registry = MemoryKeyStore()
    own, general = await made(registry, "2 USD/day"), await made(registry)
    ledger = await of(
        entry(key=own.id, cost=1 * NANO), entry(key=general.id, cost=1 * NANO), entry(key="host", cost=1 * NANO)
    )
    found = await budgets(ledger, "10 USD/day", keys=registry).used()
    assert {(use.subject, use.limit.amount // NANO) for use in found} == {
        (own.id, 2),
        (general.id, 10),
        ("host", 10),
    }
