"""How long: the clocks of an upstream, and the deadline of a call."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from ..checks import require_positive
from ..errors import UpstreamTimeout
from ..providers.alarm import Alarm
from ..providers.base import Call, Provider, Reply
from ..providers.target import Wrapper
from ..wire import ChatChunk, ChatRequest


class Timeout(Wrapper):
    """Bound how long an upstream may be silent in a stream. The clock that runs out closes the upstream.

    Args:
        inner: The provider to watch.
        first: Seconds until the first chunk. None, as below, for no bound; else above 0.
        idle: Seconds between two chunks. Comments and empty events are no life.

    Raises:
        UpstreamTimeout: `first_byte_timeout` from `send`, `idle_timeout` from the stream.

    Place it directly around `Target`, below CircuitBreaker, so that silence counts as failure. `Deadline` bounds the
    whole; a whole answer has nothing but that.
    """

    def __init__(self, inner: Provider, *, first: float | None = 120.0, idle: float | None = 60.0) -> None:
        require_positive(first=first, idle=idle)
        super().__init__(inner)
        self._first = first
        self._idle = idle

    async def send(self, call: Call, /) -> Reply:
        if not (isinstance(call.request, ChatRequest) and call.request.stream):
            return await self.inner.send(call)
        alarm = Alarm()
        try:
            with alarm.at(None if self._first is None else get_running_loop().time() + self._first, _never_began):
                reply = await self.inner.send(call)
        finally:
            alarm.stop()
        if (idle := self._idle) is not None:
            reply.when_ended(lambda error: alarm.stop())
            reply.read_through(lambda rest: _Watched(rest, alarm, idle=idle))
        return reply


class Deadline(Wrapper):
    """Give a call its deadline. Providers and policies keep it.

    Args:
        inner: What the call is handed to.
        total: Seconds for everything: queues, retries and the end of the stream. An earlier `call.deadline` stays.
            Above 0.

    Place it around everything, so that attempts, waits and other upstreams share one deadline.
    """

    def __init__(self, inner: Provider, *, total: float) -> None:
        require_positive(total=total)
        super().__init__(inner)
        self._total = total

    def send(self, call: Call, /) -> Coroutine[Any, Any, Reply]:
        deadline = get_running_loop().time() + self._total
        if call.deadline is None or deadline < call.deadline:
            call = call.until(deadline)
        return self.inner.send(call)


class _Watched:
    """The rest of a stream, read by the clock."""

    def __init__(self, source: AsyncIterator[Sequence[ChatChunk]], alarm: Alarm, *, idle: float) -> None:
        self._source = source
        self._alarm = alarm
        self._idle = idle

    def __aiter__(self) -> AsyncIterator[Sequence[ChatChunk]]:
        return self

    async def __anext__(self) -> Sequence[ChatChunk]:
        with self._alarm.at(get_running_loop().time() + self._idle, _fell_silent):
            async for batch in self._source:
                if batch:
                    return batch
        raise StopAsyncIteration


def _never_began() -> UpstreamTimeout:
    return UpstreamTimeout("The upstream did not start to answer in time.", code="first_byte_timeout")


def _fell_silent() -> UpstreamTimeout:
    return UpstreamTimeout("The upstream fell silent in the middle of its answer.", code="idle_timeout")
