"""The seam between the bytes of a client API and the requests and answers that providers know.

A dialect neither knows ASGI nor does any I/O. Whatever a client speaks, a provider is asked a `ChatRequest` or an
`EmbeddingsRequest`, and answers with a `ChatCompletion`, a `ChatStream` or an `EmbeddingList`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from pydantic import BaseModel

from ..context import CostEstimate
from ..envelopes import Envelope
from ..errors import XRouterError
from ..wire import ChatChunk, ChatRequest, Document, EmbeddingsRequest, Original

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


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


class ParsedRequest(Protocol):
    """One request, read from the client's JSON, and how its answer is written."""

    @property
    def request(self) -> ChatRequest | EmbeddingsRequest:
        """What a provider is asked."""
        ...

    @property
    def document(self) -> Document:
        """The JSON of `request` for providers: the client's own bytes where the client wrote this very JSON."""
        ...

    @property
    def original(self) -> Original | None:
        """What the client wrote, if `request` is a translation of it."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What the translation leaves out, as words for `x-xrouter-warnings`."""
        ...

    @property
    def answer_type(self) -> type[Document]:
        """What a provider answers with, unless the client wants a stream."""
        ...

    def estimate(self) -> CostEstimate:
        """An upper bound of what the request can cost."""
        ...

    def whole(self, answer: Document, /) -> bytes:
        """The body for an answer of `answer_type`. Raises UpstreamError if the answer cannot be written."""
        ...

    def writer(self) -> EventWriter | None:
        """A new writer of the event stream that the client wants; None if it wants a whole answer."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """What the OpenAPI document says about a dialect.

    Attributes:
        id: Its `operationId`, which generators of clients turn into a name.
        request, answer: The models of the JSON that comes in and goes out.
        example: A request, as JSON.
        event: The schema of one event, if answers can be streamed.
        stream: An example of a streamed answer, as text.
    """

    id: str
    summary: str
    request: type[BaseModel]
    answer: type[BaseModel]
    example: dict[str, Any]
    event: dict[str, Any] | None = None
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of client asks and wants to be answered.

    Attributes:
        name: The endpoint in logs, metrics and spans.
        path: Where clients post their requests; the router also serves it below `/v1`.
        scope: The scope that a key needs.
        read: Makes a request from the decoded JSON object, the body that held it and the client's headers. Raises
            InvalidRequest.
        envelope: How clients are told errors.
        operation: What the OpenAPI document says.
    """

    name: str
    path: str
    scope: str
    read: Callable[[dict[str, Any], bytes, Headers], ParsedRequest]
    envelope: Envelope
    operation: Operation


def prompt_bound(body: bytes) -> int:
    """An upper bound of the tokens in a body: one token is at least two bytes of JSON.

    This holds in every language for the tokenizers in use today.
    """
    return len(body) // 2
