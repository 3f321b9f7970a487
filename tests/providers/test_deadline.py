"""A provider that does not keep a deadline is ended a moment after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from tests.policies.upstream import HANG, call, stream_of, text_of
from xrouter_asgi.errors import UpstreamTimeout
from xrouter_asgi.policies.prebuffer import Prebuffer
from xrouter_asgi.policies.timeout import Timeout
from xrouter_asgi.providers.base import Call, Provider, Reply
from xrouter_asgi.providers.own_key import HEADER, BringYourOwnKey
from xrouter_asgi.providers.target import Attempting, Target, as_target
from xrouter_asgi.testing.scripted import chunk, completion
from xrouter_asgi.testing.virtual import now, virtual
from xrouter_asgi.wire import ChatChunk, ChatRequest
from xrouter_asgi.wire.stream import ChatStream


class Careless:
    """A provider of a user's: an async generator, and no clock. It hangs before the head, or in the stream."""

    name = "careless"

    def __init__(self, *, head: float = 0.0, texts: Sequence[str] = ("a",), tail: float = 0.0) -> None:
        self.head, self.texts, self.tail = head, texts, tail
        self.open = 0

    async def send(self, call: Call, /) -> Reply:
        if isinstance(call.request, ChatRequest) and call.request.stream:
            return Reply(await ChatStream.start(self.chunks()), provider=self.name)
        self.open += 1
        try:
            await asyncio.sleep(self.head)
        finally:
            self.open -= 1
        return Reply(completion(), provider=self.name)

    async def chunks(self) -> AsyncIterator[Sequence[ChatChunk]]:
        self.open += 1
        try:
            await asyncio.sleep(self.head)
            for text in self.texts:
                yield [chunk(text)]
            await asyncio.sleep(self.tail)
            yield [chunk(finish="stop")]
        finally:
            self.open -= 1

    async def aclose(self) -> None: ...


def timers() -> list[asyncio.TimerHandle]:
    """Those that will still ring."""
    handles: list[asyncio.TimerHandle] = getattr(asyncio.get_running_loop(), "_scheduled")  # noqa: B009 -- private
    return [each for each in handles if not each.cancelled()]


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


