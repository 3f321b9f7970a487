"""Time that passes when a test says so."""

from __future__ import annotations


class Clock:
    """Give it wherever a clock is asked for."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
