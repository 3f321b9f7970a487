"""Finished spans as a picture."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.util.types import AttributeValue


class Recorded:
    """A tracer provider that keeps what it made."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        """In the order they were begun."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    @property
    def tree(self) -> list[str]:
        """One line for each span, indented below its parent, in the order they were begun."""
        return [line for span in self.spans if self._parent(span) is None for line in self._lines(span, "")]

    def __getitem__(self, name: str) -> Mapping[str, AttributeValue]:
        """The attributes of the one span of that name."""
        (span,) = [span for span in self.spans if span.name == name]
        assert span.attributes is not None
        return span.attributes

    def _lines(self, span: ReadableSpan, indent: str) -> list[str]:
        failed = "" if span.status.is_unset else f" {span.status.status_code.name}"
        children = [child for child in self.spans if self._parent(child) is span]
        below = [line for child in children for line in self._lines(child, indent + "  ")]
        return [f"{indent}{span.kind.name} {span.name}{failed}", *below]

    def _parent(self, span: ReadableSpan) -> ReadableSpan | None:
        wanted = span.parent.span_id if span.parent else None
        return next((each for each in self.spans if each.context and each.context.span_id == wanted), None)
