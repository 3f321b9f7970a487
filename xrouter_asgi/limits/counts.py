"""Counts in the memory of this process: of what was taken in a window, and of what is held now."""

from __future__ import annotations

import math
from typing import Protocol

from .base import SLICES, SLOT_RETRY_AFTER

_TURN = SLICES + 1  # slices after which a slice has left the window


class Count(Protocol):
    """What one subject has used of one limit.

    Attributes:
        amount: The most that may be used.
        used: At most `amount` in a window.
        place: Where a cost is counted that is taken now.
    """

    amount: int
    used: int

    @property
    def place(self) -> int: ...

    @property
    def expires(self) -> float:
        """From when on it can be forgotten; infinite while something is held."""

    def advance(self, now: float) -> bool:
        """Forget what has left the window. Returns whether another slice has begun since it was last asked."""

    def wait(self, cost: int, now: float) -> float:
        """Seconds until the cost fits; 0 if it fits now."""

    def take(self, cost: int) -> None:
        """Count the cost."""

    def settle(self, cost: int, *, taken: int, place: int) -> None:
        """Replace what was taken by the actual cost."""

    def reset(self, now: float) -> float:
        """Seconds until everything is free, if nothing more is taken."""


class WindowCount:
    """Counts for the last 60 slices of a window, plus the current one; and the debt.

    A settlement above the limit leaves a debt. Whatever leaves the window pays for it first: the debt takes its place,
    so that nothing is admitted until the whole debt has passed through the window. There is a debt only while the
    window is full.
    """

    __slots__ = ("_debt", "_slices", "_until", "_width", "amount", "place", "used")

    def __init__(self, amount: int, length: float) -> None:
        self.amount = amount
        self.used = 0
        self._width = length / SLICES
        self._slices: dict[int, int] = {}  # oldest first
        self.place = 0
        self._until = 0.0  # when the next slice begins
        self._debt = 0

    @property
    def expires(self) -> float:
        return self._end(self.place + _TURN * -(-self._debt // self.amount))

    def advance(self, now: float) -> bool:
        if now < self._until:
            return False
        self.place = int(now // self._width)
        self._until = (self.place + 1) * self._width
        if self._debt:
            self._repeat_turns()
        while self._slices and (oldest := next(iter(self._slices))) < self.place - SLICES:
            self.used -= self._slices.pop(oldest)
            self._pay(oldest + _TURN)
        return True

    def wait(self, cost: int, now: float) -> float:
        missing = self.used + self._debt + cost - self.amount
        if missing <= 0:
            return 0.0
        return max(self._freed(missing) - now, 0.001)  # a wait that is rounded to 0 would admit

    def take(self, cost: int) -> None:
        self._slices[self.place] = self._slices.get(self.place, 0) + cost
        self.used += cost

    def settle(self, cost: int, *, taken: int, place: int) -> None:
        """Return unused cost to its slice, if that is still counted. Further cost is a debt."""
        if cost > taken:
            self._debt += cost - taken
        elif place in self._slices:
            returned, held = taken - cost, self._slices[place]
            if returned > held:  # the count was started anew
                returned = held
            self._slices[place] = held - returned
            self.used -= returned
        if self._debt:
            self._pay(self.place)

    def reset(self, now: float) -> float:
        if self._debt:
            return self._freed(self.used + self._debt) - now
        if self._slices.get(self.place):
            return (self.place + _TURN) * self._width - now
        # Without a debt the latest slice is the last to leave, and near at hand.
        latest = next((place for place in reversed(self._slices) if self._slices[place]), None)
        return 0.0 if latest is None else self._end(latest) - now

    def _pay(self, place: int) -> None:
        """Take from the debt what there is room for."""
        paid = min(self._debt, self.amount - self.used)
        if paid > 0:
            self._slices[place] = self._slices.get(place, 0) + paid
            self.used += paid
            self._debt -= paid

    def _repeat_turns(self) -> None:
        """Pay for all whole turns that passed at once: while there is a debt, each turn of the window is like the last.

        Without this, a debt of many windows would cost as many steps after a long silence.
        """
        latest = next(reversed(self._slices))
        turns = min((self.place - latest) // _TURN, self._debt // self.used)
        if turns > 0:
            self._debt -= turns * self.used
            self._slices = {place + turns * _TURN: taken for place, taken in self._slices.items()}

    def _freed(self, amount: int) -> float:
        """When so much has left the window, debts that pass through it included."""
        turns, rest = divmod(amount - 1, self.used)
        latest = 0
        for latest, taken in self._slices.items():  # noqa: B007 -- it is looked for
            rest -= taken
            if rest < 0:
                break
        return self._end(latest + turns * _TURN)

    def _end(self, place: int) -> float:
        """When a slice leaves the window."""
        return (place + _TURN) * self._width


class PeriodCount:
    """Counts for one period of the calendar. Nothing leaves it, and what exceeds the limit is owed until it ends.

    Args:
        ends: When the period ends.
        length: Seconds of a period, about.
    """

    __slots__ = ("_current", "_width", "amount", "expires", "used")
    place = 0

    def __init__(self, amount: int, ends: float, length: float) -> None:
        self.amount = amount
        self.used = 0
        self.expires = ends
        self._width = length / SLICES
        self._current = 0

    def advance(self, now: float) -> bool:
        before, self._current = self._current, int(now // self._width)
        return before != self._current

    def wait(self, cost: int, now: float) -> float:
        return 0.0 if self.used + cost <= self.amount else max(self.expires - now, 0.001)

    def take(self, cost: int) -> None:
        self.used += cost

    def settle(self, cost: int, *, taken: int, place: int) -> None:
        self.used = max(0, self.used + cost - taken)  # it holds less if it was started anew

    def reset(self, now: float) -> float:
        return max(0.0, self.expires - now) if self.used else 0.0


class SlotCount:
    """Counts what is held now, and is given back when it is settled, whatever it has cost."""

    __slots__ = ("amount", "used")
    place = 0

    def __init__(self, amount: int) -> None:
        self.amount = amount
        self.used = 0

    @property
    def expires(self) -> float:
        return math.inf if self.used else -math.inf

    def advance(self, now: float) -> bool:
        return False

    def wait(self, cost: int, now: float) -> float:
        return 0.0 if self.used + cost <= self.amount else SLOT_RETRY_AFTER

    def take(self, cost: int) -> None:
        self.used += cost

    def settle(self, cost: int, *, taken: int, place: int) -> None:
        self.used -= taken

    def reset(self, now: float) -> float:
        return 0.0
