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
from ..wire import ChatChunk, ChatRequest
from ..wire.stream import ChatStream

# Seconds by which a deadline from outside is kept early: whoever set it has an alarm of its own, and should hear from
# us what happened rather than cut us off and learn nothing.
_MARGIN = 0.01


class Timeout:
    """Bound how long an upstream may be silent, and how long a call may last.

    Whichever clock runs out first ends the call with an UpstreamTimeout named after it, and closes the upstream. The
    transport has clocks of the same names; connecting is its affair alone (`connect_timeout`).

    Args:
        inner: The provider to watch.
        first: Seconds until the first chunk of a stream. None, as below, for no bound; else above 0.
        idle: Seconds between two chunks. Comments and empty events are no life.
        total: Seconds for everything, the end of a stream included. An earlier `call.deadline` counts instead; the
            call goes on with the earlier of the two as its deadline.

    Raises:
        UpstreamTimeout: From `send`: `first_byte_timeout`, `total_timeout`. From the stream: `idle_timeout`,
            `total_timeout`. One that a caller's own short deadline brought about does not trip a circuit breaker.

    Place it directly around `Target`, below CircuitBreaker, so that silence counts as failure. A second one around
    everything, with nothing but `total`, holds all attempts and their waits together.
    """

    def __init__(
        self, inner: Provider, *, first: float | None = 120.0, idle: float | None = 60.0, total: float | None = 600.0
    ) -> None:
        require_positive(first=first, idle=idle, total=total)
        self.inner = inner
        self._first = first
        self._idle = idle
        self._total = total

    @property
    def name(self) -> str:
        return self.inner.name

    async def send(self, call: Call, /) -> Reply:
        now = asyncio.get_running_loop().time()
        given = None if call.deadline is None else call.deadline - _MARGIN
        deadline = _earlier(given, _after(now, self._total))
        if deadline is not None:
            if deadline <= now:
                raise UpstreamTimeout("No time is left to ask the upstream.", code="total_timeout", trips=False)
            call = call.until(deadline)
        alarm = _Alarm()
        try:
            with alarm.at(*self._until_commit(call, now)):
                reply = await self.inner.send(call)
        finally:
            alarm.stop()
        if isinstance(reply.body, ChatStream):
            reply.body.when_ended(lambda error: alarm.stop())
            reply.body.read_through(lambda rest: _Watched(rest, alarm, idle=self._idle, deadline=deadline))
        return reply

    async def aclose(self) -> None:
        await self.inner.aclose()

    def _until_commit(self, call: Call, now: float) -> tuple[float | None, Callable[[], UpstreamTimeout]]:
        streamed = isinstance(call.request, ChatRequest) and call.request.stream
        first = _after(now, self._first) if streamed else None
        if first is not None and (call.deadline is None or first < call.deadline):
            return first, _never_began
        patience = _earlier(self._first, self._total)
        if patience is None or call.deadline is None or call.deadline - now >= patience:
            return call.deadline, _never_ended
        return call.deadline, _cut_short


class Deadline:
    """Give a call its deadline, and leave it to those below to keep it: a sixth of the price of `Timeout`.

    Every policy keeps to `call.deadline`, and so does `OpenAIProvider`; for a provider that does not, use `Timeout`.

    Args:
        inner: What the call is handed to.
        total: Seconds for everything, the end of a stream included. An earlier `call.deadline` stays. Above 0.
    """

    def __init__(self, inner: Provider, *, total: float) -> None:
        require_positive(total=total)
        self.inner = inner
        self._total = total

    @property
    def name(self) -> str:
        return self.inner.name

    def send(self, call: Call, /) -> Coroutine[Any, Any, Reply]:
        """Answer the call by its deadline."""
        deadline = asyncio.get_running_loop().time() + self._total
        if call.deadline is None or deadline < call.deadline:
            call = call.until(deadline)
        return self.inner.send(call)

    async def aclose(self) -> None:
        await self.inner.aclose()


class _Watched:
    """What is still to come of a stream, read by the clock."""

    def __init__(
        self, source: AsyncIterator[Sequence[ChatChunk]], alarm: _Alarm, *, idle: float | None, deadline: float | None
    ) -> None:
        self._source = source
        self._alarm = alarm
        self._idle = idle
        self._deadline = deadline

    def __aiter__(self) -> AsyncIterator[Sequence[ChatChunk]]:
        return self

    async def __anext__(self) -> Sequence[ChatChunk]:
        now = asyncio.get_running_loop().time()
        if self._deadline is not None and self._deadline <= now:
            raise _never_ended()  # an upstream that always has something ready never lets an alarm ring
        silent = _after(now, self._idle)
        if silent is not None and (self._deadline is None or silent < self._deadline):
            alarm = self._alarm.at(silent, _fell_silent)
        else:
            alarm = self._alarm.at(self._deadline, _never_ended)
        with alarm:
            async for batch in self._source:
                if batch:
                    return batch
        raise StopAsyncIteration


class _Alarm:
    """Ends what happens inside it at some time of the loop, with some error. It can be entered again and again.

    It works as `asyncio.timeout_at` does, and differs in two things. The cancellation carries the error, so that
    whoever notes the attempt further down learns that it was given up, and why. And the timer stays set when the block
    is left: the next time is never an earlier one, so a stream of a thousand chunks needs a few timers, not a thousand.
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
        """Remove the timer. To be called when no block follows."""
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


def _never_ended() -> UpstreamTimeout:
    return UpstreamTimeout("The upstream did not finish its answer in time.", code="total_timeout")


def _cut_short() -> UpstreamTimeout:
    """It had less time than we give it ourselves, so nothing is known about its health."""
    return UpstreamTimeout("The upstream did not answer in the time that was left.", code="total_timeout", trips=False)


def _after(now: float, seconds: float | None) -> float | None:
    return None if seconds is None else now + seconds


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((time for time in (one, other) if time is not None), default=None)
