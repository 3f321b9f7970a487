"""Work that several callers want at once and that is done once."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from ...errors import UpstreamUnavailable, XRouterError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """At most one flight per key; whoever joins it shares its result and its failure.

    A flight belongs to nobody who waits for it: a waiter that is cancelled leaves alone.

    Args:
        end_unwanted: Cancel a flight when the last one who joined it has left. Otherwise it goes on, for those who will
            want its result, until `aclose()` ends it.
    """

    def __init__(self, *, end_unwanted: bool = False) -> None:
        self._end_unwanted = end_unwanted
        self._under_way: dict[Key, asyncio.Task[Value]] = {}  # to be joined
        self._waiting: Counter[asyncio.Task[Value]] = Counter()
        self._not_ended: set[asyncio.Task[Value]] = set()

    def start(self, key: Key, work: Callable[[], Awaitable[Value]]) -> asyncio.Task[Value]:
        """The flight under way for `key`; a new one if there is none."""
        flight = self._under_way.get(key)
        if flight is None:
            flight = asyncio.ensure_future(_run(work))
            self._under_way[key] = flight
            self._not_ended.add(flight)
            flight.add_done_callback(lambda landed: self._land(key, landed))
        return flight

    async def join(self, key: Key, work: Callable[[], Awaitable[Value]]) -> Value:
        """Wait for the flight of `key`, which `work` makes if there is none.

        Raises:
            XRouterError: What the flight failed with; each caller gets its own copy, as tracebacks grow on each raise.
        """
        flight = self.start(key, work)
        self._waiting[flight] += 1
        try:
            await asyncio.wait({flight})
        finally:
            self._leave(key, flight)
        if flight.cancelled():
            raise UpstreamUnavailable("The provider is closed.", detail=f"{key!r} was ended by aclose().")
        error = flight.exception()
        if isinstance(error, XRouterError):
            raise copy.copy(error) from error
        return flight.result()

    async def aclose(self) -> None:
        """End what is under way, and wait until it has ended."""
        for flight in self._under_way.values():
            flight.cancel()
        if self._not_ended:
            await asyncio.wait(self._not_ended)

    def _leave(self, key: Key, flight: asyncio.Task[Value]) -> None:
        self._waiting[flight] -= 1
        if self._waiting[flight]:
            return
        del self._waiting[flight]
        if self._end_unwanted and not flight.done():
            # No longer to be joined: whoever wants the same in this very moment gets a flight that does not end.
            self._forget(key, flight)
            flight.cancel()

    def _land(self, key: Key, landed: asyncio.Task[Value]) -> None:
        self._not_ended.discard(landed)
        self._forget(key, landed)
        if not landed.cancelled():
            landed.exception()  # Seen, even if nobody waits any more: asyncio would complain otherwise.

    def _forget(self, key: Key, flight: asyncio.Task[Value]) -> None:
        if self._under_way.get(key) is flight:
            del self._under_way[key]


async def _run(work: Callable[[], Awaitable[Value]]) -> Value:
    return await work()
