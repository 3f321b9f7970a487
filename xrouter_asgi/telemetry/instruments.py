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


Cell: TypeAlias = list[float]
"""A number of a tally, alone in a list. Whoever changes it holds the lock of the instruments."""


class Series(Protocol):
    """The values of a histogram that have the same labels. Whoever records one holds the lock of the instruments."""

    def record(self, value: float) -> None: ...


class Histogram(Protocol):
    """Takes values by their labels."""

    def series(self, *values: str) -> Series:
        """What takes the values with these labels. There is no point of it before the first value."""


class Instruments(Measurements, Protocol):
    """Keeps the numbers of metrics.

    Attributes:
        lock: Held by whoever changes numbers: one event changes many, and event loops may run in several threads.
    """

    lock: Lock

    def histogram(self, metric: Metric) -> Histogram:
        """Make what takes the values of a histogram."""

    def observe(self, metric: Metric, read: Callable[[], Mapping[Values, float]]) -> None:
        """Show numbers that somebody else keeps. They are read in a thread of whoever collects."""


class Tally:
    """Numbers by the values of labels, read when somebody collects."""

    def __init__(self, instruments: Instruments, metric: Metric) -> None:
        self._cells: dict[Values, Cell] = {}
        self._lock = instruments.lock
        instruments.observe(metric, self._read)

    def cell(self, *values: str) -> Cell:
        """Where the number for these labels is. It is shown from now on."""
        return self._cells.setdefault(values, [0])

    def add(self, number: float, *values: str) -> None:
        with self._lock:
            self._cells.setdefault(values, [0])[0] += number

    def set(self, number: float, *values: str) -> None:
        with self._lock:
            self.cell(*values)[0] = number

    def forget(self, first: str) -> None:
        """Drop the numbers whose first label has this value."""
        with self._lock:
            self._cells = {values: cell for values, cell in self._cells.items() if values[0] != first}

    def _read(self) -> Mapping[Values, float]:
        # Without the lock: a MeterProvider may hold one of its own here that it also takes to record a value.
        return {values: number for values, (number,) in self._cells.copy().items()}


class OwnInstruments:
    """Keeps the numbers in this process, a tenth as dear as OpenTelemetry's SDK."""

    def __init__(self) -> None:
        self.lock = Lock()
        self._reads: dict[Metric, Callable[[], Points]] = {}

    def histogram(self, metric: Metric) -> Histogram:
        histogram = _OwnHistogram(metric.bounds, self.lock)
        self._reads[metric] = histogram.read
        return histogram

    def observe(self, metric: Metric, read: Callable[[], Mapping[Values, float]]) -> None:
        self._reads[metric] = lambda: {values: [number] for values, number in read().items()}

    def snapshot(self) -> Snapshot:
        return {metric: points for metric, read in self._reads.items() if (points := read())}


class _OwnHistogram:
    def __init__(self, bounds: tuple[float, ...], lock: Lock) -> None:
        self._bounds = bounds
        self._lock = lock
        self._series: dict[Values, _OwnSeries] = {}

    def series(self, *values: str) -> Series:
        return self._series.setdefault(values, _OwnSeries(self._bounds))

    def read(self) -> Points:
        series = self._series.copy()
        with self._lock:
            return {values: each.numbers.copy() for values, each in series.items() if any(each.numbers)}


class _OwnSeries:
    """The counts of a histogram's buckets and the sum of the values, for one choice of labels."""

    __slots__ = ("_bounds", "numbers")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.numbers: list[float] = [0] * (len(bounds) + 2)

    def record(self, value: float) -> None:
        numbers = self.numbers
        numbers[bisect_left(self._bounds, value)] += 1
        numbers[-1] += value
