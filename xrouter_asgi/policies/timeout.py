"""How long: the clocks of an upstream, and the deadline of a call."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any

from ..checks import require_positive
from ..errors import UpstreamTimeout
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
        alarm = _Alarm()
        first = None if self._first is None else asyncio.get_running_loop().time() + self._first
        try:
            with alarm.at(first, _never_began):
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
        deadline = asyncio.get_running_loop().time() + self._total
        if call.deadline is None or deadline < call.deadline:
            call = call.until(deadline)
        return self.inner.send(call)


class _Watched:
    """The rest of a stream, read by the clock."""

    def __init__(self, source: AsyncIterator[Sequence[ChatChunk]], alarm: _Alarm, *, idle: float) -> None:
        self._source = source
        self._alarm = alarm
        self._idle = idle

    def __aiter__(self) -> AsyncIterator[Sequence[ChatChunk]]:
        return self

    async def __anext__(self) -> Sequence[ChatChunk]:
        with self._alarm.at(asyncio.get_running_loop().time() + self._idle, _fell_silent):
            async for batch in self._source:
                if batch:
                    return batch
        raise StopAsyncIteration


class _Alarm:
    """Ends the block inside it at some time of the loop, with some error. It can be entered again and again.

    It works as `asyncio.timeout_at` does, and differs in two things. The cancellation carries the error, so that
    whatever notes the attempt further down learns that it was given up, and why. And the timer stays set when the
    block is left: the next time is never an earlier one, so a stream of a thousand chunks needs a few timers only.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._inside = False

    def at(self, when: float | None, error: Callable[[], UpstreamTimeout]) -> _Alarm:
        """Set it for the block that is about to be entered; None: it does not ring. Until `stop`, only to later."""
        self._when = math.inf if when is None else when
        self._error = error
        return self

    def stop(self) -> None:
        """Remove the timer. Call it when no block follows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("Timeout works inside a task of asyncio only.")
        self._task = task
        self._cancelling = task.cancelling()
        self._rung: UpstreamTimeout | None = None
        self._inside = True
        if self._timer is None and self._when < math.inf:
            self._timer = task.get_loop().call_at(self._when, self._ring, self._when)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        # A cancellation from outside may have come on top of ours; it counts more.
        if self._rung is not None and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._rung from None

    def _ring(self, set_for: float) -> None:
        self._timer = None
        if self._inside and self._when > set_for:
            self._timer = self._task.get_loop().call_at(self._when, self._ring, self._when)
        elif self._inside:
            self._rung = self._error()
            self._task.cancel(self._rung)


def _never_began() -> UpstreamTimeout:
    return UpstreamTimeout("The upstream did not start to answer in time.", code="first_byte_timeout")


def _fell_silent() -> UpstreamTimeout:
    return UpstreamTimeout("The upstream fell silent in the middle of its answer.", code="idle_timeout")
