"""Counts in the memory of one process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate, islice
from typing import TypeAlias

from .base import SLICES, SLOT_RETRY_AFTER, Charge, LimitStatus, Reservation
from .limit import Limit

MAX_SUBJECTS = 100_000
"""Counts kept for each length of window. A new one replaces the least recently used one, so that callers who invent
addresses cannot fill the memory."""

_Counted: TypeAlias = tuple[str, Limit]


class MemoryLimits:
    """Keeps the counts of one process. Its methods never suspend, so no other task runs between two of their steps.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[float, dict[_Counted, _Window]] = {}  # by length; the least recently used one is first
        self._slots: Counter[_Counted] = Counter()
        self._leases: dict[str, list[tuple[Charge, int]]] = {}  # with the slice that each charge was taken in

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        now = self._clock()
        windows = [None if charge.limit.unit == "parallel" else self._window(charge, now) for charge in charges]
        refused, retry_after = None, 0.0
        if lease not in self._leases:
            for charge, window in zip(charges, windows, strict=True):
                wait = self._wait_for_slot(charge) if window is None else window.wait(charge, now)
                if wait > retry_after:
                    refused, retry_after = charge.limit, wait
            if refused is None:
                self._take(lease, charges, windows)
        statuses = [self._status(charge, window, now) for charge, window in zip(charges, windows, strict=True)]
        return Reservation(refused is None, refused, retry_after, tuple(statuses))

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        taken = self._leases.pop(lease, None)
        if taken is None:
            return
        now = self._clock()
        for (charge, index), cost in zip(taken, costs or [0] * len(taken), strict=True):
            if charge.limit.unit == "parallel":
                key = (charge.subject, charge.limit)
                self._slots[key] -= 1
                if not self._slots[key]:
                    del self._slots[key]
            elif cost != charge.cost:
                # This may create a new count: a debt outlives the count it was made in.
                self._window(charge, now).correct(cost - charge.cost, index)

    async def aclose(self) -> None: ...

    def __len__(self) -> int:
        """How many counts are kept, expired ones included."""
        return sum(map(len, self._windows.values())) + len(self._slots)

    def _window(self, charge: Charge, now: float) -> _Window:
        length = charge.limit.window
        key = (charge.subject, charge.limit)
        windows = self._windows.setdefault(length, {})
        window = windows.pop(key, None) or _Window(length)
        # At most two go for each one that comes: expired windows become fewer, and no call takes long.
        for oldest, other in list(islice(windows.items(), 2)):
            if other.expires <= now or len(windows) >= MAX_SUBJECTS:
                del windows[oldest]
        windows[key] = window
        window.advance(now)
        return window

    def _take(self, lease: str, charges: Sequence[Charge], windows: Sequence[_Window | None]) -> None:
        taken = []
        for charge, window in zip(charges, windows, strict=True):
            index = 0
            if window is None:
                self._slots[charge.subject, charge.limit] += 1
            else:
                index = window.add(charge.cost)
            taken.append((charge, index))
        self._leases[lease] = taken

    def _wait_for_slot(self, charge: Charge) -> float:
        in_use = self._slots[charge.subject, charge.limit]
        return 0.0 if in_use < charge.limit.amount else SLOT_RETRY_AFTER

    def _status(self, charge: Charge, window: _Window | None, now: float) -> LimitStatus:
        if window is None:
            used, reset = self._slots[charge.subject, charge.limit], 0.0
        else:
            used, reset = window.total, window.reset(now)
        return LimitStatus(charge.limit, max(0, charge.limit.amount - used), reset)


class _Window:
    """Counts for the last 60 slices of a window, plus the current one."""

    __slots__ = ("_current", "_slices", "_width", "expires", "total")

    def __init__(self, length: float) -> None:
        self._width = length / SLICES
        self._slices: dict[int, int] = {}  # oldest first
        self._current = 0
        self.total = 0
        self.expires = 0.0

    def advance(self, now: float) -> None:
        self._current = int(now // self._width)
        self.expires = self._end(self._current)
        while self._slices and (oldest := next(iter(self._slices))) < self._current - SLICES:
            self.total -= self._slices.pop(oldest)

    def wait(self, charge: Charge, now: float) -> float:
        """Seconds until the charge fits; 0 if it fits now."""
        missing = self.total + charge.cost - charge.limit.amount
        if missing <= 0:
            return 0.0
        freed = accumulate(self._slices.values())
        last = next(index for index, so_far in zip(self._slices, freed, strict=True) if so_far >= missing)
        return max(self._end(last) - now, 0.001)  # a wait that is rounded to 0 would admit

    def add(self, cost: int) -> int:
        """Count the cost in the current slice. Returns the slice's index."""
        self._slices[self._current] = self._slices.get(self._current, 0) + cost
        self.total += cost
        return self._current

    def correct(self, difference: int, index: int) -> None:
        """Return unused cost to its slice, if that is still counted. Add further cost to the current slice."""
        if difference > 0:
            self.add(difference)
        elif index in self._slices:
            returned = min(-difference, self._slices[index])  # the slice holds less if the count was started anew
            self._slices[index] -= returned
            self.total -= returned

    def reset(self, now: float) -> float:
        """Seconds until every cost has left the window."""
        last = next((index for index in reversed(self._slices) if self._slices[index]), None)
        return 0.0 if last is None else self._end(last) - now

    def _end(self, index: int) -> float:
        """When a slice leaves the window."""
        return (index + SLICES + 1) * self._width
