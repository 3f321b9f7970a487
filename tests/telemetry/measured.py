"""Metrics of a router, as numbers by the values of their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

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
from xrouter_asgi.telemetry.metrics import Metrics
from xrouter_asgi.testing.scripted import ScriptedProvider


class Measured:
    """A router whose metrics are read as `{labels: number or histogram}`."""

    def __init__(self, provider: Provider | None = None, *, backlog: Callable[[], int] | None = None) -> None:
        target = Target(provider or ScriptedProvider(), model="*")
        self.router = LLMRouter({"scripted": target, "local-*": target})
        self.reader = InMemoryMetricReader()
        refusals = Refusals().counts
        self.metrics = Metrics(
            MeterProvider([self.reader]), models=self.router.models, refusals=refusals, backlog=backlog
        )
        self.app = RequestEventsMiddleware(self.router, observers=[self.metrics])

    def points(self) -> list[tuple[str, NumberDataPoint | HistogramDataPoint]]:
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = [metric for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics]
        return [
            (metric.name, point)
            for metric in metrics
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint | HistogramDataPoint)
        ]

    def numbers(self, name: str) -> dict[tuple[Any, ...], float]:
        """The values of labels, in the order of their names, to the number."""
        points = [point for called, point in self.points() if called == name]
        return {_values(point.attributes): point.value for point in points if isinstance(point, NumberDataPoint)}

    def sums(self, name: str) -> dict[tuple[Any, ...], tuple[int, float]]:
        """The values of labels, in the order of their names, to count and sum."""
        points = [point for called, point in self.points() if called == name]
        return {
            _values(point.attributes): (point.count, point.sum)
            for point in points
            if isinstance(point, HistogramDataPoint)
        }


def _values(attributes: Mapping[str, Any] | None) -> tuple[Any, ...]:
    return tuple(value for _, value in sorted((attributes or {}).items()))


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
