"""The instruments of a host's `MeterProvider`, from the same table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING

from .. import conventions as names
from .definitions import Metric
from .instruments import Histogram, Series, Snapshot, Values

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.metrics import Histogram as HistogramOfMeter


class MeterInstruments:
    """Has a `MeterProvider` keep the numbers; its readers show and send them."""

    def __init__(self, provider: MeterProvider) -> None:
        self.lock = Lock()
        self._meter = provider.get_meter(names.SCOPE)

    def histogram(self, metric: Metric) -> Histogram:
        histogram = self._meter.create_histogram(
            metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.bounds
        )
        return _LabelledHistogram(histogram, metric.labels)

    def observe(self, metric: Metric, read: Callable[[], Mapping[Values, float]]) -> None:
        from opentelemetry.metrics import Observation

        def observations(options: CallbackOptions) -> Iterable[Observation]:
            return [Observation(number, _attributes(metric.labels, values)) for values, number in read().items()]

        create = getattr(self._meter, f"create_observable_{metric.kind}")
        create(metric.name, [observations], metric.unit, metric.description)

    def snapshot(self) -> Snapshot:
        raise ValueError("A MeterProvider has these metrics, and its readers show them. Make Metrics without one.")


class _LabelledHistogram:
    def __init__(self, histogram: HistogramOfMeter, labels: tuple[str, ...]) -> None:
        self._histogram = histogram
        self._labels = labels

    def series(self, *values: str) -> Series:
        return _LabelledSeries(self._histogram, _attributes(self._labels, values))


class _LabelledSeries:
    def __init__(self, histogram: HistogramOfMeter, attributes: dict[str, str]) -> None:
        self._histogram = histogram
        self._attributes = attributes

    def record(self, value: float) -> None:
        self._histogram.record(value, self._attributes)


def _attributes(labels: tuple[str, ...], values: Values) -> dict[str, str]:
    return {label: value for label, value in zip(labels, values, strict=True) if value}
