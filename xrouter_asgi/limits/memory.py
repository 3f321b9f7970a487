"""Counts in the memory of one process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from math import inf
from typing import TypeAlias

from .base import Charge, Counted, LimitStatus, Reservation
from .counts import Count, PeriodCount, SlotCount, WindowCount
from .limit import Limit

MAX_SUBJECTS = 100_000
"""Counts kept for each length of window. A new one replaces the least recently used one, so that callers who invent
addresses cannot fill the memory."""


_Taken: TypeAlias = tuple[Charge, Count, int, int, bool]
"""A charge, its count, what was taken (less than the charge's cost if that exceeds this process's share), the place it
was counted in, and whether another store counts it too, and its debt."""


class MemoryLimits:
    """Keeps the counts of one process. Its methods never suspend, so no other task runs between two of their steps.

    Args:
        clock: Monotonic seconds.
        wall: Seconds since the epoch, in which periods of the calendar end.
        workers: How many processes share each limit. This one admits its share: the amount divided by them, at least 1.
            A cost above the share takes the whole share.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        workers: int = 1,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._workers = workers
        # By length of window. The least recently used is first.
        self._counts: dict[float, OrderedDict[Counted, Count]] = {}
        self._grown: list[OrderedDict[Counted, Count]] = []  # what may hold counts that nobody needs
        self._leases: dict[str, list[_Taken]] = {}

    @property
    def backlog(self) -> int:
        """0: nothing waits."""
        return 0

    async def connect(self) -> None: ...

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        now = self._clock()
        if lease in self._leases:
            return Reservation(True, statuses=[self._status(charge, now) for charge in charges])
        taken: list[_Taken] = []
        statuses = []
        for charge in charges:
            count = self._count(charge, now)
            cost = charge.cost if charge.cost < count.amount else count.amount
            if count.wait(cost, now):
                return self._refusal(charges, taken, now)
            count.take(cost)
            taken.append((charge, count, cost, count.place, False))
            left = count.amount - count.used
            statuses.append(LimitStatus(charge.limit, left if left > 0 else 0, count.reset(now)))
        self._leases[lease] = taken
        if self._grown:
            self._forget(now)
        return Reservation(True, statuses=statuses)

    def _refusal(self, charges: Sequence[Charge], taken: Sequence[_Taken], now: float) -> Reservation:
        """Give back what the first charges took, and say for which of them the request has to wait longest."""
        for _, count, cost, place, _ in taken:
            count.settle(0, taken=cost, place=place)
        refused, retry_after = None, 0.0
        for charge in charges:
            count = self._count(charge, now)
            if (wait := count.wait(min(charge.cost, count.amount), now)) > retry_after:
                refused, retry_after = charge.limit, wait
        statuses = [self._status(charge, now) for charge in charges]
        self._forget(now)
        return Reservation(False, refused, retry_after, statuses)

    def note(self, charges: Sequence[Charge], *, lease: str) -> None:
        """Count what another store has admitted to this process, as far as there is room in its share."""
        if lease in self._leases:
            return
        now = self._clock()
        taken = self._leases[lease] = []
        for charge in charges:
            count = self._count(charge, now)
            # What is held is counted in any case, because it will be given back.
            cost = charge.cost if charge.held else max(0, min(charge.cost, count.amount - count.used))
            taken.append((charge, count, cost, count.place, True))
            count.take(cost)
        self._forget(now)

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        taken = self._leases.pop(lease, None)
        if taken is None:
            return
        if costs is not None and len(costs) != len(taken):
            raise ValueError(f"{len(taken)} charges were reserved, and {len(costs)} costs are to be settled.")
        now = self._clock()
        for index, (charge, count, reserved, place, noted) in enumerate(taken):
            cost = 0 if costs is None else costs[index]
            if cost > reserved:
                if not noted:
                    self._owe(charge, cost, reserved, place, now)
            elif cost < reserved or charge.held:
                # A count that was forgotten meanwhile takes it too, and nobody sees it.
                count.advance(now)
                count.settle(cost, taken=reserved, place=place)

    async def read(self, charges: Sequence[Charge]) -> Sequence[LimitStatus]:
        now = self._clock()
        return [self._status(charge, now) for charge in charges]

    async def aclose(self) -> None: ...

    def _status(self, charge: Charge, now: float) -> LimitStatus:
        """How far a count is used up. Creates none, and leaves it as old as it was: who reads uses nothing."""
        limit = charge.limit
        amount, counts = self._share(limit), self._counts.get(limit.window)
        count = None if counts is None else counts.get(charge.counted)
        if count is None:
            return LimitStatus(limit, amount, 0.0)
        count.advance(now)
        return LimitStatus(limit, max(0, amount - count.used), count.reset(now))

    def _owe(self, charge: Charge, cost: int, reserved: int, place: int, now: float) -> None:
        """Count what a request took beyond its reservation, in a new count if need be: a debt outlives its count."""
        count = self._count(charge, now)
        count.settle(cost, taken=reserved, place=place)
        if count.expires <= now:
            del self._counts[charge.limit.window][charge.counted]
        self._forget(now)

    def __len__(self) -> int:
        """How many counts are kept, expired ones included."""
        return sum(map(len, self._counts.values()))

    def _count(self, charge: Charge, now: float) -> Count:
        limit, key = charge.limit, charge.counted
        counts = self._counts.get(limit.window)
        if counts is None:
            counts = self._counts[limit.window] = OrderedDict()
        count = counts.get(key)
        if count is None:
            count = counts[key] = self._new(charge, now)
            count.advance(now)
            self._grown.append(counts)
            return count
        counts.move_to_end(key)
        if count.advance(now):
            self._grown.append(counts)
        if limit.calendar is not None:
            count.amount = self._share(limit)  # somebody may have changed it since the period began
        return count

    def _new(self, charge: Charge, now: float) -> Count:
        limit = charge.limit
        amount = self._share(limit)
        if charge.span is not None:
            return PeriodCount(amount, now + charge.span.ends - self._wall(), limit.window)
        return WindowCount(amount, limit.window) if limit.window else SlotCount(amount)

    def _share(self, limit: Limit) -> int:
        return max(1, limit.amount // self._workers)

    def _forget(self, now: float) -> None:
        """Drop what nobody needs. At most two go for each one that comes: they become fewer, and no call takes long.

        Called when a reservation has taken what it takes: before that, its counts look unused.
        """
        while self._grown:
            counts = self._grown.pop()
            for oldest, count in list(islice(counts.items(), 2)):
                if count.expires == inf:
                    counts.move_to_end(oldest)  # it must not keep others from being forgotten
                elif count.expires <= now or len(counts) > MAX_SUBJECTS:
                    del counts[oldest]
