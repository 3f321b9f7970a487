"""The models and providers, how they are, and what an operator does about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from starlette.types import Receive, Scope

from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import NotFound
from ..watched import ProviderFacts, TargetFacts, Upstreams
from .answers import (
    ModelEntry,
    Models,
    Probed,
    ProviderEntry,
    Providers,
    SlotsEntry,
    StateFacts,
    TargetEntry,
    TargetState,
)
from .asking import Processes
from .explaining import Explained, ExplainQuery
from .operation import AdminOperation, answer, query_of


class UpstreamsAPI:
    """`/api/models`, `/api/providers`, `/api/circuits` and `/api/explain`."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

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
                "Each provider: its last attempt, its circuits, its slots, its token.",
                answer=Providers,
            ),
            AdminOperation(
                "/api/providers/{name}/probe",
                self._probe,
                "Ask a provider for its models, to see whether it answers: every worker does.",
                answer=Probed,
                method="POST",
                errors=(404,),
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
        """Each name with its targets. Raises NotReady."""
        told = await self._processes.ask(lambda process: process.upstreams())
        found: dict[str, dict[str, list[tuple[int, TargetFacts]]]] = {}
        for number, upstreams in told:
            for facts in upstreams["targets"]:
                targets = found.setdefault(facts["model"], {})
                targets.setdefault(facts["state"]["target"], []).append((number, facts))
        models = [_model(name, targets) for name, targets in found.items()]
        return {"workers": self._processes.answering(told), "models": models}

    async def providers(self) -> Providers:
        """Each provider, with what is known of it. Raises NotReady."""
        told = await self._processes.ask(lambda process: process.upstreams())
        found: dict[str, list[ProviderFacts]] = {}
        for _, upstreams in told:
            for facts in upstreams["providers"]:
                found.setdefault(facts["name"], []).append(facts)
        providers = [_provider(many, _states(name, told)) for name, many in found.items()]
        return {"workers": self._processes.answering(told), "providers": providers}

    async def explain(self, query: ExplainQuery) -> Explained:
        """Where a request would go now, as the first worker has it. Raises NotFound, NotReady."""
        told = await self._processes.ask(lambda process: process.explain(query))
        explained = next((found for _, found in told if found is not None), None)
        if explained is None:
            raise NotFound("No name and no pattern serves this model. See GET /api/models.")
        return explained

    async def probe(self, name: str) -> Probed:
        """What came of asking a provider for its models. Raises NotFound, NotReady."""
        told = await self._processes.ask(lambda process: process.probe(name))
        probed: list[Probed] = [{**facts, "worker": number} for number, facts in told if facts is not None]
        if not probed:
            raise NotFound("No provider has this name. See GET /api/providers.")
        return max(probed, key=lambda each: (each["failure"] is not None, each["seconds"]))

    async def close(self, target: str) -> TargetState:
        """Let the next call to a target through, in every worker. Raises NotFound, NotReady."""
        told = await self._processes.ask(lambda process: process.close(target))
        states = [(number, facts) for number, facts in told if facts is not None]
        if not states:
            raise NotFound("No target has this name. See GET /api/providers.")
        return _state(states)

    async def _list_models(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.models())

    async def _list_providers(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.providers())

    async def _explain(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, await self.explain(query_of(scope, ExplainQuery)))

    async def _probe(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, name: str) -> None:
        await answer(send, context, await self.probe(name))

    async def _close(
        self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, target: str
    ) -> None:
        await answer(send, context, await self.close(target))


def _state(states: Sequence[tuple[int, StateFacts]]) -> TargetState:
    """That of all workers: where some are not ready, what the one says that is so for longest."""
    numbers = [number for number, facts in states if facts["state"] != "ready"]
    worst = max((facts for _, facts in states), key=_gravity)
    return {**worst, "workers": numbers or [number for number, _ in states]}


def _gravity(facts: StateFacts) -> tuple[bool, float]:
    until = facts["until"]
    return facts["state"] != "ready", 0.0 if until is None else until.timestamp()


def _states(provider: str, told: Iterable[tuple[int, Upstreams]]) -> list[TargetState]:
    """The targets of a provider, each once."""
    found: dict[str, dict[int, StateFacts]] = {}
    for number, upstreams in told:
        for facts in upstreams["targets"]:
            if facts["provider"] == provider:
                state = facts["state"]  # a target may stand below several names, with a circuit each
                known = found.setdefault(state["target"], {})
                known[number] = max(known.get(number, state), state, key=_gravity)
    return [_state(list(states.items())) for states in found.values()]


def _model(name: str, targets: Mapping[str, Sequence[tuple[int, TargetFacts]]]) -> ModelEntry:
    attempts = sum(facts["attempts"] for many in targets.values() for _, facts in many)
    return {"name": name, "targets": [_target(many, attempts) for many in targets.values()]}


def _target(many: Sequence[tuple[int, TargetFacts]], of: int) -> TargetEntry:
    facts = many[0][1]
    attempts = sum(each["attempts"] for _, each in many)
    times = sorted(time for _, each in many for time in each["times"])
    return {
        **_state([(number, each["state"]) for number, each in many]),
        "provider": facts["provider"],
        "weight": facts["weight"],
        "price": facts["price"],
        "capabilities": facts["capabilities"],
        "attempts": attempts,
        "failed": sum(each["failed"] for _, each in many),
        "share": attempts / of if of else None,
        "p95": times[int(0.95 * (len(times) - 1))] if times else None,
    }


def _provider(many: Sequence[ProviderFacts], targets: list[TargetState]) -> ProviderEntry:
    attempts = [each["last"] for each in many if each["last"] is not None]
    expiries = [each["token_expires"] for each in many if each["token_expires"] is not None]
    slots: list[SlotsEntry] = [
        {
            "limit": sum(each["limit"] for each in same),
            "in_use": sum(each["in_use"] for each in same),
            "waiting": sum(each["waiting"] for each in same),
        }
        for same in zip(*(each["slots"] for each in many), strict=False)  # a worker may still have older settings
    ]
    return {
        "name": many[0]["name"],
        "last": max(attempts, key=lambda last: last["at"], default=None),
        "targets": targets,
        "slots": slots,
        "token_expires": min(expiries, default=None),
    }
