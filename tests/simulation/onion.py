"""The policies as `policies.stack` puts them together, with the loop's clock and the seed's dice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tests.policies.virtual import now
from xrouter_asgi.policies.breaker import CircuitBreaker, CircuitGroup
from xrouter_asgi.policies.candidates import Candidate, first_of
from xrouter_asgi.policies.concurrency import Concurrency
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.hedge import Hedge, HedgeBudget
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.retry_budget import RetryBudget
from xrouter_asgi.policies.strategies import Strategy, by_weight, in_order, lowest_cost, two_choices
from xrouter_asgi.policies.timeout import Deadline, Timeout
from xrouter_asgi.providers.base import Call, Provider, Reply
from xrouter_asgi.providers.target import Target
from xrouter_asgi.queueing.adaptive import AdaptiveLimit
from xrouter_asgi.queueing.slots import Slots

TOTAL = 60.0
ATTEMPTS = 3
RATIO = 0.2
STRATEGIES: Sequence[Strategy] = (in_order, by_weight, lowest_cost, two_choices)


class Gate:
    """Notes when calls come, in front of the retries of one upstream."""

    def __init__(self, inner: Provider) -> None:
        self.inner = inner
        self.times: list[float] = []

    @property
    def name(self) -> str:
        return self.inner.name

    async def send(self, call: Call, /) -> Reply:
        self.times.append(now())
        return await self.inner.send(call)

    async def aclose(self) -> None:
        await self.inner.aclose()


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
        candidates = [self._candidate(upstream, group, elsewhere=len(upstreams) > 1) for upstream in upstreams]
        if len(candidates) > 1 and dice.random() < 0.3:
            candidates = self._hedged(candidates)
        fallback = Fallback(
            candidates, strategy=dice.choice(STRATEGIES), sticky=dice.random() < 0.3, random=dice, clock=now
        )
        self.provider: Provider = Deadline(fallback, total=TOTAL)

    def _candidate(self, upstream: Provider, group: CircuitGroup | None, *, elsewhere: bool) -> Candidate:
        dice = self._dice
        timeout = Timeout(Target(upstream, model="m"), first=dice.choice((None, 5.0)), idle=10.0, total=None)
        limit = dice.choice((1, 2, 5, AdaptiveLimit(initial=3, maximum=5)))
        slots = Slots(limit, queue=dice.choice((0, 2, 10)), queue_timeout=10.0, clock=now)
        line = Concurrency(timeout, slots=slots)
        held: Provider = line
        if dice.random() < 0.3:
            held = Prebuffer(line, seconds=dice.choice((None, 0.5, 3.0)), tokens=dice.randint(1, 4))
        breaker = CircuitBreaker(held, group=group, minimum=dice.choice((2, 5)), clock=now)
        budget = RetryBudget(ratio=RATIO, per_second=self.per_second, clock=now)
        retry = Retry(breaker, attempts=ATTEMPTS, budget=budget, elsewhere=elsewhere, clock=now, dice=dice)
        gate = Gate(retry)
        self.slots.append(slots)
        self.gates.append(gate)
        available = first_of(breaker.available, slots.available)
        return Candidate(gate, f"{upstream.name}/m", available=available, again=retry.again)

    def _hedged(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        budget = HedgeBudget(share=0.5)
        hedged = []
        for index, candidate in enumerate(candidates):
            others = [replace(other, again=None) for other in (*candidates[:index], *candidates[index + 1 :])]
            second = Fallback(others, attempts=2, random=self._dice, clock=now)
            hedge = Hedge(candidate.provider, second=second, budget=budget, minimum=3, clock=now)
            hedged.append(replace(candidate, provider=hedge))
        return hedged
