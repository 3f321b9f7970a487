"""When an answer has begun: the first part of a stream is read before it is handed over, so that a failure in it can
be made good."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from ..checks import require_positive
from ..errors import XRouterError
from ..providers.base import Call, Provider, Reply
from ..providers.target import Wrapper
from ..wire import ChatChunk
from ..wire.stream import ChatStream

Batch: TypeAlias = Sequence[ChatChunk]


class Prebuffer(Wrapper):
    """Read the first part of a stream before handing it over. This delays the commit point; no chunk is lost.

    `send` raises what breaks the stream off in this time, as if it had never begun, so the call may be repeated or go
    elsewhere. The price is that every stream begins so much later.

    Args:
        inner: The provider.
        seconds: How long after its first chunk. Above 0; None for no bound.
        tokens: Up to so many chunks with something in them: text, reasoning, a refusal or a call of a tool. What one
            chunk holds is up to the upstream, for most of them one token. Above 0; None for no bound.

    Whichever comes first ends it, and so does the end of the stream.

    Raises:
        ValueError: For no bound at all.

    Place it below CircuitBreaker and Retry, for which a stream that breaks off in this time is a failed call, and above
    Concurrency, whose limit is judged by the first chunk.
    """

    def __init__(self, inner: Provider, *, seconds: float | None = None, tokens: int | None = None) -> None:
        require_positive(seconds=seconds, tokens=tokens)
        if seconds is None and tokens is None:
            raise ValueError("A Prebuffer without an end hands nothing over. Give 'seconds', 'tokens' or both.")
        super().__init__(inner)
        self._seconds = seconds
        self._tokens = tokens

    async def send(self, call: Call, /) -> Reply:
        reply = await self.inner.send(call)
        if reply.stream is None:
            return reply
        ahead = _ReadAhead(reply.stream)
        try:
            await ahead.read(self._seconds, self._tokens)
            stream = await ChatStream.start(ahead, close=ahead.aclose)
        except asyncio.CancelledError as given_up:
            await ahead.stop(given_up)
            raise
        except XRouterError as error:
            if error.code != "stream_broken":
                raise
            # Nobody has seen anything of it, so it is like an answer whose body was cut off.
            raise error.but(retryable=True) from error
        return replace(reply, body=stream)


class _ReadAhead:
    """A stream of which some batches are in hand, and maybe one is just being read.

    That one is read by a task of its own: a read that is cancelled would end the stream.
    """

    def __init__(self, stream: ChatStream) -> None:
        self._stream = stream
        self._batches: deque[Batch] = deque()
        self._reading: asyncio.Task[Batch | None] | None = None

    async def read(self, seconds: float | None, tokens: int | None) -> None:
        """Take batches in hand until one of the bounds is reached, or the stream has ended."""
        until = math.inf if seconds is None else asyncio.get_running_loop().time() + seconds
        missing = math.inf if tokens is None else tokens
        while missing > 0 and (left := until - asyncio.get_running_loop().time()) > 0:
            self._reading = self._reading or asyncio.create_task(self._next())
            await asyncio.wait({self._reading}, timeout=None if left == math.inf else left)
            if not self._reading.done():
                return
            reading, self._reading = self._reading, None
            if (batch := reading.result()) is None:
                return
            self._batches.append(batch)
            missing -= sum(map(_says_something, batch))

    def __aiter__(self) -> _ReadAhead:
        return self

    async def __anext__(self) -> Batch:
        if self._batches:
            return self._batches.popleft()
        if self._reading is None:
            return await self._stream.__anext__()
        try:
            batch = await self._reading  # who is cancelled here cancels it, too
        finally:
            self._reading = None
        if batch is None:
            raise StopAsyncIteration
        return batch

    async def stop(self, reason: asyncio.CancelledError) -> None:
        """Close the stream; what still reads it is told why."""
        reading, self._reading = self._reading, None
        try:
            if reading is not None:
                reading.cancel(*reason.args)
                await _ended(reading)
        finally:
            await self._stream.aclose()

    async def aclose(self) -> None:
        """Close the stream. Safe to call twice."""
        await self.stop(asyncio.CancelledError())

    async def _next(self) -> Batch | None:
        return await anext(self._stream, None)


async def _ended(reading: asyncio.Task[Batch | None]) -> None:
    """Wait for a read that was cancelled. It closes its upstream, so nobody who is cancelled may go on before that."""
    cancelled = None
    while not reading.done():
        try:
            await asyncio.wait({reading})
        except asyncio.CancelledError as error:
            cancelled = error
    if not reading.cancelled():
        reading.exception()  # else it would be told as one that nobody looked at
    if cancelled is not None:
        raise cancelled


def _says_something(chunk: ChatChunk) -> bool:
    deltas = (choice.get("delta") or {} for choice in chunk.value.get("choices") or ())
    return any(value and key != "role" for delta in deltas for key, value in delta.items())
