"""Where OpenTelemetry's SDK sends spans and metrics: to a collector, as protobuf over HTTP.

An export happens in a thread of its own with a bounded queue: a collector that is slow or down loses spans, and holds
up no request.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .span_exporter import QUEUE

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import TracerProvider

_INTERVAL = 60.0  # seconds between two exports of metrics, the default of OTLP's SDKs
_TIMEOUT = 3.0  # seconds for an export and its repetitions; the program's exit waits as long for a dead collector

_MISSING = 'OTLP needs OpenTelemetry\'s exporter: pip install "xrouter-asgi[otlp-protobuf]".'


def otlp_tracer_provider(
    endpoint: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    service: str = "xrouter",
    share: float = 1.0,
    resource: Mapping[str, str] = MappingProxyType({}),
    **exporter: Any,
) -> TracerProvider:
    """A tracer provider that sends spans to a collector. Its `shutdown()` sends the rest; so does the program's exit.

    It is for collectors that take no JSON, and for hosts with more instrumentation. `OTLPTracer` costs a tenth.

    Args:
        endpoint: The collector's base URL, such as `http://127.0.0.1:4318`; None leaves it to the exporter, which takes
            it from `OTEL_EXPORTER_OTLP_ENDPOINT`.
        headers: Sent with each export, such as a token.
        service: What the spans are filed under.
        share: Of the traces that begin here, how many are sampled: 0 to 1. A trace that a client began is sampled as
            the client said.
        resource: More attributes of the process.
        exporter: More options of OpenTelemetry's `OTLPSpanExporter`. `timeout` is 3 s, which the program's exit, too,
            waits for a dead collector.

    Raises ImportError without the extra `otlp-protobuf`.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ImportError(_MISSING) from error
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    named = Resource.create({"service.name": service, **resource})
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(share)), resource=named)
    spans = OTLPSpanExporter(**_options(endpoint, "/v1/traces", headers) | exporter)
    provider.add_span_processor(BatchSpanProcessor(spans, max_queue_size=QUEUE))
    return provider


def otlp_metric_reader(endpoint: str | None = None, *, headers: Mapping[str, str] | None = None) -> MetricReader:
    """A reader for a `MeterProvider` that sends its metrics to a collector every minute.

    The other arguments and what is raised are those of `otlp_tracer_provider`.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    except ImportError as error:
        raise ImportError(_MISSING) from error
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    exporter = OTLPMetricExporter(**_options(endpoint, "/v1/metrics", headers))
    return PeriodicExportingMetricReader(exporter, export_interval_millis=_INTERVAL * 1000)


def _options(endpoint: str | None, path: str, headers: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "endpoint": None if endpoint is None else endpoint.rstrip("/") + path,
        "headers": None if headers is None else dict(headers),
        "timeout": _TIMEOUT,
    }
