"""What keeps the numbers of metrics: this process, or the `MeterProvider` of a host."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Protocol, TypeAlias

from .definitions import Metric

Values: TypeAlias = tuple[str, ...]
"""Of a metric's labels, in their order. An empty one is a label that is not there."""

Points: TypeAlias = dict[Values, list[float]]
"""The numbers of a metric: one, or those of a histogram's buckets and then the sum of what was recorded."""

Snapshot: TypeAlias = dict[Metric, Points]
"""What was measured so far. A metric without points is left out."""


class Measurements(Protocol):
    """What can tell its numbers, such as `Metrics`."""

    def snapshot(self) -> Snapshot:
        """What was measured so far; in any thread. Raises ValueError if a `MeterProvider` has the numbers."""


class Histogram(Protocol):
    """Takes values."""

    def record(self, value: float, values: Values) -> None: ...


class Instruments(Measurements, Protocol):
    """Keeps the numbers of metrics."""

    def histogram(self, metric: Metric) -> Histogram:
        """Make what takes the values of a histogram."""

    def observe(self, metric: Metric, read: Callable[[], Mapping[Values, float]]) -> None:
        """Show numbers that somebody else keeps. They are read in a thread of whoever collects."""


class Tally:
    """Numbers by the values of labels, read when somebody collects."""

    def __init__(self, instruments: Instruments, metric: Metric) -> None:
        self._numbers: dict[Values, float] = {}
        self._lock = Lock()  # whoever collects does so in a thread
        instruments.observe(metric, self._read)

    def add(self, number: float, *values: str) -> None:
        with self._lock:
            self._numbers[values] = self._numbers.get(values, 0) + number

    def set(self, number: float, *values: str) -> None:
        with self._lock:
            self._numbers[values] = number

    def forget(self, first: str) -> None:
        """Drop the numbers whose first label has this value."""
        with self._lock:
            self._numbers = {values: number for values, number in self._numbers.items() if values[0] != first}

    def _read(self) -> Mapping[Values, float]:
        with self._lock:
            return self._numbers.copy()


class OwnInstruments:
    """Keeps the numbers in this process, a tenth as dear as OpenTelemetry's SDK."""

    def __init__(self) -> None:
        self._reads: dict[Metric, Callable[[], Points]] = {}

    def histogram(self, metric: Metric) -> Histogram:
        buckets = Buckets(metric.bounds)
        self._reads[metric] = buckets.read
        return buckets

    def observe(self, metric: Metric, read: Callable[[], Mapping[Values, float]]) -> None:
        self._reads[metric] = lambda: {values: [number] for values, number in read().items()}

    def snapshot(self) -> Snapshot:
        return {metric: points for metric, read in self._reads.items() if (points := read())}


class Buckets:
    """A histogram in this process."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._points: Points = {}
        self._lock = Lock()

    def record(self, value: float, values: Values) -> None:
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            point = self._points.get(values)
            if point is None:
                point = self._points[values] = [0] * (len(self._bounds) + 2)
            point[bucket] += 1
            point[-1] += value

    def read(self) -> Points:
        with self._lock:
            return {values: point.copy() for values, point in self._points.items()}
