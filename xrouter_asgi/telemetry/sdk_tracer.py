"""The spans of a request made by OpenTelemetry, for a host that has a tracer provider."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property

from opentelemetry import baggage
from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import (
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TracerProvider,
    get_current_span,
    get_tracer_provider,
    set_span_in_context,
)
from opentelemetry.trace import Tracer as OpenTelemetryTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from starlette.types import Scope

from .. import conventions as names
from ..asgi.exchange import Exchange
from ..decision import Attempt
from ..events import AttemptEnded
from .otlp_json import VERSION, Attributes
from .spans import (
    attempt_name,
    failure,
    of_answer,
    of_attempt,
    of_call,
    of_decision,
    of_outcome,
    of_request,
    place_of,
    server_name,
)

logger = logging.getLogger("xrouter")

_TRACE_HEADERS = (b"traceparent", b"tracestate")
_w3c = TraceContextTextMapPropagator()


class SDKTracer:
    """Begins the spans of requests by a tracer provider of OpenTelemetry.

    Args:
        tracer_provider: None takes the global one, as it is at the first request.
    """

    def __init__(self, tracer_provider: TracerProvider | None) -> None:
        self._provider = tracer_provider

    def begin(self, scope: Scope, exchange: Exchange, *, propagate: bool) -> SDKSpans | None:
        """See `Tracer`."""
        if self._tracer is None:
            return None
        try:
            spans = SDKSpans(self._tracer, scope, exchange, propagate=propagate)
        except Exception:
            logger.exception("A span could not be begun")
            return None
        context = exchange.context
        context.trace_id = f"{spans.context.trace_id:032x}"
        context.propagate = spans.propagate
        context.observers.append(spans)
        return spans

    @cached_property
    def _tracer(self) -> OpenTelemetryTracer | None:
        # Once: without a provider a request costs nothing.
        provider = self._provider or get_tracer_provider()
        if isinstance(provider, (NoOpTracerProvider, ProxyTracerProvider)):
            return None
        return provider.get_tracer(names.SCOPE, VERSION)


class SDKSpans:
    """The spans of one request, as the observer of its attempts.

    The span that runs is OpenTelemetry's current one, so that instrumentation further in, of a database or of httpx,
    hangs its own below it.
    """

    def __init__(self, tracer: OpenTelemetryTracer, scope: Scope, exchange: Exchange, *, propagate: bool) -> None:
        self._tracer = tracer
        self._scope = scope
        self._exchange = exchange
        self._request = exchange.context
        self._propagate = propagate
        self._before = get_current()
        self._server: Span | None = None
        self._attempts: dict[Attempt, Span] = {}
        host = get_current_span(self._before)
        if host.is_recording() and getattr(host, "kind", None) is SpanKind.SERVER:
            self._top, self._inside = host, self._before
            # Hosts end their span with the last message.
            exchange.before_last.append(self._describe_host)
            return
        # What is current is nearer than what a header says.
        outer = host.get_span_context().is_valid or not propagate
        parent = self._before if outer else _extract(scope, self._before)
        self._top = self._server = tracer.start_span(
            server_name(scope), parent, SpanKind.SERVER, attributes=_known(of_request(scope, self._request))
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
        """See `RequestSpans`."""
        # Not by a token: an exchange that is thrown away ends outside the context that it began in.
        attach(self._before)
        # They hold this object, so none of them would be freed before the others.
        self._request.observers.remove(self)
        self._request.propagate = None
        self._exchange.before_last.clear()
        try:
            for attempt in list(self._attempts):
                self._end_attempt(attempt)
            self._describe()
            if self._server is not None:
                self._end_server(self._server, error)
        except Exception:
            logger.exception("A span could not be ended")

    def _describe_host(self) -> None:
        try:
            self._describe()
        except Exception:
            logger.exception("The span of the host could not be described")

    def _describe(self) -> None:
        """Say on the SERVER span what is known by now."""
        if self._top.is_recording():
            self._top.set_attributes(_known(of_call(self._request)) | _known(of_decision(self._request.decision)))

    def _begin_attempt(self, attempt: Attempt) -> SpanContext:
        """The span below which the upstream's hang."""
        if not self._top.is_recording():
            return self.context
        attributes = _known(of_attempt(self._request, attempt))
        name = attempt_name(self._request, attempt)
        span = self._tracer.start_span(name, self._inside, SpanKind.CLIENT, attributes=attributes)
        self._attempts[attempt] = span
        # What the client put into its baggage is not the upstream's business.
        attach(baggage.clear(set_span_in_context(span, self._inside)))
        return span.get_span_context()

    def _end_attempt(self, attempt: Attempt) -> None:
        span = self._attempts.pop(attempt, None)
        if span is None:
            return
        _end(span, of_outcome(self._request, attempt))
        if not self._attempts:
            attach(self._inside)

    def _end_server(self, span: Span, error: BaseException | None) -> None:
        if place := place_of(self._scope, self._request):
            span.update_name(server_name(self._scope, place))
        status = self._exchange.status
        _end(span, of_answer(self._scope, status, failure(self._request, status, error)))


def _end(span: Span, attributes: Attributes) -> None:
    if attributes.get(names.ERROR_TYPE) is not None:
        span.set_status(StatusCode.ERROR)
    span.set_attributes(_known(attributes))
    span.end()


def _known(attributes: Attributes) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}


def _extract(scope: Scope, context: Context) -> Context:
    carrier: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name in _TRACE_HEADERS:
            carrier.setdefault(name.decode("ascii"), []).append(value.decode("latin-1"))
    return _w3c.extract(carrier, context) if carrier else context
