"""What a router's table holds, seen from outside: the targets of each name, and the policies around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..decision import CandidateVerdict, Unready
from ..errors import UnsupportedOperation, UpstreamTimeout, XRouterError
from ..policies.breaker import CircuitBreaker
from ..policies.candidates import Candidate
from ..policies.concurrency import Concurrency
from ..policies.fallback import Fallback
from ..providers.base import Call, Provider, ReadyProvider
from ..providers.target import Attempting, Target
from ..queueing.slots import Slots
from ..router.table import PATIENCE, ModelTable
from ..wire import ChatRequest
from .api.answers import ProbeFacts


@dataclass(frozen=True, slots=True, eq=False)
class TargetView:
    """A target of a model.

    Attributes:
        name: `provider/model`, as configured.
        provider: Who is asked in the end, below all policies.
        breaker: None where nothing else could be asked instead.
        slots: Of the target and of its provider.
    """

    name: str
    candidate: Candidate
    provider: Provider
    breaker: CircuitBreaker | None
    slots: tuple[Slots, ...]

    @property
    def unready(self) -> Unready | None:
        """Why it is not asked at once, whatever is asked; None if it is."""
        if self.breaker is not None and (why := self.breaker.unready()) is not None:
            return why
        full = next(filter(None, (slots.over_limit() for slots in self.slots)), None)
        return None if full is None else Unready("queue_full", None, full)

    async def probe(self) -> ProbeFacts:
        """Ask its provider for its models, for 10 s at most."""
        began, listed, failure = time.perf_counter(), list[str](), None
        deadline = asyncio.get_running_loop().time() + PATIENCE
        try:
            async with asyncio.timeout_at(deadline):
                listed = await self._models(deadline)
        except TimeoutError:
            failure = UpstreamTimeout("It did not list its models in time.").message
        except XRouterError as error:
            failure = error.message
        took = time.perf_counter() - began
        return {"provider": self.provider.name, "seconds": took, "models": listed, "failure": failure}

    async def _models(self, deadline: float) -> list[str]:
        if not isinstance(self.provider, ReadyProvider):
            raise UnsupportedOperation("This provider can list no models, so there is nothing to ask it.")
        listed = await self.provider.models(deadline=deadline)
        return [str(model["id"]) for model in listed.value["data"]]


def upstreams_of(models: Mapping[str, Attempting]) -> dict[str, list[TargetView]]:
    """The targets of each name, in the order of the settings."""
    return {name: [_upstream(each) for each in _candidates(provider)] for name, provider in models.items()}


def plan_of(
    models: ModelTable, model: str, request: ChatRequest
) -> tuple[str | None, Sequence[CandidateVerdict]] | None:
    """How a request would be routed now: the strategy and the candidates. None if nothing serves the model."""
    found = models.find(model)
    if found is None:
        return None
    provider, stem = found
    call = Call(request, model, stem)
    for layer in _layers(provider):
        if isinstance(layer, Fallback):
            plan = layer.plan(call)
            return plan.strategy, plan.considered
    return None, [CandidateVerdict(_name(provider), None, provider.ready(call))]


def _candidates(provider: Provider) -> tuple[Candidate, ...]:
    for layer in _layers(provider):
        if isinstance(layer, Fallback):
            return layer.candidates
    return (Candidate(provider, _name(provider)),)


def _upstream(candidate: Candidate) -> TargetView:
    layers = list(_layers(candidate.provider))
    breaker = next((layer for layer in layers if isinstance(layer, CircuitBreaker)), None)
    slots = tuple(layer.slots for layer in layers if isinstance(layer, Concurrency))
    return TargetView(candidate.name, candidate, layers[-1], breaker, slots)


def _layers(provider: Provider) -> Iterator[Provider]:
    """The provider, and whatever it stands around."""
    layer: Provider | None = provider
    while layer is not None:
        yield layer
        layer = getattr(layer, "inner", None)


def _name(provider: Provider) -> str:
    """How an attempt of it is called, as far as that is known beforehand."""
    models = [layer.model for layer in _layers(provider) if isinstance(layer, Target)]
    return f"{provider.name}/{next(iter(models), None) or '*'}"
