"""What a process keeps by itself is what OpenTelemetry's SDK keeps of the same events."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, InMemoryMetricReader, Sum
from opentelemetry.sdk.metrics.export import Metric as SDKMetric

from tests.telemetry.known_requests import ODD, Models, tell
from tests.telemetry.measured import Point, ended, points_of, points_of_meter
from xrouter_asgi.context import Attempt, RequestContext, Usage
from xrouter_asgi.decision import CandidateVerdict, Unready
from xrouter_asgi.errors import UpstreamUnavailable
from xrouter_asgi.events import (
    AttemptEnded,
    AttemptRetried,
    AttemptStarted,
    CircuitClosed,
    CircuitOpened,
    CooldownStarted,
    LimiterDegraded,
    LimiterRestored,
    ProviderReplaced,
)
from xrouter_asgi.telemetry.metrics import Metrics

ERRORS = st.sampled_from([None, UpstreamUnavailable("No.", code="dns_error"), RuntimeError("marked")])
PROVIDERS = st.sampled_from(["up", "other", ""])
SECONDS = st.floats(0, 1000) | st.sampled_from([0.0, 0.01, 0.02, 81.92, 1.0])  # also what is the bound of a bucket
TOKENS = st.builds(Usage, st.integers(0, 2**30) | st.sampled_from([0, 1, 4, 4**13]), st.integers(0, 2**30))
ATTEMPTS = st.builds(
    lambda provider, took, first, error: Attempt(
        provider, "m", 64.0, None if first is None else 64.0 + first, 64.0 + took, error
    ),
    PROVIDERS,
    SECONDS,
    st.none() | SECONDS,
    ERRORS,
)
CONTEXTS = st.builds(
    RequestContext,
    endpoint=st.sampled_from([None, "chat", "embeddings", "models"]),
    model=st.sampled_from([None, "assistant", "local-llama", "unknown", ODD]),
    provider=st.sampled_from([None, "up"]),
    streamed=st.booleans(),
    usage=st.none() | TOKENS,
    attempts=st.lists(ATTEMPTS, max_size=3),
)


@st.composite
def requests(draw: st.DrawFn) -> list[object]:
    """The events of a request."""
    context = draw(CONTEXTS)
    context.decision.hedges = draw(st.integers(0, 2))
    if draw(st.booleans()):
        context.decision.candidates = (CandidateVerdict("up/m", excluded=Unready("cooling", None, "")),)
    attempts = [of(context, each) for each in context.attempts for of in (AttemptStarted, AttemptEnded)]
    status, complete = draw(st.sampled_from([(200, True), (429, True), (None, False)]))
    first = draw(st.none() | SECONDS)
    return [*attempts, ended(context, status=status, complete=complete, duration=draw(SECONDS), first_byte=first)]


OTHERS = st.one_of(
    st.builds(LimiterDegraded, CONTEXTS),
    st.builds(LimiterRestored, CONTEXTS),
    st.builds(ProviderReplaced, PROVIDERS),
    st.builds(CircuitOpened, CONTEXTS, PROVIDERS, st.just(5.0), st.sampled_from(["", "up/m"])),
    st.builds(CircuitClosed, CONTEXTS, PROVIDERS, st.sampled_from(["", "up/m"])),
    st.builds(CooldownStarted, CONTEXTS, PROVIDERS, st.sampled_from(["rate", "quota"]), st.just(1.0), st.just("up/m")),
    st.builds(AttemptRetried, CONTEXTS, PROVIDERS, st.just(1), st.just(0.1), ERRORS.filter(bool), st.just("up/m")),
)


@settings(max_examples=40)
@given(st.lists(requests() | st.lists(OTHERS, max_size=3), max_size=12), st.integers(0, 12))
def test_both_keep_the_same_numbers(requests: list[list[object]], collected_after: int) -> None:
    reader = InMemoryMetricReader()
    own = Metrics(models=Models(), refusals={"memory": 2}, backlog=lambda: 3)
    meter = Metrics(MeterProvider([reader]), models=Models(), refusals={"memory": 2}, backlog=lambda: 3)
    for number, events in enumerate(requests):
        for event in events:
            own(event)
            meter(event)
        if number == collected_after:
            assert by_labels(points_of_meter(reader)) == about(by_labels(points_of(own.snapshot())))
    assert by_labels(points_of_meter(reader)) == about(by_labels(points_of(own.snapshot())))


def by_labels(points: list[Point]) -> dict[tuple[str, frozenset[tuple[str, str]]], list[float]]:
    found = {(name, frozenset(labels.items())): numbers for name, labels, numbers in points}
    assert len(found) == len(points)
    return found


def about(numbers: dict[Any, list[float]]) -> dict[Any, object]:
    """The same but for the last digits of sums: a reader that collects now and then adds up in another order."""
    return {labels: pytest.approx(values, rel=1e-12, abs=0) for labels, values in numbers.items()}


def test_the_names_kinds_units_and_buckets_are_the_same() -> None:
    reader = InMemoryMetricReader()
    own, meter = Metrics(models=Models()), Metrics(MeterProvider([reader]), models=Models())
    tell(own)
    tell(meter)
    data = reader.get_metrics_data()
    assert data is not None
    found = [each for resource in data.resource_metrics for scope in resource.scope_metrics for each in scope.metrics]
    assert sorted(map(described, found)) == sorted(
        (name, kind, unit, description, bounds) for name, kind, unit, description, _, bounds in own.snapshot()
    )


def described(metric: SDKMetric) -> tuple[object, ...]:
    bounds: tuple[float, ...] = ()
    match metric.data:
        case Histogram(data_points=[first, *_]):
            kind, bounds = "histogram", tuple(first.explicit_bounds)
        case Sum(is_monotonic=monotonic):
            kind = "counter" if monotonic else "up_down_counter"
        case _:
            kind = "gauge"
    return metric.name, kind, metric.unit, metric.description, bounds


class ReadingProvider:
    """A `MeterProvider` that reads all numbers before it takes a value, as one with a single lock may have to."""

    def __init__(self) -> None:
        self._reads: list[Callable[[CallbackOptions], list[Observation]]] = []
        self.numbers: list[Observation] = []

    def get_meter(self, name: str) -> Any:
        def observe(name: str, reads: list[Any], *more: str) -> None:
            self._reads += reads

        kinds = ("counter", "up_down_counter", "gauge")
        return SimpleNamespace(
            create_histogram=lambda *more, **named: self, **{f"create_observable_{kind}": observe for kind in kinds}
        )

    def record(self, value: float, attributes: dict[str, str]) -> None:
        self.numbers = [number for read in self._reads for number in read(CallbackOptions())]


def test_numbers_can_be_read_while_a_value_is_recorded() -> None:
    provider: Any = ReadingProvider()
    tell(Metrics(provider, models=Models(), backlog=lambda: 3))
    assert Observation(3, {}) in provider.numbers
