"""One HTTP/1.1 connection, from connect to close: one exchange at a time, one timer.

The timer is lazy. Waiting moves `_deadline` only. The timer fires at the time it was set for, sees that the deadline
has moved on, and is set again. An exchange that goes well touches no timer at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httpx

from .failures import StaleConnection
from .parser import AnswerParser

HIGH_WATER = 64 << 10
"""Bytes of a body that may wait unread before the upstream is slowed down."""

_TICK = 0.001  # seconds: loops fire up to one tick of their clock early


class Connection(asyncio.Protocol):
    """Sends one request at a time and collects its answer.

    Args:
        lost: Told when the connection closes between two exchanges.

    Attributes:
        closed: No exchange is possible any more.
        reused: An exchange went well on it before.
        answer: The answer of the running exchange, None between two.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, lost: Callable[[Connection], None]) -> None:
        self.closed = False
        self.reused = False
        self.answer: AnswerParser | None = None
        self._loop = loop
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._first: float | None = None
        self._deadline: float | None = None
        self._late: type[httpx.TimeoutException] = httpx.ReadTimeout
        self._timer: asyncio.TimerHandle | None = None

    # One exchange.

    async def send(self, payload: bytes, method: str, *, write: float | None, first: float | None) -> AnswerParser:
        """Send a request and return when the head of its answer is here.

        An answer may come before the whole request is written (a 413, say); then the rest does not matter.

        Raises:
            StaleConnection: A reused connection had ended before any byte of the answer came.
            httpx.TransportError: Anything else that goes wrong.
        """
        self.answer = answer = AnswerParser(method)
        transport = self._transport
        if self.closed or transport is None:
            self._fail(self._lost_during(answer, None))
        else:
            transport.write(payload)
            if self._writing_paused:
                self._first = first
                self._wait_until(write, httpx.WriteTimeout)
            else:
                self._wait_until(first, httpx.ReadTimeout)
        while not answer.head:
            await self._news()
            self._waiter = None
        self._deadline = None
        return answer

    async def read(self, idle: float | None) -> bytes:
        """What has come of the body since the last read; b"" at its end.

        Args:
            idle: Seconds until something must be here.
        """
        answer = self.answer
        assert answer is not None  # noqa: S101 -- who reads has sent, and has not finished
        if not answer.chunks and not answer.complete:
            self._wait_until(idle, httpx.ReadTimeout)
            while not answer.chunks and not answer.complete:
                await self._news()
                self._waiter = None
            self._deadline = None
        data = answer.take()
        if self._reading_paused:
            self._resume_reading()
        return data

    def finish(self) -> bool:
        """End the exchange. True if another may follow on this connection."""
        answer, self.answer = self.answer, None
        if answer is None:
            return False
        answer.let_go()
        if self.closed or self._writing_paused or not (answer.complete and answer.keep_alive):
            return False
        if self._reading_paused:
            self._resume_reading()
        self.reused = True
        return True

    def rest(self, keepalive: float) -> None:
        """Stay open and idle, for that many seconds."""
        self._wait_until(keepalive, httpx.ReadTimeout)

    @property
    def expired(self) -> bool:
        """Whether it was idle for too long, even if the loop had no time yet to notice."""
        return self._deadline is not None and self._deadline <= self._loop.time()

    def close(self) -> None:
        """Close at once, whatever is going on: an unfinished exchange fails."""
        self.closed = True
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            # Not close(): over TLS that waits up to 30 s for the other side's goodbye, and nobody counts it.
            self._transport.abort()
        if self.answer is not None:
            self.answer.let_go()
            self._fail(httpx.ReadError("The connection was closed."))

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.closed:  # Its caller left while it was being made.
            self._transport.abort()
            return
        # TCP_NODELAY is on already: asyncio and uvloop set it themselves.
        # So that `_writing_paused` means: not all of the request has been taken.
        self._transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None:
            # Nobody asked for it, so it must not become the answer to the next request.
            if not self.closed:
                self.close()
                self._lost(self)
            return
        try:
            answer.feed(data)
        except httpx.RemoteProtocolError as exc:
            self._fail(exc)
            self.close()
            return
        if answer.buffered > HIGH_WATER and not answer.complete and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._late is httpx.WriteTimeout and self.answer is not None and not self.answer.head:
            self._wait_until(self._first, httpx.ReadTimeout)

    def connection_lost(self, exc: Exception | None) -> None:
        answer = self.answer
        known = self.closed
        if answer is not None:
            if known and exc is None:
                # We cut it off ourselves: this is not the end of a body without a length.
                exc = ConnectionAbortedError("closed here")
            self._fail(self._lost_during(answer, exc))
        self.close()
        self._transport = None
        if answer is None and not known:
            self._lost(self)

    # Waiting.

    def _news(self) -> asyncio.Future[None]:
        """What to await until something happens."""
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, failure: httpx.TransportError | None) -> None:
        """Let the running exchange fail, unless it has failed before, and wake it in any case."""
        if self._failure is None:
            self._failure = failure
        self._wake()

    def _lost_during(self, answer: AnswerParser, cause: Exception | None) -> httpx.TransportError | None:
        failure = answer.end(cause)
        if failure is not None:
            if self.reused and not answer.started:
                failure = StaleConnection(str(failure))
            failure.__cause__ = cause
        return failure

    def _resume_reading(self) -> None:
        if self._transport is not None and not self.closed:
            self._reading_paused = False
            self._transport.resume_reading()

    def _wait_until(self, seconds: float | None, late: type[httpx.TimeoutException]) -> None:
        self._late = late
        if seconds is None:
            self._deadline = None
            return
        self._deadline = deadline = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._check)

    def _check(self) -> None:
        self._timer = None
        deadline = self._deadline
        if deadline is None:
            return
        now = self._loop.time()
        if deadline - now > _TICK:
            self._timer = self._loop.call_at(deadline, self._check)
            return
        if self._waiter is not None and self._waiter.done():
            # Something came before a busy loop looked at the clock. The waiter decides whether it is enough.
            self._timer = self._loop.call_at(now + _TICK, self._check)
            return
        if self.answer is None:
            self.close()
            self._lost(self)
            return
        self._fail(self._late("The upstream took too long."))
        self.close()
