"""How streamed answers are written: chunks in, bytes of an event stream out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..envelopes import openai
from ..errors import UpstreamError, XRouterError
from ..wire import ChatChunk
from ..wire.codec import encode
from ..wire.sse import encode_event

COMMENT = b": keep-alive\n\n"
"""Keeps a stream alive: readers of event streams skip comments."""


class EventWriter(Protocol):
    """Chunks in, bytes of an event stream out: a state machine for one answer, without I/O.

    Attributes:
        keep_alive: What to send while there is nothing to say, also before the first chunk.
    """

    keep_alive: bytes

    def begin(self) -> bytes:
        """The events before the first chunk. Called once, unless the answer breaks before it."""
        ...

    def feed(self, chunks: Sequence[ChatChunk], /) -> bytes:
        """The events for one batch of chunks; empty if the client is told nothing of them."""
        ...

    def end(self) -> bytes:
        """The events that end a whole answer."""
        ...

    def fail(self, error: XRouterError, request_id: str) -> bytes:
        """The events that end an answer that broke, in place of `end`. Also right before `begin`."""
        ...


class NativeEvents:
    """Passes on the events of an upstream that speaks the client's dialect. All else is written by `writer`.

    Args:
        writer: Writes the stream if its first chunks come without events.
    """

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._passing: bool | None = None  # nobody knows before the first chunk
        self.keep_alive = writer.keep_alive

    def begin(self) -> bytes:
        """Nothing: the upstream may begin by itself."""
        return b""

    def feed(self, chunks: Sequence[ChatChunk], /) -> bytes:
        """The events of the upstream.

        Raises:
            UpstreamError: `stream_broken`. A chunk has no events though others were passed on: nobody can go on in
                the middle of what another one writes.
        """
        if self._passing is False:
            return self._writer.feed(chunks)
        events = [chunk.native for chunk in chunks if chunk.native is not None]
        if len(events) == len(chunks):
            self._passing = True
            return self.passed(b"".join(events))
        if self._passing:
            raise UpstreamError("The answer was changed after it had begun.", code="stream_broken", trips=False)
        self._passing = False
        return self._writer.begin() + self._writer.feed(chunks)

    def end(self) -> bytes:
        """What `writer` says; nothing if the upstream has said it."""
        return b"" if self._passing else self._writer.end()

    def fail(self, error: XRouterError, request_id: str) -> bytes:
        return self._writer.fail(error, request_id)

    def passed(self, events: bytes) -> bytes:
        """Take note of events that go out."""
        return events


class DataEvents:
    """What the writers of OpenAI's older streams have in common: events of JSON without a name, and `[DONE]`."""

    keep_alive = COMMENT

    def begin(self) -> bytes:
        """Nothing: the first chunk is the first event."""
        return b""

    def fail(self, error: XRouterError, request_id: str) -> bytes:
        """One event that holds the envelope of the error. No `[DONE]` follows it."""
        _, _, body = openai(error, request_id)
        return encode_event(encode(body))
