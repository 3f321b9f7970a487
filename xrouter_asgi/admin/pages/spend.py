"""Spend: who spends what, day by day, and how far budgets are used up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlencode

from starlette.types import Receive, Scope

from ...asgi.routes import Endpoint
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...keys.base import utc_now
from ...ledger import Sum
from ...ledger.base import Dimension
from ...limits.prices import NANO
from ..api.operation import checked
from ..api.spend import BudgetEntry, SpendAPI, SpendQuery
from ..forms import query_fields
from .charts import WIDTH, Bar, bar
from .frame import Frame

SPLITS: Final = ("model", "owner", "key", "provider", "group")
PERIODS: Final = ("7", "30", "90", "365")  # days

_SERIES = 5  # that have a colour of their own; the others share one


class DayCost(NamedTuple):
    """What a day cost, in units of the currency: by series, in their order."""

    day: datetime
    costs: Sequence[float]


class SpentRow(NamedTuple):
    """A row of the table. `series` is the number of its colour."""

    name: str
    share: float
    sum: Sum
    cost: float
    series: int


class BudgetBar(NamedTuple):
    """A budget: what was spent of it, what is reserved, and where it will be; in units of `WIDTH`."""

    budget: BudgetEntry
    spent: Bar
    reserved: Bar | None
    used: float
    over: bool


class SpendPage:
    """`/spend`."""

    def __init__(self, frame: Frame, spend: SpendAPI) -> None:
        self._frame = frame
        self._spend = spend

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        return {"/spend": {"GET": self._show, "HEAD": self._show}}

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        asked = query_fields(scope)
        by, days = asked.get("by", "model"), asked.get("days", "30")
        if by not in SPLITS or days not in PERIODS:
            by, days = "model", "30"
        split = cast(Dimension, by)
        query = {"by": by, "since": f"{int(days) - 1}d"}
        report = await self._spend.report(checked(SpendQuery, query))
        daily = await self._spend.report(checked(SpendQuery, {**query, "by": f"day,{by}"}))
        rows = [
            SpentRow(each.by[split], report.share(each), each, each.totals.cost / NANO, min(place, _SERIES))
            for place, each in enumerate(report.sums)
        ]
        series = [row.name for row in rows[:_SERIES]]
        budgets = await self._spend.budgets()
        await self._frame.show(
            scope,
            send,
            context,
            "spend",
            report=report,
            total=report.total.cost / NANO,
            rows=rows,
            series=series,
            others=len(rows) > _SERIES,
            days=by_day(daily.sums, split, series, since=report.since, until=report.until),
            budgets=[budget_bar(each) for each in budgets["budgets"]],
            whole=WIDTH,
            by=by,
            period=days,
            splits=SPLITS,
            periods=PERIODS,
            csv=urlencode(query),
        )


def by_day(
    sums: Sequence[Sum], split: Dimension, series: Sequence[str], *, since: str, until: str
) -> Sequence[DayCost]:
    """Each day from the first to the last one; what is in no series is in one more."""
    found: dict[str, list[float]] = {}
    for each in sums:
        costs = found.setdefault(each.by["day"], [0.0] * (len(series) + 1))
        name = each.by[split]
        costs[series.index(name) if name in series else -1] += each.totals.cost / NANO
    first, last = date.fromisoformat(since), date.fromisoformat(until)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    nothing = [0.0] * (len(series) + 1)
    return [DayCost(datetime(day.year, day.month, day.day, tzinfo=UTC), found.get(str(day), nothing)) for day in days]


def budget_bar(budget: BudgetEntry) -> BudgetBar:
    """How a budget looks."""
    amount, spent, reserved = (float(budget[name]) for name in ("amount", "spent", "reserved"))
    forecast = 0.0 if budget["forecast"] is None else float(budget["forecast"])
    holds = None if reserved <= 0 else bar(spent, spent + reserved, amount)
    return BudgetBar(budget, bar(0, spent, amount), holds, spent / amount if amount else 1.0, forecast > amount)


async def spent_today(spend: SpendAPI) -> tuple[float, str]:
    """What was spent since midnight, in units of the currency, and its name. Raises LedgerUnavailable."""
    report = await spend.report(checked(SpendQuery, {"by": "", "since": "0h"}))
    return report.total.cost / NANO, report.currency


async def spent_by_key(spend: SpendAPI) -> dict[str, Any]:
    """What each key has spent this month, by its id, in units of the currency. Raises LedgerUnavailable."""
    report = await spend.report(checked(SpendQuery, {"by": "key", "since": f"{utc_now():%Y-%m}"}))
    spent = {each.by["key"]: each.totals.cost / NANO for each in report.sums}
    return {"spent": spent or {"": 0.0}, "currency": report.currency}
