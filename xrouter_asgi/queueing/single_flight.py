"""Work that several callers want at once and that is done once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from ..errors import UpstreamUnavailable, XRouterError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Runs at most one flight per key; every caller of that key shares its result or its failure.

    A flight belongs to no caller: a cancellation or a deadline ends the wait of one caller, not the flight.

    Args:
        end_unwanted: Cancel a flight when its last caller has left. Otherwise it goes on, for later callers, until
            `aclose()` cancels it.
    """

    def __init__(self, *, end_unwanted: bool = False) -> None:
        self._end_unwanted = end_unwanted
        self._joinable: dict[Key, asyncio.Task[Value]] = {}
        self._running: set[asyncio.Task[Value]] = set()  # also those that were cancelled and have not ended yet
        self._callers: Counter[asyncio.Task[Value]] = Counter()

    async def do(
        self, key: Key, work: Callable[[], Coroutine[Any, Any, Value]], *, deadline: float | None = None
    ) -> Value:
        """Wait for the flight of `key`. Starts one with `work` if none is under way.

        Args:
            deadline: When to stop waiting, in the loop's time.

        Raises:
            TimeoutError: The deadline came first.
            XRouterError: The flight failed. Each caller gets a copy, because every raise adds to an error's traceback.
            UpstreamUnavailable: `aclose()` ended the flight.
        """
        flight = self.start(key, work)
        self._callers[flight] += 1
        try:
            # Not awaited itself: cancelling one caller would cancel the flight of all.
            await asyncio.wait(
                {flight}, timeout=None if deadline is None else deadline - asyncio.get_running_loop().time()
            )
        finally:
            self._leave(key, flight)
        if flight.cancelled():
            raise UpstreamUnavailable("The provider is closed.", detail=f"{key!r} was ended by aclose().")
        if not flight.done():
            raise TimeoutError
        error = flight.exception()
        if isinstance(error, XRouterError):
            raise error.but() from error
        return flight.result()

    def start(self, key: Key, work: Callable[[], Coroutine[Any, Any, Value]]) -> asyncio.Task[Value]:
        """The flight of `key`; a new one if none is under way. Nobody has to wait for it."""
        flight = self._joinable.get(key)
        if flight is None:
            flight = asyncio.create_task(work())
            self._joinable[key] = flight
            self._running.add(flight)
            flight.add_done_callback(lambda landed: self._land(key, landed))
        return flight

    async def wait(self) -> None:
        """Wait until every flight under way has ended."""
        if self._running:
            await asyncio.wait(self._running)

    async def aclose(self) -> None:
        """Cancel every flight, and wait until all have ended."""
        for flight in self._joinable.values():
            flight.cancel()
        await self.wait()

    def _leave(self, key: Key, flight: asyncio.Task[Value]) -> None:
        self._callers[flight] -= 1
        if self._callers[flight]:
            return
        del self._callers[flight]
        if self._end_unwanted and not flight.done():
            # The next caller must not join a flight that is being cancelled: it gets a new one.
            self._forget(key, flight)
            flight.cancel()

    def _land(self, key: Key, landed: asyncio.Task[Value]) -> None:
        self._running.discard(landed)
        self._forget(key, landed)
        if not landed.cancelled():
            landed.exception()  # asyncio reports an exception that nobody retrieved

    def _forget(self, key: Key, flight: asyncio.Task[Value]) -> None:
        if self._joinable.get(key) is flight:
            del self._joinable[key]
