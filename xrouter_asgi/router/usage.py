"""The endpoint that tells a caller what its own key has used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from ..asgi.responses import id_headers, send_json
from ..asgi.routes import Endpoint
from ..asgi.sending import Outgoing
from ..context import BudgetStatus, RequestContext
from ..errors import InvalidRequest, PermissionDenied
from ..ledger import Dimension, LedgerStore, Where
from ..ledger.days import midnight_before
from ..ledger.report import SINCE, dimensions, moment, sum_document, total, totals_document
from ..wire.codec import encode

__all__ = ["OwnUsage"]

SPLIT_BY: Final[tuple[Dimension, ...]] = ("day", "month", "model", "provider")


@dataclass(frozen=True, slots=True)
class OwnUsage:
    """What callers are told of what their own keys have used.

    Attributes:
        ledger: Whoever makes it closes it.
        currency: Of its costs.
        timezone: In which its days begin.
    """

    ledger: LedgerStore
    currency: str = "USD"
    timezone: tzinfo = UTC


class UsageEndpoint:
    """`GET /v1/usage`, for whoever has a key. It needs no scope: a key may always know what it has used itself."""

    def __init__(self, usage: OwnUsage) -> None:
        self._ledger = usage.ledger
        self._currency = usage.currency
        self._zone = usage.timezone

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        """The endpoint by path and method."""
        return {"/usage": {"GET": self._get}}

    async def _get(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        context.endpoint = "usage"
        if context.principal is None:
            raise PermissionDenied("Usage belongs to an API key, and this request has none.")
        now = datetime.now(UTC)
        since, by = self._asked(scope, now)
        budgets = () if context.budgets is None else await context.budgets()
        sums = await self._ledger.sums(by=by, since=since, until=now, where=Where(key=context.principal.id))
        answer = {
            "object": "usage",
            "since": midnight_before(since, self._zone).isoformat(),
            "until": now.astimezone(self._zone).isoformat(timespec="seconds"),
            "currency": self._currency,
            **totals_document(total(sums)),
            "data": [sum_document(each) for each in sums] if by else [],
            "budgets": [self._told(budget, now) for budget in budgets],
        }
        await send_json(send, encode(answer), headers=id_headers(context))

    def _asked(self, scope: Scope, now: datetime) -> tuple[datetime, tuple[Dimension, ...]]:
        """What the query asks for. Raises InvalidRequest."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        name = ""
        try:
            name = "since"
            since = moment(query.pop("since", SINCE), now=now, zone=self._zone)
            name = "by"
            by = dimensions(query.pop("by", ""), SPLIT_BY)
        except ValueError as error:
            raise InvalidRequest(f"Invalid value for '{name}': {error}", code="invalid_value", param=name) from None
        if query:
            unknown = next(iter(query))[:64]
            message = f"Unknown parameter: '{unknown}'. Known: 'since', 'by'."
            raise InvalidRequest(message, code="invalid_value", param=unknown)
        return since, by

    def _told(self, budget: BudgetStatus, now: datetime) -> dict[str, Any]:
        reset = now + timedelta(seconds=budget.reset + 0.5)  # to the nearest second, since some time has passed
        return {
            "limit": budget.limit,
            "per": budget.per,
            "model": budget.models,
            "remaining": budget.remaining,
            "reset": reset.astimezone(self._zone).isoformat(timespec="seconds"),
        }
