"""The policies as `policies.stack` puts them together, with the loop's clock and the seed's dice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from xrouter_asgi.policies.breaker import CircuitBreaker, CircuitGroup
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.circuit import Thresholds
from xrouter_asgi.policies.concurrency import Concurrency
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.hedge import Hedge, HedgeBudget
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.retry_budget import RetryBudget
from xrouter_asgi.policies.strategies import Strategy, by_weight, in_order, lowest_cost, two_choices
from xrouter_asgi.policies.timeout import Deadline, Timeout
from xrouter_asgi.providers.base import Call, Provider, Reply
from xrouter_asgi.providers.target import Target, Wrapper
from xrouter_asgi.queueing.adaptive import AdaptiveLimit
from xrouter_asgi.queueing.slots import Slots
from xrouter_asgi.testing.virtual import now

TOTAL = 60.0
ATTEMPTS = 3
RATIO = 0.2
LEARNT, USUAL = 20, 1.0  # calls and seconds that a hedge has learnt from: a world has too few calls for that
STRATEGIES: Sequence[Strategy] = (in_order, by_weight, lowest_cost, two_choices)


class CountedBudget(RetryBudget):
    """Notes when it granted retries."""

    def __init__(self, *, ratio: float, per_second: int) -> None:
        super().__init__(ratio=ratio, per_second=per_second)
        self.granted: list[float] = []

    def retry(self) -> bool:
        if not super().retry():
            return False
        self.granted.append(now())
        return True


class Gate(Wrapper):
    """Stands in front of the retries of one upstream and tells requests and retries apart.

    Attributes:
        times: When requests came.
        retries: How many attempts were no request's first.
    """

    def __init__(self, inner: Provider, budget: CountedBudget) -> None:
        super().__init__(inner)
        self.budget = budget
        self.times: list[float] = []
        self.retries = 0
        self._new: set[str] = set()

    async def send(self, call: Call, /) -> Reply:
        if call.repeats is None:
            self.times.append(now())
            self._new.add(call.context.request_id)
        try:
            return await self.inner.send(call)
        finally:
            self._new.discard(call.context.request_id)

    def asked(self, request_id: str) -> None:
        """Note an attempt."""
        if request_id in self._new:
            self._new.discard(request_id)
        else:
            self.retries += 1


class Onion:
    """The policies around a few upstreams.

    Attributes:
        provider: All of it.
        gates, slots: Those of each upstream, in their order.
        per_second: Retries that are always allowed.
    """

    def __init__(self, upstreams: Sequence[Provider], dice: random.Random) -> None:
        self.gates: list[Gate] = []
        self.slots: list[Slots] = []
        self.per_second = dice.choice((0, 1))
        self._dice = dice
        group = CircuitGroup() if dice.random() < 0.5 else None
        candidates = [self._candidate(upstream, group) for upstream in upstreams]
        if len(candidates) > 1 and dice.random() < 0.3:
            candidates = self._hedged(candidates)
        fallback = Fallback(
            candidates, strategy=dice.choice(STRATEGIES), session_affinity=dice.random() < 0.3, random=dice
        )
        self.provider: Provider = Deadline(fallback, total=TOTAL)

    def _candidate(self, upstream: Provider, group: CircuitGroup | None) -> Candidate:
        dice = self._dice
        timeout = Timeout(Target(upstream, model="m"), first=dice.choice((None, 5.0)), idle=10.0)
        limit = dice.choice((1, 2, 5, AdaptiveLimit(initial=3, maximum=5)))
        slots = Slots(limit, queue=dice.choice((0, 2, 10)), queue_timeout=10.0)
        layer: Provider = Concurrency(timeout, slots=slots)
        if dice.random() < 0.3:
            layer = Prebuffer(layer, seconds=dice.choice((None, 0.5, 3.0)), tokens=dice.randint(1, 4))
        breaker = CircuitBreaker(layer, group=group, thresholds=Thresholds(minimum=dice.choice((2, 5))))
        budget = CountedBudget(ratio=RATIO, per_second=self.per_second)
        gate = Gate(Retry(breaker, attempts=ATTEMPTS, budget=budget, random=dice), budget)
        self.slots.append(slots)
        self.gates.append(gate)
        return Candidate(gate, f"{upstream.name}/m")

    def _hedged(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        budget = HedgeBudget(share=0.5)
        hedged = []
        for index, candidate in enumerate(candidates):
            others = [*candidates[:index], *candidates[index + 1 :]]
            second = Fallback(others, attempts=2, backoff=None, random=self._dice)
            hedge = Hedge(candidate.provider, second=second, budget=budget)
            for latencies in (hedge._plain, hedge._streamed):
                for _ in range(LEARNT):
                    latencies.add(USUAL)
            hedged.append(replace(candidate, provider=hedge))
        return hedged
