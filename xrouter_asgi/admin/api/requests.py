"""The requests that are remembered, each with the decision where it went."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated

from pydantic import Field
from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...decision import CandidateVerdict
from ...errors import NotFound
from ...limits.prices import in_units
from ...live import Live, RecentAttempt, RecentRequest
from .answers import AttemptEntry, CandidateEntry, DecisionEntry, Process, RequestDetail, RequestEntry, RequestList
from .operation import AdminOperation, Query, answer, at, query_of


class RequestFilter(Query):
    """Which requests, newest first.

    Attributes:
        status: Such as `429`, or `5xx` for all of that kind.
        error: One word such as `upstream_timeout`; `any` for all that have one.
        before: Only those with a lower `number`.
    """

    model: str | None = None
    key: str | None = None
    owner: str | None = None
    status: Annotated[str | None, Field(pattern="^[1-5]([0-9][0-9]|xx)$")] = None
    error: str | None = None
    before: Annotated[int | None, Field(ge=1, le=2**53)] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50

    def matches(self, request: RecentRequest) -> bool:
        principal = request.principal
        return (
            (self.before is None or request.number < self.before)
            and (self.model is None or request.model == self.model)
            and (self.key is None or (principal is not None and principal.id == self.key))
            and (self.owner is None or (principal is not None and principal.owner == self.owner))
            and (self.status is None or _has_status(request, self.status))
            and (self.error is None or request.error == self.error or (self.error == "any" and bool(request.error)))
        )


class RequestsAPI:
    """`/api/requests` and `/api/requests/{id}`.

    Args:
        currency: Of costs.
    """

    def __init__(self, live: Live, process: Process, *, currency: str) -> None:
        self._live = live
        self._process = process
        self._currency = currency

    def operations(self) -> list[AdminOperation]:
        return [
            AdminOperation(
                "/api/requests",
                self._list,
                "The last requests of this process, newest first.",
                answer=RequestList,
                query=RequestFilter,
                errors=(400,),
            ),
            AdminOperation(
                "/api/requests/{id}",
                self._show,
                "One of them, with the decision where it went.",
                answer=RequestDetail,
                errors=(404,),
            ),
        ]

    async def found(self, which: RequestFilter) -> RequestList:
        """The requests of a filter, newest first."""
        found = list(islice(self._matching(which), which.limit + 1))
        shown = found[: which.limit]
        return {
            "process": self._process,
            "requests": [request_entry(each, self._currency) for each in shown],
            "before": shown[-1].number if len(found) > len(shown) else None,
        }

    async def detail(self, id: str) -> RequestDetail:
        """The request of this id. Raises NotFound."""
        request = next((each for each in reversed(self._live.recent) if each.id == id), None)
        if request is None:
            raise NotFound("No request of late has this id. This process remembers its last 2,000.")
        return request_detail(request, self._currency)

    def _matching(self, which: RequestFilter) -> Iterator[RecentRequest]:
        return (request for request in reversed(self._live.recent) if which.matches(request))

    async def _list(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.found(query_of(scope, RequestFilter)))

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        await answer(send, context, await self.detail(id))


def request_entry(request: RecentRequest, currency: str) -> RequestEntry:
    principal, usage = request.principal, request.usage
    return {
        "number": request.number,
        "id": request.id,
        "at": at(request.at),
        "endpoint": request.endpoint,
        "model": request.model,
        "key": None if principal is None else principal.id,
        "owner": None if principal is None else principal.owner,
        "status": request.status,
        "complete": request.complete,
        "failed": request.failed,
        "duration": request.duration,
        "first_byte": request.first_byte,
        "streamed": request.streamed,
        "prompt_tokens": None if usage is None else usage.prompt_tokens,
        "completion_tokens": None if usage is None else usage.completion_tokens,
        "cached_tokens": None if usage is None else usage.cached_tokens,
        "error": request.error,
        "provider": request.provider,
        "upstream_model": request.upstream_model,
        "cost": None if request.cost is None else f"{in_units(request.cost)} {currency}",
        "cache": request.cache,
        "attempts": len(request.attempts),
        "hedges": request.hedges,
    }


def request_detail(request: RecentRequest, currency: str) -> RequestDetail:
    decision: DecisionEntry = {
        "version": request.version,
        "strategy": request.strategy,
        "candidates": [candidate_entry(each) for each in request.candidates],
        "attempts": [_attempted(each) for each in request.attempts],
    }
    return {"request": request_entry(request, currency), "decision": decision}


def candidate_entry(each: CandidateVerdict) -> CandidateEntry:
    excluded = None if each.excluded is None else str(each.excluded)
    return {"target": each.name, "score": each.score, "excluded": excluded}


def _attempted(attempt: RecentAttempt) -> AttemptEntry:
    return {
        "target": f"{attempt.provider}/{attempt.model}",
        "started": attempt.started,
        "first": attempt.first,
        "ended": attempt.ended,
        "error": attempt.error,
        "hint": attempt.hint,
    }


def _has_status(request: RecentRequest, wanted: str) -> bool:
    status = "" if request.status is None else str(request.status)
    return status == wanted or (wanted.endswith("xx") and status[:1] == wanted[0])
