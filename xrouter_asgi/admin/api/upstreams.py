"""The models and providers, how they are, and what an operator does about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, cast

from pydantic import Field
from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext, matches
from ...errors import NotFound, UnsupportedOperation, UpstreamTimeout, XRouterError
from ...inspection import sample_request
from ...live import Live, RecentAttempt
from ...router.table import PATIENCE, ModelTable
from ..upstreams import TargetView, plan_of, upstreams_of
from .answers import (
    CapabilitiesEntry,
    Explained,
    ModelEntry,
    Models,
    Probed,
    Process,
    ProviderEntry,
    Providers,
    SlotsEntry,
    TargetEntry,
    TargetState,
)
from .operation import AdminOperation, Query, answer, at, query_of
from .requests import candidate_entry

_HOUR = 3600.0


class ExplainQuery(Query):
    """A request that somebody might send: its model, the tokens of its prompt, and what it needs."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    tools: bool = False
    vision: bool = False
    json_schema: bool = False


class UpstreamsAPI:
    """`/api/models`, `/api/providers`, `/api/circuits` and `/api/explain`.

    Args:
        models: The router's table, which a reload replaces.
    """

    def __init__(self, models: Callable[[], ModelTable], live: Live, process: Process) -> None:
        self._models = models
        self._live = live
        self._process = process

    def operations(self) -> list[AdminOperation]:
        return [
            AdminOperation(
                "/api/models",
                self._list_models,
                "Each name that clients use, with its targets in order.",
                answer=Models,
            ),
            AdminOperation(
                "/api/providers",
                self._list_providers,
                "Each provider: its last attempt, its circuits, its slots.",
                answer=Providers,
            ),
            AdminOperation(
                "/api/providers/{name}/probe",
                self._probe,
                "Ask a provider for its models, to see whether it answers.",
                answer=Probed,
                method="POST",
                errors=(400, 404),
            ),
            AdminOperation(
                "/api/circuits/{target:path}/close",
                self._close,
                "Let the next call to a target through, although its circuit is open or it is cooling.",
                answer=TargetState,
                method="POST",
                errors=(404,),
            ),
            AdminOperation(
                "/api/explain",
                self._explain,
                "Where a request for a model would go now, and why.",
                answer=Explained,
                query=ExplainQuery,
                errors=(400, 404),
            ),
        ]

    async def models(self) -> Models:
        """Each name with its targets."""
        table = self._models()
        attempts = self._attempts(table)
        models: list[ModelEntry] = [
            {"name": name, "targets": _targets(upstreams, attempts.get(name, ()))}
            for name, upstreams in upstreams_of(table).items()
        ]
        return {"process": self._process, "models": models}

    async def providers(self) -> Providers:
        """Each provider, with what is known of it."""
        by_name: dict[str, list[TargetView]] = {}
        for each in self._upstreams():
            by_name.setdefault(each.provider.name, []).append(each)
        providers = [self._provider(name, upstreams) for name, upstreams in by_name.items()]
        return {"process": self._process, "providers": providers}

    async def probe(self, name: str) -> Probed:
        """Ask a provider for its models, for 10 s at most. Raises NotFound, UnsupportedOperation."""
        upstream = next((each for each in self._upstreams() if each.provider.name == name), None)
        if upstream is None:
            raise NotFound("No provider has this name. See GET /api/providers.")
        return await _probed(upstream)

    async def close(self, target: str) -> TargetState:
        """Let the next call to a target through. Raises NotFound."""
        found = [each for each in self._upstreams() if each.name == target]
        if not found:
            raise NotFound("No target has this name. See GET /api/providers.")
        for each in found:  # a target may stand below several names, with a circuit each
            if each.breaker is not None:
                each.breaker.try_now()
        self._live.problems.settle(target)
        return target_state(found[0])

    async def explain(self, query: ExplainQuery) -> Explained:
        """Where a request would go now, and why. Raises NotFound."""
        request = sample_request(
            query.model, tokens=query.tokens, tools=query.tools, vision=query.vision, json_schema=query.json_schema
        )
        planned = plan_of(self._models(), query.model, request)
        if planned is None:
            raise NotFound("No name and no pattern serves this model. See GET /api/models.")
        strategy, candidates = planned
        return {"strategy": strategy, "candidates": [candidate_entry(each) for each in candidates]}

    async def _list_models(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.models())

    async def _list_providers(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.providers())

    async def _probe(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, name: str) -> None:
        await answer(send, context, await self.probe(name))

    async def _close(
        self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, target: str
    ) -> None:
        await answer(send, context, await self.close(target))

    async def _explain(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.explain(query_of(scope, ExplainQuery)))

    def _upstreams(self) -> list[TargetView]:
        return [each for upstreams in upstreams_of(self._models()).values() for each in upstreams]

    def _attempts(self, table: ModelTable) -> Mapping[str, Sequence[RecentAttempt]]:
        """The attempts of the last hour that are remembered, by the name or pattern that they were made for."""
        since, found = time.time() - _HOUR, dict[str, list[RecentAttempt]]()
        for request in self._live.recent:
            name = None if request.model is None or request.at < since else table.entry(request.model)
            if name is not None:
                found.setdefault(name, []).extend(request.attempts)
        return found

    def _provider(self, name: str, upstreams: Sequence[TargetView]) -> ProviderEntry:
        last = next(
            (
                (request.at, attempt.error)
                for request in reversed(self._live.recent)
                for attempt in reversed(request.attempts)
                if attempt.provider == name
            ),
            None,
        )
        states = {each.name: target_state(each) for each in upstreams}
        slots = {id(each): each for upstream in upstreams for each in upstream.slots}.values()
        listed: list[SlotsEntry] = [
            {"limit": each.limit, "in_use": each.in_flight, "waiting": each.waiting} for each in slots
        ]
        return {
            "name": name,
            "last": None if last is None else {"at": at(last[0]), "error": last[1]},
            "targets": list(states.values()),
            "slots": listed,
        }


