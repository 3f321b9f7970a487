"""Work that several callers want at once and that is done once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from ...errors import UpstreamUnavailable, XRouterError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Flights(Generic[Key, Value]):
    """At most one flight per key; whoever joins it shares its result and its failure.

    A flight belongs to nobody who waits for it: a waiter that is cancelled leaves alone. Flights that nobody waits for
    any more go on, until `aclose()` ends them.
    """

    def __init__(self) -> None:
        self._under_way: dict[Key, asyncio.Task[Value]] = {}

    def start(self, key: Key, work: Callable[[], Awaitable[Value]]) -> asyncio.Task[Value]:
        """The flight under way for `key`; a new one if there is none."""
        flight = self._under_way.get(key)
        if flight is None:
            flight = asyncio.ensure_future(_run(work))
            self._under_way[key] = flight
            flight.add_done_callback(lambda landed: self._land(key, landed))
        return flight

    async def join(self, key: Key, work: Callable[[], Awaitable[Value]]) -> Value:
        """Wait for the flight of `key`, which `work` makes if there is none.

        Raises:
            XRouterError: What the flight failed with; each caller gets its own copy, as tracebacks grow on each raise.
        """
        flight = self.start(key, work)
        await asyncio.wait({flight})
        if flight.cancelled():
            raise UpstreamUnavailable("The provider is closed.", detail=f"{key!r} was ended by aclose().")
        error = flight.exception()
        if isinstance(error, XRouterError):
            raise copy.copy(error) from error
        return flight.result()

    async def aclose(self) -> None:
        """End what is under way, and wait until it has ended."""
        flights = list(self._under_way.values())
        for flight in flights:
            flight.cancel()
        if flights:
            await asyncio.wait(flights)

    def _land(self, key: Key, landed: asyncio.Task[Value]) -> None:
        del self._under_way[key]
        if not landed.cancelled():
            landed.exception()  # Seen, even if nobody waits any more: asyncio would complain otherwise.


async def _run(work: Callable[[], Awaitable[Value]]) -> Value:
    return await work()
