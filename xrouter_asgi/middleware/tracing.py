"""TracingMiddleware: give each request an id, and trace it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..asgi.responses import status_of, with_request_id
from ..context import RequestContext

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class TracingMiddleware:
    """Gives each request an id, and traces it with OpenTelemetry.

    A client's `x-request-id` is kept if it is 1 to 64 of `A-Z a-z 0-9 . _ -`, and replaced otherwise. Every answer
    carries it, also a refusal from inside. A request, or the life of a WebSocket, is one SERVER span, unless the host
    has made one. Below it are one span for the call to a model and one for each attempt.

    Place it outside everything else. Around the whole host, `app = TracingMiddleware(app)`, the 500 that the host
    answers for an exception carries the id, too. A host that traces itself, as FastAPI does once OpenTelemetry has a
    provider, would not see a span around it: add the middleware inside, by `app.add_middleware(TracingMiddleware)`.

    Args:
        app: Any ASGI application.
        tracer_provider: None takes OpenTelemetry's global one, as it is at the first request. If none is set, there are
            no spans.
        propagate: Continue the trace that a client's `traceparent` names, and send ours to the upstreams. A client's
            baggage is never sent on.
    """

    def __init__(self, app: ASGIApp, *, tracer_provider: TracerProvider | None = None, propagate: bool = True) -> None:
        from ..telemetry.spans import Spans  # here, because the import of OpenTelemetry is slow

        self.app = app
        self._spans = Spans(tracer_provider, propagate=propagate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = dict(scope)
        context = RequestContext.of(scope)
        spans = self._spans.begin(scope, context)

        async def send_with_id(message: Message) -> None:
            if spans is not None and (status := status_of(message)):
                spans.status = spans.status or status
            await send(with_request_id(message, context.request_id))

        if spans is None:
            await self.app(scope, receive, send_with_id)
            return
        try:
            await self.app(scope, receive, send_with_id)
        except BaseException as error:
            spans.end(error)
            raise
        spans.end(None)
