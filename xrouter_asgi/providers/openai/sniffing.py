"""What an answer is, told from how its body begins: JSON or events.

The label only helps where the body does not tell.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from ...errors import UpstreamError, XRouterError
from ...wire import ChatChunk
from ..http import AnswerStream, ErrorReader
from .answers import answer_object, check_and_mend, chunks_of
from .chunks import ChunkReader

Kind: TypeAlias = Literal["json", "events"]

_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LONGEST_FIELD = 6
_LONGEST_BLANK = 4096  # bytes of white space before anything is said
_MARK = b"[DONE]"


def kind_of(body: bytes, *, label: str = "", whole: bool = True) -> Kind | None:
    """What begins so. None while it cannot be told yet.

    Args:
        label: The content type.
        whole: No more will come.
    """
    if not whole and _BOM.startswith(body):
        return None
    start = body[:_LONGEST_BLANK].removeprefix(_BOM).lstrip()[:_LONGEST_FIELD]
    if start.startswith((b"{", b"[")):
        return "json"
    if start.startswith(_FIELDS):
        return "events"
    if not whole and len(body) < _LONGEST_BLANK and any(field.startswith(start) for field in _FIELDS):
        return None
    return "json" if "json" in label or "html" in label else "events"


def without_done(body: bytes) -> bytes:
    """A JSON body without the `data: [DONE]` that some upstreams put behind it, and without a byte order mark."""
    body = body.removeprefix(_BOM)
    text = body.rstrip()
    return text[: text.rfind(b"data:")] if text.endswith(_MARK) and b"data:" in text else body


class SniffingReader:
    """Pieces of an answer to a streamed request in, chunks out: of events, or of a whole completion. No I/O.

    Args:
        answer: Its head.
        events: Reads it if it is a stream.
        limit: Of a whole answer, in bytes.

    Attributes:
        kind: What it is, once that is known.
    """

    finished = False

    def __init__(
        self, answer: AnswerStream, events: ChunkReader, *, model: str, errors: ErrorReader, limit: int
    ) -> None:
        self._answer = answer
        self._label = answer.headers.get("content-type", "").lower()
        self._events = events
        self._model = model
        self._errors = errors
        self._limit = limit
        self.kind: Kind | None = None
        self._body = bytearray()
        self._failure: XRouterError | None = None

    @property
    def done(self) -> bool:
        return self._events.done

    @property
    def silent(self) -> bool:
        return self.kind == "events" and self._events.silent

    @property
    def failure(self) -> XRouterError | None:
        return self._failure or self._events.failure

    def feed(self, piece: bytes) -> list[ChatChunk]:
        """The chunks that `piece` completes."""
        if self.kind == "events":
            return self._events.feed(piece)
        self._body += piece
        if len(self._body) > self._limit:
            message = "The upstream's answer is too large."
            self._failure = UpstreamError(message, code="too_large", trips=False, falls_back=False)
            return []
        if self.kind is None:
            self.kind = kind_of(bytes(self._body), label=self._label, whole=False)
        return self._begin_events() if self.kind == "events" else []

    def close(self) -> list[ChatChunk]:
        """The chunks that the end of the answer completes."""
        begun: list[ChatChunk] = []
        if self.kind is None:
            self.kind = kind_of(bytes(self._body), label=self._label)
            begun = self._begin_events() if self.kind == "events" else []
        if self.kind == "events":
            return begun + self._events.close()
        try:
            return chunks_of(self._completion())
        except XRouterError as error:
            self._failure = error
            return []

    def _begin_events(self) -> list[ChatChunk]:
        body, self._body = bytes(self._body), bytearray()
        return self._events.feed(body)

    def _completion(self) -> dict[str, Any]:
        body = without_done(bytes(self._body))
        value = answer_object(self._answer, body, model=self._model, errors=self._errors)
        check_and_mend(value, model=self._model)
        return value
