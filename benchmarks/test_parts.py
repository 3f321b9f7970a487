"""What the parts on the hot path cost, one by one: `pytest benchmarks -p pytest_benchmark.plugin`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from xrouter_asgi.limits.prices import Price
from xrouter_asgi.policies.breaker import CircuitBreaker
from xrouter_asgi.policies.candidates import Candidate
from xrouter_asgi.policies.fallback import Fallback
from xrouter_asgi.policies.strategies import STRATEGIES, Strategy
from xrouter_asgi.providers.base import Call
from xrouter_asgi.providers.echo import EchoProvider
from xrouter_asgi.providers.http import ErrorReader, Redaction
from xrouter_asgi.providers.openai.chunks import ChunkReader
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.wire import ChatRequest
from xrouter_asgi.wire.codec import encode, parse_request
from xrouter_asgi.wire.members import splice
from xrouter_asgi.wire.sse import encode_event

SMALL = json.dumps(
    {
        "model": "bench",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why? " * 180}],
        "temperature": 0.5,
    }
).encode()
LARGE = json.dumps(
    {"model": "bench", "messages": [{"role": "user", "content": "What, and why? " * 33} for _ in range(2000)]}
).encode()
EVENT = encode(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "bench",
        "choices": [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}],
    }
)

bodies = pytest.mark.parametrize("body", [SMALL, LARGE], ids=["1kB", "1MB"])


@bodies
def test_parse_request(benchmark: BenchmarkFixture, body: bytes) -> None:
    benchmark(parse_request, body)


@bodies
def test_validate_request(benchmark: BenchmarkFixture, body: bytes) -> None:
    benchmark(ChatRequest.of, parse_request(body))


@bodies
def test_splice_the_model(benchmark: BenchmarkFixture, body: bytes) -> None:
    benchmark(splice, body, parse_request(body), {"model": "other"})


@pytest.mark.parametrize("like", ["like the one before", "like none before"])
def test_read_check_and_write_an_event(benchmark: BenchmarkFixture, like: str) -> None:
    reader = ChunkReader(choices=1, hide_usage=False, model="bench", errors=ErrorReader(Redaction()))
    reader.feed(encode_event(EVENT))
    # The text of the second stands for its id, too, so that nothing is learned from it.
    framed = encode_event(EVENT if like == "like the one before" else EVENT.replace(b" word", b"chatcmpl-1"))

    def one_event() -> None:
        for chunk in reader.feed(framed):
            encode_event(chunk.data)

    benchmark(one_event)


def call_of(body: bytes) -> Call:
    return Call(ChatRequest.of(parse_request(body)))


def among_a_hundred(strategy: Strategy) -> Fallback:
    """A fallback with a hundred candidates, each behind a circuit breaker."""
    breaker = CircuitBreaker(EchoProvider())
    candidates = [Candidate(breaker, f"p/{i}", price=Price(1, 2)) for i in range(100)]
    return Fallback(candidates, strategy=strategy)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_plan_among_a_hundred_candidates(benchmark: BenchmarkFixture, strategy: Strategy) -> None:
    benchmark(among_a_hundred(strategy).plan, call_of(SMALL))


def test_route_a_request_in_process(benchmark: BenchmarkFixture) -> None:
    router = LLMRouter({"bench": EchoProvider(models=["bench"])})
    loop = asyncio.new_event_loop()
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "root_path": "", "headers": []}

    async def send(message: Any) -> None:
        pass

    def one_request() -> None:
        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        messages = [{"type": "http.request", "body": SMALL}]
        loop.run_until_complete(router(dict(scope), receive, send))

    benchmark(one_request)
    loop.close()
