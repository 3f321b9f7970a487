from __future__ import annotations

from tests.alerts.happenings import Watched
from xrouter_asgi.alerts import BudgetsUsed
from xrouter_asgi.context import RequestContext
from xrouter_asgi.events import BudgetUsed
from xrouter_asgi.testing.virtual import virtual


def used(share: float, *, subject: str = "ann", per: str = "owner", period: str = "2026-11") -> BudgetUsed:
    return BudgetUsed(RequestContext(), "20 USD per calendar month", per, subject, period, share)


@virtual
async def test_a_budget_is_told_of_once_at_80_percent_and_once_when_it_is_used_up() -> None:
    watched = Watched(BudgetsUsed())
    assert await watched.see(used(0.8), used(0.9)) == [
        "The budget of 20 USD per calendar month of owner 'ann' is used to 80%."
    ]
    assert await watched.see_later(10_000, used(0.99)) == []
    assert await watched.see(used(1.0)) == ["The budget of 20 USD per calendar month of owner 'ann' is used up."]
    assert await watched.see(used(1.0), used(0.85)) == []


@virtual
async def test_each_period_and_each_budget_is_told_of() -> None:
    watched = Watched(BudgetsUsed())
    assert len(await watched.see(used(1), used(1, subject="bob"), used(1, period="2026-12"))) == 3
    told = "The budget of 20 USD per calendar month of all is used to 80%."
    assert await watched.see(used(0.8, subject="", per="all")) == [told]
