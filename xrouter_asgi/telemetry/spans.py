"""The spans of one request: what the server did, what the model was asked, and each attempt at it.

    POST chat                    SERVER     unless the host has such a span already
      chat gpt-4o                INTERNAL   the logical call, from the first attempt on; tokens, who served
        chat gpt-4o-2024-08-06   CLIENT     one attempt: provider, model, what it failed with
        chat local-qwen3         CLIENT     the next one

They hold who, which, how much and how long; never a prompt, an answer, a header or a query string.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import TypeAlias

from opentelemetry import baggage
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import (
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    TracerProvider,
    get_current_span,
    get_tracer_provider,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from starlette.types import Scope

from .. import conventions as names
from ..context import Attempt, RequestContext
from ..decision import MOST_NAMED, Decision
from ..errors import XRouterError
from ..events import AttemptEnded

_Attributes: TypeAlias = dict[str, AttributeValue | None]
"""None stands for what is not known, and is left out."""

logger = logging.getLogger("xrouter")

_LONGEST = 256  # characters of what a client chose
_TRACE_HEADERS = (b"traceparent", b"tracestate")
_w3c = TraceContextTextMapPropagator()


class Spans:
    """Begins the spans of requests. The arguments are those of `TracingMiddleware`."""

    def __init__(self, tracer_provider: TracerProvider | None, *, propagate: bool) -> None:
        self._provider = tracer_provider
        self._propagate = propagate

    def begin(self, scope: Scope, context: RequestContext) -> RequestSpans | None:
        """The spans of this request; None when nobody wants any, or they are begun further out."""
        if self._tracer is None or context.trace_id is not None:
            return None
        try:
            spans = RequestSpans(self._tracer, scope, context, propagate=self._propagate)
        except Exception:
            logger.exception("A span could not be begun")
            return None
        context.trace_id = f"{spans.context.trace_id:032x}"
        context.propagate = spans.propagate
        context.observers.append(spans)
        return spans

    @cached_property
    def _tracer(self) -> Tracer | None:
        # Once: without a provider a request costs nothing.
        provider = self._provider or get_tracer_provider()
        if isinstance(provider, (NoOpTracerProvider, ProxyTracerProvider)):
            return None
        return provider.get_tracer(names.SCOPE)


class RequestSpans:
    """The spans of one request, as the observer of its attempts.

    The span that runs is OpenTelemetry's current one, so that instrumentation further in, of a database or of httpx,
    hangs its own below it.
    """

    def __init__(self, tracer: Tracer, scope: Scope, context: RequestContext, *, propagate: bool) -> None:
        self.status: int | None = None  # of the answer
        self._tracer = tracer
        self._scope = scope
        self._request = context
        self._propagate = propagate
        self._before = get_current()
        self._server: Span | None = None
        self._call: Span | None = None
        self._attempts: dict[Attempt, Span] = {}
        host = get_current_span(self._before)
        if host.is_recording() and getattr(host, "kind", None) is SpanKind.SERVER:
            self._top, self._inside = host, self._before
            return
        # What is current is nearer than what a header says.
        outer = host.get_span_context().is_valid or not propagate
        parent = self._before if outer else _extract(scope, self._before)
        self._top = self._server = tracer.start_span(
            _name(scope), parent, SpanKind.SERVER, attributes=_server_attributes(scope, context)
        )
        self._inside = set_span_in_context(self._server, self._before)
        attach(self._inside)

    @property
    def context(self) -> SpanContext:
        """Of the span that all others hang below."""
        return self._top.get_span_context()

    def propagate(self, attempt: Attempt) -> Sequence[tuple[bytes, bytes]]:
        """Begin the span of an attempt. Returns the headers that hang the upstream's spans below it. Raises nothing."""
        try:
            span = self._begin_attempt(attempt)
        except Exception:
            logger.exception("The span of an attempt could not be begun")
            return ()
        if not self._propagate:
            return ()
        value = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
        return [(b"traceparent", value.encode("ascii"))]

    def __call__(self, event: object) -> None:
        if isinstance(event, AttemptEnded):
            self._end_attempt(event.attempt)

    def end(self, error: BaseException | None) -> None:
        """End what still runs, with the error that the application raised. Raises nothing itself."""
        # Not by a token: an exchange that is thrown away ends outside the context that it began in.
        attach(self._before)
        # It holds this object, so neither would be freed before the other.
        self._request.observers.remove(self)
        self._request.propagate = None
        try:
            for attempt in list(self._attempts):
                self._end_attempt(attempt)
            if self._call is not None:
                _end(self._call, self._call_attributes(), self._request.error or error)
            if self._top.is_recording():
                self._top.set_attributes(_decision_attributes(self._request.decision))
            if self._server is not None:
                self._end_server(self._server, error)
        except Exception:
            logger.exception("A span could not be ended")

    def _begin_attempt(self, attempt: Attempt) -> SpanContext:
        """The span below which the upstream's hang."""
        if not self._top.is_recording():
            return self.context
        operation = names.operation(self._request.endpoint)
        if self._call is None:
            model = (self._request.model or attempt.model)[:_LONGEST]
            attributes: dict[str, AttributeValue] = {names.OPERATION: operation, names.REQUEST_MODEL: model}
            self._call = self._tracer.start_span(f"{operation} {model}", self._inside, attributes=attributes)
        model = attempt.model[:_LONGEST]
        inside = set_span_in_context(self._call, self._inside)
        span = self._tracer.start_span(
            f"{operation} {model}",
            inside,
            SpanKind.CLIENT,
            attributes={names.OPERATION: operation, names.PROVIDER: attempt.provider, names.REQUEST_MODEL: model},
        )
        self._attempts[attempt] = span
        # What the client put into its baggage is not the upstream's business.
        attach(baggage.clear(set_span_in_context(span, inside)))
        return span.get_span_context()

    def _end_attempt(self, attempt: Attempt) -> None:
        span = self._attempts.pop(attempt, None)
        if span is None:
            return
        first = attempt.first if self._request.streamed else None
        _end(span, {names.FIRST_CHUNK: None if first is None else first - attempt.started}, attempt.error)
        if not self._attempts:
            attach(self._inside)

    def _call_attributes(self) -> _Attributes:
        request, usage = self._request, self._request.usage
        served = request.decision.served if request.streamed else None
        first = None if served is None else served.first
        return {
            names.REQUEST_STREAM: request.streamed,
            names.PROVIDER: request.provider,
            names.RESPONSE_MODEL: (request.upstream_model or "")[:_LONGEST] or None,
            names.FIRST_CHUNK: None if first is None else first - request.attempts[0].started,
            names.INPUT_TOKENS: usage and usage.prompt_tokens,
            names.OUTPUT_TOKENS: usage and usage.completion_tokens,
            names.CACHED_TOKENS: usage and usage.cached_tokens,
        }

    def _end_server(self, span: Span, error: BaseException | None) -> None:
        request = self._request
        # Left there by the router of Starlette or FastAPI.
        route = getattr(self._scope.get("route"), "path", None)
        attributes: _Attributes = {
            names.HTTP_STATUS: self.status,
            names.PRINCIPAL: None if request.principal is None else request.principal.id,
            names.HTTP_ROUTE: route if isinstance(route, str) else None,
        }
        if place := request.endpoint or route:
            span.update_name(f"{_name(self._scope)} {place}")
        error = error or request.error
        if isinstance(error, XRouterError) and error.status < 500:
            error = None  # The client's mistake is no failure of the server (OpenTelemetry, HTTP spans, "Status").
        if error is None and self.status is not None and self.status >= 500:
            attributes[names.ERROR_TYPE] = str(self.status)
            span.set_status(StatusCode.ERROR)
        _end(span, attributes, error)


