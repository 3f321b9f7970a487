"""What more than one policy needs: a bound on attempts, and counting over the last seconds."""

from __future__ import annotations

from collections import deque
from math import inf

ATTEMPTS = 4
"""Calls to upstreams for one request in all: retries, fallbacks and hedges."""


class Window:
    """How often each of a few things happened of late. Time passes in slots, so it needs little memory at any rate.

    Args:
        things: How many kinds of things are counted; they are called by number.
        slot: Seconds that are counted together. Above 0.
        slots: How many of them count, the running one included.
    """

    def __init__(self, things: int, *, slot: float, slots: int) -> None:
        self._things = things
        self._slot = slot
        self._slots = slots
        self._kept: deque[tuple[int, list[int]]] = deque()
        self._counts: list[int] = []  # those of the running slot
        self._until = -inf  # its end
        self._totals = [0] * things

    def add(self, thing: int, now: float) -> None:
        """Count one `thing`."""
        if now >= self._until:
            number = int(now // self._slot)
            self._forget(now)
            self._counts = [0] * self._things
            self._kept.append((number, self._counts))
            self._until = (number + 1) * self._slot
        self._counts[thing] += 1
        self._totals[thing] += 1

    def totals(self, now: float) -> list[int]:
        """The count of each thing."""
        self._forget(now)
        return self._totals[:]

    def clear(self) -> None:
        self._kept.clear()
        self._until = -inf
        self._totals = [0] * self._things

    def _forget(self, now: float) -> None:
        oldest = int(now // self._slot) - self._slots
        while self._kept and self._kept[0][0] <= oldest:
            _, counts = self._kept.popleft()
            for thing, count in enumerate(counts):
                self._totals[thing] -= count