async def _probed(upstream: TargetView) -> Probed:
    """Ask the provider for its models, for 10 s at most."""
    began = time.perf_counter()
    listed: list[str] = []
    failure = None
    deadline = asyncio.get_running_loop().time() + PATIENCE
    try:
        async with asyncio.timeout_at(deadline):
            models = await upstream.models(deadline=deadline)
        if models is None:
            raise UnsupportedOperation("This provider can list no models, so there is nothing to ask it.")
        listed = models
    except UnsupportedOperation:
        raise
    except TimeoutError:
        failure = UpstreamTimeout("It did not list its models in time.").message
    except XRouterError as error:
        failure = error.message
    took = time.perf_counter() - began
    return {"provider": upstream.provider.name, "seconds": took, "models": listed, "failure": failure}


def target_state(upstream: TargetView) -> TargetState:
    """How a target is now."""
    why = upstream.unready
    return {
        "target": upstream.name,
        "state": "ready" if why is None else why.kind,
        "until": None if why is None else _wall(why.until),
        "text": None if why is None else str(why),
    }


def _wall(until: float | None) -> datetime | None:
    """A time of the event loop's clock as one of the wall clock."""
    return None if until is None else at(time.time() + until - asyncio.get_running_loop().time())


def _targets(upstreams: Iterable[TargetView], attempts: Sequence[RecentAttempt]) -> list[TargetEntry]:
    return [
        _target(each, [attempt for attempt in attempts if _is_of(attempt, each)], len(attempts)) for each in upstreams
    ]


def _target(upstream: TargetView, attempts: Sequence[RecentAttempt], of: int) -> TargetEntry:
    candidate = upstream.candidate
    price = candidate.price
    times = sorted(attempt.ended - attempt.started for attempt in attempts if attempt.ended is not None)
    return {
        **target_state(upstream),
        "provider": upstream.provider.name,
        "weight": candidate.weight,
        "price": None if price is None else {"input": str(price.input), "output": str(price.output)},
        "capabilities": cast(CapabilitiesEntry, asdict(candidate.capabilities)),
        "attempts": len(attempts),
        "failed": sum(attempt.error is not None for attempt in attempts),
        "share": len(attempts) / of if of else None,
        "p95": times[int(0.95 * (len(times) - 1))] if times else None,
    }


def _is_of(attempt: RecentAttempt, upstream: TargetView) -> bool:
    """Whether the attempt was made at this target, in whose name a `*` stands for what the client asked for."""
    return attempt.provider == upstream.provider.name and matches(upstream.name, f"{attempt.provider}/{attempt.model}")
