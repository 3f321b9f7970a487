"""What several processes measured, added up."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

Families: TypeAlias = list[list[Any]]
"""Metrics as JSON: of each family the name, help, type, unit, and its samples as names, labels and values."""

_Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


def families_of(registry: CollectorRegistry) -> Families:
    """What a process measured so far, as JSON for another process."""
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            metric.unit,
            [[sample.name, dict(sample.labels), sample.value] for sample in metric.samples],
        ]
        for metric in registry.collect()
    ]


class SummedMetrics:
    """A collector for `prometheus_client` that adds up what processes measured.

    What a process counted stays when it has ended; its gauges go with it.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, Families] = {}
        self._ended: dict[str, list[Any]] = {}

    def put(self, process: Hashable, families: Families) -> None:
        """Take what a process measured so far, in place of what it had measured before."""
        self._running[process] = families

    def end(self, process: Hashable) -> None:
        """Keep what a process counted, although it has ended."""
        counted = [family for family in self._running.pop(process, ()) if family[2] not in ("gauge", "unknown")]
        self._ended = {family[0]: family for family in _added([*self._ended.values(), *counted])}

    def collect(self) -> Iterator[Any]:
        """The sums, as `prometheus_client` wants them."""
        from prometheus_client import Metric

        every = [*self._ended.values(), *(each for families in self._running.values() for each in families)]
        for name, documentation, kind, unit, samples in _added(every):
            # A family that the other process had renders its samples as they are named already.
            metric = Metric(name, documentation, kind, unit)
            for sample, labels, value in samples:
                metric.add_sample(sample, labels, value)
            yield metric


def _added(families: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """One family of each name. Facts about the service (`info`) and dates of birth are not added up."""
    sums: dict[str, tuple[list[Any], dict[_Key, float]]] = {}
    for name, documentation, kind, unit, samples in families:
        _, values = sums.setdefault(name, ([name, documentation, kind, unit], {}))
        for sample, labels, value in samples:
            key = sample, tuple(labels.items())
            if key not in values:
                values[key] = value
            elif kind != "info" and sample != "target_info":
                values[key] = min(values[key], value) if sample.endswith("_created") else values[key] + value
    for head, values in sums.values():
        yield [*head, [[sample, _labels(labels), value] for (sample, labels), value in values.items()]]


def _labels(labels: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    return dict(labels)
