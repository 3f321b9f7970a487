"""Streams of an upstream that speaks the client's own dialect: read as chat, and passed on as they came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ...errors import UpstreamError
from ...wire import ChatChunk, NativeText, TextMember
from .events import Ending, EventStreamDecoder

_MOST_HELD = 8 << 20  # bytes of events before the first that says something; they may repeat the request


class DialectEvents(Ending, Protocol):
    """Reads the events of one answer as chunks of chat. No I/O, no framing.

    Attributes:
        kind: The `type` of the event that was read last, which is also its name in the stream.
        text_head: How the event of a text begins in the stream, until its data.
        frame, member: Of the chunk with that text; see `NativeText`.
    """

    kind: str
    text_head: bytes
    frame: tuple[bytes, bytes]
    member: TextMember

    def text_of(self, event: bytes, /) -> str | None:
        """The text of an event that adds one to what the last event added to; None if it has to be read."""
        ...

    def feed(self, event: bytes, /) -> list[ChatChunk]:
        """The chunks of one event, perhaps none. Raises XRouterError."""
        ...


class NativeDecoder(EventStreamDecoder):
    """Bytes of an event stream in, chunks that carry their events out. See `ChunkDecoder`.

    What comes before the first chunk goes out with it; from there on an event without a chunk of its own gets one that
    says nothing. Each event is written anew around its data, so that it has a name and no comments.
    """

    def __init__(self, events: DialectEvents) -> None:
        super().__init__(events)
        self._events = events
        self._held = b""
        self._begun = False

    def _read(self, frames: Iterable[bytes], chunks: list[ChatChunk]) -> None:
        events = self._events
        for data in frames:
            if (text := events.text_of(data)) is not None:
                native = b"%b%b\n\n" % (events.text_head, data)
                chunks.append(NativeText(text, native, frame=events.frame, member=events.member))
            elif events.done or data == b"[DONE]":
                break
            else:
                self._carry(events.feed(data), data, chunks)

    def _carry(self, said: list[ChatChunk], data: bytes, chunks: list[ChatChunk]) -> None:
        native = _event(self._events.kind, data)
        if not (said or self._begun):
            self._held += native
            if len(self._held) > _MOST_HELD:
                raise UpstreamError("The upstream says too much before its answer.", code="too_large", trips=False)
            return
        if not said:
            said = [ChatChunk({"choices": []})]
        self._begun = True
        for chunk in said:
            chunk.native = b""
        said[0].native, self._held = self._held + native, b""
        chunks += said


def _event(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data.replace(b"\n", b" "))
