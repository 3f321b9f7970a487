from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence

import pytest

import xrouter_asgi.policies
from tests.policies.contract import PolicyContract, policies
from tests.policies.upstream import Upstream
from xrouter_asgi.kept import MemoryAnswers
from xrouter_asgi.policies.breaker import CircuitBreaker, CircuitGroup
from xrouter_asgi.policies.cache import Cache
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.concurrency import Concurrency
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.guard import Guard, Passage
from xrouter_asgi.policies.hedge import Hedge, HedgeBudget
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.stack import Patience, resilient, stack
from xrouter_asgi.policies.timeout import Deadline, Timeout
from xrouter_asgi.policies.upstream_state import UpstreamState
from xrouter_asgi.providers.base import Provider
from xrouter_asgi.providers.target import Attempting, as_target
from xrouter_asgi.queueing.slots import Slots
from xrouter_asgi.testing.virtual import virtual


async def pass_all(passages: Sequence[Passage]) -> list[str]:
    return [passage.text for passage in passages]


class TestRetry(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Retry(inner)


class TestCircuitBreaker(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return CircuitBreaker(inner, group=CircuitGroup())


class TestConcurrency(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Concurrency(inner, slots=Slots(1))


class TestCache(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Cache(inner, store=MemoryAnswers(), ttl=60.0, any_temperature=True)


class TestGuard(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Guard(inner, check=pass_all)


class TestTimeout(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Timeout(inner)


class TestDeadline(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Deadline(inner, total=600.0)


class TestPrebufferOfSeconds(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Prebuffer(inner, seconds=0.5)


class TestPrebufferOfTokens(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Prebuffer(inner, tokens=1)


class TestFallback(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Fallback([Candidate(inner, "one")])


class TestHedge(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        return Hedge(inner, second=Upstream(name="second"))


class TestHedgeThatHasLearnt(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        hedge = Hedge(inner, second=Upstream(name="second"), budget=HedgeBudget(share=1.0))
        for latencies in (hedge._plain, hedge._streamed):
            for _ in range(20):
                latencies.add(100.0)
        return hedge


class TestResilient(PolicyContract):
    @staticmethod
    def around(inner: Provider) -> Attempting:
        patience = Patience(first=60.0, idle=60.0, prebuffer_tokens=1)
        return as_target(resilient(inner, max_parallel=1, patience=patience))


class TestStack(PolicyContract):
    """Everything at once."""

    @staticmethod
    def around(inner: Provider) -> Attempting:
        patience = Patience(first=60.0, idle=60.0, prebuffer=0.5)
        upstreams = {inner.name: UpstreamState(slots=Slots(2))}
        candidates = [Candidate(inner, "one", max_parallel=1)]
        return as_target(stack(candidates, patience=patience, hedge=0.5, upstreams=upstreams))


def test_every_policy_keeps_the_contract() -> None:
    for module in pkgutil.iter_modules(xrouter_asgi.policies.__path__, "xrouter_asgi.policies."):
        importlib.import_module(module.name)
    kept = {type(contract.around(Upstream())) for contract in PolicyContract.__subclasses__()}
    assert policies() <= kept


@virtual
@pytest.mark.parametrize(
    "choice",
    [
        lambda one, other: Hedge(one, second=other),
        lambda one, other: Fallback([Candidate(one, "a"), Candidate(other, "b")]),
        lambda one, other: stack([Candidate(one, "a"), Candidate(other, "b")]),
    ],
    ids=["Hedge", "Fallback", "stack"],
)
async def test_both_sides_of_a_choice_are_closed_once(choice: Callable[[Provider, Provider], Provider]) -> None:
    upstreams = Upstream(name="a"), Upstream(name="b")
    await choice(*upstreams).aclose()
    assert [each.closings for each in upstreams] == [1, 1]
