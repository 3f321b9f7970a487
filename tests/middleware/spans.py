"""Finished spans as a picture, whoever made them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from starlette.types import ASGIApp

from xrouter_asgi.middleware.tracing import TracingMiddleware
from xrouter_asgi.telemetry.collector import Collector
from xrouter_asgi.telemetry.otlp_tracer import OTLPTracer

_KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT"}


@dataclass(frozen=True)
class Span:
    """A finished span. Ids are hexadecimal; times are nanoseconds.

    Attributes:
        text: All of it.
    """

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    state: str
    failed: bool
    attributes: Mapping[str, Any]
    began: int
    ended: int
    text: str


class Recorded(ABC):
    """What a tracer made."""

    @abstractmethod
    def around(self, app: ASGIApp, *, propagate: bool = True) -> TracingMiddleware:
        """The application, traced."""

    @property
    @abstractmethod
    def _finished(self) -> list[Span]: ...

    @property
    def spans(self) -> list[Span]:
        """In the order they were begun."""
        return sorted(self._finished, key=lambda span: span.began)

    @property
    def tree(self) -> list[str]:
        """One line for each span, indented below its parent, in the order they were begun."""
        ids = {span.span_id for span in self.spans}
        return [line for span in self.spans if span.parent_id not in ids for line in self._lines(span, "")]

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        """The attributes of the one span of that name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span.attributes

    def _lines(self, span: Span, indent: str) -> list[str]:
        children = [child for child in self.spans if child.parent_id == span.span_id]
        below = [line for child in children for line in self._lines(child, indent + "  ")]
        return [f"{indent}{span.kind} {span.name}{' ERROR' * span.failed}", *below]


class RecordedBySDK(Recorded):
    """What OpenTelemetry's SDK made, also of spans that are not ours."""

    def __init__(self, share: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(share)))
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def around(self, app: ASGIApp, *, propagate: bool = True) -> TracingMiddleware:
        return TracingMiddleware(app, tracer_provider=self.provider, propagate=propagate)

    @property
    def _finished(self) -> list[Span]:
        return [_of_sdk(span) for span in self._exporter.get_finished_spans()]


class RecordedByUs(Recorded):
    """What our own tracer made."""

    def __init__(self, share: float = 1.0) -> None:
        self._tracer = OTLPTracer(Collector("http://127.0.0.1:1"), share=share)

    def around(self, app: ASGIApp, *, propagate: bool = True) -> TracingMiddleware:
        return TracingMiddleware(app, tracer=self._tracer, propagate=propagate)

    @property
    def _finished(self) -> list[Span]:
        return [of_json(json.loads(text)) for text in self._tracer.exporter.waiting]


def of_json(span: Mapping[str, Any]) -> Span:
    """A span of OTLP/JSON."""
    return Span(
        name=span["name"],
        kind=_KINDS[span["kind"]],
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId"),
        state=span.get("traceState", ""),
        failed=span.get("status", {}).get("code") == 2,
        attributes={each["key"]: _value(each["value"]) for each in span["attributes"]},
        began=int(span["startTimeUnixNano"]),
        ended=int(span["endTimeUnixNano"]),
        text=json.dumps(span),
    )


def _value(value: Mapping[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    match kind:
        case "intValue":
            return int(inner)
        case "arrayValue":
            return tuple(map(_value, inner["values"]))
    return inner


def _of_sdk(span: ReadableSpan) -> Span:
    assert span.context is not None
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.events == ()
    return Span(
        name=span.name,
        kind=span.kind.name,
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
        parent_id=None if span.parent is None else f"{span.parent.span_id:016x}",
        state=span.context.trace_state.to_header(),
        failed=not span.status.is_unset,
        attributes=dict(span.attributes or {}),
        began=span.start_time,
        ended=span.end_time,
        text=span.to_json(),
    )
