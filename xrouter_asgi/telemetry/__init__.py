"""Observers of a request: metrics and the access log, and where they and traces are sent."""

from .access_log import AccessLog, LineBuffer
from .collector import Collector, ExportFailed
from .definitions import Metric, MetricKind
from .instruments import Measurements, Points, Snapshot, Values
from .metrics import Metrics, ModelNames
from .metrics_push import MetricsPush
from .otlp import otlp_metric_reader, otlp_tracer_provider
from .otlp_tracer import OTLPTracer
from .prometheus import MetricsApp
from .span_exporter import SpanExporter
from .spans import RequestSpans, Tracer
from .summing import SummedMetrics

__all__ = [
    "AccessLog",
    "Collector",
    "ExportFailed",
    "LineBuffer",
    "Measurements",
    "Metric",
    "MetricKind",
    "Metrics",
    "MetricsApp",
    "MetricsPush",
    "ModelNames",
    "OTLPTracer",
    "Points",
    "RequestSpans",
    "Snapshot",
    "SpanExporter",
    "SummedMetrics",
    "Tracer",
    "Values",
    "otlp_metric_reader",
    "otlp_tracer_provider",
]
