"""Spend, as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.admin.stand import Stand
from tests.admin.test_pages import page
from tests.admin.test_spend import filled
from tests.ledger.entries import entry
from xrouter_asgi.admin import AdminApp, ThisProcess
from xrouter_asgi.admin.pages.charts import Bar
from xrouter_asgi.admin.pages.spend import budget_bar
from xrouter_asgi.ledger import Budgets, LedgerUnavailable, Spend

NANO = 10**9


def budget(**facts: Any) -> Any:
    usual = {"amount": "10", "spent": "5", "reserved": "0", "forecast": None}
    return {**usual, **facts}


async def test_what_was_spent_is_shown_by_model_with_its_share(stand: Stand) -> None:
    await filled(stand)
    text = await page(stand, "/spend")
    assert "<strong>5.00</strong> USD" in text
    assert text.index("small") < text.index("large")
    assert "60\N{NARROW NO-BREAK SPACE}%" in text
    assert 'href="./api/spend.csv?by=model&amp;since=29d"' in text


async def test_it_is_split_and_bounded_as_it_is_asked(stand: Stand) -> None:
    await filled(stand)
    text = await page(stand, "/spend?by=owner&days=365")
    assert "<strong>12.00</strong> USD" in text
    assert "=bob" in text


@pytest.mark.parametrize("query", ["by=colour", "days=1", "days=x"])
async def test_what_cannot_be_asked_is_as_if_nothing_was_asked(stand: Stand, query: str) -> None:
    assert '<option value="model" selected>' in await page(stand, f"/spend?{query}")


async def test_each_day_has_its_row_and_few_have_a_colour_of_their_own(stand: Stand) -> None:
    now = datetime.now(UTC)
    names = "abcdefg"
    await stand.ledger.write([entry(now, model=name, cost=(9 - place) * NANO) for place, name in enumerate(names)])
    await stand.ledger.write([entry(now - timedelta(days=3), cost=None)])
    text = await page(stand, "/spend?days=7")
    assert text.count("data-day>") == 7
    assert 'data-series="5">others</th>' in text
    assert 'data-value="7.0"' in text  # of the last day, what f and g cost
    assert "are not in the cost: 1." in text


async def test_without_anything_spent_the_page_says_so(stand: Stand) -> None:
    text = await page(stand, "/spend")
    assert "Nothing was spent in this time." in text
    assert "Nothing was spent from a budget yet" in text


async def test_budgets_are_shown_as_bars_with_what_will_be_spent(stand: Stand) -> None:
    await filled(stand)
    text = await page(stand, "/spend")
    assert "10 USD per calendar month" in text
    assert "40\N{NARROW NO-BREAK SPACE}%" in text


def test_a_budget_that_will_not_do_is_told_so() -> None:
    assert not budget_bar(budget()).over
    bar = budget_bar(budget(forecast="12", reserved="2"))
    assert (bar.over, bar.used, bar.spent, bar.reserved) == (True, 0.5, Bar(0, 500), Bar(500, 200))
    assert budget_bar(budget(amount="0")).used == 1


async def test_now_says_what_was_spent_today_unless_the_ledger_is_away(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(stand)
    assert "Spent today" in await page(stand, "/")

    async def sums(**asked: object) -> object:
        raise LedgerUnavailable("It is away.")

    monkeypatch.setattr(stand.ledger, "sums", sums)
    text = await page(stand, "/")
    assert "Spent today" not in text
    assert "Duration, p95" in text


@pytest.mark.parametrize(
    ("limit", "told", "alarming"),
    [
        ("20 USD/calendar day per all", "25\N{NARROW NO-BREAK SPACE}% of 20.00 a day", False),
        ("10 USD/calendar month per all", "50\N{NARROW NO-BREAK SPACE}% of 10.00 a month", False),
        ("5 USD/2 days per all", "100\N{NARROW NO-BREAK SPACE}% of 5.00<", True),
        ("4 USD/calendar day per owner", None, False),
    ],
)
async def test_now_says_how_far_the_budget_of_all_is_used_up(
    stand: Stand, limit: str, told: str | None, alarming: bool
) -> None:
    await filled(stand)
    spend = Spend(stand.ledger, budgets=Budgets(stand.ledger, limit=limit))
    stand.app = AdminApp(ThisProcess(stand.router, stand.live), keys=stand.registry, spend=spend)
    text = await page(stand, "/")
    assert ('href="./spend#budgets"' in text) == (told is not None)
    assert told is None or told in text
    assert ('class="alarming"' in text) == alarming


async def test_without_a_ledger_there_is_no_such_page(stand: Stand) -> None:
    stand.app = AdminApp(ThisProcess(stand.router, stand.live), keys=stand.registry)
    text = await page(stand, "/")
    assert ">Spend<" not in text
    assert ">Settings<" not in text


async def test_keys_are_shown_with_what_they_have_spent_this_month(stand: Stand) -> None:
    id = stand.ordinary.key.id
    await stand.ledger.write([entry(datetime.now(UTC), key=id, owner="ann", cost=3 * NANO)])
    text = await page(stand, "/keys")
    assert "This month, USD" in text
    assert ">3.00</td>" in text
    text = await page(stand, f"/keys/{id}")
    assert "3.00 USD" in text
    assert "10 USD per calendar month" in text


async def test_keys_are_shown_while_the_ledger_is_away(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sums(**asked: object) -> object:
        raise LedgerUnavailable("It is away.")

    monkeypatch.setattr(stand.ledger, "sums", sums)
    assert "This month" not in await page(stand, "/keys")
    assert "Audit" in await page(stand, f"/keys/{stand.ordinary.key.id}")
