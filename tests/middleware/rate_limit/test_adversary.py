"""A caller who wants more tokens than his limit allows.

In any window he gets the limit and what reservations missed of the requests that ran at one moment, and no more; over
many windows too, because what was missed is a debt.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.asgi_client import Answer, post
from tests.limits.fixtures import ServerClock
from tests.limits.servers import RedisServer
from xrouter_asgi.errors import UpstreamTimeout
from xrouter_asgi.limits.base import Charge, LimitStatus, LimitStore, Reservation
from xrouter_asgi.limits.memory import MemoryLimits
from xrouter_asgi.limits.redis import RedisLimits
from xrouter_asgi.middleware.rate_limit import RateLimitMiddleware
from xrouter_asgi.providers.base import Call, Reply
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.testing.clock import Clock
from xrouter_asgi.testing.scripted import chat, completion
from xrouter_asgi.testing.waiting import until
from xrouter_asgi.wire import ChatRequest

LIMIT = 10_000  # tokens
WINDOW = 60.0
PROMPT = 3  # tokens, as the upstream counts them

Step: TypeAlias = tuple[str, Any]


@dataclass(slots=True)
class Asked:
    """One request, as the upstream sees it."""

    began: float
    reserved: int
    bound: int | None  # tokens of output, of all choices
    choices: int
    answer: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    ended: float | None = None
    taken: int = 0  # tokens that were made

    @property
    def missed(self) -> int:
        return max(0, self.taken - self.reserved)


class Upstream:
    """Answers when it is told to, with as many tokens as it is told to."""

    name = "scripted"

    def __init__(self) -> None:
        self.reserved = 0
        self.asked: list[Asked] = []
        self.clock = Clock()

    async def send(self, call: Call, /) -> Reply:
        request = call.request
        assert isinstance(request, ChatRequest)
        choices = request.n or 1
        bounds = [bound for bound in (request.max_tokens, request.max_completion_tokens) if bound is not None]
        bound = max(bounds) * choices if bounds else None
        self.asked.append(asked := Asked(self.clock.now, self.reserved, bound, choices))
        tokens = await asked.answer
        usage = {"prompt_tokens": PROMPT, "completion_tokens": tokens, "total_tokens": PROMPT + tokens}
        answer = completion()
        return Reply(type(answer)({**answer.value, "usage": usage}), self.name)

    async def aclose(self) -> None: ...


class Spy:
    """Notes how much the last request reserved."""

    def __init__(self, inner: LimitStore, upstream: Upstream) -> None:
        self._inner = inner
        self._upstream = upstream

    backlog = 0

    async def connect(self) -> None: ...

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        self._upstream.reserved = charges[0].cost
        return await self._inner.reserve(charges, lease=lease)

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        self._inner.settle(lease, costs)

    async def read(self, charges: Sequence[Charge]) -> Sequence[LimitStatus]:
        return await self._inner.read(charges)

    async def aclose(self) -> None: ...


class Play:
    """The adversary at work."""

    def __init__(self, store: LimitStore, clock: Clock) -> None:
        self.upstream = Upstream()
        self.upstream.clock = clock
        self._clock = clock
        self._store = store
        self._running: list[tuple[asyncio.Task[Answer], Asked]] = []
        router = LLMRouter({"scripted": self.upstream})
        self._app = RateLimitMiddleware(router, limit=f"{LIMIT} tokens/minute", store=Spy(store, self.upstream))

    async def step(self, what: str, how: Any) -> None:
        match what:
            case "ask":
                await self.ask(**how)
            case "train":
                for _ in range(how):
                    if await self.ask():
                        await self.end(-1, tokens=1)
            case "wait":
                self._clock.advance(how)
            case "answer":
                which, size = how
                await self.end(which, share=size)
            case "leave" | "late":
                await self.end(how, gives_up=what)

    async def ask(self, **members: int) -> bool:
        """Whether it was admitted."""
        before = len(self.upstream.asked)
        task = asyncio.create_task(post(self._app, "/v1/chat/completions", chat() | members))
        await until(lambda: task.done() or len(self.upstream.asked) > before)
        if task.done():
            assert task.result().status in (400, 429)
            return False
        self._running.append((task, self.upstream.asked[-1]))
        return True

    async def end(self, which: int, *, share: float = 0.0, tokens: int | None = None, gives_up: str = "") -> None:
        if not self._running:
            return
        task, asked = self._running.pop(which % len(self._running))
        most = asked.bound if asked.bound is not None else 5000 * asked.choices
        tokens = round(most * share) if tokens is None else tokens
        asked.taken = PROMPT + tokens
        if gives_up == "leave":
            task.cancel()
        elif gives_up:
            asked.answer.set_exception(UpstreamTimeout("It is late.", code="total_timeout"))
        else:
            asked.answer.set_result(tokens)
        if gives_up:
            asked.taken = asked.reserved  # beyond what is reserved, nobody can know what an upstream did
        await asyncio.wait([task])
        await until(lambda: not self._store.backlog)
        asked.ended = self._clock.now

    async def end_all(self) -> None:
        while self._running:
            await self.end(0, share=1.0)


def taken_between(asked: Sequence[Asked], after: float, until: float) -> int:
    """What was reserved counts from the reservation on, what it missed from the end on."""
    total = 0
    for each in asked:
        assert each.ended is not None
        total += (after < each.began <= until) * (each.taken - each.missed) + (
            after < each.ended <= until
        ) * each.missed
    return total


def missed_at_one_moment(asked: Sequence[Asked]) -> int:
    moments = [each.began for each in asked]
    return max(
        (sum(each.missed for each in asked if each.began <= moment <= (each.ended or 0)) for moment in moments),
        default=0,
    )


def bounded(asked: Sequence[Asked]) -> None:
    missed = missed_at_one_moment(asked)
    ends = sorted({each.began for each in asked} | {each.ended or 0.0 for each in asked})
    for end, windows in itertools.product(ends, (1, 2, 3, 5, 10)):
        assert taken_between(asked, end - windows * WINDOW, end) <= windows * LIMIT + missed
    for each in asked:
        if each.bound is not None:
            assert each.missed == 0


async def play(steps: Sequence[Step], store: LimitStore, clock: Clock) -> list[Asked]:
    adversary = Play(store, clock)
    for step in steps:
        await adversary.step(*step)
    await adversary.end_all()
    bounded(adversary.upstream.asked)
    # The debt is paid one day, and not much later than it must be.
    clock.advance((2 + sum(each.taken for each in adversary.upstream.asked) / LIMIT) * 61)
    assert await adversary.ask()
    await adversary.end_all()
    return adversary.upstream.asked


some = st.integers(1, 4000)
which = st.integers(0, 50)
members = st.fixed_dictionaries(
    {}, optional={"max_tokens": some, "max_completion_tokens": some, "n": st.integers(1, 128)}
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), members),
        st.tuples(st.just("ask"), st.just({})),
        st.tuples(st.just("answer"), st.tuples(which, st.sampled_from([0.0, 0.1, 1.0]))),
        st.tuples(st.sampled_from(["leave", "late"]), which),
        st.tuples(st.just("train"), st.integers(1, 33)),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 5.0, 30.0, 61.0, 200.0])),
    ),
    max_size=30,
)
TRAINED_THEN_MANY: list[Step] = [("train", 31), ("wait", 61.0), *[("ask", {})] * 40]
TWO_BOUNDS: list[Step] = [("ask", {"max_completion_tokens": 1, "max_tokens": 4000})] * 40
MANY_CHOICES: list[Step] = [("ask", {"n": 128}), ("wait", 61.0), ("ask", {"n": 128}), ("answer", (0, 1.0))]
BURST: list[Step] = [*[("ask", {})] * 9, *[("answer", (0, 1.0))] * 9, ("wait", 61.0)]
AGAIN_AND_AGAIN: list[Step] = [("train", 33), ("wait", 61.0), *BURST] * 5


@settings(max_examples=60)
@given(steps=steps)
@example(steps=TRAINED_THEN_MANY)
@example(steps=TWO_BOUNDS)
@example(steps=MANY_CHOICES)
@example(steps=AGAIN_AND_AGAIN)
def test_an_adversary_gets_no_more_than_the_limit_and_what_reservations_missed_at_one_moment(steps: list[Step]) -> None:
    clock = Clock()
    asyncio.run(play(steps, MemoryLimits(clock=clock), clock))


@settings(max_examples=15)
@given(steps=steps)
@example(steps=TRAINED_THEN_MANY)
@example(steps=AGAIN_AND_AGAIN)
def test_an_adversary_gets_no_more_of_redis(redis_process: RedisServer, steps: list[Step]) -> None:
    async def play_on_redis() -> None:
        clock, store = ServerClock(redis_process.url), RedisLimits(redis_process.url, timeout=10.0)
        clock.rule(store)
        try:
            await play(steps, store, clock)
        finally:
            await store.aclose()
            clock.close()

    with Redis.from_url(redis_process.url) as client:
        client.flushall()
    asyncio.run(play_on_redis())


@pytest.fixture
def adversary() -> Play:
    clock = Clock()
    return Play(MemoryLimits(clock=clock), clock)


async def test_short_answers_do_not_teach_a_reservation_below_the_assumed_output(adversary: Play) -> None:
    await adversary.step("train", 31)
    await adversary.step("wait", 61.0)
    admitted = [await adversary.ask() for _ in range(40)]
    assert sum(admitted) == 9  # each with 1,024 tokens and its input
    await adversary.end_all()


async def test_the_larger_of_two_bounds_is_reserved(adversary: Play) -> None:
    admitted = [await adversary.ask(max_completion_tokens=1, max_tokens=8000) for _ in range(2)]
    assert admitted == [True, False]
    await adversary.end_all()
    assert adversary.upstream.asked[0].missed == 0


async def test_many_choices_without_a_bound_take_the_whole_limit(adversary: Play) -> None:
    assert [await adversary.ask(n=128) for _ in range(2)] == [True, False]
    await adversary.end_all()


async def test_a_debt_is_not_forgiven_after_one_window(adversary: Play) -> None:
    for _ in range(9):
        await adversary.ask()
    await adversary.end_all()  # 5,003 tokens each: 45,027 of 10,000
    for _ in range(4):
        assert not await adversary.ask()
        await adversary.step("wait", 61.0)
    assert await adversary.ask(max_tokens=1000)
    await adversary.end_all()