AROUND: dict[str, Callable[[Provider], Attempting]] = {
    "alone": as_target,
    "below Timeout": Timeout,
    "below Prebuffer": lambda provider: Prebuffer(provider, seconds=1.0),
    "below Prebuffer for long": lambda provider: Prebuffer(provider, seconds=60.0),
    "below two Targets": lambda provider: Target(Target(provider)),
    "below a policy below a Target": lambda provider: Target(Timeout(provider)),
    "below BringYourOwnKey": lambda provider: Target(BringYourOwnKey(lambda key: provider, inner=provider)),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_one_that_hangs_before_the_head_is_ended(around: Callable[[Provider], Attempting], stream: bool) -> None:
    @virtual
    async def scenario() -> None:
        provider, one = Careless(head=HANG), call(stream=stream, deadline=5.0)
        with pytest.raises(UpstreamTimeout, match="did not finish its answer in time") as caught:
            await around(provider).send(one)
        assert (caught.value.code, now(), provider.open) == ("total_timeout", 5.1, 0)
        assert [attempt.error for attempt in one.context.attempts] == [caught.value]
        assert (cancelling(), timers()) == (0, [])

    scenario()


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_one_that_hangs_in_the_stream_is_ended(around: Callable[[Provider], Attempting]) -> None:
    @virtual
    async def scenario() -> None:
        provider, one = Careless(tail=HANG), call(stream=True, deadline=5.0)
        with pytest.raises(UpstreamTimeout) as caught:
            await text_of(await around(provider).send(one))
        assert (caught.value.code, now(), provider.open) == ("total_timeout", 5.1, 0)
        assert [attempt.error for attempt in one.context.attempts] == [caught.value]
        assert (cancelling(), timers()) == (0, [])

    scenario()


@virtual
async def test_one_that_a_caller_pays_is_ended_too() -> None:
    own = BringYourOwnKey(lambda key: Careless(head=HANG))
    with pytest.raises(UpstreamTimeout):
        await Target(own).send(Call(call().request, headers=[(HEADER.encode(), b"key")], deadline=5.0))
    assert now() == 5.1


@virtual
async def test_a_lively_stream_is_ended_too() -> None:
    class Lively(Careless):
        async def chunks(self) -> AsyncIterator[Sequence[ChatChunk]]:
            for _ in range(100):
                yield [chunk("a")]
                await asyncio.sleep(0.7)

    stream = await stream_of(await as_target(Lively()).send(call(stream=True, deadline=5.0)))
    told: list[BaseException | None] = []
    stream.when_ended(told.append)
    with pytest.raises(UpstreamTimeout) as caught:
        async for _ in stream:
            pass
    assert (now(), stream.characters, told) == (5.1, 8, [caught.value])


@virtual
async def test_a_stream_that_nobody_reads_is_broken_off_at_its_next_read() -> None:
    provider, one = Careless(texts=["a"] * 1000), call(stream=True, deadline=5.0)
    stream = await stream_of(await as_target(provider).send(one))
    await anext(stream)
    await asyncio.sleep(11.0)
    with pytest.raises(UpstreamTimeout) as caught:
        await anext(stream)
    assert (caught.value.code, now(), provider.open) == ("total_timeout", 11.0, 0)
    assert [attempt.error for attempt in one.context.attempts] == [caught.value]


@virtual
async def test_an_answer_that_only_fails_to_end_is_whole() -> None:
    class Endless(Careless):
        async def chunks(self) -> AsyncIterator[Sequence[ChatChunk]]:
            yield [chunk("a"), chunk(finish="stop")]
            await asyncio.sleep(HANG)

    one = call(stream=True, deadline=5.0)
    assert await text_of(await as_target(Endless()).send(one)) == "a"
    assert (now(), one.context.attempts[0].error) == (5.1, None)


@virtual
async def test_one_that_keeps_the_deadline_says_itself_what_happened() -> None:
    own = UpstreamTimeout("Its own words.", code="total_timeout")

    class Careful(Careless):
        async def send(self, call: Call, /) -> Reply:
            assert call.deadline is not None
            await asyncio.sleep(call.deadline - now())
            raise own

    with pytest.raises(UpstreamTimeout) as caught:
        await as_target(Careful()).send(call(deadline=5.0))
    assert (caught.value, now()) == (own, 5.0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("deadline", [None, 5.0])
def test_one_that_is_in_time_leaves_no_timer(stream: bool, deadline: float | None) -> None:
    @virtual
    async def scenario() -> None:
        target = as_target(Careless(head=1.0, tail=1.0))
        reply = await target.send(call(stream=stream, deadline=deadline))
        if stream:
            assert await text_of(reply) == "a"
            closed = await target.send(call(stream=True, deadline=None if deadline is None else deadline + now()))
            await closed.aclose()
        assert timers() == []

    scenario()


@virtual
@pytest.mark.parametrize(("left", "trips"), [(119.9, False), (120.0, True)])
async def test_an_upstream_is_blamed_only_for_a_wait_that_would_have_been_long_for_anybody(
    left: float, trips: bool
) -> None:
    with pytest.raises(UpstreamTimeout) as caught:
        await as_target(Careless(head=HANG)).send(call(deadline=left))
    assert caught.value.trips is trips


@virtual
async def test_after_the_deadline_a_call_is_ended_at_once() -> None:
    await asyncio.sleep(9.0)
    with pytest.raises(UpstreamTimeout):
        await as_target(Careless(head=HANG)).send(call(deadline=5.0))
    assert now() == 9.0


@virtual
async def test_an_answer_that_comes_in_spite_of_the_end_is_kept() -> None:
    class Stubborn(Careless):
        async def send(self, call: Call, /) -> Reply:
            try:
                await asyncio.sleep(HANG)
            except asyncio.CancelledError:
                return await super().send(call)
            raise AssertionError

    assert (await as_target(Stubborn()).send(call(deadline=5.0))).provider == "careless"
    assert (now(), cancelling()) == (5.1, 0)


@pytest.mark.parametrize("scene", [{"head": HANG}, {"tail": HANG}], ids=["before the head", "in the stream"])
@pytest.mark.parametrize("first", [True, False], ids=["leaves first", "leaves second"])
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_a_client_that_leaves_at_the_same_time_has_left(
    around: Callable[[Provider], Attempting], first: bool, scene: dict[str, Any]
) -> None:
    @virtual
    async def scenario() -> None:
        provider, one = Careless(**scene), call(stream=True, deadline=5.0)

        async def read() -> str:
            return await text_of(await around(provider).send(one))

        loop = asyncio.get_running_loop()
        task: asyncio.Task[str]
        if first:
            loop.call_at(5.1, lambda: task.cancel())
        task = asyncio.create_task(read())
        await asyncio.sleep(2.0)
        if not first:
            loop.call_at(5.1, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (task.cancelled(), now(), provider.open, timers()) == (True, 5.1, 0, [])

    scenario()
