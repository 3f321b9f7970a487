"""The event stream of a response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...errors import XRouterError
from ...wire import ChatChunk
from ...wire.codec import encode
from ...wire.documents import TextMember
from ..writers import COMMENT
from .answer import Answer
from .document import ResponseObject
from .output import Event, SpokenItem


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
