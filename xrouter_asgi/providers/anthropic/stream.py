"""The bytes of an event stream, read event by event."""

from __future__ import annotations

from collections.abc import Iterable

from ...wire import ChatChunk
from ..http import EventStreamDecoder
from .events import MessageEvents


class MessageDecoder(EventStreamDecoder):
    """Bytes of an event stream in, chunks out. See `ChunkDecoder`. A ping is a sign of life: there are no others while
    a model thinks in secret."""

    def __init__(self, events: MessageEvents) -> None:
        super().__init__(events)
        self._events = events

    def _read(self, frames: Iterable[bytes], chunks: list[ChatChunk]) -> None:
        for event in frames:
            if self._events.done:
                break
            chunks += self._events.feed(event)
