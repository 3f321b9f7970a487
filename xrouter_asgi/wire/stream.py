"""The one state machine of a streamed answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Self

from ..context import Usage
from ..errors import UpstreamError, UpstreamUnavailable, XRouterError
from .documents import ChatChunk, length_beside_content

_LOST = ("connection_lost", "truncated")  # the connection ended unexpectedly
_LATE = ("idle_timeout", "total_timeout")  # the upstream did not end the connection


class ChatStream:
    """A streamed answer: an async iterator of batches of chunks, whose first batch is already in hand.

    `await ChatStream.start(…)` makes it. It ends cleanly if, and only if, each choice that began has a
    `finish_reason`; a stream that stops before that raises. A connection that is lost or silent after that is no error.

    Attributes:
        characters: The length of the text so far, including arguments of tools and reasoning.
    """

    def __init__(
        self,
        first: Sequence[ChatChunk],
        rest: AsyncIterator[Sequence[ChatChunk]],
        close: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._first = first
        self._rest = rest
        self._close = close
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._told: list[Callable[[BaseException | None], None]] = []
        self._reader: asyncio.Task[Any] | None = None  # who waits for the next batch
        self._cancelling = 0  # how often that task was being cancelled already when it began to wait
        self._interrupted = False  # whether `break_off` cancelled it
        self._broken: XRouterError | None = None
        self._told_usage: Usage | None = None
        self.characters = 0

    @classmethod
    async def start(
        cls, batches: AsyncIterator[Sequence[ChatChunk]], *, close: Callable[[], Awaitable[None]] | None = None
    ) -> Self:
        """Wait for the first chunk: this is the commit point.

        Args:
            batches: The chunks of each read of the upstream. Empty batches are skipped. The stream closes an async
                generator by itself, any other iterator by `close`.

        Raises:
            UpstreamError: `empty_stream`, or what `batches` raises before its first chunk. The upstream is closed then.
        """
        if close is None:
            close = getattr(batches, "aclose", None)
        try:
            async for batch in batches:
                if batch:
                    return cls(batch, batches, close)
            raise UpstreamUnavailable("The upstream ended the stream before it began.", code="empty_stream")
        except BaseException:
            if close is not None:
                await close()
            raise

    @classmethod
    async def replay(cls, batches: Iterable[Sequence[ChatChunk]]) -> Self:
        """A stream of what is all here already. Raises UpstreamError (`empty_stream`) if there is no chunk."""
        return await cls.start(_each(batches))

    @property
    def usage(self) -> Usage | None:
        """The tokens that the upstream counted, once it reports them; None if the text is longer than they can be."""
        told = self._told_usage
        return told if told is None or told.covers(self.characters) else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[ChatChunk]:
        """The next batch, never empty. Raises UpstreamError (`stream_broken`) when the end comes too early."""
        batch, self._first = self._first, ()
        try:
            if not batch:
                self._reader = reader = asyncio.current_task()
                self._cancelling = 0 if reader is None else reader.cancelling()
                while not batch:
                    if self._broken is not None:
                        raise self._broken
                    batch = await self._rest.__anext__()
                self._let_go()
            for chunk in batch:
                if chunk.text is None:
                    self._note(chunk)
                else:
                    self._begun.add(0)
                    self.characters += len(chunk.text)
        except BaseException as error:
            cause = self._cause(error)
            try:
                await self._end(cause)
                if cause is not error:
                    raise cause from None
            finally:
                del cause  # the error holds this frame, so the frame must not hold the error
            raise
        return batch

    def break_off(self, error: XRouterError) -> None:
        """End the stream with this error, also while somebody waits for its next batch."""
        if self._broken is None:
            self._broken = error
            if self._reader is not None:
                self._interrupted = True
                self._reader.cancel(error)

    def when_ended(self, told: Callable[[BaseException | None], None]) -> None:
        """Call `told` once at the end: with None after a clean end, otherwise with the error that broke the stream.

        If the stream is closed before its end, the error is a `CancelledError`. Callbacks run in the order in which
        they were added.
        """
        self._told.append(told)

    def read_through(
        self, around: Callable[[AsyncIterator[Sequence[ChatChunk]]], AsyncIterator[Sequence[ChatChunk]]]
    ) -> None:
        """Read the rest of the stream through another iterator, such as one that watches the clock.

        An error that it raises breaks the stream. The stream closes the upstream, not this iterator.
        """
        self._rest = around(self._rest)

    async def aclose(self) -> None:
        """Close the upstream. Safe to call twice."""
        try:
            await self._shut()
        finally:
            self._tell(asyncio.CancelledError())

    def _cause(self, error: BaseException) -> BaseException:
        """What to tell of an error in reading: a cancellation by `break_off` stands for what broke the stream off."""
        if self._let_go() and self._broken is not None and isinstance(error, asyncio.CancelledError):
            return self._broken
        return error

    def _let_go(self) -> bool:
        """Forget the reader, which waits no more. Returns whether `break_off` cancelled it, and nobody else did."""
        reader, self._reader = self._reader, None
        if reader is None or not self._interrupted:
            return False
        self._interrupted = False
        # A cancellation from outside may have come on top of ours; it counts more.
        return reader.uncancel() <= self._cancelling

    async def _shut(self) -> None:
        if self._close is not None:
            close, self._close = self._close, None
            await close()

    def _tell(self, error: BaseException | None) -> None:
        waiting, self._told = self._told, []
        for told in waiting:
            told(error)

    async def _end(self, error: BaseException) -> None:
        """Tell the outcome to those who wait for the end, and raise it unless it is `error` itself."""
        outcome = self._outcome(error)
        if outcome is None and isinstance(error, StopAsyncIteration):
            self._tell(None)
            return
        # Close the upstream first: a waiter may take its place there at once.
        try:
            await self._shut()
        finally:
            self._tell(outcome)
        if outcome is None:
            raise StopAsyncIteration
        if outcome is not error:
            raise outcome from (error if isinstance(error, UpstreamError) else None)

    def _outcome(self, error: BaseException) -> BaseException | None:
        """The error that broke the stream, None if the stream is whole."""
        detail = None
        if isinstance(error, UpstreamError):
            if error.code not in _LOST and not (self._complete and error.code in _LATE):
                return error
            detail = error.detail
        elif not isinstance(error, StopAsyncIteration):
            return error
        if self._complete:
            return None
        message = "The upstream ended the stream before the answer was finished."
        return UpstreamError(message, code="stream_broken", detail=detail)

    @property
    def _complete(self) -> bool:
        return bool(self._finished) and self._begun <= self._finished

    def _note(self, chunk: ChatChunk) -> None:
        for choice in chunk.value.get("choices") or ():
            delta = choice.get("delta") or {}
            finished = choice.get("finish_reason") or ("audio" in delta and _is_whole(delta["audio"]))
            (self._finished if finished else self._begun).add(choice.get("index", 0))
            if isinstance(text := delta.get("content"), str):
                self.characters += len(text)
            if len(delta) > 1 or text is None:
                self.characters += length_beside_content(delta)
        if (
            chunk.value.get("usage") is not None
            and (told := chunk.usage) is not None
            and (self._told_usage is None or told.covers(self.characters))
        ):
            self._told_usage = told


def _is_whole(audio: object) -> bool:
    """Whether a spoken answer is complete: its last chunk says when the audio expires.

    OpenAI gives a spoken answer no `finish_reason`.
    """
    return isinstance(audio, dict) and "expires_at" in audio


async def _each(batches: Iterable[Sequence[ChatChunk]]) -> AsyncIterator[Sequence[ChatChunk]]:
    for batch in batches:
        yield batch