def _end(span: Span, attributes: _Attributes, error: BaseException | None) -> None:
    if error is not None:
        attributes[names.ERROR_TYPE] = names.error_type(error)
        span.set_status(StatusCode.ERROR)
    span.set_attributes(_known(attributes))
    span.end()


def _known(attributes: _Attributes) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _extract(scope: Scope, context: Context) -> Context:
    carrier: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name in _TRACE_HEADERS:
            carrier.setdefault(name.decode("ascii"), []).append(value.decode("latin-1"))
    return _w3c.extract(carrier, context) if carrier else context


def _name(scope: Scope) -> str:
    method = names.known_method(scope.get("method", "GET"))
    return "HTTP" if method == "_OTHER" else method


def _server_attributes(scope: Scope, context: RequestContext) -> dict[str, AttributeValue]:
    address, port = scope.get("server") or (None, None)
    client = scope.get("client")
    return _known(
        {
            names.HTTP_METHOD: names.known_method(scope.get("method", "GET")),
            names.URL_SCHEME: scope.get("scheme", "http"),
            names.URL_PATH: scope["path"][:_LONGEST],
            names.PROTOCOL_VERSION: scope.get("http_version", "1.1"),
            names.REQUEST_ID: context.request_id,
            names.SERVER_ADDRESS: address,
            names.SERVER_PORT: port,
            names.CLIENT_ADDRESS: client[0] if client else None,
        }
    )


def _decision_attributes(decision: Decision) -> dict[str, AttributeValue]:
    """Why the request went where it went. What is not known or did not happen is left out."""
    return _known(
        {
            names.CONFIG_VERSION: decision.version,
            names.STRATEGY: decision.strategy,
            names.CANDIDATES: [each.name for each in decision.candidates[:MOST_NAMED]] or None,
            names.EXCLUDED: [f"{name}: {why}" for name, why in decision.excluded.items()] or None,
            names.ATTEMPTS: len(decision.attempts) or None,
            names.WAITED: sum(decision.waits) if decision.attempts else None,
            names.HEDGES: decision.hedges or None,
        }
    )
