"""Metrics of a router, as numbers by the values of their labels: those of this process, and those of a host's meter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint

from xrouter_asgi.admission import Refusals
from xrouter_asgi.context import RequestContext
from xrouter_asgi.decision import CandidateVerdict, Unready
from xrouter_asgi.events import RequestEnded
from xrouter_asgi.middleware.request_events import RequestEventsMiddleware
from xrouter_asgi.providers.base import Provider
from xrouter_asgi.providers.target import Target
from xrouter_asgi.router.router import LLMRouter
from xrouter_asgi.telemetry import Snapshot
from xrouter_asgi.telemetry.metrics import Metrics
from xrouter_asgi.testing.scripted import ScriptedProvider

Point: TypeAlias = tuple[str, Mapping[str, Any], list[float]]
"""The name of a metric, its labels, and its number, or the counts of buckets and the sum."""


class Measured:
    """A router with `metrics`, which keep their numbers in this process."""

    def __init__(self, provider: Provider | None = None, *, table: bool = True, **options: Any) -> None:
        target = Target(provider or ScriptedProvider(), model="*")
        self.router = LLMRouter({"scripted": target, "local-*": target})
        models = self.router.models if table else None
        self.metrics = self._make(models=models, refusals=Refusals().counts, **options)
        self.app = RequestEventsMiddleware(self.router, observers=[self.metrics])

    def _make(self, **options: Any) -> Metrics:
        return Metrics(**options)

    def points(self) -> list[Point]:
        return points_of(self.metrics.snapshot())

    def numbers(self, name: str) -> dict[tuple[Any, ...], float]:
        """The values of labels, in the order of their names, to the number."""
        return {_values(labels): numbers[0] for called, labels, numbers in self.points() if called == name}

    def sums(self, name: str) -> dict[tuple[Any, ...], tuple[float, float]]:
        """The values of labels, in the order of their names, to count and sum."""
        return {
            _values(labels): (sum(numbers[:-1]), numbers[-1])
            for called, labels, numbers in self.points()
            if called == name
        }


class MeasuredByMeter(Measured):
    """The same, but a host's `MeterProvider` keeps the numbers."""

    def _make(self, **options: Any) -> Metrics:
        self._reader = InMemoryMetricReader()
        return Metrics(MeterProvider([self._reader]), **options)

    def points(self) -> list[Point]:
        return points_of_meter(self._reader)


def points_of(snapshot: Snapshot) -> list[Point]:
    return [
        (metric.name, {label: value for label, value in zip(metric.labels, values, strict=True) if value}, numbers)
        for metric, points in snapshot.items()
        for values, numbers in points.items()
    ]


def points_of_meter(reader: InMemoryMetricReader) -> list[Point]:
    data = reader.get_metrics_data()
    assert data is not None
    metrics = [metric for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics]
    return [
        (metric.name, point.attributes or {}, _numbers(point))
        for metric in metrics
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint | HistogramDataPoint)
    ]


def _numbers(point: NumberDataPoint | HistogramDataPoint) -> list[float]:
    return [point.value] if isinstance(point, NumberDataPoint) else [*point.bucket_counts, point.sum]


def _values(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(value for _, value in sorted(attributes.items()))


def ended(context: RequestContext, **more: Any) -> RequestEnded:
    facts: dict[str, Any] = {
        "method": "POST",
        "path": "/",
        "status": 200,
        "complete": True,
        "duration": 2.0,
        "first_byte": 0.5,
        "received": 0,
        "sent": 0,
        "client": None,
    }
    return RequestEnded(context, **{**facts, **more})


def went_round() -> RequestContext:
    """Of a request that was hedged, and passed a candidate over."""
    context = RequestContext(model="scripted")
    context.decision.hedges = 1
    context.decision.candidates = (
        CandidateVerdict("a/m"),
        CandidateVerdict("b/m", excluded=Unready("circuit_open", 3.2, "circuit open for 3.2 s")),
    )
    return context
