"""TracingMiddleware: give each request an id, and trace it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from ..asgi.exchange import Exchange
from ..context import RequestContext
from ..telemetry.spans import Tracer

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


class TracingMiddleware:
    """Gives each request an id, and traces it.

    A client's `x-request-id` is kept if it is 1 to 64 of `A-Z a-z 0-9 . _ -`, and replaced otherwise. Every answer
    carries it, also a refusal from inside. A request, or the life of a WebSocket, is one SERVER span, unless the host
    has made one. Below it is one CLIENT span for each attempt to ask an upstream.

    Place it outside everything else. Around the whole host, `app = TracingMiddleware(app)`, the 500 that the host
    answers for an exception carries the id, too. A host that traces itself, as FastAPI does once OpenTelemetry has a
    provider, would not see a span around it: add the middleware inside, by `app.add_middleware(TracingMiddleware)`.

    Args:
        app: Any ASGI application.
        tracer: Makes the spans, such as an `OTLPTracer`. Whoever makes it closes it.
        tracer_provider: Makes the spans in place of `tracer`: that of a host. Without either it is OpenTelemetry's
            global one, as it is at the first request. If none is set, there are no spans.
        propagate: Continue the trace that a client's `traceparent` names, and send ours to the upstreams. A client's
            baggage is never sent on.

    Raises ValueError for both a `tracer` and a `tracer_provider`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tracer: Tracer | None = None,
        tracer_provider: TracerProvider | None = None,
        propagate: bool = True,
    ) -> None:
        if tracer is None:
            from ..telemetry.sdk_tracer import SDKTracer  # here, because the import of OpenTelemetry is slow

            tracer = SDKTracer(tracer_provider)
        elif tracer_provider is not None:
            raise ValueError("TracingMiddleware takes a tracer or a tracer_provider, and not both.")
        self.app = app
        self._tracer = tracer
        self._propagate = propagate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = dict(scope)
        context = RequestContext.of(scope)
        exchange = Exchange.of(context, receive, send)
        # A request that is traced further out has its id.
        traced = context.trace_id is not None
        spans = None if traced else self._tracer.begin(scope, exchange, propagate=self._propagate)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            if spans is not None:
                spans.end(error)
            raise
        if spans is not None:
            spans.end(None)
