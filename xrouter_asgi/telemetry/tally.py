"""Counts that are read when somebody collects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import TYPE_CHECKING

from .. import conventions as names

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation


class Tally:
    """Numbers by the values of labels, read when somebody collects: a tenth of what a counter of the SDK costs.

    An empty value is a label that is not there.
    """

    def __init__(
        self, create: Callable[..., object], name: str, unit: str, what: str, labels: tuple[str, ...] = ()
    ) -> None:
        self._labels = labels
        self._numbers: dict[tuple[str, ...], int] = {}
        self._lock = Lock()  # whoever collects does so in a thread
        create(name, [self.observe], unit, what)

    def add(self, number: int, *values: str) -> None:
        with self._lock:
            self._numbers[values] = self._numbers.get(values, 0) + number

    def set(self, number: int, *values: str) -> None:
        with self._lock:
            self._numbers[values] = number

    def forget(self, first: str) -> None:
        with self._lock:
            self._numbers = {values: number for values, number in self._numbers.items() if values[0] != first}

    def observe(self, options: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation

        with self._lock:
            numbers = list(self._numbers.items())
        return [
            Observation(number, {label: value for label, value in zip(self._labels, values, strict=True) if value})
            for values, number in numbers
        ]


def tally_of_refusals(create: Callable[..., object], refusals: Mapping[str, int]) -> None:
    """Show counts that somebody else keeps: how often this process had no room, by the reason."""

    def observe(options: CallbackOptions) -> list[Observation]:
        from opentelemetry.metrics import Observation

        return [Observation(number, {names.REASON: reason}) for reason, number in refusals.items()]

    create(names.REFUSALS, [observe], "{refusal}", "Refusals for want of room")


def gauge_of_backlog(create: Callable[..., object], backlog: Callable[[], int]) -> None:
    """Show how many settlements of limits wait."""

    def observe(options: CallbackOptions) -> list[Observation]:
        from opentelemetry.metrics import Observation

        return [Observation(backlog())]

    create(names.LIMITER_BACKLOG, [observe], "{settlement}", "Settlements of limits that wait")
