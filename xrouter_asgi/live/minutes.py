"""The sums of a minute, and what they say of times."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice

from .requests import Plain, RecentRequest

MINUTES = 24 * 60
"""Minutes whose sums are remembered."""

BOUNDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds: the upper bounds of the times that are counted together. What takes longer is counted beyond the last."""

_NO_COUNTS = bytes(4 * (len(BOUNDS) + 1))


@dataclass(slots=True)
class Minute:
    """The sums of one minute.

    Attributes:
        number: Minutes of the wall clock since 1970.
        failed: Requests that failed by the gateway or an upstream, also in the middle of a stream.
        refused: Requests that were answered with a 4xx.
        cost: In nano-units of the currency of the prices.
        in_flight: Requests that ran when the first of this minute ended, that one and probes included.
        durations, first_bytes: How many requests, and how many streams, took up to each of `BOUNDS`, or longer.
    """

    number: int
    requests: int = 0
    failed: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    in_flight: int = 0
    durations: array[int] = field(default_factory=lambda: array("I", _NO_COUNTS))
    first_bytes: array[int] = field(default_factory=lambda: array("I", _NO_COUNTS))

    def add(self, many: Sequence[RecentRequest | Plain]) -> None:
        """Add requests, at least one."""
        columns = islice(zip(*many, strict=False), 7)
        statuses, failed, durations, first_bytes, streamed, usages, costs = columns
        self.requests += len(many)
        self.failed += sum(failed)
        if statuses.count(200) < len(many):
            refused = [status for status, fault in zip(statuses, failed, strict=True) if not fault and status]
            self.refused += sum(status >= 400 for status in refused)
        if known := [*filter(None, usages)]:
            prompt, completion, *_ = zip(*known, strict=True)
            self.prompt_tokens += sum(prompt)
            self.completion_tokens += sum(completion)
        self.cost += sum([cost.amount for cost in costs if cost is not None])
        _count(durations, into=self.durations)
        if True in streamed:
            firsts = [first for first in compress(first_bytes, streamed) if first is not None]
            _count(firsts, into=self.first_bytes)


def _count(times: Iterable[float], *, into: array[int]) -> None:
    times = sorted(times)
    below = 0
    for place, bound in enumerate(BOUNDS):
        up_to = bisect_right(times, bound)
        into[place] += up_to - below
        below = up_to
    into[-1] += len(times) - below


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The time that this share of what was counted by `BOUNDS` did not exceed, in seconds; None if nothing was counted.

    It is interpolated between two bounds. Beyond the last one it is that bound.
    """
    sought, below = share * sum(counts), 0
    if not sought:
        return None
    for upper, lower, count in zip(BOUNDS, (0.0, *BOUNDS), counts, strict=False):
        if count and below + count >= sought:
            return lower + (upper - lower) * (sought - below) / count
        below += count
    return BOUNDS[-1]
