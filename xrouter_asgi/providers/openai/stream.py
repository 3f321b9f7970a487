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


async def read_batches(answer: AnswerStream, chunks: ChunkReader, *, idle: float) -> AsyncIterator[list[ChatChunk]]:
    """What each read of the upstream brought, as one batch. Closes `answer` on every way out.

    Args:
        idle: Seconds between two chunks. The clock of the transport is not enough: a comment is a read, but no life.

    Raises:
        UpstreamError: After the chunks that came before what went wrong.
    """
    try:
        alive = monotonic()
        async for piece in answer:
            batch = chunks.feed(piece)
            if batch:
                yield batch
                alive = monotonic()
            if chunks.failure is not None:
                raise chunks.failure
            if chunks.done:
                await _finish(answer)
                return
            if not batch and monotonic() - alive > idle:
                raise UpstreamTimeout("The upstream fell silent in the middle of its answer.", code="idle_timeout")
        if batch := chunks.close():
            yield batch
        if chunks.failure is not None:
            raise chunks.failure
    finally:
        await answer.aclose()


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
