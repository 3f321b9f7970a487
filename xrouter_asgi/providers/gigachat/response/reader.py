"""The body of a streamed answer: GigaChat's server-sent events in, batches of OpenAI's chunks out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

from ....errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable, XRouterError
from ....wire import ChatChunk
from ....wire.codec import decode
from ....wire.sse import EventReader
from ...http import AnswerStream
from .stream import StreamTranslation

_DONE = b"[DONE]"
_LONGEST_DRAIN = 10.0  # seconds: what is generated after a stop sequence is of no use to anybody, but costs tokens


class Events:
    """One streamed answer.

    Args:
        idle: Seconds allowed between two events. Comments are no events.
        drain: Read on after a stop sequence was hit, but not for long, for the usage at the end.

    Attributes:
        build: The model as the upstream names it, version included, once an event said so.
    """

    def __init__(self, answer: AnswerStream, translation: StreamTranslation, *, idle: float, drain: bool) -> None:
        self.build: str | None = None
        self._answer = answer
        self._translation = translation
        self._idle = idle
        self._drain = drain
        self._drained_at: float | None = None
        self._broke_off = False
        self._last = 0.0  # when an event came, in the loop's time

    async def batches(self, held: AsyncExitStack) -> AsyncIterator[Sequence[ChatChunk]]:
        """The chunks of each read. What is `held` is let go of at the end, whatever the end is.

        Raises:
            UpstreamError: After the chunks that came before the fault.
        """
        async with held:
            reader = EventReader()
            self._last = asyncio.get_running_loop().time()
            pieces = aiter(self._answer)
            while (payloads := await self._next(pieces, reader)) is not None:
                batch: list[ChatChunk] = []
                try:
                    done = self._take(payloads, batch)
                except XRouterError:
                    if batch:
                        yield batch
                    raise
                yield batch
                if done:
                    return
            batch = []
            if not self._take(() if self._broke_off else reader.close(), batch):
                yield batch
                batch = self._translation.close()
            yield batch

    async def _next(self, pieces: AsyncIterator[bytes], reader: EventReader) -> Sequence[bytes] | None:
        """The events that the next read brought; None at the end.

        A finished answer is at its end, too, when the connection is lost or silent: what is known of its usage is told.
        """
        try:
            piece = await self._piece(pieces)
            return None if piece is None else self._alive(reader.feed(piece))
        except (UpstreamUnavailable, UpstreamTimeout):
            if not self._translation.finished:
                raise
            self._broke_off = True
            return None

    async def _piece(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        """What the next read returned; None at the end, and when the usage of a stopped answer takes too long."""
        if not self._translation.stopped:
            return await anext(pieces, None)
        if self._drained_at is None:
            self._drained_at = asyncio.get_running_loop().time() + _LONGEST_DRAIN
        try:
            async with asyncio.timeout_at(self._drained_at):
                return await anext(pieces, None)
        except TimeoutError:
            return None

    def _take(self, payloads: Sequence[bytes], batch: list[ChatChunk]) -> bool:
        """Translate events into `batch`. Tells whether the answer has ended."""
        for payload in payloads:
            if payload != _DONE:
                batch += self._translation.feed(self._event(payload))
            if payload == _DONE or (self._translation.stopped and not self._drain):
                batch += self._translation.close()
                return True
        return False

    def _event(self, payload: bytes) -> dict[str, Any]:
        event = read_object(payload, code="bad_event")
        if isinstance(build := event.get("model"), str):
            self.build = build
        return event

    def _alive(self, payloads: list[bytes]) -> list[bytes]:
        now = asyncio.get_running_loop().time()
        if payloads:
            self._last = now
        elif now - self._last > self._idle:
            raise UpstreamTimeout("The upstream fell silent in the middle of its answer.", code="idle_timeout")
        return payloads


def read_object(data: bytes, *, code: str = "bad_body") -> dict[str, Any]:
    """A JSON object from GigaChat. Raises UpstreamError for anything else."""
    try:
        value = decode(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UpstreamError("GigaChat answered with something that is no JSON object.", code=code)
    return value


def as_event(completion: dict[str, Any]) -> dict[str, Any]:
    """A whole answer as the only event of a stream, for an upstream that did not stream."""
    choices = completion.get("choices")
    if not isinstance(choices, list):
        return completion
    events = [
        {**choice, "delta": choice["message"]} if isinstance(choice, dict) and "message" in choice else choice
        for choice in choices
    ]
    return {**completion, "choices": events}
