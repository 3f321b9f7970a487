"""Whatever way out a request takes, what it held is settled exactly once, and to the truth.

The provider keeps a ledger of what it was asked and what it said. After each request the counts must agree with it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from redis import Redis

from tests.asgi_client import Exchange, body_messages, http_scope, post
from tests.limits.fixtures import MakeStore
from tests.test_cancellation import Interrupted, cancel_now, cancel_one_tick_later
from xrouter_asgi.errors import UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable
from xrouter_asgi.limits.base import Charge, LimitStatus, LimitStore, Reservation
from xrouter_asgi.limits.limit import Limit, parse_limits
from xrouter_asgi.limits.memory import MemoryLimits
from xrouter_asgi.middleware.rate_limit import RateLimitMiddleware
from xrouter_asgi.providers.base import Call, Reply
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.scripted import ScriptedProvider, Step, chat, chunk, completion, usage_chunk
from xrouter_asgi.testing.waiting import until
from xrouter_asgi.wire import ChatChunk
from xrouter_asgi.wire.stream import ChatStream

LIMITS = "1000/minute; 100000 tokens/minute; 5 parallel"
TEXT = ["one", "two two", "three"]


class Ledger(ScriptedProvider):
    """Notes the text and the usage of which it knows that they were taken from it."""

    def __init__(self, *steps: Step) -> None:
        told: list[Step] = [[chunk(text)] for text in TEXT]
        super().__init__(*(steps or (*told, [chunk(finish="stop")], [usage_chunk()])))
        self.said = 0
        self.counted: int | None = None

    async def send(self, call: Call, /) -> Reply:
        reply = await super().send(call)
        if not isinstance(reply.body, ChatStream):
            self.counted = 5
        return reply

    async def _stream(self) -> AsyncIterator[Sequence[ChatChunk]]:
        async for batch in super()._stream():
            for each in batch:
                self.said += sum(len(choice["delta"].get("content", "")) for choice in each.value["choices"])
                if each.value.get("usage"):
                    self.counted = each.value["usage"]["total_tokens"]
            yield batch


class Notary:
    """Passes on to a store, and notes how often each lease was settled."""

    def __init__(self, inner: LimitStore) -> None:
        self.inner = inner
        self.asked: dict[str, Sequence[Charge]] = {}
        self.refused: set[str] = set()
        self.settled: dict[str, Sequence[int]] = {}

    backlog = 0

    async def connect(self) -> None: ...

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        assert lease not in self.asked
        self.asked[lease] = charges
        return await self.inner.reserve(charges, lease=lease)

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        assert lease not in self.settled, "settled twice"
        self.settled[lease] = costs or [0] * len(self.asked[lease])
        self.inner.settle(lease, costs)

    async def read(self, charges: Sequence[Charge]) -> Sequence[LimitStatus]:
        return await self.inner.read(charges)

    async def aclose(self) -> None:
        """Whoever made the inner one closes it."""

    async def used(self) -> dict[str, int]:
        """What the counts say, by unit."""
        await until(lambda: not self.inner.backlog)
        counts = [Charge("address 127.0.0.1", limit, 0) for limit in parse_limits(LIMITS)]
        return {status.limit.unit: status.limit.amount - status.remaining for status in await self.read(counts)}


def exchange(provider: ScriptedProvider, notary: Notary, *, stream: bool, **options: object) -> Exchange:
    body = json.dumps(chat(stream=stream)).encode()
    router = LLMRouter({"scripted": Target(provider, model="upstream-model")})
    app = RateLimitMiddleware(router, limit=LIMITS, store=notary)
    scope = http_scope("POST", "/v1/chat/completions")
    return Exchange(app, scope, script=body_messages(body), **options)  # type: ignore[arg-type]  # its own keywords


def truth(provider: Ledger, *, stream: bool) -> int:
    """What the provider would write on the bill, as far as anybody outside can know."""
    if provider.counted is not None:
        return provider.counted
    if not provider.opened:
        return 0
    # Of an answer that nobody waited for nothing is known: it is charged as it was reserved.
    told = (provider.said + 1) // 2 if stream and provider.said else 1024
    return len(json.dumps(chat(stream=stream))) // 2 + told


async def agree(notary: Notary, provider: Ledger, *, stream: bool) -> None:
    assert notary.settled.keys() == notary.asked.keys()
    used = await notary.used()
    assert used["parallel"] == 0
    assert used["tokens"] == truth(provider, stream=stream)
    assert used["requests"] in ((0, 1) if used["tokens"] == 0 else (1,))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cancel", [cancel_now, cancel_one_tick_later])
@pytest.mark.parametrize("times", [1, 1000])
async def test_a_request_cancelled_at_any_step_is_settled_once_and_to_the_truth(
    stream: bool, cancel: Callable[[], None], times: int
) -> None:
    for n in itertools.count(1):
        provider, notary = Ledger(), Notary(MemoryLimits())
        running = exchange(provider, notary, stream=stream)
        interrupted = Interrupted(running.run(), range(n, n + times), cancel)
        await asyncio.wait([asyncio.create_task(interrupted.run())])
        await agree(notary, provider, stream=stream)
        if interrupted.suspensions < n:
            break
    assert n > (6 if stream else 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_cancelled_at_any_step_is_settled_once_in_redis_too(
    stream: bool, redis_store: MakeStore, redis_url: str
) -> None:
    for n in itertools.count(1):
        provider = Ledger()
        store = redis_store()
        notary = Notary(store)
        running = exchange(provider, notary, stream=stream)
        interrupted = Interrupted(running.run(), range(n, n + 1), cancel_now)
        await asyncio.wait([asyncio.create_task(interrupted.run())])
        await agree(notary, provider, stream=stream)
        with Redis.from_url(redis_url) as client:
            client.flushall()
        if interrupted.suspensions < n:
            break
    assert n > (6 if stream else 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_at_any_step_is_settled_once_and_to_the_truth(stream: bool) -> None:
    for n in itertools.count(1):
        provider, notary = Ledger(), Notary(MemoryLimits())
        running = exchange(provider, notary, stream=stream)
        interrupted = Interrupted(running.run(), range(n, n + 1), running.leave)
        await asyncio.create_task(interrupted.run())
        await agree(notary, provider, stream=stream)
        if interrupted.suspensions < n:
            break
    assert n > (6 if stream else 2)


@pytest.mark.parametrize("send_error", [None, OSError("gone")])
@pytest.mark.parametrize("messages", range(1, 7))
async def test_a_client_that_leaves_after_any_message_is_settled_once_and_to_the_truth(
    messages: int, send_error: Exception | None
) -> None:
    provider, notary = Ledger(), Notary(MemoryLimits())
    running = exchange(provider, notary, stream=True, leave_after=messages, send_error=send_error)
    await running.run()
    await agree(notary, provider, stream=True)


@pytest.mark.parametrize("told", range(1, len(TEXT) + 1))
async def test_a_stream_that_breaks_is_charged_for_what_it_said(told: int) -> None:
    steps: list[Step] = [[chunk(text)] for text in TEXT[:told]]
    provider, notary = Ledger(*steps, UpstreamUnavailable("It broke.")), Notary(MemoryLimits())
    await exchange(provider, notary, stream=True).run()
    await agree(notary, provider, stream=True)
    assert provider.said > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "error",
    [UpstreamUnavailable("No."), UpstreamRateLimited("No."), UpstreamTimeout("No.", code="connect_timeout")],
)
async def test_what_no_upstream_accepted_costs_no_tokens(stream: bool, error: Exception) -> None:
    notary = Notary(MemoryLimits())
    await exchange(ScriptedProvider(error), notary, stream=stream).run()
    assert await notary.used() == {"requests": 1, "tokens": 0, "parallel": 0}


async def test_a_request_that_is_wrong_costs_a_request_and_no_tokens() -> None:
    notary = Notary(MemoryLimits())
    router = LLMRouter({"scripted": ScriptedProvider()})
    app = RateLimitMiddleware(router, limit=LIMITS, store=notary)
    assert (await post(app, "/v1/chat/completions", {"model": "scripted"})).status == 400
    assert (await post(app, "/v1/chat/completions", chat(model="unknown"))).status == 404
    assert await notary.used() == {"requests": 2, "tokens": 0, "parallel": 0}


async def test_an_answer_without_usage_is_charged_as_it_was_estimated() -> None:
    answer = completion()
    silent = type(answer)({key: value for key, value in answer.value.items() if key != "usage"})
    notary = Notary(MemoryLimits())
    await exchange(ScriptedProvider(body=silent), notary, stream=False).run()
    assert (await notary.used())["tokens"] == len(json.dumps(chat())) // 2 + 1024


def test_the_limits_of_this_file_hold_no_request_back() -> None:
    assert [limit.amount for limit in map(Limit.parse, LIMITS.split(";"))] == [1000, 100_000, 5]
