"""Where spans and metrics go by OTLP, the protocol that OpenTelemetry's collectors speak; over HTTP.

An export happens in a thread of its own with a bounded queue: a collector that is slow or down loses spans, and holds
up no request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import TracerProvider

_QUEUE = 2048  # spans
_INTERVAL = 60.0  # seconds between two exports of metrics, the default of OTLP's SDKs
_TIMEOUT = 3.0  # seconds for an export and its repetitions; the program's exit waits as long for a dead collector

_MISSING = 'OTLP needs OpenTelemetry\'s exporter: pip install "xrouter-asgi[otlp]".'


def otlp_tracer_provider(
    endpoint: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    service: str = "xrouter",
    share: float = 1.0,
) -> TracerProvider:
    """A tracer provider that sends spans to a collector. Its `shutdown()` sends the rest; so does the program's exit.

    Args:
        endpoint: The collector's base URL, such as `http://127.0.0.1:4318`; None leaves it to the exporter, which takes
            it from `OTEL_EXPORTER_OTLP_ENDPOINT`.
        headers: Sent with each export, such as a token.
        service: What the spans are filed under.
        share: Of the traces that begin here, how many are sampled: 0 to 1. A trace that a client began is sampled as
            the client said.

    Raises ImportError without the extra `otlp`.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ImportError(_MISSING) from error
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(share)), resource=Resource.create({SERVICE_NAME: service})
    )
    exporter = OTLPSpanExporter(**_options(endpoint, "/v1/traces", headers))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE))
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
