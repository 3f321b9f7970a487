"""Streams of an upstream that speaks the client's own dialect: read as chat, and passed on as they came."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ...errors import UpstreamError, XRouterError
from ...wire import ChatChunk, NativeText, TextMember
from ...wire.codec import decode
from ...wire.sse import EventReader

_KIND = re.compile(r"[A-Za-z0-9_.]{1,64}")
_MOST_HELD = 8 << 20  # bytes of events before the first that says something; they may repeat the request


class DialectEvents(Protocol):
    """Reads the events of one answer as chunks of chat. No I/O, no framing.

    Attributes:
        kind: The `type` of the event that was read last, which is also its name in the stream.
        text_head: How the event of a text begins in the stream, until its data.
        frame, member: Of the chunk with that text; see `NativeText`.
        finished: The answer is whole.
        done: The upstream said that nothing follows.
    """

    kind: str
    text_head: bytes
    frame: tuple[bytes, bytes]
    member: TextMember
    finished: bool
    done: bool

    def text_of(self, event: bytes, /) -> str | None:
        """The text of an event that adds one to what the last event added to; None if it has to be read."""
        ...

    def feed(self, event: bytes, /) -> list[ChatChunk]:
        """The chunks of one event, perhaps none. Raises XRouterError."""
        ...


class NativeDecoder:
    """Bytes of an event stream in, chunks that carry their events out. See `ChunkDecoder`.

    What comes before the first chunk goes out with it; from there on an event without a chunk of its own gets one that
    says nothing. Each event is written anew around its data, so that it has a name and no comments.
    """

    def __init__(self, events: DialectEvents) -> None:
        self._frames = EventReader()
        self._events = events
        self._held = b""
        self._begun = False
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
            frames = self._frames.feed(piece)
        except XRouterError as error:
            self.failure = error
            return []
        self.silent = not frames
        return self._read(frames)

    def close(self) -> list[ChatChunk]:
        # What the end cuts off is no event.
        return self._read(filter(is_whole, self._frames.close()))

    def _read(self, frames: Iterable[bytes]) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        events = self._events
        try:
            for data in frames:
                if (text := events.text_of(data)) is not None:
                    native = b"%b%b\n\n" % (events.text_head, data)
                    chunks.append(NativeText(text, native, frame=events.frame, member=events.member))
                elif events.done or data == b"[DONE]":
                    break
                else:
                    self._carry(events.feed(data), data, chunks)
        except XRouterError as error:
            self.failure = error
        return chunks

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


def kind_of(event: Mapping[str, Any]) -> str:
    """The `type` of an event. What is none becomes the name of events without one."""
    kind = event.get("type")
    return kind if isinstance(kind, str) and _KIND.fullmatch(kind) else "message"


def is_whole(event: bytes) -> bool:
    """Whether an event is JSON: one that was cut off is none."""
    try:
        decode(event)
    except ValueError:
        return False
    return True


def _event(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data.replace(b"\n", b" "))
