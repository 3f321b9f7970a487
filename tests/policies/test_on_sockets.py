"""The policies together, around a provider that speaks HTTP to an upstream on a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.policies.upstream import call, events_of, text_of
from xrouter_asgi.errors import UpstreamTimeout, UpstreamUnavailable
from xrouter_asgi.events import AttemptRetried, CircuitOpened
from xrouter_asgi.policies.backoff import Backoff
from xrouter_asgi.policies.breaker import CircuitBreaker
from xrouter_asgi.policies.circuit import Thresholds
from xrouter_asgi.policies.concurrency import Concurrency
from xrouter_asgi.policies.retry import Retry
from xrouter_asgi.policies.timeout import Deadline, Timeout
from xrouter_asgi.providers.base import Provider
from xrouter_asgi.providers.openai import OpenAIProvider
from xrouter_asgi.providers.target import Target
from xrouter_asgi.queueing.slots import Slots
from xrouter_asgi.testing.openai import FakeOpenAI, held, refuse

MODEL = "gpt-5-mini"


def policies(provider: Provider, *, first: float = 60.0, total: float = 60.0) -> Deadline:
    timeout = Timeout(Target(provider, model=MODEL), first=first)
    breaker = CircuitBreaker(Concurrency(timeout, slots=Slots(limit=2)), thresholds=Thresholds(minimum=3))
    return Deadline(Retry(breaker, backoff=Backoff(base=0.001)), total=total)


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def provider(fake: FakeOpenAI) -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider(fake.base_url)
    yield provider
    await provider.aclose()


async def test_a_busy_upstream_is_asked_again(fake: FakeOpenAI, provider: OpenAIProvider) -> None:
    fake.next(refuse(503), refuse(500))
    one = call(stream=True, messages=[{"role": "user", "content": "one two"}])
    told = events_of(one)
    assert await text_of(await policies(provider).send(one)) == "one two"
    assert len(fake.requests) == 3
    assert [event.retry for event in told if isinstance(event, AttemptRetried)] == [1, 2]


async def test_nobody_listening_opens_the_circuit(fake: FakeOpenAI) -> None:
    async with FakeOpenAI() as gone:
        address = gone.base_url
    provider = OpenAIProvider(address)
    one = call()
    told = events_of(one)
    with pytest.raises(UpstreamUnavailable) as caught:
        await policies(provider).send(one)
    assert (caught.value.code, caught.value.should_retry) == ("connect_refused", False)
    assert [event.provider for event in told if isinstance(event, CircuitOpened)] == [provider.name]
    await provider.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_silent_upstream_is_let_go_and_the_attempt_says_why(
    fake: FakeOpenAI, provider: OpenAIProvider, stream: bool
) -> None:
    fake.next(held(asyncio.Event(), refuse(500)))
    one = call(stream=stream)
    with pytest.raises(UpstreamTimeout) as caught:
        await policies(provider, first=0.05, total=60.0 if stream else 0.05).send(one)
    await fake.settled()
    assert [attempt.error for attempt in one.context.attempts] == [caught.value]


async def test_a_client_that_leaves_closes_the_upstream_and_frees_its_slot(
    fake: FakeOpenAI, provider: OpenAIProvider
) -> None:
    never = asyncio.Event()
    fake.next(*[held(never, refuse(500))] * 2)
    policy = policies(provider)
    tasks = [asyncio.create_task(policy.send(call(stream=True))) for _ in range(3)]
    await fake.arrived(2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await fake.settled()
    assert (await policy.send(call())).provider == provider.name
