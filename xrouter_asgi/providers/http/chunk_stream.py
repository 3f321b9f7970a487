"""The reading of a streamed chat, whatever the upstream's dialect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from ...errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable, XRouterError
from ...wire import ChatChunk
from ...wire.reading import LARGE, SMALL, off_loop
from ...wire.stream import ChatStream
from .upstream import Timeouts

LINGER = 0.1
"""Seconds to wait for the end of a body behind the last event; OpenAI's own library waits as long for it."""


_PART = 8 << 10
"""Bytes of events that are read at once: 350 of the shortest chunks, or 1,000 of the shortest events, take 10 ms."""


class ChunkDecoder(Protocol):
    """Pieces of an event stream in, chunks out; no I/O.

    Attributes:
        done: The upstream said that nothing follows.
        finished: The answer is whole, so that no loss of the connection harms it.
        failure: What went wrong after the chunks that were returned.
        silent: A piece without chunks completed no event either: a comment is no sign of life.
    """

    @property
    def done(self) -> bool: ...

    @property
    def finished(self) -> bool: ...

    @property
    def failure(self) -> XRouterError | None: ...

    @property
    def silent(self) -> bool: ...

    def feed(self, piece: bytes) -> list[ChatChunk]:
        """The chunks that a piece completes."""
        ...

    def close(self) -> list[ChatChunk]:
        """The chunks that the end of the stream completes."""
        ...


class Pieces(Protocol):
    """The body of an answer, such as an `AnswerStream`."""

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None: ...


class Batches:
    """The chunks of each read of the upstream, as one batch. Closes `pieces` on every way out.

    A class, because an async generator takes twice as long to hand on what it has.

    Args:
        idle: Seconds between two events. This is the only clock of silence that comments do not stop.

    Attributes:
        decoder: Reads the pieces that come next.

    Raises:
        UpstreamError: From reading, after the chunks that came before the fault. `idle_timeout`: there were no events.
    """

    def __init__(self, pieces: Pieces, decoder: ChunkDecoder, *, idle: float) -> None:
        self._pieces = pieces
        self.decoder = decoder
        self._idle = idle
        self._ended = False
        self._left = b""  # of a long piece
        self._waiting = 0  # bytes that came since the last chunk
        self._now = asyncio.get_running_loop().time

    def __aiter__(self) -> AsyncIterator[list[ChatChunk]]:
        return self

    async def __anext__(self) -> list[ChatChunk]:
        decoder = self.decoder
        alive = self._now()
        try:
            while True:
                if decoder.failure is not None:
                    raise decoder.failure
                if self._ended:
                    raise StopAsyncIteration
                if decoder.done:
                    await self._finish()
                    raise StopAsyncIteration
                try:
                    piece = await (self._pieces.__anext__() if not self._left else self._next_part())
                    if len(piece) > _PART:
                        piece, self._left = piece[:_PART], piece[_PART:]
                    if self._waiting > LARGE:  # an event that large is under way
                        batch = await off_loop(_encoded, decoder.feed, piece)
                    else:
                        batch = decoder.feed(piece)
                    if batch:
                        self._waiting = 0
                        return batch
                    self._waiting += len(piece)
                    if decoder.silent and self._now() - alive > self._idle:
                        message = "The upstream fell silent in the middle of its answer."
                        raise UpstreamTimeout(message, code="idle_timeout")
                except StopAsyncIteration:
                    batch = await self._close()
                except (UpstreamUnavailable, UpstreamTimeout):
                    if not decoder.finished:
                        raise
                    batch = await self._close()
                if batch:
                    return batch
                if not decoder.silent:
                    alive = self._now()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the answer."""
        await self._pieces.aclose()

    async def _next_part(self) -> bytes:
        """What is left of a long piece. Everybody else has a turn before it."""
        await asyncio.sleep(0)
        part, self._left = self._left, b""
        return part

    async def _close(self) -> list[ChatChunk]:
        self._ended = True
        return self.decoder.close() if self._waiting <= SMALL else await off_loop(_encoded, self.decoder.close)

    async def _finish(self) -> None:
        """Read to the end, which mostly is here already, so that the connection can be used again."""
        try:
            async with asyncio.timeout(LINGER):
                while True:
                    await self._pieces.__anext__()
        except (StopAsyncIteration, TimeoutError, UpstreamError):
            pass  # The answer is whole, whatever becomes of the connection.


def _encoded(read: Callable[..., list[ChatChunk]], *pieces: bytes) -> list[ChatChunk]:
    """Chunks whose bytes are there, if they were mended, too."""
    chunks = read(*pieces)
    for chunk in chunks:
        _ = chunk.data
    return chunks


async def start_stream(batches: AsyncIterator[Sequence[ChatChunk]], timeouts: Timeouts) -> ChatStream:
    """The stream of these batches, once its first chunk is here: `timeouts.first` seconds after the head at most.

    Raises:
        UpstreamTimeout: `first_byte_timeout`.
        XRouterError: What the batches failed with before the first chunk.
    """
    try:
        async with asyncio.timeout(timeouts.first):
            return await ChatStream.start(batches)
    except TimeoutError as error:
        message = "The upstream began an answer, but sent nothing of it in time."
        raise UpstreamTimeout(message, code="first_byte_timeout") from error
