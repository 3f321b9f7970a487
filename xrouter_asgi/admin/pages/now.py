"""Now: whether all is well, at a glance."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from starlette.types import Receive, Scope

from ...asgi.routes import Endpoint
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...ledger import LedgerUnavailable
from ..api.answers import ModelEntry, Overview, ProblemEntry
from ..api.filters import RequestFilter
from ..api.overview import OverviewAPI
from ..api.requests import RequestsAPI
from ..api.spend import SpendAPI
from ..api.upstreams import UpstreamsAPI
from ..forms import go_to
from .charts import line
from .frame import Frame
from .spend import BudgetBar, budget_bar, spent_today

_LATEST = 10  # requests
_ALARMING = 0.05  # of the requests of an hour
_WORST_FIRST = ("circuit_open", "limiter_degraded", "cooling")


class Figure(NamedTuple):
    """A number that a person looks at, and how it was in the last hour.

    Attributes:
        name: Of its text.
        filter: How it looks.
        unit: As it is written; empty for none.
        line: A path.
        alarming: Whether it is worth a look.
        budget: That it is spent from.
    """

    name: str
    value: float | None
    filter: str
    unit: str = ""
    line: str = ""
    alarming: bool = False
    budget: BudgetBar | None = None


class Cell(NamedTuple):
    """A target in the strip of all of them. Its `look` is `well`, `resting`, `open` or `idle`."""

    target: str
    look: str


class NowPage:
    """`/`."""

    def __init__(
        self,
        frame: Frame,
        overview: OverviewAPI,
        requests: RequestsAPI,
        upstreams: UpstreamsAPI,
        spend: SpendAPI | None,
    ) -> None:
        self._frame = frame
        self._overview = overview
        self._requests = requests
        self._upstreams = upstreams
        self._spend = spend

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        return {"/": {"GET": self._show, "HEAD": self._show}, "/circuits/{target:path}/close": {"POST": self._close}}

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        overview = await self._overview.overview()
        await self._frame.show(
            scope,
            send,
            context,
            "now",
            overview=overview,
            workers=overview["workers"],
            worst=worst(overview["problems"]),
            figures=figures(overview, await self._spent(overview), now=time.time()),
            cells=cells((await self._upstreams.models())["models"]),
            requests=(await self._requests.found(RequestFilter(limit=_LATEST)))["requests"],
        )

    async def _spent(self, overview: Overview) -> Figure | None:
        """What was spent today; None where there is no ledger, or where it is away."""
        if self._spend is None:
            return None
        with suppress(LedgerUnavailable):
            spent, currency = await spent_today(self._spend)
            found = await self._spend.budget_of_all()
            budget = None if found is None else budget_bar(found)
            costs = line([float(minute["cost"]) for minute in overview["minutes"]])
            return Figure("spent_today", spent, "money", currency, costs, bool(budget and budget.used >= 1), budget)
        return None

    async def _close(
        self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, target: str
    ) -> None:
        await self._upstreams.close(target)
        await go_to(scope, send, context, "")


def worst(problems: Sequence[ProblemEntry]) -> ProblemEntry | None:
    """The one to tell first: of the worst kind, the oldest. None if all is well."""
    return min(problems, key=lambda each: _WORST_FIRST.index(each["kind"]), default=None)


def figures(overview: Overview, spent: Figure | None, *, now: float) -> Sequence[Figure]:
    """The six numbers of the page."""
    minutes = overview["minutes"]
    requests = [minute["requests"] for minute in minutes]
    failed = [minute["failed"] / minute["requests"] if minute["requests"] else None for minute in minutes]
    tokens = [minute["prompt_tokens"] + minute["completion_tokens"] for minute in minutes]
    in_flight = [minute["in_flight"] for minute in minutes]
    all_requests, all_failed = sum(requests), sum(minute["failed"] for minute in minutes)
    share = all_failed / all_requests if all_requests else None
    first, whole = overview["first_token"]["p95"], overview["duration"]["p95"]
    return [
        Figure("requests_per_minute", _a_minute(requests, now), "rate", line=line(requests)),
        Figure("errors", share, "percent", line=line(failed), alarming=bool(share and share >= _ALARMING)),
        Figure("first_token_p95", first, "seconds", "s", line([minute["first_token_p95"] for minute in minutes])),
        Figure("tokens_per_minute", _a_minute(tokens, now), "count", line=line(tokens)),
        Figure("in_flight", overview["in_flight"], "count", line=line([*in_flight[:-1], overview["in_flight"]])),
        spent or Figure("duration_p95", whole, "seconds", "s", line([minute["duration_p95"] for minute in minutes])),
    ]


def cells(models: Sequence[ModelEntry]) -> Sequence[Cell]:
    """Each target once, in the order of the settings."""
    targets = [each for model in models for each in model["targets"]]
    states = {each["target"]: each["state"] for each in targets}
    asked = Counter[str]()
    for each in targets:
        asked[each["target"]] += each["attempts"]
    return [Cell(name, _look(state, asked[name])) for name, state in states.items()]


def _look(state: str, asked: int) -> str:
    if state == "ready":
        return "well" if asked else "idle"
    return "open" if state == "circuit_open" else "resting"


def _a_minute(sums: Sequence[int], now: float) -> float:
    """How many came in the last 60 seconds: the running minute, and of the one before as much as is not over."""
    over = now % 60 / 60
    return sums[-1] + sums[-2] * (1 - over)
