"""What was spent, and how far budgets are used up."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field
from starlette.types import Receive, Scope
from typing_extensions import TypedDict

from ...asgi.responses import id_headers
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import InvalidRequest
from ...ledger import BudgetUse, Spend, SpendReport, Where
from ...ledger.budgets import MOST
from ...ledger.report import SINCE
from ...limits.prices import in_units
from ...wire.answers import UsageTotals
from .operation import AdminOperation, Query, answer, at, query_of

_CSV = "text/csv; charset=utf-8"


class SpentSum(UsageTotals):
    """The names are there that were asked for with `by`; an empty one is of requests that had none."""

    day: str = ""
    month: str = ""
    key: str = ""
    owner: str = ""
    group: str = ""
    model: str = ""
    provider: str = ""


class Spent(TypedDict):
    """From the first day to the last one. The total counts a request once, also one of several groups."""

    since: str
    until: str
    currency: str
    total: UsageTotals
    sums: list[SpentSum]


class BudgetEntry(TypedDict):
    """How far the limit of a subject is used up. Amounts are texts.

    `subject` is the id of a key, an owner, a group or a model; empty for a limit of all. `reserved` is for requests
    that run. `forecast` is what will be spent when the window ends, at the pace of the last 24 hours. A window that
    slides has no end, and no forecast.
    """

    limit: str
    per: str
    subject: str
    models: str | None
    amount: str
    spent: str
    reserved: str
    remaining: str
    ends: datetime | None
    forecast: str | None


class BudgetList(TypedDict):
    """The budgets that something was spent from in their window, the most used first."""

    currency: str
    budgets: list[BudgetEntry]


class SpendQuery(Query):
    """What to sum up.

    Attributes:
        by: Such as `day,model`: of day, month, key, owner, group, model and provider. Empty for nothing.
        since, until: The first day and the last one: `30d`, `12h`, `2026-11` or `2026-11-30`; by default until today.
        key, owner, group, model, provider: Only of this one; a model may be a pattern with one `*`.
    """

    by: str = "owner"
    since: str = SINCE
    until: str | None = None
    key: str | None = None
    owner: str | None = None
    group: str | None = None
    model: str | None = None
    provider: str | None = None


class BudgetQuery(Query):
    limit: Annotated[int, Field(ge=1, le=500)] = MOST


class SpendAPI:
    """`/api/spend`, `/api/spend.csv` and `/api/budgets`."""

    def __init__(self, spend: Spend) -> None:
        self._spend = spend

    def operations(self) -> list[AdminOperation]:
        summary = "What was spent, the dearest first."
        budgets = "How far each budget is used up, the most used first."
        return [
            AdminOperation("/api/spend", self._show, summary, answer=Spent, query=SpendQuery, errors=(400,)),
            AdminOperation(
                "/api/spend.csv",
                self._download,
                "What was spent, for a spreadsheet.",
                answer=str,
                query=SpendQuery,
                errors=(400,),
                media="text/csv",
            ),
            AdminOperation("/api/budgets", self._budgets, budgets, answer=BudgetList, query=BudgetQuery, errors=(400,)),
        ]

    async def report(self, asked: SpendQuery) -> SpendReport:
        """What was spent. Raises InvalidRequest and LedgerUnavailable."""
        where = Where(asked.key, asked.owner, asked.group, asked.model, asked.provider)
        try:
            return await self._spend.report(by=asked.by, since=asked.since, until=asked.until, where=where)
        except ValueError as error:
            raise InvalidRequest(str(error)) from None

    async def budgets(self, most: int = MOST) -> BudgetList:
        """How far budgets are used up. Raises LedgerUnavailable and KeyStoreUnavailable."""
        budgets = self._spend.budgets
        used = [] if budgets is None else await budgets.used(most)
        return {"currency": self._spend.currency, "budgets": [budget_entry(each) for each in used]}

    async def budget_of_all(self) -> BudgetEntry | None:
        """That budget of all, on all models, which is the most used. Raises LedgerUnavailable."""
        budgets = self._spend.budgets
        used = [] if budgets is None else await budgets.of_all()
        return budget_entry(used[0]) if used else None

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        report = await self.report(query_of(scope, SpendQuery))
        await answer(send, context, report.document())

    async def _download(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        report = await self.report(query_of(scope, SpendQuery))
        text = report.csv().encode("utf-8", "replace")
        name = f'attachment; filename="spend-{report.since}-{report.until}.csv"'
        headers = [
            (b"content-type", _CSV.encode("ascii")),
            (b"content-disposition", name.encode("ascii")),
            (b"content-length", b"%d" % len(text)),
            *id_headers(context),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    async def _budgets(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.budgets(query_of(scope, BudgetQuery).limit))


def budget_entry(use: BudgetUse) -> BudgetEntry:
    return {
        "limit": str(use.limit),
        "per": use.limit.per,
        "subject": use.subject,
        "models": use.models,
        "amount": in_units(use.limit.amount),
        "spent": in_units(use.spent),
        "reserved": in_units(use.reserved),
        "remaining": in_units(use.remaining),
        "ends": None if use.ends is None else at(use.ends),
        "forecast": None if use.forecast is None else in_units(use.forecast),
    }
