"""The body of a streamed answer: GigaChat's server-sent events in, OpenAI's chunks out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ....errors import XRouterError
from ....wire import ChatChunk
from ....wire.codec import decode
from ....wire.sse import EventReader
from ...http import Pieces, json_object
from .stream import StreamTranslation

_DONE = b"[DONE]"
_LONGEST_DRAIN = 10.0  # seconds: what is generated after a stop sequence is of no use to anybody, but costs tokens


class EventDecoder:
    """Bytes of an event stream in, chunks out. See `ChunkDecoder`.

    Attributes:
        build: The model as GigaChat names it, version included, once an event said so.
    """

    def __init__(self, translation: StreamTranslation) -> None:
        self._events = EventReader()
        self._translation = translation
        self.build: str | None = None
        self.silent = True
        self.done = False
        self.failure: XRouterError | None = None

    @property
    def finished(self) -> bool:
        return self._translation.finished

    def feed(self, piece: bytes) -> list[ChatChunk]:
        payloads = self._events.feed(piece)
        self.silent = not payloads
        return self._chunks(payloads)

    def close(self) -> list[ChatChunk]:
        # What the end cuts off is no event.
        return self._chunks([*filter(_is_whole, self._events.close()), _DONE])

    def _chunks(self, payloads: Sequence[bytes]) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        try:
            for payload in payloads:
                if payload == _DONE:
                    self.done = True
                    chunks += self._translation.close()
                    break
                chunks += self._translation.feed(self._event(payload))
        except XRouterError as error:
            self.failure = error
        return chunks

    def _event(self, payload: bytes) -> dict[str, Any]:
        event = json_object(payload, code="bad_event")
        if isinstance(build := event.get("model"), str):
            self.build = build
        return event


class UntilStopped:
    """The pieces of an answer until a stop sequence is met, and a little longer for the usage at the end.

    Args:
        drain: Whether the client wants the usage.
    """

    def __init__(self, answer: Pieces, translation: StreamTranslation, *, drain: bool) -> None:
        self._answer = answer
        self._translation = translation
        self._drain = drain
        self._until: float | None = None

    async def __anext__(self) -> bytes:
        if not self._translation.stopped:
            return await self._answer.__anext__()
        if not self._drain:
            raise StopAsyncIteration
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + _LONGEST_DRAIN
        try:
            async with asyncio.timeout_at(self._until):
                return await self._answer.__anext__()
        except TimeoutError:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        await self._answer.aclose()


def _is_whole(payload: bytes) -> bool:
    try:
        decode(payload)
    except ValueError:
        return payload == _DONE
    return True


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
