"""The requests that are remembered, each with the decision where it went; before them those of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import NotFound
from ...ledger import LedgerUnavailable, Spend
from ..watched import Remembered
from .answers import RequestDetail, RequestEntry, RequestList
from .asking import Processes
from .filters import RequestFilter
from .operation import AdminOperation, answer, query_of
from .written import Written, written_requests

_SAME = 1.0
"""Seconds. A client may give many requests one id; in a ledger and in memory they are one if they came in together."""


class RequestsAPI:
    """`/api/requests` and `/api/requests/{id}`.

    Args:
        spend: Its ledger has those that are no longer remembered; None without one.
    """

    def __init__(self, processes: Processes, spend: Spend | None) -> None:
        self._processes = processes
        self._spend = spend

    def operations(self) -> list[AdminOperation]:
        return [
            AdminOperation(
                "/api/requests",
                self._list,
                "The last requests, the latest first.",
                answer=RequestList,
                query=RequestFilter,
                errors=(400,),
            ),
            AdminOperation(
                "/api/requests/{id}",
                self._show,
                "A request that is remembered, with the decision where it went.",
                answer=RequestDetail,
                errors=(404,),
            ),
        ]

    async def found(self, which: RequestFilter) -> RequestList:
        """The requests of a filter, the latest first. Raises NotReady."""
        told = await self._processes.ask(lambda process: process.requests(which))
        remembered: list[RequestEntry] = [
            {**facts, "worker": number} for number, each in told for facts in each["requests"]
        ]
        remembered.sort(key=_moment, reverse=True)
        written, missing = await self._written(which, remembered, [each for _, each in told])
        entries = sorted([*remembered, *_without(written.requests, remembered)], key=_moment, reverse=True)
        if written.before is not None:  # what lies further back is for the pages that follow
            entries = [entry for entry in entries if entry["at"] >= written.before]
        shown = entries[: which.limit]
        before = shown[-1]["at"] if len(entries) > len(shown) else written.before
        return {"workers": self._processes.answering(told), "requests": shown, "before": before, "missing": missing}

    async def detail(self, id: str) -> RequestDetail:
        """The request with this id. Raises NotFound, NotReady."""
        told = await self._processes.ask(lambda process: process.request(id))
        for number, found in told:
            if found is not None:
                return {"request": {**found["request"], "worker": number}, "decision": found["decision"]}
        raise NotFound("No request of late has this id. Each worker remembers its last 2,000.")

    async def _written(
        self, which: RequestFilter, remembered: Sequence[RequestEntry], told: Sequence[Remembered]
    ) -> tuple[Written, str | None]:
        """What the ledger adds to what is remembered, and why it cannot be asked."""
        nothing = Written([], None)
        complete_since = max(each["complete_since"] for each in told)
        is_enough = len(remembered) > which.limit and remembered[which.limit]["at"] >= complete_since
        if self._spend is None or is_enough:
            return nothing, None
        try:
            return await written_requests(self._spend, which), None
        except LedgerUnavailable as error:
            return nothing, error.message

    async def _list(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.found(query_of(scope, RequestFilter)))

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        await answer(send, context, await self.detail(id))


def _moment(entry: RequestEntry) -> datetime:
    return entry["at"]


def _without(written: Sequence[RequestEntry], remembered: Sequence[RequestEntry]) -> list[RequestEntry]:
    """Those that are not remembered."""
    known: dict[str, list[datetime]] = {}
    for entry in remembered:
        known.setdefault(entry["id"], []).append(entry["at"])
    return [
        entry
        for entry in written
        if all(abs((at - entry["at"]).total_seconds()) > _SAME for at in known.get(entry["id"], ()))
    ]
