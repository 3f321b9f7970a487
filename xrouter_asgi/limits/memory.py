"""Counts in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import accumulate, islice
from typing import TypeAlias

from .base import PARTS, PLACE_WAIT, Charge, Limit, LimitStatus, Reservation

_Key: TypeAlias = tuple[str, Limit]


class MemoryLimits:
    """Keeps the counts of one process. Nothing in here waits, so nothing can come between two steps.

    Args:
        max_subjects: Counts kept for each length of window. Beyond it the one that was asked longest ago is forgotten,
            so that callers who invent addresses cannot fill the memory. At least 1.
        clock: Seconds that only grow.
    """

    def __init__(self, *, max_subjects: int = 100_000, clock: Callable[[], float] = time.monotonic) -> None:
        if max_subjects < 1:
            raise ValueError(f"max_subjects must be at least 1, not {max_subjects}.")
        self._max_subjects = max_subjects
        self._clock = clock
        self._windows: dict[float, dict[_Key, _Window]] = {}  # by length, each with the longest unasked first
        self._places: dict[_Key, int] = {}
        self._leases: dict[str, list[tuple[Charge, int]]] = {}  # with the part each was taken in

    async def reserve(self, charges: Sequence[Charge], *, lease: str) -> Reservation:
        now = self._clock()
        windows = [None if charge.limit.unit == "parallel" else self._window(charge, now) for charge in charges]
        refused, retry_after = None, 0.0
        if lease not in self._leases:
            for charge, window in zip(charges, windows, strict=True):
                wait = self._wait_for_place(charge) if window is None else window.wait(charge, now)
                if wait > retry_after:
                    refused, retry_after = charge.limit, wait
            if refused is None:
                self._take(lease, charges, windows)
        standings = [self._standing(charge, window, now) for charge, window in zip(charges, windows, strict=True)]
        return Reservation(refused is None, refused, retry_after, tuple(standings))

    def settle(self, lease: str, costs: Sequence[int] | None = None) -> None:
        taken = self._leases.pop(lease, None)
        if taken is None:
            return
        now = self._clock()
        for (charge, part), cost in zip(taken, costs or [0] * len(taken), strict=True):
            if charge.limit.unit == "parallel":
                self._leave_place(charge)
            elif cost != charge.cost:
                # Perhaps a new one: a debt outlives the count it was made in.
                self._window(charge, now).correct(cost - charge.cost, part)

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    def __len__(self) -> int:
        """How many counts are kept, expired ones among them."""
        return sum(map(len, self._windows.values())) + len(self._places)

    def _window(self, charge: Charge, now: float) -> _Window:
        """The count of a window, made on first use."""
        length = charge.limit.window
        key = (charge.subject, charge.limit)
        windows = self._windows.setdefault(length, {})
        window = windows.pop(key, None) or _Window(length)
        # Two at each step: more go than come, and no step is long.
        for oldest, other in list(islice(windows.items(), 2)):
            if other.expires <= now or len(windows) >= self._max_subjects:
                del windows[oldest]
        windows[key] = window
        window.advance(now)
        return window

    def _take(self, lease: str, charges: Sequence[Charge], windows: Sequence[_Window | None]) -> None:
        taken = []
        for charge, window in zip(charges, windows, strict=True):
            part = 0
            if window is None:
                key = (charge.subject, charge.limit)
                self._places[key] = self._places.get(key, 0) + 1
            else:
                part = window.add(charge.cost)
            taken.append((charge, part))
        self._leases[lease] = taken

    def _wait_for_place(self, charge: Charge) -> float:
        return 0.0 if self._places.get((charge.subject, charge.limit), 0) < charge.limit.amount else PLACE_WAIT

    def _leave_place(self, charge: Charge) -> None:
        key = (charge.subject, charge.limit)
        self._places[key] -= 1
        if not self._places[key]:
            del self._places[key]

    def _standing(self, charge: Charge, window: _Window | None, now: float) -> LimitStatus:
        if window is None:
            taken, reset = self._places.get((charge.subject, charge.limit), 0), 0.0
        else:
            taken, reset = window.total, window.reset(now)
        return LimitStatus(charge.limit, max(0, charge.limit.amount - taken), reset)


class _Window:
    """What was taken in the last 60 parts of a window and in the present one, which has only begun."""

    __slots__ = ("_parts", "_present", "_width", "expires", "total")

    def __init__(self, length: float) -> None:
        self._width = length / PARTS
        self._parts: dict[int, int] = {}  # oldest first
        self._present = 0
        self.total = 0
        self.expires = 0.0

    def advance(self, now: float) -> None:
        """Forget the parts that have left the window."""
        self._present = int(now // self._width)
        self.expires = self._end(self._present)
        while self._parts and (oldest := next(iter(self._parts))) < self._present - PARTS:
            self.total -= self._parts.pop(oldest)

    def wait(self, charge: Charge, now: float) -> float:
        """Seconds until so much is free; 0 if it is now."""
        missing = self.total + charge.cost - charge.limit.amount
        if missing <= 0:
            return 0.0
        freed = accumulate(self._parts.values())
        last = next(part for part, so_far in zip(self._parts, freed, strict=True) if so_far >= missing)
        return max(self._end(last) - now, 0.001)  # what is rounded away must not admit

    def add(self, cost: int) -> int:
        """Take it in the present part, which is returned."""
        self._parts[self._present] = self._parts.get(self._present, 0) + cost
        self.total += cost
        return self._present

    def correct(self, difference: int, part: int) -> None:
        """Give back to the part it was taken from, if that is still counted; take more in the present one."""
        if difference > 0:
            self.add(difference)
        elif part in self._parts:
            back = min(-difference, self._parts[part])  # less is there if the count was forgotten and begun again
            self._parts[part] -= back
            self.total -= back

    def reset(self, now: float) -> float:
        """Seconds until everything has left the window."""
        last = next((part for part in reversed(self._parts) if self._parts[part]), None)
        return 0.0 if last is None else self._end(last) - now

    def _end(self, part: int) -> float:
        """When a part leaves the window."""
        return (part + PARTS + 1) * self._width
