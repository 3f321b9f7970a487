"""A stream that is ended from outside, also while somebody waits for its next batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from xrouter_asgi.errors import UpstreamError, UpstreamTimeout
from xrouter_asgi.testing.scripted import chunk
from xrouter_asgi.wire import ChatChunk
from xrouter_asgi.wire.stream import ChatStream


def late() -> UpstreamTimeout:
    return UpstreamTimeout("Late.", code="total_timeout")


class Source:
    """Sends `batches`, then nothing for ever. `interrupted` says what it does when its reader is cancelled."""

    def __init__(
        self, *batches: Sequence[ChatChunk], interrupted: Callable[[], Sequence[ChatChunk]] | None = None
    ) -> None:
        self.batches = list(batches)
        self.waiting = asyncio.Event()
        self.closings = 0
        self._interrupted = interrupted

    def __aiter__(self) -> AsyncIterator[Sequence[ChatChunk]]:
        return self

    async def __anext__(self) -> Sequence[ChatChunk]:
        if self.batches:
            return self.batches.pop(0)
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self._interrupted is None:
                raise
            return self._interrupted()
        raise AssertionError

    async def aclose(self) -> None:
        self.closings += 1


async def started(source: Source) -> tuple[ChatStream, list[BaseException | None]]:
    """The stream, and what is told of its end."""
    stream = await ChatStream.start(source)
    told: list[BaseException | None] = []
    stream.when_ended(told.append)
    return stream, told


async def second_batch(stream: ChatStream) -> Sequence[ChatChunk]:
    await anext(stream)
    batch = await anext(stream)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    return batch


async def error_of(stream: ChatStream) -> BaseException:
    """What the second read raises, in a task that is not being cancelled afterwards."""
    with pytest.raises(UpstreamError) as caught:
        await second_batch(stream)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    return caught.value


async def test_whoever_waits_for_the_next_batch_gets_the_error() -> None:
    source = Source([chunk("a")])
    stream, told = await started(source)
    reading = asyncio.create_task(error_of(stream))
    await source.waiting.wait()
    error = late()
    stream.break_off(error)
    assert await reading is error
    assert (told, source.closings) == ([error], 1)


async def test_what_is_not_being_read_gets_the_error_at_its_next_read() -> None:
    source = Source([chunk("a")], [chunk("b")])
    stream, told = await started(source)
    await anext(stream)
    error = late()
    stream.break_off(error)
    assert (told, source.closings) == ([], 0)
    with pytest.raises(UpstreamTimeout) as caught:
        await anext(stream)
    assert (caught.value, told, source.closings) == (error, [error], 1)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_first_batch_is_in_hand_and_not_lost() -> None:
    first = [chunk("a")]
    stream, _ = await started(Source(first, [chunk("b")]))
    stream.break_off(late())
    assert await anext(stream) is first
    with pytest.raises(UpstreamTimeout):
        await anext(stream)


async def test_what_is_closed_before_its_next_read_was_closed_by_its_reader() -> None:
    source = Source([chunk("a")])
    stream, told = await started(source)
    stream.break_off(late())
    await stream.aclose()
    assert ([type(error) for error in told], source.closings) == ([asyncio.CancelledError], 1)


async def test_the_first_error_counts() -> None:
    source = Source([chunk("a")])
    stream, told = await started(source)
    reading = asyncio.create_task(error_of(stream))
    await source.waiting.wait()
    first, second = late(), late()
    stream.break_off(first)
    stream.break_off(second)
    assert await reading is first
    assert told == [first]


async def test_a_stream_that_is_whole_ends_well() -> None:
    source = Source([chunk("a"), chunk(finish="stop")])
    stream, told = await started(source)
    reading = asyncio.create_task(anext_but_one(stream))
    await source.waiting.wait()
    stream.break_off(late())
    assert await reading is None
    assert (told, source.closings) == ([None], 1)


async def anext_but_one(stream: ChatStream) -> Sequence[ChatChunk] | None:
    await anext(stream)
    return await anext(stream, None)


async def test_after_its_end_nothing_can_break_it_off() -> None:
    async def batches() -> AsyncIterator[Sequence[ChatChunk]]:
        yield [chunk("a"), chunk(finish="stop")]

    stream = await ChatStream.start(batches())
    assert await anext_but_one(stream) is None
    stream.break_off(late())
    await asyncio.sleep(0)


@pytest.mark.parametrize("first", ["the reader leaves", "it is broken off"])
async def test_a_cancellation_from_outside_at_the_same_time_wins(first: str) -> None:
    source = Source([chunk("a")])
    stream, told = await started(source)
    reading = asyncio.create_task(second_batch(stream))
    await source.waiting.wait()
    steps: list[Callable[[], object]] = [reading.cancel, lambda: stream.break_off(late())]
    for step in steps if first == "the reader leaves" else reversed(steps):
        step()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert reading.cancelled()
    assert ([type(error) for error in told], source.closings) == ([asyncio.CancelledError], 1)


async def test_a_reader_that_is_being_cancelled_all_along_gets_the_error() -> None:
    source = Source([chunk("a")])
    stream, _ = await started(source)
    caught: list[BaseException] = []

    async def read_on_while_leaving() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await anext(stream)
            with pytest.raises(UpstreamTimeout) as error:
                await anext(stream)
            caught.append(error.value)
            raise

    reading = asyncio.create_task(read_on_while_leaving())
    await asyncio.sleep(0)
    reading.cancel()
    await source.waiting.wait()
    error = late()
    stream.break_off(error)
    await asyncio.wait([reading])
    assert (reading.cancelled(), caught) == (True, [error])


async def test_a_batch_that_comes_all_the_same_is_kept_and_the_next_read_raises() -> None:
    second = [chunk("b")]
    source = Source([chunk("a")], interrupted=lambda: second)
    stream, told = await started(source)
    reading = asyncio.create_task(second_batch(stream))
    await source.waiting.wait()
    error = late()
    stream.break_off(error)
    assert await reading is second
    with pytest.raises(UpstreamTimeout):
        await anext(stream)
    assert told == [error]


async def test_nothing_new_that_comes_all_the_same_is_the_end() -> None:
    source = Source([chunk("a")], interrupted=list)
    stream, told = await started(source)
    reading = asyncio.create_task(error_of(stream))
    await source.waiting.wait()
    error = late()
    stream.break_off(error)
    assert await reading is error
    assert told == [error]


async def test_an_upstream_that_fails_when_it_is_broken_off_says_why_itself() -> None:
    own = UpstreamError("Its own.", code="odd")

    def fail() -> Sequence[ChatChunk]:
        raise own

    source = Source([chunk("a")], interrupted=fail)
    stream, told = await started(source)
    reading = asyncio.create_task(error_of(stream))
    await source.waiting.wait()
    stream.break_off(late())
    assert await reading is own
    assert told == [own]
