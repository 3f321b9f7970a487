"""The bytes of an event stream, read event by event."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import XRouterError
from ...wire import ChatChunk
from ...wire.sse import EventReader
from ..http import is_whole
from .events import MessageEvents


class MessageDecoder:
    """Bytes of an event stream in, chunks out. See `ChunkDecoder`. A ping is a sign of life: there are no others while
    a model thinks in secret."""

    def __init__(self, events: MessageEvents) -> None:
        self._frames = EventReader()
        self._events = events
        self.silent = True
        self.failure: XRouterError | None = None

    @property
    def finished(self) -> bool:
        return self._events.finished

    @property
    def done(self) -> bool:
        return self._events.done

    def feed(self, piece: bytes) -> list[ChatChunk]:
        try:
            events = self._frames.feed(piece)
        except XRouterError as error:
            self.failure = error
            return []
        self.silent = not events
        return self._read(events)

    def close(self) -> list[ChatChunk]:
        # What the end cuts off is no event.
        return self._read(filter(is_whole, self._frames.close()))

    def _read(self, events: Iterable[bytes]) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        try:
            for event in events:
                if self._events.done:
                    break
                chunks += self._events.feed(event)
        except XRouterError as error:
            self.failure = error
        return chunks
