"""The reading of a streamed answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

from ...errors import UpstreamError, UpstreamTimeout
from ...wire import ChatChunk
from ..http import AnswerStream
from .chunks import ChunkReader

LINGER = 0.1


class Batches:
    """What each read of the upstream brought, as one batch of chunks. Closes `answer` on every way out.

    A class, because an async generator takes twice as long to hand on what it has.

    Args:
        idle: Seconds between two chunks. The clock of the transport is not enough: a comment is a read, but no life.

    Raises:
        UpstreamError: From reading, after the chunks that came before what went wrong.
    """

    def __init__(self, answer: AnswerStream, chunks: ChunkReader, *, idle: float) -> None:
        self._answer = answer
        self._chunks = chunks
        self._idle = idle
        self._ended = False

    def __aiter__(self) -> AsyncIterator[list[ChatChunk]]:
        return self

    async def __anext__(self) -> list[ChatChunk]:
        chunks = self._chunks
        alive = monotonic()
        silent = False
        try:
            while True:
                if chunks.failure is not None:
                    raise chunks.failure
                if self._ended:
                    raise StopAsyncIteration
                if chunks.done:
                    await _finish(self._answer)
                    raise StopAsyncIteration
                if silent:
                    raise UpstreamTimeout("The upstream fell silent in the middle of its answer.", code="idle_timeout")
                try:
                    batch = chunks.feed(await self._answer.__anext__())
                except StopAsyncIteration:
                    self._ended = True
                    batch = chunks.close()
                if batch:
                    return batch
                silent = monotonic() - alive > self._idle
        except BaseException:
            await self._answer.aclose()
            raise

    async def aclose(self) -> None:
        """Close the answer."""
        await self._answer.aclose()


async def _finish(answer: AnswerStream) -> None:
    """Read to the end, which mostly is there already, so that the connection can be used again.

    The client waits meanwhile: for `LINGER` seconds at most, as long as OpenAI's own library waits for the same reason.
    """
    try:
        async with asyncio.timeout(LINGER):
            async for _ in answer:
                pass
    except (TimeoutError, UpstreamError):
        pass  # the connection is closed then, and the answer is whole
