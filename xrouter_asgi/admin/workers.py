"""A worker, as the operator's app in the supervisor sees it; and what the worker answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, cast

from pydantic_core import to_json

from ..limits.rules import Subject
from ..live import Seen
from ..router.table import PATIENCE
from .api.answers import DetailFacts, ProbeFacts, StateFacts
from .api.explaining import Explained, ExplainQuery
from .api.filters import RequestFilter
from .api.key_answers import LimitUse
from .api.operation import adapter
from .watched import News, ProcessStatus, Remembered, Upstreams, Watched

Answer: TypeAlias = Callable[[Any], Awaitable[bytes]]
"""From the parameter of a question, a value of JSON, to the answer in JSON."""


class Ask(Protocol):
    """Asks a process, for so many seconds. Raises ConnectionError and TimeoutError."""

    async def __call__(self, method: str, params: Any = None, /, *, patience: float = ...) -> Any: ...


class WorkerProcess:
    """A worker.

    Args:
        ask: Asks whatever process has the place of that worker at present.
    """

    def __init__(self, number: int, ask: Ask) -> None:
        self.number = number
        self._ask = ask

    async def status(self) -> ProcessStatus:
        return cast(ProcessStatus, await self._told("status", ProcessStatus))

    async def requests(self, which: RequestFilter, /) -> Remembered:
        return cast(Remembered, await self._told("requests", Remembered, which.model_dump(mode="json")))

    async def request(self, id: str, /) -> DetailFacts | None:
        return cast("DetailFacts | None", await self._told("request", DetailFacts | None, id))

    async def upstreams(self) -> Upstreams:
        return cast(Upstreams, await self._told("upstreams", Upstreams))

    async def limits(self, subjects: Sequence[Subject], /) -> list[list[LimitUse]] | None:
        told = await self._told("limits", list[list[LimitUse]] | None, subjects)
        return cast("list[list[LimitUse]] | None", told)

    async def explain(self, query: ExplainQuery, /) -> Explained | None:
        told = await self._told("explain", Explained | None, query.model_dump())
        return cast("Explained | None", told)

    async def probe(self, provider: str, /) -> ProbeFacts | None:
        told = await self._ask("probe", provider, patience=PATIENCE + 1)
        return cast("ProbeFacts | None", adapter(ProbeFacts | None).validate_python(told))

    async def close(self, target: str, /) -> StateFacts | None:
        return cast("StateFacts | None", await self._told("close", StateFacts | None, target))

    async def news(self, seen: Seen | None, /) -> News:
        return cast(News, await self._told("news", News, seen))

    async def _told(self, method: str, kind: Any, params: Any = None) -> Any:
        return adapter(kind).validate_python(await self._ask(method, params))


def answers_of(process: Watched) -> Mapping[str, Answer]:
    """What a worker answers, by the method that `WorkerProcess` asks for."""

    async def status(params: Any) -> bytes:
        return to_json(await process.status())

    async def requests(params: Any) -> bytes:
        return to_json(await process.requests(RequestFilter.model_validate(params)))

    async def request(params: Any) -> bytes:
        return to_json(await process.request(str(params)))

    async def upstreams(params: Any) -> bytes:
        return to_json(await process.upstreams())

    async def limits(params: Any) -> bytes:
        return to_json(await process.limits(adapter(list[Subject]).validate_python(params)))

    async def explain(params: Any) -> bytes:
        return to_json(await process.explain(ExplainQuery.model_validate(params)))

    async def probe(params: Any) -> bytes:
        return to_json(await process.probe(str(params)))

    async def close(params: Any) -> bytes:
        return to_json(await process.close(str(params)))

    async def news(params: Any) -> bytes:
        return to_json(await process.news(None if params is None else Seen(*params)))

    methods = (status, requests, request, upstreams, limits, explain, probe, close, news)
    return {method.__name__: method for method in methods}
