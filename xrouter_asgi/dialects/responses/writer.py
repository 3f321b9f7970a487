"""The event stream of a response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...errors import XRouterError
from ...wire import ChatChunk
from ...wire.codec import decode, encode
from ...wire.documents import TextMember
from ..writers import COMMENT, NativeEvents
from .answer import Answer
from .document import ResponseObject
from .output import Event, SpokenItem

_DATA = b"\ndata: "  # in no JSON text does a line begin so


class ResponsesWriter:
    """Writes the events of one response, numbered from 0.

    Args:
        decoding: Look into every chunk, because more than its text is wanted.
        ended: Called with the response at its end, unless it failed.
    """

    keep_alive = COMMENT

    def __init__(
        self, response: ResponseObject, answer: Answer, *, decoding: bool, ended: Callable[[bytes], None]
    ) -> None:
        self._response = response
        self._answer = answer
        self._decoding = decoding
        self._ended = ended
        self._number = 0
        self._item: SpokenItem | None = None  # whose texts are spliced into the template
        self._member: TextMember | None = None
        self._template = b""

    def begin(self) -> bytes:
        """The response, which has begun."""
        begun = self._response.begun()
        return self._whole("response.created", begun) + self._whole("response.in_progress", begun)

    def feed(self, chunks: Sequence[ChatChunk], /) -> bytes:
        """The events for these chunks. A text that needs no escape is spliced into an event, not encoded."""
        events = []
        for chunk in chunks:
            if self._item is None or chunk.text is None or chunk.member != self._member:
                events.append(self._take(chunk))
                continue
            self._answer.grow(len(chunk.text))
            self._item.add(chunk.text)
            events.append(self._template % (self._number, chunk.text.encode()))
            self._number += 1
        return b"".join(events)

    def end(self) -> bytes:
        """The end of each item that is open, and of the response."""
        events = self._encode(self._answer.end())
        ended = self._response.ended(self._answer)
        self._ended(ended)
        return events + self._whole("response.incomplete" if self._answer.cut else "response.completed", ended)

    def fail(self, error: XRouterError, request_id: str) -> bytes:
        """The response, which has failed, with what was said before.

        Codex passes over the event `error`, and shows the message of this one.
        """
        events = b"" if self._number else self._whole("response.created", self._response.begun())
        return events + self._whole("response.failed", self._response.failed(self._answer, error))

    def resume(self, id: str, number: int) -> None:
        """Go on with a response that somebody else began; `number` is that of the next event."""
        self._response.rename(id)
        self._number = number

    def _take(self, chunk: ChatChunk) -> bytes:
        events = self._encode(self._answer.take(chunk))
        if self._answer.open is not self._item and not self._decoding:
            self._item = item = self._answer.open
            if item is not None:
                self._member, self._template = item.member, item.template()
        return events

    def _encode(self, events: Iterable[Event]) -> bytes:
        written = []
        for kind, members in events:
            data = encode({"type": kind, "sequence_number": self._number, **members})
            written.append(b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), data))
            self._number += 1
        return b"".join(written)

    def _whole(self, kind: str, response: bytes) -> bytes:
        event = b'event: %b\ndata: {"type":"%b","sequence_number":%d,"response":%b}\n\n'
        name = kind.encode("ascii")
        self._number += 1
        return event % (name, name, self._number - 1, response)


class NativeResponses(NativeEvents):
    """Passes on the events of a response.

    Args:
        ended: Called with the response at its end, unless it failed.
    """

    def __init__(self, writer: ResponsesWriter, *, ended: Callable[[bytes], None]) -> None:
        super().__init__(writer)
        self._own = writer
        self._native_ended = ended
        self._first = self._last = b""

    def passed(self, events: bytes) -> bytes:
        self._first = self._first or events
        self._last = events or self._last
        return events

    def end(self) -> bytes:
        if self._last and (response := _last_event(self._last).get("response")):
            self._native_ended(encode(response))
        return super().end()

    def fail(self, error: XRouterError, request_id: str) -> bytes:
        """The response has failed, under the id that it began with."""
        if self._first:
            begun = _data(self._first.partition(_DATA)[2].partition(b"\n")[0]).get("response") or {}
            number = _last_event(self._last).get("sequence_number")
            self._own.resume(str(begun.get("id") or ""), number + 1 if isinstance(number, int) else 1)
        return super().fail(error, request_id)


def _last_event(events: bytes) -> dict[str, Any]:
    """The data of the last of these events."""
    return _data(events.rpartition(_DATA)[2])


def _data(line: bytes) -> dict[str, Any]:
    value: dict[str, Any] = decode(line)
    return value
