"""What several processes measured, added up."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from pydantic_core import to_json

from .definitions import Metric
from .instruments import Points, Snapshot


def encode(snapshot: Snapshot) -> bytes:
    """As JSON for another process: each metric with its points, as arrays."""
    return to_json([[metric, list(points.items())] for metric, points in snapshot.items()])


def decode(value: Any) -> Snapshot:
    """What another process encoded, as a value of JSON."""
    return {
        Metric(name, kind, unit, description, tuple(labels), tuple(bounds)): {
            tuple(values): numbers for values, numbers in points
        }
        for (name, kind, unit, description, labels, bounds), points in value
    }


class SummedMetrics:
    """Adds up what processes measured. What a process counted stays when it has ended; its gauges go with it."""

    def __init__(self) -> None:
        self._running: dict[Hashable, Snapshot] = {}
        self._ended: Snapshot = {}

    def put(self, process: Hashable, snapshot: Snapshot) -> None:
        """Take what a process measured so far, in place of what it had measured before."""
        self._running[process] = snapshot

    def end(self, process: Hashable) -> None:
        """Keep what a process counted, although it has ended."""
        last = self._running.pop(process, {})
        counted = {metric: points for metric, points in last.items() if metric.kind in ("counter", "histogram")}
        self._ended = _added((self._ended, counted))

    def snapshot(self) -> Snapshot:
        """The sums."""
        return _added((self._ended, *self._running.values()))


def _added(snapshots: Iterable[Snapshot]) -> Snapshot:
    sums: Snapshot = {}
    for snapshot in snapshots:
        for metric, points in snapshot.items():
            _add(points, to=sums.setdefault(metric, {}))
    return sums


def _add(points: Points, *, to: Points) -> None:
    for values, numbers in points.items():
        sums = to.get(values)
        to[values] = numbers.copy() if sums is None else [a + b for a, b in zip(sums, numbers, strict=True)]
