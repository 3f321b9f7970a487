"""The seam of the inner onion: a provider takes a typed call and gives a typed reply."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from ..context import Attempt, RequestContext
from ..wire import ChatCompletion, ChatRequest, Document, EmbeddingList, EmbeddingsRequest, ModelList, ModelsRequest
from ..wire.stream import ChatStream

Request: TypeAlias = ChatRequest | EmbeddingsRequest | ModelsRequest
Body: TypeAlias = ChatCompletion | ChatStream | EmbeddingList | ModelList


@dataclass(slots=True, eq=False)
class Call:
    """What goes down the inner onion. Never changed: a policy that wants another one uses `dataclasses.replace`.

    It is not frozen only because that more than doubles the time to make one, and each request makes three.

    Attributes:
        request: What is asked.
        model: The model to ask for: first the client's name, below `Target` the upstream's.
        stem: What `*` stood for when the client's name matched a pattern.
        document: The request as JSON, the client's own bytes where there are any.
        headers: The client's headers as ASGI gives them. A provider reads the few that it knows by name; none is ever
            copied upstream as a whole.
        context: What becomes known about this request.
        traceparent: The W3C trace context to send along, if this call is traced.
        deadline: When everything has to be over, queues and retries included, in seconds of the event loop's clock
            (`time.monotonic()`, unless the loop has a clock of its own).
    """

    request: Request = field(repr=False)  # prompts stay out of logs and tracebacks
    model: str = ""
    stem: str = ""
    document: Document = field(default=None, kw_only=True)  # type: ignore[assignment]  # set below, from `request`
    headers: Sequence[tuple[bytes, bytes]] = field(default=(), kw_only=True, repr=False)
    context: RequestContext = field(default_factory=RequestContext, kw_only=True)
    traceparent: str | None = field(default=None, kw_only=True)
    deadline: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.document is None:
            body = self.request.model_dump(mode="json", by_alias=True, exclude_unset=True)
            self.document = Document(body)
        if not self.model:
            self.model = getattr(self.request, "model", "")

    def to(self, attempt: Attempt) -> Call:
        """The same call, for the model and within the trace of an attempt."""
        return self._with(attempt.model, attempt.traceparent, self.deadline)

    def until(self, deadline: float) -> Call:
        """The same call with this deadline."""
        return self._with(self.model, self.traceparent, deadline)

    def _with(self, model: str, traceparent: str | None, deadline: float | None) -> Call:
        # Not by `dataclasses.replace` nor by the class, which take several times as long.
        call = object.__new__(Call)
        call.request = self.request
        call.model = model
        call.stem = self.stem
        call.document = self.document
        call.headers = self.headers
        call.context = self.context
        call.traceparent = traceparent
        call.deadline = deadline
        return call

    @property
    def trace_headers(self) -> list[tuple[bytes, bytes]]:
        """What to send along so that the upstream's spans hang below this call's; never the client's baggage."""
        return [] if self.traceparent is None else [(b"traceparent", self.traceparent.encode("ascii"))]

    def header(self, name: bytes) -> str | None:
        """The client's header of that lower-case name."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class Reply:
    """What comes back once the upstream has committed itself: a whole answer, or a stream whose first chunk is here.

    Attributes:
        provider: The name of the provider that answered.
        model: The upstream's name of the model that answered.
        warnings: What was ignored or changed on the way, as words for `x-xrouter-warnings` such as `seed_ignored`.
        headers: Facts about the upstream's answer for the client, such as `x-gigachat-request-id`.
    """

    body: Body
    provider: str
    model: str = ""
    warnings: Sequence[str] = ()
    headers: Sequence[tuple[str, str]] = ()

    @property
    def models(self) -> list[dict[str, Any]]:
        """The model objects in the reply to a `ModelsRequest`."""
        if not isinstance(self.body, ModelList):
            raise TypeError(f"The provider '{self.provider}' answered a ModelsRequest with {type(self.body).__name__}.")
        models: list[dict[str, Any]] = self.body.value["data"]
        return models


class Provider(Protocol):
    """Says a call in the language of one upstream. Policies have the same shape and wrap one."""

    @property
    def name(self) -> str:
        """How configuration, logs and `x-xrouter-provider` call it."""
        ...

    async def send(self, call: Call, /) -> Reply:
        """Answer the call. Returns when, and only when, the upstream has accepted.

        Raises:
            XRouterError: And nothing else. An UpstreamError is the upstream's fault, an InvalidRequest the caller's.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; safe to call twice. The provider is made by whoever also closes it."""
        ...


def unsupported(provider: str, request: Request) -> str:
    """The sentence for an operation that a provider does not have."""
    operation = {ChatRequest: "chat completions", EmbeddingsRequest: "embeddings", ModelsRequest: "listing models"}
    return f"The provider '{provider}' does not support {operation[type(request)]}."


def now() -> int:
    """Unix time in whole seconds, as `created` wants it."""
    return int(time.time())
