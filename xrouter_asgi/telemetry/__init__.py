"""Observers of a request: metrics and the access log, and where they and traces are sent."""

from .access_log import AccessLog, LineBuffer
from .metrics import Metrics, ModelNames
from .otlp import otlp_metric_reader, otlp_tracer_provider
from .prometheus import MetricsApp
from .summing import Families, SummedMetrics

__all__ = [
    "AccessLog",
    "Families",
    "LineBuffer",
    "Metrics",
    "MetricsApp",
    "ModelNames",
    "SummedMetrics",
    "otlp_metric_reader",
    "otlp_tracer_provider",
]
