"""Counts in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import TypeAlias

from .base import Charge, LimitStatus, Reservation
from .counts import Count, SlotCount, WindowCount
from .limit import Limit

MAX_SUBJECTS = 100_000
"""Counts kept for each length of window. A new one replaces the least recently used one, so that callers who invent
addresses cannot fill the memory."""

_Counted: TypeAlias = tuple[str, Limit, str | None]


class MemoryLimits:
    """Keeps the counts of one process. Its methods never suspend, so no other task runs between two of their steps.

    Args:
        clock: Monotonic seconds.
        workers: How many processes share each limit. This one admits its share: the amount divided by them, at least 1.
            A cost above the share takes the whole share.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, workers: int = 1) -> None:
        self._clock = clock
        self._workers = workers
        self._counts: dict[float, dict[_Counted, Count]] = {}  # by length of window; the least recently used is first
        self._leases: dict[str, list[_Taken]] = {}

    @property
    def backlog(self) -> int:
        """0: nothing waits."""
        return 0

    async def connect(self) -> None: ...

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        now = self._clock()
        counts = [self._count(charge, now) for charge in charges]
        refused, retry_after = None, 0.0
        if lease not in self._leases:
            costs = [min(charge.cost, count.amount) for charge, count in zip(charges, counts, strict=True)]
            for charge, count, cost in zip(charges, counts, costs, strict=True):
                wait = count.wait(cost, now)
                if wait > retry_after:
                    refused, retry_after = charge.limit, wait
            if refused is None:
                self._take(lease, charges, counts, costs)
        statuses = tuple(
            LimitStatus(charge.limit, max(0, count.amount - count.used), count.reset(now))
            for charge, count in zip(charges, counts, strict=True)
        )
        return Reservation(refused is None, refused, retry_after, statuses)

    def note(self, charges: Sequence[Charge], *, lease: str) -> None:
        """Count what another store has admitted to this process, as far as there is room in its share."""
        if lease in self._leases:
            return
        now = self._clock()
        counts = [self._count(charge, now) for charge in charges]
        # What is held is counted in any case, because it will be given back.
        costs = [
            charge.cost if charge.held else min(charge.cost, count.amount - count.used)
            for charge, count in zip(charges, counts, strict=True)
        ]
        self._take(lease, charges, counts, costs, noted=True)

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        taken = self._leases.pop(lease, None)
        if taken is None:
            return
        now = self._clock()
        for each, cost in zip(taken, costs or [0] * len(taken), strict=True):
            if cost == each.cost and not each.charge.held:
                continue
            # This may create a new count: a debt outlives the count it was made in.
            count = self._count(each.charge, now)
            count.settle(min(cost, each.cost) if each.noted else cost, taken=each.cost, place=each.place)
            if count.expires <= now:
                del self._counts[each.charge.limit.window][each.charge.counted]

    async def aclose(self) -> None: ...

    def __len__(self) -> int:
        """How many counts are kept, expired ones included."""
        return sum(map(len, self._counts.values()))

    def _count(self, charge: Charge, now: float) -> Count:
        limit, key = charge.limit, charge.counted
        counts = self._counts.setdefault(limit.window, {})
        count = counts.pop(key, None)
        if count is None:
            amount = max(1, limit.amount // self._workers)
            count = WindowCount(amount, limit.window) if limit.window else SlotCount(amount)
        # At most two go for each one that comes: expired counts become fewer, and no call takes long.
        for oldest, other in list(islice(counts.items(), 2)):
            if other.expires <= now or (len(counts) >= MAX_SUBJECTS and other.expires < inf):
                del counts[oldest]
        counts[key] = count
        count.advance(now)
        return count

    def _take(
        self,
        lease: str,
        charges: Sequence[Charge],
        counts: Sequence[Count],
        costs: Sequence[int],
        *,
        noted: bool = False,
    ) -> None:
        self._leases[lease] = [
            _Taken(charge, cost, count.take(cost), noted)
            for charge, count, cost in zip(charges, counts, costs, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Taken:
    charge: Charge
    cost: int  # less than the charge's if that exceeds this process's share
    place: int
    noted: bool  # another store counts it, and its debt
