"""Time that passes when a test says so."""

from __future__ import annotations

import asyncio


class Clock:
    """Give it wherever a clock is asked for."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class LoopClock:
    """The clock of the running event loop, which a test can put forward: what was due by then happens next."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.time
        self._ahead = 0.0
        loop.time = self.__call__  # type: ignore[method-assign]

    def __call__(self) -> float:
        return self._real() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
