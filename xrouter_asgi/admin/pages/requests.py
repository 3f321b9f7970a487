"""Requests: what was asked of late, and where each request went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.types import Receive, Scope

from ...asgi.routes import Endpoint
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import InvalidRequest
from ..api.answers import AttemptEntry, RequestDetail, RequestList
from ..api.filters import RequestFilter
from ..api.operation import checked
from ..api.requests import RequestsAPI
from ..forms import query_fields
from .charts import Bar, bar
from .frame import PART, Frame


class Step(NamedTuple):
    """An attempt in the waterfall: the wait for its first chunk, and what came then."""

    attempt: AttemptEntry
    waiting: Bar
    coming: Bar | None


class RequestPages:
    """`/requests` and `/requests/{id}`."""

    def __init__(self, frame: Frame, requests: RequestsAPI) -> None:
        self._frame = frame
        self._requests = requests

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        return {
            "/requests": {"GET": self._list, "HEAD": self._list},
            "/requests/{id}": {"GET": self._show, "HEAD": self._show},
        }

    async def _list(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        asked = {name: value for name, value in query_fields(scope).items() if name != PART}
        status, problem, older = 200, None, None
        found: RequestList | None = None
        try:
            found = await self._requests.found(checked(RequestFilter, asked))
        except InvalidRequest as error:
            status, problem = error.status, error.message
        if found is not None and found["before"] is not None:
            older = urlencode({**asked, "before": found["before"].isoformat()})
        await self._frame.show(
            scope,
            send,
            context,
            "requests",
            status=status,
            asked=dict.fromkeys(RequestFilter.model_fields, "") | asked,
            filtered=bool(asked),
            problem=problem,
            **({} if found is None else {"workers": found["workers"]}),
            requests=[] if found is None else found["requests"],
            dated=found is not None and len({each["at"].date() for each in found["requests"]}) > 1,
            missing=None if found is None else found["missing"],
            older=older,
            newest=urlencode({name: value for name, value in asked.items() if name != "before"}),
        )

    async def _show(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, id: str) -> None:
        detail = await self._requests.detail(id)
        await self._frame.show(scope, send, context, "request", **detail, steps=waterfall(detail))


def waterfall(detail: RequestDetail) -> Sequence[Step]:
    """The attempts of a request, along its duration."""
    attempts = detail["decision"]["attempts"]
    ends = [each["ended"] for each in attempts if each["ended"] is not None]
    whole = max([detail["request"]["duration"], *ends])
    return [_step(each, whole) for each in attempts]


def _step(attempt: AttemptEntry, whole: float) -> Step:
    started, first = attempt["started"], attempt["first"]
    ended = whole if attempt["ended"] is None else attempt["ended"]
    if first is None:
        return Step(attempt, bar(started, ended, whole), None)
    return Step(attempt, bar(started, first, whole), bar(first, ended, whole))
